//! `sinew train`

use std::error::Error;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use clap::Args;

use super::{Answer, settle};
use crate::aligned::Aligned;
use crate::baseline;
use crate::collective::{Collective, Processes, agree};
use crate::config::Config;
use crate::cuda::DeviceChoice;
use crate::train::{BUNDLE, Options, Progress, train_among};
use crate::world::{Split, World, open};

/// Train what a configuration describes, and its baselines
///
/// Writes DIR/model.safetensors (the bundle, best by validation), DIR/last.safetensors (as it was last),
/// DIR/config.toml (the configuration with all defaults and changes), DIR/metrics.jsonl (a line for each validation),
/// DIR/checkpoint.safetensors and, where the configuration has [baselines], DIR/baselines. Ctrl-C and SIGTERM
/// save and stop; --resume goes on to the very same result.
///
/// Long inner loops need much memory: --set train.kept=parameters or train.kept=checkpoints keeps less of each, one
/// parameter vector a step or about 2 sqrt(steps) of them, and computes the rest again, to the same bits.
///
/// Several processes share every batch of tasks, on one machine or many: mpirun -n 4 sinew train ... (a build with
/// --features mpi; docs/scale-out.md). The first one reads and writes DIR. If one fails or dies, all end with an error, and
/// --resume with as many processes goes on from the last checkpoint.
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
    /// What to compute on: cpu, cuda:N, or auto, the first GPU that can be used (see `sinew devices`)
    #[arg(long, value_name = "DEVICE", default_value_t)]
    device: DeviceChoice,
    /// Replaces one value, such as train.iterations=100; can be repeated
    #[arg(long = "set", value_name = "KEY=VALUE")]
    set: Vec<String>,
}

pub fn run(arguments: &Arguments, stop: &Arc<AtomicBool>) -> Answer {
    let mut processes = Processes::join()?;
    stop_when_terminated(stop);
    let answer = run_among(arguments, stop, processes.collective());
    processes.leave(answer)
}

/// What schedulers, and mpirun after a Ctrl-C, send before they kill. The second one ends the process.
fn stop_when_terminated(stop: &Arc<AtomicBool>) {
    #[cfg(unix)]
    {
        use signal_hook::{consts::SIGTERM, flag};
        let again = flag::register_conditional_shutdown(SIGTERM, 128 + SIGTERM, Arc::clone(stop));
        if let Err(why) = again.and_then(|_| flag::register(SIGTERM, Arc::clone(stop))) {
            eprintln!("warning: SIGTERM will not save: {why}");
        }
    }
    #[cfg(not(unix))]
    let _ = stop;
}

fn open_world(arguments: &Arguments) -> Result<(Config, Box<dyn World>), Box<dyn Error>> {
    let mut config = Config::read(&arguments.config, &arguments.set)?;
    config.seed = arguments.seed.unwrap_or(config.seed);
    let world = open::open_for(&config.world, config.train.shots.all(), &[Split::Train, Split::Validation])?;
    Ok((config, world))
}

fn run_among(arguments: &Arguments, stop: &AtomicBool, collective: &mut dyn Collective<Aligned>) -> Answer {
    let (config, world) = agree(collective, open_world(arguments))?;
    let (first, size) = (collective.rank() == 0, collective.size());
    let say = |words: String| {
        if first {
            eprintln!("{words}");
        }
    };
    if size > 1 {
        // Tasks are drawn by rayon's own threads, of which every process would have as many as there are processors. There may be
        // some already, in a test; then those stay.
        let threads = config.threads_beside(collective.neighbours());
        let _ = rayon::ThreadPoolBuilder::new().num_threads(threads).build_global();
        say(format!("{size} processes, {threads} threads in the first"));
    }
    let device = settle(arguments.device, say);
    let folder = arguments.out.as_path();
    let progress = if first { Progress::Shown } else { Progress::Hidden };
    let options = Options { folder, resume: arguments.resume, stop, stop_after: None, progress, device };
    let begun = Instant::now();
    say(format!("training on `{}` into {}", world.name(), folder.display()));
    let trained = train_among(&config, &*world, &options, collective)?;
    if trained.stopped {
        say(format!("stopped after {} iterations; go on with --resume", trained.iterations));
        return Ok(());
    }
    let validation = trained.validation.map_or_else(String::new, |loss| format!(", validation loss {loss:.5}"));
    if first {
        println!(
            "{}: best of {} iterations at {}{validation}, {:.1} s",
            folder.join(BUNDLE).display(),
            trained.iterations,
            trained.model.about.iterations,
            begun.elapsed().as_secs_f64()
        );
    }
    if config.baselines.is_some() {
        say("training the baselines".into());
        let pooled = baseline::train_among(&config, &*world, &options, collective)?;
        if pooled.is_some_and(|pooled| pooled.stopped) {
            say("stopped in the baselines; go on with --resume".into());
            return Ok(());
        }
        if first {
            println!("{}", folder.join(baseline::FOLDER).display());
        }
    }
    Ok(())
}
