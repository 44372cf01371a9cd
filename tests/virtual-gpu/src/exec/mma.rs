//! `mma.sync`: D = A B + C on a warp's tiles.
//!
//! Products of 16-bit and tf32 inputs are exact in f32; sums run over k in order, in f32. Hardware keeps other bits
//! while it sums, so the last bits differ.

use super::block::Block;
use super::half_float::Format;
use super::program::{Action, Mem};
use super::warp::{LANES, R32, Reg, Row, Warp};
use crate::ptx::PtxError;
use crate::ptx::context::Context;

type Result<T> = std::result::Result<T, PtxError>;

const M: usize = 16;
const N: usize = 8;

/// How the inputs are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Input {
    Half(Format),
    Tf32,
    Byte { a_signed: bool, b_signed: bool },
}

/// Decodes `mma.sync`.
pub(crate) fn decode(cx: &mut Context<'_, '_>) -> Result<Action> {
    if !cx.has("sync") {
        return cx.fail("only the .sync form is supported");
    }
    cx.has("aligned");
    let k = match cx.pick(&["m16n8k4", "m16n8k8", "m16n8k16", "m16n8k32"]) {
        Some(shape) => shape.rsplit('k').next().and_then(|k| k.parse::<usize>().ok()).unwrap_or(0),
        None => return cx.fail("this shape is not supported"),
    };
    if !cx.has("row") || !cx.has("col") {
        return cx.fail("only .row.col is supported");
    }
    let saturate = cx.has("satfinite");
    let types = cx.types();
    let (input, half_sum) = match types.as_slice() {
        ["f32", "bf16", "bf16", "f32"] => (Input::Half(Format::Bf16), false),
        ["f32", "f16", "f16", "f32"] => (Input::Half(Format::F16), false),
        ["f16", "f16", "f16", "f16"] => (Input::Half(Format::F16), true),
        ["f32", "tf32", "tf32", "f32"] => (Input::Tf32, false),
        ["s32", a @ ("s8" | "u8"), b @ ("s8" | "u8"), "s32"] => {
            (Input::Byte { a_signed: *a == "s8", b_signed: *b == "s8" }, false)
        }
        _ => return cx.fail("these types are not supported"),
    };
    // Registers hold 32 bits: per 4 k of bytes, per 2 k of halves, per k of tf32; lanes share a row in fours.
    let per_register = match input {
        Input::Half(_) => 2,
        Input::Tf32 => 1,
        Input::Byte { .. } => 4,
    };
    let blocks = k / (4 * per_register);
    if blocks == 0 || blocks > 2 || (saturate && !matches!(input, Input::Byte { .. })) {
        return cx.fail("this shape is not supported for these types");
    }
    let sums = if half_sum { 2 } else { 4 };
    cx.count(4)?;
    let d = registers(cx, 0, sums, true)?;
    let a = registers(cx, 1, 2 * blocks, false)?;
    let b = registers(cx, 2, blocks, false)?;
    let c = registers(cx, 3, sums, false)?;
    let members = cx.lower.constant32(!0);
    let flops = (2 * M * N * k) as u64;
    let run: Mem = Box::new(move |w: &mut Warp, block: &mut Block<'_>| {
        block.counters.mma += 1;
        block.counters.mma_flops += flops;
        if w.mask != !0 {
            let mask = w.mask;
            block.warn("mma.sync without all lanes", w, mask.trailing_zeros(), || format!("lanes {mask:#010x}"));
        }
        match input {
            Input::Byte { a_signed, b_signed } => integer(w, &d, &a, &b, &c, a_signed, b_signed, saturate),
            _ if half_sum => float_half_sum(w, &d, &a, &b, &c, input),
            _ => float(w, &d, &a, &b, &c, input),
        }
        Ok(())
    });
    Ok(Action::Collective { members, run })
}

fn registers(cx: &mut Context<'_, '_>, at: usize, count: usize, dest: bool) -> Result<Vec<R32>> {
    let args = cx.vector(at)?;
    if args.len() != count {
        return cx.fail(format!("operand {at} needs {count} registers"));
    }
    let mut out = Vec::new();
    for arg in args {
        out.push(match dest {
            true => match cx.any_dest(arg, 4)? {
                Reg::W32(r) => r,
                Reg::W64(_) => return cx.fail("32-bit registers are needed"),
            },
            false => cx.source32(arg)?,
        });
    }
    Ok(out)
}

/// One tile in f32: A as rows of k, B as rows of n.
struct Tile {
    k: usize,
    a: [[f32; 16]; M],
    b: [[f32; N]; 16],
    c: [[f32; N]; M],
}

