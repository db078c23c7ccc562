//! The seam between launches and what runs them.

use std::fmt;

use bytemuck::{NoUninit, Pod, Zeroable};

use super::{Kernel, Source};

/// Something that runs kernels, one list of launches after another, each launch when the one before it is done.
pub trait Device: fmt::Debug {
    /// Memory of the device, given back when it is dropped.
    type Memory: fmt::Debug;

    /// What the device is and has.
    fn limits(&self) -> &Limits;

    /// Memory for so many words of four bytes, at an address that is a multiple of 256; what it holds is not said.
    ///
    /// # Errors
    /// If there is not as much.
    fn allocate(&self, words: usize) -> Result<Self::Memory, DeviceError>;

    /// Where it lies.
    fn address(&self, memory: &Self::Memory) -> Address;

    /// Writes words to its front before the next launch; may return before they are there.
    ///
    /// # Errors
    /// If the device failed.
    fn write(&self, to: &mut Self::Memory, words: &[u32]) -> Result<(), DeviceError>;

    /// Waits for all launches and reads words from its front.
    ///
    /// # Errors
    /// If the device failed, in this or in any launch before.
    fn read(&self, from: &Self::Memory, words: &mut [u32]) -> Result<(), DeviceError>;

    /// Runs launches in their order; may return before they are done.
    ///
    /// # Errors
    /// If a kernel cannot be compiled or launched.
    ///
    /// # Safety
    /// Every address in the arguments is of this device's memory, or of none where the kernel allows it, and there are as many words as
    /// the kernel reads and writes there. That memory stays until the launches are done, or is dropped after this call: what is dropped
    /// is given back behind all launches before it. Nothing else writes to it meanwhile.
    unsafe fn run(&self, launches: &[Launch]) -> Result<(), DeviceError>;
}

/// An address in the memory of a device; 0 for none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Pod, Zeroable)]
#[repr(transparent)]
pub struct Address(pub u64);

impl Address {
    /// None.
    pub const NONE: Self = Self(0);

    /// So many words further on; nowhere from nowhere.
    #[must_use]
    pub const fn plus(self, words: usize) -> Self {
        if self.0 == 0 { self } else { Self(self.0 + 4 * words as u64) }
    }
}

/// Most words of eight bytes in the argument of a kernel.
const MOST: usize = 40;

/// Most bytes in the argument of a kernel.
pub const MOST_BYTES: usize = 8 * MOST;

/// The argument of a kernel, as bytes.
pub type Arguments = heapless::Vec<u64, MOST>;

/// One launch of a kernel.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Launch {
    /// Which kernel.
    pub kernel: Kernel,
    /// Blocks: x, y, z.
    pub grid: [u32; 3],
    /// Threads of a block, in one dimension.
    pub threads: u32,
    /// Bytes of dynamic shared memory of a block.
    pub shared: u32,
    /// Its argument.
    pub arguments: Arguments,
}

impl Launch {
    /// A launch without dynamic shared memory. The size of `arguments`, a multiple of 8 bytes, is known at compile time to fit.
    pub fn new<A: NoUninit>(kernel: Kernel, grid: [u32; 3], threads: u32, arguments: &A) -> Self {
        const { assert!(size_of::<A>() <= 8 * MOST && size_of::<A>().is_multiple_of(8)) };
        let mut words = [0_u64; MOST];
        bytemuck::cast_slice_mut(&mut words)[..size_of::<A>()].copy_from_slice(bytemuck::bytes_of(arguments));
        let arguments = words.into_iter().take(size_of::<A>() / 8).collect();
        Self { kernel, grid, threads, shared: 0, arguments }
    }
}

/// What a device is and has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The name of the card.
    pub name: String,
    /// Compute capability: major, minor.
    pub architecture: [u32; 2],
    /// Streaming multiprocessors.
    pub multiprocessors: u32,
    /// Most bytes of shared memory of a block, when it asks for more than is usual.
    pub shared_of_block: u32,
    /// Bytes of shared memory of a multiprocessor.
    pub shared_of_multiprocessor: u32,
    /// Most threads on a multiprocessor.
    pub threads_of_multiprocessor: u32,
    /// Registers of a multiprocessor.
    pub registers_of_multiprocessor: u32,
    /// Bytes of memory.
    pub memory: u64,
    /// The highest clock of a multiprocessor, in kHz.
    pub clock: u32,
}

