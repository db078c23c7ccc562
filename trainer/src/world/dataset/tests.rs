//! Data sets written to a folder, opened, and asked.

use std::path::PathBuf;

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use tempfile::TempDir;

use super::*;
use crate::episode::{Episode, Samples};
use crate::world::World;

const SPLITS: [Split; 3] = [Split::Train, Split::Validation, Split::Test];

const BINARY: &str = r#"
    name = "cups"
    files = ["*.csv"]
    file_column = "hand"
    inputs = ["touch_*"]
    outputs = ["slipped"]
    task = ["object", "hand"]
    group = "object"
    loss = "binary_cross_entropy"
    [units]
    "touch_*" = "count"
    touch_b = "N"
"#;

/// Five objects, eight rows each, in blocks; `touch_a` counts the rows of the file.
fn rows() -> String {
    let mut text = String::from("object,slipped,touch_a,touch_b\n");
    for row in 0..40 {
        text += &format!("cup{},{},{row},{row}.5\n", row / 8, row / 4 % 2);
    }
    text
}

fn folder(manifest: &str, files: &[(&str, &str)]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("dataset.toml"), manifest).unwrap();
    for (name, text) in files {
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    folder
}

fn opened(manifest: &str, files: &[(&str, &str)]) -> Result<Dataset, String> {
    Dataset::open(folder(manifest, files).path().join("dataset.toml")).map_err(|why| why.to_string())
}

fn cups(extra: &str) -> Dataset {
    opened(&format!("{extra}\n{BINARY}"), &[("left.csv", &rows()), ("right.csv", &rows())]).unwrap()
}

fn rng() -> ChaCha8Rng {
    ChaCha8Rng::seed_from_u64(0)
}

fn all_tasks(dataset: &Dataset) -> Vec<Task> {
    SPLITS.iter().flat_map(|split| dataset.tasks(*split)).collect()
}

#[test]
fn columns_units_and_names() {
    let cups = cups("");
    let columns: Vec<_> = cups.signature().inputs.iter().map(|c| (c.name.as_str(), c.unit.as_str())).collect();
    assert_eq!(columns, [("touch_a", "count"), ("touch_b", "N")]);
    assert_eq!((cups.group_count(), cups.row_count(), all_tasks(&cups).len()), (5, 80, 10));
    let mut names: Vec<_> = all_tasks(&cups).iter().map(|task| cups.task_name(task).unwrap().to_owned()).collect();
    names.sort();
    assert_eq!(names[..3], ["cup0 / left", "cup0 / right", "cup1 / left"]);
    assert_eq!(cups.metrics()[0].name, "balanced_accuracy");
}

#[test]
fn file_order_takes_the_first_of_each_class() {
    let cups = cups("");
    for task in all_tasks(&cups) {
        let first = 8.0 * cups.group_name(&task).unwrap()[3..].parse::<f32>().unwrap();
        let episode = cups.episode(&task, 2, &mut rng());
        let column =
            |samples: &Samples| -> Vec<f32> { (0..samples.rows).map(|row| samples.input(row)[0] - first).collect() };
        assert_eq!(column(&episode.support), [0.0, 1.0, 4.0, 5.0]);
        assert_eq!(column(&episode.query), [2.0, 3.0, 6.0, 7.0]);
        assert_eq!(
            (&episode.support.targets[..], &episode.query.targets[..]),
            (&[0.0, 0.0, 1.0, 1.0][..], &[0.0, 0.0, 1.0, 1.0][..])
        );
    }
}

#[test]
fn training_may_have_an_order_and_a_query_of_its_own() {
    let cups = cups("train_order = \"random\"\nquery = 3");
    let mut rng = rng();
    let mut episodes = |split| -> Vec<Episode> {
        let task = cups.task(split, &mut rng);
        (0..9).map(|_| cups.episode(&task, 1, &mut rng)).collect()
    };
    let train = episodes(Split::Train);
    assert!(
        train.iter().all(|e| e.query.rows == 3 && e.support.rows == 2 && e.support.targets.iter().sum::<f32>() == 1.0)
    );
    assert!(train.iter().any(|e| e.support != train[0].support));
    let test = episodes(Split::Test);
    assert!(test.iter().all(|e| e.query.rows == 6 && *e == test[0]));
}

