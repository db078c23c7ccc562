//! The ways of adapting, one file each.

pub mod gradient;
