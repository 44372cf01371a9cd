//! From a model to the best items: the catalogue's embeddings, laid out once, and users scored against them.

use crate::backend::{Backend, HitCounts, Relevant, Skip, TopK, TopKOutput};
use crate::data::vocabulary::FeatureColumn;
use crate::index::{Found, HitCounter, Hits, Lists, NO_ITEM, Ranker, UserBlock};
use crate::model::core::Core;
use crate::model::inputs::{HostBag, block_bags, entity_bags};
use crate::model::item_bias::biases;
use crate::model::tower::forward;
use crate::{Error, Result, memory};

/// Items embedded at a time.
const CHUNK: usize = 4096;

/// The embeddings of the items that may be returned.
pub(crate) struct Catalogue<B: Backend> {
    items: B::Items,
    /// The item row of each place in `items`, ascending.
    rows: Vec<u32>,
    /// Whether `rows` is 1, 2, …: every item of the vocabulary.
    whole: bool,
}

impl<B: Backend> Catalogue<B> {
    /// `features`: the item columns. `allow`: item rows, ascending; absent, every item.
    pub(crate) fn new(
        core: &mut Core<B>,
        features: &[FeatureColumn],
        items: usize,
        allow: Option<&[u32]>,
    ) -> Result<Self> {
        let rows: Vec<u32> = match allow {
            Some(allow) => memory::collect(allow.iter().copied(), "the rows of a catalogue")?,
            None => memory::collect(1..items as u32, "the rows of a catalogue")?,
        };
        let ascending = rows.windows(2).all(|pair| pair[0] < pair[1]);
        if !ascending || rows.first() == Some(&0) || rows.last().is_some_and(|&last| last as usize >= items) {
            return Err(Error::Shape {
                op: "catalogue",
                expected: format!("ascending item rows from 1 to {}", items.saturating_sub(1)),
                found: "other rows".into(),
            });
        }
        let mut items = core.backend.items(rows.len(), core.item.spec.dim, !core.popularity.is_empty())?;
        let mut bags: Vec<HostBag> = Vec::new();
        for (n, chunk) in rows.chunks(CHUNK).enumerate() {
            entity_bags(&core.item.spec, chunk, features, &mut bags);
            let biases = biases(core, chunk)?.map(|biases| core.backend.upload(biases)).transpose()?;
            core.backend.begin_batch()?;
            core.item.stage(&core.backend, &bags, chunk.len(), false)?;
            forward(&core.backend, &core.tables, &mut [&mut core.item])?;
            core.backend.pack_items(&mut items, n * CHUNK, core.item.output(), biases.as_ref(), chunk.len())?;
        }
        Ok(Catalogue { items, rows, whole: allow.is_none() })
    }

    /// The best `k` of the catalogue for each user; see [`Ranker::top_k`].
    pub(crate) fn top_k(&self, core: &mut Core<B>, users: &UserBlock, k: usize, skip: Option<&Lists>) -> Result<Found> {
        let rows = users.len();
        let mut found = Found::empty(rows, k)?;
        if rows == 0 || k == 0 {
            return Ok(found);
        }
        forward_users(core, users)?;
        let local = skip.map(|skip| self.local(skip, rows, "skip")).transpose()?;
        let skip = local.as_ref().map(skipped);
        let queries = core.user.output();
        let best = TopKOutput { ids: &mut found.ids, scores: &mut found.scores };
        core.backend.topk(best, &self.items, &TopK { queries, rows, k, skip })?;
        for id in found.ids.iter_mut().filter(|id| **id != NO_ITEM) {
            *id = self.rows[*id as usize];
        }
        Ok(found)
    }

    /// What counts hits among the best `k` of each user.
    pub(crate) fn hit_counter<'a>(&'a self, core: &'a mut Core<B>, k: usize) -> Result<Box<dyn HitCounter + 'a>> {
        let none = memory::filled(u32::MAX, self.rows.len(), "the first places of items")?;
        let first_places = core.backend.upload(none)?;
        let (offsets, relevant) = (core.backend.zeros(0)?, core.backend.zeros(0)?);
        Ok(Box::new(CatalogueCounter { core, catalogue: self, k, offsets, relevant, first_places }))
    }

    /// Lists of item rows in places of the catalogue. `what` they are.
    fn local(&self, lists: &Lists, users: usize, what: &str) -> Result<Lists> {
        if lists.len() != users {
            return Err(Error::Shape {
                op: "top_k",
                expected: format!("{users} {what} lists"),
                found: lists.len().to_string(),
            });
        }
        let mut local = Lists::default();
        for user in 0..users {
            let list = lists.get(user).iter();
            if self.whole {
                local.values.extend(list.filter(|&&row| row > 0).map(|&row| row - 1));
            } else {
                local.values.extend(list.filter_map(|row| self.rows.binary_search(row).ok()).map(|place| place as u32));
            }
            local.close();
        }
        Ok(local)
    }
}

/// Lists in places of a catalogue as a scan passes over them.
fn skipped(lists: &Lists) -> Skip<'_> {
    Skip { offsets: &lists.offsets, items: &lists.values }
}

