//! How good a ranker is: full-catalogue metrics with intervals, in one view or two, and baselines beside them.

pub mod baselines;
pub mod bootstrap;
pub mod evaluate;
mod figures;
mod item_knn;
pub mod metrics;
pub mod neighbours;
mod report;
mod truth;
mod view;

pub use crate::settings::{Baselines, View, Views};
pub use baselines::Popularity;
pub use evaluate::{EvaluateOptions, Evaluator, evaluate};
pub use item_knn::ItemKnn;
pub use metrics::Metric;
pub use neighbours::Neighbours;
pub use report::{Estimate, Evaluation, Named};
pub use view::views;
