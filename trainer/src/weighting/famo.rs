//! Fast adaptive multitask optimisation, FAMO: Liu, Feng, Stone, Liu, *FAMO: Fast Adaptive Multitask Optimization* (2023), algorithm 1.
//!
//! Losses should fall at the same rate, in the logarithm, without a gradient for each task. The step is along c Σ zᵢ ∇ ln Lᵢ with z =
//! softmax(ξ) and c = 1 / Σ (zᵢ / Lᵢ), which is the loss weights c zᵢ / Lᵢ: they sum to 1, here to the number of tasks. After the step the
//! losses of the same batch are looked at again, and ξ ← ξ − β (Jᵀδ + γξ) with δᵢ = ln Lᵢ(before) − ln Lᵢ(after) and J the derivative of z
//! by ξ: a task that fell more comes to weigh less. As in the authors' code, Adam takes that step. Losses are counted from the least that
//! they can be, and what is below [`LEAST_LOSS`] above that counts as so much.

use serde::{Deserialize, Serialize};

use super::adam::Adam;
use super::simplex::softmax;
use super::{LEAST_LOSS, Needs, Seen, SettingsError, Weighting, Weights, check_seen, field, not_negative, positive};

/// What a configuration says of it, `kind = "famo"`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// The rate of Adam on ξ.
    #[serde(default = "rate")]
    pub rate: f64,
    /// γ, what pulls ξ back to 0.
    #[serde(default = "decay")]
    pub decay: f64,
    /// Whether the same batch is looked at again after the step, as the paper has it, which takes one more pass forward; if not, the losses
    /// of the next batch stand for what became of them.
    #[serde(default = "yes", skip_serializing_if = "is_yes")]
    pub again: bool,
    /// The least that each loss can be: one number for each task, or none, which is 0 for all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub least: Vec<f64>,
}

