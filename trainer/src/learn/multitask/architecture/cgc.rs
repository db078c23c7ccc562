//! Customised gate control, and progressive layered extraction of several levels of it: Tang, Liu, Zhao, Gong, *Progressive layered
//! extraction (PLE): a novel multi-task learning model for personalized recommendations* (2020), sections 4.1 and 4.2.
//!
//! Some experts are shared, others are of one job alone, and the gate of a job sees its own and those that are shared. Each of `hidden` is
//! a level. Between levels there is one more gate, which sees all experts, and whose mixture the shared ones of the next level take;
//! those of a job, and its gate, take the mixture of that job. With one level it is CGC, with several PLE.
//!
//! A level is one dense layer, of the experts of the jobs, those that are shared, and the logits of the gates, and a [`Layer::Mixture`]
//! behind it; the last mixture is in the heads. What an expert must not see has weight 0, and an expert that a gate must not see has weights
//! 0 and [`SHUT`] as bias of its logit, so that its share is exactly 0. φ has zeros at all of these.

use std::ops::Range;

use serde::{Deserialize, Serialize};
use sinew_models::layout::{Place, PlacedLayer};
use sinew_models::networks::{HeadPlan, Plan};
use sinew_models::spec::{Activation, Layer, MAX_BACKBONE, NetworkSpec, SpecError};

use super::{Architecture, Learned, Unfit, backbone, field, mmoe};

/// The logit of an expert that a gate does not see. e to the power of it is 0 in f32, whatever the other logits are.
pub const SHUT: f32 = -1e4;

/// What a configuration says of it, `kind = "cgc"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Experts that all jobs share.
    pub shared_experts: u8,
    /// Experts that each job has of its own.
    pub own_experts: u8,
}

impl Settings {
    pub(super) fn check(&self, plan: &Plan<'_>) -> Result<(), Unfit> {
        let (shared, own) = (self.shared_experts, self.own_experts);
        field("learner.architecture.shared_experts", "at least 1", shared, shared > 0)?;
        field("learner.architecture.own_experts", "at least 1", own, own > 0)?;
        field("learner.architecture.own_experts", "at most 32", own, own <= 32)?;
        field("learner.architecture.shared_experts", "at most 32", shared, shared <= 32)?;
        let levels = "a width for each level, at most 7";
        field("network.hidden", levels, plan.hidden, plan.hidden.len() < MAX_BACKBONE / 2)?;
        mmoe::check_plan(plan)
    }

    /// Experts of a level.
    const fn experts(self, jobs: usize) -> usize {
        jobs * self.own_experts as usize + self.shared_experts as usize
    }
}

/// The network of a plan for one expert of each level.
pub(super) fn network(settings: Settings, plan: &Plan<'_>, heads: &[HeadPlan<'_>]) -> Result<NetworkSpec, SpecError> {
    let (jobs, experts) = (heads.len(), settings.experts(heads.len()));
    let last = plan.hidden.len().saturating_sub(1);
    let (count, gates) = (u8::try_from(experts).map_err(|_| SpecError::TooMany)?, jobs as u8 + 1);
    let mut network = Plan { hidden: &[], ..*plan }.network(heads)?;
    for (level, width) in plan.hidden.iter().enumerate() {
        let gates_here = if level == last { jobs } else { jobs + 1 };
        let outputs = experts.saturating_mul(width.saturating_add(gates_here));
        let mut push = |layer| network.backbone.push(layer).map_err(|_| SpecError::TooMany);
        // Experts have the activation behind them, logits none.
        push(Layer::Dense { outputs, activation: Activation::Identity })?;
        if level != last {
            let activation = plan.activation;
            push(Layer::Mixture { experts: count, gates, first: 0, outputs: gates, activation })?;
        }
    }
    mmoe::with_mixtures(network, count, plan.features)
}

/// A sum of which something stays as it is.
#[derive(Clone, Debug)]
struct Restricted {
    /// Its row of the weight.
    weight: Range<usize>,
    /// What of it is learned; nothing of a logit that is shut.
    learned: Range<usize>,
    bias: usize,
}

impl Restricted {
    fn is_shut(&self) -> bool {
        self.learned.is_empty()
    }

    /// What of the row is 0.
    fn zeros(&self) -> [Range<usize>; 2] {
        [self.weight.start..self.learned.start, self.learned.end..self.weight.end]
    }
}

/// Experts of their own and shared ones, and a gate for each head.
#[derive(Clone, Debug)]
pub struct Cgc {
    restricted: Vec<Restricted>,
    shared: [Range<usize>; 1],
}

impl Cgc {
    /// Of `network`, whose dense layers in the backbone are its levels.
    #[must_use]
    pub fn new(network: &NetworkSpec, settings: Settings) -> Self {
        let jobs = network.heads.len();
        let (own, experts) = (usize::from(settings.own_experts), settings.experts(jobs));
        let is_level =
            |layer: &PlacedLayer| layer.place == Place::Backbone && matches!(layer.layer, Layer::Dense { .. });
        let levels: Vec<_> = network.layers().filter(is_level).collect();
        let mut restricted = Vec::new();
        for (level, layer) in levels.iter().enumerate() {
            let gates = if level + 1 == levels.len() { jobs } else { jobs + 1 };
            let values = layer.outputs() - gates * experts;
            let inputs = layer.inputs();
            // The job of an expert, or what comes after all jobs for those that are shared.
            let group_of = |expert: usize| (expert / own).min(jobs);
            for row in 0..layer.outputs() {
                let (group, shut) = match row.checked_sub(values) {
                    None => (group_of(row / (values / experts)), false),
                    Some(logit) => {
                        let (gate, group) = (logit / experts, group_of(logit % experts));
                        (gate, gate < jobs && group != gate && group != jobs)
                    }
                };
                let start = layer.offset + row * inputs;
                let weight = start..start + inputs;
                let learned = match level {
                    _ if shut => start..start,
                    0 => weight.clone(),
                    _ => {
                        let width = inputs / (jobs + 1);
                        start + group * width..start + (group + 1) * width
                    }
                };
                if learned != weight {
                    let bias = layer.offset + layer.weight_len() + row;
                    restricted.push(Restricted { weight, learned, bias });
                }
            }
        }
        Self { restricted, shared: [backbone(network)] }
    }
}

impl Architecture for Cgc {
    fn initialise(&self, params: &mut [f32]) {
        for row in &self.restricted {
            row.zeros().into_iter().for_each(|zeros| params[zeros].fill(0.0));
            // Drawn for sums over more inputs.
            let more = row.weight.len() as f32 / row.learned.len().max(1) as f32;
            let factor = if row.is_shut() { 0.0 } else { more.sqrt() };
            params[row.learned.clone()].iter_mut().for_each(|weight| *weight *= factor);
            params[row.bias] *= factor;
        }
    }

    fn fold(&self, learned: &Learned) -> Vec<f32> {
        let mut params = learned.params.clone();
        for row in &self.restricted {
            row.zeros().into_iter().for_each(|zeros| params[zeros].fill(0.0));
            if row.is_shut() {
                params[row.bias] = SHUT;
            }
        }
        params
    }

    fn pull_back(&self, _learned: &Learned, mut by_params: Vec<f32>) -> Learned {
        for row in &self.restricted {
            row.zeros().into_iter().for_each(|zeros| by_params[zeros].fill(0.0));
            if row.is_shut() {
                by_params[row.bias] = 0.0;
            }
        }
        Learned { params: by_params, mixing: Vec::new() }
    }

    fn shared(&self) -> &[Range<usize>] {
        &self.shared
    }
}
