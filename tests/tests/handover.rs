//! How buffers change owner, in a model of memory where every interleaving and every stale read is tried (loom).
//!
//! The code that is checked is `sinew_runtime::live`'s own. The queues are written down here once more with the atomics of the model,
//! step for step as `heapless::spsc` has them, for those of `heapless` cannot be exchanged.

use std::cell::Cell;

use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::sync::atomic::{AtomicUsize, Ordering};
use loom::thread;
use sinew_runtime::live::{Drain, Filler, Newest, Put, Take};

/// A queue for `N` − 1 items; `RELEASE` false forgets to make items visible before their place.
struct Queue<T, const N: usize, const RELEASE: bool> {
    head: AtomicUsize,
    tail: AtomicUsize,
    places: [UnsafeCell<Option<T>>; N],
}

// SAFETY: one end puts and one end takes; that neither looks where the other may is what the model checks.
unsafe impl<T: Send, const N: usize, const RELEASE: bool> Sync for Queue<T, N, RELEASE> {}
// SAFETY: it owns its items.
unsafe impl<T: Send, const N: usize, const RELEASE: bool> Send for Queue<T, N, RELEASE> {}

/// An end, with its own place. `heapless` loads that from the atomic which only this end stores, which is the same number; but the model
/// would then overlook that the other end's load before and this end's store after it could change places.
struct PutEnd<T, const N: usize, const RELEASE: bool> {
    queue: Arc<Queue<T, N, RELEASE>>,
    tail: usize,
}
struct TakeEnd<T, const N: usize, const RELEASE: bool> {
    queue: Arc<Queue<T, N, RELEASE>>,
    head: usize,
}

fn queue<T, const N: usize, const RELEASE: bool>() -> (PutEnd<T, N, RELEASE>, TakeEnd<T, N, RELEASE>) {
    let places = std::array::from_fn(|_| UnsafeCell::new(None));
    let queue = Arc::new(Queue { head: AtomicUsize::new(0), tail: AtomicUsize::new(0), places });
    (PutEnd { queue: queue.clone(), tail: 0 }, TakeEnd { queue, head: 0 })
}

thread_local! {
    /// Queue operations; the model runs all its threads on one.
    static OPERATIONS: Cell<usize> = const { Cell::new(0) };
    /// Executions that were tried.
    static EXECUTIONS: Cell<usize> = const { Cell::new(0) };
}

fn count(counter: &'static std::thread::LocalKey<Cell<usize>>) {
    counter.set(counter.get() + 1);
}

impl<T, const N: usize, const RELEASE: bool> Put<T> for PutEnd<T, N, RELEASE> {
    fn put(&mut self, item: T) -> Result<(), T> {
        count(&OPERATIONS);
        let next = (self.tail + 1) % N;
        if next == self.queue.head.load(Ordering::Acquire) {
            return Err(item);
        }
        // SAFETY: the place is empty and the other end does not look at it before the tail has moved on.
        self.queue.places[self.tail].with_mut(|place| unsafe { *place = Some(item) });
        self.queue.tail.store(next, if RELEASE { Ordering::Release } else { Ordering::Relaxed });
        self.tail = next;
        Ok(())
    }
}

impl<T, const N: usize, const RELEASE: bool> Take<T> for TakeEnd<T, N, RELEASE> {
    fn take(&mut self) -> Option<T> {
        count(&OPERATIONS);
        if self.head == self.queue.tail.load(Ordering::Acquire) {
            return None;
        }
        // SAFETY: the place is full and the other end does not look at it before the head has moved on.
        let item = self.queue.places[self.head].with_mut(|place| unsafe { (*place).take() });
        self.head = (self.head + 1) % N;
        self.queue.head.store(self.head, Ordering::Release);
        item
    }
}

/// A buffer: a name, and memory elsewhere of which the model knows who looks into it.
struct Buffer {
    name: usize,
    values: Arc<UnsafeCell<[usize; 2]>>,
}

impl Buffer {
    fn new(name: usize) -> Self {
        Self { name, values: Arc::new(UnsafeCell::new([0; 2])) }
    }

    fn write(&mut self, value: usize) {
        // SAFETY: whoever owns the buffer owns its memory; the model checks it.
        self.values.with_mut(|values| unsafe { *values = [value, value] });
    }

