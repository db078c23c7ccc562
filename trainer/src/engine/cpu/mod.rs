//! The engine on CPU: tasks in parallel, one arena for each worker, the same bits for any number of threads.

mod alone;
mod arena;
mod lanes;
mod recursion;
mod reduction;
mod single;
mod work;

use std::sync::{Mutex, PoisonError, TryLockError};

use rayon::prelude::*;
use sinew_models::rule::{Rate, Scope};
use sinew_models::spec::NetworkSpec;
use sinew_runtime::network::LayerSet;
use sinew_runtime::{Network, Path};

use super::kept::Held;
use super::{
    BatchGradient, Depth, Engine, EngineError, InnerLoop, Learned, OuterStep, Parameters, Rows, Side, TaskRows,
};
use crate::aligned::Aligned;
use crate::optimiser;
use alone::Alone;
use arena::{Adjoint, Arena, Lengths};
use lanes::{LaneNetwork, Lanes};
use reduction::{Layout, Reduction};
use work::{Item, Work};

/// The most values of parameters and support traces of a task for which several are taken at once: eight times as many fill a second cache
/// of 1 MiB, and beyond it each alone is faster.
const TOGETHER: usize = 1 << 15;

/// A batch of fewer multiply-adds is done before another worker has woken up: the caller does it alone.
const SMALL: u64 = 1 << 25;

/// Gradients of one network over batches of tasks.
///
/// It keeps its memory ([`Cpu::memory`]), as do those that its results are written to: after the first pass of a kind nothing allocates,
/// over batches that need no more than one before. With more than one thread rayon does: what is handed to a pool lies in a queue of
/// which a block of 1.5 KB is allocated, and another freed, every 63 passes.
#[derive(Debug)]
pub struct Cpu {
    spec: NetworkSpec,
    network: Network,
    /// For several tasks at once; `None` where the network has layers that are not dense.
    lanes: Option<LaneNetwork>,
    /// `None` for one thread, which is the caller's.
    pool: Option<rayon::ThreadPool>,
    /// One for each worker. A batch uses as many as it has items at once.
    arenas: Vec<Mutex<Arena>>,
    work: Work,
    /// What items leave behind, side by side.
    parts: Aligned,
    sums: Aligned,
    /// Of the gradient of the last update.
    norm: f64,
}

impl Cpu {
    /// An engine for `spec` on the fastest path of this processor.
    ///
    /// # Errors
    /// If the network cannot be, or the threads cannot be started.
    pub fn new(spec: &NetworkSpec, threads: usize) -> Result<Self, EngineError> {
        Self::on(Path::detect(), spec, threads)
    }

    /// As [`Cpu::new`], on `path`.
    ///
    /// # Errors
    /// As [`Cpu::new`].
    pub fn on(path: Path, spec: &NetworkSpec, threads: usize) -> Result<Self, EngineError> {
        let network = Network::new(spec, path)?;
        let threads = threads.max(1);
        let pool = if threads == 1 {
            None
        } else {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
            Some(pool.map_err(|source| EngineError::Threads { threads, source })?)
        };
        let arenas = (0..threads).map(|_| Mutex::default()).collect();
        let (work, parts, sums) = (Work::default(), Aligned::default(), Aligned::default());
        let lanes = LaneNetwork::new(spec, path);
        Ok(Self { spec: spec.clone(), network, lanes, pool, arenas, work, parts, sums, norm: 0.0 })
    }

