//! Steps that were queued before are queued again with one call: as a CUDA graph.
//!
//! What a step queues is decided by its key and by where its inputs were staged; all else that differs between batches comes
//! with the inputs. The first time it is queued as it is: kernels are loaded, descriptions reach the device, and the arena
//! learns how much memory it takes. The second time it is captured, and from then on replayed. A recording holds addresses:
//! when memory was given back that is not the arena's, all recordings go.

use std::collections::{HashMap, HashSet};
use std::ffi::OsStr;
use std::sync::{Arc, MutexGuard, PoisonError};

use cudarc::driver::{result, sys};

use super::Cuda;
use super::arena::Replayed;
use super::context::{Context, DeviceMemory};
use super::upload::Chunk;
use crate::{Error, Result};

/// The setting's name.
const NAME: &str = "TERCEL_GRAPHS";
/// Recordings that are kept. Beyond it, steps are queued as they are.
const MOST: usize = 64;

/// The steps known so far.
pub(super) struct Replays {
    recordings: HashMap<u128, Recording>,
    /// Steps that were queued once.
    seen: HashSet<u128>,
    now: Now,
    /// Whether steps are captured: until the driver refuses it, or where `TERCEL_GRAPHS=off` asks not to.
    pub(super) captures: bool,
    /// [`Context::freed`] as it was when the recordings were made.
    freed: u64,
    words: Vec<u64>,
}

/// What is under way.
enum Now {
    Nothing,
    /// A step is queued as it is.
    Queued(u128),
    /// A step is captured.
    Captured(u128),
}

/// A captured step, and what its addresses point into.
struct Recording {
    graph: Graph,
    _arena: Option<Arc<DeviceMemory>>,
    _chunk: Option<Arc<Chunk>>,
}

/// An executable graph.
struct Graph {
    exec: sys::CUgraphExec,
}

// SAFETY: the handle is used by one thread at a time: all recordings are behind one lock.
unsafe impl Send for Graph {}

impl Graph {
    /// Makes the captured graph executable.
    fn new(context: &Context, graph: sys::CUgraph) -> Result<Graph> {
        // SAFETY: the graph was just captured and is destroyed here, once; the executable one does not need it.
        let exec = unsafe {
            let exec = result::graph::instantiate(graph, sys::CUgraphInstantiate_flags(0));
            context.check("release a captured step", result::graph::destroy(graph))?;
            exec
        };
        Ok(Graph { exec: context.check("make a captured step executable", exec)? })
    }

    fn launch(&self, context: &Context) -> Result<()> {
        // SAFETY: the graph is executable and lives; the addresses in it hold, since nothing was given back since it was
        // captured (`Replays::forget_stale`) and it keeps its arena and staging area.
        context.check("replay a step", unsafe { result::graph::launch(self.exec, context.compute.cu_stream()) })
    }
}

impl Drop for Graph {
    fn drop(&mut self) {
        // SAFETY: made by `new`, destroyed once. What it does is done: `forget` waits. An error would be the device's, and
        // was reported by the call that met it first.
        let _ = unsafe { result::graph::exec_destroy(self.exec) };
    }
}

impl Replays {
    /// # Errors
    /// [`Error::Config`] for a word in `TERCEL_GRAPHS` that is neither `on` nor `off`.
    pub(super) fn new() -> Result<Replays> {
        Ok(Replays {
            recordings: HashMap::new(),
            seen: HashSet::new(),
            now: Now::Nothing,
            captures: asked(std::env::var_os(NAME).as_deref())?,
            freed: 0,
            words: Vec::new(),
        })
    }

    /// Drops what was recorded, once it is done.
    fn forget(&mut self, context: &Context) -> Result<()> {
        if !self.recordings.is_empty() {
            context.check("run queued kernels", context.compute.synchronize())?;
        }
        self.recordings.clear();
        self.seen.clear();
        Ok(())
    }
}

/// Whether the setting asks for captures: `on`, or nothing.
fn asked(word: Option<&OsStr>) -> Result<bool> {
    match word.map(OsStr::to_string_lossy).as_deref() {
        None | Some("" | "on") => Ok(true),
        Some("off") => Ok(false),
        Some(other) => Err(Error::config(NAME, format!("`{other}` is not one of on, off"))),
    }
}

