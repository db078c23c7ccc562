//! The settings of the baselines, chosen on validation tasks for the number of shots that they are judged with.

use rayon::prelude::*;
use sinew_runtime::{Network, Path};

use super::fine_tune::{POOLED, SCRATCH, Setting, fine_tune};
use super::process::Pooled;
use super::residual_process::{self, median_distance};
use super::{Baselines, intercept, linear};
use crate::episode::Episode;
use crate::forward::Forward;
use crate::metric;
use crate::model::Model;
use crate::scaling::support_mean;
use crate::streams::Purpose;
use crate::train::{episodes, initial_parameters};
use crate::world::{Split, Task, World};

/// Validation episodes on which is chosen.
const EPISODES: u64 = 120;

/// What was chosen.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct Choice {
    /// Support samples (of each class).
    pub shots: usize,
    /// Fine-tuning the pooled network.
    pub fine_tuned: Setting,
    /// The same from scratch.
    pub scratch: Setting,
    /// The pull of the linear model.
    pub strength: f64,
    /// The pull of the random intercept.
    pub intercept: f64,
    /// The Gaussian process on the residual.
    pub residual: residual_process::Setting,
}

/// How bad predictions are: the error of values, or what the world's main metric says of classes.
pub(super) fn badness(
    world: &dyn World,
    task: &Task,
    episode: &Episode,
    predict: &mut dyn FnMut(&[f32], &mut [f32]),
) -> f64 {
    // Heads may be in units that cannot be added up.
    if world.signature().heads.len() > 1 || world.signature().loss().is_classification() {
        let higher = world.metrics().first().is_some_and(|metric| metric.higher_is_better);
        let score = world.score(task, episode, predict).first().copied().unwrap_or(f64::NAN);
        if higher { -score } else { score }
    } else {
        let mut said = vec![0.0; episode.query.targets.len()];
        predict(&episode.query.inputs, &mut said);
        metric::mse(&said, &episode.query.targets)
    }
}

/// The index with the least mean; a mean that is NaN is never the least.
pub(super) fn least(rows: &[Vec<f64>]) -> usize {
    let settings = rows.first().map_or(0, Vec::len);
    let mean = |setting: usize| {
        let told: Vec<f64> = rows.iter().map(|row| row[setting]).filter(|value| !value.is_nan()).collect();
        if told.is_empty() { f64::INFINITY } else { told.iter().sum::<f64>() / told.len() as f64 }
    };
    (0..settings).min_by(|a, b| mean(*a).total_cmp(&mean(*b))).unwrap_or(0)
}

/// Chooses for `shots`.
///
/// # Errors
/// If a network of the baselines cannot be.
pub fn choose(
    baselines: &Baselines,
    world: &dyn World,
    shots: usize,
    seed: u64,
) -> Result<Choice, sinew_runtime::network::NetworkError> {
    let count = world.task_count(Split::Validation).map_or(EPISODES, |tasks| EPISODES.min(tasks as u64));
    let drawn = episodes(world, Split::Validation, shots, seed, Purpose::Choice, count);
    let Baselines { pooled, linear: line, .. } = baselines;
    let network = Network::new(&pooled.network, Path::detect())?;
    let line_network = Network::new(&line.network, Path::detect())?;

    let tune = |starts: &(dyn Fn(u64) -> Vec<f32> + Sync), rates: &[f64], steps: &[usize]| -> Setting {
        let rows: Vec<Vec<f64>> = drawn
            .par_iter()
            .enumerate()
            .map(|(number, (task, episode))| {
                let support = pooled.scaling.task_rows(episode).support;
                let mean = support_mean(&episode.support);
                let mut forward = Forward::new(&network, &pooled.scaling);
                let start = starts(number as u64);
                let mut row = Vec::new();
                for rate in rates {
                    fine_tune(&network, &start, &support, *rate, steps, |_, params| {
                        let mut predict = |x: &[f32], y: &mut [f32]| forward.predict(params, mean.as_deref(), x, y);
                        row.push(badness(world, task, episode, &mut predict));
                    });
                }
                row
            })
            .collect();
        let best = least(&rows);
        Setting { rate: rates[best / steps.len()], steps: steps[best % steps.len()] }
    };
    let fine_tuned = tune(&|_| pooled.state.params.clone(), &POOLED.0, &POOLED.1);
    let scratch = tune(&|number| scratch_start(pooled, seed, number), &SCRATCH.0, &SCRATCH.1);

    let rows: Vec<Vec<f64>> = drawn
        .par_iter()
        .map(|(task, episode)| {
            let support = line.scaling.task_rows(episode).support;
            let mean = support_mean(&episode.support);
            let mut forward = Forward::new(&line_network, &line.scaling);
            let one = |strength: &f64| {
                let params = linear::adapt(line, &support, *strength);
                let mut predict = |x: &[f32], y: &mut [f32]| forward.predict(&params, mean.as_deref(), x, y);
                badness(world, task, episode, &mut predict)
            };
            linear::STRENGTHS.iter().map(one).collect()
        })
        .collect();
    let strength = linear::STRENGTHS[least(&rows)];

    let rows: Vec<Vec<f64>> = drawn
        .par_iter()
        .map(|(task, episode)| {
            let mean = support_mean(&episode.support);
            let mut forward = Forward::new(&network, &pooled.scaling);
            let one = |strength: &f64| {
                let shift = intercept::of_episode(pooled, &network, episode, *strength);
                let params = &pooled.state.params;
                let mut predict = |x: &[f32], y: &mut [f32]| {
                    intercept::predict(&mut forward, params, &shift, mean.as_deref(), x, y);
                };
                badness(world, task, episode, &mut predict)
            };
            intercept::STRENGTHS.iter().map(one).collect()
        })
        .collect();
    let intercept = intercept::STRENGTHS[least(&rows)];

    let settings = residual_process::Setting::all(median_distance(&pooled.scaling, drawn.iter().map(|drawn| &drawn.1)));
    let (inputs, outputs) = (pooled.network.input.presented_len(), pooled.network.output_len());
    let view = Pooled { network: &network, model: pooled };
    let rows: Vec<Vec<f64>> = drawn
        .par_iter()
        .map(|(task, episode)| {
            let one = |setting: &residual_process::Setting| {
                let prior = setting.prior(inputs, outputs);
                let adapted = prior.adapt(view, episode);
                badness(world, task, episode, &mut |x: &[f32], y: &mut [f32]| adapted.predict(x, y))
            };
            settings.iter().map(one).collect()
        })
        .collect();
    let residual = settings[least(&rows)].with_amplitude(view, drawn.iter().map(|drawn| &drawn.1));
    Ok(Choice { shots, fine_tuned, scratch, strength, intercept, residual })
}

/// Where training from scratch begins on the episode with this number.
pub fn scratch_start(pooled: &Model, seed: u64, number: u64) -> Vec<f32> {
    initial_parameters(&pooled.network, seed, Purpose::Scratch, number)
}
