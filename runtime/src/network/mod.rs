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
mod layer;
mod pull_back;
mod tail;
mod tangent;

use core::fmt;
use heapless::Vec;

use sinew_models::layout::Place;
use sinew_models::rule::Scope;
#[cfg(feature = "layers")]
use sinew_models::spec::Layer;
use sinew_models::spec::{Activation, Loss, MAX_HEADS, MAX_LAYERS, NetworkSpec, SpecError};

pub use backward::Destination;
pub use pull_back::Cotangent;
pub(crate) use tail::Section;
pub use tail::Tail;

use crate::kernel::Path;
use crate::kernel::activation::needs_input;
use crate::part::part_mut;
#[cfg(feature = "layers")]
use layer::Known;
use layer::{Kind, Planned};

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

/// Rows to learn from, which may be a part of all: losses and gradients are means over the rows of the whole.
#[derive(Clone, Copy, Debug)]
pub struct Batch<'a> {
    /// Presented inputs, `[rows, presented]`, or the features that a pass begins with.
    pub x: &'a [f32],
    /// Targets, `[rows, outputs]`.
    pub y: &'a [f32],
    /// Rows here.
    pub rows: usize,
    /// Rows of the whole.
    pub of: usize,
}

/// The scratch of the passes, of as many values as [`Network`] says.
#[derive(Debug)]
pub struct Traces<'a> {
    /// Of [`Network::forward_len`].
    pub forward: &'a mut [f32],
    /// Of [`Network::backward_len`].
    pub backward: &'a mut [f32],
    /// Of [`Network::panel_len`].
    pub panel: &'a mut [f32],
}

impl<'a> Batch<'a> {
    /// All rows there are.
    pub const fn whole(x: &'a [f32], y: &'a [f32], rows: usize) -> Self {
        Self { x, y, rows, of: rows }
    }

