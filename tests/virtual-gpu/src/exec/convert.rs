//! `cvt`: conversions between all number types.

use super::half_float::Format;
use super::program::{Action, map1, map2, map3};
use super::rounding::{Round, flush, integral, to_f32, to_odd};
use super::warp::{LANES, Reg, Row, Warp};
use crate::ptx::PtxError;
use crate::ptx::context::Context;

type Result<T> = std::result::Result<T, PtxError>;

/// Bits of a type.
pub(crate) fn width(ty: &str) -> u32 {
    match ty {
        "b8" | "u8" | "s8" => 8,
        "b16" | "u16" | "s16" | "f16" | "bf16" => 16,
        "b64" | "u64" | "s64" | "f64" => 64,
        "b128" => 128,
        _ => 32,
    }
}

fn is_float(ty: &str) -> bool {
    ty.starts_with('f') || ty.starts_with("bf") || ty == "tf32"
}

/// Decodes `cvt`.
pub(crate) fn decode(cx: &mut Context<'_, '_>) -> Result<Action> {
    if cx.has("pack") {
        return pack(cx);
    }
    let int_round = cx.pick(&["rni", "rzi", "rmi", "rpi"]);
    let named = cx.pick(&["rn", "rz", "rm", "rp", "rna"]);
    let (ftz, sat, relu) = (cx.has("ftz"), cx.has("sat"), cx.has("relu"));
    let types = cx.types();
    let [dest, source] = types.as_slice() else { return cx.fail("two types are needed") };
    if dest.ends_with("x2") {
        return packed(cx, dest, source, named, relu);
    }
    cx.count(2)?;
    if *dest == "tf32" {
        return tf32(cx, named, relu);
    }
    if relu {
        return cx.fail(".relu is only supported for packed and tf32 results");
    }
    if let Some(fast) = common(cx, dest, source, int_round, named, ftz, sat)? {
        return Ok(fast);
    }
    let rule = Rule {
        dest: Kind::of(dest),
        source: Kind::of(source),
        integral: int_round.map(|r| ["rni", "rzi", "rmi", "rpi"].iter().position(|n| *n == r).unwrap_or(0)),
        round: Round::named(named),
        ftz,
        sat,
    };
    general(cx, rule)
}

/// A number type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Int { signed: bool, bits: u32 },
    F16,
    Bf16,
    F32,
    F64,
}

impl Kind {
    fn of(ty: &str) -> Kind {
        match ty {
            "f16" => Kind::F16,
            "bf16" => Kind::Bf16,
            "f32" => Kind::F32,
            "f64" => Kind::F64,
            _ => Kind::Int { signed: ty.starts_with('s'), bits: width(ty) },
        }
    }
}

#[derive(Clone, Copy)]
struct Rule {
    dest: Kind,
    source: Kind,
    integral: Option<usize>,
    round: Round,
    ftz: bool,
    sat: bool,
}

/// The conversions that kernels are full of, without detours.
fn common(
    cx: &mut Context<'_, '_>,
    dest: &str,
    source: &str,
    int_round: Option<&str>,
    round: Option<&str>,
    ftz: bool,
    sat: bool,
) -> Result<Option<Action>> {
    if sat || ftz {
        return Ok(None);
    }
    let nearest = matches!(round, None | Some("rn"));
    let (to, from) = (cx.arg(0)?, cx.arg(1)?);
    let regs = (cx.any_dest(to, width(dest) / 8)?, cx.any_source(from, width(source) / 8)?);
    Ok(Some(match (dest, source, regs) {
        ("u64" | "s64" | "b64", "s32", (Reg::W64(d), Reg::W32(a))) => map1(d, a, |x| x as i32 as i64 as u64),
        ("u64" | "s64" | "b64", "u32" | "b32", (Reg::W64(d), Reg::W32(a))) => map1(d, a, u64::from),
        ("u32" | "s32" | "b32", "u64" | "s64" | "b64", (Reg::W32(d), Reg::W64(a))) => map1(d, a, |x| x as u32),
        ("f32", "s32", (Reg::W32(d), Reg::W32(a))) if nearest => map1(d, a, |x| (x as i32 as f32).to_bits()),
        ("f32", "u32", (Reg::W32(d), Reg::W32(a))) if nearest => map1(d, a, |x| (x as f32).to_bits()),
        ("f32", "bf16", (Reg::W32(d), Reg::W32(a))) => map1(d, a, |x| x << 16),
        ("f32", "f16", (Reg::W32(d), Reg::W32(a))) => map1(d, a, |x| Format::F16.widen(x as u16).to_bits()),
        ("bf16", "f32", (Reg::W32(d), Reg::W32(a))) if round == Some("rn") => {
            map1(d, a, |x| Format::Bf16.narrow32(f32::from_bits(x)).into())
        }
        ("f16", "f32", (Reg::W32(d), Reg::W32(a))) if round == Some("rn") => {
            map1(d, a, |x| Format::F16.narrow32(f32::from_bits(x)).into())
        }
        ("s32", "f32", (Reg::W32(d), Reg::W32(a))) if int_round == Some("rzi") => {
            map1(d, a, |x| f32::from_bits(x) as i32 as u32)
        }
        ("f64", "f32", (Reg::W64(d), Reg::W32(a))) => map1(d, a, |x| f64::from(f32::from_bits(x)).to_bits()),
        ("f32", "f64", (Reg::W32(d), Reg::W64(a))) if nearest => map1(d, a, |x| (f64::from_bits(x) as f32).to_bits()),
        _ => return Ok(None),
    }))
}

