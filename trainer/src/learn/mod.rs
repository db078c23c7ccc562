//! Ways of training. A learner returns a gradient and stops there: the loop does the rest.

pub mod maml;
pub mod pooled;

use sinew_models::rule::Rule;
use sinew_models::spec::NetworkSpec;

use crate::engine::{BatchGradient, TaskRows};

/// What is learned.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct State {
    /// Parameters: `[param_len]`.
    pub params: Vec<f32>,
    /// Inner rates, in the shape of the tensor `rule.rate`.
    pub rates: Vec<f32>,
}

/// A way of training.
pub trait Learner {
    /// Its name, as tables and bundles have it.
    fn name(&self) -> &'static str;

    /// How a device adapts what it learned.
    fn rule(&self) -> &Rule;

    /// The rates to begin with.
    fn initial_rates(&self, network: &NetworkSpec) -> Vec<f32>;

    /// The gradient over a batch of tasks; `into.rates` stays empty where rates are not learned.
    fn gradient(&mut self, state: &State, tasks: &[TaskRows], into: &mut BatchGradient);

    /// The loss of each task, to choose the best state by.
    fn losses(&self, state: &State, tasks: &[TaskRows]) -> Vec<f32>;
}
