//! Several tasks at once, each in a lane of the vector registers, over a dense network.
//!
//! Every array is laid out as that of one task, with a last axis for the tasks. Lanes that are left over repeat the last task, with a
//! gradient of 0 at the outputs, so that they add nothing.

use sinew_models::layout::Place;
use sinew_models::rule::Rate;
use sinew_models::spec::{Activation, Layer, Loss, NetworkSpec};
use sinew_runtime::kernel::activation::{self, is_curved, needs_input};
use sinew_runtime::kernel::dense::{Size, Update};
use sinew_runtime::kernel::lanes::{self, Numbers};
use sinew_runtime::kernel::loss::{self, Targets};
use sinew_runtime::kernel::scale::{add_scaled, subtract_product};
use sinew_runtime::{Network, Path};

use super::arena::{Adjoint, Lengths, Scratch, Trace};
use super::recursion::{Passes, Theta};
use crate::engine::{InnerLoop, Rows, Side, TaskRows};

/// One dense layer, and where its values lie in each trace, in numbers per row.
#[derive(Clone, Copy, Debug)]
struct Planned {
    inputs: usize,
    outputs: usize,
    /// Its parameters: weight, then bias.
    weight: usize,
    bias: usize,
    activation: Activation,
    /// The layer whose output it takes; `None` for the input of the network.
    source: Option<usize>,
    /// Whether it is the first, on the way back, to put a gradient at its source.
    first_at_source: bool,
    /// Its head's loss, if it is the last of a head.
    end: Option<Head>,
    /// Output, in the forward trace; the sum behind it if the slope needs it.
    a: usize,
    /// Gradient at the sum, in the backward trace; the gradient at the output behind it if the activation is curved.
    dz: usize,
    /// Derivative of the output, in the tangent trace; that of the sum behind it if curved; then that of the gradient at the sum.
    ra: usize,
    rdz: usize,
}

#[derive(Clone, Copy, Debug)]
struct Head {
    loss: Loss,
    weight: f32,
    column: usize,
}

/// A dense network, planned for several tasks at once.
#[derive(Debug)]
pub(super) struct LaneNetwork {
    path: Path,
    layers: Vec<Planned>,
    /// The order of the way back.
    way_back: Vec<usize>,
    input_len: usize,
    output_len: usize,
    param_len: usize,
    forward_len: usize,
    backward_len: usize,
    tangent_len: usize,
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
    const fn wide(&self, rows: usize) -> usize {
        rows.div_ceil(lanes::rows(self.path)) * lanes::width(self.path)
    }

    /// What tasks with so many support and query rows need.
    pub fn lengths(&self, network: &Network, inner: &InnerLoop, rates: usize, rows: [usize; 2]) -> Lengths {
        let lanes = self.lanes();
        let params = self.param_len * lanes;
        let second_order = !inner.first_order && inner.steps > 0;
        let widest = rows[0].max(rows[1]) * self.output_len;
        Lengths {
            params,
            rates: if inner.learn_rates { rates * lanes } else { 0 },
            forward: rows.map(|rows| self.forward_len * self.wide(rows)),
            backward: rows.map(|rows| self.backward_len * self.wide(rows)),
            gradient: if inner.keeps_gradients(network) { params } else { 0 },
            tangent: if second_order { self.tangent_len * self.wide(rows[0]) } else { 0 },
            panel: 0,
            direction: if second_order && one_rate(network, inner).is_none() { params } else { 0 },
            outputs: 2 * widest,
            inputs: rows.map(|rows| self.input_len * self.wide(rows)),
        }
    }

    /// Lays out the inputs of one side of some tasks, those of the last in all lanes that are left; 0 in rows that are left.
    pub fn lay_out(&self, tasks: &[TaskRows], indices: &[usize], side: Side, to: &mut [f32]) {
        let rows = tasks[indices[0]].side(side).rows;
        to.fill(0.0);
        for lane in 0..self.lanes() {
            let from = &tasks[indices[lane.min(indices.len() - 1)]].side(side).x;
            scatter(self.path, from, rows, lane, to);
        }
    }
}

