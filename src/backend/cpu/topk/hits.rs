//! Which places of the best of each query have relevant items, and where each item comes first.

use super::{CpuItems, TopKQueries, topk};
use crate::backend::cpu::{Cpu, need_len};
use crate::backend::{HitCounts, Relevant};
use crate::{Result, memory};

/// See [`Scan::topk_hits`](crate::backend::Scan::topk_hits).
pub(crate) fn hits(
    cpu: &Cpu,
    HitCounts { hits, first_places }: HitCounts<'_, Cpu>,
    items: &CpuItems,
    search: &TopKQueries<'_>,
    relevant: &Relevant<'_, Cpu>,
) -> Result<()> {
    const OP: &str = "topk_hits";
    const WHAT: &str = "the lists that are judged";
    let (rows, k) = (search.rows, search.k);
    let words = k.div_ceil(32);
    need_len(OP, "hits", hits.len(), rows * words)?;
    need_len(OP, "first places", first_places.len(), items.rows)?;
    need_len(OP, "relevant offsets", relevant.offsets.len(), rows + 1)?;
    need_len(OP, "relevant items", relevant.items.len(), relevant.listed)?;
    let wanted = &relevant.items[..relevant.listed];
    let (mut ids, mut scores) = (memory::zeros(rows * k, WHAT)?, memory::zeros(rows * k, WHAT)?);
    topk(cpu, &mut ids, &mut scores, items, search, None)?;
    hits[..rows * words].fill(0);
    if k == 0 {
        return Ok(());
    }
    for (q, (list, hits)) in ids.chunks_exact(k).zip(hits.chunks_exact_mut(words)).enumerate() {
        let [from, to] = [q, q + 1].map(|at| (relevant.offsets[at] as usize).min(wanted.len()));
        let wanted = wanted.get(from..to).unwrap_or_default();
        for (place, &item) in list.iter().take_while(|&&item| item != u32::MAX).enumerate() {
            let first = &mut first_places[item as usize];
            *first = (*first).min(place as u32);
            if wanted.binary_search(&item).is_ok() {
                hits[place / 32] |= 1 << (place % 32);
            }
        }
    }
    Ok(())
}
