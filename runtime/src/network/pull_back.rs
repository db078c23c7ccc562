//! The way back from a gradient that somebody else computes: the vector-Jacobian product of the network.

use super::backward::Destination;
use super::{Batch, LayerSet, Network, Section};
use crate::kernel::activation;
use crate::kernel::dense::Update;
use crate::part::part;

/// A gradient that comes from behind the network, of a loss that somebody else computes.
#[derive(Clone, Copy, Debug)]
pub enum Cotangent<'a> {
    /// At the outputs, `[rows, outputs]`, heads side by side.
    Outputs(&'a [f32]),
    /// At the features that the heads see, `[rows, features]`: the heads take no part.
    Features(&'a [f32]),
    /// At what so many layers from the front of the backbone make, as [`Network::frozen`] allows; those behind them take no part.
    Front(usize, &'a [f32]),
}

impl Network {
    /// The vector-Jacobian product of [`Network::forward`]: from a gradient at the outputs or at the features to that with respect to
    /// the parameters, to where `destination` says, and, where they are asked for, to that with respect to the `inputs`,
    /// `[rows, presented]`. Of layers that take no part, nothing is written.
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
        let (batch, tail, all) = (Batch::whole(x, &[], rows), self.behind(0), Section::whole(rows));
        let needed = match inputs {
            // The first layers may have no parameters, but the way to the inputs leads through them.
            Some(_) => LayerSet::ALL,
            None => tail.needed(|layer| destination.wants(layer)),
        };
        let taking_part = match cotangent {
            Cotangent::Outputs(_) => self.layers.len(),
            Cotangent::Features(_) => self.backbone,
            Cotangent::Front(layers, _) => layers,
        };
        match cotangent {
            Cotangent::Outputs(cotangent) => {
                for head in &self.heads {
                    let Some(last) = self.layers.get(head.last) else { continue };
                    let to = tail.gradient_at_output(last, backward, rows).chunks_exact_mut(head.outputs.max(1));
                    for (to, from) in to.zip(cotangent.chunks_exact(self.output_len.max(1))) {
                        to.iter_mut().zip(part(from, head.column, head.outputs)).for_each(|(to, from)| *to = *from);
                    }
                    for layer in (head.first..=head.last).rev() {
                        tail.layer_gradient(layer, &mut destination, needed, batch, (forward, all), backward, panel);
                    }
                }
            }
            Cotangent::Features(cotangent) | Cotangent::Front(_, cotangent) => {
                let Some(last) = taking_part.checked_sub(1).and_then(|last| self.layers.get(last)) else {
                    // The features are the inputs.
                    if let Some(inputs) = inputs {
                        inputs.iter_mut().zip(cotangent).for_each(|(to, from)| *to = *from);
                    }
                    return;
                };
                let to = tail.gradient_at_output(last, backward, rows);
                to.iter_mut().zip(cotangent).for_each(|(to, from)| *to = *from);
                if last.cut {
                    // A head would have cut it.
                    activation::backward_in_place(self.path, last.activation(), tail.known(last, forward, all), to);
                }
            }
        }
        for layer in (0..self.backbone.min(taking_part)).rev() {
            tail.layer_gradient(layer, &mut destination, needed, batch, (forward, all), backward, panel);
        }
        if let Some(inputs) = inputs {
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
        let tail = self.behind(0);
        for planned in self.layers.iter().take(layers) {
            let dz = part(backward, tail.place_back(planned, rows), planned.outputs() * rows);
            if planned.source.is_none() {
                let to = (&mut *inputs, Update::Add(1.0));
                let a = tail.output(planned, forward, Section::whole(rows));
                planned.input_gradient(self.path, rows, x, params, a, dz, None, to, panel);
            }
            #[cfg(feature = "layers")]
            if planned.skip == Some(None) {
                crate::kernel::arrange::put(self.path, inputs, dz, Update::Add(1.0));
            }
        }
    }
}