    fn read(&self) -> usize {
        // SAFETY: as above.
        let [first, second] = self.values.with(|values| unsafe { *values });
        assert_eq!(first, second, "torn");
        first
    }
}

/// Every buffer is there once.
fn all_there(mut names: Vec<usize>, count: usize) {
    names.sort_unstable();
    assert_eq!(names, Vec::from_iter(0..count));
}

/// Snapshots: one side publishes, the other polls; at the end the newest is held and no buffer is lost. Gives the number of executions.
fn snapshots<const RELEASE: bool>(publications: usize, polls: usize) -> usize {
    EXECUTIONS.set(0);
    loom::model(move || {
        count(&EXECUTIONS);
        let (full_in, full_out) = queue::<Buffer, 4, RELEASE>();
        let (mut empty_in, empty_out) = queue::<Buffer, 4, RELEASE>();
        for name in [1, 2] {
            assert!(empty_in.put(Buffer::new(name)).is_ok());
        }
        let mut filler = Filler::new(full_in, empty_out);
        let mut newest = Newest::new(Buffer::new(0), 2, full_out, empty_in);
        let adapting = thread::spawn(move || {
            let mut published = 0;
            for value in 1..=publications {
                if filler.send(|buffer: &mut Buffer| buffer.write(value)) {
                    published = value;
                }
            }
            (filler, published)
        });
        let mut last = 0;
        for _ in 0..polls {
            let newer = newest.poll();
            let value = newest.held().read();
            assert!(if newer { value > last } else { value == last });
            last = value;
        }
        let (mut filler, published) = adapting.join().unwrap();
        // The first two find a buffer whatever the other side does.
        assert!(published >= publications.min(2));
        OPERATIONS.set(0);
        let newer = newest.poll();
        assert!(OPERATIONS.get() <= 4);
        assert_eq!((newest.held().read(), newer), (published, published > last));
        assert!(!newest.poll());
        let mut names = vec![newest.held().name];
        while filler.send(|buffer: &mut Buffer| names.push(buffer.name)) {}
        all_there(names, 3);
    });
    EXECUTIONS.get()
}

#[test]
fn the_newest_snapshot_wins_and_none_is_lost() {
    for (publications, polls) in [(1, 1), (2, 2), (3, 2), (4, 1)] {
        let executions = snapshots::<true>(publications, polls);
        println!("{publications} publications, {polls} polls: {executions} executions");
        assert!(executions > publications, "the model saw {executions} executions");
    }
}

#[test]
#[should_panic(expected = "Causality violation")]
fn the_model_would_find_a_missing_release() {
    snapshots::<false>(1, 1);
}

#[test]
fn every_row_arrives_once_and_in_order() {
    EXECUTIONS.set(0);
    loom::model(|| {
        count(&EXECUTIONS);
        let (full_in, full_out) = queue::<Buffer, 3, true>();
        let (mut empty_in, empty_out) = queue::<Buffer, 3, true>();
        for name in [0, 1] {
            assert!(empty_in.put(Buffer::new(name)).is_ok());
        }
        let mut filler = Filler::new(full_in, empty_out);
        let mut drain = Drain::new(full_out, empty_in);
        let beside = thread::spawn(move || {
            let mut read = Vec::new();
            for _ in 0..2 {
                drain.next(|buffer: &mut Buffer| read.push(buffer.read()));
            }
            (drain, read)
        });
        let mut sent = Vec::new();
        for value in 1..=3 {
            if filler.send(|buffer: &mut Buffer| buffer.write(value)) {
                sent.push(value);
            }
        }
        let (mut drain, mut read) = beside.join().unwrap();
        while drain.next(|buffer: &mut Buffer| read.push(buffer.read())) {}
        // Nobody waits: what finds no buffer is dropped, and never one of the first two.
        assert!(sent.starts_with(&[1, 2]));
        assert_eq!(read, sent);
        let mut names = Vec::new();
        while filler.send(|buffer: &mut Buffer| names.push(buffer.name)) {}
        all_there(names, 2);
    });
    let executions = EXECUTIONS.get();
    println!("{executions} executions");
    assert!(executions > 3, "the model saw {executions} executions");
}
