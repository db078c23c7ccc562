//! The workstation half of sinew: worlds, learners, engines, evaluation, export and the `sinew` command.

pub mod aligned;
pub mod engine;
pub mod episode;
pub mod export;
pub mod metric;
pub mod world;
