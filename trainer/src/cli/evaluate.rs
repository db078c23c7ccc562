//! `sinew evaluate`

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use sinew_runtime::Guard;

use super::{Answer, data_set};
use crate::baseline::Baselines;
use crate::config::{Config, WorldConfig};
use crate::counter::Counter;
use crate::evaluate::{EPISODES, Evaluation, Settings, descent, evaluate};
use crate::labels::Labels;
use crate::model::Model;
use crate::table;
use crate::world::grasp::{GraspConfig, GraspWorld, Judge};
use crate::world::{Split, World, open};

/// Tell what a bundle is worth on test episodes, beside its baselines
///
/// Prints a table with 95% intervals: the bundle adapted with each number of inner steps and, with --baselines,
/// everything else that was trained beside it, on the same episodes. `unadapted` is the network of the baselines, trained
/// on all tasks pooled, or without --baselines the bundle itself.
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub struct Arguments {
    /// The bundle, such as runs/terrain/model.safetensors
    bundle: PathBuf,
    #[command(flatten)]
    source: Source,
    /// Test episodes [default: 600, or all test tasks of a data set]
    #[arg(long, value_name = "N", value_parser = super::at_least_one)]
    episodes: Option<usize>,
    /// Support samples (of each class), such as 5 or 1,5,10 [default: as trained]
    #[arg(long, value_name = "K", value_delimiter = ',', value_parser = super::at_least_one)]
    shots: Vec<usize>,
    /// Inner steps, a row each, such as 0,1,5,10 [default: 0 and as trained]
    #[arg(long, value_name = "S", value_delimiter = ',')]
    steps: Vec<usize>,
    /// Whose labels the support carries: all, one (another head from task to task), or heads [default: all]
    #[arg(long, value_name = "HEADS", value_delimiter = ',')]
    labels: Vec<String>,
    /// The same seed gives the same episodes
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
    /// Compare with the baselines that were trained beside the bundle
    #[arg(long)]
    baselines: bool,
    /// Add gradient descent from the bundle's start, at the best of these rates, such as 0.003,0.01,0.03
    #[arg(long, value_name = "RATE", value_delimiter = ',', value_parser = rate)]
    sgd_rates: Vec<f32>,
    /// When an adaptation is kept; otherwise predictions stay those of the bundle
    #[arg(long, value_enum, default_value_t = GuardName::Improve)]
    guard: GuardName,
    /// Who says whether grasps of a test hold: the closed form, or one simulated lift each (feature `physics`)
    #[arg(long, value_enum)]
    judge: Option<JudgeName>,
    /// Write the result as JSON, too
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// Where the episodes come from.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct Source {
    /// Episodes of a built-in world: sinusoid, terrain, terrain-independent, terrain-scale-only
    #[arg(long, value_name = "NAME")]
    world: Option<String>,
    /// Episodes of recorded data: a dataset.toml, as trainer/configs/bts3-dataset.toml
    #[arg(long, value_name = "FILE")]
    data: Option<PathBuf>,
    /// Episodes of the world of a configuration, as trainer/configs/omniglot-maml.toml
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

/// The guard by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum GuardName {
    /// If the support loss is not worse than before
    Improve,
    /// And no head's own support loss is
    EachHead,
    /// If all numbers are finite
    Finite,
}

/// The judge by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum JudgeName {
    /// The closed form
    Wrench,
    /// A simulated lift
    Lift,
}

impl From<JudgeName> for Judge {
    fn from(name: JudgeName) -> Self {
        match name {
            JudgeName::Wrench => Self::Wrench,
            JudgeName::Lift => Self::Lift,
        }
    }
}