/// Calls `each` with the place of every number of one task in a layout for several, row by row.
#[inline(always)]
fn places(path: Path, rows: usize, units: usize, lane: usize, mut each: impl FnMut(usize, usize)) {
    let (width, mut number) = (lanes::width(path), 0);
    for row in 0..rows {
        let mut at = lanes::place(path, units, row, 0, lane);
        for _ in 0..units {
            each(number, at);
            number += 1;
            at += width;
        }
    }
}

/// Takes the rows of one task out.
fn gather(path: Path, from: &[f32], rows: usize, lane: usize, to: &mut [f32]) {
    places(path, rows, to.len() / rows.max(1), lane, |number, at| to[number] = from[at]);
}

/// And puts them in.
fn scatter(path: Path, from: &[f32], rows: usize, lane: usize, to: &mut [f32]) {
    places(path, rows, from.len() / rows.max(1), lane, |number, at| to[at] = from[number]);
}

/// The rate, if it is the same for all parameters and steps.
fn one_rate(network: &Network, inner: &InnerLoop) -> Option<()> {
    (inner.rate == Rate::Constant && inner.adapts_all(network)).then_some(())
}

/// Several tasks of a meta-step, of the same numbers of rows.
pub(super) struct Lanes<'a> {
    pub network: &'a Network,
    pub lanes: &'a LaneNetwork,
    pub inner: &'a InnerLoop,
    pub rates: &'a [f32],
    /// All tasks of the batch, and which of them these are.
    pub tasks: &'a [TaskRows],
    pub indices: &'a [usize],
    /// Support and query inputs, laid out.
    pub inputs: [&'a [f32]; 2],
}

/// One side of the tasks.
#[derive(Clone, Copy)]
struct Batch<'a> {
    side: Side,
    x: &'a [f32],
    rows: usize,
}

/// What becomes of the gradient with respect to the parameters.
enum Destination<'a> {
    Store(&'a mut [f32]),
    /// A step along it, with a factor for each layer.
    Step(&'a mut [f32], &'a [f32]),
}

impl Theta<'_> {
    /// Some of the parameters.
    fn part(&self, from: usize, len: usize, lanes: usize) -> Numbers<'_> {
        match self {
            Self::Shared(values) => Numbers::Shared(&values[from..][..len]),
            Self::Own(values) => Numbers::Each(&values[from * lanes..][..len * lanes]),
        }
    }
}

impl Planned {
    fn size(&self, rows: usize) -> Size {
        Size { rows, inputs: self.inputs, outputs: self.outputs }
    }
    fn weight_len(&self) -> usize {
        self.inputs * self.outputs
    }
    fn curved(&self) -> bool {
        is_curved(self.activation)
    }
    fn rectified(&self) -> bool {
        self.activation == Activation::Relu
    }
    /// What the slope is told from: the output, or the sum.
    fn known<'t>(&self, forward: &'t [f32], wide: usize) -> &'t [f32] {
        let len = self.outputs * wide;
        let behind = if needs_input(self.activation) { len } else { 0 };
        &forward[self.a * wide + behind..][..len]
    }
    fn output<'t>(&self, forward: &'t [f32], wide: usize) -> &'t [f32] {
        &forward[self.a * wide..][..self.outputs * wide]
    }
    /// Its parameters among those of all layers.
    fn cut<'p>(&self, params: &'p [f32], lanes: usize) -> (&'p [f32], &'p [f32]) {
        params[self.weight * lanes..self.bias * lanes + self.outputs * lanes].split_at(self.weight_len() * lanes)
    }
    fn cut_mut<'p>(&self, params: &'p mut [f32], lanes: usize) -> (&'p mut [f32], &'p mut [f32]) {
        params[self.weight * lanes..self.bias * lanes + self.outputs * lanes].split_at_mut(self.weight_len() * lanes)
    }
    /// Where the gradient at its output is gathered: behind that at the sum if curved, else in its place.
    fn gradient_at_output(&self, wide: usize) -> std::ops::Range<usize> {
        let len = self.outputs * wide;
        let from = self.dz * wide + if self.curved() { len } else { 0 };
        from..from + len
    }
}

