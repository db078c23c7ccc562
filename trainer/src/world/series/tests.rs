//! Files of series written, opened, and asked.

use std::collections::HashSet;

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use tempfile::TempDir;

use super::*;
use crate::episode::Episode;
use crate::world::{Task, World};

/// Samples and channels of the files.
const SHAPE: (usize, usize) = (8, 3);

/// A series that nobody else has: its first value tells which it is.
fn series(problem: usize, class: usize, number: usize) -> Vec<f32> {
    let first = (problem * 10_000 + class * 100 + number) as f32;
    (0..SHAPE.0 * SHAPE.1)
        .map(|at| if at == 0 { first } else { (at * (class + 2) % 7) as f32 + number as f32 })
        .collect()
}

/// A `.ts` of classes `c0`, `c1`, …, each with so many series from `begin` on.
fn ts_of(name: &str, problem: usize, classes: usize, numbers: std::ops::Range<usize>) -> String {
    let labels: Vec<String> = (0..classes).map(|class| format!("c{class}")).collect();
    let mut text = format!("@problemName {name}\n@classLabel true {}\n@data\n", labels.join(" "));
    for class in 0..classes {
        for number in numbers.clone() {
            let values = series(problem, class, number);
            let channel = |channel: usize| {
                values.iter().skip(channel).step_by(SHAPE.1).map(f32::to_string).collect::<Vec<_>>().join(",")
            };
            text += &format!("{}:c{class}\n", (0..SHAPE.1).map(channel).collect::<Vec<_>>().join(":"));
        }
    }
    text
}

/// Two problems: `a`, of four classes in two files, and `b`, of three.
fn folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in [
        ("a_TRAIN.ts", ts_of("a", 0, 4, 0..6)),
        ("a_TEST.ts", ts_of("a", 0, 4, 6..10)),
        ("b.ts", ts_of("b", 1, 3, 0..5)),
    ] {
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    folder
}

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| String::from(*name)).collect()
}

fn by_series() -> SeriesConfig {
    SeriesConfig {
        root: "${SINEW_DATA}".into(),
        files: names(&["a_TRAIN.ts", "a_TEST.ts"]),
        way: 3,
        query: 2,
        evaluation_query: 15,
        split: SplitBy::Series,
        validation: vec![],
        test: vec![],
        test_files: names(&["a_TEST.ts"]),
        validation_share: 0.25,
        test_share: 0.25,
        form: Form::Series,
        augment: Augment::Never,
    }
}

fn by_class() -> SeriesConfig {
    SeriesConfig {
        files: names(&["a_TRAIN.ts", "a_TEST.ts", "b.ts"]),
        way: 2,
        split: SplitBy::Class,
        validation: names(&["a/c1", "a/c3"]),
        test: names(&["b"]),
        test_files: vec![],
        ..by_series()
    }
}

fn opened(config: &SeriesConfig) -> Result<Series, String> {
    Series::open_in(config, folder().path()).map_err(|why| why.to_string())
}

fn one(world: &Series, split: Split, shots: usize, seed: u64) -> (Task, Episode) {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let task = world.task(split, &mut rng);
    let episode = world.episode(&task, shots, &mut rng);
    (task, episode)
}

/// The series of an episode by their first values, and their labels.
fn told(world: &Series, episode: &Episode) -> Vec<(usize, usize)> {
    let [mean, deviation] = world.scales()[0];
    let of = |samples: &crate::episode::Samples| -> Vec<(usize, usize)> {
        (0..samples.rows)
            .map(|row| {
                let label = samples.target(row).iter().position(|one| *one == 1.0).unwrap();
                ((samples.input(row)[0] * deviation + mean).round() as usize, label)
            })
            .collect()
    };
    [of(&episode.support), of(&episode.query)].concat()
}

#[test]
fn by_series_no_recording_is_on_two_sides() {
    let world = opened(&by_series()).unwrap();
    let mut seen: [HashSet<usize>; 3] = Default::default();
    for (seen, split) in seen.iter_mut().zip(SPLITS) {
        for seed in 0..200 {
            let (task, episode) = one(&world, split, 1, seed);
            let rows = told(&world, &episode);
            assert_eq!(rows.iter().map(|(first, _)| first).collect::<HashSet<_>>().len(), rows.len());
            let classes = world.classes_of(&task);
            for (first, label) in rows {
                assert_eq!(classes[label], format!("a/c{}", first / 100));
                seen.insert(first);
            }
        }
    }
    let numbers = |seen: &HashSet<usize>| seen.iter().map(|first| first % 100).collect::<HashSet<_>>();
    assert_eq!(seen.each_ref().map(numbers), [(0..4).collect(), (4..6).collect(), (6..10).collect()]);
    assert!(seen.iter().all(|seen| seen.iter().map(|first| first / 100).collect::<HashSet<_>>().len() == 4));
}

