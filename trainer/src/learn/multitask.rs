//! One network for several jobs: a backbone that heads share, L(θ) = Σ λ_i L_i(θ) (Caruana 1997), with a choice of how the losses become
//! one step ([`weighting`]).
//!
//! Rows of all tasks are pooled. A row may lack the labels of some heads, which then are NaN; L_i is the mean over the rows that have them.
//! The engine carries rows forward to outputs and gradients back from them; losses, and what becomes of them, are computed here in f64. A
//! weighting that looks at gradients gets one pass back for each head. What the heads share, and how, is the [`architecture`]'s to say.

pub mod architecture;

use std::ops::Range;

use nalgebra::DMatrix;
use serde::{Deserialize, Serialize};
use sinew_models::rule::{Rule, Scope};
use sinew_models::spec::{Head, NetworkSpec};

use super::features::{ROWS, cut};
use super::objective::{of_row, terms};
use super::{Batch, Learner, State, Use};
use crate::engine::{BatchGradient, Depth, Engine, EngineError, Parameters, Rows, Side, TaskRows};
use crate::weighting::pull::Pull;
use crate::weighting::{self, Needs, Seen, Weighting, Weights};
use architecture::{Architecture, Learned};

/// The settings of multi-task training. A configuration has it as `kind = "multitask"`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// How the heads share the network.
    #[serde(default, skip_serializing_if = "is_hard")]
    pub architecture: architecture::Settings,
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

