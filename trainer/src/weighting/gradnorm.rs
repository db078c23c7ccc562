//! GradNorm: Chen, Badrinarayanan, Lee, Rabinovich, *GradNorm: Gradient Normalization for Adaptive Loss Balancing in Deep Multitask
//! Networks* (2018), algorithm 1.
//!
//! The gradient of wᵢ Lᵢ has the norm Gᵢ = wᵢ ‖gᵢ‖, and the mean over tasks is Ḡ. A task's inverse training rate is rᵢ = L̃ᵢ / mean L̃
//! with L̃ᵢ = Lᵢ(t) / Lᵢ(0). The weights are learned so that norms come to Ḡ rᵢ^α (eq. 1), by L_grad = Σ |Gᵢ − Ḡ rᵢ^α| with the targets
//! held constant (eq. 2), and are scaled to sum to the number of tasks after each step. The paper takes gradients of the last shared layer
//! to save time; here they are those of all shared parameters, whose Gram matrix is at hand. Lᵢ(0) is the first loss that was seen of the
//! task. A loss below [`LEAST_LOSS`] counts as that much in the ratio, and no weight falls below a thousandth.
//!
//! The weights are of losses: heads get them too, as in algorithm 1, which takes one step of all parameters along the gradient of Σ wᵢ Lᵢ.

use serde::{Deserialize, Serialize};

use super::adam::Adam;
use super::{LEAST_LOSS, Needs, Seen, SettingsError, Weighting, Weights, check_seen, not_negative, positive};

/// What a configuration says of it, `kind = "gradnorm"`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// α, how strongly tasks that train slowly are pulled; 0 makes all norms equal.
    #[serde(default = "alpha")]
    pub alpha: f64,
    /// The rate of Adam on the weights; 0.025 in the paper.
    #[serde(default = "rate")]
    pub rate: f64,
}

fn alpha() -> f64 {
    1.5
}

fn rate() -> f64 {
    0.025
}

/// The least weight, before they are scaled.
const LEAST_WEIGHT: f64 = 1e-3;
/// Most that L̃ is taken for, so that no mean of it overflows.
const MOST_RATIO: f64 = 1e12;

impl Settings {
    pub(super) fn check(&self) -> Result<(), SettingsError> {
        not_negative("alpha", self.alpha)?;
        positive("rate", self.rate)
    }
}

/// Weights that balance the norms of gradients.
#[derive(Clone, Debug)]
pub struct GradNorm {
    settings: Settings,
    weights: Vec<f64>,
    /// L(0) of each task; NaN where it was not seen yet.
    first: Vec<f64>,
    adam: Adam,
}

impl GradNorm {
    /// All weights 1.
    #[must_use]
    pub fn new(tasks: usize, settings: Settings) -> Self {
        Self { settings, weights: vec![1.0; tasks], first: vec![f64::NAN; tasks], adam: Adam::new(tasks) }
    }

    /// L̃ of a task.
    fn ratio(&self, task: usize, loss: f64) -> f64 {
        (loss.max(LEAST_LOSS) / self.first[task]).min(MOST_RATIO)
    }
}

impl Weighting for GradNorm {
    fn name(&self) -> &'static str {
        "gradnorm"
    }

    fn needs(&self) -> Needs {
        Needs::Gradients
    }

    fn weigh(&mut self, seen: &Seen<'_>, into: &mut Weights) {
        let tasks = self.weights.len();
        check_seen(seen, tasks);
        let present = seen.present();
        into.put_losses(tasks, present.iter().map(|task| (*task, self.weights[*task])));
        if present.is_empty() {
            return;
        }
        for task in &present {
            if self.first[*task].is_nan() {
                self.first[*task] = seen.losses[*task].max(LEAST_LOSS);
            }
        }
        let count = present.len() as f64;
        let lengths = seen.gram_of(&present).diagonal().map(|square| square.max(0.0).sqrt());
        let ratios: Vec<f64> = present.iter().map(|task| self.ratio(*task, seen.losses[*task])).collect();
        let mean_ratio = ratios.iter().sum::<f64>() / count;
        let norms: Vec<f64> = present.iter().zip(&lengths).map(|(task, length)| self.weights[*task] * length).collect();
        let mean_norm = norms.iter().sum::<f64>() / count;
        let sum_of = |weights: &[f64]| present.iter().map(|task| weights[*task]).sum::<f64>();
        let before = sum_of(&self.weights);
        for (place, task) in present.iter().enumerate() {
            // ∂ L_grad / ∂ wᵢ, the target held constant (eq. 2).
            let error = norms[place] - mean_norm * (ratios[place] / mean_ratio).powf(self.settings.alpha);
            let gradient = if error == 0.0 { 0.0 } else { error.signum() * lengths[place] };
            let step = self.adam.step(*task, self.settings.rate, gradient);
            self.weights[*task] = (self.weights[*task] - step).max(LEAST_WEIGHT);
        }
        // Those present keep their sum, and with it all.
        let factor = before / sum_of(&self.weights);
        present.iter().for_each(|task| self.weights[*task] *= factor);
    }

    fn memory(&self) -> Vec<f64> {
        self.weights.iter().chain(&self.first).copied().chain(self.adam.memory()).collect()
    }

    fn restore(&mut self, memory: &[f64]) -> bool {
        let tasks = self.weights.len();
        if memory.len() != 2 * tasks + Adam::memory_len(tasks) {
            return false;
        }
        self.weights.copy_from_slice(&memory[..tasks]);
        self.first.copy_from_slice(&memory[tasks..2 * tasks]);
        self.adam.restore(&memory[2 * tasks..]);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::weighting::matrix;

    fn run(losses: [[f64; 2]; 2], lengths: [f64; 2], iterations: u64) -> Vec<f64> {
        let mut weighting = GradNorm::new(2, Settings { alpha: 1.5, rate: 0.025 });
        let gram = matrix([[lengths[0] * lengths[0], 0.0], [0.0, lengths[1] * lengths[1]]]);
        let mut weights = Weights::default();
        for iteration in 0..iterations {
            let losses = &losses[usize::from(iteration > 0)];
            weighting.weigh(&Seen { iteration, losses, gram: Some(&gram) }, &mut weights);
            assert!((weights.shared.iter().sum::<f64>() - 2.0).abs() <= 1e-12);
        }
        weights.shared
    }

    #[test]
    fn a_longer_gradient_comes_to_weigh_less_until_norms_are_equal() {
        let weights = run([[1.0, 1.0]; 2], [3.0, 1.0], 400);
        assert!((weights[0] - 0.5).abs() <= 0.05 && (weights[1] - 1.5).abs() <= 0.05, "{weights:?}");
    }

    #[test]
    fn a_task_that_trains_slowly_comes_to_weigh_more() {
        // The first halves its loss, the second keeps it: norms come to stand as 0.5^1.5 to 1.
        let weights = run([[1.0, 1.0], [0.5, 1.0]], [1.0, 1.0], 2);
        assert!(weights[0] == weights[1], "the first losses tell nothing: {weights:?}");
        assert!(run([[1.0, 1.0], [0.5, 1.0]], [1.0, 1.0], 3)[0] < 1.0);
        let weights = run([[1.0, 1.0], [0.5, 1.0]], [1.0, 1.0], 1000);
        assert!(weights[0] < 0.8, "{weights:?}");
    }
}
