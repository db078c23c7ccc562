//! `sinew crossval`

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use clap::Args;
use sinew_runtime::Guard;

use super::{Answer, data_set, runs, settle};
use crate::config::{Config, WorldConfig};
use crate::cuda::DeviceChoice;
use crate::evaluate::{Evaluation, Settings};
use crate::labels::Labels;
use crate::table;
use crate::world::dataset::Dataset;
use crate::world::{Split, World};

/// Train and evaluate on every fold of a data set, with the null test beside it
///
/// Trains the configuration, and its baselines, once for each fold: each group (each object) is judged by a network that
/// has not seen it. Prints one table over all test tasks, with intervals over groups, and the same for the null test,
/// which tells the earlier half of one class from its later half: what it finds, recording order alone gives away.
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub struct Arguments {
    /// What to train; its world is a data set
    config: PathBuf,
    /// Where the runs go, a folder for each fold; what is there already is gone on with
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// How many folds
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = super::at_least_one)]
    folds: usize,
    /// Support samples (of each class), such as 5 or 1,5,10 [default: as trained]
    #[arg(long, value_name = "K", value_delimiter = ',', value_parser = super::at_least_one)]
    shots: Vec<usize>,
    /// Inner steps, a row each, such as 0,1,5,10 [default: 0 and as trained]
    #[arg(long, value_name = "S", value_delimiter = ',')]
    steps: Vec<usize>,
    /// Replaces the configuration's seed, from which the folds follow, too
    #[arg(long, value_name = "N", value_parser = super::seed())]
    seed: Option<u64>,
    /// What to train on: cpu, cuda:N, or auto, the first GPU that can be used (see `sinew devices`)
    #[arg(long, value_name = "DEVICE", default_value_t)]
    device: DeviceChoice,
    /// Replaces one value, such as train.iterations=100; can be repeated
    #[arg(long = "set", value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Leave the null test out
    #[arg(long)]
    no_null_test: bool,
    /// Write the result as JSON, too; that of the null test to NAME.null.json beside it
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

pub fn run(arguments: &Arguments, stop: &AtomicBool) -> Answer {
    crate::collective::expect_one()?;
    let mut config = Config::read(&arguments.config, &arguments.set)?;
    config.seed = arguments.seed.unwrap_or(config.seed);
    let WorldConfig::Dataset { file } = &config.world else {
        return Err("crossval needs a data set: [world] kind = \"dataset\"".into());
    };
    let shots = if arguments.shots.is_empty() { vec![config.train.shots.main()] } else { arguments.shots.clone() };
    let most = shots.iter().chain(config.train.shots.all()).copied().max().unwrap_or(0);
    let data = data_set(file, &[most])?;
    let Some(results) = over_folds(arguments, &config, &data, &arguments.out, &shots, stop)? else { return Ok(()) };
    table::print(&results);
    if let Some(path) = &arguments.json {
        table::write_json(&results, path)?;
    }
    if arguments.no_null_test || !data.has_classes() {
        return Ok(());
    }
    let null = data.null_test()?.without_short_tasks(most);
    let folder = arguments.out.join("null");
    let Some(results) = over_folds(arguments, &config, &null, &folder, &shots, stop)? else { return Ok(()) };
    println!("\nThe null test: what recording order alone gives away.");
    table::print(&results);
    if let Some(path) = &arguments.json {
        table::write_json(&results, &path.with_extension("null.json"))?;
    }
    Ok(())
}

/// One evaluation for each number of shots, over all folds; `None` if stopped.
fn over_folds(
    arguments: &Arguments,
    config: &Config,
    data: &Dataset,
    folder: &Path,
    shots: &[usize],
    stop: &AtomicBool,
) -> Result<Option<Vec<Evaluation>>, Box<dyn std::error::Error>> {
    let steps = if arguments.steps.is_empty() { vec![0, config.learner.steps()] } else { arguments.steps.clone() };
    let device = settle(arguments.device, |words| eprintln!("{words}"));
    let mut joined: Vec<Evaluation> = Vec::new();
    for fold in 0..arguments.folds {
        let world = data.with_fold(fold, arguments.folds, config.seed)?;
        let folder = folder.join(format!("fold-{fold}-of-{}", arguments.folds));
        eprintln!("{}, fold {} of {}", World::name(data), fold + 1, arguments.folds);
        let baselines = config.baselines.is_some();
        if !runs::trained(config, &world, &folder, baselines, device, stop)? {
            return Ok(None);
        }
        for (place, &shots) in shots.iter().enumerate() {
            let settings = Settings {
                episodes: None,
                shots,
                steps: steps.clone(),
                seed: config.seed,
                guard: Guard::Improve,
                split: Split::Test,
                labels: Labels::All,
            };
            let evaluation = runs::evaluated(&folder, &world, baselines, &settings)?;
            match joined.get_mut(place) {
                Some(joined) => joined.join(evaluation),
                None => joined.push(evaluation),
            }
        }
    }
    // Settings were chosen for each fold by itself, so there is not one choice to print.
    joined.iter_mut().for_each(|evaluation| evaluation.choice = None);
    Ok(Some(joined))
}
