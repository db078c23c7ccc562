//! What else there is: the simple methods that a claim has to survive, on the same episodes and the same inputs.

pub mod choose;
pub mod fine_tune;
pub mod linear;

use std::path::{Path, PathBuf};

use crate::aligned::Aligned;
use crate::collective::{Alone, Collective, agree};
use crate::config::Config;
use crate::model::{Model, OpenError};
use crate::train::{self, BUNDLE, Options, TrainError, Trained};
use crate::world::World;

/// The folder of the baselines, beside the bundle.
pub const FOLDER: &str = "baselines";

/// What was trained beside a bundle to compare it with.
#[derive(Clone, Debug)]
pub struct Baselines {
    /// The same network, trained on all tasks pooled.
    pub pooled: Model,
    /// A linear model, fitted to all tasks pooled.
    pub linear: Model,
}

fn pooled_folder(folder: &Path) -> PathBuf {
    folder.join(FOLDER).join("pooled")
}

fn linear_file(folder: &Path) -> PathBuf {
    folder.join(FOLDER).join("linear.safetensors")
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
    let folder = options.folder;
    let beside = Options { folder: &pooled_folder(folder), stop_after: None, ..*options };
    let trained = train::train_among(&pooled, world, &beside, collective)?;
    if !trained.stopped {
        let fit = || -> Result<(), TrainError> {
            Ok(linear::fit(&pooled, world, &trained.model.scaling)?.write(&linear_file(folder))?)
        };
        let fitted = if collective.rank() == 0 { fit() } else { Ok(()) };
        agree(collective, fitted)?;
    }
    Ok(Some(trained))
}

impl Baselines {
    /// Opens those beside the bundle at `bundle`.
    ///
    /// # Errors
    /// If they are not there or cannot be read.
    pub fn beside(bundle: &Path) -> Result<Self, OpenError> {
        let folder = bundle.parent().unwrap_or(Path::new("."));
        let pooled = Model::open(&pooled_folder(folder).join(BUNDLE))?.0;
        Ok(Self { pooled, linear: Model::open(&linear_file(folder))?.0 })
    }
}
