//! How buffers change owner: full ones one way, empty ones back, through two queues that each have one end on either side.
//!
//! Every buffer is at any time with one side or in one queue, and only its owner looks into it, so that nothing can be torn and no lock
//! is needed. A queue that is as long as there are buffers is never full. Nothing here waits: each call is a bounded number of queue
//! operations, whatever the other side does or fails to do.
//!
//! It is generic over the queues, so that the very code that runs on a robot is checked in a model of memory where every interleaving is
//! tried (`tests/tests/handover.rs`).

use heapless::spsc::{Consumer, Producer};

/// The end of a queue where items are put in. Neither end waits for the other.
pub trait Put<T> {
    /// Puts `item` in.
    ///
    /// # Errors
    /// Gives it back if the queue is full.
    fn put(&mut self, item: T) -> Result<(), T>;
}

/// The end of a queue where items come out, in the order in which they were put in.
pub trait Take<T> {
    /// The item that has been there the longest, if there is one.
    fn take(&mut self) -> Option<T>;
}

impl<T> Put<T> for Producer<'_, T> {
    fn put(&mut self, item: T) -> Result<(), T> {
        self.enqueue(item)
    }
}

impl<T> Take<T> for Consumer<'_, T> {
    fn take(&mut self) -> Option<T> {
        self.dequeue()
    }
}

/// The side that fills buffers.
#[derive(Debug)]
pub struct Filler<Full, Empty> {
    full: Full,
    empty: Empty,
}

impl<Full, Empty> Filler<Full, Empty> {
    /// Takes buffers from `empty`, and puts them into `full`; both are as long as there are buffers.
    pub const fn new(full: Full, empty: Empty) -> Self {
        Self { full, empty }
    }

    /// Fills a buffer and sends it off; false, with `fill` not called, if the other side has them all. Two queue operations.
    pub fn send<B>(&mut self, fill: impl FnOnce(&mut B)) -> bool
    where
        Full: Put<B>,
        Empty: Take<B>,
    {
        let Some(mut buffer) = self.empty.take() else { return false };
        fill(&mut buffer);
        give(&mut self.full, buffer);
        true
    }
}

/// The side that works off every buffer in turn.
#[derive(Debug)]
pub struct Drain<Full, Empty> {
    full: Full,
    empty: Empty,
}

impl<Full, Empty> Drain<Full, Empty> {
    /// Takes buffers from `full`, and puts them into `empty`; both are as long as there are buffers.
    pub const fn new(full: Full, empty: Empty) -> Self {
        Self { full, empty }
    }

    /// Reads the oldest buffer and gives it back; false if there is none. Two queue operations.
    pub fn next<B>(&mut self, read: impl FnOnce(&mut B)) -> bool
    where
        Full: Take<B>,
        Empty: Put<B>,
    {
        let Some(mut buffer) = self.full.take() else { return false };
        read(&mut buffer);
        give(&mut self.empty, buffer);
        true
    }
}

/// The side that wants only the newest buffer, and keeps it until there is a newer one.
#[derive(Debug)]
pub struct Newest<B, Full, Empty> {
    held: B,
    others: usize,
    full: Full,
    empty: Empty,
}

impl<B, Full: Take<B>, Empty: Put<B>> Newest<B, Full, Empty> {
    /// Begins with `held`, beside which `others` buffers go round; takes from `full` and puts into `empty`, both as long as there are
    /// buffers.
    pub const fn new(held: B, others: usize, full: Full, empty: Empty) -> Self {
        Self { held, others, full, empty }
    }

    /// Goes on to the newest buffer that had arrived before the call, or a newer one, and gives those before it back; false if there is
    /// none. At most twice as many queue operations as there are other buffers.
    pub fn poll(&mut self) -> bool {
        let mut newer = false;
        // No more than that can have been there; buffers that the other side fills meanwhile are for the next call.
        for _ in 0..self.others {
            let Some(buffer) = self.full.take() else { break };
            give(&mut self.empty, core::mem::replace(&mut self.held, buffer));
            newer = true;
        }
        newer
    }

    /// The newest buffer.
    pub const fn held(&self) -> &B {
        &self.held
    }
}

/// Puts a buffer into a queue that has room for all there are.
fn give<B>(queue: &mut impl Put<B>, buffer: B) {
    let given = queue.put(buffer);
    debug_assert!(given.is_ok(), "a queue is as long as there are buffers");
}
