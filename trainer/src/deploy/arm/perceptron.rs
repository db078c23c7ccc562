//! Fastron: a kernel perceptron of what is free (Das and Yip 2020, *IEEE Transactions on Robotics* 36(1), algorithm 1), over the control
//! points of the arm, as DiffCo has it.

use sinew_runtime::{LengthError, ObserveError};

use crate::deploy::agent::{Agent, AgentError};
use crate::world::arm::FEATURES;
use crate::world::arm::kinematics::JOINTS;

/// Most corrections of a fit; the paper stops after a number of them, too.
const CORRECTIONS: usize = 2000;

/// A kernel perceptron that remembers the last rows. What it predicts is a score, no clearance: above 0 it takes a configuration for free.
#[derive(Clone, Debug)]
pub struct Perceptron {
    /// Of the kernel, in 1/m².
    gamma: f32,
    capacity: usize,
    /// Control points of rows, and 1 for free, −1 for collisions.
    rows: Vec<(Vec<f32>, f32)>,
    weights: Option<Vec<f32>>,
}

impl Perceptron {
    /// Kernels to choose from, in 1/m².
    pub const GAMMAS: [f32; 5] = [1.0, 3.0, 10.0, 30.0, 100.0];

    /// One that knows nothing and remembers `capacity` rows, at least one.
    pub fn new(gamma: f32, capacity: usize) -> Self {
        Self { gamma, capacity: capacity.max(1), rows: Vec::new(), weights: None }
    }

    /// The rational quadratic kernel (1 + γ/2 · d²)⁻².
    fn kernel(&self, one: &[f32], other: &[f32]) -> f32 {
        let squared: f32 = one.iter().zip(other).map(|(one, other)| (one - other) * (one - other)).sum();
        let base = 1.0 + 0.5 * self.gamma * squared;
        1.0 / (base * base)
    }

    /// Weights that tell the rows apart, most of them 0: the row that is most wrong is set right, until none is wrong; then rows that are
    /// right without their own weight lose it.
    fn fit(&self) -> Vec<f32> {
        let count = self.rows.len();
        let gram: Vec<Vec<f32>> = self
            .rows
            .iter()
            .map(|(one, _)| self.rows.iter().map(|(other, _)| self.kernel(one, other)).collect())
            .collect();
        let (mut weights, mut scores) = (vec![0.0; count], vec![0.0; count]);
        let margin = |scores: &[f32], row: usize| self.rows[row].1 * scores[row];
        let change = |row: usize, by: f32, weights: &mut [f32], scores: &mut [f32]| {
            weights[row] += by;
            scores.iter_mut().zip(&gram[row]).for_each(|(score, kernel)| *score += by * kernel);
        };
        for _ in 0..CORRECTIONS {
            let worst = (0..count).min_by(|a, b| margin(&scores, *a).total_cmp(&margin(&scores, *b)));
            if let Some(row) = worst.filter(|row| margin(&scores, *row) <= 0.0) {
                let by = self.rows[row].1 - scores[row];
                change(row, by, &mut weights, &mut scores);
                continue;
            }
            // A kernel is 1 at no distance, so this is the margin without the row's own weight.
            let without = |row: usize| self.rows[row].1 * (scores[row] - weights[row]);
            let spare = (0..count)
                .filter(|row| weights[*row] != 0.0)
                .max_by(|a, b| without(*a).total_cmp(&without(*b)))
                .filter(|row| without(*row) > 0.0);
            let Some(row) = spare else { break };
            let by = -weights[row];
            change(row, by, &mut weights, &mut scores);
            weights[row] = 0.0;
        }
        weights
    }
}

impl Agent for Perceptron {
    fn observe(&mut self, input: &[f32], target: &[f32]) -> Result<(), AgentError> {
        for (expected, got) in [(FEATURES, input.len()), (1, target.len())] {
            if expected != got {
                return Err(LengthError { expected, got }.into());
            }
        }
        if !input.iter().chain(target).all(|value| value.is_finite()) {
            return Err(ObserveError::NotFinite.into());
        }
        if self.rows.len() == self.capacity {
            self.rows.remove(0);
        }
        self.rows.push((input[JOINTS..].to_vec(), if target[0] > 0.0 { 1.0 } else { -1.0 }));
        self.weights = None;
        Ok(())
    }

    fn predict(&mut self, inputs: &[f32], mean: &mut [f32], _variance: Option<&mut [f32]>) -> Result<bool, AgentError> {
        let (expected, got) = (mean.len() * FEATURES, inputs.len());
        if expected != got {
            return Err(LengthError { expected, got }.into());
        }
        let weights = match self.weights.take() {
            Some(weights) => weights,
            None => self.fit(),
        };
        for (mean, input) in mean.iter_mut().zip(inputs.chunks_exact(FEATURES)) {
            let supports = self.rows.iter().zip(&weights).filter(|(_, weight)| **weight != 0.0);
            *mean = supports.map(|((row, _), weight)| weight * self.kernel(row, &input[JOINTS..])).sum();
        }
        self.weights = Some(weights);
        Ok(false)
    }
}