/// Counts hits among the best of a catalogue on the device.
struct CatalogueCounter<'a, B: Backend> {
    core: &'a mut Core<B>,
    catalogue: &'a Catalogue<B>,
    k: usize,
    /// What is relevant to the users of a block, by place in the catalogue: the ends of their lists, and the lists.
    offsets: B::Buf<u32>,
    relevant: B::Buf<u32>,
    /// By place in the catalogue.
    first_places: B::Buf<u32>,
}

impl<B: Backend> HitCounter for CatalogueCounter<'_, B> {
    fn hits(&mut self, users: &UserBlock, skip: Option<&Lists>, relevant: &Lists) -> Result<Hits> {
        let (rows, k) = (users.len(), self.k);
        let mut found = Hits::none(rows, k)?;
        if rows == 0 || k == 0 {
            return Ok(found);
        }
        let skip = skip.map(|skip| self.catalogue.local(skip, rows, "skip")).transpose()?;
        let relevant = self.catalogue.local(relevant, rows, "relevant")?;
        let listed = relevant.values.len();
        if u32::try_from(listed).is_err() {
            let expected = "fewer than 2^32 relevant items in a block".into();
            return Err(Error::Shape { op: "hits", expected, found: listed.to_string() });
        }
        let offsets: Vec<u32> = relevant.offsets.iter().map(|&at| at as u32).collect();
        stage_users(self.core, users)?;
        // With the users: one copy.
        self.core.backend.stage(&mut self.offsets, &offsets)?;
        self.core.backend.stage(&mut self.relevant, &relevant.values)?;
        forward(&self.core.backend, &self.core.tables, &mut [&mut self.core.user])?;
        let asked = TopK { queries: self.core.user.output(), rows, k, skip: skip.as_ref().map(skipped) };
        let relevant = Relevant { offsets: &self.offsets, items: &self.relevant, listed };
        let counts = HitCounts { hits: &mut found.words, first_places: &mut self.first_places };
        self.core.backend.topk_hits(counts, &self.catalogue.items, &asked, &relevant)?;
        Ok(found)
    }

    fn first_places(&mut self) -> Result<Vec<u32>> {
        let items = &self.catalogue.rows;
        let places = self.core.backend.host(&self.first_places, items.len())?;
        let rows = items.last().map_or(0, |&last| last as usize + 1);
        let mut by_row = memory::filled(u32::MAX, rows, "the first places of items")?;
        items.iter().zip(&*places).for_each(|(&row, &place)| by_row[row as usize] = place);
        Ok(by_row)
    }
}

/// Output embeddings of item rows, row-major.
pub(crate) fn embed_items<B: Backend>(
    core: &mut Core<B>,
    features: &[FeatureColumn],
    rows: &[u32],
) -> Result<Vec<f32>> {
    let dim = core.item.spec.dim;
    let mut out = memory::with_capacity(rows.len() * dim, "the embeddings of the items")?;
    let mut bags: Vec<HostBag> = Vec::new();
    for chunk in rows.chunks(CHUNK) {
        entity_bags(&core.item.spec, chunk, features, &mut bags);
        core.backend.begin_batch()?;
        core.item.stage(&core.backend, &bags, chunk.len(), false)?;
        forward(&core.backend, &core.tables, &mut [&mut core.item])?;
        out.extend_from_slice(&core.backend.host(core.item.output(), chunk.len() * dim)?);
    }
    Ok(out)
}

/// Output embeddings of a block of users, row-major.
pub(crate) fn embed_users<B: Backend>(core: &mut Core<B>, users: &UserBlock) -> Result<Vec<f32>> {
    forward_users(core, users)?;
    Ok(core.backend.host(core.user.output(), users.len() * core.user.spec.dim)?.into_owned())
}

/// Leaves the embeddings of a block of users in the user tower's output.
pub(crate) fn forward_users<B: Backend>(core: &mut Core<B>, users: &UserBlock) -> Result<()> {
    stage_users(core, users)?;
    forward(&core.backend, &core.tables, &mut [&mut core.user])
}

/// Begins a batch with what the user tower reads of a block of users.
fn stage_users<B: Backend>(core: &mut Core<B>, users: &UserBlock) -> Result<()> {
    let table_rows: Vec<usize> = core.tables.iter().map(|table| table.rows).collect();
    let mut bags = Vec::new();
    block_bags(&core.user.spec, users, &table_rows, &mut bags)?;
    core.backend.begin_batch()?;
    core.user.stage(&core.backend, &bags, users.len(), false)
}

/// A model in training as a ranker.
pub(crate) struct CoreRanker<'a, B: Backend> {
    pub core: &'a mut Core<B>,
    pub catalogue: Catalogue<B>,
}

impl<B: Backend> Ranker for CoreRanker<'_, B> {
    fn history_len(&self) -> usize {
        self.core.user.spec.history_len()
    }

    fn top_k(&mut self, users: &UserBlock, k: usize, skip: Option<&Lists>) -> Result<Found> {
        self.catalogue.top_k(self.core, users, k, skip)
    }

    fn hit_counter(&mut self, k: usize) -> Result<Option<Box<dyn HitCounter + '_>>> {
        self.catalogue.hit_counter(self.core, k).map(Some)
    }
}
