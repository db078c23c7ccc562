//! Where the arm is to go.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use crate::world::arm::Scene;
use crate::world::arm::clearance::{clearance, is_free};
use crate::world::arm::kinematics::{Joints, READY, uniform};
use crate::world::arm::rrt_connect::edge;

/// A way that is asked for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Query {
    /// Where the arm is.
    pub start: Joints,
    /// Where it is to go.
    pub goal: Joints,
}

/// The clearance of a goal, in m: near something, as what a robot reaches for is.
const AT_GOAL: std::ops::Range<f64> = 0.02..0.1;
/// Configurations that are drawn for a goal before one to which the straight way is free will do.
const DRAWS: usize = 4000;

/// `count` queries in a scene, each from the goal of the one before, the first from where the arm waits. The straight way, looked at every
/// `resolution` (rad), is blocked: where it is free nobody needs a planner.
pub fn queries(scene: &Scene, count: usize, resolution: f64, seed: u64) -> Vec<Query> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut start = READY;
    let mut next = |_| {
        let mut drawn = 0;
        let goal = loop {
            let goal = uniform(&mut rng);
            drawn += 1;
            let near = AT_GOAL.contains(&clearance(scene, &goal));
            if near && (drawn > DRAWS || !edge(&start, &goal, resolution).iter().all(|joints| is_free(scene, joints))) {
                break goal;
            }
        };
        let query = Query { start, goal };
        start = goal;
        query
    };
    (0..count).map(&mut next).collect()
}
