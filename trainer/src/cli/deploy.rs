//! `sinew deploy`

use std::collections::BTreeMap;
use std::error::Error;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use clap::Args;

use super::{Answer, evaluate};
use crate::baseline::{self, Baselines};
use crate::config::{Config, WorldConfig};
use crate::counter::Counter;
use crate::deploy::arm::{self, Motions};
use crate::deploy::grasp::{self, Choice, Tries};
use crate::deploy::plot;
use crate::deploy::report::{Deployed, Deployment};
use crate::deploy::roster::{Named, RIVALS, Roster, Settings};
use crate::deploy::terrain::{self, Missions};
use crate::deploy::{Campaign, CampaignError};
use crate::model::Model;
use crate::world::World;
use crate::world::arm::ArmWorld;
use crate::world::grasp::GraspWorld;
use crate::world::terrain::Terrain;

/// The name of the one that never learns, with which all are compared unless something else is asked for.
const UNADAPTED: &str = RIVALS[0];
/// The name of the one that takes its place where motions are planned: it plans by exact checks alone.
const EXACT: &str = arm::OWN[2];

/// Put bundles to work in a control loop, beside all who could do the job
///
/// On terrain: plan on expected energies, drive, observe, adapt and plan anew, on test missions that are the same for
/// all. Prints how well the whole map is predicted and what a plan loses after 0, 8, 16, 32 and 64 driven edges, and
/// what the mission took beyond one that knows the true energies. Grasping: choose a grasp of an unknown object, try
/// it, observe, adapt and choose anew. Prints how often the pick holds, how well the outcomes of other grasps are
/// predicted after 0, 1, 5, 10 and 20 tries, and how many tries held so far. Arm: plan motions among obstacles by
/// predicted clearances, check each path exactly, learn what was wrong with it, plan anew. Prints how many exact checks
/// a motion took, with those of the support, by how many motions there are in a scene, what share of them has a path,
/// and time.
///
/// All with 95% intervals, differences and ratios paired with a reference. Writes the same to DIR/deploy.json and
/// DIR/deploy.md, and curves of it to DIR/deploy.svg and DIR/deploy.png.
///
/// Beside the bundles work the baselines that were trained beside the first bundle that has some, ridge regression and
/// a Gaussian process that start from nothing, and those who know more than a robot can: on terrain one who fits the
/// formulas of the world, one who knows the hidden facts, and the truth; in grasping a particle filter inside the true
/// model, and a bandit that learns of each grasp alone. For the arm a kernel perceptron, and RRT-Connect by exact
/// checks alone and as a lazy planner. A bundle is called by its folder, or where that is seed-N by the one above;
/// bundles of one name are the same agent from several seeds.
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub struct Arguments {
    /// The bundles, such as runs/terrain-ridge/seed-0/model.safetensors
    #[arg(required = true, value_name = "BUNDLE")]
    bundles: Vec<PathBuf>,
    /// The configuration whose [world] they are put to work in
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Where deploy.json, .md, .svg and .png go
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Missions, objects to grasp, or scenes to move in
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = super::at_least_one)]
    trials: usize,
    /// How grasps to try are chosen
    #[arg(long, value_name = "WAY", value_delimiter = ',', default_value = "random,greedy")]
    choose: Vec<Choice>,
    /// Driven edges from one adaptation and plan to the next
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = super::at_least_one)]
    every: usize,
    /// Driven edges, tries or checks that an agent remembers; more than the support, for the arm
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = super::at_least_one)]
    remember: usize,
    /// Support samples for which settings are chosen, and that the arm begins with [default: as trained]
    #[arg(long, value_name = "K", value_parser = super::at_least_one)]
    shots: Option<usize>,
    /// With whom all are compared [default: unadapted, for the arm rrt_connect, or the first bundle]
    #[arg(long, value_name = "NAME")]
    reference: Option<String>,
    /// The same seed gives the same missions
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = super::seed())]
    seed: u64,
}

/// What a bundle is called: its folder, or where that is `seed-N` the one above; by itself its own name.
fn name_of(path: &Path) -> String {
    let names: Vec<String> =
        path.components().rev().map(|part| part.as_os_str().to_string_lossy().into_owned()).collect();
    let is_seed = |name: &str| name.strip_prefix("seed-").is_some_and(|number| number.parse::<u64>().is_ok());
    let stem = || path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    match &names[..] {
        [_, seed, folder, ..] if is_seed(seed) => folder.clone(),
        [file, folder, ..] if file == crate::train::BUNDLE => folder.clone(),
        _ => stem(),
    }
}

