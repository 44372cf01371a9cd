//! From a batch's rows to what the towers, the loss and the optimizer read. Runs on the loader's threads.

use std::sync::Arc;

use crate::config::Negatives;
use crate::data::batch::{Cursor, Prepare, Rows, Segments, SortScratch};
use crate::data::history::History;
use crate::data::vocabulary::FeatureColumn;
use crate::index::{Lists, UserBlock};
use crate::model::features::FeatureRows;
use crate::model::negatives::{NegativeSampler, Places, mask_known};
use crate::model::plans::HostPlans;
use crate::model::spec::{InputSource, ModelSpec, TowerSpec};
use crate::{Error, Result};

/// The lookups of one input for a batch: row r pools `ids[offsets[r]..offsets[r + 1]]`, or is `ids[r]` alone.
#[derive(Default, Debug)]
pub(crate) struct HostBag {
    pub ids: Vec<u32>,
    /// Empty for an input with one id a row.
    pub offsets: Vec<u32>,
}

impl HostBag {
    pub(crate) fn pooled(&self) -> bool {
        !self.offsets.is_empty()
    }

    pub(super) fn clear(&mut self) {
        self.ids.clear();
        self.offsets.clear();
    }

    fn push_list(&mut self, list: &[u32]) {
        if self.offsets.is_empty() {
            self.offsets.push(0);
        }
        self.ids.extend_from_slice(list);
        self.offsets.push(self.ids.len() as u32);
    }

    /// The codes of a feature column at `rows`.
    pub(super) fn gather(&mut self, column: &FeatureColumn, rows: impl Iterator<Item = usize>) {
        self.clear();
        match column {
            FeatureColumn::Codes(codes) => self.ids.extend(rows.map(|row| codes[row])),
            FeatureColumn::Lists { offsets, codes } => {
                self.offsets.push(0);
                rows.for_each(|row| self.push_list(&codes[offsets[row] as usize..offsets[row + 1] as usize]));
            }
        }
    }
}

/// The bags of a tower for given entities of the vocabulary; a history bag is left as it is.
pub(crate) fn entity_bags(spec: &TowerSpec, ids: &[u32], columns: &[FeatureColumn], bags: &mut Vec<HostBag>) {
    bags.resize_with(spec.inputs.len(), HostBag::default);
    for (input, bag) in spec.inputs.iter().zip(bags) {
        match input.source {
            InputSource::Id => {
                bag.clear();
                bag.ids.extend_from_slice(ids);
            }
            InputSource::Column(column) => bag.gather(&columns[column], ids.iter().map(|&id| id as usize)),
            InputSource::History(_) => {}
        }
    }
}

/// The bags of the user tower for a block of users whose features and history are given row by row.
///
/// # Errors
/// [`Error::Shape`] when a column or the history has another number of rows than the block.
pub(crate) fn block_bags(
    spec: &TowerSpec,
    users: &UserBlock,
    table_rows: &[usize],
    bags: &mut Vec<HostBag>,
) -> Result<()> {
    let rows = users.len();
    let lists = |column: &FeatureColumn| match column {
        FeatureColumn::Codes(codes) => codes.len(),
        FeatureColumn::Lists { offsets, .. } => offsets.len().saturating_sub(1),
    };
    let fits = users.features.iter().all(|column| lists(column) == rows)
        && users.history.as_ref().is_none_or(|history| history.len() == rows);
    if !fits {
        let expected = format!("features and history of {rows} users");
        return Err(Error::Shape { op: "user block", expected, found: "another number".into() });
    }
    bags.resize_with(spec.inputs.len(), HostBag::default);
    for (input, bag) in spec.inputs.iter().zip(bags) {
        match input.source {
            InputSource::Id => {
                bag.clear();
                // An id outside the table is one that training did not see: the unknown row.
                let known = |id: u32| if (id as usize) < table_rows[input.table] { id } else { 0 };
                bag.ids.extend(users.ids.iter().map(|&id| known(id)));
            }
            InputSource::Column(column) => match users.features.get(column) {
                Some(codes) => bag.gather(codes, 0..rows),
                None => {
                    bag.clear();
                    bag.ids.resize(rows, 0);
                }
            },
            InputSource::History(n) => {
                bag.clear();
                bag.offsets.push(0);
                for row in 0..rows {
                    let list = users.history.as_ref().map_or(&[][..], |lists| lists.get(row));
                    bag.push_list(&list[list.len().saturating_sub(n)..]);
                }
            }
        }
    }
    Ok(())
}

