//! Stopping and going on: a run that was stopped leaves the same bytes as one that was not, and no number of threads changes them.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use sinew_trainer::checkpoint::Checkpoint;
use sinew_trainer::config::{Config, LearnerConfig, WorldConfig};
use sinew_trainer::cuda::DeviceChoice;
use sinew_trainer::model::Model;
use sinew_trainer::train::{
    BUNDLE, CHECKPOINT, LAST, METRICS, Options, PULLS, Progress, TIMING, Timing, TrainError, Trained, train,
};
use sinew_trainer::world::World;
use sinew_trainer::world::sinusoid::Sinusoid;
use sinew_trainer::world::terrain::Terrain;

mod stopping;
use stopping::Stopping;

/// One inner step at a constant rate, everything decayed and clipped.
const PLAIN: &str = r#"
    seed = 5
    [world]
    kind = "sinusoid"
    [network]
    hidden = [16, 16]
    activation = "relu"
    normalise = false
    [learner]
    kind = "maml"
    inner_rate = 0.01
    [train]
    iterations = 30
    tasks = 5
    shots = 5
    outer_rate = 3e-3
    weight_decay = 0.01
    clip = 2.0
    validation_every = 10
    validation_tasks = 8
    threads = 1
"#;

/// Learned rates for each layer and step, several shots, scales, a schedule, and a last validation out of turn.
const RATES: &str = r#"
    seed = 6
    [world]
    kind = "sinusoid"
    [network]
    input = "both"
    hidden = [12]
    activation = "tanh"
    [learner]
    kind = "maml"
    steps = 3
    inner_rate = 0.05
    rate = "per_layer_step"
    learn_rate = true
    [train]
    iterations = 24
    tasks = 6
    shots = [1, 5, 10]
    outer_rate = 3e-3
    rate_outer_rate = 1e-2
    validation_every = 7
    validation_tasks = 8
    threads = 2
"#;

/// Supervised, without a validation.
const POOLED: &str = r#"
    [world]
    kind = "sinusoid"
    [network]
    hidden = [8]
    activation = "silu"
    [learner]
    kind = "pooled"
    inner_rate = 0.01
    [train]
    iterations = 12
    tasks = 4
    shots = 5
    outer_rate = 1e-3
    validation_every = 5
    validation_tasks = 0
    threads = 1
"#;

/// Several heads, by a weighting that remembers and looks at losses again after each step.
const MULTITASK: &str = r#"
    [world]
    kind = "terrain"
    distribution = "soil-strength"
    also = ["slip", "time"]
    [network]
    hidden = [8]
    of_each_head = [4]
    activation = "silu"
    [learner]
    kind = "multitask"
    weighting = { kind = "famo" }
    [train]
    iterations = 6
    tasks = 4
    shots = 5
    outer_rate = 1e-2
    validation_every = 4
    validation_tasks = 8
    threads = 2
"#;

fn config(text: &str, changes: &[&str]) -> Config {
    let changes: Vec<String> = changes.iter().map(|change| (*change).to_owned()).collect();
    Config::parse(Path::new("run.toml"), text, &changes).unwrap()
}

/// Runs `config` in `folder`, for at most `stop_after` iterations.
fn run(config: &Config, folder: &Path, resume: bool, stop_after: Option<u64>) -> Result<Trained, TrainError> {
    let stop = AtomicBool::new(false);
    let options =
        Options { folder, resume, stop: &stop, stop_after, progress: Progress::Hidden, device: DeviceChoice::Cpu };
    match &config.world {
        WorldConfig::Terrain(terrain) => train(config, &Terrain::open(terrain, 0).unwrap(), &options),
        _ => train(config, &Sinusoid::new(10), &options),
    }
}

/// Every file of a folder, but how long the run took.
fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = std::fs::read_dir(folder).unwrap().map(Result::unwrap);
    let files = entries.map(|entry| (entry.file_name().into_string().unwrap(), std::fs::read(entry.path()).unwrap()));
    files.filter(|(name, _)| name != TIMING).collect()
}

fn assert_same(got: &BTreeMap<String, Vec<u8>>, want: &BTreeMap<String, Vec<u8>>, what: &str) {
    assert_eq!(got.keys().collect::<Vec<_>>(), want.keys().collect::<Vec<_>>(), "{what}");
    for (name, bytes) in want {
        assert!(got[name] == *bytes, "{what}: {name} differs");
    }
}

