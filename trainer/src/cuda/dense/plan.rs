//! A dense network as the kernel sees it: its layers, and where everything of them lies.

use sinew_models::layout::Place;
use sinew_models::rule::Rate;
use sinew_models::spec::{Activation, Layer, Loss, NetworkSpec};
use sinew_runtime::network::LayerSet;

use crate::engine::InnerLoop;

/// Words of the table for a layer, as in `dense.cu`.
const LAYER: usize = 12;
/// Words of the table for a head.
const HEAD: usize = 8;
/// Words of the maps of a layer: for each of three products one for each lane, and eight for all.
const MAPS: usize = 3 * 40;
/// No layer.
const NONE: u32 = u32::MAX;

/// A number, to the next multiple of 4.
pub(super) const fn padded(count: u32) -> u32 {
    count.next_multiple_of(4)
}

/// Words of a panel: four rows of so many values, 16 of each side by side, and 16 words that put the next panel into other banks.
const fn panel(values: u32) -> u32 {
    64 * values.div_ceil(16) + 16
}

/// One layer.
#[derive(Clone, Debug)]
pub(super) struct PlannedLayer {
    inputs: u32,
    outputs: u32,
    activation: Activation,
    source: Option<usize>,
    /// In the flat vector, and in the padded one: the panels of W, then the bias.
    offset: u32,
    padded: u32,
    /// Words before its output, and before what SiLU needs besides, in the trace of four rows.
    a: u32,
    deep: u32,
    place: Place,
    /// Whether it is the first of its head or of the backbone.
    first: bool,
}

/// One head.
#[derive(Clone, Debug)]
pub(super) struct PlannedHead {
    layers: std::ops::Range<usize>,
    loss: Loss,
    weight: f32,
    column: u32,
    outputs: u32,
}

/// A network of dense layers.
#[derive(Clone, Debug)]
pub struct Plan {
    pub(super) layers: Vec<PlannedLayer>,
    pub(super) heads: Vec<PlannedHead>,
    pub(super) inputs: u32,
    pub(super) outputs: u32,
    pub(super) params: u32,
    /// Words of the padded parameters.
    pub(super) padded: u32,
    /// Words of a panel of inputs.
    pub(super) input_width: u32,
    /// Words of the panels of four rows of the trace, and without what SiLU needs besides.
    pub(super) width: u32,
    pub(super) narrow: u32,
}

/// Sets of layers, as bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sets {
    pub adapted: u32,
    /// Those whose outputs change when parameters of adapted layers do.
    pub live: u32,
    /// Those whose gradients do: the backbone, and the heads that are live.
    pub moving: u32,
    /// The first head that is live.
    pub first_head: u32,
}

impl Plan {
    /// Of a checked network; `None` where it has layers that are not dense.
    pub fn new(spec: &NetworkSpec) -> Option<Self> {
        let backbone = spec.backbone.len();
        let mut plan = Self {
            layers: Vec::new(),
            heads: Vec::new(),
            inputs: spec.input.presented_len() as u32,
            outputs: spec.output_len() as u32,
            params: spec.param_len() as u32,
            padded: 0,
            input_width: panel(spec.input.presented_len() as u32),
            width: 0,
            narrow: 0,
        };
        for (number, placed) in spec.layers().enumerate() {
            let Layer::Dense { outputs, activation } = placed.layer else { return None };
            let (inputs, outputs) = (placed.inputs() as u32, outputs as u32);
            let before = match placed.place {
                Place::Head(_) if placed.index == 0 => backbone,
                _ => number,
            };
            plan.layers.push(PlannedLayer {
                inputs,
                outputs,
                activation,
                source: before.checked_sub(1),
                offset: placed.offset as u32,
                padded: plan.padded,
                a: plan.narrow,
                deep: 0,
                place: placed.place,
                first: placed.index == 0,
            });
            plan.padded += outputs.div_ceil(4) * (panel(inputs) + 4);
            plan.narrow += panel(outputs);
        }
        plan.width = plan.narrow;
        for layer in plan.layers.iter_mut().filter(|layer| layer.activation == Activation::Silu) {
            layer.deep = plan.width;
            plan.width += panel(layer.outputs);
        }
        let (mut first, mut column) = (backbone, 0);
        for head in &spec.heads {
            let layers = first..first + head.layers.len();
            let outputs = head.outputs() as u32;
            first = layers.end;
            plan.heads.push(PlannedHead { layers, loss: head.loss, weight: head.weight, column, outputs });
            column += outputs;
        }
        Some(plan)
    }

