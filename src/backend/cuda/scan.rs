//! [`Scan`] on a CUDA device.

use super::topk::{self, AskedLists, CudaItems};
use super::{Buf, Cuda};
use crate::Result;
use crate::backend::{HitCounts, Relevant, Scan, TopK, TopKLists};

impl Scan for Cuda {
    type Items = CudaItems;
    type Asked = AskedLists;
    const LATER: bool = true;

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

    fn ask(&self, items: &CudaItems, asked: &TopK<'_, Buf<f32>>) -> Result<AskedLists> {
        topk::ask(self, items, asked)
    }

    fn lists(&self, items: &CudaItems, asked: AskedLists) -> Result<TopKLists> {
        topk::lists(self, items, asked)
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
