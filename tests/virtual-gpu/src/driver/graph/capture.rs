//! Capture: streams whose work becomes the nodes of a graph, and what may not be called meanwhile.

use std::cell::Cell;
use std::thread::ThreadId;

use super::super::error::*;
use super::super::state::Driver;
use super::super::stream::{Action, OpId};

/// CUstreamCaptureMode: whose calls of what might disturb a capture are refused meanwhile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Those of all threads.
    Global,
    /// Those of the thread that captures.
    ThreadLocal,
    /// Nobody's.
    Relaxed,
}

impl Mode {
    /// The mode of CUDA's number.
    pub fn of(number: i32) -> Outcome<Mode> {
        match number {
            0 => Ok(Mode::Global),
            1 => Ok(Mode::ThreadLocal),
            2 => Ok(Mode::Relaxed),
            _ => Err(CudaError(CUDA_ERROR_INVALID_VALUE)),
        }
    }
}

thread_local! {
    static THREAD_MODE: Cell<Mode> = const { Cell::new(Mode::Global) };
}

/// Sets the calling thread's mode; the one it had.
pub fn exchange_thread_mode(mode: Mode) -> Mode {
    THREAD_MODE.replace(mode)
}

/// A capture under way.
#[derive(Debug)]
pub struct Capture {
    /// The graph it fills.
    pub graph: usize,
    /// Slot of the stream that it began on.
    pub origin: usize,
    /// Its context.
    pub context: usize,
    /// How it was begun.
    pub mode: Mode,
    /// Who began it.
    thread: ThreadId,
    /// What made it invalid.
    pub broken_by: Option<String>,
    /// The node handles that cuStreamGetCaptureInfo last pointed to.
    pub shown: Vec<usize>,
}

/// A place in a capture: of a stream that is captured, or of an event recorded in one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The capture's number.
    pub capture: u64,
    /// The nodes that the next one waits for.
    pub after: Vec<usize>,
}

impl Driver {
    /// Begins a capture.
    pub fn begin_capture(&mut self, slot: usize, mode: Mode) -> Outcome {
        let (context, name) = (self.streams[slot].context, self.streams[slot].name.clone());
        if slot == self.contexts[&context].default_slot {
            let text = "cuStreamBeginCapture: the default stream cannot be captured".to_owned();
            return self.wrong("capture misuse", text, CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED);
        }
        if self.streams[slot].captured.is_some() {
            let text = format!("cuStreamBeginCapture: {name} is being captured already");
            return self.wrong("capture misuse", text, CUDA_ERROR_ILLEGAL_STATE);
        }
        self.captures_made += 1;
        let (graph, thread) = (self.new_graph(context), std::thread::current().id());
        let capture = Capture { graph, origin: slot, context, mode, thread, broken_by: None, shown: Vec::new() };
        self.captures.insert(self.captures_made, capture);
        self.streams[slot].captured = Some(Place { capture: self.captures_made, after: Vec::new() });
        Ok(())
    }

    /// Ends a capture; the graph's handle.
    pub fn end_capture(&mut self, slot: usize) -> Outcome<usize> {
        let name = self.streams[slot].name.clone();
        let Some(place) = self.streams[slot].captured.clone() else {
            let text = format!("cuStreamEndCapture: {name} is not being captured");
            return self.wrong("capture misuse", text, CUDA_ERROR_ILLEGAL_STATE);
        };
        let capture = &self.captures[&place.capture];
        if capture.origin != slot {
            let origin = &self.streams[capture.origin].name;
            let text = format!("cuStreamEndCapture: the capture began on {origin}, not on {name}");
            self.break_capture(place.capture, &text);
            return self.wrong("capture misuse", text, CUDA_ERROR_STREAM_CAPTURE_UNMATCHED);
        }
        if capture.mode != Mode::Relaxed && capture.thread != std::thread::current().id() {
            let text = format!("cuStreamEndCapture: the capture of {name} was begun by another thread");
            return self.wrong("capture misuse", text, CUDA_ERROR_STREAM_CAPTURE_WRONG_THREAD);
        }
        let joined = self.reached_from(capture.graph, &place.after);
        let apart = self.streams.iter().find(|s| {
            let left = s.captured.as_ref().filter(|p| p.capture == place.capture);
            left.is_some_and(|p| p.after.iter().any(|&node| !joined[node]))
        });
        let apart = apart.map(|s| s.name.clone());
        for stream in &mut self.streams {
            stream.captured.take_if(|p| p.capture == place.capture);
        }
        let capture = self.captures.remove(&place.capture).expect("looked at just now");
        if capture.broken_by.is_some() || apart.is_some() {
            self.graphs.remove(&capture.graph);
        }
        match (capture.broken_by, apart) {
            // What broke it was told when it did.
            (Some(_), _) => Err(CudaError(CUDA_ERROR_STREAM_CAPTURE_INVALIDATED)),
            (None, Some(apart)) => {
                let text = format!("cuStreamEndCapture: {name} does not wait for the work captured on {apart}");
                self.wrong("unjoined capture", text, CUDA_ERROR_STREAM_CAPTURE_UNJOINED)
            }
            (None, None) => Ok(capture.graph),
        }
    }

