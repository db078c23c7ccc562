//! The system's allocator, which counts what is allocated and what is live, over all threads.

use std::alloc::{GlobalAlloc, Layout, System};
use std::hint::black_box;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::SeqCst;

static ALLOCATIONS: AtomicUsize = AtomicUsize::new(0);
static LIVE: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

struct Counting;

fn count(layout: Layout) {
    ALLOCATIONS.fetch_add(1, SeqCst);
    let live = LIVE.fetch_add(layout.size(), SeqCst) + layout.size();
    PEAK.fetch_max(live, SeqCst);
}

// SAFETY: all is passed on to the system's allocator; counters that are atomic allocate nothing themselves. Growing in place is left
// to the default, which allocates, copies and frees: old and new memory are live at once.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout);
        // SAFETY: the caller's contract.
        unsafe { System.alloc(layout) }
    }
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout);
        // SAFETY: the caller's contract.
        unsafe { System.alloc_zeroed(layout) }
    }
    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size(), SeqCst);
        // SAFETY: the caller's contract.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// What a run takes of the heap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Taken {
    pub allocations: usize,
    /// Bytes live at once, above those that were before.
    pub peak: usize,
}

/// Runs `run`; other threads of the process count as well.
pub fn taken<T>(run: impl FnOnce() -> T) -> Taken {
    let (before, live) = (ALLOCATIONS.load(SeqCst), LIVE.load(SeqCst));
    PEAK.store(live, SeqCst);
    black_box(run());
    Taken { allocations: ALLOCATIONS.load(SeqCst) - before, peak: PEAK.load(SeqCst) - live }
}

pub fn the_counter_counts() {
    let both = || (vec![1_u8; 100], vec![0_u8; 50]);
    assert_eq!(taken(both), Taken { allocations: 2, peak: 150 });
    assert_eq!(taken(|| [1_u8; 100]), Taken { allocations: 0, peak: 0 });
    let one_after_the_other = || vec![1_u8; 100].len() + black_box(vec![1_u8; 50]).len();
    assert_eq!(taken(one_after_the_other).peak, 150);
}