/// Everything a training step reads, on the host.
///
/// Rows are sorted by item (equal ones as they came), but for a queue's: the columns that a row masks as accidental hits
/// then stand beside its positive, and the other tiles of scores need no compares. A queue keeps a part of a batch,
/// which has to be a random one.
#[derive(Default)]
pub(crate) struct ModelBatch {
    pub at: Option<Cursor>,
    /// B.
    pub rows: usize,
    /// The rows' users.
    pub users: Vec<u32>,
    /// The rows' items (positives).
    pub items: Vec<u32>,
    /// C fresh candidates: item rows whose embeddings this batch computes.
    pub candidates: Vec<u32>,
    pub user_bags: Vec<HostBag>,
    pub item_bags: Vec<HostBag>,
    /// Of all tables.
    pub plans: HostPlans,
    /// `-log q` per candidate; empty without a correction from exact counts.
    pub bias: Vec<f32>,
    /// `log(1 - q)` per row; empty but for the corrected form.
    pub log1m: Vec<f32>,
    /// Columns of the positives; empty where row i's is column i.
    pub positives: Vec<u32>,
    /// Weight per row; empty where all are 1.
    pub weights: Vec<f32>,
    timestamps: Vec<i64>,
    /// Per row the user's known items, oldest first, with repeats; empty without the mask.
    pub known: Lists,
    /// Columns masked for each row; see [`crate::backend::Masked`].
    pub masked_offsets: Vec<u32>,
    pub masked_columns: Vec<u32>,
    by_item: Segments,
    places: Places,
    sort: SortScratch,
    list: Vec<u32>,
}

impl ModelBatch {
    /// Takes the rows over.
    fn set_rows(&mut self, rows: Rows<'_>, sorted: bool) {
        fn place<T: Copy>(to: &mut Vec<T>, from: &[T], order: &[u64]) {
            to.clear();
            if !from.is_empty() {
                to.extend(order.iter().map(|&key| from[key as u32 as usize]));
            }
        }
        let (timestamps, weights) = (rows.timestamps.unwrap_or_default(), rows.weights.unwrap_or_default());
        // Rows that are equal before the sort stay in their order.
        let order = self.sort.sort(rows.items.iter().map(|&item| if sorted { item } else { 0 }));
        self.rows = order.len();
        place(&mut self.users, rows.users, order);
        place(&mut self.items, rows.items, order);
        place(&mut self.timestamps, timestamps, order);
        place(&mut self.weights, weights, order);
        if self.items.contains(&0) {
            // Nothing can be learned about the unknown item: such rows weigh nothing.
            self.weights.resize(self.rows, 1.0);
            let weights = self.weights.iter_mut().zip(&self.items);
            weights.filter(|(_, item)| **item == 0).for_each(|(weight, _)| *weight = 0.0);
        }
    }

    /// Masks the known positives among `candidates`, the fresh ones and whatever the trainer puts behind them.
    pub(crate) fn mask_known(&mut self, candidates: &[u32]) {
        self.by_item.build(candidates, &mut self.sort);
        self.places.build(&self.by_item.unique);
        let (by_item, places) = (&self.by_item, &self.places);
        mask_known(&self.known, &self.items, &mut self.masked_offsets, &mut self.masked_columns, |item, out| {
            if let Some(u) = places.get(item) {
                out.extend_from_slice(&by_item.positions[by_item.starts[u] as usize..by_item.starts[u + 1] as usize]);
            }
        });
    }
}

/// Makes [`ModelBatch`]es.
pub(crate) struct ModelInputs {
    pub spec: ModelSpec,
    pub user_features: FeatureRows,
    pub item_features: Vec<FeatureColumn>,
    /// Needed for user histories and for the known-positive mask.
    pub history: Option<Arc<History>>,
    pub sampler: NegativeSampler,
    pub negatives: Negatives,
    pub mask_known: bool,
}

