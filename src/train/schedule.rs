//! The learning rate of a step.

use crate::config::{OptimizerConfig, Schedule};

/// The learning rate of step `step` (from 0) of `steps`: up in a line to `peak` over the warm-up, then as the schedule
/// says, down to zero at the step after the last.
pub(super) fn learning_rate(config: &OptimizerConfig, peak: f32, step: u64, steps: u64) -> f32 {
    let warmup = config.warmup_steps.min(steps);
    if step < warmup {
        return peak * ((step + 1) as f64 / warmup as f64) as f32;
    }
    let done = (step - warmup) as f64 / (steps - warmup).max(1) as f64;
    let share = match config.schedule {
        Schedule::Constant => 1.0,
        Schedule::Linear => 1.0 - done,
        Schedule::Cosine => 0.5 * (1.0 + (std::f64::consts::PI * done).cos()),
    };
    peak * share as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rates(schedule: Schedule, warmup_steps: u64) -> Vec<f32> {
        let config = OptimizerConfig { schedule, warmup_steps, ..Default::default() };
        (0..4).map(|step| learning_rate(&config, 1.0, step, 4)).collect()
    }

    #[test]
    fn schedules_by_hand() {
        assert_eq!(rates(Schedule::Constant, 0), [1.0, 1.0, 1.0, 1.0]);
        assert_eq!(rates(Schedule::Linear, 0), [1.0, 0.75, 0.5, 0.25]);
        assert_eq!(rates(Schedule::Linear, 2), [0.5, 1.0, 1.0, 0.5]);
        let cosine = rates(Schedule::Cosine, 0);
        let by_hand = [1.0, 0.853_553, 0.5, 0.146_447];
        assert!(cosine.iter().zip(by_hand).all(|(a, b): (&f32, f32)| (a - b).abs() < 1e-6), "{cosine:?}");
        assert_eq!(rates(Schedule::Linear, 9), [0.25, 0.5, 0.75, 1.0]);
    }
}
