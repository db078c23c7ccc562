//! Small dense linear systems: Cholesky factors, and triangular systems with several right sides.
//!
//! A system keeps the triangle R and its right sides Z in the same rows, `[R | Z]`, so that whatever is done to a row of R is done
//! to its right sides in the same pass. Golub and van Loan, *Matrix Computations* (2013), sections 3.1 and 4.2.

use super::{Kind, Path, vectors};
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
use super::{
    product::{Finish, Gate, Start, Target, Term, plain},
    vector::Vector,
};

/// Sizes of `[R | Z]`, with R upper triangular and `R w = Z` the system that it stands for.
///
/// Row k holds R_k0 … R_k(n−1) and behind them the right sides Z_k0 …, and is filled up with zeros to whole vectors of the path. R is
/// stored in full; what stands below its diagonal is never read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct System {
    /// Rows and columns of R.
    pub unknowns: usize,
    /// Right sides.
    pub sides: usize,
}

impl System {
    /// Values from one row to the next.
    pub const fn stride(self, path: Path) -> usize {
        (self.unknowns + self.sides).next_multiple_of(lanes(path))
    }

    /// Values of `[R | Z]`.
    pub const fn len(self, path: Path) -> usize {
        self.unknowns * self.stride(path)
    }

    /// Values from one row of a solution to the next.
    pub const fn solution_stride(self, path: Path) -> usize {
        self.sides.next_multiple_of(lanes(path))
    }

    /// Values of a solution, `[unknowns, sides]` with padded rows.
    pub const fn solution_len(self, path: Path) -> usize {
        self.unknowns * self.solution_stride(path)
    }

    /// Values of a vector over the unknowns that kernels work on in place: padded to whole vectors.
    pub const fn vector_len(self, path: Path) -> usize {
        self.unknowns.next_multiple_of(lanes(path))
    }
}

/// Values in a vector of the path.
pub(super) const fn lanes(path: Path) -> usize {
    match path.0 {
        Kind::Scalar => 1,
        #[cfg(target_arch = "x86_64")]
        Kind::Avx2 => 8,
        #[cfg(target_arch = "x86_64")]
        Kind::Avx512 => 16,
        #[cfg(target_arch = "aarch64")]
        Kind::Neon => 4,
    }
}

/// The square root, in the instruction of the processor; rounded as `libm` rounds it.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
pub(super) fn root(value: f32) -> f32 {
    use core::arch::x86_64::{_mm_cvtss_f32, _mm_set_ss, _mm_sqrt_ss};
    // SAFETY: every x86-64 processor has SSE.
    unsafe { _mm_cvtss_f32(_mm_sqrt_ss(_mm_set_ss(value))) }
}

/// The square root, rounded as everywhere else.
#[cfg(target_arch = "aarch64")]
#[inline(always)]
pub(super) fn root(value: f32) -> f32 {
    libm::sqrtf(value)
}

/// Cholesky: `[A | B]` becomes `[R | R⁻ᵀB]` with `A = RᵀR`; false where a pivot is not above 0 or not
/// finite, and then `matrix` is garbage.
///
/// Only the upper triangle of A is read. `inverse` receives 1 / R_kk, `[unknowns]`. The work is the same whatever the values are.
pub fn factor(path: Path, system: System, matrix: &mut [f32], inverse: &mut [f32]) -> bool {
    assert!(matrix.len() == system.len(path) && inverse.len() == system.unknowns);
    // Contract of the generic kernel: the lengths above.
    vectors!(
        path,
        factor_scalar(system, matrix, inverse),
        factor_fast(system: System = system, matrix: &mut [f32] = matrix, inverse: &mut [f32] = inverse) -> bool
    )
}

