//! How far predictions are off, by input, for agents that do not say: who plans on expected costs needs a variance.
//!
//! The logarithm of the variance is a quadratic function of each standardised input, fitted to the errors on validation tasks by maximum
//! likelihood for normal errors with a weak pull toward a constant, by Fisher scoring (McCullagh and Nelder 1989, *Generalized Linear
//! Models*, section 10.4). It is one function, whatever was seen so far: it was fitted after one number of rows.

use nalgebra::{Cholesky, DMatrix, DVector};

/// Scoring steps at most.
const ITERATIONS: usize = 50;
/// The pull of the weights but the constant toward 0.
const PULL: f64 = 1.0;
/// The logarithm of a variance stays so near to that of the mean square.
const FARTHEST: f64 = 4.0;

/// The variance of one agent's errors.
#[derive(Clone, Debug, PartialEq)]
pub struct Spread {
    /// Mean and deviation of each input.
    scales: Vec<[f32; 2]>,
    /// For each output the logarithm of the mean square, and the weights.
    outputs: Vec<(f64, Vec<f64>)>,
}

impl Spread {
    /// Fits it to errors `[rows, output]` at `inputs [rows, input]`, with as many columns as stated. Rows with errors that are not finite are
    /// left out; `None` where none is left, or none is off.
    pub fn fit(inputs: &[f32], input_len: usize, errors: &[f32], output_len: usize) -> Option<Self> {
        let rows: Vec<(&[f32], &[f32])> = inputs
            .chunks_exact(input_len)
            .zip(errors.chunks_exact(output_len))
            .filter(|(_, errors)| errors.iter().all(|error| error.is_finite()))
            .collect();
        let count = rows.len() as f64;
        let scale = |column: usize| {
            let values = || rows.iter().map(|(x, _)| f64::from(x[column]));
            let mean = values().sum::<f64>() / count;
            let deviation = (values().map(|x| (x - mean).powi(2)).sum::<f64>() / count).sqrt();
            [mean as f32, if deviation > 1e-9 { deviation as f32 } else { 1.0 }]
        };
        let scales: Vec<[f32; 2]> = (0..input_len).map(scale).collect();
        let mut features = DMatrix::zeros(rows.len(), 1 + 2 * input_len);
        for (row, (x, _)) in rows.iter().enumerate() {
            features.row_mut(row).copy_from_slice(&quadratic(&scales, x));
        }
        let output = |column: usize| {
            let squares = DVector::from_iterator(rows.len(), rows.iter().map(|(_, e)| f64::from(e[column]).powi(2)));
            let mean = squares.sum() / count;
            (mean > 0.0).then(|| (mean.ln(), weights(&features, &(squares / mean))))
        };
        Some(Self { outputs: (0..output_len).map(output).collect::<Option<_>>()?, scales })
    }

    /// The variances at rows `inputs [rows, input]`: `[rows, output]`.
    pub fn variance(&self, inputs: &[f32], variance: &mut [f32]) {
        let rows = inputs.chunks_exact(self.scales.len()).zip(variance.chunks_exact_mut(self.outputs.len()));
        for (x, variance) in rows {
            let features = quadratic(&self.scales, x);
            for (variance, (mean, weights)) in variance.iter_mut().zip(&self.outputs) {
                let log: f64 = features.iter().zip(weights).map(|(feature, weight)| feature * weight).sum();
                *variance = (mean + log.clamp(-FARTHEST, FARTHEST)).exp() as f32;
            }
        }
    }
}

/// 1, the standardised inputs, and their squares less one. Beyond four deviations an input counts as four.
fn quadratic(scales: &[[f32; 2]], x: &[f32]) -> Vec<f64> {
    let z: Vec<f64> =
        x.iter().zip(scales).map(|(x, [mean, scale])| f64::from((x - mean) / scale).clamp(-4.0, 4.0)).collect();
    std::iter::once(1.0).chain(z.iter().copied()).chain(z.iter().map(|z| z * z - 1.0)).collect()
}

/// The weights of the logarithm of the variance for `squares` of mean 1.
fn weights(features: &DMatrix<f64>, squares: &DVector<f64>) -> Vec<f64> {
    let columns = features.ncols();
    let pull = DVector::from_fn(columns, |column, _| if column == 0 { 0.0 } else { PULL });
    let logs = |weights: &DVector<f64>| (features * weights).map(|log| log.clamp(-FARTHEST, FARTHEST));
    let objective = |weights: &DVector<f64>| {
        let terms = logs(weights).zip_map(squares, |log, square| 0.5 * (log + square * (-log).exp()));
        terms.sum() + 0.5 * weights.component_mul(&pull).dot(weights)
    };
    let information = features.tr_mul(features) * 0.5 + DMatrix::from_diagonal(&pull);
    let mut weights = DVector::zeros(columns);
    // A column that is a sum of others has no information of its own; then the variance stays constant.
    let Some(factored) = Cholesky::new(information) else { return weights.as_slice().to_vec() };
    let mut least = objective(&weights);
    for _ in 0..ITERATIONS {
        let surprise = logs(&weights).zip_map(squares, |log, square| 0.5 * (1.0 - square * (-log).exp()));
        let slope = features.tr_mul(&surprise) + weights.component_mul(&pull);
        let mut step = factored.solve(&slope);
        let next = (0..20).find_map(|_| {
            let next = &weights - &step;
            let lower = objective(&next);
            step *= 0.5;
            (lower < least).then_some((next, lower))
        });
        let Some((next, lower)) = next else { break };
        let done = least - lower <= 1e-9 * least.abs();
        (weights, least) = (next, lower);
        if done {
            break;
        }
    }
    weights.as_slice().to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;
    use rand_distr::StandardNormal;

    #[test]
    fn it_finds_where_errors_are_large() {
        let mut rng = ChaCha8Rng::seed_from_u64(0);
        let deviation = |x: &[f32]| f64::from(0.5 * (0.8 * x[0]).exp());
        let (mut inputs, mut errors) = (Vec::new(), Vec::new());
        for _ in 0..4000 {
            let x: [f32; 2] = std::array::from_fn(|_| rng.random_range(-2.0..2.0));
            errors.push((deviation(&x) * rng.sample::<f64, _>(StandardNormal)) as f32);
            inputs.extend(x);
        }
        errors[7] = f32::NAN;
        let spread = Spread::fit(&inputs, 2, &errors, 1).unwrap();
        for x in [[-1.5, 0.0], [0.0, 1.0], [1.5, -1.0]] {
            let mut variance = [0.0];
            spread.variance(&x, &mut variance);
            let ratio = f64::from(variance[0]).sqrt() / deviation(&x);
            assert!((ratio - 1.0).abs() <= 0.1, "{x:?}: {ratio}");
        }
        assert!(Spread::fit(&[], 2, &[], 1).is_none() && Spread::fit(&[1.0], 1, &[0.0], 1).is_none());
    }
}
