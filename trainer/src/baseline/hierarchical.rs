//! A hierarchical Bayesian linear model of the pooled network's residual: the strong simple baseline.
//!
//! In a task, target = prediction of the pooled network + wᵀφ + noise, with φ = (1, the prediction, the presented inputs) and
//! w ~ N(μ, Σ), in scaled units. Mean, full covariance and noise are estimated over training tasks by expectation maximisation (Laird and
//! Ware, *Random-effects models for longitudinal data*, Biometrics 38, 1982); what a task then learns of its w is conjugate (Bishop 2006,
//! *Pattern Recognition and Machine Learning*, equations 3.50 and 3.51). Outputs are independent of each other.

use nalgebra::{Cholesky, DMatrix, DVector, Dyn};

use super::process::{Pooled, Seen, as_probabilities};
use crate::episode::Episode;
use crate::scaling::support_mean;

/// Iterations of expectation maximisation.
const ITERATIONS: usize = 100;
/// Weights of a task at most: with more, a full covariance is neither quick nor well known.
const MOST_FEATURES: usize = 256;
/// What is added to the diagonal of a covariance, so that it stays positive definite where tasks do not differ.
const JITTER: f64 = 1e-8;

/// The weights of one output, before a task is seen.
#[derive(Clone, Debug)]
struct Weights {
    mean: DVector<f64>,
    /// Σ⁻¹.
    precision: DMatrix<f64>,
    /// The variance of the noise.
    noise: f64,
}

/// What is known before a task is seen.
#[derive(Clone, Debug)]
pub struct Hierarchy {
    outputs: Vec<Weights>,
}

/// What the rows of a task say of one output: ΦᵀΦ, Φᵀr, rᵀr and their number.
#[derive(Clone, Debug)]
struct Statistics {
    squares: DMatrix<f64>,
    products: DVector<f64>,
    residual: f64,
    rows: f64,
}

/// Mean and factored precision of the weights of an output.
type Belief = (DVector<f64>, Cholesky<f64, Dyn>);

/// φ of rows: `[row, feature]`.
fn features(seen: &Seen, output: usize) -> DMatrix<f64> {
    let inputs = seen.x.ncols();
    DMatrix::from_fn(seen.x.nrows(), inputs + 2, |row, column| match column {
        0 => 1.0,
        1 => seen.said[(row, output)],
        _ => seen.x[(row, column - 2)],
    })
}

fn statistics(seen: &Seen, targets: &DMatrix<f64>, output: usize) -> Statistics {
    let features = features(seen, output);
    let residual: DVector<f64> = targets.column(output) - seen.said.column(output);
    Statistics {
        squares: features.tr_mul(&features),
        products: features.tr_mul(&residual),
        residual: residual.norm_squared(),
        rows: residual.len() as f64,
    }
}

impl Weights {
    /// Mean and factored precision of the weights of a task; `None` where numbers run out.
    fn posterior(&self, task: &Statistics) -> Option<Belief> {
        let factored = Cholesky::new(&self.precision + &task.squares / self.noise)?;
        let mean = factored.solve(&(&self.precision * &self.mean + &task.products / self.noise));
        Some((mean, factored))
    }

    /// Expectation maximisation over tasks; `None` where numbers run out.
    fn fit(tasks: &[Statistics]) -> Option<Self> {
        let (rows, residual) = tasks.iter().fold((0.0, 0.0), |(n, r), task| (n + task.rows, r + task.residual));
        let columns = tasks.first()?.products.len();
        let square = (residual / rows).max(JITTER);
        // Residuals are half noise, and the rest is shared among the weights.
        let precision = DMatrix::identity(columns, columns) * (2.0 * columns as f64 / square);
        let mut weights = Self { mean: DVector::zeros(columns), precision, noise: 0.5 * square };
        for _ in 0..ITERATIONS {
            let posteriors: Option<Vec<_>> = tasks.iter().map(|task| weights.posterior(task)).collect();
            let posteriors: Vec<_> =
                posteriors?.into_iter().map(|(mean, factored)| (mean, factored.inverse())).collect();
            let share = 1.0 / tasks.len() as f64;
            let mean = posteriors.iter().fold(DVector::zeros(columns), |sum, (mean, _)| sum + mean) * share;
            let mut covariance = DMatrix::identity(columns, columns) * JITTER;
            let mut noise = 0.0;
            for ((own, spread), task) in posteriors.iter().zip(tasks) {
                let apart = own - &mean;
                covariance += (spread + &apart * apart.transpose()) * share;
                noise += task.residual - 2.0 * own.dot(&task.products)
                    + own.dot(&(&task.squares * own))
                    + task.squares.component_mul(spread).sum();
            }
            let precision = Cholesky::new(covariance)?.inverse();
            weights = Self { mean, precision, noise: (noise / rows).max(JITTER) };
        }
        Some(weights)
    }
}

