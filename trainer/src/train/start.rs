//! Where a run starts: its checkpoint, or parameters, scales, and episodes by number.

use std::ops::Range;
use std::path::{Path, PathBuf};

use rand::RngExt;
use rayon::prelude::*;
use sinew_models::spec::{Layer, NetworkSpec};

use super::{CHECKPOINT, Options, TrainError};
use crate::checkpoint::Checkpoint;
use crate::config::Config;
use crate::episode::Episode;
use crate::learn::State;
use crate::model::Model;
use crate::optimiser::Moments;
use crate::scaling::Scaling;
use crate::streams::{Purpose, rng};
use crate::world::{Split, World};

/// Episodes from which scales are taken.
const SCALING_EPISODES: u64 = 256;

/// What stands for the seed in the path of a bundle to start with.
const SEED: &str = "${SEED}";

/// The checkpoint in the folder, if the run is to go on from one; otherwise the run before its first iteration, with this
/// state.
pub(super) fn begin(
    config: &Config,
    world: &dyn World,
    network: &NetworkSpec,
    state: State,
    options: &Options<'_>,
) -> Result<Checkpoint, TrainError> {
    let path = options.folder.join(CHECKPOINT);
    if options.resume && path.exists() {
        let at = Checkpoint::read(&path)?;
        if at.config != config.to_toml() {
            return Err(TrainError::OtherConfig { path });
        }
        at.check(&path, network, state.rates.len(), world.signature().outputs.len())?;
        return Ok(at);
    } else if path.exists() {
        return Err(TrainError::Exists { path: options.folder.into() });
    }
    if let Some(path) = &config.train.start {
        let path = PathBuf::from(path.to_string_lossy().replace(SEED, &config.seed.to_string()));
        let model = started(&path, network)?;
        return Ok(at_first(config, State { params: model.state.params, ..state }, model.scaling));
    }
    let main = config.train.shots.main();
    let samples = episodes(world, Split::Train, main, config.seed, Purpose::Scaling, SCALING_EPISODES);
    if samples.iter().all(|(_, episode)| episode.support.rows == 0 || episode.query.rows == 0) {
        return Err(TrainError::NoTasks { world: world.name().into(), split: "training", shots: main });
    }
    let scaling = if config.network.normalise {
        Scaling::of(network, samples.iter().map(|(_, episode)| episode))
    } else {
        Scaling::none(network)
    }
    .for_outputs(world.signature().outputs.len());
    Ok(at_first(config, state, scaling))
}

/// The bundle that training begins with.
fn started(path: &Path, network: &NetworkSpec) -> Result<Model, TrainError> {
    let (model, _) = Model::open(path)?;
    let mut same = model.network.clone();
    same.heads.iter_mut().zip(&network.heads).for_each(|(head, other)| head.weight = other.weight);
    if same == *network { Ok(model) } else { Err(TrainError::OtherStart { path: path.into() }) }
}

/// The run before its first iteration.
fn at_first(config: &Config, state: State, scaling: Scaling) -> Checkpoint {
    Checkpoint {
        iteration: 0,
        params_moments: Moments::zeros(state.params.len()),
        rates_moments: Moments::zeros(state.rates.len()),
        state,
        loss_sum: 0.0,
        loss_count: 0,
        not_finite: 0,
        memory: Vec::new(),
        best: None,
        scaling,
        config: config.to_toml(),
    }
}

/// PyTorch's defaults: weights and biases of products and convolutions even in ±1/√(inputs of one sum), scales of a normalisation 1 and
/// its biases 0; contexts 0.
pub fn initial_parameters(network: &NetworkSpec, seed: u64, purpose: Purpose, number: u64) -> Vec<f32> {
    let mut rng = rng(seed, purpose, number, 0);
    let mut params = vec![0.0; network.param_len()];
    for layer in network.layers() {
        let params = &mut params[layer.offset..][..layer.param_len()];
        match layer.layer {
            Layer::Context { .. } => {}
            Layer::LayerNorm { .. } => params[..layer.weight_len()].fill(1.0),
            _ => {
                let bound = 1.0 / ((layer.weight_len() / layer.bias_len().max(1)) as f32).sqrt();
                params.fill_with(|| rng.random_range(-bound..=bound));
            }
        }
    }
    params
}

/// `count` episodes of `split`; a data set's tasks in their order, again and again.
pub fn episodes(
    world: &dyn World,
    split: Split,
    shots: usize,
    seed: u64,
    purpose: Purpose,
    count: u64,
) -> Vec<(crate::world::Task, Episode)> {
    episodes_of(world, split, shots, seed, purpose, 0..count)
}

/// Those of them with these numbers.
pub(super) fn episodes_of(
    world: &dyn World,
    split: Split,
    shots: usize,
    seed: u64,
    purpose: Purpose,
    numbers: Range<u64>,
) -> Vec<(crate::world::Task, Episode)> {
    let draw = |number: u64| {
        let mut rng = rng(seed, purpose, 0, number);
        let task = match world.task_count(split) {
            Some(tasks) => crate::world::Task { split, seed: number % (tasks.max(1) as u64) },
            None => world.task(split, &mut rng),
        };
        let episode = world.episode(&task, shots, &mut rng);
        (task, episode)
    };
    numbers.into_par_iter().map(draw).collect()
}
