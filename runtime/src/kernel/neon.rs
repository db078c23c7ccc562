//! NEON on aarch64.

use core::arch::aarch64::*;

use super::product::{Target, Term, tile};
use super::vector::Vector;

/// Four values.
#[derive(Clone, Copy)]
pub(crate) struct Quad(float32x4_t);

// SAFETY of every block below: the trait's contract gives the features and the pointers.
impl Vector for Quad {
    #[cfg(feature = "lanes")]
    const REGISTERS: usize = 32;
    const LANES: usize = 4;
    const BLOCK: usize = 4;
    type Half = Self;

    #[inline(always)]
    unsafe fn splat(value: f32) -> Self {
        // SAFETY: as above.
        unsafe { Self(vdupq_n_f32(value)) }
    }
    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        // SAFETY: as above.
        unsafe { Self(vld1q_f32(from)) }
    }
    #[inline(always)]
    unsafe fn load_first(from: *const f32, count: usize) -> Self {
        let mut lanes = [0.0; 4];
        // SAFETY: as above; `count` values are read into an array of 4.
        unsafe {
            core::ptr::copy_nonoverlapping(from, lanes.as_mut_ptr(), count);
            Self(vld1q_f32(lanes.as_ptr()))
        }
    }
    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        // SAFETY: as above.
        unsafe { vst1q_f32(to, self.0) }
    }
    #[inline(always)]
    unsafe fn store_first(self, to: *mut f32, count: usize) {
        let mut lanes = [0.0; 4];
        // SAFETY: as above; `count` values of an array of 4 are written.
        unsafe {
            vst1q_f32(lanes.as_mut_ptr(), self.0);
            core::ptr::copy_nonoverlapping(lanes.as_ptr(), to, count);
        }
    }
    #[inline(always)]
    unsafe fn mul_add(self, factor: Self, addend: Self) -> Self {
        // SAFETY: as above.
        unsafe { Self(vfmaq_f32(addend.0, self.0, factor.0)) }
    }
    #[inline(always)]
    unsafe fn add(self, other: Self) -> Self {
        // SAFETY: as above.
        unsafe { Self(vaddq_f32(self.0, other.0)) }
    }
    #[inline(always)]
    unsafe fn sub(self, other: Self) -> Self {
        // SAFETY: as above.
        unsafe { Self(vsubq_f32(self.0, other.0)) }
    }
    #[inline(always)]
    unsafe fn mul(self, other: Self) -> Self {
        // SAFETY: as above.
        unsafe { Self(vmulq_f32(self.0, other.0)) }
    }
    #[inline(always)]
    unsafe fn div(self, other: Self) -> Self {
        // SAFETY: as above.
        unsafe { Self(vdivq_f32(self.0, other.0)) }
    }
    #[inline(always)]
    unsafe fn max(self, other: Self) -> Self {
        // SAFETY: as above; the comparison is false for NaN, which picks `other`.
        unsafe { Self(vbslq_f32(vcgtq_f32(self.0, other.0), self.0, other.0)) }
    }
    #[inline(always)]
    unsafe fn min(self, other: Self) -> Self {
        // SAFETY: as above.
        unsafe { Self(vbslq_f32(vcltq_f32(self.0, other.0), self.0, other.0)) }
    }
    #[inline(always)]
    unsafe fn where_positive(self, gate: Self) -> Self {
        // SAFETY: as above.
        unsafe {
            let positive = vcgtq_f32(gate.0, vdupq_n_f32(0.0));
            Self(vreinterpretq_f32_u32(vandq_u32(vreinterpretq_u32_f32(self.0), positive)))
        }
    }
    #[inline(always)]
    unsafe fn unless_positive(self, gate: Self) -> Self {
        // SAFETY: as above.
        unsafe {
            let positive = vcgtq_f32(gate.0, vdupq_n_f32(0.0));
            Self(vreinterpretq_f32_u32(vbicq_u32(vreinterpretq_u32_f32(self.0), positive)))
        }
    }
    #[inline(always)]
    unsafe fn larger(self, other: Self) -> Self {
        // SAFETY: as above; this instruction keeps NaN.
        unsafe { Self(vmaxq_f32(self.0, other.0)) }
    }

    #[inline(always)]
    unsafe fn splat_pair(from: *const f32) -> Self {
        // SAFETY: as above; both values are read, wherever they lie.
        unsafe { Self(vreinterpretq_f32_f64(vdupq_n_f64(from.cast::<f64>().read_unaligned()))) }
    }
    #[inline(always)]
    unsafe fn pair_sums(self, other: Self) -> Self {
        // SAFETY: as above.
        unsafe { Self(vpaddq_f32(self.0, other.0)) }
    }
    #[inline(always)]
    unsafe fn low(self) -> Self {
        self
    }
    #[inline(always)]
    unsafe fn transpose(from: *const f32, stride: usize, rows: usize, columns: usize, to: *mut f32, to_stride: usize) {
        // SAFETY: as above; only `rows` rows of `columns` values are read and `columns` rows of 4 are written.
        unsafe {
            let mut r = [Self::splat(0.0); 4];
            for (j, row) in r.iter_mut().enumerate().take(rows) {
                let at = from.add(j * stride);
                *row = if columns == 4 { Self::load(at) } else { Self::load_first(at, columns) };
            }
            let pair = |x: Self, y: Self| (vtrn1q_f32(x.0, y.0), vtrn2q_f32(x.0, y.0));
            let ((a, b), (c, d)) = (pair(r[0], r[1]), pair(r[2], r[3]));
            let low = |x, y| vcombine_f32(vget_low_f32(x), vget_low_f32(y));
            let high = |x, y| vcombine_f32(vget_high_f32(x), vget_high_f32(y));
            for (j, column) in [low(a, c), low(b, d), high(a, c), high(b, d)].into_iter().enumerate().take(columns) {
                vst1q_f32(to.add(j * to_stride), column);
            }
        }
    }

    #[inline(always)]
    unsafe fn lane_sums(of: &[Self; 16]) -> Self {
        // SAFETY: as above.
        unsafe { Self(vpaddq_f32(vpaddq_f32(of[0].0, of[1].0), vpaddq_f32(of[2].0, of[3].0))) }
    }
    #[inline(always)]
    unsafe fn tile<const M: usize, const N: usize, const ALONG: bool>(
        terms: &[Term],
        target: &Target,
        row: usize,
        column: usize,
        left: usize,
    ) {
        #[target_feature(enable = "neon")]
        #[inline(never)]
        unsafe fn whole<const M: usize, const N: usize, const ALONG: bool>(
            terms: &[Term],
            target: &Target,
            row: usize,
            column: usize,
        ) {
            // SAFETY: the caller's contract.
            unsafe { tile::<Quad, M, N, ALONG>(terms, target, row, column, 0) }
        }
        #[target_feature(enable = "neon")]
        #[inline(never)]
        unsafe fn part<const M: usize, const N: usize, const ALONG: bool>(
            terms: &[Term],
            target: &Target,
            row: usize,
            column: usize,
            left: usize,
        ) {
            // SAFETY: the caller's contract.
            unsafe { tile::<Quad, M, N, ALONG>(terms, target, row, column, left) }
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
    super::lanes::tile::lane_tile!("neon");
}
