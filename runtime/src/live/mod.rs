//! Prediction at the control rate while adaptation runs elsewhere: on another thread, core, or priority.
//!
//! ```text
//!                 samples ──►  [full rows]       ──►
//!  ControlSide                 [empty rows]      ◄──   AdapterSide
//!  observe, poll,         ──►  [empty snapshots] ──►   work
//!  predict                ◄──  [full snapshots]  ◄──   (owns the Adapter)
//! ```
//!
//! Buffers change owner through single-producer, single-consumer queues ([`heapless::spsc`]): there is no lock, nothing is torn, and the
//! control side waits for nothing. Each of its calls is a bounded number of queue operations besides its own arithmetic. If the adapter
//! side stands still, predictions go on from the newest snapshot, and samples for which there is no room are dropped and counted. If the
//! control side stands still, adaptation goes on, and what it could not hand over follows when there is a buffer again.

mod adapting;
mod circulate;
mod control;

use heapless::spsc::{Consumer, Producer, Queue};

pub use adapting::{AdapterSide, Work};
pub use circulate::{Drain, Filler, Newest, Put, Take};
pub use control::ControlSide;

#[cfg(feature = "masks")]
use crate::adapter::HeadSet;
use crate::adapter::memory::{aligned, carve_one, padded};
use crate::adapter::{Adapter, Predictor, SetupError};

/// Snapshots that go round: one predicts, one waits for the control side, one is being written.
const SNAPSHOTS: usize = 3;
/// A queue keeps one place free.
const PLACES: usize = SNAPSHOTS + 1;

/// What a snapshot has seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Version {
    /// Counts snapshots from 1 on; 0 is what the adapter knew when the two sides were connected.
    pub number: u64,
    /// How many of the messages of [`ControlSide::sent`] the adapter had read by then.
    pub read: u64,
}

/// A snapshot on its way.
#[derive(Debug)]
struct Snapshot<'m> {
    version: Version,
    checksum: u32,
    values: &'m mut [f32],
}

/// What a message says.
#[derive(Clone, Copy, Debug)]
enum Content {
    /// A new task begins.
    Reset,
    /// A sample with the labels of all heads.
    Sample,
    /// A sample with the labels of some.
    #[cfg(feature = "masks")]
    Heads(HeadSet),
}

/// A message on its way.
#[derive(Debug)]
struct Message<'m> {
    content: Content,
    /// Inputs, then targets.
    row: &'m mut [f32],
}

/// The queues between the two sides, for at most `N` − 1 samples on the way; `N` is at least 2.
///
/// ```
/// # use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
/// # use sinew_runtime::{Adapter, Bundle, live::Channel};
/// # fn run(bytes: &[u8], x: &[f32], y: &[f32]) -> Result<(), Box<dyn std::error::Error>> {
/// let bundle = Bundle::parse(bytes)?;
/// let mut memory = vec![0.0; Adapter::memory_len(&bundle, 16)?];
/// let adapter = Adapter::new(&bundle, 16, &mut memory)?;
/// let mut memory = vec![0.0; Channel::<9>::memory_len(&adapter)];
/// let mut channel = Channel::<9>::new();
/// let (mut control, mut beside) = channel.connect(adapter, &mut memory)?;
/// let done = AtomicBool::new(false);
/// std::thread::scope(|scope| {
///     scope.spawn(|| {
///         while !done.load(Relaxed) {
///             beside.work(|| false);
///             std::thread::yield_now();
///         }
///     });
///     let mut answer = [0.0; 4];
///     for _cycle in 0..1000 {
///         control.poll();
///         let predicted = control.predict(x, &mut answer);
///         let observed = control.observe(x, y);
/// #       assert!(predicted.is_ok() && observed.is_ok());
///     }
///     done.store(true, Relaxed);
/// });
/// # Ok(()) }
/// ```
#[derive(Debug, Default)]
pub struct Channel<'m, const N: usize> {
    full_rows: Queue<Message<'m>, N>,
    empty_rows: Queue<Message<'m>, N>,
    full_snapshots: Queue<Snapshot<'m>, PLACES>,
    empty_snapshots: Queue<Snapshot<'m>, PLACES>,
}

