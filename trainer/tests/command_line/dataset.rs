//! Recorded data from a table to a judged bundle: train, evaluate, crossval with the null test.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use crate::fixture::{BUNDLE, folder, json, run, sinew};

const RUN: &str = r#"
[world]
kind = "dataset"
file = "data/objects.toml"
[network]
input = "both"
hidden = [8]
activation = "relu"
[learner]
kind = "maml"
steps = 2
inner_rate = 0.1
[train]
iterations = 30
tasks = 4
shots = 2
outer_rate = 1e-2
validation_every = 10
validation_tasks = 4
threads = 1
"#;

/// Eight objects with `classes` kinds of grasp, six rows of each, that differ by where the object lies; as a data set in `folder`.
fn record(folder: &Path, classes: usize, loss: &str) -> PathBuf {
    let labels = ["0", "1", "2"];
    let names = ["slip", "roll", "hold"];
    let mut table = String::from("object,force,shear,grip\n");
    for object in 0..8 {
        let shift = (object * 37 % 8) as f64 - 3.5;
        for row in 0..6 {
            for class in 0..classes {
                let wobble = ((object * 31 + row * 17 + class * 7) % 11) as f64 / 11.0 - 0.5;
                let (force, shear) = (shift + class as f64 + 0.3 * wobble, 2.0 * shift - class as f64 + 0.2 * wobble);
                let label = if classes == 2 { labels[class] } else { names[class] };
                writeln!(table, "object {object},{force:.4},{shear:.4},{label}").unwrap();
            }
        }
    }
    let data = folder.join("data");
    std::fs::create_dir_all(&data).unwrap();
    std::fs::write(data.join("objects.csv"), table).unwrap();
    let description = format!(
        "name = \"objects\"\nfiles = [\"objects.csv\"]\ninputs = [\"force\", \"shear\"]\noutputs = [\"grip\"]\ntask = \"object\"\n\
         loss = \"{loss}\"\n[split]\nvalidation = 0.25\ntest = 0.25\n"
    );
    let path = data.join("objects.toml");
    std::fs::write(&path, description).unwrap();
    path
}

#[test]
fn three_classes_are_trained_evaluated_and_resumed_from_anywhere() {
    let folder = folder("classes");
    let path = |name: &str| folder.join(name).to_str().unwrap().to_owned();
    let data = record(&folder, 3, "cross_entropy");
    let data = data.to_str().unwrap();
    std::fs::write(path("run.toml"), RUN).unwrap();
    let out = path("run");
    run(&["train", &path("run.toml"), "--out", &out]);
    let bundle = path(&format!("run/{BUNDLE}"));
    // The configuration beside the run finds the data from where it lies.
    run(&["train", &path("run/config.toml"), "--out", &out, "--resume"]);
    run(&["train", &path("run/config.toml"), "--out", &path("again")]);
    let [first, again] = [&bundle, &path(&format!("again/{BUNDLE}"))].map(|path| std::fs::read(path).unwrap());
    assert!(first == again);
    // What is shipped does not say where it was made.
    let home = folder.to_str().unwrap().as_bytes();
    assert!(!first.windows(home.len()).any(|part| part == home));

    let result = path("result.json");
    let words = run(&["evaluate", &bundle, "--data", data, "--json", &result]);
    assert!(words.contains("accuracy on objects"), "{words}");
    let result = json(Path::new(&result));
    assert_eq!((result["source"].as_str(), result["metric"].as_str()), (Some("objects"), Some("balanced_accuracy")));
    let rows = result["results"].as_array().unwrap();
    assert_eq!(
        rows.iter().map(|row| row["method"].as_str().unwrap()).collect::<Vec<_>>(),
        ["adapted", "adapted", "unadapted"]
    );
    for row in rows {
        // Two of eight objects are the test, all of them are judged.
        assert_eq!((row["episodes"].as_u64(), row["shots"].as_u64()), (Some(2), Some(2)));
        assert!((0.0..=1.0).contains(&row["mean"].as_f64().unwrap()), "{row}");
    }
    assert_eq!([0, 1].map(|place| result["others"][place]["metric"].as_str()), [Some("accuracy"), Some("log_loss")]);

    // A task that cannot give the shots would be judged on fewer than the table says.
    let many = sinew(&["evaluate", &bundle, "--data", data, "--shots", "6"]);
    assert_eq!(many.code, 1);
    assert!(many.stderr.contains("6 shot") && many.stderr.contains("object 0"), "{}", many.stderr);
    let many = sinew(&["train", &path("run.toml"), "--out", &path("many"), "--set", "train.shots=6"]);
    assert_eq!(many.code, 1);
    assert!(many.stderr.contains("6 shot") && !folder.join("many").exists(), "{}", many.stderr);

    std::fs::remove_file(folder.join("data/objects.csv")).unwrap();
    for arguments in [
        vec!["evaluate", &bundle, "--data", data],
        vec!["train", &path("run.toml"), "--out", &path("gone")],
        vec!["crossval", &path("run.toml"), "--out", &path("gone")],
    ] {
        let ended = sinew(&arguments);
        assert_eq!(ended.code, 1);
        assert!(ended.stderr.contains("objects.csv") && ended.stderr.contains("no file fits"), "{}", ended.stderr);
    }
    assert!(!folder.join("gone").exists());
}

