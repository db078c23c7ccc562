//! Recorded series from a file to a judged bundle, by one configuration: train, evaluate.

use std::fmt::Write;
use std::path::Path;

use crate::fixture::{BUNDLE, folder, json, run, sinew};

const RUN: &str = r#"
[world]
kind = "series"
root = "data"
files = ["swings.ts"]
way = 3
query = 2
split = "series"
[network]
convolutions = { channels = [4] }
hidden = [8]
activation = "relu"
[learner]
kind = "maml"
steps = 1
inner_rate = 0.1
[train]
iterations = 20
tasks = 4
shots = 1
outer_rate = 1e-2
validation_every = 10
validation_tasks = 8
threads = 1
"#;

/// Three swings of other frequencies, ten of each.
fn record(folder: &Path) {
    let mut text = String::from("@problemName swings\n@classLabel true slow middle fast\n@data\n");
    for number in 0..30 {
        let class = number % 3;
        for channel in 0..2 {
            let value = |at: usize| {
                let phase = (number * 7 % 11) as f64 + channel as f64;
                format!("{:.4}", ((class + 1) as f64 * at as f64 * 0.5 + phase).sin())
            };
            write!(text, "{}:", (0..12).map(value).collect::<Vec<_>>().join(",")).unwrap();
        }
        writeln!(text, "{}", ["slow", "middle", "fast"][class]).unwrap();
    }
    std::fs::create_dir_all(folder.join("data")).unwrap();
    std::fs::write(folder.join("data/swings.ts"), text).unwrap();
}

#[test]
fn series_are_trained_and_evaluated_by_one_configuration() {
    let folder = folder("series");
    let path = |name: &str| folder.join(name).to_str().unwrap().to_owned();
    record(&folder);
    let (config, out, result) = (path("run.toml"), path("run"), path("result.json"));
    std::fs::write(&config, RUN).unwrap();
    run(&["train", &config, "--out", &out]);
    let bundle = path(&format!("run/{BUNDLE}"));
    // What the run wrote down finds the series from where it lies, and makes the same of them.
    run(&["train", &path("run/config.toml"), "--out", &path("again")]);
    let [first, again] = [&bundle, &path(&format!("again/{BUNDLE}"))].map(|path| std::fs::read(path).unwrap());
    assert!(first == again);
    let home = folder.to_str().unwrap().as_bytes();
    assert!(!first.windows(home.len()).any(|part| part == home));

    let evaluate = ["evaluate", &bundle, "--config", &config, "--episodes", "30", "--json", &result];
    let words = run(&evaluate);
    assert!(words.contains("accuracy on series"), "{words}");
    let told = json(Path::new(&result));
    let rows = told["results"].as_array().unwrap();
    assert!(
        rows.iter().all(|row| row["episodes"] == 30 && (0.0..=1.0).contains(&row["mean"].as_f64().unwrap())),
        "{told}"
    );
    run(&evaluate);
    assert_eq!(json(Path::new(&result)), told, "the same seed");

    // Of ten series of a class three are tested on and two chosen on.
    for arguments in [
        vec!["evaluate", &bundle, "--config", &config, "--shots", "3"],
        vec!["train", &config, "--out", &path("many"), "--set", "train.shots=3"],
    ] {
        let ended = sinew(&arguments);
        assert_eq!(ended.code, 1);
        assert!(ended.stderr.contains("swings/slow") && ended.stderr.contains("3 shot(s)"), "{}", ended.stderr);
    }
    run(&["evaluate", &bundle, "--config", &config, "--shots", "2", "--episodes", "5"]);
    let ended = sinew(&["evaluate", &bundle, "--config", &config, "--world", "sinusoid"]);
    assert!(ended.code == 2 && ended.stderr.contains("--world"), "{}", ended.stderr);
    std::fs::remove_file(folder.join("data/swings.ts")).unwrap();
    let ended = sinew(&["evaluate", &bundle, "--config", &config]);
    assert!(ended.code == 1 && ended.stderr.contains("swings.ts"), "{}", ended.stderr);
}
