//! Any calls in any order, with any numbers, of an adapter of any small network. Nothing may panic, a sample or an update that is refused
//! must leave no trace, and what is committed must be finite.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sinew_fuzz::Draw;
use sinew_fuzz::draw::MODERATE;
use sinew_runtime::{AdaptError, Adapter, Bundle, Guard, Limits, ObserveError, Outcome, Path, Predictor, SetupError};

/// Values of the longest rows that are tried.
const ROW: usize = 128;
/// Most calls of one input.
const CALLS: usize = 24;

fuzz_target!(|input: &[u8]| {
    let mut draw = Draw::new(input);
    let bytes = draw.parts().bytes();
    let bundle = Bundle::parse(&bytes).unwrap();
    let paths = Path::available().count();
    let path = Path::available().nth(draw.below(paths)).unwrap();
    let capacity = 1 + draw.below(5);
    let mut memory = vec![f32::NAN; Adapter::memory_len_on(path, &bundle, capacity).unwrap()];
    let mut adapter = match Adapter::new_on(path, &bundle, capacity, &mut memory) {
        // Numbers that a filter cannot begin with.
        Err(SetupError::Rule) => return,
        adapter => adapter.unwrap(),
    };
    let start = Parameters::of(&adapter);
    let scales = [bundle.input_scale(), bundle.input_relative_scale(), bundle.output_scale()];
    let moderate_bundle = scales.iter().all(|scale| (0..).map_while(|index| scale.get(index)).all(|scale| scale > 0.1))
        && [bundle.input_mean(), bundle.output_mean(), bundle.output_scale()]
            .iter()
            .all(|view| (0..).map_while(|index| view.get(index)).all(moderate));
    for _ in 0..CALLS {
        if draw.is_empty() {
            break;
        }
        match draw.below(19) {
            0..6 => observe(&mut draw, &mut adapter),
            6..9 => adapt(&mut draw, &mut adapter),
            9..12 => predict(&mut draw, &mut adapter, moderate_bundle),
            12 => {
                adapter.rollback();
                start.must_be(&adapter);
            }
            13 => {
                adapter.reset();
                start.must_be(&adapter);
                assert_eq!(adapter.support().rows(), 0);
            }
            14 => adapter.set_steps(draw.one(&[0, 1, 2, 3, 7, usize::MAX])),
            15 => adapter.set_guard(draw.one(&[Guard::Finite, Guard::Improve, Guard::HeldBack(1), Guard::HeldBack(2)])),
            16 => adapter.set_limits(Limits {
                trust_radius: draw.one(&[f32::INFINITY, 1.0, 0.0]),
                patience: draw.one(&[0, 1, 2]),
                recovery: draw.below(3),
            }),
            17 => predict_elsewhere(&mut draw, &mut adapter),
            _ => {
                assert_eq!(adapter.verify(), Ok(()));
                let _ = (adapter.novelty(), adapter.budget());
            }
        }
    }
    adapter.reset();
    start.must_be(&adapter);
});

/// A row, mostly of the right length.
fn row<'r>(draw: &mut Draw<'_>, len: usize, room: &'r mut [f32; ROW]) -> &'r mut [f32] {
    let len = if draw.byte() == 1 { draw.below(ROW) } else { len };
    let any = draw.below(4) == 1;
    let row = &mut room[..len];
    for value in &mut *row {
        *value = if any { draw.value() } else { (f32::from(draw.byte()) - 128.0) / 64.0 };
    }
    row
}

fn observe(draw: &mut Draw<'_>, adapter: &mut Adapter<'_>) {
    let (mut x, mut y) = ([0.0; ROW], [0.0; ROW]);
    let x = &*row(draw, adapter.input_len(), &mut x);
    let y = &*row(draw, adapter.output_len(), &mut y);
    let (rows, inputs) = (adapter.support().rows(), checksum(adapter.support().inputs()));
    match adapter.observe(x, y) {
        Ok(()) => {
            assert!(x.iter().chain(y).all(|value| value.is_finite()));
            assert_eq!(adapter.support().rows(), (rows + 1).min(adapter.support().capacity()));
        }
        Err(error) => {
            match error {
                ObserveError::Length(_) => assert!(x.len() != adapter.input_len() || y.len() != adapter.output_len()),
                ObserveError::NotFinite => assert!(x.iter().chain(y).any(|value| !value.is_finite())),
            }
            assert_eq!((adapter.support().rows(), checksum(adapter.support().inputs())), (rows, inputs));
        }
    }
}

