//! The one place that knows what kinds of layers there are: each pass asks a layer here for its share.

use sinew_models::layout::PlacedLayer;
use sinew_models::spec::{Activation, Layer};

use crate::kernel::Path;
use crate::kernel::activation::{is_curved, needs_input};
use crate::kernel::dense::{self, Size, Update, panel_len};
#[cfg(feature = "layers")]
use crate::kernel::{
    arrange,
    conv::{self, Conv},
    mixture::{self, Mixture},
    norm,
    pool::{self, Pool},
};
use crate::part::{part, part_mut};

/// What a layer computes, with its geometry worked out.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    Dense,
    #[cfg(feature = "layers")]
    Convolution(Conv),
    #[cfg(feature = "layers")]
    MaxPool(Pool),
    #[cfg(feature = "layers")]
    AveragePool(Pool),
    #[cfg(feature = "layers")]
    GlobalAveragePool,
    #[cfg(feature = "layers")]
    LayerNorm,
    #[cfg(feature = "layers")]
    Residual,
    #[cfg(feature = "layers")]
    Flatten,
    #[cfg(feature = "layers")]
    Context,
    #[cfg(feature = "layers")]
    Mixture(Mixture),
}

impl Kind {
    /// `None` for a layer that this build leaves out, or that does not take such an input.
    pub(super) fn of(layer: &PlacedLayer) -> Option<Self> {
        match layer.layer {
            Layer::Dense { .. } => Some(Self::Dense),
            #[cfg(not(feature = "layers"))]
            #[allow(unreachable_patterns, reason = "unless another crate asks for more of `sinew-models`")]
            _ => None,
            #[cfg(feature = "layers")]
            Layer::Convolution { outputs, window, .. } => {
                Conv::new(layer.input, outputs, window).map(Self::Convolution)
            }
            #[cfg(feature = "layers")]
            Layer::Depthwise { window, .. } => Conv::depthwise(layer.input, window).map(Self::Convolution),
            #[cfg(feature = "layers")]
            Layer::MaxPool { window } => Pool::new(layer.input, window).map(Self::MaxPool),
            #[cfg(feature = "layers")]
            Layer::AveragePool { window } => Pool::new(layer.input, window).map(Self::AveragePool),
            #[cfg(feature = "layers")]
            Layer::GlobalAveragePool => Some(Self::GlobalAveragePool),
            #[cfg(feature = "layers")]
            Layer::LayerNorm { .. } => Some(Self::LayerNorm),
            #[cfg(feature = "layers")]
            Layer::Residual { .. } => Some(Self::Residual),
            #[cfg(feature = "layers")]
            Layer::Flatten => Some(Self::Flatten),
            #[cfg(feature = "layers")]
            Layer::Context { .. } => Some(Self::Context),
            #[cfg(feature = "layers")]
            Layer::Mixture { .. } => Mixture::new(layer).map(Self::Mixture),
        }
    }

    /// Whether its kernel cuts its sum at 0 itself, if it is rectified.
    pub(super) fn cuts(&self) -> bool {
        match self {
            Self::Dense => true,
            #[cfg(feature = "layers")]
            Self::Convolution(_) => true,
            #[cfg(feature = "layers")]
            _ => false,
        }
    }

    /// Whether it cuts the gradient at its source where the source is rectified.
    pub(super) fn cuts_source(&self) -> bool {
        #[cfg(feature = "layers")]
        if matches!(self, Self::MaxPool(_)) {
            return true;
        }
        self.cuts()
    }
}

