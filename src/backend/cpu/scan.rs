//! [`Scan`] on the host.

use super::Cpu;
use super::topk::{self, CpuItems};
use crate::Result;
use crate::backend::{Scan, TopK, TopKOutput};

impl Scan for Cpu {
    type Items = CpuItems;

    fn items(&self, rows: usize, dim: usize, biased: bool) -> Result<CpuItems> {
        CpuItems::new(rows, dim, biased)
    }

    fn pack_items(
        &self,
        to: &mut CpuItems,
        first: usize,
        embeddings: &Vec<f32>,
        biases: Option<&Vec<f32>>,
        rows: usize,
    ) -> Result<()> {
        to.pack(self, first, embeddings, biases.map(Vec::as_slice), rows)
    }

    fn topk(&self, best: TopKOutput<'_>, items: &CpuItems, asked: &TopK<'_, Vec<f32>>) -> Result<()> {
        let &TopK { queries, rows, k, skip } = asked;
        let search = topk::TopKQueries { queries, rows, k, view: topk::ItemView { skip, ..Default::default() } };
        topk::topk(self, best.ids, best.scores, items, &search, None)
    }
}
