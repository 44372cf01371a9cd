//! `cvt` in all its forms.

use super::instruction::check;
use super::integers::value;
use super::reals::{
    self, BRAIN, DOUBLE, Exact, Format, HALF, ROUNDINGS, Real, Rounding, SINGLE, f16, flush_f32, saturate,
};
use super::values::Kind::{self, Bf16, F16, F32, F64, I16, I32, I64};

const INTEGERS: [&str; 8] = ["u8", "s8", "u16", "s16", "u32", "s32", "u64", "s64"];
const FLOATS: [(&str, Format, Kind); 4] =
    [("f16", HALF, F16), ("bf16", BRAIN, Bf16), ("f32", SINGLE, F32), ("f64", DOUBLE, F64)];

fn bits(ty: &str) -> u32 {
    ty[1..].parse().unwrap()
}

/// The register a type is kept in; bytes are kept in 16 bits or more.
fn kind(ty: &str) -> Kind {
    match bits(ty) {
        8 | 16 => I16,
        32 => I32,
        _ => I64,
    }
}

/// A number in a register, extended by the type's sign.
fn extended(ty: &str, number: i128) -> u64 {
    let kept = number as u64 & (u64::MAX >> (64 - bits(ty)));
    let whole = value(ty, kept) as u64;
    whole & (u64::MAX >> (64 - 8 * kind(ty).bytes()))
}

fn range(ty: &str) -> (i128, i128) {
    let n = bits(ty);
    if ty.starts_with('s') { (-(1 << (n - 1)), (1 << (n - 1)) - 1) } else { (0, (1 << n) - 1) }
}

#[test]
fn integers_to_integers() {
    for from in INTEGERS {
        for to in INTEGERS {
            check(&format!("cvt.{to}.{from}"), kind(to), &[kind(from)], &|v| extended(to, value(from, v[0])));
            let (low, high) = range(to);
            check(&format!("cvt.sat.{to}.{from}"), kind(to), &[kind(from)], &|v| {
                extended(to, value(from, v[0]).clamp(low, high))
            });
        }
    }
}

#[test]
fn into_wider_registers() {
    check("cvt.u8.u32 %d, %a;", I32, &[I32], &|v| v[0] & 0xff);
    check("cvt.s8.s32 %d, %a;", I32, &[I32], &|v| (v[0] as i8 as i32 as u32).into());
    check("cvt.u16.u32 %d, %a;", I32, &[I32], &|v| v[0] & 0xffff);
    check("cvt.s16.s32 %d, %a;", I32, &[I32], &|v| (v[0] as i16 as i32 as u32).into());
    check("cvt.s32.s8 %d, %a;", I32, &[I32], &|v| (v[0] as i8 as i32 as u32).into());
    check("cvt.u64.u16 %d, %a;", I64, &[I32], &|v| v[0] & 0xffff);
    check("cvt.s16.s8 %h0, %a; cvt.u32.u16 %d, %h0;", I32, &[I32], &|v| (v[0] as i8 as i16 as u16).into());
}

#[test]
fn integers_to_floats() {
    for from in INTEGERS {
        for (to, format, k) in FLOATS {
            for (name, rounding) in ROUNDINGS {
                // Hardware has bf16 and f64 in fewer modes; the interpreter refuses what it does not have.
                let directed = matches!(rounding, Rounding::Up | Rounding::Down);
                if (k == F64 || k == Bf16) && rounding != Rounding::Nearest {
                    continue;
                }
                if k == F16 && directed {
                    continue;
                }
                check(&format!("cvt.{name}.{to}.{from}"), k, &[kind(from)], &|v| {
                    let n = value(from, v[0]);
                    Exact::new(n < 0, n.unsigned_abs(), 0).round(format, rounding)
                });
            }
        }
    }
    check("cvt.rn.sat.f32.s32", F32, &[I32], &|v| saturate(v[0] as u32 as i32 as f32).to_bits().into());
}

