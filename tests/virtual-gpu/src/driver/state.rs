//! The driver's state: contexts, handles, and the lock around them.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::ThreadId;

use super::buffers::Buffers;
use super::clock::Clock;
use super::counts::Counts;
use super::device::DeviceModel;
use super::error::*;
use super::graph::capture::Capture;
use super::graph::{Exec, Graph};
use super::host::HostProbe;
use super::journal::{Finding, Journal};
use super::module::{Function, ModuleEntry};
use super::settings::{Settings, StreamMode};
use super::stream::{Event, Stream};
use crate::memory::Memory;

/// The handle of the device's primary context: the same each time it is retained, as with CUDA.
pub const PRIMARY: usize = 0xc0_0000_0000;

/// A context.
#[derive(Debug)]
pub struct Context {
    /// Slot of its default stream.
    pub default_slot: usize,
    /// The error that ended it; every later call returns it.
    pub sticky: Option<CUresult>,
    /// How often the primary context was retained; 1 for others.
    pub retained: u32,
    /// Creation flags.
    pub flags: u32,
    /// The per-thread default streams made so far.
    pub thread_slots: HashMap<ThreadId, usize>,
}

/// Everything the driver knows.
pub struct Driver {
    /// What the environment asked for.
    pub settings: Settings,
    /// The device shown.
    pub model: DeviceModel,
    /// Device memory.
    pub memory: Memory,
    /// The report.
    pub journal: Journal,
    /// Contexts by handle.
    pub contexts: BTreeMap<usize, Context>,
    /// Streams by slot.
    pub streams: Vec<Stream>,
    /// Events by handle.
    pub events: HashMap<usize, Event>,
    /// Modules by handle.
    pub modules: HashMap<usize, ModuleEntry>,
    /// Functions by handle.
    pub functions: HashMap<usize, Function>,
    /// Memory pools by handle, with the release threshold of each.
    pub pools: HashMap<usize, u64>,
    /// Device allocations.
    pub device: Buffers,
    /// Pinned host memory.
    pub pinned: Buffers,
    /// What the host has waited for. All host threads share it: an order between them cannot be seen from here.
    pub host: Clock,
    /// Reads what callers point to.
    pub probe: HostProbe,
    /// State of the random stream order.
    pub random: u64,
    /// Operations put in so far, over all streams.
    pub ops: u64,
    /// Calls of each [`super::sabotage::Ordering`] so far.
    pub ordering_calls: [u64; 4],
    /// Streams made so far, for their names.
    pub streams_made: u64,
    /// Graphs by handle.
    pub graphs: HashMap<usize, Graph>,
    /// Graphs made so far, for their names.
    pub graphs_made: u64,
    /// Executable graphs by handle.
    pub execs: HashMap<usize, Exec>,
    /// Captures under way, by number.
    pub captures: BTreeMap<u64, Capture>,
    /// Captures begun so far.
    pub captures_made: u64,
    /// What was asked for so far.
    pub counts: Counts,
    next_handle: usize,
}

/// The kinds of handles; each has its own range of values, so a handle of one kind is never taken for another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// CUcontext.
    Context = 0xc1,
    /// CUstream.
    Stream = 0x51,
    /// CUevent.
    Event = 0xe7,
    /// CUmodule.
    Module = 0x30,
    /// CUfunction.
    Function = 0xf0,
    /// CUmemoryPool.
    Pool = 0x90,
    /// CUgraph.
    Graph = 0x6a,
    /// CUgraphNode.
    Node = 0x6b,
    /// CUgraphExec.
    Exec = 0x6c,
}

impl Driver {
    /// A driver with nothing in it.
    pub fn new(settings: Settings) -> Result<Driver, String> {
        let journal = Journal::open(settings.report.as_deref(), settings.allow.as_deref(), settings.print)?;
        let random = match settings.streams {
            StreamMode::Random(seed) => seed,
            _ => 0,
        };
        Ok(Driver {
            model: DeviceModel::new(&settings),
            memory: Memory::new(settings.memory_bytes),
            journal,
            contexts: BTreeMap::new(),
            streams: Vec::new(),
            events: HashMap::new(),
            modules: HashMap::new(),
            functions: HashMap::new(),
            pools: HashMap::new(),
            device: Buffers::default(),
            pinned: Buffers::default(),
            host: Clock::default(),
            probe: HostProbe::new().map_err(|e| format!("no pipe: {e}"))?,
            random,
            ops: 0,
            ordering_calls: [0; 4],
            streams_made: 0,
            graphs: HashMap::new(),
            graphs_made: 0,
            execs: HashMap::new(),
            captures: BTreeMap::new(),
            captures_made: 0,
            counts: Counts::default(),
            next_handle: 0,
            settings,
        })
    }

    /// A handle that was never given out before.
    pub fn new_handle(&mut self, kind: Kind) -> usize {
        self.next_handle += 1;
        ((kind as usize) << 32) | (self.next_handle << 4)
    }

