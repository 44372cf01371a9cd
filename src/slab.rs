//! Values that are owned or lie in a mapped file.

use std::ops::{Deref, Range};
use std::sync::Arc;

use bytemuck::{AnyBitPattern, NoUninit};

use crate::data::shard::FileBytes;

/// A list of values: its own, or a part of a mapped file, which costs no memory until it is read.
pub(crate) enum Slab<T> {
    Owned(Vec<T>),
    /// Bytes of a file, aligned and whole values: checked by [`Slab::mapped`].
    Mapped(Arc<FileBytes>, Range<usize>),
}

impl<T: AnyBitPattern + NoUninit> Slab<T> {
    /// The values in these bytes of a file; none where they do not lie in it, aligned and whole.
    pub(crate) fn mapped(file: &Arc<FileBytes>, bytes: Range<usize>) -> Option<Slab<T>> {
        bytemuck::try_cast_slice::<u8, T>(file.as_slice().get(bytes.clone())?).ok()?;
        Some(Slab::Mapped(Arc::clone(file), bytes))
    }

    /// To be written: values of a file are copied first.
    pub(crate) fn to_mut(&mut self) -> &mut Vec<T> {
        loop {
            match self {
                Slab::Owned(values) => return values,
                Slab::Mapped(..) => *self = Slab::Owned(self.to_vec()),
            }
        }
    }

    /// The values as they lie in a file.
    pub(crate) fn bytes(&self) -> &[u8] {
        bytemuck::cast_slice(self)
    }
}

impl<T> From<Vec<T>> for Slab<T> {
    fn from(values: Vec<T>) -> Slab<T> {
        Slab::Owned(values)
    }
}

impl<T: AnyBitPattern + NoUninit> Deref for Slab<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        match self {
            Slab::Owned(values) => values,
            // Checked when it was made; a mapping stays where it is.
            Slab::Mapped(file, bytes) => bytemuck::cast_slice(&file.as_slice()[bytes.clone()]),
        }
    }
}
