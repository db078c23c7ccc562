//! A network, layer by layer, as the kernels take it: what each layer reads, and who is the first to put a gradient where.

use sinew_models::layout::{Place, PlacedLayer};
use sinew_models::spec::{Activation, Layer, Loss, NetworkSpec};
use sinew_runtime::kernel::activation::{is_curved, needs_input};

use super::store::Pieces;
use crate::cuda::Address;
use crate::cuda::convolve::Convolve;
use crate::cuda::mixture::Mixture;
use crate::cuda::norm::Norm;
use crate::cuda::window::Geometry;

/// What a layer computes.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    /// A convolution, or a dense layer.
    Convolve(Convolve),
    /// A pool, of maxima or of means.
    Pool {
        geometry: Geometry,
        max: bool,
    },
    Norm(Norm),
    Residual,
    /// Pixels and channels.
    Flatten([usize; 2]),
    /// Inputs, and values that are added.
    Context([usize; 2]),
    Mixture(Mixture),
}

/// One layer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Planned {
    pub layer: PlacedLayer,
    pub kind: Kind,
    /// The layer whose output it takes; `None` for the input of the network.
    pub source: Option<usize>,
    /// The other one that a residual takes.
    pub skip: Option<Option<usize>>,
    /// Whether it is the first, on the way back, to put a gradient at its source, so that those after it add.
    pub first_at_source: bool,
    pub first_at_skip: bool,
}

impl Planned {
    pub fn activation(&self) -> Activation {
        self.layer.activation()
    }
    pub fn outputs(&self) -> usize {
        self.layer.outputs()
    }
    /// Whether the slope bends, so that gradients before and behind it are both kept.
    pub fn curved(&self) -> bool {
        is_curved(self.activation())
    }
    /// Whether the slope is told from the sum.
    pub fn deep(&self) -> bool {
        needs_input(self.activation())
    }
}

/// One head.
#[derive(Clone, Copy, Debug)]
pub(super) struct PlannedHead {
    pub first: usize,
    pub last: usize,
    pub loss: Loss,
    pub weight: f32,
    pub column: usize,
    pub outputs: usize,
}

/// A network.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub layers: Vec<Planned>,
    pub heads: Vec<PlannedHead>,
    /// Layers of the backbone.
    pub backbone: usize,
    pub input_len: usize,
    pub output_len: usize,
    pub param_len: usize,
}

impl Plan {
    /// That of a checked network.
    pub fn new(spec: &NetworkSpec) -> Self {
        let backbone = spec.backbone.len();
        let source = |place: Place, index: usize, within: usize| match place {
            Place::Head(_) if within == 0 => backbone.checked_sub(1),
            _ => index.checked_sub(1),
        };
        let plan = |(index, layer): (usize, PlacedLayer)| Planned {
            layer,
            kind: kind_of(&layer),
            source: source(layer.place, index, layer.index),
            skip: match layer.layer {
                // What a layer took in is the output of its source.
                Layer::Residual { layers: around, .. } => {
                    Some(source(layer.place, index.saturating_sub(around), layer.index.saturating_sub(around)))
                }
                _ => None,
            },
            first_at_source: false,
            first_at_skip: false,
        };
        let layers = spec.layers().enumerate().map(plan).collect();
        let mut heads = Vec::new();
        let (mut first, mut column) = (backbone, 0);
        for head in &spec.heads {
            let (loss, weight, outputs) = (head.loss, head.weight, head.outputs());
            heads.push(PlannedHead { first, last: first + head.layers.len() - 1, loss, weight, column, outputs });
            first += head.layers.len();
            column += outputs;
        }
        let mut plan = Self {
            layers,
            heads,
            backbone,
            input_len: spec.input.presented_len(),
            output_len: spec.output_len(),
            param_len: spec.param_len(),
        };
        plan.find_first();
        plan
    }

    /// The layers in the order of the way back.
    pub fn way_back(&self) -> impl Iterator<Item = usize> + use<> {
        let heads: Vec<_> = self.heads.iter().map(|head| head.first..=head.last).collect();
        heads.into_iter().flat_map(Iterator::rev).chain((0..self.backbone).rev())
    }

    fn find_first(&mut self) {
        let mut reached = vec![false; self.layers.len()];
        let mut reach = |layer: Option<usize>| layer.is_some_and(|layer| !std::mem::replace(&mut reached[layer], true));
        for index in self.way_back() {
            let planned = &mut self.layers[index];
            planned.first_at_source = reach(planned.source);
            if let Some(skip) = planned.skip {
                planned.first_at_skip = reach(skip);
            }
        }
    }

