//! TIFFs of one band, as GeoTIFFs are. What ties them to the globe is not read: a window of a map has no place on it.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use tiff::ColorType;
use tiff::decoder::{Decoder, DecodingResult};
use tiff::tags::Tag;

use super::{Elevation, ElevationError};

pub(super) fn read(path: &Path) -> Result<Elevation, ElevationError> {
    let broken = |source| ElevationError::Tiff { path: path.into(), source: Box::new(source) };
    let file = File::open(path).map_err(|source| ElevationError::Io { path: path.into(), source })?;
    let mut decoder = Decoder::new(BufReader::new(file)).map_err(broken)?;
    let (width, height) = decoder.dimensions().map_err(broken)?;
    let bands = decoder.colortype().map_err(broken)?;
    if !matches!(bands, ColorType::Gray(_)) {
        return Err(ElevationError::content(path, "bands", "one, of heights", format!("{bands:?}")));
    }
    let missing = match decoder.find_tag(Tag::GdalNodata).map_err(broken)? {
        Some(text) => {
            let text = text.into_string().map_err(broken)?;
            let text = text.trim_matches([' ', '\0']);
            let number = |_| ElevationError::content(path, "tag GDAL_NODATA", "a number", text);
            Some(text.parse::<f64>().map_err(number)? as f32)
        }
        None => None,
    };
    let mut heights: Vec<f32> = match decoder.read_image().map_err(broken)? {
        DecodingResult::U8(values) => values.into_iter().map(f32::from).collect(),
        DecodingResult::U16(values) => values.into_iter().map(f32::from).collect(),
        DecodingResult::I8(values) => values.into_iter().map(f32::from).collect(),
        DecodingResult::I16(values) => values.into_iter().map(f32::from).collect(),
        DecodingResult::U32(values) => values.into_iter().map(|value| value as f32).collect(),
        DecodingResult::I32(values) => values.into_iter().map(|value| value as f32).collect(),
        DecodingResult::F32(values) => values,
        DecodingResult::F64(values) => values.into_iter().map(|value| value as f32).collect(),
        _ => return Err(ElevationError::content(path, "values", "of 8, 16 or 32 bits, or real numbers", "others")),
    };
    let wrong = |height: &f32| !height.is_finite() || missing == Some(*height);
    heights.iter_mut().filter(|height| wrong(height)).for_each(|height| *height = f32::NAN);
    Ok(Elevation { width: width as usize, height: height as usize, heights })
}
