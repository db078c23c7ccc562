//! Meta-LSTM (Ravi and Larochelle 2017): a learned optimiser, and where it starts.
//!
//! Paper, eqs. 2–4: the parameters are the cell of an LSTM, `θ_{k+1} = f_{k+1} ∘ θ_k − i_{k+1} ∘ ∇L(θ_k)`, whose gates
//! `f_{k+1} = σ(w_F·[h_{k+1}, θ_k, f_k] + b_F)` and `i_{k+1} = σ(w_I·[h_{k+1}, θ_k, i_k] + b_I)` open by what an ordinary LSTM, shared by
//! all parameters, makes of the preprocessed support loss and gradient (appendix A of the paper, after Andrychowicz et al. 2016).
//! Learned are the gates' numbers and θ_0, the paper's c_0 (section 3.2), by the query loss after S steps (algorithm 1).
//!
//! The way back is by hand, through time. As in section 3.3 losses and gradients of the support are constants on it: no second derivatives.
//! All else is exact. Given those constants parameters do not depend on one another, so the way there keeps nothing but each step's
//! losses and gradients, and the way back goes there again block by block, in a processor's cache.

mod block;
mod weights;

use std::ops::Range;

use rand::RngExt;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use sinew_models::rule::{Rule, Scope};
use sinew_models::spec::NetworkSpec;
use sinew_runtime::Path;
use sinew_runtime::rule::meta_lstm::preprocess;

use super::{Batch, Learner, State, Use};
use crate::engine::{BatchGradient, Engine, EngineError, Parameters, Side, TaskRows};
use crate::streams::{Purpose, rng};
use block::{BLOCK, Gates, Trace, memory_len};
use weights::{SEEN, Sizes, Weights};

/// Parameters of a task that one worker takes at once.
const CHUNK: usize = 10 * BLOCK;

/// The most values that gates remember of the tasks of one part of a batch: 256 MiB.
const TOGETHER: usize = 1 << 26;

/// The bound of the first weights, as in the authors' code.
const WEIGHTS: f32 = 0.01;
/// The first bias of the gate f, which is then 0.993: the parameters are kept, nearly.
const FORGET: f32 = 5.0;
/// That of the gate i, which is then [`FIRST_RATE`]: learning starts as gradient descent at a small rate.
const INPUT: f32 = -4.5;
/// The rate of the descent as which learning starts.
pub const FIRST_RATE: f32 = 0.011;
/// That of the LSTM's own forget gate (Jozefowicz et al. 2015).
const LSTM_FORGET: f32 = 1.0;

/// What a configuration says of Meta-LSTM, `kind = "meta_lstm"`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Inner steps.
    pub steps: usize,
    /// Units of the LSTM; with 0 the gates see loss and gradient themselves.
    #[serde(default = "twenty")]
    pub hidden: usize,
    /// Which layers are adapted.
    #[serde(default)]
    pub adapt: Scope,
}

/// As in the paper's code.
fn twenty() -> usize {
    20
}

/// Meta-LSTM.
#[derive(Debug)]
pub struct MetaLstm {
    rule: Rule,
    steps: usize,
    sizes: Sizes,
    adapted: Adapted,
    seed: u64,
    path: Path,
    parallel: bool,
    /// Tasks of a part of a batch.
    at_once: usize,
}

impl MetaLstm {
    /// Meta-LSTM for the network of `engine`, which has layers to adapt; their first numbers follow
    /// from `seed`. Work goes to several threads if it is to use more than one.
    pub fn new<E: Engine>(engine: &E, settings: &Settings, seed: u64, threads: usize) -> Self {
        let Settings { steps, hidden, adapt: scope } = settings.clone();
        let adapted = Adapted::new(engine, &scope);
        let rule = Rule::MetaLstm { steps, hidden, scope };
        let sizes = Sizes::new(hidden);
        let at_once = (TOGETHER / memory_len(sizes, adapted.len).max(1)).max(1);
        Self { rule, steps, sizes, adapted, seed, path: Path::detect(), parallel: threads > 1, at_once }
    }

