//! Streams, events and the operations that wait in them.

use std::collections::VecDeque;
use std::sync::Arc;

use super::clock::Clock;
use super::graph::capture::Place;
use super::module::LoadedModule;

/// An operation of a stream: its slot and number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpId {
    /// Slot of the stream.
    pub slot: usize,
    /// Number in the stream, from 1.
    pub seq: u64,
}

/// Where a copy to the device takes its bytes from.
#[derive(Clone, Debug)]
pub enum Source {
    /// Pageable memory, copied at the call as CUDA stages it.
    Staged(Vec<u8>),
    /// Pinned memory, read when the copy runs.
    Pinned {
        /// Host address.
        address: usize,
        /// Bytes.
        bytes: usize,
        /// Checksum of the bytes at the call.
        checksum: u64,
        /// Base of the pinned buffer.
        base: u64,
    },
}

impl Source {
    /// How many bytes.
    pub fn bytes(&self) -> u64 {
        match self {
            Source::Staged(bytes) => bytes.len() as u64,
            Source::Pinned { bytes, .. } => *bytes as u64,
        }
    }
}

/// A kernel launch that waits.
#[derive(Clone, Debug)]
pub struct QueuedLaunch {
    /// The module.
    pub module: Arc<LoadedModule>,
    /// The kernel's name.
    pub kernel: String,
    /// Blocks (x, y, z).
    pub grid: [u32; 3],
    /// Threads per block (x, y, z).
    pub block: [u32; 3],
    /// Dynamic shared memory, bytes.
    pub dynamic_shared: u32,
    /// The parameter block.
    pub params: Vec<u8>,
}

/// What an operation does.
#[derive(Clone, Debug)]
pub enum Action {
    /// Copies host bytes to the device.
    HostToDevice {
        /// Device address.
        to: u64,
        /// The bytes.
        from: Source,
    },
    /// Copies device bytes to the host.
    DeviceToHost {
        /// Host address.
        to: usize,
        /// Device address.
        from: u64,
        /// Bytes.
        bytes: usize,
        /// Base of the pinned buffer, if the target is one.
        pinned: Option<u64>,
    },
    /// Copies within the device.
    DeviceToDevice {
        /// Device address.
        to: u64,
        /// Device address.
        from: u64,
        /// Bytes.
        bytes: u64,
    },
    /// Sets device memory.
    Fill {
        /// Device address.
        to: u64,
        /// The value, in the low bytes.
        value: u32,
        /// Bytes of an element: 1, 2 or 4.
        width: u32,
        /// Elements.
        count: u64,
    },
    /// Runs a kernel.
    Launch(Box<QueuedLaunch>),
    /// Frees a device allocation.
    Free {
        /// Device address.
        base: u64,
    },
    /// Calls a function of the host.
    Host {
        /// The function.
        function: extern "C" fn(*mut std::ffi::c_void),
        /// Its argument.
        data: usize,
    },
    /// An event recorded or waited for: nothing to do, only an order.
    Mark,
}

impl Action {
    /// Whether somebody has to wait for the result: neither a mark nor a free.
    pub fn is_work(&self) -> bool {
        !matches!(self, Action::Mark | Action::Free { .. })
    }
}

/// A queued operation.
#[derive(Debug)]
pub struct Op {
    /// Which one.
    pub id: OpId,
    /// Number among all streams' operations, in the order of the calls.
    pub order: u64,
    /// In words, with its stream.
    pub what: Arc<str>,
    /// Context it runs in.
    pub context: usize,
    /// All that happens before it, itself included.
    pub clock: Clock,
    /// Operations of other streams to be done first.
    pub waits: Vec<OpId>,
    /// What it does.
    pub action: Action,
}

/// A stream.
#[derive(Debug)]
pub struct Stream {
    /// The handle; 0 once destroyed.
    pub handle: usize,
    /// The context it belongs to.
    pub context: usize,
    /// For messages: `stream 3`.
    pub name: String,
    /// Whether it keeps step with the default stream.
    pub blocking: bool,
    /// Priority asked for.
    pub priority: i32,
    /// Waiting operations.
    pub queue: VecDeque<Op>,
    /// Number of the last operation put in.
    pub issued: u64,
    /// Number of the last operation done.
    pub completed: u64,
    /// What happens before the next operation.
    pub clock: Clock,
    /// The last operation whose result somebody has to wait for.
    pub last_work: Option<(OpId, Arc<str>)>,
    /// Where it stands in a capture, if it is in one.
    pub captured: Option<Place>,
}

/// What an event was recorded after.
#[derive(Clone, Debug)]
pub struct Recorded {
    /// The mark in the stream.
    pub op: OpId,
    /// All that happened before.
    pub clock: Clock,
}

/// An event.
#[derive(Debug)]
pub struct Event {
    /// The context it belongs to.
    pub context: usize,
    /// Whether elapsed times may be asked for.
    pub timing: bool,
    /// The last record, if any.
    pub recorded: Option<Recorded>,
    /// Where it was recorded in a capture, if that is the last record.
    pub captured: Option<Place>,
}
