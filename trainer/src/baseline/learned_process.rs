//! A Gaussian process whose mean and kernel are learned over tasks: an empirical Bayes prior, learned by the marginal likelihood of
//! whole training tasks (type II maximum likelihood; Rasmussen and Williams 2006, section 5.4.1, summed over tasks as in section 5.4.3).
//! In probes it was the strongest simple rival.
//!
//! The mean is the pooled network's prediction times a factor, plus an offset for each output. The kernel has a smooth part with a length
//! for each input, a linear part with a scale for each input, a constant (a random intercept), and noise. Adam (Kingma and Ba 2015)
//! goes down the mean negative log marginal likelihood of a value; of the states on the way, the best on validation tasks is kept.

use nalgebra::DMatrix;
use rayon::prelude::*;
use sinew_runtime::{Network, Path};

use super::gaussian_process::{Evidence, Kernel};
use super::process::{Pooled, Prior};
use super::residual_process::median_distance;
use crate::config::Config;
use crate::episode::Episode;
use crate::model::Model;
use crate::streams::Purpose;
use crate::train::{TrainError, episodes};
use crate::world::{Split, World};

/// Training episodes, shared among the numbers of shots.
const EPISODES: u64 = 256;
/// Validation episodes, the same.
const VALIDATION: u64 = 64;
/// Rows of an episode that count, the support first.
const MOST_ROWS: usize = 128;
/// Steps of Adam.
pub const ITERATIONS: usize = 400;
/// Episodes of a step.
const BATCH: usize = 16;
/// Adam's rate at the first step; it falls to 0 along half a cosine.
const RATE: f64 = 0.05;
/// Steps from one look at the validation tasks to the next.
const LOOK: usize = 20;
/// Logarithms of the kernel's numbers stay this close to where they began.
const FARTHEST: f64 = 9.0;

/// A task's rows: presented inputs, what the pooled network says of them, and targets, in scaled units.
#[derive(Clone, Debug)]
struct Rows {
    x: DMatrix<f64>,
    said: DMatrix<f64>,
    y: DMatrix<f64>,
}

/// A prior as a vector: factor, offsets, then the logarithms of amplitude, constant, noise, lengths and linear scales.
fn to_vector(prior: &Prior) -> Vec<f64> {
    let Kernel { amplitude, constant, noise, lengths, linear } = &prior.kernel;
    let logarithms = [amplitude, constant, noise].into_iter().chain(lengths).chain(linear).map(|value| value.ln());
    [prior.factor].into_iter().chain(prior.offsets.iter().copied()).chain(logarithms).collect()
}

fn of_vector(vector: &[f64], outputs: usize) -> Prior {
    let (mean, kernel) = vector.split_at(1 + outputs);
    let kernel: Vec<f64> = kernel.iter().map(|value| value.exp()).collect();
    let (scalars, inputs) = kernel.split_at(3);
    let (lengths, linear) = inputs.split_at(inputs.len() / 2);
    Prior {
        factor: mean[0],
        offsets: mean[1..].to_vec(),
        kernel: Kernel {
            amplitude: scalars[0],
            constant: scalars[1],
            noise: scalars[2],
            lengths: lengths.to_vec(),
            linear: linear.to_vec(),
        },
    }
}

/// The negative log marginal likelihood of a task's values, for each of them, and its gradient by the vector of `prior`. `None` where
/// numbers run out.
fn objective(prior: &Prior, rows: &Rows) -> Option<(f64, Vec<f64>)> {
    let Rows { x, said, y } = rows;
    let Evidence { negative_log, weights, slopes } = prior.kernel.evidence(x, &(y - prior.mean(said)))?;
    let share = 1.0 / y.len() as f64;
    let mut gradient = vec![-said.dot(&weights)];
    gradient.extend(weights.row_sum().iter().map(|sum| -sum));
    gradient.extend(slopes.scalars);
    gradient.extend(slopes.lengths.iter().chain(slopes.linear.iter()));
    gradient.iter_mut().for_each(|slope| *slope *= share);
    Some((negative_log * share, gradient))
}

/// The mean over tasks, those left out of which numbers ran out; infinite and without a gradient where none is left.
fn over(prior: &Prior, tasks: &[&Rows]) -> (f64, Option<Vec<f64>>) {
    // Summed in the order of the tasks, so that threads change no bit.
    let each: Vec<Option<(f64, Vec<f64>)>> = tasks.par_iter().map(|rows| objective(prior, rows)).collect();
    let told: Vec<(f64, Vec<f64>)> = each.into_iter().flatten().filter(|(value, _)| value.is_finite()).collect();
    let share = 1.0 / told.len() as f64;
    let value = if told.is_empty() { f64::INFINITY } else { told.iter().map(|task| task.0).sum::<f64>() * share };
    let gradient = told.into_iter().map(|task| task.1).reduce(|mut sum, gradient| {
        sum.iter_mut().zip(gradient).for_each(|(sum, slope)| *sum += slope);
        sum
    });
    (value, gradient.map(|sum| sum.into_iter().map(|slope| slope * share).collect()))
}

