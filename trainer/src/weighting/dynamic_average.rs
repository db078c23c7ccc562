//! Dynamic weight average, DWA: Liu, Johns, Davison, *End-to-End Multi-Task Learning with Attention* (2019), section 3.3.
//!
//! A task whose loss falls more slowly weighs more: wᵢ(t − 1) = Lᵢ(t − 1) / Lᵢ(t − 2) and λᵢ(t) = K exp(wᵢ(t − 1) / T) / Σ exp(wⱼ(t − 1) /
//! T) (eq. 7), with K tasks, a temperature T, and wᵢ = 1 for the first two t. In the paper Lᵢ(t) is the mean over an epoch; here t counts
//! windows of so many iterations. A loss below [`LEAST_LOSS`] counts as that much in the ratio.

use serde::{Deserialize, Serialize};

use super::simplex::softmax;
use super::{LEAST_LOSS, Needs, Seen, SettingsError, Weighting, Weights, check_seen, field, positive};

/// What a configuration says of it, `kind = "dynamic_average"`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// T.
    #[serde(default = "two")]
    pub temperature: f64,
    /// Iterations over which losses are averaged, in place of an epoch.
    #[serde(default = "hundred")]
    pub window: u64,
}

fn two() -> f64 {
    2.0
}

fn hundred() -> u64 {
    100
}

impl Settings {
    pub(super) fn check(&self) -> Result<(), SettingsError> {
        positive("temperature", self.temperature)?;
        field("window", "at least 1", self.window, self.window > 0)
    }
}

/// Weights by how losses fell.
#[derive(Clone, Debug)]
pub struct DynamicAverage {
    settings: Settings,
    tasks: usize,
    /// Of each task the sum of this window's losses, their number, and the means of the window before this one and of the one before that;
    /// a mean is NaN where there was none yet.
    sums: Vec<f64>,
    counts: Vec<f64>,
    last: Vec<f64>,
    before: Vec<f64>,
}

impl DynamicAverage {
    /// Before the first window.
    #[must_use]
    pub fn new(tasks: usize, settings: Settings) -> Self {
        let (zeros, none) = (vec![0.0; tasks], vec![f64::NAN; tasks]);
        Self { settings, tasks, sums: zeros.clone(), counts: zeros, last: none.clone(), before: none }
    }

    /// A window ends. A task that was in none of its batches keeps its means.
    fn turn(&mut self) {
        for task in (0..self.tasks).filter(|task| self.counts[*task] > 0.0) {
            self.before[task] = self.last[task];
            self.last[task] = self.sums[task] / self.counts[task];
        }
        self.sums.fill(0.0);
        self.counts.fill(0.0);
    }

    /// w of a task.
    fn descent(&self, task: usize) -> f64 {
        let ratio = self.last[task].max(LEAST_LOSS) / self.before[task].max(LEAST_LOSS);
        if self.before[task].is_nan() { 1.0 } else { ratio.min(f64::MAX) }
    }
}

impl Weighting for DynamicAverage {
    fn name(&self) -> &'static str {
        "dynamic_average"
    }

    fn needs(&self) -> Needs {
        Needs::Losses
    }

    fn weigh(&mut self, seen: &Seen<'_>, into: &mut Weights) {
        check_seen(seen, self.tasks);
        if seen.iteration > 0 && seen.iteration.is_multiple_of(self.settings.window) {
            self.turn();
        }
        let present = seen.present();
        let logits: Vec<f64> = present.iter().map(|task| self.descent(*task) / self.settings.temperature).collect();
        let count = present.len() as f64;
        into.put_losses(
            self.tasks,
            present.iter().copied().zip(softmax(&logits)).map(|(task, share)| (task, count * share)),
        );
        for task in present {
            self.sums[task] += seen.losses[task];
            self.counts[task] += 1.0;
        }
    }

    fn memory(&self) -> Vec<f64> {
        [&self.sums, &self.counts, &self.last, &self.before].into_iter().flatten().copied().collect()
    }

    fn restore(&mut self, memory: &[f64]) -> bool {
        if memory.len() != 4 * self.tasks {
            return false;
        }
        let parts = [&mut self.sums, &mut self.counts, &mut self.last, &mut self.before];
        for (part, memory) in parts.into_iter().zip(memory.chunks(self.tasks)) {
            part.copy_from_slice(memory);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_hand() {
        let mut weighting = DynamicAverage::new(2, Settings { temperature: 2.0, window: 2 });
        let mut weights = Weights::default();
        // Means of the windows: 2 and 4, then 1 and 3.
        let losses = [[1.0, 3.0], [3.0, 5.0], [0.5, 3.0], [1.5, 3.0], [9.0, 9.0]];
        for (iteration, losses) in losses.iter().enumerate() {
            weighting.weigh(&Seen { iteration: iteration as u64, losses, gram: None }, &mut weights);
            if iteration < 4 {
                assert_eq!(weights.shared, [1.0, 1.0]);
            }
        }
        let (first, second) = ((0.5_f64 / 2.0).exp(), (0.75_f64 / 2.0).exp());
        let expected = [2.0 * first / (first + second), 2.0 * second / (first + second)];
        for (weight, expected) in weights.shared.iter().zip(expected) {
            assert!((weight - expected).abs() <= 1e-12, "{weight} for {expected}");
        }
    }

    #[test]
    fn an_absent_task_keeps_its_means() {
        let mut weighting = DynamicAverage::new(2, Settings { temperature: 2.0, window: 1 });
        let mut weights = Weights::default();
        for (iteration, losses) in [[4.0, 4.0], [2.0, 1.0], [2.0, f64::NAN], [2.0, 1.0]].iter().enumerate() {
            weighting.weigh(&Seen { iteration: iteration as u64, losses, gram: None }, &mut weights);
        }
        assert!((weighting.descent(0) - 1.0).abs() <= 1e-12 && (weighting.descent(1) - 0.25).abs() <= 1e-12);
    }
}