/// One layer, and where its values lie in each trace, in values per row.
#[derive(Clone, Copy, Debug)]
pub(super) struct Planned {
    pub layer: PlacedLayer,
    pub kind: Kind,
    /// What `layer` says, asked once: its answers depend on its kind. With dense layers alone they take no longer than this.
    #[cfg(feature = "layers")]
    pub known: Known,
    /// The layer whose output it takes; `None` for the input of the network.
    pub source: Option<usize>,
    /// The other layer whose output a residual takes.
    #[cfg(feature = "layers")]
    pub skip: Option<Option<usize>>,
    /// Whether the gradient at its output, if it is rectified, was cut at 0 by all who made it.
    pub cut: bool,
    /// Whether it is the first, on the way back, to put a gradient at its source, so that those after it add.
    pub first_at_source: bool,
    #[cfg(feature = "layers")]
    pub first_at_skip: bool,
    /// Output, in the forward trace; the sum behind it if the slope needs it.
    pub a: usize,
    /// Gradient at the sum, in the backward trace; the gradient at the output behind it if the activation is curved.
    pub dz: usize,
    /// Derivative of the output, in the tangent trace; that of the sum behind it if curved.
    pub ra: usize,
    /// Derivative of the gradient at the sum, in the tangent trace.
    pub rdz: usize,
}

/// What is asked of a layer in every pass.
#[cfg(feature = "layers")]
#[derive(Clone, Copy, Debug)]
pub(super) struct Known {
    activation: Activation,
    weight_len: usize,
    param_len: usize,
}

#[cfg(feature = "layers")]
impl Known {
    pub(super) fn of(layer: &PlacedLayer) -> Self {
        Self { activation: layer.activation(), weight_len: layer.weight_len(), param_len: layer.param_len() }
    }
}

/// A layer's input and, for a residual, what it adds to it.
#[derive(Clone, Copy)]
pub(super) struct Inputs<'a> {
    pub x: &'a [f32],
    #[cfg(feature = "layers")]
    pub skip: &'a [f32],
}

/// Their derivatives; `None` where they do not depend on the parameters.
#[derive(Clone, Copy)]
pub(super) struct Tangents<'a> {
    pub x: Option<&'a [f32]>,
    #[cfg(feature = "layers")]
    pub skip: Option<&'a [f32]>,
}

#[cfg(feature = "layers")]
impl Planned {
    /// What follows the sum.
    pub(super) fn activation(&self) -> Activation {
        self.known.activation
    }
    /// Values of the weight, or of the context.
    pub(super) fn weight_len(&self) -> usize {
        self.known.weight_len
    }
    /// Values of the weight and the bias.
    pub(super) fn param_len(&self) -> usize {
        self.known.param_len
    }
}

#[cfg(not(feature = "layers"))]
impl Planned {
    /// What follows the sum.
    pub(super) fn activation(&self) -> Activation {
        self.layer.activation()
    }
    /// Values of the weight.
    pub(super) fn weight_len(&self) -> usize {
        self.layer.weight_len()
    }
    /// Values of the weight and the bias.
    pub(super) fn param_len(&self) -> usize {
        self.layer.param_len()
    }
}

