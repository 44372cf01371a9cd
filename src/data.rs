//! From files to batches: ingest, vocabularies, shards, loader.

pub mod batch;
pub mod dataset;
pub mod derive;
pub mod history;
pub mod ingest;
pub mod loader;
pub mod repeats;
pub mod shape;
pub mod shard;
mod shuffle;
pub mod split;
pub mod vocabulary;
pub mod writer;
