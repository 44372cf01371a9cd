//! The two towers: what they read, how they compute, how they are kept.

mod budget;
pub mod checkpoint;
pub(crate) mod core;
pub(crate) mod features;
pub(crate) mod gather;
pub(crate) mod inputs;
pub(crate) mod item_bias;
pub(crate) mod negatives;
pub(crate) mod plans;
pub(crate) mod popularity;
pub(crate) mod rank;
pub(crate) mod spec;
pub(crate) mod step;
pub(crate) mod tensors;
pub(crate) mod top_k;
pub(crate) mod tower;

#[cfg(test)]
mod tests;

pub use budget::Budget;
#[cfg(all(test, feature = "cuda"))]
pub(crate) use budget::catalogue_bytes;
