//! Which series are learned from, which chosen on, which tested on.

use super::recordings::{ClassOf, Recordings};
use super::{SeriesConfig, SeriesError, SplitBy};
use crate::world::Split;

/// A class with the series that one split has of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// An index into [`Recordings::classes`].
    pub class: usize,
    /// Indices into its series.
    pub recordings: Vec<usize>,
}

/// One problem's classes, as one split has them.
pub type Pool = Vec<Part>;

pub const SPLITS: [Split; 3] = [Split::Train, Split::Validation, Split::Test];

/// For train, validation and test the problems out of which an episode's classes come. Problems with too few classes are left out; a
/// validation that was not asked for may be empty.
pub fn pools(config: &SeriesConfig, recordings: &Recordings) -> Result<[Vec<Pool>; 3], SeriesError> {
    let sides = match config.split {
        SplitBy::Class => by_class(config, recordings)?,
        SplitBy::Series => by_series(config, recordings),
    };
    let mut pools: [Vec<Pool>; 3] = Default::default();
    for ((pools, side), split) in pools.iter_mut().zip(sides).zip(SPLITS) {
        let asked = split != Split::Validation || !side.is_empty();
        let mut problems: Vec<Pool> = vec![Vec::new(); recordings.problems.len()];
        for part in side {
            let class = &recordings.classes[part.class];
            if part.recordings.len() < 2 {
                let (class, found) = (class.name.clone(), part.recordings.len());
                return Err(SeriesError::Shots { class, split, shots: 1, found });
            }
            problems[class.problem].push(part);
        }
        let largest = problems.iter().map(Vec::len).max().unwrap_or(0);
        problems.retain(|problem| problem.len() >= config.way);
        if problems.is_empty() && asked {
            return Err(SeriesError::TooFew { split, way: config.way, largest });
        }
        *pools = problems;
    }
    Ok(pools)
}

/// Whole classes on each side.
fn by_class(config: &SeriesConfig, recordings: &Recordings) -> Result<[Vec<Part>; 3], SeriesError> {
    let mut splits = vec![Split::Train; recordings.classes.len()];
    let named = [("validation", &config.validation, Split::Validation), ("test", &config.test, Split::Test)];
    for (field, names, split) in named {
        for name in names {
            let is_it = |class: &ClassOf| class.name == *name || recordings.problems[class.problem] == *name;
            let places: Vec<usize> = (0..splits.len()).filter(|at| is_it(&recordings.classes[*at])).collect();
            if places.is_empty() {
                let known: Vec<&str> = recordings.classes.iter().map(|class| class.name.as_str()).collect();
                return Err(SeriesError::Unknown { field, name: name.clone(), known: known.join(", ") });
            }
            for place in places {
                if splits[place] != Split::Train {
                    return Err(SeriesError::TwoSides { class: recordings.classes[place].name.clone() });
                }
                splits[place] = split;
            }
        }
    }
    Ok(SPLITS.map(|split| {
        let mine = splits.iter().enumerate().filter(|(_, of)| **of == split);
        mine.map(|(class, _)| Part { class, recordings: (0..recordings.classes[class].recordings.len()).collect() })
            .collect()
    }))
}

/// Of each class some series on each side: what is recorded last is tested on, what comes before it chosen on.
fn by_series(config: &SeriesConfig, recordings: &Recordings) -> [Vec<Part>; 3] {
    let mut sides: [Vec<Part>; 3] = Default::default();
    let is_test = |file: usize| config.test_files.contains(&config.files[file]);
    for (class, of) in recordings.classes.iter().enumerate() {
        let all = 0..of.recordings.len();
        let (tested, mut rest): (Vec<usize>, Vec<usize>) = if config.test_files.is_empty() {
            let count = portion(config.test_share, all.len());
            all.clone().partition(|at| *at >= all.len() - count)
        } else {
            all.partition(|at| is_test(of.recordings[*at].file))
        };
        let validated = rest.split_off(rest.len() - portion(config.validation_share, rest.len()));
        for (side, recordings) in sides.iter_mut().zip([rest, validated, tested]) {
            side.push(Part { class, recordings });
        }
    }
    if config.validation_share == 0.0 {
        sides[1].clear();
    }
    sides
}

/// How many of `all` a share is: rounded, but two at least where it is not 0, one to learn from and one to be judged on.
fn portion(share: f64, all: usize) -> usize {
    let rounded = (share * all as f64).round() as usize;
    if share > 0.0 { rounded.max(2).min(all) } else { 0 }
}
