//! `sinew demo`

use std::path::PathBuf;
use std::sync::atomic::AtomicBool;

use clap::Args;

use super::Answer;

/// Trains on terrain, exports the bundle, drives a simulated rover with it before and after adapting, and writes a report.
#[derive(Debug, Args)]
pub struct Arguments {
    /// Where terrain (the run; one that is there is gone on with) and report.html go
    #[arg(long, value_name = "DIR", default_value = "demo")]
    out: PathBuf,
}

pub fn run(arguments: &Arguments, stop: &AtomicBool) -> Answer {
    crate::collective::expect_one()?;
    crate::demo::run(&arguments.out, stop)
}