#[test]
fn without_test_files_the_last_are_tested_on() {
    let world = opened(&SeriesConfig { test_files: vec![], ..by_series() }).unwrap();
    let parts = world.pools.each_ref().map(|pools| pools[0][0].recordings.clone());
    // A quarter of ten is 2.5, rounded up; a quarter of the seven that are left is two.
    assert_eq!(parts, [vec![0, 1, 2, 3, 4], vec![5, 6], vec![7, 8, 9]]);
    let world = opened(&SeriesConfig { validation_share: 0.0, ..by_series() }).unwrap();
    assert!(world.pools[1].is_empty());
    assert_eq!(one(&world, Split::Validation, 1, 0).1.query.rows, 0);
}

#[test]
fn by_class_no_class_is_on_two_sides_and_a_task_is_of_one_problem() {
    let world = opened(&by_class()).unwrap();
    let seen = SPLITS.map(|split| {
        let classes = (0..200).flat_map(|seed| {
            let classes = world.classes_of(&Task { split, seed });
            assert_eq!(classes.iter().map(|name| &name[..1]).collect::<HashSet<_>>().len(), 1);
            classes
        });
        let mut classes: Vec<&str> = classes.collect::<HashSet<_>>().into_iter().collect();
        classes.sort();
        classes
    });
    assert_eq!(seen, [vec!["a/c0", "a/c2"], vec!["a/c1", "a/c3"], vec!["b/c0", "b/c1", "b/c2"]]);
    assert!(world.check_shots(4, &SPLITS).is_ok());
    assert!(world.check_shots(5, &[Split::Train, Split::Validation]).is_ok());
    let why = world.check_shots(5, &SPLITS).unwrap_err().to_string();
    assert!(why.contains("the class `b/c0` has 5 series in the Test split, and 5 shot(s)"), "{why}");
    // Nobody asked for a validation.
    let world = opened(&SeriesConfig { validation: vec![], ..by_class() }).unwrap();
    assert_eq!((world.pools[0][0].len(), world.pools[1].len()), (4, 0));
}

#[test]
fn sources_are_problems_by_their_series() {
    let world = opened(&by_class()).unwrap();
    for split in SPLITS {
        let sizes = world.source_sizes(split).unwrap();
        let pools = &world.pools[split.place()];
        assert_eq!(sizes.len(), pools.len());
        for seed in 0..40 {
            let task = Task { split, seed };
            let pool = &pools[world.source(&task)];
            let names = pool.iter().map(|part| world.recordings.classes[part.class].name.as_str());
            let names: Vec<&str> = names.collect();
            assert!(world.classes_of(&task).iter().all(|name| names.contains(name)));
        }
    }
    let series = world.pools[2][0].iter().map(|part| part.recordings.len()).sum::<usize>();
    assert_eq!(world.source_sizes(Split::Test), Some(vec![series]));
}

#[test]
fn rows_go_round_the_classes_in_an_order_that_the_seed_draws() {
    let world = opened(&by_series()).unwrap();
    let mut orders = HashSet::new();
    for seed in 0..100 {
        let (task, episode) = one(&world, Split::Train, 2, seed);
        assert_eq!((episode.support.rows, episode.query.rows), (6, 6));
        for samples in [&episode.support, &episode.query] {
            assert!((0..samples.rows).all(|row| samples.target(row)[row % 3] == 1.0));
        }
        orders.insert(world.classes_of(&task).join(" "));
        assert_eq!(one(&world, Split::Train, 2, seed), (task, episode));
    }
    // Three of four classes in order: 24.
    assert!(orders.len() >= 20, "{}", orders.len());
}

#[test]
fn classes_with_few_series_count_as_much_as_others() {
    let world = opened(&by_class()).unwrap();
    let (task, mut episode) = one(&world, Split::Test, 1, 0);
    // All of the first class but one row of the second, as where recordings are few.
    let mut query = crate::episode::Samples::default();
    for row in (0..episode.query.rows).filter(|row| row % 2 == 0 || *row == 1) {
        query.push(episode.query.input(row), episode.query.target(row));
    }
    episode.query = query;
    let score = world.score(&task, &episode, &mut |_, said| {
        said.chunks_exact_mut(2).for_each(|said| said.copy_from_slice(&[0.75, 0.25]));
    });
    assert_eq!(episode.query.rows, 5);
    assert!((score[0] - 0.5).abs() <= 1e-9 && (score[1] - 0.8).abs() <= 1e-9, "{score:?}");
    assert!((score[2] + (0.8 * 0.75_f64.ln() + 0.2 * 0.25_f64.ln())).abs() <= 1e-6, "{score:?}");
    assert_eq!(
        world.metrics().iter().map(|metric| metric.name).collect::<Vec<_>>(),
        ["balanced_accuracy", "accuracy", "log_loss"]
    );
}

