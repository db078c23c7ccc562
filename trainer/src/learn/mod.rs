//! Ways of training. A learner returns a gradient and stops there: the loop does the rest.

pub mod bayes;
pub mod features;
pub mod maml;
pub mod meta_lstm;
pub mod multitask;
mod objective;
pub mod pooled;
pub mod prototype;
pub mod reptile;
pub mod ridge;
pub mod siamese;

use sinew_models::rule::Rule;
use sinew_models::spec::NetworkSpec;

use crate::engine::{BatchGradient, Engine, EngineError, TaskRows};
use crate::weighting::pull::Pull;

/// What is learned: in host memory, or as an engine has it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct State<V = Vec<f32>> {
    /// Parameters: `[param_len]`.
    pub params: V,
    /// What is learned of the rule, such as inner rates: in training as its learner has it (a logarithm, for what must stay above 0), in a
    /// [`Model`](crate::model::Model) the numbers of the rule's tensors, one after another. Behind them, in training, what the architecture
    /// of a multi-task network mixes with.
    pub rates: V,
}

/// What tasks are prepared for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    /// [`Learner::gradient`].
    Training,
    /// [`Learner::losses`].
    Validation,
}

/// Tasks as a learner computes on them.
#[derive(Debug)]
pub struct Batch<E: Engine> {
    /// Rows where the engine computes.
    pub parts: Vec<E::Tasks>,
    /// Of each task what the learner looks at itself; empty where it leaves all to the engine.
    pub tasks: Vec<TaskRows>,
    /// Support rows of the tasks of each part, where the learner asks that they have as many; otherwise empty.
    pub support_rows: Vec<usize>,
}

/// A way of training, whichever engine computes.
pub trait Learner<E: Engine> {
    /// Its name, as tables and bundles have it.
    fn name(&self) -> &'static str;

    /// How a device adapts what it learned.
    fn rule(&self) -> &Rule;

    /// The rates to begin with.
    fn initial_rates(&self, network: &NetworkSpec) -> Vec<f32>;

    /// Makes the parameters to begin with, from those that were drawn for the network as it stands.
    fn initialise(&self, _params: &mut [f32]) {}

    /// Tasks as this learner computes on them.
    ///
    /// # Errors
    /// If a task does not fit the network, or the engine has no room for it.
    fn prepare(&self, engine: &mut E, tasks: Vec<TaskRows>, _purpose: Use) -> Result<Batch<E>, EngineError> {
        Ok(Batch { parts: vec![engine.take(tasks)?], tasks: Vec::new(), support_rows: Vec::new() })
    }

    /// The gradient over a batch of tasks in the iteration after so many; `into.rates` is `None` where rates are not learned.
    ///
    /// # Errors
    /// If the engine failed.
    fn gradient(
        &mut self,
        engine: &mut E,
        state: &State<E::Values>,
        batch: &Batch<E>,
        iteration: u64,
        into: &mut BatchGradient<E::Values>,
    ) -> Result<(), EngineError>;

    /// How the heads pulled in the step of [`Learner::gradient`], asked before the optimiser takes it and with the same state and batch;
    /// `None` for a learner that does not weigh heads. It costs more than the step, and changes nothing that is learned.
    ///
    /// # Errors
    /// If the engine failed.
    fn pull(&self, _engine: &mut E, _state: &State<E::Values>, _batch: &Batch<E>) -> Result<Option<Pull>, EngineError> {
        Ok(None)
    }

    /// The loss of each task, to choose the best state by.
    ///
    /// # Errors
    /// If the engine failed.
    fn losses(
        &self,
        engine: &mut E,
        state: &State<E::Values>,
        batch: &Batch<E>,
        losses: &mut Vec<f32>,
    ) -> Result<(), EngineError>;

    /// Told after the optimiser took the step of [`Learner::gradient`], with the batch of that step.
    ///
    /// # Errors
    /// If the engine failed.
    fn stepped(&mut self, _engine: &mut E, _state: &State<E::Values>, _batch: &Batch<E>) -> Result<(), EngineError> {
        Ok(())
    }

    /// Whether the gradient over the tasks of several processes is the mean of theirs, so that they can share a batch.
    fn shares_tasks(&self) -> bool {
        true
    }

    /// What it remembers from iteration to iteration besides the state, for a run that goes on later.
    fn memory(&self) -> Vec<f64> {
        Vec::new()
    }

    /// Takes up such a memory again; false where it is not one of its own.
    fn restore(&mut self, memory: &[f64]) -> bool {
        memory.is_empty()
    }

    /// What a device gets: parameters, and the numbers of the rule's tensors.
    fn deploy(&self, _network: &NetworkSpec, state: &State) -> State {
        state.clone()
    }
}
