//! Tercel trains two-tower retrieval models and finds the top items of every user.

mod backend;
pub mod config;
pub mod data;
pub mod device;
mod error;
pub mod eval;
#[allow(dead_code)]
mod files;
pub mod index;
pub mod model;
mod rng;
pub mod train;

pub use config::Config;
pub use device::Device;
pub use error::{Error, Result};
