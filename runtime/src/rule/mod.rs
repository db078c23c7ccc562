//! The ways of adapting, one file each.

pub mod bayes;
pub mod gradient;
pub mod meta_lstm;
pub mod prototype;
pub mod recursive;
pub mod ridge;
pub mod siamese;
