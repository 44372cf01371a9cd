//! A CUDA device: [`Backend`](super::Backend) over the kernels of `kernels/`.
//!
//! The driver is opened at run time, and looked for before the first call into it: cudarc panics where it is missing.
//! Every kernel runs on one stream, in the order of the launches, so that buffers need no locks and sums have one order:
//! the same run gives the same bits. A batch's inputs come in on a second stream ([`upload`]).
#![cfg(feature = "cuda")]
#![allow(unsafe_code)]

mod buffer;
mod compile;
mod context;
mod embedding;
mod kernels;
pub(crate) mod launch;
mod linear;
mod loss;
mod memory;
mod norm;
mod operations;
mod optim;
#[cfg(test)]
#[path = "../../tests/parity/cuda/cuda.rs"]
mod parity;
mod queue;
mod readback;
mod scan;
mod source;
mod status;
mod tiles;
pub(crate) mod topk;
mod upload;

use std::sync::{Mutex, MutexGuard};

use cudarc::driver::result;

use super::check::{self, need, need_len, need_mat};
use super::{Mat, MatMut};
use crate::Result;
use crate::config::Precision;
use crate::device::CudaInfo;

pub(crate) use buffer::Buf;
use context::Context;
use kernels::Kernels;
use readback::Readback;
use status::Status;
use upload::Uploads;

/// An opened CUDA device.
pub(crate) struct Cuda {
    context: Context,
    kernels: Kernels,
    uploads: Mutex<Uploads>,
    readback: Mutex<Readback>,
    status: Status,
    precision: Precision,
}

/// Whether the device can be used, or why not. Calls into the driver only once its library was found.
pub(crate) fn probe(ordinal: usize) -> Result<(), String> {
    // SAFETY: the call opens the library by name and closes it again; it calls no function of the driver.
    let present = unsafe { cudarc::driver::sys::is_culib_present() };
    if !present {
        return Err("no NVIDIA driver on this host (libcuda was not found)".into());
    }
    let words = |e: cudarc::driver::DriverError| context::cuda_error("", e).to_string();
    result::init().map_err(|e| format!("the NVIDIA driver failed to start: {}", words(e)))?;
    let count = result::device::get_count().map_err(words)?;
    if ordinal >= usize::try_from(count).unwrap_or(0) {
        return Err(format!("this host has {count} CUDA device(s): there is no cuda:{ordinal}"));
    }
    let device = result::device::get(ordinal as i32).map_err(words)?;
    let major = cudarc::driver::sys::CUdevice_attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR;
    // SAFETY: the device was just given by the driver.
    let major = unsafe { result::device::get_attribute(device, major) }.map_err(words)?;
    if major < 8 {
        let minimum = "Tercel's kernels need 8.0 (Ampere) or newer";
        return Err(format!("cuda:{ordinal} has compute capability {major}.x; {minimum}"));
    }
    Ok(())
}

impl Cuda {
    /// Opens device `ordinal`.
    ///
    /// # Errors
    /// [`crate::Error::CudaUnavailable`], [`crate::Error::Cuda`].
    pub(crate) fn new(ordinal: usize, precision: Precision) -> Result<Cuda> {
        let context = Context::open(ordinal)?;
        let uploads = Mutex::new(Uploads::new(&context)?);
        let readback = Mutex::new(Readback::new(&context)?);
        let status = Status::new(&context)?;
        Ok(Cuda { context, kernels: Kernels::default(), uploads, readback, status, precision })
    }

    /// What the device says of itself.
    pub(crate) fn info(&self) -> &CudaInfo {
        &self.context.info
    }

    /// What the tensor cores multiply.
    pub(crate) fn precision(&self) -> Precision {
        self.precision
    }

    /// Loads every kernel.
    pub(crate) fn load_kernels(&self) -> Result<()> {
        self.kernels.load_all(&self.context)
    }

    fn uploads(&self) -> MutexGuard<'_, Uploads> {
        // A panic between two of its statements leaves places handed out or copied twice: nothing that matters.
        self.uploads.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn flush(&self) -> Result<()> {
        self.uploads().flush(&self.context)
    }

    /// `len` values, not initialised.
    pub(crate) fn uninit<T>(&self, len: usize) -> Result<Buf<T>> {
        Ok(Buf::own(self.context.alloc(len * size_of::<T>())?, len))
    }

    /// Memory for the length of an operation: as [`uninit`](Cuda::uninit); the driver's pool makes it cheap, and what
    /// was queued before it is dropped may still use it.
    pub(crate) fn scratch<T>(&self, len: usize) -> Result<Buf<T>> {
        self.uninit(len)
    }

    /// Sets `len` values from `from` on to zero bits.
    pub(crate) fn fill_zero<T>(&self, buf: &mut Buf<T>, from: usize, len: usize) -> Result<()> {
        need_len("fill_zero", "the buffer", buf.len(), from + len)?;
        if len == 0 {
            return Ok(());
        }
        self.context.bind()?;
        let (at, bytes, stream) = (buf.ptr_at(from), len * size_of::<T>(), self.context.compute.cu_stream());
        // SAFETY: the range lies inside the buffer (checked above); the one stream orders it with all other uses.
        let set = unsafe { result::memset_d8_async(at, 0, bytes, stream) };
        self.context.check("set memory to zero", set)
    }

    /// Copies the host's values to the front of `to`, and waits until they may be dropped.
    fn send<T: Copy>(&self, to: &Buf<T>, host: &[T]) -> Result<()> {
        need_len("send", "the buffer", to.len(), host.len())?;
        if host.is_empty() {
            return Ok(());
        }
        self.context.bind()?;
        // SAFETY: the buffer holds at least as many values as `host` (checked above), and `host` lives until the stream
        // has been waited for.
        let sent = unsafe { result::memcpy_htod_async(to.ptr(), host, self.context.compute.cu_stream()) };
        self.context.check(&format!("copy {} bytes to the device", size_of_val(host)), sent)?;
        self.context.check("copy to the device", self.context.compute.synchronize())
    }

    /// Copies values from `start` on to the host, after everything that was queued.
    pub(crate) fn download<T: Copy>(&self, host: &mut [T], from: &Buf<T>, start: usize) -> Result<()> {
        need_len("read", "the buffer", from.len(), start.saturating_add(host.len()))?;
        if host.is_empty() {
            return Ok(());
        }
        self.flush()?;
        self.context.bind()?;
        let (address, stream) = (from.ptr_at(start), self.context.compute.cu_stream());
        // SAFETY: the range lies inside the buffer (checked above); `host` lives until the stream has been waited for.
        let read = unsafe { result::memcpy_dtoh_async(host, address, stream) };
        self.context.check(&format!("copy {} bytes to the host", size_of_val(host)), read)?;
        self.context.check("run queued kernels", self.context.compute.synchronize())
    }
}

impl Drop for Cuda {
    fn drop(&mut self) {
        // Pinned memory must not go while a copy reads it. An error here was reported by the call that met it first.
        let _ = self.context.synchronize();
    }
}
