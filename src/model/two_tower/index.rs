//! A model's items in an index, and an index in the place of the scan of all items.

use super::{Engine, TwoTower};
use crate::data::dataset::{Feature, FeatureKind, hash_file};
use crate::data::vocabulary::FeatureColumn;
use crate::index::filter::Seen;
use crate::index::item_index::{Admit, Admitted, Filter, IndexKind, IndexOptions, ItemIndex};
use crate::index::users::sample;
use crate::index::{Found, Lists, UserBlock};
use crate::model::popularity::SPREAD;
use crate::model::rank::{embed_items, embed_users};
use crate::{Error, Result};

/// Users that an index is set and measured with.
const USERS: usize = 2000;
/// A feature with more values than this gives no tags.
const MOST_TAGS: usize = 4096;

/// An index in use, and what it may give.
pub(super) struct Used {
    index: ItemIndex,
    /// For the items that are allowed, where not all are.
    only: Option<Admitted>,
}

impl Used {
    pub(super) fn into_index(self) -> ItemIndex {
        self.index
    }
}

impl TwoTower {
    /// An index of every item: recall is measured with users of the model, evenly spread over its vocabulary, and their
    /// histories. Item numbers are rows of the item vocabulary. Each value of a categorical or multi-hot item feature
    /// becomes a tag, `column=value`. Its catalogue is [`catalogue`](TwoTower::catalogue), whatever `options` say.
    ///
    /// # Errors
    /// As [`ItemIndex::build`], or whatever reading the history or the device gives.
    pub fn build_index(&mut self, options: &IndexOptions) -> Result<ItemIndex> {
        let seen = Seen::new(std::sync::Arc::new(self.history()?));
        let blocks = sample(&self.users, &seen, USERS, self.history_len())?;
        let mut queries = Vec::new();
        for (users, _) in &blocks {
            queries.extend(self.compared_users(users)?);
        }
        let rows: Vec<u32> = (1..self.items.rows() as u32).collect();
        let features = &self.items.table.features;
        let vectors = loaded!(&mut self.engine, loaded => embed_items(&mut loaded.core, features, &rows, SPREAD)?);
        let dim = self.compared_width();
        let options = IndexOptions { catalogue: self.catalogue()?, ..options.clone() };
        let mut index = ItemIndex::build(vectors, dim, Some(rows), Some(&queries), &options)?;
        for (feature, column) in self.item_features() {
            for (value, items) in tags(feature, column) {
                index.set_tag(&format!("{}={value}", feature.name), &items)?;
            }
        }
        Ok(index)
    }

    /// The items whose feature `column` has this value, as `tag` says them (`column=value`): rows of the vocabulary,
    /// ascending.
    ///
    /// # Errors
    /// [`Error::Config`] when no item has it; it names what there is.
    pub fn tagged(&self, tag: &str) -> Result<Vec<u32>> {
        let Some((name, value)) = tag.split_once('=') else {
            return Err(Error::config("tag", format!("`{tag}` is not COLUMN=VALUE, as in category=shoes")));
        };
        let Some((feature, column)) = self.item_features().find(|(feature, _)| feature.name == name) else {
            let names: Vec<&str> = self.item_features().map(|(feature, _)| feature.name.as_str()).collect();
            let names = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
            return Err(Error::config("tag", format!("no item feature is called `{name}`; there are: {names}")));
        };
        let tags = tags(feature, column);
        match tags.iter().find(|(of, items)| *of == value && !items.is_empty()) {
            Some((_, items)) => Ok(items.clone()),
            None => {
                let values: Vec<&str> = tags.iter().map(|(value, _)| *value).take(8).collect();
                let values = if values.is_empty() { "none that can be named".to_owned() } else { values.join(", ") };
                Err(Error::config("tag", format!("no item has {name} `{value}`; values are {values} …")))
            }
        }
    }

    fn item_features(&self) -> impl Iterator<Item = (&Feature, &FeatureColumn)> {
        self.info.items.features.iter().zip(&self.items.table.features)
    }

    /// What an index of this model's items is called: the checksum of its parameters.
    ///
    /// # Errors
    /// [`Error::Io`] or [`Error::Checkpoint`].
    pub fn catalogue(&self) -> Result<String> {
        hash_file(&self.dir.parameters_path()?)
    }

    /// From now on finds items through `index`; `None` for the scan of all items.
    ///
    /// # Errors
    /// [`Error::Config`] when the index is of another catalogue.
    pub fn use_index(&mut self, index: Option<ItemIndex>) -> Result<()> {
        self.index = match index {
            None => None,
            Some(index) if index.about().catalogue != self.catalogue()? || index.dim() != self.compared_width() => {
                return Err(Error::config("index", "it is of another model's items; build it again"));
            }
            Some(index) => {
                let only = self.allow.as_ref().map(|rows| index.admit(&Admit::Items(rows.clone()))).transpose()?;
                Some(Used { index, only })
            }
        };
        Ok(())
    }

    /// Whether an index is of this model's items and keeps this recall.
    ///
    /// # Errors
    /// As [`catalogue`](TwoTower::catalogue).
    pub fn fits(&self, index: &ItemIndex, recall: f32) -> Result<bool> {
        let about = index.about();
        let kept = match about.kind {
            IndexKind::Exact => true,
            IndexKind::Approx { recall: kept } => about.measured.is_none() || kept >= recall,
        };
        Ok(kept && about.catalogue == self.catalogue()?)
    }

    /// The index that is used.
    pub fn index(&self) -> Option<&ItemIndex> {
        self.index.as_ref().map(|used| &used.index)
    }

    /// What the index finds; none where none is used.
    pub(super) fn find(&mut self, users: &UserBlock, k: usize, skip: Option<&Lists>) -> Result<Option<Found>> {
        if self.index.is_none() {
            return Ok(None);
        }
        let queries = self.compared_users(users)?;
        let find = |used: &Used| used.index.search(&queries, k, &Filter { skip, only: used.only.as_ref() });
        self.index.as_ref().map(find).transpose()
    }

    /// Users as they are compared with the items of a catalogue.
    fn compared_users(&mut self, users: &UserBlock) -> Result<Vec<f32>> {
        loaded!(&mut self.engine, loaded => embed_users(&mut loaded.core, users, SPREAD))
    }

    /// The width of what is compared.
    fn compared_width(&self) -> usize {
        loaded!(&self.engine, loaded => SPREAD.width(&loaded.core))
    }
}

/// The values of a feature, each with the items that have it, ascending; none of a number, or of too many values.
fn tags<'a>(feature: &'a Feature, column: &FeatureColumn) -> Vec<(&'a str, Vec<u32>)> {
    let values = match &feature.kind {
        FeatureKind::Categorical { values } | FeatureKind::MultiHot { values, .. } if values.len() <= MOST_TAGS => {
            values
        }
        _ => return Vec::new(),
    };
    let mut tags: Vec<(&str, Vec<u32>)> = values.iter().map(|value| (value.as_str(), Vec::new())).collect();
    // Code 0 is no value.
    let mut take = |code: u32, row: usize| {
        if let Some((_, items)) = (code as usize).checked_sub(1).and_then(|at| tags.get_mut(at)) {
            items.push(row as u32);
        }
    };
    match column {
        FeatureColumn::Codes(codes) => codes.iter().enumerate().skip(1).for_each(|(row, &code)| take(code, row)),
        FeatureColumn::Lists { offsets, codes } => {
            for (row, range) in offsets.windows(2).enumerate().skip(1) {
                codes[range[0] as usize..range[1] as usize].iter().for_each(|&code| take(code, row));
            }
        }
    }
    tags
}
