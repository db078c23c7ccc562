//! Model-agnostic meta-learning (Finn, Abbeel, Levine 2017) and what differs from it by data alone:
//!
//! | learner | what is different |
//! |---|---|
//! | first-order MAML (Finn et al. 2017, section 5.2) | the Hessian is left out |
//! | ANIL (Raghu et al. 2020) | the heads are adapted |
//! | Meta-SGD (Li et al. 2017) | a rate for each parameter is learned |
//! | MAML++ (Antoniou et al. 2019) | a rate for each layer and step is learned; annealed multi-step loss; derivative-order annealing |
//! | CAVIA (Zintgraf et al. 2019) | contexts are adapted, values beside the inputs of a layer |
//!
//! Paper, algorithm 2: θ'ᵢ = θ − α∇L(θ; supportᵢ), S times; θ ← θ − β∇ Σᵢ L(θ'ᵢ; queryᵢ). The gradient through the inner loop is exact.
//!
//! CAVIA's paper has contexts begin at 0. Here where they begin is learned, which is the same: the layer's bias could say it as well.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use sinew_models::rule::{Rate, Rule, Scope};
use sinew_models::spec::NetworkSpec;

use sinew_runtime::rule::gradient::scale_of_rows;

use super::{Batch, Learner, State, Use};
use crate::engine::{BatchGradient, Engine, EngineError, InnerLoop, Kept, TaskRows};

/// The least weight of a step's loss while the multi-step loss is annealed, as a share of an even weight (MAML++'s published code).
const LEAST_WEIGHT: f64 = 0.03;

/// What a configuration says of MAML, `kind = "maml"`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Inner steps.
    #[serde(default = "one")]
    pub steps: usize,
    /// The inner rate to begin with.
    pub inner_rate: f32,
    /// What the inner rate is.
    #[serde(default)]
    pub rate: Rate,
    /// Whether it is learned.
    #[serde(default)]
    pub learn_rate: bool,
    /// Whether the Hessian is left out.
    #[serde(default)]
    pub first_order: bool,
    /// Which layers are adapted.
    #[serde(default)]
    pub adapt: Scope,
    /// The number of support rows that the inner rate is for: a step grows with the rows, as if the loss were a sum over them and not a
    /// mean; 0 if it does not. For tasks that are adapted to with few rows and with many.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub rows: usize,
    /// So many iterations at the start leave the Hessian out (MAML++: derivative-order annealing).
    #[serde(default, skip_serializing_if = "is_zero")]
    pub first_order_iterations: u64,
    /// So many iterations at the start also see the losses after fewer steps, less and less (MAML++: annealed multi-step loss).
    #[serde(default, skip_serializing_if = "is_zero")]
    pub multi_step_iterations: u64,
}

fn one() -> usize {
    1
}

fn is_zero<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// MAML.
#[derive(Debug)]
pub struct Maml {
    rule: Rule,
    inner: InnerLoop,
    inner_rate: f32,
    /// Support rows that it is for; 0 for any number.
    rows: usize,
    /// Iterations at the start without the Hessian.
    first_order_iterations: u64,
    /// Iterations at the start with a loss after each step.
    multi_step_iterations: u64,
}

impl Maml {
    /// MAML for the network of `engine`, adapting by `rule`.
    ///
    /// # Errors
    /// If the rule is not gradient descent without momentum.
    pub fn new<E: Engine>(engine: &E, rule: Rule, settings: &Settings, kept: Kept) -> Result<Self, EngineError> {
        let Rule::Gradient { steps, rate, scope, momentum: false, rows } = &rule else {
            return Err(EngineError::Rule(rule));
        };
        let adapted = engine.adapted(scope);
        let Settings { learn_rate: learn_rates, first_order, .. } = *settings;
        let inner = InnerLoop { steps: *steps, rate: *rate, adapted, learn_rates, first_order, kept };
        Ok(Self {
            inner,
            inner_rate: settings.inner_rate,
            rows: *rows,
            first_order_iterations: settings.first_order_iterations,
            multi_step_iterations: settings.multi_step_iterations,
            rule,
        })
    }

