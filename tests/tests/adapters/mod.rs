//! Adapters to try, on every path of this machine.

// Each contract uses what it needs.
#![allow(dead_code)]

use sinew_runtime::{Adapter, Bundle, Path};
use sinew_tests::bundle::Parts;
use sinew_tests::reference::relative_error;

/// Runs `check` with an adapter of `parts`, on every path.
pub fn on_every_path(parts: &Parts, capacity: usize, mut check: impl FnMut(Path, &mut Adapter<'_>)) {
    let bytes = parts.bytes();
    let bundle = Bundle::parse(&bytes).unwrap_or_else(|error| panic!("{error}"));
    for path in Path::available() {
        let mut memory = vec![f32::NAN; Adapter::memory_len_on(path, &bundle, capacity).unwrap()];
        check(path, &mut Adapter::new_on(path, &bundle, capacity, &mut memory).unwrap());
    }
}

/// Puts in all rows of `(x, y)`.
pub fn observe(adapter: &mut Adapter<'_>, (x, y): (&[f32], &[f32])) {
    for (x, y) in x.chunks(adapter.input_len()).zip(y.chunks(adapter.output_len())) {
        adapter.observe(x, y).unwrap();
    }
}

/// Predictions for all rows of `x`.
pub fn predict(adapter: &mut Adapter<'_>, x: &[f32]) -> Vec<f32> {
    let mut y = vec![f32::NAN; x.len() / adapter.input_len() * adapter.output_len()];
    adapter.predict(x, &mut y).unwrap();
    y
}

/// `got` is `want`, but for rounding.
#[track_caller]
pub fn close(got: &[f32], want: &[f64], tolerance: f64, what: &str) {
    let error = relative_error(got, want);
    assert!(error <= tolerance, "{what}: {error}");
}