/// The first to put a gradient somewhere replaces what is there, the others add to it.
fn first(is_first: bool) -> Update {
    if is_first { Update::Store } else { Update::Add(1.0) }
}

impl<'a> Lanes<'a> {
    fn batch(&self, side: Side) -> Batch<'a> {
        let rows = self.tasks[self.indices[0]].side(side).rows;
        Batch { side, x: self.inputs[side as usize], rows }
    }

    fn rows_of(&self, batch: Batch<'_>, lane: usize) -> &'a Rows {
        self.tasks[self.indices[lane]].side(batch.side)
    }

    fn forward(&self, theta: Theta<'_>, batch: Batch<'_>, trace: &mut [f32]) {
        let path = self.lanes.path;
        let wide = self.lanes.wide(batch.rows);
        for planned in &self.lanes.layers {
            let (below, here) = trace.split_at_mut(planned.a * wide);
            let x = planned.source.map_or(batch.x, |source| self.lanes.layers[source].output(below, wide));
            let (a, behind) = here.split_at_mut(planned.outputs * wide);
            let parameters = self.parameters(planned, theta);
            lanes::forward(path, planned.size(batch.rows), x, parameters, planned.rectified(), a);
            if needs_input(planned.activation) {
                behind[..a.len()].copy_from_slice(a);
            }
            if !planned.rectified() {
                activation::forward(path, planned.activation, a);
            }
        }
    }

    fn parameters<'t>(&self, planned: &Planned, theta: Theta<'t>) -> (Numbers<'t>, Numbers<'t>) {
        let lanes = self.lanes.lanes();
        let of = |from: usize, len: usize| match theta {
            Theta::Shared(values) => Numbers::Shared(&values[from..][..len]),
            Theta::Own(values) => Numbers::Each(&values[from * lanes..][..len * lanes]),
        };
        (of(planned.weight, planned.weight_len()), of(planned.bias, planned.outputs))
    }

    /// Adds the losses of one head to `losses`; leaves their gradients at `da`, if it is wanted.
    fn head(
        &self,
        planned: &Planned,
        head: &Head,
        batch: Batch<'_>,
        a: &[f32],
        mut da: Option<&mut [f32]>,
        outputs: &mut [f32],
        losses: &mut [f32],
    ) {
        let (path, len) = (self.lanes.path, planned.outputs * batch.rows);
        let (z, dz) = outputs.split_at_mut(len);
        let dz = &mut dz[..len];
        if let Some(da) = &mut da {
            da.fill(0.0);
        }
        for (lane, total) in losses.iter_mut().enumerate() {
            gather(path, a, batch.rows, lane, z);
            let targets = self.targets(batch, head, lane);
            if let Some(da) = &mut da {
                *total += loss::value_and_gradient(head.loss, head.weight, z, targets, planned.outputs, dz);
                scatter(path, dz, batch.rows, lane, da);
            } else {
                *total += loss::value(head.loss, head.weight, z, targets, planned.outputs);
            }
        }
    }

    fn targets(&self, batch: Batch<'_>, head: &Head, lane: usize) -> Targets<'a> {
        Targets { y: &self.rows_of(batch, lane).y[head.column..], row: self.lanes.output_len }
    }

    /// The losses of a trace that [`Lanes::forward`] filled, and their gradients, to where `destination` says.
    fn backward(
        &self,
        theta: Theta<'_>,
        batch: Batch<'_>,
        forward: &[f32],
        backward: &mut [f32],
        outputs: &mut [f32],
        mut destination: Destination<'_>,
        losses: &mut [f32],
    ) {
        let (path, lanes) = (self.lanes.path, self.lanes.lanes());
        let wide = self.lanes.wide(batch.rows);
        losses.fill(0.0);
        for &layer in &self.lanes.way_back {
            let planned = &self.lanes.layers[layer];
            let (known, len) = (planned.known(forward, wide), planned.outputs * wide);
            if let Some(head) = &planned.end {
                let da = &mut backward[planned.gradient_at_output(wide)];
                self.head(planned, head, batch, planned.output(forward, wide), Some(da), outputs, losses);
            }
            let (lower, here) = backward.split_at_mut(planned.dz * wide);
            let (dz, behind) = here.split_at_mut(len);
            if planned.curved() {
                activation::backward(path, planned.activation, known, &behind[..len], dz);
            } else if planned.end.is_some() {
                // Elsewhere, who made the gradient at the output has cut it.
                activation::backward_in_place(path, planned.activation, known, dz);
            }
            let (w, b) = self.parameters(planned, theta);
            let size = planned.size(batch.rows);
            let mut x = batch.x;
            if let Some(source) = planned.source.map(|source| &self.lanes.layers[source]) {
                x = source.output(forward, wide);
                let gate = source.rectified().then_some(x);
                let dx = &mut lower[source.gradient_at_output(wide)];
                lanes::input_gradient(path, size, (dz, w), gate, dx, first(planned.first_at_source));
            }
            match &mut destination {
                Destination::Store(gradient) => {
                    let (dw, db) = planned.cut_mut(gradient, lanes);
                    lanes::weight_gradient(path, size, dz, x, dw, db, Update::Store);
                }
                Destination::Step(next, rates) => {
                    let rate = rates[layer];
                    let new = planned.cut_mut(next, lanes);
                    if rate == 0.0 {
                        spread(w, new.0, lanes);
                        spread(b, new.1, lanes);
                    } else {
                        lanes::weight_gradient_step(path, size, dz, x, (w, b), -rate, new);
                    }
                }
            }
        }
    }

    /// `product += factor · H v` of the support loss, H the Hessian at `theta`; v is `direction` or, where there is none, what
    /// `product` holds before.
    fn hessian_vector(
        &self,
        theta: Theta<'_>,
        direction: Option<&[f32]>,
        trace: &Trace,
        tangent: &mut [f32],
        outputs: &mut [f32],
        (product, factor): (&mut [f32], f32),
    ) {
        let (path, lanes, batch) = (self.lanes.path, self.lanes.lanes(), self.batch(Side::Support));
        let (wide, forward) = (self.lanes.wide(batch.rows), &trace.forward[..]);
        let layers = &self.lanes.layers;
        for planned in layers {
            let (below, here) = tangent.split_at_mut(planned.ra * wide);
            let source = planned.source.map(|source| &layers[source]);
            let x = source.map_or(batch.x, |source| source.output(forward, wide));
            let rx = source.map(|source| &below[source.ra * wide..][..source.outputs * wide]);
            let (ra, behind) = here.split_at_mut(planned.outputs * wide);
            let (w, _) = self.parameters(planned, theta);
            let (v, vb) = planned.cut(direction.unwrap_or(product), lanes);
            let known = planned.known(forward, wide);
            let size = planned.size(batch.rows);
            if planned.curved() {
                let rz = &mut behind[..ra.len()];
                lanes::forward_tangent(path, size, (x, rx), (w, v), vb, None, rz);
                activation::backward(path, planned.activation, known, rz, ra);
            } else {
                let gate = planned.rectified().then_some(known);
                lanes::forward_tangent(path, size, (x, rx), (w, v), vb, gate, ra);
            }
        }
        for &layer in &self.lanes.way_back {
            let planned = &layers[layer];
            let (known, len) = (planned.known(forward, wide), planned.outputs * wide);
            let (lower, here) = tangent.split_at_mut(planned.ra * wide);
            let (forward_part, rd) = here.split_at_mut((planned.rdz - planned.ra) * wide);
            let rd = &mut rd[..len];
            if let Some(head) = &planned.end {
                let (ra, a) = (&forward_part[..len], planned.output(forward, wide));
                self.head_tangent(planned, head, batch, a, ra, rd, outputs);
            }
            let (dz, da) = trace.backward[planned.dz * wide..].split_at(len);
            if planned.curved() {
                let rz = &forward_part[len..][..len];
                activation::backward_tangent(path, planned.activation, known, &da[..len], rz, rd);
            } else if planned.end.is_some() {
                activation::backward_in_place(path, planned.activation, known, rd);
            }
            let rd = &*rd;
            let (w, _) = self.parameters(planned, theta);
            let size = planned.size(batch.rows);
            let (mut x, mut rx) = (batch.x, None);
            if let Some(source) = planned.source.map(|source| &layers[source]) {
                // Its derivative lies before, and the derivative of its gradient behind it.
                let (before, behind) = lower.split_at_mut(source.rdz * wide);
                x = source.output(forward, wide);
                rx = Some(&before[source.ra * wide..][..source.outputs * wide]);
                let gate = source.rectified().then_some(x);
                let rdx = &mut behind[..source.outputs * wide];
                let (v, _) = planned.cut(direction.unwrap_or(product), lanes);
                let update = first(planned.first_at_source);
                lanes::input_gradient_tangent(path, size, (dz, rd), (w, v), gate, rdx, update);
            }
            let (pw, pb) = planned.cut_mut(product, lanes);
            lanes::weight_gradient_tangent(path, size, (dz, rd), (x, rx), pw, pb, Update::Add(factor));
        }
    }

    /// The derivative of the gradient at the outputs of a head, along the derivative `ra` of the outputs.
    fn head_tangent(
        &self,
        planned: &Planned,
        head: &Head,
        batch: Batch<'_>,
        a: &[f32],
        ra: &[f32],
        rd: &mut [f32],
        outputs: &mut [f32],
    ) {
        let (path, len) = (self.lanes.path, planned.outputs * batch.rows);
        let (z, rz) = outputs.split_at_mut(len);
        let rz = &mut rz[..len];
        rd.fill(0.0);
        for lane in 0..self.indices.len() {
            gather(path, a, batch.rows, lane, z);
            gather(path, ra, batch.rows, lane, rz);
            let targets = self.targets(batch, head, lane);
            loss::gradient_tangent(head.loss, head.weight, z, targets, planned.outputs, rz);
            scatter(path, rz, batch.rows, lane, rd);
        }
    }

    /// `to −= α ∘ from`, for the adapted layers.
    fn apply(&self, step: usize, from: &[f32], to: &mut [f32]) {
        let (path, lanes, network) = (self.lanes.path, self.lanes.lanes(), self.network);
        let rates = self.inner.rates(self.rates).of_layers(step, network.layer_count());
        for layer in (0..network.layer_count()).filter(|layer| self.inner.adapted.has(*layer)) {
            let range = network.params_of(layer);
            let wide = range.start * lanes..range.end * lanes;
            let (from, to) = (&from[wide.clone()], &mut to[wide]);
            match &rates {
                Some(rates) => add_scaled(path, to, -rates[layer], from),
                None => {
                    let each = to.chunks_exact_mut(lanes).zip(from.chunks_exact(lanes)).zip(&self.rates[range]);
                    each.for_each(|((to, from), rate)| {
                        to.iter_mut().zip(from).for_each(|(to, from)| *to -= rate * from)
                    });
                }
            }
        }
    }

    /// ∂L/∂α −= λ ∘ g, summed over the parameters that share a rate.
    fn gather_rates(&self, step: usize, adjoint: &[f32], gradient: &[f32], rates: &mut [f32]) {
        let (path, lanes, layers) = (self.lanes.path, self.lanes.lanes(), self.network.layer_count());
        for layer in (0..layers).filter(|layer| self.inner.adapted.has(*layer)) {
            let range = self.network.params_of(layer);
            let wide = range.start * lanes..range.end * lanes;
            let (adjoint, gradient) = (&adjoint[wide.clone()], &gradient[wide.clone()]);
            let shared = match self.inner.rate {
                Rate::PerParameter => {
                    subtract_product(path, &mut rates[wide], adjoint, gradient);
                    continue;
                }
                Rate::Constant => 0,
                Rate::PerLayerStep => step * layers + layer,
            };
            let to = &mut rates[shared * lanes..][..lanes];
            for (adjoint, gradient) in adjoint.chunks_exact(lanes).zip(gradient.chunks_exact(lanes)) {
                to.iter_mut().zip(adjoint).zip(gradient).for_each(|((to, l), g)| *to -= l * g);
            }
        }
    }
}

