//! Optimizer rules, for dense parameters and for the rows of tables.

use super::simd::{Op, Simd, rows as row};
use super::{Cpu, need, need_len};
use crate::Result;
use crate::backend::rule::StepConstants;
use crate::backend::{DenseParam, OptimizerStep, StepRules};
use crate::config::OptimizerKind;
use crate::threads::ranges;

/// Values of a task; sums run over these pieces.
const PIECE: usize = 1 << 14;

impl StepConstants {
    /// Steps `w` by the gradients `g`, element by element; `state1` and `state2` are as long where the rule keeps them.
    /// A denominator of 0 means that no gradient ever came: no step. Anything not finite goes through into `w`.
    #[inline(always)]
    pub(crate) fn apply<S: Simd>(&self, s: S, w: &mut [f32], g: &[f32], state1: &mut [f32], state2: &mut [f32]) {
        let (scale, keep, rate) = (s.splat(self.grad_scale), s.splat(self.keep), s.splat(self.rate));
        let eps = s.splat(self.eps);
        let pairs = w.chunks_mut(S::LANES).zip(g.chunks(S::LANES));
        match self.kind {
            OptimizerKind::Sgd => {
                for (w, g) in pairs {
                    let g = s.mul(s.get(g), scale);
                    s.put(w, s.sub(s.mul(s.get(w), keep), s.mul(rate, g)));
                }
            }
            OptimizerKind::Adagrad | OptimizerKind::RowwiseAdagrad => {
                for ((w, g), state) in pairs.zip(state1.chunks_mut(S::LANES)) {
                    let g = s.mul(s.get(g), scale);
                    let m = s.fma(g, g, s.get(state));
                    s.put(state, m);
                    let step = s.div_or_zero(s.mul(rate, g), s.add(s.sqrt(m), eps));
                    s.put(w, s.sub(s.mul(s.get(w), keep), step));
                }
            }
            OptimizerKind::Adam => {
                let (beta1, beta2) = (s.splat(self.beta1), s.splat(self.beta2));
                let (rest1, rest2) = (s.splat(1.0 - self.beta1), s.splat(1.0 - self.beta2));
                let root = s.splat(self.root);
                for (((w, g), m), v) in pairs.zip(state1.chunks_mut(S::LANES)).zip(state2.chunks_mut(S::LANES)) {
                    let g = s.mul(s.get(g), scale);
                    let first = s.fma(beta1, s.get(m), s.mul(rest1, g));
                    let second = s.fma(beta2, s.get(v), s.mul(rest2, s.mul(g, g)));
                    s.put(m, first);
                    s.put(v, second);
                    let step = s.div_or_zero(s.mul(rate, first), s.fma(s.sqrt(second), root, eps));
                    s.put(w, s.sub(s.mul(s.get(w), keep), step));
                }
            }
        }
    }

    /// Row-wise Adagrad on one row, with its one value of state.
    #[inline(always)]
    pub(crate) fn apply_rowwise<S: Simd>(&self, s: S, w: &mut [f32], g: &[f32], state: &mut f32) {
        let squares = row::dot(s, g, g) * self.grad_scale * self.grad_scale;
        *state += squares / g.len() as f32;
        let denominator = state.sqrt() + self.eps;
        let rate = if denominator == 0.0 { 0.0 } else { self.rate / denominator };
        let (rate, keep) = (s.splat(rate * self.grad_scale), s.splat(self.keep));
        for (w, g) in w.chunks_mut(S::LANES).zip(g.chunks(S::LANES)) {
            s.put(w, s.sub(s.mul(s.get(w), keep), s.mul(rate, s.get(g))));
        }
    }
}

impl StepRules<'_, Cpu> {
    /// The step with its scale of gradients, and without weight decay where that is not for the parameter.
    ///
    /// # Errors
    /// [`Error::Shape`](crate::Error::Shape) where the scale is missing.
    pub(super) fn on_host(&self, decays: bool) -> Result<OptimizerStep> {
        let mut step = self.step;
        if let Some(scale) = self.grad_scale {
            need_len("an optimizer step", "grad_scale", scale.len(), 1)?;
            step.grad_scale = scale[0];
        }
        if !decays {
            step.weight_decay = 0.0;
        }
        Ok(step)
    }
}

