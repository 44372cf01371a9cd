//! AVX2 with FMA and F16C: vectors of 8.

use std::arch::x86_64::*;

use super::{Op, Simd};

/// A processor with AVX2, FMA and F16C.
#[derive(Clone, Copy)]
pub(crate) struct Avx2(());

impl Avx2 {
    pub(crate) fn new() -> Option<Avx2> {
        let found =
            is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") && is_x86_feature_detected!("f16c");
        found.then_some(Avx2(()))
    }
}

#[target_feature(enable = "avx2,fma,f16c")]
fn enter<O: Op>(s: Avx2, op: O) -> O::Output {
    op.run(s)
}

/// An intrinsic without memory access.
macro_rules! op {
    ($e:expr) => {
        // SAFETY: a value of the type exists only where `new` found the features; the intrinsic touches no memory.
        unsafe { $e }
    };
}

/// All ones in the first n lanes.
#[inline(always)]
fn front(n: usize) -> __m256i {
    op!(_mm256_cmpgt_epi32(_mm256_set1_epi32(n as i32), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7)))
}

/// The nearest bf16 value in the upper half of each lane, anything in the lower; a NaN stays one.
#[inline(always)]
fn rounded(x: __m256) -> __m256i {
    op!({
        let bits = _mm256_castps_si256(x);
        let odd = _mm256_and_si256(_mm256_srli_epi32::<16>(bits), _mm256_set1_epi32(1));
        let nearest = _mm256_add_epi32(_mm256_add_epi32(bits, _mm256_set1_epi32(0x7fff)), odd);
        let quiet = _mm256_or_si256(bits, _mm256_set1_epi32(0x40_0000));
        _mm256_blendv_epi8(nearest, quiet, _mm256_castps_si256(_mm256_cmp_ps::<_CMP_UNORD_Q>(x, x)))
    })
}

/// The first and the second values of pairs.
#[inline(always)]
fn halves(x: __m256) -> (__m256, __m256) {
    op!({
        let bits = _mm256_castps_si256(x);
        let second = _mm256_and_si256(bits, _mm256_set1_epi32(0xffff_0000_u32 as i32));
        (_mm256_castsi256_ps(_mm256_slli_epi32::<16>(bits)), _mm256_castsi256_ps(second))
    })
}

/// Fetches the lines of `values` to the second level: measured, the first level's hint is a third slower for rows of
/// a table.
#[inline(always)]
pub(super) fn prefetch<T>(values: &[T]) {
    let bytes = std::mem::size_of_val(values);
    let start = values.as_ptr().cast::<i8>();
    let mut at = 0;
    while at < bytes {
        // SAFETY: a prefetch changes nothing that a program can see, whatever the address; SSE is in the baseline.
        unsafe { _mm_prefetch::<_MM_HINT_T1>(start.wrapping_add(at)) };
        at += 64;
    }
}

/// Fetches the line at this address to the first level.
#[inline(always)]
pub(super) fn touch(at: *const f32) {
    // SAFETY: as above.
    unsafe { _mm_prefetch::<_MM_HINT_T0>(at.cast()) };
}

impl Simd for Avx2 {
    type F = __m256;
    type I = __m256i;
    const LANES: usize = 8;
    const TILE_ROWS: usize = 6;
    const TILE_VECTORS: usize = 2;
    const CODE_ROWS: usize = 3;
    const FAST_CODES: bool = true;

    #[inline(always)]
    fn run<O: Op>(self, op: O) -> O::Output {
        // SAFETY: a value of the type exists only where `new` found the features.
        unsafe { enter(self, op) }
    }

