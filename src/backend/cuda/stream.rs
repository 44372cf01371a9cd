//! The device as operations see it: its memory, and the stream that orders them.

use std::sync::{Mutex, MutexGuard, PoisonError};

use cudarc::driver::result;

use super::architecture::Architecture;
use super::arena::Arena;
use super::buffer::Buf;
use super::compile::{self, PtxFrom};
use super::context::Context;
use super::described::Resident;
use super::kernels::Kernels;
use super::readback::Readback;
use super::replay::Replays;
use super::room::Rooms;
use super::status::{Status, refusal};
use super::topk::Form;
use super::upload::Uploads;
use crate::Result;
use crate::backend::check::need_len;
use crate::config::Precision;
use crate::device::CudaInfo;

/// An opened CUDA device.
pub(crate) struct Cuda {
    pub(super) context: Context,
    pub(super) kernels: Kernels,
    uploads: Mutex<Uploads>,
    pub(super) readback: Mutex<Readback>,
    pub(super) replays: Mutex<Replays>,
    pub(super) resident: Mutex<Resident>,
    pub(super) arena: Arena,
    pub(super) rooms: Rooms,
    status: Status,
    precision: Precision,
}

impl Cuda {
    /// Opens device `ordinal`.
    ///
    /// # Errors
    /// [`crate::Error::CudaUnavailable`], [`crate::Error::Cuda`].
    pub(crate) fn new(ordinal: usize, precision: Precision) -> Result<Cuda> {
        let mut context = Context::open(ordinal)?;
        context.info.kernels_from = match compile::choice()? {
            PtxFrom::Embedded => "embedded",
            PtxFrom::Nvrtc => "nvrtc",
        };
        let uploads = Mutex::new(Uploads::new(&context)?);
        let readback = Mutex::new(Readback::new(&context)?);
        let status = Status::new(&context)?;
        Ok(Cuda {
            context,
            kernels: Kernels::default(),
            uploads,
            readback,
            replays: Mutex::new(Replays::new()?),
            resident: Mutex::default(),
            arena: Arena::default(),
            rooms: Rooms::default(),
            status,
            precision,
        })
    }

    /// As [`new`](Cuda::new), with these kernels whatever the host asks for.
    #[cfg(test)]
    pub(crate) fn with_kernels(ordinal: usize, precision: Precision, kernels: Architecture) -> Result<Cuda> {
        let mut cuda = Cuda::new(ordinal, precision)?;
        kernels.runs_on(ordinal, cuda.info().compute_capability, cuda.info().driver_version)?;
        cuda.context.architecture = kernels;
        cuda.context.scan_form = Form::Bf16;
        Ok(cuda)
    }

    /// The architecture of its kernels.
    pub(crate) fn architecture(&self) -> Architecture {
        self.context.architecture
    }

    /// What exact scans by the kernels for sm_90a read.
    pub(crate) fn scan_form(&self) -> Form {
        self.context.scan_form
    }

    /// What the device says of itself.
    pub(crate) fn info(&self) -> &CudaInfo {
        &self.context.info
    }

    /// What the tensor cores multiply.
    pub(crate) fn precision(&self) -> Precision {
        self.precision
    }

    /// Where kernels report.
    pub(crate) fn status(&self) -> &Status {
        &self.status
    }

    /// Waits for all queued kernels.
    ///
    /// # Errors
    /// [`Error::Shape`](crate::Error::Shape) when one of them met an id, a position or a column outside its table.
    pub(super) fn check_status(&self) -> Result<()> {
        let mut words = Status::empty();
        self.download(&mut words, self.status.words(), 0)?;
        self.heed(&words)
    }

    /// The error that the status words report.
    pub(super) fn heed(&self, words: &[u64]) -> Result<()> {
        let Some(refusal) = refusal(words) else { return Ok(()) };
        self.status.reset(&self.context)?;
        Err(refusal)
    }

    /// Loads every kernel.
    pub(crate) fn load_kernels(&self) -> Result<()> {
        self.kernels.load_all(&self.context)
    }

    /// Queues what comes next behind what `other` has queued so far, where both are the same device; elsewhere nothing, and
    /// false. What `other` has computed can then be read here.
    ///
    /// # Errors
    /// [`crate::Error::Cuda`].
    pub(crate) fn follow(&self, other: &Cuda) -> Result<bool> {
        let same = self.info().ordinal == other.info().ordinal;
        if same {
            other.flush()?;
            self.context.check("wait for a stream", self.context.compute.join(&other.context.compute))?;
        }
        Ok(same)
    }

    pub(super) fn uploads(&self) -> MutexGuard<'_, Uploads> {
        // A panic between two of its statements leaves places handed out or copied twice: nothing that matters.
        self.uploads.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn flush(&self) -> Result<()> {
        self.uploads().flush(&self.context)
    }

    /// `len` values, not initialised.
    pub(crate) fn uninit<T>(&self, len: usize) -> Result<Buf<T>> {
        Ok(Buf::own(self.context.alloc(len * size_of::<T>())?, len))
    }

    /// Memory for the length of an operation, as [`uninit`](Cuda::uninit): in a step a place of the arena, elsewhere the
    /// driver's pool makes it cheap. What was queued before it is dropped may still use it.
    pub(crate) fn scratch<T>(&self, len: usize) -> Result<Buf<T>> {
        let bytes = len * size_of::<T>();
        match self.arena.take(bytes) {
            None => self.uninit(len),
            Some(place) => match place.address() {
                Some(address) => Ok(Buf::placed(place, address, len)),
                // The next step has it in the arena.
                None => Ok(Buf::with_place(self.context.alloc(bytes)?, Some(place), len)),
            },
        }
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
    pub(super) fn send<T: Copy>(&self, to: &Buf<T>, host: &[T]) -> Result<()> {
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
        let _ = self.drop_recordings();
        let _ = self.context.synchronize();
    }
}
