//! Memory that begins at a cache line.

use std::ops::{Deref, DerefMut};

/// A cache line, in values.
const LINE: usize = 16;

/// `len` values, the first of them at a multiple of 64 bytes: vectors then do not straddle two cache lines.
#[derive(Debug, Default)]
pub struct Aligned {
    memory: Vec<f32>,
    start: usize,
    len: usize,
}

impl Aligned {
    /// `len` zeros.
    pub fn zeros(len: usize) -> Self {
        let memory = vec![0.0_f32; len + LINE - 1];
        let start = memory.as_ptr().align_offset(LINE * size_of::<f32>()).min(LINE - 1);
        Self { memory, start, len }
    }

    /// A copy of `values`.
    pub fn copy_of(values: &[f32]) -> Self {
        let mut copy = Self::zeros(values.len());
        copy.copy_from_slice(values);
        copy
    }

    /// Makes it `len` values; what they hold is not said. Memory is kept, so this allocates only for a length never seen before.
    pub fn resize(&mut self, len: usize) {
        if self.memory.len() < len + self.start {
            // The old memory goes before the new one comes, so that the two are never there at once.
            *self = Self::default();
            *self = Self::zeros(len);
        }
        self.len = len;
    }

    /// Bytes of the heap that a first `resize` to `len` takes: the values, and what it takes to begin at a cache line.
    pub const fn bytes(len: usize) -> usize {
        if len == 0 { 0 } else { (len + LINE - 1) * size_of::<f32>() }
    }

    /// The next multiple of a cache line, in values.
    pub const fn padded(len: usize) -> usize {
        len.next_multiple_of(LINE)
    }
}

impl Clone for Aligned {
    fn clone(&self) -> Self {
        Self::copy_of(self)
    }
}

impl PartialEq for Aligned {
    fn eq(&self, other: &Self) -> bool {
        self[..] == other[..]
    }
}

impl Deref for Aligned {
    type Target = [f32];
    fn deref(&self) -> &[f32] {
        &self.memory[self.start..][..self.len]
    }
}

impl DerefMut for Aligned {
    fn deref_mut(&mut self) -> &mut [f32] {
        &mut self.memory[self.start..][..self.len]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn begins_at_a_line() {
        for len in [0, 1, 15, 16, 1000] {
            let memory = Aligned::copy_of(&vec![1.5; len]);
            assert_eq!((memory.len(), memory.as_ptr().addr() % 64), (len, 0));
            assert!(memory.clone().iter().all(|value| *value == 1.5));
        }
    }
}