#[test]
fn groups_stay_together_in_every_fold() {
    let cups = cups("");
    for fold in 0..5 {
        let dataset = cups.with_fold(fold, 5, 1).unwrap();
        let mut seen = std::collections::HashMap::new();
        for task in all_tasks(&dataset) {
            let group = dataset.group_name(&task).unwrap().to_owned();
            assert_eq!(*seen.entry(group).or_insert(task.split), task.split);
        }
        assert_eq!(SPLITS.map(|split| dataset.task_count(split).unwrap()), [6, 2, 2]);
        let null = cups.null_test().unwrap().with_fold(fold, 5, 1).unwrap();
        let groups = |dataset: &Dataset| -> std::collections::BTreeSet<String> {
            dataset.tasks(Split::Test).map(|task| dataset.group_name(&task).unwrap().to_owned()).collect()
        };
        assert_eq!(groups(&null), groups(&dataset));
    }
    assert!(cups.with_fold(5, 5, 1).is_err());
}

#[test]
fn the_null_test_tells_early_from_late() {
    let null = cups("").null_test().unwrap();
    assert_eq!((null.name(), all_tasks(&null).len(), null.row_count()), ("cups-null", 20, 80));
    assert_eq!(null.signature().outputs[0].name, "later_half");
    for task in all_tasks(&null) {
        let episode = null.episode(&task, 1, &mut rng());
        let start = episode.support.input(0)[0];
        assert_eq!(start % 4.0, 0.0);
        assert_eq!(
            [episode.query.input(0)[0], episode.support.input(1)[0], episode.query.input(1)[0]],
            [1.0, 2.0, 3.0].map(|n| start + n)
        );
        assert_eq!((&episode.support.targets[..], &episode.query.targets[..]), (&[0.0, 1.0][..], &[0.0, 1.0][..]));
    }
    assert!(null.check_shots(1).is_ok() && null.check_shots(2).is_err());
}

#[test]
fn short_tasks_are_told_and_never_panic() {
    let few = rows() + "cup9,0,1,1\ncup9,1,2,2\ncup9,1,3,3\ncup8,0,1,1\n";
    let cups = opened(BINARY, &[("left.csv", &few)]).unwrap();
    assert_eq!(
        cups.check_shots(1).unwrap_err().to_string(),
        "2 of 7 task(s) cannot give 1 shot(s) and keep a row to be judged on; the first is `cup9 / left` with 1 row(s) in its smallest class"
    );
    assert!(cups.without_short_tasks(3).check_shots(3).is_ok());
    for task in all_tasks(&cups).into_iter().chain([Task { split: Split::Test, seed: u64::MAX }]) {
        let episode = cups.episode(&task, 5, &mut rng());
        assert_eq!(cups.score(&task, &episode, &mut |_, y| y.fill(0.5)).len(), 3);
    }
    let nothing = cups.without_short_tasks(100);
    let task = nothing.task(Split::Train, &mut rng());
    assert_eq!(nothing.episode(&task, 1, &mut rng()), Episode::default());
}

