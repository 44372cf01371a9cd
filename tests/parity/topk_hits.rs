//! The hits among the best of each query: on every backend those of the oracle's lists.

use super::*;
use crate::backend::{Backend, HitCounts, Relevant, Skip, TopK};
use crate::{Error, Result};
use std::ops::Range;

/// Lists, one behind the other, and where they end.
fn joined(lists: &[Vec<u32>]) -> (Vec<usize>, Vec<u32>) {
    let ends = lists.iter().scan(0, |at, list| {
        *at += list.len();
        Some(*at)
    });
    (std::iter::once(0).chain(ends).collect(), lists.concat())
}

/// Queries, items, and what is relevant to each query.
#[derive(Clone, Copy)]
struct Case<'a> {
    queries: &'a [f32],
    items: &'a [f32],
    dim: usize,
    skip: Option<&'a [Vec<u32>]>,
    relevant: &'a [Vec<u32>],
    k: usize,
}

impl Case<'_> {
    /// Counts the hits of queries `of` alone, into memory that is poisoned.
    fn count<B: Backend>(
        &self,
        backend: &B,
        items: &B::Items,
        first_places: &mut B::Buf<u32>,
        of: Range<usize>,
    ) -> Vec<u32> {
        let queries = backend.upload(self.queries[of.start * self.dim..of.end * self.dim].to_vec()).expect("fits");
        let (ends, wanted) = joined(&self.relevant[of.clone()]);
        let skip = self.skip.map(|skip| joined(&skip[of.clone()]));
        let skip = skip.as_ref().map(|(offsets, items)| Skip { offsets, items });
        let mut hits = vec![7; of.len() * self.k.div_ceil(32)];
        let listed = wanted.len();
        // Inputs of a batch, as a model stages them, with more behind them than is theirs.
        let (mut offsets, mut items_wanted) = (backend.zeros(0).expect("fits"), backend.zeros(0).expect("fits"));
        let ends: Vec<u32> = ends.iter().map(|&end| end as u32).collect();
        let wanted = [wanted, (0..50).collect()].concat();
        backend.begin_batch().expect("begins");
        backend.stage(&mut offsets, &ends).expect("fits");
        backend.stage(&mut items_wanted, &wanted).expect("fits");
        let asked = TopK { queries: &queries, rows: of.len(), k: self.k, skip };
        let counts = HitCounts { hits: &mut hits, first_places };
        let relevant = Relevant { offsets: &offsets, items: &items_wanted, listed };
        backend.topk_hits(counts, items, &asked, &relevant).expect("runs");
        hits
    }

    /// In two calls, which share the first places of items.
    fn check<B: Backend>(&self, name: &str, backend: &B) {
        let (rows, n) = (self.queries.len() / self.dim, self.items.len() / self.dim);
        let mut items = backend.items(n, self.dim, false).expect("room");
        let values = backend.upload(self.items.to_vec()).expect("fits");
        backend.pack_items(&mut items, 0, &values, None, n).expect("packs");
        let mut first_places = backend.upload(vec![u32::MAX; n]).expect("fits");
        let mut hits = self.count(backend, &items, &mut first_places, 0..rows / 2);
        hits.extend(self.count(backend, &items, &mut first_places, rows / 2..rows));

        let lists = self.queries.chunks(self.dim).enumerate().map(|(q, query)| {
            let scores = naive::topk::scores(&wide(query), &wide(self.items), None);
            naive::topk::topk(&scores, self.skip.map_or(&[], |skip| &skip[q]), self.k)
        });
        let lists: Vec<Vec<u32>> = lists.collect();
        let words = self.k.div_ceil(32);
        for (q, list) in lists.iter().enumerate() {
            let mut expected = naive::topk::hits(list, &self.relevant[q]);
            expected.resize(32 * words, false);
            let found: Vec<bool> = (0..32 * words).map(|at| hits[q * words + at / 32] >> (at % 32) & 1 == 1).collect();
            assert_eq!(found, expected, "{name}, query {q}");
        }
        let found = backend.host(&first_places, n).expect("reads");
        assert_eq!(*found, naive::topk::first_places(&lists, n), "{name}");
    }
}

