//! Several tasks at once, each in a lane of the vector registers, over a dense network.
//!
//! Every array is laid out as that of one task, with a last axis for the tasks. Lanes that are left over repeat the last task, with a
//! gradient of 0 at the outputs, so that they add nothing.

mod heads;
mod layout;
mod plan;

use sinew_models::rule::Rate;
use sinew_runtime::Network;
use sinew_runtime::kernel::activation::{self, needs_input};
use sinew_runtime::kernel::dense::Update;
use sinew_runtime::kernel::lanes::{self, Numbers};
use sinew_runtime::kernel::scale::{add_scaled, subtract_product};

use super::arena::{Adjoint, Scratch, Trace};
use super::recursion::{Passes, Theta};
use crate::engine::{InnerLoop, Side, TaskRows};
use layout::spread;
use plan::Planned;

pub(super) use plan::LaneNetwork;

/// Whether the rate is the same for all parameters and steps.
fn one_rate(network: &Network, inner: &InnerLoop) -> bool {
    inner.rate == Rate::Constant && inner.adapts_all(network)
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
    /// Inputs and targets of support and query, laid out.
    pub laid_out: [&'a [f32]; 2],
}

/// One side of the tasks.
#[derive(Clone, Copy)]
struct Batch<'a> {
    side: Side,
    x: &'a [f32],
    y: &'a [f32],
    rows: usize,
}

/// What becomes of the gradient with respect to the parameters.
enum Destination<'a> {
    Store(&'a mut [f32]),
    /// A step along it, with a factor for each layer.
    Step(&'a mut [f32], &'a [f32]),
}

impl<'a> Theta<'a> {
    /// Some of the parameters.
    fn part(self, from: usize, len: usize, lanes: usize) -> Numbers<'a> {
        match self {
            Self::Shared(values) => Numbers::Shared(&values[from..][..len]),
            Self::Own(values) => Numbers::Each(&values[from * lanes..][..len * lanes]),
        }
    }
}

/// The first to put a gradient somewhere replaces what is there, the others add to it.
fn first(is_first: bool) -> Update {
    if is_first { Update::Store } else { Update::Add(1.0) }
}

impl<'a> Lanes<'a> {
    fn batch(&self, side: Side) -> Batch<'a> {
        let rows = self.tasks[self.indices[0]].side(side).rows;
        let (x, y) = self.laid_out[side as usize].split_at(self.lanes.input_len * self.lanes.wide(rows));
        Batch { side, x, y, rows }
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

    /// Weight and bias of a layer.
    fn parameters<'t>(&self, planned: &Planned, theta: Theta<'t>) -> (Numbers<'t>, Numbers<'t>) {
        let part = |from, len| theta.part(from, len, self.lanes.lanes());
        (part(planned.weight, planned.weight_len()), part(planned.bias, planned.outputs))
    }

    /// The query losses of a trace that [`Lanes::forward`] filled.
    fn all_losses(&self, forward: &[f32], outputs: &mut [f32], losses: &mut [f32]) {
        let batch = self.batch(Side::Query);
        losses.fill(0.0);
        for planned in &self.lanes.layers {
            let Some(head) = &planned.end else { continue };
            let a = planned.output(forward, self.lanes.wide(batch.rows));
            self.losses(planned, head, batch, a, outputs, losses);
        }
    }

    /// The gradient of the losses of a trace that [`Lanes::forward`] filled, to where `destination` says.
    fn backward(
        &self,
        theta: Theta<'_>,
        batch: Batch<'_>,
        forward: &[f32],
        backward: &mut [f32],
        outputs: &mut [f32],
        mut destination: Destination<'_>,
    ) {
        let (path, lanes) = (self.lanes.path, self.lanes.lanes());
        let wide = self.lanes.wide(batch.rows);
        for &layer in &self.lanes.way_back {
            let planned = &self.lanes.layers[layer];
            let (known, len) = (planned.known(forward, wide), planned.outputs * wide);
            if let Some(head) = &planned.end {
                let da = &mut backward[planned.gradient_at_output(wide)];
                self.gradient(planned, head, batch, planned.output(forward, wide), da, outputs);
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
                self.gradient_tangent(planned, head, batch, (a, ra), rd, outputs);
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

impl Passes for Lanes<'_> {
    fn step(&self, number: usize, theta: Theta<'_>, trace: &mut Trace, scratch: &mut Scratch, next: &mut [f32]) {
        let (batch, network) = (self.batch(Side::Support), self.network);
        let Trace { forward, backward, gradient } = trace;
        self.forward(theta, batch, forward);
        if self.inner.keeps_gradients(network) {
            let destination = Destination::Store(gradient);
            self.backward(theta, batch, forward, backward, &mut scratch.outputs, destination);
            spread(theta.part(0, self.lanes.param_len, self.lanes.lanes()), next, self.lanes.lanes());
            self.apply(number, gradient, next);
        } else {
            let rates = self.inner.rates(self.rates).of_layers(number, network.layer_count()).unwrap_or_default();
            let destination = Destination::Step(next, &rates);
            self.backward(theta, batch, forward, backward, &mut scratch.outputs, destination);
        }
    }

    fn query_losses(&self, theta: Theta<'_>, trace: &mut Trace, scratch: &mut Scratch, losses: &mut [f32]) {
        self.forward(theta, self.batch(Side::Query), &mut trace.forward);
        self.all_losses(&trace.forward, &mut scratch.outputs, losses);
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
        self.all_losses(forward, &mut scratch.outputs, losses);
        let destination = Destination::Store(gradient);
        self.backward(theta, batch, forward, backward, &mut scratch.outputs, destination);
    }

    fn step_back(&self, number: usize, theta: Theta<'_>, trace: &Trace, scratch: &mut Scratch, adjoint: Adjoint<'_>) {
        if self.inner.learn_rates {
            self.gather_rates(number, adjoint.params, &trace.gradient, adjoint.rates);
        }
        if self.inner.first_order {
            return;
        }
        let Scratch { tangent, direction, outputs, .. } = scratch;
        if one_rate(self.network, self.inner) {
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
