//! The contract of the `sinew` command: what it writes, that it agrees with the library, and how it refuses.

mod compare;
mod dataset;
mod devices;
mod fixture;
mod heads;
mod multitask;
mod refusals;
mod series;
mod show;
mod your_data;

use std::path::Path;

use fixture::{BUNDLE, CONFIG, folder, json, output, rows, run, sinew, tensor, trained, write};
use serde_json::Value;
use sinew_runtime::{Adapter, Bundle, Guard, Outcome};
use sinew_trainer::baseline::Baselines;
use sinew_trainer::config::{Config, Shots};
use sinew_trainer::engine::Kept;
use sinew_trainer::evaluate::{Settings, evaluate};
use sinew_trainer::labels::Labels;
use sinew_trainer::model::Model;
use sinew_trainer::world::{Split, open};

const COMMANDS: [&str; 11] =
    ["train", "evaluate", "compare", "crossval", "adapt", "predict", "inspect", "deploy", "show", "demo", "devices"];

#[test]
fn every_command_helps() {
    let all = run(&["--help"]);
    for command in COMMANDS {
        assert!(all.contains(command), "{all}");
        let help = run(&[command, "--help"]);
        assert!(help.contains(&format!("Usage: sinew {command}")) && help.contains("--help"), "{help}");
        // No line runs off a terminal.
        assert!(help.lines().all(|line| line.chars().count() <= 120), "{help}");
    }
    assert!(run(&["--version"]).starts_with("sinew "));
}

#[test]
fn train_writes_a_run_that_its_own_configuration_repeats() {
    let folder = folder("train");
    let config = folder.join("small.toml");
    std::fs::write(&config, CONFIG).unwrap();
    let (first, second) = (folder.join("first"), folder.join("second"));
    let set = ["--seed", "7", "--set", "train.iterations=20", "--set", "train.shots=[1, 5]"];
    let words = run(&[&["train", config.to_str().unwrap(), "--out", first.to_str().unwrap()][..], &set].concat());
    assert!(words.contains("model.safetensors") && words.contains("baselines"), "{words}");

    let resolved = Config::read(&first.join("config.toml"), &[]).unwrap();
    assert_eq!((resolved.seed, resolved.train.iterations), (7, 20));
    assert_eq!(resolved.train.shots, Shots::Any(vec![1, 5]));
    let metrics = std::fs::read_to_string(first.join("metrics.jsonl")).unwrap();
    let iterations: Vec<u64> = metrics
        .lines()
        .map(|line| {
            let line: Value = serde_json::from_str(line).unwrap();
            assert!(line["loss"].is_f64() && line["validation"].is_f64(), "{line}");
            line["iteration"].as_u64().unwrap()
        })
        .collect();
    assert_eq!(iterations, [15, 20]);

    // The resolved configuration says it all.
    run(&["train", first.join("config.toml").to_str().unwrap(), "--out", second.to_str().unwrap()]);
    let same =
        |file: &str| assert!(std::fs::read(first.join(file)).unwrap() == std::fs::read(second.join(file)).unwrap());
    let files = ["model.safetensors", "config.toml", "metrics.jsonl", "baselines/linear.safetensors"];
    files.into_iter().for_each(same);

    // A run that is there is not written over, and one that is done stays as it is.
    let again =
        ["train", second.join("config.toml").to_str().unwrap(), "--out", second.to_str().unwrap()].map(String::from);
    let again: Vec<&str> = again.iter().map(String::as_str).collect();
    let refused = sinew(&again);
    assert_eq!(refused.code, 1);
    assert!(refused.stderr.contains("--resume"), "{}", refused.stderr);
    run(&[&again[..], &["--resume"]].concat());
    files.into_iter().for_each(same);
    let other = sinew(&[&again[..], &["--resume", "--seed", "8"]].concat());
    assert_eq!(other.code, 1);
    assert!(other.stderr.contains("another configuration"), "{}", other.stderr);
    files.into_iter().for_each(same);
}

