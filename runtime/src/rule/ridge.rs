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
/// how much each row counts, above 0, such as γ^age for a ring that forgets; without it all count 1. The 1 for the bias is added
/// here. False if a length is wrong, there is no row, λ or a count is not above 0, a pivot is not positive, or a result is not
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
    let above_zero = |value: f32| value > 0.0 && value <= f32::MAX;
    if !lengths || !above_zero(lambda) || !counts.unwrap_or_default().iter().all(|count| above_zero(*count)) {
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
        left[r] += counts.and_then(|counts| counts.get(r)).map_or(lambda, |count| lambda / count);
        let (right, padding) = right.split_at_mut(outputs);
        right.copy_from_slice(error);
        padding.fill(0.0);
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