impl ModelInputs {
    /// The last `n` items of each row's user before the row.
    fn history_bag(&self, n: usize, batch: &mut ModelBatch, input: usize) -> Result<()> {
        let ModelBatch { users, items, timestamps, user_bags, list, .. } = batch;
        let bag = &mut user_bags[input];
        bag.clear();
        bag.offsets.push(0);
        let Some(history) = &self.history else { return Ok(()) };
        for (row, (&user, &item)) in users.iter().zip(items.iter()).enumerate() {
            list.clear();
            match timestamps.get(row) {
                Some(&timestamp) => history.last_before(user, Some(timestamp), n, list)?,
                // Without time nobody knows what came before: everything but the row's own item.
                None => {
                    history.items(user, list)?;
                    list.retain(|&other| other != item);
                }
            }
            bag.push_list(&list[list.len().saturating_sub(n)..]);
        }
        Ok(())
    }

    fn known_items(&self, users: &[u32], known: &mut Lists) -> Result<()> {
        known.clear();
        if let (true, Some(history)) = (self.mask_known, &self.history) {
            for &user in users {
                history.items(user, &mut known.values)?;
                known.close();
            }
        }
        Ok(())
    }
}

impl crate::data::batch::sealed::Sealed for ModelInputs {}

impl Prepare for ModelInputs {
    type Output = ModelBatch;

    fn prepare(&self, at: Cursor, rows: Rows<'_>, out: &mut ModelBatch) -> Result<()> {
        out.at = Some(at);
        out.set_rows(rows, !matches!(self.negatives, Negatives::CrossBatch(_)));
        self.sampler.candidates(at.epoch, at.batch, &out.items, &mut out.candidates);

        self.user_features.bags(&self.spec.user, &out.users, &mut out.user_bags);
        entity_bags(&self.spec.item, &out.candidates, &self.item_features, &mut out.item_bags);
        for (input, spec) in self.spec.user.inputs.iter().enumerate() {
            if let InputSource::History(n) = spec.source {
                self.history_bag(n, out, input)?;
            }
        }

        out.plans.clear();
        for table in 0..self.spec.tables.len() {
            let sources = gradient_sources(&self.spec, table);
            let rows = out.rows as u32;
            let bags = sources.iter().enumerate().map(|(n, &(side, input))| match side {
                TowerSide::User => (&out.user_bags[input], n as u32 * rows),
                TowerSide::Item => (&out.item_bags[input], n as u32 * rows),
            });
            out.plans.push(bags, &mut out.sort);
        }

        out.bias.clear();
        if self.sampler.corrects() {
            self.sampler.bias(&out.candidates, out.rows, &mut out.bias);
        }
        self.sampler.log1m(&out.items, &mut out.log1m);
        out.positives.clear();
        if self.negatives == Negatives::Full {
            out.positives.extend(out.items.iter().map(|&item| item.saturating_sub(1)));
        }
        self.known_items(&out.users, &mut out.known)?;
        if self.mask_known && !matches!(self.negatives, Negatives::CrossBatch(_)) {
            let candidates = std::mem::take(&mut out.candidates);
            out.mask_known(&candidates);
            out.candidates = candidates;
        }
        Ok(())
    }
}

/// A tower.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TowerSide {
    User,
    Item,
}

/// The inputs that read a table, users before items: their gradients stand one below the other in its plan. User
/// inputs have B gradient rows each, so that the n-th input starts at row n B.
pub(crate) fn gradient_sources(spec: &ModelSpec, table: usize) -> Vec<(TowerSide, usize)> {
    let of = |side: TowerSide, tower: &TowerSpec| {
        let reads = tower.inputs.iter().enumerate().filter(|(_, input)| input.table == table);
        reads.map(|(n, _)| (side, n)).collect::<Vec<_>>()
    };
    [of(TowerSide::User, &spec.user), of(TowerSide::Item, &spec.item)].concat()
}
