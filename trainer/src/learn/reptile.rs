//! Reptile (Nichol, Achiam, Schulman 2018): train on a task for some steps, each on other rows of it, then move the start toward where
//! that led.
//!
//! Their algorithm 2: W_i = SGD(θ, task i, k steps), θ ← θ + ε mean_i (W_i − θ). (θ − W)/α is handed on as a gradient, as their section 3
//! suggests, so that the optimiser is the same as everybody's. Rows of support and query are one set in training; it is the steps on
//! *different* rows that make it more than pooled training (their section 5.1), and one step would be just that.

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use sinew_models::rule::{Rate, Rule};
use sinew_models::spec::NetworkSpec;
use sinew_runtime::network::LayerSet;

use super::{Batch, Learner, State, Use};
use crate::engine::{BatchGradient, Engine, EngineError, InnerLoop, Kept, Parameters, Rows, Side, TaskRows};

/// What a configuration says of Reptile, `kind = "reptile"`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Inner steps of an iteration.
    pub training_steps: usize,
    /// Rows of a task that each of these sees, drawn anew from its support and query; 0 for all.
    #[serde(default)]
    pub batch: usize,
    /// The inner rate, in training and on a device.
    pub inner_rate: f32,
    /// Inner steps of a device, and those by which the best state is chosen; as many as in training where it is missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub steps: Option<usize>,
}

/// Reptile.
#[derive(Debug)]
pub struct Reptile {
    rule: Rule,
    settings: Settings,
}

impl Reptile {
    /// Reptile, for a device that adapts by `rule`.
    pub const fn new(rule: Rule, settings: Settings) -> Self {
        Self { rule, settings }
    }
}

/// Both sides of a task as one set of rows.
fn join(task: TaskRows) -> Rows {
    let TaskRows { support: mut rows, query } = task;
    rows.x.extend(query.x);
    rows.y.extend(query.y);
    rows.rows += query.rows;
    rows
}

/// Rows of one task for each of `steps`, `batch` at a time: all of them in a random order, then again in another. An episode's rows are
/// drawn at random and only then lie in some order, so the same shuffles do for every episode.
fn minibatches(rows: &Rows, batch: usize, steps: usize) -> Vec<Rows> {
    if batch == 0 || batch >= rows.rows {
        return vec![rows.clone(); steps];
    }
    let mut rng = ChaCha8Rng::seed_from_u64(0);
    let mut left: Vec<usize> = Vec::new();
    let [inputs, outputs] = [&rows.x, &rows.y].map(|values| values.len() / rows.rows);
    let mut one = || {
        let mut some = Rows::default();
        while some.rows < batch {
            let row = left.pop().unwrap_or_else(|| {
                left = (0..rows.rows).collect();
                left.shuffle(&mut rng);
                left.pop().unwrap_or_default()
            });
            some.x.extend(&rows.x[row * inputs..][..inputs]);
            some.y.extend(&rows.y[row * outputs..][..outputs]);
            some.rows += 1;
        }
        some
    };
    (0..steps).map(|_| one()).collect()
}

impl<E: Engine> Learner<E> for Reptile {
    fn name(&self) -> &'static str {
        "reptile"
    }

    fn rule(&self) -> &Rule {
        &self.rule
    }

    fn initial_rates(&self, network: &NetworkSpec) -> Vec<f32> {
        vec![self.settings.inner_rate; self.rule.rate_len(network)]
    }

    /// In training a part for each inner step, its rows where the support would be.
    fn prepare(&self, engine: &mut E, tasks: Vec<TaskRows>, purpose: Use) -> Result<Batch<E>, EngineError> {
        if purpose == Use::Validation {
            return Ok(Batch { parts: vec![engine.take(tasks)?], tasks: Vec::new(), support_rows: Vec::new() });
        }
        let Settings { training_steps: steps, batch, .. } = self.settings;
        let mut parts: Vec<Vec<TaskRows>> = vec![Vec::new(); steps];
        for task in tasks {
            for (part, support) in parts.iter_mut().zip(minibatches(&join(task), batch, steps)) {
                part.push(TaskRows { support, query: Rows::default() });
            }
        }
        let parts = parts.into_iter().map(|part| engine.take(part)).collect::<Result<_, _>>()?;
        Ok(Batch { parts, tasks: Vec::new(), support_rows: Vec::new() })
    }

    fn gradient(
        &mut self,
        engine: &mut E,
        state: &State<E::Values>,
        batch: &Batch<E>,
        _iteration: u64,
        into: &mut BatchGradient<E::Values>,
    ) -> Result<(), EngineError> {
        let start = engine.download(&state.params)?;
        let rate = self.settings.inner_rate;
        let (mut losses, mut gradients) = (Vec::new(), E::Values::default());
        // Σ of the gradients on the way, which is (θ − W)/α; and W of each task.
        let mut sums: Vec<f32> = Vec::new();
        let mut own = E::Values::default();
        for (step, part) in batch.parts.iter().enumerate() {
            let at = if step == 0 { Parameters::Shared(&state.params) } else { Parameters::Each(&own) };
            engine.gradient(at, part, Side::Support, &mut losses, &mut gradients)?;
            let found = engine.download(&gradients)?;
            sums.resize(found.len(), 0.0);
            sums.iter_mut().zip(&found).for_each(|(sum, gradient)| *sum += gradient);
            let moved = sums.iter().zip(start.iter().cycle()).map(|(sum, start)| start - rate * sum);
            own = engine.upload(&moved.collect::<Vec<_>>())?;
        }
        let share = 1.0 / losses.len().max(1) as f32;
        let mut mean = vec![0.0; start.len()];
        for sum in sums.chunks_exact(start.len().max(1)) {
            mean.iter_mut().zip(sum).for_each(|(mean, sum)| *mean += share * sum);
        }
        into.fill(engine, &mean, None, &losses)
    }

    /// The query loss after the steps that a device takes on the support.
    fn losses(
        &self,
        engine: &mut E,
        state: &State<E::Values>,
        batch: &Batch<E>,
        losses: &mut Vec<f32>,
    ) -> Result<(), EngineError> {
        let (steps, rate, kept) = (self.rule.steps(), Rate::Constant, Kept::default());
        let inner = InnerLoop { steps, rate, adapted: LayerSet::ALL, learn_rates: false, first_order: true, kept };
        let mut all = batch.parts.iter();
        all.try_for_each(|tasks| engine.meta_losses(&inner, &state.params, &state.rates, tasks, losses))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_see_every_row_before_any_comes_again() {
        let rows = Rows { x: (0..10).map(|row| row as f32).collect(), y: vec![0.0; 10], rows: 10 };
        let batches = minibatches(&rows, 4, 5);
        assert!(batches.iter().all(|batch| batch.rows == 4 && batch.x.len() == 4 && batch.y.len() == 4));
        let order: Vec<f32> = batches.iter().flat_map(|batch| batch.x.clone()).collect();
        for round in order.chunks(10) {
            let mut sorted = round.to_vec();
            sorted.sort_by(f32::total_cmp);
            assert_eq!(sorted, rows.x);
            assert_ne!(round, rows.x);
        }
        assert_ne!(order[..10], order[10..]);
        assert_eq!(minibatches(&rows, 0, 2), [rows.clone(), rows]);
    }
}
