//! A GPU, through its driver: the [`Device`] of real hardware.
//!
//! Launches go to one stream, in their order. What is written goes another way (`staging`): copied to the card beside the launches that are
//! under way, and put in its place between launches. A list of launches that is run again is recorded and then replayed (`graph`).
//!
//! No call of cudarc is made before `library` has seen that the driver is there and has all that is used of it: where a function is missing,
//! cudarc ends the process.

mod graph;
mod library;
mod modules;
mod staging;

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use cudarc::driver::sys::CUdevice_attribute as Attribute;
use cudarc::driver::{CudaContext, CudaStream, DriverError, result, sys};

use super::compile::Compiler;
use super::nvrtc::Nvrtc;
use super::{Address, Device, DeviceError, Launch, Limits, architecture};
use graph::Graphs;
use modules::Modules;
use staging::Staging;

pub use library::{count, version};

/// Bytes of a word.
const WORD: usize = 4;

/// A GPU.
pub struct Driver {
    limits: Limits,
    version: [u32; 2],
    context: Arc<CudaContext>,
    /// Launches, and all else that uses memory that was given out.
    stream: Arc<CudaStream>,
    state: Mutex<State>,
}

/// What launches and copies change.
struct State {
    modules: Modules,
    graphs: Graphs,
    staging: Staging,
}

// SAFETY: handles of the driver may be used on any thread, each call binds the context to its own; graphs, which must not be used by two
// threads at once, are behind the lock.
unsafe impl Send for State {}

/// Memory of a GPU, given back when it is dropped, which waits for the GPU.
pub struct Memory {
    start: sys::CUdeviceptr,
    bytes: usize,
    context: Arc<CudaContext>,
}

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes at {:#x}", self.bytes, self.start)
    }
}

impl Memory {
    fn new(context: &Arc<CudaContext>, name: &str, words: usize) -> Result<Self, DeviceError> {
        // The driver gives out nothing for 0 bytes.
        let bytes = words.max(1).saturating_mul(WORD);
        context.bind_to_thread().map_err(|why| failed("using the device", why))?;
        // SAFETY: nothing is read of it before it was written, which the kernels are held to.
        match unsafe { result::malloc_sync(bytes) } {
            Ok(start) => Ok(Self { start, bytes, context: Arc::clone(context) }),
            Err(DriverError(sys::CUresult::CUDA_ERROR_OUT_OF_MEMORY)) => {
                let free = result::mem_get_info().map_or(0, |(free, _)| free as u64);
                Err(DeviceError::Memory { name: name.to_owned(), needed: bytes as u64, free })
            }
            Err(why) => Err(failed(&format!("allocating {bytes} bytes"), why)),
        }
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        // SAFETY: it was allocated in this context and is given back once; the driver waits for what still uses it. That it fails can only
        // mean that the context is lost, and the memory with it.
        let _ = self.context.bind_to_thread().and_then(|()| unsafe { result::free_sync(self.start) });
    }
}

impl Driver {
    /// Opens device `number`, from 0.
    ///
    /// # Errors
    /// If there is no such device, or no driver that is new enough, or the card is too old, or there is nothing that could compile the
    /// kernels.
    pub fn open(number: usize) -> Result<Self, DeviceError> {
        let (limits, context) = Self::look(number)?;
        let architecture = limits.architecture;
        if architecture < architecture::LEAST {
            return Err(DeviceError::Architecture { name: limits.name, got: architecture, least: architecture::LEAST });
        }
        let compiler = Compiler::open(architecture)?;
        let streams = || Ok((context.new_stream()?, context.new_stream()?));
        let (stream, beside) = streams().map_err(|why| failed("making streams", why))?;
        let staging = Staging::new(beside, limits.name.clone());
        let state = Mutex::new(State { modules: Modules::new(compiler), graphs: Graphs::default(), staging });
        Ok(Self { limits, version: version()?, context, stream, state })
    }

    /// What device `number` is, whether the kernels are for it or not, and its context.
    fn look(number: usize) -> Result<(Limits, Arc<CudaContext>), DeviceError> {
        let count = count()?;
        if number >= count {
            return Err(DeviceError::NoSuchDevice { number, count });
        }
        let context = CudaContext::new(number).map_err(|why| failed(&format!("opening CUDA device {number}"), why))?;
        let limits = limits(&context).map_err(|why| failed(&format!("asking what CUDA device {number} is"), why))?;
        Ok((limits, context))
    }

    /// What device `number` is, and its free bytes, whether the kernels are for it or not.
    ///
    /// # Errors
    /// If there is no such device, or no driver that is new enough.
    pub fn describe(number: usize) -> Result<(Limits, u64), DeviceError> {
        let (limits, context) = Self::look(number)?;
        let (free, _) = context.mem_get_info().map_err(|why| failed("asking what memory is free", why))?;
        Ok((limits, free as u64))
    }

