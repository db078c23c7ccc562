//! The door: `sinew train`, `evaluate`, `crossval`, `adapt`, `predict`, `inspect`, `demo`.

mod adapt;
mod crossval;
mod demo;
pub(crate) mod evaluate;
mod inspect;
mod predict;
pub(crate) mod table;
mod tensors;
mod train;

use std::error::Error;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};

use clap::{Parser, Subcommand};

/// Meta-train a network, ship it as one file, and let a robot fit it to the task in front of it.
#[derive(Debug, Parser)]
#[command(name = "sinew", version, about, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Train what a configuration describes, and its baselines
    Train(train::Arguments),
    /// Tell what a bundle is worth on test episodes, beside its baselines
    Evaluate(evaluate::Arguments),
    /// Train and evaluate on every fold of a data set, with the null test beside it
    Crossval(crossval::Arguments),
    /// Fit a bundle to support samples and predict for queries
    Adapt(adapt::Arguments),
    /// Predict with a bundle as it is
    Predict(predict::Arguments),
    /// Show what is in a bundle: network, rule, rates, units, provenance
    Inspect(inspect::Arguments),
    /// Train on terrain, export, and drive a simulated rover before and after adapting
    Demo(demo::Arguments),
}

/// What a command answers: nothing, or what went wrong, in words.
type Answer = Result<(), Box<dyn Error>>;

/// Set by the first Ctrl-C; the second one ends the process.
static STOP: AtomicBool = AtomicBool::new(false);

/// Runs the command line.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
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
        Command::Crossval(arguments) => crossval::run(arguments, &STOP),
        Command::Adapt(arguments) => adapt::run(arguments),
        Command::Predict(arguments) => predict::run(arguments),
        Command::Inspect(arguments) => inspect::run(arguments),
        Command::Demo(arguments) => demo::run(arguments, &STOP),
    };
    match answer {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("error: {why}");
            ExitCode::FAILURE
        }
    }
}
