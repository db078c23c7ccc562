//! The Hessian of the loss times a direction, exact, for about twice the cost of a gradient: the derivative of the gradient
//! computation itself along the direction (Pearlmutter, *Fast exact multiplication by the Hessian*, 1994).

use super::{Network, Planned};
use crate::kernel::activation;
use crate::kernel::dense::{self, Update};
use crate::kernel::loss;

impl Network {
    /// `product += factor · H v` (or `= H v` with [`Update::Store`]), H the Hessian of the loss at `params`, for all layers.
    ///
    /// `forward` and `backward` are the traces that [`Network::forward`] and [`Network::gradient`] left at the same parameters, rows
    /// and targets, with the gradient wanted for all layers down to the lowest. `tangent` is scratch of [`Network::tangent_len`].
    pub fn hessian_vector(
        &self,
        params: &[f32],
        v: &[f32],
        x: &[f32],
        rows: usize,
        targets: &[f32],
        (forward, backward): (&[f32], &[f32]),
        tangent: &mut [f32],
        panel: &mut [f32],
        product: &mut [f32],
        update: Update,
    ) {
        self.tangent_forward(params, v, x, rows, forward, tangent, panel);
        for (number, head) in self.heads.iter().enumerate() {
            let last = &self.layers[head.last];
            let len = last.layer.outputs * rows;
            let (ra, rd) = tangent[last.ra * rows..].split_at_mut((last.rdz - last.ra) * rows);
            rd[..len].copy_from_slice(&ra[..len]);
            let (a, targets) = (last.output(forward, rows), self.targets(head, targets));
            loss::gradient_tangent(head.loss, head.weight, a, targets, head.outputs, &mut rd[..len]);
            for layer in (head.first..=head.last).rev() {
                let below = if layer == head.first && number > 0 { Update::Add(1.0) } else { Update::Store };
                self.tangent_layer(layer, params, v, x, rows, (forward, backward), tangent, product, update, below);
            }
        }
        for layer in (0..self.backbone).rev() {
            self.tangent_layer(layer, params, v, x, rows, (forward, backward), tangent, product, update, Update::Store);
        }
    }

    fn tangent_forward(
        &self,
        params: &[f32],
        v: &[f32],
        x: &[f32],
        rows: usize,
        forward: &[f32],
        tangent: &mut [f32],
        panel: &mut [f32],
    ) {
        for planned in &self.layers {
            let (below, here) = tangent.split_at_mut(planned.ra * rows);
            let (input, rinput) = self.tangent_source(planned, x, rows, forward, below);
            let len = planned.layer.outputs * rows;
            let (ra, behind) = here.split_at_mut(len);
            let (w, v, vb) = (planned.weight(params), planned.weight(v), planned.bias(v));
            let (size, known) = (planned.size(rows), planned.known(forward, rows));
            if planned.curved() {
                let rz = &mut behind[..len];
                dense::forward_tangent(self.path, size, (input, rinput), (w, v), vb, rz, panel);
                activation::backward(self.path, planned.layer.activation, known, rz, ra);
            } else {
                dense::forward_tangent(self.path, size, (input, rinput), (w, v), vb, ra, panel);
                activation::backward_in_place(self.path, planned.layer.activation, known, ra);
            }
        }
    }

    /// The input of a layer and its derivative; the network's own input has none.
    fn tangent_source<'t>(
        &self,
        planned: &Planned,
        x: &'t [f32],
        rows: usize,
        forward: &'t [f32],
        tangent: &'t [f32],
    ) -> (&'t [f32], Option<&'t [f32]>) {
        match planned.source.map(|source| &self.layers[source]) {
            None => (x, None),
            Some(source) => {
                (source.output(forward, rows), Some(&tangent[source.ra * rows..][..source.layer.outputs * rows]))
            }
        }
    }

    /// From the derivative of the gradient at a layer's output to those at its parameters and at its source.
    fn tangent_layer(
        &self,
        layer: usize,
        params: &[f32],
        v: &[f32],
        x: &[f32],
        rows: usize,
        (forward, backward): (&[f32], &[f32]),
        tangent: &mut [f32],
        product: &mut [f32],
        update: Update,
        below: Update,
    ) {
        let planned = &self.layers[layer];
        let size = planned.size(rows);
        let len = planned.layer.outputs * rows;
        let known = planned.known(forward, rows);
        let (dz, da) = backward[planned.dz * rows..].split_at(len);
        let (lower, here) = tangent.split_at_mut(planned.ra * rows);
        let (forward_part, rd) = here.split_at_mut((planned.rdz - planned.ra) * rows);
        let rd = &mut rd[..len];
        if planned.curved() {
            let rz = &forward_part[len..][..len];
            activation::backward_tangent(self.path, planned.layer.activation, known, &da[..len], rz, rd);
        } else if !planned.rectified() || self.heads.iter().any(|head| head.last == layer) {
            // As in the gradient: a rectified layer's was cut where it was made.
            activation::backward_in_place(self.path, planned.layer.activation, known, rd);
        }
        let (w, direction) = (planned.weight(params), planned.weight(v));
        if let Some(source) = planned.source.map(|source| &self.layers[source]) {
            let rdx = &mut lower[source.rdz * rows..][..source.layer.outputs * rows];
            let gate = source.rectified().then(|| source.output(forward, rows));
            dense::input_gradient_tangent(self.path, size, (dz, rd), (w, direction), gate, rdx, below);
        }
        let (input, rinput) = self.tangent_source(planned, x, rows, forward, lower);
        let (rdw, rdb) = planned.weight_and_bias_mut(product);
        dense::weight_gradient_tangent(self.path, size, (dz, rd), (input, rinput), rdw, rdb, update);
    }
}
