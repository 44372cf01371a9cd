//! The seam between the model and the machine: what a device must be able to do, and nothing else.
//!
//! The traits are private and the model is generic over them inside; the public API has no type parameter. An operation
//! enters them only with a CPU twin and an f64 oracle in `tests/naive`.
//!
//! Letters: B batch rows, C candidates, V table rows, D embedding width, L ids in a batch, U unique ids, N items.
//! Arguments stand in the order outputs, inputs, sizes. Buffers may be longer than an operation needs; sizes are
//! explicit. A backend checks shapes and answers [`Error::Shape`](crate::Error::Shape).

#[cfg(feature = "bench")]
pub mod bench;
mod check;
pub(crate) mod cpu;
pub(crate) mod cuda;
mod memory;
pub(crate) mod open;
mod operands;
mod operations;
mod queue;
mod rule;
mod scan;
#[cfg(any(test, feature = "bench"))]
pub(crate) mod single;

pub(crate) use cpu::simd::pages::zeros as host_zeros;
pub(crate) use memory::{Elem, FreeMemory, Memory};
pub(crate) use operands::{
    Bag, DenseParam, EmbeddingTable, GradientPlans, LinearGrads, LinearPass, Masked, Mat, MatMut, NormGrads, NormPass,
    OptimizerStep, PlanPart, PoolInput, Pools, SoftmaxGrads, SoftmaxLoss, StepRules, TableData, TopKWeights,
};
pub(crate) use operations::Operations;
pub(crate) use queue::Queue;
#[cfg(feature = "cuda")]
pub(crate) use scan::TopKOutput;
pub(crate) use scan::{HitCounts, Relevant, Scan, Skip, TopK, TopKLists};

/// All that a device can do.
pub(crate) trait Backend: Queue + Operations + Scan {}

impl<D: Queue + Operations + Scan> Backend for D {}
