//! A catalogue on the device for searches that may miss a part of the best: its fp32 and bf16 rows, and int8 codes.

use super::approximate::{Wish, queue_approx};
use super::{AskedLists, Buf, Codes, Cuda, CudaItems, TopK, TopKLists, queue};
use crate::Result;
use crate::backend::Memory;

/// Rows that are uploaded together: whole panels.
const PIECE: usize = 1 << 14;

/// Items in the order that they were given in; ties go by that order.
pub(crate) struct CudaIndex {
    items: CudaItems,
    /// Absent where there are no items.
    codes: Option<Codes>,
    /// Whether every value is a finite number. A shortcut's scan may lose an item whose score is not.
    finite: bool,
}

impl CudaIndex {
    /// Of `rows` rows of `dim` values each; `row` gives one, and its bias, which counts where they are `biased`.
    ///
    /// # Errors
    /// [`Error::DeviceMemory`] where they do not fit.
    pub(crate) fn new<'a>(
        cuda: &Cuda,
        rows: usize,
        dim: usize,
        biased: bool,
        row: impl Fn(usize) -> (&'a [f32], f32),
    ) -> Result<CudaIndex> {
        let mut items = CudaItems::new(cuda, rows, dim, biased)?;
        let (mut first, mut finite) = (0, true);
        while first < rows {
            let piece = PIECE.min(rows - first);
            let values: Vec<f32> = (first..first + piece).flat_map(|r| row(r).0.iter().copied()).collect();
            let biases: Vec<f32> = (first..first + piece).map(|r| row(r).1).collect();
            finite &= values.iter().chain(&biases).all(|x| x.is_finite());
            let biases = biased.then(|| cuda.upload(biases)).transpose()?;
            items.pack(cuda, first, &cuda.upload(values)?, biases.as_ref(), piece)?;
            first += piece;
        }
        let codes = if rows > 0 { Some(items.codes(cuda)?) } else { None };
        Ok(CudaIndex { items, codes, finite })
    }

    /// Asks for the k best of each query, or for at least the part `recall` of them in expectation (1: all, in the bits of
    /// the CPU's scan). Everybody gets k items whenever that many may be given. Where less than all is asked for, items that
    /// are alike must not stand in a pattern: the scan takes their places for random.
    pub(crate) fn ask(&self, cuda: &Cuda, asked: &TopK<'_, Buf<f32>>, recall: f32) -> Result<AskedLists> {
        let (items, codes) = (&self.items, self.codes.as_ref());
        AskedLists::new(asked.rows, asked.k, |mut best| {
            if recall >= 1.0 || !self.finite {
                return Ok(queue(cuda, &mut best, items, codes, asked)?.0);
            }
            // Buckets keep a few items each: where skips take most of those, a list would come out short.
            let wish = Wish { recall: f64::from(recall), forced: None, full: true };
            Ok(queue_approx(cuda, &mut best, (items, codes), asked, &wish)?.0.0)
        })
    }

    /// What was asked for.
    pub(crate) fn lists(&self, cuda: &Cuda, asked: AskedLists) -> Result<TopKLists> {
        asked.lists(cuda, &self.items, self.codes.as_ref())
    }
}