/// Small whole numbers, whose scores are exact; nothing relevant, everything, items twice, and rows that are no items.
pub(crate) fn ragged<B: Backend>(name: &str, backend: &B) {
    let mut random = Random(23);
    // Lists of one word and more, shorter than k, whole catalogues; the last ones are scanned for on a device.
    let shapes = [(1, 1, 4, 1), (2, 33, 7, 5), (9, 100, 12, 32), (9, 100, 12, 33), (5, 64, 4, 100), (70, 2309, 16, 20)];
    for (rows, n, dim, k) in shapes {
        let mut whole = |n: usize| -> Vec<f32> { (0..n).map(|_| random.below(7) as f32 - 3.0).collect() };
        let (mut queries, items) = (whole(rows * dim), whole(n * dim));
        if rows > 3 {
            // A device scans for no query that is zero: its list comes after the others.
            queries[3 * dim..4 * dim].fill(0.0);
        }
        let skip: Vec<Vec<u32>> = (0..rows).map(|_| (0..n as u32).filter(|_| random.below(4) == 0).collect()).collect();
        let relevant = |q: usize| -> Vec<u32> {
            match q % 5 {
                0 => (0..n as u32).filter(|item| item % 3 == 0).collect(),
                1 => vec![],
                2 => (0..n as u32 + 9).chain([u32::MAX]).collect(),
                3 => (0..n as u32).flat_map(|item| [item; 2]).collect(),
                _ => vec![n as u32 - 1],
            }
        };
        let relevant: Vec<Vec<u32>> = (0..rows).map(relevant).collect();
        for skip in [None, Some(&skip[..])] {
            let case = Case { queries: &queries, items: &items, dim, skip, relevant: &relevant, k };
            case.check(&format!("{name}: {rows} queries, {n} items, k {k}, skip {}", skip.is_some()), backend);
        }
    }
}

/// Nothing to find, ends that are none, and what does not fit together.
pub(crate) fn edges<B: Backend>(backend: &B) {
    let ask = |n: usize, k: usize, ends: &[u32], listed: usize, hits: &mut [u32], places: usize| -> Result<()> {
        let mut items = backend.items(n, 4, false)?;
        backend.pack_items(&mut items, 0, &backend.upload(vec![1.0; n * 4])?, None, n)?;
        let (queries, mut first_places) = (backend.upload(vec![1.0; 8])?, backend.upload(vec![u32::MAX; places])?);
        let (offsets, wanted) = (backend.upload(ends.to_vec())?, backend.upload(vec![0, 1, 3])?);
        let asked = TopK { queries: &queries, rows: 2, k, skip: None };
        let relevant = Relevant { offsets: &offsets, items: &wanted, listed };
        backend.topk_hits(HitCounts { hits, first_places: &mut first_places }, &items, &asked, &relevant)
    };
    let mut hits = [7; 4];
    ask(5, 0, &[0, 1, 2], 2, &mut hits, 5).expect("no places");
    assert_eq!(hits, [7; 4]);
    ask(0, 40, &[0, 1, 2], 2, &mut hits, 0).expect("no items");
    assert_eq!(hits, [0; 4]);
    // All scores are equal: places are items. What is behind the listed items is read by nobody.
    for (ends, listed, expected) in [
        ([0, 1, 3], 3, [1, 0, 0b1010, 0]),
        ([0, 1, 3], 2, [1, 0, 0b10, 0]),
        ([0, 9, u32::MAX], 3, [0b1011, 0, 0, 0]),
        ([2, 1, 3], 3, [0, 0, 0b1010, 0]),
        ([0, 1, 3], 0, [0; 4]),
    ] {
        ask(5, 40, &ends, listed, &mut hits, 5).expect("runs");
        assert_eq!(hits, expected, "{ends:?}, {listed} listed");
    }
    let mut refused = |ends: &[u32], listed: usize, words: usize, places: usize| {
        let error = ask(5, 40, ends, listed, &mut hits[..words], places).expect_err("does not fit");
        assert!(matches!(error, Error::Shape { op: "topk_hits", .. }), "{error}");
    };
    refused(&[0, 1], 3, 4, 5);
    refused(&[0, 1, 2], 4, 4, 5);
    refused(&[0, 1, 2], 3, 3, 5);
    refused(&[0, 1, 2], 3, 4, 4);
}

#[test]
fn hits_are_those_of_the_lists() {
    for threads in [1, 3] {
        for (isa, cpu) in cpus(threads) {
            ragged(&format!("{isa:?}"), &cpu);
            edges(&cpu);
        }
    }
}
