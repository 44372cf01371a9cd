//! [`Scan`] on a CUDA device.

use super::topk::{self, Items};
use super::{Buf, Cuda};
use crate::Result;
use crate::backend::{Best, Scan, TopK};

impl Scan for Cuda {
    type Items = Items;

    fn items(&self, rows: usize, dim: usize) -> Result<Items> {
        Items::new(self, rows, dim)
    }

    fn pack_items(&self, to: &mut Items, first: usize, embeddings: &Buf<f32>, rows: usize) -> Result<()> {
        to.pack(self, first, embeddings, rows)
    }

    fn topk(&self, best: Best<'_>, items: &Items, asked: &TopK<'_, Buf<f32>>) -> Result<()> {
        topk::topk_reported(self, best, items, None, asked)?;
        Ok(())
    }
}
