//! Inputs to outputs, and what they cost.

use super::Network;
use crate::kernel::activation::{self, needs_input};
use crate::kernel::{dense, loss};

impl Network {
    /// Runs `rows` presented rows `x` through all layers; leaves outputs and what the gradient needs in the trace `forward`.
    ///
    /// `panel` is scratch of [`Network::panel_len`] values.
    pub fn forward(&self, params: &[f32], x: &[f32], rows: usize, forward: &mut [f32], panel: &mut [f32]) {
        self.forward_from(0, params, x, rows, forward, panel);
    }

    /// As [`Network::forward`] for the heads alone: the trace holds the backbone's outputs already.
    pub fn forward_heads(&self, params: &[f32], x: &[f32], rows: usize, forward: &mut [f32], panel: &mut [f32]) {
        self.forward_from(self.backbone, params, x, rows, forward, panel);
    }

    fn forward_from(
        &self,
        first: usize,
        params: &[f32],
        x: &[f32],
        rows: usize,
        forward: &mut [f32],
        panel: &mut [f32],
    ) {
        for planned in &self.layers[first..] {
            let (below, here) = forward.split_at_mut(planned.a * rows);
            let input = match planned.source {
                None => x,
                Some(source) => self.layers[source].output(below, rows),
            };
            let (a, behind) = here.split_at_mut(planned.layer.outputs * rows);
            let weight_and_bias = (planned.weight(params), planned.bias(params));
            let rectified = planned.rectified();
            dense::forward(self.path, planned.size(rows), input, weight_and_bias, rectified, a, panel);
            if needs_input(planned.layer.activation) {
                behind[..a.len()].copy_from_slice(a);
            }
            if !rectified {
                activation::forward(self.path, planned.layer.activation, a);
            }
        }
    }

    /// The loss of a forward trace: Σ λ L over heads.
    pub fn loss(&self, forward: &[f32], rows: usize, targets: &[f32]) -> f32 {
        let heads = self.heads.iter().map(|head| {
            let a = self.layers[head.last].output(forward, rows);
            loss::value(head.loss, head.weight, a, self.targets(head, targets), head.outputs)
        });
        heads.sum()
    }
}
