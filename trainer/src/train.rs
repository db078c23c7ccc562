//! The training loop: episodes in, checkpoints and a bundle out. Can be stopped at any iteration and goes on to the bit.

mod draw;
mod learner;
mod log;
mod outputs;
mod pulls;
mod run;
mod sampling;
mod start;
mod timing;

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use sinew_models::rule::Rule;
use sinew_models::spec::NetworkSpec;

use crate::aligned::Aligned;
use crate::checkpoint::{Checkpoint, CheckpointError};
#[cfg(feature = "cuda")]
use crate::collective::OnDevices;
use crate::collective::{Alone, Collective, CollectiveError, agree, alike, expect_same};
use crate::config::{Config, ConfigError, LearnerConfig};
use crate::cuda::{Chosen, DeviceChoice, DeviceError};
#[cfg(feature = "cuda")]
use crate::engine::Cuda;
use crate::engine::{Cpu, Engine, EngineError};
use crate::export::ExportError;
use crate::learn::{Learner, State};
use crate::model::Model;
use crate::streams::Purpose;
use crate::world::World;
use log::Log;
pub use log::{Line, Progress};
pub use outputs::{BUNDLE, CHECKPOINT, CONFIG, LAST, METRICS, PULLS, TIMING};
pub use pulls::{Pulls, PullsError};
use run::{MOST_NOT_FINITE, Run};
use sampling::Sampler;
pub use sampling::Sampling;
pub use start::{episodes, initial_parameters};
pub use timing::Timing;

