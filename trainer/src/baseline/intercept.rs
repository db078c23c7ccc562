//! The random intercept: the pooled network, and one number for each output that a task adds to it.
//!
//! The number is the maximum a posteriori estimate with a Gaussian prior about 0, added to the scaled output, which for classes is the
//! logit. It is what a Gaussian process with a constant kernel would say. As in [`super::linear`], b ← b − (C n + λ)⁻¹ (Σ slopes + λ b)
//! never goes up, with C above the curvature of the loss; for squares it is there at once: the mean residual, shrunk.

use nalgebra::DMatrix;
use sinew_models::spec::Loss;
use sinew_runtime::Network;

use super::linear::{curvature, slopes};
use crate::episode::Episode;
use crate::forward::Forward;
use crate::model::Model;
use crate::scaling::support_mean;

/// Iterations for a loss that is not a square.
const ITERATIONS: usize = 60;

/// The pulls that can be chosen.
pub const STRENGTHS: [f64; 10] = [0.01, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 1e3, 1e5];

/// What to add to the scaled outputs where the pooled network gave `outputs [row, output]` for rows with `targets [row, output]`, with a
/// pull of `strength` toward 0; the loss is summed over rows.
pub fn fit(loss: Loss, outputs: &[f32], targets: &[f32], columns: usize, strength: f64) -> Vec<f32> {
    let rows = outputs.len() / columns;
    let matrix =
        |values: &[f32]| DMatrix::from_fn(rows, columns, |row, column| f64::from(values[row * columns + column]));
    let (z, y) = (matrix(outputs), matrix(targets));
    let bound = curvature(loss) * rows as f64 + strength;
    let mut shift = vec![0.0; columns];
    for _ in 0..if loss == Loss::MeanSquared { 1 } else { ITERATIONS } {
        let slopes = slopes(loss, DMatrix::from_fn(rows, columns, |row, column| z[(row, column)] + shift[column]), &y);
        for (column, shift) in shift.iter_mut().enumerate() {
            *shift -= (slopes.column(column).sum() + strength * *shift) / bound;
        }
    }
    shift.into_iter().map(|shift| shift as f32).collect()
}

/// [`fit`] for the support of `episode`, in front of the pooled network.
pub fn of_episode(pooled: &Model, network: &Network, episode: &Episode, strength: f64) -> Vec<f32> {
    let loss = pooled.network.heads.first().map_or(Loss::MeanSquared, |head| head.loss);
    let mean = support_mean(&episode.support);
    let mut outputs = vec![0.0; episode.support.targets.len()];
    let mut forward = Forward::new(network, &pooled.scaling);
    forward.outputs(&pooled.state.params, mean.as_deref(), &episode.support.inputs, &mut outputs);
    let targets = pooled.scaling.scale_targets(&episode.support.targets);
    fit(loss, &outputs, &targets, pooled.scaling.output_len(), strength)
}

/// Predicts as [`Forward::predict`] does, with `shift` added to the scaled outputs.
pub fn predict(
    forward: &mut Forward<'_>,
    params: &[f32],
    shift: &[f32],
    mean: Option<&[f32]>,
    x: &[f32],
    y: &mut [f32],
) {
    forward.outputs(params, mean, x, y);
    y.iter_mut().zip(shift.iter().cycle()).for_each(|(output, shift)| *output += shift);
    forward.finish(y);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_squares_it_is_the_mean_residual_shrunk() {
        let shift = fit(Loss::MeanSquared, &[0.0, 1.0, 0.5, 2.0], &[1.0, 1.0, 2.5, 4.0], 2, 2.0);
        // Residuals 1, 2 and 0, 2; two rows count 4, against a pull of 2.
        assert!((shift[0] - 2.0 * 3.0 / 6.0).abs() <= 1e-6 && (shift[1] - 2.0 * 2.0 / 6.0).abs() <= 1e-6, "{shift:?}");
    }

    /// The gradient of the whole objective is 0 there.
    #[test]
    fn of_classes_it_is_the_estimate() {
        let (z, y) = ([0.3_f32, -1.0, 2.0, 0.1], [1.0_f32, 1.0, 1.0, 0.0]);
        for strength in [0.01, 1.0, 100.0] {
            let shift = f64::from(fit(Loss::BinaryCrossEntropy, &z, &y, 1, strength)[0]);
            let slope: f64 =
                z.iter().zip(&y).map(|(z, y)| 1.0 / (1.0 + (-f64::from(*z) - shift).exp()) - f64::from(*y)).sum();
            assert!((slope + strength * shift).abs() <= 1e-3, "{slope} and {shift} at {strength}");
        }
        let shift = fit(Loss::CrossEntropy, &[0.0, 0.0, 0.0], &[0.0, 1.0, 0.0], 3, 0.5);
        assert!(shift[1] > 0.5 && shift[0] < 0.0 && shift[0] == shift[2], "{shift:?}");
    }
}
