//! [`Scan`] on a CUDA device.

use super::topk::{self, Items};
use super::{Buf, Cuda};
use crate::Result;
use crate::backend::{Scan, Skip};

impl Scan for Cuda {
    type Items = Items;

    fn items(&self, rows: usize, dim: usize) -> Result<Items> {
        Items::new(self, rows, dim)
    }

    fn pack_items(&self, to: &mut Items, first: usize, embeddings: &Buf<f32>, rows: usize) -> Result<()> {
        to.pack(self, first, embeddings, rows)
    }

    fn topk(
        &self,
        ids: &mut [u32],
        scores: &mut [f32],
        queries: &Buf<f32>,
        items: &Items,
        skip: Option<Skip<'_>>,
        rows: usize,
        k: usize,
    ) -> Result<()> {
        topk::topk(self, ids, scores, queries, items, skip, rows, k)
    }
}
