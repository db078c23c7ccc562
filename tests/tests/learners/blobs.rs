//! A world of classes: three clouds of points in the plane, each with a label of its own in every task.

use std::array;

use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use sinew_models::spec::Loss;
use sinew_trainer::episode::{Episode, Samples};
use sinew_trainer::metric;
use sinew_trainer::world::{Column, Metric, Predictor, Signature, Split, Task, World};

const CLASSES: usize = 3;

/// The world.
pub struct Blobs(Signature);

impl Blobs {
    pub fn new() -> Self {
        let columns =
            |names: &[&str]| names.iter().map(|name| Column { name: (*name).into(), unit: "1".into() }).collect();
        let (inputs, outputs) = (columns(&["x", "y"]), columns(&["a", "b", "c"]));
        Self(Signature::of_one_head(inputs, None, outputs, Loss::CrossEntropy))
    }
}

impl World for Blobs {
    fn name(&self) -> &str {
        "blobs"
    }

    fn signature(&self) -> &Signature {
        &self.0
    }

    fn task_count(&self, _split: Split) -> Option<usize> {
        None
    }

    fn task(&self, split: Split, rng: &mut ChaCha8Rng) -> Task {
        Task { split, seed: rng.random() }
    }

    fn episode(&self, task: &Task, shots: usize, rng: &mut ChaCha8Rng) -> Episode {
        // The centres follow from the task.
        let bit = |place: usize| (task.seed >> (8 * place) & 0xff) as f32 / 64.0 - 2.0;
        let centres: [[f32; 2]; CLASSES] = array::from_fn(|class| [bit(2 * class), bit(2 * class + 1)]);
        let mut samples = |rows: usize| {
            let mut samples = Samples::default();
            for row in 0..rows * CLASSES {
                let class = row % CLASSES;
                let target: [f32; CLASSES] = array::from_fn(|of| f32::from(u8::from(of == class)));
                samples.push(&centres[class].map(|at| at + rng.random_range(-0.3..0.3_f32)), &target);
            }
            samples
        };
        Episode { support: samples(shots), query: samples(3) }
    }

    fn metrics(&self) -> &[Metric] {
        const { &[Metric::higher("accuracy", "1")] }
    }

    fn score(&self, _task: &Task, episode: &Episode, predictor: &mut Predictor<'_>) -> Vec<f64> {
        let mut said = vec![0.0; episode.query.targets.len()];
        predictor(&episode.query.inputs, &mut said);
        vec![metric::accuracy(&said, &episode.query.targets, CLASSES)]
    }

    fn oracle(&self, _task: &Task, _episode: &Episode) -> Option<Vec<f64>> {
        None
    }
}
