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
//! 5. [`eval`]: full-catalogue metrics with intervals, the popularity baseline beside them.
//! 6. [`index`]: top-K of all users, exact or with a recall that is kept, seen items left out, into a predictions file.
//! 7. [`export`]: the embeddings themselves, in files that NumPy, Arrow, safetensors, faiss and usearch load.
//!
//! Work runs on a [`Device`]: the same seed gives the same bits for any number of threads.
//!
//! # Example
//!
//! From a CSV file to predictions:
//!
//! ```
//! use tercel::data::dataset::{Dataset, Split};
//! use tercel::data::ingest::{IngestConfig, ingest};
//! use tercel::eval::{EvaluateOptions, evaluate};
//! use tercel::index::filter::Seen;
//! use tercel::index::{RecommendOptions, Users, recommend};
//! use tercel::model::TwoTower;
//! use tercel::{Config, Device, train::train};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let folder = tempfile::tempdir()?;
//! let (csv, data, model) = (folder.path().join("buys.csv"), folder.path().join("data"), folder.path().join("model"));
//! // Thirty people, two tastes: even users buy even items, odd users buy odd ones.
//! let rows = (0..600).map(|n| format!("{},{},{}\n", n % 30, (n / 30 * 7 + n) % 20 / 2 * 2 + n % 2, 1_600_000_000 + n));
//! std::fs::write(&csv, "user,item,time\n".to_owned() + &rows.collect::<String>())?;
//!
//! let split = IngestConfig { split: "last-per-user:1".parse()?, ..Default::default() };
//! ingest(&[csv], &data, &split, &|_| {})?;
//! let dataset = Dataset::open(&data)?;
//!
//! let mut config = Config::from_toml("[model]\ndim = 16\n[train]\nbatch_size = 64\nepochs = 20")?;
//! config.train.device = Device::Cpu;
//! let summary = train(&dataset, &model, &config, false, &mut |_| {})?;
//! assert!(summary.loss.is_finite());
//!
//! let mut two_tower = TwoTower::load(&model, Device::Cpu, 0)?;
//! let options = EvaluateOptions { include_seen: true, ..Default::default() };
//! let report = evaluate(&dataset, Split::Test, &mut two_tower, &options, &mut |_| {})?;
//! assert!(report.metrics.get("recall@10").map(|found| found.value) > report.popularity.get("recall@10").copied());
//!
//! let (users, items, out) = (two_tower.users().clone(), two_tower.items().clone(), folder.path().join("top.csv"));
//! let (everyone, seen) = (Users::all(&users), Seen::of_dataset(&dataset)?);
//! let options = RecommendOptions { k: 3, ..Default::default() };
//! recommend(&mut two_tower, &everyone, &items, Some(&seen), &out, &options, &mut |_| {})?;
//! assert!(std::fs::read_to_string(&out)?.starts_with("user,rank,item,score\n"));
//! # Ok(())
//! # }
//! ```

mod backend;
pub mod data;
pub mod device;
mod error;
pub mod eval;
pub mod export;
mod files;
pub mod index;
pub mod model;
pub mod rng;
pub mod settings;
mod slab;
pub mod synth;
pub mod table;
pub mod train;

#[doc(hidden)]
pub use backend::bench;
pub use device::Device;
pub use error::{Error, Result};
pub use settings as config;
pub use settings::Config;
