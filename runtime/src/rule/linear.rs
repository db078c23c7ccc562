//! The heads of a network as one linear layer on its features: what the rules without gradients fill.

use crate::network::Tail;
use crate::part::{part, part_mut};

/// All heads, each one dense layer, stacked: weight `[outputs, features]`, then bias `[outputs]`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Heads<'a> {
    /// The part of the network behind its features.
    pub network: Tail<'a>,
    /// For each output the factor and the addend of `rule.logit`; without it 1 and 0.
    pub logit: &'a [f32],
}

impl Heads<'_> {
    pub(crate) const fn len(features: usize, outputs: usize) -> usize {
        (features + 1) * outputs
    }

    fn features(&self) -> usize {
        self.network.input_len()
    }

    fn factor_and_addend(&self, output: usize) -> (f32, f32) {
        match *part(self.logit, 2 * output, 2) {
            [factor, addend] => (factor, addend),
            _ => (1.0, 0.0),
        }
    }

    /// Takes the heads out of `params`, as the regression has them.
    pub(crate) fn stack(&self, params: &[f32], stacked: &mut [f32]) {
        let (features, outputs) = (self.features(), self.network.output_len());
        for (column, weight, bias) in self.network.linear_outputs() {
            let (factor, addend) = self.factor_and_addend(column);
            let from = part(params, weight, features);
            part_mut(stacked, column * features, features).iter_mut().zip(from).for_each(|(to, w)| *to = w / factor);
            let from = part(params, bias, 1);
            part_mut(stacked, outputs * features + column, 1)
                .iter_mut()
                .zip(from)
                .for_each(|(to, b)| *to = (b - addend) / factor);
        }
    }

    /// Puts the regression's heads into `params`.
    pub(crate) fn unstack(&self, stacked: &[f32], params: &mut [f32]) {
        let (features, outputs) = (self.features(), self.network.output_len());
        for (column, weight, bias) in self.network.linear_outputs() {
            let (factor, addend) = self.factor_and_addend(column);
            let from = part(stacked, column * features, features);
            part_mut(params, weight, features).iter_mut().zip(from).for_each(|(to, w)| *to = factor * w);
            let from = part(stacked, outputs * features + column, 1);
            part_mut(params, bias, 1).iter_mut().zip(from).for_each(|(to, b)| *to = factor * b + addend);
        }
    }
}
