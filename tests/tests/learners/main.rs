//! What a learner says of its validation tasks is what adapters, given its bundle, make of them: what was optimised is what runs.

mod blobs;

use std::path::Path;
use std::sync::atomic::AtomicBool;

use blobs::Blobs;
use sinew_runtime::{Adapter, Bundle, Guard};
use sinew_trainer::aligned::Aligned;
use sinew_trainer::config::Config;
use sinew_trainer::cuda::DeviceChoice;
use sinew_trainer::episode::Episode;
use sinew_trainer::metric;
use sinew_trainer::streams::Purpose;
use sinew_trainer::train::{Options, Progress, Trained, episodes, train};
use sinew_trainer::world::sinusoid::Sinusoid;
use sinew_trainer::world::{Split, World};

const TASKS: u64 = 12;
const SHOTS: usize = 4;

/// A short run of a learner; inputs relative to the task, too. One thread leaves the same bits as two that were stopped and went on.
fn run(world: &dyn World, kind: &str, learner: &str) -> Trained {
    let [one, two] = [(1, None), (2, Some(31))].map(|(threads, stop)| run_on(world, kind, learner, threads, stop));
    assert!(one.model.state == two.model.state && one.validation == two.validation, "{kind} {learner}");
    two
}

fn run_on(world: &dyn World, kind: &str, learner: &str, threads: usize, stop_after: Option<u64>) -> Trained {
    let text = format!(
        "seed = 3\n[world]\nkind = \"sinusoid\"\n[network]\ninput = \"both\"\nhidden = [16, 12]\nactivation = \"tanh\"\n\
         [learner]\nkind = \"{kind}\"\n{learner}\n[train]\niterations = 60\ntasks = 6\nshots = {SHOTS}\nouter_rate = 1e-2\n\
         validation_every = 20\nvalidation_tasks = {TASKS}\nthreads = {threads}\n"
    );
    let config = Config::parse(Path::new("learner.toml"), &text, &[]).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let stop = AtomicBool::new(false);
    let (progress, device) = (Progress::Hidden, DeviceChoice::Cpu);
    let first = Options { folder: folder.path(), resume: false, stop: &stop, stop_after, progress, device };
    let trained = train(&config, world, &first).unwrap();
    if !trained.stopped {
        return trained;
    }
    train(&config, world, &Options { resume: true, stop_after: None, ..first }).unwrap()
}

/// The mean over the validation tasks of what `judge` says of an adapter that has adapted, of its best bundle.
fn by_adapters(world: &dyn World, trained: &Trained, judge: impl Fn(&mut Adapter<'_>, &Episode) -> f64) -> f64 {
    let bytes = trained.model.to_bytes().unwrap();
    let bundle = Bundle::parse(&bytes).unwrap();
    let drawn = episodes(world, Split::Validation, SHOTS, 3, Purpose::Validation, TASKS);
    let sum: f64 = drawn
        .iter()
        .map(|(_, episode)| {
            let mut memory = Aligned::zeros(Adapter::memory_len(&bundle, 32).unwrap());
            let mut adapter = Adapter::new(&bundle, 32, &mut memory).unwrap();
            adapter.set_guard(Guard::Finite);
            for row in 0..episode.support.rows {
                adapter.observe(episode.support.input(row), episode.support.target(row)).unwrap();
            }
            adapter.adapt(|| false).unwrap();
            judge(&mut adapter, episode)
        })
        .sum();
    sum / TASKS as f64
}

fn predictions(adapter: &mut Adapter<'_>, episode: &Episode) -> Vec<f32> {
    let mut said = vec![0.0; episode.query.targets.len()];
    adapter.predict(&episode.query.inputs, &mut said).unwrap();
    said
}

fn close(trained: &Trained, adapters: f64, learner: &str) {
    let said = trained.validation.unwrap();
    assert!((said - adapters).abs() <= 1e-4 * (1.0 + adapters.abs()), "{learner}: {said}, adapters {adapters}");
}

#[test]
fn of_values() {
    let world = Sinusoid::new(8);
    let gates = "steps = 2\nhidden = 3";
    for (kind, learner) in [
        ("maml", "inner_rate = 0.05\nsteps = 2"),
        ("maml", "inner_rate = 0.05\nsteps = 3\nadapt = \"heads\""),
        ("maml", "inner_rate = 0.05\nsteps = 2\nrate = \"per_parameter\"\nlearn_rate = true"),
        (
            "maml",
            "inner_rate = 0.05\nsteps = 3\nrate = \"per_layer_step\"\nlearn_rate = true\nmulti_step_iterations = 30",
        ),
        ("maml", "inner_rate = 0.05\nsteps = 2\nfirst_order_iterations = 30"),
        ("maml", "inner_rate = 0.05\nsteps = 2\nrate = \"per_parameter\"\nlearn_rate = true\nrows = 7"),
        ("reptile", "inner_rate = 0.05\ntraining_steps = 3\nbatch = 4\nsteps = 2"),
        ("ridge", ""),
        ("ridge", "learn_prior = false\nridge = 0.3"),
        ("ridge", "forgetting = 1.0"),
        ("meta_lstm", gates),
    ] {
        let trained = run(&world, kind, learner);
        let scale = f64::from(trained.model.scaling.output_scale[0]);
        let error = by_adapters(&world, &trained, |adapter, episode| {
            metric::mse(&predictions(adapter, episode), &episode.query.targets) / (scale * scale)
        });
        close(&trained, error, &format!("{kind} {learner}"));
    }
}

#[test]
fn of_values_with_a_variance() {
    let world = Sinusoid::new(8);
    let trained = run(&world, "bayes", "");
    let scale = f64::from(trained.model.scaling.output_scale[0]);
    let surprise = by_adapters(&world, &trained, |adapter, episode| {
        let rows = episode.query.rows;
        let (mut mean, mut variance) = (vec![0.0; rows], vec![0.0; rows]);
        adapter.predict_with_variance(&episode.query.inputs, &mut mean, &mut variance).unwrap();
        let row = |row: usize| {
            let variance = f64::from(variance[row]) / (scale * scale);
            let apart = f64::from(mean[row] - episode.query.targets[row]) / scale;
            0.5 * ((std::f64::consts::TAU * variance).ln() + apart * apart / variance)
        };
        (0..rows).map(row).sum::<f64>() / rows as f64
    });
    close(&trained, surprise, "bayes");
}

#[test]
fn of_classes() {
    let world = Blobs::new();
    for (kind, learner) in [
        ("maml", "inner_rate = 0.3\nsteps = 2"),
        ("prototype", ""),
        ("prototype", "scale = 0.2\nlearn_scale = true"),
        ("ridge", ""),
        ("ridge", "learn_prior = false"),
        ("meta_lstm", "steps = 2\nhidden = 0"),
    ] {
        let trained = run(&world, kind, learner);
        let surprise = by_adapters(&world, &trained, |adapter, episode| {
            metric::class_log_loss(&predictions(adapter, episode), &episode.query.targets, 3)
        });
        close(&trained, surprise, &format!("{kind} {learner}"));
    }
}

#[test]
fn of_classes_by_the_most_alike() {
    let world = Blobs::new();
    let trained = run(&world, "siamese", "");
    let wrong = by_adapters(&world, &trained, |adapter, episode| {
        1.0 - metric::accuracy(&predictions(adapter, episode), &episode.query.targets, 3)
    });
    close(&trained, wrong, "siamese");
    assert!(trained.validation.unwrap() <= 0.2, "{:?}", trained.validation);
}