    /// At which layers' outputs a gradient is needed where it is wanted by the parameters of some: there, and behind them.
    pub fn needed(&self, wanted: impl Fn(usize) -> bool) -> Vec<bool> {
        let mut needed: Vec<bool> = Vec::with_capacity(self.layers.len());
        for (index, planned) in self.layers.iter().enumerate() {
            let before = [planned.source, planned.skip.flatten()].into_iter().flatten().any(|source| needed[source]);
            needed.push(before || (planned.layer.param_len() > 0 && wanted(index)));
        }
        needed
    }

    /// The most values that a row has at any layer, what goes in and comes out among them.
    pub fn widest(&self) -> usize {
        let layers = self.layers.iter().map(|planned| planned.outputs());
        layers.chain([self.input_len, self.output_len]).max().unwrap_or(0)
    }

    /// Values in one row of the features that the heads see.
    pub fn feature_len(&self) -> usize {
        self.backbone.checked_sub(1).map_or(self.input_len, |last| self.layers[last].outputs())
    }
}

fn kind_of(layer: &PlacedLayer) -> Kind {
    let geometry = Geometry::of(layer);
    match layer.layer {
        Layer::Dense { .. } | Layer::Convolution { .. } => Kind::Convolve(Convolve { geometry, depthwise: false }),
        Layer::Depthwise { .. } => Kind::Convolve(Convolve { geometry, depthwise: true }),
        Layer::MaxPool { .. } => Kind::Pool { geometry, max: true },
        Layer::AveragePool { .. } | Layer::GlobalAveragePool => Kind::Pool { geometry, max: false },
        Layer::LayerNorm { .. } => Kind::Norm(Norm { len: layer.inputs(), channels: layer.input.channels }),
        Layer::Residual { .. } => Kind::Residual,
        Layer::Flatten => Kind::Flatten([layer.input.height * layer.input.width, layer.input.channels]),
        Layer::Context { len } => Kind::Context([layer.inputs(), len]),
        Layer::Mixture { experts, gates, first, outputs, activation } => {
            // Of a checked network it takes what comes to it.
            let units = layer.layer.units_of_expert(layer.input).unwrap_or(0);
            Kind::Mixture(Mixture { experts, gates, first, outputs, units, activation })
        }
    }
}

/// Where one layer's values lie in a trace.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Places {
    /// The output, and the sum before it where the slope is told from it.
    pub a: Address,
    pub z: Address,
    /// The gradient at the sum, and at the output: in one place where the activation is not curved.
    pub dz: Address,
    pub da: Address,
}

impl Places {
    /// What the slope is told from.
    pub fn known(&self, planned: &Planned) -> Address {
        if planned.deep() { self.z } else { self.a }
    }
}

/// Where the derivatives of one layer's values along a direction lie.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tangents {
    /// Of the output, and of the sum: in one place where the activation is not curved.
    pub ra: Address,
    pub rz: Address,
    /// Of the gradient at the output, and then at the sum.
    pub rd: Address,
}

/// Values of each layer, and their place behind an address.
#[derive(Clone, Debug)]
pub(super) struct Trace(pub Vec<Places>);

/// Their derivatives.
#[derive(Clone, Debug)]
pub(super) struct TangentTrace(pub Vec<Tangents>);

impl Plan {
    /// The trace of so many rows among the pieces that begin at `base`; the gradients too, where they are `wanted`.
    pub fn trace(&self, rows: usize, wanted: bool, base: Address, pieces: &mut Pieces) -> Trace {
        let place = |planned: &Planned| {
            let words = planned.outputs() * rows;
            let mut next = |there: bool| if there { base.plus(pieces.next(words)) } else { Address::NONE };
            let (a, z, dz) = (next(true), next(planned.deep()), next(wanted));
            let da = if planned.curved() { next(wanted) } else { dz };
            Places { a, z, dz, da }
        };
        Trace(self.layers.iter().map(place).collect())
    }

    /// The same for derivatives along a direction.
    pub fn tangents(&self, rows: usize, base: Address, pieces: &mut Pieces) -> TangentTrace {
        let place = |planned: &Planned| {
            let mut next = || base.plus(pieces.next(planned.outputs() * rows));
            let (ra, rd) = (next(), next());
            Tangents { ra, rz: if planned.curved() { next() } else { ra }, rd }
        };
        TangentTrace(self.layers.iter().map(place).collect())
    }
}
