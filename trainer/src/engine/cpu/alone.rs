//! The passes of one task, over the runtime's network as it stands.

use sinew_models::rule::Rate;
use sinew_runtime::kernel::dense::Update;
use sinew_runtime::network::{Batch, Destination, LayerSet, Network, Traces};

use super::arena::{Adjoint, Lengths, Scratch, Trace};
use super::recursion::{Passes, Theta};
use crate::engine::{InnerLoop, Rows, TaskRows};

/// One task of a meta-step.
pub(super) struct Alone<'a> {
    pub network: &'a Network,
    pub inner: &'a InnerLoop,
    pub rates: &'a [f32],
    pub task: &'a TaskRows,
}

/// Values of the traces of rows that pass through the network together where nothing of them is needed later: half of a common second
/// cache.
const BLOCK: usize = 1 << 17;

/// How many rows of a query go together.
fn block(network: &Network, rows: usize) -> usize {
    let most = (BLOCK / (network.forward_len(1) + network.backward_len(1)).max(1)).max(1);
    // As even as they can be.
    rows.div_ceil(rows.div_ceil(most).max(1))
}

/// What a task with so many support and query rows needs.
pub(super) fn lengths(network: &Network, inner: &InnerLoop, rows: [usize; 2]) -> Lengths {
    let params = network.param_len();
    let second_order = !inner.first_order && inner.steps > 0;
    Lengths {
        params,
        forward: [network.forward_len(rows[0]), network.forward_len(block(network, rows[1]))],
        backward: [network.backward_len(rows[0]), network.backward_len(block(network, rows[1]))],
        gradient: if inner.keeps_gradients(network) { params } else { 0 },
        tangent: if second_order { network.tangent_len(rows[0]) } else { 0 },
        panel: network.panel_len(),
        direction: if second_order { params } else { 0 },
        ..Lengths::default()
    }
}

impl Theta<'_> {
    fn values(&self) -> &[f32] {
        let (Self::Shared(values) | Self::Own(values)) = self;
        values
    }
}

impl<'a> Alone<'a> {
    /// The query, in parts that stay in the second cache.
    fn query_blocks(&self) -> impl Iterator<Item = Batch<'a>> + use<'a> {
        let Rows { x, y, rows } = &self.task.query;
        let (len, outputs) = (self.network.input_len(), self.network.output_len());
        let (rows, block) = (*rows, block(self.network, *rows).max(1));
        (0..rows).step_by(block).map(move |from| {
            let here = block.min(rows - from);
            Batch { x: &x[from * len..][..here * len], y: &y[from * outputs..][..here * outputs], rows: here, of: rows }
        })
    }
}

impl Passes for Alone<'_> {
    fn step(&self, number: usize, theta: Theta<'_>, trace: &mut Trace, scratch: &mut Scratch, next: &mut [f32]) {
        let (network, here, support) = (self.network, theta.values(), &self.task.support);
        let (rates, panel) = (self.inner.rates(self.rates), &mut scratch.panel[..]);
        let Trace { forward, backward, gradient } = trace;
        network.forward(here, &support.x, support.rows, forward, panel);
        if self.inner.keeps_gradients(network) {
            let (layers, update) = (LayerSet::ALL, Update::Store);
            let destination = Destination::Gradient { params: here, gradient, layers, update };
            network.gradient(destination, support.batch(), forward, backward, panel);
            next.copy_from_slice(here);
            rates.apply(number, network, gradient, next);
        } else {
            let mut traces = Traces { forward, backward, panel };
            rates.step(number, network.behind(0), (here, next), support.batch(), &mut traces);
        }
    }

    fn query_losses(&self, theta: Theta<'_>, trace: &mut Trace, scratch: &mut Scratch, losses: &mut [f32]) {
        let mut loss = 0.0;
        for batch in self.query_blocks() {
            self.network.forward(theta.values(), batch.x, batch.rows, &mut trace.forward, &mut scratch.panel);
            loss += self.network.loss(batch, &trace.forward);
        }
        losses.fill(loss);
    }

    fn query_gradient(
        &self,
        theta: Theta<'_>,
        trace: &mut Trace,
        scratch: &mut Scratch,
        losses: &mut [f32],
        gradient: &mut [f32],
    ) {
        let (params, panel) = (theta.values(), &mut scratch.panel[..]);
        let Trace { forward, backward, .. } = trace;
        if self.task.query.rows == 0 {
            // Nothing is computed, and what is there is of another task.
            gradient.fill(0.0);
        }
        let (mut loss, mut update, layers) = (0.0, Update::Store, LayerSet::ALL);
        for batch in self.query_blocks() {
            self.network.forward(params, batch.x, batch.rows, forward, panel);
            let destination = Destination::Gradient { params, gradient: &mut *gradient, layers, update };
            loss += self.network.gradient(destination, batch, forward, backward, panel);
            update = Update::Add(1.0);
        }
        losses.fill(loss);
    }

    fn step_back(&self, number: usize, theta: Theta<'_>, trace: &Trace, scratch: &mut Scratch, adjoint: Adjoint<'_>) {
        let (network, inner) = (self.network, self.inner);
        if inner.learn_rates {
            gather_rates(network, inner, number, adjoint.params, &trace.gradient, adjoint.rates);
        }
        if inner.first_order {
            return;
        }
        let Scratch { tangent, panel, direction, .. } = scratch;
        // α ∘ λ is what a step from 0 along −λ gives.
        direction.fill(0.0);
        inner.rates(self.rates).apply(number, network, adjoint.params, direction);
        // The direction is −α ∘ λ, so the product is added.
        network.hessian_vector(
            (theta.values(), direction),
            self.task.support.batch(),
            (&trace.forward, &trace.backward),
            tangent,
            panel,
            (adjoint.params, Update::Add(1.0)),
        );
    }
}

/// ∂L/∂α −= λ ∘ g, summed over the parameters that share a rate.
fn gather_rates(
    network: &Network,
    inner: &InnerLoop,
    step: usize,
    adjoint: &[f32],
    gradient: &[f32],
    rates: &mut [f32],
) {
    let layers = network.layer_count();
    for layer in (0..layers).filter(|layer| inner.adapted.has(*layer)) {
        let range = network.params_of(layer);
        let products = adjoint[range.clone()].iter().zip(&gradient[range.clone()]).map(|(l, g)| l * g);
        match inner.rate {
            Rate::Constant => rates[0] -= products.sum::<f32>(),
            Rate::PerLayerStep => rates[step * layers + layer] -= products.sum::<f32>(),
            Rate::PerParameter => rates[range].iter_mut().zip(products).for_each(|(rate, product)| *rate -= product),
        }
    }
}
