//! Folders of drawings written, opened, and asked.

use std::collections::HashSet;
use std::io::{Cursor, Write};
use std::path::Path;

use proptest::prelude::*;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use tempfile::TempDir;

use super::episode::Class;
use super::npy::tests::array;
use super::shrink::{PIXELS, turned};
use super::*;
use crate::episode::Episode;
use crate::world::{Split, Task, World};

const SPLITS: [Split; 3] = [Split::Train, Split::Validation, Split::Test];

/// Alphabets with so many characters.
const ALPHABETS: [(&str, usize); 5] = [("Alpha", 3), ("Beta", 4), ("Gamma", 2), ("Delta", 3), ("Omega", 5)];

pub(super) const DRAWINGS: usize = 4;

/// Sides of the drawings.
const LARGE: usize = 35;

/// Whether a pixel of a drawing is paper: every drawing is another one.
fn paper(character: usize, drawing: usize, at: usize) -> bool {
    let (row, column) = (at / LARGE, at % LARGE);
    let ink = row / 5 == character % 7 && column > 2 + character || column == drawing + 28 && row > 10;
    !ink
}

fn config() -> ImagesConfig {
    ImagesConfig {
        way: 2,
        query: 1,
        evaluation_query: 2,
        validation: vec!["Beta".into()],
        test: vec!["Delta".into(), "Gamma".into()],
        ..ImagesConfig::new("${SINEW_DATA}")
    }
}

fn npz(arrays: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
    let options = zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Deflated);
    for (name, bytes) in arrays {
        zip.start_file(format!("{name}.npy"), options).unwrap();
        zip.write_all(bytes).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

fn characters() -> usize {
    ALPHABETS.iter().map(|(_, characters)| characters).sum()
}

fn table() -> String {
    let mut text = String::from("char_id,split,alphabet\n");
    let names = ALPHABETS.iter().flat_map(|(name, characters)| std::iter::repeat_n(name, *characters));
    names.enumerate().for_each(|(place, name)| text += &format!("{:04},background,{name}\n", place + 1));
    text
}

fn labels() -> Vec<u8> {
    let labels = (0..characters() as i64).flat_map(|label| [label; DRAWINGS]).flat_map(i64::to_le_bytes);
    array("<i8", &format!("({}, {DRAWINGS})", characters()), &labels.collect::<Vec<u8>>())
}

fn images() -> Vec<u8> {
    let drawings = (0..characters()).flat_map(|character| (0..DRAWINGS).map(move |drawing| (character, drawing)));
    let bits = drawings.flat_map(|(c, d)| (0..LARGE * LARGE).map(move |at| u8::from(paper(c, d, at))));
    array("|b1", &format!("({}, {DRAWINGS}, {LARGE}, {LARGE})", characters()), &bits.collect::<Vec<u8>>())
}

fn archive_with(table: &str, arrays: &[(&str, Vec<u8>)]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("alphabets.csv"), table).unwrap();
    std::fs::write(folder.path().join("images_background.npz"), npz(arrays)).unwrap();
    folder
}

pub(super) fn archive() -> TempDir {
    archive_with(&table(), &[("images", images()), ("labels", labels())])
}

/// A PNG of one bit for each pixel, as Omniglot's are.
fn png_of(character: usize, drawing: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, LARGE as u32, LARGE as u32);
    encoder.set_color(png::ColorType::Grayscale);
    encoder.set_depth(png::BitDepth::One);
    let mut rows = Vec::new();
    for row in 0..LARGE {
        let mut bits = [0_u8; LARGE.div_ceil(8)];
        for column in 0..LARGE {
            bits[column / 8] |= u8::from(paper(character, drawing, row * LARGE + column)) << (7 - column % 8);
        }
        rows.extend(bits);
    }
    let mut writer = encoder.write_header().unwrap();
    writer.write_image_data(&rows).unwrap();
    writer.finish().unwrap();
    bytes
}

