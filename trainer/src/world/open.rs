//! Worlds by name.

use super::arm::{self, ArmConfig, ArmWorld};
use super::dataset::{Dataset, DatasetError};
use super::grasp::{self, GraspConfig, GraspError, GraspWorld};
use super::images::alphabets::Alphabets;
use super::images::{Images, ImagesError};
use super::series::{Series, SeriesError};
use super::sinusoid::Sinusoid;
use super::terrain::{Distribution, Terrain, TerrainConfig, TerrainError};
use super::{Split, World};
use crate::config::WorldConfig;

/// Why a world of recorded data cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Tables.
    #[error(transparent)]
    Dataset(#[from] DatasetError),
    /// Meshes.
    #[error(transparent)]
    Grasp(#[from] GraspError),
    /// Drawings.
    #[error(transparent)]
    Images(#[from] ImagesError),
    /// Series.
    #[error(transparent)]
    Series(#[from] SeriesError),
    /// Elevation models and obstacles.
    #[error(transparent)]
    Terrain(#[from] TerrainError),
}

/// Opens the world of a configuration, of which every task must give each of `shots` support samples (of each class) and keep some to
/// be judged on.
///
/// # Errors
/// If recorded data cannot be read, or has too little for the shots.
pub fn open(config: &WorldConfig, shots: &[usize]) -> Result<Box<dyn World>, OpenError> {
    open_for(config, shots, &[Split::Train, Split::Validation, Split::Test])
}

/// As [`open`], for who needs the shots of these splits alone: other parts of a world of series may be smaller.
///
/// # Errors
/// As [`open`].
pub fn open_for(config: &WorldConfig, shots: &[usize], splits: &[Split]) -> Result<Box<dyn World>, OpenError> {
    let most = shots.iter().copied().max().unwrap_or(0);
    Ok(match config {
        WorldConfig::Sinusoid { query } => Box::new(Sinusoid::new(*query)),
        WorldConfig::Terrain(config) => Box::new(Terrain::open(config, 0)?),
        WorldConfig::Grasp(config) => Box::new(GraspWorld::open(config)?),
        WorldConfig::Arm(config) => Box::new(ArmWorld::new(config)),
        WorldConfig::Dataset { file } => {
            let data = Dataset::open(file)?;
            data.check_shots(most)?;
            Box::new(data)
        }
        WorldConfig::Images(config) => {
            let images = Images::open(config)?;
            images.check_shots(most)?;
            Box::new(images)
        }
        WorldConfig::Alphabets(config) => {
            let alphabets = Alphabets::open(config)?;
            alphabets.check_shots(most)?;
            Box::new(alphabets)
        }
        WorldConfig::Series(config) => {
            let series = Series::open(config)?;
            series.check_shots(most, splits)?;
            Box::new(series)
        }
    })
}

/// Query points of a sine wave in an evaluation.
const SINUSOID_QUERY: usize = 100;

/// As [`open_for`], with the query sets of an evaluation.
///
/// # Errors
/// As [`open`].
pub fn for_evaluation(config: &WorldConfig, shots: &[usize], splits: &[Split]) -> Result<Box<dyn World>, OpenError> {
    match config {
        WorldConfig::Sinusoid { .. } => Ok(Box::new(Sinusoid::new(SINUSOID_QUERY))),
        other => open_for(other, shots, splits),
    }
}

/// The names that [`by_name`] knows.
pub const NAMES: [&str; 10] = [
    "sinusoid",
    "terrain",
    "terrain-independent",
    "terrain-scale-only",
    "grasp",
    "grasp-heavy",
    "grasp-nothing",
    "grasp-forces",
    "arm",
    "arm-fixed",
];

/// The configuration of a built-in world of grasps by its name; none if it is of something else.
pub fn grasps_by_name(name: &str) -> Option<GraspConfig> {
    let distribution = match name {
        "grasp" => grasp::Distribution::Full,
        "grasp-heavy" => grasp::Distribution::Heavy,
        "grasp-nothing" => grasp::Distribution::Nothing,
        "grasp-forces" => grasp::Distribution::Forces,
        _ => return None,
    };
    Some(GraspConfig { distribution, ..GraspConfig::default() })
}

/// The configuration of a built-in world by its name.
pub fn config_by_name(name: &str) -> Option<WorldConfig> {
    let terrain = |distribution| WorldConfig::Terrain(TerrainConfig { distribution, ..TerrainConfig::default() });
    match name {
        "sinusoid" => Some(WorldConfig::Sinusoid { query: SINUSOID_QUERY }),
        "terrain" => Some(terrain(Distribution::SoilStrength)),
        "terrain-independent" => Some(terrain(Distribution::Independent)),
        "terrain-scale-only" => Some(terrain(Distribution::ScaleOnly)),
        "arm" => Some(WorldConfig::Arm(ArmConfig::default())),
        "arm-fixed" => Some(WorldConfig::Arm(ArmConfig { distribution: arm::Distribution::Fixed })),
        other => grasps_by_name(other).map(WorldConfig::Grasp),
    }
}

/// Opens a built-in world by its name, with the query sets of an evaluation.
pub fn by_name(name: &str) -> Option<Box<dyn World>> {
    // Without files to read there is nothing to fail.
    config_by_name(name).and_then(|config| open_for(&config, &[], &[]).ok())
}
