//! The training loop: episodes in, checkpoints and a bundle out. Can be stopped at any iteration and goes on to the bit.

mod log;
mod outputs;
mod run;
mod start;

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use crate::checkpoint::{Checkpoint, CheckpointError};
use crate::config::{Config, ConfigError};
use crate::engine::{Cpu, EngineError};
use crate::export::ExportError;
use crate::model::Model;
use crate::world::World;
use log::Log;
pub use log::{Line, Progress};
pub use outputs::{BUNDLE, CHECKPOINT, CONFIG, LAST, METRICS};
use run::{MOST_NOT_FINITE, Run};
pub use start::{episodes, initial_parameters};

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
    let engine = Cpu::new(&config.network(world.signature())?, config.threads())?;
    let mut run = Run::new(config, world, engine, resumed.map(|at| (at, checkpoint.as_path())))?;
    let io = |path: &Path| {
        let path = path.to_owned();
        move |source| TrainError::Io { path, source }
    };
    std::fs::create_dir_all(folder).map_err(io(folder))?;
    let path = folder.join(CONFIG);
    crate::files::replace(&path, text.as_bytes()).map_err(io(&path))?;
    let mut log = Log::open(&folder.join(METRICS), run.iteration(), config.train.iterations, options.progress)
        .map_err(io(&folder.join(METRICS)))?;
    let stopped = run.run(options, &mut log)?;
    let trained = run.finish(folder, stopped)?;
    log.finish();
    Ok(trained)
}
