//! Ways of training. A learner returns a gradient and stops there: the loop does the rest.

pub mod maml;
pub mod pooled;

use sinew_models::rule::Rule;
use sinew_models::spec::NetworkSpec;

use crate::engine::{BatchGradient, Engine, EngineError};

/// What is learned: in host memory, or as an engine has it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct State<V = Vec<f32>> {
    /// Parameters: `[param_len]`.
    pub params: V,
    /// Inner rates, in the shape of the tensor `rule.rate`.
    pub rates: V,
}

/// A way of training, whichever engine computes.
pub trait Learner<E: Engine> {
    /// Its name, as tables and bundles have it.
    fn name(&self) -> &'static str;

    /// How a device adapts what it learned.
    fn rule(&self) -> &Rule;

    /// The rates to begin with.
    fn initial_rates(&self, network: &NetworkSpec) -> Vec<f32>;

    /// The gradient over a batch of tasks; `into.rates` is `None` where rates are not learned.
    ///
    /// # Errors
    /// If the engine failed.
    fn gradient(
        &mut self,
        engine: &mut E,
        state: &State<E::Values>,
        tasks: &E::Tasks,
        into: &mut BatchGradient<E::Values>,
    ) -> Result<(), EngineError>;

    /// The loss of each task, to choose the best state by.
    ///
    /// # Errors
    /// If the engine failed.
    fn losses(
        &self,
        engine: &mut E,
        state: &State<E::Values>,
        tasks: &E::Tasks,
        losses: &mut Vec<f32>,
    ) -> Result<(), EngineError>;
}
