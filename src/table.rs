//! Reading tables: what a text file can be told.

pub mod options;

pub use options::{Mark, ReadOptions, TimeUnit};
