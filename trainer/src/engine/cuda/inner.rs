//! The inner loop of all tasks at once, and the way back through it, as launches: the recursion of `engine/cpu/recursion.rs` for any network.

use super::passes::{Gradient, Passes};
use super::plan::{Plan, TangentTrace, Trace};
use super::store::Pieces;
use super::tangent::Along;
use super::tasks::SideRows;
use crate::cuda::adapt::{self, RatesAt};
use crate::cuda::{Address, Launch, PerTask};
use crate::engine::InnerLoop;
use crate::engine::kept::{Held, Segments};
use sinew_models::rule::Rate;

/// An inner loop over the tasks of a batch.
pub(super) struct Inner<'a> {
    pub plan: &'a Plan,
    pub inner: &'a InnerLoop,
    /// Support and query.
    pub sides: [SideRows; 2],
    pub multiprocessors: u32,
    /// What all tasks start from.
    pub params: Address,
    /// The inner rates at the first step.
    pub rates: RatesAt,
    /// How many inner rates there are, where their gradient is wanted; otherwise 0.
    pub rate_len: usize,
    /// Where the query losses go.
    pub losses: Address,
}

/// What it works in.
struct Memory {
    /// As `engine::cpu`'s arena: θ at the end of each segment, then within one; `[tasks, params]` each.
    vectors: Vec<Address>,
    traces: Vec<Trace>,
    /// The gradient at each step of a segment, or, where none is needed later, of the last one.
    gradients: Vec<Address>,
    query: Trace,
    tangents: Option<(TangentTrace, Address)>,
    /// λ and the gradient by the rates of each task.
    parts: PerTask,
    scratch: Address,
}

impl Inner<'_> {
    fn tasks(&self) -> usize {
        self.sides[0].rows.tasks
    }

    fn second_order(&self) -> bool {
        !self.inner.first_order && self.inner.steps > 0
    }

    /// Lays memory out behind `base`; with a gradient `wanted`, or for losses alone. Says how many words it is.
    fn lay_out(&self, wanted: bool, base: Address) -> (Memory, usize) {
        let (plan, inner) = (self.plan, self.inner);
        let held = Held::of(inner, wanted);
        let [support, query] = self.sides.map(|side| side.rows);
        let mut pieces = Pieces::default();
        let params = self.tasks() * plan.param_len;
        let vectors = (0..held.params).map(|_| base.plus(pieces.next(params))).collect();
        let traces = (0..held.traces).map(|_| plan.trace(support.rows, true, base, &mut pieces)).collect();
        let kept = if wanted && inner.learn_rates { held.traces } else { held.traces.min(1) };
        let gradients = (0..kept).map(|_| base.plus(pieces.next(params))).collect();
        let scratch_of = |rows| Passes::scratch(plan, rows, self.multiprocessors);
        let memory = Memory {
            vectors,
            traces,
            gradients,
            query: plan.trace(query.rows, wanted, base, &mut pieces),
            tangents: (wanted && self.second_order())
                .then(|| (plan.tangents(support.rows, base, &mut pieces), base.plus(pieces.next(params)))),
            parts: PerTask {
                at: base.plus(pieces.next(if wanted { self.tasks() * self.stride() } else { 0 })),
                stride: self.stride(),
            },
            scratch: base.plus(pieces.next(scratch_of(&support).max(scratch_of(&query)))),
        };
        (memory, pieces.words())
    }

    /// Words from one task's part to the next.
    fn stride(&self) -> usize {
        self.plan.param_len + self.rate_len
    }

    /// Words of memory that it needs.
    pub fn words(&self, wanted: bool) -> usize {
        self.lay_out(wanted, Address::NONE).1
    }

    /// Launches for the query losses; with a gradient `wanted`, also for λ₀ and the gradient by the rates of each task, and says where they
    /// are.
    pub fn run(&self, wanted: bool, base: Address, launches: &mut Vec<Launch>) -> PerTask {
        let memory = self.lay_out(wanted, base).0;
        let mut run = Run { of: self, memory: &memory, launches };
        let (inner, segments) = (self.inner, Segments::of(self.inner));
        let goes_back = wanted && inner.goes_back();
        let theta = if goes_back {
            (0..segments.count()).for_each(|number| run.segment(segments, number));
            run.start_of(segments.count())
        } else {
            run.onward()
        };
        run.query(theta, wanted);
        if !wanted {
            return memory.parts;
        }
        if self.rate_len > 0 {
            run.clear_rates();
        }
        if goes_back {
            for number in (0..segments.count()).rev() {
                // What the last segment left behind is still there.
                if number + 1 < segments.count() {
                    run.segment(segments, number);
                }
                let (first, count) = segments.extent(number);
                for index in (0..count).rev() {
                    let theta = run.within(segments, number, index);
                    run.step_back(first + index, theta, index);
                }
            }
        }
        memory.parts
    }
}

struct Run<'a> {
    of: &'a Inner<'a>,
    memory: &'a Memory,
    launches: &'a mut Vec<Launch>,
}

