//! The classical baseline: a linear model of the presented inputs, fitted to the pooled tasks, then to the support set with a pull
//! toward the pooled solution: the maximum a posteriori estimate with a Gaussian prior about it.
//!
//! One algorithm for every loss: with C above the curvature of the loss at an output (2 for squares, 1 for Huber, ¼ for the binary
//! and ½ for the softmax cross-entropy; Böhning 1992), W ← W − (C XᵀX + λI)⁻¹ ∇ never goes up, and for squares it is there at once.

use nalgebra::{Cholesky, DMatrix, Dyn};
use sinew_models::networks;
use sinew_models::rule::{Rate, Rule, Scope};
use sinew_models::spec::{Activation, Loss, NetworkSpec};

use crate::config::Config;
use crate::engine::Rows;
use crate::export::About;
use crate::learn::State;
use crate::model::Model;
use crate::scaling::Scaling;
use crate::streams::Purpose;
use crate::train::{TrainError, episodes};
use crate::world::{Split, World};

/// Episodes whose rows are pooled.
const EPISODES: u64 = 512;
/// The pull toward 0 of the pooled fit, as a share of its rows.
const POOLED_PULL: f64 = 1e-4;
/// Iterations for a loss that is not a square.
const POOLED_ITERATIONS: usize = 400;
/// The same on a support set.
const SUPPORT_ITERATIONS: usize = 60;

/// The pulls that can be chosen.
pub const STRENGTHS: [f64; 13] = [0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1e3, 1e4, 1e5];

/// A linear network: no backbone, one layer.
fn network(spec: &NetworkSpec) -> Result<NetworkSpec, sinew_models::spec::SpecError> {
    let (name, loss) = spec.heads.first().map_or(("output", Loss::MeanSquared), |head| (head.name.as_str(), head.loss));
    networks::mlp(spec.input.len, spec.input.form, &[], Activation::Identity, name, spec.output_len(), loss)
}

/// Fits the pooled linear model for the world of `config`.
///
/// # Errors
/// If the configuration does not fit the world.
pub fn fit(config: &Config, world: &dyn World, scaling: &Scaling) -> Result<Model, TrainError> {
    let spec = network(&config.network(world.signature())?).map_err(crate::config::ConfigError::from)?;
    let mut pooled = Rows::default();
    for shots in config.train.shots.all() {
        for (_, episode) in episodes(world, Split::Train, *shots, config.seed, Purpose::Choice, EPISODES) {
            let task = scaling.task_rows(&episode);
            for rows in [task.support, task.query] {
                pooled.x.extend(rows.x);
                pooled.y.extend(rows.y);
                pooled.rows += rows.rows;
            }
        }
    }
    let start = vec![0.0; spec.param_len()];
    let pull = POOLED_PULL * pooled.rows as f64;
    let params = map_estimate(&spec, &start, &pooled, pull, POOLED_ITERATIONS);
    let rule = Rule::Gradient { steps: 1, rate: Rate::Constant, scope: Scope::All, momentum: false, rows: 0 };
    Ok(Model {
        rule,
        state: State { params, rates: vec![0.0] },
        scaling: scaling.clone(),
        about: About {
            world: world.name().into(),
            learner: "linear".into(),
            version: env!("CARGO_PKG_VERSION").into(),
            ..About::default()
        },
        network: spec,
    })
}

/// The linear model fitted to `support` with a pull of `strength` toward `pooled`; the loss is summed over rows.
pub fn adapt(pooled: &Model, support: &Rows, strength: f64) -> Vec<f32> {
    map_estimate(&pooled.network, &pooled.state.params, support, strength, SUPPORT_ITERATIONS)
}

