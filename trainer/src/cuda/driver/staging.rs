//! What is written to a card, on a way beside the launches.
//!
//! Words are put into memory of the host that the card can fetch from by itself, are fetched on a second stream while launches are under way,
//! and lie on the card then. From there they are copied to where they belong on the stream of the launches, in its order: after all launches
//! that may still read what was there before, and before all that come later. That copy is at the speed of the card's own memory.

use std::ptr;
use std::sync::Arc;

use cudarc::driver::{CudaContext, CudaEvent, CudaStream, DriverError, result, sys};

use super::{Memory, WORD, failed};
use crate::cuda::DeviceError;

/// Least words of a stage; they are powers of two.
const LEAST: usize = 1 << 12;
/// Most stages of a size: so many writes may be under way.
const MOST: usize = 4;

/// The stages, the one that was used longest ago first.
pub struct Staging {
    beside: Arc<CudaStream>,
    name: String,
    stages: Vec<Stage>,
}

/// Memory on both sides.
struct Stage {
    words: usize,
    host: Pinned,
    device: Memory,
    /// After the host's side was fetched.
    fetched: CudaEvent,
    /// After the card's side was copied from.
    taken: CudaEvent,
}

/// Memory of the host that stays where it is.
struct Pinned {
    start: *mut u32,
    context: Arc<CudaContext>,
}

impl Drop for Pinned {
    fn drop(&mut self) {
        // SAFETY: it was allocated in this context and is given back once. That it fails can only mean that the context is lost.
        let _ = self.context.bind_to_thread().and_then(|()| unsafe { result::free_host(self.start.cast()) });
    }
}

impl Staging {
    pub fn new(beside: Arc<CudaStream>, name: String) -> Self {
        Self { beside, name, stages: Vec::new() }
    }

    /// Writes words to `to`, which has room for them, in the order of `stream`.
    pub fn write(&mut self, stream: &CudaStream, to: sys::CUdeviceptr, words: &[u32]) -> Result<(), DeviceError> {
        let stage = self.stage(words.len())?;
        let written = stage.write(&self.beside, stream, to, words);
        if written.is_err() {
            // What is still under way on it is not known.
            let _ = self.beside.synchronize().and_then(|()| stream.synchronize());
        }
        self.stages.push(stage);
        written.map_err(|why| failed(&format!("writing {} words", words.len()), why))
    }

    /// A stage for so many words that nothing is fetched from any more: one that is free, a new one, or one that is waited for.
    fn stage(&mut self, words: usize) -> Result<Stage, DeviceError> {
        let words = words.next_power_of_two().max(LEAST);
        let fetched = |event: &CudaEvent| event.try_is_complete();
        let mut oldest = None;
        let mut count = 0;
        for (place, stage) in self.stages.iter().enumerate().filter(|(_, stage)| stage.words == words) {
            if fetched(&stage.fetched).map_err(|why| failed("asking whether a copy is done", why))? {
                return Ok(self.stages.remove(place));
            }
            oldest = oldest.or(Some(place));
            count += 1;
        }
        match oldest {
            Some(place) if count >= MOST => {
                let waited = self.stages[place].fetched.synchronize();
                waited.map_err(|why| failed("waiting for a copy", why))?;
                Ok(self.stages.remove(place))
            }
            _ => Stage::new(self.beside.context(), &self.name, words),
        }
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        // Nothing may be fetched any more when the host's side goes.
        let _ = self.beside.synchronize();
    }
}

impl Stage {
    fn new(context: &Arc<CudaContext>, name: &str, words: usize) -> Result<Self, DeviceError> {
        let device = Memory::new(context, name, words)?;
        let refused = |why| failed(&format!("allocating {} bytes of pinned memory of the host", words * WORD), why);
        // SAFETY: as many words are written before they are fetched.
        let start = unsafe { result::malloc_host(words * WORD, 0) }.map_err(refused)?.cast();
        let host = Pinned { start, context: Arc::clone(context) };
        let event = || context.new_event(None).map_err(|why| failed("making an event", why));
        Ok(Self { words, host, device, fetched: event()?, taken: event()? })
    }

    fn write(
        &self,
        beside: &CudaStream,
        stream: &CudaStream,
        to: sys::CUdeviceptr,
        words: &[u32],
    ) -> Result<(), DriverError> {
        beside.context().bind_to_thread()?;
        // SAFETY: the stage has room for the words, and nothing is fetched from it.
        let words = unsafe {
            ptr::copy_nonoverlapping(words.as_ptr(), self.host.start, words.len());
            std::slice::from_raw_parts(self.host.start, words.len())
        };
        // What lies on the card from the last time has been taken away before more is fetched.
        beside.wait(&self.taken)?;
        // SAFETY: both sides have room for the words, and the host's stays as it is until `fetched`.
        unsafe { result::memcpy_htod_async(self.device.start, words, beside.cu_stream()) }?;
        self.fetched.record(beside)?;
        stream.wait(&self.fetched)?;
        // SAFETY: both have room for the words, and `to` is used on this stream alone.
        unsafe { result::memcpy_dtod_async(to, self.device.start, size_of_val(words), stream.cu_stream()) }?;
        self.taken.record(stream)
    }
}
