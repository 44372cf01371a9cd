//! Products begin, and are waited for.

use std::sync::Arc;

use super::descriptor::Descriptor;
use super::flight::{ACCUMULATES, Accumulator, FEEDS, Operands, Product, READ, WRITTEN};
use super::product::{self, ByteTile, ROWS, Tile};
use super::{Input, Rows, Wgmma};
use crate::exec::Landing;
use crate::exec::block::Block;
use crate::exec::program::Stop;
use crate::exec::warp::{R32, R64, Row, Warp};

const NO_FENCE: &str = "no wgmma.fence between a register's use and wgmma";

impl Block<'_> {
    /// Reads, checks and counts what a product asks for, and puts it under way.
    pub(super) fn begin_product(&mut self, w: &mut Warp, step: &Arc<Wgmma>) -> Result<(), Stop> {
        let lane = w.mask.trailing_zeros();
        let stop = |detail: String| Stop { kind: "wrong wgmma descriptor", lane, detail };
        let bits = |w: &Warp, r: R64| r.row(w)[lane as usize];
        let b = Descriptor::read(bits(w, step.b), row_chunks(step.mn_major.1, step.n)).map_err(stop)?;
        let (a, feeds) = match &step.a {
            Rows::Shared(r) => {
                (Some(Descriptor::read(bits(w, *r), row_chunks(step.mn_major.0, 64)).map_err(stop)?), Vec::new())
            }
            Rows::Registers(list) => (None, list.clone()),
        };
        let mut chunks = Vec::with_capacity(2 * step.n + 32);
        if let Some(a) = a {
            a.chunks(step.mn_major.0, w.index % 4 * ROWS as u32, ROWS as u32, &mut chunks);
        }
        b.chunks(step.mn_major.1, 0, step.n as u32, &mut chunks);
        if let Some(outside) = chunks.iter().find(|&&c| c + 16 > self.grid.shared_bytes) {
            let detail = format!("16 bytes at offset {outside} of {} bytes of shared memory", self.grid.shared_bytes);
            return Err(Stop { kind: "out of bounds wgmma operand", lane, detail });
        }
        self.count_product(w, step);
        let at = self.accumulator(w, step);
        let mut clock = None;
        if self.checks {
            self.check_warpgroup(w, bits(w, step.b));
            let now = self.clocks.now(w.index as usize);
            clock = self.ledger_begin(w, &now, &chunks).then_some(now);
        }
        let adds = (w.pred(step.add.0) ^ crate::exec::bits::invert(step.add.1)) >> lane & 1 != 0;
        let mut operands = Operands::Waiting { a, b, shape: Arc::clone(step) };
        let now = match self.grid.landing {
            Landing::Early => true,
            Landing::Late => false,
            Landing::Random(seed) => (seed ^ u64::from(self.pc)).count_ones().is_multiple_of(2),
        };
        if now {
            operands = self.read_operands(w, operands);
        }
        for &r in &feeds {
            *w.flight.state(r) |= FEEDS;
        }
        w.flight.accumulators[at].left += 1;
        w.flight.begun += 1;
        let (group, pc) = (w.flight.committed, self.pc);
        let product = Product { group, accumulator: at, fresh: !adds, operands, pc, chunks, clock, feeds };
        w.flight.products.push_back(product);
        Ok(())
    }

    /// Counts a warp's part; what the warpgroup reads of shared memory counts with its first warp.
    fn count_product(&mut self, w: &Warp, step: &Wgmma) {
        let k = if matches!(step.input, Input::Half(_)) { 16 } else { 32 };
        self.counters.mma += 1;
        self.counters.mma_flops += (2 * ROWS * step.n * k) as u64;
        if w.index.is_multiple_of(4) {
            let rows = step.n + if matches!(step.a, Rows::Shared(_)) { 64 } else { 0 };
            // 32 bytes a row or column, and the swizzle spreads them over all banks.
            let wavefronts = (rows as u64 * 32).div_ceil(128);
            self.counters.shared_load_requests += 1;
            self.counters.shared_wavefronts += wavefronts;
            self.counters.shared_wavefronts_ideal += wavefronts;
        }
    }

    /// The accumulators of a product: those under way, or taken from their registers.
    fn accumulator(&mut self, w: &mut Warp, step: &Wgmma) -> usize {
        let lane = w.mask.trailing_zeros();
        if self.checks {
            let dirty = |w: &mut Warp, list: &[R32], what: u8| list.iter().any(|&r| *w.flight.state(r) & what != 0);
            let feeds = if let Rows::Registers(list) = &step.a { &list[..] } else { &[] };
            if !w.flight.fenced || dirty(w, &step.d, READ | WRITTEN) || dirty(w, feeds, WRITTEN) {
                self.warn(NO_FENCE, w, lane, || "the order of accesses to registers is open".into());
            }
            if dirty(w, feeds, ACCUMULATES) {
                self.warn("accumulator of a wgmma under way read", w, lane, || "as a fragment of A".into());
            }
        }
        if let Some(at) = w.flight.accumulators.iter().position(|a| a.left > 0 && a.registers == step.d) {
            return at;
        }
        if self.checks && step.d.iter().any(|&r| *w.flight.state(r) & ACCUMULATES != 0) {
            self.warn("accumulator of a wgmma under way read", w, lane, || "by a product of another shape".into());
        }
        let fresh = Accumulator::take(w, &step.d, step.n);
        for &r in &step.d {
            *w.flight.state(r) |= ACCUMULATES;
        }
        match w.flight.accumulators.iter().position(|a| a.left == 0) {
            Some(at) => {
                w.flight.accumulators[at] = fresh;
                at
            }
            None => {
                w.flight.accumulators.push(fresh);
                w.flight.accumulators.len() - 1
            }
        }
    }

    fn check_warpgroup(&mut self, w: &Warp, descriptor: u64) {
        let (group, warp) = (w.index as usize / 4, w.index as usize % 4);
        let pc = self.pc;
        if !self.groups[group].begin(warp, pc, descriptor) {
            self.warn("warps of a warpgroup begin different products", w, 0, || {
                format!("product {} of warp {}", w.flight.begun, w.index)
            });
        }
    }

    /// Looks at the registers of an instruction that is about to run: those of products under way must be left alone.
    #[inline(always)]
    pub fn watch(&mut self, w: &mut Warp) {
        let program = self.grid.program;
        let touched = &program.touched[w.pc as usize];
        let mut found = 0;
        for &t in touched {
            let (r, write) = (t >> 1, t & 1 != 0);
            let state = w.flight.state(R32(r));
            found |= *state & if write { ACCUMULATES | FEEDS } else { ACCUMULATES };
            *state |= if write { WRITTEN } else { READ };
        }
        if found != 0 {
            self.touched_in_flight(w, found, touched);
        }
    }

    #[inline(never)]
    fn touched_in_flight(&mut self, w: &mut Warp, found: u8, touched: &[u32]) {
        self.pc = w.pc;
        let lane = w.mask.trailing_zeros();
        let reads = touched.iter().any(|&t| t & 1 == 0 && *w.flight.state(R32(t >> 1)) & ACCUMULATES != 0);
        let kind = match (found & ACCUMULATES != 0, reads) {
            (true, true) => "accumulator of a wgmma under way read",
            (true, false) => "accumulator of a wgmma under way written",
            _ => "register operand of a wgmma under way written",
        };
        let (groups, open) =
            (w.flight.committed, w.flight.products.iter().filter(|p| p.group == w.flight.committed).count());
        self.warn(kind, w, lane, || {
            format!("no wgmma.wait_group covers the product; {groups} groups committed, {open} products behind them")
        });
    }

    /// Reads the operands of a product.
    fn read_operands(&self, w: &Warp, operands: Operands) -> Operands {
        let Operands::Waiting { a: a_at, b: b_at, shape } = operands else { return operands };
        let shared = &self.shared.bytes;
        let first = w.index % 4 * ROWS as u32;
        let n = shape.n as u32;
        match shape.input {
            Input::Half(format) => {
                let mut a = match (&shape.a, a_at) {
                    (Rows::Registers(list), _) => {
                        let mut rows = [[0.0; 16]; ROWS];
                        for (j, r) in list.iter().enumerate() {
                            for (lane, &bits) in r.row(w).iter().enumerate() {
                                let (row, k) = (lane / 4 + 8 * (j % 2), 2 * (lane % 4) + 8 * (j / 2));
                                rows[row][k] = format.widen(bits as u16);
                                rows[row][k + 1] = format.widen((bits >> 16) as u16);
                            }
                        }
                        rows
                    }
                    (Rows::Shared(_), Some(at)) => product::load_a(shared, at, first, shape.mn_major.0, format),
                    (Rows::Shared(_), None) => [[0.0; 16]; ROWS],
                };
                if shape.negate.0 != shape.negate.1 {
                    a.iter_mut().flatten().for_each(|v| *v = -*v);
                }
                let b = product::load_b(shared, b_at, n, shape.mn_major.1, format);
                Operands::Float(Box::new(Tile { a, b }))
            }
            Input::Byte { a_signed, b_signed, saturate } => {
                let of =
                    |signed: bool| -> fn(u8) -> i32 { if signed { |v| i32::from(v as i8) } else { |v| i32::from(v) } };
                let a = match (&shape.a, a_at) {
                    (Rows::Registers(list), _) => {
                        let mut rows = [[0; 32]; ROWS];
                        for (j, r) in list.iter().enumerate() {
                            for (lane, &bits) in r.row(w).iter().enumerate() {
                                let (row, k) = (lane / 4 + 8 * (j % 2), 4 * (lane % 4) + 16 * (j / 2));
                                for (e, byte) in bits.to_le_bytes().into_iter().enumerate() {
                                    rows[row][k + e] = of(a_signed)(byte);
                                }
                            }
                        }
                        rows
                    }
                    (Rows::Shared(_), Some(at)) => product::load_a_bytes(shared, at, first, of(a_signed)),
                    (Rows::Shared(_), None) => [[0; 32]; ROWS],
                };
                let b = product::load_b_bytes(shared, b_at, n, of(b_signed));
                Operands::Byte(Box::new(ByteTile { a, b }), saturate)
            }
        }
    }

    /// Completes all groups but the last `keep` committed.
    pub(super) fn wait_group(&mut self, w: &mut Warp, keep: u64) -> Result<(), Stop> {
        let due = w.flight.committed.saturating_sub(keep);
        let here = self.pc;
        while w.flight.products.front().is_some_and(|p| p.group < due) {
            let Some(product) = w.flight.products.pop_front() else { break };
            let operands = self.read_operands(w, product.operands);
            if self.precise {
                self.pc = product.pc;
                self.ledger_end(w, product.clock.as_deref(), &product.chunks);
            }
            let accumulator = &mut w.flight.accumulators[product.accumulator];
            let n = accumulator.n;
            if product.fresh {
                accumulator.sums.fill(0);
            }
            match &operands {
                Operands::Float(tile) => product::multiply(tile, &mut accumulator.sums, n),
                Operands::Byte(tile, saturate) => product::multiply_bytes(tile, &mut accumulator.sums, n, *saturate),
                Operands::Waiting { .. } => {}
            }
            accumulator.left -= 1;
            if accumulator.left == 0 {
                let sums = std::mem::take(&mut accumulator.sums);
                let registers = std::mem::take(&mut accumulator.registers);
                Accumulator { registers, n, sums, left: 0 }.put(w);
            }
        }
        self.pc = here;
        w.flight.mark_uses();
        Ok(())
    }

    /// Products that a block leaves under way, and warpgroups whose warps have begun different numbers of them.
    pub fn check_products(&mut self, warps: &[Warp]) {
        for w in warps {
            if let Some(product) = w.flight.products.front() {
                self.pc = product.pc;
                self.warn("wgmma under way at the end of the block", w, 0, || "nobody waited for it".into());
            }
            let begun = &warps[w.index as usize / 4 * 4].flight.begun;
            if w.flight.begun != *begun {
                let first = self.grid.program.steps.iter().position(|s| self.grid.program.is_product(s.line));
                self.pc = first.unwrap_or_default() as u32;
                self.warn("warps of a warpgroup begin different products", w, 0, || {
                    format!("{} by warp {}, {begun} by its warpgroup's first", w.flight.begun, w.index)
                });
            }
        }
    }
}

/// The 16-byte chunks that an operand takes of a row of 128 bytes: all of k where it is in rows, 8 columns each otherwise.
fn row_chunks(mn_major: bool, columns: usize) -> u32 {
    if mn_major { (columns as u32 / 8).min(8) } else { 2 }
}
