//! Sine waves of unknown amplitude and phase: the benchmark that the field began with.
//!
//! Finn, Abbeel, Levine, *Model-Agnostic Meta-Learning* (2017), section 5.1: `y = A sin(x − φ)` with `A ∈ [0.1, 5]`,
//! `φ ∈ [0, π]` and `x ∈ [−5, 5]`, all uniform. The input shows neither amplitude nor phase; adaptation has to find them.

use std::f64::consts::PI;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use sinew_models::spec::Loss;

use super::{Column, Metric, Predictor, Signature, Split, Task, World};
use crate::episode::{Episode, Samples};
use crate::metric;

/// The hidden facts of one task.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Wave {
    /// A, from 0.1 to 5.
    pub amplitude: f64,
    /// φ, from 0 to π.
    pub phase: f64,
}

impl Wave {
    /// The wave of `task`. A split draws from a stream of its own, so equal seeds in two splits are unrelated tasks.
    pub fn of(task: &Task) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(task.seed);
        rng.set_stream(match task.split {
            Split::Train => 1,
            Split::Validation => 2,
            Split::Test => 3,
        });
        Self { amplitude: rng.random_range(0.1..=5.0), phase: rng.random_range(0.0..=PI) }
    }

    /// Its height at `x`.
    pub fn at(&self, x: f32) -> f32 {
        (self.amplitude * (f64::from(x) - self.phase).sin()) as f32
    }
}

/// The world of sine waves.
#[derive(Clone, Debug)]
pub struct Sinusoid {
    query: usize,
    signature: Signature,
}

impl Sinusoid {
    /// A world whose episodes have `query` query points; the paper trains with as many as there are shots.
    ///
    /// ```
    /// # use sinew_trainer::world::{World, Split, sinusoid::Sinusoid};
    /// # use rand::SeedableRng;
    /// let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(0);
    /// let world = Sinusoid::new(100);
    /// let task = world.task(Split::Test, &mut rng);
    /// let episode = world.episode(&task, 10, &mut rng);
    /// assert_eq!((episode.support.rows, episode.query.rows), (10, 100));
    /// ```
    pub fn new(query: usize) -> Self {
        let column = |name: &str| vec![Column { name: name.into(), unit: "1".into() }];
        let (inputs, outputs) = (column("x"), column("y"));
        Self { query, signature: Signature::of_one_head(inputs, None, outputs, Loss::MeanSquared) }
    }
}

impl World for Sinusoid {
    fn name(&self) -> &str {
        "sinusoid"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn task_count(&self, _split: Split) -> Option<usize> {
        None
    }

    fn task(&self, split: Split, rng: &mut ChaCha8Rng) -> Task {
        Task { split, seed: rng.random() }
    }

    fn episode(&self, task: &Task, shots: usize, rng: &mut ChaCha8Rng) -> Episode {
        let wave = Wave::of(task);
        let mut points = |rows: usize| {
            let mut samples = Samples::default();
            for _ in 0..rows {
                let x = rng.random_range(-5.0..=5.0_f32);
                samples.push(&[x], &[wave.at(x)]);
            }
            samples
        };
        Episode { support: points(shots), query: points(self.query) }
    }

    fn metrics(&self) -> &[Metric] {
        const { &[Metric::lower("mse", "1")] }
    }

    fn score(&self, _task: &Task, episode: &Episode, predictor: &mut Predictor<'_>) -> Vec<f64> {
        let mut predictions = vec![0.0; episode.query.targets.len()];
        predictor(&episode.query.inputs, &mut predictions);
        vec![metric::mse(&predictions, &episode.query.targets)]
    }

    fn oracle(&self, _task: &Task, _episode: &Episode) -> Option<Vec<f64>> {
        Some(vec![0.0])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPLITS: [Split; 3] = [Split::Train, Split::Validation, Split::Test];

    #[test]
    fn waves_fill_the_ranges_of_the_paper() {
        let waves: Vec<Wave> = (0..4000).map(|seed| Wave::of(&Task { split: Split::Train, seed })).collect();
        assert!(waves.iter().all(|w| (0.1..=5.0).contains(&w.amplitude) && (0.0..=PI).contains(&w.phase)));
        let mean = |value: fn(&Wave) -> f64| waves.iter().map(value).sum::<f64>() / waves.len() as f64;
        assert!((mean(|w| w.amplitude) - 2.55).abs() <= 0.1);
        assert!((mean(|w| w.phase) - PI / 2.0).abs() <= 0.07);
    }

    #[test]
    fn splits_share_no_task() {
        for seed in 0..100 {
            let [train, validation, test] = SPLITS.map(|split| Wave::of(&Task { split, seed }));
            assert!(train != validation && train != test && validation != test);
        }
    }

    #[test]
    fn a_task_is_its_seed_and_the_oracle_scores_zero() {
        let world = Sinusoid::new(50);
        let mut rng = ChaCha8Rng::seed_from_u64(7);
        for split in SPLITS {
            let task = world.task(split, &mut rng);
            let (first, second) = (world.episode(&task, 5, &mut rng), world.episode(&task, 5, &mut rng));
            assert_ne!(first, second);
            assert!(first.query.inputs.iter().all(|x| (-5.0..=5.0).contains(x)));
            let wave = Wave::of(&task);
            let mut know = |x: &[f32], y: &mut [f32]| y.iter_mut().zip(x).for_each(|(y, &x)| *y = wave.at(x));
            assert_eq!(Some(world.score(&task, &second, &mut know)), world.oracle(&task, &second));
        }
    }

    #[test]
    fn the_phase_moves_the_wave_to_the_right() {
        let wave = Wave { amplitude: 2.0, phase: 1.0 };
        assert_eq!(wave.at(1.0), 0.0);
        assert!((wave.at(1.0 + PI as f32 / 2.0) - 2.0).abs() <= 1e-6);
    }

    #[test]
    fn saying_zero_costs_half_the_squared_amplitude() {
        let world = Sinusoid::new(200);
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let mut sum = 0.0;
        for _ in 0..2000 {
            let task = world.task(Split::Validation, &mut rng);
            let episode = world.episode(&task, 0, &mut rng);
            sum += world.score(&task, &episode, &mut |_, y| y.fill(0.0))[0];
        }
        // φ covers one period of sin², so this is E[A²] / 2 = 8.503 / 2, whatever the range of x.
        assert!((sum / 2000.0 - 4.25).abs() <= 0.35, "{}", sum / 2000.0);
    }
}
