//! CUDA against the CPU and the f64 oracle. Compiled into the crate's unit tests: the backend is private.
//!
//! Without a device these tests print that they were skipped; with `REQUIRE_CUDA=1` that is a failure.

mod budget;
mod budget_embedding;
mod embedding;
mod embedding_batch;
mod embedding_step;
mod linear;
mod loss;
mod loss_budget;
mod loss_reference;
mod loss_sm90a;
mod memory;
mod norm;
mod optim;
mod serve;
mod step;
mod topk;
mod topk_biases;
mod topk_hits;
mod topk_memory;
mod topk_sm90a;
mod topk_sm90a_int8;
mod weights;

use super::Cuda;
use crate::backend::cpu::Cpu;
use crate::backend::cpu::parity::embedding::{offsets, random_bags};
use crate::backend::cpu::parity::{Random, bits, framed, naive, unframed, wide};
use crate::backend::cpu::simd::Isa;
use crate::config::Precision;

/// Device 0, unless there is none.
fn device(precision: Precision) -> Option<Cuda> {
    match Cuda::new(0, precision) {
        Ok(cuda) => Some(cuda),
        Err(error) if std::env::var_os("REQUIRE_CUDA").is_none_or(|value| value != "1") => {
            println!("skipped: no CUDA ({error})");
            None
        }
        Err(error) => panic!("REQUIRE_CUDA=1, but: {error}"),
    }
}

/// The CPU that everything is compared with.
fn cpu() -> Cpu {
    Cpu::new(1, None, Precision::Fp32).expect("the CPU is there")
}

/// Whether the CPU multiplies and adds in one rounding, as CUDA does: then equal orders of adding give equal bits.
fn fused() -> bool {
    Isa::ALL.into_iter().any(|isa| isa != Isa::Portable && isa.available())
}

/// How far a value may lie from the expected one: `|a - b| <= relative |b| + of_largest max |b| + absolute`.
#[derive(Clone, Copy)]
struct Tolerance {
    relative: f64,
    of_largest: f64,
    absolute: f64,
}

/// Lookups, norms, optimizer steps: a handful of fp32 roundings, whatever the precision of products.
const ELEMENTWISE: Tolerance = Tolerance { relative: 3e-6, of_largest: 1e-6, absolute: 1e-7 };

/// Products of matrices.
fn product(precision: Precision) -> Tolerance {
    match precision {
        // Two factors rounded to 2^-9 each; sums of such errors are compared with the largest result.
        Precision::Bf16 => Tolerance { relative: 1e-2, of_largest: 1e-2, absolute: 1e-7 },
        Precision::Fp32 => Tolerance { relative: 2e-5, of_largest: 2e-5, absolute: 1e-7 },
    }
}

/// The loss.
fn loss_value(precision: Precision) -> Tolerance {
    match precision {
        Precision::Bf16 => Tolerance { relative: 2e-3, of_largest: 0.0, absolute: 2e-3 },
        Precision::Fp32 => Tolerance { relative: 1e-5, of_largest: 0.0, absolute: 1e-5 },
    }
}

/// The loss's gradients: `||a - b|| <= this ||b||`, against f64 on what the products take of the embeddings.
fn loss_gradient(precision: Precision) -> f64 {
    match precision {
        Precision::Bf16 => 4e-3,
        Precision::Fp32 => 1e-4,
    }
}

impl Tolerance {
    fn check(&self, what: &str, found: &[f32], expected: &[f64]) {
        assert_eq!(found.len(), expected.len(), "{what}");
        let largest = expected.iter().fold(0.0f64, |m, x| m.max(x.abs()));
        for (i, (&a, &b)) in found.iter().zip(expected).enumerate() {
            let error = (f64::from(a) - b).abs();
            let allowed = self.relative * b.abs() + self.of_largest * largest + self.absolute;
            // A NaN error is not within any tolerance.
            assert!(error <= allowed, "{what}[{i}]: found {a}, expected {b}: {error:e} off, {allowed:e} allowed");
        }
    }
}
