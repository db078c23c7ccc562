//! The passes of a network over one side of a batch, as launches: forward, and back.

use std::ops::Range;

use sinew_models::spec::Activation;

use super::plan::{Kind, Places, Plan, Planned, Trace};
use super::tasks::SideRows;
use crate::cuda::arrange::{self, Columns};
use crate::cuda::loss::HeadLoss;
use crate::cuda::norm::{Known, Norm};
use crate::cuda::pool::Pool;
use crate::cuda::{Address, Launch, PerTask, Ragged, activation};

/// The passes over one side of a batch.
pub(super) struct Passes<'a> {
    pub plan: &'a Plan,
    pub side: SideRows,
    /// Of the device, to have work for all of them.
    pub multiprocessors: u32,
    /// Of as many words as [`Passes::scratch`] says.
    pub scratch: Address,
    pub launches: &'a mut Vec<Launch>,
}

/// Where the gradient by the parameters goes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Gradient {
    /// `[params]` of each task.
    pub to: PerTask,
    /// Whether it is added to what is there.
    pub add: bool,
}

/// What is known without parameters and without a direction.
fn of_gradient(x: Address, dz: Address) -> Known {
    let (none, no_params) = (Address::NONE, PerTask::default());
    Known { x, rx: none, dz, rdz: none, w: no_params, v: no_params }
}

