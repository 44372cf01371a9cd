//! A look at all that a graph names, before each launch: its addresses and functions are as old as its capture.

use std::sync::Arc;

use super::super::buffers::Lookup;
use super::super::error::*;
use super::super::state::Driver;
use super::super::stream::{Action, QueuedLaunch, Source};
use super::Node;

impl Driver {
    /// Refuses a launch of a graph that names what is gone.
    pub fn check_nodes(&mut self, name: &str, nodes: &[Node]) -> Outcome {
        for (at, node) in nodes.iter().enumerate() {
            if let Some((kernel, words)) = self.stale(&node.action) {
                let text = format!("cuGraphLaunch: {name}, node {at} ({}): {words}", node.what);
                let finding = super::super::journal::Finding { kind: "stale graph".into(), kernel, text };
                self.journal.find("warning", finding);
                return Err(CudaError(CUDA_ERROR_INVALID_VALUE));
            }
        }
        Ok(())
    }

    /// What is wrong with an action's addresses now, and the kernel that it concerns.
    fn stale(&self, action: &Action) -> Option<(String, String)> {
        let device = |address, bytes| self.stale_device(address, bytes);
        let words = match action {
            Action::HostToDevice { to, from: Source::Pinned { address, bytes, .. } } => {
                self.stale_pinned(*address, *bytes).or_else(|| device(*to, *bytes as u64))
            }
            Action::DeviceToHost { to, from, bytes, .. } => {
                self.stale_pinned(*to, *bytes).or_else(|| device(*from, *bytes as u64))
            }
            Action::DeviceToDevice { to, from, bytes } => device(*from, *bytes).or_else(|| device(*to, *bytes)),
            Action::Fill { to, width, count, .. } => device(*to, u64::from(*width) * count),
            Action::Launch(launch) => {
                return self.stale_launch(launch).map(|words| (launch.kernel.to_string(), words));
            }
            Action::HostToDevice { .. } | Action::Free { .. } | Action::Host { .. } | Action::Mark => None,
        };
        words.map(|words| (String::new(), words))
    }

    fn stale_device(&self, address: u64, bytes: u64) -> Option<String> {
        match self.device.look_up(address, bytes) {
            Lookup::Inside(_) => None,
            Lookup::PastEnd(words) => Some(format!("{address:#x} has {words}")),
            Lookup::Freed(words, _) => Some(format!("{address:#x} is in {words}")),
            Lookup::Nothing => Some(format!("{address:#x} is in no device allocation any more")),
        }
    }

    fn stale_pinned(&self, address: usize, bytes: usize) -> Option<String> {
        match self.pinned.look_up(address as u64, bytes as u64) {
            Lookup::Inside(_) => None,
            Lookup::PastEnd(words) => Some(format!("{address:#x} has {words} (pinned)")),
            Lookup::Freed(words, _) => Some(format!("{address:#x} is in {words} (pinned)")),
            Lookup::Nothing => Some(format!("{address:#x} is in no pinned buffer any more")),
        }
    }

    /// A kernel's module and the addresses among its arguments. Any eight aligned bytes of them may be an address: no
    /// other value looks like one, and addresses are never given out twice.
    fn stale_launch(&self, launch: &QueuedLaunch) -> Option<String> {
        let same = |entry: &super::super::module::ModuleEntry| Arc::ptr_eq(&entry.module, &launch.module);
        if !self.modules.get(&launch.module.handle).is_some_and(same) {
            return Some("its module was unloaded".into());
        }
        launch.params.chunks_exact(8).enumerate().find_map(|(at, value)| {
            let address = u64::from_le_bytes(value.try_into().expect("chunks of 8"));
            match self.device.look_up(address, 1) {
                Lookup::Freed(words, _) => {
                    Some(format!("byte {} of its arguments, {address:#x}, is in {words}", 8 * at))
                }
                _ => None,
            }
        })
    }
}
