//! Givens rotations of one more row into a triangular system: the update of a least-squares problem by one sample.
//!
//! Golub and van Loan, *Matrix Computations* (2013), section 6.5.3. The triangle R is kept, and never its product RᵀR: this squares no
//! condition number and cannot lose a positive diagonal.

use super::{Path, solve::System, vectors};
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
use super::{
    solve::{lanes_from, root},
    vector::Vector,
};

/// Values are rounded to multiples of about 8e-28 on their way back: added to and taken from a small value, this leaves 0.
///
/// Without it a part of R that decays and is never excited ends among the subnormal numbers and stays there, where many processors
/// need a hundred times as long.
const FLOOR: f32 = 1.355_252_7e-20;

/// `[R | Z]` becomes the triangle of the rows `[scale R | scale Z]` and `row`: `RᵀR ← scale² RᵀR + xxᵀ`, `RᵀZ ← scale² RᵀZ + xyᵀ` for the
/// row `[x | y]`.
///
/// `matrix` and `row` are laid out as [`System`] says, with zeros in the padding and below the diagonal. Rotations begin at row
/// `first`: the first so many values of `row` must be 0. `inverse`, `[unknowns]`, receives 1 / R_kk; `factors` is scratch of
/// `2 · unknowns` values, and `row` is garbage afterwards. The diagonal stays positive as long as squares neither overflow nor
/// vanish. The work depends on `first` alone.
pub fn rotate(
    path: Path,
    system: System,
    matrix: &mut [f32],
    inverse: &mut [f32],
    row: &mut [f32],
    first: usize,
    scale: f32,
    factors: &mut [f32],
) {
    assert!(matrix.len() == system.len(path) && inverse.len() == system.unknowns);
    assert!(row.len() == system.stride(path) && factors.len() == 2 * system.unknowns);
    // Contract of the generic kernel: the lengths above.
    vectors!(
        path,
        rotate_scalar(system, matrix, inverse, row, first, scale),
        rotate_fast(
            system: System = system,
            matrix: &mut [f32] = matrix,
            inverse: &mut [f32] = inverse,
            row: &mut [f32] = row,
            first: usize = first,
            scale: f32 = scale,
            factors: &mut [f32] = factors,
        )
    );
}

fn rotate_scalar(system: System, matrix: &mut [f32], inverse: &mut [f32], row: &mut [f32], first: usize, scale: f32) {
    let rows = matrix.chunks_exact_mut(system.stride(Path::SCALAR)).zip(inverse).enumerate();
    for (k, (r, inverse)) in rows.skip(first) {
        let (r, x) = (&mut r[k..], &mut row[k..]);
        let (pivot, value) = (scale * r[0], x[0]);
        *inverse = 1.0 / libm::sqrtf(pivot * pivot + value * value);
        let (cosine, sine) = (pivot * *inverse, value * *inverse);
        for (r, x) in r.iter_mut().zip(x) {
            let (up, down) = (scale * *r, *x);
            *r = ((cosine * up + sine * down) + FLOOR) - FLOOR;
            *x = cosine * down - sine * up;
        }
    }
}

/// By columns: a vector of the row goes through all rotations while it is in a register, those that columns before it made, which
/// are kept in `factors`, and then its own.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
#[inline(always)]
unsafe fn rotate_fast<V: Vector>(
    system: System,
    matrix: &mut [f32],
    inverse: &mut [f32],
    row: &mut [f32],
    first: usize,
    scale: f32,
    factors: &mut [f32],
) {
    let n = system.unknowns;
    let stride = (n + system.sides).next_multiple_of(V::LANES);
    let (r, inverse, row) = (matrix.as_mut_ptr(), inverse.as_mut_ptr(), row.as_ptr());
    let (cosines, sines) = (factors.as_mut_ptr(), factors.as_mut_ptr().wrapping_add(n));
    let mut at = first - first % V::LANES;
    // SAFETY: the features of `V` and the lengths, by the caller; rows are whole vectors.
    unsafe {
        let (floor, scales) = (V::splat(FLOOR), V::splat(scale));
        while at < stride {
            let mut x = V::load(row.add(at));
            for k in first..at.min(n) {
                let from = r.add(k * stride + at);
                let (up, sine) = (V::load(from).mul(scales), V::splat(*sines.add(k)));
                let cosine = V::splat(*cosines.add(k));
                cosine.mul_add(up, sine.mul(x)).add(floor).sub(floor).store(from);
                x = cosine.mul_add(x, V::splat(0.0).sub(sine.mul(up)));
            }
            for k in first.max(at)..n.min(at + V::LANES) {
                let from = r.add(k * stride + at);
                let mut lanes = [0.0; 16];
                x.store(lanes.as_mut_ptr());
                let (pivot, value) = (scale * *from.add(k - at), *lanes.get_unchecked(k - at));
                let up = V::load(from).mul(scales);
                let reciprocal = 1.0 / root(pivot * pivot + value * value);
                *inverse.add(k) = reciprocal;
                let (cosine, sine) = (pivot * reciprocal, value * reciprocal);
                *cosines.add(k) = cosine;
                *sines.add(k) = sine;
                let (cosine, sine) = (V::splat(cosine), V::splat(sine));
                // Rounding leaves a little of x in the lanes that are done: they stay out of R.
                let down = x.mul(lanes_from::<V>(k - at));
                cosine.mul_add(up, sine.mul(down)).add(floor).sub(floor).store(from);
                x = cosine.mul_add(x, V::splat(0.0).sub(sine.mul(up)));
            }
            at += V::LANES;
        }
    }
}
