//! Obstacles: maps as path planning is measured on (Sturtevant, *Benchmarks for grid-based pathfinding*, IEEE Transactions on
//! Computational Intelligence and AI in Games 4(2), 2012). Of each cell such a map says whether something stands in it.

use std::path::{Path, PathBuf};

/// A map of free and blocked cells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObstacleMap {
    /// Columns.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// Whether each cell is blocked: `[height, width]`.
    pub blocked: Vec<bool>,
}

/// Why a map of obstacles cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ObstacleError {
    /// The file or folder could not be read.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// A line is not as it should be.
    #[error("{}, line {line}: expected {expected}, found {found}", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// Its line, from 1.
        line: usize,
        /// What belongs there.
        expected: String,
        /// What stands there.
        found: String,
    },
}

/// Cells of a map at most: more are a file that is broken.
const MOST: usize = 1 << 26;

impl ObstacleMap {
    /// Reads the `.map` file at `path`.
    ///
    /// # Errors
    /// Names the line that is not as it should be.
    pub fn read(path: &Path) -> Result<Self, ObstacleError> {
        let text = std::fs::read_to_string(path).map_err(|source| ObstacleError::Io { path: path.into(), source })?;
        Self::parse(path, &text)
    }

    /// The map in `text`: `type octile`, `height H`, `width W`, `map`, then H lines of W letters. `.`, `G` and the swamp `S` are free;
    /// `@`, `O`, trees `T` and water `W` are blocked. `path` is only named in errors.
    ///
    /// # Errors
    /// As [`ObstacleMap::read`].
    pub fn parse(path: &Path, text: &str) -> Result<Self, ObstacleError> {
        let wrong = |line: usize, expected: &str, found: Option<&str>| {
            let found = found.map_or_else(|| "the end of the file".into(), |found| format!("`{found}`"));
            ObstacleError::Line { path: path.into(), line, expected: expected.into(), found }
        };
        let mut lines = text.lines().map(str::trim_end).enumerate().map(|(number, line)| (number + 1, line));
        let mut header = |key: &str, line: usize| match lines.next() {
            Some((_, found)) => found
                .strip_prefix(key)
                .map(|value| value.trim().to_owned())
                .ok_or_else(|| wrong(line, key, Some(found))),
            None => Err(wrong(line, key, None)),
        };
        header("type", 1)?;
        let mut side = |key: &str, line: usize| {
            let text = header(key, line)?;
            let side = text.parse().ok().filter(|side| (1..MOST).contains(side));
            side.ok_or_else(|| wrong(line, &format!("{key} and a number above 0"), Some(&text)))
        };
        let (height, width): (usize, usize) = (side("height", 2)?, side("width", 3)?);
        header("map", 4)?;
        if width.checked_mul(height).is_none_or(|cells| cells > MOST) {
            return Err(wrong(3, &format!("at most {MOST} cells"), Some(&format!("{width} by {height}"))));
        }
        let mut blocked = Vec::with_capacity(width * height);
        for row in 0..height {
            let Some((number, line)) = lines.next() else { return Err(wrong(row + 5, "a row of the map", None)) };
            if line.len() != width {
                return Err(wrong(number, &format!("{width} letters"), Some(&format!("{} letters", line.len()))));
            }
            for letter in line.chars() {
                blocked.push(match letter {
                    '.' | 'G' | 'S' => false,
                    '@' | 'O' | 'T' | 'W' => true,
                    other => return Err(wrong(number, "one of .GS@OTW", Some(&other.to_string()))),
                });
            }
        }
        Ok(Self { width, height, blocked })
    }
}

/// The blocked cells of a window of `side` cells at `[row, column]` of `map`: all but the largest set of free cells that are beside each
/// other, so that a rover gets from each free cell to each other one without cutting a corner.
pub(super) fn window(map: &ObstacleMap, [row, column]: [usize; 2], side: usize) -> Vec<bool> {
    let free = |cell: usize| !map.blocked[(row + cell / side) * map.width + column + cell % side];
    let mut component = vec![0_u32; side * side];
    let (mut largest, mut most, mut number) = (0, 0, 0);
    for seed in 0..side * side {
        if component[seed] != 0 || !free(seed) {
            continue;
        }
        number += 1;
        component[seed] = number;
        let (mut waiting, mut size) = (vec![seed], 0);
        while let Some(cell) = waiting.pop() {
            size += 1;
            let (row, column) = (cell / side, cell % side);
            let beside = [
                (row > 0).then(|| cell - side),
                (row + 1 < side).then(|| cell + side),
                (column > 0).then(|| cell - 1),
                (column + 1 < side).then(|| cell + 1),
            ];
            for next in beside.into_iter().flatten() {
                if component[next] == 0 && free(next) {
                    component[next] = number;
                    waiting.push(next);
                }
            }
        }
        if size > most {
            (largest, most) = (number, size);
        }
    }
    component.into_iter().map(|number| number == 0 || number != largest).collect()
}
