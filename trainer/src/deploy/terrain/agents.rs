//! Agents that only this world knows: who knows the hidden facts, and who fits the formulas.

use sinew_runtime::{LengthError, ObserveError};

use crate::deploy::agent::{Agent, AgentError};
use crate::world::terrain::grey_box::{Fitted, GreyBox};
use crate::world::terrain::sense::FEATURES;
use crate::world::terrain::{Hidden, informed};

fn check(expected: usize, got: usize) -> Result<(), LengthError> {
    if expected == got { Ok(()) } else { Err(LengthError { expected, got }) }
}

/// One who knows the hidden facts and reads the sensors.
#[derive(Clone, Copy, Debug)]
pub struct Oracle(
    /// The facts.
    pub Hidden,
);

impl Agent for Oracle {
    fn observe(&mut self, _: &[f32], _: &[f32]) -> Result<(), AgentError> {
        Ok(())
    }

    fn predict(&mut self, x: &[f32], mean: &mut [f32], _: Option<&mut [f32]>) -> Result<bool, AgentError> {
        check(mean.len() * FEATURES, x.len())?;
        mean.iter_mut().zip(x.chunks_exact(FEATURES)).for_each(|(mean, input)| *mean = informed(&self.0, input));
        Ok(false)
    }
}

/// One who fits the formulas to the rows that it remembers, see [`GreyBox`].
#[derive(Clone, Debug)]
pub struct Grey {
    grey_box: GreyBox,
    capacity: usize,
    inputs: Vec<f32>,
    targets: Vec<f32>,
    fitted: Option<Fitted>,
}

impl Grey {
    /// One that remembers `capacity` rows.
    pub fn new(grey_box: GreyBox, capacity: usize) -> Self {
        Self { grey_box, capacity: capacity.max(1), inputs: Vec::new(), targets: Vec::new(), fitted: None }
    }
}

impl Agent for Grey {
    fn observe(&mut self, input: &[f32], target: &[f32]) -> Result<(), AgentError> {
        check(FEATURES, input.len())?;
        check(1, target.len())?;
        if !input.iter().chain(target).all(|value| value.is_finite()) {
            return Err(ObserveError::NotFinite.into());
        }
        if self.targets.len() == self.capacity {
            self.targets.remove(0);
            self.inputs.drain(..FEATURES);
        }
        self.inputs.extend(input);
        self.targets.extend(target);
        self.fitted = None;
        Ok(())
    }

    fn predict(&mut self, x: &[f32], mean: &mut [f32], variance: Option<&mut [f32]>) -> Result<bool, AgentError> {
        check(mean.len() * FEATURES, x.len())?;
        variance.as_deref().map_or(Ok(()), |variance| check(mean.len(), variance.len()))?;
        let fit = || self.grey_box.fit(&self.inputs, &self.targets);
        let fitted = self.fitted.get_or_insert_with(fit);
        let known = variance.is_some();
        fitted.predict(x, mean, variance);
        Ok(known)
    }
}
