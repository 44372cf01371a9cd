//! Tercel trains two-tower retrieval models and finds the top items of every user.
//!
//! Interactions (who bought what, when) go in as files; the top K items of every user come out. In between:
//!
//! 1. [`data::ingest`]: text, Arrow or Parquet files become a DATASET folder: memory-mapped Arrow shards of
//!    interactions, one vocabulary per side with encoded features, and the training rows by user.
//! 2. [`data::loader`]: threads shuffle the shards' rows by seed and cut them into batches, with the sorted unique ids
//!    that the embedding gradient needs.
//! 3. [`model`]: pooled lookups, optional linear layers and an L2 norm on each side; an in-batch softmax with logQ
//!    correction over the scores; exact gradients; optimizers that touch only a batch's rows.
//! 4. [`train`]: the loop, with checkpoints that no kill tears and a resume that is exact to the bit.
//! 5. [`eval`]: full-catalogue metrics with intervals, in two views, baselines beside them.
//! 6. [`serve`]: a trained [`Model`] and what is asked of it: lists for users, figures, vectors.
//! 7. [`index`]: top-K of all users, exact or with a recall that is kept, seen items left out, into a predictions file.
//! 8. [`export`]: the embeddings themselves, in files that NumPy, Arrow, safetensors, faiss and usearch load.
//!
//! Work runs on a [`Device`]: the same seed gives the same bits for any number of threads.
//!
//! # Example
//!
//! From a CSV file to predictions:
//!
//! ```
//! use tercel::data::ingest::{IngestConfig, ingest};
//! use tercel::{Config, Dataset, Device, Evaluate, Model, Recommend, Split, train::train};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let folder = tempfile::tempdir()?;
//! let at = |name: &str| folder.path().join(name);
//! // Thirty people, two tastes: even users buy even items, odd users buy odd ones.
//! let rows = (0..600).map(|n| format!("{},{},{}\n", n % 30, (n / 30 * 7 + n) % 20 / 2 * 2 + n % 2, 1_600_000_000 + n));
//! std::fs::write(at("buys.csv"), "user,item,time\n".to_owned() + &rows.collect::<String>())?;
//!
//! let split = IngestConfig { split: "last-per-user:1".parse()?, ..Default::default() };
//! ingest(&[at("buys.csv")], &at("data"), &split, &|_| {})?;
//! let dataset = Dataset::open(at("data"))?;
//!
//! let mut config = Config::from_toml("[model]\ndim = 16\n[train]\nbatch_size = 64\nepochs = 20")?;
//! config.train.device = Device::Cpu;
//! train(&dataset, at("model"), &config, false, &mut |_| {})?;
//!
//! let mut model = Model::open(at("model"), Device::Cpu)?;
//! let report = model.evaluate(Evaluate::split(Split::Test).include_seen(true), &dataset)?;
//! assert!(report.value("recall@10") > report.popularity.get("recall@10").copied());
//!
//! let done = model.recommend(Recommend::top(3).seen(&dataset)).write(at("top.csv"))?;
//! assert_eq!(done.users, 30);
//! # Ok(())
//! # }
//! ```

mod backend;
pub mod data;
pub mod device;
mod error;
pub mod eval;
pub mod export;
pub mod files;
mod finite;
pub mod guard;
pub mod index;
pub mod mapped;
pub mod memory;
pub mod model;
pub mod rng;
pub mod serve;
pub mod settings;
mod slab;
pub mod sweep;
pub mod synth;
pub mod table;
mod threads;
pub mod train;
pub mod tune;

#[cfg(feature = "bench")]
#[doc(hidden)]
pub use backend::bench;
pub use data::dataset::{Dataset, Split};
pub use device::Device;
pub use error::{Error, Result};
pub use index::{Exclude, ItemIndex as Index, Progress};
pub use serve::{Evaluate, Event, Export, Items, Model, Note, Recommend, Search, Who};
pub use settings as config;
pub use settings::Config;

// The crates whose types stand in public signatures.
#[doc(no_inline)]
pub use {arrow_array, arrow_schema, ndarray};
