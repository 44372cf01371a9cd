//! What leads queries to lists: the codes of all centroids, with one more column.

use super::super::super::Cpu;
use super::super::candidates::TopKCandidates;
use super::super::codes::{ItemCodes, QueryCode, step};
use super::super::scan::up_to;
use crate::backend::cpu::simd::{CodeBiases, GROUP, PANEL, Pass, Simd, query_code_at, scan_codes};

/// A row for each list: its centroid, and what counts beside the centroid's score.
pub(crate) struct Guide {
    codes: ItemCodes,
    /// The value of the code 1, in every panel the same.
    unit: f32,
    dim: usize,
    /// Columns that share the extra value, so that it is no larger than the others.
    columns: usize,
    /// The extra values' middle, which no column holds.
    middle: f32,
    /// A query's extra value is multiplied with this in each column, and a list's divided by it.
    balance: f32,
    /// What is added to the score of each list, up to whole panels; absent: nothing.
    biases: Option<Vec<f32>>,
    /// How many items of each list may be given.
    pub counts: Vec<u32>,
    /// Bit j of word i: list 32 i + j has such items.
    live: Vec<u32>,
    /// Items that may be given.
    pub admitted: usize,
}

/// A list, and how much of the score a query may find there: a score that it is likely not to miss.
pub(super) type ListEstimate = (u32, f32);

/// Queries as the guide reads them.
pub(super) struct Guided {
    codes: Vec<i8>,
    about: Vec<ScoreTransform>,
}

/// What turns a query's sums into scores.
#[derive(Clone, Copy)]
struct ScoreTransform {
    unit: f32,
    excess: f32,
    shift: f32,
}

impl Guide {
    /// `centroids`: lists x D; `extra`: what is added to a list's score, times the query's own extra value; `biases`:
    /// what is added as it is, absent: nothing; `counts`: the items of each list.
    pub(crate) fn new(
        cpu: &Cpu,
        centroids: &[f32],
        dim: usize,
        extra: &[f32],
        biases: Option<Vec<f32>>,
        counts: Vec<u32>,
    ) -> Guide {
        let lists = extra.len();
        let (least, most) = extra.iter().fold((f32::INFINITY, f32::NEG_INFINITY), |(a, b), &x| (a.min(x), b.max(x)));
        let middle = if lists == 0 { 0.0 } else { 0.5 * least + 0.5 * most };
        let columns = (dim + 1).next_multiple_of(8) - dim;
        let largest = centroids.iter().fold(0.0f32, |m, x| m.max(x.abs()));
        let share = (most - middle) / columns as f32;
        // Both are finite: lists are made of items that codes stand for.
        let balance = if share > 0.0 && largest > 0.0 { share / largest } else { 1.0 };
        let wide = dim + columns;
        let mut values = Vec::with_capacity(lists * wide);
        for (centroid, x) in centroids.chunks_exact(dim.max(1)).zip(extra) {
            values.extend_from_slice(centroid);
            values.extend(std::iter::repeat_n((x - middle) / columns as f32 / balance, columns));
        }
        let unit = step(&values).unwrap_or(1.0);
        let mut codes = ItemCodes::of_few(lists, wide);
        codes.encode(cpu, 0, &values, None, Some(unit));
        let biases = biases.map(|mut biases| {
            biases.resize(lists.next_multiple_of(PANEL), 0.0);
            biases
        });
        let mut live = vec![0; lists.div_ceil(PANEL)];
        for (list, _) in counts.iter().enumerate().filter(|(_, n)| **n > 0) {
            live[list / PANEL] |= 1 << (list % PANEL);
        }
        let admitted = counts.iter().map(|&n| n as usize).sum();
        Guide { codes, unit, dim, columns, middle, balance, biases, counts, live, admitted }
    }