/// A finite float to an integral one: `None` for NaN and infinity.
fn integral(x: Real, mode: &str) -> Option<i128> {
    let Real::Finite { negative, magnitude, scale } = x else { return None };
    let magnitude = i128::from(magnitude);
    let sign = if negative { -1 } else { 1 };
    if scale >= 0 {
        // Beyond every integer type: the value only has to be large.
        return Some(sign * (magnitude << scale.min(70)));
    }
    let cut = (-scale).min(120);
    let number = sign * magnitude;
    let floor = number >> cut;
    let rest = number - (floor << cut);
    let half = 1i128 << (cut - 1);
    Some(match mode {
        "rmi" => floor,
        "rpi" => floor + i128::from(rest != 0),
        "rzi" => floor + i128::from(rest != 0 && negative),
        _ => floor + i128::from(rest > half || (rest == half && floor & 1 != 0)),
    })
}

const INTEGRAL: [&str; 4] = ["rni", "rzi", "rmi", "rpi"];

#[test]
fn floats_to_integers() {
    for (from, format, k) in FLOATS {
        for to in INTEGERS {
            for mode in INTEGRAL {
                let to_int = |v: u64, flush: bool| {
                    let (low, high) = range(to);
                    let real = format.read(v, flush);
                    let number = match real {
                        // The manual: 0, but the highest bit for f64 sources and 64-bit results.
                        Real::Nan if k == F64 || bits(to) == 64 => 1 << (bits(to) - 1),
                        Real::Nan => 0,
                        Real::Infinity { negative } => {
                            if negative {
                                low
                            } else {
                                high
                            }
                        }
                        x => integral(x, mode).unwrap().clamp(low, high),
                    };
                    extended(to, number)
                };
                check(&format!("cvt.{mode}.{to}.{from}"), kind(to), &[k], &|v| to_int(v[0], false));
                if k == F32 {
                    check(&format!("cvt.{mode}.ftz.{to}.f32"), kind(to), &[F32], &|v| to_int(v[0], true));
                }
            }
        }
    }
}

#[test]
fn floats_to_floats() {
    for (from, f, k) in FLOATS {
        for (to, t, l) in FLOATS {
            if f == t {
                continue;
            }
            let widening = l == F64 || (l == F32 && k != F64);
            if widening {
                check(&format!("cvt.{to}.{from}"), l, &[k], &|v| reals::convert(f, t, v[0], Rounding::Nearest, false));
                continue;
            }
            for (name, rounding) in ROUNDINGS {
                if (l == F16 || l == Bf16) && matches!(rounding, Rounding::Up | Rounding::Down) {
                    continue;
                }
                check(&format!("cvt.{name}.{to}.{from}"), l, &[k], &|v| reals::convert(f, t, v[0], rounding, false));
            }
        }
    }
    check("cvt.ftz.f64.f32", F64, &[F32], &|v| reals::convert(SINGLE, DOUBLE, v[0], Rounding::Nearest, true));
    check("cvt.rn.ftz.f32.f64", F32, &[F64], &|v| {
        SINGLE.flushed(reals::convert(DOUBLE, SINGLE, v[0], Rounding::Nearest, false))
    });
    check("cvt.rn.ftz.f16.f32", F16, &[F32], &|v| reals::convert(SINGLE, HALF, v[0], Rounding::Nearest, true));
}

#[test]
fn rounded_to_integral_floats() {
    for mode in INTEGRAL {
        let whole = |x: f64| match mode {
            "rni" => x.round_ties_even(),
            "rzi" => x.trunc(),
            "rmi" => x.floor(),
            _ => x.ceil(),
        };
        let single = |v: u64, ftz: bool| {
            let x = f32::from_bits(v as u32);
            whole(f64::from(if ftz { flush_f32(x) } else { x })) as f32
        };
        check(&format!("cvt.{mode}.f32.f32"), F32, &[F32], &|v| single(v[0], false).to_bits().into());
        check(&format!("cvt.{mode}.ftz.f32.f32"), F32, &[F32], &|v| single(v[0], true).to_bits().into());
        check(&format!("cvt.{mode}.f64.f64"), F64, &[F64], &|v| whole(f64::from_bits(v[0])).to_bits());
        check(&format!("cvt.{mode}.sat.f32.f32"), F32, &[F32], &|v| saturate(single(v[0], false)).to_bits().into());
        check(&format!("cvt.{mode}.f16.f16"), F16, &[F16], &|v| {
            let x = whole(f16(v[0]).into()) as f32;
            reals::convert(SINGLE, HALF, x.to_bits().into(), Rounding::Nearest, false)
        });
    }
}

