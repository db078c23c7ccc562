//! Homoscedastic uncertainty: Kendall, Gal, Cipolla, *Multi-Task Learning Using Uncertainty to Weigh Losses for Scene Geometry and
//! Semantics* (2018).
//!
//! Each task has a variance σᵢ² of its own, learned with the network: L = Σ Lᵢ / (2σᵢ²) + ln σᵢ (eq. 7). What is learned is sᵢ = ln σᵢ²
//! (section 3.3), with which a task's part is ½ exp(−sᵢ) Lᵢ + ½ sᵢ: the weight is ½ exp(−sᵢ), and at rest σᵢ² is Lᵢ. The ½ is that of a
//! Gaussian likelihood, for regression; the paper has 1 in its place for classification (eq. 10). Here all losses have the ½: a factor
//! common to a loss changes only which σᵢ² it rests at.

use serde::{Deserialize, Serialize};

use super::adam::Adam;
use super::{LEAST_LOSS, Needs, Seen, SettingsError, Weighting, Weights, check_seen, positive};

/// What a configuration says of it, `kind = "uncertainty"`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// The rate of Adam on s.
    #[serde(default = "rate")]
    pub rate: f64,
}

fn rate() -> f64 {
    1e-3
}

impl Settings {
    pub(super) fn check(&self) -> Result<(), SettingsError> {
        positive("rate", self.rate)
    }
}

/// Weights by learned variances.
#[derive(Clone, Debug)]
pub struct Uncertainty {
    settings: Settings,
    /// s of each task.
    log_variances: Vec<f64>,
    adam: Adam,
}

impl Uncertainty {
    /// All variances 1.
    #[must_use]
    pub fn new(tasks: usize, settings: Settings) -> Self {
        Self { settings, log_variances: vec![0.0; tasks], adam: Adam::new(tasks) }
    }
}

impl Weighting for Uncertainty {
    fn name(&self) -> &'static str {
        "uncertainty"
    }

    fn needs(&self) -> Needs {
        Needs::Losses
    }

    fn weigh(&mut self, seen: &Seen<'_>, into: &mut Weights) {
        let tasks = self.log_variances.len();
        check_seen(seen, tasks);
        let present = seen.present();
        into.put_losses(tasks, present.iter().map(|task| (*task, 0.5 * (-self.log_variances[*task]).exp())));
        for task in present {
            // ∂/∂s of ½ exp(−s) L + ½ s; a loss of 0 or below would let s fall forever.
            let loss = seen.losses[task].max(LEAST_LOSS);
            let gradient = 0.5 * (1.0 - (-self.log_variances[task]).exp() * loss);
            self.log_variances[task] -= self.adam.step(task, self.settings.rate, gradient);
        }
    }

    fn memory(&self) -> Vec<f64> {
        self.log_variances.iter().copied().chain(self.adam.memory()).collect()
    }

    fn restore(&mut self, memory: &[f64]) -> bool {
        let tasks = self.log_variances.len();
        if memory.len() != tasks + Adam::memory_len(tasks) {
            return false;
        }
        self.log_variances.copy_from_slice(&memory[..tasks]);
        self.adam.restore(&memory[tasks..]);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn at_rest_the_variance_is_the_loss() {
        let mut weighting = Uncertainty::new(2, Settings { rate: 0.01 });
        let (mut weights, losses) = (Weights::default(), [0.25, 8.0]);
        for iteration in 0..3000 {
            weighting.weigh(&Seen { iteration, losses: &losses, gram: None }, &mut weights);
        }
        for (weight, loss) in weights.shared.iter().zip(losses) {
            assert!((weight - 0.5 / loss).abs() <= 1e-6 / loss, "{weight} for a loss of {loss}");
        }
        assert_eq!(weights.shared, weights.heads);
    }
}