impl Planned {
    pub(super) fn curved(&self) -> bool {
        is_curved(self.activation())
    }
    /// Whether the kernel itself cuts its sum at 0.
    pub(super) fn rectified(&self) -> bool {
        self.activation() == Activation::Relu && self.kind.cuts()
    }
    /// Values of one output row.
    pub(super) fn outputs(&self) -> usize {
        self.layer.outputs()
    }
    fn size(&self, rows: usize) -> Size {
        Size { rows, inputs: self.layer.inputs(), outputs: self.layer.outputs() }
    }
    fn params<'p>(&self, params: &'p [f32]) -> &'p [f32] {
        part(params, self.layer.offset, self.param_len())
    }
    fn params_mut<'p>(&self, params: &'p mut [f32]) -> &'p mut [f32] {
        part_mut(params, self.layer.offset, self.param_len())
    }
    pub(super) fn weight_and_bias<'p>(&self, params: &'p [f32]) -> (&'p [f32], &'p [f32]) {
        self.params(params).split_at_checked(self.weight_len()).unwrap_or_default()
    }
    pub(super) fn weight_and_bias_mut<'p>(&self, params: &'p mut [f32]) -> (&'p mut [f32], &'p mut [f32]) {
        self.params_mut(params).split_at_mut_checked(self.weight_len()).unwrap_or_default()
    }
    /// Whether the slope is told from the sum, which then lies behind the output.
    pub(super) fn deep(&self) -> bool {
        needs_input(self.activation())
    }

    /// Multiply-adds of its product, convolution or mixture, for one row.
    pub(super) fn multiply_adds(&self) -> u64 {
        #[cfg(feature = "layers")]
        if let Kind::Mixture(mixture) = self.kind {
            return mixture.multiply_adds();
        }
        let weight = self.weight_len() as u64;
        match self.layer.layer {
            Layer::Dense { .. } => weight,
            #[cfg(feature = "layers")]
            Layer::Convolution { .. } | Layer::Depthwise { .. } => {
                weight * (self.layer.output.height * self.layer.output.width) as u64
            }
            #[allow(unreachable_patterns, reason = "unless another crate asks for more of `sinew-models`")]
            _ => 0,
        }
    }

    /// Values of scratch that its passes need.
    pub(super) fn scratch_len(&self, path: Path) -> usize {
        match &self.kind {
            Kind::Dense => 2 * panel_len(path, self.layer.inputs()),
            #[cfg(feature = "layers")]
            Kind::Convolution(conv) => conv::scratch_len(path, *conv),
            #[cfg(feature = "layers")]
            Kind::Mixture(mixture) => mixture.scratch_len(),
            #[cfg(feature = "layers")]
            _ => 0,
        }
    }

    /// The sum before the activation; cut at 0 if [`Planned::rectified`].
    pub(super) fn sum(
        &self,
        path: Path,
        rows: usize,
        inputs: Inputs<'_>,
        params: &[f32],
        z: &mut [f32],
        scratch: &mut [f32],
    ) {
        let (w, b) = self.weight_and_bias(params);
        match &self.kind {
            Kind::Dense => dense::forward(path, self.size(rows), inputs.x, (w, b), self.rectified(), z, scratch),
            #[cfg(feature = "layers")]
            Kind::Convolution(conv) => conv::forward(path, *conv, rows, inputs.x, (w, b), self.rectified(), z, scratch),
            #[cfg(feature = "layers")]
            Kind::MaxPool(pool) => pool::max_forward(path, *pool, rows, inputs.x, z),
            #[cfg(feature = "layers")]
            Kind::AveragePool(pool) => pool::average_forward(path, *pool, rows, inputs.x, z),
            #[cfg(feature = "layers")]
            Kind::GlobalAveragePool => pool::global_average_forward(path, self.layer.input, rows, inputs.x, z),
            #[cfg(feature = "layers")]
            Kind::LayerNorm => norm::forward(path, self.layer.input, rows, inputs.x, (w, b), z),
            #[cfg(feature = "layers")]
            Kind::Residual => arrange::sum(z, inputs.x, inputs.skip),
            #[cfg(feature = "layers")]
            Kind::Flatten => arrange::flatten(self.layer.input, inputs.x, z),
            #[cfg(feature = "layers")]
            Kind::Context => arrange::append(self.layer.inputs(), Some(inputs.x), w, z),
            #[cfg(feature = "layers")]
            Kind::Mixture(mixture) => mixture::forward(path, *mixture, inputs.x, z, scratch),
        }
    }

    /// The derivative of the sum along the direction `v` in the parameters.
    pub(super) fn sum_tangent(
        &self,
        path: Path,
        rows: usize,
        inputs: Inputs<'_>,
        tangents: Tangents<'_>,
        (params, v): (&[f32], &[f32]),
        a: &[f32],
        rz: &mut [f32],
        scratch: &mut [f32],
    ) {
        let ((w, _), (v, vb)) = (self.weight_and_bias(params), self.weight_and_bias(v));
        let both = (inputs.x, tangents.x);
        let _ = a;
        match &self.kind {
            Kind::Dense => dense::forward_tangent(path, self.size(rows), both, (w, v), vb, rz, scratch),
            #[cfg(feature = "layers")]
            Kind::Convolution(conv) => conv::forward_tangent(path, *conv, rows, both, (w, v), vb, rz, scratch),
            #[cfg(feature = "layers")]
            Kind::LayerNorm => norm::forward_tangent(path, self.layer.input, rows, both, (w, v), vb, rz),
            #[cfg(feature = "layers")]
            Kind::Context => arrange::append(self.layer.inputs(), tangents.x, v, rz),
            #[cfg(feature = "layers")]
            Kind::Residual => {
                rz.fill(0.0);
                for part in [tangents.x, tangents.skip].into_iter().flatten() {
                    arrange::put(path, rz, part, Update::Add(1.0));
                }
            }
            #[cfg(feature = "layers")]
            kind => match (kind, tangents.x) {
                (_, None) => rz.fill(0.0),
                (Kind::MaxPool(pool), Some(rx)) => {
                    pool::max_tangent(path, *pool, rows, inputs.x, a, rx, rz);
                }
                (Kind::AveragePool(pool), Some(rx)) => pool::average_forward(path, *pool, rows, rx, rz),
                (Kind::GlobalAveragePool, Some(rx)) => {
                    pool::global_average_forward(path, self.layer.input, rows, rx, rz);
                }
                (Kind::Mixture(mixture), Some(rx)) => {
                    mixture::forward_tangent(path, *mixture, inputs.x, rx, rz, scratch);
                }
                (_, Some(rx)) => arrange::flatten(self.layer.input, rx, rz),
            },
        }
    }

    /// From the gradient at the sum, `dz`, to that at the source; 0 where `gate` is not above 0.
    pub(super) fn input_gradient(
        &self,
        path: Path,
        rows: usize,
        x: &[f32],
        params: &[f32],
        a: &[f32],
        dz: &[f32],
        gate: Option<&[f32]>,
        (dx, update): (&mut [f32], Update),
        scratch: &mut [f32],
    ) {
        let (w, _) = self.weight_and_bias(params);
        let _ = (x, a, &scratch);
        match &self.kind {
            Kind::Dense => dense::input_gradient(path, self.size(rows), (dz, w), gate, dx, update),
            #[cfg(feature = "layers")]
            Kind::Convolution(conv) => conv::input_gradient(path, *conv, rows, (dz, w), gate, dx, update, scratch),
            #[cfg(feature = "layers")]
            Kind::LayerNorm => norm::input_gradient(path, self.layer.input, rows, x, dz, w, dx, update),
            #[cfg(feature = "layers")]
            Kind::Mixture(mixture) => mixture::input_gradient(path, *mixture, x, dz, (dx, update), scratch),
            #[cfg(feature = "layers")]
            _ => self.linear_input_gradient(path, rows, x, a, dz, gate, (dx, update)),
        }
    }

    /// The same for the other layers without parameters at their products, which are linear once the largest values are known.
    #[cfg(feature = "layers")]
    fn linear_input_gradient(
        &self,
        path: Path,
        rows: usize,
        x: &[f32],
        a: &[f32],
        dz: &[f32],
        gate: Option<&[f32]>,
        (dx, update): (&mut [f32], Update),
    ) {
        let input = self.layer.input;
        match &self.kind {
            Kind::MaxPool(pool) => pool::max_backward(path, *pool, rows, x, a, dz, gate, dx, update),
            Kind::AveragePool(pool) => pool::average_backward(path, *pool, rows, dz, dx, update),
            Kind::GlobalAveragePool => pool::global_average_backward(path, input, rows, dz, dx, update),
            Kind::Flatten => arrange::unflatten(input, dz, dx, update),
            Kind::Context => {
                arrange::append_input_gradient(input.len(), self.outputs() - input.len(), dz, dx, update);
            }
            _ => arrange::put(path, dx, dz, update),
        }
    }

    /// The derivative of [`Planned::input_gradient`] along `v`.
    pub(super) fn input_gradient_tangent(
        &self,
        path: Path,
        rows: usize,
        (inputs, tangents): (Inputs<'_>, Tangents<'_>),
        (params, v): (&[f32], &[f32]),
        a: &[f32],
        (dz, rd): (&[f32], &[f32]),
        gate: Option<&[f32]>,
        (rdx, update): (&mut [f32], Update),
        scratch: &mut [f32],
    ) {
        let ((w, _), (v, _)) = (self.weight_and_bias(params), self.weight_and_bias(v));
        let (both, weights) = ((dz, rd), (w, v));
        let _ = (inputs, tangents, a, &scratch);
        match &self.kind {
            Kind::Dense => dense::input_gradient_tangent(path, self.size(rows), both, weights, gate, rdx, update),
            #[cfg(feature = "layers")]
            Kind::Convolution(conv) => {
                conv::input_gradient_tangent(path, *conv, rows, both, weights, gate, rdx, update, scratch);
            }
            #[cfg(feature = "layers")]
            Kind::LayerNorm => {
                let x = (inputs.x, tangents.x);
                norm::input_gradient_tangent(path, self.layer.input, rows, x, both, weights, rdx, update);
            }
            #[cfg(feature = "layers")]
            Kind::Mixture(mixture) => match tangents.x {
                Some(rx) => {
                    mixture::input_gradient_tangent(path, *mixture, (inputs.x, rx), both, (rdx, update), scratch);
                }
                // What stands still is linear in the gradient.
                None => mixture::input_gradient(path, *mixture, inputs.x, rd, (rdx, update), scratch),
            },
            #[cfg(feature = "layers")]
            _ => self.linear_input_gradient(path, rows, inputs.x, a, rd, gate, (rdx, update)),
        }
    }

    /// From the gradient at the sum to that at weight and bias, in `to`, which is laid out as the parameters of the network. What is added
    /// to, if it is not in `to`, is in `old`.
    pub(super) fn weight_gradient(
        &self,
        path: Path,
        rows: usize,
        x: &[f32],
        dz: &[f32],
        (old, to): (Option<&[f32]>, &mut [f32]),
        update: Update,
        scratch: &mut [f32],
    ) {
        let _ = &scratch;
        #[cfg(feature = "layers")]
        if let (Some(old), false) = (old, matches!(self.kind, Kind::Dense)) {
            self.params_mut(to).iter_mut().zip(self.params(old)).for_each(|(to, old)| *to = *old);
        }
        let (dw, db) = self.weight_and_bias_mut(to);
        match &self.kind {
            Kind::Dense => {
                let old = old.map(|old| self.weight_and_bias(old));
                dense::weight_gradient_step(path, self.size(rows), dz, x, old, update, (dw, db));
            }
            #[cfg(feature = "layers")]
            Kind::Convolution(conv) => conv::weight_gradient(path, *conv, rows, dz, x, dw, db, update, scratch),
            #[cfg(feature = "layers")]
            Kind::LayerNorm => norm::weight_gradient(path, self.layer.input, rows, x, dz, dw, db, update),
            #[cfg(feature = "layers")]
            Kind::Context => arrange::append_context_gradient(self.layer.inputs(), dz, dw, update),
            #[cfg(feature = "layers")]
            _ => {}
        }
    }

    /// The derivative of [`Planned::weight_gradient`] along the direction that made `rd` and the tangents.
    pub(super) fn weight_gradient_tangent(
        &self,
        path: Path,
        rows: usize,
        (x, rx): (&[f32], Option<&[f32]>),
        (dz, rd): (&[f32], &[f32]),
        (rdw, rdb): (&mut [f32], &mut [f32]),
        update: Update,
        scratch: &mut [f32],
    ) {
        let (both, at) = ((dz, rd), (x, rx));
        let _ = &scratch;
        match &self.kind {
            Kind::Dense => dense::weight_gradient_tangent(path, self.size(rows), both, at, rdw, rdb, update),
            #[cfg(feature = "layers")]
            Kind::Convolution(conv) => {
                conv::weight_gradient_tangent(path, *conv, rows, both, at, rdw, rdb, update, scratch);
            }
            #[cfg(feature = "layers")]
            Kind::LayerNorm => norm::weight_gradient_tangent(path, self.layer.input, rows, at, both, rdw, rdb, update),
            #[cfg(feature = "layers")]
            Kind::Context => arrange::append_context_gradient(self.layer.inputs(), rd, rdw, update),
            #[cfg(feature = "layers")]
            _ => {}
        }
    }
}
