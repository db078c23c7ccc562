//! Worlds by name.

use super::World;
use super::dataset::{Dataset, DatasetError};
use super::sinusoid::Sinusoid;
use super::terrain::{Distribution, Terrain};
use crate::config::WorldConfig;

/// Opens the world of a configuration.
///
/// # Errors
/// If a data set cannot be read.
pub fn open(config: &WorldConfig) -> Result<Box<dyn World>, DatasetError> {
    Ok(match config {
        WorldConfig::Sinusoid { query } => Box::new(Sinusoid::new(*query)),
        WorldConfig::Terrain { distribution } => Box::new(Terrain::new(*distribution, 0)),
        WorldConfig::Dataset { file } => Box::new(Dataset::open(file)?),
    })
}

/// The names that [`by_name`] knows.
pub const NAMES: [&str; 3] = ["sinusoid", "terrain", "terrain-scale-only"];

/// Opens a built-in world by its name, with the query sets of an evaluation.
pub fn by_name(name: &str) -> Option<Box<dyn World>> {
    Some(match name {
        "sinusoid" => Box::new(Sinusoid::new(100)),
        "terrain" => Box::new(Terrain::new(Distribution::SoilStrength, 0)),
        "terrain-scale-only" => Box::new(Terrain::new(Distribution::ScaleOnly, 0)),
        _ => return None,
    })
}
