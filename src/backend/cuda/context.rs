//! The device, its two streams, and what it says of itself.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use cudarc::driver::sys::CUdevice_attribute as Attribute;
use cudarc::driver::{
    CudaContext, CudaEvent, CudaSlice, CudaStream, DevicePtr, DriverError, PinnedHostSlice, result, sys,
};

use super::architecture::Architecture;
use super::topk::Form;
use crate::device::CudaInfo;
use crate::{Error, Result};

/// Memory of the device.
pub(super) struct DeviceMemory {
    memory: CudaSlice<u8>,
    address: u64,
    freed: Arc<AtomicU64>,
}

impl DeviceMemory {
    /// The device address of the first byte.
    pub(super) fn address(&self) -> u64 {
        self.address
    }

    pub(super) fn bytes(&self) -> usize {
        self.memory.len()
    }
}

impl Drop for DeviceMemory {
    fn drop(&mut self) {
        self.freed.fetch_add(1, Ordering::Relaxed);
    }
}

/// Pinned host memory. Its address is asked for once: cudarc would call the driver each time.
pub(super) struct Pinned {
    memory: PinnedHostSlice<u8>,
    address: usize,
}

impl Pinned {
    fn new(mut memory: PinnedHostSlice<u8>) -> Result<Pinned, DriverError> {
        let address = memory.as_mut_ptr()?.addr();
        Ok(Pinned { memory, address })
    }

    pub(super) fn bytes(&self) -> usize {
        self.memory.len()
    }

    /// The first byte. Who writes there, or reads, must be ordered with the copies from and to it.
    pub(super) fn start(&self) -> *mut u8 {
        std::ptr::with_exposed_provenance_mut(self.address)
    }
}

/// An opened device. All kernels run on `compute`, in the order of their launches; batches come in on `copy`.
pub(crate) struct Context {
    pub(super) cuda: Arc<CudaContext>,
    pub(super) compute: Arc<CudaStream>,
    pub(super) copy: Arc<CudaStream>,
    pub(super) info: CudaInfo,
    /// How often memory was given back: what knows addresses asks whether they still hold.
    freed: Arc<AtomicU64>,
    /// Of the kernels that it gets.
    pub(super) architecture: Architecture,
    /// What exact scans by sm_90a's kernels read.
    pub(super) scan_form: Form,
}

impl Context {
    /// Opens device `ordinal`.
    ///
    /// # Errors
    /// [`Error::CudaUnavailable`] where [`probe`] says so, and as [`Architecture::of`] and [`Form::of`];
    /// [`Error::Cuda`].
    pub(super) fn open(ordinal: usize) -> Result<Context> {
        probe(ordinal).map_err(|reason| Error::CudaUnavailable { reason })?;
        let op = |op: &'static str| move |e: DriverError| cuda_error(op, e);
        let cuda = CudaContext::new(ordinal).map_err(op("open the device"))?;
        // SAFETY: every buffer is used on the streams below alone, and `upload` orders these two by its own events.
        unsafe { cuda.disable_event_tracking() };
        let compute = cuda.new_stream().map_err(op("make a stream"))?;
        let copy = cuda.new_stream().map_err(op("make a stream"))?;
        keep_freed_memory(&cuda).map_err(op("set up the memory pool"))?;
        let mut info = info(&cuda).map_err(op("read the device's attributes"))?;
        let architecture = Architecture::of(&info)?;
        info.kernels_for = architecture.name();
        let scan_form = Form::of(architecture)?;
        Ok(Context { cuda, compute, copy, info, architecture, scan_form, freed: Arc::default() })
    }

    /// Makes the device this thread's.
    pub(super) fn bind(&self) -> Result<()> {
        self.check("bind the device to the thread", self.cuda.bind_to_thread())
    }

    pub(super) fn check<T>(&self, op: &str, result: Result<T, DriverError>) -> Result<T> {
        result.map_err(|e| cuda_error(op, e))
    }

    /// `bytes` of memory (at least one), not initialised.
    pub(super) fn alloc(&self, bytes: usize) -> Result<DeviceMemory> {
        // SAFETY: bytes have no invalid values; whoever asks writes before it reads (the virtual GPU holds us to it).
        let memory = unsafe { self.compute.alloc::<u8>(bytes.max(1)) };
        let memory = memory.map_err(|e| match e.0 {
            sys::CUresult::CUDA_ERROR_OUT_OF_MEMORY => Error::DeviceMemory {
                device: format!("cuda:{}", self.info.ordinal),
                what: "a buffer".into(),
                needed: bytes as u64,
                free: self.cuda.mem_get_info().map_or(0, |(free, _)| free as u64),
            },
            _ => cuda_error(&format!("allocate {bytes} bytes"), e),
        })?;
        let address = memory.device_ptr(memory.stream()).0;
        Ok(DeviceMemory { memory, address, freed: Arc::clone(&self.freed) })
    }

    /// How often memory was given back so far.
    pub(super) fn freed(&self) -> u64 {
        self.freed.load(Ordering::Relaxed)
    }

    /// `bytes` of pinned host memory that the host only writes.
    pub(super) fn pinned(&self, bytes: usize) -> Result<Pinned> {
        // SAFETY: bytes have no invalid values, and `upload` sends only what it has written.
        let memory = unsafe { self.cuda.alloc_pinned::<u8>(bytes.max(1)) };
        self.check(&format!("pin {bytes} bytes of host memory"), memory.and_then(Pinned::new))
    }

    /// `bytes` of pinned host memory that the device writes and the host reads.
    pub(super) fn pinned_to_read(&self, bytes: usize) -> Result<Pinned> {
        // SAFETY: bytes have no invalid values; `readback` and `room` read only what a copy has written.
        let memory = unsafe { self.cuda.alloc_pinned_with_flags::<u8>(bytes, 0) };
        self.check("pin host memory", memory.and_then(Pinned::new))
    }

