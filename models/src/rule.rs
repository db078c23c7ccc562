//! How a device adapts a network: a closed set of ways, each of them data.

use core::fmt;

use heapless::Vec;
use serde::{Deserialize, Serialize};

use crate::bundle;
use crate::layout::{Place, PlacedLayer};
#[cfg(feature = "rules")]
use crate::spec::{Activation, Layer};
use crate::spec::{MAX_LAYERS, MAX_UNITS, NetworkSpec};

/// Most inner steps that a bundle can ask for.
pub const MAX_STEPS: usize = 1000;
/// Most hidden units of the LSTM of [`Rule::MetaLstm`].
pub const MAX_HIDDEN: usize = 64;
/// Most features of the closed forms, which keep matrices of features times features.
pub const MAX_FEATURES: usize = 1024;

/// How a device adapts. Which tensors its numbers are in, [`crate::bundle`] says.
///
/// Without the feature `rules` there is gradient descent alone.
///
/// All but the gradient rules leave the backbone as it is and work on its outputs φ, the *features*, `[feature_len]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rule {
    /// Full-batch gradient descent on the support loss: θ ← θ − α ∘ ∇L(θ), `steps` times
    /// (MAML, Finn et al. 2017; ANIL, Raghu et al. 2020; Meta-SGD, Li et al. 2017; MAML++, Antoniou et al. 2019; CAVIA, Zintgraf et
    /// al. 2019).
    Gradient {
        /// Inner steps that it was trained for; a device can take fewer or more.
        steps: usize,
        /// What α is.
        rate: Rate,
        /// Which layers are adapted.
        scope: Scope,
        /// Whether steps have momentum: v ← μ v + ∇L(θ), θ ← θ − α ∘ v (Polyak 1964).
        #[serde(default, skip_serializing_if = "is_false")]
        momentum: bool,
        /// The number of support rows that α is for: with n rows a step is α n / rows long, so that every row counts as much, as if the
        /// loss were a sum. 0 if a step is α long whatever the number of rows, as in the papers. A runtime
        /// without the feature `rules` refuses all but 0.
        #[serde(default, skip_serializing_if = "is_zero")]
        rows: usize,
    },
    /// Ridge regression of the targets on the features, toward the heads of the bundle: argmin Σ |y − W φ|² + λ |W − W₀|² (R2D2,
    /// Bertinetto et al. 2019, which has W₀ = 0). Every head is one dense layer.
    #[cfg(feature = "rules")]
    Ridge {
        /// Whether samples are worked in one by one as they come, with a forgetting factor, instead of solving for the support rows
        /// anew each time.
        recursive: bool,
    },
    /// Bayesian linear regression on the features, sample by sample, with a learned prior and a variance for each prediction
    /// (ALPaCA, Harrison et al. 2018). Every head is one dense layer, its weights the prior's mean.
    #[cfg(feature = "rules")]
    Bayes,
    /// Classes by the distance to the mean of their features (Snell et al. 2017). The one head is one dense layer with an output for
    /// each class there can be; it becomes the classifier that the means amount to (their §2.3).
    #[cfg(feature = "rules")]
    Prototype,
    /// Classes by the most similar support row (Koch et al. 2015). The one head is one dense layer of one output, the similarity
    /// σ(b + Σ α |φ − φ'|) of two rows.
    #[cfg(feature = "rules")]
    Siamese {
        /// Classes that there can be: values of a target row and of an output row.
        classes: usize,
    },
    /// Steps by a learned optimiser: θ ← f ∘ θ − i ∘ ∇L(θ), with gates f and i of each parameter from an LSTM that all share
    /// (Ravi and Larochelle 2017).
    #[cfg(feature = "rules")]
    MetaLstm {
        /// Inner steps that it was trained for.
        steps: usize,
        /// Hidden units of the LSTM; 0 for gates that see loss and gradient directly.
        hidden: usize,
        /// Which layers are adapted.
        scope: Scope,
    },
}

fn is_false(value: &bool) -> bool {
    !value
}

fn is_zero(rows: &usize) -> bool {
    *rows == 0
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

/// Most tensors that the numbers of a rule are in.
pub const MAX_TENSORS: usize = 5;

/// A tensor with numbers of a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleTensor {
    /// Its name in a bundle.
    pub name: &'static str,
    /// Its shape.
    pub shape: Vec<usize, 2>,
    /// What its values can be.
    pub domain: Domain,
}

impl RuleTensor {
    /// Values in it.
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// Whether it has no values.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// What the values of a tensor can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Domain {
    /// Any number.
    Finite,
    /// Above 0.
    Positive,
    /// From 0 to below 1.
    BelowOne,
    /// Above 0 and at most 1.
    #[cfg(feature = "rules")]
    UpToOne,
    /// A square matrix, above 0 on its diagonal.
    #[cfg(feature = "rules")]
    Factor,
}