fn yes() -> bool {
    true
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
fn is_yes(again: &bool) -> bool {
    *again
}

fn rate() -> f64 {
    0.025
}

fn decay() -> f64 {
    0.01
}

impl Settings {
    pub(super) fn check(&self, tasks: usize) -> Result<(), SettingsError> {
        positive("rate", self.rate)?;
        not_negative("decay", self.decay)?;
        let right =
            self.least.is_empty() || self.least.len() == tasks && self.least.iter().all(|least| least.is_finite());
        field("least", format!("nothing, or a finite number for each of {tasks} tasks"), &self.least, right)
    }
}

/// Weights that make losses fall together.
#[derive(Clone, Debug)]
pub struct Famo {
    rate: f64,
    decay: f64,
    again: bool,
    least: Vec<f64>,
    /// ξ.
    logits: Vec<f64>,
    adam: Adam,
    /// The losses that were weighed, until they are looked at again; NaN where there is none.
    before: Vec<f64>,
}

impl Famo {
    /// All tasks even.
    #[must_use]
    pub fn new(tasks: usize, settings: &Settings) -> Self {
        let least = if settings.least.is_empty() { vec![0.0; tasks] } else { settings.least.clone() };
        let (logits, adam) = (vec![0.0; tasks], Adam::new(tasks));
        let Settings { rate, decay, again, .. } = *settings;
        Self { rate, decay, again, least, logits, adam, before: vec![f64::NAN; tasks] }
    }

    /// How far a loss is above the least it can be.
    fn above(&self, task: usize, loss: f64) -> f64 {
        (loss - self.least[task]).max(LEAST_LOSS)
    }

    /// z of these tasks.
    fn shares(&self, tasks: &[usize]) -> Vec<f64> {
        softmax(&tasks.iter().map(|task| self.logits[*task]).collect::<Vec<f64>>())
    }
}

impl Weighting for Famo {
    fn name(&self) -> &'static str {
        "famo"
    }

    fn needs(&self) -> Needs {
        Needs::Losses
    }

    fn weigh(&mut self, seen: &Seen<'_>, into: &mut Weights) {
        let tasks = self.logits.len();
        check_seen(seen, tasks);
        if !self.again {
            self.looked_again(seen.losses);
        }
        let present = seen.present();
        let shares = self.shares(&present);
        let parts: Vec<f64> =
            present.iter().zip(shares).map(|(task, share)| share / self.above(*task, seen.losses[*task])).collect();
        let factor = present.len() as f64 / parts.iter().sum::<f64>();
        into.put_losses(tasks, present.into_iter().zip(parts).map(|(task, part)| (task, factor * part)));
        self.before = seen.losses.to_vec();
    }

    fn looks_again(&self) -> bool {
        self.again
    }

    fn looked_again(&mut self, losses: &[f64]) {
        assert_eq!(losses.len(), self.logits.len(), "a weighting is told a loss for each task it was opened for");
        let before = std::mem::replace(&mut self.before, vec![f64::NAN; losses.len()]);
        let both = |task: &usize| losses[*task].is_finite() && before[*task].is_finite();
        let present: Vec<usize> = (0..losses.len()).filter(both).collect();
        let shares = self.shares(&present);
        let fall = |task: usize| self.above(task, before[task]).ln() - self.above(task, losses[task]).ln();
        let falls: Vec<f64> = present.iter().map(|task| fall(*task)).collect();
        let mean: f64 = shares.iter().zip(&falls).map(|(share, fall)| share * fall).sum();
        for ((task, share), fall) in present.into_iter().zip(shares).zip(falls) {
            // Jᵀδ, and the decay.
            let gradient = share * (fall - mean) + self.decay * self.logits[task];
            self.logits[task] -= self.adam.step(task, self.rate, gradient);
        }
    }

    fn memory(&self) -> Vec<f64> {
        let before: &[f64] = if self.again { &[] } else { &self.before };
        self.logits.iter().copied().chain(self.adam.memory()).chain(before.iter().copied()).collect()
    }

    fn restore(&mut self, memory: &[f64]) -> bool {
        let tasks = self.logits.len();
        let (adam, before) = (Adam::memory_len(tasks), if self.again { 0 } else { tasks });
        if memory.len() != tasks + adam + before {
            return false;
        }
        self.logits.copy_from_slice(&memory[..tasks]);
        self.adam.restore(&memory[tasks..tasks + adam]);
        self.before.fill(f64::NAN);
        self.before[..before].copy_from_slice(&memory[tasks + adam..]);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn famo(decay: f64) -> Famo {
        Famo::new(2, &Settings { rate: 0.025, decay, again: true, least: Vec::new() })
    }

    #[test]
    fn weights_are_as_shares_over_losses_and_sum_to_the_tasks() {
        let mut weights = Weights::default();
        famo(0.01).weigh(&Seen { iteration: 0, losses: &[1.0, 3.0], gram: None }, &mut weights);
        assert!((weights.shared[0] - 1.5).abs() <= 1e-12 && (weights.shared[1] - 0.5).abs() <= 1e-12, "{weights:?}");
        assert_eq!(weights.shared, weights.heads);
    }

    #[test]
    fn a_task_that_falls_more_in_the_logarithm_comes_to_weigh_less() {
        // 10 to 9 is less of a fall than 1 to 0.5.
        let (mut weighting, mut weights) = (famo(0.0), Weights::default());
        for iteration in 0..3 {
            weighting.weigh(&Seen { iteration, losses: &[10.0, 1.0], gram: None }, &mut weights);
            weighting.looked_again(&[9.0, 0.5]);
        }
        assert!(weighting.logits[0] > 0.0 && weighting.logits[1] < 0.0, "{:?}", weighting.logits);
        // The same fall in the logarithm moves nothing.
        let mut weighting = famo(0.0);
        weighting.weigh(&Seen { iteration: 0, losses: &[10.0, 1.0], gram: None }, &mut weights);
        weighting.looked_again(&[5.0, 0.5]);
        assert!(weighting.logits.iter().all(|logit| logit.abs() <= 1e-6), "{:?}", weighting.logits);
    }

    #[test]
    fn the_next_losses_can_stand_for_those_after_the_step() {
        let next = Settings { rate: 0.025, decay: 0.01, again: false, least: Vec::new() };
        let (mut one, mut other, mut weights) = (famo(0.01), Famo::new(2, &next), Weights::default());
        let losses = [[10.0, 1.0], [9.0, 0.5], [8.5, 0.4], [f64::NAN, 0.3], [8.0, 0.2]];
        for (iteration, pair) in losses.windows(2).enumerate() {
            for (weighting, at) in [(&mut one, 0), (&mut other, 0)] {
                weighting.weigh(&Seen { iteration: iteration as u64, losses: &pair[at], gram: None }, &mut weights);
            }
            one.looked_again(&pair[1]);
            // What is remembered is all that matters.
            let mut resumed = Famo::new(2, &next);
            assert!(resumed.restore(&other.memory()));
            assert_eq!(format!("{resumed:?}"), format!("{other:?}"));
        }
        other.weigh(&Seen { iteration: 4, losses: &losses[4], gram: None }, &mut weights);
        assert_eq!(one.logits, other.logits);
        assert!(one.looks_again() && !other.looks_again());
    }

    #[test]
    fn tasks_that_fall_at_different_rates_come_to_fall_together() {
        // ln L falls by kᵢ times the weight of ∇ ln L; z settles where k z is even.
        let (mut weighting, mut weights, rates) = (famo(0.0), Weights::default(), [0.03, 0.01]);
        let mut logs = [0.0_f64, 0.0];
        let mut falls = [0.0; 2];
        for iteration in 0..2000 {
            let losses = logs.map(f64::exp);
            weighting.weigh(&Seen { iteration, losses: &losses, gram: None }, &mut weights);
            let shares = weighting.shares(&[0, 1]);
            for task in 0..2 {
                falls[task] = rates[task] * shares[task];
                logs[task] -= falls[task];
            }
            weighting.looked_again(&logs.map(f64::exp));
        }
        assert!((falls[0] / falls[1] - 1.0).abs() <= 0.1, "{falls:?}");
    }
}
