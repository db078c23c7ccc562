//! The workstation half of sinew: worlds, learners, engines, evaluation, export and the `sinew` command.

pub mod aligned;
pub mod checkpoint;
pub mod config;
pub mod engine;
pub mod episode;
pub mod export;
pub mod files;
pub mod learn;
pub mod metric;
pub mod model;
pub mod optimiser;
pub mod scaling;
pub mod streams;
pub mod train;
pub mod world;
