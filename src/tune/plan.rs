//! How a search spends its time: the rungs of its ladder, and how many trials stand on each.
//!
//! Successive halving (Jamieson and Talwalkar 2016): all trials train a small part of their epochs, the best quarter goes on
//! from its checkpoints, and so to the end. At each rung a trial's learning rate has fallen to where its run would end, so that
//! what is compared is what it would be if that were all (`train::trainer::part`).
//!
//! A trial ends between two rungs where its loss is no number, and for nothing else. What it could be compared with there
//! without depending on which trials happened to run beside it is the rung below, which is complete; but that one's cut it has
//! passed already, with fewer epochs, and judging it more often costs an evaluation of the whole catalogue each time.

use serde::{Deserialize, Serialize};

/// Of the trials of a rung one in so many goes on.
pub(super) const KEEP_ONE_IN: usize = 4;
/// The parts of its epochs that a trial has trained at each rung.
pub(super) const RUNGS: [f64; 3] = [1.0 / 16.0, 1.0 / 4.0, 1.0];
/// Trials that are worth a search.
const FEWEST: usize = 6;
/// Trials that are drawn by chance, of those of a search: what the others are drawn by.
const BY_CHANCE: f64 = 0.5;
/// With a time limit and no number of trials: the first ones, which show how fast they are, and the most in all.
const FIRST: usize = 6;
const MOST: usize = 200;

/// What a search does, settled once and kept with its state, so that a killed one goes on with it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(expecting = "the plan of a search")]
pub struct SearchPlan {
    /// Trials in all.
    pub trials: usize,
    /// Those of them that are drawn by chance.
    pub by_chance: usize,
    /// Rungs that are climbed; the last of them is the end of the trials' epochs unless time is too short for that.
    pub rungs: usize,
}

impl SearchPlan {
    /// For a number of trials.
    pub(super) fn of(trials: usize) -> SearchPlan {
        let by_chance = ((trials as f64 * BY_CHANCE).ceil() as usize).clamp(1.min(trials), trials);
        SearchPlan { trials, by_chance, rungs: RUNGS.len() }
    }

    /// The trials that run before a time limit can be planned for.
    pub(super) fn first() -> SearchPlan {
        SearchPlan { trials: FIRST, by_chance: FIRST, rungs: RUNGS.len() }
    }

    /// For a time: as many trials as it holds, at most `most`; fewer rungs where it does not hold a few. `first`: the first
    /// trials on their first rung; `one`: the thread-seconds of a whole run; `left`: those that are left for the search.
    pub(super) fn in_time(first: &[Tried], one: f64, left: f64, most: Option<usize>) -> SearchPlan {
        let most = most.unwrap_or(MOST).max(1);
        let parts = SearchPlan::parts(first);
        let spent: f64 = first.iter().map(|tried| tried.seconds).sum();
        let fits = |plan: &SearchPlan| plan.cost(parts) * one - spent <= left;
        for rungs in (1..=RUNGS.len()).rev() {
            let plans = (FIRST.min(most)..=most).rev().map(|trials| SearchPlan { rungs, ..SearchPlan::of(trials) });
            let found = plans.into_iter().find(fits);
            if let Some(plan) = found.filter(|plan| plan.trials >= FEWEST.min(most)) {
                return SearchPlan { by_chance: plan.by_chance.max(FIRST.min(most)), ..plan };
            }
        }
        SearchPlan { trials: FIRST.min(most), by_chance: FIRST.min(most), rungs: 1 }
    }

    /// The thread-seconds of a whole run of the first trials, their mean.
    pub(super) fn whole(first: &[Tried]) -> f64 {
        let whole = |tried: &Tried| tried.seconds * tried.epochs as f64 / epochs_at(tried.epochs, 0).max(1) as f64;
        first.iter().map(whole).sum::<f64>() / first.len().max(1) as f64
    }

    /// The parts of a whole run that are trained by each rung: more than [`RUNGS`] where a part of the epochs is not one.
    fn parts(first: &[Tried]) -> [f64; RUNGS.len()] {
        let all: u64 = first.iter().map(|tried| tried.epochs).sum();
        let by = |rung| first.iter().map(|tried| epochs_at(tried.epochs, rung)).sum::<u64>();
        std::array::from_fn(|rung| if all == 0 { RUNGS[rung] } else { by(rung) as f64 / all as f64 })
    }

