//! From a model to the best items: the catalogue's embeddings, laid out once, and users scored against them.

use std::sync::Arc;

use crate::backend::{Backend, HitCounts, Relevant, Skip, TopK};
use crate::data::vocabulary::FeatureColumn;
use crate::index::ahead::{Gathered, Reader};
use crate::index::places::Places;
use crate::index::{Found, HitCounter, Hits, Lists, NO_ITEM, Ranker, UserBlock};
use crate::model::core::Core;
use crate::model::gather::{TowerBlock, TowerReader};
use crate::model::inputs::{HostBag, entity_bags};
use crate::model::item_bias::biases;
use crate::model::tower::forward;
use crate::{Error, Result, memory};

/// Items embedded at a time.
const CHUNK: usize = 4096;

/// The embeddings of the items that may be returned.
pub(crate) struct Catalogue<B: Backend> {
    items: B::Items,
    /// The item row of each place in `items`, ascending.
    rows: Arc<Vec<u32>>,
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
        Ok(Catalogue { items, rows: Arc::new(rows), whole: allow.is_none() })
    }

    /// The best `k` of the catalogue for each user; see [`Ranker::top_k`].
    pub(crate) fn top_k(&self, core: &mut Core<B>, users: &UserBlock, k: usize, skip: Option<&Lists>) -> Result<Found> {
        let block = self.reader(core).gather(users, skip.cloned())?;
        let asked = self.ask(core, &block, k)?;
        self.found(core, asked)
    }

    /// What gathers blocks for [`ask`](Catalogue::ask).
    pub(crate) fn reader(&self, core: &Core<B>) -> TowerReader {
        tower_reader(core, self.places())
    }

    /// Where item rows stand in it.
    fn places(&self) -> Places {
        if self.whole { Places::Whole } else { Places::Of(Arc::clone(&self.rows)) }
    }

    /// What counts hits among the best `k` of each user, in blocks that [`reader`](Catalogue::reader) gathers.
    pub(crate) fn hit_counter<'a>(&'a self, core: &'a mut Core<B>, k: usize) -> Result<Box<dyn HitCounter + 'a>> {
        let none = memory::filled(u32::MAX, self.rows.len(), "the first places of items")?;
        let first_places = core.backend.upload(none)?;
        let (offsets, relevant) = (core.backend.zeros(0)?, core.backend.zeros(0)?);
        Ok(Box::new(CatalogueCounter { core, catalogue: self, k, offsets, relevant, first_places }))
    }

    /// Asks for the best `k` of the catalogue for each user.
    pub(crate) fn ask(&self, core: &mut Core<B>, block: &TowerBlock, k: usize) -> Result<Asked<B>> {
        forward_users(core, block)?;
        let asked = asked_of(core, block, k);
        Ok(Asked { lists: core.backend.ask(&self.items, &asked)?, k })
    }

    /// What was asked of this catalogue.
    pub(crate) fn found(&self, core: &Core<B>, asked: Asked<B>) -> Result<Found> {
        let mut lists = core.backend.lists(&self.items, asked.lists)?;
        for id in lists.ids.iter_mut().filter(|id| **id != NO_ITEM) {
            *id = self.rows[*id as usize];
        }
        Ok(Found { k: asked.k, ids: lists.ids, scores: lists.scores })
    }

    /// Asks for the lists of a block, and gives those that have come: of the one before, where `under_way` has one, if lists
    /// come later than they are asked for.
    pub(crate) fn next(
        &self,
        core: &mut Core<B>,
        under_way: &mut Option<Asked<B>>,
        block: Gathered,
        k: usize,
    ) -> Result<Option<Found>> {
        let asked = self.ask(core, &*block.into_own::<TowerBlock>()?, k)?;
        let oldest = if B::LATER { under_way.replace(asked) } else { Some(asked) };
        oldest.map(|oldest| self.found(core, oldest)).transpose()
    }
}

