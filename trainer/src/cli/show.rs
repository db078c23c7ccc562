//! `sinew show`

use std::path::{Path, PathBuf};

use clap::Args;

use super::{Answer, deploy, evaluate};
use crate::config::{Config, WorldConfig};
use crate::model::Model;
use crate::show::{Order, Shown, landscape};
use crate::world::open;

/// The subject that is no world.
const LANDSCAPE: &str = "landscape";
/// Support samples where neither the command line nor the bundle says how many.
const SHOTS: usize = 5;

/// Draw a test task, and what a bundle makes of it before and after adapting
///
/// Of a world by its name (sinusoid, terrain, terrain-independent, terrain-scale-only, grasp, grasp-heavy, grasp-nothing,
/// grasp-forces): the task as it truly is. Of a bundle: also what its adapter predicts before and after it has seen the
/// support, in the world that it was trained in.
///
/// Grasping: the scene with the best grasp, what a depth camera sees, all grasps by how often they hold, and the grasps
/// believed best before and after tries. Terrain: the map with planned paths, and what each place costs. One input and one
/// output: curves of six tasks. Images: an episode. Writes PNG, and SVG of all but shaded scenes.
///
/// `sinew show landscape` draws where ways of weighing two tasks go on the landscape of Liu et al. (2021); then options
/// other than --out do nothing.
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub struct Arguments {
    /// A world's name, or a bundle such as models/zoo/terrain-ridge.safetensors
    #[arg(value_name = "WORLD|BUNDLE")]
    subject: String,
    /// The configuration whose [world] is drawn [default: that of the name, or of the bundle]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The same seed gives the same pictures
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = super::seed())]
    seed: u64,
    /// Support samples (of each class), tries, or driven edges [default: as trained; 5 of a world]
    #[arg(long, value_name = "K", value_parser = super::at_least_one)]
    shots: Option<usize>,
    /// Where pictures go
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Also record a task of grasps or terrain for the Rerun viewer (needs a build with --features rerun)
    #[arg(long, value_name = "FILE.rrd")]
    rerun: Option<PathBuf>,
}

/// The world of a configuration.
fn world_of(file: &Path) -> Result<WorldConfig, Box<dyn std::error::Error>> {
    Ok(Config::read(file, &[])?.world)
}

/// The world that a bundle says it was trained in.
fn trained_in(path: &Path, model: &Model) -> Result<WorldConfig, String> {
    if let Some(text) = &model.about.config {
        return Config::parse(path, text, &[]).map(|config| config.world).map_err(|why| why.to_string());
    }
    open::config_by_name(&model.about.world)
        .ok_or_else(|| format!("{}: it does not say in which world it was trained: --config FILE", path.display()))
}

fn create(folder: &Path) -> Result<(), String> {
    std::fs::create_dir_all(folder).map_err(|why| format!("{}: {why}", folder.display()))
}

pub fn run(arguments: &Arguments) -> Answer {
    crate::collective::expect_one()?;
    let subject = &arguments.subject;
    if subject == LANDSCAPE {
        create(&arguments.out)?;
        landscape::draw(&arguments.out)?.iter().for_each(|path| println!("{}", path.display()));
        return Ok(());
    }
    let given = arguments.config.as_deref().map(world_of).transpose()?;
    let (shown, bundle, shots);
    if let Some(named) = open::config_by_name(subject) {
        shots = arguments.shots.unwrap_or(SHOTS);
        // The names of one world differ in what is hidden, which a configuration says, too.
        let kind = Shown::open(&named, shots)?;
        shown = match given {
            None => kind,
            Some(config) => {
                let other = Shown::open(&config, shots)?;
                let [expected, found] = [kind.as_world().name(), other.as_world().name()];
                if expected != found {
                    return Err(format!("--config: expected the world {expected}, found {found}").into());
                }
                other
            }
        };
        bundle = None;
    } else {
        let path = Path::new(subject);
        if !path.exists() && path.extension().is_none() {
            return Err(format!("{subject}: expected a bundle, or one of {}", open::NAMES.join(", ")).into());
        }
        let (model, bytes) = Model::open(path)?;
        shots = arguments.shots.or_else(|| evaluate::trained_shots(&model)).unwrap_or(SHOTS);
        let own = given.is_none();
        let config = given.map_or_else(|| trained_in(path, &model), Ok)?;
        shown = Shown::open(&config, shots).map_err(|why| {
            // Bundles do not keep the folders of their data.
            let hint = if own { "; --config FILE says where its world is" } else { "" };
            format!("{}: {why}{hint}", path.display())
        })?;
        deploy::check(path, &model, shown.as_world())?;
        bundle = Some(bytes);
    }
    if arguments.rerun.is_some() {
        shown.check_recording()?;
    }
    create(&arguments.out)?;
    let order = Order {
        bundle: bundle.as_deref(),
        shots,
        seed: arguments.seed,
        folder: &arguments.out,
        recording: arguments.rerun.as_deref(),
    };
    for path in shown.draw(&order)? {
        println!("{}", path.display());
    }
    Ok(())
}
