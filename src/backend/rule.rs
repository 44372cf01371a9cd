//! What a step works out once, the same on every backend.

use super::OptimizerStep;
use crate::config::OptimizerKind;
use crate::rng::mix;

/// A step's constants, worked out once.
#[derive(Clone, Copy)]
pub(crate) struct StepConstants {
    pub(crate) kind: OptimizerKind,
    pub(crate) grad_scale: f32,
    /// `1 - lr * weight_decay`.
    pub(crate) keep: f32,
    /// The learning rate; for Adam over `1 - beta1^t`.
    pub(crate) rate: f32,
    pub(crate) beta1: f32,
    pub(crate) beta2: f32,
    /// `1 / sqrt(1 - beta2^t)`.
    pub(crate) root: f32,
    pub(crate) eps: f32,
}

impl StepConstants {
    pub(crate) fn new(step: &OptimizerStep) -> StepConstants {
        let (lr, t) = (f64::from(step.lr), step.number as f64);
        let adam = step.kind == OptimizerKind::Adam;
        StepConstants {
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
}

/// The part of the random bits for stochastic rounding that all rows of a step share.
pub(crate) fn run_key(step: &OptimizerStep) -> u64 {
    mix(mix(step.seed) ^ step.number)
}
