//! Changes of an executable graph: all of it from another graph, or the arguments of one kernel.

use super::super::error::*;
use super::super::launch::{Arguments, Request};
use super::super::state::Driver;
use super::super::stream::Action;

/// CUgraphExecUpdateResult.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum Updated {
    /// Done.
    Success = 0,
    /// Not done, as the call's error says.
    Error = 1,
    /// Other nodes, or another order between them.
    TopologyChanged = 2,
    /// A node does something else.
    NodeTypeChanged = 3,
}

impl Driver {
    /// Makes the nodes of an executable graph those of another graph of the same shape. Says the node where they part.
    pub fn update_exec(&mut self, handle: usize, graph: usize) -> (Updated, Option<usize>, Outcome) {
        let theirs = match self.graph("cuGraphExecUpdate", graph) {
            Ok(graph) => graph.nodes.clone(),
            Err(e) => return (Updated::Error, None, Err(e)),
        };
        let exec = match self.exec("cuGraphExecUpdate", handle) {
            Ok(exec) => exec,
            Err(e) => return (Updated::Error, None, Err(e)),
        };
        let failed = Err(CudaError(CUDA_ERROR_GRAPH_EXEC_UPDATE_FAILURE));
        if exec.nodes.len() != theirs.len() {
            return (Updated::TopologyChanged, None, failed);
        }
        for (mine, their) in exec.nodes.iter().zip(&theirs) {
            if mine.after != their.after {
                return (Updated::TopologyChanged, Some(their.handle), failed);
            }
            if std::mem::discriminant(&mine.action) != std::mem::discriminant(&their.action) {
                return (Updated::NodeTypeChanged, Some(their.handle), failed);
            }
        }
        for (mine, their) in exec.nodes.iter_mut().zip(theirs) {
            (mine.what, mine.action) = (their.what, their.action);
        }
        (Updated::Success, None, Ok(()))
    }

    /// Changes a kernel of an executable graph: its function, its extents, its arguments. Launches made keep theirs.
    pub fn set_kernel_node(&mut self, handle: usize, node: usize, request: &Request) -> Outcome {
        let call = "cuGraphExecKernelNodeSetParams";
        let exec = self.exec(call, handle)?;
        let at = exec.nodes.iter().position(|n| n.handle == node && matches!(n.action, Action::Launch(_)));
        let Some(at) = at else {
            let text = format!("{call}: {node:#x} is no kernel of {}", exec.name);
            return self.wrong("graph misuse", text, CUDA_ERROR_INVALID_VALUE);
        };
        let (what, launch) = self.check_launch(call, request)?;
        if let Some(exec) = self.execs.get_mut(&handle) {
            (exec.nodes[at].what, exec.nodes[at].action) = (what.into(), Action::Launch(Box::new(launch)));
        }
        Ok(())
    }

    /// Adds a kernel to a graph that is put together by hand; its node's handle.
    pub fn add_kernel_node(&mut self, graph: usize, after: &[usize], request: &Request) -> Outcome<usize> {
        let call = "cuGraphAddKernelNode";
        let found = self.graph(call, graph)?;
        let places = after.iter().map(|node| found.nodes.iter().position(|n| n.handle == *node)).collect();
        let Some(places) = places else {
            let text = format!("{call}: a dependency is no node of {}", found.name);
            return self.wrong("graph misuse", text, CUDA_ERROR_INVALID_VALUE);
        };
        let (what, launch) = self.check_launch(call, request)?;
        let place = self.add_node(graph, &what, places, Action::Launch(Box::new(launch)));
        Ok(self.graphs[&graph].nodes[place].handle)
    }
}

/// A kernel node's parameters as a request, without a stream.
pub fn request(function: usize, extents: [u32; 6], dynamic_shared: u32, arguments: Arguments) -> Request {
    let [gx, gy, gz, bx, by, bz] = extents;
    Request { function, grid: [gx, gy, gz], block: [bx, by, bz], dynamic_shared, stream: 0, arguments }
}
