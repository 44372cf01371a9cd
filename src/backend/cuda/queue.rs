//! [`Queue`] of a CUDA device.

use std::sync::PoisonError;

use super::{Buf, Cuda, need_len};
use crate::Result;
use crate::backend::{Elem, Queue};

impl Queue for Cuda {
    fn begin_batch(&self) -> Result<()> {
        self.uploads().next(&self.context)
    }

    fn stage<T: Elem>(&self, to: &mut Buf<T>, host: &[T]) -> Result<()> {
        let (chunk, offset) = self.uploads().stage(&self.context, bytemuck::cast_slice(host))?;
        *to = Buf::staged(chunk, offset, host.len());
        Ok(())
    }

    fn read_later(&self, from: &Buf<f32>) -> Result<()> {
        need_len("read_later", "the buffer", from.len(), 1)?;
        self.readback.lock().unwrap_or_else(PoisonError::into_inner).ask(&self.context, from)
    }

    fn arrived(&self, all: bool, values: &mut Vec<f32>) -> Result<()> {
        self.readback.lock().unwrap_or_else(PoisonError::into_inner).take(&self.context, all, values)?;
        if all { self.check_status() } else { Ok(()) }
    }
}
