//! `[learner]`: which way of training, and its own settings.

use serde::{Deserialize, Serialize};
use sinew_models::rule::{Rate, Rule, Scope};
use sinew_models::spec::Loss;

use super::ConfigError;
use crate::learn::meta_lstm::FIRST_RATE;

/// `[learner]`: the settings that belong to its `kind`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum LearnerConfig {
    /// Model-agnostic meta-learning, and what differs from it by data alone.
    Maml(MamlConfig),
    /// Reptile.
    Reptile(ReptileConfig),
    /// A learned optimiser, Meta-LSTM.
    MetaLstm(MetaLstmConfig),
    /// Prototypical networks.
    Prototype(PrototypeConfig),
    /// Siamese twins.
    Siamese(SiameseConfig),
    /// Ridge regression on learned features, R2D2.
    Ridge(RidgeConfig),
    /// A Bayesian last layer on learned features, ALPaCA.
    Bayes(BayesConfig),
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

/// `kind = "reptile"`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReptileConfig {
    /// Inner steps of an iteration.
    pub training_steps: usize,
    /// Rows of a task that each of these sees, drawn anew from its support and query; 0 for all.
    #[serde(default)]
    pub batch: usize,
    /// The inner rate, in training and on a device.
    pub inner_rate: f32,
    /// Inner steps of a device, and those by which the best state is chosen; as many as in training where it is missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub steps: Option<usize>,
}

impl ReptileConfig {
    fn descent(&self) -> Descent {
        let steps = self.steps.unwrap_or(self.training_steps);
        Descent { steps, inner_rate: self.inner_rate, rate: Rate::Constant, adapt: Scope::All }
    }
}

/// `kind = "meta_lstm"`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MetaLstmConfig {
    /// Inner steps.
    pub steps: usize,
    /// Units of the LSTM; with 0 the gates see loss and gradient themselves.
    #[serde(default = "twenty")]
    pub hidden: usize,
    /// Which layers are adapted.
    #[serde(default)]
    pub adapt: Scope,
}

impl MetaLstmConfig {
    /// Gradient descent at the rate at which the gates begin.
    fn descent(&self) -> Descent {
        let Self { steps, adapt, .. } = self;
        Descent { steps: *steps, inner_rate: FIRST_RATE, rate: Rate::Constant, adapt: adapt.clone() }
    }

    fn rule(&self) -> Rule {
        let Self { steps, hidden, adapt } = self;
        Rule::MetaLstm { steps: *steps, hidden: *hidden, scope: adapt.clone() }
    }
}

/// `kind = "prototype"`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PrototypeConfig {
    /// What squared distances are multiplied with, or the number to begin with.
    #[serde(default = "unity")]
    pub scale: f64,
    /// Whether it is learned.
    #[serde(default)]
    pub learn_scale: bool,
}

/// `kind = "siamese"`, which has no settings of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SiameseConfig {}

/// `kind = "ridge"`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RidgeConfig {
    /// λ to begin with; it is learned.
    #[serde(default = "unity")]
    pub ridge: f64,
    /// The scale of logits to begin with; it is learned.
    #[serde(default = "four")]
    pub logit_scale: f64,
    /// Whether the regression is drawn to a learned weight; otherwise to 0, as in the paper.
    #[serde(default = "yes")]
    pub learn_prior: bool,
    /// Work samples in one by one on a device, with this factor of forgetting (1 forgets nothing); solve anew where it is missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub forgetting: Option<f64>,
}

/// `kind = "bayes"`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BayesConfig {
    /// The prior's precision to begin with; it is learned.
    #[serde(default = "unity")]
    pub precision: f64,
    /// The noise's variance to begin with, in squares of the scaled outputs; it is learned.
    #[serde(default = "tenth")]
    pub noise: f64,
    /// What one more sample leaves of the weight of those before it on a device; 1 forgets nothing.
    #[serde(default = "unity")]
    pub forgetting: f64,
}

fn one() -> usize {
    1
}

/// As in the paper's code.
fn twenty() -> usize {
    20
}