/// `w = R⁻¹ (Z + w)`: pass zeros for the solution of the system. `w` is `[unknowns, sides]`, rows padded as
/// [`System::solution_stride`] says; `inverse` is 1 / R_kk.
pub fn back_substitute(path: Path, system: System, matrix: &[f32], inverse: &[f32], w: &mut [f32]) {
    assert!(matrix.len() == system.len(path) && inverse.len() == system.unknowns);
    assert!(w.len() == system.solution_len(path) && system.sides > 0);
    // Contract of the generic kernel: the lengths above.
    vectors!(
        path,
        back_substitute_scalar(system, matrix, inverse, w),
        back_substitute_fast(
            system: System = system,
            matrix: &[f32] = matrix,
            inverse: &[f32] = inverse,
            w: &mut [f32] = w,
        )
    );
}

/// `x = R⁻ᵀ x` in place: `x` has [`System::vector_len`] values, of which the first `unknowns` count; `inverse` is 1 / R_kk.
pub fn forward_substitute(path: Path, system: System, matrix: &[f32], inverse: &[f32], x: &mut [f32]) {
    assert!(matrix.len() == system.len(path) && inverse.len() == system.unknowns);
    assert!(x.len() == system.vector_len(path));
    // Contract of the generic kernel: the lengths above; a row is at least as long as `x`.
    vectors!(
        path,
        forward_substitute_scalar(system, matrix, inverse, x),
        forward_substitute_fast(
            system: System = system,
            matrix: &[f32] = matrix,
            inverse: &[f32] = inverse,
            x: &mut [f32] = x,
        )
    );
}

/// `[A | B] = xᵀ [x's first columns | x's others]`: `matrix[i][j] = Σ_r x[r][i] x[r][j]` for i below `unknowns`. The rows of `x`,
/// `[rows, stride]`, are laid out as those of `matrix`, with zeros in the padding.
pub fn gram(path: Path, system: System, rows: usize, x: &[f32], matrix: &mut [f32]) {
    assert!(matrix.len() == system.len(path) && x.len() == rows * system.stride(path));
    // Contract of the generic kernel: the lengths above.
    vectors!(
        path,
        gram_scalar(system, x, matrix),
        gram_fast(system: System = system, rows: usize = rows, x: &[f32] = x, matrix: &mut [f32] = matrix)
    );
}

fn gram_scalar(system: System, x: &[f32], matrix: &mut [f32]) {
    let stride = system.stride(Path::SCALAR);
    matrix.fill(0.0);
    for x in x.chunks_exact(stride) {
        for (row, factor) in matrix.chunks_exact_mut(stride).zip(x) {
            row.iter_mut().zip(x).for_each(|(to, x)| *to += factor * x);
        }
    }
}

/// Row by row, each less its multiples of the rows above it.
fn factor_scalar(system: System, matrix: &mut [f32], inverse: &mut [f32]) -> bool {
    let stride = system.stride(Path::SCALAR);
    let mut positive = true;
    for (i, inverse) in inverse.iter_mut().enumerate() {
        let (above, row) = matrix.split_at_mut(i * stride);
        let row = &mut row[i..stride];
        for above in above.chunks_exact(stride) {
            let factor = above[i];
            row.iter_mut().zip(&above[i..]).for_each(|(to, from)| *to -= factor * from);
        }
        positive &= row[0] > 0.0 && row[0] <= f32::MAX;
        *inverse = 1.0 / libm::sqrtf(row[0]);
        row.iter_mut().for_each(|value| *value *= *inverse);
    }
    positive
}

fn back_substitute_scalar(system: System, matrix: &[f32], inverse: &[f32], w: &mut [f32]) {
    let (stride, sides) = (system.stride(Path::SCALAR), system.sides);
    for (k, (row, inverse)) in matrix.chunks_exact(stride).zip(inverse).enumerate().rev() {
        let (open, solved) = w.split_at_mut((k + 1) * sides);
        let (factors, right) = row[k + 1..].split_at(system.unknowns - k - 1);
        let open = &mut open[k * sides..];
        open.iter_mut().zip(right).for_each(|(w, right)| *w += right);
        for (solved, factor) in solved.chunks_exact(sides).zip(factors) {
            open.iter_mut().zip(solved).for_each(|(w, solved)| *w -= factor * solved);
        }
        open.iter_mut().for_each(|w| *w *= inverse);
    }
}

