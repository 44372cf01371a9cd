//! [`Scan`] on the host.

use super::Cpu;
use super::topk::{self, CpuItems};
use crate::Result;
use crate::backend::{Scan, TopK, TopKLists};
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
        let &TopK { queries, rows, k, skip } = asked;
        let search = topk::TopKQueries { queries, rows, k, view: topk::ItemView { skip, ..Default::default() } };
        let places = rows.saturating_mul(k);
        let mut lists = TopKLists { ids: memory::zeros(places, WHAT)?, scores: memory::zeros(places, WHAT)? };
        let best = lists.output();
        topk::topk(self, best.ids, best.scores, items, &search, None)?;
        Ok(lists)
    }

    fn lists(&self, _: &CpuItems, asked: TopKLists) -> Result<TopKLists> {
        Ok(asked)
    }
}
