//! Memory in amounts that grow with the data is asked for so that a refusal is an error, not the end of the process.
//!
//! Rust's collections end the process when the system has no memory left. Whatever here is as large as a file, a
//! catalogue or a batch goes through these functions instead and gives [`Error::OutOfMemory`]. What is left (small
//! things, and those inside other libraries) is up to the program's allocator: that of the `tercel` command prints a
//! line and exits. An allocator has to know which of the two it has before it: [`is_tried`] tells.

use std::cell::Cell;

use bytemuck::Zeroable;

use crate::{Error, Result};

thread_local! {
    // Neither made on first use nor dropped: an allocator can read it at any time.
    static TRIED: Cell<u32> = const { Cell::new(0) };
}

/// Whether whoever allocates on this thread at this moment takes a refusal (a null pointer) for an answer. To be asked by
/// a global allocator that would end the process otherwise.
pub fn is_tried() -> bool {
    TRIED.try_with(|depth| depth.get() > 0).unwrap_or(false)
}

/// Calls `allocate`, which takes a refusal for an answer.
fn attempt<T>(allocate: impl FnOnce() -> T) -> T {
    struct Leave;
    impl Drop for Leave {
        fn drop(&mut self) {
            TRIED.with(|depth| depth.set(depth.get() - 1));
        }
    }
    TRIED.with(|depth| depth.set(depth.get() + 1));
    let _leave = Leave;
    allocate()
}

fn refused<T>(len: usize, what: &str) -> Error {
    Error::OutOfMemory { what: what.to_owned(), needed: (len as u64).saturating_mul(size_of::<T>() as u64) }
}

/// Makes room for exactly `more` values behind those of `values`. `what`: a plural that names them in the error.
pub(crate) fn reserve_exact<T>(values: &mut Vec<T>, more: usize, what: &str) -> Result<()> {
    attempt(|| values.try_reserve_exact(more)).map_err(|_| refused::<T>(values.len().saturating_add(more), what))
}

/// Makes room for `more` values and, as a `Vec` does, for some that may follow.
pub(crate) fn reserve<T>(values: &mut Vec<T>, more: usize, what: &str) -> Result<()> {
    attempt(|| values.try_reserve(more)).map_err(|_| refused::<T>(values.len().saturating_add(more), what))
}

/// An empty list with room for `len` values.
pub(crate) fn with_capacity<T>(len: usize, what: &str) -> Result<Vec<T>> {
    let mut values = Vec::new();
    reserve_exact(&mut values, len, what)?;
    Ok(values)
}

/// `len` zeros, which the system gives without writing them.
pub(crate) fn zeros<T: Zeroable>(len: usize, what: &str) -> Result<Vec<T>> {
    attempt(|| bytemuck::allocation::try_zeroed_vec(len)).map_err(|()| refused::<T>(len, what))
}

/// `len` times `value`.
pub(crate) fn filled<T: Clone>(value: T, len: usize, what: &str) -> Result<Vec<T>> {
    let mut values = with_capacity(len, what)?;
    values.resize(len, value);
    Ok(values)
}

/// Makes `values` as long as `len`, with zeros at its end.
pub(crate) fn resize<T: Zeroable + Clone>(values: &mut Vec<T>, len: usize, what: &str) -> Result<()> {
    reserve_exact(values, len.saturating_sub(values.len()), what)?;
    values.resize(len, T::zeroed());
    Ok(())
}

/// Appends `more`.
pub(crate) fn extend<T: Clone>(values: &mut Vec<T>, more: &[T], what: &str) -> Result<()> {
    reserve(values, more.len(), what)?;
    values.extend_from_slice(more);
    Ok(())
}

/// The values of an iterator that knows how many there are.
pub(crate) fn collect<T>(values: impl ExactSizeIterator<Item = T>, what: &str) -> Result<Vec<T>> {
    let mut list = with_capacity(values.len(), what)?;
    list.extend(values);
    Ok(list)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_than_there_is_is_an_error_that_says_how_much() {
        let error = zeros::<f32>(1 << 60, "the item embeddings").unwrap_err();
        assert!(matches!(&error, Error::OutOfMemory { needed, .. } if *needed == 4 << 60), "{error}");
        assert!(error.to_string().contains("the item embeddings"), "{error}");
        assert_eq!(error.exit_code(), 1);
        let mut values = vec![0u8; 10];
        assert!(reserve(&mut values, usize::MAX, "x").is_err() && reserve_exact(&mut values, 1 << 62, "x").is_err());
        assert!(with_capacity::<u64>(usize::MAX, "x").is_err());
        assert_eq!(values.len(), 10);
    }

    #[test]
    fn it_is_known_what_is_tried() {
        assert!(!is_tried());
        assert!(attempt(|| attempt(is_tried) && is_tried()));
        assert!(!is_tried());
    }
}
