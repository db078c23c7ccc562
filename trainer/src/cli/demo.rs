//! `sinew demo`

use std::path::PathBuf;
use std::sync::atomic::AtomicBool;

use clap::Args;

use super::Answer;

/// Trains on terrain, exports the bundle, drives a simulated rover with it before and after adapting, and writes a report.
#[derive(Debug, Args)]
pub struct Arguments {
    /// Where the run and the report go: DIR/terrain and DIR/report.html. A run that is there is gone on with, or used as it is
    /// if it is complete
    #[arg(long, value_name = "DIR", default_value = "demo")]
    out: PathBuf,
}

pub fn run(arguments: &Arguments, stop: &AtomicBool) -> Answer {
    crate::demo::run(&arguments.out, stop)
}
