//! What a search has found so far: the text from which a killed one goes on.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::plan::SearchPlan;
use super::space::{Chosen, Space};
use crate::config::Config;
use crate::files::{read_json, write_json_inside};
use crate::{Error, Result};

/// The file's name, in the folder that the search works in.
pub(super) const FILE: &str = "search.json";

/// The text of `search.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(expecting = "the state of a search")]
pub(super) struct SearchState {
    pub(super) asked: SearchRequest,
    pub(super) plan: Option<SearchPlan>,
    pub(super) trials: Vec<Trial>,
    /// The trials that were let onto each rung after the first.
    #[serde(default)]
    pub(super) rungs: Vec<Vec<usize>>,
    /// Seconds that the search has worked, all calls together.
    pub(super) seconds: f64,
    /// The last rung that was climbed, when time ran out before the plan was done.
    pub(super) cut: Option<usize>,
}

/// What was asked for, and of which data: another question is another search.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(expecting = "what a search was asked")]
pub(super) struct SearchRequest {
    /// The dataset's fingerprint.
    pub(super) dataset: String,
    /// What is not searched.
    pub(super) config: Config,
    pub(super) space: Space,
    pub(super) metric: String,
    pub(super) trials: Option<usize>,
    pub(super) minutes: Option<f64>,
    pub(super) seed: u64,
    /// What an earlier search found.
    #[serde(default, skip_serializing_if = "Chosen::is_empty")]
    pub(super) earlier: Chosen,
}

/// One trial.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Trial {
    /// What the search chose.
    pub chosen: Chosen,
    /// Epochs of its whole run.
    pub epochs: u64,
    /// What it came to on each rung that it was on.
    pub figures: Vec<Figure>,
    /// Why it failed, where it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed: Option<String>,
}

/// What a trial came to on a rung.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Figure {
    /// Epochs that it has trained.
    pub epochs: u64,
    /// The mean loss of the last of them; none where that was not a number.
    pub loss: Option<f64>,
    /// The metric: the mean over the users.
    pub value: f64,
    /// The ends of its 95 % bootstrap interval.
    pub interval: [f64; 2],
    /// What it is more than the defaults' on this rung, user by user, and the ends of that interval; none for the
    /// defaults, and where those failed.
    pub gain: Option<[f64; 3]>,
    /// Seconds that training and judging took, on one thread of a CPU or beside others on a GPU.
    pub seconds: f64,
}

impl Trial {
    /// The metric on the highest rung that it reached, up to `rung`.
    pub fn value_at(&self, rung: usize) -> Option<f64> {
        self.figures.get(rung).map(|figure| figure.value)
    }

    /// Its last figure.
    pub fn last(&self) -> Option<&Figure> {
        self.figures.last()
    }
}

impl SearchState {
    /// Of a search that begins.
    pub(super) fn new(asked: SearchRequest) -> SearchState {
        SearchState { asked, plan: None, trials: Vec::new(), rungs: Vec::new(), seconds: 0.0, cut: None }
    }

    pub(super) fn read(dir: &Path) -> Result<Option<SearchState>> {
        let path = dir.join(FILE);
        if path.exists() { read_json(&path).map(Some) } else { Ok(None) }
    }

    pub(super) fn write(&self, dir: &Path) -> Result<()> {
        write_json_inside(&dir.join(FILE), self)
    }

    /// The same without times.
    pub(super) fn timeless(&self) -> SearchState {
        let mut state = SearchState { seconds: 0.0, ..self.clone() };
        state.trials.iter_mut().flat_map(|trial| &mut trial.figures).for_each(|figure| figure.seconds = 0.0);
        state
    }

    /// Refuses to go on with the answers to another question.
    pub(super) fn check(&self, asked: &SearchRequest, dir: &Path) -> Result<()> {
        // Where it runs does not change what it finds.
        let machine = |asked: &SearchRequest| {
            let mut asked = asked.clone();
            let defaults = Config::default().train;
            (asked.config.train.device, asked.config.train.threads) = (defaults.device, defaults.threads);
            asked
        };
        let (was, now) = (machine(&self.asked), machine(asked));
        let what = [
            (was.dataset != now.dataset, "a different dataset"),
            (was.metric != now.metric, "a different metric"),
            (was.seed != now.seed, "a different seed"),
            (was.config != now.config, "different settings"),
            (was.space != now.space, "a different search space"),
            (was.trials != now.trials || was.minutes != now.minutes, "a different number of trials or minutes"),
        ];
        match what.into_iter().find(|(differs, _)| *differs) {
            None => Ok(()),
            Some((_, what)) => Err(Error::checkpoint(
                dir,
                format!("was started with {what}: pass the same as then, or search without `resume`"),
            )),
        }
    }

