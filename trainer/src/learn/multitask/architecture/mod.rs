//! Architectures of multi-task networks: what the jobs share, and how. One a file, to be read beside its paper.
//!
//! The engine knows plain networks alone. An architecture says which network that is, how what is learned, φ, becomes its parameters θ
//! ([`Architecture::fold`]), and how a gradient by θ becomes one by φ ([`Architecture::pull_back`], the transposed Jacobian). φ is a vector
//! that is laid out as θ, with zeros where the architecture has no number of its own, and for some a few numbers besides. What is exported
//! is θ, so a bundle holds an ordinary network, and a runtime needs no word of architectures.

pub mod cgc;
pub mod cross_stitch;
pub mod hard;
pub mod mmoe;
pub mod soft;
#[cfg(test)]
pub(super) mod tests;

use std::fmt;
use std::ops::Range;

use serde::{Deserialize, Serialize};
use sinew_models::layout::{Place, PlacedLayer};
use sinew_models::networks::{HeadPlan, Plan};
use sinew_models::spec::{NetworkSpec, SpecError};
use thiserror::Error;

/// φ, or a gradient by it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Learned {
    /// Laid out as the parameters of the network: `[params]`.
    pub params: Vec<f32>,
    /// What mixes them, α of cross-stitch units; nothing for the others.
    pub mixing: Vec<f32>,
}

/// How the jobs share a network.
pub trait Architecture: fmt::Debug + Send {
    /// Whether θ is φ, and the loss has no other term: then all but [`shared`](Self::shared) need not be asked.
    fn is_plain(&self) -> bool {
        false
    }

    /// What mixes, at the beginning.
    fn mixing(&self) -> Vec<f32> {
        Vec::new()
    }

    /// Makes the φ to begin with, from parameters that were drawn for the network as it stands: the width of a layer of the network may be
    /// more than that of which a unit learns something.
    fn initialise(&self, _params: &mut [f32]) {}

    /// θ of φ.
    fn fold(&self, learned: &Learned) -> Vec<f32> {
        learned.params.clone()
    }

    /// The gradient by φ, of a loss whose gradient by θ is `by_params`.
    fn pull_back(&self, _learned: &Learned, by_params: Vec<f32>) -> Learned {
        Learned { params: by_params, mixing: Vec::new() }
    }

    /// What the loss has besides those of the heads; its gradient by φ is added to `gradient`.
    fn penalty(&self, _params: &[f32], _gradient: &mut [f32]) -> f64 {
        0.0
    }

    /// The parameters of φ in which the jobs meet, in order and apart from each other; all that mixes is shared as well. A weighting that
    /// looks at gradients sees these.
    fn shared(&self) -> &[Range<usize>];
}

/// `architecture` of a configuration: the settings that belong to its `kind`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Settings {
    /// One backbone for all heads.
    Hard(hard::Settings),
    /// A tower for each head, tied to the others.
    Soft(soft::Settings),
    /// Towers side by side that mix.
    CrossStitch(cross_stitch::Settings),
    /// Experts that are shared, and a gate for each head.
    Mmoe(mmoe::Settings),
    /// Experts that are shared and others that are not.
    Cgc(cgc::Settings),
}

impl Default for Settings {
    fn default() -> Self {
        Self::Hard(hard::Settings {})
    }
}

/// An architecture that does not fit the rest of a configuration.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("field `{field}`: expected {expected}, found {found}")]
pub struct Unfit {
    /// The field.
    pub field: &'static str,
    /// What would fit.
    pub expected: &'static str,
    /// What is there.
    pub found: String,
}

/// That `field` is `right`.
fn field(field: &'static str, expected: &'static str, found: impl fmt::Debug, right: bool) -> Result<(), Unfit> {
    if right { Ok(()) } else { Err(Unfit { field, expected, found: format!("{found:?}") }) }
}

impl Settings {
    /// Whether parameters of the network are made of others, or held where they are.
    pub fn folds(&self) -> bool {
        matches!(self, Self::CrossStitch(_) | Self::Cgc(_))
    }

    /// Whether they can be, for a network of such a plan.
    ///
    /// # Errors
    /// [`Unfit`] names the field that cannot be.
    pub fn check(&self, plan: &Plan<'_>) -> Result<(), Unfit> {
        match self {
            Self::Hard(_) => Ok(()),
            Self::Soft(settings) => settings.check(plan),
            Self::CrossStitch(settings) => settings.check(plan),
            Self::Mmoe(settings) => settings.check(plan),
            Self::Cgc(settings) => settings.check(plan),
        }
    }

    /// The network of a plan that passes [`check`](Self::check). `plan.hidden` are the widths of what the architecture has several of:
    /// of a tower, of an expert.
    ///
    /// # Errors
    /// As [`Plan::network`].
    pub fn network(&self, plan: &Plan<'_>, heads: &[HeadPlan<'_>]) -> Result<NetworkSpec, SpecError> {
        match self {
            Self::Hard(_) | Self::Soft(_) => plan.network(heads),
            Self::CrossStitch(_) => cross_stitch::network(plan, heads),
            Self::Mmoe(settings) => mmoe::network(*settings, plan, heads),
            Self::Cgc(settings) => cgc::network(*settings, plan, heads),
        }
    }

    /// The architecture, of a network that [`network`](Self::network) made.
    #[must_use]
    pub fn open(&self, network: &NetworkSpec) -> Box<dyn Architecture> {
        match self {
            Self::Hard(_) => Box::new(hard::Hard::new(network)),
            Self::Soft(settings) => Box::new(soft::Soft::new(network, *settings)),
            Self::CrossStitch(settings) => Box::new(cross_stitch::CrossStitch::new(network, *settings)),
            Self::Mmoe(_) => Box::new(mmoe::Mmoe::new(network)),
            Self::Cgc(settings) => Box::new(cgc::Cgc::new(network, *settings)),
        }
    }
}

/// The layers of a head, with their places.
fn layers_of(network: &NetworkSpec, head: usize) -> impl Iterator<Item = PlacedLayer> + '_ {
    network.layers().filter(move |layer| layer.place == Place::Head(head))
}

/// The parameters of the backbone.
fn backbone(network: &NetworkSpec) -> Range<usize> {
    let head = network.layers().find(|layer| layer.place != Place::Backbone);
    0..head.map_or(0, |layer| layer.offset)
}
