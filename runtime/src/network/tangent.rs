//! The Hessian of the loss times a direction, exact, for about twice the cost of a gradient: the derivative of the gradient
//! computation itself along the direction (Pearlmutter, *Fast exact multiplication by the Hessian*, 1994).

use super::backward::first;
use super::{Batch, Network, Section};
use crate::kernel::activation;
use crate::kernel::dense::Update;
use crate::kernel::loss;

impl Network {
    /// `product += factor · H v` (or `= H v` with [`Update::Store`]), H the Hessian of the loss at `params`, for all layers.
    ///
    /// `forward` and `backward` are the traces that [`Network::forward`] and [`Network::gradient`] left at the same parameters and
    /// batch, with the gradient wanted for all layers down to the lowest. `tangent` is scratch of [`Network::tangent_len`], `panel` of
    /// [`Network::panel_len`].
    pub fn hessian_vector(
        &self,
        (params, v): (&[f32], &[f32]),
        batch: Batch<'_>,
        (forward, backward): (&[f32], &[f32]),
        tangent: &mut [f32],
        panel: &mut [f32],
        (product, update): (&mut [f32], Update),
    ) {
        let whole = self.behind(0);
        self.tangent_forward((params, v), batch, forward, tangent, panel);
        for head in &self.heads {
            let Some(last) = self.layers.get(head.last) else { continue };
            let len = last.outputs() * batch.rows;
            let (ra, rd) = tangent[last.ra * batch.rows..].split_at_mut((last.rdz - last.ra) * batch.rows);
            rd[..len].copy_from_slice(&ra[..len]);
            let (a, targets) = (whole.output(last, forward, Section::whole(batch.rows)), whole.targets(head, batch.y));
            loss::gradient_tangent(head.loss, head.weight * batch.share(), a, targets, head.outputs, &mut rd[..len]);
            for layer in (head.first..=head.last).rev() {
                self.tangent_layer(layer, (params, v), batch, (forward, backward), tangent, panel, (product, update));
            }
        }
        for layer in (0..self.backbone).rev() {
            self.tangent_layer(layer, (params, v), batch, (forward, backward), tangent, panel, (product, update));
        }
    }

    fn tangent_forward(
        &self,
        both: (&[f32], &[f32]),
        batch: Batch<'_>,
        forward: &[f32],
        tangent: &mut [f32],
        panel: &mut [f32],
    ) {
        let (rows, all) = (batch.rows, Section::whole(batch.rows));
        let whole = self.behind(0);
        for planned in &self.layers {
            let (below, here) = tangent.split_at_mut(planned.ra * rows);
            let (inputs, tangents) =
                (whole.inputs(planned, batch.x, all, forward), self.tangents(planned, rows, below));
            let len = planned.outputs() * rows;
            let a = whole.output(planned, forward, all);
            let (ra, behind) = here.split_at_mut(len);
            let (known, activation) = (whole.known(planned, forward, all), planned.activation());
            if planned.curved() {
                let rz = &mut behind[..len];
                planned.sum_tangent(self.path, rows, inputs, tangents, both, a, rz, panel);
                activation::backward(self.path, activation, known, rz, ra);
            } else {
                planned.sum_tangent(self.path, rows, inputs, tangents, both, a, ra, panel);
                activation::backward_in_place(self.path, activation, known, ra);
            }
        }
    }

    /// From the derivative of the gradient at a layer's output to those at its parameters and at its sources.
    fn tangent_layer(
        &self,
        layer: usize,
        both: (&[f32], &[f32]),
        batch: Batch<'_>,
        (forward, backward): (&[f32], &[f32]),
        tangent: &mut [f32],
        panel: &mut [f32],
        (product, update): (&mut [f32], Update),
    ) {
        let (planned, rows, whole) = (&self.layers[layer], batch.rows, self.behind(0));
        let all = Section::whole(rows);
        let len = planned.outputs() * rows;
        let (known, activation) = (whole.known(planned, forward, all), planned.activation());
        let (dz, da) = backward[planned.dz * rows..].split_at(len);
        let (lower, here) = tangent.split_at_mut(planned.ra * rows);
        let (forward_part, rd) = here.split_at_mut((planned.rdz - planned.ra) * rows);
        let rd = &mut rd[..len];
        if planned.curved() {
            let rz = &forward_part[len..][..len];
            activation::backward_tangent(self.path, activation, known, &da[..len], rz, rd);
        } else if !planned.cut {
            // As in the gradient: a rectified layer's may have been cut where it was made.
            activation::backward_in_place(self.path, activation, known, rd);
        }
        let rd = &*rd;
        let inputs = whole.inputs(planned, batch.x, all, forward);
        if let Some(source) = planned.source.map(|source| &self.layers[source]) {
            // Its derivative lies before, and the derivative of its gradient behind it.
            let (before, behind) = lower.split_at_mut(source.rdz * rows);
            let tangents = self.tangents(planned, rows, before);
            let gate = source.cut.then_some(inputs.x);
            let rdx = (&mut behind[..source.outputs() * rows], first(planned.first_at_source));
            let pair = (inputs, tangents);
            planned.input_gradient_tangent(
                self.path,
                rows,
                pair,
                both,
                whole.output(planned, forward, all),
                (dz, rd),
                gate,
                rdx,
                panel,
            );
        }
        #[cfg(feature = "layers")]
        if let Some(skip) = planned.skip.flatten().map(|skip| &self.layers[skip]) {
            let rdx = &mut lower[skip.rdz * rows..][..skip.outputs() * rows];
            crate::kernel::arrange::put(self.path, rdx, rd, first(planned.first_at_skip));
        }
        let x = (inputs.x, self.tangents(planned, rows, lower).x);
        let to = planned.weight_and_bias_mut(product);
        planned.weight_gradient_tangent(self.path, rows, x, (dz, rd), to, update, panel);
    }
}
