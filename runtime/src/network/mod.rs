//! A network on borrowed memory: forward, loss, gradient, and Hessian-vector product.
//!
//! A [`Network`] is a [`NetworkSpec`] with every offset worked out once. It owns no parameters and no memory. What a pass leaves
//! behind for the next one lies in a *trace*, a slice of the caller:
//!
//! | trace | holds, for each layer `[rows, units]` | written by | read by |
//! |---|---|---|---|
//! | forward | output, and the sum before it where the slope needs it | [`Network::forward`] | everything after |
//! | backward | gradient at the sum, and at the output where the activation is curved | [`Network::gradient`] | [`Network::hessian_vector`] |
//! | tangent | the derivatives of both along a direction | [`Network::hessian_vector`] | |
//!
//! Rows are presented inputs, `[rows, presented]`; targets are `[rows, outputs]`, heads side by side.

mod backward;
mod forward;
mod tangent;

use heapless::Vec;
use sinew_models::layout::{Place, PlacedLayer};
use sinew_models::rule::Scope;
use sinew_models::spec::{Activation, Loss, MAX_HEADS, MAX_LAYERS, NetworkSpec, SpecError};

pub use backward::Destination;

use crate::kernel::activation::{is_curved, needs_input};
use crate::kernel::dense::{Size, panel_len};
use crate::kernel::{Path, loss::Targets};

/// A set of layers, counted through backbone and heads as in [`NetworkSpec::layers`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LayerSet(u32);

impl LayerSet {
    /// All layers.
    pub const ALL: Self = Self(u32::MAX);

    /// Whether it has this layer.
    pub const fn has(self, layer: usize) -> bool {
        self.0 >> layer & 1 == 1
    }
}

/// One layer, and where its values lie in each trace, in values per row.
#[derive(Clone, Copy, Debug)]
struct Planned {
    layer: PlacedLayer,
    /// The layer whose output it takes; `None` for the input of the network.
    source: Option<usize>,
    /// Output, in the forward trace; the sum behind it if the slope needs it.
    a: usize,
    /// Gradient at the sum, in the backward trace; the gradient at the output behind it if the activation is curved.
    dz: usize,
    /// Derivative of the output, in the tangent trace; that of the sum behind it if curved.
    ra: usize,
    /// Derivative of the gradient at the sum, in the tangent trace.
    rdz: usize,
}

impl Planned {
    fn curved(&self) -> bool {
        is_curved(self.layer.activation)
    }
    /// Whether the product itself cuts at 0, forward and backward.
    fn rectified(&self) -> bool {
        self.layer.activation == Activation::Relu
    }
    fn size(&self, rows: usize) -> Size {
        Size { rows, inputs: self.layer.inputs, outputs: self.layer.outputs }
    }
    fn weight<'p>(&self, params: &'p [f32]) -> &'p [f32] {
        &params[self.layer.offset..][..self.layer.weight_len()]
    }
    fn bias<'p>(&self, params: &'p [f32]) -> &'p [f32] {
        &params[self.layer.offset + self.layer.weight_len()..][..self.layer.outputs]
    }
    fn weight_and_bias_mut<'p>(&self, params: &'p mut [f32]) -> (&'p mut [f32], &'p mut [f32]) {
        params[self.layer.offset..][..self.layer.param_len()].split_at_mut(self.layer.weight_len())
    }
    /// The output in the forward trace.
    fn output<'t>(&self, forward: &'t [f32], rows: usize) -> &'t [f32] {
        &forward[self.a * rows..][..self.layer.outputs * rows]
    }
    /// What the slope is told from: the output, or the sum.
    fn known<'t>(&self, forward: &'t [f32], rows: usize) -> &'t [f32] {
        let len = self.layer.outputs * rows;
        let behind = if needs_input(self.layer.activation) { len } else { 0 };
        &forward[self.a * rows + behind..][..len]
    }
}

/// One head.
#[derive(Clone, Copy, Debug)]
struct PlannedHead {
    /// Its layers are `first..=last`.
    first: usize,
    last: usize,
    loss: Loss,
    weight: f32,
    /// Its first output among all outputs.
    column: usize,
    outputs: usize,
}

/// A network, ready to run.
#[derive(Clone, Debug)]
pub struct Network {
    path: Path,
    layers: Vec<Planned, MAX_LAYERS>,
    heads: Vec<PlannedHead, MAX_HEADS>,
    /// Layers of the backbone.
    backbone: usize,
    input_len: usize,
    output_len: usize,
    param_len: usize,
    forward_len: usize,
    backward_len: usize,
    tangent_len: usize,
    panel_len: usize,
}