    /// Bytes of the heap that this engine holds after one meta-gradient over `tasks`, which is also their peak, where it is the first:
    /// besides the tasks, what the caller holds, and the pool of threads. `rates` is the number of inner rates.
    ///
    /// In values of four bytes, with P parameters, R rates (0 where they are not learned), W workers and S inner steps:
    ///
    /// min(W, items) · *arena* + items · *part* + *sums*
    ///
    /// **Items.** Tasks of a dense network and the same numbers of rows go L at a time, one in each lane of a vector
    /// register; then P, R and all that follows is L times as much, also where lanes are left over. A network with other layers, and
    /// tasks that would fill fewer than half of the lanes, go alone, L = 1.
    ///
    /// **Part**: what an item leaves behind, P + R and a loss for each lane, to a multiple of 16; where any tasks go together, all parts
    /// are as wide as theirs. **Sums**: P + R where any tasks go together.
    ///
    /// **Arena**: what is kept of the inner loop, then the traces of the query; with the Hessian the tangent of the support, and α∘λ of P
    /// values unless tasks go together at one rate for all; what the kernels need; and the inputs of tasks that go together. Where items
    /// differ, each buffer is as large as the largest needs. Where a task goes alone, the layers before the first that is adapted pass
    /// the support once for all steps: their traces are there once, and with the Hessian their gradient's. With A the activations of one
    /// inner step, which are the forward and backward traces of its support rows through the other layers and, where gradients are kept
    /// (learned rates, a rate for each parameter, or a Hessian over a part of the layers), P more:
    ///
    /// | kept | of the inner loop | computed again |
    /// |---|---|---|
    /// | [`Kept::Activations`](super::Kept::Activations) | S·P + S·A | nothing |
    /// | [`Kept::Parameters`](super::Kept::Parameters) | S·P + A | S − 1 steps |
    /// | [`Kept::Checkpoints`](super::Kept::Checkpoints) | (⌈S/c⌉ + c − 1)·P + c·A with c = ⌈√S⌉ | S − c steps at most |
    /// | any, in first order at rates that are not learned | min(S, 2)·P + min(S, 1)·A | nothing |
    ///
    /// So an inner step costs one parameter vector for each task under way where parameters are kept, and where activations are, these
    /// too. [`Engine::meta_losses`] needs what the last line says and no more than a meta-gradient. The query of a task that goes alone
    /// runs in parts, so its traces stop growing with its rows.
    ///
    /// To these come, and are counted here, 60 bytes for each buffer, so that it begins at a cache line, the lists of buffers, and 32 bytes
    /// for each task.
    pub fn memory(&self, inner: &InnerLoop, rates: usize, tasks: &[TaskRows]) -> usize {
        let mut work = Work::default();
        work.plan(tasks, |task| self.together(task));
        let arena = self.largest(&work, tasks, |task, together| self.lengths(inner, task, together));
        let rates = if inner.learn_rates { rates } else { 0 };
        let layout = self.layout(&work, self.network.param_len(), rates);
        self.at_once(&work) * arena.bytes(Held::of(inner, true))
            + Aligned::bytes(layout.stride * work.items.len())
            + Aligned::bytes(layout.sums())
            + Work::bytes(tasks.len())
    }

    /// How many items of work are under way at once, at most.
    fn at_once(&self, work: &Work) -> usize {
        self.arenas.len().min(work.items.len())
    }

    /// What has room for any item of work.
    fn largest(&self, work: &Work, tasks: &[TaskRows], of: impl Fn(&TaskRows, bool) -> Lengths) -> Lengths {
        let lengths = work.items.iter().map(|item| of(&tasks[work.tasks(item)[0]], item.together));
        lengths.fold(Lengths::default(), Lengths::max)
    }

    fn lengths(&self, inner: &InnerLoop, task: &TaskRows, together: bool) -> Lengths {
        let rows = [task.support.rows, task.query.rows];
        match &self.lanes {
            Some(lanes) if together => lanes.lengths(&self.network, inner, rows),
            _ => alone::lengths(&self.network, inner, rows),
        }
    }

    /// How many tasks like this one to take at once; 1 where it does not pay.
    fn together(&self, task: &TaskRows) -> usize {
        let network = &self.network;
        let traces = network.forward_len(task.support.rows) + network.backward_len(task.support.rows);
        match &self.lanes {
            // Without rows there is no layout.
            _ if task.support.rows == 0 || task.query.rows == 0 => 1,
            Some(lanes) if network.param_len() + traces <= TOGETHER => lanes.lanes(),
            _ => 1,
        }
    }

    /// Makes room in as many arenas as are in use at once, before any work is handed out: which worker takes what differs from batch to
    /// batch, and none may have to allocate later.
    fn make_room(&mut self, at_once: usize, held: Held, lengths: &Lengths) {
        for arena in self.arenas.iter_mut().take(at_once) {
            arena.get_mut().unwrap_or_else(PoisonError::into_inner).make_room(held, lengths);
        }
    }

