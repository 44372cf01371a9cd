//! A device and the values that it holds.

use std::borrow::Cow;

use crate::Result;

/// What a buffer can hold.
pub(crate) trait Elem: bytemuck::Pod + Default + Send + Sync + 'static {}
impl Elem for f32 {}
impl Elem for u32 {}
impl Elem for half::bf16 {}
impl Elem for half::f16 {}

/// Memory of a device that is free.
pub(crate) struct FreeMemory {
    /// The device's name.
    pub device: String,
    pub bytes: u64,
    /// Which kernels the device gets, as [`CudaInfo::kernels_for`](crate::device::CudaInfo::kernels_for).
    pub kernels_for: &'static str,
}

/// A device with memory.
pub(crate) trait Memory: Send + Sync + Sized + 'static {
    /// Memory of the device.
    type Buf<T: Elem>: Send + Sync;

    /// What decides the bits of its results, beside the seed: a run goes on only where it is the same.
    fn path(&self) -> String;
    /// What of a device with memory of its own is free.
    fn free_memory(&self) -> Result<Option<FreeMemory>>;
    /// `len` zeros.
    fn zeros<T: Elem>(&self, len: usize) -> Result<Self::Buf<T>>;
    /// A buffer with these values; on the CPU they are moved, not copied.
    fn upload<T: Elem>(&self, host: Vec<T>) -> Result<Self::Buf<T>>;
    /// The first `len` values on the host; on the CPU they are borrowed, not copied.
    fn host<'a, T: Elem>(&self, from: &'a Self::Buf<T>, len: usize) -> Result<Cow<'a, [T]>>;
    /// How many values a buffer holds.
    fn len<T: Elem>(&self, buf: &Self::Buf<T>) -> usize;
    /// Copies `host` to the front of `to`, which grows when it is too short (its other values are then lost).
    fn write<T: Elem>(&self, to: &mut Self::Buf<T>, host: &[T]) -> Result<()>;
    /// Copies the front of `from`, `host.len()` values from element `start` on.
    fn read<T: Elem>(&self, host: &mut [T], from: &Self::Buf<T>, start: usize) -> Result<()>;
    /// Copies rows: `to[to_row + i] = from[from_row + i]` for i < `rows`, each `dim` wide.
    fn copy_rows(
        &self,
        to: &mut Self::Buf<f32>,
        to_row: usize,
        from: &Self::Buf<f32>,
        from_row: usize,
        rows: usize,
        dim: usize,
    ) -> Result<()>;
}