fn is_hard(settings: &architecture::Settings) -> bool {
    *settings == architecture::Settings::default()
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
    architecture: Box<dyn Architecture>,
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
    /// Multi-task training of `network`, which is one of the architecture; `rule` is how a device adapts.
    pub fn new(network: &NetworkSpec, rule: Rule, settings: &Settings, seed: u64) -> Self {
        let heads = network.heads.len();
        Self {
            rule,
            inner_rate: settings.inner_rate,
            architecture: settings.architecture.open(network),
            weighting: settings.weighting.open(heads, seed),
            weights: Weights::default(),
            judged: judged(&settings.weighting, heads),
        }
    }

    /// Numbers of the rule among the rates; those of the architecture lie behind them.
    fn of_rule(&self, network: &NetworkSpec) -> usize {
        self.rule.rate_len(network)
    }

    /// φ, where it is not the parameters of the network themselves.
    fn learned<E: Engine>(&self, engine: &E, state: &State<E::Values>) -> Result<Option<Learned>, EngineError> {
        if self.architecture.is_plain() {
            return Ok(None);
        }
        let mut mixing = engine.download(&state.rates)?;
        mixing.drain(..self.of_rule(engine.network()));
        Ok(Some(Learned { params: engine.download(&state.params)?, mixing }))
    }

    /// θ, of `learned` where that is not the parameters of the network themselves.
    fn folded<'s, E: Engine>(
        &self,
        engine: &mut E,
        state: &'s State<E::Values>,
        learned: Option<&Learned>,
    ) -> Result<Params<'s, E::Values>, EngineError> {
        Ok(match learned {
            None => Params::Learned(&state.params),
            Some(learned) => Params::Folded(engine.upload(&self.architecture.fold(learned))?),
        })
    }

    /// What the network makes of the rows of `batch`: `[rows, outputs]`.
    fn outputs<E: Engine>(engine: &mut E, params: &E::Values, batch: &Batch<E>) -> Result<Vec<f32>, EngineError> {
        let mut values = E::Values::default();
        let Some(part) = batch.parts.first() else { return Ok(Vec::new()) };
        engine.forward(Parameters::Shared(params), part, Side::Support, Depth::Outputs, &mut values)?;
        engine.download(&values)
    }

    /// The losses of the heads on the rows of `batch`.
    fn objectives<E: Engine>(
        engine: &mut E,
        params: &E::Values,
        batch: &Batch<E>,
    ) -> Result<Vec<Objective>, EngineError> {
        let outputs = Self::outputs(engine, params, batch)?;
        let targets: Vec<f32> =
            batch.tasks.iter().flat_map(|task| [&task.support.y, &task.query.y]).flatten().copied().collect();
        Ok(objectives(engine.network(), &outputs, &targets))
    }

    /// The gradient by θ of Σ λ_i L_i.
    fn back<E: Engine>(
        engine: &mut E,
        params: &E::Values,
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
        let (cotangent, mut by_params) = (engine.upload(&cotangent)?, E::Values::default());
        let Some(part) = batch.parts.first() else { return Ok(Vec::new()) };
        let at = Parameters::Shared(params);
        engine.backward(at, part, Side::Support, Depth::Outputs, &cotangent, &mut by_params, None)?;
        engine.download(&by_params)
    }

    /// The gradient by φ, of one by θ.
    fn pulled(&self, learned: Option<&Learned>, by_params: Vec<f32>) -> Learned {
        match learned {
            None => Learned { params: by_params, mixing: Vec::new() },
            Some(learned) => self.architecture.pull_back(learned, by_params),
        }
    }

    /// The gradient by φ of each head's loss alone.
    fn of_each<E: Engine>(
        &self,
        engine: &mut E,
        (params, learned): (&E::Values, Option<&Learned>),
        batch: &Batch<E>,
        objectives: &[Objective],
    ) -> Result<Vec<Learned>, EngineError> {
        let mut alone = vec![0.0; objectives.len()];
        let mut gradients = Vec::new();
        for head in 0..objectives.len() {
            alone.fill(0.0);
            alone[head] = 1.0;
            gradients.push(self.pulled(learned, Self::back(engine, params, batch, objectives, &alone)?));
        }
        Ok(gradients)
    }

    /// gᵢ·gⱼ over what the heads share.
    fn gram(&self, gradients: &[Learned]) -> DMatrix<f64> {
        let shared = self.architecture.shared();
        let dot = |a: &Learned, b: &Learned| -> f64 {
            let ranges = shared.iter().map(|range| (&a.params[range.clone()], &b.params[range.clone()]));
            let pairs = ranges.chain([(&a.mixing[..], &b.mixing[..])]);
            pairs.flat_map(|(a, b)| a.iter().zip(b)).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
        };
        DMatrix::from_fn(gradients.len(), gradients.len(), |i, j| dot(&gradients[i], &gradients[j]))
    }

    /// The step by gradients of one head each: that of what is shared along Σ c_i g_i, that of all else along its own.
    fn joined(&mut self, gradients: &[Learned], losses: &[f64], iteration: u64) -> Learned {
        let gram = self.gram(gradients);
        self.weighting.weigh(&Seen { iteration, losses, gram: Some(&gram) }, &mut self.weights);
        let lengths = gradients.first().map_or([0; 2], |first| [first.params.len(), first.mixing.len()]);
        let [mut params, mut mixing] = lengths.map(|len| vec![0.0; len]);
        let add = |sum: &mut [f64], part: &[f32], weight: f64| {
            sum.iter_mut().zip(part).for_each(|(sum, value)| *sum += weight * f64::from(*value));
        };
        for ((gradient, common), own) in gradients.iter().zip(&self.weights.shared).zip(&self.weights.heads) {
            let mut end = 0;
            for range in self.architecture.shared() {
                // Of what belongs to other heads the gradient is 0.
                add(&mut params[end..range.start], &gradient.params[end..range.start], *own);
                add(&mut params[range.clone()], &gradient.params[range.clone()], *common);
                end = range.end;
            }
            add(&mut params[end..], &gradient.params[end..], *own);
            add(&mut mixing, &gradient.mixing, *common);
        }
        let single = |values: Vec<f64>| values.into_iter().map(|value| value as f32).collect();
        Learned { params: single(params), mixing: single(mixing) }
    }
}

/// θ: what is learned itself, or made of it.
enum Params<'s, V> {
    Learned(&'s V),
    Folded(V),
}

