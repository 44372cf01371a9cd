//! What the program asked of the driver so far: calls by name, launches, allocations, copies.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Value, json};

use super::stream::Action;

/// Totals since the driver started. Work counts when it is asked for, in a graph at each launch of the graph.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Calls of the driver's functions by name. A call that only passes on to another counts as the other.
    pub calls: BTreeMap<&'static str, u64>,
    /// Kernels launched by calls, those of graphs not among them.
    pub kernel_launches: u64,
    /// Graphs launched.
    pub graph_launches: u64,
    /// Kernels launched by graphs.
    pub graph_kernels: u64,
    /// Operations of all kinds put in streams by graphs.
    pub graph_nodes: u64,
    /// Device allocations.
    pub allocations: u64,
    /// Device allocations given back.
    pub frees: u64,
    /// Pinned buffers made.
    pub pinned_allocations: u64,
    /// Pinned buffers given back.
    pub pinned_frees: u64,
    /// Times that the host waited: for a stream, an event, the context, or in a copy.
    pub synchronisations: u64,
    /// Copies to the device.
    pub copies_to_device: u64,
    /// Their bytes.
    pub bytes_to_device: u64,
    /// Copies to the host.
    pub copies_to_host: u64,
    /// Their bytes.
    pub bytes_to_host: u64,
    /// Copies within the device.
    pub copies_on_device: u64,
    /// Their bytes.
    pub bytes_on_device: u64,
    /// Memsets.
    pub memsets: u64,
    /// Their bytes.
    pub bytes_set: u64,
}

impl Counts {
    /// Counts the call in whose function the closure of type `closure` stands.
    pub fn call(&mut self, closure: &'static str) {
        if let Some(name) = function_of(closure) {
            *self.calls.entry(name).or_default() += 1;
        }
    }

    /// Counts an operation put in a stream, by a graph or by a call.
    pub fn action(&mut self, action: &Action, by_graph: bool) {
        self.graph_nodes += u64::from(by_graph);
        let copy = |copies: &mut u64, total: &mut u64, bytes: u64| {
            *copies += 1;
            *total += bytes;
        };
        match action {
            Action::HostToDevice { from, .. } => {
                copy(&mut self.copies_to_device, &mut self.bytes_to_device, from.bytes());
            }
            Action::DeviceToHost { bytes, .. } => {
                copy(&mut self.copies_to_host, &mut self.bytes_to_host, *bytes as u64);
            }
            Action::DeviceToDevice { bytes, .. } => {
                copy(&mut self.copies_on_device, &mut self.bytes_on_device, *bytes);
            }
            Action::Fill { width, count, .. } => {
                copy(&mut self.memsets, &mut self.bytes_set, u64::from(*width) * count)
            }
            Action::Launch(_) if by_graph => self.graph_kernels += 1,
            Action::Launch(_) => self.kernel_launches += 1,
            Action::Free { .. } | Action::Host { .. } | Action::Mark => {}
        }
    }

    /// Calls of all names.
    pub fn driver_calls(&self) -> u64 {
        self.calls.values().sum()
    }

    /// As one JSON object: the fields by name, `calls` with a number for each name, and `driver_calls`, their sum.
    pub fn json(&self) -> Value {
        let mut value = json!(self);
        value["driver_calls"] = self.driver_calls().into();
        value
    }
}

/// The driver's function in the path of a closure's type: `…::memory::cuMemFree_v2::{{closure}}` is of cuMemFree_v2.
fn function_of(closure: &'static str) -> Option<&'static str> {
    let name = closure
        .split("::")
        .find(|part| part.starts_with("cu") && part.as_bytes().get(2).is_some_and(u8::is_ascii_uppercase))?;
    Some(name.split(['<', '{']).next().unwrap_or(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[allow(non_snake_case)]
    fn cuNothing(counts: &mut Counts) {
        fn note<F: FnOnce()>(counts: &mut Counts, _: F) {
            counts.call(std::any::type_name::<F>());
        }
        note(counts, || {});
        let inner: fn(&mut Counts) = |counts| note(counts, || {});
        inner(counts);
    }

    #[test]
    fn a_call_counts_under_its_functions_name() {
        let mut counts = Counts::default();
        cuNothing(&mut counts);
        assert_eq!(counts.calls, BTreeMap::from([("cuNothing", 2)]));
        assert_eq!(counts.json()["driver_calls"], 2);
        assert_eq!(function_of("virtual_gpu::driver::custom::f::{{closure}}"), None);
    }
}