#[test]
fn two_classes_go_through_every_fold_and_the_null_test() {
    let folder = folder("folds");
    let path = |name: &str| folder.join(name).to_str().unwrap().to_owned();
    record(&folder, 2, "binary_cross_entropy");
    std::fs::write(path("run.toml"), RUN).unwrap();
    let (config, out, result) = (path("run.toml"), path("out"), path("result.json"));
    let arguments = ["crossval", &config, "--out", &out, "--folds", "4", "--json", &result];
    let words = run(&arguments);
    assert!(words.contains("objects, fold 4 of 4") && words.contains("null test"), "{words}");
    let first = json(Path::new(&result));
    let null = json(&folder.join("result.null.json"));
    assert_eq!((first["source"].as_str(), null["source"].as_str()), (Some("objects"), Some("objects-null")));
    assert_eq!(first["metric"], "balanced_accuracy");
    for (result, episodes) in [(&first, 8), (&null, 16)] {
        for row in result["results"].as_array().unwrap() {
            assert_eq!(row["episodes"].as_u64(), Some(episodes), "{row}");
            assert!((0.0..=1.0).contains(&row["mean"].as_f64().unwrap()), "{row}");
        }
    }
    // Once more is the same without training, and other folds do not go on from these.
    let begun = std::time::Instant::now();
    run(&arguments);
    assert!(begun.elapsed().as_secs() <= 20);
    assert_eq!(json(Path::new(&result)), first);
    let words =
        run(&["crossval", &config, "--out", &out, "--folds", "2", "--no-null-test", "--shots", "1,2", "--steps", "2"]);
    assert!(!words.contains("null test"), "{words}");
    let folds: Vec<_> = std::fs::read_dir(&out).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(folds.contains(&"fold-0-of-4".into()) && folds.contains(&"fold-0-of-2".into()), "{folds:?}");
    // The same folds, compared.
    let compared = path("compared");
    let words = run(&["compare", &config, "--out", &compared, "--folds", "4", "--shots", "1,2", "--steps", "2"]);
    assert!(words.contains("8 test episodes over 4 folds, of 8 independent clusters"), "{words}");
    let compared = json(&folder.join("compared/compare.json"));
    let tables = compared["tables"].as_array().unwrap();
    assert_eq!(tables.iter().filter(|table| table["metric"] == "balanced_accuracy").count(), 2);
    let of_two = tables.iter().find(|table| table["shots"] == 2 && table["metric"] == "balanced_accuracy").unwrap();
    let [got, want] = [&of_two["results"][0], &first["results"][1]].map(|row| row["mean"].as_f64().unwrap());
    assert!((got - want).abs() <= 1e-9, "{got} and {want}");
    let few = sinew(&["crossval", &config, "--out", &path("few"), "--folds", "9"]);
    assert_eq!(few.code, 1);
    assert!(few.stderr.contains("fold 0 of 9"), "{}", few.stderr);
}