    /// Records what is queued on the stream. The device must be this thread's ([`bind`](Context::bind)).
    pub(super) fn record(&self, event: &CudaEvent, stream: &CudaStream) -> Result<()> {
        // SAFETY: both are of this context and live.
        self.check("record an event", unsafe { result::event::record(event.cu_event(), stream.cu_stream()) })
    }

    /// Has the compute stream wait for what was recorded. The device must be this thread's.
    pub(super) fn compute_waits(&self, event: &CudaEvent) -> Result<()> {
        let (stream, flags) = (self.compute.cu_stream(), sys::CUevent_wait_flags::CU_EVENT_WAIT_DEFAULT);
        // SAFETY: both are of this context and live.
        self.check("wait for a copy", unsafe { result::stream::wait_event(stream, event.cu_event(), flags) })
    }

    /// Has the host wait for what was recorded. The device must be this thread's.
    pub(super) fn host_waits(&self, event: &CudaEvent) -> Result<()> {
        // SAFETY: the event is of this context and lives.
        self.check("run queued kernels", unsafe { result::event::synchronize(event.cu_event()) })
    }

    pub(super) fn event(&self) -> Result<CudaEvent> {
        self.check("make an event", self.cuda.new_event(None))
    }

    /// Waits for all queued work.
    pub(super) fn synchronize(&self) -> Result<()> {
        self.check("copy to the device", self.copy.synchronize())?;
        self.check("run queued kernels", self.compute.synchronize())
    }
}

/// Whether the device can be used, or why not. Calls into the driver only once its library was found.
pub(crate) fn probe(ordinal: usize) -> Result<(), String> {
    // SAFETY: the call opens the library by name and closes it again; it calls no function of the driver.
    let present = unsafe { sys::is_culib_present() };
    if !present {
        return Err("no NVIDIA driver on this host (libcuda was not found)".into());
    }
    let words = |e: DriverError| cuda_error("", e).to_string();
    result::init().map_err(|e| format!("the NVIDIA driver failed to start: {}", words(e)))?;
    let count = result::device::get_count().map_err(words)?;
    if ordinal >= usize::try_from(count).unwrap_or(0) {
        return Err(format!("this host has {count} CUDA device(s): there is no cuda:{ordinal}"));
    }
    let device = result::device::get(ordinal as i32).map_err(words)?;
    let major = sys::CUdevice_attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR;
    // SAFETY: the device was just given by the driver.
    let major = unsafe { result::device::get_attribute(device, major) }.map_err(words)?;
    if major < 8 {
        let minimum = "Tercel's kernels need 8.0 (Ampere) or newer";
        return Err(format!("cuda:{ordinal} has compute capability {major}.x; {minimum}"));
    }
    Ok(())
}

/// Asks the driver.
fn info(cuda: &Arc<CudaContext>) -> Result<CudaInfo, DriverError> {
    let get = |what| cuda.attribute(what).map(|value| value.max(0) as u32);
    let (major, minor) = cuda.compute_capability()?;
    let (free, total) = cuda.mem_get_info()?;
    Ok(CudaInfo {
        ordinal: cuda.ordinal(),
        name: cuda.name()?,
        compute_capability: (major * 10 + minor) as u32,
        multiprocessors: get(Attribute::CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT)?,
        shared_bytes_per_block: get(Attribute::CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN)?,
        clock_khz: get(Attribute::CU_DEVICE_ATTRIBUTE_CLOCK_RATE)?,
        memory_clock_khz: get(Attribute::CU_DEVICE_ATTRIBUTE_MEMORY_CLOCK_RATE)?,
        memory_bus_bits: get(Attribute::CU_DEVICE_ATTRIBUTE_GLOBAL_MEMORY_BUS_WIDTH)?,
        memory_bytes: total as u64,
        memory_free_bytes: free as u64,
        driver_version: driver_version()?,
        kernels_from: "embedded",
        kernels_for: Architecture::Sm80.name(),
    })
}

/// The CUDA version that the driver serves. The library must be there ([`probe`]).
pub(super) fn driver_version() -> Result<u32, DriverError> {
    let mut version = 0;
    // SAFETY: the call writes one integer to the address that it is given.
    unsafe { sys::cuDriverGetVersion(&mut version) }.result()?;
    Ok(version.max(0) as u32)
}

/// Without this the pool gives freed memory back to the system at every synchronisation, and each step would map it
/// again.
fn keep_freed_memory(cuda: &Arc<CudaContext>) -> Result<(), DriverError> {
    if !cuda.has_async_alloc() {
        return Ok(());
    }
    let mut keep = u64::MAX;
    let threshold = sys::CUmemPool_attribute::CU_MEMPOOL_ATTR_RELEASE_THRESHOLD;
    // SAFETY: the device is open; the attribute takes the address of one u64, which outlives the call.
    unsafe {
        let pool = result::device::get_default_mem_pool(cuda.cu_device())?;
        result::mem_pool::set_attribute(pool, threshold, std::ptr::from_mut(&mut keep).cast())
    }
}

/// The driver's words for an error. The driver is there: otherwise no call could have failed.
pub(super) fn cuda_error(op: &str, error: DriverError) -> Error {
    let text = |found: Result<&std::ffi::CStr, DriverError>| {
        found.map_or_else(|_| String::new(), |text| text.to_string_lossy().into_owned())
    };
    let (name, words) = (text(error.error_name()), text(error.error_string()));
    Error::Cuda { op: op.to_owned(), message: format!("{words} ({name}, {})", error.0 as u32) }
}
