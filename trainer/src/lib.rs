//! The workstation half of sinew: worlds, learners, engines, evaluation, export and the `sinew` command.

pub mod aligned;
pub mod baseline;
pub mod checkpoint;
pub mod cli;
pub mod collective;
pub mod compare;
pub mod config;
pub mod cuda;
pub mod demo;
pub mod deploy;
pub mod engine;
pub mod episode;
pub mod evaluate;
pub mod export;
pub mod files;
pub mod fonts;
pub mod forward;
pub mod learn;
pub mod metric;
pub mod model;
pub mod optimiser;
pub mod scaling;
pub mod streams;
pub mod train;
pub mod world;
