//! The main job, end to end.
use std::path::Path;
use std::sync::atomic::AtomicBool;
/// Runs it.
pub fn run(_out: &Path, _stop: &AtomicBool) -> Result<(), Box<dyn std::error::Error>> {
    Err("not yet".into())
}
