//! f32 and f64 arithmetic.

use super::program::{Action, map1, map2, map3};
use super::rounding::{Round, flush, saturate, to_f32, to_odd, two_sum};
use super::warp::{LANES, R32, Row, Warp};
use crate::ptx::PtxError;
use crate::ptx::context::Context;

type Result<T> = std::result::Result<T, PtxError>;

/// `a * b + c`, rounded once, lane by lane.
#[inline(always)]
fn fma_body(a: &[u32; LANES], b: &[u32; LANES], c: &[u32; LANES]) -> [u32; LANES] {
    std::array::from_fn(|i| f32::from_bits(a[i]).mul_add(f32::from_bits(b[i]), f32::from_bits(c[i])).to_bits())
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn fma_avx2(a: &[u32; LANES], b: &[u32; LANES], c: &[u32; LANES]) -> [u32; LANES] {
    fma_body(a, b, c)
}

/// `a * b + c` with the host's fused instruction where it has one.
#[inline]
pub(crate) fn fma_row(a: &[u32; LANES], b: &[u32; LANES], c: &[u32; LANES]) -> [u32; LANES] {
    #[cfg(target_arch = "x86_64")]
    if std::is_x86_feature_detected!("avx2") && std::is_x86_feature_detected!("fma") {
        // SAFETY: the processor has both features, as just checked.
        return unsafe { fma_avx2(a, b, c) };
    }
    fma_body(a, b, c)
}

/// Modifiers of an f32 operation.
#[derive(Clone, Copy)]
struct Mode {
    round: Round,
    ftz: bool,
    sat: bool,
}

impl Mode {
    #[inline(always)]
    fn input(self, x: u32) -> f32 {
        let x = f32::from_bits(x);
        if self.ftz { flush(x) } else { x }
    }

    #[inline(always)]
    fn output(self, x: f32) -> u32 {
        let x = if self.ftz { flush(x) } else { x };
        if self.sat { saturate(x).to_bits() } else { x.to_bits() }
    }

    fn plain(self) -> bool {
        self.round == Round::Nearest && !self.ftz && !self.sat
    }
}

/// Decodes f32 or f64 arithmetic.
pub(crate) fn decode(cx: &mut Context<'_, '_>, ty: &str) -> Result<Action> {
    if ty == "f64" { double(cx) } else { single(cx) }
}

fn single(cx: &mut Context<'_, '_>) -> Result<Action> {
    let base = cx.base();
    if matches!(base, "min" | "max") {
        return extremum(cx);
    }
    let approx = base == "div" && cx.pick(&["approx", "full"]).is_some();
    let round = Round::named(cx.pick(&["rn", "rz", "rm", "rp"]));
    let mode = Mode { round, ftz: cx.has("ftz"), sat: cx.has("sat") };
    let (d, a) = (cx.d32(0)?, cx.r32(1)?);
    cx.weight.fp32 = if matches!(base, "fma" | "mad") { 2 } else { 1 };
    let nearest = round == Round::Nearest;
    let f = |x: u32| f32::from_bits(x);
    Ok(match base {
        "neg" => map1(d, a, move |x| if mode.ftz { (-mode.input(x)).to_bits() } else { x ^ 0x8000_0000 }),
        "abs" => map1(d, a, move |x| if mode.ftz { mode.input(x).abs().to_bits() } else { x & 0x7fff_ffff }),
        "add" if mode.plain() => map2(d, a, cx.r32(2)?, move |x, y| (f(x) + f(y)).to_bits()),
        "sub" if mode.plain() => map2(d, a, cx.r32(2)?, move |x, y| (f(x) - f(y)).to_bits()),
        "mul" if mode.plain() => map2(d, a, cx.r32(2)?, move |x, y| (f(x) * f(y)).to_bits()),
        "add" | "sub" => {
            let minus = base == "sub";
            map2(d, a, cx.r32(2)?, move |x, y| {
                let (x, y) = (mode.input(x), mode.input(y));
                let y = if minus { -y } else { y };
                if nearest {
                    return mode.output(x + y);
                }
                mode.output(directed_sum(x.into(), y.into(), mode.round))
            })
        }
        "mul" => map2(d, a, cx.r32(2)?, move |x, y| {
            let (x, y) = (mode.input(x), mode.input(y));
            if nearest { mode.output(x * y) } else { mode.output(to_f32(f64::from(x) * f64::from(y), mode.round)) }
        }),
        "fma" | "mad" => fma(cx, d, a, mode)?,
        "div" => {
            if !nearest && !approx {
                cx.weight.fp32 = 1;
            }
            map2(d, a, cx.r32(2)?, move |x, y| {
                let (x, y) = (mode.input(x), mode.input(y));
                if nearest {
                    return mode.output(x / y);
                }
                // The quotient and the sign of what is missing: x - q y is exact in a fused operation.
                let q = f64::from(x) / f64::from(y);
                let rest = (-q).mul_add(f64::from(y), f64::from(x)) * f64::from(y).signum();
                mode.output(to_f32(if q.is_finite() { to_odd(q, rest) } else { q }, mode.round))
            })
        }
        _ => return cx.fail("this opcode has no f32 form"),
    })
}

/// `a + b` of f64s that hold f32s or their products, rounded once to f32.
fn directed_sum(a: f64, b: f64, round: Round) -> f32 {
    let (s, e) = two_sum(a, b);
    if s == 0.0 && e == 0.0 {
        // An exact zero is negative when rounding down, or when both are.
        let negative = (a.is_sign_negative() && b.is_sign_negative())
            || (round == Round::Down && (a.is_sign_negative() || b.is_sign_negative()));
        return if negative { -0.0 } else { 0.0 };
    }
    to_f32(to_odd(s, e), round)
}

fn fma(cx: &mut Context<'_, '_>, d: R32, a: R32, mode: Mode) -> Result<Action> {
    cx.count(4)?;
    let (b, c) = (cx.r32(2)?, cx.r32(3)?);
    if mode.plain() {
        return Ok(Action::Alu(Box::new(move |w: &mut Warp| {
            let out = fma_row(a.row(w), b.row(w), c.row(w));
            w.put(d, out);
        })));
    }
    Ok(map3(d, a, b, c, move |x, y, z| {
        let (x, y, z) = (mode.input(x), mode.input(y), mode.input(z));
        if mode.round == Round::Nearest {
            return mode.output(x.mul_add(y, z));
        }
        mode.output(directed_sum(f64::from(x) * f64::from(y), z.into(), mode.round))
    }))
}

/// The larger or smaller of two; a NaN loses unless `.NaN`, and -0 < +0.
#[inline(always)]
pub(crate) fn extreme(x: f32, y: f32, max: bool, nan: bool) -> f32 {
    if x.is_nan() || y.is_nan() {
        let canonical = f32::from_bits(0x7fff_ffff);
        return match (x.is_nan(), y.is_nan()) {
            _ if nan => canonical,
            (true, true) => canonical,
            (true, false) => y,
            _ => x,
        };
    }
    if x == y {
        // Only zeros of different signs are equal and different.
        let bits = if max { x.to_bits() & y.to_bits() } else { x.to_bits() | y.to_bits() };
        return f32::from_bits(bits);
    }
    if (x > y) == max { x } else { y }
}

fn extremum(cx: &mut Context<'_, '_>) -> Result<Action> {
    let max = cx.base() == "max";
    let (ftz, nan) = (cx.has("ftz"), cx.has("NaN"));
    cx.weight.fp32 = 1;
    let f = move |x: u32| if ftz { flush(f32::from_bits(x)) } else { f32::from_bits(x) };
    let (d, a, b) = (cx.d32(0)?, cx.r32(1)?, cx.r32(2)?);
    if cx.given(3) {
        cx.count(4)?;
        return Ok(map3(d, a, b, cx.r32(3)?, move |x, y, z| {
            extreme(extreme(f(x), f(y), max, nan), f(z), max, nan).to_bits()
        }));
    }
    Ok(match (max, nan, ftz) {
        (true, false, false) => {
            map2(d, a, b, |x, y| extreme(f32::from_bits(x), f32::from_bits(y), true, false).to_bits())
        }
        (false, false, false) => {
            map2(d, a, b, |x, y| extreme(f32::from_bits(x), f32::from_bits(y), false, false).to_bits())
        }
        _ => map2(d, a, b, move |x, y| extreme(f(x), f(y), max, nan).to_bits()),
    })
}

fn double(cx: &mut Context<'_, '_>) -> Result<Action> {
    let base = cx.base();
    if cx.pick(&["rn", "rz", "rm", "rp"]).is_some_and(|r| r != "rn") {
        return cx.fail("only .rn is supported for f64");
    }
    let (d, a) = (cx.d64(0)?, cx.r64(1)?);
    cx.weight.fp64 = if matches!(base, "fma" | "mad") { 2 } else { 1 };
    let f = f64::from_bits;
    Ok(match base {
        "neg" => map1(d, a, |x| x ^ 1 << 63),
        "abs" => map1(d, a, |x| x & !(1 << 63)),
        "add" => map2(d, a, cx.r64(2)?, move |x, y| (f(x) + f(y)).to_bits()),
        "sub" => map2(d, a, cx.r64(2)?, move |x, y| (f(x) - f(y)).to_bits()),
        "mul" => map2(d, a, cx.r64(2)?, move |x, y| (f(x) * f(y)).to_bits()),
        "div" => map2(d, a, cx.r64(2)?, move |x, y| (f(x) / f(y)).to_bits()),
        "fma" | "mad" => map3(d, a, cx.r64(2)?, cx.r64(3)?, move |x, y, z| f(x).mul_add(f(y), f(z)).to_bits()),
        "min" | "max" => {
            let max = base == "max";
            map2(d, a, cx.r64(2)?, move |x, y| {
                let (x, y) = (f(x), f(y));
                let value = match (x.is_nan(), y.is_nan()) {
                    (true, true) => f64::NAN,
                    (true, false) => y,
                    (false, true) => x,
                    _ if x == y => f(if max { x.to_bits() & y.to_bits() } else { x.to_bits() | y.to_bits() }),
                    _ if (x > y) == max => x,
                    _ => y,
                };
                value.to_bits()
            })
        }
        _ => return cx.fail("this opcode has no f64 form"),
    })
}