#[test]
fn saturated_floats() {
    let f = |v: u64| f32::from_bits(v as u32);
    check("cvt.sat.f32.f32", F32, &[F32], &|v| saturate(f(v[0])).to_bits().into());
    check("cvt.ftz.sat.f32.f32", F32, &[F32], &|v| saturate(flush_f32(f(v[0]))).to_bits().into());
    check("cvt.rn.sat.f16.f32", F16, &[F32], &|v| {
        reals::convert(SINGLE, HALF, saturate(f(v[0])).to_bits().into(), Rounding::Nearest, false)
    });
    check("cvt.sat.f32.f16", F32, &[F16], &|v| saturate(f16(v[0])).to_bits().into());
}

#[test]
fn pairs() {
    for (ty, format, k) in [("f16x2", HALF, Kind::F16x2), ("bf16x2", BRAIN, Kind::Bf16x2)] {
        for (name, rounding) in [("rn", Rounding::Nearest), ("rz", Rounding::Zero)] {
            let half = |v: u64| reals::convert(SINGLE, format, v, rounding, false);
            check(&format!("cvt.{name}.{ty}.f32"), k, &[F32, F32], &|v| half(v[0]) << 16 | half(v[1]));
            let relu = |v: u64| if half(v) & 0x8000 != 0 && !f32::from_bits(v as u32).is_nan() { 0 } else { half(v) };
            check(&format!("cvt.{name}.relu.{ty}.f32"), k, &[F32, F32], &|v| relu(v[0]) << 16 | relu(v[1]));
        }
    }
}

#[test]
fn tf32() {
    // tf32 is an f32 with 10 bits of fraction: the format of f16 with the exponent of f32, in the high bits.
    let short = |v: u64, rounding: Rounding| {
        let real = SINGLE.read(v, false);
        let Real::Finite { negative, magnitude, scale } = real else { return v };
        let (cut, rest) = (magnitude >> 13, magnitude & 0x1fff);
        let up = match rounding {
            Rounding::Nearest => rest > 0x1000 || (rest == 0x1000 && cut & 1 != 0),
            Rounding::Zero => false,
            // Away from zero on a tie: `rna`.
            _ => rest >= 0x1000,
        };
        Exact::new(negative, u128::from(cut + u64::from(up)), scale + 13).round(SINGLE, Rounding::Nearest)
    };
    let same_nan = |v: u64, r: u64| if f32::from_bits(v as u32).is_nan() { 0x7fff_ffff } else { r };
    check("cvt.rna.tf32.f32", F32, &[F32], &|v| same_nan(v[0], short(v[0], Rounding::Up)));
    check("cvt.rn.tf32.f32", F32, &[F32], &|v| same_nan(v[0], short(v[0], Rounding::Nearest)));
    check("cvt.rz.tf32.f32", F32, &[F32], &|v| same_nan(v[0], short(v[0], Rounding::Zero)));
    let negative = |v: u64| f32::from_bits(v as u32) <= 0.0;
    check("cvt.rn.relu.tf32.f32", F32, &[F32], &|v| {
        if negative(v[0]) { 0 } else { same_nan(v[0], short(v[0], Rounding::Nearest)) }
    });
}

#[test]
fn packed_integers() {
    for (ty, n) in [("s16", 16u32), ("u16", 16), ("s8", 8), ("u8", 8)] {
        let (low, high) = range(ty);
        let one = |v: u64| value("s32", v).clamp(low, high) as u64 & ((1 << n) - 1);
        if n == 16 {
            check(&format!("cvt.pack.sat.{ty}.s32"), I32, &[I32, I32], &|v| one(v[0]) << 16 | one(v[1]));
        } else {
            check(&format!("cvt.pack.sat.{ty}.s32.b32"), I32, &[I32, I32, I32], &|v| {
                (v[2] & 0xffff) << 16 | one(v[0]) << 8 | one(v[1])
            });
        }
    }
}
