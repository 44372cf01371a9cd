//! Memory of a step's operations: places in one block, handed out again as soon as they are given back, the same places for
//! the same sequence of requests. So a step that is replayed finds its memory where it was, and asks the driver for none.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::context::{Context, DeviceMemory};
use crate::Result;

/// Places begin at multiples of this many bytes.
const ALIGN: usize = 256;

/// Whether a step may be replayed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Replayed(pub bool);

/// The block of a step.
#[derive(Default)]
pub(super) struct Arena {
    places: Arc<Mutex<Places>>,
}

#[derive(Default)]
struct Places {
    /// Whether a step is under way, and whether it may be replayed.
    active: Option<Replayed>,
    memory: Option<Arc<DeviceMemory>>,
    /// The places in use, first byte and end, ascending.
    taken: Vec<(usize, usize)>,
    /// The end of the furthest place of this step.
    furthest: usize,
}

/// A place; giving it back is dropping it. All that uses it was queued before: one stream orders what comes after.
pub(super) struct Place {
    places: Arc<Mutex<Places>>,
    offset: usize,
    /// The block, where the place lies in it; none where the block is still too small.
    memory: Option<Arc<DeviceMemory>>,
}

impl Place {
    /// Its device address, where it has memory.
    pub(super) fn address(&self) -> Option<u64> {
        self.memory.as_ref().map(|memory| memory.address() + self.offset as u64)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        lock(&self.places).taken.retain(|&(offset, _)| offset != self.offset);
    }
}

fn lock(places: &Mutex<Places>) -> MutexGuard<'_, Places> {
    places.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Arena {
    /// A step begins.
    pub(super) fn begin(&self, replayed: Replayed) {
        let mut places = lock(&self.places);
        (places.active, places.furthest) = (Some(replayed), 0);
    }

    /// Whether a step is under way that may be replayed.
    pub(super) fn is_replayed(&self) -> bool {
        lock(&self.places).active == Some(Replayed(true))
    }

    /// The step ends: the block is made as large as it needed.
    ///
    /// # Errors
    /// [`Error::DeviceMemory`](crate::Error::DeviceMemory), [`Error::Cuda`](crate::Error::Cuda).
    pub(super) fn end(&self, context: &Context) -> Result<()> {
        let mut places = lock(&self.places);
        places.active = None;
        let have = places.memory.as_ref().map_or(0, |memory| memory.bytes());
        if places.furthest > have {
            // What was there goes with the last recording that uses it.
            places.memory = None;
            places.memory = Some(Arc::new(context.alloc(places.furthest)?));
        }
        Ok(())
    }

    /// The block, to be kept by what uses its places later.
    pub(super) fn memory(&self) -> Option<Arc<DeviceMemory>> {
        lock(&self.places).memory.clone()
    }

    /// The first place of `bytes` that is free; none where no step is under way.
    pub(super) fn take(&self, bytes: usize) -> Option<Place> {
        let mut places = lock(&self.places);
        places.active?;
        let bytes = bytes.max(1).next_multiple_of(ALIGN);
        let mut offset = 0;
        let mut at = places.taken.len();
        for (n, &(from, end)) in places.taken.iter().enumerate() {
            if offset + bytes <= from {
                at = n;
                break;
            }
            offset = end;
        }
        let end = offset + bytes;
        places.taken.insert(at, (offset, end));
        places.furthest = places.furthest.max(end);
        let memory = places.memory.clone().filter(|memory| end <= memory.bytes());
        Some(Place { places: Arc::clone(&self.places), offset, memory })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_requests_get_the_same_places() {
        let arena = Arena::default();
        assert!(arena.take(1).is_none(), "no step is under way");
        let once = || {
            arena.begin(Replayed(false));
            let (a, b, c) = (arena.take(300).unwrap(), arena.take(1).unwrap(), arena.take(1000).unwrap());
            let mut offsets = vec![a.offset, b.offset, c.offset];
            drop(b);
            // Where b was; then behind all.
            let (d, e) = (arena.take(256).unwrap(), arena.take(257).unwrap());
            offsets.extend([d.offset, e.offset]);
            drop(a);
            offsets.push(arena.take(512).unwrap().offset);
            offsets
        };
        assert_eq!(once(), [0, 512, 768, 512, 1792, 0]);
        assert_eq!(once(), once());
        assert_eq!(lock(&arena.places).furthest, 2304);
    }
}