impl Run<'_> {
    fn passes(&mut self, side: usize) -> Passes<'_> {
        let Inner { plan, sides, multiprocessors, .. } = self.of;
        Passes {
            plan,
            side: sides[side],
            multiprocessors: *multiprocessors,
            scratch: self.memory.scratch,
            launches: self.launches,
        }
    }

    fn own(&self, vector: usize) -> PerTask {
        PerTask { at: self.memory.vectors[vector], stride: self.of.plan.param_len }
    }

    /// θ where a segment starts.
    fn start_of(&self, segment: usize) -> PerTask {
        segment.checked_sub(1).map_or(PerTask { at: self.of.params, stride: 0 }, |last| self.own(last))
    }

    /// θ at a step of a segment.
    fn within(&self, segments: Segments, number: usize, index: usize) -> PerTask {
        index.checked_sub(1).map_or(self.start_of(number), |before| self.own(segments.count() + before))
    }

    fn segment(&mut self, segments: Segments, number: usize) {
        let (first, count) = segments.extent(number);
        for index in 0..count {
            let theta = self.within(segments, number, index);
            let next = if index + 1 < count { segments.count() + index } else { number };
            self.step(first + index, theta, index, next);
        }
    }

    /// Runs the inner loop and keeps nothing of it: two parameter vectors take turns.
    fn onward(&mut self) -> PerTask {
        let mut theta = PerTask { at: self.of.params, stride: 0 };
        for number in 0..self.of.inner.steps {
            self.step(number, theta, 0, number % 2);
            theta = self.own(number % 2);
        }
        theta
    }

    fn rates(&self, step: usize) -> RatesAt {
        let layers = self.of.plan.layers.len();
        let first = if self.of.inner.rate == Rate::PerLayerStep { step * layers } else { 0 };
        RatesAt { first, ..self.of.rates }
    }

    /// The gradient of a step of a segment.
    fn gradient(&self, index: usize) -> PerTask {
        let at = self.memory.gradients[index.min(self.memory.gradients.len() - 1)];
        PerTask { at, stride: self.of.plan.param_len }
    }

    fn step(&mut self, number: usize, theta: PerTask, index: usize, next: usize) {
        let (memory, plan, inner) = (self.memory, self.of.plan, self.of.inner);
        let (trace, gradient) = (&memory.traces[index], self.gradient(index));
        // The way back needs the gradient at every layer.
        let exact = !inner.first_order;
        let wanted = |layer: usize| exact || inner.adapted.has(layer);
        let needed = plan.needed(wanted);
        let mut passes = self.passes(0);
        passes.forward(0..plan.layers.len(), theta, trace);
        passes.losses(trace, Address::NONE, true, Address::NONE, false);
        let by_params = Gradient { to: gradient, add: false };
        passes.back(plan.way_back(), theta, trace, &needed, |layer| inner.adapted.has(layer), by_params);
        let (tasks, to, rates) = (self.of.tasks(), memory.vectors[next], self.rates(number));
        self.launches.push(adapt::step(tasks, plan.param_len, theta, gradient, to, &rates));
    }

    fn query(&mut self, theta: PerTask, wanted: bool) {
        let (memory, plan, losses) = (self.memory, self.of.plan, self.of.losses);
        let mut passes = self.passes(1);
        passes.forward(0..plan.layers.len(), theta, &memory.query);
        passes.losses(&memory.query, Address::NONE, wanted, losses, false);
        if wanted {
            let needed = plan.needed(|_| true);
            let adjoint = Gradient { to: memory.parts, add: false };
            passes.back(plan.way_back(), theta, &memory.query, &needed, |_| true, adjoint);
        }
    }

    fn clear_rates(&mut self) {
        use crate::cuda::arrange::{Columns, place};
        let (PerTask { at, stride }, first) = (self.memory.parts, self.of.plan.param_len);
        let zeros = Columns::whole(Address::NONE, 0);
        let to = Columns { at, row: stride, first };
        self.launches.push(place(zeros, to, self.of.tasks(), self.of.rate_len, false));
    }

    /// From λ_{k+1} to λ_k, and the share of this step in the gradient by the rates.
    fn step_back(&mut self, number: usize, theta: PerTask, index: usize) {
        let (memory, tasks, count) = (self.memory, self.of.tasks(), self.of.plan.param_len);
        let rates = self.rates(number);
        if self.of.rate_len > 0 {
            let gradient = self.gradient(index).at;
            self.launches.push(adapt::rates(tasks, count, memory.parts, gradient, &rates));
        }
        let Some((tangents, direction)) = &memory.tangents else { return };
        // −α ∘ λ, so that the product is added.
        let none = PerTask::default();
        self.launches.push(adapt::step(tasks, count, none, memory.parts, *direction, &rates));
        let direction = PerTask { at: *direction, stride: count };
        let along = Along { params: theta, direction, trace: &memory.traces[index], tangents };
        self.passes(0).hessian_vector(along, Gradient { to: memory.parts, add: true });
    }
}