/// The bundles of each seed, in the order in which names came: `[seed][bundle]`.
fn by_seed(paths: &[PathBuf]) -> Result<Vec<Vec<(String, &Path)>>, String> {
    let mut names = Vec::new();
    let mut groups: BTreeMap<String, Vec<&Path>> = BTreeMap::new();
    for path in paths {
        let name = name_of(path);
        if [&RIVALS[..], &terrain::OWN, &grasp::OWN, &arm::OWN].concat().contains(&&*name) {
            return Err(format!(
                "{}: an agent is called {name} already: put the bundle into another folder",
                path.display()
            ));
        }
        if !names.contains(&name) {
            names.push(name.clone());
        }
        groups.entry(name).or_default().push(path);
    }
    let counts: Vec<String> = names.iter().map(|name| format!("{name} {}", groups[name].len())).collect();
    let seeds = names.first().map_or(0, |name| groups[name].len());
    if groups.values().any(|paths| paths.len() != seeds) {
        return Err(format!("expected as many seeds of each agent, found {}", counts.join(", ")));
    }
    Ok((0..seeds).map(|seed| names.iter().map(|name| (name.clone(), groups[name][seed])).collect()).collect())
}

/// The baselines beside the first of `paths` that has some.
fn baselines_beside<'a>(paths: impl Iterator<Item = &'a Path>) -> Result<Option<Baselines>, Box<dyn Error>> {
    let has = |path: &&Path| path.parent().unwrap_or(Path::new(".")).join(baseline::FOLDER).is_dir();
    Ok(paths.into_iter().find(has).map(Baselines::beside).transpose()?)
}

pub fn run(arguments: &Arguments, stop: &AtomicBool) -> Answer {
    crate::collective::expect_one()?;
    let seeds = by_seed(&arguments.bundles)?;
    let config = Config::read(&arguments.config, &[])?;
    let world = match &config.world {
        WorldConfig::Terrain(config) => Place::Terrain(Terrain::open(config, 0)?),
        WorldConfig::Grasp(config) => Place::Grasp(GraspWorld::open(config)?),
        WorldConfig::Arm(config) => Place::Arm(ArmWorld::new(config)),
        other => {
            let path = arguments.config.display();
            return Err(format!(
                "{path}: expected a world with a control loop, terrain, grasp or arm, found {other:?}"
            )
            .into());
        }
    };
    std::fs::create_dir_all(&arguments.out).map_err(|why| format!("{}: {why}", arguments.out.display()))?;
    let counter = Counter::new((seeds.len() * arguments.trials) as u64, "trials");
    let mut agents: Vec<Deployed> = Vec::new();
    let (mut chosen, mut about) = (None, None);
    let mut settings = Settings { shots: 1, capacity: arguments.remember, seed: arguments.seed };
    for (seed, paths) in seeds.iter().enumerate() {
        let baselines = baselines_beside(paths.iter().map(|(_, path)| *path))?;
        let mut bundles = Vec::new();
        for (place, (name, path)) in paths.iter().enumerate() {
            let (model, bytes) = Model::open(path)?;
            check(path, &model, world.as_world())?;
            if (seed, place) == (0, 0) {
                settings.shots = arguments.shots.or_else(|| evaluate::trained_shots(&model)).ok_or_else(|| {
                    format!("{}: it does not say how many shots it was trained with: --shots K", path.display())
                })?;
            }
            bundles.push(Named { name: name.clone(), bytes });
        }
        if baselines.is_none() {
            counter.say(&format!("no baselines beside the bundles of seed {seed}: they are not compared"));
        }
        counter.say(&format!("seed {seed}: choosing settings on validation tasks, then to work"));
        let roster = Roster::new(&bundles, baselines.as_ref(), world.as_world(), settings)?;
        // Those who know more than a robot can are not trained, so one seed says all.
        let campaign = world.campaign(arguments, &roster, seed == 0, settings);
        // Before hours are spent.
        let names = campaign.names();
        chosen.get_or_insert(reference(arguments, &names)?);
        let done = campaign.run(stop, &|| counter.tick()).map_err(|why: CampaignError| why as Box<dyn Error>)?;
        let Some(scores) = done else {
            counter.say("stopped; nothing was written");
            return Ok(());
        };
        about = Some((campaign.trials().0, campaign.panels(), campaign.notes()));
        for (name, scores) in names.into_iter().zip(scores) {
            match agents.iter_mut().find(|agent| agent.name == name) {
                Some(agent) => agent.scores.push(scores),
                None => agents.push(Deployed { name: name.into(), scores: vec![scores] }),
            }
        }
    }
    drop(counter);
    // There is at least one bundle, so at least one seed.
    let Some((trials, panels, notes)) = about else { return Ok(()) };
    let deployment = Deployment {
        world: world.as_world().name().into(),
        trials,
        seed: arguments.seed,
        panels,
        reference: chosen.unwrap_or_default(),
        agents,
        notes: format!("{notes} Settings were chosen on validation tasks for {} shots.", settings.shots),
    };
    print!("{}", deployment.text());
    let mut files =
        vec![("deploy.json", deployment.json()?.into_bytes()), ("deploy.md", deployment.markdown().into_bytes())];
    if let Some(plot::Files { svg, png }) = plot::curves(&deployment)? {
        files.extend([("deploy.svg", svg.into_bytes()), ("deploy.png", png)]);
    }
    for (name, bytes) in files {
        let path = arguments.out.join(name);
        crate::files::replace(&path, &bytes).map_err(|why| format!("{}: {why}", path.display()))?;
        println!("{}", path.display());
    }
    Ok(())
}

