//! The on-device half of sinew: adapts a trained model to the task in front of it.
//!
//! `no_std`, no allocator: the caller owns memory and time. After set-up nothing here allocates, blocks, logs or reads a clock.
#![no_std]
#![deny(unsafe_op_in_unsafe_fn)]

#[cfg(any(feature = "std", test))]
extern crate std;

pub mod kernel;
pub mod network;

pub use kernel::Path;
pub use network::Network;
