//! What can be wrong with a folder of images, said so that it can be mended.

use std::path::PathBuf;

use crate::world::Split;
use crate::world::root::UnknownVariable;

/// Why a world of images cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum ImagesError {
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
    /// A file or folder could not be read.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// A folder lacks what it should hold.
    #[error("{}: expected {expected}, found none", folder.display())]
    Nothing {
        /// The folder.
        folder: PathBuf,
        /// What belongs there.
        expected: &'static str,
    },
    /// `alphabets.csv` is no CSV.
    #[error("{}: {source}", file.display())]
    Csv {
        /// The file.
        file: PathBuf,
        /// Where and why.
        source: csv::Error,
    },
    /// A cell of `alphabets.csv` holds what it should not, or a column is missing.
    #[error("{}, line {line}, column `{column}`: expected {expected}, found {found}", file.display())]
    Cell {
        /// The file.
        file: PathBuf,
        /// Its line, from 1, the header being the first.
        line: u64,
        /// The column.
        column: &'static str,
        /// What belongs there.
        expected: &'static str,
        /// What stands there.
        found: String,
    },
    /// An archive that is no archive, or is broken.
    #[error("{}: {source}", file.display())]
    Zip {
        /// The archive.
        file: PathBuf,
        /// Why.
        source: zip::result::ZipError,
    },
    /// An array of an archive is not as it should be.
    #[error("{}, array `{array}`: expected {expected}, found {found}", file.display())]
    Array {
        /// The archive.
        file: PathBuf,
        /// The array.
        array: &'static str,
        /// What belongs there.
        expected: String,
        /// What stands there.
        found: String,
    },
    /// An image that is no PNG, or is broken.
    #[error("{}: {source}", file.display())]
    Png {
        /// The image.
        file: PathBuf,
        /// Why.
        source: png::DecodingError,
    },
    /// An image of an odd size or kind.
    #[error("{}: expected {expected}, found {found}", file.display())]
    Image {
        /// The image.
        file: PathBuf,
        /// What belongs there.
        expected: &'static str,
        /// What stands there.
        found: String,
    },
    /// One alphabet comes from two places, so its characters would be there twice.
    #[error("the alphabet `{alphabet}` is both in {} and in {}", first.display(), second.display())]
    TwoPlaces {
        /// The alphabet.
        alphabet: String,
        /// Where it is.
        first: PathBuf,
        /// Where it is, too.
        second: PathBuf,
    },
    /// A character has too few drawings to learn from one and be judged on another.
    #[error("{}: expected two drawings at least of `{character}`, found {found}", place.display())]
    Drawings {
        /// Where it is.
        place: PathBuf,
        /// The character.
        character: String,
        /// Its drawings.
        found: usize,
    },
    /// The configuration names an alphabet that is not there.
    #[error("field `world.{field}`: there is no alphabet `{alphabet}`; there are {known}")]
    Unknown {
        /// `validation`, `test` or `alphabets`.
        field: &'static str,
        /// The alphabet.
        alphabet: String,
        /// The alphabets that there are.
        known: String,
    },
    /// The configuration names an alphabet twice.
    #[error("fields `world.validation` and `world.test`: the alphabet `{alphabet}` is named twice")]
    TwoSides {
        /// The alphabet.
        alphabet: String,
    },
    /// A split has too few classes for one episode.
    #[error("the {split:?} split has no {place} of {way} classes or more; the largest has {largest}")]
    TooFew {
        /// The split.
        split: Split,
        /// From what the classes of an episode come.
        place: &'static str,
        /// The classes of an episode.
        way: usize,
        /// The most classes that there are.
        largest: usize,
    },
    /// A character has too few drawings for the shots asked for.
    #[error(
        "character {character} of the alphabet `{alphabet}` has {found} drawings, and {shots} shot(s) take one more"
    )]
    Shots {
        /// The alphabet.
        alphabet: String,
        /// The character, from 1, in the order of the names.
        character: usize,
        /// Shots asked for.
        shots: usize,
        /// Drawings that there are.
        found: usize,
    },
    /// Characters have too few drawings to train on.
    #[error(
        "there are {found} drawings of each character to train on, and an episode takes {shots} shot(s) and {query} for the query"
    )]
    TooFewToTrain {
        /// Shots asked for.
        shots: usize,
        /// Query drawings.
        query: usize,
        /// Drawings to train on.
        found: usize,
    },
}
