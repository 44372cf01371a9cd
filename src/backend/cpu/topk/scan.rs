//! Every score in fp32: a tile of queries by items is scored in registers and compared with each query's bar, the k-th
//! best score so far; what passes goes to the query's short list, which is cut back to k when full.

use super::candidates::TopKCandidates;
use super::{BLOCK, ScanTask};
use crate::backend::cpu::simd::{GROUP, PANEL, Pass, Simd, pack_items, query_at, scan_panel};

/// Groups that see a panel one after another, while it is in the first cache.
const TOGETHER: usize = 4;

/// The bits below n.
#[inline(always)]
pub(super) fn up_to(n: usize) -> u32 {
    if n >= 32 { u32::MAX } else { (1 << n) - 1 }
}

/// The short lists of the queries `numbers` of a task.
#[inline(always)]
pub(super) fn scan<S: Simd>(s: S, task: &ScanTask<'_>, numbers: &[usize]) -> Vec<TopKCandidates> {
    match task.items.biases {
        Some(_) => scan_items::<S, true>(s, task, numbers),
        None => scan_items::<S, false>(s, task, numbers),
    }
}

#[inline(always)]
fn scan_items<S: Simd, const BIASED: bool>(s: S, task: &ScanTask<'_>, numbers: &[usize]) -> Vec<TopKCandidates> {
    if numbers.is_empty() {
        return Vec::new();
    }
    let dim = task.items.dim;
    let view = &task.search.view;
    let new = |_| TopKCandidates::new(task.search.k, view.order.is_none());
    let mut lists: Vec<_> = numbers.iter().map(new).collect();
    // Queries of a group stand side by side; missing ones are zero, with a bar that zero does not reach.
    let mut bars = vec![[f32::INFINITY; GROUP]; numbers.len().div_ceil(GROUP)];
    bars.as_flattened_mut()[..numbers.len()].fill(f32::NEG_INFINITY);
    let mut packed = vec![0.0; bars.len() * GROUP * dim];
    for (n, &q) in numbers.iter().enumerate() {
        let group = &mut packed[n / GROUP * GROUP * dim..];
        for (k, &x) in task.query(q).iter().enumerate() {
            group[query_at::<S>(n % GROUP, k, dim)] = x;
        }
    }
    let mut panels = vec![0.0; BLOCK.min(task.span.len().next_multiple_of(PANEL)) * dim];
    let (mut scores, mut hits) = ([0.0; GROUP * PANEL], [0; GROUP]);
    for from in task.span.clone().step_by(BLOCK) {
        let to = (from + BLOCK).min(task.span.end);
        let values = task.items.values[from * dim..to * dim].chunks(PANEL * dim.max(1));
        for (panel, values) in panels.chunks_exact_mut(PANEL * dim.max(1)).zip(values) {
            pack_items::<S>(panel, values, dim);
        }
        for first in (0..bars.len()).step_by(TOGETHER) {
            let together = first..(first + TOGETHER).min(bars.len());
            for (item, g) in (from..to).step_by(PANEL).flat_map(|item| together.clone().map(move |g| (item, g))) {
                let panel = &panels[(item - from) * dim..(item - from + PANEL) * dim];
                let (group, bars) = (&packed[g * GROUP * dim..(g + 1) * GROUP * dim], &mut bars[g]);
                let live = (numbers.len() - g * GROUP).min(GROUP);
                let pass = Pass { queries: group, panel, bars, width: dim, live };
                if !scan_panel(s, &mut scores, &mut hits, pass, task.items.panel_biases::<BIASED>(item)) {
                    continue;
                }
                let there = view.panel(item) & up_to(to - item);
                for (r, &hits) in hits.iter().enumerate() {
                    let (n, hits) = (g * GROUP + r, hits & there);
                    if hits == 0 || n >= lists.len() {
                        continue;
                    }
                    let skipped = view.skipped(numbers[n]);
                    bars[r] = lists[n].push(hits, &scores[r * PANEL..(r + 1) * PANEL], item, |place| {
                        Some(view.row(place)).filter(|row| skipped.binary_search(row).is_err())
                    });
                }
            }
        }
    }
    lists
}
