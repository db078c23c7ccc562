//! How a device adapts a network: a closed set of ways, each of them data.

use core::fmt;

use heapless::Vec;
use serde::{Deserialize, Serialize};

use crate::layout::{Place, PlacedLayer};
use crate::spec::{MAX_LAYERS, NetworkSpec};

/// Most inner steps that a bundle can ask for.
pub const MAX_STEPS: usize = 1000;

/// How a device adapts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rule {
    /// Full-batch gradient descent on the support loss: θ ← θ − α ∘ ∇L(θ), `steps` times
    /// (MAML, Finn et al. 2017; ANIL, Raghu et al. 2020; Meta-SGD, Li et al. 2017; MAML++, Antoniou et al. 2019).
    Gradient {
        /// Inner steps that it was trained for; a device can take fewer or more.
        steps: usize,
        /// What α is; its numbers are in the tensor `rule.rate`.
        rate: Rate,
        /// Which layers are adapted.
        scope: Scope,
    },
}

/// What the inner rate α is, and so the shape of the tensor `rule.rate`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rate {
    /// One number for all parameters and steps: `[1]`.
    #[default]
    Constant,
    /// One number for each step and layer (MAML++): `[steps, layers]`. Steps past the last use the last row.
    PerLayerStep,
    /// One number for each parameter (Meta-SGD), the same at every step: `[param_len]`, in the order of the flat vector.
    PerParameter,
}

/// Which layers are adapted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// The whole network.
    #[default]
    All,
    /// The heads alone (ANIL).
    Heads,
    /// These layers, counted through backbone and heads as in [`NetworkSpec::layers`].
    Layers(Vec<u8, MAX_LAYERS>),
}

impl Scope {
    /// Whether `layer`, the `index`-th of the network, is adapted.
    pub fn includes(&self, index: usize, layer: &PlacedLayer) -> bool {
        match self {
            Scope::All => true,
            Scope::Heads => matches!(layer.place, Place::Head(_)),
            Scope::Layers(layers) => layers.iter().any(|&listed| usize::from(listed) == index),
        }
    }
}

impl Rule {
    /// Inner steps that it was trained for.
    pub const fn steps(&self) -> usize {
        match self {
            Rule::Gradient { steps, .. } => *steps,
        }
    }

    /// Values of the tensor `rule.rate`.
    pub fn rate_len(&self, network: &NetworkSpec) -> usize {
        let Rule::Gradient { steps, rate, .. } = self;
        match rate {
            Rate::Constant => 1,
            Rate::PerLayerStep => steps * network.layer_count(),
            Rate::PerParameter => network.param_len(),
        }
    }

    /// Refuses what cannot be run on `network`.
    ///
    /// # Errors
    /// The first of [`RuleError`] that applies.
    pub fn check(&self, network: &NetworkSpec) -> Result<(), RuleError> {
        let Rule::Gradient { steps, scope, .. } = self;
        if !(1..=MAX_STEPS).contains(steps) {
            return Err(RuleError::Steps(*steps));
        }
        if let Scope::Layers(layers) = scope {
            if layers.is_empty() {
                return Err(RuleError::NothingToAdapt);
            }
            if let Some(&listed) = layers.iter().find(|&&listed| usize::from(listed) >= network.layer_count()) {
                return Err(RuleError::NoSuchLayer { listed: listed.into(), layers: network.layer_count() });
            }
        }
        Ok(())
    }
}

/// Why a rule does not fit a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RuleError {
    /// It asks for this many steps; 1 to [`MAX_STEPS`] are expected.
    Steps(usize),
    /// Its list of layers is empty.
    NothingToAdapt,
    /// It lists a layer that the network does not have.
    NoSuchLayer {
        /// The layer.
        listed: usize,
        /// Layers of the network.
        layers: usize,
    },
}

impl fmt::Display for RuleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            RuleError::Steps(steps) => write!(f, "expected 1 to {MAX_STEPS} inner steps, got {steps}"),
            RuleError::NothingToAdapt => f.write_str("the list of layers to adapt is empty"),
            RuleError::NoSuchLayer { listed, layers } => {
                write!(f, "layer {listed} is to be adapted, but the network has layers 0 to {}", layers - 1)
            }
        }
    }
}

impl core::error::Error for RuleError {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::networks;
    use crate::spec::{Activation, InputForm, Loss};

    #[test]
    fn survives_json_and_knows_its_rates() {
        let network = networks::mlp(3, InputForm::Plain, &[5], Activation::Relu, "a", 2, Loss::MeanSquared).unwrap();
        for (rate, len) in [(Rate::Constant, 1), (Rate::PerLayerStep, 6), (Rate::PerParameter, 32)] {
            for scope in [Scope::All, Scope::Heads, Scope::Layers(Vec::from_slice(&[0]).unwrap())] {
                let rule = Rule::Gradient { steps: 3, rate, scope };
                let text = serde_json::to_string(&rule).unwrap();
                assert_eq!(serde_json_core::from_str::<Rule>(&text).unwrap().0, rule);
                assert_eq!(rule.check(&network), Ok(()));
                assert_eq!(rule.rate_len(&network), len);
            }
        }
    }

    #[test]
    fn refuses_what_does_not_fit() {
        let network = networks::mlp(3, InputForm::Plain, &[5], Activation::Relu, "a", 2, Loss::MeanSquared).unwrap();
        let rule = |steps, scope| Rule::Gradient { steps, rate: Rate::Constant, scope }.check(&network);
        assert_eq!(rule(0, Scope::All), Err(RuleError::Steps(0)));
        assert_eq!(rule(1, Scope::Layers(Vec::new())), Err(RuleError::NothingToAdapt));
        let outside = Scope::Layers(Vec::from_slice(&[2]).unwrap());
        assert_eq!(rule(1, outside), Err(RuleError::NoSuchLayer { listed: 2, layers: 2 }));
    }
}
