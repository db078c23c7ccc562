//! How gradients are made: batched over tasks, exact, over the very arithmetic that the robot runs.
//!
//! [`Engine`] is the seam: what learners and the training loop ask for. They hold an engine's numbers by its own type and look at
//! none of them but through it, so numbers may lie in host memory or on a device.

pub mod candle;
pub mod cpu;
pub mod cuda;
mod error;
mod kept;
mod rows;

use std::fmt;

use sinew_models::rule::{Rate, Scope};
use sinew_models::spec::NetworkSpec;
use sinew_runtime::network::{LayerSet, Network};
use sinew_runtime::rule::gradient::Rates;

use crate::optimiser::{AdamW, Factors, Moments};

pub use candle::CandleNetwork;
pub use cpu::Cpu;
pub use cuda::Cuda;
pub use error::EngineError;
pub use kept::Kept;
pub use rows::{Rows, Side, TaskRows};

/// Passes of one network over batches of tasks, and the steps of an optimiser.
///
/// What a method writes to is made as long as it must be; what it held before is lost.
///
/// A batch may be empty: it has no losses, its gradients with respect to parameters and rates that tasks share are zero, and what is
/// made for each task has no length. Processes that share a batch ([`crate::collective`]) rely on it, for a rank may be left without a
/// task.
pub trait Engine {
    /// Numbers where this engine computes.
    type Values: fmt::Debug + Default;
    /// A batch of tasks where this engine computes.
    type Tasks: fmt::Debug;

    /// The network.
    fn network(&self) -> &NetworkSpec;

    /// Whether it computes on a device of its own, so that this machine's processors have time for other things meanwhile.
    fn computes_elsewhere(&self) -> bool {
        false
    }

    /// The layers that `scope` adapts.
    fn adapted(&self, scope: &Scope) -> LayerSet;

    /// Takes numbers over.
    ///
    /// # Errors
    /// If the engine has no room for them.
    fn upload(&mut self, values: &[f32]) -> Result<Self::Values, EngineError>;

    /// Gives numbers back.
    ///
    /// # Errors
    /// If the engine failed.
    fn download(&self, values: &Self::Values) -> Result<Vec<f32>, EngineError>;

    /// Takes a batch of tasks over.
    ///
    /// # Errors
    /// If a task does not fit the network, or the engine has no room for it.
    fn take(&mut self, tasks: Vec<TaskRows>) -> Result<Self::Tasks, EngineError>;

    /// What the network makes of one side of each task: outputs, or the features that the heads see, `[tasks, rows, values]`, tasks one
    /// after another.
    ///
    /// # Errors
    /// If the parameters are not of this network, or the engine failed.
    fn forward(
        &mut self,
        params: Parameters<'_, Self::Values>,
        tasks: &Self::Tasks,
        side: Side,
        depth: Depth,
        into: &mut Self::Values,
    ) -> Result<(), EngineError>;

    /// The vector-Jacobian product of [`Engine::forward`]: the gradient with respect to the parameters of each task,
    /// `[tasks, params]`, of a loss whose gradient at the outputs or features is `cotangent`. Of shared parameters it is the gradient of
    /// the sum over tasks, `[params]`. Where `inputs` is given, the gradient with respect to the presented inputs goes there,
    /// `[tasks, rows, presented]`.
    ///
    /// # Errors
    /// If parameters or cotangent are not of this network and these tasks, or the engine failed.
    fn backward(
        &mut self,
        params: Parameters<'_, Self::Values>,
        tasks: &Self::Tasks,
        side: Side,
        depth: Depth,
        cotangent: &Self::Values,
        into: &mut Self::Values,
        inputs: Option<&mut Self::Values>,
    ) -> Result<(), EngineError>;

    /// The loss of each task on one side, and its gradient, `[tasks, params]`.
    ///
    /// # Errors
    /// If the parameters are not of this network, or the engine failed.
    fn gradient(
        &mut self,
        params: Parameters<'_, Self::Values>,
        tasks: &Self::Tasks,
        side: Side,
        losses: &mut Vec<f32>,
        into: &mut Self::Values,
    ) -> Result<(), EngineError>;

    /// The Hessian of the loss of each task on one side, times a direction of its own, `[tasks, params]` both.
    ///
    /// # Errors
    /// If parameters or directions are not of this network and these tasks, or the engine failed.
    fn hessian_vector(
        &mut self,
        params: Parameters<'_, Self::Values>,
        directions: &Self::Values,
        tasks: &Self::Tasks,
        side: Side,
        into: &mut Self::Values,
    ) -> Result<(), EngineError>;

    /// The mean over `tasks` of the query loss after the inner loop, and its exact gradient (or, by choice, the first-order one).
    ///
    /// # Errors
    /// If parameters or rates are not of this network and this inner loop, or the engine failed.
    fn meta_gradient(
        &mut self,
        inner: &InnerLoop,
        params: &Self::Values,
        rates: &Self::Values,
        tasks: &Self::Tasks,
        into: &mut BatchGradient<Self::Values>,
    ) -> Result<(), EngineError>;

    /// The query loss of each task after the inner loop.
    ///
    /// # Errors
    /// As [`Engine::meta_gradient`].
    fn meta_losses(
        &mut self,
        inner: &InnerLoop,
        params: &Self::Values,
        rates: &Self::Values,
        tasks: &Self::Tasks,
        losses: &mut Vec<f32>,
    ) -> Result<(), EngineError>;

