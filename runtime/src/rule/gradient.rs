//! Gradient descent on the support loss from a meta-learned start: θ_{k+1} = θ_k − α ∘ ∇L(θ_k).
//!
//! MAML (Finn et al. 2017, eq. 1), with one rate; ANIL (Raghu et al. 2020), heads only; Meta-SGD (Li et al. 2017), a rate for each
//! parameter; MAML++ (Antoniou et al. 2019), a rate for each layer and step.

use sinew_models::rule::Rate;
use sinew_models::spec::MAX_LAYERS;

use crate::kernel::scale::{add_scaled, subtract_product};
use crate::network::{Destination, LayerSet, Network};

/// The inner rates α: what they are, and their numbers in the layout of the tensor `rule.rate`.
#[derive(Clone, Copy, Debug)]
pub struct Rates<'a> {
    /// What the numbers are for.
    pub kind: Rate,
    /// The numbers.
    pub values: &'a [f32],
    /// The layers that are adapted; the rates of all others count as 0.
    pub adapted: LayerSet,
}

/// What one gradient needs besides parameters: the batch, and the memory of its passes.
#[derive(Debug)]
pub struct Pass<'a> {
    /// Presented inputs, `[rows, presented]`.
    pub x: &'a [f32],
    /// Targets, `[rows, outputs]`.
    pub y: &'a [f32],
    /// Rows of the batch.
    pub rows: usize,
    /// Forward trace.
    pub forward: &'a mut [f32],
    /// Backward trace.
    pub backward: &'a mut [f32],
    /// Panel.
    pub panel: &'a mut [f32],
}

impl Rates<'_> {
    /// α of each layer at `step`, where it is one number for the layer; `None` for a rate for each parameter.
    ///
    /// Steps past the last row of a rate for each layer and step use that last row.
    pub fn of_layers(&self, step: usize, layers: usize) -> Option<[f32; MAX_LAYERS]> {
        let row = match self.kind {
            Rate::Constant => self.values.first().copied().map(|rate| [rate; MAX_LAYERS])?,
            Rate::PerLayerStep => {
                let last = (self.values.len() / layers.max(1)).checked_sub(1)?;
                let mut row = [0.0; MAX_LAYERS];
                let from = self.values.chunks_exact(layers.max(1)).nth(step.min(last))?;
                row.iter_mut().zip(from).for_each(|(to, from)| *to = *from);
                row
            }
            Rate::PerParameter => return None,
        };
        Some(core::array::from_fn(|layer| if self.adapted.has(layer) { row[layer] } else { 0.0 }))
    }

    /// One step in place, from a forward trace at `params`; returns the loss before the step.
    ///
    /// `gradient` is scratch of `param_len` values for a rate for each parameter, and may be empty otherwise.
    pub fn step(
        &self,
        step: usize,
        network: &Network,
        params: &mut [f32],
        pass: &mut Pass<'_>,
        gradient: &mut [f32],
    ) -> f32 {
        match self.of_layers(step, network.layer_count()) {
            Some(rates) => {
                let destination = Destination::Step { params, rates: &rates };
                network.gradient(destination, pass.x, pass.rows, pass.y, pass.forward, pass.backward)
            }
            None => {
                let destination = Destination::Store { params, gradient, layers: self.adapted };
                let loss = network.gradient(destination, pass.x, pass.rows, pass.y, pass.forward, pass.backward);
                self.apply(step, network, gradient, params);
                loss
            }
        }
    }

    /// `params −= α ∘ gradient`, for the adapted layers.
    pub fn apply(&self, step: usize, network: &Network, gradient: &[f32], params: &mut [f32]) {
        let rates = self.of_layers(step, network.layer_count());
        for layer in (0..network.layer_count()).filter(|layer| self.adapted.has(*layer)) {
            let range = network.params_of(layer);
            let (params, gradient) = (&mut params[range.clone()], &gradient[range.clone()]);
            match &rates {
                Some(rates) => add_scaled(network.path(), params, -rates[layer], gradient),
                None => subtract_product(network.path(), params, &self.values[range], gradient),
            }
        }
    }
}
