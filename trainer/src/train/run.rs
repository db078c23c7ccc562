//! A run in progress, on one engine.

use std::path::Path;
use std::sync::atomic::Ordering;

use rand::seq::IndexedRandom;
use rayon::prelude::*;
use sinew_models::spec::NetworkSpec;

use super::start::{episodes, initial_parameters};
use super::{BUNDLE, CHECKPOINT, LAST, Line, Log, METRICS, Options, TrainError, Trained};
use crate::checkpoint::{Best, Checkpoint};
use crate::config::{Config, LearnerKind};
use crate::engine::{BatchGradient, Engine, TaskRows};
use crate::export::{About, Column};
use crate::learn::maml::Maml;
use crate::learn::pooled::Pooled;
use crate::learn::{Learner, State};
use crate::model::Model;
use crate::optimiser::{AdamW, Moments};
use crate::scaling::Scaling;
use crate::streams::{Purpose, rng};
use crate::world::{Split, World};

/// Episodes from which scales are taken.
const SCALING_EPISODES: u64 = 256;
/// So many iterations in a row without a finite gradient end the run.
pub(super) const MOST_NOT_FINITE: u64 = 100;

/// The learner that a configuration asks for.
fn learner<E: Engine>(config: &Config, engine: &E) -> Result<Box<dyn Learner<E>>, TrainError> {
    let rule = config.rule(engine.network())?;
    let (settings, kept) = (&config.learner, config.train.kept);
    Ok(match settings.kind {
        LearnerKind::Maml => {
            Box::new(Maml::new(engine, rule, settings.inner_rate, settings.learn_rate, settings.first_order, kept)?)
        }
        LearnerKind::Pooled => Box::new(Pooled::new(rule, settings.inner_rate)),
    })
}

/// A run in progress.
pub(super) struct Run<'a, E: Engine> {
    config: &'a Config,
    world: &'a dyn World,
    network: NetworkSpec,
    engine: E,
    learner: Box<dyn Learner<E>>,
    adam: AdamW,
    /// `None` where there is no validation.
    validation: Option<E::Tasks>,
    losses: Vec<f32>,
    state: State<E::Values>,
    params_moments: Moments<E::Values>,
    rates_moments: Moments<E::Values>,
    /// All else; what it says of state and moments is as old as the last [`Run::bring_home`].
    at: Checkpoint,
}

impl<'a, E: Engine> Run<'a, E> {
    /// A run from its start, or from a checkpoint and the file that it came from.
    pub(super) fn new(
        config: &'a Config,
        world: &'a dyn World,
        mut engine: E,
        resumed: Option<(Checkpoint, &Path)>,
    ) -> Result<Self, TrainError> {
        let network = engine.network().clone();
        let learner = learner(config, &engine)?;
        let main = config.train.shots.main();
        let no_tasks = |split| TrainError::NoTasks { world: world.name().into(), split, shots: main };
        let at = match resumed {
            Some((at, path)) => {
                at.check(path, &network, learner.rule().rate_len(&network))?;
                at
            }
            None => {
                let samples = episodes(world, Split::Train, main, config.seed, Purpose::Scaling, SCALING_EPISODES);
                if samples.iter().all(|(_, episode)| episode.support.rows == 0 || episode.query.rows == 0) {
                    return Err(no_tasks("training"));
                }
                let scaling = if config.network.normalise {
                    Scaling::of(&network, samples.iter().map(|(_, episode)| episode))
                } else {
                    Scaling::none(&network)
                };
                let state = State {
                    params: initial_parameters(&network, config.seed, Purpose::Initial, 0),
                    rates: learner.initial_rates(&network),
                };
                Checkpoint {
                    iteration: 0,
                    params_moments: Moments::zeros(state.params.len()),
                    rates_moments: Moments::zeros(state.rates.len()),
                    state,
                    loss_sum: 0.0,
                    loss_count: 0,
                    not_finite: 0,
                    best: None,
                    scaling,
                    config: config.to_toml(),
                }
            }
        };
        let count = config.train.validation_tasks as u64;
        // All tasks of a data set, once, if there are fewer.
        let count = world.task_count(Split::Validation).map_or(count, |tasks| count.min(tasks as u64));
        let mut validation = Vec::new();
        for shots in config.train.shots.all() {
            let drawn = episodes(world, Split::Validation, *shots, config.seed, Purpose::Validation, count);
            validation.extend(drawn.iter().map(|(_, episode)| at.scaling.task_rows(episode)));
        }
        validation.retain(|task| task.support.rows > 0 && task.query.rows > 0);
        if config.train.validation_tasks > 0 && validation.is_empty() {
            return Err(no_tasks("validation"));
        }
        let validation = if validation.is_empty() { None } else { Some(engine.take(validation)?) };
        let adam = AdamW { weight_decay: config.train.weight_decay, ..AdamW::default() };
        let state = State { params: engine.upload(&at.state.params)?, rates: engine.upload(&at.state.rates)? };
        let mut moments = |of: &Moments| -> Result<_, TrainError> {
            let (first, second) = (engine.upload(&of.first)?, engine.upload(&of.second)?);
            Ok(Moments { first, second, steps: of.steps })
        };
        let (params_moments, rates_moments) = (moments(&at.params_moments)?, moments(&at.rates_moments)?);
        let losses = Vec::new();
        Ok(Self {
            config,
            world,
            network,
            engine,
            learner,
            adam,
            validation,
            losses,
            state,
            params_moments,
            rates_moments,
            at,
        })
    }

