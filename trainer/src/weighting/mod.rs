//! Weightings of multi-task learning: how the losses of T tasks become one step of the parameters that they share. One method a file, to be
//! read beside its paper.
//!
//! A trainer computes the loss Lᵢ of each task on a batch and, for a method that asks for it, the Gram matrix of the gradients gᵢ of the
//! shared parameters. It gets two weights for each task: shared parameters step along Σ cᵢ gᵢ with `shared` as c, and the parameters of a
//! task's own head along their gradient of Lᵢ times `heads`. Every direction that these methods know is a combination of the gᵢ, so the
//! Gram matrix holds all that they need, wherever the gradients themselves lie.
//!
//! **Scale.** With all weights 1 the step is that of the plain sum. Methods whose papers normalise their weights sum to the number of tasks
//! present here, also where the paper has 1 or a mean, so that a rate means the same whichever method is chosen.
//!
//! **Absent tasks.** A task is absent from a batch where its loss, or the length of its gradient, is not a finite number. It is left out
//! as if there were no such task, gets 0 in both, and what is remembered of it stays.

mod adam;
pub mod cagrad;
pub mod dynamic_average;
pub mod famo;
pub mod fixed;
pub mod gradnorm;
pub mod landscape;
pub mod mgda;
pub mod nash;
pub mod pcgrad;
pub mod pull;
pub mod random;
mod simplex;
#[cfg(test)]
mod tests;
pub mod uncertainty;

use std::fmt;

use nalgebra::DMatrix;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// What stands in for a loss that is smaller, wherever a method divides by a loss or takes its logarithm; also FAMO's ε.
pub const LEAST_LOSS: f64 = 1e-8;

/// What a weighting must be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Needs {
    /// The loss of each task.
    Losses,
    /// And the Gram matrix of the tasks' gradients.
    Gradients,
}

/// What it is told in one iteration.
#[derive(Clone, Copy, Debug)]
pub struct Seen<'a> {
    /// So many iterations came before.
    pub iteration: u64,
    /// The loss of each task: `[T]`; NaN where no row of the batch has its label.
    pub losses: &'a [f64],
    /// gᵢ·gⱼ over the shared parameters: `[T, T]`, finite; 0 in rows and columns of absent tasks. `None` only for those that need losses
    /// alone.
    pub gram: Option<&'a DMatrix<f64>>,
}

/// What it answers.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Weights {
    /// cᵢ: shared parameters step along Σ cᵢ gᵢ. `[T]`
    pub shared: Vec<f64>,
    /// What the gradient of each task's head is multiplied by. `[T]`
    pub heads: Vec<f64>,
}

/// A way of weighing tasks.
pub trait Weighting: fmt::Debug + Send {
    /// Its name, as configurations and tables have it.
    fn name(&self) -> &'static str;

    /// What it must be told.
    fn needs(&self) -> Needs;

    /// The weights of one iteration, and what is learned from it for the next. Whatever `into` held is overwritten.
    ///
    /// # Panics
    /// If the number of losses is not that of the tasks it was opened for, or if it needs gradients and there is no Gram matrix of them.
    fn weigh(&mut self, seen: &Seen<'_>, into: &mut Weights);

    /// Whether it wants to see the losses of the same batch again after the step.
    fn looks_again(&self) -> bool {
        false
    }

    /// The losses of the batch that was weighed last, after the step.
    fn looked_again(&mut self, _losses: &[f64]) {}

    /// All that it remembers from one iteration to the next, so that a run that was stopped goes on to the bit.
    fn memory(&self) -> Vec<f64>;

    /// Takes up what [`memory`](Self::memory) gave; `false`, and nothing changed, if that has another length than its own.
    #[must_use]
    fn restore(&mut self, memory: &[f64]) -> bool;
}

impl Seen<'_> {
    /// The tasks that are present.
    fn present(&self) -> Vec<usize> {
        let has_gradient = |task: usize| self.gram.is_none_or(|gram| gram[(task, task)].is_finite());
        (0..self.losses.len()).filter(|task| self.losses[*task].is_finite() && has_gradient(*task)).collect()
    }

    /// The Gram matrix of these tasks alone.
    fn gram_of(&self, tasks: &[usize]) -> DMatrix<f64> {
        let gram = self.gram.expect("a weighting that needs gradients is told their Gram matrix");
        DMatrix::from_fn(tasks.len(), tasks.len(), |i, j| gram[(tasks[i], tasks[j])])
    }
}

impl Weights {
    /// 0 for all of so many tasks.
    #[must_use]
    pub fn zeros(tasks: usize) -> Self {
        Self { shared: vec![0.0; tasks], heads: vec![0.0; tasks] }
    }

    fn clear(&mut self, tasks: usize) {
        for weights in [&mut self.shared, &mut self.heads] {
            weights.clear();
            weights.resize(tasks, 0.0);
        }
    }

    /// Weights of losses: the same for the shared parameters and for the head.
    fn put_losses(&mut self, tasks: usize, weights: impl IntoIterator<Item = (usize, f64)>) {
        self.clear(tasks);
        for (task, weight) in weights {
            (self.shared[task], self.heads[task]) = (weight, weight);
        }
    }

    /// Coefficients of gradients: for the shared parameters; each head keeps the gradient of its own loss.
    fn put_gradients(&mut self, tasks: usize, coefficients: impl IntoIterator<Item = (usize, f64)>) {
        self.clear(tasks);
        for (task, coefficient) in coefficients {
            (self.shared[task], self.heads[task]) = (coefficient, 1.0);
        }
    }
}

