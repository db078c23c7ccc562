//! How often the grasps of one object truly hold, worked out once for each way that it comes to lie.

use std::collections::HashMap;

use crate::world::grasp::execute::EXECUTIONS;
use crate::world::grasp::{CANDIDATES, Situation};

/// The truth about the object of one task, as it is asked for: whoever turns the object alike is judged by the same numbers.
#[derive(Debug, Default)]
pub struct Truths {
    /// The turns so far (rad, bit for bit), of which it follows how the object lies.
    turns: Vec<u64>,
    known: HashMap<Vec<u64>, Lying>,
}

/// What is known of an object where it lies.
#[derive(Debug, Default)]
struct Lying {
    /// Of the 64 grasps to choose from, and of the others.
    all: [Option<Vec<f32>>; 2],
    /// Of single grasps to choose from.
    single: HashMap<usize, f32>,
}

impl Truths {
    /// The object lies again as it did at first.
    pub(super) fn begin(&mut self) {
        self.turns.clear();
    }

    /// The object was turned by `angle` (rad).
    pub(super) fn turn(&mut self, angle: f64) {
        self.turns.push(angle.to_bits());
    }

    /// Of the 64 grasps from number `first` on, 0 or 64.
    pub(super) fn of(&mut self, situation: &Situation<'_>, first: usize) -> &[f32] {
        self.lying().all[first / CANDIDATES].get_or_insert_with(|| {
            let numbers: Vec<usize> = (first..first + CANDIDATES).collect();
            situation.probabilities(&numbers, EXECUTIONS).into_iter().map(|p| p as f32).collect()
        })
    }

    /// Of one of the grasps to choose from: the same number as if all were asked for.
    pub(super) fn of_one(&mut self, situation: &Situation<'_>, grasp: usize) -> f32 {
        let Lying { all: [all, _], single } = self.lying();
        let alone = || situation.probability_after(grasp, grasp, EXECUTIONS) as f32;
        all.as_ref().map_or_else(|| *single.entry(grasp).or_insert_with(alone), |all| all[grasp])
    }

    fn lying(&mut self) -> &mut Lying {
        self.known.entry(self.turns.clone()).or_default()
    }
}