    /// Runs with one of the first `at_once` arenas: the worker's own, if it has one and nobody took it, for it may still be in its
    /// cache.
    fn with_arena<T>(&self, at_once: usize, run: impl FnOnce(&mut Arena) -> T) -> T {
        let worker = self.pool.as_ref().and_then(rayon::ThreadPool::current_thread_index).unwrap_or(0);
        let (before, from_own) = self.arenas[..at_once].split_at(worker % at_once.max(1));
        // No more than `at_once` items are under way, so that one arena is always free.
        let mut arena = from_own.iter().chain(before).cycle().filter_map(|arena| match arena.try_lock() {
            Ok(arena) => Some(arena),
            // An arena holds nothing that a panic could leave half done: every pass writes before it reads.
            Err(TryLockError::Poisoned(arena)) => Some(arena.into_inner()),
            Err(TryLockError::WouldBlock) => {
                std::hint::spin_loop();
                None
            }
        });
        run(&mut arena.next().expect("work has an arena"))
    }

    /// How what the items of a batch leave behind lies side by side.
    fn layout(&self, work: &Work, params: usize, rates: usize) -> Layout {
        let lanes = self.lanes.as_ref().filter(|_| work.together());
        Layout::new(params, rates, lanes.map_or(1, LaneNetwork::lanes))
    }

    /// Runs `one` for every item of work, of `steps` inner steps or of one task and no inner loop, each with its tasks, an arena with room
    /// for so many vectors and traces and for what `lengths` says, and room for losses and gradients of `params` and `rates` values; then
    /// sums the gradients up.
    fn over_items(
        &mut self,
        (tasks, steps): (&[TaskRows], Option<usize>),
        held: Held,
        lengths: impl Fn(&Self, &TaskRows, bool) -> Lengths + Sync,
        losses: &mut [f32],
        (params, rates): (&mut [f32], &mut [f32]),
        one: impl Fn(&Self, &Item, &[usize], &mut Arena, &mut [f32], Adjoint<'_>) + Sync,
    ) {
        let mut work = std::mem::take(&mut self.work);
        work.plan(tasks, |task| if steps.is_some() { self.together(task) } else { 1 });
        let steps = steps.unwrap_or(0);
        let at_once = self.at_once(&work);
        let largest = self.largest(&work, tasks, |task, together| lengths(self, task, together));
        self.make_room(at_once, held, &largest);
        let layout = self.layout(&work, params.len(), rates.len());
        let (mut parts, mut sums) = (std::mem::take(&mut self.parts), std::mem::take(&mut self.sums));
        parts.resize(layout.stride * work.items.len());
        sums.resize(layout.sums());
        let this = &*self;
        let run = |(item, part): (&Item, &mut [f32])| {
            let lanes = if item.together { layout.lanes } else { 1 };
            let (values, losses) = part.split_at_mut(layout.losses);
            let (params, rates) = values.split_at_mut(layout.params * lanes);
            let adjoint = Adjoint { params, rates: &mut rates[..layout.rates * lanes] };
            let indices = work.tasks(item);
            this.with_arena(at_once, |arena| {
                arena.make_room(held, &lengths(this, &tasks[indices[0]], item.together));
                one(this, item, indices, arena, &mut losses[..indices.len()], adjoint);
            });
        };
        let (path, share) = (self.network.path(), 1.0 / tasks.len().max(1) as f32);
        let mut reduce = |parts: &[f32], sums: &mut [f32], parallel: bool| {
            let reduction = Reduction { path, layout, work: &work, parts, share };
            reduction.run(parallel, params, rates, sums);
        };
        // A gradient costs about three forward passes, a step there and back nine.
        let rows = |task: &TaskRows| (9 * steps * task.support.rows + 3 * (task.support.rows + task.query.rows)) as u64;
        let forward = self.network.multiply_adds(0..self.network.layer_count());
        let small = tasks.iter().map(rows).sum::<u64>() * forward < SMALL;
        match &self.pool {
            // Handed over once: each time a thread of the pool must be woken.
            Some(pool) if !small => pool.install(|| {
                let items = work.items.par_iter().zip(parts.par_chunks_exact_mut(layout.stride));
                items.with_max_len(1).for_each(run);
                reduce(&parts, &mut sums, true);
            }),
            _ => {
                work.items.iter().zip(parts.chunks_exact_mut(layout.stride)).for_each(run);
                reduce(&parts, &mut sums, false);
            }
        }
        for (item, part) in work.items.iter().zip(parts.chunks_exact(layout.stride)) {
            work.tasks(item).iter().zip(&part[layout.losses..]).for_each(|(task, loss)| losses[*task] = *loss);
        }
        (self.work, self.parts, self.sums) = (work, parts, sums);
    }

    /// Runs the inner loop of every task and what comes behind it.
    fn over_inner_loops(
        &mut self,
        inner: &InnerLoop,
        (params, rates): (&[f32], &[f32]),
        tasks: &[TaskRows],
        losses: &mut [f32],
        gradients: Option<(&mut [f32], &mut [f32])>,
    ) {
        let batch = (tasks, Some(inner.steps));
        let wanted = gradients.is_some();
        let gradients = gradients.unwrap_or_default();
        let held = Held::of(inner, wanted);
        let lengths = |this: &Self, task: &TaskRows, together| this.lengths(inner, task, together);
        self.over_items(batch, held, lengths, losses, gradients, |this, item, indices, arena, losses, adjoint| {
            let (network, task) = (&this.network, &tasks[indices[0]]);
            let adjoint = wanted.then_some(adjoint);
            match &this.lanes {
                Some(lanes) if item.together => {
                    let mut values = std::mem::take(&mut arena.laid_out);
                    for (side, values) in [Side::Support, Side::Query].into_iter().zip(&mut values) {
                        lanes.lay_out(tasks, indices, side, values);
                    }
                    let laid_out = values.each_ref().map(|values| &values[..]);
                    let passes = Lanes { network, lanes, inner, rates, tasks, indices, laid_out };
                    recursion::run(&passes, inner, params, arena, losses, adjoint);
                    arena.laid_out = values;
                }
                _ => recursion::run(&Alone { network, inner, rates, task }, inner, params, arena, losses, adjoint),
            }
        });
    }

    /// Asks whether `values` are as many as they must be.
    fn expect(what: &'static str, values: &[f32], expected: usize) -> Result<(), EngineError> {
        let got = values.len();
        if got == expected { Ok(()) } else { Err(EngineError::Length { what, expected, got }) }
    }

    /// Asks whether rows fit the network; a pass with a loss asks for targets, too.
    fn expect_rows(&self, rows: &Rows, targets: bool) -> Result<(), EngineError> {
        Self::expect("inputs of a task", &rows.x, rows.rows * self.network.input_len())?;
        if targets {
            Self::expect("targets of a task", &rows.y, rows.rows * self.network.output_len())?;
        }
        Ok(())
    }

    /// The same of both sides of each task, which have losses.
    fn expect_tasks(&self, tasks: &[TaskRows]) -> Result<(), EngineError> {
        tasks.iter().flat_map(|task| [&task.support, &task.query]).try_for_each(|rows| self.expect_rows(rows, true))
    }

    fn expect_inner(&self, inner: &InnerLoop, params: &[f32], rates: &[f32]) -> Result<(), EngineError> {
        Self::expect("parameters", params, self.network.param_len())?;
        let expected = match inner.rate {
            _ if inner.steps == 0 && !inner.learn_rates => return Ok(()),
            Rate::Constant => 1,
            Rate::PerLayerStep => inner.steps * self.network.layer_count(),
            Rate::PerParameter => self.network.param_len(),
        };
        Self::expect("inner rates", rates, expected)
    }
}

impl Engine for Cpu {
    type Values = Aligned;
    type Tasks = Vec<TaskRows>;

