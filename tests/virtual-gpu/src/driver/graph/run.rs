//! Launches of executable graphs.

use std::sync::Arc;

use serde_json::json;

use super::super::clock::Clock;
use super::super::error::*;
use super::super::host::checksum;
use super::super::settings::StreamMode;
use super::super::state::Driver;
use super::super::stream::{Action, OpId, Recorded, Source};

impl Driver {
    /// Launches an executable graph: after what the stream holds and after the launch before, its nodes each after
    /// those they wait for and otherwise in any order; what the stream gets next waits for them all.
    pub fn launch_graph(&mut self, handle: usize, slot: usize) -> Outcome {
        let exec = self.exec("cuGraphLaunch", handle)?;
        let (context, name, nodes) = (exec.context, exec.name.clone(), exec.nodes.clone());
        let (lanes, slots, last) = (exec.lanes.clone(), exec.slots.clone(), exec.last.clone());
        if context != self.streams[slot].context {
            let text = format!("cuGraphLaunch: {name} and the stream are of different contexts");
            return self.wrong("graph misuse", text, CUDA_ERROR_INVALID_VALUE);
        }
        if self.streams[slot].captured.is_some() {
            let text = "cuGraphLaunch: a graph within a graph is not offered by the virtual GPU";
            self.refuse_captured(slot, "unsupported call", text, CUDA_ERROR_NOT_SUPPORTED)?;
        }
        self.check_nodes(&name, &nodes)?;
        self.counts.graph_launches += 1;
        let stream = self.streams[slot].name.clone();
        let kernels = nodes.iter().filter(|n| matches!(n.action, Action::Launch(_))).count();
        self.journal.line(&json!({
            "kind": "graph", "graph": &*name, "stream": stream, "nodes": nodes.len(), "kernels": kernels,
        }));
        let mut waits = Vec::new();
        if let Some((before, _)) = last {
            self.streams[slot].clock.join(&before.clock);
            waits.push(before.op);
        }
        let start = self.submit(slot, &format!("start of {name}"), waits, Action::Mark);
        let begun = self.streams[slot].clock.clone();
        let mut done: Vec<(OpId, Clock)> = Vec::with_capacity(nodes.len());
        for (at, node) in nodes.iter().enumerate() {
            let lane = slots[lanes[at]];
            self.streams[lane].name = format!("{name} in {stream}");
            let mut waits = Vec::new();
            if node.after.is_empty() {
                self.streams[lane].clock.join(&begun);
                waits.push(start);
            }
            for &before in &node.after {
                let (op, clock) = &done[before];
                self.streams[lane].clock.join(clock);
                waits.push(*op);
            }
            let action = self.at_launch(node.action.clone());
            self.counts.action(&action, true);
            let module = match &action {
                Action::Launch(launch) => Some(launch.module.handle),
                _ => None,
            };
            let op = self.submit(lane, &format!("node {at}, {},", node.what), waits, action);
            if let Some(module) = module {
                self.note_launch(module, op);
            }
            done.push((op, self.streams[lane].clock.clone()));
        }
        for (_, clock) in &done {
            self.streams[slot].clock.join(clock);
        }
        let waits = done.iter().map(|(op, _)| *op).collect();
        let op = self.submit(slot, &format!("end of {name}"), waits, Action::Mark);
        let what: Arc<str> = format!("{name} on {stream}").into();
        let end = Recorded { op, clock: self.streams[slot].clock.clone() };
        if !done.is_empty() {
            self.streams[slot].last_work = Some((op, what.clone()));
        }
        if let Some(exec) = self.execs.get_mut(&handle) {
            exec.last = Some((end, what));
        }
        match self.settings.streams {
            StreamMode::Serial => self.alive(context),
            _ => Ok(()),
        }
    }

    /// A node's action with what holds at this launch: the pinned bytes that a copy is to read are those of now, and
    /// those that one is to write hold nothing to rely on until it is done.
    fn at_launch(&mut self, mut action: Action) -> Action {
        match &mut action {
            Action::HostToDevice { from: Source::Pinned { address, bytes, checksum: sum, .. }, .. } => {
                // SAFETY: check_nodes found the range inside one live pinned buffer, and nothing was freed since.
                *sum = checksum(unsafe { std::slice::from_raw_parts(*address as *const u8, *bytes) });
            }
            Action::DeviceToHost { to, bytes, pinned: Some(base), .. } => self.poison_target(*to, *bytes, *base),
            _ => {}
        }
        action
    }
}
