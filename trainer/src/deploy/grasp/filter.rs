//! A particle filter inside the true model: what can be known at best, for who has the model.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::Grasper;
use crate::deploy::agent::AgentError;
use crate::world::grasp::execute::success_probability;
use crate::world::grasp::{Distribution, Hidden, Scene};

/// Hidden facts that are thought of, where nobody says how many.
pub const PARTICLES: usize = 500;
/// Of so many particles one is asked for predictions, drawn by their weights.
const ASKED: usize = 10;
/// Executions of each for one probability.
const EXECUTIONS: usize = 8;

/// Hidden facts drawn from their true distribution, weighted by the likelihood of the tries (Gordon et al. 1993, without resampling, for
/// nothing moves here).
#[derive(Debug)]
pub struct Filter {
    particles: Vec<Hidden>,
    /// Logarithms of weights.
    weights: Vec<f64>,
    rng: ChaCha8Rng,
}

impl Filter {
    /// A filter of `particles` that knows the distribution of tasks.
    pub fn new(distribution: Distribution, particles: usize, seed: u64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let drawn = (0..particles).map(|_| Hidden::draw(distribution, &mut rng)).collect();
        Self { particles: drawn, weights: vec![0.0; particles], rng }
    }

    /// Particles by their weights: systematic resampling (Kitagawa 1996).
    fn drawn(&mut self) -> Vec<Hidden> {
        let most = self.weights.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let weights: Vec<f64> = self.weights.iter().map(|weight| (weight - most).exp()).collect();
        let asked = self.particles.len().div_ceil(ASKED);
        let step = weights.iter().sum::<f64>() / asked as f64;
        let mut next = step * self.rng.random::<f64>();
        let (mut before, mut drawn) = (0.0, Vec::with_capacity(asked));
        for (particle, weight) in self.particles.iter().zip(&weights) {
            before += weight;
            while next < before && drawn.len() < asked {
                drawn.push(*particle);
                next += step;
            }
        }
        drawn
    }
}

impl Grasper for Filter {
    fn observe(&mut self, scene: &Scene, grasp: usize, held: bool) -> Result<(), AgentError> {
        for (particle, weight) in self.particles.iter().zip(&mut self.weights) {
            let p = success_probability(&scene.object, particle, &scene.grasps[grasp], EXECUTIONS, &mut self.rng);
            // A few executions are never certain (Laplace's rule, with half an event of each kind).
            let p = (p * EXECUTIONS as f64 + 0.5) / (EXECUTIONS + 1) as f64;
            *weight += if held { p } else { 1.0 - p }.ln();
        }
        Ok(())
    }

    fn predict(
        &mut self,
        scene: &Scene,
        first: usize,
        mean: &mut [f32],
        variance: &mut [f32],
    ) -> Result<bool, AgentError> {
        let drawn = self.drawn();
        for ((mean, variance), grasp) in mean.iter_mut().zip(variance).zip(&scene.grasps[first..]) {
            let (mut sum, mut squares) = (0.0, 0.0);
            for particle in &drawn {
                let p = success_probability(&scene.object, particle, grasp, EXECUTIONS, &mut self.rng);
                sum += p;
                squares += p * p;
            }
            let average = sum / drawn.len() as f64;
            *mean = average as f32;
            *variance = (squares / drawn.len() as f64 - average * average).max(0.0) as f32;
        }
        Ok(true)
    }
}
