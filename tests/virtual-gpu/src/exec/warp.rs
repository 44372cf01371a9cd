//! A warp: 32 lanes' registers, and which lanes are where in the program.

use super::wgmma::Flight;

/// Lanes of a warp.
pub(crate) const LANES: usize = 32;

/// A row of 32-bit registers (also 16-bit ones, zero-extended), one per lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct R32(pub u32);
/// A row of 64-bit registers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct R64(pub u32);
/// A predicate register, one bit per lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Pred(pub u32);

/// Either width.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reg {
    W32(R32),
    W64(R64),
}

/// A register row by index.
pub(crate) trait Row: Copy + Send + Sync + 'static {
    /// What a lane holds.
    type Lane: Copy + Default + Send + Sync + 'static;
    fn row(self, warp: &Warp) -> &[Self::Lane; LANES];
    fn row_mut(self, warp: &mut Warp) -> &mut [Self::Lane; LANES];
}

impl Row for R32 {
    type Lane = u32;
    #[inline(always)]
    fn row(self, warp: &Warp) -> &[u32; LANES] {
        &warp.r32[self.0 as usize]
    }
    #[inline(always)]
    fn row_mut(self, warp: &mut Warp) -> &mut [u32; LANES] {
        &mut warp.r32[self.0 as usize]
    }
}

impl Row for R64 {
    type Lane = u64;
    #[inline(always)]
    fn row(self, warp: &Warp) -> &[u64; LANES] {
        &warp.r64[self.0 as usize]
    }
    #[inline(always)]
    fn row_mut(self, warp: &mut Warp) -> &mut [u64; LANES] {
        &mut warp.r64[self.0 as usize]
    }
}

/// What a group of lanes waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wait {
    Ready,
    /// The other lanes of a member mask at a collective; `warp_sync` ones may come to another instruction.
    Members {
        members: u32,
        warp_sync: bool,
    },
    /// A barrier of the block: its number and the threads it counts (0 for all of the block).
    Barrier {
        id: u32,
        threads: u32,
    },
    /// A phase of an mbarrier: looks again when another phase than that of this version has ended.
    Phase {
        seen: u64,
    },
    /// Registers that other warps have to give: looks again when this has changed.
    Registers {
        seen: u64,
    },
    /// Nothing: the lanes have found an mbarrier's phase under way and let the other warps run.
    Turn,
}

/// Lanes at one place of the program.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Group {
    pub pc: u32,
    pub lanes: u32,
    pub wait: Wait,
}

/// A warp.
pub(crate) struct Warp {
    pub r32: Vec<[u32; LANES]>,
    pub r64: Vec<[u64; LANES]>,
    pub preds: Vec<u32>,
    /// Lanes that execute the current instruction.
    pub mask: u32,
    /// Lanes of the current group.
    pub active: u32,
    /// Where the current group is.
    pub pc: u32,
    /// Where the next other group stands: reaching it means merging.
    pub limit: u32,
    /// The other groups.
    pub groups: Vec<Group>,
    /// Lanes that have not exited.
    pub alive: u32,
    /// Index in the block.
    pub index: u32,
    /// Warp barriers passed.
    pub epoch: u32,
    /// Instructions issued.
    pub issued: u64,
    /// Products under way.
    pub flight: Flight,
}

impl Warp {
    /// Stores a row in the executing lanes.
    #[inline(always)]
    pub fn put<D: Row>(&mut self, d: D, values: [D::Lane; LANES]) {
        let mask = self.mask;
        let row = d.row_mut(self);
        if mask == !0 {
            *row = values;
        } else {
            for i in 0..LANES {
                row[i] = if mask >> i & 1 != 0 { values[i] } else { row[i] };
            }
        }
    }

    /// Stores a predicate in the executing lanes.
    #[inline(always)]
    pub fn put_pred(&mut self, d: Pred, bits: u32) {
        let p = &mut self.preds[d.0 as usize];
        *p = (*p & !self.mask) | (bits & self.mask);
    }

    /// A predicate's bits.
    #[inline(always)]
    pub fn pred(&self, p: Pred) -> u32 {
        self.preds[p.0 as usize]
    }

    /// Puts the current group back among the others, merges groups that stand at one place, and makes the lowest
    /// ready one current. Running the lowest lanes first makes a warp reconverge by itself. Whether one is ready.
    pub fn regroup(&mut self) -> bool {
        if self.active != 0 {
            self.groups.push(Group { pc: self.pc, lanes: self.active, wait: Wait::Ready });
            self.active = 0;
        }
        let groups = &mut self.groups;
        groups.retain(|g| g.lanes != 0);
        let mut i = 0;
        while i < groups.len() {
            let mut j = i + 1;
            while j < groups.len() {
                let (a, b) = (groups[i], groups[j]);
                // Lanes that come to where others wait for members make them look again; lanes that wait for
                // different members at one place stay apart.
                let meet = match (a.wait, b.wait) {
                    (Wait::Ready, Wait::Members { .. }) | (Wait::Members { .. }, Wait::Ready) => true,
                    (a, b) => a == b,
                };
                if a.pc == b.pc && meet {
                    groups[i].lanes |= b.lanes;
                    if a.wait != b.wait {
                        groups[i].wait = Wait::Ready;
                    }
                    groups.swap_remove(j);
                } else {
                    j += 1;
                }
            }
            i += 1;
        }
        let ready = groups.iter().enumerate().filter(|(_, g)| g.wait == Wait::Ready).min_by_key(|(_, g)| g.pc);
        let Some((at, _)) = ready else { return false };
        let g = groups.swap_remove(at);
        (self.pc, self.active) = (g.pc, g.lanes);
        let apart =
            |w: Wait| matches!(w, Wait::Barrier { .. } | Wait::Phase { .. } | Wait::Turn | Wait::Registers { .. });
        let others = groups.iter().filter(|o| o.pc > g.pc && !apart(o.wait));
        self.limit = others.map(|o| o.pc).min().unwrap_or(u32::MAX);
        true
    }

    /// Sends the lanes of `taken` to `target`; the rest of the current group goes on behind the branch.
    #[inline(always)]
    pub fn branch(&mut self, taken: u32, target: u32) {
        if taken == self.active {
            self.pc = target;
            if !self.groups.is_empty() {
                self.regroup();
            }
            return;
        }
        self.groups.push(Group { pc: target, lanes: taken, wait: Wait::Ready });
        self.active &= !taken;
        self.pc += 1;
        self.regroup();
    }

    /// Ends the lanes of `gone`; the rest of the current group goes on.
    pub fn exit(&mut self, gone: u32) {
        self.alive &= !gone;
        self.active &= !gone;
        self.pc += 1;
    }

    /// Makes the executing lanes wait where they are; the rest of the current group goes on behind.
    pub fn wait(&mut self, lanes: u32, wait: Wait) {
        self.groups.push(Group { pc: self.pc, lanes, wait });
        self.active &= !lanes;
        self.pc += 1;
    }
}

/// Runs over the bits of a mask.
#[inline(always)]
pub(crate) fn lanes(mut mask: u32) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        if mask == 0 {
            return None;
        }
        let i = mask.trailing_zeros() as usize;
        mask &= mask - 1;
        Some(i)
    })
}