#[test]
fn labels_become_one_hot_rows() {
    let manifest = BINARY.replace("binary_cross_entropy", "cross_entropy");
    let label = |text: &str| ["10", "9", "2"][text.len() % 3].to_owned();
    let mut text = String::from("slipped,object,touch_b,touch_a\n");
    for row in 0..36 {
        text += &format!("{},cup{},{row},0\n", label(&"x".repeat(row)), row / 12);
    }
    let cups = opened(&manifest, &[("left.csv", &text)]).unwrap();
    let names: Vec<_> = cups.signature().outputs.iter().map(|column| column.name.as_str()).collect();
    assert_eq!(names, ["slipped=2", "slipped=9", "slipped=10"]);
    let task = cups.task(Split::Train, &mut rng());
    let episode = cups.episode(&task, 2, &mut rng());
    assert_eq!((episode.support.rows, episode.query.rows), (6, 6));
    assert_eq!(episode.support.targets[..6], [0.0, 0.0, 1.0, 0.0, 1.0, 0.0]);
    let mut right = |_: &[f32], y: &mut [f32]| y.copy_from_slice(&episode.query.targets);
    assert_eq!(cups.score(&task, &episode, &mut right)[0], 1.0);
    assert_eq!(cups.null_test().unwrap().tasks[0].name, "cup0 / left / slipped=2");
}

#[test]
fn regressions_have_values_and_units() {
    let manifest = BINARY
        .replace("binary_cross_entropy", "huber")
        .replace("[\"touch_*\"]", "[\"touch_a\"]")
        .replace("\"slipped\"", "\"touch_b\"");
    let cups = opened(&manifest, &[("left.csv", &rows())]).unwrap();
    assert_eq!(cups.signature().loss(), Loss::Huber { delta: 1.0 });
    assert_eq!((cups.metrics()[0].name, cups.metrics()[0].unit), ("rmse", "N"));
    let task = cups.task(Split::Test, &mut rng());
    let episode = cups.episode(&task, 3, &mut rng());
    assert_eq!((episode.support.rows, episode.query.rows), (3, 5));
    let mut above = |x: &[f32], y: &mut [f32]| y.iter_mut().zip(x).for_each(|(y, x)| *y = x + 2.5);
    assert_eq!(cups.score(&task, &episode, &mut above), [2.0, 2.0]);
    assert!(matches!(cups.null_test(), Err(DatasetError::NoClasses { .. })));
}

const HEADS: &str = r#"
    name = "pushes"
    files = ["*.csv"]
    inputs = ["touch"]
    task = "object"
    [[heads]]
    outputs = ["slip", "turn"]
    loss = "huber"
    name = "motion"
    [[heads]]
    outputs = ["held"]
    loss = "binary_cross_entropy"
    [[heads]]
    outputs = ["Surface"]
    loss = "cross_entropy"
    [units]
    slip = "mm"
"#;

