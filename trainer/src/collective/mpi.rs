//! Processes that mpirun started, over numbers in host memory.

use std::fmt;
use std::ops::DerefMut;

use ::mpi::datatype::PartitionMut;
use ::mpi::environment::Universe;
use ::mpi::topology::SimpleCommunicator;
use ::mpi::traits::{Communicator, CommunicatorCollectives};
use ::mpi::{Count, Threading};

use super::{Collective, CollectiveError, Launched};

/// Bytes that every process sends at once, its message where it fits and the message's length before it.
const SLOT: usize = 512;
const LENGTH: usize = size_of::<u64>();

/// One process of several. Dropping it without [`Mpi::leave`] ends them all, so that an error or a panic in one cannot leave the others
/// waiting for it.
pub struct Mpi {
    world: SimpleCommunicator,
    rank: usize,
    size: usize,
    neighbours: usize,
    left: bool,
    /// Values on their way out: a block for each process.
    sent: Vec<f32>,
    /// This process' block of every process.
    received: Vec<f32>,
    /// Finalises MPI when it is dropped, after all else.
    _universe: Universe,
}

impl Mpi {
    /// Joins the processes that a launcher started.
    ///
    /// # Errors
    /// If MPI does not start, or knows fewer processes than the launcher says: they would take each other's files for their own.
    pub fn join(launched: Launched) -> Result<Self, CollectiveError> {
        let started = ::mpi::initialize_with_threading(Threading::Funneled);
        let (universe, _) = started.ok_or(CollectiveError::NotStarted)?;
        let world = universe.world();
        let [rank, size] = [world.rank(), world.size()].map(|number| number.max(0) as usize);
        let Launched { variable, processes: said } = launched;
        if size < said {
            return Err(CollectiveError::Launcher { variable, said, size });
        }
        let (sent, received) = (Vec::new(), Vec::new());
        let mut this = Self { world, rank, size, neighbours: 1, left: false, sent, received, _universe: universe };
        this.neighbours = this.count_neighbours()?;
        Ok(this)
    }

    /// Processes of this machine that may run on the same processors: mpirun binds them to different ones, or lets all of them run
    /// everywhere.
    fn count_neighbours(&self) -> Result<usize, CollectiveError> {
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let mine = status.lines().find(|line| line.starts_with("Cpus_allowed_list")).unwrap_or_default();
        let machine = self.world.split_shared(self.world.rank());
        let all = gather(&machine, mine.as_bytes())?;
        Ok(all.iter().filter(|processors| **processors == mine.as_bytes()).count())
    }

    /// Ends all processes, this one included.
    pub fn abort(&self) -> ! {
        self.world.abort(1)
    }

    /// Leaves the others, once all of them leave.
    pub fn leave(mut self) {
        self.left = true;
    }
}

impl Drop for Mpi {
    fn drop(&mut self) {
        if !self.left {
            self.abort();
        }
    }
}

impl fmt::Debug for Mpi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Mpi(rank {} of {})", self.rank, self.size)
    }
}

impl<V: DerefMut<Target = [f32]>> Collective<V> for Mpi {
    fn rank(&self) -> usize {
        self.rank
    }

    fn size(&self) -> usize {
        self.size
    }

    fn neighbours(&self) -> usize {
        self.neighbours
    }

    fn gather(&mut self, mine: &[u8]) -> Result<Vec<Vec<u8>>, CollectiveError> {
        gather(&self.world, mine)
    }

    /// Each process sums one block of the values, in the order of ranks, and gives it to all: a value is summed in one place and in one
    /// order, whatever way MPI chose to carry it, which `MPI_Allreduce` does not promise.
    fn sum(&mut self, values: &mut [&mut V], share: f32) -> Result<(), CollectiveError> {
        let Self { world, size, sent, received, .. } = self;
        let block = values.iter().map(|values| values.len()).sum::<usize>().div_ceil(*size);
        if block == 0 {
            return Ok(());
        }
        count(block * *size * size_of::<f32>())?;
        sent.clear();
        values.iter().for_each(|values| sent.extend(values.iter().map(|value| share * value)));
        sent.resize(block * *size, 0.0);
        received.resize(block * *size, 0.0);
        world.all_to_all_into(&sent[..], &mut received[..]);
        let (sum, others) = received.split_at_mut(block);
        for other in others.chunks_exact(block) {
            sum.iter_mut().zip(other).for_each(|(sum, value)| *sum += value);
        }
        world.all_gather_into(&sum[..], &mut sent[..]);
        let mut rest = &sent[..];
        for values in values {
            let (part, after) = rest.split_at(values.len());
            values.copy_from_slice(part);
            rest = after;
        }
        Ok(())
    }
}

/// MPI counts in 32 bits.
fn count(bytes: usize) -> Result<Count, CollectiveError> {
    Count::try_from(bytes).map_err(|_| CollectiveError::TooLong { most: Count::MAX as usize, got: bytes })
}

/// What each process of `world` says. Short messages take one call, and that one is too long is seen by all.
fn gather(world: &SimpleCommunicator, mine: &[u8]) -> Result<Vec<Vec<u8>>, CollectiveError> {
    let size = world.size().max(0) as usize;
    let mut slot = [0_u8; SLOT];
    let (len, short) = slot.split_at_mut(LENGTH);
    len.copy_from_slice(&(mine.len() as u64).to_le_bytes());
    short.iter_mut().zip(mine).for_each(|(byte, mine)| *byte = *mine);
    let mut slots = vec![0_u8; SLOT * size];
    world.all_gather_into(&slot[..], &mut slots[..]);
    let length = |slot: &[u8]| slot.iter().take(LENGTH).rev().fold(0, |len: u64, byte| len << 8 | u64::from(*byte));
    let lengths: Vec<u64> = slots.chunks_exact(SLOT).map(length).collect();
    if lengths.iter().all(|len| *len <= (SLOT - LENGTH) as u64) {
        let parts = slots.chunks_exact(SLOT).zip(&lengths);
        return Ok(parts.map(|(slot, len)| slot[LENGTH..][..*len as usize].to_vec()).collect());
    }
    let total = lengths.iter().fold(size as u64, |sum, len| sum.saturating_add(*len));
    count(usize::try_from(total).unwrap_or(usize::MAX))?;
    // An empty slice may lie at address 1, which is what Open MPI calls MPI_IN_PLACE, so that every message has one byte more.
    let sent = [mine, &[0]].concat();
    let counts: Vec<Count> = lengths.iter().map(|len| *len as Count + 1).collect();
    let starts: Vec<Count> = (0..size).map(|rank| counts[..rank].iter().sum()).collect();
    let mut all = vec![0_u8; total as usize];
    world.all_gather_varcount_into(&sent[..], &mut PartitionMut::new(&mut all[..], &counts[..], &starts[..]));
    let parts = starts.iter().zip(&lengths);
    Ok(parts.map(|(start, len)| all[*start as usize..][..*len as usize].to_vec()).collect())
}
