//! The inner loop, and the way back through it.
//!
//! With θ₀ = θ and θ_{k+1} = θ_k − α ∘ ∇L_S(θ_k), the adjoint λ_S = ∇L_Q(θ_S) goes back by λ_k = λ_{k+1} − H_k (α ∘ λ_{k+1}),
//! H_k = ∇²L_S(θ_k), to the exact meta-gradient λ₀ (Finn et al. 2017, eq. 1, differentiated); ∂L/∂α gathers −λ_{k+1} ∘ ∇L_S(θ_k).
//! No graph is kept: of each step only θ_k and, by choice, its activations. Where nothing goes back through the steps, not even those.

use super::arena::{Adjoint, Arena, Scratch, Trace};
use crate::aligned::Aligned;
use crate::engine::InnerLoop;
use crate::engine::kept::Segments;

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

/// Runs the inner loop and keeps nothing of it: two parameter vectors take turns. Returns θ_S.
fn onward<'a>(
    passes: &impl Passes,
    steps: usize,
    params: &'a [f32],
    vectors: &'a mut [Aligned],
    traces: &mut [Trace],
    scratch: &mut Scratch,
) -> Theta<'a> {
    for number in 0..steps {
        let (even, odd) = vectors.split_at_mut(1);
        let (here, next) = if number % 2 == 0 { (odd, even) } else { (even, odd) };
        let theta = if number == 0 { Theta::Shared(params) } else { Theta::Own(&here[0]) };
        passes.step(number, theta, &mut traces[0], scratch, &mut next[0]);
    }
    steps.checked_sub(1).map_or(Theta::Shared(params), |last| Theta::Own(&vectors[last % 2]))
}

/// Runs a segment from where it starts; leaves what its steps leave, and θ at its end.
fn run_segment(passes: &impl Passes, segments: Segments, number: usize, params: &[f32], arena: &mut Arena) {
    let (first, count) = segments.extent(number);
    let Arena { params: vectors, traces, scratch, .. } = arena;
    let (checkpoints, within) = vectors.split_at_mut(segments.count());
    let (before, after) = checkpoints.split_at_mut(number);
    let start = start_of(number, params, before);
    for (index, trace) in traces[..count].iter_mut().enumerate() {
        let (done, ahead) = within.split_at_mut(index);
        let theta = done.last().map_or(start, |own| Theta::Own(own));
        let next = if index + 1 < count { &mut ahead[0] } else { &mut after[0] };
        passes.step(first + index, theta, trace, scratch, next);
    }
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
    let segments = Segments::of(inner);
    let goes_back = adjoint.is_some() && inner.goes_back();
    if goes_back {
        (0..segments.count()).for_each(|number| run_segment(passes, segments, number, params, arena));
    }
    let Arena { params: vectors, traces, query, scratch, .. } = arena;
    let theta = if goes_back {
        start_of(segments.count(), params, vectors)
    } else {
        onward(passes, inner.steps, params, vectors, traces, scratch)
    };
    let Some(mut adjoint) = adjoint else { return passes.query_losses(theta, query, scratch, losses) };
    adjoint.rates.fill(0.0);
    passes.query_gradient(theta, query, scratch, losses, adjoint.params);
    if !goes_back {
        return;
    }
    for number in (0..segments.count()).rev() {
        // What the last segment left behind is still there.
        if number + 1 < segments.count() {
            run_segment(passes, segments, number, params, arena);
        }
        let (first, count) = segments.extent(number);
        let Arena { params: vectors, traces, scratch, .. } = arena;
        let (checkpoints, within) = vectors.split_at(segments.count());
        let start = start_of(number, params, checkpoints);
        for (index, trace) in traces[..count].iter().enumerate().rev() {
            let theta = index.checked_sub(1).map_or(start, |before| Theta::Own(&within[before]));
            passes.step_back(first + index, theta, trace, scratch, adjoint.reborrow());
        }
    }
}

/// θ where a segment starts.
fn start_of<'a>(segment: usize, params: &'a [f32], checkpoints: &'a [Aligned]) -> Theta<'a> {
    segment.checked_sub(1).map_or(Theta::Shared(params), |last| Theta::Own(&checkpoints[last]))
}