impl Passes<'_> {
    /// Words of scratch that the passes over such rows need.
    pub fn scratch(plan: &Plan, rows: &Ragged, multiprocessors: u32) -> usize {
        let of = |planned: &Planned| match planned.kind {
            Kind::Convolve(convolve) => convolve.scratch(rows, multiprocessors),
            Kind::Norm(_) => Norm::scratch(rows.rows),
            _ => 0,
        };
        plan.layers.iter().map(of).max().unwrap_or(0)
    }

    pub(super) fn rows(&self) -> usize {
        self.side.rows.rows
    }

    /// The output of a layer, or the input of the network.
    pub(super) fn output(&self, layer: Option<usize>, trace: &Trace) -> Address {
        layer.map_or(self.side.x, |layer| trace.0[layer].a)
    }

    /// Runs layers; leaves outputs and what the way back needs in the trace.
    pub fn forward(&mut self, layers: Range<usize>, params: PerTask, trace: &Trace) {
        let plan = self.plan;
        for index in layers {
            let (planned, here) = (&plan.layers[index], &trace.0[index]);
            let (x, w) = (self.output(planned.source, trace), params.plus(planned.layer.offset));
            let (rows, count) = (self.side.rows, planned.outputs() * self.rows());
            let mut activated = planned.activation() == Activation::Identity;
            match planned.kind {
                Kind::Convolve(convolve) => {
                    let code = activation::code(planned.activation());
                    self.launches.push(convolve.forward(&rows, [Some((x, w)), None], w, code, here.a, here.z));
                    activated = true;
                }
                Kind::Pool { geometry, max } => {
                    self.launches.push(Pool { geometry, max, rows: rows.rows }.forward(x, here.a));
                }
                Kind::Norm(norm) => {
                    let known = Known { w, ..of_gradient(x, Address::NONE) };
                    norm.forward(&rows, &known, false, here.a, self.scratch, self.launches);
                }
                Kind::Residual => {
                    let skip = planned.skip.map_or(Address::NONE, |skip| self.output(skip, trace));
                    self.launches.push(arrange::put(x, here.a, rows.rows, planned.outputs(), false));
                    self.launches.push(arrange::put(skip, here.a, rows.rows, planned.outputs(), true));
                }
                Kind::Flatten(shape) => {
                    self.launches.push(arrange::transpose(x, here.a, rows.rows, shape, false));
                }
                Kind::Context([inputs, len]) => {
                    self.put_before(x, inputs, here.a, inputs + len, false);
                    self.launches.push(arrange::context(&rows, w, inputs, len, here.a));
                }
                Kind::Mixture(mixture) => {
                    self.launches.push(mixture.forward(rows.rows, &of_gradient(x, Address::NONE), here.a))
                }
            }
            if !activated {
                self.launches.push(activation::forward(planned.activation(), here.a, here.a, here.z, count));
            }
        }
    }

    /// `to (+)=` the first `len` values of a row, whose rows are `row` long.
    pub(super) fn put_before(&mut self, from: Address, len: usize, to: Address, row: usize, add: bool) {
        let (from, to) = (Columns::whole(from, len), Columns::whole(to, row));
        self.launches.push(arrange::place(from, to, self.rows(), len, add));
    }

    /// The outputs that a trace holds, heads side by side.
    pub fn outputs(&mut self, trace: &Trace, into: Address) {
        let (plan, rows) = (self.plan, self.rows());
        for head in &plan.heads {
            let from = Columns::whole(trace.0[head.last].a, head.outputs);
            let to = Columns { at: into, row: plan.output_len, first: head.column };
            self.launches.push(arrange::place(from, to, rows, head.outputs, false));
        }
    }

    /// Puts a gradient behind the network, `[rows, outputs]`, at the outputs of its heads.
    pub fn cotangent(&mut self, cotangent: Address, trace: &Trace) {
        let (plan, rows) = (self.plan, self.rows());
        for head in &plan.heads {
            let from = Columns { at: cotangent, row: plan.output_len, first: head.column };
            let to = Columns::whole(trace.0[head.last].da, head.outputs);
            self.launches.push(arrange::place(from, to, rows, head.outputs, false));
        }
    }

    /// The losses of a trace, to where `losses` is, replaced or added, and the gradients at the outputs, where they are `wanted`. With
    /// `others`, the rows are a part of a batch, and those are the starts of its other part.
    pub fn losses(&mut self, trace: &Trace, others: Address, wanted: bool, losses: Address, mut add: bool) {
        for head in &self.plan.heads {
            let places = &trace.0[head.last];
            let d = if wanted { places.da } else { Address::NONE };
            let launch = self.head(head, places.a).gradient(&self.side.rows, others, d, losses, add);
            self.launches.push(launch);
            add = true;
        }
    }

    pub(super) fn head(&self, head: &super::plan::PlannedHead, z: Address) -> HeadLoss {
        let super::plan::PlannedHead { loss, weight, outputs, column, .. } = *head;
        HeadLoss { loss, weight, outputs, z, y: self.side.y, targets: self.plan.output_len, column }
    }

    /// From the gradients at the outputs of the layers that `way` begins with to those by the parameters of the layers that are `wanted`,
    /// through those that are `needed`.
    pub fn back(
        &mut self,
        way: impl Iterator<Item = usize>,
        params: PerTask,
        trace: &Trace,
        needed: &[bool],
        wanted: impl Fn(usize) -> bool,
        gradient: Gradient,
    ) {
        let plan = self.plan;
        for index in way.filter(|index| needed[*index]) {
            let (planned, here) = (&plan.layers[index], &trace.0[index]);
            self.slope(planned, here);
            if let Some(source) = planned.source.filter(|source| needed[*source]) {
                self.at_source(planned, here, params, trace, (trace.0[source].da, !planned.first_at_source));
            }
            if let Some(skip) = planned.skip.flatten().filter(|skip| needed[*skip]) {
                let (to, add) = (trace.0[skip].da, !planned.first_at_skip);
                self.launches.push(arrange::put(here.dz, to, self.rows(), planned.outputs(), add));
            }
            if planned.layer.param_len() > 0 && wanted(index) {
                self.at_weights(planned, here, trace, gradient);
            }
        }
    }

    /// From the gradient at the output to that at the sum.
    fn slope(&mut self, planned: &Planned, here: &Places) {
        if planned.activation() != Activation::Identity {
            let count = planned.outputs() * self.rows();
            let known = here.known(planned);
            self.launches.push(activation::backward(planned.activation(), known, here.da, here.dz, None, count));
        }
    }

    /// From the gradient at the sum to that at the source, `to`.
    pub(super) fn at_source(
        &mut self,
        planned: &Planned,
        here: &Places,
        params: PerTask,
        trace: &Trace,
        (to, add): (Address, bool),
    ) {
        let (x, w) = (self.output(planned.source, trace), params.plus(planned.layer.offset));
        self.input_gradient(planned, (x, here.a), here.dz, w, (to, add));
    }

    /// The same, for a gradient `d` at the sum, of a layer that takes `x` and puts out `a`.
    pub(super) fn input_gradient(
        &mut self,
        planned: &Planned,
        (x, a): (Address, Address),
        d: Address,
        w: PerTask,
        (to, add): (Address, bool),
    ) {
        let rows = self.side.rows;
        match planned.kind {
            Kind::Convolve(convolve) => self.launches.push(convolve.inputs(&rows, [Some((d, w)), None], to, add)),
            Kind::Pool { geometry, max } => {
                self.launches.push(Pool { geometry, max, rows: rows.rows }.backward(x, a, d, to, add));
            }
            Kind::Norm(norm) => {
                let known = Known { w, ..of_gradient(x, d) };
                norm.inputs(&rows, &known, to, add, self.scratch, self.launches);
            }
            Kind::Mixture(mixture) => self.launches.push(mixture.inputs(rows.rows, &of_gradient(x, d), to, add)),
            Kind::Residual => self.launches.push(arrange::put(d, to, rows.rows, planned.outputs(), add)),
            Kind::Flatten([pixels, channels]) => {
                self.launches.push(arrange::transpose(d, to, rows.rows, [channels, pixels], add));
            }
            Kind::Context([inputs, len]) => {
                let (from, to) = (Columns::whole(d, inputs + len), Columns::whole(to, inputs));
                self.launches.push(arrange::place(from, to, rows.rows, inputs, add));
            }
        }
    }

    /// From the gradient at the sum to that by the parameters of the layer.
    fn at_weights(&mut self, planned: &Planned, here: &Places, trace: &Trace, Gradient { to, add }: Gradient) {
        let (x, to, rows) = (self.output(planned.source, trace), to.plus(planned.layer.offset), self.side.rows);
        match planned.kind {
            Kind::Convolve(convolve) => {
                let pairs = [Some((here.dz, x)), None];
                convolve.weights(&rows, pairs, to, add, self.multiprocessors, self.scratch, self.launches);
            }
            Kind::Norm(norm) => {
                norm.weights(&rows, &of_gradient(x, here.dz), to, add, self.scratch, self.launches);
            }
            Kind::Context([inputs, len]) => {
                self.launches.push(arrange::context_gradient(&rows, here.dz, inputs, len, to, add));
            }
            Kind::Pool { .. } | Kind::Residual | Kind::Flatten(_) | Kind::Mixture(_) => {}
        }
    }

    /// The gradient by the inputs of the network, from those that the way back left at the sums of the layers that took part.
    pub fn at_inputs(&mut self, layers: Range<usize>, params: PerTask, trace: &Trace, into: Address) {
        let plan = self.plan;
        let mut add = false;
        for index in layers {
            let (planned, here) = (&plan.layers[index], &trace.0[index]);
            if planned.source.is_none() {
                self.at_source(planned, here, params, trace, (into, add));
                add = true;
            }
            if planned.skip == Some(None) {
                self.launches.push(arrange::put(here.dz, into, self.rows(), planned.outputs(), add));
                add = true;
            }
        }
        if !add {
            self.launches.push(arrange::put(Address::NONE, into, self.rows(), plan.input_len, false));
        }
    }
}
