//! Vector kernels and the choice of an instruction set. The only `unsafe` of the CPU side is here and below.
//!
//! A kernel is one generic function over [`Simd`], wrapped in an [`Op`]. [`Isa::run`] picks the instruction set once and
//! enters a function with those target features; everything that the kernel calls is inlined into it. (An intrinsic in
//! a function without its feature is a call: six times slower.)

#![allow(unsafe_code)]

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod codes;
mod gemm;
mod pack;
pub(crate) mod pages;
mod portable;
pub(crate) mod rows;
mod scan;

pub(crate) use codes::{CODE_ZERO, CodeBiases, LARGEST_CODE, code_at, query_code_at, scan_codes};
pub(crate) use gemm::{Epilogue, Gemm, PairGemm};
pub(crate) use pack::{PANEL, pack_panels};
pub(crate) use scan::{GROUP, Pass, pack_items, query_at, scan_panel, score_rows};

use crate::config::Instructions;

/// An instruction set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Isa {
    /// What the compiler makes of plain loops.
    Portable,
    /// AVX2, FMA, F16C.
    Avx2,
    /// AVX-512 F, BW, DQ, VL.
    Avx512,
    /// The same, AVX512-BF16 and AVX512-VNNI.
    Avx512Bf16,
}

impl Isa {
    /// Every instruction set, the best last.
    pub(crate) const ALL: [Isa; 4] = [Isa::Portable, Isa::Avx2, Isa::Avx512, Isa::Avx512Bf16];

    /// The one that a setting asks for; `None` for the best one.
    pub(crate) fn asked(instructions: Instructions) -> Option<Isa> {
        match instructions {
            Instructions::Auto => None,
            Instructions::Portable => Some(Isa::Portable),
            Instructions::Avx2 => Some(Isa::Avx2),
            Instructions::Avx512 => Some(Isa::Avx512),
            Instructions::Avx512Bf16 => Some(Isa::Avx512Bf16),
        }
    }

    /// How a setting asks for it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Isa::Portable => Instructions::Portable.name(),
            Isa::Avx2 => Instructions::Avx2.name(),
            Isa::Avx512 => Instructions::Avx512.name(),
            Isa::Avx512Bf16 => Instructions::Avx512Bf16.name(),
        }
    }

    /// Whether this processor has it.
    pub(crate) fn available(self) -> bool {
        match self {
            Isa::Portable => true,
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => avx2::Avx2::new().is_some(),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 => avx512::Avx512::<false>::new().is_some(),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512Bf16 => avx512::Avx512::<true>::new().is_some(),
            #[cfg(not(target_arch = "x86_64"))]
            _ => false,
        }
    }

    /// The best that this processor has.
    pub(crate) fn best() -> Isa {
        Isa::ALL.into_iter().rev().find(|isa| isa.available()).unwrap_or(Isa::Portable)
    }

    /// Whether it multiplies pairs of bf16 values in one instruction.
    pub(crate) fn multiplies_bf16(self) -> bool {
        self == Isa::Avx512Bf16
    }

    /// Whether this processor gains by it: AMD's have as many units for bf16 products as for fp32 ones, Intel's half as
    /// many, and lose a third of the loss's speed (`benches/results/gpu-h200.md`).
    pub(crate) fn gains_by_bf16() -> bool {
        #[cfg(target_arch = "x86_64")]
        return Isa::best().multiplies_bf16() && avx512::made_by_amd();
        #[cfg(not(target_arch = "x86_64"))]
        false
    }

    /// Runs `op` with this instruction set; with the portable one where the processor lacks it.
    pub(crate) fn run<O: Op>(self, op: O) -> O::Output {
        #[cfg(target_arch = "x86_64")]
        match self {
            Isa::Avx512Bf16 => {
                if let Some(s) = avx512::Avx512::<true>::new() {
                    return s.run(op);
                }
            }
            Isa::Avx512 => {
                if let Some(s) = avx512::Avx512::<false>::new() {
                    return s.run(op);
                }
            }
            Isa::Avx2 => {
                if let Some(s) = avx2::Avx2::new() {
                    return s.run(op);
                }
            }
            Isa::Portable => {}
        }
        portable::Portable.run(op)
    }
}

