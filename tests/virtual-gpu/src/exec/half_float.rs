//! f16, bf16 and their packed pairs.

use half::{bf16, f16};

use super::float::extreme;
use super::program::{Action, map1, map2, map3};
use super::rounding::{to_odd, to_odd32, two_sum};
use crate::ptx::PtxError;
use crate::ptx::context::Context;

type Result<T> = std::result::Result<T, PtxError>;

/// A 16-bit float format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    F16,
    Bf16,
}

impl Format {
    /// To f32, exactly.
    #[inline(always)]
    pub fn widen(self, bits: u16) -> f32 {
        match self {
            Format::F16 => f16::from_bits(bits).to_f32(),
            Format::Bf16 => f32::from_bits(u32::from(bits) << 16),
        }
    }

    /// From f64, rounded to nearest.
    #[inline(always)]
    pub fn narrow(self, x: f64) -> u16 {
        // The crate's own conversion from f64 looks at the high 32 bits only.
        self.narrow32(to_odd32(x))
    }

    /// From f32, rounded to nearest.
    #[inline(always)]
    pub fn narrow32(self, x: f32) -> u16 {
        match self {
            _ if x.is_nan() => 0x7fff,
            Format::F16 => f16::from_f32(x).to_bits(),
            Format::Bf16 => bf16::from_f32(x).to_bits(),
        }
    }

    /// From f32, rounded towards zero.
    pub fn truncate(self, x: f32) -> u16 {
        let r = self.narrow32(x);
        if x.is_nan() {
            return r;
        }
        let too_far = self.widen(r).abs() > x.abs();
        if too_far { r - 1 } else { r }
    }
}

/// Decodes arithmetic of a 16-bit float type.
pub(crate) fn decode(cx: &mut Context<'_, '_>, ty: &str) -> Result<Action> {
    let format = if ty.starts_with("bf16") { Format::Bf16 } else { Format::F16 };
    let packed = ty.ends_with("x2");
    let base = cx.base();
    // bf16 has f32's range and no flushing; f16 flushes subnormals where told to.
    let ftz = cx.has("ftz");
    cx.has("rn");
    let (sat, relu, nan) = (cx.has("sat"), cx.has("relu"), cx.has("NaN"));
    let wide = move |x: u16| {
        let v = format.widen(x);
        if ftz && format == Format::F16 && v.abs() < 6.103_515_6e-5 { 0.0f32.copysign(v) } else { v }
    };
    let done = move |x: f64| {
        let x = if sat { if x > 0.0 { x.min(1.0) } else { 0.0 } } else { x };
        let x = if relu && x <= 0.0 { 0.0 } else { x };
        let r = format.narrow(x);
        if ftz && format == Format::F16 && r & 0x7c00 == 0 { r & 0x8000 } else { r }
    };
    cx.weight.fp32 = if matches!(base, "fma" | "mad") { 2 } else { 1 } * if packed { 2 } else { 1 };
    let (d, a) = (cx.d32(0)?, cx.r32(1)?);
    let both = move |f: &dyn Fn(u16) -> u16, x: u32| -> u32 {
        let low = u32::from(f(x as u16));
        if packed { low | u32::from(f((x >> 16) as u16)) << 16 } else { low }
    };
    Ok(match base {
        "neg" => map1(d, a, move |x| both(&|v| v ^ 0x8000, x)),
        "abs" => map1(d, a, move |x| both(&|v| v & 0x7fff, x)),
        "add" | "sub" | "mul" | "min" | "max" | "div" => {
            let op = base;
            let kind = ["add", "sub", "mul", "min", "max", "div"].iter().position(|n| *n == op).unwrap_or(0);
            let f = move |x: u16, y: u16| {
                let (x, y) = (wide(x), wide(y));
                match kind {
                    0 => done(f64::from(x) + f64::from(y)),
                    1 => done(f64::from(x) - f64::from(y)),
                    2 => done(f64::from(x) * f64::from(y)),
                    3 => done(extreme(x, y, false, nan).into()),
                    4 => done(extreme(x, y, true, nan).into()),
                    _ => done(f64::from(x) / f64::from(y)),
                }
            };
            map2(d, a, cx.r32(2)?, move |x, y| {
                let low = u32::from(f(x as u16, y as u16));
                if packed { low | u32::from(f((x >> 16) as u16, (y >> 16) as u16)) << 16 } else { low }
            })
        }
        "fma" => {
            let f = move |x: u16, y: u16, z: u16| {
                let (s, e) = two_sum(f64::from(wide(x)) * f64::from(wide(y)), wide(z).into());
                done(to_odd(s, e))
            };
            map3(d, a, cx.r32(2)?, cx.r32(3)?, move |x, y, z| {
                let low = u32::from(f(x as u16, y as u16, z as u16));
                let high = |v: u32| (v >> 16) as u16;
                if packed { low | u32::from(f(high(x), high(y), high(z))) << 16 } else { low }
            })
        }
        _ => return cx.fail("this opcode has no 16-bit float form"),
    })
}
