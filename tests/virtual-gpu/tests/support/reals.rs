//! Exact arithmetic on floats of any format: numbers as wide integers, rounded once by the rules of IEEE 754.

/// A float format: fraction bits and exponent bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Format {
    fraction: u32,
    exponent: u32,
}

pub const HALF: Format = Format { fraction: 10, exponent: 5 };
pub const BRAIN: Format = Format { fraction: 7, exponent: 8 };
pub const SINGLE: Format = Format { fraction: 23, exponent: 8 };
pub const DOUBLE: Format = Format { fraction: 52, exponent: 11 };

/// A rounding mode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rounding {
    Nearest,
    Zero,
    Down,
    Up,
}

pub const ROUNDINGS: [(&str, Rounding); 4] =
    [("rn", Rounding::Nearest), ("rz", Rounding::Zero), ("rm", Rounding::Down), ("rp", Rounding::Up)];

/// 640 bits, enough for the sum of any two f32 products.
const LIMBS: usize = 10;

/// `magnitude * 2^scale` with a sign.
#[derive(Clone, Copy)]
pub struct Exact {
    negative: bool,
    magnitude: [u64; LIMBS],
    scale: i32,
}

impl Exact {
    /// An integer times a power of two.
    pub fn new(negative: bool, magnitude: u128, scale: i32) -> Exact {
        let mut limbs = [0; LIMBS];
        limbs[0] = magnitude as u64;
        limbs[1] = (magnitude >> 64) as u64;
        Exact { negative, magnitude: limbs, scale }
    }

    fn is_zero(&self) -> bool {
        self.magnitude.iter().all(|&l| l == 0)
    }

    fn top(&self) -> Option<u32> {
        (0..LIMBS)
            .rev()
            .find(|&i| self.magnitude[i] != 0)
            .map(|i| 64 * i as u32 + 63 - self.magnitude[i].leading_zeros())
    }

    fn bit(&self, i: i32) -> bool {
        (0..64 * LIMBS as i32).contains(&i) && self.magnitude[i as usize / 64] >> (i % 64) & 1 != 0
    }

    fn any_below(&self, i: i32) -> bool {
        (0..i).any(|j| self.bit(j))
    }

    fn at_scale(&self, scale: i32) -> [u64; LIMBS] {
        let shift = (self.scale - scale) as usize;
        assert!(self.is_zero() || self.top().unwrap() as usize + shift < 64 * LIMBS, "too wide");
        let mut out = [0; LIMBS];
        for (i, &limb) in self.magnitude.iter().enumerate().filter(|(_, l)| **l != 0) {
            let at = i + shift / 64;
            out[at] |= limb << (shift % 64);
            if !shift.is_multiple_of(64) && at + 1 < LIMBS {
                out[at + 1] |= limb >> (64 - shift % 64);
            }
        }
        out
    }

    /// The exact sum.
    pub fn plus(&self, other: &Exact) -> Exact {
        let scale = self.scale.min(other.scale);
        let (a, b) = (self.at_scale(scale), other.at_scale(scale));
        let larger = a.iter().rev().ge(b.iter().rev());
        let (high, low) = if larger { (a, b) } else { (b, a) };
        let negative = if larger { self.negative } else { other.negative };
        let minus = self.negative != other.negative;
        let mut magnitude = [0; LIMBS];
        let mut carry = 0i128;
        for i in 0..LIMBS {
            let l = i128::from(low[i]);
            let sum = i128::from(high[i]) + if minus { -l } else { l } + carry;
            magnitude[i] = sum as u64;
            carry = sum >> 64;
        }
        Exact { negative, magnitude, scale }
    }

