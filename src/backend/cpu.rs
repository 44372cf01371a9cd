//! The CPU: the whole of [`Backend`](super::Backend) in safe Rust over the kernels of [`simd`].
//!
//! Work is cut the same way whatever the number of threads, and every sum has one order: the same bits for any number
//! of threads. Between instruction sets bits differ (fused multiply-add, the order of a vector's lanes).

mod embedding;
mod linear;
mod loss;
mod memory;
mod norm;
mod operations;
mod optim;
#[cfg(test)]
#[path = "../../tests/parity/parity.rs"]
pub(crate) mod parity;
mod queue;
mod scan;
mod scratch;
pub(crate) mod simd;
pub(crate) mod topk;

use std::sync::Mutex;

use simd::Isa;

use super::check::{need, need_biases, need_len, need_mat};
use super::{Mat, MatMut};
use crate::config::Precision;
use crate::threads::Threads;
use crate::{Error, Result};

/// The host's processors.
pub(crate) struct Cpu {
    pub(crate) threads: Threads,
    pub(super) isa: Isa,
    /// Whether the softmax loss rounds the factors of its products to bf16.
    bf16: bool,
    scratch: scratch::ScratchPool,
    /// Values asked for with `read_later`.
    later: Mutex<Vec<f32>>,
}

impl Cpu {
    /// `threads` threads (0: every core) with the instruction set `isa`, or the best that the host has. Where the host
    /// gains by multiplying bf16 values, or `isa` says so, `precision` says whether the softmax loss does; elsewhere it
    /// computes in fp32.
    ///
    /// # Errors
    /// [`Error::Config`] where the host lacks `isa`; [`Error::Threads`] where the threads cannot be started.
    pub(crate) fn new(threads: usize, isa: Option<Isa>, precision: Precision) -> Result<Cpu> {
        let (isa, bf16) = choose(isa, precision)?;
        Ok(Cpu {
            threads: Threads::new(threads)?,
            isa,
            bf16,
            scratch: scratch::ScratchPool::default(),
            later: Mutex::default(),
        })
    }

    /// Rounds factors to bf16 whatever the instruction set: slow, for tests.
    #[cfg(test)]
    pub(crate) fn with_bf16(mut self) -> Cpu {
        self.bf16 = true;
        self
    }
}

/// The instruction set, and whether the softmax loss multiplies bf16 values.
fn choose(asked: Option<Isa>, precision: Precision) -> Result<(Isa, bool)> {
    let pairs = asked.map_or_else(Isa::gains_by_bf16, Isa::multiplies_bf16);
    let isa = asked.unwrap_or_else(Isa::best);
    if !isa.available() {
        let has: Vec<&str> = Isa::ALL.iter().filter(|isa| isa.available()).map(|isa| isa.name()).collect();
        let reason = format!("this processor has no {}; it has {}", isa.name(), has.join(", "));
        return Err(Error::config("train.instructions", reason));
    }
    Ok((isa, precision == Precision::Bf16 && pairs))
}

/// What decides the bits of results on this host: see [`Memory::path`](super::Memory::path).
///
/// # Errors
/// [`Error::Config`] where the host lacks `asked`.
pub(crate) fn path(asked: Option<Isa>, precision: Precision) -> Result<String> {
    let (isa, bf16) = choose(asked, precision)?;
    Ok(path_of(isa, bf16))
}

fn path_of(isa: Isa, bf16: bool) -> String {
    // What AVX512-BF16 adds changes no bit where it is not used.
    let isa = if isa == Isa::Avx512Bf16 && !bf16 { Isa::Avx512 } else { isa };
    match std::env::consts::ARCH {
        "x86_64" => isa.name().to_owned(),
        arch => format!("{} ({arch})", isa.name()),
    }
}