/// The alphabets in folders, the first two in one part and the others in another.
fn folders() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let mut character = 0;
    for (place, (name, characters)) in ALPHABETS.iter().enumerate() {
        let part = if place < 2 { "images_background" } else { "images_evaluation" };
        for number in 1..=*characters {
            let inside = folder.path().join(part).join(name).join(format!("character{number:02}"));
            std::fs::create_dir_all(&inside).unwrap();
            for drawing in 0..DRAWINGS {
                std::fs::write(
                    inside.join(format!("{:04}_{drawing:02}.png", character + 1)),
                    png_of(character, drawing),
                )
                .unwrap();
            }
            character += 1;
        }
    }
    folder
}

fn opened(config: &ImagesConfig, folder: &Path) -> Result<Images, String> {
    Images::open_in(config, folder).map_err(|why| why.to_string())
}

fn rng(seed: u64) -> ChaCha8Rng {
    ChaCha8Rng::seed_from_u64(seed)
}

fn one(world: &Images, split: Split, shots: usize, seed: u64) -> (Task, Episode) {
    let mut rng = rng(seed);
    let task = world.task(split, &mut rng);
    let episode = world.episode(&task, shots, &mut rng);
    (task, episode)
}

#[test]
fn archives_and_folders_of_the_same_drawings_are_the_same_world() {
    let (archive, folders) = (archive(), folders());
    let (first, second) = (opened(&config(), archive.path()).unwrap(), opened(&config(), folders.path()).unwrap());
    assert_eq!(first.alphabets().collect::<Vec<_>>(), ["Alpha", "Beta", "Delta", "Gamma", "Omega"]);
    assert_eq!((first.character_count(), first.drawing_count()), (17, 68));
    assert_eq!(first.collection, second.collection);
    assert_eq!(one(&first, Split::Train, 2, 5), one(&second, Split::Train, 2, 5));
    // A part by itself is a folder of alphabets, too.
    let part = folders.path().join("images_evaluation");
    let third = ImagesConfig { validation: vec!["Gamma".into()], test: vec!["Delta".into()], ..config() };
    assert_eq!(opened(&third, &part).unwrap().character_count(), 10);
}

#[test]
fn ink_is_one_and_paper_is_zero() {
    let folder = archive();
    let world = opened(&config(), folder.path()).unwrap();
    // Character 0 has its bar in the first five rows of 35: four of 28.
    let alpha = world.collection.drawing(0);
    assert_eq!((alpha[14], alpha[14 + 3 * 28], alpha[14 + 4 * 28], alpha[27 * 28]), (255, 255, 0, 0));
    // A column is ink in rows 11 to 34 of 35: from 8.8 of 28 on, and 0.8 wide.
    assert!(
        (i32::from(alpha[20 * 28 + 22]) + i32::from(alpha[20 * 28 + 23]) - 204).abs() <= 1,
        "{:?}",
        &alpha[20 * 28..]
    );
    let (_, episode) = one(&world, Split::Train, 1, 0);
    assert!(episode.support.inputs.iter().all(|ink| (0.0..=1.0).contains(ink)));
    assert!(episode.support.inputs.contains(&1.0));
    let signature = world.signature();
    assert_eq!(
        (signature.inputs.len(), signature.outputs.len(), signature.inputs[29].name.as_str()),
        (PIXELS, 2, "pixel_1_1")
    );
    assert_eq!(signature.image.map(Shape::len), Some(PIXELS));
}

#[test]
fn sources_are_alphabets_by_their_drawings() {
    let folder = archive();
    let world = opened(&ImagesConfig { within_alphabet: true, ..config() }, folder.path()).unwrap();
    // Alpha and Omega are left to learn from.
    assert_eq!(world.source_sizes(Split::Train), Some(vec![3 * DRAWINGS, 5 * DRAWINGS]));
    let names = ["Alpha", "Omega"];
    let mut counts = [0; 2];
    for seed in 0..200 {
        let task = Task { split: Split::Train, seed };
        let source = world.source(&task);
        counts[source] += 1;
        let alphabets = world.classes(&task).into_iter().map(|class| world.alphabet_of(class.character));
        assert!(alphabets.into_iter().all(|name| name == Some(names[source])));
    }
    assert!(counts.iter().all(|count| *count >= 70), "{counts:?}: worlds draw evenly");
    assert_eq!(opened(&config(), folder.path()).unwrap().source_sizes(Split::Train), None, "all in one set");
}

