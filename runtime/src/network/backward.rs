//! The gradient, by going back through the layers (Rumelhart, Hinton and Williams 1986).

use super::layer::Planned;
use super::{Batch, LayerSet, Network};
use crate::kernel::activation;
use crate::kernel::dense::Update;
use crate::kernel::loss;
use crate::part::{cut, part, part_mut};

/// What becomes of the gradient.
#[derive(Debug)]
pub enum Destination<'a> {
    /// It is written to `gradient`, in the layout of the parameters, or added to it; layers outside `layers` are left as they are.
    Gradient {
        /// The parameters at which it is taken.
        params: &'a [f32],
        /// Where it goes.
        gradient: &'a mut [f32],
        /// For which layers it is wanted.
        layers: LayerSet,
        /// Whether it replaces or is added.
        update: Update,
    },
    /// A step of gradient descent is taken at once: θ' = θ − α ∇L, with an α for each layer.
    Step {
        /// θ.
        params: &'a [f32],
        /// θ', of all layers but those before the first of this network, which are left as they are.
        stepped: &'a mut [f32],
        /// α of each layer of the whole network; 0 leaves a layer as it is.
        rates: &'a [f32],
    },
}

impl Destination<'_> {
    fn params(&self) -> &[f32] {
        match self {
            Destination::Gradient { params, .. } | Destination::Step { params, .. } => params,
        }
    }

    // One copy for all callers, to save flash.
    #[inline(never)]
    fn wants(&self, layer: usize) -> bool {
        match self {
            Destination::Gradient { layers, .. } => layers.has(layer),
            Destination::Step { rates, .. } => rates.get(layer).is_some_and(|rate| *rate != 0.0),
        }
    }
}

