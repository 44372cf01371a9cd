//! A call in chunks of queries, each of bounded memory on the device.

use std::ops::Range;

use super::plan;
use super::search::{QueryChunk, Report, Skips};
use super::{Buf, Cuda, CudaItems, need, need_len};
use crate::Result;
use crate::backend::{Skip, TopK, TopKOutput};

/// What is asked, checked. There is something to find.
pub(super) struct Call<'a> {
    pub queries: &'a Buf<f32>,
    pub rows: usize,
    pub k: usize,
    pub skip: Option<Skip<'a>>,
}

impl<'a> Call<'a> {
    /// Checks the arguments as the CPU does. `None`, and results without items, where there is nothing to find. `best`:
    /// absent where lists are to stay on the device.
    pub(super) fn new(
        best: Option<&mut TopKOutput<'_>>,
        items: &CudaItems,
        asked: &TopK<'a, Buf<f32>>,
    ) -> Result<Option<Call<'a>>> {
        const OP: &str = "topk";
        let &TopK { queries, rows, k, skip } = asked;
        if let Some(best) = &best {
            need_len(OP, "ids", best.ids.len(), rows * k)?;
            need_len(OP, "scores", best.scores.len(), rows * k)?;
        }
        need_len(OP, "queries", queries.len(), rows * items.dim)?;
        if let Some(skip) = skip {
            need_len(OP, "skip offsets", skip.offsets.len(), rows + 1)?;
            let ok =
                skip.offsets[..rows + 1].windows(2).all(|w| w[0] <= w[1]) && skip.offsets[rows] <= skip.items.len();
            need(OP, ok, format_args!("ascending skip offsets up to {}", skip.items.len()), "others")?;
        }
        need(OP, k <= i32::MAX as usize, "k below 2^31", k)?;
        if k == 0 || rows == 0 || items.rows == 0 {
            if let Some(best) = best {
                best.ids[..rows * k].fill(u32::MAX);
                best.scores[..rows * k].fill(f32::NEG_INFINITY);
            }
            return Ok(None);
        }
        Ok(Some(Call { queries, rows, k, skip }))
    }

    /// How many items query `q` skips.
    pub(super) fn skipped(&self, q: usize) -> usize {
        self.skip.map_or(0, |skip| skip.offsets[q + 1] - skip.offsets[q])
    }

    /// Queries of a chunk at most: chunks of about the same size.
    pub(super) fn chunk_rows(&self) -> usize {
        self.rows.div_ceil(self.rows.div_ceil(plan::MOST_QUERIES))
    }
}

/// Runs `search` on chunks of queries and brings their results back, where `best` is there for them. `bytes`: what a
/// query takes on the device for its lists and maxima. `search` gets the queries' places in the call.
pub(super) fn each_chunk(
    cuda: &Cuda,
    mut best: Option<TopKOutput<'_>>,
    items: &CudaItems,
    call: &Call<'_>,
    bytes: impl Fn(usize) -> usize,
    mut search: impl FnMut(&QueryChunk<'_>, Range<usize>) -> Result<Report>,
) -> Result<Report> {
    let (rows, k, most) = (call.rows, call.k, call.chunk_rows());
    let each = plan::query_bytes(items.dim, k);
    let all_bytes = |q| {
        // Its offset, too.
        let skipped = if call.skip.is_some() { (call.skipped(q) + 1) * 4 } else { 0 };
        bytes(q).saturating_add(each).saturating_add(skipped)
    };
    let mut report = Report::default();
    let mut from = 0;
    while from < rows {
        let to = plan::chunk_end(from, rows.min(from + most), all_bytes);
        let n = (to - from) * k;
        let chunk = QueryChunk {
            cuda,
            items,
            queries: call.queries.input_at(from * items.dim),
            rows: to - from,
            k,
            skips: skips_of(cuda, call.skip, from, to)?,
            ids: cuda.scratch(n)?,
            scores: cuda.scratch(n)?,
        };
        report.add(search(&chunk, from..to)?);
        if let Some(best) = &mut best {
            cuda.download(&mut best.ids[from * k..to * k], &chunk.ids, 0)?;
            cuda.download(&mut best.scores[from * k..to * k], &chunk.scores, 0)?;
        }
        from = to;
    }
    Ok(report)
}

/// The chunk's skip lists on the device.
fn skips_of(cuda: &Cuda, skip: Option<Skip<'_>>, from: usize, to: usize) -> Result<Skips> {
    let Some(skip) = skip else { return Ok(Skips { offsets: None, items: None }) };
    let first = skip.offsets[from];
    let items = &skip.items[first..skip.offsets[to]];
    need("topk", u32::try_from(items.len()).is_ok(), "fewer than 2^32 skipped items a query", items.len())?;
    let offsets: Vec<u32> = skip.offsets[from..=to].iter().map(|&at| (at - first) as u32).collect();
    let (offsets_buf, items_buf) = (cuda.uninit(offsets.len())?, cuda.uninit(items.len())?);
    cuda.send(&offsets_buf, &offsets)?;
    cuda.send(&items_buf, items)?;
    Ok(Skips { offsets: Some(offsets_buf), items: Some(items_buf) })
}