/// A value between source and destination type.
#[derive(Clone, Copy)]
enum Value {
    Int(i128),
    Float(f64),
}

impl Rule {
    fn read(self, bits: u64) -> Value {
        match self.source {
            Kind::Int { signed, bits: n } => {
                let shift = 64 - n;
                if signed {
                    Value::Int(i128::from(((bits << shift) as i64) >> shift))
                } else {
                    Value::Int(i128::from((bits << shift) >> shift))
                }
            }
            Kind::F16 => Value::Float(Format::F16.widen(bits as u16).into()),
            Kind::Bf16 => Value::Float(Format::Bf16.widen(bits as u16).into()),
            Kind::F32 => {
                let x = f32::from_bits(bits as u32);
                Value::Float(if self.ftz { flush(x) } else { x }.into())
            }
            Kind::F64 => Value::Float(f64::from_bits(bits)),
        }
    }

    fn write(self, value: Value) -> u64 {
        let modes = ["rni", "rzi", "rmi", "rpi"];
        match (self.dest, value) {
            (Kind::Int { signed, bits }, v) => {
                let (low, high) =
                    if signed { (-(1i128 << (bits - 1)), (1i128 << (bits - 1)) - 1) } else { (0, (1 << bits) - 1) };
                let int = match v {
                    Value::Int(i) if self.sat => i.clamp(low, high),
                    Value::Int(i) => i,
                    // Floats are clamped to the range; NaN is zero, or the highest bit where 64 bits are read or written.
                    Value::Float(f) if f.is_nan() => {
                        if bits == 64 || self.source == Kind::F64 {
                            1i128 << (bits - 1)
                        } else {
                            0
                        }
                    }
                    Value::Float(f) => (integral(f, modes[self.integral.unwrap_or(1)]) as i128).clamp(low, high),
                };
                if bits == 64 { int as u64 } else { int as u64 & ((1u64 << bits) - 1) }
            }
            (kind, Value::Int(i)) => float(kind, exact(i), self),
            (kind, Value::Float(f)) => {
                let f = self.integral.map_or(f, |m| integral(f, modes[m]));
                float(kind, f, self)
            }
        }
    }
}

/// An integer as f64, rounded to odd so that rounding to fewer bits is right. f64 itself is rounded to nearest.
fn exact(i: i128) -> f64 {
    let f = i as f64;
    let back = f as i128;
    to_odd(f, (i - back) as f64)
}

fn float(kind: Kind, x: f64, rule: Rule) -> u64 {
    let x = if rule.sat { if x > 0.0 { x.min(1.0) } else { 0.0 } } else { x };
    match kind {
        Kind::F64 => x.to_bits(),
        Kind::F32 => {
            let y = to_f32(x, rule.round);
            (if rule.ftz { flush(y) } else { y }).to_bits().into()
        }
        Kind::F16 | Kind::Bf16 => {
            let format = if kind == Kind::F16 { Format::F16 } else { Format::Bf16 };
            match rule.round {
                Round::Zero => format.truncate(to_f32(x, Round::Zero)).into(),
                _ => format.narrow(x).into(),
            }
        }
        Kind::Int { .. } => 0,
    }
}

