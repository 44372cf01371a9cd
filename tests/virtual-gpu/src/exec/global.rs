//! Loads and stores of global memory.

use super::block::Block;
use super::program::Stop;
use super::race::Who;
use super::shadow::{Page, Race};
use super::shared::Access;
use super::traffic;
use super::warp::{LANES, Warp, lanes};
use crate::memory::allocation::Allocation;

/// How a load or store is ordered and cached, as far as it matters here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Flavour {
    /// `.nc`: through the read-only path, which does not see the launch's own writes.
    pub read_only: bool,
    /// volatile, relaxed, acquire, release: may meet atomics.
    pub strong: bool,
    /// `.const`: not counted as global traffic.
    pub constant: bool,
}

impl<'l> Block<'l> {
    /// The allocation that holds an access of every lane of `mask`, if one does.
    #[inline(always)]
    fn common_allocation(&mut self, address: &[u64; LANES], mask: u32, bytes: u64) -> Option<usize> {
        let holds = |a: &Allocation| {
            let mut bad = 0u32;
            for (i, &at) in address.iter().enumerate() {
                let inside = at.wrapping_sub(a.base) < a.size && at.wrapping_sub(a.base) + bytes <= a.size;
                bad |= u32::from(!inside) << i;
            }
            bad & mask == 0
        };
        let view = self.grid.view;
        if view.get(self.last_allocation).is_some_and(|a| holds(a)) {
            return Some(self.last_allocation);
        }
        let first = address[mask.trailing_zeros() as usize];
        let at = self.find_allocation(first)?;
        if holds(&view[at]) {
            self.last_allocation = at;
            return Some(at);
        }
        None
    }

    fn find_allocation(&self, address: u64) -> Option<usize> {
        let at = self.grid.view.partition_point(|a| a.base <= address);
        at.checked_sub(1).filter(|&i| address - self.grid.view[i].base < self.grid.view[i].size)
    }

    /// The allocation of every lane, bounds and alignment checked; `usize::MAX` for lanes outside `mask`.
    #[inline(always)]
    pub fn global_allocations(
        &mut self,
        address: &[u64; LANES],
        mask: u32,
        bytes: u64,
        access: Access,
    ) -> Result<Place, Stop> {
        // Widths are powers of two.
        let mut crooked = 0u32;
        for (i, &a) in address.iter().enumerate() {
            crooked |= u32::from(a & (bytes - 1) != 0) << i;
        }
        if crooked & mask != 0 {
            let i = (crooked & mask).trailing_zeros() as usize;
            let kind = match access {
                Access::Load => "misaligned global load",
                Access::Store => "misaligned global store",
                Access::Atomic => "misaligned global atomic",
            };
            return Err(Stop { kind, lane: i as u32, detail: format!("{bytes} bytes at {:#x}", address[i]) });
        }
        if let Some(at) = self.common_allocation(address, mask, bytes) {
            return Ok(Place::One(at));
        }
        let mut each = [usize::MAX; LANES];
        for i in lanes(mask) {
            let inside = |&at: &usize| address[i] - self.grid.view[at].base + bytes <= self.grid.view[at].size;
            match self.find_allocation(address[i]).filter(inside) {
                Some(at) => each[i] = at,
                None => return Err(self.bad_global(address[i], i as u32, bytes, access)),
            }
        }
        Ok(Place::Each(Box::new(each)))
    }

    #[inline(never)]
    fn bad_global(&self, address: u64, lane: u32, bytes: u64, access: Access) -> Stop {
        let where_ = self.grid.memory.describe(address);
        let kind = match (where_.starts_with("use after free"), access) {
            (true, _) => "use after free",
            (_, Access::Load) => "out of bounds global load",
            (_, Access::Store) => "out of bounds global store",
            (_, Access::Atomic) => "out of bounds global atomic",
        };
        Stop { kind, lane, detail: format!("{bytes} bytes at {address:#x}: {where_}") }
    }

    /// Loads `n` elements of `width` bytes per lane into rows.
    #[allow(clippy::too_many_arguments)]
    pub fn global_load(
        &mut self,
        w: &Warp,
        address: &[u64; LANES],
        mask: u32,
        width: u32,
        n: u32,
        rows: &mut [[u64; LANES]],
        flavour: Flavour,
    ) -> Result<(), Stop> {
        let bytes = u64::from(width * n);
        let place = self.global_allocations(address, mask, bytes, Access::Load)?;
        if !flavour.constant {
            self.counters.global_load_requests += 1;
            let (sectors, ideal) = traffic::sectors(address, mask, bytes);
            self.counters.global_load_sectors += sectors;
            self.counters.global_load_sectors_ideal += ideal;
        }
        let who = self.who(w);
        let grid = self.grid;
        let mut last_sector = u64::MAX;
        for i in lanes(mask) {
            let at = place.of(i);
            let a: &Allocation = &grid.view[at];
            let offset = address[i] - a.base;
            for k in 0..n {
                rows[k as usize][i] = a.load(offset + u64::from(k * width), width);
            }
            if flavour.constant {
                continue;
            }
            let page = grid.shadows[at].page(offset);
            if last_sector != address[i] >> 5 {
                page.sector_read(offset);
                last_sector = address[i] >> 5;
            }
            if self.checks {
                self.check_global_read(w, i as u32, who.lane(i as u32), a, page, offset, bytes, flavour);
            }
        }
        Ok(())
    }

