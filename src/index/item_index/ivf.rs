//! Approximate top K by inverted lists: items lie by cluster, and a query reads only the lists that are likely to hold
//! some of its best.
//!
//! How likely: within a list the scores of its n items spread about the score of its centroid, `<q, c> + r(q) s z`, where
//! s is the list's spread, r(q) how far the residuals of all lists reach in the direction of q, and z is normal. The list
//! holds `n P(z > x)` items above a bar in expectation; it is worth reading where that is at least `missed * k`. Solved for
//! the bar: where `<q, c> + r(q) s z(n) >= bar`, `z(n)` being where a normal variable has the tail `missed * k / n`. That is
//! an inner product with one more column, so all lists are weighed by one scan of codes, with or without a filter (n then
//! counts the items that it lets through). `missed` is found by measuring.
//!
//! Biases take part in what makes items neighbours, so that those with large ones lie together. Among the n items of a
//! list whose bias is at least t, a bar is promised as above, with t added: t is chosen so that a usual query is
//! promised most. A single item with a large bias counts as well as many that are alike.
//!
//! A search goes twice over its lists: the few most promising give each query a bar, then every list that may reach the
//! bar. Queries are gathered by list, so that a list is read from memory once for all of them. Lists that are read are
//! searched as the exact search does, with bounds that hold but for about one item in a million; the scores are exact.

mod guide;
mod probe;
mod train;

use crate::Result;
use crate::backend::cpu::Cpu;
use crate::backend::cpu::topk::{CpuItems, ItemView, PANEL, TopKQueries, quadratic_norms, topk, within};
use crate::slab::Slab;

pub(super) use guide::Guide;
pub(super) use train::{OwnRows, train};

/// A catalogue in inverted lists.
pub(crate) struct InvertedLists {
    /// Items by list, and within a list by row.
    pub items: CpuItems,
    /// The row of each place.
    pub order: Slab<u32>,
    /// Where each list starts; one more than there are lists.
    pub starts: Slab<u32>,
    /// Lists x D.
    pub centroids: Slab<f32>,
    /// What items near a centroid add to their scores; absent where items are not biased.
    pub centroid_biases: Option<Slab<f32>>,
    /// The standard deviation of each list's residuals in one direction, on average over directions.
    pub spreads: Slab<f32>,
    /// D x D: the covariance of all residuals, scaled so that its trace is D.
    pub shape: Slab<f32>,
}

/// How to search lists.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Effort {
    /// A list is left out where it is expected to hold less than this part of the k best.
    pub missed: f32,
}

impl InvertedLists {
    /// The number of lists.
    pub(crate) fn count(&self) -> usize {
        self.spreads.len()
    }

    /// How many items of each list may be given.
    fn counts(&self, allowed: Option<&[u32]>) -> Vec<u32> {
        let count = |range: &[u32]| match allowed {
            None => range[1] - range[0],
            Some(allowed) => ones(allowed, range[0] as usize, range[1] as usize),
        };
        self.starts.windows(2).map(count).collect()
    }

    /// What leads the searches for `k` items to their lists. `queries`: some of those that will be asked, rows x D.
    pub(crate) fn guide(&self, cpu: &Cpu, k: usize, effort: Effort, allowed: Option<&[u32]>, queries: &[f32]) -> Guide {
        let (counts, dim) = (self.counts(allowed), self.items.dim());
        let tail = |n: f64| guide::tail(f64::from(effort.missed) * k as f64 / n);
        let Some(biases) = &self.items.biases else {
            let reach = |(&n, &spread): (&u32, &f32)| spread * tail(f64::from(n));
            let extra: Vec<f32> = counts.iter().zip(self.spreads.iter()).map(reach).collect();
            return Guide::new(cpu, &self.centroids, dim, &extra, None, counts);
        };
        let usual = usual_reach(cpu, queries, &self.shape, dim);
        let mut promises = vec![(0.0, 0.0); self.count()];
        let tasks = promises.chunks_mut(64).zip((0..).step_by(64)).collect();
        cpu.threads.each(true, tasks, |(promises, first): (&mut [(f32, f32)], usize)| {
            for (promise, list) in promises.iter_mut().zip(first..) {
                let places = self.starts[list] as usize..self.starts[list + 1] as usize;
                let given = |&place: &usize| allowed.is_none_or(|bits| bits[place / PANEL] >> (place % PANEL) & 1 == 1);
                let mut biases: Vec<f32> = places.filter(given).map(|place| biases[place]).collect();
                *promise = most_promising(&mut biases, self.spreads[list], usual, &tail);
            }
        });
        let (extra, biases): (Vec<f32>, Vec<f32>) = promises.into_iter().unzip();
        Guide::new(cpu, &self.centroids, dim, &extra, Some(biases), counts)
    }

