//! [`Queue`] of a CUDA device.

use std::sync::{MutexGuard, PoisonError};

use super::arena::Replayed;
use super::readback::Readback;
use super::{Buf, Cuda, need_len};
use crate::Result;
use crate::backend::{Elem, Queue};

impl Cuda {
    fn readback(&self) -> MutexGuard<'_, Readback> {
        self.readback.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Queue for Cuda {
    fn begin_batch(&self) -> Result<()> {
        self.abandon_recording()?;
        let done = self.uploads().next(&self.context)?;
        self.readback().landed(Some(done));
        Ok(())
    }

    fn stage<T: Elem>(&self, to: &mut Buf<T>, host: &[T]) -> Result<()> {
        self.stage_in(to, host, host.len())
    }

    fn stage_in<T: Elem>(&self, to: &mut Buf<T>, host: &[T], room: usize) -> Result<()> {
        let room = room.max(host.len());
        let bytes = room * size_of::<T>();
        let (chunk, offset) = self.uploads().stage_in(&self.context, bytemuck::cast_slice(host), bytes)?;
        *to = Buf::staged(chunk, offset, room);
        Ok(())
    }

    fn repeated<T>(&self, work: impl FnOnce() -> Result<T>) -> Result<T> {
        self.arena.begin(Replayed(false));
        let done = work();
        let ended = self.arena.end(&self.context);
        done.and_then(|done| ended.map(|()| done))
    }

    fn replay(&self, key: &[u64]) -> Result<bool> {
        self.replay_or_record(key)
    }

    fn recorded(&self, queued: Result<()>) -> Result<bool> {
        self.end_recording(queued)
    }

    fn read_later(&self, from: &Buf<f32>) -> Result<()> {
        need_len("read_later", "the buffer", from.len(), 1)?;
        let mut uploads = self.uploads();
        uploads.flush(&self.context)?;
        uploads.bind(&self.context)?;
        self.readback().ask(&self.context, from, uploads.turn())?;
        uploads.record(&self.context)
    }

    fn arrived(&self, all: bool, values: &mut Vec<f32>) -> Result<()> {
        if all {
            self.check_status()?;
            self.readback().landed(None);
        }
        self.readback().take(values);
        Ok(())
    }
}
