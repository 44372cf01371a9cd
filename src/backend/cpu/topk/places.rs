//! Ranges of places, each searched for the queries that ask for it: a range is read from memory once for all of them.
//!
//! As in [`certified`](super::certified), codes bound a score and what may be among the best is scored in fp32. The
//! bounds may be narrowed, so that they hold nearly always; the scores are exact.

use std::ops::Range;

use super::candidates::TopKCandidates;
use super::certified::{Group, Score, SumsToReach, push};
use super::codes::QueryCode;
use super::scan::up_to;
use super::shortlist::Shortlist;
use super::{CpuItems, TopKQueries};
use crate::backend::cpu::Cpu;
use crate::backend::cpu::simd::{GROUP, Op, PANEL, Pass, Simd, query_code_at, scan_codes};

/// Some queries of a search, on their way through ranges of places.
pub(crate) struct PlaceSearch<'a> {
    cpu: &'a Cpu,
    items: &'a CpuItems,
    search: &'a TopKQueries<'a>,
    queries: Range<usize>,
    /// A row of codes for each query.
    codes: Vec<i8>,
    /// Absent: the query has been given up.
    asked: Vec<Option<AskedQuery>>,
}

/// A query and what was found for it.
struct AskedQuery {
    code: QueryCode,
    list: Shortlist,
}

impl<'a> PlaceSearch<'a> {
    /// Of the `queries` of a search, with this part of the true bounds. Queries that codes cannot stand for are given up.
    pub(crate) fn new(
        cpu: &'a Cpu,
        items: &'a CpuItems,
        search: &'a TopKQueries<'a>,
        queries: Range<usize>,
        bounds: f32,
    ) -> PlaceSearch<'a> {
        let codes = vec![0; queries.len() * items.codes.width];
        let mut new = PlaceSearch { cpu, items, search, queries, codes, asked: Vec::new() };
        cpu.isa.run(EncodeQueries { search: &mut new, bounds });
        new
    }

    /// The values of the queries.
    pub(crate) fn values(&self) -> &'a [f32] {
        let Range { start, end } = self.queries;
        &self.search.queries[start * self.items.dim..end * self.items.dim]
    }

    /// The values of query `n` of these.
    pub(crate) fn query(&self, n: usize) -> &'a [f32] {
        &self.values()[n * self.items.dim..(n + 1) * self.items.dim]
    }

    /// Searches ranges for queries; `pairs` are of a range and a query each, and range r is `starts[r]..starts[r + 1]`.
    /// Answers how many items that were.
    pub(crate) fn read(&mut self, starts: &[u32], pairs: &mut [(u32, u32)]) -> u64 {
        pairs.sort_unstable();
        self.cpu.isa.run(ReadRanges { search: self, starts, pairs })
    }

    /// What a score must reach to be among the best that query `n` has met; absent where the query has been given up.
    pub(crate) fn bar(&mut self, n: usize) -> Option<f32> {
        let (isa, items, query) = (self.cpu.isa, self.items, self.query(n));
        let AskedQuery { list, .. } = self.asked[n].as_mut()?;
        if !list.cut(&mut |entries| isa.run(Score { items, query, entries })) {
            self.asked[n] = None;
            return None;
        }
        Some(list.bar())
    }

    /// Writes what was found; answers how many items each query has, 0 for one that was given up, whose places stay as
    /// they are.
    pub(crate) fn write(mut self, ids: &mut [u32], scores: &mut [f32]) -> Vec<usize> {
        let (isa, items, view, k) = (self.cpu.isa, self.items, &self.search.view, self.search.k);
        let asked = std::mem::take(&mut self.asked);
        let mut given = vec![0; asked.len()];
        let places = ids.chunks_mut(k).zip(scores.chunks_mut(k)).zip(&mut given);
        for ((n, asked), ((ids, scores), given)) in asked.into_iter().enumerate().zip(places) {
            let Some(AskedQuery { list, .. }) = asked else { continue };
            let (query, mut found) = (self.query(n), TopKCandidates::new(k, false));
            for entry in list.finish(&mut |entries| isa.run(Score { items, query, entries })) {
                found.insert(entry.low, view.row(entry.item));
            }
            *given = found.len().min(k);
            found.write(ids, scores);
        }
        given
    }

    /// Searches a range for a group of queries.
    #[inline(always)]
    fn scan<S: Simd, const BIASED: bool>(
        &mut self,
        s: S,
        queries: &[usize],
        group: &mut Group,
        codes: &[i8],
        places: Range<usize>,
    ) {
        let Range { start: from, end: to } = places;
        let items = self.items;
        let (view, width) = (&self.search.view, items.codes.width);
        let (mut sums, mut hits, mut reach) = ([0.0; GROUP * PANEL], [0; GROUP], SumsToReach::new());
        for first in (from / PANEL * PANEL..to).step_by(PANEL) {
            let there = view.panel(first) & within(first, from, to);
            if there == 0 {
                continue;
            }
            let (bytes, panel) = items.codes.panel(first);
            group.sums_to_reach::<S, BIASED>(s, &mut reach, panel);
            let biases = reach.biases(items.panel_biases::<BIASED>(first));
            let pass = Pass { queries: codes, panel: bytes, bars: reach.bars(), width, live: queries.len() };
            if !scan_codes(s, &mut sums, &mut hits, pass, biases) {
                continue;
            }
            for (r, (&n, &hits)) in queries.iter().zip(&hits).enumerate().filter(|(_, (_, hits))| **hits & there != 0) {
                let query = self.query(n);
                let Some(AskedQuery { code, list }) = &mut self.asked[n] else { continue };
                let sums = &sums[r * PANEL..(r + 1) * PANEL];
                let kept = push::<BIASED>(
                    code,
                    list,
                    (panel, sums, hits & there),
                    first,
                    view,
                    self.queries.start + n,
                    |entries| {
                        s.run(Score { items, query, entries });
                    },
                );
                group.bars[r] = if kept { list.bar() } else { f32::INFINITY };
                if !kept {
                    self.asked[n] = None;
                }
            }
        }
    }
}

