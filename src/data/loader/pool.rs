//! Outputs that are used again.

use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, PoisonError};

/// Values that are waiting to be used again.
pub(super) struct ObjectPool<T> {
    spare: Mutex<Vec<T>>,
    most: usize,
}

impl<T: Default> ObjectPool<T> {
    /// Keeps at most `most` spare values.
    pub(super) fn new(most: usize) -> Arc<ObjectPool<T>> {
        Arc::new(ObjectPool { spare: Mutex::new(Vec::with_capacity(most)), most })
    }

    /// A spare value, or a new one.
    pub(super) fn take(self: &Arc<Self>) -> Pooled<T> {
        let spare = self.spare.lock().unwrap_or_else(PoisonError::into_inner).pop();
        Pooled { value: spare.unwrap_or_default(), pool: self.clone() }
    }
}

/// A value that goes back to its pool when it is dropped.
pub struct Pooled<T: Default> {
    value: T,
    pool: Arc<ObjectPool<T>>,
}

impl<T: Default> Deref for Pooled<T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T: Default> DerefMut for Pooled<T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.value
    }
}

impl<T: Default> Drop for Pooled<T> {
    fn drop(&mut self) {
        let mut spare = self.pool.spare.lock().unwrap_or_else(PoisonError::into_inner);
        if spare.len() < self.pool.most {
            spare.push(std::mem::take(&mut self.value));
        }
    }
}
