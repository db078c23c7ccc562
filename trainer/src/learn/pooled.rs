//! Supervised training on the rows of all tasks together: the honest baseline, and where fine-tuning starts.

use sinew_models::rule::{Rate, Rule};
use sinew_models::spec::NetworkSpec;
use sinew_runtime::network::LayerSet;

use super::{Learner, State};
use crate::engine::cpu::EngineError;
use crate::engine::{BatchGradient, Cpu, InnerLoop, TaskRows};

/// Pooled training on an engine.
#[derive(Debug)]
pub struct Pooled {
    engine: Cpu,
    rule: Rule,
    inner_rate: f32,
}

impl Pooled {
    /// Pooled training of `network`; a device that gets its bundle adapts by `rule` with rates of `inner_rate`.
    ///
    /// # Errors
    /// As [`Cpu::new`].
    pub fn new(network: &NetworkSpec, rule: Rule, inner_rate: f32, threads: usize) -> Result<Self, EngineError> {
        Ok(Self { engine: Cpu::new(network, threads)?, rule, inner_rate })
    }
}

impl Learner for Pooled {
    fn name(&self) -> &'static str {
        "pooled"
    }

    fn rule(&self) -> &Rule {
        &self.rule
    }

    fn initial_rates(&self, network: &NetworkSpec) -> Vec<f32> {
        vec![self.inner_rate; self.rule.rate_len(network)]
    }

    fn gradient(&mut self, state: &State, tasks: &[TaskRows], into: &mut BatchGradient) {
        self.engine.pooled_gradient(&state.params, tasks, into);
    }

    /// The query loss without adaptation.
    fn losses(&self, state: &State, tasks: &[TaskRows]) -> Vec<f32> {
        let rate = Rate::Constant;
        let still = InnerLoop { steps: 0, rate, adapted: LayerSet::ALL, learn_rates: false, first_order: true };
        self.engine.meta_losses(&still, &state.params, &state.rates, tasks)
    }
}
