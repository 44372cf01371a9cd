//! Bit operations, shifts, fields, permutes.

use super::instruction::check;
use super::values::Kind::{self, Amount, I16, I32, I64, Pred};

const WIDTHS: [(u32, Kind); 3] = [(16, I16), (32, I32), (64, I64)];

fn ones(bits: u32) -> u64 {
    u64::MAX >> (64 - bits)
}

#[test]
fn logic() {
    for (bits, k) in WIDTHS {
        check(&format!("and.b{bits}"), k, &[k, k], &|v| v[0] & v[1]);
        check(&format!("or.b{bits}"), k, &[k, k], &|v| v[0] | v[1]);
        check(&format!("xor.b{bits}"), k, &[k, k], &|v| v[0] ^ v[1]);
        check(&format!("not.b{bits}"), k, &[k], &|v| !v[0] & ones(bits));
        check(&format!("cnot.b{bits}"), k, &[k], &|v| u64::from(v[0] == 0));
        check(&format!("xor.b{bits} %d, %a, -1;"), k, &[k], &|v| !v[0] & ones(bits));
    }
    // A 16-bit register holds 16 bits whatever the constant was.
    check("or.b16 %h0, %a, -1; cvt.u32.u16 %d, %h0;", I32, &[I16], &|_| 0xffff);
    check("not.b16 %h0, %a; cvt.u32.u16 %d, %h0;", I32, &[I16], &|v| !v[0] & 0xffff);
}

#[test]
fn logic_of_predicates() {
    check("and.pred", Pred, &[Pred, Pred], &|v| v[0] & v[1]);
    check("or.pred", Pred, &[Pred, Pred], &|v| v[0] | v[1]);
    check("xor.pred", Pred, &[Pred, Pred], &|v| v[0] ^ v[1]);
    check("not.pred", Pred, &[Pred], &|v| v[0] ^ 1);
    check("and.pred %d, %a, !%b;", Pred, &[Pred, Pred], &|v| v[0] & (v[1] ^ 1));
}

#[test]
fn logic_of_three() {
    // Each truth table; the index is a's bit, then b's, then c's.
    for table in [0x00u64, 0x96, 0xe8, 0xca, 0xf8, 0x80, 0xfe, 0x1b, 0x3a, 0xff] {
        check(&format!("lop3.b32 %d, %a, %b, %c, {table};"), I32, &[I32, I32, I32], &|v| {
            let bit = |v: u64, i: u32| v >> i & 1;
            (0..32).map(|i| (table >> (bit(v[0], i) << 2 | bit(v[1], i) << 1 | bit(v[2], i)) & 1) << i).sum()
        });
    }
}

#[test]
fn shifts() {
    for (bits, k) in WIDTHS {
        // Amounts beyond the width count as the width.
        let n = |v: u64| v.min(bits.into()) as u32;
        let left = |v: &[u64]| (u128::from(v[0]) << n(v[1])) as u64 & ones(bits);
        let right = |v: &[u64]| (u128::from(v[0]) >> n(v[1])) as u64;
        let signed = |v: &[u64]| {
            let wide = i128::from((v[0] << (64 - bits)) as i64 >> (64 - bits));
            (wide >> n(v[1])) as u64 & ones(bits)
        };
        check(&format!("shl.b{bits}"), k, &[k, Amount], &left);
        check(&format!("shr.b{bits}"), k, &[k, Amount], &right);
        check(&format!("shr.u{bits}"), k, &[k, Amount], &right);
        check(&format!("shr.s{bits}"), k, &[k, Amount], &signed);
    }
    check("shl.b32 %d, %a, 5;", I32, &[I32], &|v| v[0] << 5 & ones(32));
    check("shr.s64 %d, %a, 63;", I64, &[I64], &|v| (v[0] as i64 >> 63) as u64);
}

#[test]
fn funnel_shifts() {
    for (mode, amount) in [("wrap", (|n| n & 31) as fn(u64) -> u64), ("clamp", |n| n.min(32))] {
        check(&format!("shf.l.{mode}.b32"), I32, &[I32, I32, Amount], &|v| {
            let both = u128::from(v[1] << 32 | v[0]);
            (both << amount(v[2]) >> 32) as u64 & ones(32)
        });
        check(&format!("shf.r.{mode}.b32"), I32, &[I32, I32, Amount], &|v| {
            (v[1] << 32 | v[0]) >> amount(v[2]) & ones(32)
        });
    }
}

#[test]
fn counts_and_positions() {
    check("popc.b32", I32, &[I32], &|v| v[0].count_ones().into());
    check("popc.b64", I32, &[I64], &|v| v[0].count_ones().into());
    check("clz.b32", I32, &[I32], &|v| u64::from(v[0].leading_zeros()) - 32);
    check("clz.b64", I32, &[I64], &|v| v[0].leading_zeros().into());
    check("brev.b32", I32, &[I32], &|v| (0..32).map(|i| (v[0] >> i & 1) << (31 - i)).sum());
    check("brev.b64", I64, &[I64], &|v| (0..64).map(|i| (v[0] >> i & 1) << (63 - i)).sum());
}

#[test]
fn highest_bits() {
    for (bits, k) in [(32u32, I32), (64, I64)] {
        for sign in ["u", "s"] {
            let find = |v: u64| {
                // The highest bit that differs from the sign, for signed numbers.
                let v = if sign == "s" && v >> (bits - 1) & 1 != 0 { !v & ones(bits) } else { v };
                (0..bits).rev().find(|&i| v >> i & 1 != 0)
            };
            check(&format!("bfind.{sign}{bits}"), I32, &[k], &|v| find(v[0]).unwrap_or(u32::MAX).into());
            check(&format!("bfind.shiftamt.{sign}{bits}"), I32, &[k], &|v| {
                find(v[0]).map_or(u32::MAX, |i| bits - 1 - i).into()
            });
        }
    }
}