#[test]
fn no_alphabet_is_on_two_sides_and_only_training_turns() {
    let folder = archive();
    for within_alphabet in [false, true] {
        let world = opened(&ImagesConfig { within_alphabet, ..config() }, folder.path()).unwrap();
        let seen = |split| -> (HashSet<String>, HashSet<u8>) {
            let classes = (0..300).flat_map(|seed| {
                let classes = world.classes(&Task { split, seed });
                let alphabets: HashSet<_> = classes.iter().map(|class| world.alphabet_of(class.character)).collect();
                let turns: HashSet<_> = classes.iter().map(|class| class.quarter_turns).collect();
                assert_eq!(classes.iter().collect::<HashSet<_>>().len(), classes.len());
                assert!(!within_alphabet || alphabets.len() == 1 && turns.len() == 1);
                classes
            });
            let classes: Vec<Class> = classes.collect();
            let name = |class: &Class| world.alphabet_of(class.character).unwrap().to_owned();
            (classes.iter().map(name).collect(), classes.iter().map(|class| class.quarter_turns).collect())
        };
        let [train, validation, test] = SPLITS.map(seen);
        let set = |names: &[&str]| names.iter().map(|name| name.to_string()).collect::<HashSet<_>>();
        assert_eq!(
            [train.0, validation.0, test.0],
            [set(&["Alpha", "Omega"]), set(&["Beta"]), set(&["Delta", "Gamma"])]
        );
        assert_eq!(
            [train.1, validation.1, test.1],
            [HashSet::from([0, 1, 2, 3]), HashSet::from([0]), HashSet::from([0])]
        );
    }
    let world = opened(&ImagesConfig { rotations: false, ..config() }, folder.path()).unwrap();
    assert!((0..100).all(|seed| {
        world.classes(&Task { split: Split::Train, seed }).iter().all(|class| class.quarter_turns == 0)
    }));
}

#[test]
fn drawings_are_distorted_in_training_alone() {
    let folder = archive();
    let [plain, distorting] =
        [false, true].map(|distortions| opened(&ImagesConfig { distortions, ..config() }, folder.path()).unwrap());
    for (split, distorted) in SPLITS.into_iter().zip([true, false, false]) {
        let ((_, plain), (_, other)) = (one(&plain, split, 1, 3), one(&distorting, split, 1, 3));
        assert_eq!(plain.support.targets, other.support.targets);
        assert_eq!(plain.support.inputs != other.support.inputs, distorted);
        assert!(other.support.inputs.iter().all(|ink| (0.0..=1.0).contains(ink)));
    }
}

#[test]
fn rows_go_round_the_classes_and_no_drawing_is_on_both_sides() {
    let folder = archive();
    let world = opened(&ImagesConfig { train_way: Some(3), ..config() }, folder.path()).unwrap();
    for (split, way, query) in [(Split::Train, 3, 1), (Split::Validation, 2, 2), (Split::Test, 2, 2)] {
        for seed in 0..50 {
            let (task, episode) = one(&world, split, 2, seed);
            assert_eq!((episode.support.rows, episode.query.rows), (2 * way, query * way));
            let classes = world.classes(&task);
            let mut drawings = HashSet::new();
            for samples in [&episode.support, &episode.query] {
                assert_eq!(samples.output_len(), way);
                for row in 0..samples.rows {
                    let target: Vec<f32> = (0..way).map(|class| f32::from(u8::from(class == row % way))).collect();
                    assert_eq!(samples.target(row), target);
                    let Class { character, quarter_turns } = classes[row % way];
                    let of = &world.collection.characters[character];
                    let is_it = |drawing: &usize| {
                        let image = turned(world.collection.drawing(*drawing), quarter_turns);
                        image.map(|ink| f32::from(ink) / 255.0).eq(samples.input(row).iter().copied())
                    };
                    let drawing = (of.first..of.first + of.drawings).find(is_it).unwrap();
                    assert!(drawings.insert((drawing, quarter_turns)));
                }
            }
        }
    }
    // Four drawings: three shots and one to be judged on, and no more.
    assert!(world.check_shots(3).is_ok());
    let why = world.check_shots(4).unwrap_err().to_string();
    assert!(why.contains("character 1 of the alphabet `Alpha` has 4 drawings"), "{why}");
    assert_eq!(one(&world, Split::Test, 3, 0).1.query.rows, 2);
}