    /// The `k` best items of each query that the guide's lists have; `view.order` is not asked. Fewer than k only where
    /// no more may be given. A query is answered the same whatever others are asked with it. Answers how many items all
    /// lists had that were read.
    pub(crate) fn search(
        &self,
        cpu: &Cpu,
        ids: &mut [u32],
        scores: &mut [f32],
        search: &TopKQueries<'_>,
        guide: &Guide,
    ) -> Result<u64> {
        let search = &TopKQueries { view: ItemView { order: Some(&self.order), ..search.view }, ..*search };
        search.check("topk", ids, scores, &self.items)?;
        let (rows, k, dim) = (search.rows, search.k, self.items.dim());
        let (read, left) = probe::search(cpu, self, &mut ids[..rows * k], &mut scores[..rows * k], search, guide);
        // What no code stands for, and lists that came out short.
        for query in left {
            let one = search.one(query, dim);
            let (ids, scores) = (&mut ids[query * k..(query + 1) * k], &mut scores[query * k..(query + 1) * k]);
            topk(cpu, ids, scores, &self.items, &one.search(), None)?;
        }
        Ok(read)
    }

    /// Every item, searched exactly.
    pub(crate) fn exact(&self, cpu: &Cpu, ids: &mut [u32], scores: &mut [f32], search: &TopKQueries<'_>) -> Result<()> {
        let view = ItemView { order: Some(&self.order), ..search.view };
        topk(cpu, ids, scores, &self.items, &TopKQueries { view, ..*search }, None)
    }
}

/// What a list with these biases promises: what is multiplied with a query's reach, and what is added to it. For the n
/// best biases these are `spread * tail(n)` and the least of the n; n is chosen so that a reach of `usual` is promised
/// most.
fn most_promising(biases: &mut [f32], spread: f32, usual: f32, tail: &impl Fn(f64) -> f32) -> (f32, f32) {
    biases.sort_unstable_by(|a, b| b.total_cmp(a));
    let (mut best, mut n) = ((0.0, 0.0), 1);
    let mut most = f32::NEG_INFINITY;
    while n <= biases.len() {
        let promise = (spread * tail(n as f64), biases[n - 1]);
        let value = promise.0 * usual + promise.1;
        if value > most {
            (best, most) = (promise, value);
        }
        // Doubled, and all of them at last.
        n = if n < biases.len() { (2 * n).min(biases.len()) } else { n + 1 };
    }
    best
}

/// The ones among bits `from..to`.
fn ones(words: &[u32], from: usize, to: usize) -> u32 {
    if from >= to {
        return 0;
    }
    let (first, last) = (from / PANEL, (to - 1) / PANEL);
    (first..=last).map(|w| (words[w] & within(w * PANEL, from, to)).count_ones()).sum()
}

/// How far residuals reach in the direction of a usual query: the mean over some of these (rows x D); 1 where there are
/// none.
fn usual_reach(cpu: &Cpu, queries: &[f32], shape: &[f32], dim: usize) -> f32 {
    /// Queries that are asked.
    const SOME: usize = 64;
    let rows = queries.len() / dim.max(1);
    let some = queries.chunks_exact(dim.max(1)).step_by(rows.div_ceil(SOME).max(1));
    let reaches = quadratic_norms(cpu, &some.flatten().copied().collect::<Vec<_>>(), shape, dim);
    if reaches.is_empty() { 1.0 } else { reaches.iter().sum::<f32>() / reaches.len() as f32 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_promises_what_its_best_or_all_of_its_items_do() {
        let tail = |n: f64| guide::tail(0.1 / n);
        let all = |biases: &[f32], spread| most_promising(&mut biases.to_vec(), spread, 1.0, &tail);
        assert_eq!(all(&[], 0.5), (0.0, 0.0));
        // Alike: all of them. One that stands out: it alone, whatever the others are.
        assert_eq!(all(&[0.25; 40], 0.5), (0.5 * tail(40.0), 0.25));
        let mut biases = [0.0; 40];
        biases[17] = 9.0;
        assert_eq!(all(&biases, 0.5), (0.5 * tail(1.0), 9.0));
        biases[17] = 0.1;
        assert_eq!(all(&biases, 0.5), (0.5 * tail(40.0), 0.0));
    }

    #[test]
    fn ones_between_any_two_places() {
        let words = [0xf0f0_0001u32, 0, u32::MAX];
        let bit = |i: usize| words[i / 32] >> (i % 32) & 1;
        for from in 0..=96 {
            for to in from..=96 {
                assert_eq!(ones(&words, from, to), (from..to).map(bit).sum::<u32>(), "{from}..{to}");
            }
        }
    }
}
