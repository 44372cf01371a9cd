//! What a warp has under way, and what its registers are doing meanwhile.

use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;

use super::Wgmma;
use super::descriptor::Descriptor;
use super::product::{ByteTile, ROWS, Sums, Tile};
use crate::exec::clocks::Clock;
use crate::exec::warp::{LANES, R32, Row, Warp};

/// What an accumulator under way holds: a NaN, and far from any sum in whole numbers.
const POISON: u32 = 0x7fff_dead;

/// States of a register: an accumulator or a fragment of A of a product under way; read, written since `wgmma.fence`.
pub(super) const ACCUMULATES: u8 = 1;
pub(super) const FEEDS: u8 = 2;
pub(super) const READ: u8 = 4;
pub(super) const WRITTEN: u8 = 8;

/// A product under way: what it adds to, and when it began.
pub(crate) struct Product {
    pub group: u64,
    pub accumulator: usize,
    /// Whether the sums begin from zero.
    pub fresh: bool,
    pub operands: Operands,
    pub pc: u32,
    /// The chunks of shared memory that it reads, and what the warp knew then; no clock where it was wrong already.
    pub chunks: Vec<u32>,
    pub clock: Option<Rc<Clock>>,
    /// The registers of A.
    pub feeds: Vec<R32>,
}

/// The operands of a product.
pub(crate) enum Operands {
    /// Not read yet: the descriptors of A (none: registers) and B.
    Waiting {
        a: Option<Descriptor>,
        b: Descriptor,
        shape: Arc<Wgmma>,
    },
    Float(Box<Tile>),
    Byte(Box<ByteTile>, bool),
}

/// Accumulators under way.
pub(crate) struct Accumulator {
    pub registers: Vec<R32>,
    pub n: usize,
    pub sums: Sums,
    /// Products that have not been added.
    pub left: u32,
}

/// A warp's products under way.
#[derive(Default)]
pub(crate) struct Flight {
    pub products: VecDeque<Product>,
    pub accumulators: Vec<Accumulator>,
    /// Groups committed.
    pub committed: u64,
    /// Products begun.
    pub begun: u64,
    /// State of each 32-bit register.
    pub registers: Vec<u8>,
    /// Whether there was a `wgmma.fence`.
    pub fenced: bool,
}

impl Flight {
    /// Forgets the block before.
    pub fn reset(&mut self) {
        self.products.clear();
        self.accumulators.clear();
        (self.committed, self.begun, self.fenced) = (0, 0, false);
        self.registers.fill(0);
    }

    /// What was touched before counts no more.
    pub fn fence(&mut self) {
        self.fenced = true;
        self.registers.iter_mut().for_each(|s| *s &= !(READ | WRITTEN));
    }

    /// The state of a register.
    pub fn state(&mut self, r: R32) -> &mut u8 {
        let at = r.0 as usize;
        if self.registers.len() <= at {
            self.registers.resize(at + 1, 0);
        }
        &mut self.registers[at]
    }

    /// Which registers are in use, from the products that are left.
    pub fn mark_uses(&mut self) {
        self.registers.iter_mut().for_each(|s| *s &= !(ACCUMULATES | FEEDS));
        let Flight { products, accumulators, registers, .. } = self;
        let mut mark = |r: &R32, what: u8| {
            if let Some(s) = registers.get_mut(r.0 as usize) {
                *s |= what;
            }
        };
        products.iter().flat_map(|p| &p.feeds).for_each(|r| mark(r, FEEDS));
        let under_way = accumulators.iter().filter(|a| a.left > 0);
        under_way.flat_map(|a| &a.registers).for_each(|r| mark(r, ACCUMULATES));
    }
}

/// Row and column of accumulator `j` of a lane.
fn place(lane: usize, j: usize) -> (usize, usize) {
    (lane / 4 + 8 * (j / 2 % 2), 8 * (j / 4) + 2 * (lane % 4) + j % 2)
}

impl Accumulator {
    /// Takes the accumulators out of their registers, which hold NaN from here on.
    pub fn take(w: &mut Warp, registers: &[R32], n: usize) -> Accumulator {
        let mut sums = vec![0; ROWS * n];
        for (j, &r) in registers.iter().enumerate() {
            for (lane, &bits) in r.row(w).iter().enumerate() {
                let (row, column) = place(lane, j);
                sums[row * n + column] = bits;
            }
            *r.row_mut(w) = [POISON; LANES];
        }
        Accumulator { registers: registers.to_vec(), n, sums, left: 0 }
    }

    /// Puts them back.
    pub fn put(&self, w: &mut Warp) {
        for (j, &r) in self.registers.iter().enumerate() {
            *r.row_mut(w) = std::array::from_fn(|lane| {
                let (row, column) = place(lane, j);
                self.sums[row * self.n + column]
            });
        }
    }
}

/// What a warpgroup's warps did together: they must all begin the same products.
#[derive(Default)]
pub(crate) struct Warpgroup {
    /// Products by number from `first`: where, and the descriptor of B.
    pub log: VecDeque<(u32, u64)>,
    pub first: u64,
    /// Products that each warp has begun.
    pub begun: [u64; 4],
}

impl Warpgroup {
    /// Forgets the block before.
    pub fn reset(&mut self) {
        *self = Warpgroup::default();
    }

    /// Notes a product of a warp; whether it is that of the warps before it.
    pub fn begin(&mut self, warp: usize, pc: u32, descriptor: u64) -> bool {
        let number = self.begun[warp];
        self.begun[warp] += 1;
        let at = (number - self.first) as usize;
        let same = match self.log.get(at) {
            Some(&known) => known == (pc, descriptor),
            None => {
                self.log.push_back((pc, descriptor));
                true
            }
        };
        let all = self.begun.iter().copied().min().unwrap_or(0);
        while self.first < all {
            self.log.pop_front();
            self.first += 1;
        }
        same
    }
}
