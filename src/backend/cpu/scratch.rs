//! Buffers that outlive a call, so that a warm step allocates nothing large.

use std::ops::{Deref, DerefMut};
use std::sync::{Mutex, PoisonError};

/// The buffers at rest.
#[derive(Default)]
pub(crate) struct ScratchPool(Mutex<Vec<Vec<f32>>>);

/// A buffer on loan: `len` values left over from earlier use.
pub(crate) struct Scratch<'a> {
    pool: &'a ScratchPool,
    buf: Vec<f32>,
    len: usize,
}

impl ScratchPool {
    /// Lends the smallest buffer that has `len` values.
    pub(crate) fn take(&self, len: usize) -> Scratch<'_> {
        let found = {
            let mut free = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            let best = (0..free.len()).filter(|&i| free[i].len() >= len).min_by_key(|&i| free[i].len());
            // None fits: a smaller one makes room, so that the pool holds no more than was ever lent at once.
            best.or_else(|| (0..free.len()).max_by_key(|&i| free[i].len())).map(|i| free.swap_remove(i))
        };
        let mut buf = found.unwrap_or_default();
        if buf.len() < len {
            buf = vec![0.0; len];
        }
        Scratch { pool: self, buf, len }
    }
}

impl Deref for Scratch<'_> {
    type Target = [f32];
    fn deref(&self) -> &[f32] {
        &self.buf[..self.len]
    }
}

impl DerefMut for Scratch<'_> {
    fn deref_mut(&mut self) -> &mut [f32] {
        &mut self.buf[..self.len]
    }
}

impl Drop for Scratch<'_> {
    fn drop(&mut self) {
        let mut free = self.pool.0.lock().unwrap_or_else(PoisonError::into_inner);
        free.push(std::mem::take(&mut self.buf));
    }
}
