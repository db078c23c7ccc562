//! Processes that train together: each draws and differentiates its share of every batch of tasks, and all take the same step.
//!
//! [`Collective`] is the seam: what the training loop asks of the other processes. Shares follow one another in the order of ranks, so
//! that what is gathered is in the order of tasks, as in one process. Ranks stay the same to the bit among themselves; against one
//! process the gradient is grouped otherwise and differs by rounding.

mod alone;
mod devices;
mod error;
mod launcher;
#[cfg(feature = "mpi")]
mod mpi;
#[cfg(feature = "cuda")]
pub mod nccl;
pub mod on_device;

use std::fmt::{Debug, Display};
use std::ops::Range;

pub use alone::Alone;
pub use devices::OnDevices;
pub use error::CollectiveError;
pub use launcher::{Launched, Processes, expect_one};
#[cfg(feature = "mpi")]
pub use mpi::Mpi;

/// What processes do together over numbers `V`, which may lie in host memory or on a device. Every process makes the same calls in the
/// same order; a call ends when all have made it.
pub trait Collective<V>: Debug {
    /// Which process this is, from 0. Process 0 reads and writes the files of a run.
    fn rank(&self) -> usize;

    /// How many processes there are.
    fn size(&self) -> usize;

    /// How many of them run on the same processors as this one, itself included.
    fn neighbours(&self) -> usize;

    /// What each process says, in the order of ranks.
    ///
    /// # Errors
    /// If it is too long.
    fn gather(&mut self, mine: &[u8]) -> Result<Vec<Vec<u8>>, CollectiveError>;

    /// Replaces each of `values`, as many and as long on every process, by Σ share · values over processes: the same bits on all of
    /// them, and in every run with as many processes. A share of 0 does not hide what is not finite.
    ///
    /// # Errors
    /// If there are too many.
    fn sum(&mut self, values: &mut [&mut V], share: f32) -> Result<(), CollectiveError>;
}

/// The part of `0..count` that falls to `rank` of `size` processes: one after another, the first ones longer by one where it does not
/// divide.
pub fn share(count: usize, rank: usize, size: usize) -> Range<usize> {
    let (each, rest) = (count / size, count % size);
    let start = rank * each + rank.min(rest);
    start..start + each + usize::from(rank < rest)
}

/// Whether any process says yes.
///
/// # Errors
/// As [`Collective::gather`].
pub fn any<V>(collective: &mut dyn Collective<V>, mine: bool) -> Result<bool, CollectiveError> {
    Ok(collective.gather(&[u8::from(mine)])?.iter().any(|yes| yes.contains(&1)))
}

/// Replaces `values` by those of all processes, one process after another; and whether any process says yes, with the same message.
///
/// # Errors
/// As [`Collective::gather`].
pub fn gather_values<V>(
    collective: &mut dyn Collective<V>,
    values: &mut Vec<f32>,
    mine: bool,
) -> Result<bool, CollectiveError> {
    if collective.size() == 1 {
        return Ok(mine);
    }
    let mut said = vec![u8::from(mine)];
    said.extend(values.iter().flat_map(|value| value.to_le_bytes()));
    let mut any = false;
    values.clear();
    for said in collective.gather(&said)? {
        if let Some((yes, bytes)) = said.split_first() {
            any |= *yes == 1;
            values.extend(bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])));
        }
    }
    Ok(any)
}

/// What succeeded on every process. Where it failed on some, the first of them gets its own error, all others
/// [`CollectiveError::Elsewhere`].
///
/// # Errors
/// If it failed on any process.
pub fn agree<V, T, E>(collective: &mut dyn Collective<V>, mine: Result<T, E>) -> Result<T, E>
where
    E: Display + From<CollectiveError>,
{
    if collective.size() == 1 {
        return mine;
    }
    let why = mine.as_ref().err().map(|why| format!("!{why}")).unwrap_or_default();
    let all = collective.gather(why.as_bytes())?;
    match all.iter().position(|why| !why.is_empty()) {
        Some(rank) if rank != collective.rank() => {
            let why = String::from_utf8_lossy(&all[rank][1..]).into_owned();
            Err(CollectiveError::Elsewhere { rank, why }.into())
        }
        _ => mine,
    }
}

/// An error that every process has: the first one keeps it, so that it is said once.
pub fn alike<V, E>(collective: &dyn Collective<V>, why: E) -> E
where
    E: Display + From<CollectiveError>,
{
    if collective.rank() == 0 { why } else { CollectiveError::Elsewhere { rank: 0, why: why.to_string() }.into() }
}

/// Fails where processes have different bytes under the name `what`: on all of them alike.
///
/// # Errors
/// If they differ.
pub fn expect_same<V>(
    collective: &mut dyn Collective<V>,
    what: &'static str,
    mine: &[u8],
) -> Result<(), CollectiveError> {
    let all = collective.gather(mine)?;
    match all.iter().position(|bytes| *bytes != all[0]) {
        Some(rank) => Err(alike(collective, CollectiveError::Apart { what, rank })),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::share;

    #[test]
    fn shares_are_all_there_is_once() {
        for count in [0, 1, 2, 5, 32, 33] {
            for size in 1..8 {
                let parts: Vec<_> = (0..size).map(|rank| share(count, rank, size)).collect();
                let all: Vec<usize> = parts.iter().cloned().flatten().collect();
                assert!(all.iter().copied().eq(0..count), "{count} among {size}: {parts:?}");
                let lengths: Vec<_> = parts.iter().map(ExactSizeIterator::len).collect();
                assert!(lengths.iter().max().unwrap() - lengths.iter().min().unwrap() <= 1, "{lengths:?}");
            }
        }
    }
}
