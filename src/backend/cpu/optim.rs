//! Optimizer rules, for dense parameters and for the rows of tables.

use super::{Cpu, need, need_len};
use crate::Result;
use crate::backend::Step;
use crate::config::OptimizerKind;

/// A step's constants, worked out once.
#[derive(Clone, Copy)]
pub(crate) struct Rule {
    pub kind: OptimizerKind,
    pub grad_scale: f32,
    /// `1 - lr * weight_decay`.
    pub keep: f32,
    /// The learning rate; for Adam over `1 - beta1^t`.
    pub rate: f32,
    pub beta1: f32,
    pub beta2: f32,
    /// `1 / sqrt(1 - beta2^t)`.
    pub root: f32,
    pub eps: f32,
}

impl Rule {
    pub(crate) fn new(step: &Step) -> Rule {
        let (lr, t) = (f64::from(step.lr), step.number as f64);
        let adam = step.kind == OptimizerKind::Adam;
        Rule {
            kind: step.kind,
            grad_scale: step.grad_scale,
            keep: (1.0 - lr * f64::from(step.weight_decay)) as f32,
            rate: if adam { lr / (1.0 - f64::from(step.beta1).powf(t)) } else { lr } as f32,
            beta1: step.beta1,
            beta2: step.beta2,
            root: (1.0 / (1.0 - f64::from(step.beta2).powf(t)).sqrt()) as f32,
            eps: step.eps,
        }
    }

    /// Steps `w` by the gradients `g`, element by element. Row-wise Adagrad has `state1` of one value.
    pub(crate) fn apply(&self, w: &mut [f32], g: &[f32], state1: &mut [f32], state2: &mut [f32], rowwise: bool) {
        // A zero denominator means that no gradient ever came: 0 / 0 is no step.
        let over = |a: f32, b: f32| if b == 0.0 { 0.0 } else { a / b };
        match self.kind {
            OptimizerKind::Sgd => {
                for (w, g) in w.iter_mut().zip(g) {
                    *w = *w * self.keep - self.rate * (g * self.grad_scale);
                }
            }
            OptimizerKind::RowwiseAdagrad if rowwise => {
                let sum: f32 = g.iter().map(|g| (g * self.grad_scale) * (g * self.grad_scale)).sum();
                state1[0] += sum / g.len() as f32;
                let rate = over(self.rate, state1[0].sqrt() + self.eps);
                for (w, g) in w.iter_mut().zip(g) {
                    *w = *w * self.keep - rate * (g * self.grad_scale);
                }
            }
            OptimizerKind::Adagrad | OptimizerKind::RowwiseAdagrad => {
                for ((w, g), m) in w.iter_mut().zip(g).zip(state1) {
                    let g = g * self.grad_scale;
                    *m += g * g;
                    *w = *w * self.keep - over(self.rate * g, m.sqrt() + self.eps);
                }
            }
            OptimizerKind::Adam => {
                for (((w, g), m), v) in w.iter_mut().zip(g).zip(state1).zip(state2) {
                    let g = g * self.grad_scale;
                    *m = self.beta1 * *m + (1.0 - self.beta1) * g;
                    *v = self.beta2 * *v + (1.0 - self.beta2) * g * g;
                    *w = *w * self.keep - over(self.rate * *m, v.sqrt() * self.root + self.eps);
                }
            }
        }
    }
}

/// See [`Backend::dense_step`](crate::backend::Backend::dense_step).
pub(crate) fn dense_step(
    _cpu: &Cpu,
    w: &mut [f32],
    state1: Option<&mut Vec<f32>>,
    state2: Option<&mut Vec<f32>>,
    dw: &[f32],
    len: usize,
    step: &Step,
) -> Result<()> {
    const OP: &str = "dense_step";
    need_len(OP, "w", w.len(), len)?;
    need_len(OP, "dw", dw.len(), len)?;
    let (mut none1, mut none2) = (Vec::new(), Vec::new());
    let state1 = state1.unwrap_or(&mut none1);
    let state2 = state2.unwrap_or(&mut none2);
    if step.kind != OptimizerKind::Sgd {
        need_len(OP, "state 1", state1.len(), len)?;
    }
    if step.kind == OptimizerKind::Adam {
        need_len(OP, "state 2", state2.len(), len)?;
    }
    need(OP, step.number > 0, "a step number from 1", "0")?;
    Rule::new(step).apply(&mut w[..len], &dw[..len], state1, state2, false);
    Ok(())
}

/// See [`Backend::squared_norm`](crate::backend::Backend::squared_norm).
pub(crate) fn squared_norm(_cpu: &Cpu, x: &[f32], len: usize) -> Result<f64> {
    need_len("squared_norm", "x", x.len(), len)?;
    Ok(x[..len].iter().map(|&v| f64::from(v) * f64::from(v)).sum())
}