    /// The mean over `tasks` of the loss on all of their rows, support and query alike, and its gradient: what a network that is
    /// trained on pooled data sees.
    ///
    /// # Errors
    /// If the parameters are not of this network, or the engine failed.
    fn pooled_gradient(
        &mut self,
        params: &Self::Values,
        tasks: &Self::Tasks,
        into: &mut BatchGradient<Self::Values>,
    ) -> Result<(), EngineError>;

    /// One step of the optimiser against a gradient, which is first scaled so that its Euclidean norm, over parameters and rates together, is
    /// at most `step.clip`. Where that norm is not finite nothing is done. The moments' steps are read, and left to the caller to count, for
    /// the engine may not know the norm yet: [`Engine::outcome`] tells.
    ///
    /// # Errors
    /// If the gradient is not of what is learned, or the engine failed.
    fn update(
        &mut self,
        step: &OuterStep,
        learned: Learned<'_, Self::Values>,
        gradient: &mut BatchGradient<Self::Values>,
    ) -> Result<(), EngineError>;

    /// Waits for all that was asked of the engine: the norm that the last [`Engine::update`] found, before it scaled, and the losses of a
    /// batch. It is the one call of a training step that waits for a device.
    ///
    /// # Errors
    /// If the engine failed.
    fn outcome(&mut self, gradient: &BatchGradient<Self::Values>, losses: &mut Vec<f32>) -> Result<f64, EngineError>;
}

/// How the optimiser steps.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct OuterStep {
    /// The optimiser of the parameters; rates are not pulled to 0.
    pub adam: AdamW,
    /// The most that the norm of the gradient may be.
    pub clip: Option<f64>,
    /// The outer rate β of the parameters.
    pub rate: f64,
    /// That of the inner rates.
    pub rate_of_rates: f64,
}

impl OuterStep {
    /// The factors of a step of parameters and rates after so many steps of each.
    pub(crate) fn factors(&self, steps: [u64; 2]) -> [Factors; 2] {
        let of_rates = AdamW { weight_decay: 0.0, ..self.adam };
        [self.adam.factors(self.rate, steps[0]), of_rates.factors(self.rate_of_rates, steps[1])]
    }
}

/// What is learned, and what the optimiser remembers of it.
#[derive(Debug)]
pub struct Learned<'a, V> {
    /// Parameters, `[params]`.
    pub params: &'a mut V,
    /// Inner rates; left alone where the gradient has none.
    pub rates: &'a mut V,
    /// The moments of both.
    pub moments: [&'a mut Moments<V>; 2],
}

/// The parameters at which tasks are looked at.
#[derive(Debug)]
pub enum Parameters<'a, V> {
    /// The same for all tasks, `[params]`.
    Shared(&'a V),
    /// Each task's own, `[tasks, params]`.
    Each(&'a V),
}

// Derived, they would ask the same of `V`.
impl<V> Clone for Parameters<'_, V> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<V> Copy for Parameters<'_, V> {}

/// How far a pass goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    /// Through backbone and heads.
    Outputs,
    /// Through the backbone.
    Features,
}

/// The inner loop that is differentiated through.
#[derive(Clone, Debug)]
pub struct InnerLoop {
    /// Inner steps S.
    pub steps: usize,
    /// What the inner rates are.
    pub rate: Rate,
    /// The layers that are adapted.
    pub adapted: LayerSet,
    /// Whether the gradient with respect to the rates is wanted.
    pub learn_rates: bool,
    /// Whether the Hessian is left out (first-order MAML).
    pub first_order: bool,
    /// What is kept on the way there for the way back.
    pub kept: Kept,
}

impl InnerLoop {
    fn rates<'a>(&self, values: &'a [f32]) -> Rates<'a> {
        Rates { kind: self.rate, values, adapted: self.adapted, scale: 1.0 }
    }

    /// Whether a gradient goes back through the steps, rather than past them.
    fn goes_back(&self) -> bool {
        !self.first_order || self.learn_rates
    }

    /// Whether every layer is adapted.
    fn adapts_all(&self, network: &Network) -> bool {
        (0..network.layer_count()).all(|layer| self.adapted.has(layer) || network.params_of(layer).is_empty())
    }

    /// Whether a gradient must be kept as a vector: where something other than one step needs it.
    fn keeps_gradients(&self, network: &Network) -> bool {
        self.learn_rates || self.rate == Rate::PerParameter || (!self.first_order && !self.adapts_all(network))
    }
}

/// A gradient over a batch of tasks, the mean over tasks.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct BatchGradient<V> {
    /// With respect to the parameters: `[param_len]`.
    pub params: V,
    /// With respect to the inner rates, in the layout of `rule.rate`; `None` where they are not learned.
    pub rates: Option<V>,
    /// Query loss after the inner loop of each task: `[tasks]`.
    pub losses: V,
    /// How many tasks.
    pub tasks: usize,
}

impl<V> BatchGradient<V> {
    /// Takes over what was computed in host memory.
    pub(crate) fn fill<E: Engine<Values = V>>(
        &mut self,
        engine: &mut E,
        params: &[f32],
        rates: Option<&[f32]>,
        losses: &[f32],
    ) -> Result<(), EngineError> {
        self.params = engine.upload(params)?;
        self.rates = rates.map(|rates| engine.upload(rates)).transpose()?;
        self.losses = engine.upload(losses)?;
        self.tasks = losses.len();
        Ok(())
    }
}
