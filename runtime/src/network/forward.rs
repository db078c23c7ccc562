//! Inputs to outputs, and what they cost.

use super::{Batch, Network};
use crate::kernel::activation::{self, needs_input};
use crate::kernel::loss;
use crate::part::cut;

impl Network {
    /// Runs `rows` presented rows `x` through all layers; leaves outputs and what the gradient needs in the trace `forward`.
    ///
    /// `panel` is scratch of [`Network::panel_len`] values.
    pub fn forward(&self, params: &[f32], x: &[f32], rows: usize, forward: &mut [f32], panel: &mut [f32]) {
        self.forward_layers(0..self.layers.len(), params, x, rows, forward, panel);
    }

    /// As [`Network::forward`] for some of the layers: the first of them takes `x`, and so does every other whose source is not among
    /// them.
    pub fn forward_layers(
        &self,
        layers: core::ops::Range<usize>,
        params: &[f32],
        x: &[f32],
        rows: usize,
        forward: &mut [f32],
        panel: &mut [f32],
    ) {
        for planned in self.layers.get(layers).unwrap_or_default() {
            let (below, here) = cut(forward, planned.a * rows);
            let inputs = self.inputs(planned, x, rows, below);
            let (a, behind) = cut(here, planned.outputs() * rows);
            planned.sum(self.path, rows, inputs, params, a, panel);
            if needs_input(planned.layer.activation()) {
                behind.iter_mut().zip(&*a).for_each(|(to, a)| *to = *a);
            }
            if !planned.rectified() {
                activation::forward(self.path, planned.layer.activation(), a);
            }
        }
    }

    /// The loss of a forward trace, Σ λ L over heads; of a part of the rows, its share in that of the whole.
    pub fn loss(&self, batch: Batch<'_>, forward: &[f32]) -> f32 {
        let share = batch.share();
        let heads = self.heads.iter().filter_map(|head| {
            let a = self.layers.get(head.last)?.output(forward, batch.rows);
            Some(loss::value(head.loss, head.weight * share, a, self.targets(head, batch.y), head.outputs))
        });
        heads.sum()
    }
}