#[test]
fn the_nth_set_bit() {
    check("and.b32 %b, %b, 31; fns.b32 %d, %a, %b, %c;", I32, &[I32, Amount, I32], &|v| {
        let (base, n) = (v[1] & 31, v[2] as u32 as i32);
        let set = |i: &u64| v[0] >> i & 1 != 0;
        let found = match n {
            0 => Some(base).filter(set),
            n if n > 0 => (base..32).filter(set).nth(n as usize - 1),
            n => (0..=base).rev().filter(set).nth(n.unsigned_abs() as usize - 1),
        };
        found.unwrap_or(0xffff_ffff)
    });
    for n in [1i32, 2, 5, -1, -3, 0] {
        check(&format!("and.b32 %b, %b, 31; fns.b32 %d, %a, %b, {n};"), I32, &[I32, Amount], &|v| {
            let set: Vec<u64> = (0..32).filter(|i| v[0] >> i & 1 != 0).collect();
            let base = v[1] & 31;
            let found = match n {
                0 => set.iter().find(|&&i| i == base),
                n if n > 0 => set.iter().filter(|&&i| i >= base).nth(n as usize - 1),
                n => set.iter().rev().filter(|&&i| i <= base).nth((-n) as usize - 1),
            };
            found.copied().unwrap_or(0xffff_ffff)
        });
    }
}

#[test]
fn fields() {
    for (bits, k) in [(32u64, I32), (64, I64)] {
        let extract = |v: &[u64], signed: bool| {
            let (position, length) = (v[1] & 0xff, v[2] & 0xff);
            let top = bits - 1;
            let sign = if signed && length > 0 { v[0] >> (position + length - 1).min(top) & 1 } else { 0 };
            let bit = |i: u64| if i < length && position + i <= top { v[0] >> (position + i) & 1 } else { sign };
            (0..bits).map(|i| bit(i) << i).sum()
        };
        check(&format!("bfe.u{bits}"), k, &[k, Amount, Amount], &|v| extract(v, false));
        check(&format!("bfe.s{bits}"), k, &[k, Amount, Amount], &|v| extract(v, true));
        check(&format!("bfi.b{bits} %d, %a, %b, %c, %e;"), k, &[k, k, Amount, Amount], &|v| {
            let (position, length) = (v[2] & 0xff, v[3] & 0xff);
            let inside = |i: u64| i >= position && i < position + length;
            (0..bits).map(|i| (if inside(i) { v[0] >> (i - position) & 1 } else { v[1] >> i & 1 }) << i).sum()
        });
    }
}

#[test]
fn masks_and_extensions() {
    for (mode, clamp) in [("clamp", true), ("wrap", false)] {
        check(&format!("bmsk.{mode}.b32"), I32, &[Amount, Amount], &|v| {
            let limit = |n: u64| if clamp { n.min(32) } else { n & 31 };
            let (from, count) = (limit(v[0]), limit(v[1]));
            (from..(from + count).min(32)).map(|i| 1 << i).sum()
        });
        for sign in ["u32", "s32"] {
            check(&format!("szext.{mode}.{sign}"), I32, &[I32, Amount], &|v| {
                let n = if clamp { v[1].min(32) } else { v[1] & 31 };
                let low = v[0] & ((1 << n) - 1);
                let negative = sign == "s32" && n > 0 && low >> (n - 1) & 1 != 0;
                if negative { (low | !((1 << n) - 1)) & ones(32) } else { low }
            });
        }
    }
}

#[test]
fn byte_permutes() {
    let pick = |v: &[u64], nibble: u64| {
        let byte = (v[1] << 32 | v[0]) >> (8 * (nibble & 7)) & 0xff;
        if nibble & 8 != 0 { if byte & 0x80 != 0 { 0xff } else { 0 } } else { byte }
    };
    check("prmt.b32", I32, &[I32, I32, I32], &|v| (0..4).map(|i| pick(v, v[2] >> (4 * i) & 15) << (8 * i)).sum());
    // The bytes of each mode for the values 0 to 3 of the control, highest first, as the manual's table has them.
    let tables: [(&str, [[u64; 4]; 4]); 6] = [
        ("f4e", [[3, 2, 1, 0], [4, 3, 2, 1], [5, 4, 3, 2], [6, 5, 4, 3]]),
        ("b4e", [[5, 6, 7, 0], [6, 7, 0, 1], [7, 0, 1, 2], [0, 1, 2, 3]]),
        ("rc8", [[0, 0, 0, 0], [1, 1, 1, 1], [2, 2, 2, 2], [3, 3, 3, 3]]),
        ("ecl", [[3, 2, 1, 0], [3, 2, 1, 1], [3, 2, 2, 2], [3, 3, 3, 3]]),
        ("ecr", [[0, 0, 0, 0], [1, 1, 1, 0], [2, 2, 1, 0], [3, 2, 1, 0]]),
        ("rc16", [[1, 0, 1, 0], [3, 2, 3, 2], [1, 0, 1, 0], [3, 2, 3, 2]]),
    ];
    for (mode, table) in tables {
        check(&format!("prmt.b32.{mode}"), I32, &[I32, I32, I32], &|v| {
            let row = table[(v[2] & 3) as usize];
            (0..4).map(|i| pick(v, row[3 - i]) << (8 * i)).sum()
        });
    }
}
