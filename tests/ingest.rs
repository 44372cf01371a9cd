//! Ingest, from files to datasets.

mod bad_input;
mod columnar;
mod counts;
mod derived;
mod features;
mod formats;
mod listing;
mod output;
mod splits;
mod support;