#[test]
fn several_heads_have_labels_of_their_own() {
    let text = "object,touch,slip,turn,held,Surface\n\
        a,0,1,2,,wet\na,1,,,1,\na,2,3,4,0,dry\na,3,,,,wet\n\
        b,4,5,6,1,icy\nb,5,7,8,0,\nc,6,9,8,1,dry\nc,7,7,6,,icy\n";
    let all = "[split]\nvalidation = 0.0\ntest = 0.0";
    let pushes = opened(&format!("{HEADS}{all}"), &[("a.csv", text)]).unwrap();
    let heads: Vec<_> = pushes.signature().heads.iter().map(|head| (head.name.as_str(), head.outputs)).collect();
    assert_eq!(heads, [("motion", 2), ("held", 1), ("surface", 3)]);
    let outputs: Vec<_> = pushes.signature().outputs.iter().map(|column| column.name.as_str()).collect();
    assert_eq!(outputs, ["slip", "turn", "held", "Surface=dry", "Surface=icy", "Surface=wet"]);
    assert!(pushes.lacks_labels() && !pushes.has_classes() && pushes.null_test().is_err());
    let metrics: Vec<_> = pushes.metrics().iter().map(|metric| (metric.name, metric.unit, metric.head)).collect();
    assert_eq!(
        metrics[..3],
        [("motion_rmse", "mixed", 0), ("motion_mae", "mixed", 0), ("held_balanced_accuracy", "1", 1)]
    );
    assert_eq!(
        metrics[5..],
        [("surface_balanced_accuracy", "1", 2), ("surface_accuracy", "1", 2), ("surface_log_loss", "nat", 2)]
    );

    let task = Task { split: Split::Train, seed: 0 };
    let episode = pushes.episode(&task, 1, &mut rng());
    let rows = [episode.support.targets.clone(), episode.query.targets.clone()].concat();
    let n = f32::NAN;
    let want = [[1., 2., n, 0., 0., 1.], [n, n, 1., n, n, n], [3., 4., 0., 1., 0., 0.], [n, n, n, 0., 0., 1.]].concat();
    assert_eq!(format!("{rows:?}"), format!("{want:?}"));
    let mut judged = |x: &[f32], y: &mut [f32]| {
        assert_eq!(x, [1.0, 2.0, 3.0]);
        // Of the motion one row is judged, of what is held two, of the surface two, one of them taken for another.
        y.copy_from_slice(&[9., 9., 0.9, 1., 0., 0., 3., 7., 0.2, 0.9, 0.05, 0.05, 9., 9., 0.9, 0.8, 0.1, 0.1]);
    };
    let score = pushes.score(&task, &episode, &mut judged);
    assert!((score[0] - 4.5_f64.sqrt()).abs() < 1e-6 && score[1] == 1.5);
    assert_eq!((score[2], score[3], score[5], score[6]), (1.0, 1.0, 0.5, 0.5));

    for (from, to, words) in [
        ("a,1,,,1,", "a,1,,,,", "line 3, column `slip`: expected the label of one head at least, found an empty cell"),
        ("a,1,,,1,", "a,1,,2,1,", "line 3, column `slip`: expected a finite number, found an empty cell"),
        ("a,2,3,4,0,", "a,2,3,4,no,", "line 4, column `held`: expected 0 or 1, found `no`"),
    ] {
        let error = opened(HEADS, &[("a.csv", &text.replace(from, to))]).unwrap_err();
        assert!(error.contains(words), "{to}: {error}");
    }
    for (from, to, words) in [
        ("\"held\"", "\"turn\"", "column `turn` is in `outputs` of two heads"),
        ("\"motion\"", "\"Motion\"", "field `name`: expected lower-case letters, digits and `_`, found `Motion`"),
        ("\"motion\"", "\"held\"", "field `heads`: expected a `name` for each, no two alike, found `held` twice"),
        ("    inputs", "    loss = \"huber\"\n    inputs", "found 3 beside them"),
    ] {
        let error = opened(&HEADS.replace(from, to), &[("a.csv", text)]).unwrap_err();
        assert!(error.contains(words), "{to}: {error}");
    }
}

#[test]
fn files_may_differ_in_the_order_of_columns_only() {
    let turned = "touch_b,slipped,touch_a,object\n7,0,8,cup0\n";
    let cups = opened(BINARY, &[("left.csv", &rows()), ("right.csv", turned)]).unwrap();
    let turned = cups.tasks.iter().find(|task| task.name == "cup0 / right").unwrap();
    assert_eq!(cups.table.inputs[turned.rows[0] * 2..], [8.0, 7.0]);
    let other = opened(BINARY, &[("left.csv", &rows()), ("right.csv", "touch_b,slipped,touch_c,object\n7,0,8,cup0\n")]);
    assert!(other.unwrap_err().contains("[touch_b, touch_c] here and [touch_a, touch_b] in the first file"));
}

