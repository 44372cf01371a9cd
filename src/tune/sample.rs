//! What the trials try: the defaults first, then draws by chance, then draws where the good ones were.

use std::convert::Infallible;

use serde_json::Value;
use tpe::{TpeOptimizerBuilder, categorical_range, histogram_estimator, parzen_estimator, range};

use super::axis::Axis;
use super::space::{Chosen, Space};
use crate::rng::Rng;

/// Salt of the draws.
const DRAW: u64 = 0x7475_6e65;
/// Draws until one is usable and new; a space that has no more of them is done.
const TRIES: u64 = 200;
/// The least share of the draws that are kept, however dear they are: a space may have no others.
const LEAST: f64 = 1.0 / 16.0;
/// The share of the trials that count as good (Bergstra et al. 2011 call it gamma).
const GOOD: f64 = 0.3;
/// Draws from the density of the good ones for each value. More than one, of which that with the highest ratio to the
/// density of the others is taken, go to the ends of the ranges as long as there are few trials: on MovieLens-100K, all six of
/// a search's second half were far below the defaults.
const CANDIDATES: usize = 1;

/// Draws trials.
pub(super) struct TrialSampler<'a> {
    pub(super) space: &'a Space,
    pub(super) seed: u64,
    /// Every setting's default.
    pub(super) defaults: &'a Chosen,
    /// How many times as long as with the defaults a training takes; None for settings that cannot be used together.
    pub(super) cost: &'a dyn Fn(&Chosen) -> Option<f64>,
}

impl TrialSampler<'_> {
    /// Trial `number`, different from all of `others`: each setting is at its default or anywhere in its axis, by chance.
    /// None where nothing new is left.
    pub(super) fn by_chance(&self, number: u64, others: &[Chosen]) -> Option<Chosen> {
        self.draw(number, others, |rng, axis, default| {
            let stays = rng.below(2) == 0;
            let place = 1.0 - rng.unit();
            match axis.place(default) {
                Some(_) if stays => default.clone(),
                _ => axis.at(match axis {
                    Axis::Choices(choices) => place * choices.len() as f64,
                    Axis::Range(_) => place,
                }),
            }
        })
    }

    /// Trial `number` by a Parzen estimator of each setting (Bergstra et al. 2011): drawn where the best of `seen` are
    /// dense. `seen`: what was tried, and its figure (higher is better).
    pub(super) fn by_figures(&self, number: u64, seen: &[(&Chosen, f64)], others: &[Chosen]) -> Option<Chosen> {
        self.draw(number, others, |rng, axis, default| self.parzen(rng, axis, default, seen).unwrap_or(default.clone()))
    }

    fn draw(
        &self,
        number: u64,
        others: &[Chosen],
        mut value: impl FnMut(&mut Rng, &Axis, &Value) -> Value,
    ) -> Option<Chosen> {
        (0..TRIES).find_map(|attempt| {
            let mut rng = Rng::at(self.seed, &[DRAW, number, attempt]);
            let of = |(key, axis): (&String, &Axis)| (key.clone(), value(&mut rng, axis, &self.defaults[key]));
            let chosen: Chosen = self.space.0.iter().map(of).collect();
            // One that takes k times as long is drawn a k-th as often, so that all that are dear take no more of the time
            // than those that are not.
            let kept = |cost: f64| rng.unit() <= (1.0 / cost).max(LEAST);
            (!others.contains(&chosen) && (self.cost)(&chosen).is_some_and(kept)).then_some(chosen)
        })
    }

    fn parzen(&self, rng: &mut Rng, axis: &Axis, default: &Value, seen: &[(&Chosen, f64)]) -> Option<Value> {
        let key = self.space.0.iter().find(|(_, other)| std::ptr::eq(*other, axis))?.0;
        let (estimator, span) = match axis {
            Axis::Choices(choices) => (histogram_estimator(), categorical_range(choices.len()).ok()?),
            Axis::Range(_) => (parzen_estimator(), range(0.0, 1.0 + f64::EPSILON).ok()?),
        };
        let mut optimizer =
            TpeOptimizerBuilder::new().gamma(GOOD).candidates(CANDIDATES).build(estimator, span).ok()?;
        for (chosen, figure) in seen {
            if let Some(place) = chosen.get(key).or(Some(default)).and_then(|value| axis.place(value)) {
                // It looks for the least.
                optimizer.tell(place, -figure).ok()?;
            }
        }
        optimizer.ask(&mut Bits(rng)).ok().map(|place| axis.at(place))
    }
}