/// What is asked for a block whose users' embeddings are in the tower's output.
fn asked_of<'a, B: Backend>(core: &'a Core<B>, block: &'a TowerBlock, k: usize) -> TopK<'a, B::Buf<f32>> {
    let skip = block.skip.as_ref().map(|lists| Skip { offsets: &lists.offsets, items: &lists.values });
    TopK { queries: core.user.output(), rows: block.users, k, skip }
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
    fn hits(&mut self, block: Gathered, mut relevant: Lists) -> Result<Hits> {
        let (block, k) = (block.into_own::<TowerBlock>()?, self.k);
        let mut found = Hits::none(block.users, k)?;
        let wrong = |expected, found: usize| Err(Error::Shape { op: "hits", expected, found: found.to_string() });
        if relevant.len() != block.users {
            return wrong(format!("{} relevant lists", block.users), relevant.len());
        }
        self.catalogue.places().translate(&mut relevant);
        let listed = relevant.values.len();
        if u32::try_from(listed).is_err() {
            return wrong("fewer than 2^32 relevant items in a block".into(), listed);
        }
        let ends: Vec<u32> = relevant.offsets.iter().map(|&at| at as u32).collect();
        let core = &mut *self.core;
        stage_users(core, &block)?;
        // With the users: one copy.
        core.backend.stage(&mut self.offsets, &ends)?;
        core.backend.stage(&mut self.relevant, &relevant.values)?;
        forward_staged(core)?;
        let relevant = Relevant { offsets: &self.offsets, items: &self.relevant, listed };
        let counts = HitCounts { hits: &mut found.words, first_places: &mut self.first_places };
        core.backend.topk_hits(counts, &self.catalogue.items, &asked_of(core, &block, k), &relevant)?;
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

/// Lists that a catalogue was asked for.
pub(crate) struct Asked<B: Backend> {
    lists: B::Asked,
    k: usize,
}

/// What gathers blocks for the user tower, and puts the items that they skip in these places.
pub(crate) fn tower_reader<B: Backend>(core: &Core<B>, places: Places) -> TowerReader {
    let table_rows = core.tables.iter().map(|table| table.rows).collect();
    TowerReader { spec: core.user.spec.clone(), table_rows, places }
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
    let block = tower_reader(core, Places::Rows).gather(users, None)?;
    embed_block(core, &block)
}

/// Output embeddings of a block of users, row-major.
pub(crate) fn embed_block<B: Backend>(core: &mut Core<B>, block: &TowerBlock) -> Result<Vec<f32>> {
    forward_users(core, block)?;
    Ok(core.backend.host(core.user.output(), block.users * core.user.spec.dim)?.into_owned())
}

/// Leaves the embeddings of a block of users in the user tower's output.
pub(crate) fn forward_users<B: Backend>(core: &mut Core<B>, block: &TowerBlock) -> Result<()> {
    stage_users(core, block)?;
    forward_staged(core)
}

/// Begins a batch with what the user tower reads of a block of users.
fn stage_users<B: Backend>(core: &mut Core<B>, block: &TowerBlock) -> Result<()> {
    core.backend.begin_batch()?;
    core.user.stage(&core.backend, &block.bags, block.users, false)
}

/// The user tower of what was staged.
fn forward_staged<B: Backend>(core: &mut Core<B>) -> Result<()> {
    core.backend.repeated(|| forward(&core.backend, &core.tables, &mut [&mut core.user]))
}

/// A model in training as a ranker.
pub(crate) struct CoreRanker<'a, B: Backend> {
    core: &'a mut Core<B>,
    catalogue: Catalogue<B>,
    under_way: Option<Asked<B>>,
}

impl<'a, B: Backend> CoreRanker<'a, B> {
    pub(crate) fn new(core: &'a mut Core<B>, catalogue: Catalogue<B>) -> Self {
        CoreRanker { core, catalogue, under_way: None }
    }
}

impl<B: Backend> Ranker for CoreRanker<'_, B> {
    fn history_len(&self) -> usize {
        self.core.user.spec.history_len()
    }

    fn top_k(&mut self, users: &UserBlock, k: usize, skip: Option<&Lists>) -> Result<Found> {
        self.catalogue.top_k(self.core, users, k, skip)
    }

    fn reader(&mut self) -> Result<Reader> {
        self.under_way = None;
        Ok(self.catalogue.reader(self.core).for_ranker())
    }

    fn rank(&mut self, block: Gathered, k: usize) -> Result<Option<Found>> {
        self.catalogue.next(self.core, &mut self.under_way, block, k)
    }

    fn rest(&mut self) -> Result<Option<Found>> {
        self.under_way.take().map(|asked| self.catalogue.found(self.core, asked)).transpose()
    }

    fn hit_counter(&mut self, k: usize) -> Result<Option<Box<dyn HitCounter + '_>>> {
        self.catalogue.hit_counter(self.core, k).map(Some)
    }
}