impl<V> Params<'_, V> {
    fn get(&self) -> &V {
        match self {
            Self::Learned(values) => values,
            Self::Folded(values) => values,
        }
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

impl<E: Engine> Learner<E> for MultiTask {
    fn name(&self) -> &'static str {
        "multitask"
    }

    fn rule(&self) -> &Rule {
        &self.rule
    }

    fn initial_rates(&self, network: &NetworkSpec) -> Vec<f32> {
        let mut rates = vec![self.inner_rate; self.of_rule(network)];
        rates.extend(self.architecture.mixing());
        rates
    }

    fn initialise(&self, params: &mut [f32]) {
        self.architecture.initialise(params);
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
        let learned = self.learned(engine, state)?;
        let learned = learned.as_ref();
        let params = self.folded(engine, state, learned)?;
        let objectives = Self::objectives(engine, params.get(), batch)?;
        let losses: Vec<f64> = objectives.iter().map(|objective| objective.loss).collect();
        let mut gradient = match self.weighting.needs() {
            Needs::Losses => {
                self.weighting.weigh(&Seen { iteration, losses: &losses, gram: None }, &mut self.weights);
                self.pulled(learned, Self::back(engine, params.get(), batch, &objectives, &self.weights.shared)?)
            }
            Needs::Gradients => {
                let gradients = self.of_each(engine, (params.get(), learned), batch, &objectives)?;
                self.joined(&gradients, &losses, iteration)
            }
        };
        let mut loss = losses.iter().filter(|loss| !loss.is_nan()).sum::<f64>();
        if let Some(learned) = learned {
            loss += self.architecture.penalty(&learned.params, &mut gradient.params);
        }
        // Those of the rule are not learned.
        let mut rates = vec![0.0; if gradient.mixing.is_empty() { 0 } else { self.of_rule(engine.network()) }];
        rates.append(&mut gradient.mixing);
        into.fill(engine, &gradient.params, (!rates.is_empty()).then_some(&rates[..]), &[loss as f32])
    }

    fn stepped(&mut self, engine: &mut E, state: &State<E::Values>, batch: &Batch<E>) -> Result<(), EngineError> {
        if self.weighting.looks_again() {
            let learned = self.learned(engine, state)?;
            let params = self.folded(engine, state, learned.as_ref())?;
            let objectives = Self::objectives(engine, params.get(), batch)?;
            let losses: Vec<f64> = objectives.iter().map(|one| one.loss).collect();
            self.weighting.looked_again(&losses);
        }
        Ok(())
    }

    fn pull(&self, engine: &mut E, state: &State<E::Values>, batch: &Batch<E>) -> Result<Option<Pull>, EngineError> {
        let learned = self.learned(engine, state)?;
        let params = self.folded(engine, state, learned.as_ref())?;
        let objectives = Self::objectives(engine, params.get(), batch)?;
        let gradients = self.of_each(engine, (params.get(), learned.as_ref()), batch, &objectives)?;
        let shared = self.weights.shared.iter().zip(&objectives);
        let shared: Vec<f64> = shared.map(|(weight, one)| if one.loss.is_nan() { f64::NAN } else { *weight }).collect();
        Ok(Some(Pull::of(&shared, &self.gram(&gradients))))
    }

    /// The sum over heads of the query loss without adaptation, of a fixed weighting with its weights.
    fn losses(
        &self,
        engine: &mut E,
        state: &State<E::Values>,
        batch: &Batch<E>,
        losses: &mut Vec<f32>,
    ) -> Result<(), EngineError> {
        let learned = self.learned(engine, state)?;
        let params = self.folded(engine, state, learned.as_ref())?;
        let outputs = Self::outputs(engine, params.get(), batch)?;
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

    fn deploy(&self, network: &NetworkSpec, state: &State) -> State {
        if self.architecture.is_plain() {
            return state.clone();
        }
        let (rates, mixing) = state.rates.split_at(self.of_rule(network));
        let learned = Learned { params: state.params.clone(), mixing: mixing.to_vec() };
        State { params: self.architecture.fold(&learned), rates: rates.to_vec() }
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
