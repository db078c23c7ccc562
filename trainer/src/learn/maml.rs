//! Model-agnostic meta-learning (Finn, Abbeel, Levine 2017) and what differs from it by data alone: first-order MAML, ANIL (adapt
//! the heads; Raghu et al. 2020), Meta-SGD (learn a rate for each parameter; Li et al. 2017), and the per-layer per-step rates of MAML++
//! (Antoniou et al. 2019).
//!
//! Paper, algorithm 2: θ'ᵢ = θ − α∇L(θ; supportᵢ), S times; θ ← θ − β∇ Σᵢ L(θ'ᵢ; queryᵢ). The gradient through the inner loop is exact.

use sinew_models::rule::{Rate, Rule};
use sinew_models::spec::NetworkSpec;

use super::{Learner, State};
use crate::engine::{BatchGradient, Engine, EngineError, InnerLoop, Kept};

/// MAML.
#[derive(Debug)]
pub struct Maml {
    rule: Rule,
    inner: InnerLoop,
    inner_rate: f32,
}

impl Maml {
    /// MAML for the network of `engine`, adapting by `rule` from inner rates of `inner_rate`.
    ///
    /// # Errors
    /// If the rule is not gradient descent without momentum.
    pub fn new<E: Engine>(
        engine: &E,
        rule: Rule,
        inner_rate: f32,
        learn_rates: bool,
        first_order: bool,
        kept: Kept,
    ) -> Result<Self, EngineError> {
        let Rule::Gradient { steps, rate, scope, momentum: false } = &rule else {
            return Err(EngineError::Rule(rule));
        };
        let adapted = engine.adapted(scope);
        let inner = InnerLoop { steps: *steps, rate: *rate, adapted, learn_rates, first_order, kept };
        Ok(Self { rule, inner, inner_rate })
    }
}

impl<E: Engine> Learner<E> for Maml {
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

    fn gradient(
        &mut self,
        engine: &mut E,
        state: &State<E::Values>,
        tasks: &E::Tasks,
        into: &mut BatchGradient<E::Values>,
    ) -> Result<(), EngineError> {
        engine.meta_gradient(&self.inner, &state.params, &state.rates, tasks, into)
    }

    fn losses(
        &self,
        engine: &mut E,
        state: &State<E::Values>,
        tasks: &E::Tasks,
        losses: &mut Vec<f32>,
    ) -> Result<(), EngineError> {
        engine.meta_losses(&self.inner, &state.params, &state.rates, tasks, losses)
    }
}