    fn batch(&self) -> Vec<TaskRows> {
        let (seed, iteration) = (self.config.seed, self.at.iteration);
        let list = self.config.train.shots.all();
        let shots = *list.choose(&mut rng(seed, Purpose::Training, iteration, 0)).unwrap_or(&1);
        let (world, scaling) = (self.world, &self.at.scaling);
        let one = |number: usize| {
            let mut rng = rng(seed, Purpose::Training, iteration, number as u64 + 1);
            let task = world.task(Split::Train, &mut rng);
            scaling.task_rows(&world.episode(&task, shots, &mut rng))
        };
        let threads = self.config.threads();
        let mut batch: Vec<TaskRows> = if threads == 1 {
            (0..self.config.train.tasks).map(one).collect()
        } else {
            (0..self.config.train.tasks).into_par_iter().with_min_len(4).map(one).collect()
        };
        batch.retain(|task| task.support.rows > 0 && task.query.rows > 0);
        batch
    }

    /// Iterations done.
    pub(super) const fn iteration(&self) -> u64 {
        self.at.iteration
    }

    /// Brings state and moments home from the engine.
    fn bring_home(&mut self) -> Result<(), TrainError> {
        let engine = &self.engine;
        let moments = |of: &Moments<E::Values>| -> Result<_, TrainError> {
            Ok(Moments { first: engine.download(&of.first)?, second: engine.download(&of.second)?, steps: of.steps })
        };
        self.at.params_moments = moments(&self.params_moments)?;
        self.at.rates_moments = moments(&self.rates_moments)?;
        self.at.state = self.state_at_home()?;
        Ok(())
    }

    fn state_at_home(&self) -> Result<State, TrainError> {
        Ok(State { params: self.engine.download(&self.state.params)?, rates: self.engine.download(&self.state.rates)? })
    }

    fn write(&mut self, checkpoint: &Path) -> Result<(), TrainError> {
        self.bring_home()?;
        Ok(self.at.write(checkpoint)?)
    }

