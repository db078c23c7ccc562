//! A gripper before an unknown object: it chooses a grasp, tries it, learns, and chooses again.
//!
//! After a try that moved the object without lifting it, the object lies turned about the vertical, and the camera looks again; what was
//! lifted is put back as it was. So the grasps to choose from are those of the same object all the time, and what is seen of them changes.

mod bandit;
mod campaign;
mod filter;
mod truth;

use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::StandardNormal;
use sinew_runtime::grasp::{GraspError, Grasps, Policy, Retry};

use super::agent::{Agent, AgentError};
use crate::metric::{expected_auroc, expected_log_loss};
use crate::world::Task;
use crate::world::grasp::execute::Failure;
use crate::world::grasp::{CANDIDATES, GraspWorld, Scene, Situation};
pub use bandit::Bandit;
pub use campaign::{AFTER, OWN, Tries};
pub use filter::{Filter, PARTICLES};
pub use truth::Truths;

/// Spread of the turn of an object that was touched and not lifted, in rad: 20°.
const TURN: f64 = 20.0 * std::f64::consts::PI / 180.0;

/// How tries are chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, clap::ValueEnum)]
pub enum Choice {
    /// Among 64 grasps other than those that the pick is made from, each once.
    Random,
    /// What is most likely to hold, of what has not failed.
    Greedy,
    /// As often as each is believed to be the best (Thompson 1933); greedy for who knows no variance.
    Thompson,
}

impl Choice {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Random, Self::Greedy, Self::Thompson];

    /// As tables and the command line name it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Random => "random",
            Self::Greedy => "greedy",
            Self::Thompson => "thompson",
        }
    }
}

/// One who says which grasps will hold, and learns from tries.
pub trait Grasper {
    /// Takes in the outcome of a try of the grasp with this number in `scene`.
    ///
    /// # Errors
    /// If it cannot be learned from.
    fn observe(&mut self, scene: &Scene, grasp: usize, held: bool) -> Result<(), AgentError>;

    /// Probabilities that the grasps from number `first` on hold, and the variances of what is believed of them; false, and zeros, where
    /// those are not known.
    ///
    /// # Errors
    /// If it cannot tell.
    fn predict(
        &mut self,
        scene: &Scene,
        first: usize,
        mean: &mut [f32],
        variance: &mut [f32],
    ) -> Result<bool, AgentError>;
}

impl<A: Agent + ?Sized> Grasper for A {
    fn observe(&mut self, scene: &Scene, grasp: usize, held: bool) -> Result<(), AgentError> {
        Agent::observe(self, &scene.input(grasp), &[f32::from(u8::from(held))])
    }

    fn predict(
        &mut self,
        scene: &Scene,
        first: usize,
        mean: &mut [f32],
        variance: &mut [f32],
    ) -> Result<bool, AgentError> {
        let rows = scene.inputs(first..first + mean.len());
        let known = Agent::predict(self, &rows, mean, Some(variance))?;
        if !known {
            variance.fill(0.0);
        }
        Ok(known)
    }
}

/// What one knows after some tries.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Judged {
    /// Of the 64 grasps to choose from, how often the one that it would now pick holds.
    pub pick: f64,
    /// Over those grasps that its predictions are judged on, which are never among the tried ones.
    pub auroc: f64,
    /// In nats.
    pub log_loss: f64,
    /// The share of the tries so far that held; NaN before the first.
    pub during: f64,
}

/// Why a grasp could not be chosen.
#[derive(Debug, thiserror::Error)]
pub enum TryError {
    /// The learner.
    #[error(transparent)]
    Agent(#[from] AgentError),
    /// There was nothing to choose.
    #[error(transparent)]
    Choose(#[from] GraspError),
}

/// Lets `grasper`, which knows nothing of the task yet, try grasps of the object of `task`, and judges it after each of these numbers of
/// tries, which must rise. What happens follows from `seed`; tries of equal number meet equal noise, whoever makes them. `truths` keeps
/// what is worked out of the object of this task for whoever tries it next.
///
/// # Errors
/// If the grasper fails.
pub fn try_grasps(
    world: &GraspWorld,
    task: &Task,
    grasper: &mut (impl Grasper + ?Sized),
    choice: Choice,
    after: &[usize],
    seed: u64,
    truths: &mut Truths,
) -> Result<Vec<Judged>, TryError> {
    let mut situation = world.situation(task);
    let others: Vec<usize> = {
        let mut others: Vec<usize> = (CANDIDATES..2 * CANDIDATES).collect();
        others.shuffle(&mut ChaCha8Rng::seed_from_u64(seed));
        others
    };
    let mut tried = [0; Grasps::words(CANDIDATES)];
    let mut grasps = Grasps::new(CANDIDATES, Retry::WhenAllTried, &mut tried)?;
    let (mut mean, mut variance) = ([0.0; CANDIDATES], [0.0; CANDIDATES]);
    let (mut held, mut judged) = (0_u32, Vec::with_capacity(after.len()));
    truths.begin();
    let last = after.last().copied().unwrap_or(0);
    for number in 0..=last {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(1 + number as u64);
        if after.contains(&number) {
            let during = f64::from(held) / number as f64;
            judged.push(judge(&situation, truths, grasper, choice, &mut grasps, during)?);
        }
        if number == last {
            break;
        }
        let grasp = if choice == Choice::Random {
            others[number % others.len()]
        } else {
            grasper.predict(&situation.scene, 0, &mut mean, &mut variance)?;
            let policy = if choice == Choice::Greedy { Policy::Mean } else { Policy::Thompson };
            grasps.choose(policy, &mean, &variance, || rng.sample(StandardNormal))?
        };
        let outcome = situation.try_grasp(grasp, &mut rng);
        grasper.observe(&situation.scene, grasp, outcome.held())?;
        if outcome.held() {
            held += 1;
        } else {
            if grasp < CANDIDATES {
                grasps.failed(grasp)?;
            }
            // Without a touch nothing moves.
            if !matches!(outcome.failure, Some(Failure::Missed | Failure::Table)) {
                let turn = TURN * rng.sample::<f64, _>(StandardNormal);
                situation.scene.to_mut().turn(turn, &mut rng);
                truths.turn(turn);
            }
        }
    }
    Ok(judged)
}

fn judge(
    situation: &Situation<'_>,
    truths: &mut Truths,
    grasper: &mut (impl Grasper + ?Sized),
    choice: Choice,
    grasps: &mut Grasps<'_>,
    during: f64,
) -> Result<Judged, TryError> {
    let (mut mean, mut variance) = ([0.0; CANDIDATES], [0.0; CANDIDATES]);
    grasper.predict(&situation.scene, 0, &mut mean, &mut variance)?;
    let chosen = grasps.choose(Policy::Mean, &mean, &variance, || 0.0)?;
    // Tries of random grasps leave those to choose from untouched; other tries leave the others.
    let untried = if choice == Choice::Random { 0 } else { CANDIDATES };
    if untried > 0 {
        grasper.predict(&situation.scene, untried, &mut mean, &mut variance)?;
    }
    let there = truths.of(situation, untried);
    let (auroc, log_loss) = (expected_auroc(&mean, there), expected_log_loss(&mean, there));
    let pick = f64::from(truths.of_one(situation, chosen));
    Ok(Judged { pick, auroc, log_loss, during })
}

#[cfg(test)]
mod tests;
