//! The search itself: what is tried, how far, and what comes of it.

use std::time::Instant;

use serde_json::Value;

use super::events::TuneEvent;
use super::ladder::{Climb, climb};
use super::plan::{KEEP_ONE_IN, SearchPlan, Tried, epochs_at};
use super::sample::TrialSampler;
use super::space::{Chosen, with};
use super::state::{Figure, SearchState, Trial};
use super::suggest;
use super::trial::{TrialSetup, is_its_own, trained};
use crate::config::{Config, Resolved};
use crate::data::shape::Shape;
use crate::eval::bootstrap::{Bootstrap, paired};
use crate::{Error, Result};

/// Resamples of every interval.
const RESAMPLES: usize = 1000;
/// Trials that are drawn to see what they would cost.
const SAMPLE: usize = 64;
/// What the last training may take more than is expected.
const RESERVE: f64 = 1.3;

/// A search at work.
pub(super) struct HalvingSearch<'a, 'b> {
    pub(super) setup: TrialSetup<'a>,
    /// What is not searched.
    pub(super) config: &'a Config,
    /// The shape of the rows that trials train on.
    pub(super) shape: &'a Shape,
    /// The defaults' values of what is searched.
    pub(super) defaults: Chosen,
    pub(super) state: SearchState,
    /// Trials side by side.
    pub(super) parallel: usize,
    /// Threads of each.
    pub(super) threads: usize,
    /// Threads of the last training.
    pub(super) all_threads: usize,
    pub(super) begun: Instant,
    pub(super) observer: &'b mut dyn FnMut(TuneEvent),
}

impl HalvingSearch<'_, '_> {
    /// Climbs every rung of the plan.
    pub(super) fn climb_all(&mut self) -> Result<()> {
        let plan = self.plan()?;
        (self.observer)(TuneEvent::Plan(plan.clone()));
        self.first_rung(&plan)?;
        for rung in 1..plan.rungs {
            let Some(on) = self.next(rung, &plan)? else { break };
            self.rung(rung, &on)?;
        }
        Ok(())
    }

    /// How much is done: as many trials as were asked for, or as fit the time, which the first ones show.
    fn plan(&mut self) -> Result<SearchPlan> {
        if let Some(plan) = &self.state.plan {
            return Ok(plan.clone());
        }
        let most = self.state.asked.trials;
        let plan = match (self.limit(), most) {
            (None, Some(trials)) => SearchPlan::of(trials),
            (None, None) => SearchPlan::first(),
            (Some(limit), _) => {
                let first = SearchPlan {
                    trials: SearchPlan::first().trials.min(most.unwrap_or(usize::MAX)),
                    ..SearchPlan::first()
                };
                self.draw(first.trials, None)?;
                self.train_to(0, &(0..self.state.trials.len()).collect::<Vec<_>>())?;
                let tried = |trial: &Trial| Tried {
                    epochs: trial.epochs,
                    seconds: trial.figures.iter().map(|at| at.seconds).sum(),
                };
                let tried: Vec<Tried> = self.state.trials.iter().map(tried).collect();
                let one = SearchPlan::whole(&tried) * self.dearer();
                let last = one / self.all_threads as f64 * RESERVE;
                let left = (limit - self.seconds() - last) * self.parallel as f64;
                SearchPlan::in_time(&tried, one, left, most)
            }
        };
        self.state.plan = Some(plan.clone());
        self.save()?;
        Ok(plan)
    }

    /// The first rung, which every trial stands on.
    fn first_rung(&mut self, plan: &SearchPlan) -> Result<()> {
        self.draw(plan.by_chance, None)?;
        self.train_to(0, &self.all())?;
        self.draw(plan.trials, Some(plan.by_chance))?;
        self.rung(0, &self.all())
    }

    fn all(&self) -> Vec<usize> {
        (0..self.state.trials.len()).collect()
    }

    /// Draws trials up to a number; by the figures of the first `of` ones, or by chance. A small space may have fewer.
    fn draw(&mut self, number: usize, of: Option<usize>) -> Result<()> {
        for chosen in self.drawn(number, of) {
            let epochs = self.resolved(&chosen)?.epochs();
            self.state.trials.push(Trial { chosen, epochs, ..Trial::default() });
        }
        self.save()
    }