    /// Encodes queries of `dim` values, with an extra value each. A query that codes cannot stand for is led by nothing.
    #[inline(always)]
    pub(super) fn encode<S: Simd>(&self, _: S, queries: &[f32], extras: impl Iterator<Item = f32>) -> Guided {
        let (rows, width) = (queries.len() / self.dim.max(1), self.codes.width);
        let mut codes = vec![0; rows.next_multiple_of(GROUP) * width];
        let mut about = Vec::with_capacity(rows);
        let mut wide = vec![0.0; self.dim + self.columns];
        for (n, (query, extra)) in queries.chunks_exact(self.dim.max(1)).zip(extras).enumerate() {
            wide[..self.dim].copy_from_slice(query);
            wide[self.dim..].fill(extra * self.balance);
            let group = &mut codes[n / GROUP * GROUP * width..];
            let code = QueryCode::encode(group, &wide, |k| query_code_at::<S>(n % GROUP, k, width)).unwrap_or_default();
            about.push(ScoreTransform { unit: code.step * self.unit, excess: code.excess, shift: extra * self.middle });
        }
        Guided { codes, about }
    }

    /// The `most` lists that promise most to each query, best first; with bars, all that promise as much, in any order.
    #[inline(always)]
    pub(super) fn promising<S: Simd>(
        &self,
        s: S,
        guided: &Guided,
        most: usize,
        bars: Option<&[f32]>,
    ) -> Vec<Vec<ListEstimate>> {
        let (rows, width, lists) = (guided.about.len(), self.codes.width, self.counts.len());
        let start = |n: usize| match bars {
            None => f32::NEG_INFINITY,
            Some(bars) => {
                let ScoreTransform { unit, excess, shift } = guided.about[n];
                ((bars[n] - shift) / unit + excess).floor()
            }
        };
        let mut found: Vec<TopKCandidates> = (0..rows).map(|n| TopKCandidates::from_bar(most, start(n))).collect();
        let (mut sums, mut hits) = ([0.0; GROUP * PANEL], [0; GROUP]);
        for first in (0..rows).step_by(GROUP) {
            let live = (rows - first).min(GROUP);
            let (mut limits, mut units) = ([f32::INFINITY; GROUP], [0.0; GROUP]);
            for r in 0..live {
                limits[r] = start(first + r);
                // A query without codes is led by nothing.
                let unit = guided.about[first + r].unit;
                units[r] = if unit > 0.0 { 1.0 / unit } else { 0.0 };
            }
            let queries = &guided.codes[first * width..(first + GROUP) * width];
            for list in (0..lists).step_by(PANEL) {
                let (bytes, _) = self.codes.panel(list);
                let biases: Option<&[f32; PANEL]> =
                    self.biases.as_ref().and_then(|biases| biases[list..].first_chunk());
                let mut loose = [f32::NEG_INFINITY; GROUP];
                if let Some(biases) = biases {
                    let top = biases.iter().fold(f32::NEG_INFINITY, |m, &b| m.max(b));
                    for (loose, (limit, unit)) in loose.iter_mut().zip(limits.iter().zip(&units)) {
                        let most = top * unit;
                        *loose = (limit - most - 1e-6 * (limit.abs() + most.abs())).max(f32::NEG_INFINITY);
                    }
                }
                let biases = biases.map(|values| CodeBiases { values, units: &units, loose: &loose });
                let pass = Pass { queries, panel: bytes, bars: &limits, width, live };
                if !scan_codes(s, &mut sums, &mut hits, pass, biases) {
                    continue;
                }
                let there = self.live[list / PANEL] & up_to(lists - list);
                for (r, &hits) in hits[..live].iter().enumerate().filter(|(_, hits)| **hits & there != 0) {
                    let sums = &sums[r * PANEL..(r + 1) * PANEL];
                    limits[r] = found[first + r].push(hits & there, sums, list, Some);
                }
            }
        }
        let promise = |(list, n): (TopKCandidates, usize)| {
            let ScoreTransform { unit, excess, shift } = guided.about[n];
            list.sorted().map(|(sum, list)| (list, (sum - excess) * unit + shift)).collect()
        };
        found.into_iter().zip(0..).map(promise).collect()
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
