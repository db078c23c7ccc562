//! Prediction beside adaptation: a snapshot predicts the same bits as the adapter that made it, and the hand-over between two threads
//! tears nothing, loses nothing, allocates nothing. `tests/handover.rs` checks how buffers change owner.

mod written;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use sinew_models::spec::InputForm;
use sinew_runtime::live::{Channel, Version};
use sinew_runtime::{Adapter, Bundle, Guard, ObserveError, Path, Predictor, SetupError, VarianceError};
use written::{Case, INPUTS, cases};

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
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const CAPACITY: usize = 8;
const FORMS: [InputForm; 3] = [InputForm::Plain, InputForm::Relative, InputForm::Both];

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| value.to_bits()).collect()
}

/// What an adapter predicts for `x`: values, and variances where the rule has them.
fn predicted(adapter: &mut Adapter<'_>, x: &[f32]) -> (Vec<u32>, Option<Vec<u32>>) {
    let len = x.len() / INPUTS * adapter.output_len();
    let (mut y, mut again, mut variance) = (vec![f32::NAN; len], vec![f32::NAN; len], vec![f32::NAN; len]);
    adapter.predict(x, &mut y).unwrap();
    let known = adapter.predict_with_variance(x, &mut again, &mut variance).is_ok();
    assert!(!known || bits(&again) == bits(&y));
    assert!(y.iter().all(|y| y.is_finite()));
    (bits(&y), known.then(|| bits(&variance)))
}

/// The same from a snapshot.
fn predicted_from(predictor: &mut Predictor<'_>, snapshot: &[f32], x: &[f32]) -> (Vec<u32>, Option<Vec<u32>>) {
    let len = x.len() / INPUTS * predictor.output_len();
    let (mut y, mut again, mut variance) = (vec![f32::NAN; len], vec![f32::NAN; len], vec![f32::NAN; len]);
    predictor.predict(snapshot, x, &mut y).unwrap();
    let known = predictor.predict_with_variance(snapshot, x, &mut again, &mut variance);
    assert!(matches!(known, Ok(()) | Err(VarianceError::NoVariance)));
    (bits(&y), known.is_ok().then(|| bits(&variance)))
}

#[test]
fn a_snapshot_predicts_the_bits_of_its_adapter() {
    for (form, path) in FORMS.into_iter().flat_map(|form| Path::available().map(move |path| (form, path))) {
        for case in cases(form) {
            let (bytes, (x, y), (new, _)) = (case.bytes(1), case.samples(12, 2), case.samples(19, 3));
            let bundle = Bundle::parse(&bytes).unwrap_or_else(|error| panic!("{}: {error}", case.name));
            let mut memory = vec![f32::NAN; Adapter::memory_len_on(path, &bundle, CAPACITY).unwrap()];
            let mut adapter = Adapter::new_on(path, &bundle, CAPACITY, &mut memory).unwrap();
            adapter.set_guard(Guard::Finite);
            let mut memory = vec![f32::NAN; Predictor::memory_len(&adapter)];
            let mut predictor = Predictor::new(&adapter, &mut memory).unwrap();
            let at = format!("{}, {form:?}, {}", case.name, path.name());
            let check = |adapter: &mut Adapter<'_>, predictor: &mut Predictor<'_>| {
                let mut snapshot = vec![f32::NAN; adapter.snapshot_len()];
                adapter.snapshot(&mut snapshot).unwrap();
                for x in [&new[..], &new[..INPUTS]] {
                    let (got, want) = (predicted_from(predictor, &snapshot, x), predicted(adapter, x));
                    assert_eq!(got, want, "{at}");
                    assert_eq!(want.1.is_some(), case.name == "bayes", "{at}");
                }
                snapshot
            };
            let start = check(&mut adapter, &mut predictor);
            let before = predicted(&mut adapter, &new);
            for (x, y) in x.chunks(INPUTS).zip(y.chunks(case.output_len())) {
                adapter.observe(x, y).unwrap();
                check(&mut adapter, &mut predictor);
                adapter.adapt(|| false).unwrap();
                check(&mut adapter, &mut predictor);
            }
            // What an adapter learns later is not in a snapshot that it made before.
            assert_ne!(predicted(&mut adapter, &new), before, "{at} learned nothing");
            assert_eq!(predicted_from(&mut predictor, &start, &new), before, "{at}");
            adapter.reset();
            check(&mut adapter, &mut predictor);
            assert_eq!(predicted(&mut adapter, &new), before, "{at}");
        }
    }
}

