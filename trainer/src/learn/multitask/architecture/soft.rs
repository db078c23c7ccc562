//! Soft sharing: a tower for each job, held together by a penalty on how far their parameters are apart (Duong et al., *Low resource
//! dependency parsing*, 2015; about the mean of all as Evgeniou and Pontil, *Regularized multi-task learning*, 2004).
//!
//! The loss has ½ κ Σ_t ‖W_t − W̄‖² besides, with W_t the parameters of the layers of tower t and W̄ their mean over towers. A tower is a head
//! but for its last layer, which has a job of its own to do and is free. Inputs of heads are those of the network, so `hidden` is empty, or
//! what is before the heads would be shared hard. With κ = 0 every job trains alone, and the larger κ is, the more they are one network.

use std::ops::Range;

use serde::{Deserialize, Serialize};
use sinew_models::networks::Plan;
use sinew_models::spec::{MAX_HEAD_LAYERS, NetworkSpec};

use super::{Architecture, Unfit, backbone, field, layers_of};

/// What a configuration says of it, `kind = "soft"`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// κ, how strongly towers are tied.
    pub tie: f64,
}

impl Settings {
    pub(super) fn check(&self, plan: &Plan<'_>) -> Result<(), Unfit> {
        let tie = self.tie;
        field("learner.architecture.tie", "a number that is not below 0", tie, tie >= 0.0 && tie.is_finite())?;
        let none = "none, for with soft sharing the towers are the layers `of_each_head`";
        field("network.hidden", none, plan.hidden, plan.hidden.is_empty())?;
        let layers = plan.of_each_head.len();
        field("network.of_each_head", "the widths of a tower, one or two", plan.of_each_head, {
            (1..MAX_HEAD_LAYERS).contains(&layers)
        })
    }
}

/// Towers that are tied.
#[derive(Clone, Debug)]
pub struct Soft {
    tie: f64,
    /// The parameters of each tower, all as many.
    towers: Vec<Range<usize>>,
    /// Those, and before them what is below the towers.
    shared: Vec<Range<usize>>,
}

impl Soft {
    /// Of `network`, whose heads have the same layers but for the last.
    #[must_use]
    pub fn new(network: &NetworkSpec, settings: Settings) -> Self {
        let tower = |head| {
            let mut layers = layers_of(network, head).map(|layer| layer.offset);
            let start = layers.next().unwrap_or(0);
            start..layers.last().unwrap_or(start)
        };
        let towers: Vec<_> = (0..network.heads.len()).map(tower).collect();
        let shared = std::iter::once(backbone(network)).chain(towers.iter().cloned()).collect();
        Self { tie: settings.tie, towers, shared }
    }
}

impl Architecture for Soft {
    fn penalty(&self, params: &[f32], gradient: &mut [f32]) -> f64 {
        let mut sum = 0.0;
        for place in 0..self.towers.first().map_or(0, Range::len) {
            let at = |tower: &Range<usize>| f64::from(params[tower.start + place]);
            let mean = self.towers.iter().map(at).sum::<f64>() / self.towers.len() as f64;
            for tower in &self.towers {
                let apart = at(tower) - mean;
                sum += apart * apart;
                // What the mean itself depends on adds up to 0.
                gradient[tower.start + place] += (self.tie * apart) as f32;
            }
        }
        0.5 * self.tie * sum
    }

    fn shared(&self) -> &[Range<usize>] {
        &self.shared
    }
}
