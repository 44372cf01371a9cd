//! Graphs: what a capture put together, and the executable copies of it that are launched.

pub mod capture;
pub mod check;
pub mod run;
pub mod update;

use std::sync::Arc;

use super::error::*;
use super::state::{Driver, Kind};
use super::stream::{Action, Recorded};

/// One operation of a graph.
#[derive(Clone, Debug)]
pub struct Node {
    /// CUgraphNode.
    pub handle: usize,
    /// In words, as the operation would be told outside a graph: `kernel scale`.
    pub what: Arc<str>,
    /// The nodes to be done before it, by place. They all stand before it in the graph.
    pub after: Vec<usize>,
    /// What it does. The addresses in it are used at each launch.
    pub action: Action,
}

/// A graph as it is put together.
#[derive(Debug)]
pub struct Graph {
    /// The context it belongs to.
    pub context: usize,
    /// For messages: `graph 3`.
    pub name: Arc<str>,
    /// Its operations, each behind those it waits for.
    pub nodes: Vec<Node>,
}

/// An executable graph.
#[derive(Debug)]
pub struct Exec {
    /// The context it belongs to.
    pub context: usize,
    /// The name of the graph it was made from.
    pub name: Arc<str>,
    /// Its own copy of the operations.
    pub nodes: Vec<Node>,
    /// The lane of each node: nodes of one lane are in order anyway.
    lanes: Vec<usize>,
    /// The hidden stream of each lane.
    slots: Vec<usize>,
    /// The end of the last launch, and what to call it.
    last: Option<(Recorded, Arc<str>)>,
}

/// CUDA_GRAPH_INSTANTIATE_FLAG_AUTO_FREE_ON_LAUNCH, _UPLOAD, _DEVICE_LAUNCH and _USE_NODE_PRIORITY.
const FLAGS: u64 = 15;
const AUTO_FREE: u64 = 1;
const DEVICE_LAUNCH: u64 = 4;

impl Driver {
    /// An empty graph; its handle.
    pub fn new_graph(&mut self, context: usize) -> usize {
        let handle = self.new_handle(Kind::Graph);
        self.graphs_made += 1;
        let name = format!("graph {}", self.graphs_made).into();
        self.graphs.insert(handle, Graph { context, name, nodes: Vec::new() });
        handle
    }

    /// Puts a node at a graph's end; its place.
    pub fn add_node(&mut self, graph: usize, what: &str, mut after: Vec<usize>, action: Action) -> usize {
        let handle = self.new_handle(Kind::Node);
        after.sort_unstable();
        after.dedup();
        let nodes = &mut self.graphs.get_mut(&graph).expect("the caller looked it up").nodes;
        nodes.push(Node { handle, what: what.into(), after, action });
        nodes.len() - 1
    }

    /// Looks up a graph that may be used: there, and not being captured.
    pub fn graph(&mut self, call: &str, handle: usize) -> Outcome<&mut Graph> {
        self.current()?;
        if !self.graphs.contains_key(&handle) {
            let text = format!("{call}: {handle:#x} is no graph, or one that was destroyed");
            return self.wrong("graph misuse", text, CUDA_ERROR_INVALID_VALUE);
        }
        if self.captures.values().any(|c| c.graph == handle) {
            let text = format!("{call}: {} is still being captured", self.graphs[&handle].name);
            return self.wrong("graph misuse", text, CUDA_ERROR_INVALID_VALUE);
        }
        Ok(self.graphs.get_mut(&handle).expect("looked at just now"))
    }

    /// Looks up an executable graph.
    pub fn exec(&mut self, call: &str, handle: usize) -> Outcome<&mut Exec> {
        if !self.execs.contains_key(&handle) {
            let words = match self.graphs.contains_key(&handle) {
                true => "is a graph that was not instantiated",
                false => "is no executable graph, or one that was destroyed",
            };
            let text = format!("{call}: {handle:#x} {words}");
            return self.wrong("graph misuse", text, CUDA_ERROR_INVALID_VALUE);
        }
        Ok(self.execs.get_mut(&handle).expect("looked at just now"))
    }

