//! `sinew compare`.

use std::path::Path;

use serde_json::Value;

use super::fixture::{BUNDLE, CONFIG, folder, json, run, sinew};

fn value(row: &Value, name: &str) -> f64 {
    row[name].as_f64().unwrap_or_else(|| panic!("{name} of {row}"))
}

/// Two configurations that train in a moment; their paths.
fn configs(folder: &Path) -> [String; 2] {
    let pairs = [("plain", CONFIG.to_owned()), ("wide", CONFIG.replace("hidden = [12]", "hidden = [24]"))];
    pairs.map(|(name, text)| {
        let path = folder.join(format!("{name}.toml"));
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    })
}

fn rows(result: &Value) -> &Vec<Value> {
    result["tables"][0]["results"].as_array().unwrap()
}

#[test]
fn two_learners_are_compared_on_the_same_episodes() {
    let folder = folder("compare");
    let [plain, wide] = configs(&folder);
    let out = folder.join("out");
    let out_path = out.to_str().unwrap();
    let arguments = [
        "compare",
        &plain,
        &wide,
        "--out",
        out_path,
        "--seeds",
        "2",
        "--episodes",
        "20",
        "--set",
        "train.iterations=20",
    ];
    let words = run(&arguments);
    assert!(words.contains("wide") && words.contains("less plain, 3 steps") && words.contains("adapt µs"), "{words}");
    let result = json(&out.join("compare.json"));
    assert_eq!((result["source"].as_str(), result["seeds"].as_u64()), (Some("sinusoid"), Some(2)));
    let methods: Vec<_> =
        rows(&result).iter().map(|row| (row["method"].as_str().unwrap(), row["steps"].as_u64())).collect();
    let both = [("plain", Some(0)), ("plain", Some(3)), ("wide", Some(0)), ("wide", Some(3)), ("oracle", None)];
    assert_eq!(methods, both);

    // Each seed's mean is what `evaluate` says of that run, and they are put together.
    let file = folder.join("alone.json");
    for (place, stem) in [(1, "plain"), (3, "wide")] {
        let row = &rows(&result)[place];
        for seed in 0..2 {
            let bundle = out.join(stem).join(format!("seed-{seed}")).join(BUNDLE);
            let (bundle, json_path) = (bundle.to_str().unwrap(), file.to_str().unwrap());
            run(&["evaluate", bundle, "--world", "sinusoid", "--episodes", "20", "--json", json_path]);
            let alone = json(&file);
            let (got, want) = (row["seeds"][seed].as_f64().unwrap(), value(&alone["results"][1], "mean"));
            assert!((got - want).abs() <= 1e-9 * want, "{got} and {want}");
        }
        let mean = (row["seeds"][0].as_f64().unwrap() + row["seeds"][1].as_f64().unwrap()) / 2.0;
        assert!((value(row, "mean") - mean).abs() <= 1e-9 * mean && value(row, "ci95") > 0.0, "{row}");
        for cost in ["adapt", "observe_and_adapt", "bundle", "memory"] {
            assert!(value(&row["cost"], cost) > 0.0, "{row}");
        }
        assert!(value(&row["cost"], "observe_and_adapt") >= value(&row["cost"], "adapt"), "{row}");
        assert!(value(row, "training_seconds") > 0.0, "{row}");
    }
    let difference = value(&rows(&result)[3], "mean") - value(&rows(&result)[1], "mean");
    assert!((rows(&result)[3]["less_reference"][0].as_f64().unwrap() - difference).abs() <= 1e-9);
    assert!(rows(&result)[1].get("less_reference").is_none() && rows(&result)[0].get("cost").is_none());
    let markdown = std::fs::read_to_string(out.join("compare.md")).unwrap();
    assert!(markdown.contains("| plain") && markdown.contains("2 seeds"), "{markdown}");
    assert!(std::fs::read_to_string(out.join("compare.svg")).unwrap().contains("wide, 3 steps"));
    assert!(std::fs::read(out.join("compare.png")).unwrap().starts_with(b"\x89PNG"));

    // Again, without training, with another reference and on other tasks.
    let timing = std::fs::read(out.join("plain/seed-0/timing.json")).unwrap();
    run(&[&arguments[..], &["--reference", "wide", "--tasks-from", "validation"]].concat());
    assert_eq!(std::fs::read(out.join("plain/seed-0/timing.json")).unwrap(), timing);
    let other = json(&out.join("compare.json"));
    assert_eq!((other["reference"].as_str(), other["split"].as_str()), (Some("wide"), Some("validation")));
    assert!(rows(&other)[3].get("less_reference").is_none());
    assert_ne!(rows(&other)[1]["mean"], rows(&result)[1]["mean"]);
}

#[test]
fn baselines_of_equal_settings_are_trained_once() {
    let folder = folder("compare-baselines");
    let [plain, wide] = configs(&folder);
    let again = folder.join("again.toml");
    std::fs::write(&again, CONFIG.replace("steps = 3", "steps = 1")).unwrap();
    let out = folder.join("out");
    let words = run(&[
        "compare",
        &plain,
        again.to_str().unwrap(),
        &wide,
        "--out",
        out.to_str().unwrap(),
        "--episodes",
        "8",
        "--baselines",
        "--reference",
        "finetuned",
        "--steps",
        "2",
    ]);
    assert!(words.contains("less finetuned"), "{words}");
    let result = json(&out.join("compare.json"));
    let names: Vec<_> = rows(&result).iter().map(|row| row["method"].as_str().unwrap().to_owned()).collect();
    let first = ["unadapted", "intercept", "finetuned", "scratch", "classical", "gp_residual", "gp_learned"];
    let second = first.map(|name| format!("{name} (wide)"));
    let all: Vec<String> = ["plain", "again", "wide"]
        .into_iter()
        .chain(first)
        .map(String::from)
        .chain(second)
        .chain(["oracle".into()])
        .collect();
    assert_eq!(names, all);
    assert!(out.join("plain/seed-0/baselines").exists() && !out.join("again/seed-0/baselines").exists());
    let of = |name: &str| rows(&result).iter().find(|row| row["method"] == name).unwrap();
    assert!(value(of("gp_learned"), "training_seconds") > value(of("gp_residual"), "training_seconds"));
    assert!(of("scratch").get("training_seconds").is_none());
}

#[test]
fn what_cannot_be_compared_is_refused() {
    let folder = folder("compare-refused");
    let [plain, wide] = configs(&folder);
    let out = folder.join("out");
    let out = out.to_str().unwrap();
    let terrain = folder.join("terrain.toml");
    std::fs::write(&terrain, CONFIG.replace("\"sinusoid\"", "\"terrain\"")).unwrap();
    let refused = |arguments: &[&str], word: &str| {
        let ended = sinew(arguments);
        assert!(ended.code == 1 && ended.stderr.contains(word), "{arguments:?}: {}", ended.stderr);
    };
    refused(&["compare", &plain, terrain.to_str().unwrap(), "--out", out], "expected the world of `plain`");
    refused(&["compare", &plain, &plain, "--out", out], "two configurations are called plain");
    refused(&["compare", &plain, "--out", out, "--folds", "3"], "--folds needs a data set");
    let none = folder.join("none.toml");
    std::fs::write(&none, CONFIG.split("[baselines]").next().unwrap()).unwrap();
    refused(&["compare", none.to_str().unwrap(), "--out", out, "--baselines"], "no configuration has [baselines]");
    assert!(!Path::new(out).exists());
    let few = ["--set", "train.iterations=2", "--reference", "who"];
    refused(&[&["compare", &plain, &wide, "--out", out][..], &few].concat(), "expected one of plain, wide");
}