#[test]
fn episodes_follow_from_their_seeds() {
    let folder = archive();
    let (first, second) = (opened(&config(), folder.path()).unwrap(), opened(&config(), folder.path()).unwrap());
    for split in SPLITS {
        assert_eq!(one(&first, split, 1, 9), one(&second, split, 1, 9));
        let (task, episode) = one(&first, split, 1, 9);
        assert_ne!(episode, first.episode(&task, 1, &mut rng(10)));
        assert_eq!(first.classes(&task), second.classes(&task));
    }
    let classes = |split| first.classes(&Task { split, seed: 4 });
    assert_ne!(classes(Split::Train), classes(Split::Test));
}

#[test]
fn knowing_the_classes_scores_one() {
    let folder = archive();
    let world = opened(&config(), folder.path()).unwrap();
    let (task, episode) = one(&world, Split::Test, 1, 0);
    let targets = episode.query.targets.clone();
    let score = world.score(&task, &episode, &mut |_, said| said.copy_from_slice(&targets));
    assert!(score[0] == 1.0 && score[1] <= 1e-6);
    let score = world.score(&task, &episode, &mut |_, said| said.fill(0.5));
    assert!((score[0] - 0.5).abs() <= 1e-9 && (score[1] - 2.0_f64.ln()).abs() <= 1e-9);
    assert_eq!(world.metrics()[0].name, "accuracy");
}

#[test]
fn mistakes_in_the_configuration_are_named() {
    let folder = archive();
    let names = |names: &[&str]| names.iter().map(|name| String::from(*name)).collect::<Vec<_>>();
    for (config, words) in [
        (ImagesConfig { way: 1, ..config() }, "field `world.way`: expected at least 2, found 1"),
        (ImagesConfig { train_way: Some(0), ..config() }, "world.train_way"),
        (ImagesConfig { query: 0, ..config() }, "world.query"),
        (ImagesConfig { test: vec![], ..config() }, "world.test"),
        (ImagesConfig { test: names(&["Delta", "Dleta"]), ..config() }, "no alphabet `Dleta`; there are Alpha, Beta"),
        (ImagesConfig { test: names(&["Delta", "Beta"]), ..config() }, "the alphabet `Beta` is named twice"),
        (ImagesConfig { test: names(&["Delta", "Delta"]), ..config() }, "`Delta` is named twice"),
        (
            ImagesConfig { test: names(&["Delta", "Gamma", "Alpha", "Omega"]), ..config() },
            "Train split has no set of 2",
        ),
        (
            ImagesConfig { way: 5, ..config() },
            "the Validation split has no set of 5 classes or more; the largest has 4",
        ),
        (
            ImagesConfig { way: 4, train_way: Some(6), within_alphabet: true, ..config() },
            "Train split has no alphabet of 6",
        ),
        (ImagesConfig { root: "${HOME}".into(), ..config() }, "no variable but ${SINEW_DATA}"),
        (ImagesConfig { root: "${SINEW_DATA}/nowhere".into(), ..config() }, "nowhere"),
    ] {
        let why = opened(&config, folder.path()).unwrap_err();
        assert!(why.contains(words), "{words}: {why}");
    }
    // Too small for five classes, and left out: Delta has three.
    let within = ImagesConfig { way: 3, within_alphabet: true, ..config() };
    let world = opened(&within, folder.path()).unwrap();
    let alphabet = |seed| world.alphabet_of(world.classes(&Task { split: Split::Test, seed })[0].character);
    assert!((0..50).all(|seed| alphabet(seed) == Some("Delta")));
}

