//! After set-up nothing allocates: observing, adapting, predicting and going back run in the caller's memory alone.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::hint::black_box;

use sinew_models::rule::{Rate, Scope};
use sinew_models::spec::InputForm;
use sinew_runtime::{Adapter, Bundle, Outcome, Path};
use sinew_tests::bundle::{Parts, gradient, several_heads};

thread_local! {
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
}

/// The system's allocator, which counts for each thread.
struct Counting;

// SAFETY: all is passed on to the system's allocator; a counter without a destructor allocates nothing itself.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: the caller's contract.
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: the caller's contract.
        unsafe { System.dealloc(at, layout) }
    }
    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: the caller's contract.
        unsafe { System.realloc(at, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// How often `run` allocates.
fn allocations<T>(run: impl FnOnce() -> T) -> usize {
    let before = ALLOCATIONS.get();
    black_box(run());
    ALLOCATIONS.get() - before
}

#[test]
fn the_counter_counts() {
    assert_eq!(allocations(|| vec![1_u8; 100]), 1);
    assert_eq!(allocations(|| [1_u8; 100]), 0);
}

#[test]
fn nothing_allocates() {
    let rates = [Rate::Constant, Rate::PerLayerStep, Rate::PerParameter];
    for (rate, scope) in rates.into_iter().flat_map(|rate| [(rate, Scope::All), (rate, Scope::Heads)]) {
        let parts = Parts::new(several_heads(InputForm::Both), gradient(rate, scope), 0.05, 1);
        let bytes = parts.bytes();
        let (x, y) = parts.samples(40, 2);
        let outputs = parts.network.output_len();
        for path in Path::available() {
            // To read and to set up needs no heap either.
            let bundle = Bundle::parse(&bytes).unwrap();
            assert_eq!(allocations(|| Bundle::parse(&bytes).is_ok()), 0);
            let mut memory = vec![f32::NAN; Adapter::memory_len_on(path, &bundle, 16).unwrap()];
            assert_eq!(allocations(|| Adapter::new_on(path, &bundle, 16, &mut memory).is_ok()), 0);

            let mut adapter = Adapter::new_on(path, &bundle, 16, &mut memory).unwrap();
            let mut answers = vec![f32::NAN; y.len()];
            let count = allocations(|| {
                for (x, y) in x.chunks(3).zip(y.chunks(outputs)) {
                    adapter.observe(x, y).unwrap();
                    let report = adapter.adapt(|| false).unwrap();
                    assert_eq!(report.outcome, Outcome::Committed);
                    adapter.predict(x, &mut answers[..outputs]).unwrap();
                }
                adapter.predict(&x, &mut answers).unwrap();
                let loss = adapter.support_loss().unwrap();
                adapter.rollback();
                adapter.reset();
                loss
            });
            assert_eq!(count, 0, "on {}", path.name());
            assert!(answers.iter().all(|answer| answer.is_finite()));
        }
    }
}

#[test]
fn refusals_do_not_allocate() {
    let parts = Parts::new(several_heads(InputForm::Plain), gradient(Rate::Constant, Scope::All), 0.05, 1);
    let bytes = parts.bytes();
    let bundle = Bundle::parse(&bytes).unwrap();
    let mut memory = vec![0.0; Adapter::memory_len(&bundle, 4).unwrap()];
    assert_eq!(allocations(|| Bundle::parse(&bytes[..100]).is_err()), 0);
    let mut adapter = Adapter::new(&bundle, 4, &mut memory).unwrap();
    let mut refused = false;
    let count = allocations(|| {
        refused = adapter.adapt(|| false).is_err()
            && adapter.observe(&[f32::NAN; 3], &[0.0; 7]).is_err()
            && adapter.observe(&[0.0; 2], &[0.0; 7]).is_err()
            && adapter.predict(&[0.0; 3], &mut [0.0; 6]).is_err();
    });
    assert_eq!((count, refused), (0, true));
}
