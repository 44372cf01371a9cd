//! A batch's inputs on their way in, single values on their way out.

use super::memory::{Elem, Memory};
use crate::Result;

/// A device that works while the host prepares what comes next.
pub(crate) trait Queue: Memory {
    /// Another batch begins: what was staged two batches ago may be overwritten.
    fn begin_batch(&self) -> Result<()>;
    /// Makes `to` hold `host`, an input of the current batch: it is read by operations alone, and gone two batches
    /// later. A device takes all of a batch's inputs over together, while it computes the batch before.
    fn stage<T: Elem>(&self, to: &mut Self::Buf<T>, host: &[T]) -> Result<()>;
    /// [`stage`](Queue::stage) of a list whose length changes from batch to batch: `to` gets room for `room` values, of which
    /// only the first are set. Operations that are replayed see the room; the counts come with the batch.
    fn stage_in<T: Elem>(&self, to: &mut Self::Buf<T>, host: &[T], room: usize) -> Result<()>;
    /// Does work of a kind that comes again and again: a device gives it the memory that it had the last time.
    fn repeated<T>(&self, work: impl FnOnce() -> Result<T>) -> Result<T>;
    /// Whether everything up to [`recorded`](Queue::recorded) was queued before under this key, with inputs staged at the same
    /// places: then it has been queued again, on the inputs that were staged since `begin_batch`. Otherwise the caller queues
    /// it, and calls `recorded`: all that decides what is queued, and on which sizes, must be in `key` or in the lengths of
    /// what was staged.
    fn replay(&self, key: &[u64]) -> Result<bool>;
    /// The end of what may be replayed, and how queueing it went. False: nothing was done, queue it once more.
    fn recorded(&self, queued: Result<()>) -> Result<bool>;
    /// Asks for the first value of `from` as it is when everything queued so far is done, without waiting for it.
    fn read_later(&self, from: &Self::Buf<f32>) -> Result<()>;
    /// Takes the values of [`read_later`](Queue::read_later) that have come, in the order they were asked for; with
    /// `all`, waits for those that are still under way.
    fn arrived(&self, all: bool, values: &mut Vec<f32>) -> Result<()>;
}