/// A matrix by its rows.
#[cfg(test)]
fn matrix<const R: usize, const C: usize>(rows: [[f64; C]; R]) -> DMatrix<f64> {
    DMatrix::from_fn(R, C, |i, j| rows[i][j])
}

/// The generator of an iteration: all that is drawn follows from the seed and the iteration. [`crate::streams`] has other streams.
fn generator(seed: u64, iteration: u64) -> ChaCha8Rng {
    let mut generator = ChaCha8Rng::seed_from_u64(seed);
    generator.set_stream(iteration & ((1 << 60) - 1));
    generator
}

/// That what is seen is of so many tasks.
fn check_seen(seen: &Seen<'_>, tasks: usize) {
    assert_eq!(seen.losses.len(), tasks, "a weighting is told a loss for each task it was opened for");
    let shape = seen.gram.map_or((tasks, tasks), DMatrix::shape);
    assert_eq!(shape, (tasks, tasks), "a Gram matrix has a row and a column for each task");
}

/// `[learner.weighting]` of a configuration: the settings that belong to its `kind`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Settings {
    /// Weights that stay.
    Fixed(fixed::Settings),
    /// Homoscedastic uncertainty.
    Uncertainty(uncertainty::Settings),
    /// Dynamic weight average, DWA.
    DynamicAverage(dynamic_average::Settings),
    /// GradNorm.
    #[serde(rename = "gradnorm")]
    GradNorm(gradnorm::Settings),
    /// Gradient surgery, PCGrad.
    #[serde(rename = "pcgrad")]
    PcGrad(pcgrad::Settings),
    /// Conflict-averse gradient descent, CAGrad.
    #[serde(rename = "cagrad")]
    CaGrad(cagrad::Settings),
    /// The multiple-gradient descent algorithm, MGDA.
    Mgda(mgda::Settings),
    /// Nash-MTL.
    Nash(nash::Settings),
    /// Fast adaptive multitask optimisation, FAMO.
    Famo(famo::Settings),
    /// Random loss weighting, RLW.
    Random(random::Settings),
}

/// Settings that cannot be.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("learner.weighting.{field}: expected {expected}, found {found}")]
pub struct SettingsError {
    /// The field, of the weighting's own table.
    pub field: &'static str,
    /// What it may be.
    pub expected: String,
    /// What it is.
    pub found: String,
}

/// That `field` is `right`.
fn field(
    field: &'static str,
    expected: impl Into<String>,
    found: impl fmt::Debug,
    right: bool,
) -> Result<(), SettingsError> {
    if right { Ok(()) } else { Err(SettingsError { field, expected: expected.into(), found: format!("{found:?}") }) }
}

fn positive(name: &'static str, value: f64) -> Result<(), SettingsError> {
    field(name, "a number above 0", value, value > 0.0 && value.is_finite())
}

fn not_negative(name: &'static str, value: f64) -> Result<(), SettingsError> {
    field(name, "a number that is not below 0", value, value >= 0.0 && value.is_finite())
}

impl Settings {
    /// Whether they can be, for so many tasks.
    ///
    /// # Errors
    /// [`SettingsError`] names the field that cannot be.
    pub fn check(&self, tasks: usize) -> Result<(), SettingsError> {
        match self {
            Self::Fixed(settings) => settings.check(tasks),
            Self::Uncertainty(settings) => settings.check(),
            Self::DynamicAverage(settings) => settings.check(),
            Self::GradNorm(settings) => settings.check(),
            Self::CaGrad(settings) => settings.check(),
            Self::Nash(settings) => settings.check(),
            Self::Famo(settings) => settings.check(tasks),
            Self::PcGrad(_) | Self::Mgda(_) | Self::Random(_) => Ok(()),
        }
    }

    /// The weighting of so many tasks that they describe, at its beginning; `seed` is for those that draw. The settings are such as
    /// [`check`](Self::check) lets pass.
    #[must_use]
    pub fn open(&self, tasks: usize, seed: u64) -> Box<dyn Weighting> {
        match self {
            Self::Fixed(settings) => Box::new(fixed::Fixed::new(settings)),
            Self::Uncertainty(settings) => Box::new(uncertainty::Uncertainty::new(tasks, *settings)),
            Self::DynamicAverage(settings) => Box::new(dynamic_average::DynamicAverage::new(tasks, *settings)),
            Self::GradNorm(settings) => Box::new(gradnorm::GradNorm::new(tasks, *settings)),
            Self::PcGrad(_) => Box::new(pcgrad::PcGrad::new(tasks, seed)),
            Self::CaGrad(settings) => Box::new(cagrad::CaGrad::new(tasks, *settings)),
            Self::Mgda(settings) => Box::new(mgda::Mgda::new(tasks, *settings)),
            Self::Nash(settings) => Box::new(nash::Nash::new(tasks, *settings)),
            Self::Famo(settings) => Box::new(famo::Famo::new(tasks, settings)),
            Self::Random(_) => Box::new(random::Random::new(tasks, seed)),
        }
    }

    /// The name of the weighting, its `kind`.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Fixed(_) => "fixed",
            Self::Uncertainty(_) => "uncertainty",
            Self::DynamicAverage(_) => "dynamic_average",
            Self::GradNorm(_) => "gradnorm",
            Self::PcGrad(_) => "pcgrad",
            Self::CaGrad(_) => "cagrad",
            Self::Mgda(_) => "mgda",
            Self::Nash(_) => "nash",
            Self::Famo(_) => "famo",
            Self::Random(_) => "random",
        }
    }
}
