//! Ridge regression of a dense head on its features, drawn toward a learned weight: R2D2 (Bertinetto et al. 2019, eqs. 3–5), with a
//! prior weight W₀ where the paper has zero.
//!
//! `W = argmin Σ_r c_r |y_r − W φ̃_r|² + λ |W − W₀|²`, with φ̃ the features and a 1 behind them for the bias. In the dual,
//! `W = W₀ + EᵀG⁻¹Φ̃` with `G = Φ̃Φ̃ᵀ + λ C⁻¹` and `E = Y − Φ̃W₀ᵀ`; in the primal, `W = W₀ + (A⁻¹Φ̃ᵀCE)ᵀ` with `A = Φ̃ᵀCΦ̃ + λI`. The
//! smaller matrix is factored by Cholesky.

use crate::kernel::dense::{self, Update, panel_len};
use crate::kernel::finite::all_finite;
use crate::kernel::solve::{System, back_substitute, factor, gram};
use crate::kernel::{Path, dense::Size};

/// Rows at most, before a solve is refused: far more than a support set has.
const MAX_ROWS: usize = 1 << 16;

/// Values of scratch that [`solve`] needs.
pub const fn scratch_len(path: Path, size: Size) -> usize {
    let system = system(size);
    let error = size.rows * size.outputs;
    let products = if is_dual(size) { size.rows * (size.rows + 1) } else { size.rows * system.stride(path) };
    error + products + system.len(path) + system.unknowns + system.solution_len(path) + panel_len(path, size.inputs)
}

/// Whether the dual problem is the smaller one: no more rows than features and bias.
pub const fn is_dual(size: Size) -> bool {
    size.rows <= size.inputs + 1
}

const fn system(size: Size) -> System {
    System { unknowns: if is_dual(size) { size.rows } else { size.inputs + 1 }, sides: size.outputs }
}

/// Solves for the head's weight `[outputs, inputs]` and bias `[outputs]`, one after the other in `weight` as in `prior`, W₀.
///
/// `size` has the features as its inputs; `phi` is `[rows, inputs]`, `y` `[rows, outputs]`; `lambda` λ is above 0. `counts`, `[rows]`, says
/// how much each row counts, such as γ^age for a ring that forgets; without it all count 1. A row that counts 0 is left out, whatever is
/// in it. The 1 for the bias is added here. False if a length is wrong, there is no row, λ is not above 0 or a count below 0, a pivot is not positive, or a result is not
/// finite; `weight` is garbage then.
pub fn solve(
    path: Path,
    size: Size,
    lambda: f32,
    (phi, y): (&[f32], &[f32]),
    counts: Option<&[f32]>,
    prior: &[f32],
    weight: &mut [f32],
    scratch: &mut [f32],
) -> bool {
    let Size { rows, inputs, outputs } = size;
    let lengths = (1..=MAX_ROWS).contains(&rows)
        && inputs > 0
        && outputs > 0
        && phi.len() == rows * inputs
        && y.len() == rows * outputs
        && counts.is_none_or(|counts| counts.len() == rows)
        && prior.len() == outputs * (inputs + 1)
        && weight.len() == prior.len()
        && scratch.len() >= scratch_len(path, size);
    let counting = counts.unwrap_or_default().iter().all(|count| *count >= 0.0 && *count <= f32::MAX);
    if !(lengths && counting && lambda > 0.0 && lambda <= f32::MAX) {
        return false;
    }
    let (error, scratch) = scratch.split_at_mut(rows * outputs);
    let (panel, scratch) = scratch.split_at_mut(panel_len(path, inputs));
    dense::forward(path, size, phi, prior.split_at(outputs * inputs), false, error, panel);
    error.iter_mut().zip(y).for_each(|(error, y)| *error = y - *error);
    let solved = if is_dual(size) {
        dual(path, size, lambda, phi, counts, error, (prior, weight), panel, scratch)
    } else {
        primal(path, size, lambda, phi, counts, error, (prior, weight), scratch)
    };
    solved && all_finite(path, weight)
}

