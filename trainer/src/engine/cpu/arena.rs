//! The memory of one worker: everything that the passes of one item of work leave behind, allocated once and grown as items grow.

use crate::aligned::Aligned;
use crate::engine::InnerLoop;

/// What one pass leaves behind.
#[derive(Debug, Default)]
pub(super) struct Trace {
    pub forward: Aligned,
    pub backward: Aligned,
    /// ∇L_S(θ_k), where it is kept.
    pub gradient: Aligned,
}

/// One inner step.
#[derive(Debug, Default)]
pub(super) struct Step {
    /// θ_k; unused for the first step of a segment, which starts at a checkpoint or at the shared parameters.
    pub params: Aligned,
    pub trace: Trace,
}

/// What a pass needs besides what it leaves behind.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    pub tangent: Aligned,
    pub panel: Aligned,
    /// α ∘ λ.
    pub direction: Aligned,
    /// Outputs and their gradients of one task, where passes run over several at once.
    pub outputs: Aligned,
}

/// What the way back arrives at.
#[derive(Debug)]
pub(super) struct Adjoint<'a> {
    /// λ, the gradient of the query loss with respect to θ_k.
    pub params: &'a mut [f32],
    /// The gradient with respect to the rates.
    pub rates: &'a mut [f32],
}

impl Adjoint<'_> {
    /// The same, for a while.
    pub fn reborrow(&mut self) -> Adjoint<'_> {
        Adjoint { params: self.params, rates: self.rates }
    }
}

/// Memory for one item of work at a time.
#[derive(Debug, Default)]
pub(super) struct Arena {
    /// θ at the end of each segment.
    pub checkpoints: Vec<Aligned>,
    /// The steps of one segment.
    pub steps: Vec<Step>,
    /// The pass over the query at θ_S.
    pub query: Trace,
    pub scratch: Scratch,
    /// Inputs and targets of support and query, where they are laid out anew.
    pub laid_out: [Aligned; 2],
}

/// The lengths of what an item of work needs, in values.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Lengths {
    pub params: usize,
    /// 0 where the gradient with respect to the rates is not wanted.
    pub rates: usize,
    /// Of the support, then of the query.
    pub forward: [usize; 2],
    pub backward: [usize; 2],
    /// 0 where gradients are not kept.
    pub gradient: usize,
    pub tangent: usize,
    pub panel: usize,
    pub direction: usize,
    pub outputs: usize,
    pub laid_out: [usize; 2],
}

impl Arena {
    /// Makes room for `inner` over what `lengths` says.
    pub fn make_room(&mut self, inner: &InnerLoop, lengths: &Lengths) {
        let segment = inner.kept.segment(inner.steps);
        grow_list(&mut self.checkpoints, inner.steps.div_ceil(segment));
        self.checkpoints.iter_mut().for_each(|params| params.resize(lengths.params));
        grow_list(&mut self.steps, segment.min(inner.steps));
        for (number, Step { params, trace }) in self.steps.iter_mut().enumerate() {
            params.resize(if number == 0 { 0 } else { lengths.params });
            trace.make_room(lengths, 0);
            trace.gradient.resize(lengths.gradient);
        }
        self.query.make_room(lengths, 1);
        self.scratch.tangent.resize(lengths.tangent);
        self.scratch.panel.resize(lengths.panel);
        self.scratch.direction.resize(lengths.direction);
        self.scratch.outputs.resize(lengths.outputs);
        self.laid_out.iter_mut().zip(lengths.laid_out).for_each(|(values, len)| values.resize(len));
    }
}

impl Trace {
    fn make_room(&mut self, lengths: &Lengths, side: usize) {
        self.forward.resize(lengths.forward[side]);
        self.backward.resize(lengths.backward[side]);
    }
}

impl Lengths {
    /// The values that [`Arena::make_room`] makes room for.
    pub fn total(&self, inner: &InnerLoop) -> usize {
        let segment = inner.kept.segment(inner.steps).min(inner.steps);
        let checkpoints = inner.steps.div_ceil(segment.max(1));
        let params = checkpoints + segment.saturating_sub(1);
        params * self.params
            + segment * (self.forward[0] + self.backward[0] + self.gradient)
            + self.forward[1]
            + self.backward[1]
            + self.tangent
            + self.panel
            + self.direction
            + self.outputs
            + self.laid_out[0]
            + self.laid_out[1]
    }
}

fn grow_list<T: Default>(list: &mut Vec<T>, len: usize) {
    if list.len() < len {
        list.resize_with(len, T::default);
    }
}