    /// Trials on a rung, the defaults among them.
    pub(super) fn on_rung(&self, rung: usize) -> usize {
        let mut trials = self.trials;
        for _ in 0..rung {
            trials = trials.div_ceil(KEEP_ONE_IN).max(2.min(trials));
        }
        trials
    }

    /// What it trains, in whole runs, of which each rung has trained such `parts`.
    fn cost(&self, parts: [f64; RUNGS.len()]) -> f64 {
        let before = |rung: usize| if rung == 0 { 0.0 } else { parts[rung - 1] };
        (0..self.rungs).map(|rung| self.on_rung(rung) as f64 * (parts[rung] - before(rung))).sum()
    }
}

/// A trial that was trained to its first rung: its epochs in all, and the thread-seconds that it took so far.
pub(super) struct Tried {
    pub(super) epochs: u64,
    pub(super) seconds: f64,
}

/// The epochs that a trial of `epochs` in all has trained at a rung: at least one.
pub(super) fn epochs_at(epochs: u64, rung: usize) -> u64 {
    ((epochs as f64 * RUNGS[rung]).round() as u64).clamp(1.min(epochs), epochs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quarter_goes_on_from_rung_to_rung() {
        let plan = SearchPlan::of(40);
        assert_eq!((plan.by_chance, [0, 1, 2].map(|rung| plan.on_rung(rung))), (20, [40, 10, 3]));
        // 40 / 16 + 10 * 3 / 16 + 3 * 3 / 4 whole runs, a sixth of 40.
        assert!((plan.cost(RUNGS) - 6.625).abs() < 1e-9, "{}", plan.cost(RUNGS));
        assert_eq!([0, 1, 2].map(|rung| SearchPlan::of(1).on_rung(rung)), [1, 1, 1]);
        assert_eq!([0, 1, 2].map(|rung| SearchPlan::of(2).on_rung(rung)), [2, 2, 2]);
    }

    #[test]
    fn epochs_grow_to_a_trials_own() {
        assert_eq!([0, 1, 2].map(|rung| epochs_at(32, rung)), [2, 8, 32]);
        assert_eq!([0, 1, 2].map(|rung| epochs_at(2, rung)), [1, 1, 2]);
        assert_eq!([0, 1, 2].map(|rung| epochs_at(1, rung)), [1, 1, 1]);
    }

    /// Trials of so many epochs that took so long on their first rung.
    fn first(epochs: u64, seconds: f64) -> Vec<Tried> {
        (0..FIRST).map(|_| Tried { epochs, seconds }).collect()
    }

    #[test]
    fn time_decides_how_many_trials_there_are() {
        // A sixteenth of a run took 10 seconds.
        let tried = first(32, 10.0);
        let spent = FIRST as f64 * 10.0;
        let plan = SearchPlan::in_time(&tried, SearchPlan::whole(&tried), 1800.0, None);
        assert!(plan.rungs == 3 && plan.cost(RUNGS) * 160.0 <= 1800.0 + spent, "{plan:?}");
        assert!(SearchPlan { trials: plan.trials + 4, ..plan.clone() }.cost(RUNGS) * 160.0 > 1800.0 + spent);
        assert_eq!(SearchPlan::in_time(&tried, SearchPlan::whole(&tried), 1800.0, Some(8)).trials, 8);
        assert_eq!(
            [100.0, 10.0].map(|left| SearchPlan::in_time(&tried, SearchPlan::whole(&tried), left, None).rungs),
            [2, 1]
        );
        assert_eq!(
            SearchPlan::in_time(&tried, SearchPlan::whole(&tried), 0.0, None),
            SearchPlan { trials: FIRST, by_chance: FIRST, rungs: 1 }
        );
        assert_eq!(SearchPlan::in_time(&tried, SearchPlan::whole(&tried), 1e9, None).trials, MOST);
    }

    #[test]
    fn an_epoch_is_the_least_that_a_trial_trains() {
        // Of five epochs the first rung is one, not a third of one: ten seconds there are fifty in all.
        let tried = first(5, 10.0);
        assert!((SearchPlan::whole(&tried) - 50.0).abs() < 1e-9);
        assert_eq!(SearchPlan::parts(&tried), [0.2, 0.2, 1.0]);
        assert!(SearchPlan::in_time(&tried, SearchPlan::whole(&tried), 600.0, None).trials > 20);
    }
}
