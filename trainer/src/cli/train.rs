//! `sinew train`

use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use clap::Args;

use super::{Answer, data_set};
use crate::baseline;
use crate::config::{Config, WorldConfig};
use crate::train::{BUNDLE, Options, Progress, train};
use crate::world::{World, open};

/// Train what a configuration describes, and its baselines
///
/// Writes DIR/model.safetensors (the bundle, best by validation), DIR/last.safetensors (as it was last),
/// DIR/config.toml (the configuration with all defaults and changes), DIR/metrics.jsonl (a line for each validation),
/// DIR/checkpoint.safetensors and, where the configuration has [baselines], DIR/baselines. Ctrl-C saves and stops;
/// --resume goes on to the very same result.
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub struct Arguments {
    /// What to train: a TOML file, such as those in trainer/configs
    config: PathBuf,
    /// Where the run's files go; made if it is not there
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Replaces the configuration's seed
    #[arg(long, value_name = "N", value_parser = super::seed())]
    seed: Option<u64>,
    /// Go on from the checkpoint in DIR, with the same configuration
    #[arg(long)]
    resume: bool,
    /// Replaces one value, such as train.iterations=100; can be repeated
    #[arg(long = "set", value_name = "KEY=VALUE")]
    set: Vec<String>,
}

pub fn run(arguments: &Arguments, stop: &AtomicBool) -> Answer {
    let mut config = Config::read(&arguments.config, &arguments.set)?;
    config.seed = arguments.seed.unwrap_or(config.seed);
    let world: Box<dyn World> = match &config.world {
        WorldConfig::Dataset { file } => Box::new(data_set(file, config.train.shots.all())?),
        built_in => open::open(built_in)?,
    };
    let folder = arguments.out.as_path();
    let options = Options { folder, resume: arguments.resume, stop, stop_after: None, progress: Progress::Shown };
    let begun = Instant::now();
    eprintln!("training on `{}` into {}", world.name(), folder.display());
    let trained = train(&config, &*world, &options)?;
    if trained.stopped {
        eprintln!("stopped after {} iterations; go on with --resume", trained.iterations);
        return Ok(());
    }
    let validation = trained.validation.map_or_else(String::new, |loss| format!(", validation loss {loss:.5}"));
    println!(
        "{}: best of {} iterations at {}{validation}, {:.1} s",
        folder.join(BUNDLE).display(),
        trained.iterations,
        trained.model.about.iterations,
        begun.elapsed().as_secs_f64()
    );
    if config.baselines.is_some() {
        eprintln!("training the baselines");
        let pooled = baseline::train(&config, &*world, folder, arguments.resume, stop, Progress::Shown)?;
        if pooled.is_some_and(|pooled| pooled.stopped) {
            eprintln!("stopped in the baselines; go on with --resume");
            return Ok(());
        }
        println!("{}", folder.join(baseline::FOLDER).display());
    }
    Ok(())
}
