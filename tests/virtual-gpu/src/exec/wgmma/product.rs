//! The arithmetic of one warp's quarter of a product: 16 rows.
//!
//! As `mma.sync`: products are exact in f32, sums run over k in order, in f32. Hardware keeps other bits while it sums.

use super::descriptor::Descriptor;
use crate::exec::half_float::Format;

/// Rows of a warp.
pub(crate) const ROWS: usize = 16;

/// One warp's operands in f32: A by rows of k, B in blocks of 8 columns of rows of k.
pub(crate) struct Tile {
    pub a: [[f32; 16]; ROWS],
    pub b: Vec<[[f32; 8]; 16]>,
}

/// The same in whole numbers.
pub(crate) struct ByteTile {
    pub a: [[i32; 32]; ROWS],
    pub b: Vec<[[i32; 8]; 32]>,
}

/// Sums of one warp: row-major, 16 x N, as bits.
pub(crate) type Sums = Vec<u32>;

/// A 16-byte chunk of shared memory.
#[inline(always)]
fn chunk(shared: &[u8], at: u32) -> [u8; 16] {
    let at = at as usize;
    shared[at..at + 16].try_into().unwrap_or([0xff; 16])
}

#[inline(always)]
fn halves(bytes: [u8; 16]) -> [u16; 8] {
    std::array::from_fn(|i| u16::from_le_bytes([bytes[2 * i], bytes[2 * i + 1]]))
}

/// Rows `first..first + 16` of A.
pub(crate) fn load_a(shared: &[u8], d: Descriptor, first: u32, mn_major: bool, format: Format) -> [[f32; 16]; ROWS] {
    let mut a = [[0.0; 16]; ROWS];
    if mn_major {
        for k in 0..16 {
            for e in 0..2 {
                let values = halves(chunk(shared, d.mn_major(k, first / 8 + e)));
                for (i, v) in values.into_iter().enumerate() {
                    a[8 * e as usize + i][k as usize] = format.widen(v);
                }
            }
        }
    } else {
        for (row, out) in (first..).zip(&mut a) {
            for c in 0..2 {
                let values = halves(chunk(shared, d.k_major(row, c)));
                for (o, v) in out[8 * c as usize..].iter_mut().zip(values) {
                    *o = format.widen(v);
                }
            }
        }
    }
    a
}

/// All of B: `n` columns.
pub(crate) fn load_b(shared: &[u8], d: Descriptor, n: u32, mn_major: bool, format: Format) -> Vec<[[f32; 8]; 16]> {
    let mut b = vec![[[0.0; 8]; 16]; n as usize / 8];
    for (j, block) in (0..).zip(&mut b) {
        if mn_major {
            for (k, row) in (0..).zip(block) {
                *row = halves(chunk(shared, d.mn_major(k, j))).map(|v| format.widen(v));
            }
        } else {
            for column in 0..8 {
                for c in 0..2 {
                    let values = halves(chunk(shared, d.k_major(8 * j + column, c)));
                    for (i, v) in values.into_iter().enumerate() {
                        block[8 * c as usize + i][column as usize] = format.widen(v);
                    }
                }
            }
        }
    }
    b
}

/// Rows of A, bytes.
pub(crate) fn load_a_bytes(shared: &[u8], d: Descriptor, first: u32, value: fn(u8) -> i32) -> [[i32; 32]; ROWS] {
    let mut a = [[0; 32]; ROWS];
    for (row, out) in (first..).zip(&mut a) {
        for c in 0..2 {
            for (o, v) in out[16 * c as usize..].iter_mut().zip(chunk(shared, d.k_major(row, c))) {
                *o = value(v);
            }
        }
    }
    a
}

/// All of B, bytes.
pub(crate) fn load_b_bytes(shared: &[u8], d: Descriptor, n: u32, value: fn(u8) -> i32) -> Vec<[[i32; 8]; 32]> {
    let mut b = vec![[[0; 8]; 32]; n as usize / 8];
    for (j, block) in (0..).zip(&mut b) {
        for column in 0..8 {
            for c in 0..2 {
                for (i, v) in chunk(shared, d.k_major(8 * j + column, c)).into_iter().enumerate() {
                    block[16 * c as usize + i][column as usize] = value(v);
                }
            }
        }
    }
    b
}

#[inline(always)]
fn multiply_body(tile: &Tile, sums: &mut [u32], n: usize) {
    // Four rows at once: their sums do not wait for each other.
    for (four, rows) in sums.chunks_exact_mut(4 * n).zip(tile.a.chunks_exact(4)) {
        for (j, block) in tile.b.iter().enumerate() {
            let mut acc: [[f32; 8]; 4] =
                std::array::from_fn(|r| std::array::from_fn(|c| f32::from_bits(four[r * n + 8 * j + c])));
            for (k, y) in block.iter().enumerate() {
                for (out, row) in acc.iter_mut().zip(rows) {
                    for (s, y) in out.iter_mut().zip(y) {
                        *s = row[k].mul_add(*y, *s);
                    }
                }
            }
            for (r, out) in acc.iter().enumerate() {
                for (c, s) in out.iter().enumerate() {
                    four[r * n + 8 * j + c] = s.to_bits();
                }
            }
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn multiply_avx2(tile: &Tile, sums: &mut [u32], n: usize) {
    multiply_body(tile, sums, n);
}

/// Adds a product to sums of `n` columns.
pub(crate) fn multiply(tile: &Tile, sums: &mut [u32], n: usize) {
    #[cfg(target_arch = "x86_64")]
    if std::is_x86_feature_detected!("avx2") && std::is_x86_feature_detected!("fma") {
        // SAFETY: the processor has both features, as just checked.
        unsafe { multiply_avx2(tile, sums, n) };
        return;
    }
    multiply_body(tile, sums, n);
}

/// Adds a product of bytes to sums of `n` columns; `saturate` stops at the ends of i32.
pub(crate) fn multiply_bytes(tile: &ByteTile, sums: &mut [u32], n: usize, saturate: bool) {
    for (out, row) in sums.chunks_exact_mut(n).zip(&tile.a) {
        for (out, block) in out.chunks_exact_mut(8).zip(&tile.b) {
            let mut acc = [0i32; 8];
            for (x, y) in row.iter().zip(block) {
                for (s, y) in acc.iter_mut().zip(y) {
                    *s += x * y;
                }
            }
            for (o, s) in out.iter_mut().zip(acc) {
                let before = *o as i32;
                *o = (if saturate { before.saturating_add(s) } else { before.wrapping_add(s) }) as u32;
            }
        }
    }
}
