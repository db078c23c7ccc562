//! A Gaussian process about the pooled network's predictions: its mean is `factor · prediction + offset`, and after some support rows
//! the posterior mean is the prediction. With a factor of 1 and offsets of 0 it is a process on the network's residual.
//!
//! It works in scaled units, (value − mean) / scale of the training targets. Of classes predictions are probabilities and targets zeros
//! or ones, which it takes for values; what comes out is clipped to [0, 1], and several classes are brought to a sum of 1. That is
//! least-squares classification (Rasmussen and Williams 2006, section 6.5), not a Bayesian one.

use nalgebra::DMatrix;
use sinew_models::spec::Loss;
use sinew_runtime::Network;

use super::gaussian_process::{Kernel, Posterior};
use crate::episode::{Episode, Samples};
use crate::forward::Forward;
use crate::model::Model;
use crate::scaling::support_mean;

/// What a process believes before it sees a row.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Prior {
    /// By what the pooled network's prediction is multiplied.
    pub factor: f64,
    /// What is added to each output: `[output]`.
    pub offsets: Vec<f64>,
    /// How values differ from that.
    pub kernel: Kernel,
}

/// The pooled network, as a process sees the world through it.
#[derive(Clone, Copy, Debug)]
pub struct Pooled<'a> {
    /// The network.
    pub network: &'a Network,
    /// All that belongs to it.
    pub model: &'a Model,
}

/// Rows as a process sees them.
#[derive(Clone, Debug)]
pub struct Seen {
    /// Presented inputs: `[row, input]`.
    pub x: DMatrix<f64>,
    /// What the pooled network says, in scaled units: `[row, output]`.
    pub said: DMatrix<f64>,
}

impl Pooled<'_> {
    /// Rows of inputs `[row, input]`, relative to the support mean `mean`.
    pub fn look(&self, mean: Option<&[f32]>, inputs: &[f32]) -> Seen {
        let scaling = &self.model.scaling;
        let (rows, outputs) = (inputs.len() / scaling.input_len(), scaling.output_len());
        let presented = scaling.present(mean, inputs);
        let columns = self.model.network.input.presented_len();
        let x = DMatrix::from_fn(rows, columns, |row, column| f64::from(presented[row * columns + column]));
        let mut said = vec![0.0; rows * outputs];
        Forward::new(self.network, scaling).predict(&self.model.state.params, mean, inputs, &mut said);
        Seen { x, said: self.scaled(&said) }
    }

    /// Values of the world `[row, output]` in scaled units.
    pub fn scaled(&self, values: &[f32]) -> DMatrix<f64> {
        let scaling = &self.model.scaling;
        let outputs = scaling.output_len();
        DMatrix::from_fn(values.len() / outputs, outputs, |row, column| {
            let (mean, scale) = (f64::from(scaling.output_mean[column]), f64::from(scaling.output_scale[column]));
            (f64::from(values[row * outputs + column]) - mean) / scale
        })
    }

    /// Whether predictions are probabilities.
    pub fn is_classification(&self) -> bool {
        self.loss().is_classification()
    }

    fn loss(&self) -> Loss {
        self.model.network.heads.first().map_or(Loss::MeanSquared, |head| head.loss)
    }
}

impl Prior {
    /// A process on the residual of the pooled network.
    pub fn of_residual(outputs: usize, kernel: Kernel) -> Self {
        Self { factor: 1.0, offsets: vec![0.0; outputs], kernel }
    }

    /// The mean where the pooled network says `said`: `[row, output]`.
    pub fn mean(&self, said: &DMatrix<f64>) -> DMatrix<f64> {
        let mut mean = said * self.factor;
        for (mut column, offset) in mean.column_iter_mut().zip(&self.offsets) {
            column.add_scalar_mut(*offset);
        }
        mean
    }