fn forward_substitute_scalar(system: System, matrix: &[f32], inverse: &[f32], x: &mut [f32]) {
    for (k, (row, inverse)) in matrix.chunks_exact(system.stride(Path::SCALAR)).zip(inverse).enumerate() {
        let (solved, open) = x.split_at_mut(k + 1);
        let value = solved[k] * inverse;
        solved[k] = value;
        open.iter_mut().zip(&row[k + 1..]).for_each(|(x, factor)| *x -= value * factor);
    }
}

/// A window of this table, `16 − n` values in, has n zeros and then ones.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
static FROM: [f32; 32] = {
    let mut table = [0.0; 32];
    let mut i = 16;
    while i < 32 {
        table[i] = 1.0;
        i += 1;
    }
    table
};

/// 1 in the lanes from `lane` on, else 0; `lane ≤ LANES`.
///
/// # Safety
/// The features of `V`.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
#[inline(always)]
pub(super) unsafe fn lanes_from<V: Vector>(lane: usize) -> V {
    debug_assert!(lane <= V::LANES && V::LANES <= 16);
    // SAFETY: the window begins between 0 and 16 and has at most 16 values.
    unsafe { V::load(FROM.as_ptr().add(16 - lane)) }
}

#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
#[inline(always)]
unsafe fn gram_fast<V: Vector>(system: System, rows: usize, x: &[f32], matrix: &mut [f32]) {
    let row = (system.unknowns + system.sides).next_multiple_of(V::LANES);
    let term = Term { a: x.as_ptr(), a_row: 1, a_step: row, b: x.as_ptr(), b_step: row, len: rows };
    let target = Target { c: matrix.as_mut_ptr(), row, start: Start::Zero, finish: Finish::Store, gate: Gate::All };
    // SAFETY: the features of `V` and the lengths, by the caller.
    unsafe { plain::<V>(&[term], target, system.unknowns, row) }
}

#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
#[inline(always)]
unsafe fn factor_fast<V: Vector>(system: System, matrix: &mut [f32], inverse: &mut [f32]) -> bool {
    let n = system.unknowns;
    let stride = (n + system.sides).next_multiple_of(V::LANES);
    let (a, inverse) = (matrix.as_mut_ptr(), inverse.as_mut_ptr());
    let mut positive = true;
    // SAFETY: the features of `V` and the lengths, by the caller; rows are whole vectors.
    unsafe {
        for i in 0..n {
            let first = i - i % V::LANES;
            let mut scale = V::splat(0.0);
            let mut at = first;
            while at < stride {
                // Two chains of sums, the newest row last: only that one has to be waited for.
                let (mut even, mut odd) = (V::load(a.add(i * stride + at)), V::splat(0.0));
                let mut k = i % 2;
                if k == 1 {
                    even = V::splat(-*a.add(i)).mul_add(V::load(a.add(at)), even);
                }
                while k < i {
                    let (this, next) = (a.add(k * stride), a.add((k + 1) * stride));
                    odd = V::splat(-*this.add(i)).mul_add(V::load(this.add(at)), odd);
                    even = V::splat(-*next.add(i)).mul_add(V::load(next.add(at)), even);
                    k += 2;
                }
                let row = even.add(odd);
                if at == first {
                    let mut lanes = [0.0; 16];
                    row.store(lanes.as_mut_ptr());
                    let pivot = *lanes.get_unchecked(i - first);
                    positive &= (pivot > 0.0) & (pivot <= f32::MAX);
                    let factor = 1.0 / root(pivot);
                    *inverse.add(i) = factor;
                    scale = V::splat(factor);
                }
                row.mul(scale).store(a.add(i * stride + at));
                at += V::LANES;
            }
        }
    }
    positive
}

