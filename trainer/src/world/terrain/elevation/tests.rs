//! Against what is known of real models, and against files made here.

use tiff::encoder::{TiffEncoder, colortype};

use super::*;
use crate::world::root::data_folder;

/// A file of the shared data; says so where it is not there.
pub(crate) fn shared(name: &str) -> Option<PathBuf> {
    // Tests run in their package.
    let root = if data_folder().is_relative() { Path::new("..").join(data_folder()) } else { data_folder() };
    let path = root.join(name);
    if !path.exists() {
        println!("skipped: {} is not there (SINEW_DATA names the folder of data)", path.display());
        return None;
    }
    Some(path)
}

/// Numbers of posts and range as the notice beside the files gives them.
#[test]
fn jacksboro_is_what_it_should_be() {
    let Some(path) = shared("dem/jacksboro_fault_dem.npz") else { return };
    let elevation = Elevation::read(&path).unwrap();
    assert_eq!((elevation.height, elevation.width), (344, 403));
    assert_eq!(elevation.range(), Some([236.0, 1076.0]));
    assert_eq!(elevation.heights[..4], [483.0, 487.0, 491.0, 493.0]);
}

#[test]
fn saint_helens_is_what_it_should_be() {
    let Some(path) = shared("dem/SainteHelens.dem") else { return };
    let elevation = Elevation::read(&path).unwrap();
    assert_eq!(elevation.width, 327);
    assert_eq!(elevation.range(), Some([682.0, 2543.0]));
    // The first profile: 22 posts from 909 m in the south to 888 m.
    let first: Vec<f32> = elevation.heights.chunks_exact(327).map(|row| row[0]).filter(|h| !h.is_nan()).collect();
    assert_eq!((first.len(), first[0], first[21]), (22, 888.0, 909.0));
    // A post of the volcano's flank is near its neighbours, whichever profile they are in.
    let near = |a: f32, b: f32| a.is_nan() || b.is_nan() || (a - b).abs() <= 120.0;
    assert!(elevation.heights.windows(328).all(|posts| near(posts[0], posts[327])));
    assert!(elevation.heights.chunks_exact(327).all(|row| row.windows(2).all(|pair| near(pair[0], pair[1]))));
}

/// A record of 1024 bytes with texts at some places.
fn record(fields: &[(usize, String)]) -> Vec<u8> {
    let mut bytes = vec![b' '; 1024];
    for (at, text) in fields {
        bytes[*at..at + text.len()].copy_from_slice(text.as_bytes());
    }
    bytes
}

/// A model of two profiles, of 3 posts and of 320, in feet.
fn model() -> Vec<u8> {
    let mut bytes = record(&[
        (534, format!("{:>6}", 1)),
        (816, "0.300000E+020.300000E+020.100000E+01".into()),
        (858, format!("{:>6}", 2)),
    ]);
    for (x, y, posts) in [(0.0, 60.0, 3_usize), (30.0, 0.0, 320)] {
        let mut first = vec![
            (12, format!("{posts:>6}{:>6}", 1)),
            (24, format!("{x:>24.3}{y:>24.3}")),
            (72, format!("{:>24}", "0.1D+03")),
        ];
        let heights: Vec<String> = (0..posts).map(|post| format!("{post:>6}")).collect();
        first.push((144, heights[..posts.min(146)].concat()));
        bytes.extend(record(&first));
        for more in heights.get(146..).unwrap_or_default().chunks(170) {
            bytes.extend(record(&[(0, more.concat())]));
        }
    }
    bytes
}

#[test]
fn profiles_of_any_length_find_their_place() {
    let path = Path::new("a.dem");
    let elevation = usgs::parse(path, &model()).unwrap();
    assert_eq!((elevation.width, elevation.height), (2, 320));
    let at = |row: usize, column: usize| elevation.heights[row * 2 + column];
    let feet = |feet: f32| feet * 0.3048;
    // Two posts further to the north than the other begins.
    assert!((at(317, 0) - feet(100.0)).abs() <= 1e-4 && (at(315, 0) - feet(102.0)).abs() <= 1e-4);
    assert!(at(318, 0).is_nan() && at(314, 0).is_nan());
    assert!((at(319, 1) - feet(100.0)).abs() <= 1e-4 && (at(0, 1) - feet(419.0)).abs() <= 1e-4);
    let words = |bytes: &[u8]| usgs::parse(path, bytes).unwrap_err().to_string();
    let whole = model();
    assert!(words(&whole[..2000]).contains("a.dem, record 3, byte 13"));
    assert!(words(&whole[..3 * 1024 + 9]).contains("the end of the file"));
    assert!(words(&[]).contains("record 1, byte 535"));
    let mut broken = whole.clone();
    broken[1024 + 144 + 7] = b'x';
    assert!(words(&broken).contains("record 2, byte 151: expected a height"), "{}", words(&broken));
    broken = whole;
    broken[1024 + 12..1024 + 18].copy_from_slice(b"-00005");
    assert!(words(&broken).contains("expected posts, found -5"));
}

#[test]
fn a_tiff_of_one_band_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ground.tif");
    let values: [i16; 6] = [1, 2, 3, -7, -9999, 6];
    let mut encoder = TiffEncoder::new(std::fs::File::create(&path).unwrap()).unwrap();
    let mut image = encoder.new_image::<colortype::GrayI16>(3, 2).unwrap();
    image.encoder().write_tag(tiff::tags::Tag::GdalNodata, "-9999").unwrap();
    image.write_data(&values).unwrap();
    let elevation = Elevation::read(&path).unwrap();
    assert_eq!((elevation.width, elevation.height, elevation.range()), (3, 2, Some([-7.0, 6.0])));
    assert!(elevation.heights[4].is_nan());

    let colours = folder.path().join("picture.tiff");
    let mut encoder = TiffEncoder::new(std::fs::File::create(&colours).unwrap()).unwrap();
    encoder.write_image::<colortype::RGB8>(1, 1, &[1, 2, 3]).unwrap();
    let words = |path: &Path| Elevation::read(path).unwrap_err().to_string();
    assert!(words(&colours).contains("bands"));
    std::fs::write(&path, "no picture").unwrap();
    assert!(words(&path).contains("ground.tif"));
}

#[test]
fn what_is_no_model_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let words = |name: &str, bytes: Option<&[u8]>| {
        let path = folder.path().join(name);
        bytes.into_iter().for_each(|bytes| std::fs::write(&path, bytes).unwrap());
        Elevation::read(&path).unwrap_err().to_string()
    };
    for name in ["a.npz", "a.dem", "a.tif"] {
        assert!(words(name, None).contains(name));
        assert!(words(name, Some(b"nothing")).contains(name));
    }
    assert!(words("heights.csv", None).contains(".npz"));
}
