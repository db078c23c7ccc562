//! `sinew compare`

use std::error::Error;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use clap::{Args, ValueEnum};
use sinew_models::rule::{Rate, Scope};
use sinew_runtime::Guard;

use super::{Answer, data_set, runs, settle};
use crate::baseline;
use crate::compare::cost::{self, Cost};
use crate::compare::pulls::{Linked, PullsOfRuns};
use crate::compare::report::Comparison;
use crate::compare::{self, Entry, Kind, Table, Wanted, plot};
use crate::config::{Config, Descent, LearnerConfig, Shots, WorldConfig};
use crate::cuda::DeviceChoice;
use crate::evaluate::{self, BASELINES, Evaluation, Settings};
use crate::labels::Labels;
use crate::model::Model;
use crate::train::{BUNDLE, PULLS, Pulls, Timing};
use crate::world::dataset::Dataset;
use crate::world::{Split, World, open};

/// Train several configurations of one world, and compare them on the very same episodes
///
/// Trains each configuration, for each seed, into DIR/STEM/seed-N, where STEM is the name of its file; what is there is
/// gone on with, and what is done is only loaded. Then all of them adapt to the same test episodes. Prints a table for each
/// number of shots: the score with its 95% interval over tasks and seeds, the difference to the best and to a reference,
/// paired episode by episode, the time of an adaptation by the runtime on this machine, bytes, and seconds of training.
/// Writes the same to DIR/compare.json and DIR/compare.md, and a picture to DIR/compare.svg and DIR/compare.png. Of runs of
/// several heads, DIR/NAME-weights and DIR/NAME-cosines (.svg, .png) show how those were weighed, and where they conflict.
///
/// A run is called by its learner, such as maml, or by STEM where two have the same one. With --baselines, the baselines
/// of configurations with [baselines] are trained and compared, too: each set of settings once, beside the first run that
/// has it.
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub struct Arguments {
    /// What to train: TOML files with the same [world]
    #[arg(required = true, value_name = "CONFIG")]
    configs: Vec<PathBuf>,
    /// Where the runs and the result go
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Runs of each configuration, with its seed and the ones after it
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = super::at_least_one)]
    seeds: usize,
    /// Episodes [default: 600, or all tasks of a data set]
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
    /// Cross-validate over the groups of a data set, with so many folds
    #[arg(long, value_name = "N", value_parser = super::at_least_one)]
    folds: Option<usize>,
    /// Compare with the baselines of the configurations that have some
    #[arg(long)]
    baselines: bool,
    /// With what everything is compared: a learner, a STEM or a baseline, such as finetuned [default: the first]
    #[arg(long, value_name = "NAME")]
    reference: Option<String>,
    /// Whose tasks are drawn; settings are chosen on validation tasks
    #[arg(long, value_enum, value_name = "PART", default_value_t = Part::Test)]
    tasks_from: Part,
    /// The seed of episodes and folds: the same one gives the same
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = super::seed())]
    seed: u64,
    /// What to train on: cpu, cuda:N, or auto, the first GPU that can be used (see `sinew devices`)
    #[arg(long, value_name = "DEVICE", default_value_t)]
    device: DeviceChoice,
    /// Replaces one value in every configuration, such as train.iterations=100; can be repeated
    #[arg(long = "set", value_name = "KEY=VALUE")]
    set: Vec<String>,
}

/// A part of a world by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Part {
    /// Tasks that nothing was chosen on
    Test,
    /// Tasks by which checkpoints are chosen
    Validation,
}

/// A configuration to be compared.
struct Contestant {
    stem: String,
    config: Config,
    /// Whether the baselines are those beside it.
    baselines: bool,
}

/// The world of all configurations, in as many folds.
struct Arena {
    /// To train on and to be judged on.
    worlds: Vec<[Box<dyn World>; 2]>,
}

/// What was trained, and where it lies.
struct Runs<'a> {
    arguments: &'a Arguments,
    contestants: Vec<Contestant>,
    arena: Arena,
}