impl Domain {
    /// Whether it has `value`, which is finite in all of them, at the place `index` of a tensor with `columns` columns.
    pub fn has(self, value: f32, index: usize, columns: usize) -> bool {
        let number = value.is_finite();
        // For matrices.
        let _ = (index, columns);
        match self {
            Self::Finite => number,
            Self::Positive => number && value > 0.0,
            Self::BelowOne => (0.0..1.0).contains(&value),
            #[cfg(feature = "rules")]
            Self::UpToOne => value > 0.0 && value <= 1.0,
            #[cfg(feature = "rules")]
            Self::Factor => number && (value > 0.0 || !index.is_multiple_of(columns + 1)),
        }
    }
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
    /// The contexts alone (CAVIA).
    Contexts,
    /// These layers, counted through backbone and heads as in [`NetworkSpec::layers`].
    Layers(Vec<u8, MAX_LAYERS>),
}

impl Scope {
    /// Whether `layer`, the `index`-th of the network, is adapted.
    // One copy, of its own, on a microcontroller, to save flash.
    #[cfg_attr(target_os = "none", inline(never))]
    pub fn includes(&self, index: usize, layer: &PlacedLayer) -> bool {
        match self {
            Scope::All => true,
            Scope::Heads => matches!(layer.place, Place::Head(_)),
            Scope::Contexts => layer.layer.is_context(),
            Scope::Layers(layers) => layers.iter().any(|&listed| usize::from(listed) == index),
        }
    }
}

impl Rule {
    /// Inner steps that it was trained for; 1 for the rules that take none.
    pub const fn steps(&self) -> usize {
        match self {
            Rule::Gradient { steps, .. } => *steps,
            #[cfg(feature = "rules")]
            Rule::MetaLstm { steps, .. } => *steps,
            #[cfg(feature = "rules")]
            _ => 1,
        }
    }

    /// The layers that it adapts by gradients, or the heads for the rules that work on features.
    pub const fn scope(&self) -> &Scope {
        match self {
            Rule::Gradient { scope, .. } => scope,
            #[cfg(feature = "rules")]
            Rule::MetaLstm { scope, .. } => scope,
            #[cfg(feature = "rules")]
            _ => &Scope::Heads,
        }
    }

    /// Values of the tensor `rule.rate`; 0 for the rules that have none.
    pub fn rate_len(&self, network: &NetworkSpec) -> usize {
        match self {
            Rule::Gradient { rate: Rate::Constant, .. } => 1,
            Rule::Gradient { rate: Rate::PerLayerStep, steps, .. } => steps * network.layer_count(),
            Rule::Gradient { rate: Rate::PerParameter, .. } => network.param_len(),
            #[cfg(feature = "rules")]
            _ => 0,
        }
    }

    /// The tensors that its numbers are in, in the order in which every part of sinew keeps them.
    pub fn tensors(&self, network: &NetworkSpec) -> Vec<RuleTensor, MAX_TENSORS> {
        #[cfg(feature = "rules")]
        let (outputs, unknowns) = (network.output_len(), network.feature_len() + 1);
        let tensor = |name, shape: &[usize], domain| RuleTensor {
            name,
            shape: Vec::from_slice(shape).unwrap_or_default(),
            domain,
        };
        let mut all = Vec::new();
        let mut push = |tensor| {
            let pushed = all.push(tensor);
            debug_assert!(pushed.is_ok());
        };
        match *self {
            Rule::Gradient { steps, rate, momentum, .. } => {
                let shape: &[usize] = match rate {
                    Rate::Constant => &[1],
                    Rate::PerLayerStep => &[steps, network.layer_count()],
                    Rate::PerParameter => &[network.param_len()],
                };
                push(tensor(bundle::RULE_RATE, shape, Domain::Finite));
                if momentum {
                    push(tensor(bundle::RULE_MOMENTUM, &[1], Domain::BelowOne));
                }
            }
            #[cfg(feature = "rules")]
            Rule::Ridge { recursive } => {
                push(tensor(bundle::RULE_RIDGE, &[1], Domain::Positive));
                push(tensor(bundle::RULE_LOGIT, &[outputs, 2], Domain::Finite));
                if recursive {
                    push(tensor(bundle::RULE_FORGETTING, &[1], Domain::UpToOne));
                }
            }
            #[cfg(feature = "rules")]
            Rule::Bayes => {
                push(tensor(bundle::RULE_PRECISION, &[unknowns, unknowns], Domain::Factor));
                push(tensor(bundle::RULE_NOISE, &[outputs], Domain::Positive));
                push(tensor(bundle::RULE_FORGETTING, &[1], Domain::UpToOne));
            }
            #[cfg(feature = "rules")]
            Rule::Prototype => push(tensor(bundle::RULE_DISTANCE, &[1], Domain::Positive)),
            #[cfg(feature = "rules")]
            Rule::Siamese { .. } => {}
            #[cfg(feature = "rules")]
            Rule::MetaLstm { hidden, .. } => {
                let [input, state, bias] = bundle::RULE_LSTM;
                if hidden > 0 {
                    push(tensor(input, &[4 * hidden, 4], Domain::Finite));
                    push(tensor(state, &[4 * hidden, hidden], Domain::Finite));
                    push(tensor(bias, &[4 * hidden], Domain::Finite));
                }
                let [weight, bias] = bundle::RULE_GATES;
                let seen = if hidden > 0 { hidden } else { 4 };
                push(tensor(weight, &[2, seen + 2], Domain::Finite));
                push(tensor(bias, &[2], Domain::Finite));
            }
        }
        all
    }

