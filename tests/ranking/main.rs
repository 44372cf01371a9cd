//! Evaluation and recommendation: metrics, baselines, intervals, blocks of users, allow-lists, predictions files.

mod evaluate;
mod fixture;
mod metrics;
mod predictions;
mod recommend;
