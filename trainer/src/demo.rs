//! The main job, end to end: train, export, evaluate, drive, report.
//!
//! A folder holds one demo: `terrain/` is a run as `sinew train` makes it, `report.html` the page about it. A run that is there
//! is gone on with, or used as it is if it is complete; the page is made anew. Nobody else's files are touched.

pub mod campaign;
pub mod latency;
pub mod mission;
pub mod report;
mod tables;

use std::error::Error;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use sinew_runtime::Guard;

use crate::baseline::{self, Baselines};
use crate::cli::evaluate;
use crate::config::Config;
use crate::counter::Counter;
use crate::cuda::DeviceChoice;
use crate::evaluate::Settings;
use crate::labels::Labels;
use crate::model::Model;
use crate::table;
use crate::train::{self, BUNDLE, CHECKPOINT, Line, METRICS, Options, Progress, TrainError, train};
use crate::world::Split;
use crate::world::terrain::{Distribution, Terrain};

/// What is trained, before it is made shorter.
const CONFIG: &str = include_str!("../configs/terrain.toml");
/// What makes it shorter.
const CHANGES: [&str; 3] = ["train.iterations=4000", "train.validation_every=250", "baselines.iterations=3000"];

/// The run, in the demo's folder.
const RUN: &str = "terrain";
/// The page.
const PAGE: &str = "report.html";

/// Test episodes of the evaluation.
const EPISODES: usize = 100;
/// Missions.
const MISSIONS: u64 = 64;
/// Time for one adaptation on a mission.
const BUDGET: Duration = Duration::from_micros(200);

/// Runs the demo in the folder `out`; ends early, and says how to go on, once `stop` is set.
///
/// # Errors
/// If `out` holds something else, or a step fails.
pub fn run(out: &Path, stop: &AtomicBool) -> Result<(), Box<dyn Error>> {
    let begun = Instant::now();
    let folder = out.join(RUN);
    let config = Config::parse(Path::new("terrain.toml"), CONFIG, &CHANGES.map(String::from))?;
    check_folder(out, &config)?;
    let world = Terrain::new(Distribution::SoilStrength, 0);
    let again = || eprintln!("stopped; `sinew demo --out {}` goes on from here", out.display());

    eprintln!("training on `terrain` into {}, or using what is there", folder.display());
    let options = Options {
        folder: &folder,
        resume: true,
        stop,
        stop_after: None,
        progress: Progress::Shown,
        device: DeviceChoice::Cpu,
    };
    if train(&config, &world, &options).map_err(|why| of_another_version(why, out))?.stopped {
        again();
        return Ok(());
    }
    eprintln!("training the baselines");
    baseline::train(&config, &world, &options)?;
    if stop.load(Ordering::Relaxed) {
        again();
        return Ok(());
    }

    let bundle = folder.join(BUNDLE);
    let (model, bytes) = Model::open(&bundle)?;
    let baselines = Baselines::beside(&bundle)?;
    println!("{}: {} bytes, {:.0} s", bundle.display(), bytes.len(), begun.elapsed().as_secs_f64());
    eprintln!("evaluating on {EPISODES} test episodes");
    let settings = Settings {
        episodes: Some(EPISODES),
        shots: config.train.shots.main(),
        steps: vec![0, config.learner.steps()],
        seed: config.seed,
        guard: Guard::Improve,
        split: Split::Test,
        labels: Labels::All,
    };
    let evaluation = evaluate::with_bar(&bytes, Some(&baselines), &world, &settings)?;
    table::print(std::slice::from_ref(&evaluation));

    eprintln!("driving {MISSIONS} missions");
    let pooled = baselines.pooled.to_bytes()?;
    let plan =
        campaign::Plan { pooled: &pooled, bundle: &bytes, missions: MISSIONS, seed: config.seed, budget: Some(BUDGET) };
    let driven = {
        let counter = Counter::new(MISSIONS, "missions");
        plan.drive(&world, stop, &|| counter.tick())?
    };
    if stop.load(Ordering::Relaxed) {
        again();
        return Ok(());
    }
    println!("\nregret of {} missions [energy beyond the oracle's, as a share of it], lower is better", driven.len());
    print(tables::missions(&driven));
    println!("\nadaptations on the way");
    print(tables::latency(&driven, BUDGET));

    let training = [read_metrics(&folder)?, read_metrics(&folder.join(baseline::FOLDER).join("pooled"))?];
    let report = report::Report {
        world: &world,
        model: &model,
        bundle_len: bytes.len(),
        evaluation: &evaluation,
        driven: &driven,
        budget: BUDGET,
        training: [&training[0], &training[1]],
    };
    let page = out.join(PAGE);
    crate::files::replace(&page, report.page()?.as_bytes()).map_err(|why| format!("{}: {why}", page.display()))?;
    println!("\n{}, {:.0} s in all", page.display(), begun.elapsed().as_secs_f64());
    Ok(())
}

