//! Learners that leave the backbone as it is on a device and fit something to its features: prototypes, twins, closed forms.
//!
//! The engine carries rows forward to features and gradients back from them; what a head makes of the features of one task, and the
//! gradient by them, is computed here in f64, a task a thread.

use std::fmt;

use nalgebra::DMatrix;
use rayon::prelude::*;
use sinew_models::layout::Place;
use sinew_models::rule::Rule;
use sinew_models::spec::NetworkSpec;

use super::{Batch, Learner, State, Use};
use crate::engine::{BatchGradient, Depth, Engine, EngineError, Parameters, Rows, Side, TaskRows};

/// Rows that go through the network together where the engine computes elsewhere. A large episode is several of these, so that activations
/// stay few.
pub(super) const ROWS: usize = 32;
/// The same where it computes here: threads share an episode, and the activations of convolutions stay in the cache.
const ROWS_HERE: usize = 4;

/// One side of a task: a column for each row of the episode.
#[derive(Clone, Debug, PartialEq)]
pub struct Seen {
    /// `[features, rows]`.
    pub features: DMatrix<f64>,
    /// `[outputs, rows]`; for classes as many outputs as the episode has.
    pub targets: DMatrix<f64>,
}

/// One task as a head sees it.
#[derive(Clone, Debug, PartialEq)]
pub struct Task {
    /// What it is fitted to.
    pub support: Seen,
    /// What it is judged on.
    pub query: Seen,
}

/// What a head has learned.
#[derive(Clone, Debug, PartialEq)]
pub struct Learned {
    /// The dense heads of the network, one behind the other: `[features + 1, outputs]`, the bias last.
    pub head: DMatrix<f64>,
    /// What it learned of its rule: `[rates]`.
    pub rates: Vec<f64>,
}

/// The gradient of one task's loss.
#[derive(Clone, Debug, PartialEq)]
pub struct Gradient {
    /// By the features of the support: `[features, rows]`.
    pub support: DMatrix<f64>,
    /// By those of the query.
    pub query: DMatrix<f64>,
    /// By what was learned.
    pub learned: Learned,
}

impl Gradient {
    /// Nothing yet, of a task and what was learned.
    pub fn zeros(task: &Task, learned: &Learned) -> Self {
        let zeros = |like: &DMatrix<f64>| DMatrix::zeros(like.nrows(), like.ncols());
        Self {
            support: zeros(&task.support.features),
            query: zeros(&task.query.features),
            learned: Learned { head: zeros(&learned.head), rates: vec![0.0; learned.rates.len()] },
        }
    }
}

/// What is fitted to the features of a task.
pub trait Head: fmt::Debug + Send + Sync {
    /// Its name, as tables and bundles have it.
    fn name(&self) -> &'static str;

    /// How a device fits it.
    fn rule(&self) -> &Rule;

    /// What it learns of the rule, to begin with.
    fn initial_rates(&self, network: &NetworkSpec) -> Vec<f64>;

    /// The loss on the query after a fit to the support, which both have rows; its gradient is added to `into`.
    fn gradient(&self, task: &Task, learned: &Learned, into: &mut Gradient) -> f64;

    /// By what the best state is chosen; smaller is better.
    fn loss(&self, task: &Task, learned: &Learned) -> f64 {
        self.gradient(task, learned, &mut Gradient::zeros(task, learned))
    }

    /// The heads and the numbers of the rule's tensors, as a device gets them.
    fn deploy(&self, learned: &Learned) -> (DMatrix<f64>, Vec<f64>);
}

/// The learner of a head.
#[derive(Debug)]
pub struct OnFeatures<H> {
    head: H,
    parallel: bool,
}

impl<H: Head> OnFeatures<H> {
    /// The learner of `head`; tasks go to several threads if it is to use more than one.
    pub const fn new(head: H, threads: usize) -> Self {
        Self { head, parallel: threads > 1 }
    }

    /// The tasks of a batch, with the features that the backbone makes of them.
    fn tasks<E: Engine>(
        &self,
        engine: &mut E,
        state: &State<E::Values>,
        batch: &Batch<E>,
    ) -> Result<Vec<Task>, EngineError> {
        let mut values = E::Values::default();
        let mut features = Vec::new();
        for part in &batch.parts {
            engine.forward(Parameters::Shared(&state.params), part, Side::Support, Depth::Features, &mut values)?;
            features.append(&mut engine.download(&values)?);
        }
        let len = engine.network().feature_len();
        let (mut left, mut tasks) = (&features[..], Vec::new());
        for task in &batch.tasks {
            let mut seen = |rows: &Rows| {
                let (own, rest) = left.split_at(rows.rows * len);
                left = rest;
                let outputs = rows.y.len().checked_div(rows.rows).unwrap_or(0);
                let columns = |height, values: &[f32]| {
                    DMatrix::from_iterator(height, rows.rows, values.iter().map(|value| f64::from(*value)))
                };
                Seen { features: columns(len, own), targets: columns(outputs, &rows.y) }
            };
            tasks.push(Task { support: seen(&task.support), query: seen(&task.query) });
        }
        Ok(tasks)
    }

    fn learned<E: Engine>(&self, engine: &E, state: &State<E::Values>) -> Result<Learned, EngineError> {
        let params = engine.download(&state.params)?;
        let rates = engine.download(&state.rates)?;
        Ok(learned(engine.network(), &State { params, rates }))
    }

    fn map<T: Send>(&self, tasks: &[Task], one: impl Fn(&Task) -> T + Send + Sync) -> Vec<T> {
        if self.parallel { tasks.par_iter().map(one).collect() } else { tasks.iter().map(one).collect() }
    }
}