impl<'m, const N: usize> Channel<'m, N> {
    /// Without anything in it: it can be a `static`, as in firmware.
    pub const fn new() -> Self {
        const { assert!(N >= 2, "a channel needs room for a sample") };
        Self {
            full_rows: Queue::new(),
            empty_rows: Queue::new(),
            full_snapshots: Queue::new(),
            empty_snapshots: Queue::new(),
        }
    }

    /// Values of memory for the two sides of `adapter`: [`Predictor::memory_len`], three times [`Adapter::snapshot_len`], and N − 1
    /// rows of inputs and targets. A fast path rounds each row up to 16 values and adds 15, to align them.
    pub fn memory_len(adapter: &Adapter<'_>) -> usize {
        let path = adapter.network().path();
        let row = padded(path, adapter.input_len().saturating_add(adapter.output_len())).unwrap_or(usize::MAX);
        let rows = row.saturating_mul(N.saturating_sub(1));
        let parts = [Predictor::memory_len(adapter), adapter.snapshot_len().saturating_mul(SNAPSHOTS), rows];
        crate::adapter::memory::total(path, parts).unwrap_or(usize::MAX)
    }

    /// Divides an adapter, with all it knows, into the side that predicts and the side that learns. They may go to different threads, and
    /// end the connection by being dropped.
    ///
    /// # Errors
    /// If `memory` is shorter than [`Channel::memory_len`].
    // Inlined, it would leave large parts on the stack of the caller.
    #[inline(never)]
    pub fn connect<'q>(
        &'q mut self,
        adapter: Adapter<'m>,
        memory: &'m mut [f32],
    ) -> Result<(ControlSide<'q, 'm>, AdapterSide<'q, 'm>), SetupError> {
        let (expected, got) = (Self::memory_len(&adapter), memory.len());
        let short = SetupError::Memory { expected, got };
        if got < expected {
            return Err(short);
        }
        let (own, rest) = memory.split_at_mut_checked(Predictor::memory_len(&adapter)).ok_or(short)?;
        let predictor = Predictor::new(&adapter, own)?;
        let path = adapter.network().path();
        let mut rest = aligned(path, rest);
        // A channel that was connected before holds what was on the way when its sides were dropped.
        *self = Self::new();
        let mut snapshots: [Snapshot<'m>; SNAPSHOTS] =
            core::array::from_fn(|_| Snapshot { version: Version::default(), checksum: 0, values: &mut [] });
        for snapshot in &mut snapshots {
            snapshot.values = carve_one(path, adapter.snapshot_len(), &mut rest).ok_or(short)?;
        }
        let [mut held, second, third] = snapshots;
        held.write(&adapter, Version::default());
        for empty in [second, third] {
            self.empty_snapshots.enqueue(empty).map_err(|_| short)?;
        }
        for _ in 1..N {
            let row = carve_one(path, adapter.input_len() + adapter.output_len(), &mut rest).ok_or(short)?;
            self.empty_rows.enqueue(Message { content: Content::Sample, row }).map_err(|_| short)?;
        }
        let (rows_in, rows_out) = self.full_rows.split();
        let (rows_back_in, rows_back_out) = self.empty_rows.split();
        let (snapshots_in, snapshots_out) = self.full_snapshots.split();
        let (snapshots_back_in, snapshots_back_out) = self.empty_snapshots.split();
        let newest = Newest::new(held, SNAPSHOTS - 1, snapshots_out, snapshots_back_in);
        let control = ControlSide::new(
            predictor,
            #[cfg(feature = "masks")]
            adapter.takes_steps(),
            Filler::new(rows_in, rows_back_out),
            newest,
        );
        let messages = Drain::new(rows_out, rows_back_in);
        let adapting = AdapterSide::new(adapter, messages, N, Filler::new(snapshots_in, snapshots_back_out));
        Ok((control, adapting))
    }
}

impl Snapshot<'_> {
    fn write(&mut self, adapter: &Adapter<'_>, version: Version) {
        // The length was worked out at set-up, so this cannot fail.
        let written = adapter.snapshot(self.values);
        debug_assert!(written.is_ok());
        self.checksum = crate::kernel::finite::checksum(adapter.network().path(), self.values);
        self.version = version;
    }
}

/// The end of a queue that takes, and the end that gives.
type In<'q, T> = Producer<'q, T>;
type Out<'q, T> = Consumer<'q, T>;