impl Source {
    /// Opens it; what baselines choose they choose in validation.
    fn open(
        &self,
        shots: &[usize],
        baselines: bool,
        judge: Option<Judge>,
    ) -> Result<Box<dyn World>, Box<dyn std::error::Error>> {
        if let Some(file) = &self.config {
            let mut config = Config::read(file, &[])?;
            match (judge, &mut config.world) {
                (None, _) => {}
                (Some(judge), WorldConfig::Grasp(grasps)) => grasps.judge = judge,
                (Some(_), _) => {
                    let found = file.display();
                    return Err(format!("--judge: expected a world of grasps, found another in {found}").into());
                }
            }
            let splits: &[Split] = if baselines { &[Split::Validation, Split::Test] } else { &[Split::Test] };
            return Ok(open::open_for(&config.world, shots, splits)?);
        }
        if let Some(judge) = judge {
            let name = self.world.as_deref().unwrap_or("recorded data");
            let grasps = open::grasps_by_name(name)
                .ok_or_else(|| format!("--judge: expected a world of grasps, found {name}"))?;
            return Ok(Box::new(GraspWorld::open(&GraspConfig { judge, ..grasps })?));
        }
        match (&self.world, &self.data) {
            (Some(name), _) => open::by_name(name).ok_or_else(|| {
                format!("--world {name}: expected one of {}; a data set goes with --data", open::NAMES.join(", "))
                    .into()
            }),
            (None, Some(file)) => Ok(Box::new(data_set(file, shots)?)),
            (None, None) => Err("expected --world NAME, --data FILE or --config FILE".into()),
        }
    }
}

fn rate(text: &str) -> Result<f32, String> {
    let rate = text.trim().parse().ok().filter(|rate: &f32| rate.is_finite() && *rate > 0.0);
    rate.ok_or_else(|| "expected a number above 0".into())
}

/// The shots that a bundle was trained with, as its configuration says.
pub fn trained_shots(model: &Model) -> Option<usize> {
    let text = model.about.config.as_deref()?;
    let config = Config::parse(std::path::Path::new("bundle"), text, &[]).ok()?;
    Some(config.train.shots.main())
}

pub fn run(arguments: &Arguments) -> Answer {
    let (model, bytes) = Model::open(&arguments.bundle)?;
    let baselines = if arguments.baselines {
        let why =
            |why| format!("{why}\nbaselines are trained by `sinew train` where its configuration has [baselines]");
        Some(Baselines::beside(&arguments.bundle).map_err(why)?)
    } else {
        None
    };
    let shots = match &arguments.shots[..] {
        [] => {
            vec![trained_shots(&model).ok_or("the bundle does not say how many shots it was trained with: --shots K")?]
        }
        given => given.to_vec(),
    };
    let world = arguments.source.open(&shots, arguments.baselines, arguments.judge.map(Judge::from))?;
    let trained_steps = model.rule.steps();
    let steps = if arguments.steps.is_empty() { vec![0, trained_steps] } else { arguments.steps.clone() };
    let guard = match arguments.guard {
        GuardName::Improve => Guard::Improve,
        GuardName::EachHead => Guard::EachHead(0),
        GuardName::Finite => Guard::Finite,
    };
    let mut evaluations = Vec::new();
    for shots in shots {
        let settings = Settings {
            episodes: arguments.episodes,
            shots,
            steps: steps.clone(),
            seed: arguments.seed,
            guard,
            split: Split::Test,
            labels: Labels::parse(&arguments.labels),
        };
        let mut evaluation = with_bar(&bytes, baselines.as_ref(), &*world, &settings)?;
        let beside = |rate: &f32| -> Result<_, Box<dyn std::error::Error>> {
            Ok((*rate, with_bar(&descent(&model, *rate).to_bytes()?, None, &*world, &settings)?))
        };
        let descents: Result<Vec<_>, _> = arguments.sgd_rates.iter().map(beside).collect();
        evaluation.add_descent(&descents?);
        evaluations.push(evaluation);
    }
    table::print(&evaluations);
    if let Some(path) = &arguments.json {
        table::write_json(&evaluations, path)?;
    }
    Ok(())
}

/// [`evaluate`], which says how far it has got.
pub fn with_bar(
    bytes: &[u8],
    baselines: Option<&Baselines>,
    world: &dyn World,
    settings: &Settings,
) -> Result<Evaluation, Box<dyn std::error::Error>> {
    let count = settings.episodes.or_else(|| world.task_count(settings.split)).unwrap_or(EPISODES);
    let counter = Counter::new(count as u64, "episodes");
    Ok(evaluate(bytes, baselines, world, settings, &|| counter.tick())?)
}
