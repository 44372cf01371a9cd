//! [`Scan`] on a CUDA device.

use super::topk::{self, CudaItems};
use super::{Buf, Cuda};
use crate::Result;
use crate::backend::{HitCounts, Relevant, Scan, TopK, TopKOutput};

impl Scan for Cuda {
    type Items = CudaItems;

    fn items(&self, rows: usize, dim: usize, biased: bool) -> Result<CudaItems> {
        CudaItems::new(self, rows, dim, biased)
    }

    fn pack_items(
        &self,
        to: &mut CudaItems,
        first: usize,
        embeddings: &Buf<f32>,
        biases: Option<&Buf<f32>>,
        rows: usize,
    ) -> Result<()> {
        to.pack(self, first, embeddings, biases, rows)
    }

    fn topk(&self, best: TopKOutput<'_>, items: &CudaItems, asked: &TopK<'_, Buf<f32>>) -> Result<()> {
        topk::topk_reported(self, best, items, None, asked)?;
        Ok(())
    }

    fn topk_hits(
        &self,
        counts: HitCounts<'_, Self>,
        items: &CudaItems,
        asked: &TopK<'_, Buf<f32>>,
        relevant: &Relevant<'_, Self>,
    ) -> Result<()> {
        topk::topk_hits(self, counts, items, asked, relevant)
    }
}
