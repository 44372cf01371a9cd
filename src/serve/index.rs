//! An index of a model's items.

use super::allowed::tags;
use super::model::{Engine, Model, loaded};
use crate::Result;
use crate::index::item_index::{Admitted, AskedOnDevice, Filter, IndexOptions, ItemIndex};
use crate::index::places::Places;
use crate::index::users::sample;
use crate::index::{Found, Ranker, Seen, UserBlock};
use crate::model::gather::{TowerBlock, TowerReader};
use crate::model::item_bias::biases;
use crate::model::rank::{embed_block, embed_items, embed_users, forward_users, tower_reader};

/// The name of a model's index in its folder.
pub const INDEX_FILE: &str = "items.index";
/// Users that an index is set and measured with.
const USERS: usize = 2000;

impl Model {
    /// An index of every item: recall is measured with users of the model, evenly spread over its vocabulary, and their
    /// histories. Item numbers are rows of the item vocabulary. Each value of a categorical or multi-hot item feature
    /// becomes a tag, `column=value`. Popularity is a bias of each item. Its catalogue is
    /// [`catalogue`](Model::catalogue), and it is searched where the model computes, whatever `options` say.
    ///
    /// # Errors
    /// As [`ItemIndex::build`], or whatever reading the history or the device gives.
    pub fn index(&mut self, options: &IndexOptions) -> Result<ItemIndex> {
        options.check()?;
        let seen = Seen::new(self.history()?);
        let blocks = sample(self.users(), &seen, USERS, self.history_len())?;
        let mut queries = Vec::new();
        for (users, _) in &blocks {
            queries.extend(self.queries(users)?);
        }
        let rows: Vec<u32> = (1..self.items().rows() as u32).collect();
        let items = self.items().clone();
        let features = &items.table.features;
        let (vectors, biases) = loaded!(self.engine(), loaded => {
            (embed_items(&mut loaded.core, features, &rows)?, biases(&loaded.core, &rows)?)
        });
        let dim = self.config().model.dim;
        let options = options.clone().catalogue(self.catalogue()).device(self.device()).threads(self.threads());
        let (rows, queries) = (Some(rows), Some(queries.as_slice()));
        let mut index = match biases {
            Some(biases) => ItemIndex::build_biased(vectors, biases, dim, rows, queries, &options)?,
            None => ItemIndex::build(vectors, dim, rows, queries, &options)?,
        };
        for (feature, column) in self.item_features() {
            for (value, items) in tags(feature, column) {
                index.set_tag(&format!("{}={value}", feature.name), &items)?;
            }
        }
        Ok(index)
    }

    /// Users as an index is asked for them: the tower's outputs alone.
    fn queries(&mut self, users: &UserBlock) -> Result<Vec<f32>> {
        loaded!(self.engine(), loaded => embed_users(&mut loaded.core, users))
    }
}

/// What gathers blocks of users for [`ask`].
pub(super) fn reader(engine: &mut Engine, index: &ItemIndex, only: Option<&Admitted>) -> Result<TowerReader> {
    let near = match engine {
        Engine::Cuda(loaded) => index.places_near(&loaded.core.backend, only)?,
        Engine::Cpu(_) => None,
    };
    Ok(loaded!(engine, loaded => tower_reader(&loaded.core, near.unwrap_or(Places::Rows))))
}

/// What an index says when it is asked.
pub(super) enum Answer {
    Found(Found),
    /// Its lists will come.
    Asked(Box<AskedOnDevice>),
}

/// Asks an index for the best of users. Their vectors stay on the device where both the model and the index are on it.
pub(super) fn ask(
    engine: &mut Engine,
    index: &ItemIndex,
    users: &TowerBlock,
    k: usize,
    only: Option<&Admitted>,
) -> Result<Answer> {
    let filter = Filter { skip: users.skip.as_ref(), only };
    if let Engine::Cuda(loaded) = engine {
        forward_users(&mut loaded.core, users)?;
        let core = &loaded.core;
        if let Some(asked) = index.ask_near(&core.backend, core.user.output(), users.users, k, &filter)? {
            return Ok(Answer::Asked(Box::new(asked)));
        }
    }
    let queries = loaded!(engine, loaded => embed_block(&mut loaded.core, users)?);
    index.search(&queries, k, &filter).map(Answer::Found)
}
