//! Evaluation and recommendation: metrics, baselines, intervals, blocks of users, allow-lists, predictions files.

mod metrics;
mod predictions;
