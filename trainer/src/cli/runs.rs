//! Runs that a command trains and judges by itself, many of them.

use std::error::Error;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use super::evaluate;
use crate::baseline::{self, Baselines};
use crate::config::Config;
use crate::cuda::DeviceChoice;
use crate::evaluate::{Evaluation, Settings};
use crate::train::{BUNDLE, Options, Progress, train};
use crate::world::World;

/// Trains `config` on `world` into `folder`, and its baselines where it has some and they are wanted. What is there already is gone on
/// with. Whether it was done before somebody asked to stop.
pub fn trained(
    config: &Config,
    world: &dyn World,
    folder: &Path,
    baselines: bool,
    device: DeviceChoice,
    stop: &AtomicBool,
) -> Result<bool, Box<dyn Error>> {
    let progress = Progress::Shown;
    let options = Options { folder, resume: true, stop, stop_after: None, progress, device };
    let mut done = !train(config, world, &options)?.stopped;
    if done && baselines {
        done = baseline::train(config, world, &options)?.is_none_or(|pooled| !pooled.stopped);
    }
    if !done || stop.load(Ordering::Relaxed) {
        eprintln!("stopped; the same command goes on");
        return Ok(false);
    }
    Ok(true)
}

/// Evaluates the run in `folder`, with its baselines if they are wanted.
pub fn evaluated(
    folder: &Path,
    world: &dyn World,
    baselines: bool,
    settings: &Settings,
) -> Result<Evaluation, Box<dyn Error>> {
    let bundle = folder.join(BUNDLE);
    let bytes = std::fs::read(&bundle).map_err(|why| format!("{}: {why}", bundle.display()))?;
    let baselines = if baselines { Some(Baselines::beside(&bundle)?) } else { None };
    evaluate::with_bar(&bytes, baselines.as_ref(), world, settings)
}
