//! A model-free bandit: what was tried is known better, and nothing else is learned.

use super::Grasper;
use crate::deploy::agent::{Agent, AgentError};
use crate::world::grasp::{CANDIDATES, Scene};

/// Tries that the network's word is worth before the first.
const STRENGTH: f32 = 5.0;

/// A Beta distribution for each grasp (BORGES: Danielczuk et al. 2020, "Exploratory grasping"), that begins about what a network says (Li et
/// al. 2020, "Accelerating grasp exploration by leveraging learned priors"). Wins and losses count for that grasp alone.
#[derive(Debug)]
pub struct Bandit<A> {
    prior: A,
    outcomes: [[f32; 2]; 2 * CANDIDATES],
}

impl<A: Agent> Bandit<A> {
    /// A bandit whose prior is what `prior` says, which never learns here.
    pub const fn new(prior: A) -> Self {
        Self { prior, outcomes: [[0.0; 2]; 2 * CANDIDATES] }
    }
}

impl<A: Agent> Grasper for Bandit<A> {
    fn observe(&mut self, _scene: &Scene, grasp: usize, held: bool) -> Result<(), AgentError> {
        self.outcomes[grasp][usize::from(held)] += 1.0;
        Ok(())
    }

    fn predict(
        &mut self,
        scene: &Scene,
        first: usize,
        mean: &mut [f32],
        variance: &mut [f32],
    ) -> Result<bool, AgentError> {
        let rows = scene.inputs(first..first + mean.len());
        Agent::predict(&mut self.prior, &rows, mean, None)?;
        for ((mean, variance), [lost, won]) in mean.iter_mut().zip(variance).zip(&self.outcomes[first..]) {
            let [wins, losses] = [STRENGTH * *mean + won, STRENGTH * (1.0 - *mean) + lost];
            let all = wins + losses;
            *mean = wins / all;
            *variance = wins * losses / (all * all * (all + 1.0));
        }
        Ok(true)
    }
}