    /// The version of CUDA that the driver is for: major, minor.
    pub fn version(&self) -> [u32; 2] {
        self.version
    }

    /// The version of the NVRTC that compiles the kernels: major, minor; none where all were compiled ahead of time.
    pub fn compiler(&self) -> Option<[u32; 2]> {
        self.state().modules.compiler().nvrtc().map(Nvrtc::version)
    }

    /// How often lists of launches were run: as graphs that are replayed, and launch by launch.
    pub fn runs(&self) -> [u64; 2] {
        self.state().graphs.runs
    }

    /// Why the driver records no graphs, if it does not: all launches go one by one then.
    pub fn without_graphs(&self) -> Option<String> {
        self.state().graphs.refused.clone()
    }

    /// Makes this device the one that the calling thread uses.
    ///
    /// # Errors
    /// If the driver failed.
    pub fn bind(&self) -> Result<(), DeviceError> {
        self.context.bind_to_thread().map_err(|why| failed("using the device", why))
    }

    /// The stream of the launches, for what else is to be done in their order.
    pub fn stream(&self) -> &Arc<CudaStream> {
        &self.stream
    }

    /// What was half done when another thread panicked is seen by the driver, not here.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Driver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (CUDA {}.{})", self.limits.name, self.version[0], self.version[1])
    }
}

impl Device for Driver {
    type Memory = Memory;

    fn limits(&self) -> &Limits {
        &self.limits
    }

    fn allocate(&self, words: usize) -> Result<Memory, DeviceError> {
        Memory::new(&self.context, &self.limits.name, words)
    }

    fn address(&self, memory: &Memory) -> Address {
        Address(memory.start)
    }

    fn write(&self, to: &mut Memory, words: &[u32]) -> Result<(), DeviceError> {
        fits(to, words)?;
        if words.is_empty() { Ok(()) } else { self.state().staging.write(&self.stream, to.start, words) }
    }

    fn read(&self, from: &Memory, words: &mut [u32]) -> Result<(), DeviceError> {
        fits(from, words)?;
        let mut read = || {
            self.context.bind_to_thread()?;
            if !words.is_empty() {
                // SAFETY: the memory holds as many words, and these stay borrowed until the stream has been waited for.
                unsafe { result::memcpy_dtoh_async(words, from.start, self.stream.cu_stream()) }?;
            }
            self.stream.synchronize()
        };
        read().map_err(|why| failed("waiting for launches and reading what they made", why))
    }

    unsafe fn run(&self, launches: &[Launch]) -> Result<(), DeviceError> {
        let State { modules, graphs, .. } = &mut *self.state();
        self.bind()?;
        graphs.run(modules, &self.context, &self.stream, launches)
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        // Graphs and staging memory go before the streams; that nothing uses them any more needs the wait.
        let _ = self.stream.synchronize();
    }
}

/// Words go to or come from memory that holds as many.
fn fits(memory: &Memory, words: &[u32]) -> Result<(), DeviceError> {
    if size_of_val(words) <= memory.bytes {
        return Ok(());
    }
    let why = format!("expected at most {} words, got {}", memory.bytes / WORD, words.len());
    Err(DeviceError::Driver { what: "copying".into(), why })
}

fn limits(context: &CudaContext) -> Result<Limits, DriverError> {
    let ask = |attribute| context.attribute(attribute).map(i32::unsigned_abs);
    Ok(Limits {
        name: context.name()?,
        architecture: [
            ask(Attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR)?,
            ask(Attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR)?,
        ],
        multiprocessors: ask(Attribute::CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT)?,
        shared_of_block: ask(Attribute::CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN)?,
        shared_of_multiprocessor: ask(Attribute::CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_MULTIPROCESSOR)?,
        threads_of_multiprocessor: ask(Attribute::CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_MULTIPROCESSOR)?,
        registers_of_multiprocessor: ask(Attribute::CU_DEVICE_ATTRIBUTE_MAX_REGISTERS_PER_MULTIPROCESSOR)?,
        memory: context.total_mem()? as u64,
        clock: ask(Attribute::CU_DEVICE_ATTRIBUTE_CLOCK_RATE)?,
    })
}

/// What the driver says to a request.
fn failed(what: &str, why: DriverError) -> DeviceError {
    let text = |text: Result<&std::ffi::CStr, DriverError>| text.map(|text| text.to_string_lossy().into_owned());
    let why = match (text(why.error_name()), text(why.error_string())) {
        (Ok(name), Ok(says)) => format!("{name}: {says}"),
        _ => format!("error {}", why.0 as u32),
    };
    DeviceError::Driver { what: what.to_owned(), why }
}
