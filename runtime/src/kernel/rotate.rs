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

/// Values are rounded to multiples of 2⁻⁶³, about 1e-19, on their way back: 2⁻⁴⁰ is added and taken away again.
///
/// Without it a part of R that decays and is never excited ends among the subnormal numbers and stays there, where many processors
/// need a hundred times as long. Of these multiples even the squares are normal numbers.
const FLOOR: f32 = 9.094_947e-13;

/// `[R | Z]` becomes the triangle of the rows `[scale R | scale Z]` and `row`: `RᵀR ← scale² RᵀR + xxᵀ`, `RᵀZ ← scale² RᵀZ + xyᵀ` for the
/// row `[x | y]`.
///
/// `matrix` and `row` are laid out as [`System`] says, with zeros in the padding and below the diagonal. Rotations begin at row
/// `first`: the first so many values of `row` must be 0, and the rows above keep their scale. `inverse`, `[unknowns]`, receives 1 / R_kk; `factors` is scratch of
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

#[cfg(test)]
mod tests {
    use nalgebra::DMatrix;
    use std::vec::Vec;

    use super::*;

    fn value(i: usize) -> f32 {
        ((i * 7919 + 13) % 1009) as f32 / 504.5 - 1.0
    }

    #[test]
    fn rotations_keep_the_products_of_all_rows_on_every_path() {
        for path in Path::available() {
            for (n, sides) in [(1, 1), (2, 3), (7, 2), (16, 16), (17, 5), (33, 20), (41, 4)] {
                let system = System { unknowns: n, sides };
                let stride = system.stride(path);
                let mut matrix = std::vec![0.0; system.len(path)];
                for (k, row) in matrix.chunks_exact_mut(stride).enumerate() {
                    (k..n + sides).for_each(|i| row[i] = value(k * 31 + i));
                    row[k] = 0.5 + value(k).abs();
                }
                let exact = |values: &[f32], rows: usize| {
                    DMatrix::from_fn(rows, n + sides, |r, i| f64::from(values[r * stride + i]))
                };
                let mut inverse = std::vec![0.0; n];
                let mut factors = std::vec![0.0; 2 * n];
                let squares = |matrix: &DMatrix<f64>| matrix.columns(0, n).transpose() * matrix;
                for turn in 0..2 * n {
                    let (first, scale) = (turn % n, if turn % 2 == 0 { 1.0 } else { 0.9 });
                    let mut row = std::vec![0.0; stride];
                    (first..n + sides).for_each(|i| row[i] = value(turn * 53 + i));
                    let before = exact(&matrix, n);
                    // Rows above the first one do not take part, and are not scaled.
                    let mut scaled = before.clone();
                    scaled.rows_mut(first, n - first).scale_mut(f64::from(scale));
                    let want = squares(&scaled) + squares(&exact(&row, 1));
                    rotate(path, system, &mut matrix, &mut inverse, &mut row, first, scale, &mut factors);
                    let after = exact(&matrix, n);
                    let error = (squares(&after) - &want).amax();
                    assert!(error <= 1e-5 * (1.0 + want.amax()), "{} {n} {turn}: {error}", path.name());
                    assert_eq!(before.rows(0, first), after.rows(0, first));
                    for (k, row) in matrix.chunks_exact(stride).enumerate() {
                        assert!(row[k] > 0.0 && row[..k].iter().all(|below| *below == 0.0), "{} {n}", path.name());
                        assert!(row[n + sides..].iter().all(|padding| *padding == 0.0));
                        assert!(k < first || (row[k] * inverse[k] - 1.0).abs() <= 1e-6);
                    }
                }
            }
        }
    }

    #[test]
    fn what_decays_stops_before_the_subnormals() {
        for path in Path::available() {
            let system = System { unknowns: 3, sides: 1 };
            let stride = system.stride(path);
            let mut matrix: Vec<f32> = std::vec![0.0; system.len(path)];
            for (k, row) in matrix.chunks_exact_mut(stride).enumerate() {
                (k..4).for_each(|i| row[i] = 1.0);
            }
            let (mut inverse, mut factors) = ([0.0; 3], [0.0; 6]);
            for _ in 0..400 {
                // The unknown 1 is never excited together with another.
                let mut row = std::vec![0.0; stride];
                (row[0], row[2]) = (1.0, 1.0);
                rotate(path, system, &mut matrix, &mut inverse, &mut row, 0, 0.8, &mut factors);
                row.fill(0.0);
                row[1] = 1.0;
                rotate(path, system, &mut matrix, &mut inverse, &mut row, 1, 1.0, &mut factors);
                row.fill(0.0);
                row[2] = 1.0;
                rotate(path, system, &mut matrix, &mut inverse, &mut row, 2, 1.0, &mut factors);
            }
            assert!(matrix.iter().all(|value| *value == 0.0 || value.abs() >= 1e-19), "{}", path.name());
            assert!(matrix[1].abs() <= 1e-17 && matrix[stride + 2].abs() <= 1e-17, "{}", path.name());
            assert!(matrix[0] > 1.0 && matrix[stride + 1] > 1.0 && matrix[2 * stride + 2] > 1.0);
        }
    }
}
