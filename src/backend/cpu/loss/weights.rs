//! The weights of rows under SoftmaxLoss@K.

use crate::Result;
use crate::backend::TopKWeights;
use crate::backend::check::top_k_weights as lengths;
use crate::backend::cpu::simd::{Op, Simd, rows as row};
use crate::backend::cpu::{Cpu, need};
use crate::threads::ranges;

/// Rows of a task.
const ROWS: usize = 256;

/// See [`Operations::top_k_weights`](crate::backend::Operations::top_k_weights).
pub(crate) fn top_k_weights(cpu: &Cpu, out: &mut Vec<f32>, of: &TopKWeights<'_, Cpu>) -> Result<()> {
    lengths(cpu, out, of)?;
    if let Some(positives) = of.positives {
        let bad = positives[..of.rows].iter().find(|&&p| p as usize >= of.columns);
        need("top_k_weights", bad.is_none(), format_args!("positives below {}", of.columns), format_args!("{bad:?}"))?;
    }
    let parts = ranges(of.rows, ROWS).into_iter().zip(out[..of.rows].chunks_mut(ROWS)).collect();
    cpu.threads.each(of.rows * of.dim > 1 << 16, parts, |(rows, out)| {
        cpu.isa.run(Weights { of, first: rows.start, out });
    });
    Ok(())
}

struct Weights<'a> {
    of: &'a TopKWeights<'a, Cpu>,
    first: usize,
    out: &'a mut [f32],
}

impl Op for Weights<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let (of, dim) = (self.of, self.of.dim);
        let unit = (-of.log_scale[0]).exp();
        for (i, out) in (self.first..).zip(self.out) {
            let positive = of.positives.map_or(i, |p| p[i] as usize);
            let (user, item) = (&of.users[i * dim..][..dim], &of.candidates[positive * dim..][..dim]);
            let score = row::dot(s, user, item) + of.popularity.map_or(0.0, |p| unit * p[i]);
            let margin = (score - of.thresholds[i]) / of.width;
            *out = of.weights.map_or(1.0, |w| w[i]) / (1.0 + (-margin).exp());
        }
    }
}
