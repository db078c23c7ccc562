//! One network for several jobs: a backbone that heads share, L(θ) = Σ λ_i L_i(θ) (Caruana 1997), with a choice of how the losses become
//! one step ([`weighting`]).
//!
//! Rows of all tasks are pooled. A row may lack the labels of some heads, which then are NaN; L_i is the mean over the rows that have them.
//! The engine carries rows forward to outputs and gradients back from them; losses, and what becomes of them, are computed here in f64. A
//! weighting that looks at gradients gets one pass back for each head.

use std::ops::Range;

use nalgebra::DMatrix;
use serde::{Deserialize, Serialize};
use sinew_models::layout::Place;
use sinew_models::rule::{Rule, Scope};
use sinew_models::spec::{Head, NetworkSpec};

use super::features::{ROWS, cut};
use super::objective::{of_row, terms};
use super::{Batch, Learner, State, Use};
use crate::engine::{BatchGradient, Depth, Engine, EngineError, Parameters, Rows, Side, TaskRows};
use crate::weighting::pull::Pull;
use crate::weighting::{self, Needs, Seen, Weighting, Weights};

/// The settings of multi-task training. A configuration has it as `kind = "multitask"`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// How the losses of the heads become one step.
    pub weighting: weighting::Settings,
    /// Gradient steps that a device takes.
    #[serde(default = "one")]
    pub steps: usize,
    /// The rate of those steps.
    #[serde(default = "a_hundredth")]
    pub inner_rate: f32,
    /// Which layers they adapt.
    #[serde(default = "heads")]
    pub adapt: Scope,
}

fn one() -> usize {
    1
}

fn a_hundredth() -> f32 {
    0.01
}

fn heads() -> Scope {
    Scope::Heads
}

/// Multi-task training.
#[derive(Debug)]
pub struct MultiTask {
    rule: Rule,
    inner_rate: f32,
    weighting: Box<dyn Weighting>,
    /// What the last gradient was weighed with.
    weights: Weights,
    /// The weights of the losses by which the best state is chosen.
    judged: Vec<f64>,
}

/// The loss of one head over a batch, with its gradient by the outputs.
struct Objective {
    /// NaN where no row has a label.
    loss: f64,
    /// `[rows, outputs of the head]`.
    cotangent: Vec<f64>,
}

/// The outputs of each head among those of all.
fn columns(heads: &[Head]) -> Vec<Range<usize>> {
    let mut end = 0;
    let next = |head: &Head| {
        let start = end;
        end += head.outputs();
        start..end
    };
    heads.iter().map(next).collect()
}

impl Objective {
    fn of(head: &Head, columns: &Range<usize>, outputs: &[f32], targets: &[f32], width: usize) -> Self {
        let mut cotangent = vec![0.0; outputs.len() / width.max(1) * columns.len()];
        let (mut z, mut y) = (vec![0.0; columns.len()], vec![0.0; columns.len()]);
        let read = |row: &[f32], into: &mut [f64]| {
            into.iter_mut().zip(&row[columns.clone()]).for_each(|(to, value)| *to = f64::from(*value));
        };
        let (mut sum, mut rows) = (0.0, 0);
        let of_rows = outputs.chunks_exact(width).zip(targets.chunks_exact(width));
        for ((output, target), slopes) in of_rows.zip(cotangent.chunks_exact_mut(columns.len().max(1))) {
            read(target, &mut y);
            if y.iter().all(|y| !y.is_nan()) {
                read(output, &mut z);
                sum += of_row(head.loss, &z, &y, slopes);
                rows += 1;
            }
        }
        if rows == 0 {
            return Self { loss: f64::NAN, cotangent };
        }
        let share = 1.0 / terms(head.loss, rows, columns.len());
        cotangent.iter_mut().for_each(|slope| *slope *= share);
        Self { loss: sum * share, cotangent }
    }
}

impl MultiTask {
    /// Multi-task training of `network`; `rule` is how a device adapts.
    pub fn new(network: &NetworkSpec, rule: Rule, settings: &Settings, seed: u64) -> Self {
        let heads = network.heads.len();
        Self {
            rule,
            inner_rate: settings.inner_rate,
            weighting: settings.weighting.open(heads, seed),
            weights: Weights::default(),
            judged: judged(&settings.weighting, heads),
        }
    }

    /// What the network makes of the rows of `batch`: `[rows, outputs]`.
    fn outputs<E: Engine>(engine: &mut E, state: &State<E::Values>, batch: &Batch<E>) -> Result<Vec<f32>, EngineError> {
        let mut values = E::Values::default();
        let Some(part) = batch.parts.first() else { return Ok(Vec::new()) };
        engine.forward(Parameters::Shared(&state.params), part, Side::Support, Depth::Outputs, &mut values)?;
        engine.download(&values)
    }