    /// Makes an executable copy of a graph.
    pub fn instantiate(&mut self, call: &str, graph: usize, flags: u64) -> Outcome<usize> {
        let graph = self.graph(call, graph)?;
        let (context, name, nodes) = (graph.context, graph.name.clone(), graph.nodes.clone());
        if flags & !FLAGS != 0 || flags & (AUTO_FREE | DEVICE_LAUNCH) == AUTO_FREE | DEVICE_LAUNCH {
            return Err(CudaError(CUDA_ERROR_INVALID_VALUE));
        }
        if flags & DEVICE_LAUNCH != 0 {
            let text = format!("{call}: graphs launched by the device are not offered by the virtual GPU");
            return self.wrong("unsupported call", text, CUDA_ERROR_NOT_SUPPORTED);
        }
        let (lanes, count) = lanes(&nodes);
        let slots = (0..count).map(|_| self.new_stream(context, Some(&name), false, 0)).collect();
        let handle = self.new_handle(Kind::Exec);
        self.execs.insert(handle, Exec { context, name, nodes, lanes, slots, last: None });
        Ok(handle)
    }

    /// Destroys a graph. Executable copies of it stay.
    pub fn destroy_graph(&mut self, handle: usize) -> Outcome {
        self.graph("cuGraphDestroy", handle)?;
        self.graphs.remove(&handle);
        Ok(())
    }

    /// Destroys an executable graph. What is under way still runs, but the caller should have waited for it.
    pub fn destroy_exec(&mut self, handle: usize) -> Outcome {
        let exec = self.exec("cuGraphExecDestroy", handle)?;
        let context = exec.context;
        if let Some((end, what)) = exec.last.clone()
            && !self.host.covers(end.op.slot, end.op.seq)
        {
            let text = format!("cuGraphExecDestroy: {what} may still run, nothing waited for it");
            self.journal.warn("graph destroyed early", text);
        }
        if let Some(exec) = self.execs.remove(&handle) {
            self.release_lanes(&exec);
        }
        self.alive(context)
    }

    /// Gives an executable graph's streams back; what waits in them still runs.
    fn release_lanes(&mut self, exec: &Exec) {
        for &slot in &exec.slots {
            self.streams[slot].handle = 0;
        }
    }

    /// Forgets the graphs, executables and captures of a context.
    pub fn drop_graphs(&mut self, context: usize) {
        self.graphs.retain(|_, graph| graph.context != context);
        self.execs.retain(|_, exec| exec.context != context);
        self.captures.retain(|_, capture| capture.context != context);
    }

    /// An executable graph that launches kernels of a module: its name and the kernel.
    pub fn holder_of(&self, module: usize) -> Option<(Arc<str>, Arc<str>)> {
        let node_of = |exec: &Exec| {
            let node = exec.nodes.iter().find(|n| matches!(&n.action, Action::Launch(l) if l.module.handle == module));
            node.map(|n| (exec.name.clone(), n.what.clone()))
        };
        let mut found: Vec<_> = self.execs.iter().filter_map(|(handle, exec)| Some((handle, node_of(exec)?))).collect();
        found.sort_unstable_by_key(|(handle, _)| **handle);
        found.into_iter().next().map(|(_, names)| names)
    }
}

/// A lane for each node, and their number. A node goes on behind one of those it waits for when that is the last of
/// its lane, so a lane's nodes are in order; nodes that nothing orders are on different lanes.
fn lanes(nodes: &[Node]) -> (Vec<usize>, usize) {
    let mut tails: Vec<usize> = Vec::new();
    let place = |(at, node): (usize, &Node)| match tails.iter().position(|tail| node.after.contains(tail)) {
        Some(lane) => {
            tails[lane] = at;
            lane
        }
        None => {
            tails.push(at);
            tails.len() - 1
        }
    };
    let of_nodes = nodes.iter().enumerate().map(place).collect();
    (of_nodes, tails.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unordered_nodes_are_on_different_lanes() {
        let node = |after: &[usize]| Node { handle: 0, what: "".into(), after: after.to_vec(), action: Action::Mark };
        let chain = [node(&[]), node(&[0]), node(&[1])];
        assert_eq!(lanes(&chain), (vec![0, 0, 0], 1));
        // 0 forks into 1 and 2, 3 joins them; 4 is alone.
        let fork = [node(&[]), node(&[0]), node(&[0]), node(&[1, 2]), node(&[])];
        assert_eq!(lanes(&fork), (vec![0, 0, 1, 0, 2], 3));
    }
}
