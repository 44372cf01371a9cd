//! The CPU against the f64 oracle, for every instruction set of the host, and against itself on other numbers of
//! threads. Compiled into the crate's unit tests: the backend is private.

pub(crate) mod embedding;
mod exp;
mod linear;
mod loss;
mod norm;
pub(crate) mod optim;
mod pairs;
mod topk;
mod topk_biases;
pub(crate) mod topk_hits;
pub(crate) mod weights;

#[path = "../naive/naive.rs"]
pub(crate) mod naive;

use crate::backend::Mat;
use crate::backend::cpu::Cpu;
use crate::backend::cpu::simd::Isa;
use crate::config::Precision;

/// How far a result may lie from the oracle's: `|a - b| <= (relative |b| + of_largest * max |b|) + absolute`.
struct Tolerance {
    relative: f64,
    of_largest: f64,
    absolute: f64,
}

/// The loss itself.
const LOSS: Tolerance = Tolerance { relative: 2e-6, of_largest: 0.0, absolute: 2e-6 };
/// Its gradients: sums of up to C terms, and p - 1 cancels.
const LOSS_GRADIENT: Tolerance = Tolerance { relative: 1e-5, of_largest: 5e-6, absolute: 1e-9 };
/// Products of matrices.
const PRODUCT: Tolerance = Tolerance { relative: 1e-5, of_largest: 1e-6, absolute: 1e-7 };
/// Weights: the sum's rounding is divided by the width of the sigmoid.
const WEIGHTS: Tolerance = Tolerance { relative: 1e-5, of_largest: 0.0, absolute: 1e-7 };
/// Norms, pools and optimizer steps: a handful of roundings.
const ELEMENTWISE: Tolerance = Tolerance { relative: 3e-6, of_largest: 1e-6, absolute: 1e-7 };

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

/// One CPU for each instruction set of this host.
fn cpus(threads: usize) -> Vec<(Isa, Cpu)> {
    let there = Isa::ALL.into_iter().filter(|isa| isa.available());
    there
        .map(|isa| (isa, Cpu::new(threads, Some(isa), Precision::Fp32).expect("the instruction set is there")))
        .collect()
}

/// A stream of random values.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        naive::rounding::splitmix64(self.0)
    }
    pub(crate) fn below(&mut self, n: usize) -> usize {
        (self.bits() % n as u64) as usize
    }
    /// In (-1, 1).
    pub(crate) fn value(&mut self) -> f32 {
        (self.bits() >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    }
    pub(crate) fn vec(&mut self, n: usize, size: f32) -> Vec<f32> {
        (0..n).map(|_| self.value() * size).collect()
    }
}

pub(crate) fn wide(x: &[f32]) -> Vec<f64> {
    x.iter().map(|&x| f64::from(x)).collect()
}

pub(crate) fn bits(x: &[f32]) -> Vec<u32> {
    x.iter().map(|x| x.to_bits()).collect()
}

/// A matrix of `rows` x `cols` inside a wider, poisoned buffer, and its view's stride and column.
pub(crate) fn framed(x: &[f32], cols: usize, stride: usize, col: usize) -> Vec<f32> {
    let mut buf = vec![f32::NAN; x.len() / cols.max(1) * stride];
    for (row, x) in buf.chunks_mut(stride.max(1)).zip(x.chunks(cols.max(1))) {
        row[col..col + cols].copy_from_slice(x);
    }
    buf
}

/// What `framed` put in; everything around it must still be poison.
pub(crate) fn unframed(buf: &[f32], rows: usize, cols: usize, stride: usize, col: usize) -> Vec<f32> {
    let mut out = Vec::new();
    for (r, row) in buf.chunks(stride.max(1)).enumerate() {
        for (c, x) in row.iter().enumerate() {
            if r < rows && (col..col + cols).contains(&c) {
                out.push(*x);
            } else {
                assert!(x.is_nan(), "a value outside the matrix was written: row {r}, column {c}");
            }
        }
    }
    out
}

fn mat(buf: &Vec<f32>, rows: usize, cols: usize, stride: usize, col: usize) -> Mat<'_, Cpu> {
    Mat { buf, rows, cols, stride, col }
}
