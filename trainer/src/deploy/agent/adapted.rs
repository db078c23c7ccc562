//! A bundle, by the very adapter that a robot runs.

use sinew_models::rule::Rule;
use sinew_runtime::adapter::SetupError;
use sinew_runtime::{Adapter, Bundle};

use super::{Agent, AgentError};
use crate::aligned::Aligned;

/// Memory for the adapter of `bundle` that remembers `capacity` rows.
///
/// # Errors
/// If the bundle cannot be adapted.
pub fn memory(bundle: &Bundle<'_>, capacity: usize) -> Result<Aligned, SetupError> {
    Ok(Aligned::zeros(Adapter::memory_len(bundle, capacity)?))
}

/// The adapter of a bundle. It adapts to its end, so that nothing depends on a clock.
#[derive(Debug)]
pub struct Adapted<'m> {
    adapter: Adapter<'m>,
    knows_variance: bool,
    stale: bool,
}

impl<'m> Adapted<'m> {
    /// The adapter of `bundle` in `memory` ([`memory()`]), which remembers `capacity` rows.
    ///
    /// # Errors
    /// If the bundle cannot be adapted.
    pub fn new(bundle: &Bundle<'m>, capacity: usize, memory: &'m mut Aligned) -> Result<Self, SetupError> {
        let adapter = Adapter::new(bundle, capacity, memory)?;
        Ok(Self { adapter, knows_variance: *bundle.rule() == Rule::Bayes, stale: false })
    }
}

impl Agent for Adapted<'_> {
    fn observe(&mut self, input: &[f32], target: &[f32]) -> Result<(), AgentError> {
        self.adapter.observe(input, target)?;
        self.stale = true;
        Ok(())
    }

    fn predict(&mut self, inputs: &[f32], mean: &mut [f32], variance: Option<&mut [f32]>) -> Result<bool, AgentError> {
        if self.stale {
            // There is a row, so there is a report; what the guard refuses leaves predictions as they were.
            let adapted = self.adapter.adapt(|| false);
            debug_assert!(adapted.is_ok());
            self.stale = false;
        }
        match variance.filter(|_| self.knows_variance) {
            Some(variance) => {
                self.adapter.predict_with_variance(inputs, mean, variance)?;
                Ok(true)
            }
            None => {
                self.adapter.predict(inputs, mean)?;
                Ok(false)
            }
        }
    }
}