    /// Values of one target row and of one prediction: the network's outputs, but for similarities.
    pub fn output_len(&self, network: &NetworkSpec) -> usize {
        match self {
            #[cfg(feature = "rules")]
            Rule::Siamese { classes } => *classes,
            _ => network.output_len(),
        }
    }

    /// Refuses what cannot be run on `network`.
    ///
    /// # Errors
    /// The first of [`RuleError`] that applies.
    pub fn check(&self, network: &NetworkSpec) -> Result<(), RuleError> {
        match self {
            Rule::Gradient { steps, scope, .. } => {
                check_steps(*steps)?;
                check_scope(scope, network)
            }
            #[cfg(feature = "rules")]
            Rule::MetaLstm { steps, hidden, scope } => {
                check_steps(*steps)?;
                if *hidden > MAX_HIDDEN {
                    return Err(RuleError::Hidden(*hidden));
                }
                check_scope(scope, network)
            }
            #[cfg(feature = "rules")]
            Rule::Ridge { .. } | Rule::Bayes => {
                if network.feature_len() > MAX_FEATURES {
                    return Err(RuleError::Features(network.feature_len()));
                }
                check_heads(network)
            }
            #[cfg(feature = "rules")]
            Rule::Prototype => {
                if network.heads.len() != 1 {
                    return Err(RuleError::OneHead(network.heads.len()));
                }
                check_heads(network)
            }
            #[cfg(feature = "rules")]
            Rule::Siamese { classes } => {
                if !(1..=MAX_UNITS).contains(classes) {
                    return Err(RuleError::Classes(*classes));
                }
                if network.heads.len() != 1 || network.output_len() != 1 {
                    return Err(RuleError::OneHead(network.heads.len()));
                }
                check_heads(network)
            }
        }
    }
}

fn check_steps(steps: usize) -> Result<(), RuleError> {
    if (1..=MAX_STEPS).contains(&steps) { Ok(()) } else { Err(RuleError::Steps(steps)) }
}

fn check_scope(scope: &Scope, network: &NetworkSpec) -> Result<(), RuleError> {
    if let Scope::Layers(layers) = scope
        && let Some(&listed) = layers.iter().find(|&&listed| usize::from(listed) >= network.layer_count())
    {
        return Err(RuleError::NoSuchLayer { listed: listed.into(), layers: network.layer_count() });
    }
    let mut layers = network.layers().enumerate();
    if layers.any(|(index, layer)| layer.param_len() > 0 && scope.includes(index, &layer)) {
        Ok(())
    } else {
        Err(RuleError::NothingToAdapt)
    }
}

#[cfg(feature = "rules")]
/// Every head must be one dense layer without an activation.
fn check_heads(network: &NetworkSpec) -> Result<(), RuleError> {
    let plain = |layers: &[Layer]| matches!(layers, [Layer::Dense { activation: Activation::Identity, .. }]);
    match network.heads.iter().position(|head| !plain(&head.layers)) {
        Some(head) => Err(RuleError::HeadNotLinear(head)),
        None => Ok(()),
    }
}

/// Why a rule does not fit a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RuleError {
    /// It asks for this many steps; 1 to [`MAX_STEPS`] are expected.
    Steps(usize),
    /// No layer with parameters is to be adapted.
    NothingToAdapt,
    /// It lists a layer that the network does not have.
    NoSuchLayer {
        /// The layer.
        listed: usize,
        /// Layers of the network.
        layers: usize,
    },
    /// The LSTM has this many hidden units; at most [`MAX_HIDDEN`] are expected.
    Hidden(usize),
    /// There are this many features; a closed form takes at most [`MAX_FEATURES`].
    Features(usize),
    /// There are to be this many classes; 1 to [`MAX_UNITS`] are expected.
    Classes(usize),
    /// The rule takes a network with one head (of one output, for similarities); there are this many heads.
    OneHead(usize),
    /// The rule takes heads of one dense layer without activation; this head is another.
    HeadNotLinear(usize),
}