fn contestants(arguments: &Arguments) -> Result<Vec<Contestant>, Box<dyn Error>> {
    let mut all: Vec<Contestant> = Vec::new();
    let mut sets: Vec<Config> = Vec::new();
    for path in &arguments.configs {
        let config = Config::read(path, &arguments.set)?;
        let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        if all.iter().any(|other| other.stem == stem) {
            return Err(format!("two configurations are called {stem}: their runs would share a folder").into());
        }
        if let Some(first) = all.first().filter(|first| first.config.world != config.world) {
            let (here, there) = (&config.world, &first.config.world);
            return Err(format!(
                "{}: expected the world of `{}`, {there:?}, found {here:?}",
                path.display(),
                first.stem
            )
            .into());
        }
        let last = config.seed.checked_add(arguments.seeds as u64 - 1);
        if last.is_none_or(|last| i64::try_from(last).is_err()) {
            return Err(
                format!("{}: seed {} has no {} seeds after it", path.display(), config.seed, arguments.seeds).into()
            );
        }
        // What the pooled network is trained by; how a device would adapt it does not matter, nor which seeds the others have.
        let adapt = Descent { steps: 1, inner_rate: 0.0, rate: Rate::Constant, adapt: Scope::All, rows: 0 };
        let any = |set: Config| Config { seed: 0, learner: LearnerConfig::Pooled(adapt), ..set };
        let set = config.pooled().filter(|_| arguments.baselines).map(any);
        let baselines = set.as_ref().is_some_and(|set| !sets.contains(set));
        sets.extend(set);
        all.push(Contestant { stem, config, baselines });
    }
    if arguments.baselines && sets.is_empty() {
        return Err("--baselines: no configuration has [baselines]".into());
    }
    Ok(all)
}

impl Arena {
    /// To train with `trained` shots, and to be judged with `shots`.
    fn open(
        arguments: &Arguments,
        world: &WorldConfig,
        trained: &[usize],
        shots: &[usize],
    ) -> Result<Self, Box<dyn Error>> {
        let worlds = match (world, arguments.folds) {
            (WorldConfig::Dataset { file }, folds) => {
                let data = data_set(file, trained)?;
                let most = shots.iter().copied().max().unwrap_or(0);
                let both = |data: Dataset| -> [Box<dyn World>; 2] {
                    let judged = data.without_short_tasks(most);
                    [Box::new(data), Box::new(judged)]
                };
                let count = |data: &Dataset| {
                    [Split::Train, Split::Validation, Split::Test]
                        .into_iter()
                        .flat_map(|split| data.tasks(split))
                        .count()
                };
                let (all, judged) = (count(&data), count(&data.without_short_tasks(most)));
                if judged < all {
                    eprintln!(
                        "{} of {all} tasks have too few rows for {most} shots, so nobody is judged on them",
                        all - judged
                    );
                }
                match folds {
                    None => vec![both(data)],
                    Some(folds) => (0..folds)
                        .map(|fold| Ok(both(data.with_fold(fold, folds, arguments.seed)?)))
                        .collect::<Result<_, Box<dyn Error>>>()?,
                }
            }
            (_, Some(_)) => return Err("--folds needs a data set: [world] kind = \"dataset\"".into()),
            (world, None) => {
                // What baselines choose they choose in validation.
                let judged: &[Split] = match (arguments.tasks_from, arguments.baselines) {
                    (Part::Test, false) => &[Split::Test],
                    (Part::Test, true) => &[Split::Validation, Split::Test],
                    (Part::Validation, _) => &[Split::Validation],
                };
                let to_train = open::open_for(world, trained, &[Split::Train, Split::Validation])?;
                vec![[to_train, open::for_evaluation(world, shots, judged)?]]
            }
        };
        Ok(Self { worlds })
    }
}

