//! [`Memory`] of the host.

use std::borrow::Cow;

use super::{Cpu, need_len, path_of, simd};
use crate::backend::{Elem, FreeMemory, Memory};
use crate::{Result, memory};

impl Memory for Cpu {
    type Buf<T: Elem> = Vec<T>;

    fn path(&self) -> String {
        path_of(self.isa, self.bf16)
    }

    fn free_memory(&self) -> Result<Option<FreeMemory>> {
        Ok(None)
    }

    fn zeros<T: Elem>(&self, len: usize) -> Result<Vec<T>> {
        simd::pages::zeros(len)
    }

    fn upload<T: Elem>(&self, host: Vec<T>) -> Result<Vec<T>> {
        Ok(host)
    }

    fn host<'a, T: Elem>(&self, from: &'a Vec<T>, len: usize) -> Result<Cow<'a, [T]>> {
        need_len("host", "the buffer", from.len(), len)?;
        Ok(Cow::Borrowed(&from[..len]))
    }

    fn len<T: Elem>(&self, buf: &Vec<T>) -> usize {
        buf.len()
    }

    fn write<T: Elem>(&self, to: &mut Vec<T>, host: &[T]) -> Result<()> {
        if to.len() < host.len() {
            to.clear();
            memory::extend(to, host, "the values of a batch")?;
        } else {
            to[..host.len()].copy_from_slice(host);
        }
        Ok(())
    }

    fn read<T: Elem>(&self, host: &mut [T], from: &Vec<T>, start: usize) -> Result<()> {
        let end = start.saturating_add(host.len());
        need_len("read", "the buffer", from.len(), end)?;
        host.copy_from_slice(&from[start..end]);
        Ok(())
    }

    fn copy_rows(
        &self,
        to: &mut Vec<f32>,
        to_row: usize,
        from: &Vec<f32>,
        from_row: usize,
        rows: usize,
        dim: usize,
    ) -> Result<()> {
        need_len("copy_rows", "the source", from.len(), (from_row + rows) * dim)?;
        need_len("copy_rows", "the target", to.len(), (to_row + rows) * dim)?;
        to[to_row * dim..(to_row + rows) * dim].copy_from_slice(&from[from_row * dim..(from_row + rows) * dim]);
        Ok(())
    }
}
