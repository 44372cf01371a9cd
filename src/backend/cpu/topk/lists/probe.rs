//! A block of queries through its lists, list by list.

use std::ops::Range;

use super::super::candidates::TopKCandidates;
use super::super::certified::{Group, Score, push};
use super::super::codes::QueryCode;
use super::super::shortlist::Shortlist;
use super::super::{CpuItems, TopKQueries};
use super::guide::{Guide, ListEstimate};
use super::{InvertedLists, within};
use crate::backend::cpu::Cpu;
use crate::backend::cpu::simd::{GROUP, Op, PANEL, Pass, Simd, query_code_at, scan_codes};
use crate::threads::ranges;

/// Queries of a task, at most.
const QUERIES: usize = 1024;
/// Lists that a query knows of after its first look at the guide.
const KNOWN: usize = 64;
/// The first round of a query ends where its lists hold this many items, and this many for each place.
const FIRST_ITEMS: usize = 256;
const FIRST_ITEMS_A_PLACE: usize = 8;

/// Searches all queries; answers how many items were read, and those queries that lists gave fewer than k items though
/// there may be more, or that no code stands for.
pub(super) fn search(
    cpu: &Cpu,
    lists: &InvertedLists,
    ids: &mut [u32],
    scores: &mut [f32],
    search: &TopKQueries<'_>,
    guide: &Guide,
) -> (u64, Vec<usize>) {
    if search.k == 0 || search.rows == 0 {
        return (0, Vec::new());
    }
    let (k, size) = (search.k, search.rows.div_ceil(cpu.threads.count()).clamp(GROUP, QUERIES));
    let blocks = ranges(search.rows, size);
    let mut done = vec![(0, Vec::new()); blocks.len()];
    let tasks = blocks.into_iter().zip(ids.chunks_mut(size * k)).zip(scores.chunks_mut(size * k)).zip(&mut done);
    cpu.threads.each(true, tasks.collect(), |(((block, ids), scores), (read, left))| {
        let first = block.start;
        let (items, found) = cpu.isa.run(Probe { lists, search, guide, first, rows: block.len() });
        *read = items;
        for (n, ((list, ids), scores)) in found.into_iter().zip(ids.chunks_mut(k)).zip(scores.chunks_mut(k)).enumerate()
        {
            let given = list.map_or(0, |list| {
                let given = list.len().min(k);
                list.write(ids, scores);
                given
            });
            // Skips may leave fewer: then the exact search says so.
            if given < k.min(guide.admitted) {
                left.push(first + n);
            }
        }
    });
    let read = done.iter().map(|(read, _)| read).sum();
    (read, done.into_iter().flat_map(|(_, left)| left).collect())
}

/// Queries `first..first + rows`.
struct Probe<'a> {
    lists: &'a InvertedLists,
    search: &'a TopKQueries<'a>,
    guide: &'a Guide,
    first: usize,
    rows: usize,
}

/// A query on its way.
struct ProbedQuery {
    code: QueryCode,
    list: Shortlist,
}