    /// The words that the kernel reads at [`super::Addresses::table`].
    pub fn table(&self) -> Vec<u32> {
        let mut words = Vec::with_capacity(self.table_words() as usize);
        for (layer, back) in self.layers.iter().zip(self.way_back()) {
            let head = match layer.place {
                Place::Head(head) if layer.first => head as u32 + 1,
                _ => 0,
            };
            let activation = match layer.activation {
                Activation::Identity => 0,
                Activation::Relu => 1,
                Activation::Tanh => 2,
                Activation::Silu => 3,
                Activation::Sigmoid => 4,
            };
            let source = layer.source.map_or(NONE, |source| source as u32);
            words.extend([layer.inputs, layer.outputs, activation, source, layer.offset, layer.padded]);
            words.extend([panel(layer.inputs), panel(layer.outputs), layer.a, layer.deep, head, back as u32]);
        }
        for head in &self.heads {
            let (loss, delta) = match head.loss {
                Loss::MeanSquared => (0, 0.0),
                Loss::Huber { delta } => (1, delta),
                Loss::BinaryCrossEntropy => (2, 0.0),
                Loss::CrossEntropy => (3, 0.0),
            };
            let last = head.layers.end as u32 - 1;
            words.extend([loss, last, head.column, head.outputs, delta.to_bits(), head.weight.to_bits(), 0, 0]);
        }
        words
    }

    /// Layers in the order in which gradients reach them: head after head, then the backbone, each from its end.
    fn way_back(&self) -> impl Iterator<Item = usize> + '_ {
        let backbone = self.heads.first().map_or(self.layers.len(), |head| head.layers.start);
        self.heads.iter().flat_map(|head| head.layers.clone().rev()).chain((0..backbone).rev())
    }

    /// How many inner rates there are.
    pub(super) fn rates(&self, inner: &InnerLoop) -> u32 {
        match inner.rate {
            Rate::Constant => 1,
            Rate::PerLayerStep => (inner.steps * self.layers.len()) as u32,
            Rate::PerParameter => self.params,
        }
    }

    pub(super) fn sets(&self, adapted: LayerSet) -> Sets {
        let (mut own, mut live) = (0, 0);
        for (number, layer) in self.layers.iter().enumerate() {
            let below = layer.source.is_some_and(|source| live >> source & 1 == 1);
            own |= u32::from(adapted.has(number)) << number;
            live |= u32::from(adapted.has(number) || below) << number;
        }
        let moves = |head: &&PlannedHead| live >> (head.layers.end - 1) & 1 == 1;
        let mut moving =
            self.heads.iter().filter(moves).flat_map(|head| head.layers.clone()).fold(0, |set, at| set | 1 << at);
        if live != 0 {
            let backbone = self.layers.iter().take_while(|layer| layer.place == Place::Backbone).count();
            moving |= (1_u32 << backbone) - 1;
        }
        let first_head = self.heads.iter().position(|head| moves(&head)).unwrap_or(0) as u32;
        Sets { adapted: own, live, moving, first_head }
    }

    /// Words of the table.
    pub(super) fn table_words(&self) -> u32 {
        (self.layers.len() * LAYER + self.heads.len() * HEAD) as u32
    }

    /// Words of the maps: what each lane does in each product.
    pub(super) fn map_words(&self) -> u32 {
        (self.layers.len() * MAPS) as u32
    }

    /// Words of shared memory before the arena: table, maps, and 32 for sums.
    pub(super) fn head_words(&self) -> u32 {
        padded(self.table_words() + self.map_words() + 32)
    }
}
