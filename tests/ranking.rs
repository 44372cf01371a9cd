//! Evaluation and recommendation: metrics, views, baselines, intervals, blocks of users, allow-lists, predictions files.

mod evaluate;
mod exclude;
mod fixture;
mod metrics;
mod pipeline;
mod predictions;
mod recommend;
mod refitted;
mod serve;
mod views;
