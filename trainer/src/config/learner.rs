//! `[learner]`: which way of training, and its own settings.

use serde::{Deserialize, Serialize};
use sinew_models::rule::{Rate, Rule, Scope};
use sinew_models::spec::{Loss, NetworkSpec};

use super::ConfigError;

/// `[learner]`: the settings that belong to its `kind`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum LearnerConfig {
    /// Model-agnostic meta-learning, and what differs from it by data alone.
    Maml(MamlConfig),
    /// Supervised, all tasks pooled.
    Pooled(Descent),
}

/// Gradient descent on a device.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Descent {
    /// Inner steps.
    #[serde(default = "one")]
    pub steps: usize,
    /// The inner rate, or the one to begin with.
    pub inner_rate: f32,
    /// What the inner rate is.
    #[serde(default)]
    pub rate: Rate,
    /// Which layers are adapted.
    #[serde(default)]
    pub adapt: Scope,
}

/// `kind = "maml"`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MamlConfig {
    /// Inner steps.
    #[serde(default = "one")]
    pub steps: usize,
    /// The inner rate to begin with.
    pub inner_rate: f32,
    /// What the inner rate is.
    #[serde(default)]
    pub rate: Rate,
    /// Whether it is learned.
    #[serde(default)]
    pub learn_rate: bool,
    /// Whether the Hessian is left out.
    #[serde(default)]
    pub first_order: bool,
    /// Which layers are adapted.
    #[serde(default)]
    pub adapt: Scope,
    /// So many iterations at the start leave the Hessian out (MAML++: derivative-order annealing).
    #[serde(default, skip_serializing_if = "super::is_default")]
    pub first_order_iterations: u64,
    /// So many iterations at the start also see the losses after fewer steps, less and less (MAML++: annealed multi-step loss).
    #[serde(default, skip_serializing_if = "super::is_default")]
    pub multi_step_iterations: u64,
}

fn one() -> usize {
    1
}

impl Descent {
    fn rule(&self) -> Rule {
        Rule::Gradient { steps: self.steps, rate: self.rate, scope: self.adapt.clone(), momentum: false }
    }
}

impl MamlConfig {
    fn descent(&self) -> Descent {
        let Self { steps, inner_rate, rate, adapt, .. } = self;
        Descent { steps: *steps, inner_rate: *inner_rate, rate: *rate, adapt: adapt.clone() }
    }
}

impl LearnerConfig {
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        let field = |field, expected, found: String, right: bool| {
            if right { Ok(()) } else { Err(ConfigError::Field { field, expected, found }) }
        };
        match self {
            Self::Maml(MamlConfig { inner_rate: rate, .. }) | Self::Pooled(Descent { inner_rate: rate, .. }) => {
                field("learner.inner_rate", "a finite number", rate.to_string(), rate.is_finite())
            }
        }
    }

    /// Inner steps that a device takes; 1 for rules that take none.
    pub fn steps(&self) -> usize {
        match self {
            Self::Maml(settings) => settings.steps,
            Self::Pooled(settings) => settings.steps,
        }
    }

    /// How a device adapts `network`.
    pub(super) fn rule(&self, _network: &NetworkSpec) -> Rule {
        match self {
            Self::Maml(settings) => settings.descent().rule(),
            Self::Pooled(settings) => settings.rule(),
        }
    }

    /// Outputs of the network for a world of so many.
    pub(super) fn outputs(&self, world: usize) -> usize {
        world
    }

    /// The loss of the network for a world of this one.
    pub(super) fn loss(&self, world: Loss) -> Loss {
        world
    }

    /// How a device would adapt the pooled network beside this learner's.
    pub(super) fn descent(&self) -> Descent {
        match self {
            Self::Maml(settings) => settings.descent(),
            Self::Pooled(settings) => settings.clone(),
        }
    }
}
