//! By codes: whole-number products bound each score from both sides (see [`codes`](super::codes)), and only items whose
//! upper bound reaches the k-th best score known so far are scored in fp32. The result is that of the fp32 scan, bit for
//! bit; a query whose bounds say too little is handed to it.

use super::candidates::TopKCandidates;
use super::codes::{Panel, QueryCode};
use super::shortlist::{Entry, Shortlist};
use super::{CpuItems, ItemView, ScanTask, scan as fp32};
use crate::backend::cpu::simd::{CodeBiases, GROUP, Op, PANEL, Pass, Simd, query_code_at, scan_codes, score_rows};

/// Items of a block that all queries of a task see before the next one: their codes stay in the second cache.
const BLOCK: usize = 2048;
/// A group's numbers, up to whole vectors of every instruction set.
const SLOTS: usize = 16;

/// What a group's queries need to turn bounds into bars, side by side.
#[derive(Clone, Copy)]
pub(super) struct Group {
    /// The k-th best score so far; infinite where there is no query.
    pub bars: [f32; SLOTS],
    error: [f32; SLOTS],
    norm: [f32; SLOTS],
    inverse: [f32; SLOTS],
    excess: [f32; SLOTS],
}

/// What the queries of a group ask of a panel.
pub(super) struct SumsToReach {
    /// The least sum that matters to each.
    bars: [f32; SLOTS],
    /// What a bias is multiplied with to be added to their sums.
    units: [f32; SLOTS],
    /// The least sum without its bias that matters.
    loose: [f32; SLOTS],
}

impl SumsToReach {
    pub(super) fn new() -> SumsToReach {
        SumsToReach { bars: [0.0; SLOTS], units: [0.0; SLOTS], loose: [0.0; SLOTS] }
    }

    /// The bars of the group.
    #[inline(always)]
    pub(super) fn bars(&self) -> &[f32; GROUP] {
        front(&self.bars)
    }

    /// The panel's biases as its sums take them in.
    #[inline(always)]
    pub(super) fn biases<'a>(&'a self, values: Option<&'a [f32; PANEL]>) -> Option<CodeBiases<'a>> {
        let values = values?;
        Some(CodeBiases { values, units: front(&self.units), loose: front(&self.loose) })
    }
}

/// The slots that have queries.
#[inline(always)]
fn front(slots: &[f32; SLOTS]) -> &[f32; GROUP] {
    // There are at least as many slots.
    slots.first_chunk().expect("SLOTS >= GROUP")
}

impl Group {
    pub(super) fn empty() -> Group {
        let zeros = [0.0; SLOTS];
        Group { bars: [f32::INFINITY; SLOTS], error: zeros, norm: zeros, inverse: zeros, excess: zeros }
    }

    pub(super) fn set(&mut self, slot: usize, code: &QueryCode) {
        self.bars[slot] = f32::NEG_INFINITY;
        self.error[slot] = code.error;
        self.norm[slot] = code.norm;
        self.inverse[slot] = 1.0 / code.step;
        self.excess[slot] = code.excess;
    }

    /// The least sum of codes, and of the bias in its units, with which an item of the panel can reach each query's
    /// bar; and what turns a bias into those units.
    #[inline(always)]
    pub(super) fn sums_to_reach<S: Simd, const BIASED: bool>(&self, s: S, out: &mut SumsToReach, panel: &Panel) {
        let (norm, rest, inverse) = (s.splat(panel.norm), s.splat(panel.rest), s.splat(1.0 / panel.step));
        let bias = s.splat(panel.bias);
        let (top, slack) = (s.splat(panel.top), s.splat(1e-6));
        for at in (0..SLOTS).step_by(S::LANES) {
            let bound = s.fma(s.get(&self.error[at..]), norm, s.mul(s.get(&self.norm[at..]), rest));
            let unit = s.mul(s.get(&self.inverse[at..]), inverse);
            let mut x = if BIASED {
                let room = s.sub(s.get(&self.bars[at..]), s.add(bound, bias));
                // What is larger than a number can hold counts as the largest one: a bias in these units may be as large.
                s.min(s.mul(room, unit), s.splat(f32::MAX))
            } else {
                s.mul(s.sub(s.get(&self.bars[at..]), bound), unit)
            };
            // Sums of codes are below 2^23 and this took a handful of roundings: two, and a millionth of x, cover them. An
            // infinite bar stays infinite without biases.
            x = s.min(s.mul(x, s.splat(1.0 - 1e-6)), s.mul(x, s.splat(1.0 + 1e-6)));
            x = s.sub(s.add(x, s.get(&self.excess[at..])), s.splat(2.0));
            s.put(&mut out.bars[at..], x);
            if !BIASED {
                continue;
            }
            s.put(&mut out.units[at..], unit);
            // Without its bias a sum is less by the largest one at most; what is no number says nothing.
            let most = s.mul(top, unit);
            let sizes = s.add(s.max(x, s.sub(s.splat(0.0), x)), s.max(most, s.sub(s.splat(0.0), most)));
            let least = s.sub(s.sub(x, most), s.mul(sizes, slack));
            s.put(&mut out.loose[at..], s.max(least, s.splat(f32::NEG_INFINITY)));
        }
    }
}

/// Gives a query's entries their exact scores.
pub(super) struct Score<'a> {
    pub items: &'a CpuItems,
    pub query: &'a [f32],
    pub entries: &'a mut [Entry],
}