/// See [`Operations::dense_steps`](crate::backend::Operations::dense_steps). Row-wise Adagrad is Adagrad here: there are no rows.
pub(super) fn dense_step(cpu: &Cpu, param: &mut DenseParam<'_, Cpu>, step: &OptimizerStep) -> Result<()> {
    const OP: &str = "dense_steps";
    let DenseParam { w, dw, len, .. } = param;
    let len = *len;
    need_len(OP, "w", w.len(), len)?;
    need_len(OP, "dw", dw.len(), len)?;
    need(OP, step.number > 0, "a step number from 1", "0")?;
    let (mut none1, mut none2) = (Vec::new(), Vec::new());
    let len1 = if step.kind == OptimizerKind::Sgd { 0 } else { len };
    let len2 = if step.kind == OptimizerKind::Adam { len } else { 0 };
    let state1 = param.state1.as_deref_mut().unwrap_or(&mut none1);
    let state2 = param.state2.as_deref_mut().unwrap_or(&mut none2);
    need_len(OP, "state 1", state1.len(), len1)?;
    need_len(OP, "state 2", state2.len(), len2)?;
    let rule = StepConstants::new(step);
    let mut states1 = state1[..len1].chunks_mut(PIECE);
    let mut states2 = state2[..len2].chunks_mut(PIECE);
    let parts = w[..len]
        .chunks_mut(PIECE)
        .zip(dw[..len].chunks(PIECE))
        .map(|(w, dw)| DenseUpdate {
            rule,
            w,
            dw,
            state1: states1.next().unwrap_or_default(),
            state2: states2.next().unwrap_or_default(),
        })
        .collect();
    cpu.threads.each(len > 2 * PIECE, parts, |part| cpu.isa.run(part));
    Ok(())
}

struct DenseUpdate<'a> {
    rule: StepConstants,
    w: &'a mut [f32],
    dw: &'a [f32],
    state1: &'a mut [f32],
    state2: &'a mut [f32],
}

impl Op for DenseUpdate<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        self.rule.apply(s, self.w, self.dw, self.state1, self.state2);
    }
}

/// See [`Operations::clip_scale`](crate::backend::Operations::clip_scale).
pub(super) fn clip_scale(cpu: &Cpu, grad_scale: &mut [f32], grads: &[(&Vec<f32>, usize)], limit: f32) -> Result<()> {
    need_len("clip_scale", "grad_scale", grad_scale.len(), 1)?;
    let mut square = 0.0;
    for &(x, len) in grads {
        square += squared_norm(cpu, x, len)?;
    }
    grad_scale[0] = (f64::from(limit) / f64::sqrt(square)).min(1.0) as f32;
    Ok(())
}

/// The sum of the squares of the first `len` values.
fn squared_norm(cpu: &Cpu, x: &[f32], len: usize) -> Result<f64> {
    need_len("clip_scale", "a gradient", x.len(), len)?;
    let mut sums = vec![0.0; len.div_ceil(PIECE)];
    let parts = ranges(len, PIECE).into_iter().zip(&mut sums).collect();
    cpu.threads.each(len > 4 * PIECE, parts, |(at, sum)| *sum = cpu.isa.run(Squares(&x[at])));
    Ok(sums.iter().sum())
}

struct Squares<'a>(&'a [f32]);

impl Op for Squares<'_> {
    type Output = f64;
    #[inline(always)]
    fn run<S: Simd>(self, _: S) -> f64 {
        let mut sums = [0.0f64; 16];
        let mut whole = self.0.chunks_exact(16);
        for x in &mut whole {
            for (sum, &x) in sums.iter_mut().zip(x) {
                *sum += f64::from(x) * f64::from(x);
            }
        }
        for (sum, &x) in sums.iter_mut().zip(whole.remainder()) {
            *sum += f64::from(x) * f64::from(x);
        }
        sums.iter().sum()
    }
}
