//! The best items of each query (`kernels/topk/`).
//!
//! Exact: a sample of the items gives each query a threshold that its k best pass all but surely; one scan on tensor
//! cores appends what passes, widened by a true bound of the scan's error; the candidates are scored in fp32 as on the
//! CPU (one chain of multiply-adds from the item's bias on: the same bits), sorted, and the list is proven complete by
//! its k-th score. Queries whose proof fails are scanned again with the score that is known by then, at last ranked
//! against all items: bounded work, and always the exact answer. Scores are never stored.
//!
//! Approximate: see [`approximate`].

mod approximate;
pub(super) mod arguments;
#[cfg(test)]
pub(crate) mod floors;
mod index;
mod items;
mod plan;
mod search;

use super::{Buf, Cuda, need, need_len};
use crate::Result;
use crate::backend::{Skip, TopK, TopKOutput};

#[cfg(test)]
pub(crate) use approximate::{Approximate, Method, topk_approx};
pub(crate) use index::CudaIndex;
pub(crate) use items::{Codes, CudaItems};
pub(crate) use plan::Form;
use plan::{Sample, Tile};
pub(crate) use search::Report;
use search::{QueryChunk, Skips};

/// Skips of a chunk at most: its offsets are 32 bits wide.
const MOST_SKIPS: usize = 1 << 30;

/// See [`Scan::topk`](crate::backend::Scan::topk): by a scan of int8 codes where they are given, with a report of what
/// it took.
pub(crate) fn topk_reported(
    cuda: &Cuda,
    best: TopKOutput<'_>,
    items: &CudaItems,
    codes: Option<&Codes>,
    asked: &TopK<'_, Buf<f32>>,
) -> Result<Report> {
    each_chunk(cuda, best, items, asked, |search, skipped| exact(search, codes, skipped))
}

/// The exact search of a chunk, by int8 codes where they are given. `skipped`: how many items each query skips.
fn exact(search: &QueryChunk<'_>, codes: Option<&Codes>, skipped: &[usize]) -> Result<Report> {
    let form = if codes.is_some() { Form::Int8 } else { Form::Bf16 };
    let sample = sample_for(search.cuda, search.items, search.k, form);
    let Some(sample) = sample else {
        let prepared = search.items.prepare(search.cuda, Form::Bf16, search.queries, search.rows)?;
        search.all(&prepared, None)?;
        return Ok(Report { rescanned: 0, ranked_all: search.rows });
    };
    let ranks = plan::ranks(search.k, skipped.iter().copied(), search.items.rows, &sample);
    search.scan(codes, &sample, &ranks, 1.0)
}

/// The sample for a scan, where a scan is worth it and the device can run it.
fn sample_for(cuda: &Cuda, items: &CudaItems, k: usize, form: Form) -> Option<Sample> {
    let shared = Tile::wide(form.row_bytes(items.dim)).shared;
    let can = (1..=plan::WIDEST).contains(&items.dim) && shared <= cuda.info().shared_bytes_per_block;
    if !can || items.rows < plan::FEW_ITEMS || k > plan::PLACES { None } else { Sample::of(items.rows, k) }
}