#[test]
fn lengths_are_checked() {
    let case = &cases(InputForm::Both)[5];
    let bytes = case.bytes(1);
    let bundle = Bundle::parse(&bytes).unwrap();
    let mut memory = vec![0.0; Adapter::memory_len(&bundle, 4).unwrap()];
    let adapter = Adapter::new(&bundle, 4, &mut memory).unwrap();
    let (snapshot_len, len) = (adapter.snapshot_len(), Predictor::memory_len(&adapter));
    assert!(adapter.snapshot(&mut vec![0.0; snapshot_len - 1]).is_err());
    let mut memory = vec![0.0; len];
    let short = Predictor::new(&adapter, &mut memory[..len - 16]).unwrap_err();
    assert_eq!(short, SetupError::Memory { expected: len, got: len - 16 });
    let mut predictor = Predictor::new(&adapter, &mut memory).unwrap();
    let mut snapshot = vec![0.0; snapshot_len];
    adapter.snapshot(&mut snapshot).unwrap();
    let (mut y, mut variance) = ([0.0; 2], [0.0; 2]);
    assert!(predictor.predict(&snapshot[1..], &[0.0; 3], &mut y).is_err());
    assert!(predictor.predict(&snapshot, &[0.0; 2], &mut y).is_err());
    assert!(predictor.predict(&snapshot, &[0.0; 3], &mut y[..1]).is_err());
    assert!(predictor.predict_with_variance(&snapshot, &[0.0; 3], &mut y, &mut variance[..1]).is_err());
    assert!(predictor.predict_with_variance(&snapshot, &[0.0; 3], &mut y, &mut variance).is_ok());
    // Whatever is in a snapshot, a prediction ends.
    for value in [f32::NAN, f32::INFINITY, -1.0, 1e30] {
        predictor.predict(&vec![value; snapshot_len], &[0.0; 3], &mut y).unwrap();
    }
    let expected = Channel::<3>::memory_len(&adapter);
    let mut memory = vec![0.0; expected - 1];
    let mut channel = Channel::<3>::new();
    let short = channel.connect(adapter, &mut memory).unwrap_err();
    assert_eq!(short, SetupError::Memory { expected, got: expected - 1 });
}