/// A world with a control loop.
enum Place {
    Terrain(Terrain),
    Grasp(GraspWorld),
    Arm(ArmWorld),
}

impl Place {
    fn as_world(&self) -> &dyn World {
        match self {
            Self::Terrain(world) => world,
            Self::Grasp(world) => world,
            Self::Arm(world) => world,
        }
    }

    fn campaign<'a>(
        &'a self,
        arguments: &'a Arguments,
        roster: &'a Roster<'a>,
        own: bool,
        settings: Settings,
    ) -> Box<dyn Campaign + 'a> {
        let (trials, seed) = (arguments.trials as u64, arguments.seed);
        match self {
            Self::Terrain(world) => {
                Box::new(Missions { world, roster, own, settings, missions: trials, seed, every: arguments.every })
            }
            Self::Grasp(world) => {
                Box::new(Tries { world, roster, own, choices: &arguments.choose, objects: trials, seed })
            }
            Self::Arm(world) => Box::new(Motions::new(world, roster, own, settings, trials)),
        }
    }
}

/// Refuses a bundle whose rows are not those of `world`.
pub(super) fn check(path: &Path, model: &Model, world: &dyn World) -> Result<(), String> {
    let signature = world.signature();
    let (expected, got) = (
        [signature.inputs.len(), signature.outputs.len()],
        [model.network.input.len, model.rule.output_len(&model.network)],
    );
    if signature.heads.len() > 1 {
        return Err(format!(
            "the world `{}` has {} heads: who is put to work predicts one; leave out what it predicts besides",
            world.name(),
            signature.heads.len()
        ));
    }
    if expected == got {
        return Ok(());
    }
    let [[inputs, outputs], [theirs, their_outputs]] = [expected, got];
    Err(format!(
        "{}: the world `{}` has {inputs} inputs and {outputs} outputs, the bundle takes {theirs} and gives {their_outputs}",
        path.display(),
        world.name()
    ))
}

/// With whom all are compared, out of the `names` of the agents.
fn reference(arguments: &Arguments, names: &[&str]) -> Result<String, String> {
    let first = names.first().copied().unwrap_or_default();
    let usual = [EXACT, UNADAPTED].into_iter().find(|name| names.contains(name)).unwrap_or(first);
    let wanted = arguments.reference.as_deref().unwrap_or(usual);
    if names.contains(&wanted) {
        return Ok(wanted.into());
    }
    Err(format!("--reference {wanted}: expected one of {}", names.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bundles_are_called_by_their_folders() {
        for (path, name) in [
            ("runs/terrain-ridge/seed-2/model.safetensors", "terrain-ridge"),
            ("runs/terrain/model.safetensors", "terrain"),
            ("models/zoo/terrain-ridge.safetensors", "terrain-ridge"),
            ("model.safetensors", "model"),
        ] {
            assert_eq!(name_of(Path::new(path)), name);
        }
        let paths = |paths: &[&str]| paths.iter().map(PathBuf::from).collect::<Vec<_>>();
        let two = paths(&["a/seed-0/model.safetensors", "b/model.safetensors", "a/seed-1/model.safetensors"]);
        assert_eq!(by_seed(&two).unwrap_err(), "expected as many seeds of each agent, found a 2, b 1");
        assert_eq!(by_seed(&two[..2]).unwrap()[0][1], ("b".into(), Path::new("b/model.safetensors")));
        assert!(by_seed(&paths(&["truth/model.safetensors"])).unwrap_err().contains("another folder"));
    }
}
