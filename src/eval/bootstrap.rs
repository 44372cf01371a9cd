//! How far a mean over users may be off: the percentile bootstrap.
//!
//! Each resample draws as many users as there are, with replacement, and takes the mean; the interval is what the
//! middle 95 % of the resamples' means span. Every resample has a random stream of its own, so the result does not
//! depend on threads. Most users of a large catalogue have zeros everywhere: they are kept as a count, and drawing one
//! costs no memory access.

use rayon::prelude::*;

/// The values of many users, `width` each, to be resampled together.
pub struct Bootstrap {
    width: usize,
    /// Users with a value other than zero, one row of `width` values each.
    rows: Vec<f32>,
    /// All users.
    users: u64,
}

impl Bootstrap {
    /// No users yet; each will have `width` values.
    pub fn new(width: usize) -> Bootstrap {
        Bootstrap { width, rows: Vec::new(), users: 0 }
    }

    /// Adds a user.
    ///
    /// # Panics
    /// When there are not `width` values.
    pub fn push(&mut self, values: &[f64]) {
        assert_eq!(values.len(), self.width, "values of a user");
        self.users += 1;
        if values.iter().any(|&v| v != 0.0) {
            self.rows.extend(values.iter().map(|&v| v as f32));
        }
    }

    /// For each value the 2.5th and the 97.5th percentile of its mean over `samples` resamples. None without users or
    /// with fewer than 2 samples.
    pub fn intervals(&self, samples: usize, seed: u64) -> Option<Vec<(f64, f64)>> {
        if self.users == 0 || samples < 2 || self.width == 0 {
            return None;
        }
        let means: Vec<f64> = (0..samples as u64).into_par_iter().flat_map_iter(|s| self.resample(s, seed)).collect();
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
        let mut stream = SplitMix(mix(seed ^ mix(sample.wrapping_add(1))));
        let mut sums = vec![0.0; self.width];
        let rows = (self.rows.len() / self.width) as u64;
        for _ in 0..self.users {
            let drawn = stream.below(self.users);
            if drawn < rows {
                let at = drawn as usize * self.width;
                for (sum, &value) in sums.iter_mut().zip(&self.rows[at..at + self.width]) {
                    *sum += f64::from(value);
                }
            }
        }
        sums.iter_mut().for_each(|sum| *sum /= self.users as f64);
        sums
    }
}

/// Between the two nearest of the ascending `values` in a line.
fn quantile(values: &[f64], q: f64) -> f64 {
    let at = q * (values.len() - 1) as f64;
    let below = at.floor() as usize;
    let above = (below + 1).min(values.len() - 1);
    values[below] + (values[above] - values[below]) * (at - below as f64)
}

/// The generator of Steele, Lea and Flood (2014): one multiplication chain a number, any seed is good.
struct SplitMix(u64);

impl SplitMix {
    /// Uniform in `0..n`; the multiply-shift's bias of n / 2^64 is far below what a resample can show.
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        ((u128::from(mix(self.0)) * u128::from(n)) >> 64) as u64
    }
}

fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn users(values: impl IntoIterator<Item = f64>) -> Bootstrap {
        let mut bootstrap = Bootstrap::new(2);
        values.into_iter().for_each(|v| bootstrap.push(&[v, 1.0 - v]));
        bootstrap
    }

    #[test]
    fn equal_users_have_an_interval_of_no_width() {
        let intervals = users([0.25; 30]).intervals(100, 1).unwrap();
        assert_eq!(intervals, vec![(0.25, 0.25), (0.75, 0.75)]);
        assert_eq!(users([0.0; 3]).intervals(100, 1).unwrap()[0], (0.0, 0.0));
    }

    #[test]
    fn the_interval_is_that_of_the_normal_approximation_for_many_users() {
        // 2000 users, 30 % of them 1: the mean's standard deviation is sqrt(0.3 x 0.7 / 2000) = 0.01025.
        let bootstrap = users((0..2000).map(|i| f64::from(u8::from(i % 10 < 3))));
        let (low, high) = bootstrap.intervals(1000, 7).unwrap()[0];
        let half = 1.96 * (0.21_f64 / 2000.0).sqrt();
        assert!((low - (0.3 - half)).abs() < 0.003, "{low}");
        assert!((high - (0.3 + half)).abs() < 0.003, "{high}");
    }

    #[test]
    fn zero_rows_are_counted_and_not_kept() {
        let mut bootstrap = Bootstrap::new(1);
        (0..1000).for_each(|i| bootstrap.push(&[f64::from(u8::from(i % 100 == 0))]));
        assert_eq!((bootstrap.users, bootstrap.rows.len()), (1000, 10));
        let (low, high) = bootstrap.intervals(1000, 0).unwrap()[0];
        assert!(low > 0.002 && low < 0.01 && high > 0.01 && high < 0.02, "{low} {high}");
    }

    #[test]
    fn a_seed_decides_and_threads_do_not() {
        let bootstrap = users((0..500).map(|i| f64::from(i % 7) / 7.0));
        let many = bootstrap.intervals(200, 3);
        let one = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
        assert_eq!(one.install(|| bootstrap.intervals(200, 3)), many);
        assert_ne!(bootstrap.intervals(200, 4), many);
    }

    #[test]
    fn nothing_to_resample_gives_none() {
        assert_eq!(users([]).intervals(1000, 0), None);
        assert_eq!(users([0.5]).intervals(0, 0), None);
        assert_eq!(users([0.5]).intervals(1, 0), None);
    }

    #[test]
    fn quantiles_lie_between_neighbours() {
        let values = [0.0, 1.0, 2.0, 3.0, 4.0];
        assert_eq!((quantile(&values, 0.0), quantile(&values, 1.0)), (0.0, 4.0));
        assert_eq!(quantile(&values, 0.625), 2.5);
        assert_eq!(quantile(&[7.0], 0.025), 7.0);
    }
}