    /// Rounds to a format. A zero gets the sign `negative`.
    pub fn round(&self, format: Format, rounding: Rounding) -> u64 {
        let sign = u64::from(self.negative) << (format.fraction + format.exponent);
        let Some(top) = self.top() else { return sign };
        let bias = (1 << (format.exponent - 1)) - 1;
        let smallest = 1 - bias - format.fraction as i32;
        // The unit in the last place of the result, as a power of two.
        let unit = (top as i32 + self.scale - format.fraction as i32).max(smallest);
        let cut = unit - self.scale;
        let mut value: u64 = (0..=format.fraction as i32 + 1).filter(|i| self.bit(cut + i)).map(|i| 1 << i).sum();
        let half = self.bit(cut - 1);
        let rest = self.any_below(cut - 1);
        value += u64::from(match rounding {
            Rounding::Nearest => half && (rest || value & 1 != 0),
            Rounding::Zero => false,
            Rounding::Down => self.negative && (half || rest),
            Rounding::Up => !self.negative && (half || rest),
        });
        // Adding the fraction to the exponent field carries into it where it should.
        let exponent = (unit - smallest) as u64;
        let bits = (exponent << format.fraction) + value;
        let infinity = ((1u64 << format.exponent) - 1) << format.fraction;
        let to_infinity = match rounding {
            Rounding::Nearest => true,
            Rounding::Zero => false,
            Rounding::Down => self.negative,
            Rounding::Up => !self.negative,
        };
        sign | if bits < infinity {
            bits
        } else if to_infinity {
            infinity
        } else {
            infinity - 1
        }
    }
}

/// A float's bits taken apart.
#[derive(Clone, Copy)]
pub enum Real {
    Nan,
    Infinity { negative: bool },
    Finite { negative: bool, magnitude: u64, scale: i32 },
}

impl Format {
    /// Takes bits apart; `flush` makes subnormals zeros of their sign.
    pub fn read(self, bits: u64, flush: bool) -> Real {
        let negative = bits >> (self.fraction + self.exponent) & 1 != 0;
        let fraction = bits & ((1 << self.fraction) - 1);
        let field = (bits >> self.fraction & ((1 << self.exponent) - 1)) as i32;
        let bias = (1 << (self.exponent - 1)) - 1;
        let scale = field.max(1) - bias - self.fraction as i32;
        match field {
            _ if field == (1 << self.exponent) - 1 && fraction != 0 => Real::Nan,
            _ if field == (1 << self.exponent) - 1 => Real::Infinity { negative },
            0 => Real::Finite { negative, magnitude: if flush { 0 } else { fraction }, scale },
            _ => Real::Finite { negative, magnitude: fraction | 1 << self.fraction, scale },
        }
    }

    fn infinity(self, negative: bool) -> u64 {
        u64::from(negative) << (self.fraction + self.exponent) | ((1 << self.exponent) - 1) << self.fraction
    }

    /// A NaN.
    pub fn nan(self) -> u64 {
        self.infinity(false) | 1 << (self.fraction - 1)
    }

    /// A subnormal result as a zero of its sign.
    pub fn flushed(self, bits: u64) -> u64 {
        let exponent = ((1 << self.exponent) - 1) << self.fraction;
        if bits & exponent == 0 { bits & 1 << (self.fraction + self.exponent) } else { bits }
    }
}

/// Bits of one format as another's, rounded.
pub fn convert(from: Format, to: Format, bits: u64, rounding: Rounding, flush: bool) -> u64 {
    match from.read(bits, flush && from == SINGLE) {
        Real::Nan => to.nan(),
        Real::Infinity { negative } => to.infinity(negative),
        Real::Finite { negative, magnitude, scale } => {
            Exact::new(negative, magnitude.into(), scale).round(to, rounding)
        }
    }
}

/// `a * b + c`, rounded once.
pub fn fma(format: Format, a: u64, b: u64, c: u64, rounding: Rounding, flush: bool) -> u64 {
    let (a, b, c) = (format.read(a, flush), format.read(b, flush), format.read(c, flush));
    let product = match (a, b) {
        (Real::Nan, _) | (_, Real::Nan) => return format.nan(),
        (Real::Finite { negative, magnitude, scale }, Real::Finite { negative: n, magnitude: m, scale: s }) => {
            Some(Exact::new(negative != n, u128::from(magnitude) * u128::from(m), scale + s))
        }
        (Real::Infinity { .. }, Real::Finite { magnitude: 0, .. })
        | (Real::Finite { magnitude: 0, .. }, Real::Infinity { .. }) => return format.nan(),
        _ => None,
    };
    let sign = |r: Real| matches!(r, Real::Infinity { negative: true } | Real::Finite { negative: true, .. });
    let negative = sign(a) != sign(b);
    match (product, c) {
        (_, Real::Nan) => format.nan(),
        (None, Real::Infinity { negative: n }) if n != negative => format.nan(),
        (None, _) => format.infinity(negative),
        (Some(_), Real::Infinity { negative }) => format.infinity(negative),
        (Some(p), Real::Finite { negative, magnitude, scale }) => {
            let c = Exact::new(negative, magnitude.into(), scale);
            let mut sum = p.plus(&c);
            if sum.is_zero() {
                // The sign of an exact zero: both terms' if they agree, else minus only when rounding down.
                sum.negative = if p.negative == c.negative { p.negative } else { rounding == Rounding::Down };
            }
            let bits = sum.round(format, rounding);
            if flush { format.flushed(bits) } else { bits }
        }
    }
}

