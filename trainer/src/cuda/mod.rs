//! What runs on a CUDA device: the kernels, each `.cu` beside its Rust launcher, and the seam to what runs them.
//!
//! A [`Launch`] is data: a kernel, its geometry and its arguments. The engine ([`crate::engine::cuda`]) makes lists of them, and a
//! [`Device`] runs a list in its order. There are two devices: the driver of a GPU (`driver`, feature `cuda`), and the fibers of
//! `tests/cuda`, which run the same `.cu` files on the CPU, one fiber for each CUDA thread, so that the kernels and all of the engine around
//! them are tested without a GPU.
//!
//! Every kernel takes one argument, a structure of addresses and numbers that the `.cu` and its launcher both declare; `ARGUMENTS` in the
//! `.cu` holds their sizes together.

pub mod dense;
mod cards;
pub mod device;
pub mod kernel;

pub use device::{Address, Arguments, Device, DeviceError, Launch, Limits};
pub use kernel::{Kernel, Source};
