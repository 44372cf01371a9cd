//! Inputs of every operand type: special values, extremes and random bits.

/// An operand's type and range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Any 16, 32 or 64 bits, integer extremes among them.
    I16,
    I32,
    I64,
    /// A shift amount, a position or a length: mostly small, also beyond every width.
    Amount,
    F16,
    Bf16,
    F16x2,
    Bf16x2,
    F32,
    F64,
    Pred,
}

impl Kind {
    /// Bytes in memory.
    pub fn bytes(self) -> usize {
        match self {
            Kind::I16 | Kind::F16 | Kind::Bf16 => 2,
            Kind::I64 | Kind::F64 => 8,
            _ => 4,
        }
    }

    /// The type of its register.
    pub fn register(self) -> &'static str {
        match self.bytes() {
            _ if self == Kind::Pred => "pred",
            2 => "b16",
            8 => "b64",
            _ => "b32",
        }
    }

    /// Values that are special for the type.
    fn special(self) -> Vec<u64> {
        let ints = |bits: u32| -> Vec<u64> {
            let max = u64::MAX >> (64 - bits);
            let sign = 1 << (bits - 1);
            vec![0, 1, 2, 3, max, max - 1, sign, sign - 1, sign + 1, 0x5a & max, 0x8000 & max, 0xff00 & max]
        };
        match self {
            Kind::I16 => ints(16),
            Kind::I32 => ints(32),
            Kind::I64 => ints(64),
            Kind::Amount => vec![0, 1, 7, 8, 15, 16, 31, 32, 33, 63, 64, 65, 255, 256, 0x8000_0000, 0xffff_ffff],
            // Zeros, subnormals, the smallest normal, one, odd and tie values, the largest, infinities, NaN.
            Kind::F16 => vec![
                0, 0x8000, 1, 0x8001, 0x03ff, 0x0400, 0x3c00, 0xbc00, 0x3c01, 0x3555, 0x6400, 0x7bff, 0xfbff, 0x7c00,
                0xfc00, 0x7e00,
            ],
            Kind::Bf16 => vec![
                0, 0x8000, 1, 0x8001, 0x007f, 0x0080, 0x3f80, 0xbf80, 0x3f81, 0x3eaa, 0x4b00, 0x7f7f, 0xff7f, 0x7f80,
                0xff80, 0x7fc0,
            ],
            Kind::F32 => [
                0.0f32,
                -0.0,
                f32::from_bits(1),
                -f32::from_bits(1),
                f32::from_bits(0x007f_ffff),
                f32::MIN_POSITIVE,
                -f32::MIN_POSITIVE,
                1.0,
                -1.0,
                1.0 + f32::EPSILON,
                0.5,
                2.5,
                -3.5,
                1.0e10,
                -1.0e20,
                f32::MAX,
                f32::MIN,
                f32::INFINITY,
                f32::NEG_INFINITY,
                f32::NAN,
            ]
            .map(|v| v.to_bits().into())
            .to_vec(),
            Kind::F64 => [
                0.0f64,
                -0.0,
                f64::from_bits(1),
                f64::MIN_POSITIVE,
                1.0,
                -1.0,
                // A tie of f16, of bf16 and of f32, each with a last bit that breaks it.
                1.0 + f64::powi(2.0, -11) + f64::EPSILON,
                1.0 + f64::powi(2.0, -8) + f64::EPSILON,
                1.0 + f64::powi(2.0, -24) + f64::EPSILON,
                1.0 + f64::powi(2.0, -24),
                2.5,
                -3.5,
                1.0e10,
                -1.0e300,
                f64::MAX,
                f64::MIN,
                f64::INFINITY,
                f64::NEG_INFINITY,
                f64::NAN,
            ]
            .map(f64::to_bits)
            .to_vec(),
            Kind::F16x2 => pairs(&Kind::F16.special()),
            Kind::Bf16x2 => pairs(&Kind::Bf16.special()),
            Kind::Pred => vec![0, 1],
        }
    }

    /// A random value; floats have exponents of which many meet.
    fn random(self, random: &mut Random) -> u64 {
        let bits = random.next();
        let near = |bits: u64, fraction: u32, bias: u64, spread: u64| {
            let exponent = bias - spread / 2 + random_part(bits >> 40, spread);
            (bits & 1) << (fraction + exponent_bits(fraction))
                | exponent << fraction
                | bits >> 2 & ((1 << fraction) - 1)
        };
        match self {
            Kind::Amount => bits % 70,
            Kind::Pred => bits & 1,
            Kind::F16 if bits & 0x300 != 0 => near(bits, 10, 15, 16),
            Kind::Bf16 if bits & 0x300 != 0 => near(bits, 7, 127, 20),
            Kind::F32 if bits & 0x300 != 0 => near(bits, 23, 127, 40),
            Kind::F64 if bits & 0x300 != 0 => near(bits, 52, 1023, 80),
            Kind::F16x2 => Kind::F16.random(random) | Kind::F16.random(random) << 16,
            Kind::Bf16x2 => Kind::Bf16.random(random) | Kind::Bf16.random(random) << 16,
            _ => bits & (u64::MAX >> (64 - 8 * self.bytes())),
        }
    }
}

fn exponent_bits(fraction: u32) -> u32 {
    match fraction {
        10 => 5,
        52 => 11,
        _ => 8,
    }
}

fn random_part(bits: u64, spread: u64) -> u64 {
    bits % spread
}

/// Each value in the low half, its successor in the list in the high half.
fn pairs(values: &[u64]) -> Vec<u64> {
    (0..values.len()).map(|i| values[i] | values[(i + 1) % values.len()] << 16).collect()
}

/// A splitmix64 generator.
pub struct Random(pub u64);

impl Random {
    /// The next 64 bits.
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// The next 32 bits.
    pub fn word(&mut self) -> u32 {
        (self.next() >> 32) as u32
    }
}

/// How many threads, and so inputs, one test of an instruction has.
pub const THREADS: usize = 1024;

/// [`THREADS`] inputs for each operand: combinations of the special values first (all of them for two operands, as
/// far as they fit), random ones behind, and specials among random ones.
pub fn inputs(kinds: &[Kind]) -> Vec<Vec<u64>> {
    let mut random = Random(7 + kinds.len() as u64);
    let special: Vec<Vec<u64>> = kinds.iter().map(|k| k.special()).collect();
    let combinations = special.iter().map(Vec::len).product::<usize>().min(THREADS / 2);
    let mut out: Vec<Vec<u64>> = kinds.iter().map(|_| Vec::with_capacity(THREADS)).collect();
    for i in 0..THREADS {
        let mut left = i;
        for (k, kind) in kinds.iter().enumerate() {
            let list = &special[k];
            let value = if i < combinations {
                let v = list[left % list.len()];
                left /= list.len();
                v
            } else if random.next().is_multiple_of(8) {
                list[random.next() as usize % list.len()]
            } else {
                kind.random(&mut random)
            };
            out[k].push(value);
        }
    }
    out
}
