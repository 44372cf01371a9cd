//! Every setting, once: its default, its documentation, its TOML key, its flag and its limits.
//!
//! A setting is one entry of a table that the macro of `settings/define.rs` makes: the struct, serde, `--help`, the flags
//! and Python's short names come from it, and [`Table::describe`] lists them. [`Config`] is what was said, [`Resolved`]
//! what holds for a run.

mod bytes;
mod choices;
pub(crate) mod define;
mod definition;
mod early_stop;
pub(crate) mod fields;
mod instructions;
pub(crate) mod limits;
mod resolved;
mod rules;
mod said;
mod search;
mod setting;
mod table;
mod training;
mod tuning;
mod validate;
pub(crate) mod value;

pub use bytes::Bytes;
pub use choices::{Combine, Dtype, FeatureSelection, LogQ, Negatives, OptimizerKind, Precision, Schedule};
pub(crate) use definition::{Definition, Nested};
pub use early_stop::{EarlyStop, EarlyStopping};
pub use instructions::Instructions;
pub use limits::MAX_K;
pub use resolved::{Decision, Resolved};
pub(crate) use rules::top_k_cost;
pub use said::said;
pub use search::{
    Baselines, EvaluateSettings, Exclude, IndexMode, IndexSettings, RECALL, RecommendSettings, SearchSettings, View,
    Views,
};
pub use setting::{Description, Flag, Setting};
pub use table::Table;
pub use training::{Config, LossConfig, ModelConfig, OptimizerConfig, TowerConfig, TrainConfig};
pub use tuning::{NightlyTuneSettings, TuneSettings};
pub(crate) use value::as_written;
pub use value::{Value, Word};

#[cfg(test)]
mod tests;
