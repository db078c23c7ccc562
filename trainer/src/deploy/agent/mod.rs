//! One who learns on the way: what it sees, it sees once and in order, and it predicts with what it has seen so far.

mod adapted;
mod network;
mod process;
mod refitted;

use sinew_runtime::adapter::SetupError;
use sinew_runtime::network::NetworkError;
use sinew_runtime::reader::BundleError;
use sinew_runtime::{LengthError, ObserveError, VarianceError};

pub use adapted::{Adapted, memory};
pub use network::{FineTuned, Intercept, Linear, Unadapted};
pub use process::{Hierarchical, Process};
pub use refitted::{Method, Refitted};

use crate::episode::{Episode, Samples};

/// One who learns on the way. Rows are in the units of the world: inputs as its sensors give them, targets as it measures them.
///
/// Agents differ in what they do between [`Agent::observe`] and [`Agent::predict`]; the same rows in the same order give the same
/// predictions, to the bit.
pub trait Agent {
    /// Takes in one labelled row: `input [input]`, `target [output]`. What follows from it is there at the next prediction.
    ///
    /// # Errors
    /// If a length is wrong, or a value is not finite.
    fn observe(&mut self, input: &[f32], target: &[f32]) -> Result<(), AgentError>;

    /// Predicts for rows `inputs [rows, input]` into `mean [rows, output]`: values, or probabilities for classes. Where the agent knows
    /// them, it also writes the variances of the targets into `variance [rows, output]`, in squares of the world's units, noise
    /// included, and answers true; otherwise `variance` is as it was.
    ///
    /// # Errors
    /// If a length is wrong.
    fn predict(&mut self, inputs: &[f32], mean: &mut [f32], variance: Option<&mut [f32]>) -> Result<bool, AgentError>;
}

impl<A: Agent + ?Sized> Agent for &mut A {
    fn observe(&mut self, input: &[f32], target: &[f32]) -> Result<(), AgentError> {
        (**self).observe(input, target)
    }

    fn predict(&mut self, inputs: &[f32], mean: &mut [f32], variance: Option<&mut [f32]>) -> Result<bool, AgentError> {
        (**self).predict(inputs, mean, variance)
    }
}

/// Why an agent could not go on.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// A bundle.
    #[error(transparent)]
    Bundle(#[from] BundleError),
    /// The adapter of a bundle.
    #[error(transparent)]
    Setup(#[from] SetupError),
    /// A network.
    #[error(transparent)]
    Network(#[from] NetworkError),
    /// A row of another length than the agent's.
    #[error("a row does not fit the agent: {0}")]
    Length(#[from] LengthError),
    /// The same, where a variance was wanted.
    #[error("a row does not fit the agent: {0}")]
    Variance(#[from] VarianceError),
    /// A row that cannot be learned from.
    #[error("a row was refused: {0}")]
    Observe(#[from] ObserveError),
}

fn length(expected: usize, got: usize) -> Result<(), LengthError> {
    if expected == got { Ok(()) } else { Err(LengthError { expected, got }) }
}

/// The last rows that were seen, as the support of an episode: what agents that fit anew each time remember.
#[derive(Clone, Debug)]
struct Recent {
    episode: Episode,
    capacity: usize,
    lengths: [usize; 2],
}

impl Recent {
    /// Room for `capacity` rows, at least one, of `inputs` and `outputs` values.
    fn new(capacity: usize, inputs: usize, outputs: usize) -> Self {
        Self { episode: Episode::default(), capacity: capacity.max(1), lengths: [inputs, outputs] }
    }

    /// Takes a row in; the oldest leaves if there is no room.
    fn push(&mut self, input: &[f32], target: &[f32]) -> Result<(), AgentError> {
        let [inputs, outputs] = self.lengths;
        length(inputs, input.len())?;
        length(outputs, target.len())?;
        if !input.iter().chain(target).all(|value| value.is_finite()) {
            return Err(ObserveError::NotFinite.into());
        }
        let Samples { inputs: x, targets: y, rows } = &mut self.episode.support;
        if *rows == self.capacity {
            x.drain(..inputs);
            y.drain(..outputs);
            *rows -= 1;
        }
        self.episode.support.push(input, target);
        Ok(())
    }

    /// Refuses rows that are not whole, and outputs for another number of them.
    fn check(&self, x: &[f32], mean: &[f32], variance: Option<&[f32]>) -> Result<(), AgentError> {
        let [inputs, outputs] = self.lengths;
        let rows = x.len() / inputs;
        length(rows * inputs, x.len())?;
        length(rows * outputs, mean.len())?;
        Ok(variance.map_or(Ok(()), |variance| length(mean.len(), variance.len()))?)
    }
}

#[cfg(test)]
mod tests;
