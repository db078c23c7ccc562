//! The pooled networks: as they are, shifted by an intercept, fine-tuned, and the linear one pulled toward what was seen.

use super::{Agent, AgentError, Recent};
use crate::baseline::fine_tune::{Setting, fine_tuned};
use crate::baseline::process::Pooled;
use crate::baseline::{intercept, linear};
use crate::forward::Forward;
use crate::scaling::support_mean;

/// The pooled network, which never learns. Where inputs are presented relative to the mean of what was seen, it follows that mean.
#[derive(Debug)]
pub struct Unadapted<'a> {
    pooled: Pooled<'a>,
    recent: Recent,
}

/// The pooled network and one number for each output, see [`intercept`].
#[derive(Debug)]
pub struct Intercept<'a> {
    pooled: Pooled<'a>,
    recent: Recent,
    strength: f64,
    shift: Option<Vec<f32>>,
}

/// The pooled network, fine-tuned to the rows that it remembers, from its start each time.
#[derive(Debug)]
pub struct FineTuned<'a> {
    pooled: Pooled<'a>,
    recent: Recent,
    setting: Setting,
    params: Option<Vec<f32>>,
}

/// The pooled linear model, pulled toward the rows that it remembers, see [`linear`].
#[derive(Debug)]
pub struct Linear<'a> {
    line: Pooled<'a>,
    recent: Recent,
    strength: f64,
    params: Option<Vec<f32>>,
}

fn recent(pooled: Pooled<'_>, capacity: usize) -> Recent {
    let scaling = &pooled.model.scaling;
    Recent::new(capacity, scaling.input_len(), scaling.output_len())
}

/// Predictions of `pooled` at `params`, relative to the mean of what `recent` remembers.
fn predict(pooled: Pooled<'_>, params: &[f32], recent: &Recent, x: &[f32], y: &mut [f32]) {
    let mean = support_mean(&recent.episode.support);
    let Pooled { network, model } = pooled;
    Forward::new(network, &model.scaling).predict(params, mean.as_deref(), x, y);
}

impl<'a> Unadapted<'a> {
    /// `pooled` as it is.
    pub fn new(pooled: Pooled<'a>, capacity: usize) -> Self {
        Self { pooled, recent: recent(pooled, capacity) }
    }
}

impl Agent for Unadapted<'_> {
    fn observe(&mut self, input: &[f32], target: &[f32]) -> Result<(), AgentError> {
        self.recent.push(input, target)
    }

    fn predict(&mut self, x: &[f32], mean: &mut [f32], variance: Option<&mut [f32]>) -> Result<bool, AgentError> {
        self.recent.check(x, mean, variance.as_deref())?;
        predict(self.pooled, &self.pooled.model.state.params, &self.recent, x, mean);
        Ok(false)
    }
}

impl<'a> Intercept<'a> {
    /// `pooled` with an intercept that is pulled toward 0 by `strength`.
    pub fn new(pooled: Pooled<'a>, strength: f64, capacity: usize) -> Self {
        Self { pooled, recent: recent(pooled, capacity), strength, shift: None }
    }
}

impl Agent for Intercept<'_> {
    fn observe(&mut self, input: &[f32], target: &[f32]) -> Result<(), AgentError> {
        self.recent.push(input, target)?;
        self.shift = None;
        Ok(())
    }

    fn predict(&mut self, x: &[f32], mean: &mut [f32], variance: Option<&mut [f32]>) -> Result<bool, AgentError> {
        self.recent.check(x, mean, variance.as_deref())?;
        let Pooled { network, model } = self.pooled;
        let Recent { episode, .. } = &self.recent;
        let fit = || match episode.support.rows {
            0 => vec![0.0; model.scaling.output_len()],
            _ => intercept::of_episode(model, network, episode, self.strength),
        };
        let shift = self.shift.get_or_insert_with(fit);
        let relative = support_mean(&episode.support);
        let mut forward = Forward::new(network, &model.scaling);
        intercept::predict(&mut forward, &model.state.params, shift, relative.as_deref(), x, mean);
        Ok(false)
    }
}

impl<'a> FineTuned<'a> {
    /// `pooled`, fine-tuned by `setting`.
    pub fn new(pooled: Pooled<'a>, setting: Setting, capacity: usize) -> Self {
        Self { pooled, recent: recent(pooled, capacity), setting, params: None }
    }
}

impl Agent for FineTuned<'_> {
    fn observe(&mut self, input: &[f32], target: &[f32]) -> Result<(), AgentError> {
        self.recent.push(input, target)?;
        self.params = None;
        Ok(())
    }

    fn predict(&mut self, x: &[f32], mean: &mut [f32], variance: Option<&mut [f32]>) -> Result<bool, AgentError> {
        self.recent.check(x, mean, variance.as_deref())?;
        let Pooled { network, model }: Pooled<'_> = self.pooled;
        let Recent { episode, .. } = &self.recent;
        let fit = || {
            let support = model.scaling.task_rows(episode).support;
            fine_tuned(network, &model.state.params, &support, self.setting)
        };
        let params = self.params.get_or_insert_with(fit);
        predict(self.pooled, params, &self.recent, x, mean);
        Ok(false)
    }
}

impl<'a> Linear<'a> {
    /// The linear model `line`, pulled toward itself by `strength`.
    pub fn new(line: Pooled<'a>, strength: f64, capacity: usize) -> Self {
        Self { line, recent: recent(line, capacity), strength, params: None }
    }
}

impl Agent for Linear<'_> {
    fn observe(&mut self, input: &[f32], target: &[f32]) -> Result<(), AgentError> {
        self.recent.push(input, target)?;
        self.params = None;
        Ok(())
    }

    fn predict(&mut self, x: &[f32], mean: &mut [f32], variance: Option<&mut [f32]>) -> Result<bool, AgentError> {
        self.recent.check(x, mean, variance.as_deref())?;
        let model = self.line.model;
        let Recent { episode, .. } = &self.recent;
        let fit = || linear::adapt(model, &model.scaling.task_rows(episode).support, self.strength);
        let params = self.params.get_or_insert_with(fit);
        predict(self.line, params, &self.recent, x, mean);
        Ok(false)
    }
}