    /// The losses of the heads on the rows of `batch`.
    fn objectives<E: Engine>(
        engine: &mut E,
        state: &State<E::Values>,
        batch: &Batch<E>,
    ) -> Result<Vec<Objective>, EngineError> {
        let outputs = Self::outputs(engine, state, batch)?;
        let targets: Vec<f32> =
            batch.tasks.iter().flat_map(|task| [&task.support.y, &task.query.y]).flatten().copied().collect();
        Ok(objectives(engine.network(), &outputs, &targets))
    }

    /// The gradient by all parameters of Σ λ_i L_i.
    fn back<E: Engine>(
        engine: &mut E,
        state: &State<E::Values>,
        batch: &Batch<E>,
        objectives: &[Objective],
        lambda: &[f64],
    ) -> Result<Vec<f32>, EngineError> {
        let network = engine.network();
        let (width, columns) = (network.output_len(), columns(&network.heads));
        let rows = objectives.iter().zip(&columns).map(|(one, columns)| one.cotangent.len() / columns.len()).max();
        let mut cotangent = vec![0.0; rows.unwrap_or(0) * width];
        for ((objective, columns), lambda) in objectives.iter().zip(columns).zip(lambda) {
            let slopes = objective.cotangent.chunks_exact(columns.len());
            for (to, slopes) in cotangent.chunks_exact_mut(width).zip(slopes) {
                to[columns.clone()].iter_mut().zip(slopes).for_each(|(to, slope)| *to = (lambda * slope) as f32);
            }
        }
        let (cotangent, mut params) = (engine.upload(&cotangent)?, E::Values::default());
        let Some(part) = batch.parts.first() else { return Ok(Vec::new()) };
        let at = Parameters::Shared(&state.params);
        engine.backward(at, part, Side::Support, Depth::Outputs, &cotangent, &mut params, None)?;
        engine.download(&params)
    }

    /// The gradient by all parameters of each head's loss alone.
    fn of_each<E: Engine>(
        engine: &mut E,
        state: &State<E::Values>,
        batch: &Batch<E>,
        objectives: &[Objective],
    ) -> Result<Vec<Vec<f32>>, EngineError> {
        let mut alone = vec![0.0; objectives.len()];
        let mut gradients = Vec::new();
        for head in 0..objectives.len() {
            alone.fill(0.0);
            alone[head] = 1.0;
            gradients.push(Self::back(engine, state, batch, objectives, &alone)?);
        }
        Ok(gradients)
    }

    /// The step by gradients of one head each: the backbone's along Σ c_i g_i, each head's along its own.
    fn joined(&mut self, network: &NetworkSpec, gradients: &[Vec<f32>], losses: &[f64], iteration: u64) -> Vec<f32> {
        let backbone = shared_len(network);
        let gram = gram(network, gradients);
        self.weighting.weigh(&Seen { iteration, losses, gram: Some(&gram) }, &mut self.weights);
        let mut sum = vec![0.0; network.param_len()];
        for ((gradient, shared), own) in gradients.iter().zip(&self.weights.shared).zip(&self.weights.heads) {
            let (sum_shared, sum_heads) = sum.split_at_mut(backbone);
            let add = |sum: &mut [f64], part: &[f32], weight: f64| {
                sum.iter_mut().zip(part).for_each(|(sum, value)| *sum += weight * f64::from(*value));
            };
            add(sum_shared, gradient, *shared);
            // Of the parameters of other heads the gradient is 0.
            add(sum_heads, &gradient[backbone..], *own);
        }
        sum.into_iter().map(|value| value as f32).collect()
    }
}

/// The losses of the heads on rows with these `targets`, of which the network makes `outputs`, `[rows, outputs]` both.
fn objectives(network: &NetworkSpec, outputs: &[f32], targets: &[f32]) -> Vec<Objective> {
    let width = network.output_len();
    let heads = network.heads.iter().zip(columns(&network.heads));
    heads.map(|(head, columns)| Objective::of(head, &columns, outputs, targets, width)).collect()
}

/// The weights of the losses by which the best state is chosen: those of a fixed weighting, or ones.
fn judged(weighting: &weighting::Settings, heads: usize) -> Vec<f64> {
    match weighting {
        weighting::Settings::Fixed(fixed) => fixed.weights.clone(),
        _ => vec![1.0; heads],
    }
}