fn unity() -> f64 {
    1.0
}

fn four() -> f64 {
    4.0
}

fn tenth() -> f64 {
    0.1
}

fn yes() -> bool {
    true
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
        let positive =
            |name, value: f64| field(name, "a number above 0", value.to_string(), value > 0.0 && value.is_finite());
        let forgets = |value: f64| {
            field("learner.forgetting", "a number above 0, at most 1", value.to_string(), value > 0.0 && value <= 1.0)
        };
        match self {
            Self::Maml(MamlConfig { inner_rate: rate, .. })
            | Self::Pooled(Descent { inner_rate: rate, .. })
            | Self::Reptile(ReptileConfig { inner_rate: rate, .. }) => {
                field("learner.inner_rate", "a finite number", rate.to_string(), rate.is_finite())?;
            }
            Self::Prototype(settings) => positive("learner.scale", settings.scale)?,
            Self::MetaLstm(_) | Self::Siamese(_) => {}
            Self::Ridge(settings) => {
                positive("learner.ridge", settings.ridge)?;
                positive("learner.logit_scale", settings.logit_scale)?;
                settings.forgetting.map_or(Ok(()), forgets)?;
            }
            Self::Bayes(settings) => {
                positive("learner.precision", settings.precision)?;
                positive("learner.noise", settings.noise)?;
                forgets(settings.forgetting)?;
            }
        }
        if let Self::Reptile(settings) = self {
            let steps = settings.training_steps;
            field("learner.training_steps", "at least 1", steps.to_string(), steps > 0)?;
        }
        Ok(())
    }

    /// Inner steps that a device takes; 1 for rules that take none.
    pub fn steps(&self) -> usize {
        match self {
            Self::Maml(settings) => settings.steps,
            Self::Pooled(settings) => settings.steps,
            Self::Reptile(settings) => settings.descent().steps,
            Self::MetaLstm(settings) => settings.steps,
            Self::Prototype(_) | Self::Siamese(_) | Self::Ridge(_) | Self::Bayes(_) => 1,
        }
    }

    /// How a device adapts, in a world of so many outputs.
    pub(super) fn rule(&self, outputs: usize) -> Rule {
        match self {
            Self::Maml(settings) => settings.descent().rule(),
            Self::Pooled(settings) => settings.rule(),
            Self::Reptile(settings) => settings.descent().rule(),
            Self::MetaLstm(settings) => settings.rule(),
            Self::Prototype(_) => Rule::Prototype,
            Self::Siamese(_) => Rule::Siamese { classes: outputs },
            Self::Ridge(settings) => Rule::Ridge { recursive: settings.forgetting.is_some() },
            Self::Bayes(_) => Rule::Bayes,
        }
    }

    /// Whether it only compares rows of classes.
    pub(super) fn compares_classes(&self) -> bool {
        matches!(self, Self::Prototype(_) | Self::Siamese(_))
    }

    /// Outputs of the network for a world of so many.
    pub(super) fn outputs(&self, world: usize) -> usize {
        if matches!(self, Self::Siamese(_)) { 1 } else { world }
    }

    /// The loss of the network for a world of this one.
    pub(super) fn loss(&self, world: Loss) -> Loss {
        match self {
            // Whether two rows are alike.
            Self::Siamese(_) => Loss::BinaryCrossEntropy,
            // Classes are regressed as the numbers 0 and 1.
            Self::Bayes(_) => Loss::MeanSquared,
            _ => world,
        }
    }

    /// How a device would adapt the pooled network beside this learner's.
    pub(super) fn descent(&self) -> Descent {
        match self {
            Self::Maml(settings) => settings.descent(),
            Self::Pooled(settings) => settings.clone(),
            Self::Reptile(settings) => settings.descent(),
            Self::MetaLstm(settings) => settings.descent(),
            Self::Prototype(_) | Self::Siamese(_) | Self::Ridge(_) | Self::Bayes(_) => {
                Descent { steps: 1, inner_rate: 0.01, rate: Rate::Constant, adapt: Scope::All }
            }
        }
    }
}