/// Bit j: whether `first + j` lies in `from..to`.
#[inline(always)]
pub(crate) fn within(first: usize, from: usize, to: usize) -> u32 {
    up_to(to.saturating_sub(first)) & !up_to(from.saturating_sub(first))
}

struct EncodeQueries<'s, 'a> {
    search: &'s mut PlaceSearch<'a>,
    bounds: f32,
}

impl Op for EncodeQueries<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        let PlaceSearch { items, search, queries, codes, asked, .. } = self.search;
        let values = &search.queries[queries.start * items.dim..queries.end * items.dim];
        for (query, codes) in values.chunks_exact(items.dim.max(1)).zip(codes.chunks_exact_mut(items.codes.width)) {
            let code = QueryCode::encode(codes, query, |k| k);
            let list = Shortlist::new(search.k);
            asked.push(code.map(|code| AskedQuery { code: code.narrowed(self.bounds), list }));
        }
    }
}

struct ReadRanges<'s, 'a> {
    search: &'s mut PlaceSearch<'a>,
    starts: &'s [u32],
    /// By range.
    pairs: &'s [(u32, u32)],
}

impl Op for ReadRanges<'_, '_> {
    type Output = u64;

    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> u64 {
        match self.search.items.biases {
            Some(_) => self.read::<S, true>(s),
            None => self.read::<S, false>(s),
        }
    }
}

impl ReadRanges<'_, '_> {
    #[inline(always)]
    fn read<S: Simd, const BIASED: bool>(self, s: S) -> u64 {
        let mut items = 0;
        let width = self.search.items.codes.width;
        let mut gathered = vec![0; GROUP * width];
        for pairs in self.pairs.chunk_by(|a, b| a.0 == b.0) {
            let range = pairs[0].0 as usize;
            let (from, to) = (self.starts[range] as usize, self.starts[range + 1] as usize);
            items += ((to - from) * pairs.len()) as u64;
            for pairs in pairs.chunks(GROUP) {
                let mut group = Group::empty();
                let mut queries = [0; GROUP];
                let mut live = 0;
                for &(_, n) in pairs {
                    let Some(AskedQuery { code, list }) = &self.search.asked[n as usize] else { continue };
                    group.set(live, code);
                    group.bars[live] = list.bar();
                    queries[live] = n as usize;
                    let codes = self.search.codes[n as usize * width..(n as usize + 1) * width].chunks_exact(8);
                    for (codes, k) in codes.zip((0..).step_by(8)) {
                        gathered[query_code_at::<S>(live, k, width)..][..8].copy_from_slice(codes);
                    }
                    live += 1;
                }
                self.search.scan::<S, BIASED>(s, &queries[..live], &mut group, &gathered, from..to);
            }
        }
        items
    }
}
