//! Random loss weighting, RLW: Lin, Ye, Zhang, Tsang, *Reasonable Effectiveness of Random Weighting* (2022), algorithm 1.
//!
//! Each iteration draws zᵢ ~ N(0, 1) and weighs by softmax(z), here times the number of tasks. It learns nothing: a method that does no
//! better than this one has not earned what it costs.

use rand_distr::{Distribution, StandardNormal};
use serde::{Deserialize, Serialize};

use super::simplex::softmax;
use super::{Needs, Seen, Weighting, Weights, check_seen, generator};

/// What a configuration says of it, `kind = "random"`, which has no settings of its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {}

/// Random weights.
#[derive(Clone, Debug)]
pub struct Random {
    tasks: usize,
    seed: u64,
}

impl Random {
    /// That follow from the seed and the iteration.
    #[must_use]
    pub fn new(tasks: usize, seed: u64) -> Self {
        Self { tasks, seed }
    }
}

impl Weighting for Random {
    fn name(&self) -> &'static str {
        "random"
    }

    fn needs(&self) -> Needs {
        Needs::Losses
    }

    fn weigh(&mut self, seen: &Seen<'_>, into: &mut Weights) {
        check_seen(seen, self.tasks);
        let mut generator = generator(self.seed, seen.iteration);
        // For absent tasks too, so that who is absent does not change what the others get drawn.
        let draws: Vec<f64> = (0..self.tasks).map(|_| StandardNormal.sample(&mut generator)).collect();
        let present = seen.present();
        let logits: Vec<f64> = present.iter().map(|task| draws[*task]).collect();
        let count = present.len() as f64;
        into.put_losses(
            self.tasks,
            present.into_iter().zip(softmax(&logits)).map(|(task, share)| (task, count * share)),
        );
    }

    fn memory(&self) -> Vec<f64> {
        Vec::new()
    }

    fn restore(&mut self, memory: &[f64]) -> bool {
        memory.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn on_the_simplex_another_each_iteration_the_same_by_seed() {
        let draw = |seed, iteration| {
            let mut weights = Weights::default();
            Random::new(3, seed).weigh(&Seen { iteration, losses: &[1.0; 3], gram: None }, &mut weights);
            weights.shared
        };
        let first = draw(5, 0);
        assert!((first.iter().sum::<f64>() - 3.0).abs() <= 1e-12 && first.iter().all(|weight| *weight > 0.0));
        assert_eq!(first, draw(5, 0));
        assert!(first != draw(5, 1) && first != draw(6, 0));
    }

    #[test]
    fn the_mean_over_iterations_is_even() {
        let (mut weighting, mut weights, mut sum) = (Random::new(2, 1), Weights::default(), 0.0);
        for iteration in 0..10_000 {
            weighting.weigh(&Seen { iteration, losses: &[1.0; 2], gram: None }, &mut weights);
            sum += weights.shared[0];
        }
        assert!((sum / 1e4 - 1.0).abs() <= 0.03, "{sum}");
    }
}