impl Hierarchy {
    /// Fits it to the residuals of `pooled` on training tasks, support and query rows alike. `None` where rows have more than 254 presented
    /// inputs, or numbers run out.
    pub fn fit(pooled: Pooled<'_>, episodes: &[Episode]) -> Option<Self> {
        if pooled.model.network.input.presented_len() + 2 > MOST_FEATURES {
            return None;
        }
        let rows = |episode: &Episode| {
            let mean = support_mean(&episode.support);
            let samples = [&episode.support, &episode.query];
            let inputs: Vec<f32> = samples.iter().flat_map(|rows| rows.inputs.iter().copied()).collect();
            let targets: Vec<f32> = samples.iter().flat_map(|rows| rows.targets.iter().copied()).collect();
            (pooled.look(mean.as_deref(), &inputs), pooled.scaled(&targets))
        };
        let tasks: Vec<_> = episodes.iter().map(rows).collect();
        let output = |output: usize| {
            let told: Vec<_> = tasks.iter().map(|(seen, targets)| statistics(seen, targets, output)).collect();
            Weights::fit(&told)
        };
        let outputs = (0..pooled.model.scaling.output_len()).map(output).collect::<Option<_>>()?;
        Some(Self { outputs })
    }

    /// What is known after the support of `episode`.
    pub fn adapt<'a>(&'a self, pooled: Pooled<'a>, episode: &Episode) -> Adapted<'a> {
        let mean = support_mean(&episode.support);
        let seen = pooled.look(mean.as_deref(), &episode.support.inputs);
        let targets = pooled.scaled(&episode.support.targets);
        let posterior = |(output, weights): (usize, &Weights)| weights.posterior(&statistics(&seen, &targets, output));
        Adapted { hierarchy: self, pooled, mean, outputs: self.outputs.iter().enumerate().map(posterior).collect() }
    }
}

/// What is known after some rows of a task.
#[derive(Debug)]
pub struct Adapted<'a> {
    hierarchy: &'a Hierarchy,
    pooled: Pooled<'a>,
    mean: Option<Vec<f32>>,
    /// Mean and factored precision of the weights of each output; `None` where numbers ran out.
    outputs: Option<Vec<Belief>>,
}