#[test]
fn series_are_standardised_on_the_training_part() {
    let world = opened(&by_series()).unwrap();
    let recordings = &world.recordings.classes;
    let training: Vec<f32> = world.pools[0]
        .iter()
        .flatten()
        .flat_map(|part| part.recordings.iter().map(|at| &recordings[part.class].recordings[*at].values))
        .flat_map(|values| world.row(values, None))
        .collect();
    for channel in 0..3 {
        let values: Vec<f64> = training.iter().skip(channel).step_by(3).map(|value| f64::from(*value)).collect();
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        let square = values.iter().map(|value| value * value).sum::<f64>() / values.len() as f64;
        assert!(mean.abs() <= 1e-4 && (square - 1.0).abs() <= 1e-3, "{mean} {square}");
    }
    let signature = world.signature();
    assert_eq!(
        (signature.inputs.len(), signature.outputs.len(), signature.inputs[4].name.as_str()),
        (24, 3, "channel_1_1")
    );
    assert_eq!(signature.image, Some(Shape { height: 1, width: 8, channels: 3 }));
}

#[test]
fn statistics_have_names() {
    let world = opened(&SeriesConfig { form: Form::Statistics, ..by_series() }).unwrap();
    let signature = world.signature();
    assert_eq!((signature.inputs.len(), signature.image), (30, None));
    assert_eq!(signature.inputs[13].name, "channel_1_highest");
    let (_, episode) = one(&world, Split::Test, 1, 3);
    assert_eq!(episode.support.input_len(), 30);
    let highest = episode.support.input(0)[13];
    assert!((0.0..=15.0).contains(&highest) && highest.fract() == 0.0, "{highest}");
}

#[test]
fn a_turned_sensor_measures_the_same_lengths() {
    let never = opened(&by_series()).unwrap();
    for (augment, turned) in [(Augment::Training, [true, false, false]), (Augment::Always, [true; 3])] {
        let world = opened(&SeriesConfig { augment, ..by_series() }).unwrap();
        for (split, turned) in SPLITS.into_iter().zip(turned) {
            let ((task, plain), (_, other)) = (one(&never, split, 1, 6), one(&world, split, 1, 6));
            assert_eq!(never.classes_of(&task), world.classes_of(&task));
            assert_eq!(plain.support.targets, other.support.targets);
            assert_eq!(plain != other, turned, "{augment:?} {split:?}");
            let raw = |row: &[f32]| -> Vec<[f32; 3]> {
                let scales = world.scales();
                let unscaled = |three: &[f32]| std::array::from_fn(|at| three[at] * scales[at][1] + scales[at][0]);
                row.chunks_exact(3).map(unscaled).collect()
            };
            let length = |three: &[f32; 3]| three.iter().map(|value| value * value).sum::<f32>().sqrt();
            for row in 0..plain.support.rows {
                for (a, b) in raw(plain.support.input(row)).iter().zip(raw(other.support.input(row))) {
                    let (a, b) = (length(a), length(&b));
                    assert!((a - b).abs() <= 2e-3 * (1.0 + a), "{a} {b}");
                }
            }
        }
    }
}

#[test]
fn rotations_are_proper_and_even() {
    let mut rng = ChaCha8Rng::seed_from_u64(0);
    let mut sum = nalgebra::Matrix3::<f32>::zeros();
    for _ in 0..2000 {
        let rotation = super::episode::random_rotation(&mut rng);
        assert!((rotation.determinant() - 1.0).abs() <= 1e-4);
        assert!((rotation * rotation.transpose() - nalgebra::Matrix3::identity()).norm() <= 1e-4);
        sum += rotation;
    }
    // Entries of mean 0 and variance 1/3: 2000 of them have a mean of 0 ± 0.013.
    assert!((sum / 2000.0).abs().max() <= 0.06, "{sum}");
}

