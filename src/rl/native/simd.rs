//! Vectors of sixteen f32 on the processor's instruction set.
//!
//! All implementations perform the same operations in the same order and round each once, so a
//! result does not depend on the processor.

use super::product::{LeftMatrix, RightMatrix, SumStart, product_with};

/// An instruction set.
///
/// # Safety
/// Its functions may be called only if the processor supports it. Pointers must be valid
/// for sixteen numbers, or for `count` of them, at most 16; they need not be aligned.
pub(super) trait Simd: Copy {
    /// A vector of sixteen numbers.
    type V: Copy;
    /// Maximum number of vectors per row in a kernel of the matrix product, limited by the number
    /// of registers.
    const COLUMNS: usize;

    unsafe fn splat(x: f32) -> Self::V;
    unsafe fn load(at: *const f32) -> Self::V;
    unsafe fn store(v: Self::V, at: *mut f32);
    /// The first `count` of sixteen elements; the others are neither read nor written.
    #[inline(always)]
    unsafe fn load_part(at: *const f32, count: usize) -> Self::V {
        let mut x = [0.0f32; 16];
        // SAFETY: the caller guarantees `count` numbers at `at`; `x` has sixteen.
        unsafe {
            for (i, x) in x.iter_mut().enumerate().take(count) {
                *x = *at.add(i);
            }
            Self::load(x.as_ptr())
        }
    }

    #[inline(always)]
    unsafe fn store_part(v: Self::V, at: *mut f32, count: usize) {
        let mut x = [0.0f32; 16];
        // SAFETY: the caller guarantees room for `count` numbers at `at`; `x` has sixteen.
        unsafe {
            Self::store(v, x.as_mut_ptr());
            for (i, x) in x.iter().enumerate().take(count) {
                *at.add(i) = *x;
            }
        }
    }

    /// `a * b + c`, rounded once.
    unsafe fn fma(a: Self::V, b: Self::V, c: Self::V) -> Self::V;

    /// [`super::product::product`], compiled once and not inlined at every call.
    unsafe fn product(
        sizes: (usize, usize, usize),
        left: LeftMatrix<'_>,
        right: RightMatrix<'_>,
        start: SumStart<'_>,
        result: (&mut [f32], usize),
    );

    /// Transposes 16 x 16 elements: element j of vector i becomes element i of vector j.
    #[inline(always)]
    unsafe fn transpose(block: &mut [Self::V; 16]) {
        let mut x = [[0.0f32; 16]; 16];
        // SAFETY: every row of `x` has sixteen numbers, and so has the array made of a column.
        unsafe {
            for (x, v) in x.iter_mut().zip(&*block) {
                Self::store(*v, x.as_mut_ptr());
            }
            for (j, v) in block.iter_mut().enumerate() {
                *v = Self::load(std::array::from_fn::<f32, 16, _>(|i| x[i][j]).as_ptr());
            }
        }
    }

    /// The sum of the elements, pairwise in the same order on all instruction sets.
    #[inline(always)]
    unsafe fn sum(v: Self::V) -> f32 {
        let mut x = [0.0f32; 16];
        // SAFETY: `x` has room for sixteen numbers.
        unsafe { Self::store(v, x.as_mut_ptr()) };
        for half in [8, 4, 2, 1] {
            for i in 0..half {
                x[i] += x[i + half];
            }
        }
        x[0]
    }
}

/// Any processor. Slow without a fused multiply-add instruction.
#[derive(Clone, Copy)]
pub(super) struct Plain;

impl Simd for Plain {
    type V = [f32; 16];
    const COLUMNS: usize = 1;

    #[inline(always)]
    unsafe fn splat(x: f32) -> [f32; 16] {
        [x; 16]
    }

    #[inline(always)]
    unsafe fn load(at: *const f32) -> [f32; 16] {
        // SAFETY: the caller guarantees sixteen numbers there.
        unsafe { at.cast::<[f32; 16]>().read_unaligned() }
    }

    #[inline(always)]
    unsafe fn store(v: [f32; 16], at: *mut f32) {
        // SAFETY: the caller guarantees sixteen numbers there.
        unsafe { at.cast::<[f32; 16]>().write_unaligned(v) }
    }

    #[inline(always)]
    unsafe fn fma(a: [f32; 16], b: [f32; 16], c: [f32; 16]) -> [f32; 16] {
        std::array::from_fn(|i| a[i].mul_add(b[i], c[i]))
    }