    /// Notes that the host did something wrong, and returns the error for it.
    pub fn wrong<T>(&mut self, kind: &str, text: String, code: CUresult) -> Outcome<T> {
        self.journal.warn(kind, text);
        Err(CudaError(code))
    }

    /// Notes a wrong use that concerns a kernel, and returns the error for it.
    pub fn wrong_launch<T>(&mut self, kernel: &str, text: String, code: CUresult) -> Outcome<T> {
        let finding = Finding { kind: "bad launch".into(), kernel: kernel.into(), text };
        self.journal.find("warning", finding);
        Err(CudaError(code))
    }

    /// The current context, which may have ended by an error.
    pub fn current_any(&self) -> Outcome<usize> {
        let handle = current().ok_or(CudaError(CUDA_ERROR_INVALID_CONTEXT))?;
        match self.contexts.contains_key(&handle) {
            true => Ok(handle),
            false => Err(CudaError(CUDA_ERROR_CONTEXT_IS_DESTROYED)),
        }
    }

    /// The current context; the error that ended it, if one did.
    pub fn current(&self) -> Outcome<usize> {
        let handle = self.current_any()?;
        self.alive(handle)?;
        Ok(handle)
    }

    /// Whether the context still works.
    pub fn alive(&self, context: usize) -> Outcome {
        match self.contexts.get(&context).and_then(|c| c.sticky) {
            Some(code) => Err(CudaError(code)),
            None => Ok(()),
        }
    }
}

static DRIVER: Mutex<Option<Driver>> = Mutex::new(None);

thread_local! {
    static CURRENT: RefCell<Vec<usize>> = const { RefCell::new(Vec::new()) };
}

/// The context on top of the thread's stack.
pub fn current() -> Option<usize> {
    CURRENT.with_borrow(|stack| stack.last().copied()).filter(|&handle| handle != 0)
}

/// Replaces the top of the thread's stack; 0 for none.
pub fn set_current(handle: usize) {
    CURRENT.with_borrow_mut(|stack| {
        stack.pop();
        if handle != 0 {
            stack.push(handle);
        }
    });
}

/// Pushes a context on the thread's stack.
pub fn push_current(handle: usize) {
    CURRENT.with_borrow_mut(|stack| stack.push(handle));
}

/// Pops the thread's stack.
pub fn pop_current() -> Option<usize> {
    CURRENT.with_borrow_mut(Vec::pop)
}

fn lock() -> MutexGuard<'static, Option<Driver>> {
    // A panic while the lock is held is a bug of ours; what is left is still the best there is to report from.
    DRIVER.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Starts the driver by the environment, unless it runs.
pub fn initialise() -> Outcome {
    let mut driver = lock();
    if driver.is_none() {
        match Settings::from_env().and_then(Driver::new) {
            Ok(started) => {
                super::exit::register();
                *driver = Some(started);
            }
            Err(reason) => {
                eprintln!("virtual GPU: {reason}");
                return Err(CudaError(CUDA_ERROR_INVALID_VALUE));
            }
        }
    }
    Ok(())
}

/// Starts a driver with `settings` in place of the running one: for tests that live in one process with it.
pub fn restart(settings: Settings) -> Result<(), String> {
    let started = Driver::new(settings)?;
    CURRENT.with_borrow_mut(Vec::clear);
    *lock() = Some(started);
    Ok(())
}

/// Runs `f` on the driver.
pub fn with<T>(f: impl FnOnce(&mut Driver) -> Outcome<T>) -> Outcome<T> {
    match lock().as_mut() {
        Some(driver) => f(driver),
        None => Err(CudaError(CUDA_ERROR_NOT_INITIALIZED)),
    }
}

/// Runs `f` on the driver for a C caller, and counts the call. The closure's type has the function's name in it.
pub fn call<F: FnOnce(&mut Driver) -> Outcome>(f: F) -> CUresult {
    code(with(|driver| {
        driver.counts.call(std::any::type_name::<F>());
        f(driver)
    }))
}

/// The code of an outcome.
pub fn code(outcome: Outcome) -> CUresult {
    match outcome {
        Ok(()) => CUDA_SUCCESS,
        Err(CudaError(code)) => code,
    }
}

/// Runs `f` on the driver if it runs and nobody holds it: for the end of the process, when other threads may.
pub fn at_exit<T>(f: impl FnOnce(&mut Driver) -> T) -> Option<T> {
    for _ in 0..200 {
        match DRIVER.try_lock() {
            Ok(mut driver) => return driver.as_mut().map(f),
            Err(std::sync::TryLockError::Poisoned(held)) => return held.into_inner().as_mut().map(f),
            Err(std::sync::TryLockError::WouldBlock) => std::thread::sleep(std::time::Duration::from_millis(10)),
        }
    }
    eprintln!("virtual GPU: a thread still runs a kernel at exit; no final report");
    None
}