/// The one of a format.
fn one(format: Format) -> u64 {
    ((1 << (format.exponent - 1)) - 1) << format.fraction
}

fn sign_bit(format: Format) -> u64 {
    1 << (format.fraction + format.exponent)
}

/// `a + b`, rounded once.
pub fn add(format: Format, a: u64, b: u64, rounding: Rounding, flush: bool) -> u64 {
    fma(format, a, one(format), b, rounding, flush)
}

/// `a - b`, rounded once.
pub fn sub(format: Format, a: u64, b: u64, rounding: Rounding, flush: bool) -> u64 {
    add(format, a, b ^ sign_bit(format), rounding, flush)
}

/// `a * b`, rounded once. The zero that is added has the product's sign, so that it never changes one.
pub fn mul(format: Format, a: u64, b: u64, rounding: Rounding, flush: bool) -> u64 {
    fma(format, a, b, (a ^ b) & sign_bit(format), rounding, flush)
}

/// Subnormals as zeros of their sign.
pub fn flush_f32(x: f32) -> f32 {
    if x.abs() < f32::MIN_POSITIVE { 0.0f32.copysign(x) } else { x }
}

/// To [0, 1], NaN to 0.
pub fn saturate(x: f32) -> f32 {
    if x.is_nan() || x <= 0.0 { 0.0 } else { x.min(1.0) }
}

/// The value of f16 bits.
pub fn f16(bits: u64) -> f32 {
    f32::from_bits(convert(HALF, SINGLE, bits & 0xffff, Rounding::Nearest, false) as u32)
}

/// The value of bf16 bits.
pub fn bf16(bits: u64) -> f32 {
    f32::from_bits((bits as u32 & 0xffff) << 16)
}

/// `a / b`, rounded once: a long quotient whose last bit says whether there is a remainder.
pub fn div(format: Format, a: u64, b: u64, rounding: Rounding, flush: bool) -> u64 {
    let sign = |r: Real| matches!(r, Real::Infinity { negative: true } | Real::Finite { negative: true, .. });
    let (a, b) = (format.read(a, flush), format.read(b, flush));
    let negative = sign(a) != sign(b);
    let zero = Exact::new(negative, 0, 0).round(format, rounding);
    match (a, b) {
        (Real::Nan, _) | (_, Real::Nan) | (Real::Infinity { .. }, Real::Infinity { .. }) => format.nan(),
        (Real::Finite { magnitude: 0, .. }, Real::Finite { magnitude: 0, .. }) => format.nan(),
        (Real::Infinity { .. }, _) | (_, Real::Finite { magnitude: 0, .. }) => format.infinity(negative),
        (_, Real::Infinity { .. }) => zero,
        (Real::Finite { magnitude: x, scale: s, .. }, Real::Finite { magnitude: y, scale: t, .. }) => {
            let (x, y) = (u128::from(x) << 70, u128::from(y));
            let quotient = (x / y) << 1 | u128::from(x % y != 0);
            let bits = Exact::new(negative, quotient, s - t - 71).round(format, rounding);
            if flush { format.flushed(bits) } else { bits }
        }
    }
}

/// The square root, rounded once.
pub fn sqrt(format: Format, a: u64, rounding: Rounding, flush: bool) -> u64 {
    match format.read(a, flush) {
        Real::Finite { negative, magnitude: 0, .. } => Exact::new(negative, 0, 0).round(format, rounding),
        Real::Infinity { negative: false } => format.infinity(false),
        Real::Finite { negative: false, magnitude, scale } => {
            let shift = 80 + scale.rem_euclid(2);
            let wide = u128::from(magnitude) << shift;
            let root = wide.isqrt();
            let long = root << 1 | u128::from(root * root != wide);
            Exact::new(false, long, (scale - shift) / 2 - 1).round(format, rounding)
        }
        _ => format.nan(),
    }
}