    #[inline(always)]
    fn splat(self, x: f32) -> __m256 {
        op!(_mm256_set1_ps(x))
    }
    #[inline(always)]
    unsafe fn load(self, from: *const f32) -> __m256 {
        // SAFETY: features by the type; the caller vouches for 8 values; the load needs no alignment.
        unsafe { _mm256_loadu_ps(from) }
    }
    #[inline(always)]
    unsafe fn load_part(self, from: *const f32, n: usize) -> __m256 {
        // SAFETY: features by the type; the caller vouches for n values, the mask leaves the others untouched.
        unsafe { _mm256_maskload_ps(from, front(n)) }
    }
    #[inline(always)]
    unsafe fn store(self, to: *mut f32, v: __m256) {
        // SAFETY: features by the type; the caller vouches for 8 values; the store needs no alignment.
        unsafe { _mm256_storeu_ps(to, v) }
    }
    #[inline(always)]
    unsafe fn store_part(self, to: *mut f32, v: __m256, n: usize) {
        // SAFETY: features by the type; the caller vouches for n values, the mask leaves the others untouched.
        unsafe { _mm256_maskstore_ps(to, front(n), v) }
    }
    #[inline(always)]
    fn widen_bf16(self, from: &[u16]) -> __m256 {
        let from = &from[..8];
        // SAFETY: features by the type; the slice has 8 values of 2 bytes; the load needs no alignment.
        unsafe {
            let wide = _mm256_cvtepu16_epi32(_mm_loadu_si128(from.as_ptr().cast()));
            _mm256_castsi256_ps(_mm256_slli_epi32::<16>(wide))
        }
    }
    #[inline(always)]
    fn widen_f16(self, from: &[u16]) -> __m256 {
        let from = &from[..8];
        // SAFETY: features by the type; the slice has 8 values of 2 bytes; the load needs no alignment.
        unsafe { _mm256_cvtph_ps(_mm_loadu_si128(from.as_ptr().cast())) }
    }

