//! Which lists a block of queries reads: the few that promise most, for a bar, then every one that may reach it.

use std::ops::Range;

use super::InvertedLists;
use super::guide::Guide;
use crate::backend::cpu::Cpu;
use crate::backend::cpu::topk::{Estimate, EstimateQueries, PlaceSearch, TopKQueries, quadratic_norms};
use crate::threads::ranges;

/// Queries of a task: at least, and at most.
const LEAST_QUERIES: usize = 12;
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
    let (k, size) = (search.k, search.rows.div_ceil(cpu.threads.count()).clamp(LEAST_QUERIES, QUERIES));
    let blocks = ranges(search.rows, size);
    let mut done = vec![(0, Vec::new()); blocks.len()];
    let tasks = blocks.into_iter().zip(ids.chunks_mut(size * k)).zip(scores.chunks_mut(size * k)).zip(&mut done);
    cpu.threads.each(true, tasks.collect(), |(((block, ids), scores), (read, left))| {
        let probe = Probe { cpu, lists, search, guide };
        let given;
        (*read, given) = probe.block(block.clone(), ids, scores);
        // Skips may leave fewer: then the exact search says so.
        let short = |(_, given): &(usize, usize)| *given < k.min(guide.admitted);
        left.extend(block.zip(given).filter(short).map(|(query, _)| query));
    });
    let read = done.iter().map(|(read, _)| read).sum();
    (read, done.into_iter().flat_map(|(_, left)| left).collect())
}

struct Probe<'a> {
    cpu: &'a Cpu,
    lists: &'a InvertedLists,
    search: &'a TopKQueries<'a>,
    guide: &'a Guide,
}

impl Probe<'_> {
    /// Searches some of the queries. Answers how many items were read, and how many each query was given.
    fn block(&self, queries: Range<usize>, ids: &mut [u32], scores: &mut [f32]) -> (u64, Vec<usize>) {
        let items = &self.lists.items;
        let mut search = PlaceSearch::new(self.cpu, items, self.search, queries.clone(), margin(items.dim()));
        let known = self.promising(search.values(), KNOWN, None);

        // The lists that promise most, until there are enough items for a bar.
        let enough = FIRST_ITEMS + FIRST_ITEMS_A_PLACE * self.search.k;
        let mut read = vec![0; queries.len()];
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
        let mut all = search.read(&self.lists.starts, &mut pairs);

        // Then every list that may reach the bar.
        pairs.clear();
        let mut wide = Vec::new();
        for (n, lists) in known.iter().enumerate() {
            let Some(bar) = search.bar(n) else { continue };
            let rest = &lists[read[n]..];
            let reaching = rest.partition_point(|(_, promise)| *promise >= bar);
            if reaching == rest.len() && lists.len() == KNOWN {
                wide.push((n, bar));
                continue;
            }
            pairs.extend(rest[..reaching].iter().map(|(list, _)| (*list, n as u32)));
        }
        self.look_wide(&search, &known, &read, &wide, &mut pairs);
        all += search.read(&self.lists.starts, &mut pairs);
        (all, search.write(ids, scores))
    }

    /// The lists that promise most to these queries.
    fn promising(&self, queries: &[f32], most: usize, bars: Option<&[f32]>) -> Vec<Vec<Estimate>> {
        let extras = &quadratic_norms(self.cpu, queries, &self.lists.shape, self.lists.items.dim());
        self.guide.promising(self.cpu, EstimateQueries { queries, extras, most, bars })
    }

    /// Adds, for queries that know of too few lists, all that may reach their bar and have not been read.
    fn look_wide(
        &self,
        search: &PlaceSearch<'_>,
        known: &[Vec<Estimate>],
        read: &[usize],
        wide: &[(usize, f32)],
        pairs: &mut Vec<(u32, u32)>,
    ) {
        if wide.is_empty() {
            return;
        }
        let queries: Vec<f32> = wide.iter().flat_map(|(n, _)| search.query(*n)).copied().collect();
        let bars: Vec<f32> = wide.iter().map(|(_, bar)| *bar).collect();
        let all = self.promising(&queries, self.lists.count(), Some(&bars));
        for (&(n, _), lists) in wide.iter().zip(all) {
            let mut done: Vec<u32> = known[n][..read[n]].iter().map(|(list, _)| *list).collect();
            done.sort_unstable();
            let fresh = lists.iter().map(|(list, _)| *list).filter(|list| done.binary_search(list).is_err());
            pairs.extend(fresh.map(|list| (list, n as u32)));
        }
    }
}

/// The part of a bound that is allowed for. Rounding errors of D columns add up as if at random: where the bound is e,
/// their standard deviation is about e / sqrt(2 D); scores and bar may be off by twice that in five deviations.
fn margin(dim: usize) -> f32 {
    (2.5 / (dim as f32).sqrt()).min(1.0)
}
