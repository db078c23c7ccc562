//! What maps are made of beside noise: real relief, and obstacles.
//!
//! **A model of a county is made rover terrain by force.** Posts of elevation models lie 30 to 90 m apart, cells of a map 2 m. So a window
//! of 34 × 34 posts, which is a kilometre or three wide, is drawn as 64 × 64 cells (bicubic: Catmull and Rom 1974), and its heights are
//! scaled until the 98th percentile of the slopes is what it is on every map, between 12° and 22°. What is real of it is the shape: ridges,
//! valleys, how slopes go together, not sizes. Posts are taken for square.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use super::elevation::{Elevation, ElevationError};
use super::grid::{CELLS, SIDE};
use super::obstacles::{ObstacleError, ObstacleMap, window};
use crate::world::Split;
use crate::world::root::{self, UnknownVariable};

/// Posts along one side of a window.
const POSTS: usize = 34;
/// Standard deviation of the heights of a window, in m, at least: a lake has no shape to make larger.
const LEAST_RELIEF: f64 = 5.0;
/// Steps from one window of an obstacle map to the next, in cells.
const STEP: usize = 8;
/// The share of a model's columns, from the west, that is trained on; the rest is for validation.
const TRAINED: f64 = 0.75;

/// `elevation = { train = [...], test = [...] }`: files of elevation models.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ElevationConfig {
    /// Of these a quarter of the training maps (from the western three quarters of each) and of the validation maps (from the rest) is
    /// made; the others are generated.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub train: Vec<String>,
    /// Of these all test maps are made; without any, test maps are generated.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub test: Vec<String>,
}

/// Why a world of terrain cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum TerrainError {
    /// A path names an unknown variable.
    #[error("[world]: {0}")]
    Path(#[from] UnknownVariable),
    /// What is predicted besides energy.
    #[error("field `world.also`: expected `slip` and `time`, each at most once, found {0:?}")]
    Quantities(Vec<super::Quantity>),
    /// An elevation model.
    #[error(transparent)]
    Elevation(#[from] ElevationError),
    /// A map of obstacles.
    #[error(transparent)]
    Obstacles(#[from] ObstacleError),
    /// A pattern is none.
    #[error("field `world.obstacles`: `{pattern}`: {source}")]
    Pattern {
        /// The pattern.
        pattern: String,
        /// Why.
        source: glob::PatternError,
    },
    /// Of a model no window can be made.
    #[error(
        "{}: expected a window of {POSTS} by {POSTS} posts that are all known and whose heights vary by {LEAST_RELIEF} m or more, found none in columns {} to {} of {}, of {} rows",
        path.display(), columns[0], columns[1], size[0], size[1]
    )]
    NoWindow {
        /// The model.
        path: PathBuf,
        /// Columns that were looked at.
        columns: [usize; 2],
        /// Columns and rows of the model.
        size: [usize; 2],
    },
    /// Too few maps of obstacles.
    #[error(
        "field `world.obstacles`: expected 4 or more maps (for training, validation and test) with a window of {SIDE} by {SIDE} cells of which half or more are free and beside each other, found {found} among the {files} files of `{pattern}`"
    )]
    TooFew {
        /// The pattern.
        pattern: String,
        /// Files that it names.
        files: usize,
        /// Those that have such a window.
        found: usize,
    },
}

/// An elevation model, and the places in it of which a map can be made.
#[derive(Clone, Debug)]
pub(super) struct Relief {
    elevation: Arc<Elevation>,
    /// Row and column of the first post of each window.
    origins: Vec<[usize; 2]>,
}

impl Relief {
    /// The windows of `elevation` within `columns`, which was read from `path`.
    fn new(path: &Path, elevation: &Arc<Elevation>, columns: [usize; 2]) -> Result<Self, TerrainError> {
        let Elevation { width, height, .. } = **elevation;
        let mut origins = Vec::new();
        for row in (0..(height + 1).saturating_sub(POSTS)).step_by(2) {
            for column in (columns[0]..(columns[1] + 1).saturating_sub(POSTS)).step_by(2) {
                if deviation(elevation, [row, column]) >= LEAST_RELIEF {
                    origins.push([row, column]);
                }
            }
        }
        if origins.is_empty() {
            return Err(TerrainError::NoWindow { path: path.into(), columns, size: [width, height] });
        }
        Ok(Self { elevation: Arc::clone(elevation), origins })
    }

    /// A random window as heights of the cells of a map, turned and mirrored at random; in m as in the model, so far too high.
    fn draw(&self, rng: &mut ChaCha8Rng) -> Vec<f64> {
        let [row, column] = self.origins[rng.random_range(0..self.origins.len())];
        let (turns, mirrored): (u32, bool) = (rng.random_range(0..4), rng.random());
        let post = |down: usize, right: usize| {
            f64::from(self.elevation.heights[(row + down) * self.elevation.width + column + right])
        };
        // From the second post to the last but one, so that there is one more on either side.
        let place = |cell: usize| {
            let at = 1.0 + cell as f64 * (POSTS - 3) as f64 / (SIDE - 1) as f64;
            let before = (at as usize).min(POSTS - 3);
            (before - 1, weights(at - before as f64))
        };
        let height = |down: usize, right: usize| -> f64 {
            let ((down, vertical), (right, horizontal)) = (place(down), place(right));
            let line = |(i, weight): (usize, f64)| {
                weight * horizontal.iter().enumerate().map(|(j, w)| w * post(down + i, right + j)).sum::<f64>()
            };
            vertical.into_iter().enumerate().map(line).sum()
        };
        let turned = |cell: usize| {
            let (mut down, mut right) = (cell / SIDE, cell % SIDE);
            if mirrored {
                right = SIDE - 1 - right;
            }
            for _ in 0..turns {
                (down, right) = (right, SIDE - 1 - down);
            }
            height(down, right)
        };
        (0..CELLS).map(turned).collect()
    }
}

