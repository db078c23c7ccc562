//! One task of a meta-step: the inner loop, and the way back through it.
//!
//! With θ₀ = θ and θ_{k+1} = θ_k − α ∘ ∇L_S(θ_k), the adjoint λ_S = ∇L_Q(θ_S) goes back by λ_k = λ_{k+1} − H_k (α ∘ λ_{k+1}),
//! H_k = ∇²L_S(θ_k), to the exact meta-gradient λ₀ (Finn et al. 2017, eq. 1, differentiated); ∂L/∂α gathers −λ_{k+1} ∘ ∇L_S(θ_k).
//! No graph is kept: of each step only θ_k and its activations.

use sinew_models::rule::Rate;
use sinew_runtime::Network;
use sinew_runtime::kernel::dense::Update;
use sinew_runtime::network::{Destination, LayerSet, Traces};

use super::arena::Arena;
use super::{InnerLoop, TaskRows};

/// Runs the inner loop of `task` from `params` and leaves θ_1 … θ_S, and the passes that led there, in the arena.
fn adapt(network: &Network, inner: &InnerLoop, params: &[f32], rates: &[f32], task: &TaskRows, arena: &mut Arena) {
    let rates = inner.rates(rates);
    let support = &task.support;
    let keeps = inner.keeps_gradients(network);
    let Arena { steps, panel, .. } = arena;
    for number in 0..inner.steps {
        let (before, after) = steps.split_at_mut(number + 1);
        let (step, next) = (&mut before[number], &mut after[0].params);
        let here: &[f32] = if number == 0 { params } else { &step.params };
        let (forward, backward) = (&mut step.forward[..], &mut step.backward[..]);
        network.forward(here, &support.x, support.rows, forward, panel);
        if keeps {
            let (gradient, layers, update) = (&mut step.gradient, LayerSet::ALL, Update::Store);
            let destination = Destination::Gradient { params: here, gradient, layers, update };
            network.gradient(destination, support.batch(), forward, backward, panel);
            next.copy_from_slice(here);
            rates.apply(number, network, &step.gradient, next);
        } else {
            let mut traces = Traces { forward, backward, panel };
            rates.step(number, network.behind(0), (here, next), support.batch(), &mut traces);
        }
    }
}

/// The query loss after the inner loop.
pub(super) fn loss(
    network: &Network,
    inner: &InnerLoop,
    params: &[f32],
    rates: &[f32],
    task: &TaskRows,
    arena: &mut Arena,
) -> f32 {
    adapt(network, inner, params, rates, task, arena);
    let Arena { steps, panel, .. } = arena;
    let Some(last) = steps.get_mut(inner.steps) else { return f32::NAN };
    let params = if inner.steps == 0 { params } else { &last.params };
    network.forward(params, &task.query.x, task.query.rows, &mut last.forward, panel);
    network.loss(task.query.batch(), &last.forward)
}

/// The query loss after the inner loop; its gradients with respect to parameters and rates are left in the arena.
pub(super) fn gradient(
    network: &Network,
    inner: &InnerLoop,
    params: &[f32],
    rates: &[f32],
    task: &TaskRows,
    arena: &mut Arena,
) -> f32 {
    adapt(network, inner, params, rates, task, arena);
    let Arena { steps, tangent, panel, adjoint, direction, rates: rate_gradient } = arena;
    let (adjoint, direction) = (&mut adjoint[..], &mut direction[..]);
    let Some((last, steps)) = steps.split_last_mut() else { return f32::NAN };
    let (query, support) = (&task.query, &task.support);
    let at = if inner.steps == 0 { params } else { &last.params };
    network.forward(at, &query.x, query.rows, &mut last.forward, panel);
    let (layers, update) = (LayerSet::ALL, Update::Store);
    let destination = Destination::Gradient { params: at, gradient: &mut *adjoint, layers, update };
    let loss = network.gradient(destination, query.batch(), &last.forward, &mut last.backward, panel);

    let all_rates = inner.rates(rates);
    for (number, step) in steps.iter_mut().enumerate().rev() {
        if inner.learn_rates {
            gather_rates(network, inner, number, adjoint, &step.gradient, rate_gradient);
        }
        if inner.first_order {
            continue;
        }
        // α ∘ λ is what a step from 0 along −λ gives.
        direction.fill(0.0);
        all_rates.apply(number, network, adjoint, direction);
        let here: &[f32] = if number == 0 { params } else { &step.params };
        // The direction is −α ∘ λ, so the product is added.
        network.hessian_vector(
            (here, direction),
            support.batch(),
            (&step.forward, &step.backward),
            tangent,
            panel,
            (&mut *adjoint, Update::Add(1.0)),
        );
    }
    loss
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