    #[inline(always)]
    fn add(self, a: __m256, b: __m256) -> __m256 {
        op!(_mm256_add_ps(a, b))
    }
    #[inline(always)]
    fn sub(self, a: __m256, b: __m256) -> __m256 {
        op!(_mm256_sub_ps(a, b))
    }
    #[inline(always)]
    fn mul(self, a: __m256, b: __m256) -> __m256 {
        op!(_mm256_mul_ps(a, b))
    }
    #[inline(always)]
    fn div_or_zero(self, a: __m256, b: __m256) -> __m256 {
        op!(_mm256_and_ps(_mm256_div_ps(a, b), _mm256_cmp_ps::<_CMP_NEQ_UQ>(b, _mm256_setzero_ps())))
    }
    #[inline(always)]
    fn fma(self, a: __m256, b: __m256, c: __m256) -> __m256 {
        op!(_mm256_fmadd_ps(a, b, c))
    }
    #[inline(always)]
    fn fma_one(self, a: f32, b: f32, c: f32) -> f32 {
        a.mul_add(b, c)
    }
    #[inline(always)]
    fn pairs(self, first: __m256, second: __m256) -> __m256 {
        let (first, second) = (rounded(first), rounded(second));
        op!(_mm256_castsi256_ps(_mm256_blend_epi16::<0xaa>(_mm256_srli_epi32::<16>(first), second)))
    }
    #[inline(always)]
    fn dot2(self, a: __m256, b: __m256, c: __m256) -> __m256 {
        let ((a1, a2), (b1, b2)) = (halves(a), halves(b));
        op!(_mm256_fmadd_ps(a1, b1, _mm256_fmadd_ps(a2, b2, c)))
    }
    #[inline(always)]
    fn sqrt(self, a: __m256) -> __m256 {
        op!(_mm256_sqrt_ps(a))
    }
    #[inline(always)]
    fn max(self, a: __m256, b: __m256) -> __m256 {
        op!(_mm256_max_ps(a, b))
    }
    #[inline(always)]
    fn min(self, a: __m256, b: __m256) -> __m256 {
        op!(_mm256_min_ps(a, b))
    }
    #[inline(always)]
    fn round(self, a: __m256) -> __m256 {
        op!(_mm256_round_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(a))
    }
    #[inline(always)]
    fn scale2(self, a: __m256, n: __m256) -> __m256 {
        // In two factors, so that neither leaves the normal numbers.
        op!({
            let n = _mm256_cvtps_epi32(n);
            let first = _mm256_srai_epi32::<1>(n);
            let second = _mm256_sub_epi32(n, first);
            let one = _mm256_set1_epi32(127);
            let first = _mm256_castsi256_ps(_mm256_slli_epi32::<23>(_mm256_add_epi32(first, one)));
            let second = _mm256_castsi256_ps(_mm256_slli_epi32::<23>(_mm256_add_epi32(second, one)));
            _mm256_mul_ps(_mm256_mul_ps(a, first), second)
        })
    }
    #[inline(always)]
    fn exp_down(self, a: __m256) -> __m256 {
        // Adding it leaves n + 127 in the low bits: an exponent, once it is moved there.
        const ROUND: f32 = 12_582_912.0 + 127.0;
        let lowest = self.splat(-87.0);
        // NaN passes as the second operand.
        let above = self.max(lowest, a);
        let bits = self.fma(above, self.splat(std::f32::consts::LOG2_E), self.splat(ROUND));
        let part = self.exp_part(above, self.sub(bits, self.splat(ROUND)));
        op!({
            let power = _mm256_castsi256_ps(_mm256_slli_epi32::<23>(_mm256_castps_si256(bits)));
            _mm256_and_ps(_mm256_mul_ps(part, power), _mm256_cmp_ps::<_CMP_NLT_UQ>(a, lowest))
        })
    }
    #[inline(always)]
    fn sum(self, a: __m256) -> f32 {
        op!({
            let a = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps::<1>(a));
            let a = _mm_add_ps(a, _mm_movehl_ps(a, a));
            _mm_cvtss_f32(_mm_add_ss(a, _mm_movehdup_ps(a)))
        })
    }
    #[inline(always)]
    fn max_lane(self, a: __m256) -> f32 {
        op!({
            let a = _mm_max_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps::<1>(a));
            let a = _mm_max_ps(a, _mm_movehl_ps(a, a));
            _mm_cvtss_f32(_mm_max_ss(a, _mm_movehdup_ps(a)))
        })
    }
    #[inline(always)]
    fn at_least(self, a: __m256, b: __m256) -> u32 {
        op!(_mm256_movemask_ps(_mm256_cmp_ps::<_CMP_GE_OQ>(a, b))) as u32
    }
    #[inline(always)]
    fn zeros_int(self) -> __m256i {
        op!(_mm256_setzero_si256())
    }
    #[inline(always)]
    unsafe fn load_bytes(self, from: *const u8) -> __m256i {
        // SAFETY: features by the type; the caller vouches for 32 bytes; the load needs no alignment.
        unsafe { _mm256_loadu_si256(from.cast()) }
    }
    #[inline(always)]
    unsafe fn splat_bytes(self, from: *const i8) -> __m256i {
        // SAFETY: features by the type; the caller vouches for 4 bytes; the read needs no alignment.
        unsafe { _mm256_set1_epi32(from.cast::<i32>().read_unaligned()) }
    }
    #[inline(always)]
    fn dot8(self, sum: __m256i, a: [__m256i; 2], b: [__m256i; 2]) -> __m256i {
        // A pair of products is 127 * 63 * 2 at the most, and two of those still fit 16 bits.
        op!({
            let pairs = _mm256_add_epi16(_mm256_maddubs_epi16(a[0], b[0]), _mm256_maddubs_epi16(a[1], b[1]));
            _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)))
        })
    }
    #[inline(always)]
    fn max_int(self, a: __m256i, b: __m256i) -> __m256i {
        op!(_mm256_max_epi32(a, b))
    }
    #[inline(always)]
    fn to_float(self, a: __m256i) -> __m256 {
        op!(_mm256_cvtepi32_ps(a))
    }
    #[inline(always)]
    fn prefetch<T>(self, values: &[T]) {
        prefetch(values);
    }
    #[inline(always)]
    fn touch(self, at: *const f32) {
        touch(at);
    }
}
