//! The threads of one [`Cpu`](super::Cpu): a pool of its own, and loops whose cut does not depend on its size.

use std::ops::Range;

use rayon::prelude::*;

use crate::{Error, Result};

/// A pool of worker threads. With one thread everything runs on the caller's.
pub(crate) struct Threads {
    pool: Option<rayon::ThreadPool>,
    count: usize,
}

impl Threads {
    /// `count` threads; 0 takes every core.
    pub(crate) fn new(count: usize) -> Result<Threads> {
        let count = match count {
            0 => std::thread::available_parallelism().map_or(1, |n| n.get()),
            n => n,
        };
        if count == 1 {
            return Ok(Threads { pool: None, count });
        }
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(count)
            .thread_name(|i| format!("tercel-{i}"))
            .build()
            .map_err(|e| Error::config("train.threads", format!("{count} threads cannot be started: {e}")))?;
        Ok(Threads { pool: Some(pool), count })
    }

    /// How many threads there are.
    pub(crate) fn count(&self) -> usize {
        self.count
    }

    /// Runs `f` on every part; on the caller's thread, in order, where `parallel` is false.
    pub(crate) fn each<T: Send>(&self, parallel: bool, parts: Vec<T>, f: impl Fn(T) + Send + Sync) {
        match &self.pool {
            Some(pool) if parallel && parts.len() > 1 => {
                pool.install(|| parts.into_par_iter().with_max_len(1).for_each(f))
            }
            _ => parts.into_iter().for_each(f),
        }
    }
}

/// Cuts `0..n` into ranges of `size` (the last may be shorter).
pub(crate) fn ranges(n: usize, size: usize) -> Vec<Range<usize>> {
    (0..n.div_ceil(size)).map(|i| i * size..((i + 1) * size).min(n)).collect()
}