fn dual(
    path: Path,
    size: Size,
    lambda: f32,
    phi: &[f32],
    counts: Option<&[f32]>,
    error: &mut [f32],
    (prior, weight): (&[f32], &mut [f32]),
    panel: &mut [f32],
    scratch: &mut [f32],
) -> bool {
    let Size { rows, inputs, outputs } = size;
    let system = system(size);
    let (products, scratch) = scratch.split_at_mut(rows * rows);
    let (ones, scratch) = scratch.split_at_mut(rows);
    let (matrix, scratch) = scratch.split_at_mut(system.len(path));
    let (inverse, scratch) = scratch.split_at_mut(rows);
    let solution = &mut scratch[..system.solution_len(path)];
    // The bias is the product of the two ones.
    ones.fill(1.0);
    dense::forward(path, Size { outputs: rows, ..size }, phi, (phi, ones), false, products, panel);
    let from = products.chunks_exact(rows).zip(error.chunks_exact(outputs));
    for (r, (to, (products, error))) in matrix.chunks_exact_mut(system.stride(path)).zip(from).enumerate() {
        let (left, right) = to.split_at_mut(rows);
        left.copy_from_slice(products);
        let (right, padding) = right.split_at_mut(outputs);
        right.copy_from_slice(error);
        padding.fill(0.0);
        let own = counts.and_then(|counts| counts.get(r)).copied().unwrap_or(1.0);
        if own == 0.0 {
            // An equation of its own, whose solution is 0.
            left.fill(0.0);
            right.fill(0.0);
            left[r] = 1.0;
            continue;
        }
        left[r] += lambda / own;
        let left_out = left.iter_mut().zip(counts.unwrap_or_default()).filter(|(_, count)| **count == 0.0);
        left_out.for_each(|(product, _)| *product = 0.0);
    }
    let positive = factor(path, system, matrix, inverse);
    solution.fill(0.0);
    back_substitute(path, system, matrix, inverse, solution);
    for (to, from) in error.chunks_exact_mut(outputs).zip(solution.chunks_exact(system.solution_stride(path))) {
        to.iter_mut().zip(from).for_each(|(to, from)| *to = *from);
    }
    weight.copy_from_slice(prior);
    let (weight, bias) = weight.split_at_mut(outputs * inputs);
    dense::weight_gradient(path, size, error, phi, weight, bias, Update::Add(1.0));
    positive
}

fn primal(
    path: Path,
    size: Size,
    lambda: f32,
    phi: &[f32],
    counts: Option<&[f32]>,
    error: &[f32],
    (prior, weight): (&[f32], &mut [f32]),
    scratch: &mut [f32],
) -> bool {
    let Size { rows, inputs, outputs } = size;
    let system = system(size);
    let stride = system.stride(path);
    let (augmented, scratch) = scratch.split_at_mut(rows * stride);
    let (matrix, scratch) = scratch.split_at_mut(system.len(path));
    let (inverse, scratch) = scratch.split_at_mut(system.unknowns);
    let solution = &mut scratch[..system.solution_len(path)];
    let from = phi.chunks_exact(inputs).zip(error.chunks_exact(outputs));
    for (r, (to, (phi, error))) in augmented.chunks_exact_mut(stride).zip(from).enumerate() {
        let (left, right) = to.split_at_mut(inputs);
        left.copy_from_slice(phi);
        let (right, padding) = right.split_at_mut(outputs + 1);
        right[0] = 1.0;
        right[1..].copy_from_slice(error);
        padding.fill(0.0);
        if let Some(count) = counts.and_then(|counts| counts.get(r)) {
            if *count == 0.0 {
                to.fill(0.0);
                continue;
            }
            let share = libm::sqrtf(*count);
            to.iter_mut().for_each(|value| *value *= share);
        }
    }
    gram(path, system, rows, augmented, matrix);
    for (k, row) in matrix.chunks_exact_mut(stride).enumerate() {
        row[k] += lambda;
    }
    let positive = factor(path, system, matrix, inverse);
    solution.fill(0.0);
    back_substitute(path, system, matrix, inverse, solution);
    add_turned(outputs, solution, system.solution_stride(path), prior, weight);
    positive
}