/// Weights of four posts in a row for a place that is `share` of the way from the second to the third (Catmull and Rom, *A class of local
/// interpolating splines*, 1974).
fn weights(share: f64) -> [f64; 4] {
    let (t, square) = (share, share * share);
    let cube = square * t;
    [
        0.5 * (-t + 2.0 * square - cube),
        0.5 * (2.0 - 5.0 * square + 3.0 * cube),
        0.5 * (t + 4.0 * square - 3.0 * cube),
        0.5 * (cube - square),
    ]
}

/// The standard deviation of the heights of a window; NaN where one is not known.
fn deviation(elevation: &Elevation, [row, column]: [usize; 2]) -> f64 {
    let line = |down: usize| &elevation.heights[(row + down) * elevation.width + column..][..POSTS];
    let (mut sum, mut squares) = (0.0, 0.0);
    for height in (0..POSTS).flat_map(line) {
        sum += f64::from(*height);
        squares += f64::from(*height).powi(2);
    }
    let posts = (POSTS * POSTS) as f64;
    let mean = sum / posts;
    let variance = squares / posts - mean * mean;
    if variance.is_nan() { f64::NAN } else { variance.max(0.0).sqrt() }
}

/// A map of obstacles, and the places in it of which a map can be made.
#[derive(Clone, Debug)]
struct Obstacles {
    map: ObstacleMap,
    origins: Vec<[usize; 2]>,
}

impl Obstacles {
    fn new(map: ObstacleMap) -> Self {
        let starts = |side: usize| (0..(side + 1).saturating_sub(SIDE)).step_by(STEP);
        let origins = starts(map.height)
            .flat_map(|row| starts(map.width).map(move |column| [row, column]))
            .filter(|origin| 2 * window(&map, *origin, SIDE).iter().filter(|blocked| !**blocked).count() >= CELLS)
            .collect();
        Self { map, origins }
    }
}

/// Of what the maps of one split are made beside noise.
#[derive(Clone, Debug, Default)]
pub(super) struct Materials {
    reliefs: Vec<Relief>,
    /// Whether all maps have real relief, or the last quarter.
    all: bool,
    obstacles: Vec<Obstacles>,
}

impl Materials {
    /// Opens the files for train, validation and test, with `data` for `${SINEW_DATA}`.
    pub fn open(
        elevation: Option<&ElevationConfig>,
        obstacles: Option<&str>,
        data: &Path,
    ) -> Result<[Self; 3], TerrainError> {
        let mut splits: [Self; 3] = Default::default();
        let ElevationConfig { train, test } = elevation.cloned().unwrap_or_default();
        for (files, for_test) in [(train, false), (test, true)] {
            for file in files {
                let path = root::expand(&file, data)?;
                let model = Arc::new(Elevation::read(&path)?);
                let border = (TRAINED * model.width as f64) as usize;
                let parts: &[(Split, [usize; 2])] = if for_test {
                    &[(Split::Test, [0, model.width])]
                } else {
                    &[(Split::Train, [0, border]), (Split::Validation, [border, model.width])]
                };
                for (split, columns) in parts {
                    splits[*split as usize].reliefs.push(Relief::new(&path, &model, *columns)?);
                }
            }
        }
        splits[Split::Test as usize].all = true;
        if let Some(pattern) = obstacles {
            let maps = open_obstacles(pattern, data)?;
            // Of four in a row two to train on, one to choose on and one to test on.
            for (number, map) in maps.into_iter().enumerate() {
                splits[[0, 1, 0, 2][number % 4]].obstacles.push(map);
            }
        }
        Ok(splits)
    }

    /// Real heights for the map `number` of `count`; `None` where they are to be generated.
    pub fn heights(&self, number: usize, count: usize, rng: &mut ChaCha8Rng) -> Option<Vec<f64>> {
        let real = self.all || 4 * number >= 3 * count;
        let relief = self.reliefs.get(number.checked_rem(self.reliefs.len())?).filter(|_| real)?;
        Some(relief.draw(rng))
    }

    /// Which cells of the map `number` are blocked; `None` where nothing stands in the way.
    pub fn blocked(&self, number: usize, rng: &mut ChaCha8Rng) -> Option<Vec<bool>> {
        let Obstacles { map, origins } = self.obstacles.get(number.checked_rem(self.obstacles.len())?)?;
        Some(window(map, origins[rng.random_range(0..origins.len())], SIDE))
    }
}

/// The maps that `pattern` names, those of a folder or of a glob, in the order of their names; only those of which a map can be made.
fn open_obstacles(pattern: &str, data: &Path) -> Result<Vec<Obstacles>, TerrainError> {
    let expanded = root::expand(pattern, data)?;
    let glob_of = if expanded.is_dir() {
        format!("{}/*.map", glob::Pattern::escape(&expanded.to_string_lossy()))
    } else {
        expanded.to_string_lossy().into_owned()
    };
    let wrong = |source| TerrainError::Pattern { pattern: pattern.into(), source };
    let mut maps = Vec::new();
    let mut files = 0;
    for path in glob::glob(&glob_of).map_err(wrong)? {
        let path = path.map_err(|why| ObstacleError::Io { path: why.path().into(), source: why.into() })?;
        files += 1;
        let obstacles = Obstacles::new(ObstacleMap::read(&path)?);
        if !obstacles.origins.is_empty() {
            maps.push(obstacles);
        }
    }
    if maps.len() < 4 {
        return Err(TerrainError::TooFew { pattern: pattern.into(), files, found: maps.len() });
    }
    Ok(maps)
}
