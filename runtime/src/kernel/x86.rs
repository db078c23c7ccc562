//! AVX2 with FMA, and AVX-512.

use core::arch::x86_64::*;

use super::product::{self, Target, Term};
use super::vector::Vector;

/// Eight values.
#[derive(Clone, Copy)]
pub(crate) struct Ymm(__m256);

/// Sixteen values.
#[derive(Clone, Copy)]
pub(crate) struct Zmm(__m512);

/// A window of this table is a mask whose first lanes are on.
static MASKS: [i32; 16] = [-1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0];

#[inline(always)]
unsafe fn mask(count: usize) -> __m256i {
    debug_assert!(count <= 8);
    // SAFETY: the window of 8 begins at 8 − count, between 0 and 8, of a table of 16.
    unsafe { _mm256_loadu_si256(MASKS.as_ptr().add(8 - count).cast()) }
}

#[inline(always)]
unsafe fn mask16(count: usize) -> __mmask16 {
    debug_assert!(count < 16);
    (1_u16 << count) - 1
}

// SAFETY of every block below: the trait's contract gives the features and the pointers.
#[target_feature(enable = "avx2,fma")]
#[inline(never)]
unsafe fn columns_of_ymm(terms: &[Term], target: &Target, rows: usize, column: usize, width: usize) {
    // SAFETY: the caller's contract.
    unsafe { product::columns::<Ymm>(terms, target, rows, column, width) }
}

impl Vector for Ymm {
    const LANES: usize = 8;
    const BLOCK: usize = 8;
    const DOTS: usize = 8;
    type Half = Self;