impl fmt::Display for RuleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            RuleError::Steps(steps) => write!(f, "expected 1 to {MAX_STEPS} inner steps, got {steps}"),
            RuleError::NothingToAdapt => f.write_str("no layer with parameters is to be adapted"),
            RuleError::NoSuchLayer { listed, layers } => {
                write!(f, "layer {listed} is to be adapted, but the network has layers 0 to {}", layers - 1)
            }
            RuleError::Hidden(got) => write!(f, "expected at most {MAX_HIDDEN} hidden units in the LSTM, got {got}"),
            RuleError::Features(got) => write!(f, "a closed form takes at most {MAX_FEATURES} features, got {got}"),
            RuleError::Classes(got) => write!(f, "expected 1 to {MAX_UNITS} classes, got {got}"),
            RuleError::OneHead(got) => {
                write!(f, "the rule takes one head (of one output, for similarities), the network has {got}")
            }
            RuleError::HeadNotLinear(head) => {
                write!(f, "head {head}: the rule takes heads of one dense layer without activation")
            }
        }
    }
}

impl core::error::Error for RuleError {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::networks;
    use crate::spec::{InputForm, Loss};

    fn network() -> NetworkSpec {
        networks::mlp(3, InputForm::Plain, &[5], Activation::Relu, "a", 2, Loss::MeanSquared).unwrap()
    }

    #[test]
    fn survives_json_and_knows_its_rates() {
        for (rate, len) in [(Rate::Constant, 1), (Rate::PerLayerStep, 6), (Rate::PerParameter, 32)] {
            for scope in [Scope::All, Scope::Heads, Scope::Layers(Vec::from_slice(&[0]).unwrap())] {
                for momentum in [false, true] {
                    let rule = Rule::Gradient { steps: 3, rate, scope: scope.clone(), momentum, rows: 0 };
                    let text = serde_json::to_string(&rule).unwrap();
                    assert_eq!(serde_json_core::from_str::<Rule>(&text).unwrap().0, rule);
                    assert_eq!(text.contains("momentum"), momentum);
                    assert_eq!(rule.check(&network()), Ok(()));
                    assert_eq!(rule.rate_len(&network()), len);
                    let tensors = rule.tensors(&network());
                    assert_eq!((tensors.len(), tensors[0].len()), (1 + usize::from(momentum), len));
                }
            }
        }
        let others = [
            Rule::Ridge { recursive: true },
            Rule::Bayes,
            Rule::Prototype,
            Rule::MetaLstm { steps: 2, hidden: 0, scope: Scope::All },
        ];
        for rule in others {
            let text = serde_json::to_string(&rule).unwrap();
            assert_eq!(serde_json::from_str::<Rule>(&text).unwrap(), rule);
            assert_eq!(rule.check(&network()), Ok(()));
            assert_eq!((rule.rate_len(&network()), rule.output_len(&network())), (0, 2));
            assert!(rule.tensors(&network()).iter().all(|tensor| !tensor.is_empty()));
        }
    }

    #[test]
    fn refuses_what_does_not_fit() {
        let network = network();
        let rule = |steps, scope| {
            Rule::Gradient { steps, rate: Rate::Constant, scope, momentum: false, rows: 0 }.check(&network)
        };
        assert_eq!(rule(0, Scope::All), Err(RuleError::Steps(0)));
        assert_eq!(rule(1, Scope::Layers(Vec::new())), Err(RuleError::NothingToAdapt));
        assert_eq!(rule(1, Scope::Contexts), Err(RuleError::NothingToAdapt));
        let outside = Scope::Layers(Vec::from_slice(&[2]).unwrap());
        assert_eq!(rule(1, outside), Err(RuleError::NoSuchLayer { listed: 2, layers: 2 }));
        assert_eq!(Rule::Siamese { classes: 5 }.check(&network), Err(RuleError::OneHead(1)));
        assert_eq!(Rule::Siamese { classes: 0 }.check(&network), Err(RuleError::Classes(0)));
        let hidden = Rule::MetaLstm { steps: 1, hidden: 65, scope: Scope::All };
        assert_eq!(hidden.check(&network), Err(RuleError::Hidden(65)));
        let curved = networks::mlp(3, InputForm::Plain, &[5], Activation::Relu, "a", 2, Loss::MeanSquared);
        let mut curved = curved.unwrap();
        curved.heads[0].layers[0] = Layer::Dense { outputs: 2, activation: Activation::Tanh };
        for rule in [Rule::Bayes, Rule::Prototype, Rule::Ridge { recursive: false }] {
            assert_eq!(rule.check(&curved), Err(RuleError::HeadNotLinear(0)));
        }
    }
}