impl Network {
    /// Works out every offset of `spec`, to run on `path`.
    ///
    /// # Errors
    /// As [`NetworkSpec::check`].
    // A network is large: inlined, it would lie on the stack of the control loop.
    #[inline(never)]
    pub fn new(spec: &NetworkSpec, path: Path) -> Result<Self, SpecError> {
        spec.check()?;
        let mut network = Self {
            path,
            layers: Vec::new(),
            heads: Vec::new(),
            backbone: spec.backbone.len(),
            input_len: spec.input.presented_len(),
            output_len: spec.output_len(),
            param_len: spec.param_len(),
            forward_len: 0,
            backward_len: 0,
            tangent_len: 0,
            panel_len: 0,
        };
        for (index, layer) in spec.layers().enumerate() {
            let source = match layer.place {
                Place::Backbone => index.checked_sub(1),
                Place::Head(_) if layer.index == 0 => network.backbone.checked_sub(1),
                Place::Head(_) => index.checked_sub(1),
            };
            let (curved, deep) = (usize::from(is_curved(layer.activation)), usize::from(needs_input(layer.activation)));
            let planned = Planned {
                layer,
                source,
                a: network.forward_len,
                dz: network.backward_len,
                ra: network.tangent_len,
                rdz: network.tangent_len + layer.outputs * (1 + curved),
            };
            network.forward_len += layer.outputs * (1 + deep);
            network.backward_len += layer.outputs * (1 + curved);
            network.tangent_len += layer.outputs * (2 + curved);
            network.panel_len = network.panel_len.max(2 * panel_len(path, layer.inputs));
            network.layers.push(planned).map_err(|_| SpecError::TooMany)?;
        }
        let (mut first, mut column) = (network.backbone, 0);
        for head in &spec.heads {
            let planned = PlannedHead {
                first,
                last: first + head.layers.len() - 1,
                loss: head.loss,
                weight: head.weight,
                column,
                outputs: head.outputs(),
            };
            first += head.layers.len();
            column += head.outputs();
            network.heads.push(planned).map_err(|_| SpecError::TooMany)?;
        }
        Ok(network)
    }

    /// The path that it runs on.
    pub const fn path(&self) -> Path {
        self.path
    }
    /// Values in one presented input row.
    pub const fn input_len(&self) -> usize {
        self.input_len
    }
    /// Values in one output row.
    pub const fn output_len(&self) -> usize {
        self.output_len
    }
    /// Values in the flat parameter vector.
    pub const fn param_len(&self) -> usize {
        self.param_len
    }
    /// Values of a forward trace of `rows` rows.
    pub const fn forward_len(&self, rows: usize) -> usize {
        self.forward_len * rows
    }
    /// Values of a backward trace of `rows` rows.
    pub const fn backward_len(&self, rows: usize) -> usize {
        self.backward_len * rows
    }
    /// Values of a tangent trace of `rows` rows.
    pub const fn tangent_len(&self, rows: usize) -> usize {
        self.tangent_len * rows
    }
    /// Values of the panel, the scratch in which weights are turned; 0 on the scalar path.
    pub const fn panel_len(&self) -> usize {
        self.panel_len
    }
    /// Layers, heads included.
    pub fn layer_count(&self) -> usize {
        self.layers.len()
    }

    /// Where the parameters of `layer` lie in the flat vector.
    pub fn params_of(&self, layer: usize) -> core::ops::Range<usize> {
        self.layers
            .get(layer)
            .map_or(0..0, |planned| planned.layer.offset..planned.layer.offset + planned.layer.param_len())
    }

    /// The layers that `scope` adapts.
    pub fn adapted(&self, scope: &Scope) -> LayerSet {
        let layers = self.layers.iter().enumerate();
        LayerSet(
            layers
                .filter(|(index, planned)| scope.includes(*index, &planned.layer))
                .fold(0, |set, (index, _)| set | 1 << index),
        )
    }

    /// Whether all layers of `set` are in heads, so that the features of the backbone stay as they are.
    pub fn only_heads(&self, set: LayerSet) -> bool {
        (0..self.backbone).all(|layer| !set.has(layer))
    }

    /// Writes the outputs that a forward trace holds to `outputs`, `[rows, outputs]`, heads side by side.
    pub fn outputs(&self, forward: &[f32], rows: usize, outputs: &mut [f32]) {
        for head in &self.heads {
            let a = self.layers[head.last].output(forward, rows);
            for (from, to) in a.chunks_exact(head.outputs).zip(outputs.chunks_exact_mut(self.output_len)) {
                to[head.column..][..head.outputs].copy_from_slice(from);
            }
        }
    }

    /// Turns outputs into predictions in place: probabilities for classes, values as they are. `[rows, outputs]`.
    pub fn predict(&self, outputs: &mut [f32]) {
        for row in outputs.chunks_exact_mut(self.output_len) {
            for head in &self.heads {
                crate::kernel::loss::predict(head.loss, &mut row[head.column..][..head.outputs]);
            }
        }
    }

    /// Whether a head, the one with output column `column`, has classes for targets.
    pub fn is_classification(&self, column: usize) -> bool {
        self.heads
            .iter()
            .any(|head| (head.column..head.column + head.outputs).contains(&column) && head.loss.is_classification())
    }

    fn targets<'t>(&self, head: &PlannedHead, targets: &'t [f32]) -> Targets<'t> {
        Targets { y: &targets[head.column.min(targets.len())..], row: self.output_len }
    }
}
