//! Memory of the device.

use std::marker::PhantomData;
use std::sync::Arc;

use super::arena::Place;
use super::arguments::{In, Out};
use super::context::DeviceMemory;
use super::upload::Chunk;

/// Values on the device: memory of its own, or a batch's input in a staging area.
pub(crate) struct Buf<T> {
    memory: Backing,
    address: u64,
    len: usize,
    values: PhantomData<T>,
}

/// Held to keep the memory alive as long as the buffer.
#[allow(dead_code)]
enum Backing {
    /// With the place that a later step has in its stead, where there is one.
    Own(DeviceMemory, Option<Place>),
    /// For the length of an operation of a step.
    Place(Place),
    /// What the area holds is another batch's after two batches.
    Staged(Arc<Chunk>),
}

impl<T> Buf<T> {
    /// The front of `memory` as `len` values.
    pub(super) fn own(memory: DeviceMemory, len: usize) -> Buf<T> {
        Buf::with_place(memory, None, len)
    }

    /// [`own`](Buf::own), which keeps a place of a step taken.
    pub(super) fn with_place(memory: DeviceMemory, place: Option<Place>, len: usize) -> Buf<T> {
        debug_assert!(len * size_of::<T>() <= memory.bytes());
        let address = memory.address();
        Buf { memory: Backing::Own(memory, place), address, len, values: PhantomData }
    }

    /// `len` values at an address that is a place's.
    pub(super) fn placed(place: Place, address: u64, len: usize) -> Buf<T> {
        Buf { memory: Backing::Place(place), address, len, values: PhantomData }
    }

    /// `len` values at `offset` bytes in a staging area.
    pub(super) fn staged(chunk: Arc<Chunk>, offset: usize, len: usize) -> Buf<T> {
        let address = chunk.address() + offset as u64;
        Buf { memory: Backing::Staged(chunk), address, len, values: PhantomData }
    }

    /// The device address of the first value.
    pub(crate) fn ptr(&self) -> u64 {
        self.address
    }

    /// The device address of value `at`.
    pub(crate) fn ptr_at(&self, at: usize) -> u64 {
        self.address + (at * size_of::<T>()) as u64
    }

    /// Its values, for a kernel that reads them.
    pub(crate) fn input(&self) -> In<T> {
        In::new(self.address)
    }

    /// Its values from `at` on, for a kernel that reads them.
    pub(crate) fn input_at(&self, at: usize) -> In<T> {
        In::new(self.ptr_at(at))
    }

    /// Its values, for a kernel that writes them.
    pub(crate) fn output(&self) -> Out<T> {
        Out::new(self.address)
    }

    /// Its values from `at` on, for a kernel that writes them.
    pub(crate) fn output_at(&self, at: usize) -> Out<T> {
        Out::new(self.ptr_at(at))
    }

    /// How many values it holds.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Whether the memory is its own, so that it may be written.
    pub(super) fn owned(&self) -> bool {
        !matches!(self.memory, Backing::Staged(_))
    }
}

/// A buffer's values, for a kernel that reads them; null where it is absent.
pub(crate) fn input<T>(buf: Option<&Buf<T>>) -> In<T> {
    buf.map_or(In::NULL, Buf::input)
}

/// A buffer's values, for a kernel that writes them; null where it is absent.
pub(crate) fn output<T>(buf: Option<&Buf<T>>) -> Out<T> {
    buf.map_or(Out::NULL, Buf::output)
}
