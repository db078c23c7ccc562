//! Supervised training on the rows of all tasks together: the honest baseline, and where fine-tuning starts.

use sinew_models::rule::{Rate, Rule};
use sinew_models::spec::NetworkSpec;
use sinew_runtime::network::LayerSet;

use super::{Batch, Learner, State};
use crate::engine::{BatchGradient, Engine, EngineError, InnerLoop, Kept};

/// Pooled training.
#[derive(Debug)]
pub struct Pooled {
    rule: Rule,
    inner_rate: f32,
}

impl Pooled {
    /// Pooled training; a device that gets its bundle adapts by `rule` with rates of `inner_rate`.
    pub const fn new(rule: Rule, inner_rate: f32) -> Self {
        Self { rule, inner_rate }
    }
}

impl<E: Engine> Learner<E> for Pooled {
    fn name(&self) -> &'static str {
        "pooled"
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
        _iteration: u64,
        into: &mut BatchGradient<E::Values>,
    ) -> Result<(), EngineError> {
        batch.parts.iter().try_for_each(|tasks| engine.pooled_gradient(&state.params, tasks, into))
    }

    /// The query loss without adaptation.
    fn losses(
        &self,
        engine: &mut E,
        state: &State<E::Values>,
        batch: &Batch<E>,
        losses: &mut Vec<f32>,
    ) -> Result<(), EngineError> {
        let (rate, kept) = (Rate::Constant, Kept::default());
        let still = InnerLoop { steps: 0, rate, adapted: LayerSet::ALL, learn_rates: false, first_order: true, kept };
        batch.parts.iter().try_for_each(|tasks| engine.meta_losses(&still, &state.params, &state.rates, tasks, losses))
    }
}
