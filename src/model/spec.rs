//! From a configuration and a dataset's columns to tables, inputs and layers: every size of a model, decided once.

use crate::config::{Combine, FeatureSelection, ModelConfig, Resolved, TowerConfig};
use crate::data::dataset::{EntityInfo, Feature};
use crate::{Error, Result};

/// Where an input's ids come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum InputSource {
    /// The row's user or item.
    Id,
    /// A feature column, by its place in the dataset.
    Column(usize),
    /// The user's last n items.
    History(usize),
}

/// One pooled lookup of a tower.
#[derive(Clone, Debug)]
pub(crate) struct TowerInput {
    pub source: InputSource,
    /// Index into [`ModelSpec::tables`].
    pub table: usize,
    /// First column of the tower's input matrix that it fills (0 for every input under `sum`).
    pub col: usize,
}

/// A table's name (also in the checkpoint) and size.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TableSpec {
    pub name: String,
    pub rows: usize,
    pub dim: usize,
}

/// `outputs x inputs` weights and `outputs` biases.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LayerSpec {
    pub inputs: usize,
    pub outputs: usize,
    pub relu: bool,
}

/// One tower.
#[derive(Clone, Debug)]
pub(crate) struct TowerSpec {
    /// `user` or `item`.
    pub name: &'static str,
    pub inputs: Vec<TowerInput>,
    /// Columns of the tower's input matrix.
    pub width: usize,
    pub layers: Vec<LayerSpec>,
    pub normalize: bool,
    /// Columns of its output: `model.dim`.
    pub dim: usize,
}

impl TowerSpec {
    /// How many items of a user's history it reads.
    pub(crate) fn history_len(&self) -> usize {
        let len = |input: &TowerInput| if let InputSource::History(len) = input.source { len } else { 0 };
        self.inputs.iter().map(len).max().unwrap_or(0)
    }
}

/// Every size of a model.
#[derive(Clone, Debug)]
pub(crate) struct ModelSpec {
    pub tables: Vec<TableSpec>,
    pub user: TowerSpec,
    pub item: TowerSpec,
}

impl ModelSpec {
    /// # Errors
    /// [`Error::Config`] when a tower names a column that the dataset does not have, or the history's table has
    /// another width than the user tower adds up.
    pub(crate) fn new(config: &Resolved, users: &EntityInfo, items: &EntityInfo) -> Result<ModelSpec> {
        let mut tables = Vec::new();
        let model = &config.model;
        let reads = Reads { id: model.item.id.unwrap_or(true), history: 0 };
        let item = tower("item", model, &model.item, reads, items, &mut tables, None)?;
        let item_ids = item.inputs.iter().find(|input| input.source == InputSource::Id).map(|input| input.table);
        let reads = Reads { id: config.user_id(), history: config.history() };
        let user = tower("user", model, &model.user, reads, users, &mut tables, item_ids)?;
        Ok(ModelSpec { tables, user, item })
    }
}

/// What of a tower's inputs can be left open.
#[derive(Clone, Copy)]
struct Reads {
    id: bool,
    history: usize,
}

fn tower(
    name: &'static str,
    model: &ModelConfig,
    config: &TowerConfig,
    reads: Reads,
    entities: &EntityInfo,
    tables: &mut Vec<TableSpec>,
    history_table: Option<usize>,
) -> Result<TowerSpec> {
    let sum = config.combine == Combine::Sum;
    let dim = if sum { model.dim } else { config.feature_dim.unwrap_or(model.dim) };
    let mut sources = Vec::new();
    let mut add = |tables: &mut Vec<TableSpec>, source: InputSource, name: String, rows: usize| {
        tables.push(TableSpec { name, rows, dim });
        sources.push((source, tables.len() - 1));
    };
    if reads.id {
        add(tables, InputSource::Id, format!("{name}.id"), entities.rows as usize);
    }
    for column in selected(name, &config.features, &entities.features)? {
        let feature = &entities.features[column];
        add(tables, InputSource::Column(column), format!("{name}.{}", feature.name), feature.rows());
    }
    if reads.history > 0 {
        let table = history_table.ok_or_else(|| {
            Error::config("model.user.history", "requires the item id embeddings: set model.item.id to true")
        })?;
        if sum && tables[table].dim != dim {
            return Err(Error::config(
                "model.user.history",
                format!(
                    "the item id embeddings have width {}, but the user tower sums width {dim}; use combine = \"concat\" there",
                    tables[table].dim
                ),
            ));
        }
        sources.push((InputSource::History(reads.history), table));
    }
    if sources.is_empty() {
        return Err(Error::config(format!("model.{name}"), "the tower has no inputs: set id, features or history"));
    }
    let mut width = 0;
    let inputs = sources
        .into_iter()
        .map(|(source, table)| {
            let col = if sum { 0 } else { width };
            width = col + tables[table].dim;
            TowerInput { source, table, col }
        })
        .collect();
    let mut layers = Vec::new();
    let mut last = width;
    for &hidden in &config.mlp {
        layers.push(LayerSpec { inputs: last, outputs: hidden, relu: true });
        last = hidden;
    }
    if !sum || !config.mlp.is_empty() {
        layers.push(LayerSpec { inputs: last, outputs: model.dim, relu: false });
    }
    Ok(TowerSpec { name, inputs, width, layers, normalize: model.normalize, dim: model.dim })
}

/// The places of the chosen columns.
fn selected(tower: &str, selection: &FeatureSelection, features: &[Feature]) -> Result<Vec<usize>> {
    match selection {
        FeatureSelection::All => Ok((0..features.len()).collect()),
        FeatureSelection::None => Ok(Vec::new()),
        FeatureSelection::Named(names) => names
            .iter()
            .map(|name| {
                features.iter().position(|feature| &feature.name == name).ok_or_else(|| {
                    let known: Vec<_> = features.iter().map(|feature| feature.name.as_str()).collect();
                    Error::config(
                        format!("model.{tower}.features"),
                        format!("the dataset has no {tower} column `{name}`; it has: {}", known.join(", ")),
                    )
                })
            })
            .collect(),
    }
}
