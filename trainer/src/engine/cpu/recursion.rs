//! The inner loop, and the way back through it.
//!
//! With θ₀ = θ and θ_{k+1} = θ_k − α ∘ ∇L_S(θ_k), the adjoint λ_S = ∇L_Q(θ_S) goes back by λ_k = λ_{k+1} − H_k (α ∘ λ_{k+1}),
//! H_k = ∇²L_S(θ_k), to the exact meta-gradient λ₀ (Finn et al. 2017, eq. 1, differentiated); ∂L/∂α gathers −λ_{k+1} ∘ ∇L_S(θ_k).
//! No graph is kept: of each step only θ_k and, by choice, its activations.

use super::arena::{Adjoint, Arena, Scratch, Trace};
use crate::aligned::Aligned;
use crate::engine::InnerLoop;

/// The parameters of a pass.
#[derive(Clone, Copy)]
pub(super) enum Theta<'a> {
    /// Those that all tasks start from.
    Shared(&'a [f32]),
    /// What a task has made of them.
    Own(&'a [f32]),
}

/// The passes of one item of work: a task, or several at once.
pub(super) trait Passes {
    /// The inner step `number` on the support, from `theta` to `next`.
    fn step(&self, number: usize, theta: Theta<'_>, trace: &mut Trace, scratch: &mut Scratch, next: &mut [f32]);

    /// The query loss of each task.
    fn query_losses(&self, theta: Theta<'_>, trace: &mut Trace, scratch: &mut Scratch, losses: &mut [f32]);

    /// The same, and its gradient.
    fn query_gradient(
        &self,
        theta: Theta<'_>,
        trace: &mut Trace,
        scratch: &mut Scratch,
        losses: &mut [f32],
        gradient: &mut [f32],
    );

    /// From λ_{k+1} to λ_k, k = `number`, and the share of this step in the gradient with respect to the rates.
    fn step_back(&self, number: usize, theta: Theta<'_>, trace: &Trace, scratch: &mut Scratch, adjoint: Adjoint<'_>);
}

/// Runs one segment of the inner loop from `params`; leaves what its steps leave, and θ at its end.
fn segment(passes: &impl Passes, inner: &InnerLoop, number: usize, params: &[f32], arena: &mut Arena) {
    let (first, count) = extent(inner, number);
    let Arena { checkpoints, steps, scratch, .. } = arena;
    let (before, after) = checkpoints.split_at_mut(number);
    let start = start_of(number, params, before);
    for index in 0..count {
        let (done, ahead) = steps.split_at_mut(index + 1);
        let step = &mut done[index];
        let theta = if index == 0 { start } else { Theta::Own(&step.params) };
        let next = if index + 1 < count { &mut ahead[0].params } else { &mut after[0] };
        passes.step(first + index, theta, &mut step.trace, scratch, next);
    }
}

/// The first step of a segment, and how many it has.
fn extent(inner: &InnerLoop, number: usize) -> (usize, usize) {
    let length = inner.kept.segment(inner.steps);
    (number * length, length.min(inner.steps - number * length))
}

/// The query losses after the inner loop; with an `adjoint`, also their gradients with respect to parameters and rates.
pub(super) fn run(
    passes: &impl Passes,
    inner: &InnerLoop,
    params: &[f32],
    arena: &mut Arena,
    losses: &mut [f32],
    adjoint: Option<Adjoint<'_>>,
) {
    let segments = inner.steps.div_ceil(inner.kept.segment(inner.steps));
    (0..segments).for_each(|number| segment(passes, inner, number, params, arena));
    let Arena { checkpoints, query, scratch, .. } = arena;
    let theta = start_of(segments, params, checkpoints);
    let Some(mut adjoint) = adjoint else { return passes.query_losses(theta, query, scratch, losses) };
    adjoint.rates.fill(0.0);
    passes.query_gradient(theta, query, scratch, losses, adjoint.params);
    if inner.first_order && !inner.learn_rates {
        return;
    }
    for number in (0..segments).rev() {
        // What the last segment left behind is still there.
        if number + 1 < segments {
            segment(passes, inner, number, params, arena);
        }
        let (first, count) = extent(inner, number);
        let Arena { checkpoints, steps, scratch, .. } = arena;
        for (index, step) in steps[..count].iter().enumerate().rev() {
            let start = start_of(number, params, checkpoints);
            let theta = if index == 0 { start } else { Theta::Own(&step.params) };
            passes.step_back(first + index, theta, &step.trace, scratch, adjoint.reborrow());
        }
    }
}

/// θ where a segment starts.
fn start_of<'a>(segment: usize, params: &'a [f32], checkpoints: &'a [Aligned]) -> Theta<'a> {
    segment.checked_sub(1).map_or(Theta::Shared(params), |last| Theta::Own(&checkpoints[last]))
}
