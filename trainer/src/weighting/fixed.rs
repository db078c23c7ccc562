//! Weights that stay: L = Σ λᵢ Lᵢ. With all of them 1 this is the plain sum that the other methods are compared with.

use serde::{Deserialize, Serialize};

use super::{Needs, Seen, SettingsError, Weighting, Weights, check_seen, field};

/// What a configuration says of it, `kind = "fixed"`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// λ of each task.
    pub weights: Vec<f64>,
}

impl Settings {
    pub(super) fn check(&self, tasks: usize) -> Result<(), SettingsError> {
        let weights = &self.weights;
        field("weights", format!("a weight for each of {tasks} tasks"), weights, weights.len() == tasks)?;
        let right = weights.iter().all(|weight| *weight >= 0.0 && weight.is_finite());
        field(
            "weights",
            "numbers that are not below 0, one of them above",
            weights,
            right && weights.iter().any(|w| *w > 0.0),
        )
    }
}

/// Fixed weights.
#[derive(Clone, Debug)]
pub struct Fixed {
    weights: Vec<f64>,
}

impl Fixed {
    /// These.
    #[must_use]
    pub fn new(settings: &Settings) -> Self {
        Self { weights: settings.weights.clone() }
    }
}

impl Weighting for Fixed {
    fn name(&self) -> &'static str {
        "fixed"
    }

    fn needs(&self) -> Needs {
        Needs::Losses
    }

    fn weigh(&mut self, seen: &Seen<'_>, into: &mut Weights) {
        check_seen(seen, self.weights.len());
        into.put_losses(self.weights.len(), seen.present().into_iter().map(|task| (task, self.weights[task])));
    }

    fn memory(&self) -> Vec<f64> {
        Vec::new()
    }

    fn restore(&mut self, memory: &[f64]) -> bool {
        memory.is_empty()
    }
}
