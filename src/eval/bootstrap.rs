//! How far a mean over users may be off: the percentile bootstrap.
//!
//! Each resample draws as many users as there are, with replacement, and takes the mean; the interval is what the
//! middle 95 % of the resamples' means span. Every resample has a random stream of its own, so the result does not
//! depend on threads.
//!
//! More than [`GROUPS`] users are dealt at random into that many groups, which are then drawn whole. A random group is
//! as good a sample as a user: the intervals stay right (their widths scatter by sqrt(1 / 2 GROUPS) = 0.6 %, well below
//! what 1000 resamples scatter by themselves), while time and memory no longer grow with the users.

use crate::rng::{Rng, mix};
use crate::threads::Threads;

/// The most units that are drawn from.
pub const GROUPS: usize = 1 << 14;

/// The values of many users, `width` each, to be resampled together.
pub struct Bootstrap {
    width: usize,
    /// Users that are going to be added.
    expected: usize,
    /// Users that were added.
    users: usize,
    /// Per group: how many users, then the sums of their values.
    groups: Vec<f64>,
}

impl Bootstrap {
    /// Prepares for `users` users with `width` values each.
    pub fn new(width: usize, users: usize) -> Bootstrap {
        Bootstrap { width, expected: users, users: 0, groups: vec![0.0; users.min(GROUPS) * (width + 1)] }
    }

    /// Adds a user.
    ///
    /// # Panics
    /// When there are not `width` values, or more users than were expected.
    pub fn push(&mut self, values: &[f64]) {
        assert!(values.len() == self.width && self.users < self.expected, "values of the users that were expected");
        let group = match self.expected > GROUPS {
            true => (mix(self.users as u64 + 1) % GROUPS as u64) as usize,
            false => self.users,
        };
        self.users += 1;
        let at = group * (self.width + 1);
        self.groups[at] += 1.0;
        self.groups[at + 1..].iter_mut().zip(values).for_each(|(sum, value)| *sum += value);
    }

    /// For each value the 2.5th and the 97.5th percentile of its mean over `samples` resamples. None without users or
    /// with fewer than 2 samples.
    pub fn intervals(&self, samples: usize, seed: u64) -> Option<Vec<(f64, f64)>> {
        self.intervals_by(&Threads::available(), samples, seed)
    }

    /// [`intervals`](Bootstrap::intervals), by these threads.
    pub(crate) fn intervals_by(&self, threads: &Threads, samples: usize, seed: u64) -> Option<Vec<(f64, f64)>> {
        if self.users == 0 || samples < 2 || self.width == 0 {
            return None;
        }
        let resamples = threads.map(vec![(); samples], 1, |sample, ()| self.resample(sample as u64, seed));
        let means: Vec<f64> = resamples.concat();
        let mut column = vec![0.0; samples];
        let intervals = (0..self.width).map(|value| {
            for (to, resample) in column.iter_mut().zip(means.chunks_exact(self.width)) {
                *to = resample[value];
            }
            column.sort_unstable_by(f64::total_cmp);
            (quantile(&column, 0.025), quantile(&column, 0.975))
        });
        Some(intervals.collect())
    }

    fn resample(&self, sample: u64, seed: u64) -> Vec<f64> {
        let mut rng = Rng::at(seed, &[sample]);
        let row = self.width + 1;
        let mut sums = vec![0.0; row];
        let groups = self.users.min(GROUPS);
        for _ in 0..groups {
            let at = rng.below(groups as u64) as usize * row;
            sums.iter_mut().zip(&self.groups[at..at + row]).for_each(|(sum, value)| *sum += value);
        }
        let users = sums[0].max(1.0);
        sums[1..].iter().map(|sum| sum / users).collect()
    }
}

/// How much better `a` is than `b`, two rankers' values of the same users in the same order: the mean of the users'
/// differences and its interval. Users differ more from each other than rankers do, so this interval is narrower than
/// what the two rankers' own intervals suggest.
///
/// None without users, where there is not one value of each for every user, or with fewer than 2 samples.
pub fn paired(a: &[f64], b: &[f64], samples: usize, seed: u64) -> Option<(f64, f64, f64)> {
    if a.len() != b.len() {
        return None;
    }
    let mut bootstrap = Bootstrap::new(1, a.len());
    let mut sum = 0.0;
    for (a, b) in a.iter().zip(b) {
        bootstrap.push(&[a - b]);
        sum += a - b;
    }
    let (low, high) = *bootstrap.intervals(samples, seed)?.first()?;
    Some((sum / a.len() as f64, low, high))
}