fn map_estimate(spec: &NetworkSpec, start: &[f32], rows: &Rows, strength: f64, iterations: usize) -> Vec<f32> {
    let (inputs, outputs) = (spec.input.presented_len(), spec.output_len());
    let loss = spec.heads.first().map_or(Loss::MeanSquared, |head| head.loss);
    let columns = inputs + 1;
    // A one at the end of each row stands for the bias.
    let x = DMatrix::from_fn(rows.rows, columns, |row, column| {
        if column == inputs { 1.0 } else { f64::from(rows.x[row * inputs + column]) }
    });
    let y = DMatrix::from_fn(rows.rows, outputs, |row, column| f64::from(rows.y[row * outputs + column]));
    // In the layout of the network: the weight [outputs, inputs], then the bias.
    let prior = DMatrix::from_fn(columns, outputs, |input, output| {
        f64::from(start[if input == inputs { inputs * outputs + output } else { output * inputs + input }])
    });
    let curvature = curvature(loss);
    let iterations = if loss == Loss::MeanSquared { 1 } else { iterations };
    let bound = x.tr_mul(&x) * curvature + DMatrix::identity(columns, columns) * strength;
    let mut w = prior.clone();
    // A sum of squares and a positive diagonal is positive definite, unless numbers run out: then the prior stays.
    if let Some(bound) = Cholesky::<f64, Dyn>::new(bound) {
        for _ in 0..iterations {
            let slopes = slopes(loss, &x * &w, &y);
            w -= bound.solve(&(x.tr_mul(&slopes) + (&w - &prior) * strength));
        }
    }
    let mut params = vec![0.0; start.len()];
    for output in 0..outputs {
        for input in 0..inputs {
            params[output * inputs + input] = w[(input, output)] as f32;
        }
        params[inputs * outputs + output] = w[(inputs, output)] as f32;
    }
    params
}

/// What the loss of a row curves at most, in each output.
pub(super) const fn curvature(loss: Loss) -> f64 {
    match loss {
        Loss::MeanSquared => 2.0,
        Loss::Huber { .. } => 1.0,
        Loss::BinaryCrossEntropy => 0.25,
        Loss::CrossEntropy => 0.5,
    }
}

/// The derivative of the loss of each row at its outputs `z [rows, output]`.
pub(super) fn slopes(loss: Loss, mut z: DMatrix<f64>, y: &DMatrix<f64>) -> DMatrix<f64> {
    match loss {
        Loss::MeanSquared => (z - y) * 2.0,
        Loss::Huber { delta } => (z - y).map(|e| e.clamp(-f64::from(delta), f64::from(delta))),
        Loss::BinaryCrossEntropy => z.map(|z| 1.0 / (1.0 + (-z).exp())) - y,
        Loss::CrossEntropy => {
            for mut row in z.row_iter_mut() {
                let top = row.max();
                row.apply(|z| *z = (*z - top).exp());
                let sum = row.sum();
                row /= sum;
            }
            z - y
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sinew_models::spec::InputForm;
    use sinew_runtime::kernel::dense::Update;
    use sinew_runtime::network::{Destination, LayerSet};
    use sinew_runtime::{Network, Path};

    /// The estimate is where the gradient of the whole objective, taken by the runtime, is 0.
    #[test]
    fn the_gradient_is_nothing_there() {
        for (loss, outputs) in [
            (Loss::MeanSquared, 2),
            (Loss::Huber { delta: 0.5 }, 2),
            (Loss::BinaryCrossEntropy, 1),
            (Loss::CrossEntropy, 3),
        ] {
            let spec = networks::mlp(3, InputForm::Plain, &[], Activation::Identity, "y", outputs, loss).unwrap();
            let mut rows = Rows { rows: 12, ..Rows::default() };
            for row in 0..12 {
                rows.x.extend((0..3).map(|i| ((row * 7 + i * 5) % 11) as f32 / 5.0 - 1.0));
                rows.y.extend((0..outputs).map(|o| f32::from(u8::from((row * row) % outputs.max(2) == o))));
            }
            let start: Vec<f32> = (0..spec.param_len()).map(|i| 0.1 * i as f32 - 0.3).collect();
            let strength = 0.7;
            let params = map_estimate(&spec, &start, &rows, strength, 2000);
            let network = Network::new(&spec, Path::SCALAR).unwrap();
            let mut forward = vec![0.0; network.forward_len(12)];
            let mut backward = vec![0.0; network.backward_len(12)];
            let mut gradient = vec![0.0; params.len()];
            let mut panel = vec![0.0; network.panel_len()];
            network.forward(&params, &rows.x, 12, &mut forward, &mut panel);
            let (layers, update) = (LayerSet::ALL, Update::Store);
            let destination = Destination::Gradient { params: &params, gradient: &mut gradient, layers, update };
            network.gradient(destination, rows.batch(), &forward, &mut backward, &mut panel);
            let count = if loss == Loss::CrossEntropy { 12.0 } else { 12.0 * outputs as f32 };
            for ((g, p), s) in gradient.iter().zip(&params).zip(&start) {
                let whole = g * count + strength as f32 * (p - s);
                assert!(whole.abs() <= 2e-5, "{loss:?}: {whole}");
            }
        }
    }
}