    /// The trials that [`draw`](HalvingSearch::draw) adds.
    fn drawn(&self, number: usize, of: Option<usize>) -> Vec<Chosen> {
        let before = self.state.trials.len();
        let mut all: Vec<Chosen> = self.state.trials.iter().map(|trial| trial.chosen.clone()).collect();
        let cost = |chosen: &Chosen| self.cost(chosen);
        let asked = &self.state.asked;
        let sampler = TrialSampler { space: &asked.space, seed: asked.seed, defaults: &self.defaults, cost: &cost };
        let figures = self.state.trials.iter().take(of.unwrap_or(0));
        let seen: Vec<(&Chosen, f64)> = figures.filter_map(|trial| Some((&trial.chosen, trial.value_at(0)?))).collect();
        while all.len() < number {
            let at = all.len() as u64;
            let drawn = match of {
                _ if at == 0 => Some(self.defaults.clone()),
                _ if at == 1 && self.earlier().is_some() => self.earlier(),
                Some(_) if !seen.is_empty() => sampler.by_figures(at, &seen, &all),
                _ => sampler.by_chance(at, &all),
            };
            let Some(chosen) = drawn else { break };
            all.push(chosen);
        }
        all.drain(before.min(all.len())..).collect()
    }

    /// What an earlier search found, where it is something else than the defaults and can be used still.
    fn earlier(&self) -> Option<Chosen> {
        let found = &self.state.asked.earlier;
        let value = |(key, default): (&String, &Value)| (key.clone(), found.get(key).unwrap_or(default).clone());
        let chosen: Chosen = self.defaults.iter().map(value).collect();
        (chosen != self.defaults && self.cost(&chosen).is_some()).then_some(chosen)
    }

    /// How many times as long as with the defaults a training takes; None for settings that cannot be used together.
    fn cost(&self, chosen: &Chosen) -> Option<f64> {
        suggest::cost(self.setup.dataset, self.shape, self.config, chosen)
    }

    /// How dear the trials to come are beside those that were trained: the first ones may have been dear ones by chance.
    fn dearer(&self) -> f64 {
        let mean = |all: Vec<&Chosen>| {
            let costs: Vec<f64> = all.into_iter().filter_map(|chosen| self.cost(chosen)).collect();
            costs.iter().sum::<f64>() / costs.len().max(1) as f64
        };
        let tried: Vec<&Chosen> = self.state.trials.iter().map(|trial| &trial.chosen).collect();
        let to_come = self.drawn(tried.len() + SAMPLE, None);
        let (to_come, tried) = (mean(to_come.iter().collect()), mean(tried));
        if to_come > 0.0 && tried > 0.0 { to_come / tried } else { 1.0 }
    }

    /// The settings that a trial trains with.
    fn resolved(&self, chosen: &Chosen) -> Result<Resolved> {
        let config = with(self.config, chosen).map_err(|reason| Error::config("space", reason))?;
        Ok(trained(&config, self.shape, self.threads))
    }

    /// Trains trials to a rung and says which were best there.
    fn rung(&mut self, rung: usize, on: &[usize]) -> Result<()> {
        self.train_to(rung, on)?;
        self.compare(rung, on)?;
        let order = self.state.ranked(on, rung);
        if let Some(&best) = order.first()
            && let Some(figure) = self.state.trials[best].figures.get(rung)
        {
            let (value, gain) = (figure.value, figure.gain);
            (self.observer)(TuneEvent::Rung { rung: rung + 1, trials: order, best, value, gain });
        }
        Ok(())
    }

    fn train_to(&mut self, rung: usize, on: &[usize]) -> Result<()> {
        let mut climbs = Vec::new();
        for trial in self.state.to_do(on, rung) {
            let config = self.resolved(&self.state.trials[trial].chosen)?;
            climbs.push(Climb { trial, until: epochs_at(config.epochs(), rung), config });
        }
        let total = on.len();
        let HalvingSearch { setup, state, begun, observer, parallel, .. } = self;
        let earlier = state.seconds;
        climb(setup, &climbs, *parallel, &mut |climb, outcome| {
            let trial = &mut state.trials[climb.trial];
            let (mut value, mut failed, mut seconds) = (None, None, 0.0);
            match outcome {
                Ok(outcome) => {
                    let mean = outcome.values.iter().sum::<f64>() / outcome.values.len().max(1) as f64;
                    (value, seconds) = (Some(mean), outcome.seconds);
                    trial.figures.push(Figure {
                        epochs: climb.until,
                        loss: Some(outcome.loss).filter(|loss| loss.is_finite()),
                        value: mean,
                        interval: interval(&outcome.values, state.asked.seed),
                        gain: None,
                        seconds,
                    });
                }
                Err(error) if is_its_own(&error) => {
                    failed = Some(error.to_string());
                    trial.failed.clone_from(&failed);
                }
                Err(error) => return Err(error),
            }
            let chosen = trial.chosen.clone();
            state.seconds = earlier + begun.elapsed().as_secs_f64();
            setup.write(state)?;
            state.seconds = earlier;
            let (rung, epochs) = (rung + 1, climb.until);
            observer(TuneEvent::Trial { trial: climb.trial, rung, epochs, chosen, value, failed, seconds });
            let best = state.ranked(on, rung - 1).first().and_then(|&best| state.trials[best].value_at(rung - 1));
            let done = total - state.to_do(on, rung - 1).len();
            let seconds = earlier + begun.elapsed().as_secs_f64();
            observer(TuneEvent::Progress { rung, done, trials: total, seconds, best });
            Ok(())
        })
    }