/// A bundle but for its configuration: its header, what it says of itself without that, and its tensors.
fn trained_part(bundle: &Path) -> ([Value; 2], Vec<u8>) {
    let bytes = std::fs::read(bundle).unwrap();
    let (len, file) = bytes.split_first_chunk::<8>().unwrap();
    let (header, tensors) = file.split_at(u64::from_le_bytes(*len) as usize);
    let mut header: Value = serde_json::from_slice(header).unwrap();
    let about = header["__metadata__"]["sinew.about"].take();
    let mut about: Value = serde_json::from_str(about.as_str().unwrap()).unwrap();
    assert!(about["config"].take().is_string());
    ([header, about], tensors.to_vec())
}

#[test]
fn what_is_kept_of_inner_loops_changes_no_bit() {
    let folder = folder("kept");
    let config = folder.join("small.toml");
    std::fs::write(&config, CONFIG).unwrap();
    let mut all = Vec::new();
    for (kept, parsed) in
        [("activations", Kept::Activations), ("parameters", Kept::Parameters), ("checkpoints", Kept::Checkpoints)]
    {
        let (out, set) = (folder.join(kept), format!("train.kept={kept}"));
        let more = ["--set", &set, "--set", "learner.steps=5", "--set", "train.iterations=20"];
        run(&[&["train", config.to_str().unwrap(), "--out", out.to_str().unwrap()][..], &more].concat());
        assert_eq!(Config::read(&out.join("config.toml"), &[]).unwrap().train.kept, parsed);
        all.push(trained_part(&out.join(BUNDLE)));
    }
    assert!(all.iter().all(|part| *part == all[0]));
}

/// Ctrl-C saves what there is.
#[cfg(unix)]
#[test]
fn an_interrupted_run_can_be_gone_on_with() {
    use std::process::{Command, Stdio};
    use std::time::{Duration, Instant};

    let folder = folder("interrupt");
    let (config, out) = (folder.join("long.toml"), folder.join("run"));
    std::fs::write(&config, CONFIG.replace("iterations = 45", "iterations = 100000000")).unwrap();
    let arguments = ["train", config.to_str().unwrap(), "--out", out.to_str().unwrap(), "--resume"];
    for round in 1..=2 {
        let metrics = || std::fs::read_to_string(out.join("metrics.jsonl")).map_or(0, |text| text.lines().count());
        let before = metrics();
        let mut command = Command::new(env!("CARGO_BIN_EXE_sinew"));
        let child = command.args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let begun = Instant::now();
        while metrics() <= before && begun.elapsed() < Duration::from_secs(20) {
            std::thread::sleep(Duration::from_millis(5));
        }
        let kill = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
        assert!(kill.success());
        let ended = child.wait_with_output().unwrap();
        let words = String::from_utf8(ended.stderr).unwrap();
        assert!(ended.status.success() && words.contains("go on with --resume"), "{words}");
        assert!(metrics() > before, "round {round}: {words}");
        let iterations = Model::open(&out.join("last.safetensors")).unwrap().0.about.iterations;
        assert!(iterations >= 15 * round, "{iterations}");
        Model::open(&out.join(BUNDLE)).unwrap();
    }
}

/// Runs `sinew evaluate` on the trained bundle; its JSON.
fn evaluation(name: &str, more: &[&str]) -> Value {
    let path = folder(name).join("result.json");
    let bundle = trained().join(BUNDLE);
    let words = run(&[&["evaluate", bundle.to_str().unwrap(), "--json", path.to_str().unwrap()], more].concat());
    let result = json(&path);
    assert!(words.contains(result["metric"].as_str().unwrap()) && words.contains("unadapted"), "{words}");
    result
}

fn methods(result: &Value) -> Vec<(String, u64)> {
    let rows = result["results"].as_array().unwrap().iter();
    rows.map(|row| (row["method"].as_str().unwrap().to_owned(), row["steps"].as_u64().unwrap())).collect()
}

/// The same number, but for what reading JSON does to its last bit.
fn close(a: f64, b: f64) -> bool {
    (a - b).abs() <= 1e-12 * (a.abs() + b.abs())
}

