//! What leads queries to lists: estimates of what each list holds for them.

use crate::backend::cpu::Cpu;
use crate::backend::cpu::topk::{CodedRows, Estimate, EstimateQueries};

/// A row for each list: its centroid, and what counts beside the centroid's score.
pub(crate) struct Guide {
    lists: CodedRows,
    /// How many items of each list may be given.
    pub counts: Vec<u32>,
    /// Items that may be given.
    pub admitted: usize,
}

impl Guide {
    /// `centroids`: lists x D; `extra`: what is added to a list's score, times the query's own extra value; `biases`:
    /// what is added as it is, absent: nothing; `counts`: the items of each list.
    pub(super) fn new(
        cpu: &Cpu,
        centroids: &[f32],
        dim: usize,
        extra: &[f32],
        biases: Option<Vec<f32>>,
        counts: Vec<u32>,
    ) -> Guide {
        let lists = CodedRows::new(cpu, centroids, dim, extra, biases, |list| counts[list] > 0);
        let admitted = counts.iter().map(|&n| n as usize).sum();
        Guide { lists, counts, admitted }
    }

    /// The lists that promise most to each query, with a score that it is likely not to miss in them.
    pub(super) fn promising(&self, cpu: &Cpu, asked: EstimateQueries<'_>) -> Vec<Vec<Estimate>> {
        self.lists.best(cpu, asked)
    }
}

/// Where a normal variable has this much of its weight above: the inverse of its tail, within 5e-4 (Abramowitz and
/// Stegun, 26.2.23), and -3 to 8.
pub(super) fn tail(weight: f64) -> f32 {
    // A weight that is no number comes of a list without items.
    if weight.is_nan() || weight >= 0.998 {
        return -3.0;
    }
    let p = weight.min(1.0 - weight).max(1e-15);
    let t = (-2.0 * p.ln()).sqrt();
    let z =
        t - (2.515_517 + t * (0.802_853 + t * 0.010_328)) / (1.0 + t * (1.432_788 + t * (0.189_269 + t * 0.001_308)));
    (if weight <= 0.5 { z } else { -z }) as f32
}

#[cfg(test)]
mod tests {
    use super::tail;

    #[test]
    fn tails_of_the_normal_distribution() {
        for (weight, z) in [(0.5, 0.0), (0.158_655, 1.0), (0.022_75, 2.0), (1.35e-3, 3.0), (0.841_345, -1.0)] {
            assert!((tail(weight) - z).abs() < 1e-3, "{weight}: {} beside {z}", tail(weight));
        }
        assert_eq!((tail(1.0), tail(5.0), tail(f64::NAN), tail(f64::INFINITY)), (-3.0, -3.0, -3.0, -3.0));
        assert!(tail(0.0) > 7.0 && tail(1e-12) > tail(1e-9));
    }
}
