//! A CUDA device: [`Backend`](super::Backend) over the kernels of `kernels/`.
//!
//! The driver is opened at run time, and looked for before the first call into it: cudarc panics where it is missing.
//! Every kernel runs on one stream, in the order of the launches, so that buffers need no locks and sums have one order:
//! the same run gives the same bits. A batch's inputs come in on a second stream ([`upload`]).
#![cfg(feature = "cuda")]
#![allow(unsafe_code)]

pub(crate) mod architecture;
mod arena;
pub(crate) mod arguments;
mod buffer;
mod compile;
mod context;
mod described;
mod embedding;
mod kernels;
pub(crate) mod launch;
mod linear;
pub(crate) mod loss;
mod memory;
mod norm;
mod operations;
mod optim;
mod params;
#[cfg(test)]
#[path = "../../tests/parity/cuda/cuda.rs"]
mod parity;
mod queue;
mod readback;
mod replay;
mod scan;
mod source;
mod status;
mod stream;
mod tiles;
pub(crate) mod topk;
mod upload;

use super::check::{self, need, need_biases, need_len, need_mat};
use super::{Mat, MatMut};

pub(crate) use buffer::{Buf, input, output};
pub(crate) use context::probe;
pub(crate) use stream::Cuda;
