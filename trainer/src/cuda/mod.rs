//! What runs on a CUDA device: the kernels, each `.cu` beside its Rust launcher, and the seam to what runs them.
//!
//! A [`Launch`] is data: a kernel, its geometry and its arguments. The engine ([`crate::engine::cuda`]) makes lists of them, and a
//! [`Device`] runs a list in its order. There are two devices: the driver of a GPU (`driver`, feature `cuda`), and the fibers of
//! `tests/cuda`, which run the same `.cu` files on the CPU, one fiber for each CUDA thread, so that the kernels and all of the engine around
//! them are tested without a GPU.
//!
//! Every kernel takes one argument, a structure of addresses and numbers that the `.cu` and its launcher both declare; `ARGUMENTS` in the
//! `.cu` holds their sizes together.

pub mod activation;
pub mod adam;
pub mod adapt;
pub mod architecture;
pub mod arrange;
mod cards;
pub mod choice;
#[cfg(feature = "cuda")]
pub mod compile;
pub mod convolve;
pub mod dense;
pub mod device;
#[cfg(feature = "cuda")]
pub mod driver;
pub mod kernel;
pub mod loss;
pub mod mixture;
pub mod norm;
#[cfg(feature = "cuda")]
pub mod nvrtc;
pub mod occupancy;
pub mod pool;
pub mod reduce;
pub mod window;

pub use choice::{Chosen, DeviceChoice};
pub use device::{Address, Arguments, Device, DeviceError, Launch, Limits};
#[cfg(feature = "cuda")]
pub use driver::Driver;
pub use kernel::{Kernel, Source};

/// Values that each task has of its own, `stride` words apart, or that all have together, 0 apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PerTask {
    /// Those of the first task.
    pub at: Address,
    /// Words from one task's to the next.
    pub stride: usize,
}

impl PerTask {
    /// What lies so many words further on.
    #[must_use]
    pub const fn plus(self, words: usize) -> Self {
        Self { at: self.at.plus(words), stride: self.stride }
    }
}

/// The rows of one side of a batch, tasks one after another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ragged {
    /// The number of the first row of each task, and behind them that of all rows: `[tasks + 1]`, u32.
    pub starts: Address,
    /// How many tasks.
    pub tasks: usize,
    /// The most rows of a task.
    pub most: usize,
    /// The rows of all.
    pub rows: usize,
}

/// How many blocks of so many threads have one for each of `count` values; more than a device takes, rather than too few.
fn blocks(count: usize, threads: usize) -> u32 {
    u32::try_from(count.div_ceil(threads)).unwrap_or(u32::MAX)
}
