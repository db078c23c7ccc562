//! Pictures of tasks, and of what a bundle makes of them before and after adapting.
//!
//! One test task of a built-in world (of sine waves and drawings, a few), as it truly is; with a bundle, also what its adapter predicts
//! before and after it has seen the support. All pictures follow from the seed, to the byte.

pub mod draw;
pub mod drawings;
pub mod grasp;
pub mod landscape;
#[cfg(feature = "rerun")]
pub mod recording;
pub mod terrain;
pub mod waves;

use std::error::Error;
use std::path::{Path, PathBuf};

use rand_chacha::ChaCha8Rng;

use crate::config::WorldConfig;
use crate::streams::{Purpose, rng};
use crate::world::World;
use crate::world::grasp::GraspWorld;
use crate::world::images::Images;
use crate::world::open::{self, OpenError};
use crate::world::terrain::Terrain;

/// Evaluations draw episodes with major number 0, missions and campaigns with 1 to 3.
const MAJOR: u64 = 4;

/// Why a world cannot be shown.
#[derive(Debug, thiserror::Error)]
pub enum ShowError {
    /// It cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// A recording was asked for, and this build makes none.
    #[error("--rerun: expected a `sinew` built with the feature `rerun`, found one without")]
    NoRerun,
    /// There are no recordings of it.
    #[error("--rerun: expected a world of grasps or terrain, found `{0}`")]
    NoRecording(String),
    /// There are no pictures of it.
    #[error(
        "expected a world of grasps, terrain, images, or of one input and one output, found `{world}` with {inputs} inputs and {outputs} outputs"
    )]
    NoPicture {
        /// Its name.
        world: String,
        /// Its inputs.
        inputs: usize,
        /// Its outputs.
        outputs: usize,
    },
}

/// What is shown of a world.
#[derive(Clone, Copy, Debug)]
pub struct Order<'a> {
    /// The bundle that predicts, if one does; it fits the world.
    pub bundle: Option<&'a [u8]>,
    /// Support samples (of each class).
    pub shots: usize,
    /// Tasks, and all that happens in them, follow from it.
    pub seed: u64,
    /// Where pictures go.
    pub folder: &'a Path,
    /// Where a recording for the Rerun viewer goes, if one is wanted.
    pub recording: Option<&'a Path>,
}

impl Order<'_> {
    /// Random numbers of the task with this number.
    pub fn rng(&self, task: u64) -> ChaCha8Rng {
        rng(self.seed, Purpose::Evaluation, MAJOR, task)
    }

    /// The shots in words.
    pub fn tries(&self, one: &str, many: &str) -> String {
        format!("{} {}", self.shots, if self.shots == 1 { one } else { many })
    }
}

/// A world of which there are pictures.
pub enum Shown {
    /// Grasps.
    Grasp(GraspWorld),
    /// Terrain.
    Terrain(Terrain),
    /// Drawings.
    Images(Images),
    /// One input, one output.
    Waves(Box<dyn World>),
}

impl Shown {
    /// The world of a configuration, of which every task gives so many shots.
    ///
    /// # Errors
    /// If it cannot be opened, or there are no pictures of it.
    pub fn open(config: &WorldConfig, shots: usize) -> Result<Self, ShowError> {
        match config {
            WorldConfig::Grasp(config) => Ok(Self::Grasp(GraspWorld::open(config).map_err(OpenError::from)?)),
            WorldConfig::Terrain(config) => Ok(Self::Terrain(Terrain::open(config, 0).map_err(OpenError::from)?)),
            WorldConfig::Images(config) => {
                let images = Images::open(config).map_err(OpenError::from)?;
                images.check_shots(shots).map_err(OpenError::from)?;
                Ok(Self::Images(images))
            }
            other => {
                let world = open::for_evaluation(other, &[shots], &[crate::world::Split::Test])?;
                let signature = world.signature();
                let (inputs, outputs) = (signature.inputs.len(), signature.outputs.len());
                if (inputs, outputs) == (1, 1) {
                    return Ok(Self::Waves(world));
                }
                Err(ShowError::NoPicture { world: world.name().into(), inputs, outputs })
            }
        }
    }

    /// The world.
    pub fn as_world(&self) -> &dyn World {
        match self {
            Self::Grasp(world) => world,
            Self::Terrain(world) => world,
            Self::Images(world) => world,
            Self::Waves(world) => &**world,
        }
    }

    /// Asks whether this build makes recordings, and of this world.
    ///
    /// # Errors
    /// If not.
    pub fn check_recording(&self) -> Result<(), ShowError> {
        if cfg!(not(feature = "rerun")) {
            return Err(ShowError::NoRerun);
        }
        match self {
            Self::Grasp(_) | Self::Terrain(_) => Ok(()),
            Self::Images(_) | Self::Waves(_) => Err(ShowError::NoRecording(self.as_world().name().into())),
        }
    }

    /// Draws pictures into the folder of `order`, which is there, and records; what was written.
    ///
    /// # Errors
    /// If the bundle cannot be adapted, or a file cannot be written.
    pub fn draw(&self, order: &Order<'_>) -> Result<Vec<PathBuf>, Box<dyn Error>> {
        match self {
            Self::Grasp(world) => grasp::draw(world, order),
            Self::Terrain(world) => terrain::draw(world, order),
            Self::Images(world) => drawings::draw(world, order),
            Self::Waves(world) => waves::draw(&**world, order),
        }
    }
}