    /// The inner loop of `steps` steps in `iteration`.
    fn inner(&self, steps: usize, iteration: u64) -> InnerLoop {
        let first_order = self.inner.first_order || iteration < self.first_order_iterations;
        InnerLoop { steps, first_order, ..self.inner.clone() }
    }

    /// The rates for so many support rows; `None` where they are those for any number.
    fn rates<E: Engine>(
        &self,
        engine: &mut E,
        state: &State<E::Values>,
        rows: Option<usize>,
    ) -> Result<Option<E::Values>, EngineError> {
        let Some(rows) = rows else { return Ok(None) };
        let scale = scale_of_rows(self.rows, rows);
        let mut rates = engine.download(&state.rates)?;
        rates.iter_mut().for_each(|rate| *rate *= scale);
        engine.upload(&rates).map(Some)
    }

    /// The mean over tasks of Σ_k w_k L_Q(θ_k), k = 1 … S (MAML++, eq. 3), and its gradient: each k as an inner loop of its own, so
    /// that an iteration costs about S/2 times as much as one with the last loss alone, while the annealing lasts.
    fn multi_step<E: Engine>(
        &self,
        engine: &mut E,
        (params, rates): (&E::Values, &E::Values),
        tasks: &E::Tasks,
        iteration: u64,
        into: &mut BatchGradient<E::Values>,
    ) -> Result<(), EngineError> {
        let weights = step_weights(self.inner.steps, iteration, self.multi_step_iterations);
        let layers = engine.network().layer_count();
        let rates = engine.download(rates)?;
        let (mut by_params, mut by_rates) = (Vec::new(), Vec::new());
        // The last one leaves its losses.
        for (step, weight) in weights.iter().enumerate() {
            let inner = self.inner(step + 1, iteration);
            let seen = if inner.rate == Rate::PerLayerStep { inner.steps * layers } else { rates.len() };
            let rates = engine.upload(&rates[..seen])?;
            engine.meta_gradient(&inner, params, &rates, tasks, into)?;
            add(&mut by_params, *weight, &engine.download(&into.params)?);
            if let Some(of_step) = &into.rates {
                add(&mut by_rates, *weight, &engine.download(of_step)?);
            }
        }
        into.params = engine.upload(&by_params)?;
        if into.rates.is_some() {
            into.rates = Some(engine.upload(&by_rates)?);
        }
        Ok(())
    }
}

/// `sum += weight · values`; where there are more values than in the sum, it was 0.
fn add(sum: &mut Vec<f32>, weight: f32, values: &[f32]) {
    sum.resize(values.len().max(sum.len()), 0.0);
    sum.iter_mut().zip(values).for_each(|(sum, value)| *sum += weight * value);
}

/// The weights of the losses after 1 … S steps: even at first; those before the last go down, until `iterations` are done and the last
/// is alone (MAML++, section 4, as its published code has it).
fn step_weights(steps: usize, iteration: u64, iterations: u64) -> Vec<f32> {
    let even = 1.0 / steps as f64;
    let early = even * (1.0 - iteration as f64 / iterations as f64).max(LEAST_WEIGHT);
    let mut weights = vec![early as f32; steps];
    if let Some(last) = weights.last_mut() {
        *last = (1.0 - early * (steps - 1) as f64) as f32;
    }
    weights
}

