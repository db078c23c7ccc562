//! `[learner]`: which way of training, and its own settings.

use serde::{Deserialize, Serialize};
use sinew_models::rule::{Rate, Rule, Scope};
use sinew_models::spec::Loss;

use super::ConfigError;
use crate::learn::bayes::Bayes;
use crate::learn::prototype::Prototype;
use crate::learn::{maml, meta_lstm, multitask, reptile, ridge, siamese};
use crate::weighting;

/// `[learner]`: the settings that belong to its `kind`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum LearnerConfig {
    /// Model-agnostic meta-learning, and what differs from it by data alone.
    Maml(maml::Settings),
    /// Reptile.
    Reptile(reptile::Settings),
    /// A learned optimiser, Meta-LSTM.
    MetaLstm(meta_lstm::Settings),
    /// Prototypical networks.
    Prototype(Prototype),
    /// Siamese twins.
    Siamese(siamese::Settings),
    /// Ridge regression on learned features, R2D2.
    Ridge(ridge::Settings),
    /// A Bayesian last layer on learned features, ALPaCA.
    Bayes(Bayes),
    /// Supervised, all tasks pooled.
    Pooled(Descent),
    /// Supervised, several heads on one backbone.
    #[serde(rename = "multitask")]
    MultiTask(multitask::Settings),
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
    /// The number of support rows that the rate is for: steps grow with the rows; 0 if they do not.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub rows: usize,
}

fn is_zero(rows: &usize) -> bool {
    *rows == 0
}

fn one() -> usize {
    1
}

impl Descent {
    fn rule(&self) -> Rule {
        Rule::Gradient {
            steps: self.steps,
            rate: self.rate,
            scope: self.adapt.clone(),
            momentum: false,
            rows: self.rows,
        }
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
            Self::Maml(maml::Settings { inner_rate: rate, .. })
            | Self::Pooled(Descent { inner_rate: rate, .. })
            | Self::MultiTask(multitask::Settings { inner_rate: rate, .. })
            | Self::Reptile(reptile::Settings { inner_rate: rate, .. }) => {
                field("learner.inner_rate", "a finite number", rate.to_string(), rate.is_finite())?;
            }
            Self::Prototype(settings) => positive("learner.scale", settings.scale)?,
            Self::MetaLstm(_) => {}
            Self::Siamese(siamese::Settings { alike }) => {
                let right = *alike > 0.0 && *alike < 1.0;
                field("learner.alike", "a number between 0 and 1, without them", alike.to_string(), right)?;
            }
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
            Self::Maml(_) | Self::Pooled(_) | Self::MultiTask(_) | Self::Reptile(_) => self.descent().steps,
            Self::MetaLstm(settings) => settings.steps,
            Self::Prototype(_) | Self::Siamese(_) | Self::Ridge(_) | Self::Bayes(_) => 1,
        }
    }

    /// How a device adapts, in a world of so many outputs.
    pub(super) fn rule(&self, outputs: usize) -> Rule {
        match self {
            Self::Maml(_) | Self::Pooled(_) | Self::MultiTask(_) | Self::Reptile(_) => self.descent().rule(),
            Self::MetaLstm(meta_lstm::Settings { steps, hidden, adapt }) => {
                Rule::MetaLstm { steps: *steps, hidden: *hidden, scope: adapt.clone() }
            }
            Self::Prototype(_) => Rule::Prototype,
            Self::Siamese(_) => Rule::Siamese { classes: outputs },
            Self::Ridge(settings) => Rule::Ridge { recursive: settings.forgetting.is_some() },
            Self::Bayes(_) => Rule::Bayes,
        }
    }

    /// The weights of the losses of the heads, where they are fixed ones of multi-task training.
    pub fn fixed_weights(&self) -> Option<&[f64]> {
        let Self::MultiTask(settings) = self else { return None };
        let weighting::Settings::Fixed(fixed) = &settings.weighting else { return None };
        Some(&fixed.weights)
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
        let (constant, all) = (Rate::Constant, Scope::All);
        match self {
            Self::Pooled(settings) => settings.clone(),
            Self::MultiTask(multitask::Settings { steps, inner_rate, adapt, .. }) => {
                Descent { steps: *steps, inner_rate: *inner_rate, rate: constant, adapt: adapt.clone(), rows: 0 }
            }
            Self::Maml(maml::Settings { steps, inner_rate, rate, adapt, rows, .. }) => {
                Descent { steps: *steps, inner_rate: *inner_rate, rate: *rate, adapt: adapt.clone(), rows: *rows }
            }
            Self::Reptile(reptile::Settings { training_steps, steps, inner_rate, .. }) => {
                let steps = steps.unwrap_or(*training_steps);
                Descent { steps, inner_rate: *inner_rate, rate: constant, adapt: all, rows: 0 }
            }
            // At the rate at which the gates begin.
            Self::MetaLstm(meta_lstm::Settings { steps, adapt, .. }) => Descent {
                steps: *steps,
                inner_rate: meta_lstm::FIRST_RATE,
                rate: constant,
                adapt: adapt.clone(),
                rows: 0,
            },
            Self::Prototype(_) | Self::Siamese(_) | Self::Ridge(_) | Self::Bayes(_) => {
                Descent { steps: 1, inner_rate: 0.01, rate: constant, adapt: all, rows: 0 }
            }
        }
    }
}