/// Checks the arguments as the CPU does, then runs `search` on chunks of queries and brings their results back.
fn each_chunk(
    cuda: &Cuda,
    TopKOutput { ids, scores }: TopKOutput<'_>,
    items: &CudaItems,
    asked: &TopK<'_, Buf<f32>>,
    mut search: impl FnMut(&QueryChunk<'_>, &[usize]) -> Result<Report>,
) -> Result<Report> {
    const OP: &str = "topk";
    let &TopK { queries, rows, k, skip } = asked;
    need_len(OP, "ids", ids.len(), rows * k)?;
    need_len(OP, "scores", scores.len(), rows * k)?;
    need_len(OP, "queries", queries.len(), rows * items.dim)?;
    if let Some(skip) = skip {
        need_len(OP, "skip offsets", skip.offsets.len(), rows + 1)?;
        let ok = skip.offsets[..rows + 1].windows(2).all(|w| w[0] <= w[1]) && skip.offsets[rows] <= skip.items.len();
        need(OP, ok, format_args!("ascending skip offsets up to {}", skip.items.len()), "others")?;
    }
    need(OP, k <= i32::MAX as usize, "k below 2^31", k)?;
    let (ids, scores) = (&mut ids[..rows * k], &mut scores[..rows * k]);
    if k == 0 || rows == 0 || items.rows == 0 {
        ids.fill(u32::MAX);
        scores.fill(f32::NEG_INFINITY);
        return Ok(Report::default());
    }
    let mut report = Report::default();
    let mut from = 0;
    while from < rows {
        let to = chunk_end(from, rows, k, skip);
        let (skips, skipped) = skips_of(cuda, skip, from, to)?;
        let n = (to - from) * k;
        let chunk = QueryChunk {
            cuda,
            items,
            queries: queries.input_at(from * items.dim),
            rows: to - from,
            k,
            skips,
            ids: cuda.scratch(n)?,
            scores: cuda.scratch(n)?,
        };
        report.add(search(&chunk, &skipped)?);
        cuda.download(&mut ids[from * k..to * k], &chunk.ids, 0)?;
        cuda.download(&mut scores[from * k..to * k], &chunk.scores, 0)?;
        from = to;
    }
    Ok(report)
}

/// Where the chunk of queries that begins at `from` ends: bounded queries, places and skips.
fn chunk_end(from: usize, rows: usize, k: usize, skip: Option<Skip<'_>>) -> usize {
    // Results of a chunk: at most as many as 2,048 queries have with 2,048 places.
    let most = (plan::CHUNK * plan::PLACES / k.max(1)).clamp(1, plan::CHUNK);
    let mut to = rows.min(from + most);
    if let Some(skip) = skip {
        while to > from + 1 && skip.offsets[to] - skip.offsets[from] > MOST_SKIPS {
            to = from + (to - from) / 2;
        }
    }
    to
}

/// The chunk's skip lists on the device, and their lengths.
fn skips_of(cuda: &Cuda, skip: Option<Skip<'_>>, from: usize, to: usize) -> Result<(Skips, Vec<usize>)> {
    let Some(skip) = skip else { return Ok((Skips { offsets: None, items: None }, vec![0; to - from])) };
    let first = skip.offsets[from];
    let items = &skip.items[first..skip.offsets[to]];
    need("topk", u32::try_from(items.len()).is_ok(), "fewer than 2^32 skipped items a query", items.len())?;
    let offsets: Vec<u32> = skip.offsets[from..=to].iter().map(|&at| (at - first) as u32).collect();
    let skipped = offsets.windows(2).map(|w| (w[1] - w[0]) as usize).collect();
    let (offsets_buf, items_buf) = (cuda.uninit(offsets.len())?, cuda.uninit(items.len())?);
    cuda.send(&offsets_buf, &offsets)?;
    cuda.send(&items_buf, items)?;
    Ok((Skips { offsets: Some(offsets_buf), items: Some(items_buf) }, skipped))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_are_bounded_in_places_and_skips() {
        assert_eq!(chunk_end(0, 5000, 12, None), 2048);
        assert_eq!(chunk_end(4096, 5000, 12, None), 5000);
        assert_eq!(chunk_end(0, 5000, 1 << 20, None), 4);
        assert_eq!(chunk_end(0, 5000, usize::MAX, None), 1);
        let offsets = [0, 1 << 29, 1 << 30, 3 << 29, 1 << 31, 1 << 40];
        let skip = Some(Skip { offsets: &offsets, items: &[] });
        assert_eq!((chunk_end(0, 5, 1, skip), chunk_end(2, 5, 1, skip), chunk_end(4, 5, 1, skip)), (2, 3, 5));
    }
}
