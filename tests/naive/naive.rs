//! The oracle: every operation of a backend in f64, in loops that follow the formulas word for word. Slow and plain on
//! purpose; `tests/gradients.rs` checks its gradients against finite differences, `tests/parity` checks the backends
//! against it.

#![allow(dead_code, missing_docs)]

pub mod embedding;
pub mod linear;
pub mod loss;
pub mod norm;
pub mod optim;
pub mod rounding;
pub mod topk;
