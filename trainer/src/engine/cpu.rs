//! The engine on CPU: tasks in parallel, one arena for each worker, the same bits for any number of threads.

use std::sync::{Mutex, PoisonError};

use rayon::prelude::*;
use sinew_models::spec::NetworkSpec;
use sinew_runtime::kernel::dense::Update;
use sinew_runtime::kernel::scale::add_scaled;
use sinew_runtime::network::{Destination, LayerSet};
use sinew_runtime::{Network, Path};

use super::arena::Arena;
use super::{BatchGradient, InnerLoop, Rows, TaskRows, task};
use crate::aligned::Aligned;

/// Why there is no engine.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The network cannot be.
    #[error("the network: {0}")]
    Network(#[from] sinew_runtime::network::NetworkError),
    /// The learner trains another kind of rule.
    #[error("this learner trains a gradient rule without momentum, got {0:?}")]
    Rule(sinew_models::rule::Rule),
    /// The threads could not be started.
    #[error("{threads} threads could not be started: {source}")]
    Threads {
        /// How many were asked for.
        threads: usize,
        /// Why.
        source: rayon::ThreadPoolBuildError,
    },
}

/// Parameters that a worker sums at once.
const SUMMED: usize = 1024;

/// Gradients of one network over batches of tasks.
#[derive(Debug)]
pub struct Cpu {
    network: Network,
    /// `None` for one thread, which is the caller's.
    pool: Option<rayon::ThreadPool>,
    /// One for each worker; a worker takes only its own, so nobody waits.
    arenas: Vec<Mutex<Arena>>,
    /// The gradients of the tasks of a batch, side by side.
    tasks: Aligned,
    params: Aligned,
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
        let params = Aligned::zeros(network.param_len());
        Ok(Self { network, pool, arenas, tasks: Aligned::default(), params })
    }

    /// The network.
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// The mean over `tasks` of the query loss after the inner loop, and its exact gradient (or, by choice, the first-order one).
    pub fn meta_gradient(
        &mut self,
        inner: &InnerLoop,
        params: &[f32],
        rates: &[f32],
        tasks: &[TaskRows],
        into: &mut BatchGradient,
    ) {
        let rate_len = if inner.learn_rates { rates.len() } else { 0 };
        self.over_tasks(params, tasks, rate_len, into, |network, params, task, arena| {
            arena.make_room(
                network,
                inner.steps,
                task.support.rows,
                task.query.rows,
                inner.keeps_gradients(network),
                rate_len,
            );
            task::gradient(network, inner, params, rates, task, arena)
        });
    }

    /// The query loss of each task after the inner loop.
    pub fn meta_losses(&self, inner: &InnerLoop, params: &[f32], rates: &[f32], tasks: &[TaskRows]) -> Vec<f32> {
        let one = |task: &TaskRows| {
            self.with_arena(|arena| {
                let (network, keeps) = (&self.network, inner.keeps_gradients(&self.network));
                arena.make_room(network, inner.steps, task.support.rows, task.query.rows, keeps, 0);
                task::loss(network, inner, params, rates, task, arena)
            })
        };
        match &self.pool {
            None => tasks.iter().map(one).collect(),
            Some(pool) => pool.install(|| tasks.par_iter().map(one).collect()),
        }
    }

    /// The mean over `tasks` of the loss on all of their rows, support and query alike, and its gradient: what a network that is
    /// trained on pooled data sees.
    pub fn pooled_gradient(&mut self, params: &[f32], tasks: &[TaskRows], into: &mut BatchGradient) {
        self.over_tasks(params, tasks, 0, into, |network, params, task, arena| {
            let rows = task.support.rows + task.query.rows;
            arena.make_room(network, 0, 0, rows, false, 0);
            let join = |a: &[f32], b: &[f32]| [a, b].concat();
            let (x, y) = (join(&task.support.x, &task.query.x), join(&task.support.y, &task.query.y));
            gradient_at(network, params, &Rows { x, y, rows }, arena)
        });
    }

    fn with_arena<T>(&self, run: impl FnOnce(&mut Arena) -> T) -> T {
        let worker = self.pool.as_ref().and_then(rayon::ThreadPool::current_thread_index).unwrap_or(0);
        // An arena holds nothing that a panic could leave half done: every pass writes before it reads.
        run(&mut self.arenas[worker].lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Runs `one` for every task and takes the mean of what it leaves in the arena. The sum runs over tasks in their order, whoever
    /// computed them, so the number of threads changes no bit.
    fn over_tasks(
        &mut self,
        params: &[f32],
        tasks: &[TaskRows],
        rate_len: usize,
        into: &mut BatchGradient,
        one: impl Fn(&Network, &[f32], &TaskRows, &mut Arena) -> f32 + Sync,
    ) {
        let (path, param_len) = (self.network.path(), self.network.param_len());
        self.params.copy_from_slice(params);
        into.params.clear();
        into.params.resize(param_len, 0.0);
        into.rates.clear();
        into.rates.resize(rate_len, 0.0);
        into.losses.clear();
        let share = 1.0 / tasks.len().max(1) as f32;
        if self.pool.is_none() {
            for task in tasks {
                let loss = self.with_arena(|arena| {
                    let loss = one(&self.network, &self.params, task, arena);
                    add_scaled(path, &mut into.params, 1.0, &arena.adjoint[..param_len]);
                    add_scaled(path, &mut into.rates, 1.0, &arena.rates);
                    loss
                });
                into.losses.push(loss);
            }
        } else {
            let stride = Aligned::padded(param_len + rate_len);
            if self.tasks.len() < stride * tasks.len() {
                self.tasks = Aligned::zeros(stride * tasks.len());
            }
            let mut parts = std::mem::take(&mut self.tasks);
            into.losses.resize(tasks.len(), 0.0);
            if let Some(pool) = &self.pool {
                let this = &*self;
                let (losses, sums, rates) = (&mut into.losses, &mut into.params, &mut into.rates);
                pool.install(|| {
                    let work = tasks.par_iter().zip(parts.par_chunks_mut(stride)).zip(losses.par_iter_mut());
                    work.with_max_len(1).for_each(|((task, part), loss)| {
                        *loss = this.with_arena(|arena| {
                            let loss = one(&this.network, &this.params, task, arena);
                            part[..param_len].copy_from_slice(&arena.adjoint[..param_len]);
                            part[param_len..param_len + rate_len].copy_from_slice(&arena.rates);
                            loss
                        });
                    });
                    let parts = &parts;
                    let sum = |from: usize, sums: &mut [f32]| {
                        for part in parts.chunks_exact(stride).take(tasks.len()) {
                            add_scaled(path, sums, 1.0, &part[from..][..sums.len()]);
                        }
                    };
                    // Each worker sums its own parameters, over tasks in their order.
                    sums.par_chunks_mut(SUMMED).enumerate().for_each(|(chunk, sums)| sum(chunk * SUMMED, sums));
                    sum(param_len, rates);
                });
            }
            self.tasks = parts;
        }
        into.params.iter_mut().chain(&mut into.rates).for_each(|value| *value *= share);
    }
}

/// The gradient of the loss on `rows`, left in the arena's adjoint.
fn gradient_at(network: &Network, params: &[f32], rows: &Rows, arena: &mut Arena) -> f32 {
    let Arena { steps, panel, adjoint, .. } = arena;
    let Some(pass) = steps.first_mut() else { return f32::NAN };
    network.forward(params, &rows.x, rows.rows, &mut pass.forward, panel);
    let (layers, update) = (LayerSet::ALL, Update::Store);
    let destination = Destination::Gradient { params, gradient: adjoint, layers, update };
    network.gradient(destination, rows.batch(), &pass.forward, &mut pass.backward, panel)
}
