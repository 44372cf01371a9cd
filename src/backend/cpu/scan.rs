//! [`Scan`] on the host.

use super::Cpu;
use super::topk::{self, CpuItems};
use crate::Result;
use crate::backend::{HitCounts, Relevant, Scan, TopK, TopKLists};
use crate::memory;

impl Scan for Cpu {
    type Items = CpuItems;
    type Asked = TopKLists;
    const LATER: bool = false;

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

    fn ask(&self, items: &CpuItems, asked: &TopK<'_, Vec<f32>>) -> Result<TopKLists> {
        const WHAT: &str = "the lists that are found";
        let places = asked.rows.saturating_mul(asked.k);
        let mut lists = TopKLists { ids: memory::zeros(places, WHAT)?, scores: memory::zeros(places, WHAT)? };
        let best = lists.output();
        topk::topk(self, best.ids, best.scores, items, &search(asked), None)?;
        Ok(lists)
    }

    fn lists(&self, _: &CpuItems, asked: TopKLists) -> Result<TopKLists> {
        Ok(asked)
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
