//! What else there is: the simple methods that a claim has to survive, on the same episodes and the same inputs.

pub mod choose;
pub mod fine_tune;
pub mod from_scratch;
pub mod gaussian_process;
pub mod hierarchical;
pub mod intercept;
pub mod learned_process;
pub mod linear;
pub mod process;
pub mod residual_process;
mod stored;

use std::path::{Path, PathBuf};
use std::time::Instant;

use crate::aligned::Aligned;
use crate::collective::{Alone, Collective, agree, alike};
use crate::config::Config;
use crate::model::{Model, OpenError};
use crate::train::{self, BUNDLE, Options, Timing, TrainError, Trained};
use crate::world::World;
use process::Prior;
pub use stored::ProcessError;

/// The folder of the baselines, beside the bundle.
pub const FOLDER: &str = "baselines";

/// What was trained beside a bundle to compare it with.
#[derive(Clone, Debug)]
pub struct Baselines {
    /// The same network, trained on all tasks pooled.
    pub pooled: Model,
    /// A linear model, fitted to all tasks pooled.
    pub linear: Model,
    /// A Gaussian process about the pooled network, its mean and kernel learned over tasks.
    pub process: Prior,
}

/// Why baselines could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum BaselineError {
    /// A network.
    #[error(transparent)]
    Network(#[from] OpenError),
    /// The learned process.
    #[error(transparent)]
    Process(#[from] ProcessError),
}

fn pooled_folder(folder: &Path) -> PathBuf {
    folder.join(FOLDER).join("pooled")
}

fn linear_file(folder: &Path) -> PathBuf {
    folder.join(FOLDER).join("linear.safetensors")
}

fn process_file(folder: &Path) -> PathBuf {
    folder.join(FOLDER).join("learned_process.toml")
}

/// How long the pooled network beside the bundle in `folder` was trained, and how long the Gaussian process was learned after that.
pub fn seconds(folder: &Path) -> [Option<f64>; 2] {
    [pooled_folder(folder), folder.join(FOLDER)].map(|folder| Timing::read(&folder).map(|timing| timing.seconds))
}

/// Trains the baselines of `config` beside a run of these options, into `folder/baselines`; `None` where it asks for none.
///
/// # Errors
/// As [`train::train`].
pub fn train(config: &Config, world: &dyn World, options: &Options<'_>) -> Result<Option<Trained>, TrainError> {
    train_among(config, world, options, &mut Alone)
}

/// As [`train()`], together with the other processes of `collective`.
///
/// # Errors
/// As [`train::train_among`].
pub fn train_among(
    config: &Config,
    world: &dyn World,
    options: &Options<'_>,
    collective: &mut dyn Collective<Aligned>,
) -> Result<Option<Trained>, TrainError> {
    let Some(pooled) = config.pooled() else { return Ok(None) };
    // Linear models and processes take all outputs for those of one loss.
    let losses: Vec<_> = world.signature().heads.iter().map(|head| head.loss).collect();
    if losses.windows(2).any(|pair| pair[0] != pair[1]) {
        return Err(alike(&*collective, TrainError::MixedHeads { world: world.name().into(), losses }));
    }
    if world.lacks_labels() {
        let (what, world) = ("[baselines]".into(), world.name().into());
        return Err(alike(&*collective, TrainError::MissingLabels { what, world }));
    }
    let folder = options.folder;
    let beside = Options { folder: &pooled_folder(folder), stop_after: None, ..*options };
    let trained = train::train_among(&pooled, world, &beside, collective)?;
    if !trained.stopped {
        let fit = || -> Result<(), TrainError> {
            linear::fit(&pooled, world, &trained.model.scaling)?.write(&linear_file(folder))?;
            learn_process(&pooled, world, &trained, folder)
        };
        let fitted = if collective.rank() == 0 { fit() } else { Ok(()) };
        agree(collective, fitted)?;
    }
    Ok(Some(trained))
}

/// Learns the process, unless it is there already, for this very network.
fn learn_process(pooled: &Config, world: &dyn World, trained: &Trained, folder: &Path) -> Result<(), TrainError> {
    let path = process_file(folder);
    if stored::read(&path, &trained.model).is_ok() {
        return Ok(());
    }
    let begun = Instant::now();
    let process = learned_process::fit(pooled, world, &trained.model)?;
    let io = |path: &Path| {
        let path = path.to_owned();
        move |source| TrainError::Io { path, source }
    };
    stored::write(&path, &process, &trained.model).map_err(io(&path))?;
    let timing = Timing { seconds: begun.elapsed().as_secs_f64(), iterations: learned_process::ITERATIONS as u64 };
    timing.write(&folder.join(FOLDER)).map_err(io(&folder.join(FOLDER)))
}

impl Baselines {
    /// Opens those beside the bundle at `bundle`.
    ///
    /// # Errors
    /// If they are not there or cannot be read.
    pub fn beside(bundle: &Path) -> Result<Self, BaselineError> {
        let folder = bundle.parent().unwrap_or(Path::new("."));
        let pooled = Model::open(&pooled_folder(folder).join(BUNDLE))?.0;
        let process = stored::read(&process_file(folder), &pooled)?;
        Ok(Self { linear: Model::open(&linear_file(folder))?.0, pooled, process })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;

    use super::*;
    use crate::cuda::DeviceChoice;
    use crate::train::Progress;
    use crate::world::grasp::{GraspConfig, GraspWorld, Quantity};

    #[test]
    fn heads_of_several_losses_have_none() {
        let text = "seed = 0\nworld = { kind = 'grasp', also = ['width'] }\nnetwork = { hidden = [4], activation = 'relu' }\n\
                    learner = { kind = 'pooled', inner_rate = 0.1 }\n\
                    train = { iterations = 1, tasks = 1, shots = 1, outer_rate = 1e-3 }\n\
                    baselines = { iterations = 1, outer_rate = 1e-3 }\n";
        let config = Config::parse(Path::new("run.toml"), text, &[]).unwrap();
        let world = GraspWorld::open(&GraspConfig { also: vec![Quantity::Width], ..GraspConfig::default() }).unwrap();
        let (folder, stop) = (tempfile::tempdir().unwrap(), AtomicBool::new(false));
        let (progress, device) = (Progress::Hidden, DeviceChoice::Cpu);
        let options = Options { folder: folder.path(), resume: false, stop: &stop, stop_after: None, progress, device };
        let refused = train(&config, &world, &options).unwrap_err();
        assert!(matches!(refused, TrainError::MixedHeads { .. }), "{refused}");
        assert!(std::fs::read_dir(folder.path()).unwrap().next().is_none(), "nothing was written");
    }
}
