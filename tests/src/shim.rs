//! A [`Device`] without a GPU: it runs the CUDA kernels of the trainer on the CPU, a fiber for each CUDA thread (`tests/cuda`).
//!
//! It is for tests: a barrier costs each thread some twenty nanoseconds. What a GPU would leave to chance it makes visible. Memory is NaN
//! until it is written, shared memory before each block; threads take turns in the [`Order`] of choice, so that a missing barrier gives
//! another result; a barrier or a shuffle to which not all come is an error.
//! With `SINEW_SANITIZE=1` at build time kernels are under AddressSanitizer and UndefinedBehaviorSanitizer, and each piece of memory ends
//! where it was asked to.

use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
use std::cell::Cell;
use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::ptr::NonNull;
use std::rc::Rc;
use std::slice;

use sinew_trainer::cuda::{Address, Device, DeviceError, Launch, Limits};

unsafe extern "C" {
    fn sinew_shim_all();
    fn sinew_shim_run(
        name: *const c_char,
        grid: *const u32,
        threads: u32,
        dynamic: u32,
        shared_limit: u32,
        arguments: *const c_void,
        bytes: u64,
        kind: u32,
        seed: u64,
        message: *mut c_char,
        room: u64,
    ) -> c_int;
}

/// Which thread of a block goes first, and which block.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// The first.
    #[default]
    Forward,
    /// The last; and a warp goes on from a shuffle at once, as far as it comes, before another has its turn.
    Reverse,
    /// As a seed has it, and the number of the launch.
    Shuffled(u64),
}

/// The device.
#[derive(Debug)]
pub struct Shim {
    limits: Limits,
    order: Order,
    used: Rc<Cell<u64>>,
    launches: Cell<usize>,
    allocations: Cell<usize>,
    reads: Cell<usize>,
}

/// Its memory.
#[derive(Debug)]
pub struct Memory {
    at: NonNull<u32>,
    words: usize,
    used: Rc<Cell<u64>>,
}

impl Shim {
    /// A device that says that it is such a card, and has as much memory.
    pub fn new(limits: Limits, order: Order) -> Self {
        Self {
            limits,
            order,
            used: Rc::default(),
            launches: Cell::new(0),
            allocations: Cell::new(0),
            reads: Cell::new(0),
        }
    }

    /// Launches so far.
    pub fn launches(&self) -> usize {
        self.launches.get()
    }

    /// Allocations so far.
    pub fn allocations(&self) -> usize {
        self.allocations.get()
    }

    /// How often it was waited for.
    pub fn reads(&self) -> usize {
        self.reads.get()
    }

    /// Bytes of memory in use.
    pub fn used(&self) -> u64 {
        self.used.get()
    }

    /// Launches a kernel by its name, with bytes of dynamic shared memory: also one that the trainer does not have.
    ///
    /// # Errors
    /// If there is no such kernel, if it cannot be launched so, or if its threads do not come to the same barrier.
    pub fn launch(
        &self,
        name: &str,
        grid: [u32; 3],
        threads: u32,
        shared: u32,
        arguments: &[u64],
    ) -> Result<(), DeviceError> {
        let number = self.launches.replace(self.launches.get() + 1);
        let (kind, seed) = match self.order {
            Order::Forward => (0, 0),
            Order::Reverse => (1, 0),
            Order::Shuffled(seed) => (2, seed.wrapping_add(number as u64)),
        };
        let text = CString::new(name).expect("no kernel has a zero in its name");
        let mut message: [c_char; 1024] = [0; 1024];
        // SAFETY: name, grid, arguments and message are there and as long as it says. The kernel reads and writes where its arguments say;
        // that those are addresses of this device's memory, of lengths that fit, is what the launcher of each kernel looks after.
        let status = unsafe {
            sinew_shim_all();
            sinew_shim_run(
                text.as_ptr(),
                grid.as_ptr(),
                threads,
                shared,
                self.limits.shared_of_block,
                arguments.as_ptr().cast(),
                size_of_val(arguments) as u64,
                kind,
                seed,
                message.as_mut_ptr(),
                message.len() as u64,
            )
        };
        if status == 0 {
            return Ok(());
        }
        // SAFETY: it ends with a zero, within its length.
        let why = unsafe { CStr::from_ptr(message.as_ptr()) }.to_string_lossy().into_owned();
        Err(DeviceError::Driver { what: format!("launching {name}"), why })
    }
}

impl Device for Shim {
    type Memory = Memory;

    fn limits(&self) -> &Limits {
        &self.limits
    }

    fn allocate(&self, words: usize) -> Result<Memory, DeviceError> {
        let (needed, free) = (4 * words as u64, self.limits.memory - self.used.get());
        if needed > free {
            return Err(DeviceError::Memory { name: self.limits.name.clone(), needed, free });
        }
        let layout = layout(words);
        // SAFETY: its size is not 0.
        let Some(at) = NonNull::new(unsafe { alloc(layout) }.cast::<u32>()) else { handle_alloc_error(layout) };
        // SAFETY: so many words are there, and may hold any bits.
        unsafe { at.as_ptr().cast::<u8>().write_bytes(0xff, 4 * words) };
        self.used.set(self.used.get() + needed);
        self.allocations.set(self.allocations.get() + 1);
        Ok(Memory { at, words, used: Rc::clone(&self.used) })
    }

    fn address(&self, memory: &Memory) -> Address {
        Address(memory.at.as_ptr().expose_provenance() as u64)
    }

    fn write(&self, to: &mut Memory, words: &[u32]) -> Result<(), DeviceError> {
        assert!(words.len() <= to.words, "{} words into memory of {}", words.len(), to.words);
        // SAFETY: so many words are there, filled since they were allocated, and no kernel runs now.
        unsafe { slice::from_raw_parts_mut(to.at.as_ptr(), words.len()) }.copy_from_slice(words);
        Ok(())
    }

    fn read(&self, from: &Memory, words: &mut [u32]) -> Result<(), DeviceError> {
        assert!(words.len() <= from.words, "{} words from memory of {}", words.len(), from.words);
        self.reads.set(self.reads.get() + 1);
        // SAFETY: as above.
        words.copy_from_slice(unsafe { slice::from_raw_parts(from.at.as_ptr(), words.len()) });
        Ok(())
    }

    unsafe fn run(&self, launches: &[Launch]) -> Result<(), DeviceError> {
        for launch in launches {
            self.launch(launch.kernel.name(), launch.grid, launch.threads, launch.shared, &launch.arguments)?;
        }
        Ok(())
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        self.used.set(self.used.get() - 4 * self.words as u64);
        // SAFETY: it was allocated with this layout.
        unsafe { dealloc(self.at.as_ptr().cast(), layout(self.words)) };
    }
}

/// Exactly so many words, so that AddressSanitizer sees who leaves them; of none a byte.
fn layout(words: usize) -> Layout {
    Layout::from_size_align((4 * words).max(1), 256).expect("it fits an address space")
}