/// The inputs of these sides of tasks, taken from them, as tasks of at most so many rows without targets.
pub(super) fn cut<'r>(network: &NetworkSpec, sides: impl Iterator<Item = &'r mut Rows>, rows: usize) -> Vec<TaskRows> {
    let presented = network.input.presented_len();
    let mut x = Vec::new();
    sides.for_each(|side| x.append(&mut side.x));
    let one = |x: &[f32]| Rows { x: x.to_vec(), y: Vec::new(), rows: x.len() / presented };
    x.chunks(rows * presented).map(|x| TaskRows { support: one(x), query: Rows::default() }).collect()
}

/// Where the weight of an output's dense head begins, and where its bias is, output after output.
fn outputs(network: &NetworkSpec) -> impl Iterator<Item = (usize, usize)> + '_ {
    let heads = network.layers().filter(|layer| matches!(layer.place, Place::Head(_)));
    heads.flat_map(|layer| {
        let (features, outputs, offset) = (layer.inputs(), layer.outputs(), layer.offset);
        (0..outputs).map(move |output| (offset + output * features, offset + outputs * features + output))
    })
}

fn learned(network: &NetworkSpec, state: &State) -> Learned {
    let len = network.feature_len();
    let mut head = DMatrix::zeros(len + 1, network.output_len());
    for (mut column, (weight, bias)) in head.column_iter_mut().zip(outputs(network)) {
        let values = state.params[weight..][..len].iter().chain(&state.params[bias..][..1]);
        column.iter_mut().zip(values).for_each(|(to, value)| *to = f64::from(*value));
    }
    Learned { head, rates: state.rates.iter().map(|rate| f64::from(*rate)).collect() }
}

/// Puts heads into parameters: `put(parameter, value)`.
fn put_heads(network: &NetworkSpec, head: &DMatrix<f64>, params: &mut [f32], put: impl Fn(&mut f32, f64)) {
    let len = network.feature_len();
    for (column, (weight, bias)) in head.column_iter().zip(outputs(network)) {
        params[weight..][..len].iter_mut().zip(column.iter()).for_each(|(to, value)| put(to, *value));
        put(&mut params[bias], column[len]);
    }
}

impl<E: Engine, H: Head> Learner<E> for OnFeatures<H> {
    fn name(&self) -> &'static str {
        self.head.name()
    }

    fn rule(&self) -> &Rule {
        self.head.rule()
    }

    fn initial_rates(&self, network: &NetworkSpec) -> Vec<f32> {
        self.head.initial_rates(network).into_iter().map(|rate| rate as f32).collect()
    }

    /// The rows of all tasks, support then query, cut where it suits the engine; it gets no targets.
    fn prepare(&self, engine: &mut E, mut tasks: Vec<TaskRows>, _purpose: Use) -> Result<Batch<E>, EngineError> {
        let rows = if engine.computes_elsewhere() { ROWS } else { ROWS_HERE };
        let sides = tasks.iter_mut().flat_map(|task| [&mut task.support, &mut task.query]);
        let rows = cut(engine.network(), sides, rows);
        Ok(Batch { parts: vec![engine.take(rows)?], tasks, support_rows: Vec::new() })
    }

    fn gradient(
        &mut self,
        engine: &mut E,
        state: &State<E::Values>,
        batch: &Batch<E>,
        _iteration: u64,
        into: &mut BatchGradient<E::Values>,
    ) -> Result<(), EngineError> {
        let learned = self.learned(engine, state)?;
        let tasks = self.tasks(engine, state, batch)?;
        let gradients = self.map(&tasks, |task| {
            let mut gradient = Gradient::zeros(task, &learned);
            let loss = self.head.gradient(task, &learned, &mut gradient);
            (loss, gradient)
        });
        let share = 1.0 / gradients.len().max(1) as f64;
        let mut cotangent = Vec::new();
        let mut head = DMatrix::zeros(learned.head.nrows(), learned.head.ncols());
        let mut rates = vec![0.0; learned.rates.len()];
        for (_, gradient) in &gradients {
            let values = gradient.support.iter().chain(gradient.query.iter());
            cotangent.extend(values.map(|value| (share * value) as f32));
            head += &gradient.learned.head * share;
            rates.iter_mut().zip(&gradient.learned.rates).for_each(|(sum, rate)| *sum += share * rate);
        }
        let cotangent = engine.upload(&cotangent)?;
        let mut params = E::Values::default();
        let at = Parameters::Shared(&state.params);
        batch.parts.iter().try_for_each(|part| {
            engine.backward(at, part, Side::Support, Depth::Features, &cotangent, &mut params, None)
        })?;
        let mut params = engine.download(&params)?;
        put_heads(engine.network(), &head, &mut params, |to, value| *to += value as f32);
        let rates: Vec<f32> = rates.iter().map(|rate| *rate as f32).collect();
        let losses: Vec<f32> = gradients.iter().map(|(loss, _)| *loss as f32).collect();
        into.fill(engine, &params, Some(&rates[..]).filter(|rates| !rates.is_empty()), &losses)
    }

    fn losses(
        &self,
        engine: &mut E,
        state: &State<E::Values>,
        batch: &Batch<E>,
        losses: &mut Vec<f32>,
    ) -> Result<(), EngineError> {
        let learned = self.learned(engine, state)?;
        let tasks = self.tasks(engine, state, batch)?;
        *losses = self.map(&tasks, |task| self.head.loss(task, &learned) as f32);
        Ok(())
    }

    fn deploy(&self, network: &NetworkSpec, state: &State) -> State {
        let (head, numbers) = self.head.deploy(&learned(network, state));
        let mut params = state.params.clone();
        put_heads(network, &head, &mut params, |to, value| *to = value as f32);
        State { params, rates: numbers.into_iter().map(|number| number as f32).collect() }
    }
}

#[cfg(test)]
mod tests;