impl<E: Engine> Learner<E> for Maml {
    fn name(&self) -> &'static str {
        let Rule::Gradient { scope, .. } = &self.rule else { return "maml" };
        let annealed = self.first_order_iterations > 0 || self.multi_step_iterations > 0;
        match (scope, self.inner.rate) {
            (Scope::Contexts, _) => "cavia",
            (Scope::Heads, _) => "anil",
            _ if self.inner.first_order => "fomaml",
            (_, Rate::PerParameter) if self.inner.learn_rates => "meta-sgd",
            (_, Rate::PerLayerStep) if self.inner.learn_rates => "maml++",
            _ if annealed => "maml++",
            _ => "maml",
        }
    }

    fn rule(&self) -> &Rule {
        &self.rule
    }

    fn initial_rates(&self, network: &NetworkSpec) -> Vec<f32> {
        vec![self.inner_rate; self.rule.rate_len(network)]
    }

    fn gradient(
        &mut self,
        engine: &mut E,
        state: &State<E::Values>,
        batch: &Batch<E>,
        iteration: u64,
        into: &mut BatchGradient<E::Values>,
    ) -> Result<(), EngineError> {
        let multi_step = iteration < self.multi_step_iterations && self.inner.steps > 1;
        let rows = batch.support_rows.first().copied();
        let rates = self.rates(engine, state, rows)?;
        let rates = rates.as_ref().unwrap_or(&state.rates);
        batch.parts.iter().try_for_each(|tasks| {
            if multi_step {
                return self.multi_step(engine, (&state.params, rates), tasks, iteration, into);
            }
            let inner = self.inner(self.inner.steps, iteration);
            engine.meta_gradient(&inner, &state.params, rates, tasks, into)
        })?;
        // What is learned are the rates as they are for any number of rows.
        if let (Some(by_rates), Some(rows)) = (&mut into.rates, rows) {
            let mut values = engine.download(by_rates)?;
            values.iter_mut().for_each(|value| *value *= scale_of_rows(self.rows, rows));
            *by_rates = engine.upload(&values)?;
        }
        Ok(())
    }

    /// A part for each number of support rows, where steps grow with them; those of a training batch are one.
    fn prepare(&self, engine: &mut E, tasks: Vec<TaskRows>, purpose: Use) -> Result<Batch<E>, EngineError> {
        if self.rows == 0 {
            return Ok(Batch { parts: vec![engine.take(tasks)?], tasks: Vec::new(), support_rows: Vec::new() });
        }
        let mut groups: BTreeMap<usize, Vec<TaskRows>> = BTreeMap::new();
        tasks.into_iter().for_each(|task| groups.entry(task.support.rows).or_default().push(task));
        let support_rows: Vec<usize> = groups.keys().copied().collect();
        if let (Use::Training, [expected, got, ..]) = (purpose, &support_rows[..]) {
            let (expected, got) = (*expected, *got);
            return Err(EngineError::Length { what: "the support rows of a task", expected, got });
        }
        let parts = groups.into_values().map(|tasks| engine.take(tasks)).collect::<Result<_, _>>()?;
        Ok(Batch { parts, tasks: Vec::new(), support_rows })
    }

    fn losses(
        &self,
        engine: &mut E,
        state: &State<E::Values>,
        batch: &Batch<E>,
        losses: &mut Vec<f32>,
    ) -> Result<(), EngineError> {
        let mut all = Vec::new();
        for (part, tasks) in batch.parts.iter().enumerate() {
            let rates = self.rates(engine, state, batch.support_rows.get(part).copied())?;
            let rates = rates.as_ref().unwrap_or(&state.rates);
            engine.meta_losses(&self.inner, &state.params, rates, tasks, losses)?;
            all.append(losses);
        }
        *losses = all;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_are_even_at_first_and_the_last_takes_over() {
        assert_eq!(step_weights(4, 0, 100), [0.25; 4]);
        let half = step_weights(4, 50, 100);
        assert_eq!(half, [0.125, 0.125, 0.125, 0.625]);
        let end = step_weights(4, 99, 100);
        assert!((end[0] - 0.0075).abs() <= 1e-7 && (end.iter().sum::<f32>() - 1.0).abs() <= 1e-6, "{end:?}");
        assert_eq!(step_weights(1, 7, 100), [1.0]);
    }
}