    /// The numbers to begin with, in the layout of the rule's tensors: small weights, and biases with which the rule is gradient descent at
    /// a small rate.
    fn first_numbers(&self) -> Vec<f32> {
        let Sizes { hidden, width } = self.sizes;
        let mut rng = rng(self.seed, Purpose::Initial, 1, 0);
        let mut weights =
            |count: usize| -> Vec<f32> { (0..count).map(|_| rng.random_range(-WEIGHTS..=WEIGHTS)).collect() };
        let mut numbers = weights(4 * hidden * (SEEN + hidden));
        let forget = hidden..2 * hidden;
        numbers.extend((0..4 * hidden).map(|gate| if forget.contains(&gate) { LSTM_FORGET } else { 0.0 }));
        numbers.extend(weights(2 * (width + 2)));
        numbers.extend([FORGET, INPUT]);
        numbers
    }

    fn passes<'a>(&self, weights: &'a Weights) -> Passes<'a> {
        Passes { gates: Gates { path: self.path, weights }, parallel: self.parallel }
    }

    fn weights(&self, numbers: &[f32]) -> Result<Weights, EngineError> {
        let (expected, got) = (self.sizes.numbers(), numbers.len());
        let wrong = EngineError::Length { what: "the gates' numbers", expected, got };
        Weights::new(self.sizes.hidden, numbers).ok_or(wrong)
    }

    /// The steps of the tasks; what it takes to go back is kept only where that is wanted.
    fn descend<E: Engine>(
        &self,
        engine: &mut E,
        state: &State<E::Values>,
        weights: &Weights,
        tasks: &E::Tasks,
        goes_back: bool,
    ) -> Result<Descent, EngineError> {
        let (adapted, passes) = (&self.adapted, self.passes(weights));
        let start = engine.download(&state.params)?;
        let params = start.len();
        let (mut losses, mut gradient) = (Vec::new(), E::Values::default());
        // Where all begin alike, and how many they are.
        engine.gradient(Parameters::Shared(&state.params), tasks, Side::Support, &mut losses, &mut gradient)?;
        let count = losses.len();
        let mut descent =
            Descent { start: adapted.gather(params, &start), end: start.repeat(count), ..Descent::default() };
        let mut memory = vec![0.0; count * memory_len(self.sizes, adapted.len)];
        let mut theta = descent.start.repeat(count);
        for step in 1..=self.steps {
            let of_all = engine.download(&gradient)?;
            let of_adapted = if adapted.len == params { of_all } else { adapted.gather(params, &of_all) };
            let seen: Vec<[f32; 2]> = losses.iter().map(|loss| preprocess(*loss)).collect();
            passes.step(adapted.len, (&seen, &of_adapted), &mut theta, &mut memory);
            adapted.scatter(params, &theta, &mut descent.end);
            if goes_back {
                descent.steps.push((seen, of_adapted));
            }
            if step < self.steps {
                let here = engine.upload(&descent.end)?;
                engine.gradient(Parameters::Each(&here), tasks, Side::Support, &mut losses, &mut gradient)?;
            }
        }
        Ok(descent)
    }
}