/// The files of a run that nobody stopped.
fn whole(config: &Config) -> BTreeMap<String, Vec<u8>> {
    let folder = tempfile::tempdir().unwrap();
    let trained = run(config, folder.path(), false, None).unwrap();
    assert!(!trained.stopped && trained.iterations == config.train.iterations);
    let timing = Timing::read(folder.path()).unwrap();
    assert!(timing.iterations == config.train.iterations && timing.seconds > 0.0, "{timing:?}");
    let files = files(folder.path());
    let mut names =
        vec!["checkpoint.safetensors", "config.toml", "last.safetensors", "metrics.jsonl", "model.safetensors"];
    let lines = config.train.iterations.div_ceil(config.train.validation_every);
    let count = |name: &str| files[name].iter().filter(|byte| **byte == b'\n').count() as u64;
    assert_eq!(count(METRICS), lines);
    if matches!(config.learner, LearnerConfig::MultiTask(_)) {
        names.push(PULLS);
        assert_eq!(count(PULLS), 1 + lines);
    }
    names.sort_unstable();
    assert_eq!(files.keys().collect::<Vec<_>>(), names);
    files
}

#[test]
fn stopped_runs_go_on_to_the_bit() {
    for (text, parts) in [
        (PLAIN, vec![vec![1], vec![10], vec![13], vec![29], vec![0, 3, 7, 1, 11]]),
        (RATES, vec![vec![2], vec![7, 7, 7], vec![20], vec![5, 1, 10]]),
        (POOLED, vec![vec![4], vec![5, 6]]),
        (MULTITASK, vec![vec![2, 3]]),
    ] {
        let config = config(text, &[]);
        let want = whole(&config);
        for parts in parts {
            let folder = tempfile::tempdir().unwrap();
            let mut done = 0;
            for (number, part) in parts.iter().enumerate() {
                let trained = run(&config, folder.path(), number > 0, Some(*part)).unwrap();
                done += part;
                assert!(trained.stopped && trained.iterations == done, "{parts:?}");
                // Whatever is there can be opened in between.
                for file in [BUNDLE, LAST] {
                    Model::open(&folder.path().join(file)).unwrap();
                }
            }
            let trained = run(&config, folder.path(), true, None).unwrap();
            assert!(!trained.stopped);
            assert_same(&files(folder.path()), &want, &format!("stopped after {parts:?}"));
            assert_eq!(trained.model.to_bytes().unwrap(), want[BUNDLE]);
            // Nothing is left to do, and nothing is done.
            run(&config, folder.path(), true, None).unwrap();
            assert_same(&files(folder.path()), &want, "resumed at its end");
        }
    }
}

#[test]
fn the_flag_stops_as_well() {
    for (text, after) in [(PLAIN, 300), (RATES, 310), (RATES, 360)] {
        let config = config(text, &[]);
        let want = whole(&config);
        let folder = tempfile::tempdir().unwrap();
        let stop = AtomicBool::new(false);
        let world = Stopping { world: Sinusoid::new(10), left: AtomicUsize::new(after), stop: &stop };
        let options = Options {
            folder: folder.path(),
            resume: false,
            stop: &stop,
            stop_after: None,
            progress: Progress::Hidden,
            device: DeviceChoice::Cpu,
        };
        let trained = train(&config, &world, &options).unwrap();
        assert!(trained.stopped && trained.iterations < config.train.iterations, "{}", trained.iterations);
        assert_eq!(world.name(), "sinusoid");
        stop.store(false, Ordering::Relaxed);
        train(&config, &world, &Options { resume: true, ..options }).unwrap();
        assert_same(&files(folder.path()), &want, &format!("stopped by the flag at {}", trained.iterations));
    }
}

/// A run that died between its log and its checkpoint has lines that will be written again, the last of them perhaps half.
#[test]
fn lines_past_the_checkpoint_are_written_again() {
    let config = config(PLAIN, &[]);
    let want = whole(&config);
    let folder = tempfile::tempdir().unwrap();
    run(&config, folder.path(), false, Some(10)).unwrap();
    let metrics = folder.path().join(METRICS);
    let mut lines = std::fs::read(&metrics).unwrap();
    lines.extend(b"{\"iteration\":20,\"loss\":1.0,\"validation\":1.0,\"skipped\":0}\n{\"iterat");
    std::fs::write(&metrics, lines).unwrap();
    run(&config, folder.path(), true, None).unwrap();
    assert_same(&files(folder.path()), &want, "after a crash");
}

