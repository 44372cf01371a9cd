//! Rounding: directed modes, flushing of subnormals, saturation.

/// A rounding mode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Round {
    Nearest,
    Zero,
    Down,
    Up,
}

impl Round {
    /// `rn`, `rz`, `rm`, `rp`.
    pub fn named(name: Option<&str>) -> Round {
        match name {
            Some("rz") => Round::Zero,
            Some("rm") => Round::Down,
            Some("rp") => Round::Up,
            _ => Round::Nearest,
        }
    }
}

/// A subnormal becomes a zero of its sign.
#[inline(always)]
pub(crate) fn flush(x: f32) -> f32 {
    if x.abs() < f32::MIN_POSITIVE { f32::from_bits(x.to_bits() & 0x8000_0000) } else { x }
}

/// To [0, 1], NaN to 0.
#[inline(always)]
pub(crate) fn saturate(x: f32) -> f32 {
    if x > 0.0 { x.min(1.0) } else { 0.0 }
}

/// The exact sum of two f64 as a rounded sum and its error.
#[inline(always)]
pub(crate) fn two_sum(a: f64, b: f64) -> (f64, f64) {
    let s = a + b;
    let t = s - a;
    let e = (a - (s - t)) + (b - t);
    (s, if e.is_nan() { 0.0 } else { e })
}

/// `s + e` rounded to odd: rounding the result once more, to far fewer bits, gives what one rounding gives.
#[inline(always)]
pub(crate) fn to_odd(s: f64, e: f64) -> f64 {
    // An error that is NaN comes from infinite operands, where `s` is exact.
    if e == 0.0 || e.is_nan() || s.to_bits() & 1 != 0 || !s.is_finite() {
        return s;
    }
    if e > 0.0 { s.next_up() } else { s.next_down() }
}

/// Rounds an f64 to f32.
pub(crate) fn to_f32(x: f64, round: Round) -> f32 {
    let r = x as f32;
    if x.is_nan() || x.is_infinite() || round == Round::Nearest {
        return r;
    }
    let above = f64::from(r) > x;
    let below = f64::from(r) < x;
    let down = round == Round::Down || (round == Round::Zero && x > 0.0);
    match down {
        true if above => r.next_down(),
        false if below => r.next_up(),
        _ => r,
    }
}

/// An f64 as an f32 rounded to odd, so that rounding to fewer bits once more is right.
pub(crate) fn to_odd32(x: f64) -> f32 {
    let cut = to_f32(x, Round::Zero);
    if f64::from(cut) == x || x.is_nan() { cut } else { f32::from_bits(cut.to_bits() | 1) }
}

/// Rounds an f64 to an integral value.
pub(crate) fn integral(x: f64, mode: &str) -> f64 {
    match mode {
        "rni" => x.round_ties_even(),
        "rmi" => x.floor(),
        "rpi" => x.ceil(),
        _ => x.trunc(),
    }
}
