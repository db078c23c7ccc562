//! The gradient, by going back through the layers (Rumelhart, Hinton and Williams 1986).

use super::{LayerSet, Network, Planned};
use crate::kernel::activation;
use crate::kernel::dense::{self, Update};
use crate::kernel::loss;

/// What becomes of the gradient.
#[derive(Debug)]
pub enum Destination<'a> {
    /// It is written to `gradient`, in the layout of the parameters; layers outside `layers` are left as they are.
    Store {
        /// The parameters at which it is taken.
        params: &'a [f32],
        /// Where it goes.
        gradient: &'a mut [f32],
        /// For which layers it is wanted.
        layers: LayerSet,
    },
    /// The parameters take a step of gradient descent at once: θ ← θ − α ∇L, with an α for each layer; 0 leaves a layer alone.
    Step {
        /// The parameters.
        params: &'a mut [f32],
        /// α of each layer.
        rates: &'a [f32],
    },
}

impl Destination<'_> {
    fn params(&self) -> &[f32] {
        match self {
            Destination::Store { params, .. } => params,
            Destination::Step { params, .. } => params,
        }
    }

    // One copy for all callers, to save flash.
    #[inline(never)]
    fn wants(&self, layer: usize) -> bool {
        match self {
            Destination::Store { layers, .. } => layers.has(layer),
            Destination::Step { rates, .. } => rates.get(layer).is_some_and(|rate| *rate != 0.0),
        }
    }

    fn target(&mut self, layer: usize, planned: &Planned) -> (&mut [f32], &mut [f32], Update) {
        let (values, update) = match self {
            Destination::Store { gradient, .. } => (&mut **gradient, Update::Store),
            Destination::Step { params, rates } => (&mut **params, Update::Add(-rates[layer])),
        };
        let (w, b) = planned.weight_and_bias_mut(values);
        (w, b, update)
    }
}

impl Network {
    /// The loss at `targets` of a trace that [`Network::forward`] filled, and its gradient with respect to the parameters,
    /// to where `destination` says. The trace `backward` keeps the gradients at the sums.
    pub fn gradient(
        &self,
        mut destination: Destination<'_>,
        x: &[f32],
        rows: usize,
        targets: &[f32],
        forward: &[f32],
        backward: &mut [f32],
    ) -> f32 {
        let mut total = 0.0;
        let heads_reach_backbone = (0..self.backbone).any(|layer| destination.wants(layer));
        for (number, head) in self.heads.iter().enumerate() {
            let last = &self.layers[head.last];
            let a = last.output(forward, rows);
            let da = self.gradient_at_output(last, backward, rows);
            total += loss::value_and_gradient(head.loss, head.weight, a, self.targets(head, targets), head.outputs, da);
            for layer in (head.first..=head.last).rev() {
                let below = if layer == head.first {
                    heads_reach_backbone
                } else {
                    heads_reach_backbone || (head.first..layer).any(|layer| destination.wants(layer))
                };
                // The second head and those after it add to what the backbone has got.
                let update = if layer == head.first && number > 0 { Update::Add(1.0) } else { Update::Store };
                self.layer_gradient(layer, &mut destination, x, rows, forward, backward, below.then_some(update));
            }
        }
        for layer in (0..self.backbone).rev() {
            let below = (0..layer).any(|layer| destination.wants(layer));
            if below || destination.wants(layer) {
                self.layer_gradient(
                    layer,
                    &mut destination,
                    x,
                    rows,
                    forward,
                    backward,
                    below.then_some(Update::Store),
                );
            }
        }
        total
    }

    /// Where the gradient at the output of a layer is gathered: behind the gradient at the sum if curved, else in its place.
    fn gradient_at_output<'t>(&self, planned: &Planned, backward: &'t mut [f32], rows: usize) -> &'t mut [f32] {
        let len = planned.layer.outputs * rows;
        let behind = if planned.curved() { len } else { 0 };
        &mut backward[planned.dz * rows + behind..][..len]
    }

    /// From the gradient at the output of one layer to that of its parameters and, if `below` says how, of its source.
    fn layer_gradient(
        &self,
        layer: usize,
        destination: &mut Destination<'_>,
        x: &[f32],
        rows: usize,
        forward: &[f32],
        backward: &mut [f32],
        below: Option<Update>,
    ) {
        let planned = &self.layers[layer];
        let size = planned.size(rows);
        let len = planned.layer.outputs * rows;
        let known = planned.known(forward, rows);
        let (lower, here) = backward.split_at_mut(planned.dz * rows);
        let (dz, behind) = here.split_at_mut(len);
        if planned.curved() {
            activation::backward(self.path, planned.layer.activation, known, &behind[..len], dz);
        } else if !planned.rectified() || self.heads.iter().any(|head| head.last == layer) {
            // The gradient at a rectified output was cut where it was made, unless a loss made it.
            activation::backward_in_place(self.path, planned.layer.activation, known, dz);
        }
        let dz = &*dz;
        let input = match planned.source {
            None => x,
            Some(source) => {
                let source = &self.layers[source];
                let input = source.output(forward, rows);
                if let Some(update) = below {
                    let dx = self.gradient_at_output(source, lower, rows);
                    let gate = source.rectified().then_some(input);
                    dense::input_gradient(
                        self.path,
                        size,
                        (dz, planned.weight(destination.params())),
                        gate,
                        dx,
                        update,
                    );
                }
                input
            }
        };
        if destination.wants(layer) {
            let (dw, db, update) = destination.target(layer, planned);
            dense::weight_gradient(self.path, size, dz, input, dw, db, update);
        }
    }
}