    fn network(&self) -> &NetworkSpec {
        &self.spec
    }

    fn adapted(&self, scope: &Scope) -> LayerSet {
        self.network.adapted(scope)
    }

    fn upload(&mut self, values: &[f32]) -> Result<Aligned, EngineError> {
        Ok(Aligned::copy_of(values))
    }

    fn download(&self, values: &Aligned) -> Result<Vec<f32>, EngineError> {
        Ok(values.to_vec())
    }

    fn take(&mut self, tasks: Vec<TaskRows>) -> Result<Vec<TaskRows>, EngineError> {
        for rows in tasks.iter().flat_map(|task| [&task.support, &task.query]) {
            self.expect_rows(rows, !rows.y.is_empty())?;
        }
        Ok(tasks)
    }

    fn forward(
        &mut self,
        params: Parameters<'_, Aligned>,
        tasks: &Vec<TaskRows>,
        side: Side,
        depth: Depth,
        into: &mut Aligned,
    ) -> Result<(), EngineError> {
        single::forward(self, params, tasks, side, depth, into)
    }

    fn backward(
        &mut self,
        params: Parameters<'_, Aligned>,
        tasks: &Vec<TaskRows>,
        side: Side,
        depth: Depth,
        cotangent: &Aligned,
        into: &mut Aligned,
        inputs: Option<&mut Aligned>,
    ) -> Result<(), EngineError> {
        single::backward(self, params, tasks, side, depth, cotangent, into, inputs)
    }