/// Between the two nearest of the ascending `values` in a line.
fn quantile(values: &[f64], q: f64) -> f64 {
    let at = q * (values.len() - 1) as f64;
    let below = at.floor() as usize;
    let above = (below + 1).min(values.len() - 1);
    values[below] + (values[above] - values[below]) * (at - below as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn users(values: impl IntoIterator<Item = f64>) -> Bootstrap {
        let values: Vec<f64> = values.into_iter().collect();
        let mut bootstrap = Bootstrap::new(2, values.len());
        values.iter().for_each(|v| bootstrap.push(&[*v, 1.0 - v]));
        bootstrap
    }

    /// Every n-th user has 1, the others 0.
    fn every(n: usize, users: usize) -> impl Iterator<Item = f64> {
        (0..users).map(move |i| f64::from(u8::from(i % n == 0)))
    }

    #[test]
    fn equal_users_have_an_interval_of_no_width() {
        let intervals = users([0.25; 30]).intervals(100, 1).unwrap();
        assert_eq!(intervals, vec![(0.25, 0.25), (0.75, 0.75)]);
        assert_eq!(users([0.0; 3]).intervals(100, 1).unwrap()[0], (0.0, 0.0));
    }

    #[test]
    fn the_interval_is_that_of_the_normal_approximation_for_many_users() {
        // Of n users a share p has 1: the mean's standard deviation is sqrt(p (1 - p) / n). The larger numbers of users
        // are drawn in groups; users in order of their values must not make a difference there.
        for n in [2_000_usize, 20_000, 200_000] {
            let half = 1.96 * (0.25 * 0.75 / n as f64).sqrt();
            let sorted = (0..n).map(|i| f64::from(u8::from(i < n / 4)));
            for bootstrap in [users(every(4, n)), users(sorted)] {
                let (low, high) = bootstrap.intervals(1000, 7).unwrap()[0];
                assert!(((0.25 - low) / half - 1.0).abs() < 0.15, "{n}: {low}, expected {}", 0.25 - half);
                assert!(((high - 0.25) / half - 1.0).abs() < 0.15, "{n}: {high}, expected {}", 0.25 + half);
            }
        }
    }

    #[test]
    fn memory_does_not_grow_with_the_users() {
        assert_eq!(users(every(3, 100)).groups.len(), 100 * 3);
        assert_eq!(users(every(3, 100_000)).groups.len(), GROUPS * 3);
    }

    #[test]
    fn a_seed_decides_and_threads_do_not() {
        let bootstrap = users((0..500).map(|i| f64::from(i % 7) / 7.0));
        let many = bootstrap.intervals(200, 3);
        assert_eq!(bootstrap.intervals_by(&Threads::new(1).unwrap(), 200, 3), many);
        assert_eq!(bootstrap.intervals_by(&Threads::new(3).unwrap(), 200, 3), many);
        assert_ne!(bootstrap.intervals(200, 4), many);
    }

    #[test]
    fn nothing_to_resample_gives_none() {
        assert_eq!(users([]).intervals(1000, 0), None);
        assert_eq!(users([0.5]).intervals(0, 0), None);
        assert_eq!(users([0.5]).intervals(1, 0), None);
    }

    #[test]
    fn pairs_are_compared_user_by_user() {
        // The users are far apart; each has 0.01 more with the one than with the other, or 0.03 every second time.
        let b: Vec<f64> = (0..4_000).map(|i| f64::from(i % 10) / 20.0).collect();
        let a: Vec<f64> = b.iter().enumerate().map(|(i, b)| b + if i % 2 == 0 { 0.01 } else { 0.03 }).collect();
        let (mean, low, high) = paired(&a, &b, 500, 1).unwrap();
        assert!((mean - 0.02).abs() < 1e-9);
        let half = 1.96 * 0.01 / 4_000_f64.sqrt();
        assert!(((mean - low) / half - 1.0).abs() < 0.2 && ((high - mean) / half - 1.0).abs() < 0.2, "{low} to {high}");
        let (back, below, above) = paired(&b, &a, 500, 1).unwrap();
        assert!(below < above && above < 0.0 && (back + mean).abs() < 1e-12);
        assert_eq!(paired(&a, &b, 500, 1), Some((mean, low, high)));
    }

    #[test]
    fn what_is_no_pair_is_not_compared() {
        assert_eq!(paired(&[0.5], &[], 100, 0), None);
        assert_eq!(paired(&[], &[], 100, 0), None);
        assert_eq!(paired(&[0.5], &[0.25], 1, 0), None);
        assert_eq!(paired(&[0.5], &[0.25], 100, 0), Some((0.25, 0.25, 0.25)));
    }

    #[test]
    fn quantiles_lie_between_neighbours() {
        let values = [0.0, 1.0, 2.0, 3.0, 4.0];
        assert_eq!((quantile(&values, 0.0), quantile(&values, 1.0)), (0.0, 4.0));
        assert_eq!(quantile(&values, 0.625), 2.5);
        assert_eq!(quantile(&[7.0], 0.025), 7.0);
    }
}