impl Op for Probe<'_> {
    /// Items read, and a list for each query; absent where it was given up.
    type Output = (u64, Vec<Option<TopKCandidates>>);

    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> Self::Output {
        let items = &self.lists.items;
        let (width, k) = (items.codes.width, self.search.k);
        let mut codes = vec![0; self.rows * width];
        let margin = margin(items.dim);
        let mut asked: Vec<Option<ProbedQuery>> = Vec::with_capacity(self.rows);
        for (query, codes) in self.queries().zip(codes.chunks_exact_mut(width)) {
            let code = QueryCode::encode(codes, query, |k| k);
            asked.push(code.map(|code| ProbedQuery { code: code.narrowed(margin), list: Shortlist::new(k) }));
        }
        let reaches = self.queries().map(|query| reach(s, query, &self.lists.shape));
        let guided = self.guide.encode(s, self.all(), reaches);
        let known = self.guide.promising(s, &guided, KNOWN, None);

        // The lists that promise most, until there are enough items for a bar.
        let enough = FIRST_ITEMS + FIRST_ITEMS_A_PLACE * k;
        let (mut read, mut all) = (vec![0; self.rows], 0);
        let mut pairs = Vec::new();
        for (n, (lists, read)) in known.iter().zip(&mut read).enumerate() {
            let mut items = 0;
            while *read < lists.len() && items < enough {
                let list = lists[*read].0;
                items += self.guide.counts[list as usize] as usize;
                pairs.push((list, n as u32));
                *read += 1;
            }
        }
        all += self.read(s, &mut asked, &codes, &mut pairs);

        // Then every list that may reach the bar.
        pairs.clear();
        let mut wide = Vec::new();
        for (n, lists) in known.iter().enumerate() {
            let Some(ProbedQuery { list, .. }) = &mut asked[n] else { continue };
            let query = self.query(n);
            if !list.cut(&mut |entries| s.run(Score { items, query, entries })) {
                asked[n] = None;
                continue;
            }
            let bar = list.bar();
            let rest = &lists[read[n]..];
            let reaching = rest.partition_point(|(_, promise)| *promise >= bar);
            if reaching == rest.len() && lists.len() == KNOWN {
                wide.push(n);
                continue;
            }
            pairs.extend(rest[..reaching].iter().map(|(list, _)| (*list, n as u32)));
        }
        self.look_wide(s, &asked, &known, &read, &wide, &mut pairs);
        all += self.read(s, &mut asked, &codes, &mut pairs);

        let view = &self.search.view;
        let finish = |(n, asked): (usize, Option<ProbedQuery>)| {
            let query = self.query(n);
            let mut found = TopKCandidates::new(k, false);
            for entry in asked?.list.finish(&mut |entries| s.run(Score { items, query, entries })) {
                found.insert(entry.low, view.row(entry.item));
            }
            Some(found)
        };
        (all, asked.into_iter().enumerate().map(finish).collect())
    }
}

impl Probe<'_> {
    fn all(&self) -> &[f32] {
        let dim = self.lists.items.dim;
        &self.search.queries[self.first * dim..(self.first + self.rows) * dim]
    }

    fn queries(&self) -> impl Iterator<Item = &[f32]> {
        self.all().chunks_exact(self.lists.items.dim.max(1))
    }

    fn query(&self, n: usize) -> &[f32] {
        let dim = self.lists.items.dim;
        &self.all()[n * dim..(n + 1) * dim]
    }

    /// Adds, for queries that know of too few lists, all that may reach their bar and have not been read.
    #[inline(always)]
    fn look_wide<S: Simd>(
        &self,
        s: S,
        asked: &[Option<ProbedQuery>],
        known: &[Vec<ListEstimate>],
        read: &[usize],
        wide: &[usize],
        pairs: &mut Vec<(u32, u32)>,
    ) {
        if wide.is_empty() {
            return;
        }
        let queries: Vec<f32> = wide.iter().flat_map(|&n| self.query(n).iter().copied()).collect();
        let bars: Vec<f32> = wide.iter().map(|&n| asked[n].as_ref().map_or(f32::INFINITY, |a| a.list.bar())).collect();
        let reaches = wide.iter().map(|&n| reach(s, self.query(n), &self.lists.shape));
        let guided = self.guide.encode(s, &queries, reaches);
        let all = self.guide.promising(s, &guided, self.lists.count(), Some(&bars));
        for (&n, lists) in wide.iter().zip(all) {
            let mut done: Vec<u32> = known[n][..read[n]].iter().map(|(list, _)| *list).collect();
            done.sort_unstable();
            let fresh = lists.iter().map(|(list, _)| *list).filter(|list| done.binary_search(list).is_err());
            pairs.extend(fresh.map(|list| (list, n as u32)));
        }
    }

    /// Searches lists for queries; `pairs` are of a list and a query each. Answers how many items that were.
    #[inline(always)]
    fn read<S: Simd>(&self, s: S, asked: &mut [Option<ProbedQuery>], codes: &[i8], pairs: &mut [(u32, u32)]) -> u64 {
        let mut items = 0;
        let width = self.lists.items.codes.width;
        pairs.sort_unstable();
        let mut gathered = vec![0; GROUP * width];
        for pairs in pairs.chunk_by(|a, b| a.0 == b.0) {
            let list = pairs[0].0 as usize;
            let (from, to) = (self.lists.starts[list] as usize, self.lists.starts[list + 1] as usize);
            items += ((to - from) * pairs.len()) as u64;
            for pairs in pairs.chunks(GROUP) {
                let mut group = Group::empty();
                let mut queries = [0; GROUP];
                let mut live = 0;
                for &(_, n) in pairs {
                    let Some(ProbedQuery { code, list }) = &asked[n as usize] else { continue };
                    group.set(live, code);
                    group.bars[live] = list.bar();
                    queries[live] = n as usize;
                    let codes = codes[n as usize * width..(n as usize + 1) * width].chunks_exact(8);
                    for (codes, k) in codes.zip((0..).step_by(8)) {
                        gathered[query_code_at::<S>(live, k, width)..][..8].copy_from_slice(codes);
                    }
                    live += 1;
                }
                self.scan(s, asked, &queries[..live], &mut group, &gathered, from..to);
            }
        }
        items
    }

    /// Searches the items at these places for a group of queries.
    #[inline(always)]
    fn scan<S: Simd>(
        &self,
        s: S,
        asked: &mut [Option<ProbedQuery>],
        queries: &[usize],
        group: &mut Group,
        codes: &[i8],
        places: Range<usize>,
    ) {
        let Range { start: from, end: to } = places;
        let items: &CpuItems = &self.lists.items;
        let (view, width) = (&self.search.view, items.codes.width);
        let (mut sums, mut hits) = ([0.0; GROUP * PANEL], [0; GROUP]);
        for first in (from / PANEL * PANEL..to).step_by(PANEL) {
            let there = view.panel(first) & within(first, from, to);
            if there == 0 {
                continue;
            }
            let (bytes, panel) = items.codes.panel(first);
            let reach = group.sums_to_reach(s, panel);
            let biases = reach.biases(items.panel_biases(first));
            let pass = Pass { queries: codes, panel: bytes, bars: reach.bars(), width, live: queries.len() };
            if !scan_codes(s, &mut sums, &mut hits, pass, biases) {
                continue;
            }
            for (r, (&n, &hits)) in queries.iter().zip(&hits).enumerate().filter(|(_, (_, hits))| **hits & there != 0) {
                let Some(ProbedQuery { code, list }) = &mut asked[n] else { continue };
                let (query, sums) = (self.query(n), &sums[r * PANEL..(r + 1) * PANEL]);
                let kept = push(code, list, (panel, sums, hits & there), first, view, self.first + n, |entries| {
                    s.run(Score { items, query, entries });
                });
                group.bars[r] = if kept { list.bar() } else { f32::INFINITY };
                if !kept {
                    asked[n] = None;
                }
            }
        }
    }
}

