//! NEON on aarch64.

use core::arch::aarch64::*;

use super::product::{self, Target, Term};
use super::vector::Vector;

/// Four values.
#[derive(Clone, Copy)]
pub(crate) struct Quad(float32x4_t);

// SAFETY of every block below: the trait's contract gives the features and the pointers.
#[target_feature(enable = "neon")]
#[inline(never)]
unsafe fn columns_of_quad(terms: &[Term], target: &Target, rows: usize, column: usize, width: usize) {
    // SAFETY: the caller's contract.
    unsafe { product::columns::<Quad>(terms, target, rows, column, width) }
}

impl Vector for Quad {
    const LANES: usize = 4;
    const BLOCK: usize = 4;
    const DOTS: usize = 4;
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
    unsafe fn columns(terms: &[Term], target: &Target, rows: usize, column: usize, width: usize) {
        // SAFETY: as above.
        unsafe { columns_of_quad(terms, target, rows, column, width) }
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
    unsafe fn dots(from: *const f32, stride: usize, rows: usize, with: *const f32, len: usize, to: *mut f32) {
        // A missing row is stood in for by the first one; nobody reads its sum.
        // SAFETY: as above; `len` values of each of the rows and of `with` are read, 4 values are written.
        unsafe {
            let row: [*const f32; 4] = core::array::from_fn(|j| if j < rows { from.add(j * stride) } else { from });
            let mut a = [vdupq_n_f32(0.0); 4];
            let mut i = 0;
            while i + 4 <= len {
                let w = vld1q_f32(with.add(i));
                for (j, sum) in a.iter_mut().enumerate() {
                    *sum = vfmaq_f32(*sum, vld1q_f32(row[j].add(i)), w);
                }
                i += 4;
            }
            if i < len {
                let w = Self::load_first(with.add(i), len - i);
                for (j, sum) in a.iter_mut().enumerate() {
                    *sum = Self::load_first(row[j].add(i), len - i).mul_add(w, Self(*sum)).0;
                }
            }
            vst1q_f32(to, vpaddq_f32(vpaddq_f32(a[0], a[1]), vpaddq_f32(a[2], a[3])));
        }
    }
}