    #[inline(never)]
    unsafe fn product(
        sizes: (usize, usize, usize),
        left: LeftMatrix<'_>,
        right: RightMatrix<'_>,
        start: SumStart<'_>,
        result: (&mut [f32], usize),
    ) {
        // SAFETY: any processor supports it.
        unsafe { product_with::<Plain>(sizes, left, right, start, result) }
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::*;

    use super::{LeftMatrix, RightMatrix, Simd, SumStart, product_with};

    /// `Simd::product`, compiled with these features.
    macro_rules! product_of {
        ($features:literal) => {
            #[inline(always)]
            unsafe fn product(
                sizes: (usize, usize, usize),
                left: LeftMatrix<'_>,
                right: RightMatrix<'_>,
                start: SumStart<'_>,
                result: (&mut [f32], usize),
            ) {
                #[inline(never)]
                #[target_feature(enable = $features)]
                unsafe fn compiled<S: Simd>(
                    sizes: (usize, usize, usize),
                    left: LeftMatrix<'_>,
                    right: RightMatrix<'_>,
                    start: SumStart<'_>,
                    result: (&mut [f32], usize),
                ) {
                    // SAFETY: the caller guarantees that the processor has these instructions.
                    unsafe { product_with::<S>(sizes, left, right, start, result) }
                }
                // SAFETY: the caller guarantees that the processor has these instructions.
                unsafe { compiled::<Self>(sizes, left, right, start, result) }
            }
        };
    }

    #[derive(Clone, Copy)]
    pub(crate) struct Avx512;

    impl Simd for Avx512 {
        type V = __m512;
        const COLUMNS: usize = 4;

        #[inline(always)]
        unsafe fn splat(x: f32) -> __m512 {
            // SAFETY: the caller guarantees these instructions.
            unsafe { _mm512_set1_ps(x) }
        }

        #[inline(always)]
        unsafe fn load(at: *const f32) -> __m512 {
            // SAFETY: the caller guarantees these instructions, and sixteen numbers at `at`.
            unsafe { _mm512_loadu_ps(at) }
        }

        #[inline(always)]
        unsafe fn store(v: __m512, at: *mut f32) {
            // SAFETY: the caller guarantees these instructions, and room for sixteen numbers at
            // `at`.
            unsafe { _mm512_storeu_ps(at, v) }
        }

        #[inline(always)]
        unsafe fn fma(a: __m512, b: __m512, c: __m512) -> __m512 {
            // SAFETY: the caller guarantees these instructions.
            unsafe { _mm512_fmadd_ps(a, b, c) }
        }

        #[inline(always)]
        unsafe fn load_part(at: *const f32, count: usize) -> __m512 {
            // SAFETY: the caller guarantees these instructions, and `count` numbers at `at`; no
            // others are touched.
            unsafe { _mm512_maskz_loadu_ps(((1u32 << count) - 1) as __mmask16, at) }
        }

        #[inline(always)]
        unsafe fn store_part(v: __m512, at: *mut f32, count: usize) {
            // SAFETY: the caller guarantees these instructions, and room for `count` numbers at
            // `at`.
            unsafe { _mm512_mask_storeu_ps(at, ((1u32 << count) - 1) as __mmask16, v) }
        }

        #[inline(always)]
        unsafe fn sum(v: __m512) -> f32 {
            // SAFETY: the caller guarantees these instructions.
            unsafe {
                let upper = _mm256_castpd_ps(_mm512_extractf64x4_pd::<1>(_mm512_castps_pd(v)));
                let eight = _mm256_add_ps(_mm512_castps512_ps256(v), upper);
                let upper = _mm256_extractf128_ps::<1>(eight);
                let four = _mm_add_ps(_mm256_castps256_ps128(eight), upper);
                let two = _mm_add_ps(four, _mm_movehl_ps(four, four));
                _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)))
            }
        }

        /// Transposes groups of four rows first, then the groups.
        #[inline(always)]
        unsafe fn transpose(block: &mut [__m512; 16]) {
            // SAFETY: the caller guarantees these instructions.
            unsafe {
                for i in [0, 4, 8, 12] {
                    turn_four(&mut block[i..i + 4]);
                }
                for c in 0..4 {
                    let [a, b, p, q] = [block[c], block[4 + c], block[8 + c], block[12 + c]];
                    let first = _mm512_shuffle_f32x4::<0x88>(a, b);
                    let second = _mm512_shuffle_f32x4::<0x88>(p, q);
                    block[c] = _mm512_shuffle_f32x4::<0x88>(first, second);
                    block[8 + c] = _mm512_shuffle_f32x4::<0xdd>(first, second);
                    let first = _mm512_shuffle_f32x4::<0xdd>(a, b);
                    let second = _mm512_shuffle_f32x4::<0xdd>(p, q);
                    block[4 + c] = _mm512_shuffle_f32x4::<0x88>(first, second);
                    block[12 + c] = _mm512_shuffle_f32x4::<0xdd>(first, second);
                }
            }
        }

        product_of!("avx512f,avx2,fma");
    }

    /// Vector c becomes columns c, 4 + c, 8 + c and 12 + c of four rows.
    #[inline(always)]
    unsafe fn turn_four(rows: &mut [__m512]) {
        // SAFETY: the caller guarantees these instructions.
        unsafe {
            let low = _mm512_castps_pd(_mm512_unpacklo_ps(rows[0], rows[1]));
            let high = _mm512_castps_pd(_mm512_unpackhi_ps(rows[0], rows[1]));
            let next_low = _mm512_castps_pd(_mm512_unpacklo_ps(rows[2], rows[3]));
            let next_high = _mm512_castps_pd(_mm512_unpackhi_ps(rows[2], rows[3]));
            rows[0] = _mm512_castpd_ps(_mm512_unpacklo_pd(low, next_low));
            rows[1] = _mm512_castpd_ps(_mm512_unpackhi_pd(low, next_low));
            rows[2] = _mm512_castpd_ps(_mm512_unpacklo_pd(high, next_high));
            rows[3] = _mm512_castpd_ps(_mm512_unpackhi_pd(high, next_high));
        }
    }

    #[derive(Clone, Copy)]
    pub(crate) struct Avx2;

    impl Simd for Avx2 {
        type V = [__m256; 2];
        const COLUMNS: usize = 1;

        #[inline(always)]
        unsafe fn splat(x: f32) -> [__m256; 2] {
            // SAFETY: the caller guarantees these instructions.
            unsafe { [_mm256_set1_ps(x); 2] }
        }

        #[inline(always)]
        unsafe fn load(at: *const f32) -> [__m256; 2] {
            // SAFETY: the caller guarantees these instructions, and sixteen numbers at `at`.
            unsafe { [_mm256_loadu_ps(at), _mm256_loadu_ps(at.add(8))] }
        }

        #[inline(always)]
        unsafe fn store(v: [__m256; 2], at: *mut f32) {
            // SAFETY: the caller guarantees these instructions, and room for sixteen numbers at
            // `at`.
            unsafe {
                _mm256_storeu_ps(at, v[0]);
                _mm256_storeu_ps(at.add(8), v[1]);
            }
        }

        #[inline(always)]
        unsafe fn fma(a: [__m256; 2], b: [__m256; 2], c: [__m256; 2]) -> [__m256; 2] {
            // SAFETY: the caller guarantees these instructions.
            unsafe { [_mm256_fmadd_ps(a[0], b[0], c[0]), _mm256_fmadd_ps(a[1], b[1], c[1])] }
        }

        product_of!("avx2,fma");
    }
}