fn print((header, rows): tables::Rows) {
    println!("{}", table::plain(&header, rows));
}

/// Refuses a folder with files that are not the demo's.
fn check_folder(out: &Path, config: &Config) -> Result<(), String> {
    let named = |why: std::io::Error| format!("{}: {why}", out.display());
    if !out.exists() {
        return Ok(());
    }
    let page = out.join(PAGE);
    if page.exists() && !std::fs::read_to_string(&page).is_ok_and(|text| text.contains(report::MARK)) {
        return Err(format!("{}: not a report of the demo: choose another --out", page.display()));
    }
    let run = out.join(RUN);
    // One that was killed before its first checkpoint has its configuration only.
    let begun = std::fs::read_to_string(run.join(train::CONFIG)).is_ok_and(|text| text == config.to_toml());
    let ours = !run.exists() || begun || run.join(CHECKPOINT).exists();
    let empty = std::fs::read_dir(out).map_err(named)?.next().is_none();
    if ours && (empty || run.exists() || page.exists()) {
        return Ok(());
    }
    Err(format!("{}: not empty, and no demo: choose another --out", out.display()))
}

/// A run with another configuration is one that another version of the demo left.
fn of_another_version(why: TrainError, out: &Path) -> String {
    match why {
        TrainError::OtherConfig { .. } => {
            format!("{}: the run there was made with other settings: choose another --out", out.join(RUN).display())
        }
        why => why.to_string(),
    }
}

fn read_metrics(folder: &Path) -> Result<Vec<Line>, Box<dyn Error>> {
    let path = folder.join(METRICS);
    let text = std::fs::read_to_string(&path).map_err(|why| format!("{}: {why}", path.display()))?;
    // A loss that was never finite is null, and such a line is left out.
    Ok(text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> Config {
        Config::parse(Path::new("terrain.toml"), CONFIG, &CHANGES.map(String::from)).unwrap()
    }

    #[test]
    fn only_folders_of_the_demo_are_used() {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path();
        let config = config();
        let check_folder = |out: &Path| check_folder(out, &config);
        assert!(check_folder(&out.join("new")).is_ok() && check_folder(out).is_ok());
        std::fs::write(out.join("thesis.tex"), "years of work").unwrap();
        assert!(check_folder(out).is_err());
        std::fs::create_dir(out.join(RUN)).unwrap();
        assert!(check_folder(out).is_err());
        std::fs::write(out.join(RUN).join(train::CONFIG), config.to_toml()).unwrap();
        assert!(check_folder(out).is_ok());
        std::fs::remove_file(out.join(RUN).join(train::CONFIG)).unwrap();
        assert!(check_folder(out).is_err());
        std::fs::write(out.join(RUN).join(CHECKPOINT), "a run").unwrap();
        assert!(check_folder(out).is_ok());
        std::fs::write(out.join(PAGE), "something else").unwrap();
        assert!(check_folder(out).is_err());
        std::fs::write(out.join(PAGE), report::MARK).unwrap();
        assert!(check_folder(out).is_ok());
    }

    #[test]
    fn the_configuration_is_one() {
        let config = config();
        assert_eq!(config.train.iterations, 4000);
        assert!(config.baselines.is_some());
    }
}
