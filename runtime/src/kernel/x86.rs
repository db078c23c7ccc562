//! AVX2 with FMA, and AVX-512.

use core::arch::x86_64::*;

use super::product::{Target, Term, tile};
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
impl Vector for Ymm {
    #[cfg(feature = "lanes")]
    const REGISTERS: usize = 16;
    const LANES: usize = 8;
    const BLOCK: usize = 8;
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
    unsafe fn lane_sums(of: &[Self; 16]) -> Self {
        // By halves: 21 operations instead of 8 · 6.
        // SAFETY: as above.
        unsafe {
            let pair = |x: Self, y: Self| _mm256_add_ps(_mm256_unpacklo_ps(x.0, y.0), _mm256_unpackhi_ps(x.0, y.0));
            let four = |x, y| _mm256_add_ps(_mm256_shuffle_ps::<0x44>(x, y), _mm256_shuffle_ps::<0xee>(x, y));
            let low = four(pair(of[0], of[1]), pair(of[2], of[3]));
            let high = four(pair(of[4], of[5]), pair(of[6], of[7]));
            let (here, there) = (_mm256_permute2f128_ps::<0x20>(low, high), _mm256_permute2f128_ps::<0x31>(low, high));
            Self(_mm256_add_ps(here, there))
        }
    }
    #[inline(always)]
    unsafe fn tile<const M: usize, const N: usize, const ALONG: bool>(
        terms: &[Term],
        target: &Target,
        row: usize,
        column: usize,
        left: usize,
    ) {
        #[target_feature(enable = "avx2,fma")]
        #[inline(never)]
        unsafe fn whole<const M: usize, const N: usize, const ALONG: bool>(
            terms: &[Term],
            target: &Target,
            row: usize,
            column: usize,
        ) {
            // SAFETY: the caller's contract.
            unsafe { tile::<Ymm, M, N, ALONG>(terms, target, row, column, 0) }
        }
        #[target_feature(enable = "avx2,fma")]
        #[inline(never)]
        unsafe fn part<const M: usize, const N: usize, const ALONG: bool>(
            terms: &[Term],
            target: &Target,
            row: usize,
            column: usize,
            left: usize,
        ) {
            // SAFETY: the caller's contract.
            unsafe { tile::<Ymm, M, N, ALONG>(terms, target, row, column, left) }
        }
        // SAFETY: as above.
        unsafe {
            if left == 0 {
                whole::<M, N, ALONG>(terms, target, row, column)
            } else {
                part::<M, N, ALONG>(terms, target, row, column, left)
            }
        }
    }
    #[cfg(feature = "lanes")]
    super::lanes::tile::one_row!();
    #[cfg(feature = "lanes")]
    super::lanes::tile::lane_tile!("avx2,fma");
}

impl Vector for Zmm {
    #[cfg(feature = "lanes")]
    const REGISTERS: usize = 32;
    const LANES: usize = 16;
    const BLOCK: usize = 8;
    const SQUARE: usize = 16;
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
    unsafe fn transpose(from: *const f32, stride: usize, rows: usize, columns: usize, to: *mut f32, to_stride: usize) {
        // SAFETY: as above.
        unsafe { Ymm::transpose(from, stride, rows, columns, to, to_stride) }
    }
    #[inline(always)]
    unsafe fn turn_squares(from: *const f32, step: usize, rows: usize, columns: usize, to: *mut f32, to_step: usize) {
        // SAFETY: as above.
        unsafe { turn_squares(from, step, rows, columns, to, to_step) }
    }
    #[inline(always)]
    unsafe fn lane_sums(of: &[Self; 16]) -> Self {
        // By halves: 45 operations instead of 16 · 8.
        // SAFETY: as above.
        unsafe {
            let mut pairs = [_mm512_setzero_ps(); 8];
            for (j, pair) in pairs.iter_mut().enumerate() {
                let (x, y) = (of[2 * j].0, of[2 * j + 1].0);
                *pair = _mm512_add_ps(_mm512_unpacklo_ps(x, y), _mm512_unpackhi_ps(x, y));
            }
            let mut fours = [_mm512_setzero_ps(); 4];
            for (j, four) in fours.iter_mut().enumerate() {
                let (x, y) = (pairs[2 * j], pairs[2 * j + 1]);
                *four = _mm512_add_ps(_mm512_shuffle_ps::<0x44>(x, y), _mm512_shuffle_ps::<0xee>(x, y));
            }
            let mut eights = [_mm512_setzero_ps(); 2];
            for (j, eight) in eights.iter_mut().enumerate() {
                let (x, y) = (fours[2 * j], fours[2 * j + 1]);
                *eight = _mm512_add_ps(_mm512_shuffle_f32x4::<0x44>(x, y), _mm512_shuffle_f32x4::<0xee>(x, y));
            }
            let (here, there) = (
                _mm512_shuffle_f32x4::<0x88>(eights[0], eights[1]),
                _mm512_shuffle_f32x4::<0xdd>(eights[0], eights[1]),
            );
            Self(_mm512_add_ps(here, there))
        }
    }
    #[inline(always)]
    unsafe fn tile<const M: usize, const N: usize, const ALONG: bool>(
        terms: &[Term],
        target: &Target,
        row: usize,
        column: usize,
        left: usize,
    ) {
        #[target_feature(enable = "avx2,fma,avx512f,avx512vl,avx512dq")]
        #[inline(never)]
        unsafe fn whole<const M: usize, const N: usize, const ALONG: bool>(
            terms: &[Term],
            target: &Target,
            row: usize,
            column: usize,
        ) {
            // SAFETY: the caller's contract.
            unsafe { tile::<Zmm, M, N, ALONG>(terms, target, row, column, 0) }
        }
        #[target_feature(enable = "avx2,fma,avx512f,avx512vl,avx512dq")]
        #[inline(never)]
        unsafe fn part<const M: usize, const N: usize, const ALONG: bool>(
            terms: &[Term],
            target: &Target,
            row: usize,
            column: usize,
            left: usize,
        ) {
            // SAFETY: the caller's contract.
            unsafe { tile::<Zmm, M, N, ALONG>(terms, target, row, column, left) }
        }
        // SAFETY: as above.
        unsafe {
            if left == 0 {
                whole::<M, N, ALONG>(terms, target, row, column)
            } else {
                part::<M, N, ALONG>(terms, target, row, column, left)
            }
        }
    }
    #[cfg(feature = "lanes")]
    type Task = Ymm;
    #[cfg(feature = "lanes")]
    #[inline(always)]
    unsafe fn repeat(from: *const f32) -> Self {
        // SAFETY: the caller's contract.
        unsafe { Self(_mm512_broadcast_f32x8(_mm256_loadu_ps(from))) }
    }
    #[cfg(feature = "lanes")]
    #[inline(always)]
    unsafe fn fold(self) -> Ymm {
        // SAFETY: the caller's contract.
        unsafe { Ymm(_mm256_add_ps(_mm512_castps512_ps256(self.0), _mm512_extractf32x8_ps::<1>(self.0))) }
    }
    #[cfg(feature = "lanes")]
    super::lanes::tile::lane_tile!("avx2,fma,avx512f,avx512vl,avx512dq");
}

