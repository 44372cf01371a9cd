//! Pools of threads, and loops over fixed chunks.
//!
//! Rayon's global pool is never used: it panics when its threads cannot be started, and its size is not ours to set. Each
//! piece of work that is shared out gets a pool from whoever asks for it.

use std::cmp::Ordering;
use std::ops::Range;
use std::sync::{Mutex, PoisonError};
use std::thread::{Builder, Scope, ScopedJoinHandle};

use rayon::prelude::*;

use crate::{Error, Result};

pub(crate) mod ordered;

/// A pool of worker threads. With one thread everything runs on the caller's.
#[derive(Debug)]
pub(crate) struct Threads {
    pool: Option<rayon::ThreadPool>,
    count: usize,
}

impl Threads {
    /// `count` threads; 0 takes every core.
    ///
    /// # Errors
    /// [`Error::Threads`] when they cannot be started.
    pub(crate) fn new(count: usize) -> Result<Threads> {
        let count = so_many(count);
        if count == 1 {
            return Ok(Threads { pool: None, count });
        }
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(count)
            .thread_name(|i| format!("tercel-{i}"))
            .build()
            .map_err(|e| Error::Threads { count, reason: e.to_string() })?;
        Ok(Threads { pool: Some(pool), count })
    }

    /// As many as there are cores; where they cannot be started, the caller's alone. For short work that nobody has given
    /// threads to.
    pub(crate) fn available() -> Threads {
        Threads::new(0).unwrap_or(Threads { pool: None, count: 1 })
    }

    /// How many threads there are.
    pub(crate) fn count(&self) -> usize {
        self.count
    }

    /// Runs `f` on every part; on the caller's thread, in order, where `parallel` is false.
    pub(crate) fn each<T: Send>(&self, parallel: bool, parts: Vec<T>, f: impl Fn(T) + Send + Sync) {
        match &self.pool {
            Some(pool) if parallel && parts.len() > 1 => {
                let parts: Vec<_> = parts.into_iter().map(|part| Mutex::new(Some(part))).collect();
                for_each_index(pool, parts.len(), &|at| {
                    let part = parts[at].lock().unwrap_or_else(PoisonError::into_inner).take();
                    part.into_iter().for_each(&f);
                });
            }
            _ => parts.into_iter().for_each(f),
        }
    }

    /// What `f` makes of every part, in order; at least `least` of them are one thread's.
    pub(crate) fn map<T: Send, U: Send>(
        &self,
        parts: Vec<T>,
        least: usize,
        f: impl Fn(usize, T) -> U + Send + Sync,
    ) -> Vec<U> {
        let mut made: Vec<Option<U>> = Vec::new();
        made.resize_with(parts.len(), || None);
        let (count, mut parts) = (parts.len(), parts.into_iter().enumerate());
        let shares =
            made.chunks_mut(least.max(1)).map(|made| (parts.by_ref().take(made.len()).collect::<Vec<_>>(), made));
        self.each(count > least, shares.collect(), |(parts, made)| {
            made.iter_mut().zip(parts).for_each(|(made, (at, part))| *made = Some(f(at, part)));
        });
        made.into_iter().flatten().collect()
    }

    /// Sorts; equal values may change places.
    pub(crate) fn sort_unstable_by<T: Send>(&self, values: &mut [T], order: impl Fn(&T, &T) -> Ordering + Send + Sync) {
        match &self.pool {
            Some(pool) => pool.install(|| values.par_sort_unstable_by(order)),
            None => values.sort_unstable_by(order),
        }
    }

    /// Both, at once where there are two threads.
    pub(crate) fn join<A: Send, B: Send>(
        &self,
        first: impl FnOnce() -> A + Send,
        second: impl FnOnce() -> B + Send,
    ) -> (A, B) {
        match &self.pool {
            Some(pool) => pool.join(first, second),
            None => (first(), second()),
        }
    }
}

/// What a number of threads stands for: 0 for every core.
pub(crate) fn so_many(count: usize) -> usize {
    match count {
        0 => std::thread::available_parallelism().map_or(1, |n| n.get()),
        n => n,
    }
}

/// Calls `f` with 0 to `n - 1`, each a task. All loops share this function: with one of rayon's for each closure, compiling
/// takes a tenth longer.
fn for_each_index(pool: &rayon::ThreadPool, n: usize, f: &(dyn Fn(usize) + Sync)) {
    pool.install(|| (0..n).into_par_iter().with_max_len(1).for_each(f));
}

/// Starts a thread of `scope`.
///
/// # Errors
/// [`Error::Threads`] when it cannot be started, where `Scope::spawn` panics.
pub(crate) fn spawn_in<'scope, T: Send + 'scope>(
    scope: &'scope Scope<'scope, '_>,
    name: &str,
    work: impl FnOnce() -> T + Send + 'scope,
) -> Result<ScopedJoinHandle<'scope, T>> {
    let builder = Builder::new().name(name.to_owned());
    builder.spawn_scoped(scope, work).map_err(|e| Error::Threads { count: 1, reason: e.to_string() })
}

/// Cuts `0..n` into ranges of `size` (the last may be shorter).
pub(crate) fn ranges(n: usize, size: usize) -> Vec<Range<usize>> {
    (0..n.div_ceil(size)).map(|i| i * size..((i + 1) * size).min(n)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_number_of_threads_does_the_same() {
        for count in [1, 3] {
            let threads = Threads::new(count).unwrap();
            assert_eq!(
                threads.map((0..100).collect(), 7, |at, n: usize| at + n),
                (0..200).step_by(2).collect::<Vec<_>>()
            );
            let mut values: Vec<u32> = (0..10_000u32).map(|n| n.wrapping_mul(2_654_435_761)).collect();
            threads.sort_unstable_by(&mut values, |a, b| b.cmp(a));
            assert!(values.is_sorted_by(|a, b| a >= b));
            assert_eq!(threads.join(|| 1, || 2), (1, 2));
        }
    }
}
