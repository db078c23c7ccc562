//! What can be wrong with recorded series, said so that it can be mended.

use std::path::PathBuf;

use crate::world::Split;
use crate::world::root::UnknownVariable;

/// Why a world of series cannot be opened, or cannot be used as asked.
#[derive(Debug, thiserror::Error)]
pub enum SeriesError {
    /// A field of the configuration has a value that makes no sense.
    #[error("field `world.{field}`: expected {expected}, found {found}")]
    Field {
        /// The field.
        field: &'static str,
        /// What would have made sense.
        expected: &'static str,
        /// What stands there.
        found: String,
    },
    /// The root names an unknown variable.
    #[error("field `world.root`: {0}")]
    Root(#[from] UnknownVariable),
    /// A file could not be read: not there, or not UTF-8.
    #[error("{}: {source}", file.display())]
    Io {
        /// The file.
        file: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// A file of an unknown kind.
    #[error("{}: expected a file that ends in .ts or .data", file.display())]
    Kind {
        /// The file.
        file: PathBuf,
    },
    /// A line holds what it should not.
    #[error("{}, line {line}: expected {expected}, found {found}", file.display())]
    Line {
        /// The file.
        file: PathBuf,
        /// Its line, from 1.
        line: usize,
        /// What belongs there.
        expected: String,
        /// What stands there.
        found: String,
    },
    /// A file has no series.
    #[error("{}: expected series, found none", file.display())]
    NoSeries {
        /// The file.
        file: PathBuf,
    },
    /// Two files have series of different shapes.
    #[error("{}: expected series of {expected}, as in the first file, found series of {found}", file.display())]
    OtherShape {
        /// The later file.
        file: PathBuf,
        /// Samples and channels of the first file.
        expected: String,
        /// Samples and channels of the later one.
        found: String,
    },
    /// The configuration names a class that is not there.
    #[error("field `world.{field}`: there is neither a problem nor a class `{name}`; there are {known}")]
    Unknown {
        /// `validation` or `test`.
        field: &'static str,
        /// The name.
        name: String,
        /// The classes that there are, `problem/class`.
        known: String,
    },
    /// The configuration puts a class on two sides.
    #[error("fields `world.validation` and `world.test`: the class `{class}` is named twice")]
    TwoSides {
        /// The class.
        class: String,
    },
    /// A split has too few classes for one episode.
    #[error("the {split:?} split has no problem of {way} classes or more; the largest has {largest}")]
    TooFew {
        /// The split.
        split: Split,
        /// The classes of an episode.
        way: usize,
        /// The most classes that there are.
        largest: usize,
    },
    /// A class has too few series for the shots asked for.
    #[error("the class `{class}` has {found} series in the {split:?} split, and {shots} shot(s) take one more")]
    Shots {
        /// The class.
        class: String,
        /// The split.
        split: Split,
        /// Shots asked for.
        shots: usize,
        /// Series that there are.
        found: usize,
    },
}
