//! [`Scan`] on the host.

use super::Cpu;
use super::topk::{self, CpuItems};
use crate::Result;
use crate::backend::{HitCounts, Relevant, Scan, TopK, TopKOutput};

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
        topk::topk(self, best.ids, best.scores, items, &search(asked), None)
    }

    fn topk_hits(
        &self,
        counts: HitCounts<'_, Self>,
        items: &CpuItems,
        asked: &TopK<'_, Vec<f32>>,
        relevant: &Relevant<'_, Self>,
    ) -> Result<()> {
        topk::hits(self, counts, items, &search(asked), relevant)
    }
}

/// A search among all items.
fn search<'a>(asked: &TopK<'a, Vec<f32>>) -> topk::TopKQueries<'a> {
    let &TopK { queries, rows, k, skip } = asked;
    topk::TopKQueries { queries, rows, k, view: topk::ItemView { skip, ..Default::default() } }
}