/// [`reach`] of a usual query: the mean over some of these (rows x D); 1 where there are none.
pub(super) fn usual_reach(cpu: &Cpu, queries: &[f32], shape: &[f32], dim: usize) -> f32 {
    /// Queries that are asked.
    const SOME: usize = 64;
    let rows = queries.len() / dim.max(1);
    let some = queries.chunks_exact(dim.max(1)).step_by(rows.div_ceil(SOME).max(1));
    let reaches: Vec<f32> = some.map(|query| cpu.isa.run(Reach { query, shape })).collect();
    if reaches.is_empty() { 1.0 } else { reaches.iter().sum::<f32>() / reaches.len() as f32 }
}

struct Reach<'a> {
    query: &'a [f32],
    shape: &'a [f32],
}

impl Op for Reach<'_> {
    type Output = f32;

    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> f32 {
        reach(s, self.query, self.shape)
    }
}

/// How far residuals reach in the direction of a query, times its norm: `sqrt(q^T S q)`.
#[inline(always)]
fn reach<S: Simd>(s: S, query: &[f32], shape: &[f32]) -> f32 {
    let mut sum = 0.0;
    for (row, &x) in shape.chunks_exact(query.len().max(1)).zip(query) {
        let mut part = s.splat(0.0);
        for at in (0..query.len()).step_by(S::LANES) {
            part = s.fma(s.get(&row[at..]), s.get(&query[at..]), part);
        }
        sum += x * s.sum(part);
    }
    sum.max(0.0).sqrt()
}

/// The part of a bound that is allowed for. Rounding errors of D columns add up as if at random: where the bound is e,
/// their standard deviation is about e / sqrt(2 D); scores and bar may be off by twice that in five deviations.
fn margin(dim: usize) -> f32 {
    (2.5 / (dim as f32).sqrt()).min(1.0)
}
