//! The on-device half of sinew: adapts a trained model to the task in front of it.
//!
//! `no_std`, no allocator: the caller owns memory and time. After set-up nothing here allocates, blocks, logs or reads a clock.
//! [`Bundle::parse`] reads what the trainer exported, [`Adapter`] observes, adapts and predicts with it.
#![no_std]
#![deny(unsafe_op_in_unsafe_fn)]

#[cfg(any(feature = "std", test))]
extern crate std;

pub mod adapter;
#[cfg(feature = "c-api")]
pub mod c_api;
pub mod grasp;
pub mod guard;
pub mod kernel;
pub mod live;
pub mod network;
mod part;
pub mod plan;
pub mod reader;
pub mod rule;
pub mod support;

#[cfg(feature = "masks")]
pub use adapter::HeadSet;
pub use adapter::{
    AdaptError, Adapter, Budget, Corrupted, Novelty, ObserveError, Predictor, SetupError, VarianceError,
};
pub use guard::{Guard, Limits, Outcome, Report};
pub use kernel::Path;
pub use network::Network;
pub use reader::{Bundle, BundleError, LengthError, View};