impl Adapted<'_> {
    /// Predicts for rows `x [rows, input]` into `y [rows, output]`, and the variance of the targets, noise included, into `variance
    /// [rows, output]`, in units and squares of units of the world. Both are NaN where numbers ran out.
    pub fn predict(&self, x: &[f32], y: &mut [f32], mut variance: Option<&mut [f32]>) {
        let Some(outputs) = &self.outputs else {
            y.fill(f32::NAN);
            variance.into_iter().for_each(|variance| variance.fill(f32::NAN));
            return;
        };
        let seen = self.pooled.look(self.mean.as_deref(), x);
        let scaling = &self.pooled.model.scaling;
        let columns = outputs.len();
        for (column, (weights, factored)) in outputs.iter().enumerate() {
            let features = features(&seen, column);
            let values = &features * weights + seen.said.column(column);
            let (mean, scale) = (scaling.output_mean[column], scaling.output_scale[column]);
            for (row, value) in values.iter().enumerate() {
                y[row * columns + column] = mean + scale * *value as f32;
            }
            if let Some(variance) = variance.as_deref_mut() {
                let mut solved = features.transpose();
                // The diagonal is above 0, so it can be solved.
                let done = factored.l_dirty().solve_lower_triangular_mut(&mut solved);
                debug_assert!(done);
                let noise = self.hierarchy.outputs[column].noise;
                for (row, known) in solved.column_iter().enumerate() {
                    variance[row * columns + column] = scale * scale * (known.norm_squared() + noise) as f32;
                }
            }
        }
        if self.pooled.is_classification() {
            y.chunks_exact_mut(columns).for_each(as_probabilities);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::export::About;
    use crate::learn::State;
    use crate::model::Model;
    use crate::scaling::Scaling;
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;
    use rand_distr::StandardNormal;
    use sinew_models::networks;
    use sinew_models::rule::{Rate, Rule, Scope};
    use sinew_models::spec::{Activation, InputForm, Loss};
    use sinew_runtime::{Network, Path};

    /// A network that always says 0, for two inputs.
    fn silent() -> Model {
        let network = networks::mlp(2, InputForm::Plain, &[], Activation::Identity, "y", 1, Loss::MeanSquared).unwrap();
        Model {
            rule: Rule::Gradient { steps: 1, rate: Rate::Constant, scope: Scope::All, momentum: false, rows: 0 },
            state: State { params: vec![0.0; network.param_len()], rates: vec![0.0] },
            scaling: Scaling::none(&network),
            about: About::default(),
            network,
        }
    }

    /// Tasks whose intercept and slopes go together as they do in `deviations`, with a noise of 0.1.
    fn tasks(count: usize) -> Vec<Episode> {
        let mut rng = ChaCha8Rng::seed_from_u64(5);
        let mut episode = || {
            let mut normal = || -> f64 { rng.sample(StandardNormal) };
            let (common, own) = (normal(), normal());
            let weights = [1.0 + 0.5 * common, 0.8 * common + 0.2 * own, -0.3];
            let mut episode = Episode::default();
            for row in 0..20 {
                let x = [normal(), normal()];
                let y = weights[0] + weights[1] * x[0] + weights[2] * x[1] + 0.1 * normal();
                let rows = if row < 4 { &mut episode.support } else { &mut episode.query };
                rows.push(&x.map(|x| x as f32), &[y as f32]);
            }
            episode
        };
        (0..count).map(|_| episode()).collect()
    }

    #[test]
    fn it_finds_how_tasks_differ_and_knows_how_sure_it_is() {
        let model = silent();
        let network = Network::new(&model.network, Path::SCALAR).unwrap();
        let pooled = Pooled { network: &network, model: &model };
        let all = tasks(600);
        let hierarchy = Hierarchy::fit(pooled, &all[..400]).unwrap();
        let weights = &hierarchy.outputs[0];
        let covariance = weights.precision.clone().try_inverse().unwrap();
        assert!((weights.noise.sqrt() - 0.1).abs() <= 0.01, "{}", weights.noise);
        for (place, mean, variance) in [(0, 1.0, 0.25), (2, 0.0, 0.68), (3, -0.3, 0.0)] {
            assert!((weights.mean[place] - mean).abs() <= 0.12, "{}", weights.mean);
            assert!((covariance[(place, place)] - variance).abs() <= 0.12, "{covariance}");
        }
        assert!((covariance[(0, 2)] - 0.4).abs() <= 0.1, "{covariance}");
        // On other tasks errors are as large as it says, with rows and without.
        for rows in [0, 4] {
            let (mut square, mut count) = (0.0, 0.0);
            for episode in &all[400..] {
                let mut few = episode.clone();
                few.support.inputs.truncate(2 * rows);
                few.support.targets.truncate(rows);
                few.support.rows = rows;
                let adapted = hierarchy.adapt(pooled, &few);
                let (mut y, mut variance) = (vec![0.0; 16], vec![0.0; 16]);
                adapted.predict(&episode.query.inputs, &mut y, Some(&mut variance));
                for ((y, target), variance) in y.iter().zip(&episode.query.targets).zip(&variance) {
                    square += f64::from(y - target).powi(2) / f64::from(*variance);
                    count += 1.0;
                }
            }
            assert!((square / count - 1.0).abs() <= 0.15, "{rows}: {}", square / count);
        }
    }
}