#[test]
fn evaluate_says_what_the_library_says() {
    let arguments = ["--world", "sinusoid", "--episodes", "50", "--seed", "3", "--steps", "0,1,5,10"];
    let result = evaluation("evaluate", &arguments);
    assert_eq!((result["source"].as_str(), result["metric"].as_str()), (Some("sinusoid"), Some("mse")));
    let expected = [("adapted", 0), ("adapted", 1), ("adapted", 5), ("adapted", 10), ("unadapted", 0), ("oracle", 0)];
    assert_eq!(methods(&result), expected.map(|(method, steps)| (method.to_owned(), steps)));

    let bytes = std::fs::read(trained().join(BUNDLE)).unwrap();
    let steps = vec![0, 1, 5, 10];
    let settings = Settings {
        episodes: Some(50),
        shots: 5,
        steps,
        seed: 3,
        guard: Guard::Improve,
        split: Split::Test,
        labels: Labels::All,
    };
    let world = open::by_name("sinusoid").unwrap();
    let library = evaluate(&bytes, None, &*world, &settings, &|| ()).unwrap().rows(0);
    let rows = result["results"].as_array().unwrap();
    for (row, want) in rows.iter().zip(&library) {
        assert_eq!((row["shots"].as_u64(), row["episodes"].as_u64()), (Some(5), Some(50)));
        for (name, want) in [("mean", want.mean), ("ci95", want.ci95), ("median", want.median)] {
            assert!(close(row[name].as_f64().unwrap(), want), "{name} of {row}");
        }
    }

    // Without baselines, `unadapted` is the bundle itself, and what ratios refer to.
    let (start, five, unadapted) = (&rows[0], &rows[2], &rows[4]);
    assert_eq!(start["mean"], unadapted["mean"]);
    assert_eq!(start["ratio"][0].as_f64(), Some(1.0));
    let ratio = five["mean"].as_f64().unwrap() / unadapted["mean"].as_f64().unwrap();
    assert!(close(five["ratio"][0].as_f64().unwrap(), ratio) && !close(ratio, 1.0), "{five}");
    assert!(unadapted.get("ratio").is_none() && unadapted.get("refused").is_none(), "{unadapted}");

    assert_eq!(evaluation("evaluate-again", &arguments), result, "the same seed");
    let other =
        evaluation("evaluate-other", &["--world", "sinusoid", "--episodes", "50", "--steps", "0", "--seed", "4"]);
    assert_ne!(other["results"][0]["mean"], start["mean"], "another seed");
    // As trained, unless told.
    let plain = evaluation("evaluate-plain", &["--world", "sinusoid", "--episodes", "20"]);
    assert_eq!(methods(&plain)[..2], [("adapted".to_owned(), 0), ("adapted".to_owned(), 3)]);
    assert_eq!(plain["results"][1]["shots"], 5);
    let shots = evaluation("evaluate-shots", &["--world", "sinusoid", "--episodes", "20", "--shots", "1,10"]);
    let shots: Vec<u64> =
        shots["results"].as_array().unwrap().iter().map(|row| row["shots"].as_u64().unwrap()).collect();
    assert_eq!(shots, [1, 1, 1, 1, 10, 10, 10, 10]);
}

#[test]
fn evaluate_compares_with_every_baseline() {
    let arguments = ["--world", "sinusoid", "--episodes", "12", "--baselines", "--steps", "3"];
    let result = evaluation("baselines", &arguments);
    let names: Vec<String> = methods(&result).into_iter().map(|(name, _)| name).collect();
    assert_eq!(
        names,
        [
            "adapted",
            "unadapted",
            "intercept",
            "finetuned",
            "scratch",
            "classical",
            "gp_residual",
            "gp_learned",
            "oracle"
        ]
    );
    let row = |name: &str| result["results"].as_array().unwrap().iter().find(|row| row["method"] == name).unwrap();
    let ratio = row("adapted")["mean"].as_f64().unwrap() / row("unadapted")["mean"].as_f64().unwrap();
    assert!(close(row("adapted")["ratio"][0].as_f64().unwrap(), ratio));
    assert!(row("adapted")["beside_finetuned"][0].is_f64());
    let choice = &result["choices"][0];
    assert_eq!(choice["fine_tuned"]["steps"], row("finetuned")["steps"]);
    assert_eq!(choice["scratch"]["steps"], row("scratch")["steps"]);

    // `unadapted` is the pooled network here, not the bundle.
    let pooled = Baselines::beside(&trained().join(BUNDLE)).unwrap().pooled.to_bytes().unwrap();
    let settings = Settings {
        episodes: Some(12),
        shots: 5,
        steps: vec![0],
        seed: 0,
        guard: Guard::Improve,
        split: Split::Test,
        labels: Labels::All,
    };
    let world = open::by_name("sinusoid").unwrap();
    let library = evaluate(&pooled, None, &*world, &settings, &|| ()).unwrap().rows(0);
    let (got, want) = (row("unadapted")["mean"].as_f64().unwrap(), library[0].mean);
    assert!((got - want).abs() <= 1e-5 * want, "{got} and {want}");
}

