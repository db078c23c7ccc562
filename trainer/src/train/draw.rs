//! Training tasks by iteration: drawn when they are asked for, or ahead by a thread of their own.
//!
//! What is drawn follows from the seed and the iteration alone, so who draws it when changes nothing but speed.

use std::ops::Range;
use std::panic::resume_unwind;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::{Builder, Scope, ScopedJoinHandle};

use rand::seq::IndexedRandom;
use rayon::prelude::*;

use super::sampling::Sampler;
use crate::config::Config;
use crate::engine::TaskRows;
use crate::scaling::Scaling;
use crate::streams::{Purpose, rng};
use crate::world::{Split, World};

/// Batches that wait at most, beside the one that is being drawn.
const WAITING: usize = 2;

pub(super) fn has_rows(task: &TaskRows) -> bool {
    task.support.rows > 0 && task.query.rows > 0
}

/// How training tasks are drawn and presented.
#[derive(Debug)]
pub(super) struct Draw<'a> {
    pub config: &'a Config,
    pub scaling: Scaling,
    /// Where the world does not draw as it should by itself.
    pub sampler: Option<Sampler>,
    pub threads: usize,
    /// This process' share of the tasks of an iteration.
    pub numbers: Range<usize>,
}

impl Draw<'_> {
    /// The tasks of an iteration.
    pub fn batch(&self, world: &dyn World, iteration: u64) -> Vec<TaskRows> {
        let seed = self.config.seed;
        let list = self.config.train.shots.all();
        let shots = *list.choose(&mut rng(seed, Purpose::Training, iteration, 0)).unwrap_or(&1);
        let one = |number: usize| {
            let mut rng = rng(seed, Purpose::Training, iteration, number as u64 + 1);
            let task = match &self.sampler {
                Some(sampler) => sampler.task(world, &mut rng),
                None => world.task(Split::Train, &mut rng),
            };
            let mut episode = world.episode(&task, shots, &mut rng);
            self.config.train.labels.mask(world.signature(), &mut episode.support, &mut rng);
            self.scaling.task_rows(&episode)
        };
        let numbers = self.numbers.clone();
        let mut batch: Vec<TaskRows> = if self.threads == 1 {
            numbers.map(one).collect()
        } else {
            numbers.into_par_iter().with_min_len(4).map(one).collect()
        };
        batch.retain(has_rows);
        batch
    }
}

/// A thread that draws ahead.
#[derive(Debug)]
struct Ahead<'scope> {
    batches: Receiver<Vec<TaskRows>>,
    worker: ScopedJoinHandle<'scope, ()>,
}

/// The batches of a run, one after another.
pub(super) struct Batches<'scope, 'env> {
    draw: &'env Draw<'env>,
    world: &'env dyn World,
    ahead: Option<Ahead<'scope>>,
}

impl<'scope, 'env> Batches<'scope, 'env> {
    /// Batches that are drawn when they are asked for.
    pub fn at_once(draw: &'env Draw<'env>, world: &'env dyn World) -> Self {
        Self { draw, world, ahead: None }
    }

    /// Batches of `iterations` that a thread draws ahead; it ends when they are drawn, or when this is dropped.
    pub fn ahead(
        scope: &'scope Scope<'scope, 'env>,
        draw: &'env Draw<'env>,
        world: &'env dyn World,
        iterations: Range<u64>,
    ) -> Self {
        let (sender, batches) = sync_channel(WAITING);
        let work = move || {
            for iteration in iterations {
                if sender.send(draw.batch(world, iteration)).is_err() {
                    return;
                }
            }
        };
        // Where there can be no more threads, batches are drawn at once: only slower.
        let worker = Builder::new().name("draw".into()).spawn_scoped(scope, work).ok();
        Self { draw, world, ahead: worker.map(|worker| Ahead { batches, worker }) }
    }

