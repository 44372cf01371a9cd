//! Contexts: made, retained, released, and what is left in them then.

use std::collections::HashMap;

use super::allocate::release_pinned;
use super::buffers::{Buffers, Origin};
use super::error::*;
use super::state::{self, Context, Driver, Kind, PRIMARY};

impl Driver {
    /// Retains the primary context.
    pub fn retain_primary(&mut self) -> usize {
        match self.contexts.get_mut(&PRIMARY) {
            Some(context) => context.retained += 1,
            None => self.insert_context(PRIMARY, 0),
        }
        PRIMARY
    }

    /// Releases the primary context; the last release destroys it.
    pub fn release_primary(&mut self) -> Outcome {
        let Some(context) = self.contexts.get_mut(&PRIMARY) else {
            let text = "cuDevicePrimaryCtxRelease: the primary context is not retained".to_owned();
            return self.wrong("context misuse", text, CUDA_ERROR_INVALID_CONTEXT);
        };
        context.retained -= 1;
        if context.retained == 0 {
            self.destroy_context(PRIMARY);
        }
        Ok(())
    }

    /// Makes a context.
    pub fn new_context(&mut self, flags: u32) -> usize {
        let handle = self.new_handle(Kind::Context);
        self.insert_context(handle, flags);
        handle
    }

    fn insert_context(&mut self, handle: usize, flags: u32) {
        let context = Context { default_slot: 0, sticky: None, retained: 1, flags, thread_slots: HashMap::new() };
        self.contexts.insert(handle, context);
        let slot = self.new_stream(handle, Some("the default stream"), true, 0);
        if let Some(context) = self.contexts.get_mut(&handle) {
            context.default_slot = slot;
        }
    }

    /// Ends a context: all that is queued runs, what was not freed is reported, and everything in it goes.
    pub fn destroy_context(&mut self, handle: usize) {
        // What a program leaves behind after an error is not worth a word.
        if self.synchronise_context(handle).is_ok() {
            self.report_leaks(handle);
        }
        for buffer in self.device.drop_context(handle) {
            if buffer.origin != Origin::Module
                && let Err(e) = self.memory.free(buffer.base)
            {
                self.journal.warn("invalid free", e.to_string());
            }
        }
        for buffer in self.pinned.drop_context(handle) {
            release_pinned(&buffer);
        }
        let modules: Vec<usize> =
            self.modules.iter().filter(|(_, m)| m.module.context == handle).map(|(&at, _)| at).collect();
        for module in modules {
            self.forget_module(module);
        }
        self.drop_graphs(handle);
        self.events.retain(|_, event| event.context != handle);
        for stream in self.streams.iter_mut().filter(|s| s.context == handle) {
            (stream.handle, stream.captured) = (0, None);
        }
        self.contexts.remove(&handle);
    }

    /// Takes a module out of the tables, with its functions and variables.
    pub fn forget_module(&mut self, handle: usize) {
        let Some(entry) = self.modules.remove(&handle) else { return };
        self.functions.retain(|_, function| function.module != handle);
        let variables: Vec<u64> = self
            .device
            .iter()
            .filter(|b| b.origin == Origin::Module && entry.variables.contains(&b.base))
            .map(|b| b.base)
            .collect();
        for base in variables {
            self.device.remove(base, &"cuModuleUnload".into());
        }
        if let Err(e) = entry.module.ptx.unload(&self.memory) {
            self.journal.warn("invalid free", e.to_string());
        }
    }

    /// Reports what was made in a context and never freed.
    pub fn report_leaks(&mut self, context: usize) -> Vec<String> {
        let buffers = |table: &Buffers, name: &str| {
            let left: Vec<u64> = table
                .iter()
                .filter(|b| b.context == context && b.origin != Origin::Module && b.freed_by.is_none())
                .map(|b| b.bytes)
                .collect();
            let shown: Vec<String> = left.iter().take(8).map(u64::to_string).collect();
            let more = if left.len() > shown.len() { ", ..." } else { "" };
            (!left.is_empty()).then(|| {
                let total: u64 = left.iter().sum();
                format!("{} {name} never freed, {total} bytes ({}{more})", left.len(), shown.join(", "))
            })
        };
        let made = |left: usize, name: &str, end: &str| (left > 0).then(|| format!("{left} {name} never {end}"));
        let streams = self
            .streams
            .iter()
            .filter(|s| s.context == context && s.handle != 0 && s.name.starts_with("stream"))
            .count();
        let events = self.events.values().filter(|e| e.context == context).count();
        let modules = self.modules.values().filter(|m| m.module.context == context).count();
        let captures = self.captures.values().filter(|c| c.context == context).count();
        // The graph of an unfinished capture is not the program's yet.
        let graphs = self.graphs.values().filter(|g| g.context == context).count() - captures;
        let execs = self.execs.values().filter(|e| e.context == context).count();
        let leaks: Vec<String> = [
            buffers(&self.device, "device allocations"),
            buffers(&self.pinned, "pinned buffers"),
            made(streams, "streams", "destroyed"),
            made(events, "events", "destroyed"),
            made(modules, "modules", "unloaded"),
            made(captures, "captures", "ended"),
            made(graphs, "graphs", "destroyed"),
            made(execs, "executable graphs", "destroyed"),
        ]
        .into_iter()
        .flatten()
        .collect();
        for leak in &leaks {
            self.journal.warn("leak", leak.clone());
        }
        leaks
    }

    /// The slot of the stream that a handle names in the current context: 0 and 1 are the default stream, 2 is the
    /// calling thread's.
    pub fn stream(&mut self, call: &str, handle: usize) -> Outcome<usize> {
        let context = self.current()?;
        match handle {
            0 | 1 => {
                self.refuse_default_stream(call, context)?;
                Ok(self.contexts[&context].default_slot)
            }
            2 => {
                let thread = std::thread::current().id();
                if let Some(&slot) = self.contexts[&context].thread_slots.get(&thread) {
                    return Ok(slot);
                }
                let slot = self.new_stream(context, Some("the thread's default stream"), true, 0);
                if let Some(c) = self.contexts.get_mut(&context) {
                    c.thread_slots.insert(thread, slot);
                }
                Ok(slot)
            }
            _ => match self.streams.iter().position(|s| s.handle == handle) {
                Some(slot) if self.streams[slot].context == context => Ok(slot),
                Some(_) => {
                    let text = format!("{call}: the stream belongs to another context");
                    self.wrong("stream misuse", text, CUDA_ERROR_INVALID_CONTEXT)
                }
                None => {
                    let text = format!("{call}: {handle:#x} is no stream, or one that was destroyed");
                    self.wrong("stream misuse", text, CUDA_ERROR_INVALID_HANDLE)
                }
            },
        }
    }

    /// Makes a context the calling thread's current one; 0 for none.
    pub fn make_current(&mut self, handle: usize) -> Outcome {
        if handle != 0 && !self.contexts.contains_key(&handle) {
            let text = format!("cuCtxSetCurrent: {handle:#x} is no context, or one that was destroyed");
            return self.wrong("context misuse", text, CUDA_ERROR_INVALID_CONTEXT);
        }
        state::set_current(handle);
        Ok(())
    }
}
