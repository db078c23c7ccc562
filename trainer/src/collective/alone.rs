//! One process.

use super::{Collective, CollectiveError};

/// The only process.
#[derive(Clone, Copy, Debug, Default)]
pub struct Alone;

impl<V> Collective<V> for Alone {
    fn rank(&self) -> usize {
        0
    }

    fn size(&self) -> usize {
        1
    }

    fn neighbours(&self) -> usize {
        1
    }

    fn gather(&mut self, mine: &[u8]) -> Result<Vec<Vec<u8>>, CollectiveError> {
        Ok(vec![mine.to_vec()])
    }

    /// The share of the only process is all: nothing is done.
    fn sum(&mut self, _: &mut [&mut V], _: f32) -> Result<(), CollectiveError> {
        Ok(())
    }
}
