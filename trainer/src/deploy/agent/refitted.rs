//! Agents that fit anew, to the rows that they remember, whenever something was seen since the last prediction.

use super::{Agent, AgentError, Recent};
use crate::baseline::process::Pooled;
use crate::episode::Episode;

/// A method that fits to the support of an episode, all of it at once.
pub trait Method {
    /// What it comes to.
    type Fitted;

    /// Fits to the support of `episode`, in the units of the world; it may be empty.
    fn fit(&self, episode: &Episode) -> Self::Fitted;

    /// As [`Agent::predict`], with what was fitted to this support. Lengths are right.
    fn predict(
        &self,
        fitted: &Self::Fitted,
        episode: &Episode,
        x: &[f32],
        mean: &mut [f32],
        variance: Option<&mut [f32]>,
    ) -> bool;
}

/// The agent of a method, which remembers the last rows.
#[derive(Debug)]
pub struct Refitted<M: Method> {
    method: M,
    recent: Recent,
    fitted: Option<M::Fitted>,
}

impl<M: Method> Refitted<M> {
    /// `method` on the last `capacity` rows, as long as those of `pooled`.
    pub(super) fn new(method: M, pooled: Pooled<'_>, capacity: usize) -> Self {
        let scaling = &pooled.model.scaling;
        Self { method, recent: Recent::new(capacity, scaling.input_len(), scaling.output_len()), fitted: None }
    }
}

impl<M: Method> Agent for Refitted<M> {
    fn observe(&mut self, input: &[f32], target: &[f32]) -> Result<(), AgentError> {
        self.recent.push(input, target)?;
        self.fitted = None;
        Ok(())
    }

    fn predict(&mut self, x: &[f32], mean: &mut [f32], variance: Option<&mut [f32]>) -> Result<bool, AgentError> {
        self.recent.check(x, mean, variance.as_deref())?;
        let episode = &self.recent.episode;
        let fitted = self.fitted.get_or_insert_with(|| self.method.fit(episode));
        Ok(self.method.predict(fitted, episode, x, mean, variance))
    }
}