/// Where learning begins: residuals have the size that they have, in equal parts smooth, constant and noise.
fn start(tasks: &[Rows], distance: f64, outputs: usize) -> Prior {
    let values = tasks.iter().map(|rows| rows.y.len()).sum::<usize>().max(1) as f64;
    let square: f64 = tasks.iter().map(|rows| (&rows.y - &rows.said).norm_squared()).sum();
    let part = (square / values / 3.0).sqrt().max(1e-6);
    let inputs = tasks.first().map_or(0, |rows| rows.x.ncols());
    let sum_of_squares: f64 = tasks.iter().map(|rows| rows.x.norm_squared()).sum();
    let in_a_row = sum_of_squares / tasks.iter().map(|rows| rows.x.nrows()).sum::<usize>().max(1) as f64;
    let linear = 0.3 * part / in_a_row.sqrt().max(1e-6);
    let kernel = Kernel {
        amplitude: part,
        constant: part,
        noise: part,
        lengths: vec![distance; inputs],
        linear: vec![linear; inputs],
    };
    Prior::of_residual(outputs, kernel)
}

/// Learns on `tasks`; the best on `validation`, or the last where there is none.
fn learn(start: &Prior, tasks: &[Rows], validation: &[Rows]) -> Prior {
    let outputs = start.offsets.len();
    let (first, second, tiny): (f64, f64, f64) = (0.9, 0.999, 1e-8);
    let begun = to_vector(start);
    let mut vector = begun.clone();
    let mut moments = [vec![0.0; vector.len()], vec![0.0; vector.len()]];
    let looked_at: Vec<&Rows> = validation.iter().collect();
    let mut best = (over(start, &looked_at).0, start.clone());
    for step in 1..=ITERATIONS {
        let batch: Vec<&Rows> = (0..BATCH).map(|place| &tasks[((step - 1) * BATCH + place) % tasks.len()]).collect();
        let (_, gradient) = over(&of_vector(&vector, outputs), &batch);
        let done = step as f64 / ITERATIONS as f64;
        let rate = RATE * 0.5 * (1.0 + (std::f64::consts::PI * done).cos());
        let corrected = [1.0 - first.powi(step as i32), 1.0 - second.powi(step as i32)];
        for (i, slope) in gradient.into_iter().flatten().enumerate() {
            let [m, v] = &mut moments;
            m[i] = first * m[i] + (1.0 - first) * slope;
            v[i] = second * v[i] + (1.0 - second) * slope * slope;
            vector[i] -= rate * (m[i] / corrected[0]) / ((v[i] / corrected[1]).sqrt() + tiny);
            if i > outputs {
                vector[i] = vector[i].clamp(begun[i] - FARTHEST, begun[i] + FARTHEST);
            }
        }
        if step % LOOK == 0 {
            let prior = of_vector(&vector, outputs);
            let value = over(&prior, &looked_at).0;
            if value < best.0 || validation.is_empty() {
                best = (value, prior);
            }
        }
    }
    best.1
}