/// Support and query rows of a sine wave, in files; the file names and the rows.
fn wave(folder: &Path) -> ([String; 2], [Vec<f32>; 3]) {
    let x: Vec<f32> = (0..7).map(|row| row as f32 * 1.3 - 4.0).collect();
    let y: Vec<f32> = x.iter().map(|x| 3.0 * (x + 0.5).sin()).collect();
    let query: Vec<f32> = (0..150).map(|row| row as f32 / 15.0 - 5.0).collect();
    let (support, ask) = (folder.join("support.safetensors"), folder.join("query.safetensors"));
    write(&support, &[tensor("x", &x, 1), tensor("y", &y, 1)]);
    write(&ask, &[tensor("x", &query, 1)]);
    ([support, ask].map(|path| path.to_str().unwrap().to_owned()), [x, y, query])
}

#[test]
fn adapt_answers_as_an_adapter() {
    let folder = folder("adapt");
    let bundle_path = trained().join(BUNDLE);
    let ([support, ask], [x, y, query]) = wave(&folder);
    let bytes = std::fs::read(&bundle_path).unwrap();
    let bundle = Bundle::parse(&bytes).unwrap();
    let mut memory = vec![0.0; Adapter::memory_len(&bundle, 7).unwrap()];
    let mut adapter = Adapter::new(&bundle, 7, &mut memory).unwrap();
    x.iter().zip(&y).for_each(|(x, y)| adapter.observe(&[*x], &[*y]).unwrap());

    for (arguments, steps) in [(&[][..], 3), (&["--steps", "6"][..], 6), (&["--steps", "0"][..], 0)] {
        let [out, result] = ["y.safetensors", "adapt.json"].map(|name| folder.join(name).to_str().unwrap().to_owned());
        let common = ["adapt", bundle_path.to_str().unwrap(), "--support", &support, "--query", &ask, "--out", &out];
        let words = run(&[&common[..], &["--json", &result], arguments].concat());
        assert!(words.contains("support loss") && words.contains("µs"), "{words}");
        let result = json(Path::new(&result));
        assert_eq!((result["rows"].as_u64(), result["steps"].as_u64()), (Some(7), Some(steps)));
        assert!(result["microseconds"].as_f64().unwrap() > 0.0);
        let losses: Vec<f64> =
            result["support_loss"].as_array().unwrap().iter().map(|loss| loss.as_f64().unwrap()).collect();
        assert_eq!(losses.len() as u64, steps + 1);

        adapter.rollback();
        assert!(close(losses[0], f64::from(adapter.support_loss().unwrap())));
        for (steps, loss) in losses.iter().enumerate().skip(1) {
            adapter.set_steps(steps);
            let report = adapter.adapt(|| false).unwrap();
            assert_eq!((report.outcome, report.steps), (Outcome::Committed, steps));
            assert!(close(*loss, f64::from(report.loss_after)));
        }
        if steps > 0 {
            assert!(losses.is_sorted_by(|before, after| after < before), "{losses:?}");
        }
        assert_eq!(result["outcome"], if steps > 0 { "committed" } else { "no_steps" });
        let mut want = vec![0.0; query.len()];
        adapter.predict(&query, &mut want).unwrap();
        let (shape, got) = rows(Path::new(&out), "y");
        assert_eq!((shape, got), (vec![150, 1], want), "{steps} steps");
    }
}