impl Op for Score<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        // Chains of multiply-adds take turns: one alone would wait for itself.
        const CHAINS: usize = 8;
        let mut unknown: Vec<&mut Entry> = self.entries.iter_mut().filter(|entry| !entry.is_known()).collect();
        for entry in &unknown {
            s.prefetch(self.items.row(entry.item as usize));
        }
        for some in unknown.chunks_mut(CHAINS) {
            // A short round scores its last entry more than once.
            let rows = std::array::from_fn::<_, CHAINS, _>(|i| some[i.min(some.len() - 1)].item as usize);
            let biases = rows.map(|item| self.items.bias(item));
            let scores = score_rows(s, self.query, rows.map(|item| self.items.row(item)), biases);
            for (entry, score) in some.iter_mut().zip(scores) {
                (entry.low, entry.high) = (score, score);
            }
        }
    }
}

/// The short lists of a task's queries.
#[inline(always)]
pub(super) fn scan<S: Simd>(s: S, task: &ScanTask<'_>) -> Vec<TopKCandidates> {
    match task.items.biases {
        Some(_) => scan_items::<S, true>(s, task),
        None => scan_items::<S, false>(s, task),
    }
}

#[inline(always)]
fn scan_items<S: Simd, const BIASED: bool>(s: S, task: &ScanTask<'_>) -> Vec<TopKCandidates> {
    let (items, numbers) = (task.items, task.block.clone());
    let width = items.codes.width;
    let mut groups = vec![Group::empty(); numbers.len().div_ceil(GROUP)];
    let mut codes = vec![0; groups.len() * GROUP * width];
    // Absent: the query is given up.
    let mut lists: Vec<Option<(QueryCode, Shortlist)>> = Vec::with_capacity(numbers.len());
    for (n, number) in numbers.clone().enumerate() {
        let group = &mut codes[n / GROUP * GROUP * width..];
        let code = QueryCode::encode(group, task.query(number), |k| query_code_at::<S>(n % GROUP, k, width));
        if let Some(code) = &code {
            groups[n / GROUP].set(n % GROUP, code);
        }
        lists.push(code.map(|code| (code, Shortlist::new(task.search.k))));
    }
    let view = &task.search.view;
    let (mut sums, mut hits, mut reach) = ([0.0; GROUP * PANEL], [0; GROUP], SumsToReach::new());
    for from in task.span.clone().step_by(BLOCK) {
        let to = (from + BLOCK).min(task.span.end);
        for (g, group) in groups.iter_mut().enumerate() {
            let first = g * GROUP;
            let live = (lists.len() - first).min(GROUP);
            let queries = &codes[first * width..(first + GROUP) * width];
            for item in (from..to).step_by(PANEL) {
                let (bytes, panel) = items.codes.panel(item);
                group.sums_to_reach::<S, BIASED>(s, &mut reach, panel);
                let biases = reach.biases(items.panel_biases::<BIASED>(item));
                let pass = Pass { queries, panel: bytes, bars: reach.bars(), width, live };
                if !scan_codes(s, &mut sums, &mut hits, pass, biases) {
                    continue;
                }
                let there = view.panel(item) & fp32::up_to(to - item);
                for (r, &hits) in hits.iter().enumerate().filter(|(_, hits)| **hits & there != 0) {
                    let number = numbers.start + first + r;
                    let Some((code, list)) = &mut lists[first + r] else { continue };
                    let sums = &sums[r * PANEL..(r + 1) * PANEL];
                    let query = task.query(number);
                    let kept = push::<BIASED>(code, list, (panel, sums, hits & there), item, view, number, |entries| {
                        s.run(Score { items, query, entries });
                    });
                    group.bars[r] = if kept { list.bar() } else { f32::INFINITY };
                    if !kept {
                        lists[first + r] = None;
                    }
                }
            }
        }
    }
    let given_up: Vec<usize> = numbers.clone().filter(|q| lists[q - numbers.start].is_none()).collect();
    let mut rest = fp32::scan(s, task, &given_up).into_iter();
    let finish = |(number, list): (usize, Option<(QueryCode, Shortlist)>)| match list {
        Some((_, list)) => {
            let mut found = TopKCandidates::new(task.search.k, false);
            let query = task.query(number);
            for entry in list.finish(&mut |entries| s.run(Score { items, query, entries })) {
                found.insert(entry.low, view.row(entry.item));
            }
            Some(found)
        }
        None => rest.next(),
    };
    numbers.zip(lists).filter_map(finish).collect()
}

/// Takes in the items at places `first + j` of the bits j of `hits` that the query may be given. Answers false where the
/// list is of no use any more.
#[inline(always)]
pub(super) fn push<const BIASED: bool>(
    code: &QueryCode,
    list: &mut Shortlist,
    (panel, sums, mut hits): (&Panel, &[f32], u32),
    first: usize,
    view: &ItemView<'_>,
    query: usize,
    mut score: impl FnMut(&mut [Entry]),
) -> bool {
    let unit = code.step * panel.step;
    let mut bound = code.error * panel.norm + code.norm * panel.rest;
    if BIASED && panel.bias > 0.0 {
        // A bias in the units of a sum takes a rounding of half a unit with it, beside those that the panel's bound has.
        bound += panel.bias + unit;
    }
    let skipped = view.skipped(query);
    while hits != 0 {
        let j = hits.trailing_zeros() as usize;
        hits &= hits - 1;
        let (item, near) = ((first + j) as u32, (sums[j] - code.excess) * unit);
        // Roundings on the way here; a bound of zero would say that the score is known.
        let bound = bound * (1.0 + 1e-6) + near.abs() * 1e-6 + f32::MIN_POSITIVE;
        let (low, high) = (near - bound, near + bound);
        // A bias too large for a sum of codes says nothing.
        let entry = Entry { item, low, high: if BIASED && high.is_nan() { f32::INFINITY } else { high } };
        // Earlier hits may have raised the bar.
        let matters = entry.high >= list.bar() && skipped.binary_search(&view.row(item)).is_err();
        if matters && list.push(entry) && !list.cut(&mut score) {
            return false;
        }
    }
    true
}
