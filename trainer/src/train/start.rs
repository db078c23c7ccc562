//! Where a run starts: parameters, and episodes by number.

use rand::RngExt;
use rayon::prelude::*;
use sinew_models::spec::{Layer, NetworkSpec};

use crate::episode::Episode;
use crate::streams::{Purpose, rng};
use crate::world::{Split, World};

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
    let draw = |number: u64| {
        let mut rng = rng(seed, purpose, 0, number);
        let task = match world.task_count(split) {
            Some(tasks) => crate::world::Task { split, seed: number % (tasks.max(1) as u64) },
            None => world.task(split, &mut rng),
        };
        let episode = world.episode(&task, shots, &mut rng);
        (task, episode)
    };
    (0..count).into_par_iter().map(draw).collect()
}
