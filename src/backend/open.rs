//! Opening a device: the one place that asks whether CUDA was built in. A build without it has a type of the same name
//! that has no values, so that whoever matches on an opened device names both.

#[cfg(not(feature = "cuda"))]
mod absent;

#[cfg(not(feature = "cuda"))]
use absent as cuda;

#[cfg(feature = "cuda")]
use super::cuda;

pub(crate) use cuda::Cuda;
pub(crate) use cuda::topk::{AskedLists, CudaIndex};

use super::cpu::Cpu;
use super::cpu::simd::Isa;
use crate::config::Precision;
use crate::device::{Choice, CudaInfo};
use crate::{Device, Error, Result};

/// A device, opened.
pub(crate) enum OpenedDevice {
    Cpu(Cpu),
    Cuda(Box<Cuda>),
}

/// Opens a device: a CPU with so many threads (0: every core) and this instruction set, or the best that it has.
///
/// # Errors
/// [`Error::CudaUnavailable`] where a CUDA device is asked for and cannot be used; as [`Cpu::new`].
pub(crate) fn open(device: Device, threads: usize, isa: Option<Isa>, precision: Precision) -> Result<OpenedDevice> {
    match cuda(device, precision)? {
        Some(cuda) => Ok(OpenedDevice::Cuda(Box::new(cuda))),
        None => Ok(OpenedDevice::Cpu(Cpu::new(threads, isa, precision)?)),
    }
}

/// Opens a CUDA device; none where `device` is the CPU.
///
/// # Errors
/// [`Error::CudaUnavailable`] where a CUDA device is asked for and cannot be used.
pub(crate) fn cuda(device: Device, precision: Precision) -> Result<Option<Cuda>> {
    match device.resolve()? {
        Device::Cuda(ordinal) => Ok(Some(Cuda::new(ordinal, precision)?)),
        Device::Cpu | Device::Auto => Ok(None),
    }
}

/// Whether CUDA device `ordinal` can be used: probes for the driver library before any call into it.
fn probe(ordinal: usize) -> Result<()> {
    cuda::probe(ordinal).map_err(|reason| Error::CudaUnavailable { reason })
}

impl Device {
    /// The device that this one stands for on this host, and why.
    ///
    /// # Errors
    /// [`Error::CudaUnavailable`] where a CUDA device is asked for and cannot be used. Nothing falls back in silence.
    pub fn choose(self) -> Result<Choice> {
        let asked = || "as asked".to_owned();
        match self {
            Device::Cpu => Ok(Choice { device: Device::Cpu, reason: asked() }),
            Device::Cuda(ordinal) => {
                probe(ordinal)?;
                Ok(Choice { device: self, reason: asked() })
            }
            Device::Auto => Ok(match probe(0) {
                Ok(()) => Choice { device: Device::Cuda(0), reason: "auto: the first CUDA device".into() },
                Err(Error::CudaUnavailable { reason }) => {
                    Choice { device: Device::Cpu, reason: format!("auto: {reason}") }
                }
                Err(other) => return Err(other),
            }),
        }
    }

    /// The device that this one stands for on this host: never [`Device::Auto`].
    ///
    /// # Errors
    /// As [`choose`](Device::choose).
    pub fn resolve(self) -> Result<Device> {
        self.choose().map(|choice| choice.device)
    }
}

impl CudaInfo {
    /// Opens device `ordinal` and loads every kernel, as training would.
    ///
    /// # Errors
    /// [`Error::CudaUnavailable`], [`Error::Cuda`] or [`Error::KernelCompile`]: what training would meet too.
    pub fn read(ordinal: usize) -> Result<CudaInfo> {
        let cuda = Cuda::new(ordinal, Precision::default())?;
        cuda.load_kernels()?;
        Ok(cuda.info().clone())
    }
}
