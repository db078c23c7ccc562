//! The memory of one worker: everything that the passes of one task leave behind, allocated once and grown as tasks grow.

use sinew_runtime::Network;

use crate::aligned::Aligned;

/// What one inner step leaves behind.
#[derive(Debug, Default)]
pub(super) struct Step {
    /// θ_k; unused for the first step, which starts at the shared parameters.
    pub params: Aligned,
    pub forward: Aligned,
    pub backward: Aligned,
    /// ∇L_S(θ_k), where it is kept.
    pub gradient: Aligned,
}

/// Memory for one task at a time.
#[derive(Debug, Default)]
pub(super) struct Arena {
    /// One for each inner step, and the last for the query pass at θ_S.
    pub steps: Vec<Step>,
    pub tangent: Aligned,
    pub panel: Aligned,
    /// λ, the gradient of the query loss with respect to θ_k.
    pub adjoint: Aligned,
    /// α ∘ λ.
    pub direction: Aligned,
    /// The gradient with respect to the rates.
    pub rates: Vec<f32>,
}

impl Arena {
    /// Makes room for `steps` inner steps over `support` rows and a query of `query` rows.
    pub fn make_room(
        &mut self,
        network: &Network,
        steps: usize,
        support: usize,
        query: usize,
        gradients: bool,
        rates: usize,
    ) {
        let params = network.param_len();
        self.steps.resize_with(steps + 1, Step::default);
        for (number, step) in self.steps.iter_mut().enumerate() {
            let rows = if number < steps { support } else { query };
            grow(&mut step.params, if number > 0 { params } else { 0 });
            grow(&mut step.forward, network.forward_len(rows));
            grow(&mut step.backward, network.backward_len(rows));
            grow(&mut step.gradient, if gradients && number < steps { params } else { 0 });
        }
        grow(&mut self.tangent, network.tangent_len(support));
        grow(&mut self.panel, network.panel_len());
        grow(&mut self.adjoint, params);
        grow(&mut self.direction, params);
        self.rates.clear();
        self.rates.resize(rates, 0.0);
    }
}

fn grow(memory: &mut Aligned, len: usize) {
    if memory.len() < len {
        *memory = Aligned::zeros(len);
    }
}
