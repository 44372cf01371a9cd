//! AVX-512: vectors of 16.

use std::arch::x86_64::*;

use super::{Op, Simd};

/// A processor with AVX-512 F, BW, DQ, VL and everything of [`Avx2`](super::avx2::Avx2).
#[derive(Clone, Copy)]
pub(crate) struct Avx512(());

impl Avx512 {
    pub(crate) fn new() -> Option<Avx512> {
        let found = super::avx2::Avx2::new().is_some()
            && is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512dq")
            && is_x86_feature_detected!("avx512vl");
        found.then_some(Avx512(()))
    }
}

#[target_feature(enable = "avx2,fma,f16c,avx512f,avx512bw,avx512dq,avx512vl")]
fn enter<O: Op>(s: Avx512, op: O) -> O::Output {
    op.run(s)
}

/// An intrinsic without memory access.
macro_rules! op {
    ($e:expr) => {
        // SAFETY: a value of the type exists only where `new` found the features; the intrinsic touches no memory.
        unsafe { $e }
    };
}

#[inline(always)]
fn front(n: usize) -> __mmask16 {
    ((1u32 << n) - 1) as __mmask16
}

impl Simd for Avx512 {
    type F = __m512;
    type I = __m512i;
    const LANES: usize = 16;
    const TILE_ROWS: usize = 12;
    const TILE_VECTORS: usize = 2;
    const CODE_ROWS: usize = 12;
    const FAST_CODES: bool = true;

    #[inline(always)]
    fn run<O: Op>(self, op: O) -> O::Output {
        // SAFETY: a value of the type exists only where `new` found the features.
        unsafe { enter(self, op) }
    }

    #[inline(always)]
    fn splat(self, x: f32) -> __m512 {
        op!(_mm512_set1_ps(x))
    }
    #[inline(always)]
    unsafe fn load(self, from: *const f32) -> __m512 {
        // SAFETY: features by the type; the caller vouches for 16 values; the load needs no alignment.
        unsafe { _mm512_loadu_ps(from) }
    }
    #[inline(always)]
    unsafe fn load_part(self, from: *const f32, n: usize) -> __m512 {
        // SAFETY: features by the type; the caller vouches for n values, the mask leaves the others untouched.
        unsafe { _mm512_maskz_loadu_ps(front(n), from) }
    }
    #[inline(always)]
    unsafe fn store(self, to: *mut f32, v: __m512) {
        // SAFETY: features by the type; the caller vouches for 16 values; the store needs no alignment.
        unsafe { _mm512_storeu_ps(to, v) }
    }
    #[inline(always)]
    unsafe fn store_part(self, to: *mut f32, v: __m512, n: usize) {
        // SAFETY: features by the type; the caller vouches for n values, the mask leaves the others untouched.
        unsafe { _mm512_mask_storeu_ps(to, front(n), v) }
    }
    #[inline(always)]
    fn widen_bf16(self, from: &[u16]) -> __m512 {
        let from = &from[..16];
        // SAFETY: features by the type; the slice has 16 values of 2 bytes; the load needs no alignment.
        unsafe {
            let wide = _mm512_cvtepu16_epi32(_mm256_loadu_si256(from.as_ptr().cast()));
            _mm512_castsi512_ps(_mm512_slli_epi32::<16>(wide))
        }
    }
    #[inline(always)]
    fn widen_f16(self, from: &[u16]) -> __m512 {
        let from = &from[..16];
        // SAFETY: features by the type; the slice has 16 values of 2 bytes; the load needs no alignment.
        unsafe { _mm512_cvtph_ps(_mm256_loadu_si256(from.as_ptr().cast())) }
    }

    #[inline(always)]
    fn add(self, a: __m512, b: __m512) -> __m512 {
        op!(_mm512_add_ps(a, b))
    }
    #[inline(always)]
    fn sub(self, a: __m512, b: __m512) -> __m512 {
        op!(_mm512_sub_ps(a, b))
    }
    #[inline(always)]
    fn mul(self, a: __m512, b: __m512) -> __m512 {
        op!(_mm512_mul_ps(a, b))
    }
    #[inline(always)]
    fn div_or_zero(self, a: __m512, b: __m512) -> __m512 {
        op!(_mm512_maskz_div_ps(_mm512_cmp_ps_mask::<_CMP_NEQ_UQ>(b, _mm512_setzero_ps()), a, b))
    }
    #[inline(always)]
    fn fma(self, a: __m512, b: __m512, c: __m512) -> __m512 {
        op!(_mm512_fmadd_ps(a, b, c))
    }
    #[inline(always)]
    fn fma_one(self, a: f32, b: f32, c: f32) -> f32 {
        a.mul_add(b, c)
    }
    #[inline(always)]
    fn sqrt(self, a: __m512) -> __m512 {
        op!(_mm512_sqrt_ps(a))
    }
    #[inline(always)]
    fn max(self, a: __m512, b: __m512) -> __m512 {
        op!(_mm512_max_ps(a, b))
    }
    #[inline(always)]
    fn min(self, a: __m512, b: __m512) -> __m512 {
        op!(_mm512_min_ps(a, b))
    }
    #[inline(always)]
    fn round(self, a: __m512) -> __m512 {
        op!(_mm512_roundscale_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(a))
    }
    #[inline(always)]
    fn scale2(self, a: __m512, n: __m512) -> __m512 {
        op!(_mm512_scalef_ps(a, n))
    }
    #[inline(always)]
    fn sum(self, a: __m512) -> f32 {
        op!(_mm512_reduce_add_ps(a))
    }
    #[inline(always)]
    fn max_lane(self, a: __m512) -> f32 {
        op!(_mm512_reduce_max_ps(a))
    }
    #[inline(always)]
    fn at_least(self, a: __m512, b: __m512) -> u32 {
        u32::from(op!(_mm512_cmp_ps_mask::<_CMP_GE_OQ>(a, b)))
    }
    #[inline(always)]
    fn zeros_int(self) -> __m512i {
        op!(_mm512_setzero_si512())
    }
    #[inline(always)]
    unsafe fn load_bytes(self, from: *const u8) -> __m512i {
        // SAFETY: features by the type; the caller vouches for 64 bytes; the load needs no alignment.
        unsafe { _mm512_loadu_si512(from.cast()) }
    }
    #[inline(always)]
    unsafe fn splat_bytes(self, from: *const i8) -> __m512i {
        // SAFETY: features by the type; the caller vouches for 4 bytes; the read needs no alignment.
        unsafe { _mm512_set1_epi32(from.cast::<i32>().read_unaligned()) }
    }
    #[inline(always)]
    fn dot8(self, sum: __m512i, a: [__m512i; 2], b: [__m512i; 2]) -> __m512i {
        // A pair of products is 127 * 63 * 2 at the most, and two of those still fit 16 bits.
        op!({
            let pairs = _mm512_add_epi16(_mm512_maddubs_epi16(a[0], b[0]), _mm512_maddubs_epi16(a[1], b[1]));
            _mm512_add_epi32(sum, _mm512_madd_epi16(pairs, _mm512_set1_epi16(1)))
        })
    }
    #[inline(always)]
    fn max_int(self, a: __m512i, b: __m512i) -> __m512i {
        op!(_mm512_max_epi32(a, b))
    }
    #[inline(always)]
    fn to_float(self, a: __m512i) -> __m512 {
        op!(_mm512_cvtepi32_ps(a))
    }
    #[inline(always)]
    fn prefetch<T>(self, values: &[T]) {
        super::avx2::prefetch(values);
    }
}
