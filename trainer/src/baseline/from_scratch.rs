//! Who knows nothing of training tasks but the scale of their values: ridge regression and a Gaussian process about the training mean.
//!
//! Ridge regression is the process with a linear kernel (Rasmussen and Williams 2006, section 2.1): weights and intercept have one prior
//! deviation. That, and length and noise of the smooth kernel, are chosen on validation tasks.

use rayon::prelude::*;

use super::choose::{badness, least};
use super::gaussian_process::Kernel;
use super::process::{Pooled, Prior};
use super::residual_process::{Setting, median_distance};
use crate::episode::Episode;
use crate::scaling::support_mean;
use crate::world::{Task, World};

/// Prior deviations of the weights that can be chosen, by that of the noise.
pub const DEVIATIONS: [f64; 11] = [0.01, 0.03, 0.1, 0.2, 0.3, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0];

/// The two priors. `pooled` lends its scaling; what it predicts is not used.
#[derive(Clone, Debug, PartialEq)]
pub struct FromScratch {
    /// Ridge regression.
    pub ridge: Prior,
    /// The Gaussian process.
    pub process: Prior,
}

fn about_the_mean(outputs: usize, kernel: Kernel) -> Prior {
    Prior { factor: 0.0, offsets: vec![0.0; outputs], kernel }
}

fn ridge(inputs: usize, outputs: usize, deviation: f64) -> Prior {
    let kernel = Kernel {
        amplitude: 0.0,
        constant: deviation,
        noise: 1.0,
        lengths: vec![1.0; inputs],
        linear: vec![deviation; inputs],
    };
    about_the_mean(outputs, kernel)
}

/// `prior` with all its deviations times the factor that makes the supports of `drawn` likeliest; where none can be told it stays.
fn as_large_as(prior: Prior, pooled: Pooled<'_>, drawn: &[(Task, Episode)]) -> Prior {
    let (mut sum, mut values) = (0.0, 0);
    for (_, episode) in drawn {
        let seen = pooled.look(support_mean(&episode.support).as_deref(), &episode.support.inputs);
        let residual = pooled.scaled(&episode.support.targets) - prior.mean(&seen.said);
        if let Some(evidence) = prior.kernel.evidence(&seen.x, &residual) {
            sum += evidence.weights.dot(&residual);
            values += residual.len();
        }
    }
    let factor = (sum / values as f64).sqrt();
    if !(factor.is_finite() && factor > 0.0) {
        return prior;
    }
    let Kernel { amplitude, constant, noise, lengths, linear } = prior.kernel;
    let kernel = Kernel {
        amplitude: factor * amplitude,
        constant: factor * constant,
        noise: factor * noise,
        lengths,
        linear: linear.into_iter().map(|deviation| factor * deviation).collect(),
    };
    Prior { kernel, ..prior }
}

impl FromScratch {
    /// Chooses on the validation episodes `drawn` of `world`.
    pub fn choose(pooled: Pooled<'_>, world: &dyn World, drawn: &[(Task, Episode)]) -> Self {
        let spec = &pooled.model.network;
        let (inputs, outputs) = (spec.input.presented_len(), spec.output_len());
        let best = |mut priors: Vec<Prior>| {
            let rows: Vec<Vec<f64>> = drawn
                .par_iter()
                .map(|(task, episode)| {
                    let one = |prior: &Prior| {
                        let adapted = prior.adapt(pooled, episode);
                        badness(world, task, episode, &mut |x: &[f32], y: &mut [f32]| adapted.predict(x, y))
                    };
                    priors.iter().map(one).collect()
                })
                .collect();
            as_large_as(priors.swap_remove(least(&rows)), pooled, drawn)
        };
        let distance = median_distance(&pooled.model.scaling, drawn.iter().map(|drawn| &drawn.1));
        let smooth = |Setting { length, noise, amplitude }: Setting| {
            about_the_mean(outputs, Kernel::isotropic(inputs, length, amplitude, noise))
        };
        Self {
            ridge: best(DEVIATIONS.iter().map(|deviation| ridge(inputs, outputs, *deviation)).collect()),
            process: best(Setting::all(distance).into_iter().map(smooth).collect()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nalgebra::DMatrix;

    #[test]
    fn with_a_linear_kernel_it_is_ridge_regression() {
        let x = DMatrix::from_row_slice(4, 2, &[1.0, 0.5, -1.0, 2.0, 0.3, -0.7, 2.0, 1.0]);
        let y = DMatrix::from_column_slice(4, 1, &[1.0, -2.0, 0.5, 1.5]);
        let deviation = 0.7_f64;
        let prior = ridge(2, 1, deviation);
        let posterior = prior.kernel.posterior(x.clone(), &y).unwrap();
        let with_one = |x: &DMatrix<f64>| x.clone().insert_column(2, 1.0);
        let features = with_one(&x);
        let bound = features.tr_mul(&features) + DMatrix::identity(3, 3) / deviation.powi(2);
        let weights = bound.cholesky().unwrap().solve(&features.tr_mul(&y));
        let at = DMatrix::from_row_slice(2, 2, &[0.2, -3.0, 1.5, 0.1]);
        assert!((posterior.mean(&at) - with_one(&at) * weights).norm() <= 1e-9);
    }
}
