//! The training loop: episodes in, checkpoints and a bundle out. Can be stopped at any iteration and goes on to the bit.

mod log;
mod outputs;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use rand::RngExt;
use rand::seq::IndexedRandom;
use rayon::prelude::*;
use sinew_models::spec::{Layer, NetworkSpec};

use crate::checkpoint::{Best, Checkpoint, CheckpointError};
use crate::config::{Config, ConfigError, LearnerKind};
use crate::engine::cpu::EngineError;
use crate::engine::{BatchGradient, TaskRows};
use crate::episode::Episode;
use crate::export::{About, Column, ExportError};
use crate::learn::maml::Maml;
use crate::learn::pooled::Pooled;
use crate::learn::{Learner, State};
use crate::model::Model;
use crate::optimiser::{AdamW, Moments, clip};
use crate::scaling::Scaling;
use crate::streams::{Purpose, rng};
use crate::world::{Split, World};
use log::Log;
pub use log::{Line, Progress};
pub use outputs::{BUNDLE, CHECKPOINT, CONFIG, LAST, METRICS};

/// Episodes from which scales are taken.
const SCALING_EPISODES: u64 = 256;
/// So many iterations in a row without a finite gradient end the run.
const MOST_NOT_FINITE: u64 = 100;

/// How a run is run; nothing here changes what comes out.
#[derive(Debug)]
pub struct Options<'a> {
    /// Where its files go.
    pub folder: &'a Path,
    /// Whether to go on from the checkpoint in the folder.
    pub resume: bool,
    /// Set from outside to save and stop at the next iteration.
    pub stop: &'a AtomicBool,
    /// Stops as if told to, after so many iterations.
    pub stop_after: Option<u64>,
    /// How progress is shown.
    pub progress: Progress,
}

/// How a run ended.
#[derive(Clone, Debug)]
pub struct Trained {
    /// The best model by validation.
    pub model: Model,
    /// Iterations done.
    pub iterations: u64,
    /// Whether it was stopped before its last iteration.
    pub stopped: bool,
    /// Validation loss of the model; `None` without a validation.
    pub validation: Option<f64>,
}

/// Why a run failed.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    /// The configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The engine.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The bundle.
    #[error(transparent)]
    Export(#[from] ExportError),
    /// The checkpoint.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// A file of the run.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// `--resume` with another configuration.
    #[error(
        "{}: the checkpoint is of another configuration: resume with the config.toml beside it, or choose another --out",
        path.display()
    )]
    OtherConfig {
        /// The checkpoint.
        path: PathBuf,
    },
    /// A run is there already.
    #[error("{}: a run is there already: go on with --resume, or choose another --out", path.display())]
    Exists {
        /// Its folder.
        path: PathBuf,
    },
    /// The world cannot make training episodes.
    #[error("the world `{world}` has no {split} tasks with {shots} shots")]
    NoTasks {
        /// The world.
        world: String,
        /// The split.
        split: &'static str,
        /// The shots.
        shots: usize,
    },
    /// Training fell apart.
    #[error(
        "{MOST_NOT_FINITE} iterations in a row up to {iteration} gave no finite gradient: try a smaller learner.inner_rate or train.outer_rate, or set train.clip"
    )]
    Diverged {
        /// The iteration.
        iteration: u64,
    },
}

/// The learner that a configuration asks for.
///
/// # Errors
/// If its rule does not fit the network, or there is no engine.
pub fn learner(config: &Config, network: &NetworkSpec) -> Result<Box<dyn Learner>, TrainError> {
    let rule = config.rule(network)?;
    let (settings, threads) = (&config.learner, config.threads());
    Ok(match settings.kind {
        LearnerKind::Maml => {
            Box::new(Maml::new(network, rule, settings.inner_rate, settings.learn_rate, settings.first_order, threads)?)
        }
        LearnerKind::Pooled => Box::new(Pooled::new(network, rule, settings.inner_rate, threads)?),
    })
}

/// PyTorch's defaults: weights and biases of products and convolutions even in ±1/√(inputs of one sum), scales of a normalisation 1 and
/// its biases 0; contexts 0.
pub fn initial_parameters(network: &NetworkSpec, seed: u64, purpose: Purpose, number: u64) -> Vec<f32> {
    let mut rng = rng(seed, purpose, number, 0);
    let mut params = vec![0.0; network.param_len()];
    for layer in network.layers() {
        let params = &mut params[layer.offset..][..layer.param_len()];
        match layer.layer {
            Layer::Context { .. } => {}
            Layer::LayerNorm { .. } => params[..layer.weight_len()].fill(1.0),
            _ => {
                let bound = 1.0 / ((layer.weight_len() / layer.bias_len().max(1)) as f32).sqrt();
                params.fill_with(|| rng.random_range(-bound..=bound));
            }
        }
    }
    params
}

/// `count` episodes of `split`; a data set's tasks in their order, again and again.
pub fn episodes(
    world: &dyn World,
    split: Split,
    shots: usize,
    seed: u64,
    purpose: Purpose,
    count: u64,
) -> Vec<(crate::world::Task, Episode)> {
    let draw = |number: u64| {
        let mut rng = rng(seed, purpose, 0, number);
        let task = match world.task_count(split) {
            Some(tasks) => crate::world::Task { split, seed: number % (tasks.max(1) as u64) },
            None => world.task(split, &mut rng),
        };
        let episode = world.episode(&task, shots, &mut rng);
        (task, episode)
    };
    (0..count).into_par_iter().map(draw).collect()
}

/// A run in progress.
struct Run<'a> {
    config: &'a Config,
    world: &'a dyn World,
    network: NetworkSpec,
    learner: Box<dyn Learner>,
    adam: AdamW,
    validation: Vec<TaskRows>,
    at: Checkpoint,
}