/// Our random bits for others' code: the same on every host.
struct Bits<'a>(&'a mut Rng);

impl rand::TryRng for Bits<'_> {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok((self.0.next_u64() >> 32) as u32)
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(self.0.next_u64())
    }

    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Infallible> {
        for part in out.chunks_mut(8) {
            let bytes = self.0.next_u64().to_le_bytes();
            part.copy_from_slice(&bytes[..part.len()]);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn space() -> Space {
        let text = "[model]\ntemperature = { from = 0.01, to = 1.0, scale = \"log\" }\n[train]\nbatch_size = [1, 2, 4]";
        Space::from_toml(text, "t").unwrap()
    }

    fn defaults() -> Chosen {
        Chosen::from([("model.temperature".into(), json!(0.2)), ("train.batch_size".into(), json!(2))])
    }

    #[test]
    fn draws_are_new_usable_and_the_same_for_a_seed() {
        let (space, defaults) = (space(), defaults());
        let usable = |chosen: &Chosen| chosen["train.batch_size"] != json!(4);
        let cost = |chosen: &Chosen| usable(chosen).then_some(1.0);
        let sampler = TrialSampler { space: &space, seed: 3, defaults: &defaults, cost: &cost };
        let mut all = vec![defaults.clone()];
        for number in 1..30 {
            let drawn = sampler.by_chance(number, &all).unwrap();
            assert_eq!(sampler.by_chance(number, &all).as_ref(), Some(&drawn));
            assert!(usable(&drawn) && !all.contains(&drawn));
            all.push(drawn);
        }
        let kept = all.iter().filter(|chosen| chosen["model.temperature"] == json!(0.2)).count();
        assert!((2..=3).contains(&kept), "two batch sizes beside the default temperature: {kept}");
    }

    #[test]
    fn what_takes_longer_is_drawn_less_often() {
        let (space, defaults) = (space(), defaults());
        let dear = |chosen: &Chosen| chosen["train.batch_size"] == json!(4);
        let cost = |chosen: &Chosen| Some(if dear(chosen) { 8.0 } else { 0.5 });
        let drawn = |cost: &dyn Fn(&Chosen) -> Option<f64>| {
            let sampler = TrialSampler { space: &space, seed: 3, defaults: &defaults, cost };
            (1..400).filter_map(|number| sampler.by_chance(number, &[])).filter(dear).count()
        };
        // A sixth of all draws; of 5 cheap ones and an eighth of a dear one, one in 41.
        let (all, some) = (drawn(&|_| Some(1.0)), drawn(&cost));
        assert!((50..85).contains(&all) && (3..20).contains(&some), "{all}, {some}");
    }

    #[test]
    fn a_space_may_come_to_its_end() {
        let space = Space::from_toml("[train]\nbatch_size = [1, 2]", "t").unwrap();
        let defaults = Chosen::from([("train.batch_size".into(), json!(1))]);
        let sampler = TrialSampler { space: &space, seed: 0, defaults: &defaults, cost: &|_| Some(1.0) };
        let second = sampler.by_chance(1, std::slice::from_ref(&defaults)).unwrap();
        assert_eq!(sampler.by_chance(2, &[defaults.clone(), second]), None);
    }

    #[test]
    fn draws_by_figures_gather_where_the_good_ones_are() {
        let (space, defaults) = (space(), defaults());
        let sampler = TrialSampler { space: &space, seed: 1, defaults: &defaults, cost: &|_| Some(1.0) };
        let mut tried: Vec<Chosen> = vec![defaults.clone()];
        for number in 1..40 {
            tried.push(sampler.by_chance(number, &tried).unwrap());
        }
        // The best temperature is 0.05.
        let figure = |chosen: &Chosen| -(chosen["model.temperature"].as_f64().unwrap() / 0.05).ln().abs();
        let seen: Vec<(&Chosen, f64)> = tried.iter().map(|chosen| (chosen, figure(chosen))).collect();
        let mean = |drawn: &[Chosen]| drawn.iter().map(figure).sum::<f64>() / drawn.len() as f64;
        let drawn: Vec<Chosen> = (40..60).map(|n| sampler.by_figures(n, &seen, &tried).unwrap()).collect();
        assert!(mean(&drawn) > 0.5 * mean(&tried), "{} beside {}", mean(&drawn), mean(&tried));
    }
}
