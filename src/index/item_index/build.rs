//! From vectors to an index that keeps its recall.

use std::collections::BTreeMap;

use super::base::Base;
use super::change::{Tail, check_biases, finite, unique};
use super::engine::SearchEngine;
use super::ivf::{OwnRows, train};
use super::measure::{QuerySource, Recall, halves, recalls};
use super::options::{IndexKind, IndexOptions};
use super::{About, Filter, Guides, ItemIndex, new_generation, shape};
use crate::backend::cpu::Cpu;
use crate::backend::cpu::topk::{ItemView, TopKQueries};
use crate::config::Precision;
use crate::index::{Found, NO_ITEM};
use crate::rng::Rng;
use crate::{Result, memory};

/// What takes the memory.
const WHAT: &str = "the vectors of an index";
/// Fewer items are searched whole: that takes no longer than finding lists.
const FEW_ITEMS: usize = 1 << 14;
/// Queries that recall is measured with, at most.
const QUERIES: usize = 2000;
/// Where lists read more than this part of the items, searching everything is as fast.
const MOST_READ: f64 = 0.35;
/// Below this, a list that is left out tells nothing about normal variables any more.
const LEAST_MISSED: f32 = 1e-12;
/// A scan that is asked for more than this is exact.
const HIGHEST_SCAN: f32 = 0.9995;
/// Marks the random numbers that choose items as queries.
const ASK: u64 = u64::from_le_bytes(*b"queries\0");

impl ItemIndex {
    /// Builds an index of `vectors` (rows x D), whose numbers are `ids` (absent: 0, 1, …). `queries` (rows x D) are what
    /// recall is measured with: embeddings of users that will be asked for, a thousand or more. Without them items stand
    /// in.
    ///
    /// # Errors
    /// [`Error::Config`](crate::Error::Config) for a recall or k that cannot be kept,
    /// [`Error::Shape`](crate::Error::Shape) when vectors, numbers and queries do not fit together or a value is not
    /// finite, [`Error::OutOfMemory`](crate::Error::OutOfMemory).
    pub fn build(
        vectors: Vec<f32>,
        dim: usize,
        ids: Option<Vec<u32>>,
        queries: Option<&[f32]>,
        options: &IndexOptions,
    ) -> Result<ItemIndex> {
        ItemIndex::of_rows(OwnRows { values: vectors, biases: None, dim }, ids, queries, options)
    }

    /// As [`build`](ItemIndex::build), of items that each add one of `biases` to their scores.
    ///
    /// # Errors
    /// As [`build`](ItemIndex::build), and [`Error::Shape`](crate::Error::Shape) when there are not as many biases as
    /// vectors or one is not finite.
    pub fn build_biased(
        vectors: Vec<f32>,
        biases: Vec<f32>,
        dim: usize,
        ids: Option<Vec<u32>>,
        queries: Option<&[f32]>,
        options: &IndexOptions,
    ) -> Result<ItemIndex> {
        ItemIndex::of_rows(OwnRows { values: vectors, biases: Some(biases), dim }, ids, queries, options)
    }

    fn of_rows(
        items: OwnRows,
        ids: Option<Vec<u32>>,
        queries: Option<&[f32]>,
        options: &IndexOptions,
    ) -> Result<ItemIndex> {
        options.check()?;
        let (dim, vectors, biased) = (items.dim, &items.values, items.biases.is_some());
        if dim == 0 || !vectors.len().is_multiple_of(dim) {
            return Err(shape(format!("rows of {dim} values"), format!("{} values", vectors.len())));
        }
        let rows = vectors.len() / dim;
        if rows >= NO_ITEM as usize {
            return Err(shape(format!("fewer than {NO_ITEM} items"), rows));
        }
        if let Some(ids) = &ids {
            if ids.len() != rows {
                return Err(shape(format!("{rows} item numbers"), ids.len()));
            }
            unique(ids)?;
        }
        if queries.is_some_and(|queries| !queries.len().is_multiple_of(dim)) {
            return Err(shape(format!("queries of {dim} values"), "others"));
        }
        finite(vectors, dim)?;
        check_biases(items.biases.as_deref(), rows)?;
        finite(queries.unwrap_or_default(), dim)?;
        let ids = match ids {
            Some(ids) => ids,
            None => memory::collect(0..rows as u32, WHAT)?,
        };
        let (items, ids) = ascending(items, ids)?;
        let cpu = Cpu::new(options.threads, None, Precision::Fp32)?;
        let (kept, source) = match queries.filter(|queries| queries.len() >= 2 * dim) {
            Some(queries) => (spread(queries, dim, QUERIES), QuerySource::Given),
            None => (ask_items(&items.values, dim, options.seed), QuerySource::Items),
        };
        let about = About {
            kind: options.kind,
            k: options.k,
            catalogue: options.catalogue.clone(),
            seed: options.seed,
            missed: None,
            scan_recall: None,
            lists: None,
            measured: None,
            added: 0,
            removed: 0,
        };
        let (tail, engine) = (Tail::new(&cpu, dim, biased), SearchEngine::open(options.device)?);
        let host = engine.is_host();
        let new = |cpu, base| ItemIndex {
            cpu,
            base,
            alive: None,
            tail,
            dim,
            biased,
            about,
            tags: BTreeMap::new(),
            queries: kept.into(),
            places: None,
            generation: new_generation(),
            guides: Guides::default(),
            engine,
        };
        let IndexKind::Approx { recall } = options.kind else {
            let base = Base::whole(&cpu, items, ids)?;
            return Ok(new(cpu, base));
        };
        if !host {
            let base = Base::whole(&cpu, items, ids)?;
            let mut index = new(cpu, base);
            index.tune_scan(recall, source)?;
            return Ok(index);
        }
        let lists = if rows < FEW_ITEMS { None } else { train(&cpu, items.rows(), options.seed)? };
        let Some(mut lists) = lists else {
            let base = Base::whole(&cpu, items, ids)?;
            return Ok(new(cpu, base));
        };
        lists.name(&ids);
        let mut index = new(cpu, Base::Lists(Box::new(lists)));
        if !index.tune(f64::from(recall), source)? {
            index.base = Base::whole(&index.cpu, items, ids)?;
            return Ok(index);
        }
        drop(items);
        if let Base::Lists(lists) = &index.base {
            index.about.lists = Some(lists.count());
        }
        Ok(index)
    }