    fn share(&self) -> f32 {
        self.rows as f32 / self.of.max(1) as f32
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
    /// As [`NetworkSpec::check`], or if this build leaves out a layer.
    pub fn new(spec: &NetworkSpec, path: Path) -> Result<Self, NetworkError> {
        let mut network = Self::empty();
        network.fill(spec, path)?;
        Ok(network)
    }

    /// A network to be filled. A constant would lie in flash, with all the room that it has.
    pub(crate) fn empty() -> Self {
        Self {
            path: Path::SCALAR,
            layers: Vec::new(),
            heads: Vec::new(),
            backbone: 0,
            input_len: 0,
            output_len: 0,
            param_len: 0,
            forward_len: 0,
            backward_len: 0,
            tangent_len: 0,
            panel_len: 0,
        }
    }

    /// As [`Network::new`], in the place of [`Network::empty`], because a network is large.
    // Inlined, it would leave large parts on the stack of the control loop.
    #[inline(never)]
    pub(crate) fn fill(&mut self, spec: &NetworkSpec, path: Path) -> Result<(), NetworkError> {
        let network = self;
        spec.check()?;
        network.path = path;
        network.backbone = spec.backbone.len();
        network.input_len = spec.input.presented_len();
        network.output_len = spec.output_len();
        network.param_len = spec.param_len();
        for (index, layer) in spec.layers().enumerate() {
            let source = network.source(layer.place, index, layer.index);
            let kind = Kind::of(&layer).ok_or(NetworkError::NoSuchLayer(index))?;
            network.place(Planned {
                layer,
                kind,
                #[cfg(feature = "layers")]
                known: Known::of(&layer),
                source,
                #[cfg(feature = "layers")]
                skip: match layer.layer {
                    // What a layer took in is the output of its source.
                    Layer::Residual { layers: around, .. } => {
                        let start = (index.saturating_sub(around), layer.index.saturating_sub(around));
                        Some(network.source(layer.place, start.0, start.1))
                    }
                    _ => None,
                },
                cut: false,
                first_at_source: false,
                #[cfg(feature = "layers")]
                first_at_skip: false,
                a: 0,
                dz: 0,
                ra: 0,
                rdz: 0,
            });
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
        network.plan_way_back();
        Ok(())
    }

    /// Puts a layer behind the others, and its values behind theirs in the traces.
    fn place(&mut self, mut planned: Planned) {
        let outputs = planned.outputs();
        let curved = usize::from(planned.curved());
        let deep = usize::from(needs_input(planned.activation()));
        (planned.a, planned.dz, planned.ra) = (self.forward_len, self.backward_len, self.tangent_len);
        planned.rdz = planned.ra + outputs * (1 + curved);
        self.forward_len += outputs * (1 + deep);
        self.backward_len += outputs * (1 + curved);
        self.tangent_len += outputs * (2 + curved);
        self.panel_len = self.panel_len.max(planned.scratch_len(self.path));
        // A checked network has no more layers than there is room for.
        let placed = self.layers.push(planned);
        debug_assert!(placed.is_ok());
    }

    /// The layer whose output the `index`-th layer takes, the `place_index`-th of its place.
    fn source(&self, place: Place, index: usize, place_index: usize) -> Option<usize> {
        match place {
            Place::Head(_) if place_index == 0 => self.backbone.checked_sub(1),
            Place::Backbone | Place::Head(_) => index.checked_sub(1),
        }
    }

    /// Works out who puts a gradient where first, and who cuts it, by walking the way back once: head after head, each from its end, then
    /// the backbone from its end.
    fn plan_way_back(&mut self) {
        let mut way = WayBack { reached: 0, uncut: 0 };
        for head in &self.heads {
            way.walk(self.layers.get_mut(head.first..=head.last).unwrap_or_default());
        }
        way.walk(self.layers.get_mut(..self.backbone).unwrap_or_default());
        for (layer, planned) in self.layers.iter_mut().enumerate() {
            let cut = way.reached & !way.uncut;
            planned.cut = planned.activation() == Activation::Relu && cut >> layer & 1 == 1;
        }
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
    /// Values of the panel, the scratch in which weights are turned and images padded.
    pub const fn panel_len(&self) -> usize {
        self.panel_len
    }
    /// Layers, heads included.
    pub fn layer_count(&self) -> usize {
        self.layers.len()
    }

    /// Multiply-adds of the products and convolutions of some layers, for one row.
    pub fn multiply_adds(&self, layers: core::ops::Range<usize>) -> u64 {
        self.layers.get(layers).unwrap_or_default().iter().map(Planned::multiply_adds).sum()
    }

    /// Where the parameters of `layer` lie in the flat vector.
    pub fn params_of(&self, layer: usize) -> core::ops::Range<usize> {
        self.layers.get(layer).map_or(0..0, |planned| planned.layer.offset..planned.layer.offset + planned.param_len())
    }

    /// The layers that `scope` adapts, of those that have parameters.
    pub fn adapted(&self, scope: &Scope) -> LayerSet {
        let layers = self.layers.iter().enumerate();
        LayerSet(
            layers
                .filter(|(index, planned)| planned.param_len() > 0 && scope.includes(*index, &planned.layer))
                .fold(0, |set, (index, _)| set | 1 << index),
        )
    }

    /// How many layers from the front of the backbone make the same features for good when only those of `set` are adapted.
    pub fn frozen(&self, set: LayerSet) -> usize {
        let first = (0..self.backbone).find(|layer| set.has(*layer)).unwrap_or(self.backbone);
        // What lies behind may look at nothing before the features but the features.
        (0..=first).rev().find(|&first| self.is_boundary(first)).unwrap_or(0)
    }

    fn is_boundary(&self, first: usize) -> bool {
        let behind = |source: Option<usize>| source.map_or(0, |source| source + 1) >= first;
        self.layers.get(first..).unwrap_or_default().iter().all(|planned| {
            #[cfg(feature = "layers")]
            let skip = planned.skip.is_none_or(behind);
            #[cfg(not(feature = "layers"))]
            let skip = true;
            behind(planned.source) && skip
        })
    }

    /// Where the outputs of each head begin among those of all, and how many there are.
    #[cfg(feature = "masks")]
    pub(crate) fn head_columns(&self) -> impl Iterator<Item = (usize, usize)> + Clone + '_ {
        self.heads.iter().map(|head| (head.column, head.outputs))
    }

    /// The network behind its first `first` layers, as [`Network::frozen`] allows.
    pub fn behind(&self, first: usize) -> Tail<'_> {
        Tail::new(self, first)
    }

    /// Values in one row of the features that the heads see.
    pub fn feature_len(&self) -> usize {
        let last = self.backbone.checked_sub(1).and_then(|last| self.layers.get(last));
        last.map_or(self.input_len, Planned::outputs)
    }

    /// How many layers the backbone has.
    pub fn backbone_len(&self) -> usize {
        self.backbone
    }

    /// The features of the first `layers` layers that [`Network::forward_layers`] left in a trace; `x` itself where there are none.
    pub fn features<'t>(&self, layers: usize, x: &'t [f32], rows: usize, forward: &'t [f32]) -> &'t [f32] {
        match layers.checked_sub(1).and_then(|last| self.layers.get(last)) {
            None => x,
            Some(last) => self.behind(0).output(last, forward, Section::whole(rows)),
        }
    }

    /// Writes the outputs that a forward trace holds to `outputs`, `[rows, outputs]`, heads side by side.
    pub fn outputs(&self, forward: &[f32], rows: usize, outputs: &mut [f32]) {
        for head in &self.heads {
            let Some(last) = self.layers.get(head.last) else { continue };
            let rows = self.behind(0).output(last, forward, Section::whole(rows)).chunks_exact(head.outputs.max(1));
            for (from, to) in rows.zip(outputs.chunks_exact_mut(self.output_len.max(1))) {
                part_mut(to, head.column, head.outputs).iter_mut().zip(from).for_each(|(to, from)| *to = *from);
            }
        }
    }

    /// Turns outputs into predictions in place: probabilities for classes, values as they are. `[rows, outputs]`.
    pub fn predict(&self, outputs: &mut [f32]) {
        for row in outputs.chunks_exact_mut(self.output_len.max(1)) {
            for head in &self.heads {
                crate::kernel::loss::predict(head.loss, part_mut(row, head.column, head.outputs));
            }
        }
    }

    /// Whether a head, the one with output column `column`, has classes for targets.
    pub fn is_classification(&self, column: usize) -> bool {
        self.heads
            .iter()
            .any(|head| (head.column..head.column + head.outputs).contains(&column) && head.loss.is_classification())
    }
}

/// At which layers' outputs a gradient was put, and at which by one who does not cut it.
struct WayBack {
    reached: u32,
    uncut: u32,
}

impl WayBack {
    // One copy for all callers, to save flash.
    #[inline(never)]
    fn walk(&mut self, layers: &mut [Planned]) {
        for planned in layers.iter_mut().rev() {
            if let Some(source) = planned.source {
                planned.first_at_source = self.reach(source);
                self.uncut |= u32::from(!planned.kind.cuts_source()) << source;
            }
            #[cfg(feature = "layers")]
            if let Some(Some(skip)) = planned.skip {
                planned.first_at_skip = self.reach(skip);
                self.uncut |= 1 << skip;
            }
        }
    }

    /// Whether nobody was there before.
    fn reach(&mut self, layer: usize) -> bool {
        let first = self.reached >> layer & 1 == 0;
        self.reached |= 1 << layer;
        first
    }
}

/// Why a network cannot be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NetworkError {
    /// It cannot be.
    Spec(SpecError),
    /// This build leaves out the kind of this layer, counted through backbone and heads: it was built without the feature `layers`.
    NoSuchLayer(usize),
}

impl From<SpecError> for NetworkError {
    fn from(error: SpecError) -> Self {
        Self::Spec(error)
    }
}

impl fmt::Display for NetworkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Spec(error) => error.fmt(f),
            Self::NoSuchLayer(layer) => {
                write!(f, "layer {layer}: a runtime built without the feature `layers` has dense layers alone")
            }
        }
    }
}

impl core::error::Error for NetworkError {}