#[test]
fn mistakes_are_named() {
    let a = || names(&["a_TRAIN.ts", "a_TEST.ts"]);
    for (config, words) in [
        (SeriesConfig { way: 1, ..by_series() }, "field `world.way`: expected at least 2, found 1"),
        (SeriesConfig { files: vec![], ..by_series() }, "world.files"),
        (SeriesConfig { files: names(&["b.ts", "b.ts"]), test_files: vec![], ..by_series() }, "`b.ts` twice"),
        (SeriesConfig { test_files: names(&["b.ts"]), ..by_series() }, "names out of `files`, found `b.ts`"),
        (SeriesConfig { test: names(&["a/c1"]), ..by_series() }, "no classes where the split is by series"),
        (SeriesConfig { validation_share: f64::NAN, ..by_series() }, "a number from 0 and below 1, found NaN"),
        (SeriesConfig { test: vec![], ..by_class() }, "field `world.test`: expected at least one class"),
        (SeriesConfig { test_files: a(), ..by_class() }, "nothing where the split is by class"),
        (
            SeriesConfig { test: names(&["a/c9"]), ..by_class() },
            "neither a problem nor a class `a/c9`; there are a/c0, a/c1",
        ),
        (SeriesConfig { test: names(&["b", "b/c0"]), ..by_class() }, "the class `b/c0` is named twice"),
        (
            SeriesConfig { way: 3, ..by_class() },
            "the Train split has no problem of 3 classes or more; the largest has 2",
        ),
        (SeriesConfig { way: 5, ..by_series() }, "the Train split has no problem of 5 classes"),
        (SeriesConfig { validation_share: 0.9, ..by_series() }, "the class `a/c0` has 1 series in the Train split"),
        (SeriesConfig { root: "${HOME}".into(), ..by_series() }, "no variable but ${SINEW_DATA}"),
        (SeriesConfig { root: "nowhere".into(), ..by_series() }, "a_TRAIN.ts"),
    ] {
        let why = opened(&config).unwrap_err();
        assert!(why.contains(words), "{words}: {why}");
    }
    let folder = folder();
    let open_in = |config: &SeriesConfig| Series::open_in(config, folder.path()).map_err(|why| why.to_string());
    let with = |name: &str| SeriesConfig { files: names(&["b.ts", name]), test_files: vec![], ..by_series() };
    std::fs::write(folder.path().join("c.csv"), "").unwrap();
    assert!(open_in(&with("c.csv")).unwrap_err().contains("ends in .ts or .data"));
    std::fs::write(folder.path().join("c.data"), "").unwrap();
    assert!(open_in(&with("c.data")).unwrap_err().contains("c.data: expected series, found none"));
    std::fs::write(folder.path().join("c.data"), "up\n1 2 3 4 5 6\n").unwrap();
    assert!(open_in(&with("c.data")).unwrap_err().contains("expected series of 8 × (channel_0"));
    // The first channel alone.
    let whole = ts_of("c", 2, 2, 0..4).replace(":c", "#c");
    let two = whole.lines().map(|line| match line.split_once(':') {
        Some((first, _)) => format!("{first}:c0\n"),
        None => format!("{line}\n"),
    });
    std::fs::write(folder.path().join("c.ts"), two.collect::<String>()).unwrap();
    let alone = SeriesConfig { files: names(&["c.ts"]), test_files: vec![], augment: Augment::Training, ..by_series() };
    assert!(open_in(&alone).unwrap_err().contains("unless channels come in threes, found 1 channels"));
}

#[test]
fn the_real_series_are_read() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data");
    let data = if std::env::var_os("SINEW_DATA").is_some() { data_folder() } else { folder };
    if !data.join("basic_motions").is_dir() || !data.join("uci_robot_failures").is_dir() {
        println!("skipped: there are no series in {}", data.display());
        return;
    }
    let motions = SeriesConfig {
        root: "${SINEW_DATA}/basic_motions".into(),
        files: names(&["BasicMotions_TRAIN.ts", "BasicMotions_TEST.ts"]),
        test_files: names(&["BasicMotions_TEST.ts"]),
        way: 4,
        augment: Augment::Always,
        ..by_series()
    };
    let world = Series::open_in(&motions, &data).unwrap();
    assert_eq!(world.classes().collect::<Vec<_>>()[..2], ["BasicMotions/Standing", "BasicMotions/Running"]);
    let (_, episode) = one(&world, Split::Test, 1, 0);
    assert_eq!((episode.support.rows, episode.query.rows, episode.support.input_len()), (4, 36, 600));
    assert!(episode.support.inputs.iter().all(|value| value.is_finite()));
    let failures = SeriesConfig {
        root: "${SINEW_DATA}/uci_robot_failures".into(),
        files: names(&["lp1.data", "lp2.data", "lp4.data"]),
        way: 3,
        validation: names(&["lp4"]),
        test: names(&["lp2"]),
        ..by_class()
    };
    let world = Series::open_in(&failures, &data).unwrap();
    let sizes = world.recordings.classes.iter().map(|class| class.recordings.len()).sum::<usize>();
    assert_eq!((world.classes().count(), sizes, world.recordings.samples), (12, 88 + 47 + 117, 15));
    assert!(world.check_shots(4, &SPLITS).is_ok());
    assert_eq!(one(&world, Split::Test, 1, 0).1.support.input_len(), 90);
}
