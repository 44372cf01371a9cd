//! What each setting was worth: how much of the difference between trials it explains.

use super::axis::Axis;
use super::state::SearchState;

/// Parts that a range is cut into.
const PARTS: usize = 4;

/// What a setting was worth.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Worth {
    pub(super) key: String,
    /// The share of the variance of the first rung's figures that its values explain (omega squared: what chance would
    /// explain is taken off), from 0 to 1.
    pub(super) share: f64,
}

/// The settings, those first that explain most. All trials stand on the first rung, drawn from all of the space.
pub(super) fn worth(state: &SearchState) -> Vec<Worth> {
    let mut all: Vec<Worth> = state
        .asked
        .space
        .0
        .iter()
        .map(|(key, axis)| {
            let points = state.trials.iter().filter_map(|trial| {
                let place = axis.place(trial.chosen.get(key)?)?;
                Some((part(axis, place), trial.value_at(0)?))
            });
            Worth { key: key.clone(), share: explained(&points.collect::<Vec<_>>()) }
        })
        .collect();
    all.sort_by(|a, b| b.share.total_cmp(&a.share).then_with(|| a.key.cmp(&b.key)));
    all
}

fn part(axis: &Axis, place: f64) -> usize {
    match axis {
        Axis::Choices(_) => place as usize,
        Axis::Range(_) => ((place * PARTS as f64) as usize).min(PARTS - 1),
    }
}

/// Omega squared of a one-way analysis of variance over (group, value).
fn explained(points: &[(usize, f64)]) -> f64 {
    let groups = points.iter().map(|(group, _)| group + 1).max().unwrap_or(0);
    let mut sums = vec![(0.0, 0.0); groups];
    for (group, value) in points {
        sums[*group].0 += 1.0;
        sums[*group].1 += value;
    }
    sums.retain(|(count, _)| *count > 0.0);
    let (n, g) = (points.len() as f64, sums.len() as f64);
    if g < 2.0 || n <= g {
        return 0.0;
    }
    let mean = points.iter().map(|(_, value)| value).sum::<f64>() / n;
    let total: f64 = points.iter().map(|(_, value)| (value - mean).powi(2)).sum();
    let between: f64 = sums.iter().map(|(count, sum)| count * (sum / count - mean).powi(2)).sum();
    let within = (total - between).max(0.0) / (n - g);
    let share = (between - (g - 1.0) * within) / (total + within);
    if share.is_finite() { share.clamp(0.0, 1.0) } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_explains_what_differs_by_it_alone() {
        let clear: Vec<(usize, f64)> = (0..40).map(|n| (n % 2, (n % 2) as f64 + 0.01 * (n / 2 % 3) as f64)).collect();
        assert!(explained(&clear) > 0.99, "{}", explained(&clear));
        let none: Vec<(usize, f64)> = (0..40).map(|n| (n % 2, (n / 2 % 5) as f64)).collect();
        assert!(explained(&none) < 0.01, "{}", explained(&none));
        for few in [vec![], vec![(0, 1.0)], vec![(0, 1.0), (1, 2.0)], vec![(3, 1.0); 9]] {
            assert_eq!(explained(&few), 0.0, "{few:?}");
        }
    }
}
