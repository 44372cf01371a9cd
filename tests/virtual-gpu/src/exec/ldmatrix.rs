//! `ldmatrix`, `stmatrix`, `movmatrix`: 8x8 matrices of 16-bit elements spread over a warp.

use super::access;
use super::block::Block;
use super::program::{Action, Mem, Stop};
use super::shared::Access;
use super::warp::{LANES, R32, Reg, Row, Warp, lanes};
use crate::ptx::PtxError;
use crate::ptx::context::Context;

type Result<T> = std::result::Result<T, PtxError>;

/// Decodes a matrix move.
pub(crate) fn decode(cx: &mut Context<'_, '_>) -> Result<Action> {
    cx.has("sync");
    cx.has("aligned");
    if !cx.has("m8n8") {
        return cx.fail("only the .m8n8 shape is supported");
    }
    if cx.base() == "movmatrix" {
        return transpose(cx);
    }
    let count = match cx.pick(&["x1", "x2", "x4"]) {
        Some("x1") => 1,
        Some("x2") => 2,
        Some(_) => 4,
        None => return cx.fail("x1, x2 or x4 is needed"),
    };
    let trans = cx.has("trans");
    if !(cx.has("shared") || cx.has("shared::cta")) {
        return cx.fail("only shared memory is supported");
    }
    if cx.ty()? != "b16" {
        return cx.fail("only .b16 is supported");
    }
    cx.count(2)?;
    let load = cx.base() == "ldmatrix";
    let (regs_at, address_at) = if load { (0, 1) } else { (1, 0) };
    let args = cx.vector(regs_at)?;
    let address = cx.address(address_at)?;
    if args.len() != count {
        return cx.fail("the vector has another number of registers");
    }
    let mut regs: Vec<R32> = Vec::new();
    for arg in args {
        regs.push(match (load, arg) {
            (true, a) => match cx.any_dest(a, 4)? {
                Reg::W32(r) => r,
                Reg::W64(_) => return cx.fail("32-bit registers are needed"),
            },
            (false, a) => cx.source32(a)?,
        });
    }
    let members = cx.lower.constant32(!0);
    let run: Mem = Box::new(move |w: &mut Warp, b: &mut Block<'_>| {
        let at = access::addresses(w, address);
        if load { b.load_matrices(w, &at, &regs, trans) } else { b.store_matrices(w, &at, &regs, trans) }
    });
    Ok(Action::Collective { members, run })
}

fn transpose(cx: &mut Context<'_, '_>) -> Result<Action> {
    if !cx.has("trans") || cx.ty()? != "b16" {
        return cx.fail("only .trans.b16 is supported");
    }
    let (d, a) = (cx.d32(0)?, cx.r32(1)?);
    let members = cx.lower.constant32(!0);
    let run: Mem = Box::new(move |w: &mut Warp, _: &mut Block<'_>| {
        let x = a.row(w);
        let element = |row: usize, col: usize| x[row * 4 + col / 2] >> (16 * (col % 2)) & 0xffff;
        let out = std::array::from_fn(|i| {
            let (row, col) = (i / 4, 2 * (i % 4));
            element(col, row) | element(col + 1, row) << 16
        });
        w.put(d, out);
        Ok(())
    });
    Ok(Action::Collective { members, run })
}

impl Block<'_> {
    /// Lanes `8 j .. 8 j + 8` give the row addresses of matrix `j`.
    fn load_matrices(
        &mut self,
        w: &mut Warp,
        address: &[u64; LANES],
        regs: &[R32],
        trans: bool,
    ) -> std::result::Result<(), Stop> {
        let used = rows_mask(regs.len());
        let offset = self.shared_offsets(address, used, 16, Access::Load)?;
        self.counters.ldmatrix += 1;
        self.counters.ldmatrix_matrices += regs.len() as u64;
        self.counters.shared_load_requests += 1;
        self.count_shared(&offset, used, 16);
        if self.checks {
            let who = self.who(w);
            for i in lanes(used) {
                self.check_shared_read(w, i as u32, who.lane(i as u32), offset[i], 16);
            }
        }
        for (j, &d) in regs.iter().enumerate() {
            let row = |r: usize| offset[8 * j + r];
            let out: [u32; LANES] = std::array::from_fn(|i| {
                let (a, b) = (i / 4, 2 * (i % 4) as u32);
                if trans {
                    let column = 2 * a as u32;
                    let low = self.shared.load(row(b as usize) + column, 2);
                    let high = self.shared.load(row(b as usize + 1) + column, 2);
                    (low | high << 16) as u32
                } else {
                    self.shared.load(row(a) + 2 * b, 4) as u32
                }
            });
            w.put(d, out);
        }
        Ok(())
    }

    fn store_matrices(
        &mut self,
        w: &mut Warp,
        address: &[u64; LANES],
        regs: &[R32],
        trans: bool,
    ) -> std::result::Result<(), Stop> {
        let used = rows_mask(regs.len());
        let offset = self.shared_offsets(address, used, 16, Access::Store)?;
        self.counters.shared_store_requests += 1;
        self.count_shared(&offset, used, 16);
        if self.checks {
            let who = self.who(w);
            for i in lanes(used) {
                self.check_shared_write(w, i as u32, who.lane(i as u32), offset[i], 16, false);
            }
        }
        for (j, &s) in regs.iter().enumerate() {
            let values = *s.row(w);
            for (i, v) in values.into_iter().enumerate() {
                let (a, b) = (i / 4, 2 * (i % 4) as u32);
                for half in 0..2u32 {
                    let value = u64::from(v >> (16 * half) & 0xffff);
                    let (row, column) = if trans { ((b + half) as usize, a as u32) } else { (a, b + half) };
                    self.shared.store(offset[8 * j + row] + 2 * column, 2, value);
                }
            }
        }
        Ok(())
    }
}

fn rows_mask(matrices: usize) -> u32 {
    if matrices == 4 { !0 } else { (1 << (8 * matrices)) - 1 }
}