#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
#[inline(always)]
unsafe fn back_substitute_fast<V: Vector>(system: System, matrix: &[f32], inverse: &[f32], w: &mut [f32]) {
    let (n, sides) = (system.unknowns, system.sides);
    let (stride, step) = ((n + sides).next_multiple_of(V::LANES), sides.next_multiple_of(V::LANES));
    let (r, inverse, w) = (matrix.as_ptr(), inverse.as_ptr(), w.as_mut_ptr());
    let mut side = 0;
    // SAFETY: the features of `V` and the lengths, by the caller; rows of `w` are whole vectors, right sides are read as far as
    // they go.
    unsafe {
        while side < sides {
            let here = w.add(side);
            for k in (0..n).rev() {
                let (row, to) = (r.add(k * stride), here.add(k * step));
                let right = row.add(n + side);
                let right = if sides - side < V::LANES { V::load_first(right, sides - side) } else { V::load(right) };
                // Four chains of sums, from the end of the row on, so that the unknown that was solved last is added last.
                let mut sums = [V::load(to).add(right), V::splat(0.0), V::splat(0.0), V::splat(0.0)];
                let mut j = n;
                while j > k + 4 {
                    for (back, sum) in sums.iter_mut().enumerate() {
                        let j = j - 1 - back;
                        *sum = V::splat(-*row.add(j)).mul_add(V::load(here.add(j * step)), *sum);
                    }
                    j -= 4;
                }
                let mut sum = sums[0].add(sums[1]).add(sums[2].add(sums[3]));
                while j > k + 1 {
                    j -= 1;
                    sum = V::splat(-*row.add(j)).mul_add(V::load(here.add(j * step)), sum);
                }
                sum.mul(V::splat(*inverse.add(k))).store(to);
            }
            side += V::LANES;
        }
    }
}

