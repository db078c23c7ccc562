//! The passes of one task, over the runtime's network as it stands.
//!
//! What the inner loop leaves as it is, from the front of the network on, passes the support once for all steps (ANIL, Raghu et al. 2020:
//! their inner loop is that of a head on features). The direction λ has nothing of it, so that its tangents are 0 and the way back through
//! it is linear in what comes from behind: once, too, of the sum over steps.

use sinew_models::rule::Rate;
use sinew_runtime::kernel::dense::Update;
use sinew_runtime::network::{Batch, Cotangent, Destination, LayerSet, Network, Tail, Traces};

use super::arena::{Adjoint, Front, Lengths, Scratch, Trace};
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
    let front = if inner.steps > 0 { network.frozen(inner.adapted) } else { 0 };
    let behind = network.behind(front);
    let back = |values: usize| if second_order { values } else { 0 };
    let front = if front > 0 {
        let of_features = rows[0] * behind.input_len();
        // The front's part of the traces.
        let [forward, backward] = [
            network.forward_len(rows[0]) - behind.forward_len(rows[0]),
            network.backward_len(rows[0]) - behind.backward_len(rows[0]),
        ];
        [forward, back(backward), back(of_features)]
    } else {
        [0; 3]
    };
    Lengths {
        params,
        forward: [behind.forward_len(rows[0]), network.forward_len(block(network, rows[1]))],
        backward: [behind.backward_len(rows[0]), network.backward_len(block(network, rows[1]))],
        gradient: if inner.keeps_gradients(network) { params } else { 0 },
        tangent: if second_order { network.tangent_len(rows[0]) } else { 0 },
        panel: network.panel_len(),
        front,
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
    /// What the inner loop changes, and all behind it.
    fn behind(&self) -> (usize, Tail<'a>) {
        let front = self.network.frozen(self.inner.adapted);
        (front, self.network.behind(front))
    }

    /// The support as the layers behind the first `front` take it.
    fn support<'s>(&self, front: usize, forward: &'s [f32]) -> Batch<'s>
    where
        'a: 's,
    {
        let Rows { x, y, rows } = &self.task.support;
        Batch::whole(self.network.features(front, x, *rows, forward), y, *rows)
    }

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
        let (network, here) = (self.network, theta.values());
        let (front, tail) = self.behind();
        let Scratch { panel, front: Front { forward: of_front, .. }, .. } = scratch;
        let (rates, panel) = (self.inner.rates(self.rates), &mut panel[..]);
        // The first step of all is the first that is taken.
        if front > 0 && number == 0 {
            let Rows { x, rows, .. } = &self.task.support;
            network.forward_layers(0..front, here, x, *rows, of_front, panel);
        }
        let support = self.support(front, of_front);
        let Trace { forward, backward, gradient } = trace;
        tail.forward(here, support.x, support.rows, forward, panel);
        if self.inner.keeps_gradients(network) {
            let (layers, update) = (LayerSet::ALL, Update::Store);
            let destination = Destination::Gradient { params: here, gradient, layers, update };
            tail.gradient(destination, support, forward, backward, panel);
            next.copy_from_slice(here);
            rates.apply(number, network, gradient, next);
        } else {
            let before = network.params_of(front).start;
            next[..before].copy_from_slice(&here[..before]);
            let mut traces = Traces { forward, backward, panel };
            rates.step(number, tail, (here, next), support, &mut traces);
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
        let (front, tail) = self.behind();
        let Scratch { tangent, panel, direction, front: Front { forward, backward, cotangent }, .. } = scratch;
        if number + 1 == inner.steps {
            cotangent.fill(0.0);
        }
        // α ∘ λ is what a step from 0 along −λ gives.
        direction.fill(0.0);
        inner.rates(self.rates).apply(number, network, adjoint.params, direction);
        // The direction is −α ∘ λ, so the product is added.
        tail.hessian_vector(
            (theta.values(), direction),
            self.support(front, forward),
            (&trace.forward, &trace.backward),
            tangent,
            panel,
            (&mut *adjoint.params, Update::Add(1.0)),
            (front > 0).then_some(&mut cotangent[..]),
        );
        // Along the direction the front stands still, so the way back through it is the same for all steps.
        if front > 0 && number == 0 {
            let (params, gradient) = (theta.values(), adjoint.params);
            let (layers, update) = (LayerSet::ALL, Update::Add(1.0));
            network.pull_back(
                Destination::Gradient { params, gradient, layers, update },
                (&self.task.support.x, self.task.support.rows),
                Cotangent::Front(front, cotangent),
                forward,
                backward,
                panel,
                None,
            );
        }
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
