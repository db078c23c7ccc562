//! The baselines on one episode.

use sinew_runtime::network::NetworkError;
use sinew_runtime::{Network, Path};

use super::{Method, Settings};
use crate::baseline::choose::{Choice, choose, scratch_start};
use crate::baseline::fine_tune::fine_tuned;
use crate::baseline::process::{Pooled, Prior};
use crate::baseline::{Baselines, intercept, linear};
use crate::episode::Episode;
use crate::forward::Forward;
use crate::model::Model;
use crate::scaling::support_mean;
use crate::world::{Task, World};

/// The baselines, with what was chosen for them.
pub(super) struct Beside<'a> {
    baselines: &'a Baselines,
    network: Network,
    linear: Network,
    residual: Prior,
    pub choice: Choice,
    seed: u64,
}

impl<'a> Beside<'a> {
    pub fn new(baselines: &'a Baselines, world: &dyn World, settings: &Settings) -> Result<Self, NetworkError> {
        let choice = choose(baselines, world, settings.shots, settings.seed)?;
        let spec = &baselines.pooled.network;
        let network = Network::new(spec, Path::detect())?;
        let linear = Network::new(&baselines.linear.network, Path::detect())?;
        let residual = choice.residual.prior(spec.input.presented_len(), spec.output_len());
        Ok(Self { baselines, network, linear, residual, choice, seed: settings.seed })
    }

    /// The scores of each on the episode with this number.
    pub fn score(&self, world: &dyn World, task: &Task, episode: &Episode, number: u64) -> Vec<(Method, Vec<f64>)> {
        let Baselines { pooled, linear: line, process } = self.baselines;
        let mean = support_mean(&episode.support);
        let run = |network: &Network, model: &Model, params: &[f32]| {
            let mut forward = Forward::new(network, &model.scaling);
            let mut predict = |x: &[f32], y: &mut [f32]| forward.predict(params, mean.as_deref(), x, y);
            world.score(task, episode, &mut predict)
        };
        let support = pooled.scaling.task_rows(episode).support;
        let Choice { fine_tuned: tuned, scratch, strength, .. } = self.choice;
        let start = &pooled.state.params;
        let after = |start: &[f32], setting| fine_tuned(&self.network, start, &support, setting);
        let linear = linear::adapt(line, &line.scaling.task_rows(episode).support, strength);
        let by_process = |prior: &Prior| {
            let adapted = prior.adapt(Pooled { network: &self.network, model: pooled }, episode);
            let mut variance = |x: &[f32], y: &mut [f32]| adapted.variance(x, y);
            world.score_with_variance(task, episode, &mut |x, y| adapted.predict(x, y), &mut variance)
        };
        let method = |name, steps| Method { name, steps };
        vec![
            (method("unadapted", 0), run(&self.network, pooled, start)),
            (method("intercept", 0), self.with_intercept(world, task, episode)),
            (method("finetuned", tuned.steps), run(&self.network, pooled, &after(start, tuned))),
            (
                method("scratch", scratch.steps),
                run(&self.network, pooled, &after(&scratch_start(pooled, self.seed, number), scratch)),
            ),
            (method("classical", 0), run(&self.linear, line, &linear)),
            (method("gp_residual", 0), by_process(&self.residual)),
            (method("gp_learned", 0), by_process(process)),
        ]
    }

    fn with_intercept(&self, world: &dyn World, task: &Task, episode: &Episode) -> Vec<f64> {
        let pooled = &self.baselines.pooled;
        let shift = intercept::of_episode(pooled, &self.network, episode, self.choice.intercept);
        let mean = support_mean(&episode.support);
        let mut forward = Forward::new(&self.network, &pooled.scaling);
        let mut predict = |x: &[f32], y: &mut [f32]| {
            intercept::predict(&mut forward, &pooled.state.params, &shift, mean.as_deref(), x, y);
        };
        world.score(task, episode, &mut predict)
    }
}