    #[inline(always)]
    #[allow(clippy::too_many_arguments)]
    pub fn check_global_read(
        &mut self,
        w: &Warp,
        lane: u32,
        who: Who,
        a: &Allocation,
        page: &Page,
        offset: u64,
        bytes: u64,
        flavour: Flavour,
    ) {
        if let Some((first, count)) = a.unwritten(offset, bytes) {
            self.unwritten_global(w, lane, a, first, count);
        }
        let mut at = offset & !3;
        while at < offset + bytes {
            let mask = byte_mask(at, offset, bytes);
            if let Some(race) = page.read(at, who.bytes(mask), flavour.strong)
                && !self.was_released(race, who)
            {
                self.global_race(w, lane, a, at, race, "read");
            }
            if flavour.read_only && page.read_only(at) {
                self.read_only(w, lane, a, at, "ld.global.nc of memory that the launch writes");
            }
            at += 4;
        }
    }

    /// Records a lane's write and reports a race.
    #[inline(always)]
    #[allow(clippy::too_many_arguments)]
    pub fn check_global_write(
        &mut self,
        w: &Warp,
        lane: u32,
        who: Who,
        a: &Allocation,
        page: &Page,
        offset: u64,
        bytes: u64,
        same: bool,
    ) {
        a.mark(offset, bytes);
        let mut at = offset & !3;
        while at < offset + bytes {
            if let Some(race) = page.write(at, who.bytes(byte_mask(at, offset, bytes)), same)
                && !self.was_released(race, who)
            {
                self.global_race(w, lane, a, at, race, "written");
            }
            if page.was_read_only(at) {
                self.read_only(w, lane, a, at, "store to memory that the launch reads with ld.global.nc");
            }
            at += 4;
        }
    }

    #[inline(never)]
    fn read_only(&mut self, w: &Warp, lane: u32, a: &Allocation, at: u64, kind: &'static str) {
        self.warn(kind, w, lane, || format!("byte {at} of the {}-byte allocation at {:#x}", a.size, a.base));
    }

    #[inline(never)]
    fn unwritten_global(&mut self, w: &Warp, lane: u32, a: &Allocation, first: u64, count: u64) {
        self.warn("uninitialised global read", w, lane, || {
            format!("{count} unwritten bytes from byte {first} of the {}-byte allocation at {:#x}", a.size, a.base)
        });
    }

    #[inline(never)]
    fn global_race(&mut self, w: &Warp, lane: u32, a: &Allocation, at: u64, race: Race, did: &str) {
        let block = self.linear & 0xf_ffff;
        let before = if race.other_wrote { "written" } else { "read" };
        let by = match race.other.block() {
            b if b == block && race.other.thread() / 32 == w.index => {
                format!("thread {} of the same warp with no __syncwarp between", race.other.thread())
            }
            b if b == block => format!("thread {} with no __syncthreads between", race.other.thread()),
            b => format!("block {b}"),
        };
        self.warn("global memory race", w, lane, || {
            format!("byte {at} of the {}-byte allocation at {:#x} {did} here, {before} by {by}", a.size, a.base)
        });
    }

    /// Stores `n` elements of `width` bytes per lane.
    #[allow(clippy::too_many_arguments)]
    pub fn global_store(
        &mut self,
        w: &Warp,
        address: &[u64; LANES],
        mask: u32,
        width: u32,
        n: u32,
        rows: &[[u64; LANES]],
        flavour: Flavour,
    ) -> Result<(), Stop> {
        let bytes = u64::from(width * n);
        let place = self.global_allocations(address, mask, bytes, Access::Store)?;
        self.counters.global_store_requests += 1;
        let (sectors, ideal) = traffic::sectors(address, mask, bytes);
        self.counters.global_store_sectors += sectors;
        self.counters.global_store_sectors_ideal += ideal;
        let who = if flavour.strong { self.who(w).atomic() } else { self.who(w) };
        let keep = if width >= 8 { !0 } else { (1u64 << (width * 8)) - 1 };
        let grid = self.grid;
        for i in lanes(mask) {
            let at = place.of(i);
            let a: &Allocation = &grid.view[at];
            let offset = address[i] - a.base;
            if a.constant {
                let detail = format!("a constant variable at {:#x}", a.base);
                return Err(Stop { kind: "store to constant memory", lane: i as u32, detail });
            }
            let page = grid.shadows[at].page(offset);
            page.sector_written(offset);
            if self.checks {
                let same = (0..n).all(|k| a.load(offset + u64::from(k * width), width) == rows[k as usize][i] & keep);
                self.check_global_write(w, i as u32, who.lane(i as u32), a, page, offset, bytes, same);
            } else {
                a.mark(offset, bytes);
            }
            for k in 0..n {
                a.store(offset + u64::from(k * width), width, rows[k as usize][i]);
            }
        }
        Ok(())
    }
}

/// The bytes of the word at `at` that the range covers.
#[inline(always)]
fn byte_mask(at: u64, offset: u64, bytes: u64) -> u64 {
    if bytes >= 4 { 0xf } else { ((1 << bytes) - 1) << (offset - at) }
}

/// Which allocation each lane's address is in.
pub(crate) enum Place {
    One(usize),
    Each(Box<[usize; LANES]>),
}

impl Place {
    /// The allocation of a lane.
    #[inline(always)]
    pub fn of(&self, lane: usize) -> usize {
        match self {
            Place::One(at) => *at,
            Place::Each(each) => each[lane],
        }
    }
}
