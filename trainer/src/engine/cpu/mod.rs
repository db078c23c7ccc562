//! The engine on CPU: tasks in parallel, one arena for each worker, the same bits for any number of threads.

mod alone;
mod arena;
mod recursion;
mod single;
mod work;

use std::sync::{Mutex, PoisonError};

use rayon::prelude::*;
use sinew_models::rule::{Rate, Scope};
use sinew_models::spec::NetworkSpec;
use sinew_runtime::kernel::scale::add_scaled;
use sinew_runtime::network::LayerSet;
use sinew_runtime::{Network, Path};

use super::{BatchGradient, Depth, Engine, EngineError, InnerLoop, Parameters, Side, TaskRows};
use crate::aligned::Aligned;
use crate::optimiser::{self, AdamW, Moments};
use alone::Alone;
use arena::{Arena, Lengths};
use work::{Item, Work};

/// Values that a worker sums at once.
const SUMMED: usize = 1024;

/// Gradients of one network over batches of tasks.
#[derive(Debug)]
pub struct Cpu {
    spec: NetworkSpec,
    network: Network,
    /// `None` for one thread, which is the caller's.
    pool: Option<rayon::ThreadPool>,
    /// One for each worker; a worker takes only its own, so nobody waits.
    arenas: Vec<Mutex<Arena>>,
    work: Work,
    /// What items leave behind, side by side, where several are under way at once.
    parts: Aligned,
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
        Ok(Self { spec: spec.clone(), network, pool, arenas, work: Work::default(), parts: Aligned::default() })
    }

    /// Bytes that one meta-step over tasks of the same rows needs at its peak, besides the tasks and the caller's parameters, rates and
    /// gradient: an arena for each worker and, for more than one, a part of the sum for each item.
    pub fn memory(&self, inner: &InnerLoop, tasks: &[TaskRows], rates: usize) -> usize {
        let mut work = Work::default();
        work.plan(tasks);
        let workers = self.arenas.len().min(work.items.len());
        let arena = work.items.iter().map(|item| self.lengths(inner, rates, tasks, &work, item).total(inner)).max();
        let parts = if self.pool.is_some() { self.part_len(inner, rates) * work.items.len() } else { 0 };
        size_of::<f32>() * (workers * arena.unwrap_or(0) + parts)
    }

    fn lengths(&self, inner: &InnerLoop, rates: usize, tasks: &[TaskRows], work: &Work, item: &Item) -> Lengths {
        let task = &tasks[work.tasks(item)[0]];
        alone::lengths(&self.network, inner, rates, [task.support.rows, task.query.rows])
    }

    /// Values that an item leaves behind: a gradient, that with respect to the rates, and a loss.
    fn part_len(&self, inner: &InnerLoop, rates: usize) -> usize {
        let rates = if inner.learn_rates { rates } else { 0 };
        Aligned::padded(self.network.param_len() + rates + 1)
    }

    fn with_arena<T>(&self, run: impl FnOnce(&mut Arena) -> T) -> T {
        let worker = self.pool.as_ref().and_then(rayon::ThreadPool::current_thread_index).unwrap_or(0);
        // An arena holds nothing that a panic could leave half done: every pass writes before it reads.
        run(&mut self.arenas[worker].lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Runs `one` for every item of the work and hands what it leaves in the arena and its losses to `sum`, in the order of the items,
    /// whoever computed them, so that the number of threads changes no bit.
    fn over_items(
        &mut self,
        tasks: &[TaskRows],
        rate_len: usize,
        losses: &mut Vec<f32>,
        (params, rates): (&mut [f32], &mut [f32]),
        one: impl Fn(&Self, &[usize], &mut Arena, &mut [f32]) + Sync,
    ) {
        let mut work = std::mem::take(&mut self.work);
        work.plan(tasks);
        let (path, param_len) = (self.network.path(), self.network.param_len());
        params.fill(0.0);
        rates.fill(0.0);
        losses.clear();
        losses.resize(tasks.len(), f32::NAN);
        match &self.pool {
            None => {
                for item in &work.items {
                    let tasks = work.tasks(item);
                    self.with_arena(|arena| {
                        one(self, tasks, arena, std::slice::from_mut(&mut losses[tasks[0]]));
                        add_scaled(path, params, 1.0, &arena.adjoint.params);
                        add_scaled(path, rates, 1.0, &arena.adjoint.rates);
                    });
                }
            }
            Some(pool) => {
                let stride = Aligned::padded(param_len + rate_len + 1);
                let mut parts = std::mem::take(&mut self.parts);
                parts.resize(stride * work.items.len());
                let this = &*self;
                pool.install(|| {
                    let items = work.items.par_iter().zip(parts.par_chunks_mut(stride));
                    items.with_max_len(1).for_each(|(item, part)| {
                        this.with_arena(|arena| {
                            let (sums, loss) = part.split_at_mut(stride - 1);
                            one(this, work.tasks(item), arena, loss);
                            sums[..param_len].copy_from_slice(&arena.adjoint.params);
                            sums[param_len..][..rate_len].copy_from_slice(&arena.adjoint.rates);
                        });
                    });
                    let parts = &parts;
                    let sum = |from: usize, sums: &mut [f32]| {
                        for part in parts.chunks_exact(stride).take(work.items.len()) {
                            add_scaled(path, sums, 1.0, &part[from..][..sums.len()]);
                        }
                    };
                    // Each worker sums its own values, over items in their order.
                    params.par_chunks_mut(SUMMED).enumerate().for_each(|(chunk, sums)| sum(chunk * SUMMED, sums));
                    sum(param_len, rates);
                });
                for (item, part) in work.items.iter().zip(parts.chunks_exact(stride)) {
                    losses[work.tasks(item)[0]] = part[stride - 1];
                }
                self.parts = parts;
            }
        }
        let share = 1.0 / tasks.len().max(1) as f32;
        params.iter_mut().chain(rates).for_each(|value| *value *= share);
        self.work = work;
    }

    /// Asks whether `values` are as many as they must be.
    fn expect(what: &'static str, values: &[f32], expected: usize) -> Result<(), EngineError> {
        let got = values.len();
        if got == expected { Ok(()) } else { Err(EngineError::Length { what, expected, got }) }
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
            Self::expect("inputs of a task", &rows.x, rows.rows * self.network.input_len())?;
            if !rows.y.is_empty() {
                Self::expect("targets of a task", &rows.y, rows.rows * self.network.output_len())?;
            }
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
        let rate_len = if inner.learn_rates { rates.len() } else { 0 };
        let BatchGradient { params: to, rates: rates_to, losses } = into;
        to.resize(params.len());
        if inner.learn_rates {
            rates_to.get_or_insert_default().resize(rate_len);
        } else {
            *rates_to = None;
        }
        let sums = (&mut to[..], rates_to.as_deref_mut().unwrap_or_default());
        self.over_items(tasks, rate_len, losses, sums, |this, indices, arena, losses| {
            let (network, task) = (&this.network, &tasks[indices[0]]);
            let rows = [task.support.rows, task.query.rows];
            arena.make_room(inner, &alone::lengths(network, inner, rates.len(), rows));
            let passes = Alone { network, inner, rates, task };
            recursion::gradient(&passes, inner, params, arena, losses);
        });
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
        let inner = InnerLoop { learn_rates: false, first_order: true, kept: super::Kept::Parameters, ..inner.clone() };
        let this = &*self;
        let one = |(task, loss): (&TaskRows, &mut f32)| {
            this.with_arena(|arena| {
                let (network, rows) = (&this.network, [task.support.rows, task.query.rows]);
                arena.make_room(&inner, &alone::lengths(network, &inner, rates.len(), rows));
                let passes = Alone { network, inner: &inner, rates, task };
                recursion::losses(&passes, &inner, params, arena, std::slice::from_mut(loss));
            });
        };
        losses.resize(tasks.len(), f32::NAN);
        match &this.pool {
            None => tasks.iter().zip(losses).for_each(one),
            Some(pool) => pool.install(|| tasks.par_iter().zip(losses).with_max_len(1).for_each(one)),
        }
        Ok(())
    }

    fn pooled_gradient(
        &mut self,
        params: &Aligned,
        tasks: &Vec<TaskRows>,
        into: &mut BatchGradient<Aligned>,
    ) -> Result<(), EngineError> {
        Self::expect("parameters", params, self.network.param_len())?;
        let BatchGradient { params: to, rates, losses } = into;
        *rates = None;
        to.resize(params.len());
        self.over_items(tasks, 0, losses, (to, &mut []), |this, indices, arena, losses| {
            losses[0] = single::pooled(&this.network, params, &tasks[indices[0]], arena);
        });
        Ok(())
    }

    fn clip(&mut self, gradient: &mut BatchGradient<Aligned>, most: Option<f64>) -> Result<f64, EngineError> {
        let rates = gradient.rates.as_deref_mut().unwrap_or_default();
        Ok(optimiser::clip([&mut gradient.params, rates], most))
    }

    fn step(
        &mut self,
        adam: &AdamW,
        rate: f64,
        moments: &mut Moments<Aligned>,
        params: &mut Aligned,
        gradient: &Aligned,
    ) -> Result<(), EngineError> {
        Self::expect("a gradient", gradient, params.len())?;
        adam.step(rate, moments, params, gradient);
        Ok(())
    }
}
