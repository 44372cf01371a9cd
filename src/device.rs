//! Where the work runs: a CPU or a CUDA device.

use std::fmt;
use std::str::FromStr;

use crate::{Error, Result};

/// A place to run on. Parsed from `auto`, `cpu` or `cuda:N`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Device {
    /// The first CUDA device where there is one, else the CPU.
    #[default]
    Auto,
    /// The host's processors.
    Cpu,
    /// The CUDA device with this ordinal.
    Cuda(usize),
}

impl FromStr for Device {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "auto" => Ok(Device::Auto),
            "cpu" => Ok(Device::Cpu),
            "cuda" => Ok(Device::Cuda(0)),
            _ => match text.strip_prefix("cuda:").and_then(|n| n.parse().ok()) {
                Some(n) => Ok(Device::Cuda(n)),
                None => Err(Error::config("device", format!("`{text}` is not one of auto, cpu, cuda:N"))),
            },
        }
    }
}

impl TryFrom<String> for Device {
    type Error = Error;
    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl From<Device> for String {
    fn from(device: Device) -> String {
        device.to_string()
    }
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Device::Auto => write!(f, "auto"),
            Device::Cpu => write!(f, "cpu"),
            Device::Cuda(n) => write!(f, "cuda:{n}"),
        }
    }
}

/// A device, and why it was taken.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Choice {
    /// The device: never [`Device::Auto`].
    pub device: Device,
    /// Why this one, in a few words.
    pub reason: String,
}

/// Whether the softmax loss multiplies bf16 values on this host's processors, where `train.precision` lets it.
pub fn cpu_multiplies_bf16() -> bool {
    crate::backend::cpu::simd::Isa::gains_by_bf16()
}

/// The instruction sets that this host's processors have, the best first, as `train.instructions` names them.
pub fn instruction_sets() -> Vec<&'static str> {
    use crate::backend::cpu::simd::Isa;
    Isa::ALL.into_iter().rev().filter(|isa| isa.available()).map(Isa::name).collect()
}

/// What a CUDA device says of itself.
#[derive(Clone, Debug, serde::Serialize)]
pub struct CudaInfo {
    /// The N of `cuda:N`.
    pub ordinal: usize,
    /// The product's name.
    pub name: String,
    /// Compute capability: major x 10 + minor.
    pub compute_capability: u32,
    /// Streaming multiprocessors.
    pub multiprocessors: u32,
    /// Shared memory that one block can have, in bytes.
    pub shared_bytes_per_block: u32,
    /// The highest clock of the multiprocessors, in kHz.
    pub clock_khz: u32,
    /// The highest clock of the memory, in kHz.
    pub memory_clock_khz: u32,
    /// Width of the memory bus, in bits.
    pub memory_bus_bits: u32,
    /// Memory of the device, in bytes.
    pub memory_bytes: u64,
    /// Of it, not in use now.
    pub memory_free_bytes: u64,
    /// The CUDA version that the driver serves, as 1000 x major + 10 x minor.
    pub driver_version: u32,
    /// Where kernels come from: `embedded`, the PTX that comes with Tercel, or `nvrtc`, compiled for this device.
    pub kernels_from: &'static str,
    /// Which kernels the device gets, as `TERCEL_KERNELS` names them: `sm_80` or `sm_90a`.
    pub kernels_for: &'static str,
}

impl CudaInfo {
    /// Bytes per second that the memory could move: two transfers a clock over the whole bus.
    pub fn peak_bytes_per_second(&self) -> f64 {
        f64::from(self.memory_clock_khz) * 1e3 * 2.0 * f64::from(self.memory_bus_bits) / 8.0
    }

    /// Dense bf16 operations per second with fp32 sums at the highest clock, for the architectures whose rate a
    /// multiprocessor and clock NVIDIA documents.
    pub fn peak_bf16_flops(&self) -> Option<f64> {
        let per_clock = match self.compute_capability {
            80 => 2048.0,
            90 => 4096.0,
            100 | 103 => 8192.0,
            _ => return None,
        };
        Some(per_clock * f64::from(self.multiprocessors) * f64::from(self.clock_khz) * 1e3)
    }
}