#[test]
fn what_would_spoil_a_run_is_refused_and_leaves_it_alone() {
    let right = config(PLAIN, &[]);
    let folder = tempfile::tempdir().unwrap();
    run(&right, folder.path(), false, Some(12)).unwrap();
    let before = files(folder.path());

    let error = run(&right, folder.path(), false, None).unwrap_err();
    assert!(matches!(error, TrainError::Exists { .. }) && error.to_string().contains("--resume"), "{error}");
    for change in ["train.outer_rate=1e-4", "seed=9", "network.hidden=[16, 17]", "train.iterations=31"] {
        let error = run(&config(PLAIN, &[change]), folder.path(), true, None).unwrap_err();
        assert!(matches!(error, TrainError::OtherConfig { .. }), "{change}: {error}");
        assert!(error.to_string().contains(CHECKPOINT), "{error}");
    }
    assert_same(&files(folder.path()), &before, "after refusals");

    let checkpoint = folder.path().join(CHECKPOINT);
    let bytes = &before[CHECKPOINT];
    for length in [0, 7, 8, 100, bytes.len() / 2, bytes.len() - 1] {
        std::fs::write(&checkpoint, &bytes[..length]).unwrap();
        let spoilt = files(folder.path());
        let error = run(&right, folder.path(), true, None).unwrap_err();
        assert!(matches!(error, TrainError::Checkpoint(_)), "{length} bytes: {error}");
        assert!(error.to_string().contains(CHECKPOINT), "{error}");
        // A damaged one is a run as well, and is not written over.
        assert!(matches!(run(&right, folder.path(), false, None), Err(TrainError::Exists { .. })));
        assert_same(&files(folder.path()), &spoilt, &format!("{length} bytes of the checkpoint"));
    }

    // The same configuration over data that has changed: another network.
    std::fs::write(&checkpoint, bytes).unwrap();
    let spoil: [fn(&mut Checkpoint); 3] = [
        |at| {
            at.state.params.pop();
            at.params_moments.first.pop();
            at.params_moments.second.pop();
        },
        |at| at.scaling.input_mean.push(0.0),
        |at| at.scaling.output_scale.clear(),
    ];
    for spoil in spoil {
        let mut at = Checkpoint::read(&folder.path().join(CHECKPOINT)).unwrap();
        spoil(&mut at);
        at.write(&checkpoint).unwrap();
        let error = run(&right, folder.path(), true, None).unwrap_err();
        assert!(matches!(error, TrainError::Checkpoint(_)), "{error}");
        std::fs::write(&checkpoint, bytes).unwrap();
    }
    run(&right, folder.path(), true, None).unwrap();
}

/// A run whose gradients are not finite ends where it would have ended without a stop, too.
#[test]
fn a_run_that_falls_apart_says_so_wherever_it_was_stopped() {
    let config = config(PLAIN, &["learner.inner_rate=1e30", "train.iterations=500", "train.validation_every=40"]);
    let diverges = |folder: &Path, resume| match run(&config, folder, resume, None) {
        Err(TrainError::Diverged { iteration }) => iteration,
        other => panic!("{other:?}"),
    };
    let (whole, parts) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let iteration = diverges(whole.path(), false);
    assert_eq!(iteration, 99);
    run(&config, parts.path(), false, Some(60)).unwrap();
    assert_eq!(diverges(parts.path(), true), iteration);
    for file in [CHECKPOINT, METRICS] {
        assert!(files(whole.path())[file] == files(parts.path())[file], "{file}");
    }
    assert_eq!(diverges(parts.path(), true), iteration);
}

/// A first validation that gives NaN is replaced by the first that gives a number.
#[test]
fn a_loss_that_is_not_a_number_is_not_the_best() {
    let config = config(PLAIN, &[]);
    let folder = tempfile::tempdir().unwrap();
    run(&config, folder.path(), false, Some(10)).unwrap();
    let path = folder.path().join(CHECKPOINT);
    let mut at = Checkpoint::read(&path).unwrap();
    at.best.as_mut().unwrap().loss = f64::NAN;
    at.write(&path).unwrap();
    let trained = run(&config, folder.path(), true, None).unwrap();
    assert!(trained.validation.unwrap().is_finite() && trained.model.about.iterations > 10);
}

/// The configuration names the threads and is in the files; everything else must not know them.
#[test]
fn threads_change_no_bit() {
    for text in [PLAIN, RATES, POOLED] {
        let run = |threads: usize| {
            let folder = tempfile::tempdir().unwrap();
            let config = config(text, &[&format!("train.threads={threads}")]);
            run(&config, folder.path(), false, None).unwrap();
            let bundle = |name: &str| {
                let (mut model, bytes) = Model::open(&folder.path().join(name)).unwrap();
                assert_eq!(model.to_bytes().unwrap(), bytes);
                assert!(model.about.config.take().is_some_and(|text| text.contains(&format!("threads = {threads}"))));
                model.to_bytes().unwrap()
            };
            let mut checkpoint = Checkpoint::read(&folder.path().join(CHECKPOINT)).unwrap();
            checkpoint.config.clear();
            (bundle(BUNDLE), bundle(LAST), checkpoint, files(folder.path()).remove(METRICS))
        };
        let one = run(1);
        for threads in [2, 3] {
            assert!(run(threads) == one, "{threads} threads");
        }
    }
}

/// A run that cannot begin leaves no folder.
#[test]
fn what_cannot_be_trained_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    for change in ["learner.steps=0", "learner.adapt={layers = [9]}", "network.hidden=[0]"] {
        let error = run(&config(PLAIN, &[change]), &out, false, None).unwrap_err();
        assert!(matches!(error, TrainError::Config(_)), "{change}: {error}");
        assert!(!out.exists(), "{change}");
    }
}
