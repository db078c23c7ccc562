//! Predictions of a network at any parameters, in the units of the world: what baselines and plots ask for.

use sinew_runtime::Network;

use crate::aligned::Aligned;
use crate::scaling::Scaling;

/// Rows that run through the network at once.
const ROWS: usize = 64;

/// Runs a network forward; owns the memory for it.
#[derive(Debug)]
pub struct Forward<'a> {
    network: &'a Network,
    scaling: &'a Scaling,
    trace: Aligned,
    panel: Aligned,
}

impl<'a> Forward<'a> {
    /// For `network`, whose rows are presented as `scaling` says.
    pub fn new(network: &'a Network, scaling: &'a Scaling) -> Self {
        let trace = Aligned::zeros(network.forward_len(ROWS));
        Self { network, scaling, trace, panel: Aligned::zeros(network.panel_len()) }
    }

    /// Predicts for rows `x [rows, input]` into `y [rows, output]` at `params`, relative to the support mean `mean`: values in the units
    /// of the world, probabilities for classes.
    pub fn predict(&mut self, params: &[f32], mean: Option<&[f32]>, x: &[f32], y: &mut [f32]) {
        self.outputs(params, mean, x, y);
        self.finish(y);
    }

    /// As [`Forward::predict`], but what the network gives: scaled values, and for classes logits.
    pub fn outputs(&mut self, params: &[f32], mean: Option<&[f32]>, x: &[f32], y: &mut [f32]) {
        let (inputs, outputs) = (self.scaling.input_len(), self.scaling.output_len());
        for (x, y) in x.chunks(ROWS * inputs).zip(y.chunks_mut(ROWS * outputs)) {
            let rows = x.len() / inputs;
            let presented = self.scaling.present(mean, x);
            let trace = &mut self.trace[..self.network.forward_len(rows)];
            self.network.forward(params, &presented, rows, trace, &mut self.panel);
            self.network.outputs(trace, rows, y);
        }
    }

    /// Makes predictions of outputs, in place.
    pub fn finish(&self, y: &mut [f32]) {
        let scales = self.scaling.output_mean.iter().zip(&self.scaling.output_scale).cycle();
        y.iter_mut().zip(scales).for_each(|(y, (mean, scale))| *y = mean + scale * *y);
        self.network.predict(y);
    }
}
