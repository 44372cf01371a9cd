//! The limits of settings, each once, and the checks that name them.

use std::fmt::Display;
use std::ops::RangeInclusive;

/// The longest list of items: of recommendations, of metrics, of an index.
pub const MAX_K: usize = 1024;
/// The widest embedding.
pub const MAX_DIM: usize = 1024;
/// The widest hidden layer.
pub const MAX_HIDDEN: usize = 8192;
/// The most items of a user's history.
pub const MAX_HISTORY: usize = 1024;
/// The most rows of a batch.
pub const MAX_BATCH: usize = 1 << 20;
/// The most negatives that are drawn or kept.
pub const MAX_NEGATIVES: usize = 1 << 24;
/// The most threads.
pub const MAX_THREADS: usize = 4096;
/// The fewest and the most buckets of a numeric feature.
pub const BUCKETS: RangeInclusive<u32> = 2..=4096;
/// The longest separator, in bytes.
pub const MAX_SEPARATOR: usize = 8;
/// The lowest temperature.
pub const MIN_TEMPERATURE: f32 = 1e-4;

/// Embedding and layer widths: multiples of 4.
pub fn width(most: usize) -> impl Fn(&usize) -> Result<(), String> + Send + Sync {
    let fits = move |n: usize| n > 0 && n <= most && n.is_multiple_of(4);
    move |&n| need(fits(n), || format!("{n} is not a multiple of 4 from 4 to {most}"))
}

/// A list's length.
pub fn list_length(k: &usize) -> Result<(), String> {
    need((1..=MAX_K).contains(k), || format!("{k} is not a list length from 1 to {MAX_K}"))
}

/// From `low` to `high`, both included.
pub fn within<T>(low: T, high: T) -> impl Fn(&T) -> Result<(), String> + Send + Sync
where
    T: PartialOrd + Display + Send + Sync,
{
    move |n| need(*n >= low && *n <= high, || format!("{n} is not a number from {low} to {high}"))
}

/// Up to `high`.
pub fn at_most(high: usize) -> impl Fn(&usize) -> Result<(), String> + Send + Sync {
    move |&n| need(n <= high, || format!("{n} is more than {high}"))
}

/// From `low`, finite.
pub fn at_least(low: f32) -> impl Fn(&f32) -> Result<(), String> + Send + Sync {
    move |&x| need(x.is_finite() && x >= low, || format!("{x} is not a number from {low} up"))
}

/// Above 0, finite.
pub fn positive(x: &f32) -> Result<(), String> {
    need(x.is_finite() && *x > 0.0, || format!("{x} is not a number above 0"))
}

/// From 0, below 1.
pub fn below_one(x: &f32) -> Result<(), String> {
    need((0.0..1.0).contains(x), || format!("{x} is not in [0, 1)"))
}

/// Above 0 and below 1.
pub fn between(x: &f32) -> Result<(), String> {
    need(*x > 0.0 && *x < 1.0, || format!("{x} is not between 0 and 1; 0.95 is usual"))
}

/// At least 1.
pub fn some(n: &u64) -> Result<(), String> {
    need(*n > 0, || "at least 1".to_owned())
}

fn need(ok: bool, reason: impl FnOnce() -> String) -> Result<(), String> {
    if ok { Ok(()) } else { Err(reason()) }
}
