//! Archives of NumPy arrays.

use std::path::Path;

use candle_core::npy::NpzTensors;
use candle_core::{DType, Error};

use super::{Elevation, ElevationError};

/// The array that holds the heights.
const ARRAY: &str = "elevation";

/// Reads the array `elevation` of the archive at `path`.
pub(super) fn read(path: &Path) -> Result<Elevation, ElevationError> {
    let broken = |source: Error| ElevationError::Archive { path: path.into(), source: Box::new(source) };
    // candle's own words do not name the file.
    std::fs::metadata(path).map_err(|source| ElevationError::Io { path: path.into(), source })?;
    let archive = NpzTensors::new(path).map_err(broken)?;
    let array = format!("array `{ARRAY}`");
    let Some(heights) = archive.get(ARRAY).map_err(broken)? else {
        let mut names = archive.names();
        names.sort_unstable();
        return Err(ElevationError::content(path, "arrays", array, format!("{names:?}")));
    };
    let [height, width] = *heights.dims() else {
        return Err(ElevationError::content(path, array, "2 dimensions", format!("shape {:?}", heights.dims())));
    };
    let values = heights.to_dtype(DType::F32).and_then(|heights| heights.flatten_all()?.to_vec1()).map_err(broken)?;
    Ok(Elevation { width, height, heights: values })
}