/// Numbers into every lane.
fn spread(from: Numbers<'_>, to: &mut [f32], lanes: usize) {
    match from {
        Numbers::Shared(from) => to.chunks_exact_mut(lanes).zip(from).for_each(|(to, from)| to.fill(*from)),
        Numbers::Each(from) => to.copy_from_slice(from),
    }
}

impl Passes for Lanes<'_> {
    fn step(&self, number: usize, theta: Theta<'_>, trace: &mut Trace, scratch: &mut Scratch, next: &mut [f32]) {
        let (batch, network) = (self.batch(Side::Support), self.network);
        let Trace { forward, backward, gradient } = trace;
        self.forward(theta, batch, forward);
        // Nobody looks at the losses of the support.
        let mut losses = [0.0; 16];
        let losses = &mut losses[..self.indices.len()];
        if self.inner.keeps_gradients(network) {
            let destination = Destination::Store(gradient);
            self.backward(theta, batch, forward, backward, &mut scratch.outputs, destination, losses);
            spread(theta.part(0, self.lanes.param_len, self.lanes.lanes()), next, self.lanes.lanes());
            self.apply(number, gradient, next);
        } else {
            let rates = self.inner.rates(self.rates).of_layers(number, network.layer_count()).unwrap_or_default();
            let destination = Destination::Step(next, &rates);
            self.backward(theta, batch, forward, backward, &mut scratch.outputs, destination, losses);
        }
    }

    fn query_losses(&self, theta: Theta<'_>, trace: &mut Trace, scratch: &mut Scratch, losses: &mut [f32]) {
        let batch = self.batch(Side::Query);
        self.forward(theta, batch, &mut trace.forward);
        losses.fill(0.0);
        for planned in &self.lanes.layers {
            let Some(head) = &planned.end else { continue };
            let a = planned.output(&trace.forward, self.lanes.wide(batch.rows));
            self.head(planned, head, batch, a, None, &mut scratch.outputs, losses);
        }
    }

    fn query_gradient(
        &self,
        theta: Theta<'_>,
        trace: &mut Trace,
        scratch: &mut Scratch,
        losses: &mut [f32],
        gradient: &mut [f32],
    ) {
        let batch = self.batch(Side::Query);
        let Trace { forward, backward, .. } = trace;
        self.forward(theta, batch, forward);
        let destination = Destination::Store(gradient);
        self.backward(theta, batch, forward, backward, &mut scratch.outputs, destination, losses);
    }

    fn step_back(&self, number: usize, theta: Theta<'_>, trace: &Trace, scratch: &mut Scratch, adjoint: Adjoint<'_>) {
        if self.inner.learn_rates {
            self.gather_rates(number, adjoint.params, &trace.gradient, adjoint.rates);
        }
        if self.inner.first_order {
            return;
        }
        let Scratch { tangent, direction, outputs, .. } = scratch;
        if one_rate(self.network, self.inner).is_some() {
            // H is linear: H (α λ) = α H λ, and each layer's λ is read for the last time before it is written.
            let to = (adjoint.params, -self.rates[0]);
            self.hessian_vector(theta, None, trace, tangent, outputs, to);
        } else {
            direction.fill(0.0);
            self.apply(number, adjoint.params, direction);
            // The direction is −α ∘ λ, so the product is added.
            self.hessian_vector(theta, Some(direction), trace, tangent, outputs, (adjoint.params, 1.0));
        }
    }
}
