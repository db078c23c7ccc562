//! Model-agnostic meta-learning (Finn, Abbeel, Levine 2017) and what differs from it by data alone: first-order MAML, ANIL (adapt
//! the heads; Raghu et al. 2020), Meta-SGD (learn a rate for each parameter; Li et al. 2017), and the per-layer per-step rates of MAML++
//! (Antoniou et al. 2019).
//!
//! Paper, algorithm 2: θ'ᵢ = θ − α∇L(θ; supportᵢ), S times; θ ← θ − β∇ Σᵢ L(θ'ᵢ; queryᵢ). The gradient through the inner loop is exact.

use sinew_models::rule::{Rate, Rule};
use sinew_models::spec::NetworkSpec;

use super::{Learner, State};
use crate::engine::cpu::EngineError;
use crate::engine::{BatchGradient, Cpu, InnerLoop, TaskRows};

/// MAML on an engine.
#[derive(Debug)]
pub struct Maml {
    engine: Cpu,
    rule: Rule,
    inner: InnerLoop,
    inner_rate: f32,
}

impl Maml {
    /// MAML for `network`, adapting by `rule` from inner rates of `inner_rate`.
    ///
    /// # Errors
    /// As [`Cpu::new`].
    pub fn new(
        network: &NetworkSpec,
        rule: Rule,
        inner_rate: f32,
        learn_rates: bool,
        first_order: bool,
        threads: usize,
    ) -> Result<Self, EngineError> {
        let engine = Cpu::new(network, threads)?;
        let Rule::Gradient { steps, rate, scope, momentum: false } = &rule else {
            return Err(EngineError::Rule(rule));
        };
        let adapted = engine.network().adapted(scope);
        let inner = InnerLoop { steps: *steps, rate: *rate, adapted, learn_rates, first_order };
        Ok(Self { engine, rule, inner, inner_rate })
    }
}

impl Learner for Maml {
    fn name(&self) -> &'static str {
        match (self.inner.first_order, self.inner.rate) {
            (true, _) => "fomaml",
            (false, Rate::PerParameter) if self.inner.learn_rates => "meta-sgd",
            (false, _) => "maml",
        }
    }

    fn rule(&self) -> &Rule {
        &self.rule
    }

    fn initial_rates(&self, network: &NetworkSpec) -> Vec<f32> {
        vec![self.inner_rate; self.rule.rate_len(network)]
    }

    fn gradient(&mut self, state: &State, tasks: &[TaskRows], into: &mut BatchGradient) {
        self.engine.meta_gradient(&self.inner, &state.params, &state.rates, tasks, into);
    }

    fn losses(&self, state: &State, tasks: &[TaskRows]) -> Vec<f32> {
        self.engine.meta_losses(&self.inner, &state.params, &state.rates, tasks)
    }
}
