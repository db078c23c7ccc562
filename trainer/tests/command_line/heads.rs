//! Several heads: supports that label some of them, weights of their losses, and a run that begins with a bundle.

use std::path::Path;

use serde_json::Value;
use sinew_trainer::model::Model;

use crate::fixture::{BUNDLE, folder, json, run, sinew};

const CONFIG: &str = r#"
[world]
kind = "terrain"
also = ["slip", "time"]
[network]
hidden = [12]
activation = "tanh"
[learner]
kind = "maml"
steps = 2
inner_rate = 0.05
[train]
iterations = 6
tasks = 4
shots = 8
labels = "one"
outer_rate = 1e-3
validation_every = 3
validation_tasks = 6
threads = 1
"#;

fn train(config: &Path, out: &Path, set: &[&str]) -> String {
    let set: Vec<&str> = set.iter().flat_map(|set| ["--set", set]).collect();
    run(&[&["train", config.to_str().unwrap(), "--out", out.to_str().unwrap()][..], &set].concat())
}

/// The score of a method by the main metric.
fn score(result: &Value, method: &str) -> f64 {
    let rows = result["results"].as_array().unwrap();
    rows.iter().rfind(|row| row["method"] == method).unwrap()["mean"].as_f64().unwrap()
}

#[test]
fn one_head_learns_on_the_device_and_the_others_may_gain() {
    let folder = folder("heads");
    let config = folder.join("heads.toml");
    std::fs::write(&config, CONFIG).unwrap();
    let out = folder.join("run");
    train(&config, &out, &[]);
    let (bundle, file) = (out.join(BUNDLE), folder.join("evaluation.json"));
    let evaluate = |more: &[&str]| {
        let common = ["evaluate", bundle.to_str().unwrap(), "--config", config.to_str().unwrap(), "--episodes", "6"];
        run(&[&common[..], &["--json", file.to_str().unwrap()], more].concat());
        json(&file)
    };
    let all = evaluate(&[]);
    let slip = evaluate(&["--labels", "slip"]);
    let both = evaluate(&["--labels", "slip,log_energy", "--guard", "each-head"]);
    assert_eq!(evaluate(&["--labels", "all"]), all);
    // What is labelled changes what is adapted, and nothing else.
    assert_eq!(score(&all, "unadapted"), score(&slip, "unadapted"));
    assert_ne!(score(&all, "adapted"), score(&slip, "adapted"));
    assert_ne!(score(&both, "adapted"), score(&slip, "adapted"));

    let out = folder.join("compared");
    let common = ["compare", config.to_str().unwrap(), "--out", out.to_str().unwrap(), "--labels", "slip"];
    let words = run(&[&common[..], &["--episodes", "4"]].concat());
    assert!(words.contains("maml") && words.contains("compare."), "{words}");

    let refused = |more: &[&str], words: &str| {
        let common = ["evaluate", bundle.to_str().unwrap(), "--config", config.to_str().unwrap(), "--episodes", "2"];
        let ended = sinew(&[&common[..], more].concat());
        assert!(ended.code == 1 && ended.stderr.contains(words), "{}", ended.stderr);
    };
    refused(&["--labels", "grip"], "expected heads among log_energy, slip, log_time, found `grip`");
    let wrong = |set: &[&str], words: &str| {
        let set: Vec<&str> = set.iter().flat_map(|set| ["--set", set]).collect();
        let out = folder.join("wrong");
        let common = ["train", config.to_str().unwrap(), "--out", out.to_str().unwrap()];
        let ended = sinew(&[&common[..], &set].concat());
        assert!(ended.code == 1 && ended.stderr.contains(words), "{set:?}: {}", ended.stderr);
    };
    wrong(&["train.labels=[\"grip\"]"], "train.labels: expected heads among log_energy, slip, log_time, found `grip`");
    wrong(&["network.weights=[1.0, 0.0]"], "network.weights");
    wrong(&["network.weights=[0.0, 0.0, 0.0]"], "network.weights");
    let bayes = "learner={kind = \"bayes\"}";
    wrong(&[bayes], "expected a rule that takes gradient steps");
}

#[test]
fn a_run_begins_with_a_bundle() {
    let folder = folder("start");
    let config = folder.join("heads.toml");
    std::fs::write(&config, CONFIG).unwrap();
    let first = folder.join("seed-0");
    train(&config, &first, &[]);
    let start = format!("train.start={}", folder.join("seed-${SEED}").join(BUNDLE).display());
    // So small a rate leaves what it begins with; other weights of heads are no other network.
    let small = ["train.outer_rate=1e-12", "train.iterations=1", "network.weights=[1.0, 0.5, 0.0]"];
    let second = folder.join("second");
    train(&config, &second, &[&[start.as_str()][..], &small].concat());
    let [from, to] = [&first, &second].map(|run| Model::open(&run.join(BUNDLE)).unwrap().0);
    assert_eq!(from.scaling, to.scaling);
    assert_eq!(from.state.params.len(), to.state.params.len());
    let near = |(a, b): (&f32, &f32)| (a - b).abs() <= 1e-6 * (1.0 + a.abs());
    assert!(from.state.params.iter().zip(&to.state.params).all(near));
    assert_eq!(to.network.heads.iter().map(|head| head.weight).collect::<Vec<_>>(), [1.0, 0.5, 0.0]);
    let other = folder.join("other");
    let refused = |set: &[&str], words: &str| {
        let set: Vec<&str> = set.iter().flat_map(|set| ["--set", set]).collect();
        let common = ["train", config.to_str().unwrap(), "--out", other.to_str().unwrap()];
        let ended = sinew(&[&common[..], &set].concat());
        assert!(ended.code == 1 && ended.stderr.contains(words), "{}", ended.stderr);
    };
    refused(&[&start, "network.hidden=[13]"], "expected the network of this configuration, found another");
    refused(&["train.start=nowhere.safetensors"], "nowhere.safetensors");
}
