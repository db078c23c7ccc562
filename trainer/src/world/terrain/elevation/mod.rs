//! Heights of real ground: digital elevation models, read from files.
//!
//! | extension | what is read |
//! |---|---|
//! | `.npz` | the array `elevation` of NumPy numbers, `[row, column]`, the first row in the north, in m |
//! | `.dem` | an ASCII elevation model of the USGS, one record of 1024 bytes after the other ([`usgs`]) |
//! | `.tif`, `.tiff` | a TIFF of one band, as GeoTIFFs are; heights are taken for m, and the value that `GDAL_NODATA` names for none |

mod archive;
mod geotiff;
pub mod usgs;

use std::path::{Path, PathBuf};

/// Heights on a regular grid.
#[derive(Clone, Debug, PartialEq)]
pub struct Elevation {
    /// Columns, from west to east.
    pub width: usize,
    /// Rows, from north to south.
    pub height: usize,
    /// Heights in m, row by row: `[height, width]`; NaN where none is known.
    pub heights: Vec<f32>,
}

/// Why heights cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ElevationError {
    /// The file could not be read.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// Nothing says what is in the file.
    #[error("{}: expected a file that ends in .npz, .dem, .tif or .tiff", path.display())]
    Kind {
        /// The file.
        path: PathBuf,
    },
    /// It is no archive of arrays.
    #[error("{}: {source}", path.display())]
    Archive {
        /// The file.
        path: PathBuf,
        /// Why.
        source: Box<candle_core::Error>,
    },
    /// It is no TIFF that can be read.
    #[error("{}: {source}", path.display())]
    Tiff {
        /// The file.
        path: PathBuf,
        /// Why.
        source: Box<tiff::TiffError>,
    },
    /// Something in it is not as it should be.
    #[error("{}, {place}: expected {expected}, found {found}", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// Where in the file.
        place: String,
        /// What belongs there.
        expected: String,
        /// What is there.
        found: String,
    },
}

impl ElevationError {
    fn content(path: &Path, place: impl ToString, expected: impl ToString, found: impl ToString) -> Self {
        let [place, expected, found] = [place.to_string(), expected.to_string(), found.to_string()];
        Self::Content { path: path.into(), place, expected, found }
    }
}

impl Elevation {
    /// Reads the file at `path`.
    ///
    /// # Errors
    /// If it cannot be read, or is not what its name says.
    pub fn read(path: &Path) -> Result<Self, ElevationError> {
        let extension = path.extension().map(|extension| extension.to_string_lossy().to_ascii_lowercase());
        match extension.as_deref() {
            Some("npz") => archive::read(path),
            Some("dem") => {
                let io = |source| ElevationError::Io { path: path.into(), source };
                usgs::parse(path, &std::fs::read(path).map_err(io)?)
            }
            Some("tif" | "tiff") => geotiff::read(path),
            _ => Err(ElevationError::Kind { path: path.into() }),
        }
    }

    /// The least and the greatest height; `None` where none is known.
    pub fn range(&self) -> Option<[f32; 2]> {
        let known = self.heights.iter().copied().filter(|height| !height.is_nan());
        known.fold(None, |range, height| {
            let [least, most] = range.unwrap_or([height; 2]);
            Some([height.min(least), height.max(most)])
        })
    }
}

#[cfg(test)]
pub(crate) mod tests;
