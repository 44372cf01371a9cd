//! How a search spends its time: the rungs of its ladder, and how many trials stand on each.
//!
//! Successive halving (Jamieson and Talwalkar 2016): all trials train a small part of their epochs, the best third goes on
//! from its checkpoints, and so to the end. Trials are compared at the same part of their own schedules of the learning
//! rate, which ends at the trial's own number of epochs.
//!
//! A trial ends between two rungs where its loss is no number, and for nothing else. What it could be compared with there
//! without depending on which trials happened to run beside it is the rung below, which is complete; but that one's cut it has
//! passed already, with fewer epochs, and judging it more often costs an evaluation of the whole catalogue each time.

use serde::{Deserialize, Serialize};

/// Of the trials of a rung one in so many goes on.
pub(super) const KEEP_ONE_IN: usize = 3;
/// The parts of its epochs that a trial has trained at each rung.
pub(super) const RUNGS: [f64; 3] = [1.0 / 9.0, 1.0 / 3.0, 1.0];
/// Trials that are worth a search.
const FEWEST: usize = 6;
/// Trials that are drawn by chance, of those of a search: what the others are drawn by.
const BY_CHANCE: f64 = 0.5;
/// With a time limit and no number of trials: the first ones, which show how fast they are, and the most in all.
const FIRST: usize = 6;
const MOST: usize = 200;

/// What a search does, settled once and kept with its state, so that a killed one goes on with it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// Trials in all.
    pub trials: usize,
    /// Those of them that are drawn by chance.
    pub by_chance: usize,
    /// Rungs that are climbed; the last of them is the end of the trials' epochs unless time is too short for that.
    pub rungs: usize,
}

impl Plan {
    /// For a number of trials.
    pub(super) fn of(trials: usize) -> Plan {
        let by_chance = ((trials as f64 * BY_CHANCE).ceil() as usize).clamp(1.min(trials), trials);
        Plan { trials, by_chance, rungs: RUNGS.len() }
    }

    /// The trials that run before a time limit can be planned for.
    pub(super) fn first() -> Plan {
        Plan { trials: FIRST, by_chance: FIRST, rungs: RUNGS.len() }
    }

    /// For a time: as many trials as it holds, at most `most`; fewer rungs where it does not hold a few. `spent`: the
    /// thread-seconds of the first trials on their first rung; `left`: those that are left for the search.
    pub(super) fn in_time(spent: f64, left: f64, most: Option<usize>) -> Plan {
        let most = most.unwrap_or(MOST).max(1);
        let one = Plan::whole(spent, &Plan { trials: FIRST.min(most), ..Plan::first() });
        let fits = |plan: &Plan| plan.cost() * one - spent <= left;
        for rungs in (1..=RUNGS.len()).rev() {
            let plans = (FIRST.min(most)..=most).rev().map(|trials| Plan { rungs, ..Plan::of(trials) });
            let found = plans.into_iter().find(fits);
            if let Some(plan) = found.filter(|plan| plan.trials >= FEWEST.min(most)) {
                return Plan { by_chance: plan.by_chance.max(FIRST.min(most)), ..plan };
            }
        }
        Plan { trials: FIRST.min(most), by_chance: FIRST.min(most), rungs: 1 }
    }

    /// The thread-seconds of a whole run, from those that the first trials took on their first rung.
    pub(super) fn whole(spent: f64, first: &Plan) -> f64 {
        spent / first.trials.max(1) as f64 / RUNGS[0]
    }

    /// Trials on a rung, the defaults among them.
    pub(super) fn on_rung(&self, rung: usize) -> usize {
        let mut trials = self.trials;
        for _ in 0..rung {
            trials = trials.div_ceil(KEEP_ONE_IN).max(2.min(trials));
        }
        trials
    }

    /// What it trains, in whole runs.
    pub(super) fn cost(&self) -> f64 {
        let before = |rung: usize| if rung == 0 { 0.0 } else { RUNGS[rung - 1] };
        (0..self.rungs).map(|rung| self.on_rung(rung) as f64 * (RUNGS[rung] - before(rung))).sum()
    }
}

/// The epochs that a trial of `epochs` in all has trained at a rung: at least one.
pub(super) fn epochs_at(epochs: u64, rung: usize) -> u64 {
    ((epochs as f64 * RUNGS[rung]).round() as u64).clamp(1.min(epochs), epochs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_third_goes_on_from_rung_to_rung() {
        let plan = Plan::of(40);
        assert_eq!((plan.by_chance, [0, 1, 2].map(|rung| plan.on_rung(rung))), (20, [40, 14, 5]));
        // 40 / 9 + 14 * 2 / 9 + 5 * 2 / 3 whole runs, a fifth to a quarter of 40.
        assert!((plan.cost() - 10.888).abs() < 0.01, "{}", plan.cost());
        assert_eq!([0, 1, 2].map(|rung| Plan::of(1).on_rung(rung)), [1, 1, 1]);
        assert_eq!([0, 1, 2].map(|rung| Plan::of(2).on_rung(rung)), [2, 2, 2]);
    }

    #[test]
    fn epochs_grow_to_a_trials_own() {
        assert_eq!([0, 1, 2].map(|rung| epochs_at(30, rung)), [3, 10, 30]);
        assert_eq!([0, 1, 2].map(|rung| epochs_at(2, rung)), [1, 1, 2]);
        assert_eq!([0, 1, 2].map(|rung| epochs_at(1, rung)), [1, 1, 1]);
    }

    #[test]
    fn time_decides_how_many_trials_there_are() {
        // A ninth of a run took 10 seconds.
        let spent = FIRST as f64 * 10.0;
        let plan = Plan::in_time(spent, 1800.0, None);
        assert!(plan.rungs == 3 && plan.cost() * 90.0 <= 1800.0 + spent, "{plan:?}");
        assert!(Plan { trials: plan.trials + 3, ..plan.clone() }.cost() * 90.0 > 1800.0 + spent);
        assert_eq!(Plan::in_time(spent, 1800.0, Some(8)).trials, 8);
        assert_eq!([100.0, 10.0].map(|left| Plan::in_time(spent, left, None).rungs), [2, 1]);
        assert_eq!(Plan::in_time(spent, 0.0, None), Plan { trials: FIRST, by_chance: FIRST, rungs: 1 });
        assert_eq!(Plan::in_time(spent, 1e9, None).trials, MOST);
    }
}