fn adapt(draw: &mut Draw<'_>, adapter: &mut Adapter<'_>) {
    let before = Parameters::of(adapter);
    // However many steps were asked for, the deadline comes.
    let deadline = draw.one(&[4, 0, 1, 2]);
    let mut asked = 0;
    let result = adapter.adapt(|| {
        asked += 1;
        asked > deadline
    });
    match result {
        Ok(report) => {
            if report.outcome == Outcome::Committed {
                assert!(adapter.parameters().iter().all(|value| value.is_finite()));
            } else if !report.rolled_back {
                before.must_be(adapter);
            }
        }
        Err(AdaptError::NoSupport { expected, got }) => {
            assert_eq!(adapter.support().rows(), got);
            assert!(got < expected);
            before.must_be(adapter);
        }
    }
    let _ = adapter.support_loss();
}

fn predict(draw: &mut Draw<'_>, adapter: &mut Adapter<'_>, moderate_bundle: bool) {
    let before = Parameters::of(adapter);
    let (mut x, mut y) = ([0.0; ROW], [0.0; ROW]);
    let rows = draw.one(&[1, 1, 2, 0]);
    let x = &*row(draw, rows * adapter.input_len(), &mut x);
    let y = &mut y[..rows * adapter.output_len().min(ROW / 2)];
    let whole = x.len() == rows * adapter.input_len() && y.len() == rows * adapter.output_len();
    assert_eq!(adapter.predict(x, y).is_ok(), whole);
    before.must_be(adapter);
    let seen = x.iter().chain(adapter.support().inputs()).chain(adapter.parameters());
    if whole && moderate_bundle && seen.copied().all(moderate) {
        assert!(y.iter().all(|value| value.is_finite()));
    }
}

/// A predictor must give the same bits from a snapshot.
fn predict_elsewhere(draw: &mut Draw<'_>, adapter: &mut Adapter<'_>) {
    let mut memory = vec![f32::NAN; Predictor::memory_len(adapter)];
    let mut predictor = Predictor::new(adapter, &mut memory).unwrap();
    let mut snapshot = vec![f32::NAN; adapter.snapshot_len()];
    adapter.snapshot(&mut snapshot).unwrap();
    let mut x = [0.0; ROW];
    let x = &*row(draw, adapter.input_len(), &mut x);
    let (mut here, mut there) = (vec![0.0; adapter.output_len()], vec![0.0; adapter.output_len()]);
    assert_eq!(adapter.predict(x, &mut here), predictor.predict(&snapshot, x, &mut there));
    assert!(here.iter().map(|value| value.to_bits()).eq(there.iter().map(|value| value.to_bits())));
    let mut variance = here.clone();
    let _ = adapter.predict_with_variance(x, &mut here, &mut variance);
}

fn moderate(value: f32) -> bool {
    value.abs() <= MODERATE
}

/// FNV-1a over words.
fn checksum(values: &[f32]) -> u64 {
    values
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |hash, value| (hash ^ u64::from(value.to_bits())).wrapping_mul(0x0100_0000_01b3))
}

/// The parameters of an adapter as they were.
struct Parameters {
    values: Vec<f32>,
}

impl Parameters {
    fn of(adapter: &Adapter<'_>) -> Self {
        Self { values: adapter.parameters().to_vec() }
    }

    /// Panics unless the adapter has the same, to the bit.
    fn must_be(&self, adapter: &Adapter<'_>) {
        let bits = |value: &f32| value.to_bits();
        assert!(self.values.iter().map(bits).eq(adapter.parameters().iter().map(bits)));
    }
}