impl Runs<'_> {
    fn folder(&self, contestant: &Contestant, seed: usize, fold: usize) -> PathBuf {
        let number = contestant.config.seed + seed as u64;
        let folder = self.arguments.out.join(&contestant.stem).join(format!("seed-{number}"));
        match self.arguments.folds {
            Some(folds) => folder.join(format!("fold-{fold}-of-{folds}")),
            None => folder,
        }
    }

    /// Every seed and fold.
    fn each(&self) -> impl Iterator<Item = (usize, usize)> + use<> {
        let (seeds, folds) = (self.arguments.seeds, self.arena.worlds.len());
        (0..seeds).flat_map(move |seed| (0..folds).map(move |fold| (seed, fold)))
    }

    /// Whether all are done.
    fn train(&self, device: DeviceChoice, stop: &AtomicBool) -> Result<bool, Box<dyn Error>> {
        for (seed, fold) in self.each() {
            for contestant in &self.contestants {
                let mut config = contestant.config.clone();
                config.seed += seed as u64;
                let folder = self.folder(contestant, seed, fold);
                eprintln!("training into {}", folder.display());
                let world = &*self.arena.worlds[fold][0];
                if !runs::trained(&config, world, &folder, contestant.baselines, device, stop)? {
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }

    /// What the learners call themselves.
    fn names(&self) -> Result<Vec<String>, Box<dyn Error>> {
        let name = |contestant: &Contestant| -> Result<_, Box<dyn Error>> {
            let model = Model::open(&self.folder(contestant, 0, 0).join(BUNDLE))?.0;
            Ok((model.about.learner, contestant.stem.clone()))
        };
        let learners: Vec<(String, String)> = self.contestants.iter().map(name).collect::<Result<_, _>>()?;
        Ok(compare::names(&learners))
    }

    fn settings(&self, shots: usize, steps: Vec<usize>) -> Settings {
        let split = if self.arguments.tasks_from == Part::Test { Split::Test } else { Split::Validation };
        let (episodes, seed) = (self.arguments.episodes, self.arguments.seed);
        let labels = Labels::parse(&self.arguments.labels);
        Settings { episodes, shots, steps, seed, guard: Guard::Improve, split, labels }
    }

    /// The evaluations of one configuration, one for each seed, over all folds.
    fn evaluations(&self, contestant: &Contestant, settings: &Settings) -> Result<Vec<Evaluation>, Box<dyn Error>> {
        let mut seeds: Vec<Evaluation> = Vec::new();
        for (seed, fold) in self.each() {
            let folder = self.folder(contestant, seed, fold);
            let world = &*self.arena.worlds[fold][1];
            let evaluation = runs::evaluated(&folder, world, contestant.baselines, settings)?;
            match seeds.get_mut(seed) {
                Some(joined) => joined.join(evaluation),
                None => seeds.push(evaluation),
            }
        }
        Ok(seeds)
    }

    /// The mean over seeds and folds; `None` where one is not known.
    fn seconds(&self, contestant: &Contestant, of: impl Fn(&Path) -> Option<f64>) -> Option<f64> {
        let each = || self.each().map(|(seed, fold)| self.folder(contestant, seed, fold));
        let sum = each().map(|folder| of(&folder)).sum::<Option<f64>>()?;
        Some(sum / each().count() as f64)
    }

    /// What the bundle of the first seed costs.
    fn cost(&self, contestant: &Contestant, settings: &Settings, steps: usize) -> Result<Cost, Box<dyn Error>> {
        let (_, bytes) = Model::open(&self.folder(contestant, 0, 0).join(BUNDLE))?;
        let drawn = evaluate::drawn(&*self.arena.worlds[0][1], settings)?;
        Ok(cost::of_bundle(&bytes, drawn.iter().map(|(_, episode)| episode), steps)?)
    }

    /// Pictures of how heads pulled, of each configuration that weighs them and trains more than one.
    fn pulls(&self, names: &[String]) -> Result<Vec<Linked>, Box<dyn Error>> {
        let mut linked = Vec::new();
        for (contestant, name) in self.contestants.iter().zip(names) {
            let config = &contestant.config;
            if !matches!(config.learner, LearnerConfig::MultiTask(_)) || config.only_head().is_some() {
                continue;
            }
            let folders = self.each().map(|(seed, fold)| self.folder(contestant, seed, fold));
            let runs = folders.map(|folder| Pulls::read(&folder)).collect::<Result<Option<Vec<_>>, _>>()?;
            let known = runs.ok_or_else(|| format!("expected {PULLS} in every run; earlier versions wrote none"));
            match known.and_then(|runs| PullsOfRuns::of(name, &runs)) {
                Ok(of_runs) => linked.push(of_runs.draw(&self.arguments.out)?),
                Err(why) => eprintln!("{name}: no pictures of how heads pull: {why}"),
            }
        }
        Ok(linked)
    }

    /// The rows of one configuration.
    fn entries(
        &self,
        place: usize,
        name: &str,
        settings: &Settings,
    ) -> Result<(Vec<Entry>, Evaluation), Box<dyn Error>> {
        let contestant = &self.contestants[place];
        let rule = Model::open(&self.folder(contestant, 0, 0).join(BUNDLE))?.0.rule;
        let steps = if self.arguments.steps.is_empty() { vec![0, rule.steps()] } else { self.arguments.steps.clone() };
        let settings = Settings { steps, ..settings.clone() };
        let evaluations = self.evaluations(contestant, &settings)?;
        let first = evaluations.first().cloned().ok_or("expected at least one seed")?;
        let wanted = Wanted { baselines: contestant.baselines, oracle: place == 0 };
        let mut entries = compare::entries(name, &contestant.stem, evaluations, wanted);
        let training = self.seconds(contestant, |folder| Timing::read(folder).map(|timing| timing.seconds));
        let pooled = self.seconds(contestant, |folder| baseline::seconds(folder)[0]);
        let process = self.seconds(contestant, |folder| baseline::seconds(folder)[1]);
        let takes_steps = evaluate::different_steps(&rule, &[1, 2]).len() == 2;
        let own = self.contestants[..place].iter().any(|other| other.baselines);
        for entry in &mut entries {
            entry.takes_steps = takes_steps;
            entry.alone = contestant.config.only_head().filter(|_| entry.kind == Kind::Learner);
            entry.training = match entry.name.as_str() {
                _ if entry.kind == Kind::Learner => training,
                "unadapted" | "intercept" | "finetuned" | "gp_residual" => pooled,
                "gp_learned" => pooled.zip(process).map(|(pooled, process)| pooled + process),
                _ => None,
            };
            if let Some(steps) = entry.steps.filter(|steps| *steps > 0) {
                entry.cost = Some(self.cost(contestant, &settings, steps)?);
            }
            if entry.kind == Kind::Baseline && own {
                entry.name = of_set(&entry.name, &contestant.stem);
            }
        }
        Ok((entries, first))
    }
}

/// A baseline's name where there is another set of them.
fn of_set(baseline: &str, stem: &str) -> String {
    format!("{baseline} ({stem})")
}

/// The name of the reference, if there is such a method.
fn reference(runs: &Runs<'_>, names: &[String]) -> Result<String, Box<dyn Error>> {
    let mut known: Vec<String> = names.to_vec();
    let mut first = true;
    for contestant in runs.contestants.iter().filter(|contestant| contestant.baselines) {
        let name = |name: &&str| if first { (*name).to_owned() } else { of_set(name, &contestant.stem) };
        known.extend(BASELINES.iter().map(name));
        first = false;
    }
    let Some(wanted) = &runs.arguments.reference else { return Ok(names[0].clone()) };
    if known.contains(wanted) || runs.contestants.iter().any(|contestant| contestant.stem == *wanted) {
        return Ok(wanted.clone());
    }
    Err(format!("--reference {wanted}: expected one of {}", known.join(", ")).into())
}

pub fn run(arguments: &Arguments, stop: &AtomicBool) -> Answer {
    crate::collective::expect_one()?;
    let contestants = contestants(arguments)?;
    let trained = contestants.iter().map(|contestant| &contestant.config.train.shots);
    let mut shots = arguments.shots.clone();
    if shots.is_empty() {
        shots = trained.clone().map(Shots::main).collect();
        shots.sort_unstable();
        shots.dedup();
    }
    let trained: Vec<usize> = trained.flat_map(Shots::all).copied().collect();
    let arena = Arena::open(arguments, &contestants[0].config.world, &trained, &shots)?;
    let runs = Runs { arguments, contestants, arena };
    let device = settle(arguments.device, |words| eprintln!("{words}"));
    if !runs.train(device, stop)? {
        return Ok(());
    }
    let names = runs.names()?;
    let reference = reference(&runs, &names)?;
    let mut tables = Vec::new();
    for shots in shots {
        let settings = runs.settings(shots, Vec::new());
        let mut table: Option<Table> = None;
        for (place, name) in names.iter().enumerate() {
            if stop.load(Ordering::Relaxed) {
                eprintln!("stopped; the same command goes on");
                return Ok(());
            }
            eprintln!("evaluating {name}, {shots} shots");
            let (entries, evaluation) = runs.entries(place, name, &settings)?;
            let Evaluation { clusters, metrics, .. } = evaluation;
            match &mut table {
                Some(table) if table.clusters != clusters => {
                    return Err(format!("{name} was judged on other episodes than {}", names[0]).into());
                }
                Some(table) => table.entries.extend(entries),
                None => table = Some(Table { shots, entries, clusters, metrics }),
            }
        }
        tables.extend(table);
    }
    for table in &mut tables {
        // Learners, baselines, the oracle.
        table.entries.sort_by_key(|entry| entry.kind);
    }
    let split = runs.settings(0, Vec::new()).split;
    let comparison = Comparison {
        world: runs.arena.worlds[0][1].name().into(),
        split,
        seeds: arguments.seeds,
        folds: arguments.folds,
        evaluation_seed: arguments.seed,
        reference,
        tables,
        pulls: runs.pulls(&names)?,
    };
    print!("{}", comparison.text());
    write(&comparison, &arguments.out)
}

/// The files of the result.
fn write(comparison: &Comparison, folder: &Path) -> Answer {
    let panels = comparison.panels();
    let files = [
        ("compare.json", comparison.json()?.into_bytes()),
        ("compare.md", comparison.markdown().into_bytes()),
        ("compare.svg", plot::svg(&panels)?.into_bytes()),
        ("compare.png", plot::png(&panels)?),
    ];
    for (name, bytes) in files {
        let path = folder.join(name);
        crate::files::replace(&path, &bytes).map_err(|why| format!("{}: {why}", path.display()))?;
    }
    println!("{}", folder.join("compare.{json,md,svg,png}").display());
    for (_, file) in comparison.pulls.iter().flat_map(|linked| &linked.files) {
        println!("{}", folder.join(file.replace(".svg", ".{svg,png}")).display());
    }
    Ok(())
}
