//! Arithmetic of f16, bf16 and their packed pairs, bit for bit.

use super::instruction::check;
use super::reals::{self, BRAIN, Format, HALF, Rounding};
use super::values::Kind::{self, Bf16, Bf16x2, F16, F16x2};

const NEAREST: Rounding = Rounding::Nearest;

/// The scalar and the packed form of an instruction, from the scalar's function.
fn both(op: &str, ty: &str, operands: usize, f: &dyn Fn(&[u64]) -> u64) {
    let (one, two): (Kind, Kind) = if ty == "f16" { (F16, F16x2) } else { (Bf16, Bf16x2) };
    check(&format!("{op}.{ty}"), one, &vec![one; operands], f);
    check(&format!("{op}.{ty}x2"), two, &vec![two; operands], &|v| {
        let low: Vec<u64> = v.iter().map(|x| x & 0xffff).collect();
        let high: Vec<u64> = v.iter().map(|x| x >> 16).collect();
        f(&low) | f(&high) << 16
    });
}

fn is_nan(format: Format, bits: u64) -> bool {
    matches!(format.read(bits, false), reals::Real::Nan)
}

fn negative(bits: u64) -> bool {
    bits & 0x8000 != 0
}

/// To [0, 1]; NaN and everything below give +0.
fn saturate(format: Format, bits: u64) -> u64 {
    let one = if format == HALF { 0x3c00 } else { 0x3f80 };
    if is_nan(format, bits) || negative(bits) { 0 } else { bits.min(one) }
}

/// Negative numbers as +0, NaN stays.
fn relu(format: Format, bits: u64) -> u64 {
    if negative(bits) && !is_nan(format, bits) { 0 } else { bits }
}

const FORMATS: [(&str, Format); 2] = [("f16", HALF), ("bf16", BRAIN)];

#[test]
fn sums_and_products() {
    for (ty, format) in FORMATS {
        for form in ["", ".rn"] {
            both(&format!("add{form}"), ty, 2, &|v| reals::add(format, v[0], v[1], NEAREST, false));
            both(&format!("sub{form}"), ty, 2, &|v| reals::sub(format, v[0], v[1], NEAREST, false));
            both(&format!("mul{form}"), ty, 2, &|v| reals::mul(format, v[0], v[1], NEAREST, false));
        }
        both("fma.rn", ty, 3, &|v| reals::fma(format, v[0], v[1], v[2], NEAREST, false));
        both("fma.rn.relu", ty, 3, &|v| relu(format, reals::fma(format, v[0], v[1], v[2], NEAREST, false)));
    }
}

#[test]
fn flushed_and_saturated() {
    let f = HALF;
    both("add.ftz", "f16", 2, &|v| reals::add(f, v[0], v[1], NEAREST, true));
    both("sub.ftz", "f16", 2, &|v| reals::sub(f, v[0], v[1], NEAREST, true));
    both("mul.ftz", "f16", 2, &|v| reals::mul(f, v[0], v[1], NEAREST, true));
    both("fma.rn.ftz", "f16", 3, &|v| reals::fma(f, v[0], v[1], v[2], NEAREST, true));
    both("add.sat", "f16", 2, &|v| saturate(f, reals::add(f, v[0], v[1], NEAREST, false)));
    both("mul.ftz.sat", "f16", 2, &|v| saturate(f, reals::mul(f, v[0], v[1], NEAREST, true)));
    both("fma.rn.sat", "f16", 3, &|v| saturate(f, reals::fma(f, v[0], v[1], v[2], NEAREST, false)));
    both("fma.rn.ftz.relu", "f16", 3, &|v| relu(f, reals::fma(f, v[0], v[1], v[2], NEAREST, true)));
}

#[test]
fn extremes() {
    // As integers that have the numbers' order.
    let rank = |bits: u64| if negative(bits) { -((bits & 0x7fff) as i64) - 1 } else { bits as i64 };
    for (ty, format) in FORMATS {
        for (op, max) in [("min", false), ("max", true)] {
            let pick = |v: &[u64]| {
                let first = if max { rank(v[0]) >= rank(v[1]) } else { rank(v[0]) <= rank(v[1]) };
                match (is_nan(format, v[0]), is_nan(format, v[1])) {
                    (true, true) => format.nan(),
                    (true, false) => v[1],
                    (false, true) => v[0],
                    _ if first => v[0],
                    _ => v[1],
                }
            };
            both(op, ty, 2, &pick);
            both(&format!("{op}.NaN"), ty, 2, &|v| {
                if v.iter().any(|&x| is_nan(format, x)) { format.nan() } else { pick(v) }
            });
        }
    }
    both("max.ftz", "f16", 2, &|v| {
        let v: Vec<u64> = v.iter().map(|&x| HALF.flushed(x)).collect();
        match (is_nan(HALF, v[0]), is_nan(HALF, v[1])) {
            (true, true) => HALF.nan(),
            (true, _) => v[1],
            (_, true) => v[0],
            _ if rank(v[0]) >= rank(v[1]) => v[0],
            _ => v[1],
        }
    });
}

#[test]
fn signs() {
    for (ty, _) in FORMATS {
        both("neg", ty, 1, &|v| v[0] ^ 0x8000);
        both("abs", ty, 1, &|v| v[0] & 0x7fff);
    }
}