impl<E: Engine> Learner<E> for MetaLstm {
    fn name(&self) -> &'static str {
        "meta-lstm"
    }

    fn rule(&self) -> &Rule {
        &self.rule
    }

    fn initial_rates(&self, _network: &NetworkSpec) -> Vec<f32> {
        self.first_numbers()
    }

    /// In parts of which each fits into memory with what the gates remember.
    fn prepare(&self, engine: &mut E, mut tasks: Vec<TaskRows>, _purpose: Use) -> Result<Batch<E>, EngineError> {
        let mut parts = Vec::new();
        loop {
            let rest = tasks.split_off(tasks.len().min(self.at_once));
            parts.push(engine.take(tasks)?);
            if rest.is_empty() {
                return Ok(Batch { parts, tasks: rest, support_rows: Vec::new() });
            }
            tasks = rest;
        }
    }

    fn gradient(
        &mut self,
        engine: &mut E,
        state: &State<E::Values>,
        batch: &Batch<E>,
        _iteration: u64,
        into: &mut BatchGradient<E::Values>,
    ) -> Result<(), EngineError> {
        let weights = self.weights(&engine.download(&state.rates)?)?;
        let params = engine.network().param_len();
        let (mut by_params, mut by_weights) = (vec![0.0; params], vec![0.0; self.sizes.gradient()]);
        let mut all = Vec::new();
        for tasks in &batch.parts {
            let descent = self.descend(engine, state, &weights, tasks, true)?;
            let (mut losses, mut gradient) = (Vec::new(), E::Values::default());
            let end = engine.upload(&descent.end)?;
            engine.gradient(Parameters::Each(&end), tasks, Side::Query, &mut losses, &mut gradient)?;
            let mut of_start = engine.download(&gradient)?;
            let mut adjoint = self.adapted.gather(params, &of_start);
            add_rows(&self.passes(&weights).back(&descent, &mut adjoint), &mut by_weights);
            self.adapted.scatter(params, &adjoint, &mut of_start);
            add_rows(&of_start, &mut by_params);
            all.extend(losses);
        }
        let mean = |sums: Vec<f64>| -> Vec<f32> {
            let share = 1.0 / all.len().max(1) as f64;
            sums.into_iter().map(|sum| (sum * share) as f32).collect()
        };
        let by_numbers = self.sizes.to_numbers(&mean(by_weights));
        into.fill(engine, &mean(by_params), Some(&by_numbers), &all)
    }

    fn losses(
        &self,
        engine: &mut E,
        state: &State<E::Values>,
        batch: &Batch<E>,
        losses: &mut Vec<f32>,
    ) -> Result<(), EngineError> {
        let weights = self.weights(&engine.download(&state.rates)?)?;
        losses.clear();
        let mut of_part = Vec::new();
        for tasks in &batch.parts {
            let descent = self.descend(engine, state, &weights, tasks, false)?;
            let (end, mut gradient) = (engine.upload(&descent.end)?, E::Values::default());
            engine.gradient(Parameters::Each(&end), tasks, Side::Query, &mut of_part, &mut gradient)?;
            losses.extend_from_slice(&of_part);
        }
        Ok(())
    }
}

/// The parameters that are adapted, in one piece for each task.
#[derive(Clone, Debug)]
struct Adapted {
    ranges: Vec<Range<usize>>,
    len: usize,
}

impl Adapted {
    fn new<E: Engine>(engine: &E, scope: &Scope) -> Self {
        let adapted = engine.adapted(scope);
        let mut ranges: Vec<Range<usize>> = Vec::new();
        let layers = engine.network().layers().enumerate();
        for (_, layer) in layers.filter(|(number, _)| adapted.has(*number)) {
            let range = layer.offset..layer.offset + layer.param_len();
            match ranges.last_mut() {
                Some(last) if last.end == range.start => last.end = range.end,
                _ => ranges.push(range),
            }
        }
        let len = ranges.iter().map(Range::len).sum();
        Self { ranges, len }
    }

    /// From `[tasks, params]` to `[tasks, adapted]`.
    fn gather(&self, params: usize, all: &[f32]) -> Vec<f32> {
        let tasks = all.chunks_exact(params.max(1));
        tasks.flat_map(|task| self.ranges.iter().flat_map(|range| &task[range.clone()])).copied().collect()
    }

    /// And back; the others stay.
    fn scatter(&self, params: usize, adapted: &[f32], all: &mut [f32]) {
        for (task, mut from) in all.chunks_exact_mut(params.max(1)).zip(adapted.chunks_exact(self.len.max(1))) {
            for range in &self.ranges {
                let (here, rest) = from.split_at(range.len());
                task[range.clone()].copy_from_slice(here);
                from = rest;
            }
        }
    }
}

/// The steps of a batch.
#[derive(Debug, Default)]
struct Descent {
    /// θ_0, of the parameters that are adapted.
    start: Vec<f32>,
    /// Of each step the preprocessed losses, `[tasks]`, and the gradients, `[tasks, adapted]`.
    steps: Vec<(Vec<[f32; 2]>, Vec<f32>)>,
    /// The parameters behind the last step: `[tasks, params]`.
    end: Vec<f32>,
}

