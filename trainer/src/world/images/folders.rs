//! Omniglot as people download it: folders of alphabets, of characters, of PNG images.
//!
//! `images_background/Alphabet/character01/0001_01.png`, and the same for `images_evaluation`; black ink on white paper.

use std::io::Cursor;
use std::path::{Path, PathBuf};

use rayon::prelude::*;

use super::ImagesError;
use super::archive::LARGEST;
use super::collection::Collector;
use super::shrink::{PIXELS, SIDE, shrink};

/// Reads a folder of alphabets, or the folders of alphabets in it whose names begin with `images_`.
pub fn read(root: &Path, collector: &mut Collector) -> Result<(), ImagesError> {
    let inside = folders(root)?;
    let parts: Vec<PathBuf> = inside.into_iter().filter(|path| name(path).starts_with("images_")).collect();
    let parts = if parts.is_empty() { vec![root.to_owned()] } else { parts };
    let mut characters = Vec::new();
    for part in parts {
        let nothing = |folder: &Path, expected| ImagesError::Nothing { folder: folder.into(), expected };
        let alphabets = folders(&part)?;
        if alphabets.is_empty() {
            return Err(nothing(&part, "alphabets.csv with .npz archives, or a folder for each alphabet"));
        }
        for alphabet in alphabets {
            let inside = folders(&alphabet)?;
            if inside.is_empty() {
                return Err(nothing(&alphabet, "a folder for each character"));
            }
            characters.extend(inside.into_iter().map(|character| (alphabet.clone(), character)));
        }
    }
    let drawings: Result<Vec<Vec<u8>>, ImagesError> =
        characters.par_iter().map(|(_, character)| drawings(character)).collect();
    for ((alphabet, character), pixels) in characters.iter().zip(drawings?) {
        collector.add(alphabet, &name(alphabet), &name(character), &pixels)?;
    }
    Ok(())
}

/// The drawings of one character, small and as ink, in the order of their names.
fn drawings(folder: &Path) -> Result<Vec<u8>, ImagesError> {
    let (mut files, _) = entries(folder)?;
    files.retain(|path| path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("png")));
    if files.is_empty() {
        return Err(ImagesError::Nothing { folder: folder.into(), expected: "PNG images" });
    }
    let mut small = Vec::with_capacity(files.len() * PIXELS);
    for file in &files {
        let bytes = std::fs::read(file).map_err(|source| ImagesError::Io { path: file.clone(), source })?;
        let (ink, height, width) = decode(file, &bytes)?;
        shrink(&ink, height, width, &mut small);
    }
    Ok(small)
}

/// A PNG as ink, with its height and width. Colours count by their brightness, and behind what is transparent is white paper.
fn decode(file: &Path, bytes: &[u8]) -> Result<(Vec<u8>, usize, usize), ImagesError> {
    let broken = |source| ImagesError::Png { file: file.into(), source };
    let wrong = |expected, found| ImagesError::Image { file: file.into(), expected, found };
    let mut decoder = png::Decoder::new(Cursor::new(bytes));
    decoder.set_transformations(png::Transformations::normalize_to_color8());
    let mut reader = decoder.read_info().map_err(broken)?;
    let (height, width) = (reader.info().height as usize, reader.info().width as usize);
    let sides = SIDE..=LARGEST;
    if !(sides.contains(&height) && sides.contains(&width)) {
        return Err(wrong("sides from 28 to 4096 pixels", format!("{height} × {width}")));
    }
    let channels = match reader.output_color_type() {
        (png::ColorType::Grayscale, png::BitDepth::Eight) => 1,
        (png::ColorType::GrayscaleAlpha, png::BitDepth::Eight) => 2,
        (png::ColorType::Rgb, png::BitDepth::Eight) => 3,
        (png::ColorType::Rgba, png::BitDepth::Eight) => 4,
        other => return Err(wrong("colours or grey of 8 bits", format!("{other:?}"))),
    };
    let mut pixels = vec![0; height * width * channels];
    if reader.output_buffer_size() != Some(pixels.len()) {
        return Err(wrong("a whole image", format!("{:?} bytes", reader.output_buffer_size())));
    }
    reader.next_frame(&mut pixels).map_err(broken)?;
    Ok((pixels.chunks_exact(channels).map(ink).collect(), height, width))
}

/// Brightness after ITU-R BT.601, in whole numbers.
fn ink(pixel: &[u8]) -> u8 {
    let (red, green, blue, alpha) = match *pixel {
        [grey] => (grey, grey, grey, 255),
        [grey, alpha] => (grey, grey, grey, alpha),
        [red, green, blue] => (red, green, blue, 255),
        [red, green, blue, alpha] => (red, green, blue, alpha),
        _ => return 0,
    };
    let bright = (299 * u32::from(red) + 587 * u32::from(green) + 114 * u32::from(blue) + 500) / 1000;
    ((255 - bright) * u32::from(alpha) / 255) as u8
}

fn name(path: &Path) -> String {
    path.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned())
}

fn folders(path: &Path) -> Result<Vec<PathBuf>, ImagesError> {
    entries(path).map(|(_, folders)| folders)
}

/// Files and folders in a folder, by name; hidden ones are left out.
fn entries(path: &Path) -> Result<(Vec<PathBuf>, Vec<PathBuf>), ImagesError> {
    let io = |source| ImagesError::Io { path: path.into(), source };
    let mut all = Vec::new();
    for entry in std::fs::read_dir(path).map_err(io)? {
        let path = entry.map_err(io)?.path();
        if !name(&path).starts_with('.') {
            all.push(path);
        }
    }
    all.sort();
    Ok(all.into_iter().partition(|path| !path.is_dir()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ink_is_dark_and_paper_is_not() {
        assert_eq!([ink(&[0]), ink(&[255]), ink(&[0, 0]), ink(&[0, 255])], [255, 0, 0, 255]);
        assert_eq!(
            [ink(&[0, 0, 0]), ink(&[255, 255, 255]), ink(&[0, 0, 0, 128]), ink(&[1, 2, 3, 0])],
            [255, 0, 128, 0]
        );
        assert_eq!(ink(&[255, 0, 0]), 255 - 76);
    }
}