impl Cuda {
    fn replays(&self) -> MutexGuard<'_, Replays> {
        self.replays.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// See [`Queue::replay`](crate::backend::Queue::replay).
    pub(super) fn replay_or_record(&self, key: &[u64]) -> Result<bool> {
        let context = &self.context;
        let mut replays = self.replays();
        let replays = &mut *replays;
        {
            let mut uploads = self.uploads();
            uploads.flush(context)?;
            uploads.bind(context)?;
            replays.words.clear();
            replays.words.push(uploads.turn() as u64);
            replays.words.push(key.len() as u64);
            replays.words.extend_from_slice(key);
            replays.words.extend_from_slice(uploads.places());
        }
        let id = xxhash_rust::xxh3::xxh3_128(bytemuck::cast_slice(&replays.words));
        if replays.freed != context.freed() {
            replays.forget(context)?;
            self.resident.lock().unwrap_or_else(PoisonError::into_inner).clear();
            replays.freed = context.freed();
        }
        if let Some(recording) = replays.recordings.get(&id) {
            recording.graph.launch(context)?;
            return Ok(true);
        }
        self.arena.begin(Replayed(true));
        replays.now = Now::Queued(id);
        if replays.captures && replays.seen.contains(&id) && replays.recordings.len() < MOST {
            let mode = sys::CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_THREAD_LOCAL;
            // SAFETY: the stream is of this context and lives, and captures nothing yet.
            match unsafe { result::stream::begin_capture(context.compute.cu_stream(), mode) } {
                Ok(()) => replays.now = Now::Captured(id),
                Err(e) => replays.gives_up(&super::context::cuda_error("capture a step", e)),
            }
        }
        Ok(false)
    }

    /// See [`Queue::recorded`](crate::backend::Queue::recorded).
    pub(super) fn end_recording(&self, queued: Result<()>) -> Result<bool> {
        let context = &self.context;
        let mut replays = self.replays();
        match std::mem::replace(&mut replays.now, Now::Nothing) {
            Now::Nothing => queued.map(|()| true),
            Now::Queued(id) => {
                self.arena.end(context)?;
                queued?;
                // What was given back meanwhile was the operations' own.
                replays.freed = context.freed();
                if replays.captures && replays.seen.len() < 2 * MOST {
                    replays.seen.insert(id);
                }
                Ok(true)
            }
            Now::Captured(id) => {
                let captured = self.end_capture();
                self.arena.end(context)?;
                let graph = queued.and(captured).and_then(|graph| {
                    graph.launch(context)?;
                    Ok(graph)
                });
                match graph {
                    Ok(graph) => {
                        let (_arena, _chunk) = (self.arena.memory(), self.uploads().chunk());
                        replays.recordings.insert(id, Recording { graph, _arena, _chunk });
                        Ok(true)
                    }
                    Err(e) => {
                        replays.gives_up(&e);
                        Ok(false)
                    }
                }
            }
        }
    }

    fn end_capture(&self) -> Result<Graph> {
        // SAFETY: the stream is of this context, and its capture was begun by `replay_or_record`.
        let graph = unsafe { result::stream::end_capture(self.context.compute.cu_stream()) };
        let graph = self.context.check("capture a step", graph)?;
        if graph.is_null() {
            let message = "the driver gave no graph".into();
            return Err(Error::Cuda { op: "capture a step".into(), message });
        }
        Graph::new(&self.context, graph)
    }

    /// Ends a recording whose step was given up for an error.
    pub(super) fn abandon_recording(&self) -> Result<()> {
        let mut replays = self.replays();
        let now = std::mem::replace(&mut replays.now, Now::Nothing);
        if let Now::Captured(_) = now {
            // What was captured is not run.
            drop(self.end_capture());
        }
        if matches!(now, Now::Nothing) { Ok(()) } else { self.arena.end(&self.context) }
    }

    /// Drops all recordings: the device is done.
    pub(super) fn drop_recordings(&self) -> Result<()> {
        self.abandon_recording()?;
        self.replays().forget(&self.context)
    }
}

impl Replays {
    fn gives_up(&mut self, error: &Error) {
        tracing::warn!(%error, "steps are not captured: each kernel is launched by itself");
        self.captures = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn graphs_are_on_unless_they_are_off() {
        let asked = |word: Option<&str>| super::asked(word.map(OsStr::new));
        assert_eq!(
            [None, Some(""), Some("on"), Some("off")].map(|word| asked(word).unwrap()),
            [true, true, true, false]
        );
        for word in ["0", "no", "OFF", "false"] {
            let error = asked(Some(word)).unwrap_err();
            assert!(matches!(&error, Error::Config { .. }) && error.to_string().contains("on, off"), "{error}");
        }
    }
}