fn general(cx: &mut Context<'_, '_>, rule: Rule) -> Result<Action> {
    let (to, from) = (cx.arg(0)?, cx.arg(1)?);
    let narrow = matches!(rule.dest, Kind::F16 | Kind::Bf16);
    if narrow && matches!(rule.round, Round::Up | Round::Down) {
        return cx.fail("this rounding is not supported for a 16-bit float");
    }
    // The f64 of a 64-bit integer is rounded to odd: only good where it is rounded again.
    if rule.dest == Kind::F64 && matches!(rule.source, Kind::Int { bits: 64, .. }) {
        let Reg::W64(a) = cx.any_source(from, 8)? else { return cx.fail("a 64-bit source is needed") };
        let signed = matches!(rule.source, Kind::Int { signed: true, .. });
        if rule.round != Round::Nearest {
            return cx.fail("only .rn is supported for f64");
        }
        return Ok(map1(cx.d64(0)?, a, move |x| (if signed { x as i64 as f64 } else { x as f64 }).to_bits()));
    }
    // A wider register than the type: the value is extended to the register's width.
    let (dest, source) = (cx.any_dest(to, 4)?, cx.any_source(from, 4)?);
    let extend = match rule.dest {
        Kind::Int { signed: true, bits } if bits < 64 => Some(64 - bits),
        _ => None,
    };
    let kept = match dest {
        Reg::W32(r) if cx.lower.is_narrow(r) => 0xffff,
        _ => u32::MAX,
    };
    Ok(Action::Alu(Box::new(move |w: &mut Warp| {
        let bits: [u64; LANES] = match source {
            Reg::W32(r) => r.row(w).map(u64::from),
            Reg::W64(r) => *r.row(w),
        };
        let out = bits.map(|b| {
            let v = rule.write(rule.read(b));
            extend.map_or(v, |s| (((v << s) as i64) >> s) as u64)
        });
        match dest {
            Reg::W32(d) => w.put(d, out.map(|v| v as u32 & kept)),
            Reg::W64(d) => w.put(d, out),
        }
    })))
}

/// `cvt.rn.bf16x2.f32 d, a, b`: a in the high half.
fn packed(cx: &mut Context<'_, '_>, dest: &str, source: &str, round: Option<&str>, relu: bool) -> Result<Action> {
    if source != "f32" {
        return cx.fail("only f32 sources are supported here");
    }
    let format = if dest == "bf16x2" { Format::Bf16 } else { Format::F16 };
    let zero = match round {
        Some("rn") => false,
        Some("rz") => true,
        _ => return cx.fail("unknown rounding"),
    };
    cx.count(3)?;
    Ok(map2(cx.d32(0)?, cx.r32(1)?, cx.r32(2)?, move |a, b| {
        let one = |x: u32| {
            let x = f32::from_bits(x);
            let x = if relu && x <= 0.0 { 0.0 } else { x };
            u32::from(if zero { format.truncate(x) } else { format.narrow32(x) })
        };
        one(a) << 16 | one(b)
    }))
}

fn tf32(cx: &mut Context<'_, '_>, round: Option<&str>, relu: bool) -> Result<Action> {
    let mode = match round {
        Some("rna") => 0,
        Some("rn") => 1,
        Some("rz") => 2,
        _ => return cx.fail("unknown rounding"),
    };
    Ok(map1(cx.d32(0)?, cx.r32(1)?, move |x| {
        let f = f32::from_bits(x);
        if f.is_nan() {
            return 0x7fff_ffff;
        }
        if relu && f <= 0.0 {
            return 0;
        }
        // 10 mantissa bits stay: 13 go.
        match mode {
            0 => x.wrapping_add(0x1000) & !0x1fff,
            1 => x.wrapping_add(0xfff + (x >> 13 & 1)) & !0x1fff,
            _ => x & !0x1fff,
        }
    }))
}

/// `cvt.pack.sat`: two integers saturated and packed, above a third for 8-bit results.
fn pack(cx: &mut Context<'_, '_>) -> Result<Action> {
    cx.has("sat");
    let types = cx.types();
    let (dest, below) = match types.as_slice() {
        [d, "s32"] => (*d, false),
        [d, "s32", "b32"] => (*d, true),
        _ => return cx.fail("unknown types of cvt.pack"),
    };
    let (signed, bits) = (dest.starts_with('s'), width(dest));
    if is_float(dest) || bits > 16 {
        return cx.fail("unknown types of cvt.pack");
    }
    cx.count(if below { 4 } else { 3 })?;
    let (low, high) = if signed { (-(1i32 << (bits - 1)), (1 << (bits - 1)) - 1) } else { (0, (1 << bits) - 1) };
    let one = move |x: u32| (x as i32).clamp(low, high) as u32 & ((1 << bits) - 1);
    let c = if below { cx.r32(3)? } else { cx.lower.constant32(0) };
    Ok(map3(cx.d32(0)?, cx.r32(1)?, cx.r32(2)?, c, move |a, b, c| {
        let two = one(a) << bits | one(b);
        if bits == 16 { two } else { c << (2 * bits) | two }
    }))
}
