//! The names of a run's files.

/// The best model by validation.
pub const BUNDLE: &str = "model.safetensors";
/// The model as it was last.
pub const LAST: &str = "last.safetensors";
/// The resolved configuration.
pub const CONFIG: &str = "config.toml";
/// One line of JSON for each validation.
pub const METRICS: &str = "metrics.jsonl";
/// What `--resume` goes on from.
pub const CHECKPOINT: &str = "checkpoint.safetensors";
/// How long the run was trained.
pub const TIMING: &str = "timing.json";
/// How the heads of a multi-task run pulled, a row for each line of [`METRICS`].
pub const PULLS: &str = "multitask.csv";
