//! Gaussian processes, about the pooled network or from scratch (with a linear kernel that is ridge regression), and the hierarchical
//! linear model of the pooled network's residual.

use super::refitted::{Method, Refitted};
use crate::baseline::hierarchical::{self, Hierarchy};
use crate::baseline::process::{self, Pooled, Prior};
use crate::episode::Episode;

/// A Gaussian process on the rows that it remembers, see [`crate::baseline::process`].
#[derive(Clone, Copy, Debug)]
pub struct Process<'a> {
    prior: &'a Prior,
    pooled: Pooled<'a>,
}

impl<'a> Process<'a> {
    /// The process `prior` about `pooled`.
    pub fn agent(prior: &'a Prior, pooled: Pooled<'a>, capacity: usize) -> Refitted<Self> {
        Refitted::new(Self { prior, pooled }, pooled, capacity)
    }
}

impl<'a> Method for Process<'a> {
    type Fitted = process::Adapted<'a>;

    fn fit(&self, episode: &Episode) -> Self::Fitted {
        self.prior.adapt(self.pooled, episode)
    }

    fn predict(
        &self,
        fitted: &Self::Fitted,
        _: &Episode,
        x: &[f32],
        mean: &mut [f32],
        variance: Option<&mut [f32]>,
    ) -> bool {
        let known = variance.is_some();
        fitted.predict_with_variance(x, mean, variance);
        known
    }
}

/// The hierarchical linear model on the rows that it remembers, see [`hierarchical`].
#[derive(Clone, Copy, Debug)]
pub struct Hierarchical<'a> {
    hierarchy: &'a Hierarchy,
    pooled: Pooled<'a>,
}

impl<'a> Hierarchical<'a> {
    /// `hierarchy` about `pooled`.
    pub fn agent(hierarchy: &'a Hierarchy, pooled: Pooled<'a>, capacity: usize) -> Refitted<Self> {
        Refitted::new(Self { hierarchy, pooled }, pooled, capacity)
    }
}

impl<'a> Method for Hierarchical<'a> {
    type Fitted = hierarchical::Adapted<'a>;

    fn fit(&self, episode: &Episode) -> Self::Fitted {
        self.hierarchy.adapt(self.pooled, episode)
    }

    fn predict(
        &self,
        fitted: &Self::Fitted,
        _: &Episode,
        x: &[f32],
        mean: &mut [f32],
        variance: Option<&mut [f32]>,
    ) -> bool {
        let known = variance.is_some();
        fitted.predict(x, mean, variance);
        known
    }
}
