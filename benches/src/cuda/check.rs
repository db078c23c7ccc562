//! Whether the engine on a device makes what the engine on the CPU makes.

use std::error::Error;
use std::path::Path;
use std::sync::atomic::AtomicBool;

use sinew_models::spec::NetworkSpec;
use sinew_tests::comparison::{self, Difference, Results, Trial};
use sinew_trainer::collective::Alone;
use sinew_trainer::config::Config;
use sinew_trainer::cuda::{Device, DeviceChoice};
use sinew_trainer::engine::{Cuda, EngineError};
use sinew_trainer::train::{Options, Progress, train, train_on};
use sinew_trainer::world::World;
use sinew_trainer::world::sinusoid::Sinusoid;

use super::Watched;

/// What the validation loss of a training run may be off, of the loss.
pub const OF_TRAINING: f64 = 1e-3;

/// Trials of one kind.
#[derive(Clone, Debug)]
pub struct Group {
    /// What they are about.
    pub name: &'static str,
    /// The trials.
    pub trials: Vec<Trial>,
}

/// All trials.
pub fn groups() -> Vec<Group> {
    let group = |name, trials| Group { name, trials };
    vec![
        group("single passes", comparison::passes()),
        group("inner loops", comparison::inner_loops()),
        group("optimiser", comparison::updates()),
        group("convolutions", comparison::convolutions(16)),
        group("dense networks", comparison::dense_networks(64)),
    ]
}

/// How an engine goes through a dense network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// The inner loop in one launch, where the network allows it.
    OneLaunch,
    /// Layer by layer.
    Layered,
}

impl Way {
    /// Both.
    pub const ALL: [Self; 2] = [Self::OneLaunch, Self::Layered];

    /// In words.
    pub const fn name(self) -> &'static str {
        match self {
            Self::OneLaunch => "one launch",
            Self::Layered => "layer by layer",
        }
    }

    /// An engine that goes this way.
    ///
    /// # Errors
    /// If the network cannot be, or the device has no memory.
    pub fn engine<D: Device>(self, device: &Watched<D>, spec: &NetworkSpec) -> Result<Cuda<Watched<D>>, EngineError> {
        match self {
            Self::OneLaunch => Cuda::new(device.clone(), spec),
            Self::Layered => Cuda::layered(device.clone(), spec),
        }
    }
}

/// What came of a trial.
#[derive(Clone, Debug)]
pub struct Checked {
    /// The kind of trial.
    pub group: &'static str,
    /// The trial.
    pub name: String,
    /// The way it went.
    pub way: Way,
    /// How far off it is, or what failed.
    pub outcome: Result<Outcome, String>,
}

/// How far a trial is off.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The result that is furthest off.
    pub worst: Difference,
    /// What it may be off.
    pub tolerance: f64,
    /// Whether a second run gave the same bits.
    pub same_bits: bool,
}

impl Checked {
    /// Whether it is as it must be.
    pub fn passed(&self) -> bool {
        self.outcome.as_ref().is_ok_and(|outcome| outcome.same_bits && outcome.worst.error <= outcome.tolerance)
    }

    /// What happened, in a line.
    pub fn line(&self) -> String {
        let Self { group, name, way, outcome } = self;
        let verdict = if self.passed() { "pass" } else { "FAIL" };
        let what = match outcome {
            Ok(Outcome { worst, same_bits: true, .. }) => format!("{:.1e} ({})", worst.error, worst.name),
            Ok(Outcome { worst, .. }) => format!("{:.1e} ({}), and other bits when run again", worst.error, worst.name),
            Err(why) => why.clone(),
        };
        format!("{verdict}  {group}: {name}, {}: {what}", way.name())
    }
}

/// Runs every trial on a device, twice each way, and tells of each as it is done.
pub fn check<D: Device>(device: &Watched<D>, groups: &[Group], mut told: impl FnMut(&Checked)) -> Vec<Checked> {
    let mut all = Vec::new();
    for Group { name: group, trials } in groups {
        for trial in trials {
            let want = trial.wanted().map_err(|why| format!("on the CPU: {why}"));
            for way in Way::ALL {
                let outcome =
                    want.clone().and_then(|want| outcome(device, trial, way, &want).map_err(|why| why.to_string()));
                let checked = Checked { group, name: trial.name.clone(), way, outcome };
                told(&checked);
                all.push(checked);
            }
        }
    }
    all
}

fn outcome<D: Device>(device: &Watched<D>, trial: &Trial, way: Way, want: &Results) -> Result<Outcome, Box<dyn Error>> {
    let run = || trial.run(&mut way.engine(device, &trial.case.spec)?);
    let (first, second) = (run()?, run()?);
    let (worst, same_bits) = (trial.worst(&first, want), comparison::same_bits(&first, &second));
    Ok(Outcome { worst, tolerance: trial.tolerance, same_bits })
}

/// Validation losses at the end of the same training run.
#[derive(Clone, Debug)]
pub struct Training {
    /// Iterations.
    pub iterations: usize,
    /// On the CPU.
    pub cpu: f64,
    /// On the device.
    pub device: f64,
}

impl Training {
    /// How far they are apart, of the loss.
    pub fn error(&self) -> f64 {
        (self.device - self.cpu).abs() / self.cpu
    }

    /// Whether they are close.
    pub fn passed(&self) -> bool {
        self.error() <= OF_TRAINING
    }
}

/// Trains on sine waves, on the CPU and on a device.
///
/// # Errors
/// If a run fails.
pub fn training<D: Device>(device: &Watched<D>, iterations: usize) -> Result<Training, Box<dyn Error>> {
    let text = format!(
        "seed = 5
        [world]
        kind = \"sinusoid\"
        [network]
        hidden = [40, 40]
        activation = \"tanh\"
        [learner]
        kind = \"maml\"
        inner_rate = 0.01
        steps = 1
        [train]
        iterations = {iterations}
        tasks = 25
        shots = [10, 10]
        outer_rate = 1e-3
        clip = 10.0
        validation_every = {iterations}
        validation_tasks = 100
        threads = 1"
    );
    let config = Config::parse(Path::new("sinusoid.toml"), &text, &[])?;
    let (world, stop) = (Sinusoid::new(10), AtomicBool::new(false));
    let folders = [tempfile::tempdir()?, tempfile::tempdir()?];
    let [on_cpu, on_device] = folders.each_ref().map(|folder| Options {
        folder: folder.path(),
        resume: false,
        stop: &stop,
        stop_after: None,
        progress: Progress::Hidden,
        device: DeviceChoice::Cpu,
    });
    let cpu = train(&config, &world, &on_cpu)?;
    let engine = Way::OneLaunch.engine(device, &config.network(world.signature())?)?;
    let trained = train_on(engine, 1, &config, &world, &on_device, &mut Alone)?;
    let loss = |validation: Option<f64>| validation.ok_or("the run ended without a validation");
    Ok(Training { iterations, cpu: loss(cpu.validation)?, device: loss(trained.validation)? })
}
