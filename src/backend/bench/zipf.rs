//! Ids as people's choices are spread.

use crate::rng::Rng;

/// Zipf ids (exponent 1) from 1 to `rows - 1`, in an order of popularity that is not the order of the ids; and log q.
pub(super) struct Zipf {
    cumulative: Vec<f64>,
    order: Vec<u32>,
}

impl Zipf {
    pub(super) fn new(rows: usize, rng: &mut Rng) -> Zipf {
        let mut sum = 0.0;
        let cumulative = (1..rows)
            .map(|r| {
                sum += 1.0 / r as f64;
                sum
            })
            .collect();
        let mut order: Vec<u32> = (1..rows as u32).collect();
        for i in (1..order.len()).rev() {
            order.swap(i, rng.below(i as u64 + 1) as usize);
        }
        Zipf { cumulative, order }
    }

    /// An id and -log q.
    pub(super) fn draw(&self, rng: &mut Rng) -> (u32, f32) {
        let total = self.cumulative[self.cumulative.len() - 1];
        let x = (rng.symmetric(0.5) + 0.5) * total;
        let rank = self.cumulative.partition_point(|&c| c < x).min(self.order.len() - 1);
        (self.order[rank], ((rank + 1) as f64 * total).ln() as f32)
    }
}