    /// The process after the support of `episode`.
    pub fn adapt<'a>(&'a self, pooled: Pooled<'a>, episode: &Episode) -> Adapted<'a> {
        let Samples { inputs, targets, .. } = &episode.support;
        let mean = support_mean(&episode.support);
        let seen = pooled.look(mean.as_deref(), inputs);
        let posterior = self.kernel.posterior(seen.x, &(pooled.scaled(targets) - self.mean(&seen.said)));
        Adapted { prior: self, pooled, mean, posterior }
    }
}

/// A process after some support rows.
#[derive(Debug)]
pub struct Adapted<'a> {
    prior: &'a Prior,
    pooled: Pooled<'a>,
    /// The support mean.
    mean: Option<Vec<f32>>,
    posterior: Option<Posterior<'a>>,
}

impl Adapted<'_> {
    /// Predicts for rows `x [rows, input]` into `y [rows, output]`, in the units of the world. Where numbers ran out, predictions are NaN,
    /// which is judged as the worst there is.
    pub fn predict(&self, x: &[f32], y: &mut [f32]) {
        self.predict_with_variance(x, y, None);
    }

    /// As [`Adapted::predict`], with the variance of each prediction, `[rows, output]`, in squares of the units of the world; NaN where
    /// numbers ran out.
    pub fn predict_with_variance(&self, x: &[f32], y: &mut [f32], variance: Option<&mut [f32]>) {
        let Some(posterior) = &self.posterior else {
            y.fill(f32::NAN);
            variance.into_iter().for_each(|variance| variance.fill(f32::NAN));
            return;
        };
        let seen = self.pooled.look(self.mean.as_deref(), x);
        if let Some(variance) = variance {
            self.write_variance(posterior, &seen, variance);
        }
        let values = self.prior.mean(&seen.said) + posterior.mean(&seen.x);
        let scaling = &self.pooled.model.scaling;
        let loss = self.pooled.loss();
        for (row, y) in y.chunks_exact_mut(scaling.output_len()).enumerate() {
            for (column, y) in y.iter_mut().enumerate() {
                *y = scaling.output_mean[column] + scaling.output_scale[column] * values[(row, column)] as f32;
            }
            if loss.is_classification() {
                as_probabilities(y);
            }
        }
    }

    /// The variance of each prediction for rows `x [rows, input]` into `y [rows, output]`, in squares of the units of the world; NaN where
    /// numbers ran out.
    pub fn variance(&self, x: &[f32], y: &mut [f32]) {
        match &self.posterior {
            Some(posterior) => self.write_variance(posterior, &self.pooled.look(self.mean.as_deref(), x), y),
            None => y.fill(f32::NAN),
        }
    }

    fn write_variance(&self, posterior: &Posterior<'_>, seen: &Seen, y: &mut [f32]) {
        let scales = &self.pooled.model.scaling.output_scale;
        for (y, variance) in y.chunks_exact_mut(scales.len()).zip(posterior.variance(&seen.x)) {
            y.iter_mut().zip(scales).for_each(|(y, scale)| *y = scale * scale * variance as f32);
        }
    }
}

/// Clips to [0, 1]; several classes are brought to a sum of 1, even ones where all are 0.
pub(super) fn as_probabilities(row: &mut [f32]) {
    // `clamp` leaves NaN.
    row.iter_mut().for_each(|value| *value = value.clamp(0.0, 1.0));
    if row.len() > 1 {
        let (sum, even) = (row.iter().sum::<f32>(), 1.0 / row.len() as f32);
        row.iter_mut().for_each(|value| *value = if sum == 0.0 { even } else { *value / sum });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_become_probabilities() {
        let with = |mut row: Vec<f32>| {
            as_probabilities(&mut row);
            row
        };
        assert_eq!(with(vec![1.2]), [1.0]);
        assert_eq!(with(vec![-0.2]), [0.0]);
        assert_eq!(with(vec![0.5, -1.0, 1.5]), [1.0 / 3.0, 0.0, 2.0 / 3.0]);
        assert_eq!(with(vec![-0.5, -1.0]), [0.5, 0.5]);
        assert!(with(vec![f32::NAN, 0.5])[0].is_nan());
    }
}
