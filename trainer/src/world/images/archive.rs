//! Omniglot as NumPy archives: `images_*.npz` with an `alphabets.csv` beside them.
//!
//! An archive holds `images`, boolean `[characters, drawings, height, width]` with paper true, and `labels`, whole numbers `[characters,
//! drawings]`; `alphabets.csv` says of which alphabet the character `char_id` = label + 1 is.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};

use rayon::prelude::*;
use zip::ZipArchive;

use super::ImagesError;
use super::collection::Collector;
use super::npy::Header;
use super::shrink::{PIXELS, SIDE, shrink};

/// The table that says which archives' characters belong to which alphabet.
pub const TABLE: &str = "alphabets.csv";

/// Pixels that are unpacked at once.
const AT_ONCE: usize = 1 << 24;

/// Rows and columns of the largest image.
pub const LARGEST: usize = 4096;

/// Reads all archives of a folder.
pub fn read(folder: &Path, collector: &mut Collector) -> Result<(), ImagesError> {
    let alphabets = alphabets(&folder.join(TABLE))?;
    let io = |source| ImagesError::Io { path: folder.into(), source };
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(io)? {
        let path = entry.map_err(io)?.path();
        if path.extension().is_some_and(|extension| extension == "npz") {
            files.push(path);
        }
    }
    if files.is_empty() {
        return Err(ImagesError::Nothing { folder: folder.into(), expected: "an .npz archive beside alphabets.csv" });
    }
    files.sort();
    files.iter().try_for_each(|file| read_archive(file, &alphabets, collector))
}

/// The alphabet of each character.
fn alphabets(file: &Path) -> Result<HashMap<u64, String>, ImagesError> {
    let broken = |source| ImagesError::Csv { file: file.into(), source };
    let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_path(file).map_err(broken)?;
    let header = reader.headers().map_err(broken)?.clone();
    let column = |column: &'static str| {
        let found = || header.iter().collect::<Vec<_>>().join(", ");
        let missing =
            || ImagesError::Cell { file: file.into(), line: 1, column, expected: "such a column", found: found() };
        header.iter().position(|name| name == column).ok_or_else(missing)
    };
    let (id, alphabet) = (column("char_id")?, column("alphabet")?);
    let mut alphabets = HashMap::new();
    for record in reader.records() {
        let record = record.map_err(broken)?;
        let line = record.position().map_or(0, csv::Position::line);
        let wrong = |column, expected, found: &str| {
            Err(ImagesError::Cell { file: file.into(), line, column, expected, found: format!("`{found}`") })
        };
        // The reader refuses records that are longer or shorter than the header.
        let (id, alphabet) = (&record[id], &record[alphabet]);
        let Ok(number) = id.parse() else {
            return wrong("char_id", "a whole number", id);
        };
        if alphabet.is_empty() {
            return wrong("alphabet", "a name", alphabet);
        }
        if alphabets.insert(number, alphabet.into()).is_some() {
            return wrong("char_id", "a number that no other line has", id);
        }
    }
    Ok(alphabets)
}

/// The drawings of one archive.
fn read_archive(file: &Path, alphabets: &HashMap<u64, String>, collector: &mut Collector) -> Result<(), ImagesError> {
    let opened = File::open(file).map_err(|source| ImagesError::Io { path: file.into(), source })?;
    let mut zip = Zip { file, zip: ZipArchive::new(BufReader::new(opened)).map_err(|source| zip_error(file, source))? };
    let labels = zip.labels()?;
    let ids: Vec<u64> = labels.iter().map(|label| label.saturating_add(1)).collect();
    for (row, id) in ids.iter().enumerate() {
        let wrong = |expected: &str, found| {
            Err(ImagesError::Array { file: file.into(), array: "labels", expected: expected.into(), found })
        };
        if !alphabets.contains_key(id) {
            return wrong(
                "labels that are a char_id of alphabets.csv less one",
                format!("{} in row {row}", labels[row]),
            );
        }
        if ids[..row].contains(id) {
            return wrong("a label for each row", format!("{} in row {row}, too", labels[row]));
        }
    }
    zip.images(&ids, |id, pixels| match alphabets.get(&id) {
        Some(alphabet) => collector.add(file, alphabet, &format!("{id:04}"), pixels),
        None => Ok(()),
    })
}

fn zip_error(file: &Path, source: zip::result::ZipError) -> ImagesError {
    ImagesError::Zip { file: file.into(), source }
}

/// An archive that is open.
struct Zip<'a> {
    file: &'a Path,
    zip: ZipArchive<BufReader<File>>,
}

