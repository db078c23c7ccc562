//! The Hessian of the loss times a direction, exact, for about twice the cost of a gradient: the derivative of the gradient
//! computation itself along the direction (Pearlmutter, *Fast exact multiplication by the Hessian*, 1994).

use super::backward::first;
use super::layer::{Inputs, Planned, Tangents};
use super::{Batch, Network, Section, Tail};
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
        both: (&[f32], &[f32]),
        batch: Batch<'_>,
        traces: (&[f32], &[f32]),
        tangent: &mut [f32],
        panel: &mut [f32],
        to: (&mut [f32], Update),
    ) {
        self.behind(0).hessian_vector(both, batch, traces, tangent, panel, to, None);
    }
}

impl Tail<'_> {
    /// As [`Network::hessian_vector`], for its own layers: of the others neither `v` nor `product` is looked at. Where `inputs` are given,
    /// `[rows, inputs]`, they gain the derivative along `v` of the gradient with respect to what the tail takes, by which the product
    /// goes on through the layers before. `tangent` is as long as for the whole network.
    pub fn hessian_vector(
        &self,
        both: (&[f32], &[f32]),
        batch: Batch<'_>,
        traces: (&[f32], &[f32]),
        tangent: &mut [f32],
        panel: &mut [f32],
        (product, update): (&mut [f32], Update),
        inputs: Option<&mut [f32]>,
    ) {
        let (forward, _) = traces;
        self.tangent_forward(both, batch, forward, tangent, panel);
        for head in &self.network.heads {
            let Some(last) = self.network.layers.get(head.last) else { continue };
            let len = last.outputs() * batch.rows;
            let (ra, rd) = tangent[last.ra * batch.rows..].split_at_mut((last.rdz - last.ra) * batch.rows);
            rd[..len].copy_from_slice(&ra[..len]);
            let (a, targets) = (self.output(last, forward, Section::whole(batch.rows)), self.targets(head, batch.y));
            loss::gradient_tangent(head.loss, head.weight * batch.share(), a, targets, head.outputs, &mut rd[..len]);
            for layer in (head.first..=head.last).rev() {
                self.tangent_layer(layer, both, batch, traces, tangent, panel, (product, update));
            }
        }
        for layer in (self.first..self.network.backbone).rev() {
            self.tangent_layer(layer, both, batch, traces, tangent, panel, (product, update));
        }
        if let Some(inputs) = inputs {
            self.gather_tangents(both, batch, traces, tangent, panel, inputs);
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
        let (rows, all, path) = (batch.rows, Section::whole(batch.rows), self.network.path);
        for planned in &self.network.layers[self.first..] {
            let (below, here) = tangent.split_at_mut(planned.ra * rows);
            let (inputs, tangents) = (self.inputs(planned, batch.x, all, forward), self.tangents(planned, rows, below));
            let len = planned.outputs() * rows;
            let a = self.output(planned, forward, all);
            let (ra, behind) = here.split_at_mut(len);
            let (known, activation) = (self.known(planned, forward, all), planned.activation());
            if planned.curved() {
                let rz = &mut behind[..len];
                planned.sum_tangent(path, rows, inputs, tangents, both, a, rz, panel);
                activation::backward(path, activation, known, rz, ra);
            } else {
                planned.sum_tangent(path, rows, inputs, tangents, both, a, ra, panel);
                activation::backward_in_place(path, activation, known, ra);
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
        let (layers, path) = (&self.network.layers, self.network.path);
        let (planned, rows) = (&layers[layer], batch.rows);
        let all = Section::whole(rows);
        let len = planned.outputs() * rows;
        let (known, activation) = (self.known(planned, forward, all), planned.activation());
        let (dz, da) = backward[self.place_back(planned, rows)..].split_at(len);
        let (lower, here) = tangent.split_at_mut(planned.ra * rows);
        let (forward_part, rd) = here.split_at_mut((planned.rdz - planned.ra) * rows);
        let rd = &mut rd[..len];
        if planned.curved() {
            let rz = &forward_part[len..][..len];
            activation::backward_tangent(path, activation, known, &da[..len], rz, rd);
        } else if !planned.cut {
            // As in the gradient: a rectified layer's may have been cut where it was made.
            activation::backward_in_place(path, activation, known, rd);
        }
        let rd = &*rd;
        let inputs = self.inputs(planned, batch.x, all, forward);
        let own = |source: usize| (source >= self.first).then(|| &layers[source]);
        if let Some(source) = planned.source.and_then(own) {
            // Its derivative lies before, and the derivative of its gradient behind it.
            let (before, behind) = lower.split_at_mut(source.rdz * rows);
            let tangents = self.tangents(planned, rows, before);
            let gate = source.cut.then_some(inputs.x);
            let rdx = (&mut behind[..source.outputs() * rows], first(planned.first_at_source));
            let (pair, a) = ((inputs, tangents), self.output(planned, forward, all));
            planned.input_gradient_tangent(path, rows, pair, both, a, (dz, rd), gate, rdx, panel);
        }
        #[cfg(feature = "layers")]
        if let Some(skip) = planned.skip.flatten().and_then(own) {
            let rdx = &mut lower[skip.rdz * rows..][..skip.outputs() * rows];
            crate::kernel::arrange::put(path, rdx, rd, first(planned.first_at_skip));
        }
        let x = (inputs.x, self.tangents(planned, rows, lower).x);
        let to = planned.weight_and_bias_mut(product);
        planned.weight_gradient_tangent(path, rows, x, (dz, rd), to, update, panel);
    }

    /// Adds to `inputs`, from the derivatives of gradients that the way back left at the sums.
    fn gather_tangents(
        &self,
        both: (&[f32], &[f32]),
        batch: Batch<'_>,
        (forward, backward): (&[f32], &[f32]),
        tangent: &[f32],
        panel: &mut [f32],
        inputs: &mut [f32],
    ) {
        let (rows, all, path) = (batch.rows, Section::whole(batch.rows), self.network.path);
        let outside = |source: Option<usize>| source.is_none_or(|source| source < self.first);
        for planned in &self.network.layers[self.first..] {
            let len = planned.outputs() * rows;
            let rd = &tangent[planned.rdz * rows..][..len];
            if outside(planned.source) {
                let dz = &backward[self.place_back(planned, rows)..][..len];
                let pair: (Inputs<'_>, Tangents<'_>) =
                    (self.inputs(planned, batch.x, all, forward), self.tangents(planned, rows, tangent));
                let (a, to) = (self.output(planned, forward, all), (&mut *inputs, Update::Add(1.0)));
                planned.input_gradient_tangent(path, rows, pair, both, a, (dz, rd), None, to, panel);
            }
            #[cfg(feature = "layers")]
            if planned.skip.is_some_and(outside) {
                crate::kernel::arrange::put(path, inputs, rd, Update::Add(1.0));
            }
        }
    }

    /// The derivatives of what a layer takes; `None` for what comes from before the tail.
    fn tangents<'t>(&self, planned: &Planned, rows: usize, tangent: &'t [f32]) -> Tangents<'t> {
        let of = |source: Option<usize>| {
            let source = self.network.layers.get(source.filter(|source| *source >= self.first)?)?;
            tangent.get(source.ra * rows..)?.get(..source.outputs() * rows)
        };
        Tangents {
            x: of(planned.source),
            #[cfg(feature = "layers")]
            skip: planned.skip.and_then(of),
        }
    }
}