/// An adaptation that makes the support loss worse, or leaves the numbers, is not kept.
#[test]
fn adapt_keeps_the_start_where_it_is_better() {
    let folder = folder("worse");
    let ([support, ask], [.., query]) = wave(&folder);
    let (mut model, _) = Model::open(&trained().join(BUNDLE)).unwrap();
    let path = |name: &str| folder.join(name).to_str().unwrap().to_owned();
    let (bundle, out, result, plain) = (path("wild"), path("y.safetensors"), path("adapt.json"), path("plain"));
    for (rate, outcome) in [(1e3, "worse"), (1e38, "not_finite")] {
        model.state.rates.fill(rate);
        model.write(Path::new(&bundle)).unwrap();
        let common = ["adapt", &bundle, "--support", &support, "--query", &ask, "--out", &out, "--json", &result];
        let words = run(&common);
        assert!(words.contains(outcome), "{words}");
        let result = json(Path::new(&result));
        assert_eq!(result["outcome"], outcome, "{result}");
        let losses = result["support_loss"].as_array().unwrap();
        assert!(losses[3].is_null() || losses[3].as_f64() > losses[0].as_f64(), "{result}");
        run(&["predict", &bundle, "--input", &ask, "--out", &plain]);
        let [got, want] = [&out, &plain].map(|path| rows(Path::new(path), "y").1);
        assert_eq!(got.len(), query.len());
        let worst = got.iter().zip(&want).map(|(got, want)| (got - want).abs()).fold(0.0, f32::max);
        assert!(worst <= 1e-5, "{worst}");
    }
}

#[test]
fn predict_answers_as_an_adapter_without_support() {
    let folder = folder("predict");
    let bundle_path = trained().join(BUNDLE);
    let ([_, ask], [.., query]) = wave(&folder);
    let bytes = std::fs::read(&bundle_path).unwrap();
    let bundle = Bundle::parse(&bytes).unwrap();
    let mut memory = vec![0.0; Adapter::memory_len(&bundle, 1).unwrap()];
    let mut want = vec![0.0; query.len()];
    Adapter::new(&bundle, 1, &mut memory).unwrap().predict(&query, &mut want).unwrap();
    let out = folder.join("y.safetensors");
    let (bundle_path, out_path) = (bundle_path.to_str().unwrap(), out.to_str().unwrap());
    let words = run(&["predict", bundle_path, "--input", &ask, "--out", out_path]);
    assert!(words.contains("150 rows"), "{words}");
    let (shape, got) = rows(&out, "y");
    assert_eq!(shape, [150, 1]);
    // How many rows go through at once may change the last bit.
    let worst = got.iter().zip(&want).map(|(got, want)| (got - want).abs()).fold(0.0, f32::max);
    assert!(worst <= 1e-5, "{worst}");

    let none = folder.join("none.safetensors");
    write(&none, &[tensor("x", &[], 1)]);
    run(&["predict", bundle_path, "--input", none.to_str().unwrap(), "--out", out_path]);
    assert_eq!(rows(&out, "y"), (vec![0, 1], vec![]));
}

#[test]
fn inspect_shows_the_bundle() {
    let path = trained().join(BUNDLE);
    let (model, bytes) = Model::open(&path).unwrap();
    let words = run(&["inspect", path.to_str().unwrap()]);
    let parameters = model.network.param_len();
    for part in ["backbone.0.weight", "heads.y.0.bias", "3 gradient steps", "sinusoid", "maml", "MeanSquared"] {
        assert!(words.contains(part), "{part}: {words}");
    }
    assert!(words.contains(&format!("{parameters} parameters, {} bytes", bytes.len())), "{words}");
    let result: Value = serde_json::from_str(&output(&["inspect", path.to_str().unwrap(), "--json"]).stdout).unwrap();
    assert_eq!(result["parameters"], parameters);
    assert_eq!(result["bytes"], bytes.len());
    assert_eq!(result["rates"]["count"], model.state.rates.len());
    assert_eq!(result["about"]["iterations"], model.about.iterations);
    assert_eq!(result["network"], serde_json::to_value(&model.network).unwrap());
    assert_eq!(result["rule"], serde_json::to_value(&model.rule).unwrap());
}