#[cfg(target_arch = "x86_64")]
pub(super) use x86::{Avx2, Avx512};

/// An instruction set of the processor, from narrow to wide.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SimdLevel {
    Plain,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    #[cfg(target_arch = "x86_64")]
    Avx512,
}

impl SimdLevel {
    /// All that this processor supports, the widest last.
    pub(crate) fn available() -> Vec<SimdLevel> {
        #[cfg(target_arch = "x86_64")]
        {
            let mut levels = vec![SimdLevel::Plain];
            if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
                levels.push(SimdLevel::Avx2);
                if is_x86_feature_detected!("avx512f") {
                    levels.push(SimdLevel::Avx512);
                }
            }
            levels
        }
        #[cfg(not(target_arch = "x86_64"))]
        vec![SimdLevel::Plain]
    }
}

/// Defines `$name` for all levels from `$body`, which is generic over the instruction set and
/// inlined.
macro_rules! by_level {
    ($(#[$about:meta])* $vis:vis fn $name:ident($($arg:ident: $type:ty),* $(,)?) = $body:ident) => {
        $(#[$about])*
        $vis fn $name(level: SimdLevel, $($arg: $type),*) {
            #[cfg(target_arch = "x86_64")]
            {
                use crate::rl::native::simd::{Avx2, Avx512};
                #[target_feature(enable = "avx512f,avx2,fma")]
                unsafe fn avx512($($arg: $type),*) {
                    // SAFETY: the caller guarantees that the processor has these instructions.
                    unsafe { $body::<Avx512>($($arg),*) }
                }
                #[target_feature(enable = "avx2,fma")]
                unsafe fn avx2($($arg: $type),*) {
                    // SAFETY: the caller guarantees that the processor has these instructions.
                    unsafe { $body::<Avx2>($($arg),*) }
                }
                match level {
                    // SAFETY: levels come from `SimdLevel::available`.
                    SimdLevel::Avx512 => return unsafe { avx512($($arg),*) },
                    // SAFETY: likewise.
                    SimdLevel::Avx2 => return unsafe { avx2($($arg),*) },
                    SimdLevel::Plain => {}
                }
            }
            // SAFETY: any processor supports it.
            unsafe { $body::<Plain>($($arg),*) }
        }
    };
}
pub(super) use by_level;