    /// The trials that are on a rung and have no figure there yet.
    pub(super) fn to_do(&self, on: &[usize], rung: usize) -> Vec<usize> {
        let waits = |&trial: &usize| self.trials[trial].failed.is_none() && self.trials[trial].figures.len() <= rung;
        on.iter().copied().filter(waits).collect()
    }

    /// The trials of the next rung: the best `n` of a rung, and the defaults, which every other is compared with. Ties go
    /// to the one that was there first.
    pub(super) fn best(&self, on: &[usize], rung: usize, n: usize) -> Vec<usize> {
        let mut order = self.ranked(on, rung);
        let defaults = order.iter().position(|&trial| trial == 0);
        order.truncate(n.max(1));
        if defaults.is_some_and(|at| at >= order.len()) {
            order.push(0);
        }
        order.sort_unstable();
        order
    }

    /// The trials that have a figure on a rung, best first.
    pub(super) fn ranked(&self, on: &[usize], rung: usize) -> Vec<usize> {
        let figure = |trial: usize| self.trials[trial].value_at(rung);
        let mut order: Vec<usize> = on.iter().copied().filter(|&trial| figure(trial).is_some()).collect();
        order.sort_by(|&a, &b| figure(b).unwrap_or(f64::NAN).total_cmp(&figure(a).unwrap_or(f64::NAN)).then(a.cmp(&b)));
        order
    }

    /// The best trial of the highest rung that any reached.
    pub(super) fn winner(&self) -> Option<usize> {
        let all: Vec<usize> = (0..self.trials.len()).collect();
        let highest = self.trials.iter().map(|trial| trial.figures.len()).max()?.checked_sub(1)?;
        self.ranked(&all, highest).first().copied()
    }

    /// What became of a trial.
    pub(super) fn status(&self, trial: usize, winner: usize) -> &'static str {
        let highest = self.trials.iter().map(|trial| trial.figures.len()).max().unwrap_or(0);
        match &self.trials[trial] {
            Trial { failed: Some(_), .. } => "failed",
            _ if trial == winner => "winner",
            Trial { figures, .. } if figures.len() == highest => "finished",
            _ => "stopped",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trial(values: &[f64]) -> Trial {
        let figure =
            |&value: &f64| Figure { epochs: 1, loss: None, value, interval: [value; 2], gain: None, seconds: 0.0 };
        Trial { figures: values.iter().map(figure).collect(), ..Trial::default() }
    }

    fn state(trials: Vec<Trial>) -> SearchState {
        let asked = SearchRequest {
            dataset: "d".into(),
            config: Config::default(),
            space: Space::default(),
            metric: "ndcg@10".into(),
            trials: Some(3),
            minutes: None,
            seed: 0,
            earlier: Chosen::new(),
        };
        SearchState { trials, ..SearchState::new(asked) }
    }

    #[test]
    fn the_best_go_on_and_the_defaults_with_them() {
        let failed = Trial { failed: Some("NaN".into()), ..trial(&[]) };
        let state = state(vec![trial(&[0.1]), trial(&[0.3]), failed, trial(&[0.3]), trial(&[0.2, 0.9])]);
        let all = [0, 1, 2, 3, 4];
        assert_eq!(state.ranked(&all, 0), [1, 3, 4, 0]);
        assert_eq!(state.best(&all, 0, 2), [0, 1, 3]);
        assert_eq!(state.best(&[1, 3, 4], 0, 1), [1]);
        assert_eq!(state.to_do(&all, 0), Vec::<usize>::new());
        assert_eq!(state.to_do(&all, 1), [0, 1, 3]);
        assert_eq!(state.winner(), Some(4), "the highest rung decides");
    }

    #[test]
    fn another_question_is_refused_by_what_differs() {
        let found = state(Vec::new());
        let dir = Path::new("t");
        let mut asked = found.asked.clone();
        asked.config.train.threads = 7;
        found.check(&asked, dir).unwrap();
        asked.seed = 1;
        assert!(found.check(&asked, dir).unwrap_err().to_string().contains("a different seed"));
    }
}