/// `weight = prior + Dᵀ` for a solution D `[F̃, outputs]` whose rows are `stride` apart and whose last row is the bias'.
pub(super) fn add_turned(outputs: usize, solution: &[f32], stride: usize, prior: &[f32], weight: &mut [f32]) {
    let inputs = weight.len() / outputs - 1;
    let (weight, bias) = weight.split_at_mut(outputs * inputs);
    let (prior, prior_bias) = prior.split_at(outputs * inputs);
    let rows = weight.chunks_exact_mut(inputs).zip(prior.chunks_exact(inputs));
    for (o, ((to, prior), (bias, prior_bias))) in rows.zip(bias.iter_mut().zip(prior_bias)).enumerate() {
        let mut column = solution.iter().skip(o).step_by(stride);
        for ((to, prior), change) in to.iter_mut().zip(prior).zip(&mut column) {
            *to = prior + change;
        }
        *bias = prior_bias + column.next().unwrap_or(&0.0);
    }
}

#[cfg(test)]
mod tests {
    use nalgebra::DMatrix;
    use std::vec::Vec;

    use super::*;

    /// Uniform in ±1: rows of a regular pattern would depend on one another.
    fn values(len: usize, seed: u64) -> Vec<f32> {
        let mut random = seed;
        let mut next = || {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            (random >> 40) as f32 / (1_u64 << 23) as f32 - 1.0
        };
        // The first ones of a small seed are small.
        (0..20 + len).map(|_| next()).skip(20).collect()
    }

    /// The normal equations in f64, whatever the number of rows.
    fn exact(size: Size, lambda: f32, phi: &[f32], y: &[f32], counts: Option<&[f32]>, prior: &[f32]) -> Vec<f64> {
        let Size { rows, inputs, outputs } = size;
        let x =
            DMatrix::from_fn(rows, inputs + 1, |r, i| if i < inputs { f64::from(phi[r * inputs + i]) } else { 1.0 });
        let start = DMatrix::from_fn(inputs + 1, outputs, |i, o| {
            f64::from(prior[if i < inputs { o * inputs + i } else { outputs * inputs + o }])
        });
        let error = DMatrix::from_fn(rows, outputs, |r, o| f64::from(y[r * outputs + o])) - &x * &start;
        let count =
            DMatrix::from_fn(
                rows,
                rows,
                |r, c| {
                    if r == c { counts.map_or(1.0, |counts| f64::from(counts[r])) } else { 0.0 }
                },
            );
        let a = x.transpose() * &count * &x + DMatrix::identity(inputs + 1, inputs + 1) * f64::from(lambda);
        let w = start + a.cholesky().unwrap().solve(&(x.transpose() * count * error));
        let weights = (0..outputs).flat_map(|o| (0..inputs).map(move |i| (i, o)));
        weights.chain((0..outputs).map(|o| (inputs, o))).map(|place| w[place]).collect()
    }