/// Learns the process for the pooled network, on the training tasks of `config`.
///
/// # Errors
/// If the network cannot be, or the world has no training tasks.
pub fn fit(config: &Config, world: &dyn World, pooled: &Model) -> Result<Prior, TrainError> {
    let network = Network::new(&pooled.network, Path::detect()).map_err(crate::engine::EngineError::from)?;
    let view = Pooled { network: &network, model: pooled };
    let shots = config.train.shots.all();
    let draw = |split, count: u64| -> Vec<Episode> {
        let count = world.task_count(split).map_or(count, |tasks| count.min(tasks as u64));
        let each = count.div_ceil(shots.len() as u64);
        let drawn = |shots: &usize| episodes(world, split, *shots, config.seed, Purpose::Choice, each);
        let drawn = shots.iter().flat_map(drawn).map(|(_, episode)| episode);
        drawn.filter(|episode| episode.support.rows > 0 && episode.query.rows > 0).collect()
    };
    let rows = |episode: &Episode| {
        let mean = crate::scaling::support_mean(&episode.support);
        let mut samples = episode.support.clone();
        samples.inputs.extend_from_slice(&episode.query.inputs);
        samples.targets.extend_from_slice(&episode.query.targets);
        samples.rows += episode.query.rows;
        let rows = samples.rows.min(MOST_ROWS);
        let inputs = &samples.inputs[..rows * samples.input_len()];
        let seen = view.look(mean.as_deref(), inputs);
        Rows { x: seen.x, said: seen.said, y: view.scaled(&samples.targets[..rows * samples.output_len()]) }
    };
    let training = draw(Split::Train, EPISODES);
    if training.is_empty() {
        let (world, shots) = (world.name().into(), config.train.shots.main());
        return Err(TrainError::NoTasks { world, split: "training", shots });
    }
    let validation: Vec<Rows> = draw(Split::Validation, VALIDATION).par_iter().map(rows).collect();
    let distance = median_distance(&pooled.scaling, training.iter());
    let tasks: Vec<Rows> = training.par_iter().map(rows).collect();
    Ok(learn(&start(&tasks, distance, pooled.network.output_len()), &tasks, &validation))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;
    use rand_distr::{Distribution, StandardNormal};

    fn truth() -> Prior {
        let kernel =
            Kernel { amplitude: 0.8, constant: 1.5, noise: 0.2, lengths: vec![0.6, 30.0], linear: vec![0.01, 0.7] };
        Prior { factor: 0.5, offsets: vec![0.3], kernel }
    }

    /// Tasks drawn from a process.
    fn tasks(prior: &Prior, seed: u64, count: usize) -> Vec<Rows> {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut normal = || -> f64 { StandardNormal.sample(&mut rng) };
        let mut one = || {
            let x = DMatrix::from_fn(20, 2, |_, _| normal());
            let said = DMatrix::from_fn(20, 1, |_, _| normal());
            let draws = DMatrix::from_fn(20, 1, |_, _| normal());
            // The factor of the kernel's matrix, by what a process says of its own unit vectors.
            let k = DMatrix::from_fn(20, 20, |a, b| {
                let Kernel { amplitude, constant, noise, lengths, linear } = &prior.kernel;
                let square: f64 = (0..2).map(|i| ((x[(a, i)] - x[(b, i)]) / lengths[i]).powi(2)).sum();
                let slope: f64 = (0..2).map(|i| linear[i].powi(2) * x[(a, i)] * x[(b, i)]).sum();
                let own = if a == b { noise.powi(2) } else { 0.0 };
                amplitude.powi(2) * (-0.5 * square).exp() + slope + constant.powi(2) + own
            });
            let y = prior.mean(&said) + k.cholesky().unwrap().l() * draws;
            Rows { x, said, y }
        };
        (0..count).map(|_| one()).collect()
    }

    #[test]
    fn the_gradient_is_that_of_the_objective() {
        let (prior, rows) = (truth(), tasks(&truth(), 1, 3));
        let all: Vec<&Rows> = rows.iter().collect();
        let vector = to_vector(&prior);
        let gradient = over(&prior, &all).1.unwrap();
        assert_eq!(gradient.len(), vector.len());
        for (i, slope) in gradient.iter().enumerate() {
            let at = |by: f64| {
                let mut moved = vector.clone();
                moved[i] += by;
                over(&of_vector(&moved, 1), &all).0
            };
            let numeric = (at(1e-5) - at(-1e-5)) / 2e-5;
            assert!((numeric - slope).abs() <= 1e-6 * (1.0 + slope.abs()), "{i}: {numeric} and {slope}");
        }
    }

    /// What is learned from tasks of a known process explains new ones as well as the truth does, and better than the start.
    #[test]
    fn a_process_is_found_again() {
        let (prior, rows) = (truth(), tasks(&truth(), 1, 200));
        let (validation, test) = (tasks(&prior, 2, 40), tasks(&prior, 3, 200));
        let begun = start(&rows, 1.5, 1);
        let learned = learn(&begun, &rows, &validation);
        let test: Vec<&Rows> = test.iter().collect();
        let [truth, before, after] = [&prior, &begun, &learned].map(|prior| over(prior, &test).0);
        assert!(after <= truth + 0.03 && truth + 0.1 <= before, "{truth}, {before} to {after}: {learned:?}");
        assert!((learned.factor - 0.5).abs() <= 0.1, "{learned:?}");
        assert!((learned.kernel.noise / 0.2).ln().abs() <= 0.3, "{learned:?}");
        assert!(learned.kernel.lengths[1] > 3.0 * learned.kernel.lengths[0], "{learned:?}");
        assert_eq!(learn(&begun, &rows, &validation), learned);
    }

    #[test]
    fn vectors_are_priors() {
        let prior = truth();
        let again = to_vector(&of_vector(&to_vector(&prior), 1));
        assert!(again.iter().zip(to_vector(&prior)).all(|(a, b)| (a - b).abs() <= 1e-12));
    }
}
