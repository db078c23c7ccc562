//! The door: `sinew train`, `evaluate`, `compare`, `crossval`, `adapt`, `predict`, `inspect`, `deploy`, `show`, `demo`, `devices`.

mod adapt;
mod compare;
mod crossval;
mod demo;
mod deploy;
mod devices;
pub(crate) mod evaluate;
mod inspect;
mod predict;
mod runs;
mod show;
mod tensors;
mod train;

use std::error::Error;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock};

use clap::{Parser, Subcommand};

use crate::cuda::DeviceChoice;
use crate::world::dataset::{Dataset, DatasetError};

/// Meta-train a network, ship it as one file, and let a robot fit it to the task in front of it.
#[derive(Debug, Parser)]
#[command(name = "sinew", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

/// What each one does stands above its arguments: the first paragraph here, all of it in its own help.
#[derive(Debug, Subcommand)]
enum Command {
    Train(train::Arguments),
    Evaluate(evaluate::Arguments),
    Compare(compare::Arguments),
    Crossval(crossval::Arguments),
    Adapt(adapt::Arguments),
    Predict(predict::Arguments),
    Inspect(inspect::Arguments),
    Deploy(deploy::Arguments),
    Show(show::Arguments),
    /// Train on terrain, export, and drive a simulated rover before and after adapting
    Demo(demo::Arguments),
    Devices(devices::Arguments),
}

/// What a command answers: nothing, or what went wrong, in words.
type Answer = Result<(), Box<dyn Error>>;

/// A number of episodes or shots, of which there is at least one.
fn at_least_one(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) => Err("expected at least 1".into()),
        Ok(number) => Ok(number),
        Err(_) => Err("expected a whole number, at least 1".into()),
    }
}

/// A seed, as TOML can write it down.
fn seed() -> clap::builder::RangedU64ValueParser {
    clap::value_parser!(u64).range(..=i64::MAX as u64)
}

/// What a choice of device comes to; says what was chosen, where that was left open, and why no GPU.
fn settle(choice: DeviceChoice, say: impl Fn(String)) -> DeviceChoice {
    let (device, why) = choice.settled();
    if let Some(why) = why {
        say(format!("on the CPU: {why}"));
    } else if choice != device {
        say(format!("on {device}"));
    }
    device
}

/// Opens a data set of which every task gives each of `shots`, and keeps rows to be judged on.
fn data_set(file: &std::path::Path, shots: &[usize]) -> Result<Dataset, DatasetError> {
    let data = Dataset::open(file)?;
    data.check_shots(shots.iter().copied().max().unwrap_or(0))?;
    Ok(data)
}

/// Set by the first Ctrl-C; the second one ends the process.
static STOP: LazyLock<Arc<AtomicBool>> = LazyLock::new(Arc::default);

/// A reader that has seen enough, as `head`, ends a command that only prints. Not one that trains: there a closed connection to another
/// process is an error to be told.
fn end_with_the_reader(command: &Command) {
    #[cfg(unix)]
    if !matches!(
        command,
        Command::Train(_) | Command::Crossval(_) | Command::Compare(_) | Command::Deploy(_) | Command::Demo(_)
    ) {
        use signal_hook::{consts::SIGPIPE, flag};
        // Where it cannot be set, a closed pipe is the error that it was.
        let _ = flag::register_conditional_default(SIGPIPE, Arc::new(AtomicBool::new(true)));
    }
    #[cfg(not(unix))]
    let _ = command;
}

/// Runs the command line.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    end_with_the_reader(&cli.command);
    let handler = ctrlc::set_handler(|| {
        if STOP.swap(true, Ordering::SeqCst) {
            std::process::exit(130);
        }
        eprintln!("\nstopping after this iteration; once more to end at once");
    });
    if let Err(why) = handler {
        eprintln!("warning: Ctrl-C will not save: {why}");
    }
    let answer = match &cli.command {
        Command::Train(arguments) => train::run(arguments, &STOP),
        Command::Evaluate(arguments) => evaluate::run(arguments),
        Command::Compare(arguments) => compare::run(arguments, &STOP),
        Command::Crossval(arguments) => crossval::run(arguments, &STOP),
        Command::Adapt(arguments) => adapt::run(arguments),
        Command::Predict(arguments) => predict::run(arguments),
        Command::Inspect(arguments) => inspect::run(arguments),
        Command::Deploy(arguments) => deploy::run(arguments, &STOP),
        Command::Show(arguments) => show::run(arguments),
        Command::Demo(arguments) => demo::run(arguments, &STOP),
        Command::Devices(arguments) => devices::run(arguments),
    };
    match answer {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("error: {why}");
            ExitCode::FAILURE
        }
    }
}