    #[test]
    fn both_forms_solve_the_normal_equations_on_every_path() {
        for path in Path::available() {
            for inputs in [1, 3, 16, 40] {
                for rows in [1, 2, inputs, inputs + 1, inputs + 2, 3 * inputs + 5] {
                    for (outputs, lambda) in [(1, 0.1), (4, 1.0), (17, 10.0)] {
                        let size = Size { rows, inputs, outputs };
                        let (phi, y) = (values(rows * inputs, 1), values(rows * outputs, 2));
                        let prior = values(outputs * (inputs + 1), 3);
                        let age: Vec<f32> = (0..rows).map(|age| 0.9_f32.powi(age as i32)).collect();
                        for counts in [None, Some(&age[..])] {
                            let mut weight = std::vec![f32::NAN; prior.len()];
                            // The length asked for is enough, and no value of it has to be set.
                            let mut scratch = std::vec![f32::NAN; scratch_len(path, size)];
                            assert!(solve(path, size, lambda, (&phi, &y), counts, &prior, &mut weight, &mut scratch));
                            let want = exact(size, lambda, &phi, &y, counts, &prior);
                            for (got, want) in weight.iter().zip(want) {
                                let error = (f64::from(*got) - want).abs();
                                assert!(error <= 2e-4, "{} {size:?} {lambda}: {got} for {want}", path.name());
                            }
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn a_row_that_counts_nothing_is_left_out_whatever_is_in_it() {
        for path in Path::available() {
            for (rows, inputs) in [(4, 9), (12, 5)] {
                let size = Size { rows, inputs, outputs: 2 };
                let (mut phi, mut y, prior) =
                    (values(rows * inputs, 1), values(rows * 2, 2), values(2 * inputs + 2, 3));
                let less = Size { rows: rows - 1, ..size };
                let want = exact(less, 0.5, &phi[inputs..], &y[2..], None, &prior);
                let mut counts = std::vec![1.0; rows];
                counts[0] = 0.0;
                for huge in [1.0, 1e10, 1e30] {
                    phi[..inputs].fill(huge);
                    y[..2].fill(-huge);
                    let mut weight = std::vec![f32::NAN; prior.len()];
                    let mut scratch = std::vec![f32::NAN; scratch_len(path, size)];
                    assert!(solve(path, size, 0.5, (&phi, &y), Some(&counts), &prior, &mut weight, &mut scratch));
                    for (got, want) in weight.iter().zip(&want) {
                        assert!(
                            (f64::from(*got) - want).abs() <= 1e-4,
                            "{} {size:?} {huge}: {got}, {want}",
                            path.name()
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn a_firm_prior_stays_and_a_weak_one_gives_way() {
        let size = Size { rows: 4, inputs: 1, outputs: 1 };
        // y = 2 φ + 1
        let (phi, y) = ([-1.0, 0.0, 1.0, 2.0], [-1.0, 1.0, 3.0, 5.0]);
        for path in Path::available() {
            let mut scratch = std::vec![0.0; scratch_len(path, size)];
            let mut weight = [0.0; 2];
            assert!(solve(path, size, 1e-5, (&phi, &y), None, &[7.0, 7.0], &mut weight, &mut scratch));
            assert!((weight[0] - 2.0).abs() <= 1e-4 && (weight[1] - 1.0).abs() <= 1e-4, "{weight:?}");
            assert!(solve(path, size, 1e7, (&phi, &y), None, &[7.0, -3.0], &mut weight, &mut scratch));
            assert!((weight[0] - 7.0).abs() <= 1e-4 && (weight[1] + 3.0).abs() <= 1e-4, "{weight:?}");
        }
    }

    #[test]
    fn faults_are_refused() {
        for path in Path::available() {
            for rows in [3, 20] {
                let size = Size { rows, inputs: 5, outputs: 2 };
                let (phi, y, prior) = (values(rows * 5, 1), values(rows * 2, 2), values(12, 3));
                let mut scratch = std::vec![0.0; scratch_len(path, size)];
                let mut weight = [0.0; 12];
                let mut try_it = |lambda: f32, phi: &[f32], y: &[f32], counts: Option<&[f32]>, prior: &[f32]| {
                    solve(path, size, lambda, (phi, y), counts, prior, &mut weight, &mut scratch)
                };
                assert!(try_it(1.0, &phi, &y, None, &prior));
                for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 3e38] {
                    for place in [0, rows * 2 - 1] {
                        let mut phi = phi.clone();
                        phi[place] = bad;
                        assert!(!try_it(1.0, &phi, &y, None, &prior), "{} {rows}: {bad} in φ", path.name());
                        if !bad.is_finite() {
                            let mut y = y.clone();
                            y[place] = bad;
                            assert!(!try_it(1.0, &phi, &y, None, &prior));
                        }
                    }
                }
                for lambda in [0.0, -1.0, f32::NAN, f32::INFINITY] {
                    assert!(!try_it(lambda, &phi, &y, None, &prior));
                }
                let mut counts = std::vec![1.0; rows];
                for bad in [-1.0, f32::NAN, f32::INFINITY] {
                    counts[1] = bad;
                    assert!(!try_it(1.0, &phi, &y, Some(&counts), &prior));
                }
                assert!(!try_it(1.0, &phi[1..], &y, None, &prior) && !try_it(1.0, &phi, &y, None, &prior[1..]));
            }
        }
    }
}
