//! [`Scan`] on the host.

use super::Cpu;
use super::topk::{self, Items};
use crate::Result;
use crate::backend::{Best, Scan, TopK};

impl Scan for Cpu {
    type Items = Items;

    fn items(&self, rows: usize, dim: usize) -> Result<Items> {
        Items::new(rows, dim)
    }

    fn pack_items(&self, to: &mut Items, first: usize, embeddings: &Vec<f32>, rows: usize) -> Result<()> {
        to.pack(self, first, embeddings, rows)
    }

    fn topk(&self, best: Best<'_>, items: &Items, asked: &TopK<'_, Vec<f32>>) -> Result<()> {
        let &TopK { queries, rows, k, skip } = asked;
        let search = topk::Search { queries, rows, k, who: topk::Who { skip, ..Default::default() } };
        topk::topk(self, best.ids, best.scores, items, &search, None)
    }
}
