//! Local memory: each thread's stack and the parameters of its calls.

use super::block::Block;
use super::program::Stop;
use super::warp::{LANES, Warp, lanes};

/// Local memory of a block's threads.
pub(crate) struct LocalMemory {
    /// Bytes per thread.
    size: u32,
    bytes: Vec<u8>,
    /// 1 for a written byte.
    init: Vec<u8>,
}

impl LocalMemory {
    pub fn new(threads: u32, size: u32) -> LocalMemory {
        let total = (threads * size) as usize;
        LocalMemory { size, bytes: vec![0xff; total], init: vec![0; total] }
    }

    /// Forgets the block before.
    pub fn reset(&mut self) {
        self.bytes.fill(0xff);
        self.init.fill(0);
    }
}

impl Block<'_> {
    fn local_at(&self, w: &Warp, address: &[u64; LANES], lane: usize, bytes: u32) -> Result<usize, Stop> {
        let (a, size) = (address[lane], self.local.size);
        let outside = a > u64::from(size) || a + u64::from(bytes) > u64::from(size);
        if outside || !a.is_multiple_of(bytes.into()) {
            let kind = if outside { "out of bounds local access" } else { "misaligned local access" };
            let detail = format!("{bytes} bytes at offset {a} of {size} bytes of local memory");
            return Err(Stop { kind, lane: lane as u32, detail });
        }
        Ok((w.index as usize * LANES + lane) * size as usize + a as usize)
    }

    /// Loads `n` elements of `width` bytes per lane into rows.
    pub fn local_load(
        &mut self,
        w: &Warp,
        address: &[u64; LANES],
        mask: u32,
        width: u32,
        n: u32,
        rows: &mut [[u64; LANES]],
    ) -> Result<(), Stop> {
        for i in lanes(mask) {
            let at = self.local_at(w, address, i, width * n)?;
            let all = at..at + (width * n) as usize;
            if self.checks && self.local.init[all].contains(&0) {
                let offset = address[i];
                self.warn("uninitialised local read", w, i as u32, || {
                    format!("{} bytes at offset {offset}", width * n)
                });
            }
            for (row, bytes) in rows.iter_mut().zip(self.local.bytes[at..].chunks_exact(width as usize)) {
                let mut value = [0; 8];
                value[..bytes.len()].copy_from_slice(bytes);
                row[i] = u64::from_le_bytes(value);
            }
        }
        Ok(())
    }

    /// Stores `n` elements of `width` bytes per lane.
    pub fn local_store(
        &mut self,
        w: &Warp,
        address: &[u64; LANES],
        mask: u32,
        width: u32,
        n: u32,
        rows: &[[u64; LANES]],
    ) -> Result<(), Stop> {
        for i in lanes(mask) {
            let at = self.local_at(w, address, i, width * n)?;
            self.local.init[at..at + (width * n) as usize].fill(1);
            for (row, bytes) in rows.iter().zip(self.local.bytes[at..].chunks_exact_mut(width as usize)) {
                bytes.copy_from_slice(&row[i].to_le_bytes()[..bytes.len()]);
            }
        }
        Ok(())
    }
}