/// Reads A and B. Lane `4 g + t` holds rows g and g + 8 of A and column g of B, at k around t.
fn inputs(w: &Warp, a: &[R32], b: &[R32], input: Input) -> Tile {
    let mut tile = Tile { k: 0, a: [[0.0; 16]; M], b: [[0.0; N]; 16], c: [[0.0; N]; M] };
    let per = if input == Input::Tf32 { 1 } else { 2 };
    tile.k = b.len() * 4 * per;
    let value = |bits: u32, e: usize| match input {
        Input::Half(f) => f.widen((bits >> (16 * e)) as u16),
        // The hardware reads 19 bits of a tf32.
        _ => f32::from_bits(bits & !0x1fff),
    };
    for (j, r) in a.iter().enumerate() {
        for (lane, &bits) in r.row(w).iter().enumerate() {
            for e in 0..per {
                tile.a[lane / 4 + 8 * (j % 2)][(lane % 4) * per + e + 4 * per * (j / 2)] = value(bits, e);
            }
        }
    }
    for (j, r) in b.iter().enumerate() {
        for (lane, &bits) in r.row(w).iter().enumerate() {
            for e in 0..per {
                tile.b[(lane % 4) * per + e + 4 * per * j][lane / 4] = value(bits, e);
            }
        }
    }
    tile
}

#[inline(always)]
fn multiply_body(t: &mut Tile) {
    for (row, sums) in t.a.iter().zip(&mut t.c) {
        let mut acc = *sums;
        for (x, b) in row.iter().zip(&t.b).take(t.k) {
            for (s, y) in acc.iter_mut().zip(b) {
                // The product is exact, so a fused operation rounds as two do.
                *s = x.mul_add(*y, *s);
            }
        }
        *sums = acc;
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn multiply_avx2(t: &mut Tile) {
    multiply_body(t);
}

fn multiply(t: &mut Tile) {
    #[cfg(target_arch = "x86_64")]
    if std::is_x86_feature_detected!("avx2") && std::is_x86_feature_detected!("fma") {
        // SAFETY: the processor has both features, as just checked.
        unsafe { multiply_avx2(t) };
        return;
    }
    multiply_body(t);
}

/// Row and column of sum `j` of a lane.
fn place(lane: usize, j: usize) -> (usize, usize) {
    (lane / 4 + 8 * (j / 2), 2 * (lane % 4) + j % 2)
}

fn float(w: &mut Warp, d: &[R32], a: &[R32], b: &[R32], c: &[R32], input: Input) {
    let mut tile = inputs(w, a, b, input);
    for (j, r) in c.iter().enumerate() {
        for (lane, &bits) in r.row(w).iter().enumerate() {
            let (m, n) = place(lane, j);
            tile.c[m][n] = f32::from_bits(bits);
        }
    }
    multiply(&mut tile);
    for (j, &r) in d.iter().enumerate() {
        let out: [u32; LANES] = std::array::from_fn(|lane| {
            let (m, n) = place(lane, j);
            tile.c[m][n].to_bits()
        });
        w.put(r, out);
    }
}

/// Sums kept as packed pairs of f16, rounded once.
fn float_half_sum(w: &mut Warp, d: &[R32], a: &[R32], b: &[R32], c: &[R32], input: Input) {
    let mut tile = inputs(w, a, b, input);
    for (j, r) in c.iter().enumerate() {
        for (lane, &bits) in r.row(w).iter().enumerate() {
            for e in 0..2 {
                let (m, n) = place(lane, 2 * j + e);
                tile.c[m][n] = Format::F16.widen((bits >> (16 * e)) as u16);
            }
        }
    }
    multiply(&mut tile);
    for (j, &r) in d.iter().enumerate() {
        let out: [u32; LANES] = std::array::from_fn(|lane| {
            let half = |e: usize| {
                let (m, n) = place(lane, 2 * j + e);
                u32::from(Format::F16.narrow32(tile.c[m][n]))
            };
            half(0) | half(1) << 16
        });
        w.put(r, out);
    }
}

#[allow(clippy::too_many_arguments)]
fn integer(w: &mut Warp, d: &[R32], a: &[R32], b: &[R32], c: &[R32], a_signed: bool, b_signed: bool, saturate: bool) {
    let value = |bits: u32, e: usize, signed: bool| {
        let byte = bits.to_le_bytes()[e];
        if signed { i32::from(byte as i8) } else { i32::from(byte) }
    };
    let mut x = [[0i32; 32]; M];
    let mut y = [[0i32; N]; 32];
    let k = 16 * b.len();
    for (j, r) in a.iter().enumerate() {
        for (lane, &bits) in r.row(w).iter().enumerate() {
            for e in 0..4 {
                x[lane / 4 + 8 * (j % 2)][4 * (lane % 4) + e + 16 * (j / 2)] = value(bits, e, a_signed);
            }
        }
    }
    for (j, r) in b.iter().enumerate() {
        for (lane, &bits) in r.row(w).iter().enumerate() {
            for e in 0..4 {
                y[4 * (lane % 4) + e + 16 * j][lane / 4] = value(bits, e, b_signed);
            }
        }
    }
    // 32 products of bytes fit an i32 with room to spare.
    let mut sums = [[0i32; N]; M];
    for (row, out) in x.iter().zip(&mut sums) {
        for (v, u) in row.iter().zip(&y).take(k) {
            for (s, q) in out.iter_mut().zip(u) {
                *s += v * q;
            }
        }
    }
    for (j, &r) in d.iter().enumerate() {
        let before = *c[j].row(w);
        let out: [u32; LANES] = std::array::from_fn(|lane| {
            let (m, n) = place(lane, j);
            let old = before[lane] as i32;
            (if saturate { old.saturating_add(sums[m][n]) } else { old.wrapping_add(sums[m][n]) }) as u32
        });
        w.put(r, out);
    }
}
