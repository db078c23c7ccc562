//! Memory of a device, given out and taken back, so that a training loop allocates in its first steps alone and every step finds its numbers
//! at the same addresses.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::cuda::{Address, Device, DeviceError};

/// Words to which every piece of memory is rounded up, and to which pieces of one memory are apart: 256 bytes.
pub(super) const ALIGNED: usize = 64;

/// A device, and the memory of it that is free.
pub(super) struct Store<D: Device> {
    pub device: D,
    free: Mutex<Free<D::Memory>>,
}

/// Memory by its words.
struct Free<M> {
    /// What nothing under way uses any more.
    settled: Vec<(usize, M)>,
    /// What was given back since the device was last waited for.
    given_back: Vec<(usize, M)>,
}

impl<D: Device> Store<D> {
    pub fn new(device: D) -> Arc<Self> {
        Arc::new(Self { device, free: Mutex::new(Free { settled: Vec::new(), given_back: Vec::new() }) })
    }

    // What a panic could leave half done holds nothing but memory that is free.
    fn free(&self) -> MutexGuard<'_, Free<D::Memory>> {
        self.free.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Memory for so many words. No launch under way uses it.
    pub fn take(self: &Arc<Self>, words: usize) -> Result<Held<D>, DeviceError> {
        let words = rounded(words);
        let mut free = self.free();
        // The last that was given back: it may still be in a cache.
        let found = free.settled.iter().rposition(|(found, _)| *found == words);
        let memory = match found.map(|place| free.settled.remove(place)) {
            Some((_, memory)) => memory,
            None => {
                drop(free);
                match self.device.allocate(words) {
                    Err(DeviceError::Memory { .. }) => {
                        // What is free here may be what is missing there.
                        let mut free = self.free();
                        free.settled.clear();
                        free.given_back.clear();
                        drop(free);
                        self.device.allocate(words)?
                    }
                    allocated => allocated?,
                }
            }
        };
        Ok(Held { memory: Some(memory), words, store: Arc::clone(self) })
    }

    /// Waits for the device, and reads words from the front of memory.
    pub fn read(&self, from: &Held<D>, words: &mut [u32]) -> Result<(), DeviceError> {
        if let Some(memory) = &from.memory {
            self.device.read(memory, words)?;
        }
        let mut free = self.free();
        let Free { settled, given_back } = &mut *free;
        settled.append(given_back);
        Ok(())
    }
}

impl<D: Device> fmt::Debug for Store<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.device.fmt(f)
    }
}

/// Rounded so that batches that differ a little find each other's memory: an eighth of a power of two.
fn rounded(words: usize) -> usize {
    let step = (words.next_power_of_two() / 8).max(ALIGNED);
    words.max(1).next_multiple_of(step)
}

/// Memory that goes back to its store.
pub(super) struct Held<D: Device> {
    memory: Option<D::Memory>,
    words: usize,
    store: Arc<Store<D>>,
}

impl<D: Device> Held<D> {
    pub fn address(&self) -> Address {
        self.memory.as_ref().map_or(Address::NONE, |memory| self.store.device.address(memory))
    }

    /// Writes words to its front. Nothing under way uses it, for it comes from [`Store::take`].
    pub fn write(&mut self, words: &[u32]) -> Result<(), DeviceError> {
        match &mut self.memory {
            Some(memory) if !words.is_empty() => self.store.device.write(memory, words),
            _ => Ok(()),
        }
    }

    pub const fn words(&self) -> usize {
        self.words
    }

    /// Whether it is memory of this store.
    pub fn is_of(&self, store: &Arc<Store<D>>) -> bool {
        Arc::ptr_eq(&self.store, store)
    }
}

impl<D: Device> fmt::Debug for Held<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} words of {:?}", self.words, self.store.device)
    }
}

impl<D: Device> Drop for Held<D> {
    fn drop(&mut self) {
        if let Some(memory) = self.memory.take() {
            self.store.free().given_back.push((self.words, memory));
        }
    }
}

/// Numbers on a device.
pub struct Values<D: Device> {
    held: Option<Held<D>>,
    len: usize,
}

impl<D: Device> Values<D> {
    /// How many they are.
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Where they are; nowhere, if there never were any.
    pub fn address(&self) -> Address {
        self.held.as_ref().map_or(Address::NONE, Held::address)
    }

    /// The device that they are on; none, if there never were any.
    pub fn device(&self) -> Option<&D> {
        self.held.as_ref().map(|held| &held.store.device)
    }

    /// Their memory, for what reads it by way of `store`.
    pub(super) fn held_by(&self, store: &Arc<Store<D>>, what: &'static str) -> Result<Option<&Held<D>>, DeviceError> {
        match &self.held {
            Some(held) if !held.is_of(store) => Err(DeviceError::Elsewhere { what }),
            held => Ok(held.as_ref()),
        }
    }

    /// Where they are, for launches on the device of `store`: the addresses of another device are none there, and what another engine
    /// gives back is given out again as soon as its own launches are done.
    pub(super) fn on(&self, store: &Arc<Store<D>>, what: &'static str) -> Result<Address, DeviceError> {
        Ok(self.held_by(store, what)?.map_or(Address::NONE, Held::address))
    }

    /// Makes them so many, of this store; what they were is lost.
    pub(super) fn resize(&mut self, store: &Arc<Store<D>>, len: usize) -> Result<Address, DeviceError> {
        if self.held.as_ref().is_none_or(|held| held.words() < len || !held.is_of(store)) {
            self.held = None;
            self.len = 0;
            self.held = Some(store.take(len)?);
        }
        self.len = len;
        Ok(self.address())
    }

    pub(super) fn of(mut held: Held<D>, values: &[f32]) -> Result<Self, DeviceError> {
        held.write(bytemuck::cast_slice(values))?;
        Ok(Self { held: Some(held), len: values.len() })
    }
}

impl<D: Device> Default for Values<D> {
    fn default() -> Self {
        Self { held: None, len: 0 }
    }
}

impl<D: Device> fmt::Debug for Values<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} values on {:?}", self.len, self.held)
    }
}

/// Pieces of one memory, each at a multiple of 256 bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Pieces(usize);

impl Pieces {
    /// Where a next piece of so many words begins.
    pub const fn next(&mut self, words: usize) -> usize {
        let at = self.0;
        self.0 += words.next_multiple_of(ALIGNED);
        at
    }

    /// Words of all.
    pub const fn words(self) -> usize {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_rounded_a_little() {
        for words in [0, 1, 63, 64, 65, 1000, 5508, 1 << 20, (1 << 20) + 1] {
            let got = rounded(words);
            assert!(got >= words && got > 0 && got.is_multiple_of(ALIGNED), "{words}: {got}");
            assert!(got <= (words + words / 4).max(ALIGNED) + ALIGNED, "{words}: {got}");
        }
    }

    #[test]
    fn pieces_do_not_touch() {
        let mut pieces = Pieces::default();
        assert_eq!([pieces.next(1), pieces.next(64), pieces.next(65), pieces.next(0)], [0, 64, 128, 256]);
        assert_eq!(pieces.words(), 256);
    }
}