    /// Runs until the last iteration, or until told to stop; whether it was stopped.
    pub(super) fn run(&mut self, options: &Options<'_>, log: &mut Log) -> Result<bool, TrainError> {
        let settings = &self.config.train;
        let checkpoint = options.folder.join(CHECKPOINT);
        let mut gradient = BatchGradient::default();
        let begun_at = self.at.iteration;
        while self.at.iteration < settings.iterations {
            let told = options.stop.load(Ordering::Relaxed);
            if told || options.stop_after.is_some_and(|most| self.at.iteration >= begun_at + most) {
                self.write(&checkpoint)?;
                return Ok(true);
            }
            let batch = self.batch();
            let batch = self.engine.take(batch)?;
            self.learner.gradient(&mut self.engine, &self.state, &batch, &mut gradient)?;
            let loss = gradient.median_loss();
            if self.step(&mut gradient)? {
                self.at.loss_sum += loss;
                self.at.loss_count += 1;
                self.at.not_finite = 0;
            } else {
                self.at.not_finite += 1;
                if self.at.not_finite >= MOST_NOT_FINITE {
                    // Who resumes with nothing changed ends here again, at the same iteration.
                    self.at.not_finite = MOST_NOT_FINITE - 1;
                    self.write(&checkpoint)?;
                    return Err(TrainError::Diverged { iteration: self.at.iteration });
                }
            }
            self.at.iteration += 1;
            log.tick(loss);
            let iteration = self.at.iteration;
            // Not at times that depend on where a run was interrupted, so that a resumed run logs and chooses the same.
            if iteration.is_multiple_of(settings.validation_every) || iteration == settings.iterations {
                let validation = self.validate()?;
                let loss = self.at.loss_sum / self.at.loss_count as f64;
                let line = Line { iteration, loss, validation, skipped: self.at.not_finite };
                log.line(&line).map_err(|source| TrainError::Io { path: options.folder.join(METRICS), source })?;
                (self.at.loss_sum, self.at.loss_count) = (0.0, 0);
                self.write(&checkpoint)?;
            }
        }
        Ok(false)
    }

    /// One step of the optimiser; false, and nothing done, if the gradient is not finite.
    fn step(&mut self, gradient: &mut BatchGradient<E::Values>) -> Result<bool, TrainError> {
        let settings = &self.config.train;
        let norm = self.engine.clip(gradient, settings.clip)?;
        if !norm.is_finite() {
            return Ok(false);
        }
        let share = settings.schedule.share(self.at.iteration, settings.iterations);
        let rate = settings.outer_rate * share;
        let (state, params_moments) = (&mut self.state, &mut self.params_moments);
        self.engine.step(&self.adam, rate, params_moments, &mut state.params, &gradient.params)?;
        if let Some(rates) = &gradient.rates {
            // Rates are not pulled to 0.
            let adam = AdamW { weight_decay: 0.0, ..self.adam };
            let rate = settings.rate_outer_rate.unwrap_or(settings.outer_rate) * share;
            self.engine.step(&adam, rate, &mut self.rates_moments, &mut state.rates, rates)?;
        }
        Ok(true)
    }

    fn validate(&mut self) -> Result<Option<f64>, TrainError> {
        let Some(tasks) = &self.validation else { return Ok(None) };
        self.learner.losses(&mut self.engine, &self.state, tasks, &mut self.losses)?;
        let loss = self.losses.iter().map(|loss| f64::from(*loss)).sum::<f64>() / self.losses.len() as f64;
        let better = self.at.best.as_ref().is_none_or(|best| loss < best.loss || best.loss.is_nan());
        // A loss that is NaN is never better, unless there is nothing else.
        if better && (loss.is_finite() || self.at.best.is_none()) {
            self.at.best = Some(Best { loss, iteration: self.at.iteration, state: self.state_at_home()? });
        }
        Ok(Some(loss))
    }

    fn model(&self, state: State, iterations: u64) -> Model {
        let columns = |columns: &[crate::world::Column]| {
            columns.iter().map(|column| Column { name: column.name.clone(), unit: column.unit.clone() }).collect()
        };
        let signature = self.world.signature();
        Model {
            network: self.network.clone(),
            rule: self.learner.rule().clone(),
            state,
            scaling: self.at.scaling.clone(),
            about: About {
                inputs: columns(&signature.inputs),
                outputs: columns(&signature.outputs),
                world: self.world.name().into(),
                learner: self.learner.name().into(),
                seed: self.config.seed,
                version: env!("CARGO_PKG_VERSION").into(),
                iterations,
                config: Some(self.config.to_portable_toml()),
                scores: Vec::new(),
            },
        }
    }

    pub(super) fn finish(mut self, folder: &Path, stopped: bool) -> Result<Trained, TrainError> {
        self.bring_home()?;
        let last = self.model(self.at.state.clone(), self.at.iteration);
        last.write(&folder.join(LAST))?;
        let (model, validation) = match &self.at.best {
            Some(best) => (self.model(best.state.clone(), best.iteration), Some(best.loss)),
            None => (last, None),
        };
        model.write(&folder.join(BUNDLE))?;
        Ok(Trained { model, iterations: self.at.iteration, stopped, validation })
    }
}