    #[inline(always)]
    unsafe fn splat(value: f32) -> Self {
        // SAFETY: as above.
        unsafe { Self(_mm256_set1_ps(value)) }
    }
    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        // SAFETY: as above.
        unsafe { Self(_mm256_loadu_ps(from)) }
    }
    #[inline(always)]
    unsafe fn load_first(from: *const f32, count: usize) -> Self {
        // SAFETY: as above; masked lanes are not touched.
        unsafe { Self(_mm256_maskload_ps(from, mask(count))) }
    }
    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        // SAFETY: as above.
        unsafe { _mm256_storeu_ps(to, self.0) }
    }
    #[inline(always)]
    unsafe fn store_first(self, to: *mut f32, count: usize) {
        // SAFETY: as above; masked lanes are not touched.
        unsafe { _mm256_maskstore_ps(to, mask(count), self.0) }
    }
    #[inline(always)]
    unsafe fn mul_add(self, factor: Self, addend: Self) -> Self {
        // SAFETY: as above.
        unsafe { Self(_mm256_fmadd_ps(self.0, factor.0, addend.0)) }
    }
    #[inline(always)]
    unsafe fn add(self, other: Self) -> Self {
        // SAFETY: as above.
        unsafe { Self(_mm256_add_ps(self.0, other.0)) }
    }
    #[inline(always)]
    unsafe fn sub(self, other: Self) -> Self {
        // SAFETY: as above.
        unsafe { Self(_mm256_sub_ps(self.0, other.0)) }
    }
    #[inline(always)]
    unsafe fn mul(self, other: Self) -> Self {
        // SAFETY: as above.
        unsafe { Self(_mm256_mul_ps(self.0, other.0)) }
    }
    #[inline(always)]
    unsafe fn div(self, other: Self) -> Self {
        // SAFETY: as above.
        unsafe { Self(_mm256_div_ps(self.0, other.0)) }
    }
    #[inline(always)]
    unsafe fn max(self, other: Self) -> Self {
        // SAFETY: as above.
        unsafe { Self(_mm256_max_ps(self.0, other.0)) }
    }
    #[inline(always)]
    unsafe fn min(self, other: Self) -> Self {
        // SAFETY: as above.
        unsafe { Self(_mm256_min_ps(self.0, other.0)) }
    }
    #[inline(always)]
    unsafe fn where_positive(self, gate: Self) -> Self {
        // SAFETY: as above.
        unsafe { Self(_mm256_and_ps(self.0, _mm256_cmp_ps::<_CMP_GT_OQ>(gate.0, _mm256_setzero_ps()))) }
    }
    #[inline(always)]
    unsafe fn unless_positive(self, gate: Self) -> Self {
        // SAFETY: as above.
        unsafe { Self(_mm256_andnot_ps(_mm256_cmp_ps::<_CMP_GT_OQ>(gate.0, _mm256_setzero_ps()), self.0)) }
    }
    #[inline(always)]
    unsafe fn larger(self, other: Self) -> Self {
        // SAFETY: as above. `max` gives `other` where either is NaN, which is wrong only where `self` is.
        unsafe {
            let unordered = _mm256_cmp_ps::<_CMP_UNORD_Q>(self.0, self.0);
            Self(_mm256_blendv_ps(_mm256_max_ps(self.0, other.0), self.0, unordered))
        }
    }

    #[inline(always)]
    unsafe fn splat_pair(from: *const f32) -> Self {
        // SAFETY: as above; both values are read, wherever they lie.
        unsafe { Self(_mm256_castpd_ps(_mm256_set1_pd(from.cast::<f64>().read_unaligned()))) }
    }
    #[inline(always)]
    unsafe fn pair_sums(self, other: Self) -> Self {
        // SAFETY: as above. The sums of the low halves come first, then those of the high ones.
        unsafe {
            let sums = _mm256_castps_pd(_mm256_hadd_ps(self.0, other.0));
            Self(_mm256_castpd_ps(_mm256_permute4x64_pd::<0b11_01_10_00>(sums)))
        }
    }
    #[inline(always)]
    unsafe fn low(self) -> Self {
        self
    }
    #[inline(always)]
    unsafe fn columns(terms: &[Term], target: &Target, rows: usize, column: usize, width: usize) {
        // SAFETY: as above.
        unsafe { columns_of_ymm(terms, target, rows, column, width) }
    }
    #[inline(always)]
    unsafe fn transpose(from: *const f32, stride: usize, rows: usize, columns: usize, to: *mut f32, to_stride: usize) {
        // SAFETY: as above; only `rows` rows of `columns` values are read and `columns` rows of 8 are written.
        unsafe {
            let mut r = [_mm256_setzero_ps(); 8];
            if rows == 8 && columns == 8 {
                for (j, row) in r.iter_mut().enumerate() {
                    *row = _mm256_loadu_ps(from.add(j * stride));
                }
            } else {
                let mask = mask(columns);
                for (j, row) in r.iter_mut().enumerate().take(rows) {
                    *row = _mm256_maskload_ps(from.add(j * stride), mask);
                }
            }
            let mut t = r;
            for j in 0..4 {
                t[2 * j] = _mm256_unpacklo_ps(r[2 * j], r[2 * j + 1]);
                t[2 * j + 1] = _mm256_unpackhi_ps(r[2 * j], r[2 * j + 1]);
            }
            for j in [0, 4] {
                r[j] = _mm256_shuffle_ps::<0x44>(t[j], t[j + 2]);
                r[j + 1] = _mm256_shuffle_ps::<0xee>(t[j], t[j + 2]);
                r[j + 2] = _mm256_shuffle_ps::<0x44>(t[j + 1], t[j + 3]);
                r[j + 3] = _mm256_shuffle_ps::<0xee>(t[j + 1], t[j + 3]);
            }
            for j in 0..4 {
                t[j] = _mm256_permute2f128_ps::<0x20>(r[j], r[j + 4]);
                t[j + 4] = _mm256_permute2f128_ps::<0x31>(r[j], r[j + 4]);
            }
            if columns == 8 {
                for (j, column) in t.iter().enumerate() {
                    _mm256_storeu_ps(to.add(j * to_stride), *column);
                }
            } else {
                for (j, column) in t.iter().enumerate().take(columns) {
                    _mm256_storeu_ps(to.add(j * to_stride), *column);
                }
            }
        }
    }

    #[inline(always)]
    unsafe fn dots(from: *const f32, stride: usize, rows: usize, with: *const f32, len: usize, to: *mut f32) {
        // A missing row is stood in for by the first one; nobody reads its sum.
        // SAFETY: as above; `len` values of each of the rows and of `with` are read, 8 values are written.
        unsafe {
            let row: [*const f32; 8] = core::array::from_fn(|j| if j < rows { from.add(j * stride) } else { from });
            let mut a = [_mm256_setzero_ps(); 8];
            let mut i = 0;
            while i + 8 <= len {
                let w = _mm256_loadu_ps(with.add(i));
                for (j, sum) in a.iter_mut().enumerate() {
                    *sum = _mm256_fmadd_ps(_mm256_loadu_ps(row[j].add(i)), w, *sum);
                }
                i += 8;
            }
            if i < len {
                let mask = mask(len - i);
                let w = _mm256_maskload_ps(with.add(i), mask);
                for (j, sum) in a.iter_mut().enumerate() {
                    *sum = _mm256_fmadd_ps(_mm256_maskload_ps(row[j].add(i), mask), w, *sum);
                }
            }
            // Lane sums of eight vectors, by halves: 21 operations instead of 8 · 6.
            let pair = |x, y| _mm256_add_ps(_mm256_unpacklo_ps(x, y), _mm256_unpackhi_ps(x, y));
            let four = |x, y| _mm256_add_ps(_mm256_shuffle_ps::<0x44>(x, y), _mm256_shuffle_ps::<0xee>(x, y));
            let low = four(pair(a[0], a[1]), pair(a[2], a[3]));
            let high = four(pair(a[4], a[5]), pair(a[6], a[7]));
            let sums =
                _mm256_add_ps(_mm256_permute2f128_ps::<0x20>(low, high), _mm256_permute2f128_ps::<0x31>(low, high));
            _mm256_storeu_ps(to, sums);
        }
    }
}

