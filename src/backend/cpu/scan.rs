//! [`Scan`] on the host.

use super::Cpu;
use super::topk::{self, Items};
use crate::Result;
use crate::backend::{Scan, Skip};

impl Scan for Cpu {
    type Items = Items;

    fn items(&self, rows: usize, dim: usize) -> Result<Items> {
        Items::new(rows, dim)
    }

    fn pack_items(&self, to: &mut Items, first: usize, embeddings: &Vec<f32>, rows: usize) -> Result<()> {
        to.pack(self, first, embeddings, rows)
    }

    fn topk(
        &self,
        ids: &mut [u32],
        scores: &mut [f32],
        queries: &Vec<f32>,
        items: &Items,
        skip: Option<Skip<'_>>,
        rows: usize,
        k: usize,
    ) -> Result<()> {
        let who = topk::Who { skip, ..Default::default() };
        topk::topk(self, ids, scores, items, &topk::Search { queries, rows, k, who }, None)
    }
}
