//! Ingest, from files to datasets.

mod bad_input;
mod columnar;
mod features;
mod formats;
mod output;
mod splits;
mod support;