impl Zip<'_> {
    /// Opens one array: its header is read, its values are what is left.
    fn array(&mut self, array: &'static str) -> Result<(Header, impl Read), ImagesError> {
        let file = self.file;
        let mut values = self.zip.by_name(&format!("{array}.npy")).map_err(|source| zip_error(file, source))?;
        let broken = |why: std::io::Error| wrong(file, array, "a NumPy array in C order".into(), why.to_string());
        let header = Header::read(&mut values).map_err(broken)?;
        Ok((header, values))
    }

    /// The label of each row of `labels`, which all of its drawings have.
    fn labels(&mut self) -> Result<Vec<u64>, ImagesError> {
        let file = self.file;
        let (Header { kind, shape }, mut values) = self.array("labels")?;
        let wrong = |expected: &str, found| wrong(file, "labels", expected.into(), found);
        let drawings = match shape[..] {
            [_, drawings] if drawings > 0 => drawings,
            _ => return Err(wrong("two axes, characters and drawings", format!("{shape:?}"))),
        };
        let bytes = match kind.as_str() {
            "<i8" => 8,
            "<i4" => 4,
            _ => return Err(wrong("whole numbers, `<i8` or `<i4`", format!("`{kind}`"))),
        };
        // What the header promises is not trusted with memory.
        let mut all = Vec::new();
        let most = product(&shape).and_then(|count| count.checked_mul(bytes)).filter(|most| *most <= AT_ONCE);
        let most = most.ok_or_else(|| wrong("fewer labels", format!("{shape:?}")))?;
        let broken = |why: std::io::Error| wrong("as many labels as the header says", why.to_string());
        values.by_ref().take(most as u64).read_to_end(&mut all).map_err(broken)?;
        if all.len() != most {
            return Err(wrong("as many labels as the header says", format!("{} bytes", all.len())));
        }
        let number = |at: &[u8]| at.iter().rev().fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
        let rows = all.chunks_exact(bytes * drawings).enumerate();
        rows.map(|(row, labels)| {
            let first = &labels[..bytes];
            let same = labels.chunks_exact(bytes).all(|label| label == first);
            let negative = first[bytes - 1] >= 0x80;
            if same && !negative {
                Ok(number(first))
            } else {
                Err(wrong("one label for all drawings of a row, from 0", format!("others in row {row}")))
            }
        })
        .collect()
    }

    /// Hands the drawings of each character, small and as ink, to `take`, with its number from `ids`.
    fn images(
        &mut self,
        ids: &[u64],
        mut take: impl FnMut(u64, &[u8]) -> Result<(), ImagesError>,
    ) -> Result<(), ImagesError> {
        let file = self.file;
        let (Header { kind, shape }, mut values) = self.array("images")?;
        let wrong = |expected: &str, found| wrong(file, "images", expected.into(), found);
        if kind != "|b1" {
            return Err(wrong("truth values, `|b1`, paper being true", format!("`{kind}`")));
        }
        let sides = SIDE..=LARGEST;
        let (drawings, height, width) = match shape[..] {
            [characters, drawings @ 1..=1000, height, width]
                if characters == ids.len() && sides.contains(&height) && sides.contains(&width) =>
            {
                (drawings, height, width)
            }
            _ => {
                let expected = format!(
                    "the shape [{}, drawings, height, width] with sides from {SIDE} to {LARGEST} and 1000 drawings at most",
                    ids.len()
                );
                return Err(wrong(&expected, format!("{shape:?}")));
            }
        };
        let (image, all) = (height * width, ids.len() * drawings);
        let at_once = (AT_ONCE / image).clamp(1, all.max(1));
        let mut unpacked = vec![0; at_once * image];
        let mut small = Vec::with_capacity(drawings * PIXELS);
        let (mut done, mut ids) = (0, ids.iter());
        while done < all {
            let count = at_once.min(all - done);
            let chunk = &mut unpacked[..count * image];
            values.read_exact(chunk).map_err(|why| wrong("as many images as the header says", why.to_string()))?;
            chunk.iter_mut().for_each(|paper| *paper = if *paper == 0 { 255 } else { 0 });
            let shrunk: Vec<Vec<u8>> = chunk
                .par_chunks_exact(image)
                .map(|image| {
                    let mut small = Vec::with_capacity(PIXELS);
                    shrink(image, height, width, &mut small);
                    small
                })
                .collect();
            for one in shrunk {
                small.extend(one);
                if small.len() == drawings * PIXELS {
                    if let Some(id) = ids.next() {
                        take(*id, &small)?;
                    }
                    small.clear();
                }
            }
            done += count;
        }
        Ok(())
    }
}

fn product(shape: &[usize]) -> Option<usize> {
    shape.iter().try_fold(1_usize, |product, size| product.checked_mul(*size))
}

fn wrong(file: &Path, array: &'static str, expected: String, found: String) -> ImagesError {
    ImagesError::Array { file: PathBuf::from(file), array, expected, found }
}