/// Trains as `config` says on `world`, and writes the run's files to the folder.
///
/// # Errors
/// If the configuration does not fit the world, a file cannot be written, or training diverges.
pub fn train(config: &Config, world: &dyn World, options: &Options<'_>) -> Result<Trained, TrainError> {
    let folder = options.folder;
    let checkpoint = folder.join(CHECKPOINT);
    let text = config.to_toml();
    let resumed = if options.resume && checkpoint.exists() {
        let resumed = Checkpoint::read(&checkpoint)?;
        if resumed.config != text {
            return Err(TrainError::OtherConfig { path: checkpoint });
        }
        Some(resumed)
    } else if checkpoint.exists() {
        return Err(TrainError::Exists { path: folder.into() });
    } else {
        None
    };
    let mut run = Run::new(config, world, resumed.map(|at| (at, checkpoint.as_path())))?;
    let io = |path: &Path| {
        let path = path.to_owned();
        move |source| TrainError::Io { path, source }
    };
    std::fs::create_dir_all(folder).map_err(io(folder))?;
    let path = folder.join(CONFIG);
    crate::files::replace(&path, text.as_bytes()).map_err(io(&path))?;
    let mut log = Log::open(&folder.join(METRICS), run.at.iteration, config.train.iterations, options.progress)
        .map_err(io(&folder.join(METRICS)))?;
    let stopped = run.run(options, &mut log)?;
    let trained = run.finish(folder, stopped)?;
    log.finish();
    Ok(trained)
}

impl<'a> Run<'a> {
    /// A run from its start, or from a checkpoint and the file that it came from.
    fn new(config: &'a Config, world: &'a dyn World, resumed: Option<(Checkpoint, &Path)>) -> Result<Self, TrainError> {
        let network = config.network(world.signature())?;
        let learner = learner(config, &network)?;
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
        let adam = AdamW { weight_decay: config.train.weight_decay, ..AdamW::default() };
        Ok(Self { config, world, network, learner, adam, validation, at })
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

    /// Runs until the last iteration, or until told to stop; whether it was stopped.
    fn run(&mut self, options: &Options<'_>, log: &mut Log) -> Result<bool, TrainError> {
        let settings = &self.config.train;
        let checkpoint = options.folder.join(CHECKPOINT);
        let mut gradient = BatchGradient::default();
        let begun_at = self.at.iteration;
        while self.at.iteration < settings.iterations {
            let told = options.stop.load(Ordering::Relaxed);
            if told || options.stop_after.is_some_and(|most| self.at.iteration >= begun_at + most) {
                self.at.write(&checkpoint)?;
                return Ok(true);
            }
            let batch = self.batch();
            self.learner.gradient(&self.at.state, &batch, &mut gradient);
            let loss = gradient.median_loss();
            if self.step(&mut gradient) {
                self.at.loss_sum += loss;
                self.at.loss_count += 1;
                self.at.not_finite = 0;
            } else {
                self.at.not_finite += 1;
                if self.at.not_finite >= MOST_NOT_FINITE {
                    // Who resumes with nothing changed ends here again, at the same iteration.
                    self.at.not_finite = MOST_NOT_FINITE - 1;
                    self.at.write(&checkpoint)?;
                    return Err(TrainError::Diverged { iteration: self.at.iteration });
                }
            }
            self.at.iteration += 1;
            log.tick(loss);
            let iteration = self.at.iteration;
            // Not at times that depend on where a run was interrupted, so that a resumed run logs and chooses the same.
            if iteration.is_multiple_of(settings.validation_every) || iteration == settings.iterations {
                let validation = self.validate();
                let loss = self.at.loss_sum / self.at.loss_count as f64;
                let line = Line { iteration, loss, validation, skipped: self.at.not_finite };
                log.line(&line).map_err(|source| TrainError::Io { path: options.folder.join(METRICS), source })?;
                (self.at.loss_sum, self.at.loss_count) = (0.0, 0);
                self.at.write(&checkpoint)?;
            }
        }
        Ok(false)
    }

    /// One step of the optimiser; false, and nothing done, if the gradient is not finite.
    fn step(&mut self, gradient: &mut BatchGradient) -> bool {
        let settings = &self.config.train;
        let norm = clip([&mut gradient.params, &mut gradient.rates], settings.clip);
        if !norm.is_finite() {
            return false;
        }
        let share = settings.schedule.share(self.at.iteration, settings.iterations);
        let at = &mut self.at;
        let rate = settings.outer_rate * share;
        self.adam.step(rate, &mut at.params_moments, &mut at.state.params, &gradient.params);
        if !gradient.rates.is_empty() {
            // Rates are not pulled to 0.
            let adam = AdamW { weight_decay: 0.0, ..self.adam };
            let rate = settings.rate_outer_rate.unwrap_or(settings.outer_rate) * share;
            adam.step(rate, &mut at.rates_moments, &mut at.state.rates, &gradient.rates);
        }
        true
    }

    fn validate(&mut self) -> Option<f64> {
        if self.validation.is_empty() {
            return None;
        }
        let losses = self.learner.losses(&self.at.state, &self.validation);
        let loss = losses.iter().map(|loss| f64::from(*loss)).sum::<f64>() / losses.len() as f64;
        let better = self.at.best.as_ref().is_none_or(|best| loss < best.loss || best.loss.is_nan());
        // A loss that is NaN is never better, unless there is nothing else.
        if better && (loss.is_finite() || self.at.best.is_none()) {
            self.at.best = Some(Best { loss, iteration: self.at.iteration, state: self.at.state.clone() });
        }
        Some(loss)
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

    fn finish(self, folder: &Path, stopped: bool) -> Result<Trained, TrainError> {
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
