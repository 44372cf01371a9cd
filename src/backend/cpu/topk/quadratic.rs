//! The quadratic form of a matrix at each query.

use crate::backend::cpu::Cpu;
use crate::backend::cpu::simd::{Op, Simd};

/// `sqrt(q^T S q)` of each query (rows x D), S being a positive semi-definite `matrix`, D x D; 0 where rounding makes it
/// negative.
pub(crate) fn quadratic_norms(cpu: &Cpu, queries: &[f32], matrix: &[f32], dim: usize) -> Vec<f32> {
    cpu.isa.run(QuadraticNorms { queries, matrix, dim })
}

struct QuadraticNorms<'a> {
    queries: &'a [f32],
    matrix: &'a [f32],
    dim: usize,
}

impl Op for QuadraticNorms<'_> {
    type Output = Vec<f32>;

    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> Vec<f32> {
        let norm = |query: &[f32]| {
            let mut sum = 0.0;
            for (row, &x) in self.matrix.chunks_exact(self.dim.max(1)).zip(query) {
                let mut part = s.splat(0.0);
                for at in (0..self.dim).step_by(S::LANES) {
                    part = s.fma(s.get(&row[at..]), s.get(&query[at..]), part);
                }
                sum += x * s.sum(part);
            }
            sum.max(0.0).sqrt()
        };
        self.queries.chunks_exact(self.dim.max(1)).map(norm).collect()
    }
}
