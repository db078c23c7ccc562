//! The Hessian-vector product as launches: the derivative of the gradient computation along a direction (Pearlmutter 1994), as
//! `runtime/src/network/tangent.rs` has it.

use sinew_models::spec::Activation;

use super::passes::{Gradient, Passes};
use super::plan::{Kind, Planned, TangentTrace, Tangents, Trace};
use crate::cuda::arrange;
use crate::cuda::norm::Known;
use crate::cuda::pool::Pool;
use crate::cuda::{Address, PerTask, activation};

/// Parameters and a direction in them, and traces of both.
#[derive(Clone, Copy)]
pub(super) struct Along<'a> {
    pub params: PerTask,
    pub direction: PerTask,
    /// What a forward pass and the way back through all layers left.
    pub trace: &'a Trace,
    pub tangents: &'a TangentTrace,
}

impl Passes<'_> {
    /// H v by the parameters of all layers, H the Hessian of the loss.
    pub fn hessian_vector(&mut self, along: Along<'_>, product: Gradient) {
        let plan = self.plan;
        for index in 0..plan.layers.len() {
            self.tangent_forward(index, along);
        }
        for head in &plan.heads {
            let (here, of) = (&along.tangents.0[head.last], &along.trace.0[head.last]);
            self.launches.push(arrange::put(here.ra, here.rd, self.rows(), head.outputs, false));
            let launch = self.head(head, of.a).tangent(&self.side.rows, here.rd);
            self.launches.push(launch);
        }
        for index in plan.way_back() {
            self.tangent_back(index, along, product);
        }
    }

    /// The derivative of the output of a layer, or nowhere for the input of the network.
    fn tangent(layer: Option<usize>, tangents: &TangentTrace) -> Address {
        layer.map_or(Address::NONE, |layer| tangents.0[layer].ra)
    }

    fn known(&self, planned: &Planned, along: Along<'_>, [dz, rdz]: [Address; 2]) -> Known {
        let [w, v] = [along.params, along.direction].map(|of| of.plus(planned.layer.offset));
        let x = self.output(planned.source, along.trace);
        Known { x, rx: Self::tangent(planned.source, along.tangents), dz, rdz, w, v }
    }

    fn tangent_forward(&mut self, index: usize, along: Along<'_>) {
        let (planned, here, of) = (&self.plan.layers[index], &along.tangents.0[index], &along.trace.0[index]);
        let Known { x, rx, w, v, .. } = self.known(planned, along, [Address::NONE; 2]);
        let (rows, count, none) = (self.side.rows, planned.outputs() * self.rows(), rx == Address::NONE);
        match planned.kind {
            Kind::Convolve(convolve) => {
                let pairs = if none { [Some((x, v)), None] } else { [Some((rx, w)), Some((x, v))] };
                self.launches.push(convolve.forward(&rows, pairs, v, 0, here.rz, Address::NONE));
            }
            Kind::Norm(norm) => {
                let known = self.known(planned, along, [Address::NONE; 2]);
                norm.forward(&rows, &known, true, here.rz, self.scratch, self.launches);
            }
            Kind::Context([inputs, len]) => {
                self.put_before(rx, inputs, here.rz, inputs + len, false);
                self.launches.push(arrange::context(&rows, v, inputs, len, here.rz));
            }
            Kind::Residual => {
                let skip = planned.skip.map_or(Address::NONE, |skip| Self::tangent(skip, along.tangents));
                self.launches.push(arrange::put(rx, here.rz, rows.rows, planned.outputs(), false));
                if skip != Address::NONE {
                    self.launches.push(arrange::put(skip, here.rz, rows.rows, planned.outputs(), true));
                }
            }
            _ if none => self.launches.push(arrange::put(rx, here.rz, rows.rows, planned.outputs(), false)),
            Kind::Pool { geometry, max } => {
                self.launches.push(Pool { geometry, max, rows: rows.rows }.tangent(x, of.a, rx, here.rz));
            }
            Kind::Mixture(mixture) => {
                let known = self.known(planned, along, [Address::NONE; 2]);
                self.launches.push(mixture.forward(rows.rows, &known, here.rz));
            }
            Kind::Flatten(shape) => self.launches.push(arrange::transpose(rx, here.rz, rows.rows, shape, false)),
        }
        if planned.activation() != Activation::Identity {
            let known = of.known(planned);
            self.launches.push(activation::backward(planned.activation(), known, here.rz, here.ra, None, count));
        }
    }

    /// From the derivative of the gradient at a layer's output to those at its parameters and its sources.
    fn tangent_back(&mut self, index: usize, along: Along<'_>, product: Gradient) {
        let plan = self.plan;
        let (planned, here, of) = (&plan.layers[index], &along.tangents.0[index], &along.trace.0[index]);
        let count = planned.outputs() * self.rows();
        if planned.activation() != Activation::Identity {
            let bent = planned.curved().then_some((of.da, here.rz));
            let known = of.known(planned);
            self.launches.push(activation::backward(planned.activation(), known, here.rd, here.rd, bent, count));
        }
        let to = |layer: usize, first: bool| (along.tangents.0[layer].rd, !first);
        if let Some(source) = planned.source {
            self.tangent_at_source(planned, along, (of.a, of.dz), here, to(source, planned.first_at_source));
        }
        if let Some(skip) = planned.skip.flatten() {
            let (to, add) = to(skip, planned.first_at_skip);
            self.launches.push(arrange::put(here.rd, to, self.rows(), planned.outputs(), add));
        }
        if planned.layer.param_len() > 0 {
            self.tangent_at_weights(planned, along, of.dz, here, product);
        }
    }

    fn tangent_at_source(
        &mut self,
        planned: &Planned,
        along: Along<'_>,
        (a, dz): (Address, Address),
        here: &Tangents,
        (to, add): (Address, bool),
    ) {
        let (rows, known) = (self.side.rows, self.known(planned, along, [dz, here.rd]));
        match planned.kind {
            Kind::Convolve(convolve) => {
                let pairs = [Some((here.rd, known.w)), Some((dz, known.v))];
                self.launches.push(convolve.inputs(&rows, pairs, to, add));
            }
            Kind::Norm(norm) => norm.inputs(&rows, &known, to, add, self.scratch, self.launches),
            Kind::Mixture(mixture) => self.launches.push(mixture.inputs(rows.rows, &known, to, add)),
            // The others are linear, once the largest values are known.
            _ => self.input_gradient(planned, (known.x, a), here.rd, known.w, (to, add)),
        }
    }

    fn tangent_at_weights(
        &mut self,
        planned: &Planned,
        along: Along<'_>,
        dz: Address,
        here: &Tangents,
        Gradient { to, add }: Gradient,
    ) {
        let (rows, known, to) =
            (self.side.rows, self.known(planned, along, [dz, here.rd]), to.plus(planned.layer.offset));
        match planned.kind {
            Kind::Convolve(convolve) => {
                let moved = (known.rx != Address::NONE).then_some((dz, known.rx));
                let pairs = [Some((here.rd, known.x)), moved];
                convolve.weights(&rows, pairs, to, add, self.multiprocessors, self.scratch, self.launches);
            }
            Kind::Norm(norm) => norm.weights(&rows, &known, to, add, self.scratch, self.launches),
            Kind::Context([inputs, len]) => {
                self.launches.push(arrange::context_gradient(&rows, here.rd, inputs, len, to, add));
            }
            Kind::Pool { .. } | Kind::Residual | Kind::Flatten(_) | Kind::Mixture(_) => {}
        }
    }
}
