//! The best items of each query.

use std::cmp::Ordering;

use super::{Cpu, need, need_len};
use crate::Result;
use crate::backend::Skip;

/// Item embeddings, ready to be scanned.
pub(crate) struct Items {
    data: Vec<f32>,
    rows: usize,
    dim: usize,
}

/// See [`Backend::pack_items`](crate::backend::Backend::pack_items).
pub(crate) fn pack(items: &[f32], rows: usize, dim: usize) -> Result<Items> {
    need_len("pack_items", "items", items.len(), rows * dim)?;
    Ok(Items { data: items[..rows * dim].to_vec(), rows, dim })
}

/// See [`Backend::topk`](crate::backend::Backend::topk).
#[allow(clippy::too_many_arguments)]
pub(crate) fn topk(
    cpu: &Cpu,
    ids: &mut [u32],
    scores: &mut [f32],
    queries: &[f32],
    items: &Items,
    skip: Option<Skip<'_>>,
    rows: usize,
    k: usize,
) -> Result<()> {
    const OP: &str = "topk";
    need_len(OP, "ids", ids.len(), rows * k)?;
    need_len(OP, "scores", scores.len(), rows * k)?;
    need_len(OP, "queries", queries.len(), rows * items.dim)?;
    if let Some(skip) = skip {
        need_len(OP, "skip offsets", skip.offsets.len(), rows + 1)?;
        let ok = skip.offsets[..rows + 1].windows(2).all(|w| w[0] <= w[1]) && skip.offsets[rows] <= skip.items.len();
        need(OP, ok, "ascending skip offsets", "others")?;
    }
    if k == 0 {
        return Ok(());
    }
    let parts: Vec<_> = ids.chunks_mut(k).zip(scores.chunks_mut(k)).take(rows).enumerate().collect();
    cpu.threads.each(rows * items.rows * items.dim > 1 << 18, parts, |(r, (ids, scores))| {
        let skip = skip.map_or(&[][..], |s| &s.items[s.offsets[r]..s.offsets[r + 1]]);
        let q = &queries[r * items.dim..(r + 1) * items.dim];
        let mut all: Vec<(f32, u32)> = (0..items.rows)
            .filter(|&i| skip.binary_search(&(i as u32)).is_err())
            .map(|i| {
                let v = &items.data[i * items.dim..(i + 1) * items.dim];
                (q.iter().zip(v).map(|(a, b)| a * b).sum(), i as u32)
            })
            .filter(|(s, _): &(f32, u32)| !s.is_nan())
            .collect();
        all.sort_unstable_by(|a, b| b.0.partial_cmp(&a.0).unwrap_or(Ordering::Equal).then(a.1.cmp(&b.1)));
        ids.fill(u32::MAX);
        scores.fill(f32::NEG_INFINITY);
        for (i, (s, id)) in all.into_iter().take(k).enumerate() {
            (ids[i], scores[i]) = (id, s);
        }
    });
    Ok(())
}