/// Why a device cannot do what it is asked, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum DeviceError {
    /// This build knows no CUDA.
    #[error("this build of sinew knows no CUDA: build it with `--features cuda`, or choose --device cpu")]
    NotBuilt,
    /// There is no driver.
    #[error(
        "no CUDA driver: the library {library} is not found; install the driver of the GPU (on Jetson it is part of JetPack), or choose --device cpu"
    )]
    NoDriver {
        /// What was looked for.
        library: &'static str,
    },
    /// There is no such device.
    #[error("no CUDA device {number}: the driver sees {count}; `sinew devices` lists them")]
    NoSuchDevice {
        /// The number asked for.
        number: usize,
        /// How many there are.
        count: usize,
    },
    /// There is no compiler for the kernels.
    #[error(
        "no NVRTC to compile the kernels: the library {library} is not found; install the CUDA toolkit or `pip install nvidia-cuda-nvrtc-cu12` and put its lib folder on LD_LIBRARY_PATH, or set SINEW_CUBINS to a folder of cubins that `sinew devices --compile` made"
    )]
    NoCompiler {
        /// What was looked for.
        library: &'static str,
    },
    /// The kernels are not for such a card.
    #[error("{name} has compute capability {}.{}: the kernels need at least {}.{}", got[0], got[1], least[0], least[1])]
    Architecture {
        /// The card.
        name: String,
        /// What it has.
        got: [u32; 2],
        /// The least.
        least: [u32; 2],
    },
    /// No compute capability is named so.
    #[error("expected a compute capability of at least {}.{} such as sm_87 or 8.7, got `{text}`", least[0], least[1])]
    UnknownArchitecture {
        /// What was given.
        text: String,
        /// The least.
        least: [u32; 2],
    },
    /// The compiler is not for such a card.
    #[error("NVRTC {}.{} of {library} cannot compile for {architecture}, only for {known}: install another CUDA toolkit", version[0], version[1])]
    Target {
        /// Where it comes from.
        library: String,
        /// Major, minor.
        version: [u32; 2],
        /// What it was asked for.
        architecture: String,
        /// What it knows.
        known: String,
    },
    /// The driver is older than what is used of it.
    #[error("the CUDA driver is for CUDA {}.{} and lacks {symbol}: at least {}.{} is needed; install a newer driver (on Jetson, a newer JetPack), or choose --device cpu", got[0], got[1], least[0], least[1])]
    OldDriver {
        /// The version of CUDA that it is for.
        got: [u32; 2],
        /// The least.
        least: [u32; 2],
        /// What it lacks.
        symbol: &'static str,
    },
    /// A library is there and cannot be used.
    #[error("{library}: {why}")]
    Library {
        /// Which one.
        library: String,
        /// What it lacks.
        why: String,
    },
    /// A kernel that was compiled ahead of time cannot be used.
    #[error("{path}: {why}; compile anew with `sinew devices --compile {architecture} --out DIR`, or unset SINEW_CUBINS", path = path.display())]
    Cubin {
        /// The file.
        path: std::path::PathBuf,
        /// What is wrong with it.
        why: String,
        /// For what it should be.
        architecture: String,
    },
    /// There is not as much memory.
    #[error(
        "out of memory on {name}: {needed} bytes more are needed and {free} are free; try fewer train.tasks, or train.kept = \"parameters\" or \"checkpoints\""
    )]
    Memory {
        /// The card.
        name: String,
        /// Bytes that were asked for.
        needed: u64,
        /// Bytes that are free.
        free: u64,
    },
    /// Something lies on another device, or is another engine's.
    #[error("{what}: expected of this engine, got of another; download them there and upload them here")]
    Elsewhere {
        /// What does.
        what: &'static str,
    },
    /// A kernel does not compile.
    #[error("{}: NVRTC for {architecture}: {log}", file.file())]
    Compile {
        /// Which one.
        file: Source,
        /// For what.
        architecture: String,
        /// What the compiler says.
        log: String,
    },
    /// The driver refused.
    #[error("{what}: {why}")]
    Driver {
        /// What was asked of it.
        what: String,
        /// What it says.
        why: String,
    },
}