/// The gates and the threads for a batch.
#[derive(Clone, Copy, Debug)]
struct Passes<'a> {
    gates: Gates<'a>,
    parallel: bool,
}

impl Passes<'_> {
    /// Runs `one` for every item of work, each with room for `steps` steps.
    fn each<T: Send>(self, steps: usize, items: Vec<T>, one: impl Fn(&mut Trace, T) + Sync + Send) {
        let room = || Trace::new(self.gates.path, self.gates.weights.sizes, steps);
        if self.parallel {
            items.into_par_iter().for_each_init(room, one);
        } else {
            let mut trace = room();
            items.into_iter().for_each(|item| one(&mut trace, item));
        }
    }

    /// One step of all tasks: `theta` and `gradient` are `[tasks, adapted]`.
    fn step(self, adapted: usize, (losses, gradient): (&[[f32; 2]], &[f32]), theta: &mut [f32], memory: &mut [f32]) {
        let of = |parameters| memory_len(self.gates.weights.sizes, parameters);
        let tasks = theta.chunks_mut(adapted).zip(memory.chunks_mut(of(adapted)));
        let tasks = tasks.zip(gradient.chunks(adapted).zip(losses));
        let items = tasks.flat_map(|((theta, memory), (gradient, loss))| {
            let chunks = theta.chunks_mut(CHUNK).zip(memory.chunks_mut(of(CHUNK)));
            chunks.zip(gradient.chunks(CHUNK)).map(|((theta, memory), gradient)| (theta, memory, gradient, *loss))
        });
        self.each(1, items.collect(), |trace, (theta, memory, gradient, loss)| {
            let blocks = theta.chunks_mut(BLOCK).zip(memory.chunks_mut(of(BLOCK)));
            for ((theta, memory), gradient) in blocks.zip(gradient.chunks(BLOCK)) {
                self.gates.forward(trace, loss, gradient, theta, memory);
            }
        });
    }

    /// The way back of all tasks: `adjoint`, `[tasks, adapted]`, becomes the gradient with respect to θ_0. The result is the gradient with
    /// respect to the weights, of so many chunks of parameters one after another.
    fn back(self, descent: &Descent, adjoint: &mut [f32]) -> Vec<f32> {
        let (len, start) = (self.gates.weights.sizes.gradient(), &descent.start[..]);
        let count = descent.steps.first().map_or(0, |(losses, _)| losses.len());
        let losses: Vec<Vec<[f32; 2]>> =
            (0..count).map(|task| descent.steps.iter().map(|(losses, _)| losses[task]).collect()).collect();
        let of_task = start.len().div_ceil(CHUNK) * len;
        let mut numbers = vec![0.0; count * of_task];
        let tasks = adjoint.chunks_mut(start.len()).zip(numbers.chunks_mut(of_task)).zip(&losses).enumerate();
        let items = tasks.flat_map(|(task, ((adjoint, numbers), losses))| {
            let chunks = adjoint.chunks_mut(CHUNK).zip(numbers.chunks_mut(len)).enumerate();
            chunks.map(move |(chunk, (adjoint, numbers))| (task, chunk * CHUNK, adjoint, numbers, losses))
        });
        self.each(descent.steps.len(), items.collect(), |trace, (task, from, adjoint, numbers, losses)| {
            for (block, adjoint) in adjoint.chunks_mut(BLOCK).enumerate() {
                let (begin, count) = (from + block * BLOCK, adjoint.len());
                let gradient = |step: usize| &descent.steps[step].1[task * start.len() + begin..][..count];
                self.gates.back(trace, losses, gradient, &start[begin..][..count], adjoint, numbers);
            }
        });
        numbers
    }
}

/// Adds rows as long as `sums` to it, always in the same order.
fn add_rows(rows: &[f32], sums: &mut [f64]) {
    for row in rows.chunks_exact(sums.len()) {
        sums.iter_mut().zip(row).for_each(|(sum, value)| *sum += f64::from(*value));
    }
}

#[cfg(test)]
mod tests;
