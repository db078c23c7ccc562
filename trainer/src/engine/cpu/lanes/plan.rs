//! A dense network, with every offset worked out for several tasks at once.

use sinew_models::layout::Place;
use sinew_models::spec::{Activation, Layer, Loss, NetworkSpec};
use sinew_runtime::kernel::activation::{is_curved, needs_input};
use sinew_runtime::kernel::dense::Size;
use sinew_runtime::kernel::lanes;
use sinew_runtime::{Network, Path};

use crate::engine::InnerLoop;
use crate::engine::cpu::arena::Lengths;

/// One dense layer, and where its values lie in each trace, in numbers per row.
#[derive(Clone, Copy, Debug)]
pub(in super::super) struct Planned {
    pub inputs: usize,
    pub outputs: usize,
    /// Its parameters: weight, then bias.
    pub weight: usize,
    pub bias: usize,
    pub activation: Activation,
    /// The layer whose output it takes; `None` for the input of the network.
    pub source: Option<usize>,
    /// Whether it is the first, on the way back, to put a gradient at its source.
    pub first_at_source: bool,
    /// Its head's loss, if it is the last of a head.
    pub end: Option<Head>,
    /// Output, in the forward trace; the sum behind it if the slope needs it.
    pub a: usize,
    /// Gradient at the sum, in the backward trace; the gradient at the output behind it if the activation is curved.
    pub dz: usize,
    /// Derivative of the output, in the tangent trace; that of the sum behind it if curved; then that of the gradient at the sum.
    pub ra: usize,
    pub rdz: usize,
}

#[derive(Clone, Copy, Debug)]
pub(in super::super) struct Head {
    pub loss: Loss,
    pub weight: f32,
    pub column: usize,
}

/// A dense network, planned for several tasks at once.
#[derive(Debug)]
pub(in super::super) struct LaneNetwork {
    pub path: Path,
    pub layers: Vec<Planned>,
    /// The order of the way back.
    pub way_back: Vec<usize>,
    pub input_len: usize,
    pub output_len: usize,
    pub param_len: usize,
    pub forward_len: usize,
    pub backward_len: usize,
    pub tangent_len: usize,
}

impl LaneNetwork {
    /// `None` for a network with layers that are not dense.
    pub fn new(spec: &NetworkSpec, path: Path) -> Option<Self> {
        let mut network = Self {
            path,
            layers: Vec::new(),
            way_back: Vec::new(),
            input_len: spec.input.presented_len(),
            output_len: spec.output_len(),
            param_len: spec.param_len(),
            forward_len: 0,
            backward_len: 0,
            tangent_len: 0,
        };
        let mut column = 0;
        for (index, layer) in spec.layers().enumerate() {
            let Layer::Dense { outputs, activation } = layer.layer else { return None };
            let source = match layer.place {
                Place::Head(_) if layer.index == 0 => spec.backbone.len().checked_sub(1),
                Place::Backbone | Place::Head(_) => index.checked_sub(1),
            };
            let end = match layer.place {
                Place::Head(number) if layer.index + 1 == spec.heads[number].layers.len() => {
                    let head = &spec.heads[number];
                    column += outputs;
                    Some(Head { loss: head.loss, weight: head.weight, column: column - outputs })
                }
                Place::Backbone | Place::Head(_) => None,
            };
            let (curved, deep) = (usize::from(is_curved(activation)), usize::from(needs_input(activation)));
            let (a, dz, ra) = (network.forward_len, network.backward_len, network.tangent_len);
            network.forward_len += outputs * (1 + deep);
            network.backward_len += outputs * (1 + curved);
            network.tangent_len += outputs * (2 + curved);
            network.layers.push(Planned {
                inputs: layer.inputs(),
                outputs,
                weight: layer.offset,
                bias: layer.offset + layer.weight_len(),
                activation,
                source,
                first_at_source: false,
                end,
                a,
                dz,
                ra,
                rdz: ra + outputs * (1 + curved),
            });
        }
        let backbone = spec.backbone.len();
        let mut first = backbone;
        for head in &spec.heads {
            network.way_back.extend((first..first + head.layers.len()).rev());
            first += head.layers.len();
        }
        network.way_back.extend((0..backbone).rev());
        let mut reached = vec![false; network.layers.len()];
        for layer in &network.way_back {
            let planned = &mut network.layers[*layer];
            if let Some(source) = planned.source {
                planned.first_at_source = !std::mem::replace(&mut reached[source], true);
            }
        }
        Some(network)
    }

    /// Tasks side by side.
    pub const fn lanes(&self) -> usize {
        lanes::lanes(self.path)
    }

    /// Values that each number of so many rows takes.
    pub const fn wide(&self, rows: usize) -> usize {
        rows.div_ceil(lanes::rows(self.path)) * lanes::width(self.path)
    }

    /// What tasks with so many support and query rows need.
    pub fn lengths(&self, network: &Network, inner: &InnerLoop, rows: [usize; 2]) -> Lengths {
        let lanes = self.lanes();
        let params = self.param_len * lanes;
        let second_order = !inner.first_order && inner.steps > 0;
        let widest = rows[0].max(rows[1]) * self.output_len;
        Lengths {
            params,
            forward: rows.map(|rows| self.forward_len * self.wide(rows)),
            backward: rows.map(|rows| self.backward_len * self.wide(rows)),
            gradient: if inner.keeps_gradients(network) { params } else { 0 },
            tangent: if second_order { self.tangent_len * self.wide(rows[0]) } else { 0 },
            panel: 0,
            direction: if second_order && !super::one_rate(network, inner) { params } else { 0 },
            outputs: 2 * widest,
            laid_out: rows.map(|rows| (self.input_len + self.output_len) * self.wide(rows)),
            front: [0; 3],
        }
    }
}

impl Planned {
    pub fn size(&self, rows: usize) -> Size {
        Size { rows, inputs: self.inputs, outputs: self.outputs }
    }
    pub fn weight_len(&self) -> usize {
        self.inputs * self.outputs
    }
    pub fn curved(&self) -> bool {
        is_curved(self.activation)
    }
    pub fn rectified(&self) -> bool {
        self.activation == Activation::Relu
    }
    /// What the slope is told from: the output, or the sum.
    pub fn known<'t>(&self, forward: &'t [f32], wide: usize) -> &'t [f32] {
        let len = self.outputs * wide;
        let behind = if needs_input(self.activation) { len } else { 0 };
        &forward[self.a * wide + behind..][..len]
    }
    pub fn output<'t>(&self, forward: &'t [f32], wide: usize) -> &'t [f32] {
        &forward[self.a * wide..][..self.outputs * wide]
    }
    /// Its parameters among those of all layers.
    pub fn cut<'p>(&self, params: &'p [f32], lanes: usize) -> (&'p [f32], &'p [f32]) {
        params[self.weight * lanes..self.bias * lanes + self.outputs * lanes].split_at(self.weight_len() * lanes)
    }
    pub fn cut_mut<'p>(&self, params: &'p mut [f32], lanes: usize) -> (&'p mut [f32], &'p mut [f32]) {
        params[self.weight * lanes..self.bias * lanes + self.outputs * lanes].split_at_mut(self.weight_len() * lanes)
    }
    /// Where the gradient at its output is gathered: behind that at the sum if curved, else in its place.
    pub fn gradient_at_output(&self, wide: usize) -> std::ops::Range<usize> {
        let len = self.outputs * wide;
        let from = self.dz * wide + if self.curved() { len } else { 0 };
        from..from + len
    }
}
