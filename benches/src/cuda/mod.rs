//! The engine on a GPU: proven against the one on the CPU, and timed beside it.
//!
//! All of it is over any [`Device`], so that a test runs it without a GPU.

pub mod check;
pub mod report;
pub mod speed;

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use sinew_trainer::cuda::{Address, Device, DeviceError, Launch, Limits};

/// A device that several engines use, one after another, and whose launches can be looked at.
#[derive(Debug)]
pub struct Watched<D> {
    device: Rc<D>,
    watching: Rc<Cell<bool>>,
    seen: Rc<RefCell<Vec<Vec<Launch>>>>,
}

// Derived, it would ask the same of `D`.
impl<D> Clone for Watched<D> {
    fn clone(&self) -> Self {
        Self { device: Rc::clone(&self.device), watching: Rc::clone(&self.watching), seen: Rc::clone(&self.seen) }
    }
}

impl<D: Device> Watched<D> {
    /// A device, not looked at yet.
    pub fn new(device: D) -> Self {
        Self { device: Rc::new(device), watching: Rc::default(), seen: Rc::default() }
    }

    /// What lists of launches `work` runs.
    ///
    /// # Errors
    /// Those of `work`.
    pub fn during<E>(&self, work: impl FnOnce() -> Result<(), E>) -> Result<Vec<Vec<Launch>>, E> {
        self.watching.set(true);
        let done = work();
        self.watching.set(false);
        let seen = self.seen.take();
        done.map(|()| seen)
    }
}

impl<D: Device> Device for Watched<D> {
    type Memory = D::Memory;

    fn limits(&self) -> &Limits {
        self.device.limits()
    }

    fn allocate(&self, words: usize) -> Result<D::Memory, DeviceError> {
        self.device.allocate(words)
    }

    fn address(&self, memory: &D::Memory) -> Address {
        self.device.address(memory)
    }

    fn write(&self, to: &mut D::Memory, words: &[u32]) -> Result<(), DeviceError> {
        self.device.write(to, words)
    }

    fn read(&self, from: &D::Memory, words: &mut [u32]) -> Result<(), DeviceError> {
        self.device.read(from, words)
    }

    unsafe fn run(&self, launches: &[Launch]) -> Result<(), DeviceError> {
        if self.watching.get() {
            self.seen.borrow_mut().push(launches.to_vec());
        }
        // SAFETY: the caller promises what the device asks for.
        unsafe { self.device.run(launches) }
    }
}
