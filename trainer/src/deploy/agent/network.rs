//! The pooled networks: as they are, shifted by an intercept, fine-tuned, and the linear one pulled toward what was seen.

use super::refitted::{Method, Refitted};
use crate::baseline::fine_tune::{Setting, fine_tuned};
use crate::baseline::process::Pooled;
use crate::baseline::{intercept, linear};
use crate::episode::Episode;
use crate::forward::Forward;
use crate::scaling::support_mean;

/// The pooled network, which never learns. Where inputs are presented relative to the mean of what was seen, it follows that mean.
#[derive(Clone, Copy, Debug)]
pub struct Unadapted<'a>(Pooled<'a>);

/// The pooled network and one number for each output, see [`intercept`].
#[derive(Clone, Copy, Debug)]
pub struct Intercept<'a> {
    pooled: Pooled<'a>,
    strength: f64,
}

/// The pooled network, fine-tuned to the rows that it remembers, from its start each time.
#[derive(Clone, Copy, Debug)]
pub struct FineTuned<'a> {
    pooled: Pooled<'a>,
    setting: Setting,
}

/// The pooled linear model, pulled toward the rows that it remembers, see [`linear`].
#[derive(Clone, Copy, Debug)]
pub struct Linear<'a> {
    line: Pooled<'a>,
    strength: f64,
}

/// Predictions of `pooled` at `params`, relative to the mean of the support.
fn predict(pooled: Pooled<'_>, params: &[f32], episode: &Episode, x: &[f32], y: &mut [f32]) {
    let mean = support_mean(&episode.support);
    let Pooled { network, model } = pooled;
    Forward::new(network, &model.scaling).predict(params, mean.as_deref(), x, y);
}

impl<'a> Unadapted<'a> {
    /// `pooled` as it is.
    pub fn agent(pooled: Pooled<'a>, capacity: usize) -> Refitted<Self> {
        Refitted::new(Self(pooled), pooled, capacity)
    }
}

impl Method for Unadapted<'_> {
    type Fitted = ();

    fn fit(&self, _: &Episode) {}

    fn predict(&self, (): &(), episode: &Episode, x: &[f32], mean: &mut [f32], _: Option<&mut [f32]>) -> bool {
        predict(self.0, &self.0.model.state.params, episode, x, mean);
        false
    }
}

impl<'a> Intercept<'a> {
    /// `pooled` with an intercept that is pulled toward 0 by `strength`.
    pub fn agent(pooled: Pooled<'a>, strength: f64, capacity: usize) -> Refitted<Self> {
        Refitted::new(Self { pooled, strength }, pooled, capacity)
    }
}

impl Method for Intercept<'_> {
    /// What is added to each output.
    type Fitted = Vec<f32>;

    fn fit(&self, episode: &Episode) -> Vec<f32> {
        let Pooled { network, model } = self.pooled;
        match episode.support.rows {
            0 => vec![0.0; model.scaling.output_len()],
            _ => intercept::of_episode(model, network, episode, self.strength),
        }
    }

    fn predict(&self, shift: &Vec<f32>, episode: &Episode, x: &[f32], mean: &mut [f32], _: Option<&mut [f32]>) -> bool {
        let Pooled { network, model } = self.pooled;
        let relative = support_mean(&episode.support);
        let mut forward = Forward::new(network, &model.scaling);
        intercept::predict(&mut forward, &model.state.params, shift, relative.as_deref(), x, mean);
        false
    }
}

impl<'a> FineTuned<'a> {
    /// `pooled`, fine-tuned by `setting`.
    pub fn agent(pooled: Pooled<'a>, setting: Setting, capacity: usize) -> Refitted<Self> {
        Refitted::new(Self { pooled, setting }, pooled, capacity)
    }
}

impl Method for FineTuned<'_> {
    /// Parameters.
    type Fitted = Vec<f32>;

    fn fit(&self, episode: &Episode) -> Vec<f32> {
        let Pooled { network, model } = self.pooled;
        fine_tuned(network, &model.state.params, &model.scaling.task_rows(episode).support, self.setting)
    }

    fn predict(
        &self,
        params: &Vec<f32>,
        episode: &Episode,
        x: &[f32],
        mean: &mut [f32],
        _: Option<&mut [f32]>,
    ) -> bool {
        predict(self.pooled, params, episode, x, mean);
        false
    }
}

impl<'a> Linear<'a> {
    /// The linear model `line`, pulled toward itself by `strength`.
    pub fn agent(line: Pooled<'a>, strength: f64, capacity: usize) -> Refitted<Self> {
        Refitted::new(Self { line, strength }, line, capacity)
    }
}

impl Method for Linear<'_> {
    /// Parameters.
    type Fitted = Vec<f32>;

    fn fit(&self, episode: &Episode) -> Vec<f32> {
        let model = self.line.model;
        linear::adapt(model, &model.scaling.task_rows(episode).support, self.strength)
    }

    fn predict(
        &self,
        params: &Vec<f32>,
        episode: &Episode,
        x: &[f32],
        mean: &mut [f32],
        _: Option<&mut [f32]>,
    ) -> bool {
        predict(self.line, params, episode, x, mean);
        false
    }
}