    /// Which nodes of a graph are done once those of `after` are.
    fn reached_from(&self, graph: usize, after: &[usize]) -> Vec<bool> {
        let nodes = &self.graphs[&graph].nodes;
        let mut reached = vec![false; nodes.len()];
        after.iter().for_each(|&node| reached[node] = true);
        for node in (0..nodes.len()).rev() {
            if reached[node] {
                nodes[node].after.iter().for_each(|&before| reached[before] = true);
            }
        }
        reached
    }

    /// Puts work in a stream: in its queue, or as a node in the graph that its capture fills. `None` in a capture.
    pub fn put(&mut self, slot: usize, what: &str, action: Action) -> Outcome<Option<OpId>> {
        let Some(place) = self.streams[slot].captured.clone() else {
            self.counts.action(&action, false);
            return Ok(Some(self.submit(slot, what, Vec::new(), action)));
        };
        self.check_capture(slot)?;
        let graph = self.captures[&place.capture].graph;
        let node = self.add_node(graph, what, place.after, action);
        self.streams[slot].captured = Some(Place { capture: place.capture, after: vec![node] });
        Ok(None)
    }

    /// Whether a stream is being captured; an error when the capture was broken.
    pub fn check_capture(&self, slot: usize) -> Outcome<bool> {
        let capture = self.streams[slot].captured.as_ref().map(|place| &self.captures[&place.capture]);
        match capture {
            Some(capture) if capture.broken_by.is_some() => Err(CudaError(CUDA_ERROR_STREAM_CAPTURE_INVALIDATED)),
            capture => Ok(capture.is_some()),
        }
    }

    fn break_capture(&mut self, capture: u64, by: &str) {
        if let Some(capture) = self.captures.get_mut(&capture) {
            capture.broken_by.get_or_insert_with(|| by.to_owned());
        }
    }

    /// Refuses what a stream that is captured cannot do, and breaks the capture: a finding of `kind`.
    pub fn refuse_captured(&mut self, slot: usize, kind: &str, text: &str, code: CUresult) -> Outcome {
        let Some(place) = self.streams[slot].captured.clone() else { return Ok(()) };
        self.check_capture(slot)?;
        self.break_capture(place.capture, text);
        self.wrong(kind, text.to_owned(), code)
    }

    /// Refuses to wait for a stream that is captured.
    pub fn refuse_wait(&mut self, call: &str, slot: usize) -> Outcome {
        let text =
            format!("{call}: {} is being captured: nothing runs that could be waited for", self.streams[slot].name);
        self.refuse_captured(slot, "illegal call in a capture", &text, CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED)
    }

    /// Refuses to wait for an event that was recorded in a capture.
    pub fn refuse_captured_event(&mut self, call: &str, event: usize) -> Outcome {
        let Some(place) = self.events.get(&event).and_then(|e| e.captured.clone()) else { return Ok(()) };
        let text = format!("{call}: event {event:#x} was recorded in a capture, so it never happens");
        self.break_capture(place.capture, &text);
        self.wrong("illegal call in a capture", text, CUDA_ERROR_CAPTURED_EVENT)
    }

    /// Refuses a call that waits for all work of a context, some of which is captured.
    pub fn refuse_context_wait(&mut self, context: usize) -> Outcome {
        let hit = |c: &super::capture::Capture| c.context == context && c.broken_by.is_none();
        let text = "cuCtxSynchronize: a stream of the context is being captured";
        self.refuse_if(text, CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED, hit)
    }

