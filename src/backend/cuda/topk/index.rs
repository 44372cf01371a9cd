//! A catalogue on the device for searches that may miss a part of the best: its fp32 and bf16 rows, and int8 codes.

use super::approximate::topk_approx;
use super::{Codes, Cuda, Form, Items, Skip, topk_reported};
use crate::backend::Backend;
use crate::{Error, Result};

/// Rows that are uploaded together: whole panels.
const PIECE: usize = 1 << 14;

/// Items in the order that they were given in; ties go by that order.
pub(crate) struct Index {
    items: Items,
    /// Absent where there are no items.
    codes: Option<Codes>,
}

impl Index {
    /// Of `rows` rows of `dim` values each; `row` gives one.
    ///
    /// # Errors
    /// [`Error::DeviceMemory`] where they do not fit.
    pub(crate) fn new<'a>(cuda: &Cuda, rows: usize, dim: usize, row: impl Fn(usize) -> &'a [f32]) -> Result<Index> {
        if let Some((device, free)) = cuda.free_memory()? {
            let each = 4 * dim.next_multiple_of(8) + Form::Bf16.row_bytes(dim) + Form::Int8.row_bytes(dim) + 4;
            let needed = each as u64 * rows as u64;
            if needed > free {
                return Err(Error::DeviceMemory { device, what: format!("an index of {rows} items"), needed, free });
            }
        }
        let mut items = Items::new(cuda, rows, dim)?;
        let mut first = 0;
        while first < rows {
            let piece = PIECE.min(rows - first);
            let values: Vec<f32> = (first..first + piece).flat_map(|r| row(r).iter().copied()).collect();
            items.pack(cuda, first, &cuda.upload(values)?, piece)?;
            first += piece;
        }
        let codes = if rows > 0 { Some(items.codes(cuda)?) } else { None };
        Ok(Index { items, codes })
    }

    /// The k best of each query, or at least the part `recall` of them in expectation (1: all, in the bits of the CPU's
    /// scan). Everybody gets k items whenever that many may be given.
    #[allow(clippy::too_many_arguments)]
    pub(crate) fn search(
        &self,
        cuda: &Cuda,
        ids: &mut [u32],
        scores: &mut [f32],
        queries: &[f32],
        skip: Option<Skip<'_>>,
        (rows, k): (usize, usize),
        recall: f32,
    ) -> Result<()> {
        let asked = cuda.upload(queries.to_vec())?;
        let (items, codes) = (&self.items, self.codes.as_ref());
        if recall >= 1.0 {
            topk_reported(cuda, (ids, scores), &asked, items, codes, skip, (rows, k))?;
            return Ok(());
        }
        topk_approx(cuda, ids, scores, &asked, items, codes, skip, (rows, k), f64::from(recall), None)?;
        // Buckets keep a few items each: where skips take most of those, a query comes out short.
        let full = |q: usize| {
            let skipped = skip.map_or(0, |skip| skip.offsets[q + 1] - skip.offsets[q]);
            let there = ids[q * k..(q + 1) * k].iter().filter(|id| **id != u32::MAX).count();
            there >= k.min(items.rows.saturating_sub(skipped))
        };
        let short: Vec<usize> = (0..rows).filter(|&q| k > 0 && !full(q)).collect();
        for q in short {
            let query = cuda.upload(queries[q * items.dim..(q + 1) * items.dim].to_vec())?;
            let one = skip.map(|skip| (skip.offsets[q], skip.offsets[q + 1]));
            let offsets = one.map(|(from, to)| [0, to - from]);
            let skip = match (skip, &offsets, one) {
                (Some(skip), Some(offsets), Some((from, to))) => Some(Skip { offsets, items: &skip.items[from..to] }),
                _ => None,
            };
            let (ids, scores) = (&mut ids[q * k..(q + 1) * k], &mut scores[q * k..(q + 1) * k]);
            topk_reported(cuda, (ids, scores), &query, items, codes, skip, (1, k))?;
        }
        Ok(())
    }
}
