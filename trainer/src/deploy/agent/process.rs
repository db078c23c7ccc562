//! Gaussian processes, about the pooled network or from scratch (with a linear kernel that is ridge regression), and the hierarchical
//! linear model of the pooled network's residual.

use super::{Agent, AgentError, Recent};
use crate::baseline::hierarchical::{self, Hierarchy};
use crate::baseline::process::{self, Pooled, Prior};

/// A Gaussian process on the rows that it remembers, see [`crate::baseline::process`].
#[derive(Debug)]
pub struct Process<'a> {
    prior: &'a Prior,
    pooled: Pooled<'a>,
    recent: Recent,
    adapted: Option<process::Adapted<'a>>,
}

impl<'a> Process<'a> {
    /// The process `prior` about `pooled`.
    pub fn new(prior: &'a Prior, pooled: Pooled<'a>, capacity: usize) -> Self {
        let scaling = &pooled.model.scaling;
        let recent = Recent::new(capacity, scaling.input_len(), scaling.output_len());
        Self { prior, pooled, recent, adapted: None }
    }
}

impl Agent for Process<'_> {
    fn observe(&mut self, input: &[f32], target: &[f32]) -> Result<(), AgentError> {
        self.recent.push(input, target)?;
        self.adapted = None;
        Ok(())
    }

    fn predict(&mut self, x: &[f32], mean: &mut [f32], variance: Option<&mut [f32]>) -> Result<bool, AgentError> {
        self.recent.check(x, mean, variance.as_deref())?;
        let adapt = || self.prior.adapt(self.pooled, &self.recent.episode);
        let adapted = self.adapted.get_or_insert_with(adapt);
        let known = variance.is_some();
        adapted.predict_with_variance(x, mean, variance);
        Ok(known)
    }
}

/// The hierarchical linear model on the rows that it remembers, see [`hierarchical`].
#[derive(Debug)]
pub struct Hierarchical<'a> {
    hierarchy: &'a Hierarchy,
    pooled: Pooled<'a>,
    recent: Recent,
    adapted: Option<hierarchical::Adapted<'a>>,
}

impl<'a> Hierarchical<'a> {
    /// `hierarchy` about `pooled`.
    pub fn new(hierarchy: &'a Hierarchy, pooled: Pooled<'a>, capacity: usize) -> Self {
        let scaling = &pooled.model.scaling;
        let recent = Recent::new(capacity, scaling.input_len(), scaling.output_len());
        Self { hierarchy, pooled, recent, adapted: None }
    }
}

impl Agent for Hierarchical<'_> {
    fn observe(&mut self, input: &[f32], target: &[f32]) -> Result<(), AgentError> {
        self.recent.push(input, target)?;
        self.adapted = None;
        Ok(())
    }

    fn predict(&mut self, x: &[f32], mean: &mut [f32], variance: Option<&mut [f32]>) -> Result<bool, AgentError> {
        self.recent.check(x, mean, variance.as_deref())?;
        let adapt = || self.hierarchy.adapt(self.pooled, &self.recent.episode);
        let adapted = self.adapted.get_or_insert_with(adapt);
        let known = variance.is_some();
        adapted.predict(x, mean, variance);
        Ok(known)
    }
}