/// Runs `with` an adapter of `case` on `path`.
fn with_adapter(case: &Case, path: Path, with: impl FnOnce(Adapter<'_>)) {
    let bytes = case.bytes(1);
    let bundle = Bundle::parse(&bytes).unwrap();
    let mut memory = vec![0.0; Adapter::memory_len_on(path, &bundle, CAPACITY).unwrap()];
    with(Adapter::new_on(path, &bundle, CAPACITY, &mut memory).unwrap());
}

#[test]
fn both_sides_together_are_an_adapter() {
    for (form, path) in FORMS.into_iter().flat_map(|form| Path::available().map(move |path| (form, path))) {
        for case in cases(form) {
            let ((x, y), (new, _)) = (case.samples(20, 2), case.samples(5, 3));
            with_adapter(&case, path, |mut whole| {
                with_adapter(&case, path, |adapter| {
                    let mut memory = vec![f32::NAN; Channel::<5>::memory_len(&adapter)];
                    let mut channel = Channel::<5>::new();
                    let (mut control, mut beside) = channel.connect(adapter, &mut memory).unwrap();
                    let mut predictions = vec![f32::NAN; 5 * case.output_len()];
                    for (number, (x, y)) in x.chunks(INPUTS).zip(y.chunks(case.output_len())).enumerate() {
                        if number == 11 {
                            assert!(control.reset());
                            whole.reset();
                        }
                        assert!(control.observe(x, y).unwrap());
                        whole.observe(x, y).unwrap();
                        let report = whole.adapt(|| false).unwrap();
                        let work = beside.work(|| false);
                        assert_eq!((work.published, beside.is_waiting()), (true, false));
                        // Losses can be NaN, which is not equal to itself.
                        assert_eq!(format!("{:?}", work.report), format!("{:?}", Some(report)));
                        assert!(control.poll() && !control.poll() && control.is_whole());
                        assert_eq!(control.version(), Version { number: number as u64 + 1, read: control.sent() });
                        control.predict(&new, &mut predictions).unwrap();
                        assert_eq!(bits(&predictions), predicted(&mut whole, &new).0, "{}", case.name);
                    }
                    assert_eq!(beside.work(|| false).report, None);
                });
            });
        }
    }
}

#[test]
fn neither_side_waits_for_the_other() {
    let case = &cases(InputForm::Both)[0];
    let ((x, y), outputs) = (case.samples(1, 2), case.output_len());
    with_adapter(case, Path::detect(), |adapter| {
        let mut memory = vec![f32::NAN; Channel::<4>::memory_len(&adapter)];
        let mut channel = Channel::<4>::new();
        let (mut control, mut beside) = channel.connect(adapter, &mut memory).unwrap();
        assert!(matches!(control.observe(&x[1..], &y), Err(ObserveError::Length(_))));
        assert_eq!(control.observe(&[f32::NAN; INPUTS], &y), Err(ObserveError::NotFinite));
        assert_eq!((control.sent(), control.dropped()), (0, 0));
        // The adapter side stands still.
        let sent: Vec<bool> = (0..5).map(|_| control.observe(&x, &y).unwrap()).collect();
        assert_eq!(sent, [true, true, true, false, false]);
        assert_eq!((control.sent(), control.dropped(), control.reset(), control.poll()), (3, 2, false, false));
        let mut before = vec![f32::NAN; outputs];
        control.predict(&x, &mut before).unwrap();
        // The control side stands still: two snapshots fit, what is in the third follows.
        assert_eq!((beside.work(|| true).read, beside.version()), (3, Version { number: 1, read: 3 }));
        assert!(control.observe(&x, &y).unwrap());
        assert!(beside.work(|| false).published);
        assert!(control.observe(&x, &y).unwrap());
        let work = beside.work(|| false);
        assert!(!work.published && work.report.is_some() && beside.is_waiting());
        assert!(!beside.work(|| false).published);
        assert!(control.poll());
        assert_eq!(control.version(), Version { number: 2, read: 4 });
        assert!(beside.work(|| false).published && !beside.is_waiting());
        assert!(control.poll() && !control.poll());
        assert_eq!(control.version(), Version { number: 3, read: 5 });
        let mut after = vec![f32::NAN; outputs];
        control.predict(&x, &mut after).unwrap();
        assert_ne!(after, before);
        // Back to the start.
        beside.rollback();
        assert!(beside.work(|| false).published && control.poll() && beside.verify().is_ok());
    });
}

#[test]
fn a_channel_can_be_connected_again() {
    let case = &cases(InputForm::Plain)[0];
    let (x, y) = case.samples(1, 2);
    with_adapter(case, Path::SCALAR, |first| {
        with_adapter(case, Path::SCALAR, |second| {
            let len = Channel::<3>::memory_len(&first);
            let (mut one, mut other) = (vec![0.0; len], vec![0.0; len]);
            let mut channel = Channel::<3>::new();
            for (adapter, memory) in [(first, &mut one), (second, &mut other)] {
                let (mut control, mut beside) = channel.connect(adapter, memory).unwrap();
                // Something is left behind in every queue.
                assert!(!control.poll() && control.observe(&x, &y).unwrap() && beside.work(|| false).published);
                assert!(control.observe(&x, &y).unwrap() && control.observe(&x, &y).unwrap());
                assert!(!control.observe(&x, &y).unwrap());
            }
        });
    });
}

#[test]
fn two_threads_tear_lose_and_allocate_nothing() {
    // The whole number takes its time where nothing is optimised.
    let cycles = if cfg!(debug_assertions) { 20_000 } else { 1_000_000 };
    for case in [&cases(InputForm::Both)[5], &cases(InputForm::Relative)[0]] {
        let ((x, y), outputs) = (case.samples(64, 2), case.output_len());
        with_adapter(case, Path::detect(), |adapter| {
            let mut memory = vec![f32::NAN; Channel::<17>::memory_len(&adapter)];
            let mut channel = Channel::<17>::new();
            let (mut control, mut beside) = channel.connect(adapter, &mut memory).unwrap();
            let done = AtomicBool::new(false);
            thread::scope(|scope| {
                let adapting = scope.spawn(|| {
                    let (before, mut published, mut starved) = (ALLOCATIONS.get(), 0_u64, 0_u64);
                    loop {
                        let over = done.load(Ordering::Acquire);
                        let work = beside.work(|| false);
                        published += u64::from(work.published);
                        starved += u64::from(beside.is_waiting());
                        if work.read == 0 && !beside.is_waiting() {
                            if over {
                                break;
                            }
                            thread::yield_now();
                        }
                    }
                    (beside.version(), published, starved, ALLOCATIONS.get() - before)
                });
                let (before, mut seen, mut last) = (ALLOCATIONS.get(), 0_u64, control.version());
                let mut answer = [f32::NAN; 2];
                let mut look = |control: &mut sinew_runtime::live::ControlSide<'_, '_>| {
                    if control.poll() {
                        let version = control.version();
                        assert!(version.number > last.number && version.read >= last.read);
                        assert!(version.read <= control.sent() && control.is_whole());
                        (seen, last) = (seen + 1, version);
                    } else {
                        assert_eq!(control.version(), last);
                    }
                };
                let rows = x.chunks(INPUTS).zip(y.chunks(outputs)).cycle();
                for (cycle, (x, y)) in (0..cycles).zip(rows) {
                    // Now and then it does not look for a while, so that the other side runs out of buffers.
                    if cycle % 1024 >= 64 {
                        look(&mut control);
                    }
                    control.predict(x, &mut answer[..outputs]).unwrap();
                    assert!(answer[..outputs].iter().all(|answer| answer.is_finite()));
                    if !control.observe(x, y).unwrap() {
                        // Only so that the other thread has its turn where there is one processor.
                        thread::yield_now();
                    }
                }
                let allocated = ALLOCATIONS.get() - before;
                done.store(true, Ordering::Release);
                while !adapting.is_finished() {
                    look(&mut control);
                    thread::yield_now();
                }
                look(&mut control);
                let (version, published, starved, allocated_beside) = adapting.join().unwrap();
                // Every hand-over was seen or followed by one that was, and every sample that was sent is in it.
                assert_eq!(control.version(), version);
                assert_eq!((version.number, version.read), (published, control.sent()));
                assert_eq!(control.sent() + control.dropped(), cycles);
                assert_eq!((allocated, allocated_beside), (0, 0));
                assert!(published >= cycles / 1000, "only {published} hand-overs");
                println!(
                    "{}: {cycles} cycles, {published} hand-overs, {seen} seen, {} overtaken, {starved} calls without a buffer, {} dropped",
                    case.name,
                    published - seen,
                    control.dropped()
                );
            });
        });
    }
}
