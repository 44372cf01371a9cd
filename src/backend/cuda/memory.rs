//! [`Memory`] of a CUDA device.

use std::borrow::Cow;

use cudarc::driver::result;

use super::{Buf, Cuda, need, need_len};
use crate::Result;
use crate::backend::{Elem, FreeMemory, Memory};

impl Memory for Cuda {
    type Buf<T: Elem> = Buf<T>;

    fn path(&self) -> String {
        format!("cuda sm_{}", self.info().compute_capability)
    }

    fn free_memory(&self) -> Result<Option<FreeMemory>> {
        let (free, _) = self.context.check("ask for free memory", self.context.cuda.mem_get_info())?;
        let kernels_for = self.architecture().name();
        Ok(Some(FreeMemory { device: format!("cuda:{}", self.info().ordinal), bytes: free as u64, kernels_for }))
    }

    fn zeros<T: Elem>(&self, len: usize) -> Result<Buf<T>> {
        let mut buf = self.uninit(len)?;
        self.fill_zero(&mut buf, 0, len)?;
        Ok(buf)
    }

    fn upload<T: Elem>(&self, host: Vec<T>) -> Result<Buf<T>> {
        let buf = self.uninit(host.len())?;
        self.send(&buf, &host)?;
        Ok(buf)
    }

    fn host<'a, T: Elem>(&self, from: &'a Buf<T>, len: usize) -> Result<Cow<'a, [T]>> {
        let mut host = crate::memory::zeros(len, "values of the device")?;
        self.download(&mut host, from, 0)?;
        Ok(Cow::Owned(host))
    }

    fn len<T: Elem>(&self, buf: &Buf<T>) -> usize {
        buf.len()
    }

    fn write<T: Elem>(&self, to: &mut Buf<T>, host: &[T]) -> Result<()> {
        if to.len() < host.len() || !to.owned() {
            *to = self.uninit(host.len())?;
        }
        self.send(to, host)
    }

    fn read<T: Elem>(&self, host: &mut [T], from: &Buf<T>, start: usize) -> Result<()> {
        self.download(host, from, start)?;
        self.check_status()
    }

    fn copy_rows(
        &self,
        to: &mut Buf<f32>,
        to_row: usize,
        from: &Buf<f32>,
        from_row: usize,
        rows: usize,
        dim: usize,
    ) -> Result<()> {
        need_len("copy_rows", "the source", from.len(), (from_row + rows) * dim)?;
        need_len("copy_rows", "the target", to.len(), (to_row + rows) * dim)?;
        need("copy_rows", to.owned(), "a target of its own", "a staged input")?;
        if rows * dim == 0 {
            return Ok(());
        }
        self.flush()?;
        self.context.bind()?;
        let (source, target, stream) =
            (from.ptr_at(from_row * dim), to.ptr_at(to_row * dim), self.context.compute.cu_stream());
        // SAFETY: both ranges lie inside their buffers (checked above), which are two, since one is borrowed for
        // writing; the one stream orders the copy with all other uses.
        let copy = unsafe { result::memcpy_dtod_async(target, source, rows * dim * size_of::<f32>(), stream) };
        self.context.check("copy rows", copy)
    }
}