/// gᵢ·gⱼ over the parameters that heads share.
fn gram(network: &NetworkSpec, gradients: &[Vec<f32>]) -> DMatrix<f64> {
    let backbone = shared_len(network);
    let dot = |a: &[f32], b: &[f32]| a[..backbone].iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum();
    DMatrix::from_fn(gradients.len(), gradients.len(), |i, j| dot(&gradients[i], &gradients[j]))
}

/// How many parameters, at the front, the heads share.
fn shared_len(network: &NetworkSpec) -> usize {
    let head = network.layers().find(|layer| matches!(layer.place, Place::Head(_)));
    head.map_or(0, |layer| layer.offset)
}

impl<E: Engine> Learner<E> for MultiTask {
    fn name(&self) -> &'static str {
        "multitask"
    }

    fn rule(&self) -> &Rule {
        &self.rule
    }

    fn initial_rates(&self, network: &NetworkSpec) -> Vec<f32> {
        vec![self.inner_rate; self.rule.rate_len(network)]
    }

    /// All rows to train on, those of the query to choose by.
    fn prepare(&self, engine: &mut E, mut tasks: Vec<TaskRows>, purpose: Use) -> Result<Batch<E>, EngineError> {
        if purpose == Use::Validation {
            tasks.iter_mut().for_each(|task| task.support = Rows::default());
        }
        let sides = tasks.iter_mut().flat_map(|task| [&mut task.support, &mut task.query]);
        let rows = cut(engine.network(), sides, ROWS);
        Ok(Batch { parts: vec![engine.take(rows)?], tasks, support_rows: Vec::new() })
    }

    fn gradient(
        &mut self,
        engine: &mut E,
        state: &State<E::Values>,
        batch: &Batch<E>,
        iteration: u64,
        into: &mut BatchGradient<E::Values>,
    ) -> Result<(), EngineError> {
        let objectives = Self::objectives(engine, state, batch)?;
        let losses: Vec<f64> = objectives.iter().map(|objective| objective.loss).collect();
        let params = match self.weighting.needs() {
            Needs::Losses => {
                self.weighting.weigh(&Seen { iteration, losses: &losses, gram: None }, &mut self.weights);
                Self::back(engine, state, batch, &objectives, &self.weights.shared)?
            }
            Needs::Gradients => {
                let gradients = Self::of_each(engine, state, batch, &objectives)?;
                self.joined(engine.network(), &gradients, &losses, iteration)
            }
        };
        let loss = losses.iter().filter(|loss| !loss.is_nan()).sum::<f64>();
        into.fill(engine, &params, None, &[loss as f32])
    }

    fn stepped(&mut self, engine: &mut E, state: &State<E::Values>, batch: &Batch<E>) -> Result<(), EngineError> {
        if self.weighting.looks_again() {
            let losses: Vec<f64> = Self::objectives(engine, state, batch)?.iter().map(|one| one.loss).collect();
            self.weighting.looked_again(&losses);
        }
        Ok(())
    }

    fn pull(&self, engine: &mut E, state: &State<E::Values>, batch: &Batch<E>) -> Result<Option<Pull>, EngineError> {
        let objectives = Self::objectives(engine, state, batch)?;
        let gradients = Self::of_each(engine, state, batch, &objectives)?;
        let shared = self.weights.shared.iter().zip(&objectives);
        let shared: Vec<f64> = shared.map(|(weight, one)| if one.loss.is_nan() { f64::NAN } else { *weight }).collect();
        Ok(Some(Pull::of(&shared, &gram(engine.network(), &gradients))))
    }

    /// The sum over heads of the query loss without adaptation, of a fixed weighting with its weights.
    fn losses(
        &self,
        engine: &mut E,
        state: &State<E::Values>,
        batch: &Batch<E>,
        losses: &mut Vec<f32>,
    ) -> Result<(), EngineError> {
        let outputs = Self::outputs(engine, state, batch)?;
        let network = engine.network();
        let mut rest = &outputs[..];
        losses.clear();
        for task in &batch.tasks {
            let (own, others) = rest.split_at(task.query.y.len());
            rest = others;
            let of_heads = objectives(network, own, &task.query.y);
            let terms = of_heads.iter().zip(&self.judged).filter(|(one, _)| !one.loss.is_nan());
            losses.push(terms.map(|(one, weight)| weight * one.loss).sum::<f64>() as f32);
        }
        Ok(())
    }

    fn shares_tasks(&self) -> bool {
        false
    }

    fn memory(&self) -> Vec<f64> {
        self.weighting.memory()
    }

    fn restore(&mut self, memory: &[f64]) -> bool {
        self.weighting.restore(memory)
    }
}

#[cfg(test)]
mod tests;
