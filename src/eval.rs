//! How good a ranker is: full-catalogue metrics with intervals, and the popularity baseline beside them.

pub mod baselines;
pub mod bootstrap;
pub mod metrics;

pub use baselines::Popularity;
pub use metrics::Metric;