#[test]
fn what_is_wrong_is_named() {
    let head = "object,slipped,touch_a,touch_b\n";
    for (text, words) in [
        ("cup,0,1,2\ncup,1,x,2\n", "left.csv, line 3, column `touch_a`: expected a finite number, found `x`"),
        ("cup,0,1,2\n\n\ncup,1,1,NaN\n", "line 5, column `touch_b`: expected a finite number, found `NaN`"),
        ("cup,0,1,\n", "line 2, column `touch_b`: expected a finite number, found an empty cell"),
        ("cup,0,1e39,2\n", "found `1e39`"),
        ("cup,2,1,2\n", "column `slipped`: expected 0 or 1, found `2`"),
        (",0,1,2\n", "column `object`: expected a name, found an empty cell"),
        ("cup,0,1,2\r\ncup,1,x,2\r\n", "left.csv, line 3, column `touch_a`"),
        ("\"cup\n\nof tea\",0,1,2\ncup,0,x,2\n", "left.csv, line 5, column `touch_a`"),
        ("cup,0,1,2\n\ncup,0,1\n", "left.csv, line 4: expected 4 cells, as in the header, found 3"),
        ("", "expected rows below the header, found none"),
    ] {
        let error = opened(BINARY, &[("left.csv", &format!("{head}{text}"))]).unwrap_err();
        assert!(error.contains(words), "{text:?}: {error}");
    }
    for (from, to, words) in [
        ("\"touch_*\"]", "\"taste_*\"]", "expected a column `taste_*`, found the columns `object`, `slipped`"),
        ("\"touch_*\"]", "\"*\"]", "`slipped` is both"),
        ("\"touch_*\" = ", "\"taste_*\" = ", "field `units`"),
        ("\"*.csv\"", "\"*.tsv\"", "no file fits `*.tsv`"),
        ("\"*.csv\"", "\"***.csv\"", "`***.csv`"),
        ("[\"slipped\"]", "[\"slip*\", \"touch_a\"]", "one column"),
        ("\"hand\"\n    inputs", "\"object\"\n    inputs", "two columns are called `object`"),
        ("group = \"object\"", "group = \"touch_a\"", "belongs to group `0` and to group `1`"),
        ("    loss", "    colour = 3\n    loss", "colour"),
    ] {
        let error = opened(&BINARY.replace(from, to), &[("left.csv", &rows())]).unwrap_err();
        assert!(error.contains(words), "{to}: {error}");
    }
    let latin = folder(BINARY, &[]);
    std::fs::write(latin.path().join("left.csv"), b"object,slipped,touch_a,touch_b\nk\xe4se,0,1,2\n").unwrap();
    let error = Dataset::open(latin.path().join("dataset.toml")).unwrap_err().to_string();
    assert!(error.contains("left.csv: CSV") && error.contains("UTF-8"), "{error}");
    assert!(opened(BINARY, &[("left.csv", "")]).unwrap_err().contains("found the columns none"));
}

#[test]
fn real_grasps() {
    let package = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let beside = package.join("../../shared/data");
    let data = std::env::var_os("SINEW_DATA").map_or(beside, PathBuf::from);
    if !data.join("bts3").is_dir() {
        eprintln!("skipped: no folder {}", data.join("bts3").display());
        return;
    }
    let bts3 = Dataset::open_in(package.join("configs/bts3-dataset.toml"), &data).unwrap();
    assert_eq!((bts3.group_count(), bts3.row_count(), all_tasks(&bts3).len()), (41, 4682, 123));
    assert_eq!((bts3.signature().inputs.len(), bts3.signature().outputs.len()), (72, 1));
    assert!(bts3.check_shots(9).is_ok() && bts3.check_shots(10).is_err());
    for fold in 0..5 {
        let counts = SPLITS.map(|split| bts3.with_fold(fold, 5, 0).unwrap().task_count(split).unwrap());
        assert!(counts.iter().sum::<usize>() == 123 && counts[1] == 18 && (24..=27).contains(&counts[2]), "{counts:?}");
    }
    let null = bts3.null_test().unwrap();
    assert_eq!((all_tasks(&null).len(), null.row_count()), (246, 4682));
    let left = all_tasks(&null.without_short_tasks(5)).len();
    assert!(left > 200, "{left}");
}

#[test]
fn sources_are_the_tasks_by_their_rows() {
    let dataset = cups("split = { validation = 0.2, test = 0.2 }");
    for split in SPLITS {
        let sizes = dataset.source_sizes(split).unwrap();
        assert_eq!(sizes.len(), dataset.task_count(split).unwrap());
        for task in dataset.tasks(split) {
            let episode = dataset.episode(&task, 1, &mut rng());
            assert_eq!(sizes[dataset.source(&task)], episode.support.rows + episode.query.rows);
        }
    }
}
