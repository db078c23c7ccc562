//! The memory of one worker: everything that the passes of one item of work leave behind, allocated once and grown as items grow.

use crate::aligned::Aligned;
use crate::engine::kept::Held;

/// What one pass leaves behind.
#[derive(Debug, Default)]
pub(super) struct Trace {
    pub forward: Aligned,
    pub backward: Aligned,
    /// ∇L_S(θ_k), where it is kept.
    pub gradient: Aligned,
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
    pub front: Front,
}

/// What the layers before the first that is adapted make of the support: they stay as they are in the inner loop, so once for all steps.
#[derive(Debug, Default)]
pub(super) struct Front {
    pub forward: Aligned,
    pub backward: Aligned,
    /// The gradient of the query loss with respect to their output, through all steps.
    pub cotangent: Aligned,
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
    /// θ at the end of each segment, then θ at the start of each step of one segment but the first. Where nothing goes back, two that
    /// take turns.
    pub params: Vec<Aligned>,
    /// What the steps of one segment leave behind.
    pub traces: Vec<Trace>,
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
    /// Of [`Front`]: forward, backward, cotangent.
    pub front: [usize; 3],
}

impl Arena {
    /// Makes room for as many vectors and traces, of such lengths.
    pub fn make_room(&mut self, held: Held, lengths: &Lengths) {
        grow_list(&mut self.params, held.params);
        self.params.iter_mut().take(held.params).for_each(|params| params.resize(lengths.params));
        grow_list(&mut self.traces, held.traces);
        for trace in self.traces.iter_mut().take(held.traces) {
            trace.make_room(lengths, 0);
            trace.gradient.resize(lengths.gradient);
        }
        self.query.make_room(lengths, 1);
        self.scratch.tangent.resize(lengths.tangent);
        self.scratch.panel.resize(lengths.panel);
        self.scratch.direction.resize(lengths.direction);
        self.scratch.outputs.resize(lengths.outputs);
        let Front { forward, backward, cotangent } = &mut self.scratch.front;
        [forward, backward, cotangent].into_iter().zip(lengths.front).for_each(|(values, len)| values.resize(len));
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
    /// Bytes of the heap that [`Arena::make_room`] takes for a new arena.
    pub fn bytes(&self, held: Held) -> usize {
        let vector = size_of::<Aligned>() + Aligned::bytes(self.params);
        let [support, query] =
            [0, 1].map(|side| Aligned::bytes(self.forward[side]) + Aligned::bytes(self.backward[side]));
        let trace = size_of::<Trace>() + support + Aligned::bytes(self.gradient);
        let scratch = [self.tangent, self.panel, self.direction, self.outputs, self.laid_out[0], self.laid_out[1]];
        let scratch = scratch.iter().chain(&self.front).map(|values| Aligned::bytes(*values)).sum::<usize>();
        held.params * vector + held.traces * trace + query + scratch
    }

    /// What has room for both.
    pub fn max(self, other: Self) -> Self {
        let pair = |a: [usize; 2], b: [usize; 2]| [a[0].max(b[0]), a[1].max(b[1])];
        Self {
            params: self.params.max(other.params),
            forward: pair(self.forward, other.forward),
            backward: pair(self.backward, other.backward),
            gradient: self.gradient.max(other.gradient),
            tangent: self.tangent.max(other.tangent),
            panel: self.panel.max(other.panel),
            direction: self.direction.max(other.direction),
            outputs: self.outputs.max(other.outputs),
            laid_out: pair(self.laid_out, other.laid_out),
            front: [0, 1, 2].map(|part| self.front[part].max(other.front[part])),
        }
    }
}

fn grow_list<T: Default>(list: &mut Vec<T>, len: usize) {
    if list.len() < len {
        list.reserve_exact(len - list.len());
        list.resize_with(len, T::default);
    }
}