    /// Refuses a call that CUDA calls unsafe while a capture is under way that does not allow for it.
    pub fn refuse_unsafe(&mut self, call: &str) -> Outcome {
        let (mode, me) = (THREAD_MODE.get(), std::thread::current().id());
        let hit = |c: &Capture| {
            let own = c.thread == me && c.mode != Mode::Relaxed;
            let anybodys = mode == Mode::Global && c.mode == Mode::Global;
            c.broken_by.is_none() && mode != Mode::Relaxed && (own || anybodys)
        };
        let text =
            format!("{call}: not while a stream is captured, unless the capture's or the thread's mode allows it");
        self.refuse_if(&text, CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED, hit)
    }

    /// Refuses the default stream while one that keeps step with it is captured.
    pub fn refuse_default_stream(&mut self, call: &str, context: usize) -> Outcome {
        let blocking: Vec<u64> = self
            .streams
            .iter()
            .filter(|s| s.blocking && s.context == context)
            .filter_map(|s| s.captured.as_ref().map(|p| p.capture))
            .collect();
        let text = format!("{call}: the default stream keeps step with a stream that is being captured");
        let hit: Vec<u64> = blocking.into_iter().filter(|c| self.captures[c].broken_by.is_none()).collect();
        self.refuse_for(&hit, &text, CUDA_ERROR_STREAM_CAPTURE_IMPLICIT)
    }

    fn refuse_if(&mut self, text: &str, code: CUresult, hit: impl Fn(&Capture) -> bool) -> Outcome {
        let hit: Vec<u64> = self.captures.iter().filter(|(_, c)| hit(c)).map(|(&number, _)| number).collect();
        self.refuse_for(&hit, text, code)
    }

    fn refuse_for(&mut self, captures: &[u64], text: &str, code: CUresult) -> Outcome {
        if captures.is_empty() {
            return Ok(());
        }
        captures.iter().for_each(|&capture| self.break_capture(capture, text));
        self.wrong("illegal call in a capture", text.to_owned(), code)
    }

    /// Records an event in a stream that is captured: it stands for the stream's nodes so far.
    pub fn record_captured(&mut self, event: usize, slot: usize) -> Outcome {
        self.check_capture(slot)?;
        let place = self.streams[slot].captured.clone();
        if let Some(event) = self.events.get_mut(&event) {
            (event.captured, event.recorded) = (place, None);
        }
        Ok(())
    }

    /// Has a stream wait for an event, where one of them is in a capture. Says whether that was all there is to do.
    pub fn wait_captured(&mut self, slot: usize, event: usize) -> Outcome<bool> {
        let (of_event, recorded) = match self.events.get(&event) {
            Some(e) => (e.captured.clone(), e.recorded.is_some()),
            None => (None, false),
        };
        let name = self.streams[slot].name.clone();
        match (self.streams[slot].captured.clone(), of_event) {
            (None, None) => Ok(false),
            (Some(_), None) => {
                self.check_capture(slot)?;
                if recorded {
                    let text =
                        format!("cuStreamWaitEvent: {name} is captured, the event was recorded outside of the capture");
                    self.refuse_captured(slot, "capture misuse", &text, CUDA_ERROR_STREAM_CAPTURE_ISOLATION)?;
                }
                Ok(true)
            }
            (Some(mine), Some(other)) if mine.capture == other.capture => {
                self.check_capture(slot)?;
                let mut after = mine.after;
                after.extend(other.after);
                after.sort_unstable();
                after.dedup();
                self.streams[slot].captured = Some(Place { capture: mine.capture, after });
                Ok(true)
            }
            (Some(mine), Some(other)) => {
                let text = format!("cuStreamWaitEvent: {name} and the event belong to different captures");
                self.break_capture(mine.capture, &text);
                self.break_capture(other.capture, &text);
                self.wrong("capture misuse", text, CUDA_ERROR_STREAM_CAPTURE_MERGE)
            }
            (None, Some(place)) => {
                let Some(capture) = self.captures.get(&place.capture) else {
                    let text = "cuStreamWaitEvent: the event was recorded in a capture that has ended".to_owned();
                    return self.wrong("capture misuse", text, CUDA_ERROR_CAPTURED_EVENT);
                };
                if capture.broken_by.is_some() {
                    return Err(CudaError(CUDA_ERROR_STREAM_CAPTURE_INVALIDATED));
                }
                if slot == self.contexts[&self.streams[slot].context].default_slot {
                    let text = "cuStreamWaitEvent: the default stream cannot join a capture".to_owned();
                    self.break_capture(place.capture, &text);
                    return self.wrong("capture misuse", text, CUDA_ERROR_STREAM_CAPTURE_IMPLICIT);
                }
                self.streams[slot].captured = Some(place);
                Ok(true)
            }
        }
    }
}
