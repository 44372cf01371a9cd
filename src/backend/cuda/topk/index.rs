//! A catalogue on the device for searches that may miss a part of the best: its fp32 and bf16 rows, and what its searches
//! scan: int8 codes or, for exact ones on Hopper, panels.

use std::sync::OnceLock;

use super::approximate::{Wish, queue_approx};
use super::{AskedLists, Buf, Codes, Cuda, CudaItems, TopK, TopKLists, queue};
use crate::Result;
use crate::backend::Memory;
use crate::backend::cuda::architecture::Architecture;

/// Rows that are uploaded together: whole panels.
const PIECE: usize = 1 << 14;

/// Items in the order that they were given in; ties go by that order.
pub(crate) struct CudaIndex {
    items: CudaItems,
    /// From the first search on that scans them.
    codes: OnceLock<Codes>,
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
        Ok(CudaIndex { items, codes: OnceLock::new(), finite })
    }

    /// Codes for the kernels that every device runs; `None` where there are no items.
    fn codes(&self, cuda: &Cuda) -> Result<Option<&Codes>> {
        if self.codes.get().is_none() && self.items.rows > 0 {
            let codes = self.items.codes(cuda)?;
            let _ = self.codes.set(codes);
        }
        Ok(self.codes.get())
    }

    /// What an exact search scans where panels do not serve it: on Hopper, where they nearly always do, no codes are made
    /// for it.
    fn exact_codes(&self, cuda: &Cuda) -> Result<Option<&Codes>> {
        if cuda.architecture() == Architecture::Sm90a { Ok(None) } else { self.codes(cuda) }
    }

    /// Asks for the k best of each query, or for at least the part `recall` of them in expectation (1: all, in the bits of
    /// the CPU's scan). Everybody gets k items whenever that many may be given. Where less than all is asked for, items that
    /// are alike must not stand in a pattern: the scan takes their places for random.
    pub(crate) fn ask(&self, cuda: &Cuda, asked: &TopK<'_, Buf<f32>>, recall: f32) -> Result<AskedLists> {
        let items = &self.items;
        AskedLists::new(asked.rows, asked.k, |mut best| {
            if recall >= 1.0 || !self.finite {
                return Ok(queue(cuda, &mut best, items, self.exact_codes(cuda)?, asked)?.0);
            }
            // Buckets keep a few items each: where skips take most of those, a list would come out short.
            let wish = Wish { recall: f64::from(recall), forced: None, full: true };
            Ok(queue_approx(cuda, &mut best, (items, self.codes(cuda)?), asked, &wish)?.0.0)
        })
    }

    /// What was asked for.
    pub(crate) fn lists(&self, cuda: &Cuda, asked: AskedLists) -> Result<TopKLists> {
        asked.lists(cuda, &self.items, self.codes.get())
    }

    /// Bytes of the device that it takes now.
    #[cfg(test)]
    pub(crate) fn device_bytes(&self) -> usize {
        self.items.device_bytes() + self.codes.get().map_or(0, Codes::device_bytes)
    }
}