#[test]
fn mistakes_in_archives_are_named() {
    let shape = format!("({}, {DRAWINGS}, {LARGE}, {LARGE})", characters());
    let mixed: Vec<u8> = (0..characters() as i64 * DRAWINGS as i64).flat_map(i64::to_le_bytes).collect();
    let label_shape = format!("({}, {DRAWINGS})", characters());
    let short = |mut bytes: Vec<u8>| {
        bytes.truncate(bytes.len() - 1);
        bytes
    };
    for (table, arrays, words) in [
        ("char_id,alphabet\n1,Alpha\n".into(), vec![("images", images()), ("labels", labels())], "found 1 in row 1"),
        ("id,alphabet\n".into(), vec![], "column `char_id`: expected such a column, found id, alphabet"),
        (
            table() + "0001,background,Beta\n",
            vec![],
            "line 19, column `char_id`: expected a number that no other line has",
        ),
        (table() + "one,background,Beta\n", vec![], "expected a whole number, found `one`"),
        (table() + "1\n", vec![], "alphabets.csv"),
        (table(), vec![("labels", labels())], "images_background.npz"),
        (table(), vec![("images", images())], "images_background.npz"),
        (table(), vec![("images", images()), ("labels", array("<i8", &label_shape, &mixed))], "others in row 0"),
        (table(), vec![("images", images()), ("labels", array("<f8", &label_shape, &[]))], "found `<f8`"),
        (
            table(),
            vec![("images", images()), ("labels", array("<i8", "(99999999999, 99999999999)", &[]))],
            "fewer labels",
        ),
        (table(), vec![("images", images()), ("labels", short(labels()))], "as many labels as the header says"),
        (table(), vec![("images", short(images())), ("labels", labels())], "as many images as the header says"),
        (table(), vec![("images", array("|u1", &shape, &[])), ("labels", labels())], "found `|u1`"),
        (table(), vec![("images", array("|b1", "(17, 4, 9, 9)", &[])), ("labels", labels())], "found [17, 4, 9, 9]"),
        (table(), vec![("images", b"PK".to_vec()), ("labels", labels())], "a NumPy array in C order"),
    ] {
        let folder = archive_with(&table, &arrays);
        let why = opened(&config(), folder.path()).unwrap_err();
        assert!(why.contains(words), "{words}: {why}");
    }
    let folder = archive();
    std::fs::remove_file(folder.path().join("images_background.npz")).unwrap();
    assert!(opened(&config(), folder.path()).unwrap_err().contains("an .npz archive beside"));
}

