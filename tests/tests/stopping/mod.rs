//! A world that tells the training loop to stop in the midst of an iteration.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use rand_chacha::ChaCha8Rng;
use sinew_trainer::episode::Episode;
use sinew_trainer::world::sinusoid::Sinusoid;
use sinew_trainer::world::{Metric, Predictor, Signature, Split, Task, World};

/// Sine waves, whose `left`-th episode raises `stop`.
pub struct Stopping<'a> {
    pub world: Sinusoid,
    pub left: AtomicUsize,
    pub stop: &'a AtomicBool,
}

impl World for Stopping<'_> {
    fn name(&self) -> &str {
        self.world.name()
    }

    fn signature(&self) -> &Signature {
        self.world.signature()
    }

    fn task_count(&self, split: Split) -> Option<usize> {
        self.world.task_count(split)
    }

    fn task(&self, split: Split, rng: &mut ChaCha8Rng) -> Task {
        self.world.task(split, rng)
    }

    fn episode(&self, task: &Task, shots: usize, rng: &mut ChaCha8Rng) -> Episode {
        if self.left.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.stop.store(true, Ordering::Relaxed);
        }
        self.world.episode(task, shots, rng)
    }

    fn metrics(&self) -> &[Metric] {
        self.world.metrics()
    }

    fn score(&self, task: &Task, episode: &Episode, predictor: &mut Predictor<'_>) -> Vec<f64> {
        self.world.score(task, episode, predictor)
    }

    fn oracle(&self, task: &Task, episode: &Episode) -> Option<Vec<f64>> {
        self.world.oracle(task, episode)
    }
}