/// A kernel: generic over the instruction set.
pub(crate) trait Op {
    /// What it answers.
    type Output;
    /// The kernel. Implementations are `#[inline(always)]`, as is everything in them that touches vectors.
    fn run<S: Simd>(self, s: S) -> Self::Output;
}

/// An instruction set that is known to be there: a value of the type is the proof, which makes the methods safe.
pub(crate) trait Simd: Copy + Send + Sync + 'static {
    /// A vector of [`LANES`](Simd::LANES) values.
    type F: Copy;
    /// A vector of `LANES` whole numbers of 32 bits, or of `LANES` times four bytes.
    type I: Copy;
    /// Values of a vector: 8 or 16.
    const LANES: usize;
    /// The micro-kernel's tile: rows.
    const TILE_ROWS: usize;
    /// The micro-kernel's tile: vectors, `TILE_VECTORS * LANES` divides [`PANEL`].
    const TILE_VECTORS: usize;
    /// Rows of the tile of codes.
    const CODE_ROWS: usize;
    /// Whether products of codes are faster than products of values.
    const FAST_CODES: bool;

    /// Enters a function with the target features.
    fn run<O: Op>(self, op: O) -> O::Output;

    /// Every lane `x`.
    fn splat(self, x: f32) -> Self::F;
    /// # Safety
    /// `LANES` values can be read.
    unsafe fn load(self, from: *const f32) -> Self::F;
    /// The first `n` values, then zeros.
    /// # Safety
    /// `n < LANES` values can be read.
    unsafe fn load_part(self, from: *const f32, n: usize) -> Self::F;
    /// # Safety
    /// `LANES` values can be written.
    unsafe fn store(self, to: *mut f32, v: Self::F);
    /// # Safety
    /// `n < LANES` values can be written.
    unsafe fn store_part(self, to: *mut f32, v: Self::F, n: usize);
    /// Widens `LANES` bf16 values, given by their bits.
    fn widen_bf16(self, from: &[u16]) -> Self::F;
    /// Widens `LANES` fp16 values, given by their bits.
    fn widen_f16(self, from: &[u16]) -> Self::F;

    /// `a + b`.
    fn add(self, a: Self::F, b: Self::F) -> Self::F;
    /// `a - b`.
    fn sub(self, a: Self::F, b: Self::F) -> Self::F;
    /// `a * b`.
    fn mul(self, a: Self::F, b: Self::F) -> Self::F;
    /// `a / b`, and 0 where b is 0.
    fn div_or_zero(self, a: Self::F, b: Self::F) -> Self::F;
    /// `a * b + c`, rounded once where the hardware can.
    fn fma(self, a: Self::F, b: Self::F, c: Self::F) -> Self::F;
    /// [`fma`](Simd::fma) of single values, with the same rounding.
    fn fma_one(self, a: f32, b: f32, c: f32) -> f32;
    /// Rounds to bf16, to the nearest and ties to even: lane by lane a pair, the first value in the low half. A pair
    /// travels as the 32 bits of an fp32 value; loads, stores and `splat` leave them as they are.
    fn pairs(self, first: Self::F, second: Self::F) -> Self::F;
    /// `c + a.second * b.second + a.first * b.first` of pairs, in fp32. Subnormal values may count as zero.
    fn dot2(self, a: Self::F, b: Self::F, c: Self::F) -> Self::F;
    /// The square root.
    fn sqrt(self, a: Self::F) -> Self::F;
    /// The greater; `b` where one is NaN.
    fn max(self, a: Self::F, b: Self::F) -> Self::F;
    /// The smaller; `b` where one is NaN.
    fn min(self, a: Self::F, b: Self::F) -> Self::F;
    /// The nearest whole number, for |a| < 2^22.
    fn round(self, a: Self::F) -> Self::F;
    /// `a * 2^n` for whole n in -160..=128.
    fn scale2(self, a: Self::F, n: Self::F) -> Self::F;
    /// The lanes' sum, in an order of its own.
    fn sum(self, a: Self::F) -> f32;
    /// The lanes' maximum; NaN may be lost.
    fn max_lane(self, a: Self::F) -> f32;
    /// Bit l: lane l of a >= lane l of b.
    fn at_least(self, a: Self::F, b: Self::F) -> u32;
    /// `LANES` zeros.
    fn zeros_int(self) -> Self::I;
    /// # Safety
    /// `4 * LANES` bytes can be read.
    unsafe fn load_bytes(self, from: *const u8) -> Self::I;
    /// Four bytes, in every lane.
    /// # Safety
    /// Four bytes can be read.
    unsafe fn splat_bytes(self, from: *const i8) -> Self::I;
    /// Lane l: `sum` and the eight products of lane l's bytes: `a` without sign, 127 at the most, `b` with sign, -63 to
    /// 63. Exact.
    fn dot8(self, sum: Self::I, a: [Self::I; 2], b: [Self::I; 2]) -> Self::I;
    /// The greater.
    fn max_int(self, a: Self::I, b: Self::I) -> Self::I;
    /// As values; exact below 2^24.
    fn to_float(self, a: Self::I) -> Self::F;
    /// Hints that the values will be read soon.
    fn prefetch<T>(self, values: &[T]);
    /// Hints that the line at this address will be read or written very soon. Any address will do.
    fn touch(self, at: *const f32);

    /// The front of a slice; zeros where it ends early.
    #[inline(always)]
    fn get(self, from: &[f32]) -> Self::F {
        if from.len() >= Self::LANES {
            // SAFETY: the slice has LANES values.
            unsafe { self.load(from.as_ptr()) }
        } else {
            // SAFETY: the slice has `len` values, fewer than LANES.
            unsafe { self.load_part(from.as_ptr(), from.len()) }
        }
    }

    /// Writes to the front of a slice, as far as it goes.
    #[inline(always)]
    fn put(self, to: &mut [f32], v: Self::F) {
        if to.len() >= Self::LANES {
            // SAFETY: the slice has LANES values.
            unsafe { self.store(to.as_mut_ptr(), v) }
        } else {
            // SAFETY: the slice has `len` values, fewer than LANES.
            unsafe { self.store_part(to.as_mut_ptr(), v, to.len()) }
        }
    }

    /// `e^a` for a up to 0, within 2e-7 of its value (relative): 0 below -87, exactly 1 at 0; NaN stays NaN.
    #[inline(always)]
    fn exp_down(self, a: Self::F) -> Self::F {
        self.exp(a)
    }

    /// `e^a` within 2e-7 of its value (relative): 0 below -104, infinite above 88.8, exactly 1 at 0; NaN stays NaN.
    #[inline(always)]
    fn exp(self, a: Self::F) -> Self::F {
        // NaN passes both clamps as the second operand.
        let a = self.max(self.splat(-110.0), a);
        let a = self.min(self.splat(89.0), a);
        let n = self.round(self.mul(a, self.splat(std::f32::consts::LOG2_E)));
        self.scale2(self.exp_part(a, n), n)
    }

    /// `e^a / 2^n`, where n is the whole number next to `a / ln 2`.
    #[inline(always)]
    fn exp_part(self, a: Self::F, n: Self::F) -> Self::F {
        // ln 2 in two parts, the first short: n times it is exact.
        let r = self.fma(n, self.splat(-0.693_359_4), a);
        let r = self.fma(n, self.splat(2.121_944_4e-4), r);
        let mut p = self.splat(1.987_569_1e-4);
        for c in [1.398_2e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_5e-1, 5e-1] {
            p = self.fma(p, r, self.splat(c));
        }
        self.add(self.fma(p, self.mul(r, r), r), self.splat(1.0))
    }
}