#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
#[inline(always)]
unsafe fn forward_substitute_fast<V: Vector>(system: System, matrix: &[f32], inverse: &[f32], x: &mut [f32]) {
    let n = system.unknowns;
    let stride = (n + system.sides).next_multiple_of(V::LANES);
    let (r, inverse, x) = (matrix.as_ptr(), inverse.as_ptr(), x.as_mut_ptr());
    let mut at = 0;
    // SAFETY: the features of `V` and the lengths, by the caller; `x` is whole vectors.
    unsafe {
        while at < n {
            let (mut even, mut odd) = (V::load(x.add(at)), V::splat(0.0));
            // `at` is a multiple of 4.
            let mut k = 0;
            while k < at {
                even = V::splat(-*x.add(k)).mul_add(V::load(r.add(k * stride + at)), even);
                odd = V::splat(-*x.add(k + 1)).mul_add(V::load(r.add((k + 1) * stride + at)), odd);
                k += 2;
            }
            let mut open = even.add(odd);
            for k in at..n.min(at + V::LANES) {
                let mut lanes = [0.0; 16];
                open.store(lanes.as_mut_ptr());
                let value = *lanes.get_unchecked(k - at) * *inverse.add(k);
                *x.add(k) = value;
                open = V::splat(-value).mul_add(V::load(r.add(k * stride + at)), open);
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

    const SIZES: [(usize, usize); 9] = [(1, 1), (2, 3), (4, 1), (7, 2), (10, 4), (16, 16), (17, 5), (33, 20), (41, 4)];

    /// `[A | B]` with a well-conditioned A, as the path wants it, and both in f64.
    fn system(path: Path, unknowns: usize, sides: usize) -> (System, Vec<f32>, DMatrix<f64>, DMatrix<f64>) {
        let system = System { unknowns, sides };
        let (rows, stride) = (unknowns + 3, system.stride(path));
        let mut x = std::vec![0.0; rows * stride];
        for (r, x) in x.chunks_exact_mut(stride).enumerate() {
            (0..unknowns + sides).for_each(|i| x[i] = value(r * 61 + i));
        }
        let mut matrix = std::vec![f32::NAN; system.len(path)];
        gram(path, system, rows, &x, &mut matrix);
        let exact = DMatrix::from_fn(rows, unknowns + sides, |r, i| f64::from(x[r * stride + i]));
        let product = exact.columns(0, unknowns).transpose() * &exact;
        for k in 0..unknowns {
            for i in 0..stride {
                let want = if i < unknowns + sides { product[(k, i)] } else { 0.0 };
                assert!((f64::from(matrix[k * stride + i]) - want).abs() <= 1e-5, "{} {unknowns}", path.name());
            }
            matrix[k * stride + k] += 1.0;
        }
        let a = product.columns(0, unknowns) + DMatrix::identity(unknowns, unknowns);
        (system, matrix, a, product.columns(unknowns, sides).into_owned())
    }

    #[test]
    fn factors_and_solutions_match_f64_on_every_path() {
        for path in Path::available() {
            for (n, sides) in SIZES {
                let (system, mut matrix, a, b) = system(path, n, sides);
                let (stride, step) = (system.stride(path), system.solution_stride(path));
                let mut inverse = std::vec![0.0; n];
                assert!(factor(path, system, &mut matrix, &mut inverse));
                let cholesky = a.cholesky().unwrap();
                let lower = cholesky.l();
                for k in 0..n {
                    for i in k..n {
                        let error = (f64::from(matrix[k * stride + i]) - lower[(i, k)]).abs();
                        assert!(error <= 1e-4, "{} {n} R[{k}][{i}]: {error}", path.name());
                    }
                    assert!((f64::from(inverse[k]) * lower[(k, k)] - 1.0).abs() <= 1e-4);
                }
                let mut w = std::vec![0.0; system.solution_len(path)];
                back_substitute(path, system, &matrix, &inverse, &mut w);
                let want = cholesky.solve(&b);
                for k in 0..n {
                    for o in 0..sides {
                        let error = (f64::from(w[k * step + o]) - want[(k, o)]).abs();
                        assert!(error <= 1e-4, "{} {n} w[{k}][{o}]: {error}", path.name());
                    }
                }
                // What is in the solution at first is one more right side.
                let mut more = std::vec![0.0; system.solution_len(path)];
                for row in more.chunks_exact_mut(step) {
                    row[sides - 1] = 1.0;
                }
                back_substitute(path, system, &matrix, &inverse, &mut more);
                let mut x = std::vec![0.0; system.vector_len(path)];
                x.iter_mut().take(n).enumerate().for_each(|(i, x)| *x = value(i + 5));
                let right = DMatrix::from_fn(n, 1, |i, _| f64::from(x[i]));
                forward_substitute(path, system, &matrix, &inverse, &mut x);
                let forward = lower.solve_lower_triangular(&right).unwrap();
                let ones = lower.transpose().solve_upper_triangular(&DMatrix::from_element(n, 1, 1.0)).unwrap();
                for k in 0..n {
                    assert!((f64::from(x[k]) - forward[(k, 0)]).abs() <= 1e-4, "{} {n}", path.name());
                    let added = f64::from(more[k * step + sides - 1]) - f64::from(w[k * step + sides - 1]);
                    assert!((added - ones[(k, 0)]).abs() <= 1e-4, "{} {n}", path.name());
                }
            }
        }
    }

    #[test]
    fn what_is_not_positive_definite_is_refused_wherever_it_is() {
        for path in Path::available() {
            for (n, sides) in SIZES {
                for bad in [0.0, -1.0, f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
                    for place in [0, n / 2, n - 1] {
                        let (system, mut matrix, ..) = system(path, n, sides);
                        matrix[place * system.stride(path) + place] = bad;
                        let refused = !factor(path, system, &mut matrix, &mut std::vec![0.0; n]);
                        assert!(refused, "{} {n}: {bad} at {place}", path.name());
                    }
                }
            }
        }
    }
}
