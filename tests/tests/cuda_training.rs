//! Whole runs of training on a device against the same runs on the CPU: the same seed, the same tasks, and so the same numbers to rounding;
//! and a run that was stopped on a device goes on there to the bit.

use std::path::Path;
use std::sync::atomic::AtomicBool;

use sinew_tests::shim::{Order, Shim};
use sinew_trainer::collective::Alone;
use sinew_trainer::config::Config;
use sinew_trainer::cuda::{DeviceChoice, Limits};
use sinew_trainer::engine::Cuda;
use sinew_trainer::train::{CHECKPOINT, METRICS, Options, Progress, Trained, train, train_on};
use sinew_trainer::world::World;
use sinew_trainer::world::sinusoid::Sinusoid;

#[path = "learners/blobs.rs"]
mod blobs;
use blobs::Blobs;

/// Every learner of values, with every kind of rate, and what a learner can leave out.
const LEARNERS: [&str; 13] = [
    "kind = \"maml\"\ninner_rate = 0.02\nsteps = 2",
    "kind = \"maml\"\ninner_rate = 0.02\nsteps = 2\nfirst_order = true",
    "kind = \"maml\"\ninner_rate = 0.02\nsteps = 3\nrate = \"per_layer_step\"\nlearn_rate = true",
    "kind = \"maml\"\ninner_rate = 0.02\nsteps = 1\nrate = \"per_parameter\"\nlearn_rate = true",
    "kind = \"maml\"\ninner_rate = 0.02\nsteps = 2\nadapt = \"heads\"",
    "kind = \"maml\"\ninner_rate = 0.02\nsteps = 3\nrate = \"per_layer_step\"\nmulti_step_iterations = 6\nfirst_order_iterations = 3",
    "kind = \"pooled\"\ninner_rate = 0.02",
    "kind = \"reptile\"\ninner_rate = 0.02\ntraining_steps = 3\nbatch = 4",
    "kind = \"ridge\"",
    "kind = \"bayes\"",
    "kind = \"meta_lstm\"\nsteps = 2\nhidden = 3",
    "kind = \"multitask\"\narchitecture = { kind = \"mmoe\", experts = 3 }\nweighting = { kind = \"famo\" }",
    "kind = \"multitask\"\narchitecture = { kind = \"cgc\", shared_experts = 1, own_experts = 2 }\nweighting = { kind = \"mgda\" }",
];
/// Those that only know classes.
const OF_CLASSES: [&str; 2] = ["kind = \"prototype\"\nlearn_scale = true", "kind = \"siamese\""];

fn config(learner: &str) -> Config {
    let text = format!(
        "seed = 5
        [world]
        kind = \"sinusoid\"
        [network]
        hidden = [12, 9]
        activation = \"tanh\"
        [learner]
        {learner}
        [train]
        iterations = 12
        tasks = 5
        shots = [3, 6]
        outer_rate = 3e-3
        clip = 1.0
        weight_decay = 1e-3
        validation_every = 4
        validation_tasks = 6
        threads = 1"
    );
    Config::parse(Path::new("run.toml"), &text, &[]).unwrap()
}

fn options<'a>(folder: &'a Path, stop: &'a AtomicBool) -> Options<'a> {
    let (stop_after, progress, device) = (None, Progress::Hidden, DeviceChoice::Cpu);
    Options { folder, resume: false, stop, stop_after, progress, device }
}

fn on_shim(config: &Config, world: &dyn World, layered: bool, options: &Options<'_>) -> Trained {
    let network = config.network(world.signature()).unwrap();
    let new = if layered { Cuda::layered } else { Cuda::new };
    let device = Shim::new(Limits { multiprocessors: 2, ..Limits::orin() }, Order::Reverse);
    train_on(new(device, &network).unwrap(), 1, config, world, options, &mut Alone).unwrap()
}

fn close(what: &str, got: &[f32], want: &[f32]) {
    let size = |values: &[f32]| values.iter().map(|value| f64::from(*value).powi(2)).sum::<f64>().sqrt();
    let apart: Vec<f32> = got.iter().zip(want).map(|(got, want)| got - want).collect();
    // Some learn no rates.
    let error = size(&apart) / size(want).max(f64::MIN_POSITIVE);
    assert!(got.len() == want.len() && error <= 1e-4, "{what}: {error:e}");
}

#[test]
fn every_learner_trains_as_on_the_cpu() {
    let stop = AtomicBool::new(false);
    let worlds: [(&dyn World, &[&str]); 2] = [(&Sinusoid::new(6), &LEARNERS), (&Blobs::new(), &OF_CLASSES)];
    for (world, learner) in worlds.iter().flat_map(|(world, learners)| learners.iter().map(move |one| (*world, *one))) {
        let config = config(learner);
        let folder = tempfile::tempdir().unwrap();
        let want = train(&config, world, &options(folder.path(), &stop)).unwrap();
        for layered in [false, true] {
            let folder = tempfile::tempdir().unwrap();
            let got = on_shim(&config, world, layered, &options(folder.path(), &stop));
            assert_eq!((got.iterations, got.model.about.iterations), (want.iterations, want.model.about.iterations));
            close(learner, &got.model.state.params, &want.model.state.params);
            close(learner, &got.model.state.rates, &want.model.state.rates);
            let [got, want] = [&got, &want].map(|trained| trained.validation.unwrap());
            assert!((got - want).abs() <= 1e-4 * (1.0 + want.abs()), "{learner}: {got} {want}");
        }
    }
}

#[test]
fn a_stopped_run_goes_on_to_the_bit() {
    let stop = AtomicBool::new(false);
    let config = config(LEARNERS[2]);
    let files = |parts: &[u64]| {
        let folder = tempfile::tempdir().unwrap();
        for (number, part) in parts.iter().enumerate() {
            let whole = options(folder.path(), &stop);
            on_shim(
                &config,
                &Sinusoid::new(6),
                false,
                &Options { resume: number > 0, stop_after: Some(*part), ..whole },
            );
        }
        [CHECKPOINT, METRICS].map(|name| std::fs::read(folder.path().join(name)).unwrap())
    };
    assert!(files(&[12]) == files(&[5, 3, 9]));
}
