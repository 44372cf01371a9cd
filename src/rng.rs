//! Random numbers by counter: a stream is named by its seed and its place, so that any part of a run can be drawn
//! again by any thread.

/// SplitMix64's finaliser (Steele, Lea, Flood 2014): a bijection that scatters neighbouring numbers.
pub fn mix(x: u64) -> u64 {
    let x = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// A SplitMix64 stream.
#[derive(Clone, Debug)]
pub struct Rng(u64);

impl Rng {
    /// The stream of `place` (what it is for, epoch, batch, row, …) under `seed`.
    pub fn at(seed: u64, place: &[u64]) -> Rng {
        Rng(place.iter().fold(mix(seed), |state, &x| mix(state ^ mix(x))))
    }

    /// 64 random bits.
    pub fn next_u64(&mut self) -> u64 {
        let value = mix(self.0);
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        value
    }

    /// Uniform in `0..n`, without bias (Lemire 2019). `n` must not be 0.
    pub fn below(&mut self, n: u64) -> u64 {
        debug_assert!(n > 0);
        let mut product = u128::from(self.next_u64()) * u128::from(n);
        if (product as u64) < n {
            let threshold = n.wrapping_neg() % n;
            while (product as u64) < threshold {
                product = u128::from(self.next_u64()) * u128::from(n);
            }
        }
        (product >> 64) as u64
    }

    /// [`below`](Rng::below) for small bounds, in 32-bit arithmetic.
    pub fn below_u32(&mut self, n: u32) -> u32 {
        debug_assert!(n > 0);
        let mut product = (self.next_u64() >> 32) * u64::from(n);
        if (product as u32) < n {
            let threshold = n.wrapping_neg() % n;
            while (product as u32) < threshold {
                product = (self.next_u64() >> 32) * u64::from(n);
            }
        }
        (product >> 32) as u32
    }

    /// Shuffles a slice (Fisher and Yates).
    pub fn shuffle<T>(&mut self, values: &mut [T]) {
        for i in (1..values.len()).rev() {
            values.swap(i, self.below(i as u64 + 1) as usize);
        }
    }

    /// Uniform in (0, 1].
    pub fn unit(&mut self) -> f64 {
        ((self.next_u64() >> 11) + 1) as f64 / (1u64 << 53) as f64
    }

    /// Uniform in [-limit, limit).
    pub fn symmetric(&mut self, limit: f64) -> f64 {
        limit * (1.0 - 2.0 * self.unit())
    }

    /// Fills with draws of N(0, std) (Box and Muller 1958).
    pub fn fill_normal(&mut self, out: &mut [f32], std: f32) {
        for pair in out.chunks_mut(2) {
            let radius = (-2.0 * self.unit().ln()).sqrt() * f64::from(std);
            let (sin, cos) = (std::f64::consts::TAU * self.unit()).sin_cos();
            pair[0] = (radius * cos) as f32;
            if let Some(second) = pair.get_mut(1) {
                *second = (radius * sin) as f32;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_repeat_and_differ() {
        let draw = |place: &[u64]| Rng::at(7, place).next_u64();
        assert_eq!(draw(&[1, 2]), draw(&[1, 2]));
        assert_ne!(draw(&[1, 2]), draw(&[2, 1]));
        assert_ne!(Rng::at(7, &[1]).next_u64(), Rng::at(8, &[1]).next_u64());
    }

    #[test]
    fn below_covers_its_range_evenly() {
        let mut rng = Rng::at(1, &[]);
        let mut seen = [0u32; 7];
        for _ in 0..70_000 {
            seen[rng.below(7) as usize] += 1;
        }
        // 4 standard deviations of a binomial with n = 70,000 and p = 1/7.
        assert!(seen.iter().all(|&n| (f64::from(n) - 10_000.0).abs() < 4.0 * 92.6), "{seen:?}");
    }

    #[test]
    fn small_bounds_are_even_too() {
        let mut rng = Rng::at(1, &[]);
        assert!((0..1000).all(|_| rng.below_u32(1) == 0));
        // Three quarters of 2^32: a biased draw would favour low numbers by a third.
        let bound = 3 << 30;
        let low = (0..30_000).filter(|_| rng.below_u32(bound) < bound / 2).count();
        assert!((14_600..15_400).contains(&low), "{low}");
    }

    #[test]
    fn normals_have_their_moments() {
        let mut values = vec![0.0f32; 100_001];
        Rng::at(3, &[]).fill_normal(&mut values, 0.5);
        let n = values.len() as f64;
        let mean = values.iter().map(|&x| f64::from(x)).sum::<f64>() / n;
        let variance = values.iter().map(|&x| f64::from(x).powi(2)).sum::<f64>() / n;
        assert!(mean.abs() < 4.0 * 0.5 / n.sqrt(), "{mean}");
        assert!((variance - 0.25).abs() < 4.0 * 0.25 * (2.0 / n).sqrt(), "{variance}");
    }
}