    /// Compares every trial of a rung with the defaults, user by user.
    fn compare(&mut self, rung: usize, on: &[usize]) -> Result<()> {
        let here = |trial: usize| self.state.trials[trial].figures.len() == rung + 1;
        let waiting =
            |&trial: &usize| trial > 0 && here(trial) && self.state.trials[trial].figures[rung].gain.is_none();
        let waiting: Vec<usize> = on.iter().copied().filter(waiting).collect();
        if waiting.is_empty() || !here(0) {
            return Ok(());
        }
        let defaults = self.setup.values(0)?;
        for trial in waiting {
            let gain = paired(&self.setup.values(trial)?, &defaults, RESAMPLES, self.state.asked.seed);
            self.state.trials[trial].figures[rung].gain = gain.map(|(gain, low, high)| [gain, low, high]);
        }
        self.save()
    }

    /// The trials of the next rung: those that the plan has, or that fit the time; none where time is up.
    fn next(&mut self, rung: usize, plan: &SearchPlan) -> Result<Option<Vec<usize>>> {
        if self.state.cut.is_some_and(|cut| cut < rung) {
            return Ok(None);
        }
        if let Some(on) = self.state.rungs.get(rung - 1) {
            return Ok(Some(on.clone()));
        }
        let before = if rung == 1 { self.all() } else { self.state.rungs[rung - 2].clone() };
        let mut room = plan.on_rung(rung).min(before.len().div_ceil(KEEP_ONE_IN).max(2));
        if let Some(limit) = self.limit() {
            room = room.min(self.fitting(rung, &self.state.ranked(&before, rung - 1), limit));
        }
        if room == 0 {
            self.state.cut = Some(rung - 1);
            self.save()?;
            (self.observer)(TuneEvent::OutOfTime { rung });
            return Ok(None);
        }
        let on = self.state.best(&before, rung - 1, room);
        self.state.rungs.push(on.clone());
        self.save()?;
        for trial in before.into_iter().filter(|trial| !on.contains(trial)) {
            self.setup.forget(trial)?;
        }
        Ok(Some(on))
    }

    /// How many of the trials, in this order, can be trained to a rung before the time is up.
    fn fitting(&self, rung: usize, order: &[usize], limit: f64) -> usize {
        let an_epoch = |trial: &Trial| {
            let last = trial.last();
            last.map_or(0.0, |last| last.seconds / (last.epochs - before(trial)).max(1) as f64)
        };
        let mut left = 0.0;
        order
            .iter()
            .map(|&trial| &self.state.trials[trial])
            .enumerate()
            .take_while(|(at, trial)| {
                if *at == 0 {
                    let last = an_epoch(trial) * trial.epochs as f64 * RESERVE * self.threads as f64;
                    left = (limit - self.seconds() - last / self.all_threads as f64) * self.parallel as f64;
                }
                let done = trial.last().map_or(0, |last| last.epochs);
                left -= an_epoch(trial) * epochs_at(trial.epochs, rung).saturating_sub(done) as f64;
                left >= 0.0
            })
            .count()
    }

    fn limit(&self) -> Option<f64> {
        self.state.asked.minutes.map(|minutes| 60.0 * minutes)
    }

    /// Seconds that the search has worked, all calls together.
    fn seconds(&self) -> f64 {
        self.state.seconds + self.begun.elapsed().as_secs_f64()
    }

    fn save(&self) -> Result<()> {
        self.setup.write(&SearchState { seconds: self.seconds(), ..self.state.clone() })
    }
}

/// Epochs that a trial had trained before its last rung.
fn before(trial: &Trial) -> u64 {
    let earlier = trial.figures.len().checked_sub(2).and_then(|at| trial.figures.get(at));
    earlier.map_or(0, |figure| figure.epochs)
}

/// The 95 % bootstrap interval of a mean over users.
fn interval(values: &[f64], seed: u64) -> [f64; 2] {
    let mut bootstrap = Bootstrap::new(1, values.len());
    values.iter().for_each(|value| bootstrap.push(&[*value]));
    bootstrap.intervals(RESAMPLES, seed).map_or([f64::NAN; 2], |ends| [ends[0].0, ends[0].1])
}