#[target_feature(enable = "avx2,fma,avx512f,avx512vl,avx512dq")]
#[inline(never)]
unsafe fn columns_of_zmm(terms: &[Term], target: &Target, rows: usize, column: usize, width: usize) {
    // SAFETY: the caller's contract.
    unsafe { product::columns::<Zmm>(terms, target, rows, column, width) }
}

impl Vector for Zmm {
    const LANES: usize = 16;
    const BLOCK: usize = 8;
    const DOTS: usize = 8;
    type Half = Ymm;

    #[inline(always)]
    unsafe fn splat(value: f32) -> Self {
        // SAFETY: as above.
        unsafe { Self(_mm512_set1_ps(value)) }
    }
    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        // SAFETY: as above.
        unsafe { Self(_mm512_loadu_ps(from)) }
    }
    #[inline(always)]
    unsafe fn load_first(from: *const f32, count: usize) -> Self {
        // SAFETY: as above; masked lanes are not touched.
        unsafe { Self(_mm512_maskz_loadu_ps(mask16(count), from)) }
    }
    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        // SAFETY: as above.
        unsafe { _mm512_storeu_ps(to, self.0) }
    }
    #[inline(always)]
    unsafe fn store_first(self, to: *mut f32, count: usize) {
        // SAFETY: as above; masked lanes are not touched.
        unsafe { _mm512_mask_storeu_ps(to, mask16(count), self.0) }
    }
    #[inline(always)]
    unsafe fn mul_add(self, factor: Self, addend: Self) -> Self {
        // SAFETY: as above.
        unsafe { Self(_mm512_fmadd_ps(self.0, factor.0, addend.0)) }
    }
    #[inline(always)]
    unsafe fn add(self, other: Self) -> Self {
        // SAFETY: as above.
        unsafe { Self(_mm512_add_ps(self.0, other.0)) }
    }
    #[inline(always)]
    unsafe fn sub(self, other: Self) -> Self {
        // SAFETY: as above.
        unsafe { Self(_mm512_sub_ps(self.0, other.0)) }
    }
    #[inline(always)]
    unsafe fn mul(self, other: Self) -> Self {
        // SAFETY: as above.
        unsafe { Self(_mm512_mul_ps(self.0, other.0)) }
    }
    #[inline(always)]
    unsafe fn div(self, other: Self) -> Self {
        // SAFETY: as above.
        unsafe { Self(_mm512_div_ps(self.0, other.0)) }
    }
    #[inline(always)]
    unsafe fn max(self, other: Self) -> Self {
        // SAFETY: as above.
        unsafe { Self(_mm512_max_ps(self.0, other.0)) }
    }
    #[inline(always)]
    unsafe fn min(self, other: Self) -> Self {
        // SAFETY: as above.
        unsafe { Self(_mm512_min_ps(self.0, other.0)) }
    }
    #[inline(always)]
    unsafe fn where_positive(self, gate: Self) -> Self {
        // SAFETY: as above.
        unsafe {
            let positive = _mm512_cmp_ps_mask::<_CMP_GT_OQ>(gate.0, _mm512_setzero_ps());
            Self(_mm512_maskz_mov_ps(positive, self.0))
        }
    }
    #[inline(always)]
    unsafe fn unless_positive(self, gate: Self) -> Self {
        // SAFETY: as above.
        unsafe {
            let other = _mm512_cmp_ps_mask::<_CMP_NGT_UQ>(gate.0, _mm512_setzero_ps());
            Self(_mm512_maskz_mov_ps(other, self.0))
        }
    }
    #[inline(always)]
    unsafe fn larger(self, other: Self) -> Self {
        // SAFETY: as above. `max` gives `other` where either is NaN, which is wrong only where `self` is.
        unsafe {
            let unordered = _mm512_cmp_ps_mask::<_CMP_UNORD_Q>(self.0, self.0);
            Self(_mm512_mask_mov_ps(_mm512_max_ps(self.0, other.0), unordered, self.0))
        }
    }
    #[inline(always)]
    unsafe fn splat_pair(from: *const f32) -> Self {
        // SAFETY: as above; both values are read, wherever they lie.
        unsafe { Self(_mm512_castpd_ps(_mm512_set1_pd(from.cast::<f64>().read_unaligned()))) }
    }
    #[inline(always)]
    unsafe fn pair_sums(self, other: Self) -> Self {
        // SAFETY: as above.
        unsafe {
            let even = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
            let odd = _mm512_setr_epi32(1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31);
            let (even, odd) =
                (_mm512_permutex2var_ps(self.0, even, other.0), _mm512_permutex2var_ps(self.0, odd, other.0));
            Self(_mm512_add_ps(even, odd))
        }
    }
    #[inline(always)]
    unsafe fn low(self) -> Ymm {
        // SAFETY: as above.
        unsafe { Ymm(_mm512_castps512_ps256(self.0)) }
    }
    #[inline(always)]
    unsafe fn columns(terms: &[Term], target: &Target, rows: usize, column: usize, width: usize) {
        // SAFETY: as above.
        unsafe { columns_of_zmm(terms, target, rows, column, width) }
    }
    #[inline(always)]
    unsafe fn transpose(from: *const f32, stride: usize, rows: usize, columns: usize, to: *mut f32, to_stride: usize) {
        // SAFETY: as above.
        unsafe { Ymm::transpose(from, stride, rows, columns, to, to_stride) }
    }
    #[inline(always)]
    unsafe fn dots(from: *const f32, stride: usize, rows: usize, with: *const f32, len: usize, to: *mut f32) {
        // SAFETY: as above.
        unsafe { Ymm::dots(from, stride, rows, with, len, to) }
    }
}
