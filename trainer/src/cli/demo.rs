//! `sinew demo`

use std::path::PathBuf;
use std::sync::atomic::AtomicBool;

use clap::Args;

use super::Answer;

/// Trains on terrain, exports the bundle, drives a simulated rover with it before and after adapting, and writes a report.
#[derive(Debug, Args)]
pub struct Arguments {
    /// Where the run and the report go
    #[arg(long, value_name = "DIR", default_value = "demo")]
    out: PathBuf,
}

pub fn run(arguments: &Arguments, stop: &AtomicBool) -> Answer {
    crate::demo::run(&arguments.out, stop)
}
