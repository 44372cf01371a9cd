//! Special functions. The approximate ones are the correctly rounded value: hardware differs in the last bits.

use half::f16;

use super::half_float::Format;
use super::program::{Action, map1};
use super::rounding::{Round, flush, to_f32, to_odd};
use crate::ptx::PtxError;
use crate::ptx::context::Context;

/// Decodes a special function.
pub(crate) fn decode(cx: &mut Context<'_, '_>) -> Result<Action, PtxError> {
    let approx = cx.has("approx");
    let round = Round::named(cx.pick(&["rn", "rz", "rm", "rp"]));
    let ftz = cx.has("ftz");
    let ty = cx.ty()?;
    let base = cx.base();
    cx.count(2)?;
    cx.weight.mufu = 1;
    let f: fn(f64) -> f64 = match base {
        "rcp" => |x| 1.0 / x,
        "sqrt" => f64::sqrt,
        "rsqrt" => |x| 1.0 / x.sqrt(),
        "sin" => f64::sin,
        "cos" => f64::cos,
        "ex2" => f64::exp2,
        "lg2" => f64::log2,
        "tanh" => f64::tanh,
        _ => return cx.fail("unknown special function"),
    };
    Ok(match ty {
        "f32" if base == "rcp" || base == "sqrt" => {
            let root = base == "sqrt";
            map1(cx.d32(0)?, cx.r32(1)?, move |x| {
                let x = f32::from_bits(x);
                let x = if ftz { flush(x) } else { x };
                let y = match (round, root) {
                    (Round::Nearest, true) => x.sqrt(),
                    (Round::Nearest, false) => 1.0 / x,
                    _ => directed(x.into(), root, round),
                };
                (if ftz { flush(y) } else { y }).to_bits()
            })
        }
        "f32" => {
            if !approx {
                return cx.fail("only the .approx form exists");
            }
            let single: Option<fn(f32) -> f32> = match base {
                "ex2" => Some(f32::exp2),
                "lg2" => Some(f32::log2),
                _ => None,
            };
            map1(cx.d32(0)?, cx.r32(1)?, move |x| {
                let x = f32::from_bits(x);
                let x = if ftz { flush(x) } else { x };
                let y = single.map_or_else(|| f(x.into()) as f32, |g| g(x));
                (if ftz { flush(y) } else { y }).to_bits()
            })
        }
        "f64" if round == Round::Nearest => map1(cx.d64(0)?, cx.r64(1)?, move |x| f(f64::from_bits(x)).to_bits()),
        "f16" | "bf16" | "f16x2" | "bf16x2" if approx => {
            let format = if ty.starts_with("bf16") { Format::Bf16 } else { Format::F16 };
            let one = move |x: u16| {
                let v = format.widen(x);
                let v = if ftz && v.abs() < f16::MIN_POSITIVE.to_f32() && format == Format::F16 { 0.0 } else { v };
                u32::from(format.narrow(f(v.into())))
            };
            let packed = ty.ends_with("x2");
            map1(cx.d32(0)?, cx.r32(1)?, move |x| one(x as u16) | if packed { one((x >> 16) as u16) << 16 } else { 0 })
        }
        _ => return cx.fail("this type or rounding is not supported here"),
    })
}

/// 1/x or the square root of an f32, rounded in a direction: the f64 result and the sign of its error.
fn directed(x: f64, root: bool, round: Round) -> f32 {
    let y = if root { x.sqrt() } else { 1.0 / x };
    if !y.is_finite() || y == 0.0 {
        return to_f32(y, round);
    }
    let rest = if root { (-y).mul_add(y, x) } else { (-y).mul_add(x, 1.0) * x.signum() };
    to_f32(to_odd(y, rest), round)
}