/// How a run is run; nothing here changes what comes out, but that devices round differently.
#[derive(Debug)]
pub struct Options<'a> {
    /// Where its files go.
    pub folder: &'a Path,
    /// Whether to go on from the checkpoint in the folder.
    pub resume: bool,
    /// Set from outside to save and stop at the next iteration; of several processes, in any.
    pub stop: &'a AtomicBool,
    /// Stops as if told to, after so many iterations.
    pub stop_after: Option<u64>,
    /// How progress is shown.
    pub progress: Progress,
    /// On what it computes.
    pub device: DeviceChoice,
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
    /// The device.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// The bundle.
    #[error(transparent)]
    Export(#[from] ExportError),
    /// The checkpoint.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The other processes.
    #[error("{0}")]
    Collective(#[from] CollectiveError),
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
    /// The bundle that training is to begin with.
    #[error("train.start: {0}")]
    Start(#[from] crate::model::OpenError),
    /// It has another network.
    #[error("train.start: {}: expected the network of this configuration, found another", path.display())]
    OtherStart {
        /// The bundle.
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
    /// Rows without all labels, for what takes them for whole.
    #[error(
        "{what}: expected a world whose rows have all labels, found `{world}`; a learner whose rule takes gradient steps, without [baselines], takes those that lack some"
    )]
    MissingLabels {
        /// What takes rows for whole, as a configuration has it.
        what: String,
        /// The world.
        world: String,
    },
    /// Sampling by size where nothing has one.
    #[error(
        "train.sampling: expected \"balanced\" in the world `{world}`, whose tasks come from no sources of known sizes"
    )]
    NoSizes {
        /// The world.
        world: String,
    },
    /// Several processes with a learner for one.
    #[error(
        "learner.kind = \"{learner}\": expected one process, for its weights follow from the losses of the whole batch"
    )]
    Alone {
        /// The learner.
        learner: &'static str,
    },
    /// Baselines that know one loss, for heads of several.
    #[error(
        "[baselines]: expected a world whose heads have one loss, found `{world}` with {losses:?}; leave out [baselines]"
    )]
    MixedHeads {
        /// The world.
        world: String,
        /// The loss of each head.
        losses: Vec<sinew_models::spec::Loss>,
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

/// Trains as `config` says on `world`, in this process, and writes the run's files to the folder.
///
/// # Errors
/// If the configuration does not fit the world, a file cannot be written, or training diverges.
pub fn train(config: &Config, world: &dyn World, options: &Options<'_>) -> Result<Trained, TrainError> {
    train_among(config, world, options, &mut Alone)
}

/// As [`train`], together with the other processes of `collective`, which all call this with the same configuration and world. The
/// first of them alone sees the folder and shows progress; all of them return the same model.
///
/// # Errors
/// As [`train`], and if processes differ. What is wrong in one process before and after the iterations, or with a file, ends all of
/// them, the others with [`CollectiveError::Elsewhere`]. After any other error, of the engine, the others wait for this process: it
/// must end them.
pub fn train_among(
    config: &Config,
    world: &dyn World,
    options: &Options<'_>,
    collective: &mut dyn Collective<Aligned>,
) -> Result<Trained, TrainError> {
    let chosen = agree(collective, options.device.open().map_err(TrainError::from))?;
    let threads = config.threads_beside(collective.neighbours());
    let network = agree(collective, config.network(world.signature()).map_err(TrainError::from))?;
    match chosen {
        Chosen::Cpu { .. } => {
            let engine = agree(collective, Cpu::new(&network, threads).map_err(TrainError::from))?;
            train_on(engine, threads, config, world, options, collective)
        }
        #[cfg(feature = "cuda")]
        Chosen::Cuda(driver) => {
            let mut together = OnDevices::join(&driver, collective)?;
            let engine = Cuda::new(*driver, &network).map_err(TrainError::from);
            let engine = agree::<crate::engine::cuda::Values<_>, _, _>(&mut together, engine)?;
            train_on(engine, threads, config, world, options, &mut together)
        }
    }
}

/// As [`train_among`], on an engine for the network of this configuration and world; `threads` draw the tasks.
///
/// # Errors
/// As [`train_among`].
pub fn train_on<E: Engine>(
    engine: E,
    threads: usize,
    config: &Config,
    world: &dyn World,
    options: &Options<'_>,
    collective: &mut dyn Collective<E::Values>,
) -> Result<Trained, TrainError> {
    let learner = learner::learner(config, world.signature(), &engine, threads);
    let learner = agree(collective, learner)?;
    // Before anything is written.
    let takes_steps = matches!(learner.rule(), Rule::Gradient { .. } | Rule::MetaLstm { .. });
    if world.lacks_labels() && !takes_steps {
        let (what, world) = (format!("learner.kind = \"{}\"", learner.name()), world.name().into());
        return Err(alike(&*collective, TrainError::MissingLabels { what, world }));
    }
    agree(collective, Sampler::open(config.train.sampling, world))?;
    let at = begin_together(config, world, (&engine, &*learner), options, collective)?;
    let mut run = Run::new(config, world, (engine, learner), threads, collective, at)?;
    let log = run.first().then(|| open_folder(config, run.network(), run.iteration(), options)).transpose();
    let mut log = run.agree(log)?;
    let stopped = run.run(options, &mut log)?;
    let trained = run.finish(options.folder, stopped)?;
    if let Some(log) = log {
        log.finish();
    }
    Ok(trained)
}

/// Where the run starts, as the first process finds or makes it: nobody else needs its folder, and all have the same scales.
fn begin_together<E: Engine>(
    config: &Config,
    world: &dyn World,
    (engine, learner): (&E, &dyn Learner<E>),
    options: &Options<'_>,
    collective: &mut dyn Collective<E::Values>,
) -> Result<Checkpoint, TrainError> {
    let network = engine.network();
    let first = collective.rank() == 0;
    let state = || {
        let mut params = initial_parameters(network, config.seed, Purpose::Initial, 0);
        learner.initialise(&mut params);
        State { params, rates: learner.initial_rates(network) }
    };
    let begun = first.then(|| start::begin(config, world, network, state(), options)).transpose();
    let begun = agree(collective, begun)?;
    if collective.size() == 1
        && let Some(begun) = begun
    {
        return Ok(begun);
    }
    expect_same(collective, "the configuration", config.to_toml().as_bytes())?;
    let wrong = |why| CheckpointError::Format { path: options.folder.join(CHECKPOINT), why };
    let bytes = begun.as_ref().map_or(Ok(Vec::new()), Checkpoint::to_bytes).map_err(|why| wrong(why).into());
    let bytes: Vec<u8> = agree::<_, _, TrainError>(collective, bytes)?;
    let all = collective.gather(&bytes)?;
    let at = Checkpoint::parse(&all[0]).map_err(wrong).map_err(TrainError::from);
    agree(collective, at)
}

/// Makes the folder, with the configuration and the log of a run that goes on after `iteration`.
fn open_folder(
    config: &Config,
    network: &NetworkSpec,
    iteration: u64,
    options: &Options<'_>,
) -> Result<Log, TrainError> {
    let io = |path: &Path| {
        let path = path.to_owned();
        move |source| TrainError::Io { path, source }
    };
    let folder = options.folder;
    std::fs::create_dir_all(folder).map_err(io(folder))?;
    let path = folder.join(CONFIG);
    crate::files::replace(&path, config.to_toml().as_bytes()).map_err(io(&path))?;
    let path = folder.join(METRICS);
    let log = Log::open(&path, iteration, config.train.iterations, options.progress).map_err(io(&path))?;
    if !matches!(config.learner, LearnerConfig::MultiTask(_)) {
        return Ok(log);
    }
    let heads: Vec<String> = network.heads.iter().map(|head| head.name.as_str().into()).collect();
    log.with_pulls(folder, &heads).map_err(io(&folder.join(PULLS)))
}