    fn gradient(
        &mut self,
        params: Parameters<'_, Aligned>,
        tasks: &Vec<TaskRows>,
        side: Side,
        losses: &mut Vec<f32>,
        into: &mut Aligned,
    ) -> Result<(), EngineError> {
        single::gradient(self, params, tasks, side, losses, into)
    }

    fn hessian_vector(
        &mut self,
        params: Parameters<'_, Aligned>,
        directions: &Aligned,
        tasks: &Vec<TaskRows>,
        side: Side,
        into: &mut Aligned,
    ) -> Result<(), EngineError> {
        single::hessian_vector(self, params, directions, tasks, side, into)
    }

    fn meta_gradient(
        &mut self,
        inner: &InnerLoop,
        params: &Aligned,
        rates: &Aligned,
        tasks: &Vec<TaskRows>,
        into: &mut BatchGradient<Aligned>,
    ) -> Result<(), EngineError> {
        self.expect_inner(inner, params, rates)?;
        self.expect_tasks(tasks)?;
        let BatchGradient { params: to, rates: rates_to, losses, tasks: count } = into;
        to.resize(params.len());
        losses.resize(tasks.len());
        *count = tasks.len();
        if inner.learn_rates {
            rates_to.get_or_insert_default().resize(rates.len());
        } else {
            *rates_to = None;
        }
        let gradients = (&mut to[..], rates_to.as_deref_mut().unwrap_or_default());
        self.over_inner_loops(inner, (params, rates), tasks, losses, Some(gradients));
        Ok(())
    }

    fn meta_losses(
        &mut self,
        inner: &InnerLoop,
        params: &Aligned,
        rates: &Aligned,
        tasks: &Vec<TaskRows>,
        losses: &mut Vec<f32>,
    ) -> Result<(), EngineError> {
        self.expect_inner(inner, params, rates)?;
        self.expect_tasks(tasks)?;
        let inner = InnerLoop { learn_rates: false, first_order: true, ..inner.clone() };
        losses.clear();
        losses.resize(tasks.len(), f32::NAN);
        self.over_inner_loops(&inner, (params, rates), tasks, losses, None);
        Ok(())
    }

    fn pooled_gradient(
        &mut self,
        params: &Aligned,
        tasks: &Vec<TaskRows>,
        into: &mut BatchGradient<Aligned>,
    ) -> Result<(), EngineError> {
        Self::expect("parameters", params, self.network.param_len())?;
        self.expect_tasks(tasks)?;
        let BatchGradient { params: to, rates, losses, tasks: count } = into;
        *rates = None;
        to.resize(params.len());
        losses.resize(tasks.len());
        *count = tasks.len();
        let lengths =
            |this: &Self, task: &TaskRows, _| single::lengths(&this.network, task.support.rows.max(task.query.rows));
        let gradients = (&mut to[..], &mut [][..]);
        self.over_items(
            (tasks, None),
            Held::default(),
            lengths,
            losses,
            gradients,
            |this, _, indices, arena, losses, to| {
                losses[0] = single::pooled(&this.network, params, &tasks[indices[0]], arena, to.params);
            },
        );
        Ok(())
    }

    fn update(
        &mut self,
        step: &OuterStep,
        learned: Learned<'_, Aligned>,
        gradient: &mut BatchGradient<Aligned>,
    ) -> Result<(), EngineError> {
        let Learned { params, rates, moments: [of_params, of_rates] } = learned;
        let BatchGradient { params: by_params, rates: by_rates, .. } = gradient;
        Self::expect("a gradient by the parameters", by_params, params.len())?;
        if let Some(by_rates) = by_rates {
            Self::expect("a gradient by the rates", by_rates, rates.len())?;
        }
        self.norm = optimiser::clip([by_params, by_rates.as_deref_mut().unwrap_or_default()], step.clip);
        if self.norm.is_finite() {
            let [for_params, for_rates] = step.factors([of_params.steps, of_rates.steps]);
            for_params.step(of_params, params, by_params);
            if let Some(by_rates) = by_rates {
                for_rates.step(of_rates, rates, by_rates);
            }
        }
        Ok(())
    }

    fn outcome(&mut self, gradient: &BatchGradient<Aligned>, losses: &mut Vec<f32>) -> Result<f64, EngineError> {
        losses.clear();
        losses.extend_from_slice(&gradient.losses);
        Ok(self.norm)
    }
}
