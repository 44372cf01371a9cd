//! How good a ranker is: full-catalogue metrics with intervals, and the popularity baseline beside them.

pub mod baselines;
pub mod bootstrap;
pub mod evaluate;
mod figures;
pub mod metrics;
pub mod neighbours;
mod report;
mod truth;
mod view;

pub use baselines::Popularity;
pub use evaluate::{EvaluateOptions, Evaluator, evaluate};
pub use metrics::Metric;
pub use neighbours::Neighbours;
pub use report::{Estimate, Evaluation, Named};
pub use view::View;
