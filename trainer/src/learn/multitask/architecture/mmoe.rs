//! Multi-gate mixture of experts: Ma, Zhao, Yi, Chen, Hong, Chi, *Modeling task relationships in multi-task learning with multi-gate
//! mixture-of-experts* (2018), section 4.2.
//!
//! Experts are layers side by side that all jobs share. A gate for each job, softmax(V_t x) of the same inputs, says how much of each
//! expert its head gets. Experts are the last of the layers `hidden`, which is the paper's expert of one layer; layers before it are
//! shared below them, as beneath the experts of Zhao et al. 2019 (*Recommending what video to watch next*, section 4.2).
//!
//! The network has experts and logits of gates as one dense layer, and a mixture as first layer of each head ([`Layer::Mixture`]), so that
//! what is learned is what runs.

use std::ops::Range;

use serde::{Deserialize, Serialize};
use sinew_models::networks::{HeadPlan, Plan};
use sinew_models::spec::{Activation, Layer, MAX_HEAD_LAYERS, NetworkSpec, SpecError};

use super::{Architecture, Unfit, backbone, field};

/// What a configuration says of it, `kind = "mmoe"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Experts.
    pub experts: u8,
}

impl Settings {
    pub(super) fn check(&self, plan: &Plan<'_>) -> Result<(), Unfit> {
        field("learner.architecture.experts", "at least 1", self.experts, self.experts > 0)?;
        check_plan(plan)
    }
}

/// That a plan has experts, and room for a mixture in each head.
pub(super) fn check_plan(plan: &Plan<'_>) -> Result<(), Unfit> {
    let experts = "at least one width, the last that of an expert";
    field("network.hidden", experts, plan.hidden, !plan.hidden.is_empty())?;
    let most = "at most one width, for the first layer of a head is the mixture of experts";
    field("network.of_each_head", most, plan.of_each_head, plan.of_each_head.len() + 2 <= MAX_HEAD_LAYERS)
}

/// The network of a plan for one expert.
pub(super) fn network(settings: Settings, plan: &Plan<'_>, heads: &[HeadPlan<'_>]) -> Result<NetworkSpec, SpecError> {
    let Some((width, below)) = plan.hidden.split_last() else { return Err(SpecError::TooMany) };
    let (experts, gates) = (usize::from(settings.experts), heads.len());
    let wide = experts.saturating_mul(width.saturating_add(gates));
    let hidden: Vec<_> = below.iter().copied().chain([wide]).collect();
    // Experts have the activation behind them, logits none.
    let network = Plan { hidden: &hidden, features: Activation::Identity, ..*plan }.network(heads)?;
    with_mixtures(network, settings.experts, plan.features)
}

/// The network with a mixture in front of each head, by the gate of its number.
pub(super) fn with_mixtures(
    mut network: NetworkSpec,
    experts: u8,
    activation: Activation,
) -> Result<NetworkSpec, SpecError> {
    let gates = network.heads.len() as u8;
    for (first, head) in (0..).zip(&mut network.heads) {
        let mixture = Layer::Mixture { experts, gates, first, outputs: 1, activation };
        head.layers.insert(0, mixture).map_err(|_| SpecError::TooMany)?;
    }
    network.check()?;
    Ok(network)
}

/// Experts, and a gate for each head.
#[derive(Clone, Debug)]
pub struct Mmoe {
    shared: [Range<usize>; 1],
}

impl Mmoe {
    /// Of `network`.
    #[must_use]
    pub fn new(network: &NetworkSpec) -> Self {
        Self { shared: [backbone(network)] }
    }
}

impl Architecture for Mmoe {
    fn is_plain(&self) -> bool {
        true
    }

    fn shared(&self) -> &[Range<usize>] {
        &self.shared
    }
}