/// Eight rows of 16 values, turned within each quarter of a register: quarter q of register j, or of j + 4, holds four rows of column
/// `4 q + j % 4`.
///
/// # Safety
/// avx512f; so many values exist behind `from`.
#[inline(always)]
unsafe fn turn_quarters(from: *const f32, step: usize) -> [__m512; 8] {
    // SAFETY: the caller's contract.
    unsafe {
        let mut r = [_mm512_setzero_ps(); 8];
        for (j, row) in r.iter_mut().enumerate() {
            *row = _mm512_loadu_ps(from.add(j * step));
        }
        let mut t = r;
        for j in 0..4 {
            t[2 * j] = _mm512_unpacklo_ps(r[2 * j], r[2 * j + 1]);
            t[2 * j + 1] = _mm512_unpackhi_ps(r[2 * j], r[2 * j + 1]);
        }
        for j in [0, 4] {
            r[j] = _mm512_shuffle_ps::<0x44>(t[j], t[j + 2]);
            r[j + 1] = _mm512_shuffle_ps::<0xee>(t[j], t[j + 2]);
            r[j + 2] = _mm512_shuffle_ps::<0x44>(t[j + 1], t[j + 3]);
            r[j + 3] = _mm512_shuffle_ps::<0xee>(t[j + 1], t[j + 3]);
        }
        r
    }
}

/// Turns squares of 16 rows of 16 values: two rounds of shuffles within quarters of the registers, two of whole quarters.
///
/// Not inlined: in a larger function the 16 rows would not stay in registers.
///
/// # Safety
/// avx512f; `rows` and `columns` are multiples of 16, and so many values exist behind both pointers.
#[target_feature(enable = "avx512f")]
#[inline(never)]
unsafe fn turn_squares(from: *const f32, step: usize, rows: usize, columns: usize, to: *mut f32, to_step: usize) {
    for row in (0..rows).step_by(16) {
        for column in (0..columns).step_by(16) {
            // SAFETY: the caller's contract.
            unsafe {
                let (from, to) = (from.add(row * step + column), to.add(column * to_step + row));
                let above = turn_quarters(from, step);
                let below = turn_quarters(from.add(8 * step), step);
                for j in 0..4 {
                    let above_left = _mm512_shuffle_f32x4::<0x44>(above[j], above[j + 4]);
                    let above_right = _mm512_shuffle_f32x4::<0xee>(above[j], above[j + 4]);
                    let below_left = _mm512_shuffle_f32x4::<0x44>(below[j], below[j + 4]);
                    let below_right = _mm512_shuffle_f32x4::<0xee>(below[j], below[j + 4]);
                    _mm512_storeu_ps(to.add(j * to_step), _mm512_shuffle_f32x4::<0x88>(above_left, below_left));
                    _mm512_storeu_ps(to.add((j + 4) * to_step), _mm512_shuffle_f32x4::<0xdd>(above_left, below_left));
                    _mm512_storeu_ps(to.add((j + 8) * to_step), _mm512_shuffle_f32x4::<0x88>(above_right, below_right));
                    _mm512_storeu_ps(
                        to.add((j + 12) * to_step),
                        _mm512_shuffle_f32x4::<0xdd>(above_right, below_right),
                    );
                }
            }
        }
    }
}
