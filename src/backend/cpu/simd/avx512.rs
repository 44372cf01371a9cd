//! AVX-512: vectors of 16.

use std::arch::x86_64::*;

use super::{Op, Simd};

/// A processor with AVX-512 F, BW, DQ, VL and everything of [`Avx2`](super::avx2::Avx2); with `BF16` also AVX512-BF16 and
/// -VNNI, which every such processor has.
#[derive(Clone, Copy)]
pub(crate) struct Avx512<const BF16: bool>(());

impl<const BF16: bool> Avx512<BF16> {
    pub(crate) fn new() -> Option<Self> {
        let found = super::avx2::Avx2::new().is_some()
            && is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512dq")
            && is_x86_feature_detected!("avx512vl")
            && (!BF16 || (is_x86_feature_detected!("avx512bf16") && is_x86_feature_detected!("avx512vnni")));
        found.then_some(Avx512(()))
    }
}

/// Whether the processor says that AMD made it.
#[allow(unused_unsafe)] // Newer compilers know that the instruction harms nobody.
pub(super) fn made_by_amd() -> bool {
    // SAFETY: every x86-64 processor has the instruction, and leaf 0.
    let name = unsafe { __cpuid(0) };
    [name.ebx, name.edx, name.ecx].map(u32::to_le_bytes).as_flattened() == b"AuthenticAMD"
}

#[target_feature(enable = "avx2,fma,f16c,avx512f,avx512bw,avx512dq,avx512vl")]
fn enter<O: Op>(s: Avx512<false>, op: O) -> O::Output {
    op.run(s)
}

#[target_feature(enable = "avx2,fma,f16c,avx512f,avx512bw,avx512dq,avx512vl,avx512bf16,avx512vnni")]
fn enter_bf16<O: Op>(s: Avx512<true>, op: O) -> O::Output {
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

/// The nearest bf16 value in the upper half of each lane, anything in the lower; a NaN stays one.
#[inline(always)]
fn rounded(x: __m512) -> __m512i {
    op!({
        let bits = _mm512_castps_si512(x);
        let odd = _mm512_and_si512(_mm512_srli_epi32::<16>(bits), _mm512_set1_epi32(1));
        let nearest = _mm512_add_epi32(_mm512_add_epi32(bits, _mm512_set1_epi32(0x7fff)), odd);
        let nan = _mm512_cmp_ps_mask::<_CMP_UNORD_Q>(x, x);
        _mm512_mask_or_epi32(nearest, nan, bits, _mm512_set1_epi32(0x40_0000))
    })
}

/// The first and the second values of pairs.
#[inline(always)]
fn halves(x: __m512) -> (__m512, __m512) {
    op!({
        let bits = _mm512_castps_si512(x);
        let second = _mm512_and_si512(bits, _mm512_set1_epi32(0xffff_0000_u32 as i32));
        (_mm512_castsi512_ps(_mm512_slli_epi32::<16>(bits)), _mm512_castsi512_ps(second))
    })
}

/// [`Simd::pairs`] in two instructions.
#[inline(always)]
fn pairs_bf16(first: __m512, second: __m512) -> __m512 {
    op!({
        // All the first values, then all the second: word l and word 16 + l become lane l.
        let rounded: __m512i = std::mem::transmute(_mm512_cvtne2ps_pbh(second, first));
        let lanes = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
        let seconds = _mm512_slli_epi32::<16>(_mm512_add_epi32(lanes, _mm512_set1_epi32(16)));
        _mm512_castsi512_ps(_mm512_permutexvar_epi16(_mm512_or_si512(lanes, seconds), rounded))
    })
}

/// [`Simd::dot2`] in one instruction.
#[inline(always)]
fn dot2_bf16(a: __m512, b: __m512, c: __m512) -> __m512 {
    op!(_mm512_dpbf16_ps(c, std::mem::transmute::<__m512, __m512bh>(a), std::mem::transmute::<__m512, __m512bh>(b)))
}

impl<const BF16: bool> Simd for Avx512<BF16> {
    type F = __m512;
    type I = __m512i;
    const LANES: usize = 16;
    const TILE_ROWS: usize = 12;
    const TILE_VECTORS: usize = 2;
    const CODE_ROWS: usize = 12;
    const FAST_CODES: bool = true;

    #[inline(always)]
    fn run<O: Op>(self, op: O) -> O::Output {
        // SAFETY: a value of the type exists only where `new` found the features, with `BF16` all of them.
        unsafe { if BF16 { enter_bf16(Avx512::<true>(()), op) } else { enter(Avx512::<false>(()), op) } }
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
    fn pairs(self, first: __m512, second: __m512) -> __m512 {
        if BF16 {
            return pairs_bf16(first, second);
        }
        let (first, second) = (rounded(first), rounded(second));
        op!(_mm512_castsi512_ps(_mm512_mask_blend_epi16(0xaaaa_aaaa, _mm512_srli_epi32::<16>(first), second)))
    }
    #[inline(always)]
    fn dot2(self, a: __m512, b: __m512, c: __m512) -> __m512 {
        if BF16 {
            return dot2_bf16(a, b, c);
        }
        let ((a1, a2), (b1, b2)) = (halves(a), halves(b));
        op!(_mm512_fmadd_ps(a1, b1, _mm512_fmadd_ps(a2, b2, c)))
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
        if BF16 {
            return op!(_mm512_dpbusd_epi32(_mm512_dpbusd_epi32(sum, a[0], b[0]), a[1], b[1]));
        }
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
    #[inline(always)]
    fn touch(self, at: *const f32) {
        super::avx2::touch(at);
    }
}