#[test]
fn mistakes_in_folders_are_named() {
    let inside = |folder: &TempDir, path: &str| folder.path().join("images_background/Alpha").join(path);
    let folder = folders();
    std::fs::write(inside(&folder, "character01/0001_00.png"), b"not a PNG").unwrap();
    assert!(opened(&config(), folder.path()).unwrap_err().contains("0001_00.png"));
    let folder = folders();
    (1..DRAWINGS).for_each(|drawing| {
        std::fs::remove_file(inside(&folder, &format!("character01/0001_{drawing:02}.png"))).unwrap()
    });
    assert!(
        opened(&config(), folder.path()).unwrap_err().contains("two drawings at least of `Alpha/character01`, found 1")
    );
    std::fs::remove_file(inside(&folder, "character01/0001_00.png")).unwrap();
    assert!(opened(&config(), folder.path()).unwrap_err().contains("character01: expected PNG images"));
    let folder = folders();
    let again = folder.path().join("images_evaluation/Alpha/character01");
    std::fs::create_dir_all(&again).unwrap();
    for drawing in [0, 1] {
        std::fs::write(again.join(format!("{drawing}.png")), png_of(0, drawing)).unwrap();
    }
    assert!(opened(&config(), folder.path()).unwrap_err().contains("the alphabet `Alpha` is both in"));
    let empty = tempfile::tempdir().unwrap();
    assert!(opened(&config(), empty.path()).unwrap_err().contains("a folder for each alphabet"));
    std::fs::create_dir(empty.path().join("Alpha")).unwrap();
    assert!(opened(&config(), empty.path()).unwrap_err().contains("a folder for each character"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn broken_archives_are_errors(at in 0.0..1.0_f64, byte: u8, cut: bool, which in 0..4) {
        // A small one, all of whose bytes are worth breaking; stored, so that the arrays are reached.
        let spoil = |mut bytes: Vec<u8>| {
            let place = (at * bytes.len() as f64) as usize;
            if cut { bytes.truncate(place) } else { bytes[place] = byte }
            bytes
        };
        let labels = array("<i8", "(2, 2)", &[[0_u8, 0, 0, 0, 0, 0, 0, 0]; 2].iter().chain(&[[1, 0, 0, 0, 0, 0, 0, 0]; 2]).copied().flatten().collect::<Vec<_>>());
        let images = array("|b1", "(2, 2, 28, 28)", &[1; 4 * PIXELS]);
        let table = "char_id,alphabet\n1,Alpha\n2,Beta\n".to_owned();
        let (table, images, labels) = match which {
            0 => (String::from_utf8_lossy(&spoil(table.into_bytes())).into_owned(), images, labels),
            1 => (table, spoil(images), labels),
            2 => (table, images, spoil(labels)),
            _ => (table, images, labels),
        };
        let folder = archive_with(&table, &[("images", images), ("labels", labels)]);
        if which == 3 {
            let file = folder.path().join("images_background.npz");
            std::fs::write(&file, spoil(std::fs::read(&file).unwrap())).unwrap();
        }
        let mut collector = Collector::default();
        if archive::read(folder.path(), &mut collector).is_ok() {
            prop_assert!(collector.collect().is_ok());
        }
    }

    #[test]
    fn broken_images_are_errors(at in 0.0..1.0_f64, byte: u8, cut: bool) {
        let mut bytes = png_of(3, 1);
        let place = (at * bytes.len() as f64) as usize;
        if cut { bytes.truncate(place) } else { bytes[place] = byte }
        let folder = tempfile::tempdir().unwrap();
        let inside = folder.path().join("Alpha/character01");
        std::fs::create_dir_all(&inside).unwrap();
        std::fs::write(inside.join("1.png"), &bytes).unwrap();
        std::fs::write(inside.join("2.png"), png_of(3, 2)).unwrap();
        let mut collector = Collector::default();
        if folders::read(folder.path(), &mut collector).is_ok() {
            prop_assert_eq!(collector.collect().unwrap().pixels.len(), 2 * PIXELS);
        }
    }
}

#[test]
fn the_real_drawings_are_read() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data");
    let data = if std::env::var_os("SINEW_DATA").is_some() { data_folder() } else { folder };
    if !data.join("omniglot/alphabets.csv").is_file() {
        println!("skipped: there is no {}", data.join("omniglot").display());
        return;
    }
    let begun = std::time::Instant::now();
    let config = ImagesConfig::new("${SINEW_DATA}/omniglot");
    let world = Images::open_in(&config, &data).unwrap();
    println!("read in {:.2} s", begun.elapsed().as_secs_f64());
    assert_eq!((world.alphabets().count(), world.character_count(), world.drawing_count()), (30, 964, 19280));
    assert_eq!(world.pools.each_ref().map(|pools| pools[0].len()), [662, 125, 177]);
    // The share of ink of a drawing with a pen of a few pixels on 105 × 105.
    let ink = world.collection.pixels.iter().map(|ink| f64::from(*ink) / 255.0).sum::<f64>();
    let share = ink / world.collection.pixels.len() as f64;
    assert!((0.02..0.15).contains(&share), "{share}");
    let within = ImagesConfig { way: 20, evaluation_query: 1, within_alphabet: true, ..config };
    let world = Images::open_in(&within, &data).unwrap();
    assert_eq!(
        world.pools[1].len() + world.pools[2].len(),
        VALIDATION.len() + TEST.len(),
        "none is too small for 20 ways"
    );
    let (_, episode) = one(&world, Split::Test, 1, 0);
    assert_eq!((episode.support.rows, episode.query.rows), (20, 20));
}
