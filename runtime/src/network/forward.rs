//! Inputs to outputs, and what they cost.

use core::ops::Range;

use super::{Batch, Network, Section, Tail};
use crate::kernel::activation;
use crate::kernel::loss;
use crate::part::cut;

impl Network {
    /// Runs `rows` presented rows `x` through all layers; leaves outputs and what the gradient needs in the trace `forward`.
    ///
    /// `panel` is scratch of [`Network::panel_len`] values.
    pub fn forward(&self, params: &[f32], x: &[f32], rows: usize, forward: &mut [f32], panel: &mut [f32]) {
        self.behind(0).forward(params, x, rows, forward, panel);
    }

    /// As [`Network::forward`] for some of the layers: the first of them takes `x`, and so does every other whose source is not among
    /// them.
    pub fn forward_layers(
        &self,
        layers: Range<usize>,
        params: &[f32],
        x: &[f32],
        rows: usize,
        forward: &mut [f32],
        panel: &mut [f32],
    ) {
        self.behind(0).forward_layers(layers, params, x, rows, forward, panel);
    }

    /// The loss of a forward trace, Σ λ L over heads; of a part of the rows, its share in that of the whole.
    pub fn loss(&self, batch: Batch<'_>, forward: &[f32]) -> f32 {
        self.behind(0).loss(batch, forward)
    }
}

impl Tail<'_> {
    /// As [`Network::forward`], for its own layers.
    pub fn forward(&self, params: &[f32], x: &[f32], rows: usize, forward: &mut [f32], panel: &mut [f32]) {
        self.forward_layers(self.numbers(), params, x, rows, forward, panel);
    }

    // One copy for all callers, to save flash.
    #[cfg_attr(target_os = "none", inline(never))]
    fn forward_layers(
        &self,
        layers: Range<usize>,
        params: &[f32],
        x: &[f32],
        rows: usize,
        forward: &mut [f32],
        panel: &mut [f32],
    ) {
        let path = self.network.path;
        for planned in self.network.layers.get(layers).unwrap_or_default() {
            let (below, here) = cut(forward, self.place(planned, rows));
            let inputs = self.inputs(planned, x, Section::whole(rows), below);
            let (a, behind) = cut(here, planned.outputs() * rows);
            planned.sum(path, rows, inputs, params, a, panel);
            if planned.deep() {
                behind.iter_mut().zip(&*a).for_each(|(to, a)| *to = *a);
            }
            if !planned.rectified() {
                activation::forward(path, planned.activation(), a);
            }
        }
    }

    /// λ L of one head on a section of the rows of a trace, whose targets are `y [rows, outputs]`; 0 if there is no such head.
    #[cfg(feature = "masks")]
    pub(crate) fn loss_of_head(&self, head: usize, y: &[f32], rows: Section, forward: &[f32]) -> f32 {
        let Some(head) = self.network.heads.get(head) else { return 0.0 };
        let Some(last) = self.network.layers.get(head.last) else { return 0.0 };
        loss::value(head.loss, head.weight, self.output(last, forward, rows), self.targets(head, y), head.outputs)
    }

    /// As [`Network::loss`].
    pub fn loss(&self, batch: Batch<'_>, forward: &[f32]) -> f32 {
        let share = batch.share();
        let heads = self.network.heads.iter().filter_map(|head| {
            let a = self.output(self.network.layers.get(head.last)?, forward, Section::whole(batch.rows));
            Some(loss::value(head.loss, head.weight * share, a, self.targets(head, batch.y), head.outputs))
        });
        heads.sum()
    }
}