    /// The batch of `iteration`, which is the next.
    ///
    /// # Panics
    /// As the thread did, if it did.
    pub fn next(&mut self, iteration: u64) -> Vec<TaskRows> {
        if let Some(ahead) = self.ahead.take() {
            match ahead.batches.recv() {
                Ok(batch) => {
                    self.ahead = Some(ahead);
                    return batch;
                }
                Err(_) => {
                    if let Err(why) = ahead.worker.join() {
                        resume_unwind(why);
                    }
                }
            }
        }
        self.draw.batch(self.world, iteration)
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::path::Path;
    use std::thread;

    use rand_chacha::ChaCha8Rng;

    use super::*;
    use crate::episode::Episode;
    use crate::world::sinusoid::Sinusoid;
    use crate::world::{Metric, Predictor, Signature, Task};

    /// Sine waves, of which the one of a certain draw cannot be made.
    struct Breaks(Sinusoid, f32);

    impl World for Breaks {
        fn name(&self) -> &str {
            "breaks"
        }

        fn signature(&self) -> &Signature {
            self.0.signature()
        }

        fn task_count(&self, split: Split) -> Option<usize> {
            self.0.task_count(split)
        }

        fn task(&self, split: Split, rng: &mut ChaCha8Rng) -> Task {
            self.0.task(split, rng)
        }

        fn episode(&self, task: &Task, shots: usize, rng: &mut ChaCha8Rng) -> Episode {
            let episode = self.0.episode(task, shots, rng);
            assert!(episode.support.inputs[0] != self.1, "this wave breaks");
            episode
        }

        fn metrics(&self) -> &[Metric] {
            self.0.metrics()
        }

        fn score(&self, task: &Task, episode: &Episode, predictor: &mut Predictor<'_>) -> Vec<f64> {
            self.0.score(task, episode, predictor)
        }

        fn oracle(&self, task: &Task, episode: &Episode) -> Option<Vec<f64>> {
            self.0.oracle(task, episode)
        }
    }

    fn config() -> Config {
        let text = "seed = 5\n[world]\nkind = \"sinusoid\"\n[network]\nhidden = [4]\nactivation = \"relu\"\n[learner]\nkind = \"maml\"\n\
            inner_rate = 0.1\n[train]\niterations = 9\ntasks = 6\nshots = [1, 3]\nouter_rate = 1e-3\n";
        Config::parse(Path::new("run.toml"), text, &[]).unwrap()
    }

    fn draw(config: &Config) -> Draw<'_> {
        let network = config.network(Sinusoid::new(2).signature()).unwrap();
        Draw { config, scaling: Scaling::none(&network), sampler: None, threads: 2, numbers: 0..6 }
    }

    #[test]
    fn ahead_draws_the_same_as_at_once() {
        let (config, world) = (config(), Sinusoid::new(2));
        let draw = draw(&config);
        thread::scope(|scope| {
            let mut at_once = Batches::at_once(&draw, &world);
            // Two more than the thread draws.
            let mut ahead = Batches::ahead(scope, &draw, &world, 3..7);
            assert!(ahead.ahead.is_some());
            for iteration in 3..9 {
                let batch = at_once.next(iteration);
                assert_eq!((batch.len(), &batch), (6, &ahead.next(iteration)));
            }
        });
    }

    #[test]
    fn the_thread_ends_when_nobody_waits_for_it() {
        let (config, world) = (config(), Sinusoid::new(2));
        let draw = draw(&config);
        // The scope waits for the thread, so this ends only if it does.
        thread::scope(|scope| {
            let mut ahead = Batches::ahead(scope, &draw, &world, 0..u64::MAX);
            ahead.next(0);
        });
    }

    #[test]
    fn a_panic_of_the_thread_comes_out_where_its_batch_is_asked_for() {
        let (config, world) = (config(), Sinusoid::new(2));
        let draw = draw(&config);
        let bad = draw.batch(&world, 4)[2].support.x[0];
        let world = Breaks(world, bad);
        thread::scope(|scope| {
            let mut ahead = Batches::ahead(scope, &draw, &world, 0..9);
            (0..4).for_each(|iteration| assert_eq!(ahead.next(iteration).len(), 6));
            let why = catch_unwind(AssertUnwindSafe(|| ahead.next(4))).unwrap_err();
            assert_eq!(why.downcast_ref::<&str>(), Some(&"this wave breaks"));
        });
    }
}