/// A gradient that comes from behind the network, of a loss that somebody else computes.
#[derive(Clone, Copy, Debug)]
pub enum Cotangent<'a> {
    /// At the outputs, `[rows, outputs]`, heads side by side.
    Outputs(&'a [f32]),
    /// At the features that the heads see, `[rows, features]`: the heads take no part.
    Features(&'a [f32]),
}

impl Network {
    /// The loss of a trace that [`Network::forward`] filled, and its gradient with respect to the parameters, to where `destination`
    /// says. The trace `backward` keeps the gradients at the sums. Of a part of the rows, both are its share in those of the whole.
    ///
    /// `panel` is scratch of [`Network::panel_len`] values.
    pub fn gradient(
        &self,
        mut destination: Destination<'_>,
        batch: Batch<'_>,
        forward: &[f32],
        backward: &mut [f32],
        panel: &mut [f32],
    ) -> f32 {
        let (mut total, share) = (0.0, batch.share());
        let needed = self.needed(|layer| destination.wants(self.first + layer));
        for head in &self.heads {
            let Some(last) = self.layers.get(head.last) else { continue };
            let a = last.output(forward, batch.rows);
            let da = gradient_at_output(last, backward, batch.rows);
            let targets = self.targets(head, batch.y);
            total += loss::value_and_gradient(head.loss, head.weight * share, a, targets, head.outputs, da);
            for layer in (head.first..=head.last).rev() {
                self.layer_gradient(layer, &mut destination, needed, batch, forward, backward, panel);
            }
        }
        for layer in (0..self.backbone).rev() {
            self.layer_gradient(layer, &mut destination, needed, batch, forward, backward, panel);
        }
        total
    }

    /// The vector-Jacobian product of [`Network::forward`]: from a gradient at the outputs or at the features to that with respect to
    /// the parameters, to where `destination` says, and, where they are asked for, to that with respect to the `inputs`,
    /// `[rows, presented]`. Of heads that take no part, nothing is written.
    ///
    /// `x` and `rows` are those of the trace `forward`; `backward` and `panel` are as for [`Network::gradient`].
    pub fn pull_back(
        &self,
        mut destination: Destination<'_>,
        (x, rows): (&[f32], usize),
        cotangent: Cotangent<'_>,
        forward: &[f32],
        backward: &mut [f32],
        panel: &mut [f32],
        inputs: Option<&mut [f32]>,
    ) {
        let batch = Batch::whole(x, &[], rows);
        let needed = match inputs {
            // The first layers may have no parameters, but the way to the inputs leads through them.
            Some(_) => LayerSet::ALL,
            None => self.needed(|layer| destination.wants(self.first + layer)),
        };
        match cotangent {
            Cotangent::Outputs(cotangent) => {
                for head in &self.heads {
                    let Some(last) = self.layers.get(head.last) else { continue };
                    let to = gradient_at_output(last, backward, rows).chunks_exact_mut(head.outputs.max(1));
                    for (to, from) in to.zip(cotangent.chunks_exact(self.output_len.max(1))) {
                        to.iter_mut().zip(part(from, head.column, head.outputs)).for_each(|(to, from)| *to = *from);
                    }
                    for layer in (head.first..=head.last).rev() {
                        self.layer_gradient(layer, &mut destination, needed, batch, forward, backward, panel);
                    }
                }
            }
            Cotangent::Features(cotangent) => {
                let Some(last) = self.backbone.checked_sub(1).and_then(|last| self.layers.get(last)) else {
                    // The features are the inputs.
                    if let Some(inputs) = inputs {
                        inputs.iter_mut().zip(cotangent).for_each(|(to, from)| *to = *from);
                    }
                    return;
                };
                let to = gradient_at_output(last, backward, rows);
                to.iter_mut().zip(cotangent).for_each(|(to, from)| *to = *from);
                if last.cut {
                    // A head would have cut it.
                    activation::backward_in_place(self.path, last.layer.activation(), last.known(forward, rows), to);
                }
            }
        }
        for layer in (0..self.backbone).rev() {
            self.layer_gradient(layer, &mut destination, needed, batch, forward, backward, panel);
        }
        if let Some(inputs) = inputs {
            let taking_part = match cotangent {
                Cotangent::Outputs(_) => self.layers.len(),
                Cotangent::Features(_) => self.backbone,
            };
            self.gather_at_inputs(taking_part, destination.params(), (x, rows), forward, backward, inputs, panel);
        }
    }

    /// The gradient with respect to the inputs, from those that the way back left at the sums of the first `layers` layers.
    fn gather_at_inputs(
        &self,
        layers: usize,
        params: &[f32],
        (x, rows): (&[f32], usize),
        forward: &[f32],
        backward: &[f32],
        inputs: &mut [f32],
        panel: &mut [f32],
    ) {
        inputs.fill(0.0);
        for planned in self.layers.iter().take(layers) {
            let dz = part(backward, planned.dz * rows, planned.outputs() * rows);
            if planned.source.is_none() {
                let to = (&mut *inputs, Update::Add(1.0));
                planned.input_gradient(self.path, rows, x, params, forward, dz, None, to, panel);
            }
            #[cfg(feature = "layers")]
            if planned.skip == Some(None) {
                crate::kernel::arrange::put(self.path, inputs, dz, Update::Add(1.0));
            }
        }
    }

    /// From the gradient at the output of one layer to that of its parameters and, where it is needed, of its sources.
    fn layer_gradient(
        &self,
        layer: usize,
        destination: &mut Destination<'_>,
        needed: LayerSet,
        batch: Batch<'_>,
        forward: &[f32],
        backward: &mut [f32],
        panel: &mut [f32],
    ) {
        let Some(planned) = self.layers.get(layer) else { return };
        let rows = batch.rows;
        if needed.has(layer) {
            let len = planned.outputs() * rows;
            let known = planned.known(forward, rows);
            let (lower, here) = cut(backward, planned.dz * rows);
            let (dz, behind) = cut(here, len);
            if planned.curved() {
                activation::backward(self.path, planned.layer.activation(), known, part(behind, 0, len), dz);
            } else if !planned.cut {
                activation::backward_in_place(self.path, planned.layer.activation(), known, dz);
            }
            let (dz, params) = (&*dz, destination.params());
            let inputs = self.inputs(planned, batch.x, rows, forward);
            let wanted = |source: usize| self.layers.get(source).filter(|_| needed.has(source));
            if let Some(source) = planned.source.and_then(wanted) {
                let gate = source.cut.then_some(inputs.x);
                let dx = (gradient_at_output(source, lower, rows), first(planned.first_at_source));
                planned.input_gradient(self.path, rows, inputs.x, params, forward, dz, gate, dx, panel);
            }
            #[cfg(feature = "layers")]
            if let Some(skip) = planned.skip.flatten().and_then(wanted) {
                let dx = gradient_at_output(skip, lower, rows);
                crate::kernel::arrange::put(self.path, dx, dz, first(planned.first_at_skip));
            }
            self.layer_update(layer, destination, batch, inputs.x, dz, panel);
        } else {
            self.layer_update(layer, destination, batch, &[], &[], panel);
        }
    }

    /// What becomes of one layer's parameters, given the gradient at its sum.
    fn layer_update(
        &self,
        layer: usize,
        destination: &mut Destination<'_>,
        batch: Batch<'_>,
        x: &[f32],
        dz: &[f32],
        panel: &mut [f32],
    ) {
        let Some(planned) = self.layers.get(layer) else { return };
        let number = self.first + layer;
        if planned.layer.param_len() == 0 {
            return;
        }
        let wanted = destination.wants(number);
        match destination {
            Destination::Gradient { gradient, update, .. } if wanted => {
                let to = planned.weight_and_bias_mut(gradient);
                planned.weight_gradient(self.path, batch.rows, x, dz, to, *update, panel);
            }
            Destination::Gradient { .. } => {}
            Destination::Step { params, stepped, rates } => match rates.get(number) {
                Some(rate) if wanted => {
                    planned.step(self.path, batch.rows, x, dz, (params, stepped), -rate, panel);
                }
                _ => {
                    let range = self.params_of(number);
                    let (Some(to), Some(from)) = (stepped.get_mut(range.clone()), params.get(range)) else { return };
                    to.iter_mut().zip(from).for_each(|(to, from)| *to = *from);
                }
            },
        }
    }
}

/// Where the gradient at the output of a layer is gathered: behind the gradient at the sum if curved, else in its place.
fn gradient_at_output<'t>(planned: &Planned, backward: &'t mut [f32], rows: usize) -> &'t mut [f32] {
    let len = planned.outputs() * rows;
    let behind = if planned.curved() { len } else { 0 };
    part_mut(backward, planned.dz * rows + behind, len)
}

/// The first to put a gradient somewhere replaces what is there, the others add to it.
pub(super) fn first(is_first: bool) -> Update {
    if is_first { Update::Store } else { Update::Add(1.0) }
}
