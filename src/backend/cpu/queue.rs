//! [`Queue`] on the host: what is asked for is done at once.

use std::sync::PoisonError;

use super::{Cpu, need_len};
use crate::Result;
use crate::backend::{Elem, Memory, Queue};

impl Queue for Cpu {
    fn begin_batch(&self) -> Result<()> {
        Ok(())
    }

    fn stage<T: Elem>(&self, to: &mut Vec<T>, host: &[T]) -> Result<()> {
        self.write(to, host)
    }

    fn stage_in<T: Elem>(&self, to: &mut Vec<T>, host: &[T], _: usize) -> Result<()> {
        self.write(to, host)
    }

    fn repeated<T>(&self, work: impl FnOnce() -> Result<T>) -> Result<T> {
        work()
    }

    fn replay(&self, _: &[u64]) -> Result<bool> {
        Ok(false)
    }

    fn recorded(&self, queued: Result<()>) -> Result<bool> {
        queued.map(|()| true)
    }

    fn read_later(&self, from: &Vec<f32>) -> Result<()> {
        need_len("read_later", "the buffer", from.len(), 1)?;
        self.later.lock().unwrap_or_else(PoisonError::into_inner).push(from[0]);
        Ok(())
    }

    fn arrived(&self, _all: bool, values: &mut Vec<f32>) -> Result<()> {
        values.append(&mut self.later.lock().unwrap_or_else(PoisonError::into_inner));
        Ok(())
    }
}