    /// Sets the recall that a device's scan is asked for, so that the measured one is at least `recall`.
    pub(super) fn tune_scan(&mut self, recall: f32, source: QuerySource) -> Result<()> {
        let (asked, held) = halves(&self.queries, self.dim);
        let best = self.search_exactly(&asked, self.about.k, None)?;
        let mut scan = recall;
        while scan < HIGHEST_SCAN {
            self.about.scan_recall = Some(scan);
            let found = self.search(&asked, self.about.k, &Filter::default())?;
            if Recall::of(&recalls(&found, &best)).low >= f64::from(recall) {
                let measured = self.measured(&held, source)?;
                if measured.recall.value >= f64::from(recall) {
                    self.about.measured = Some(measured);
                    return Ok(());
                }
            }
            scan = 1.0 - (1.0 - scan) / 2.0;
        }
        // Exact, then.
        self.about.scan_recall = None;
        self.about.measured = None;
        Ok(())
    }

    /// Finds the least effort that keeps the recall: with a margin on one half of the queries, then measured on the other.
    /// Answers false where searching everything would be as fast.
    fn tune(&mut self, target: f64, source: QuerySource) -> Result<bool> {
        let (asked, held) = halves(&self.queries, self.dim);
        let (rows, k) = (asked.len() / self.dim, self.about.k);
        let search = TopKQueries { queries: &asked, rows, k, view: ItemView::default() };
        let best = self.search_exactly(&asked, k, None)?;
        let mut found = Found::empty(rows, k)?;
        let mut missed = 1.0f32;
        while missed > LEAST_MISSED {
            missed *= 0.5;
            self.about.missed = Some(missed);
            self.guides = Guides::default();
            let read = self.search_base(&mut found, &search, None, &self.guides)?;
            if read as f64 > MOST_READ * (rows * self.base.len()) as f64 {
                break;
            }
            // The margin: the interval's lower end.
            if Recall::of(&recalls(&found, &best)).low < target {
                continue;
            }
            let measured = self.measured(&held, source)?;
            let kept = measured.recall.value >= target && measured.filtered.iter().all(|f| f.recall.value >= target);
            if kept {
                self.about.measured = Some(measured);
                return Ok(true);
            }
        }
        self.about.missed = None;
        Ok(false)
    }
}

/// The same items by ascending number.
fn ascending(items: OwnRows, ids: Vec<u32>) -> Result<(OwnRows, Vec<u32>)> {
    if ids.is_sorted() {
        return Ok((items, ids));
    }
    let OwnRows { values, biases, dim } = items;
    let mut rows = memory::collect(0..ids.len() as u32, WHAT)?;
    rows.sort_unstable_by_key(|&row| ids[row as usize]);
    let mut sorted = memory::with_capacity(values.len(), WHAT)?;
    rows.iter().for_each(|&r| sorted.extend_from_slice(&values[r as usize * dim..(r as usize + 1) * dim]));
    let biases = match biases {
        Some(biases) => Some(memory::collect(rows.iter().map(|&r| biases[r as usize]), WHAT)?),
        None => None,
    };
    let ids = memory::collect(rows.iter().map(|&r| ids[r as usize]), WHAT)?;
    Ok((OwnRows { values: sorted, biases, dim }, ids))
}

/// Up to `most` rows, evenly spread.
fn spread(queries: &[f32], dim: usize, most: usize) -> Vec<f32> {
    let rows = queries.len() / dim;
    let n = rows.min(most);
    (0..n).flat_map(|i| &queries[i * rows / n * dim..][..dim]).copied().collect()
}

/// Random items in the place of queries.
fn ask_items(vectors: &[f32], dim: usize, seed: u64) -> Vec<f32> {
    let rows = vectors.len() / dim;
    let mut rng = Rng::at(seed, &[ASK]);
    let mut pick = || rng.below(rows as u64) as usize;
    (0..QUERIES.min(rows)).flat_map(|_| &vectors[pick() * dim..][..dim]).copied().collect()
}
