//! Any calls in any order, with any numbers, of an adapter of any small network. Nothing may panic, a sample or an update that is refused
//! must leave no trace, and what is committed must be finite; what a report says must be what a rule, a guard and limits can lead to.
#![no_main]

mod expected;

use expected::Expected;
use libfuzzer_sys::{fuzz_mutator, fuzz_target};
use sinew_fuzz::draw::MODERATE;
use sinew_fuzz::{Draw, Kept, change_mostly_behind};
use sinew_runtime::{AdaptError, Adapter, Guard, HeadSet, Limits, ObserveError, Path, Predictor, SetupError};

/// Values of the longest rows that are tried.
const ROW: usize = 128;
/// Most calls of one input.
const CALLS: usize = 24;

fuzz_target!(|input: &[u8]| {
    let mut draw = Draw::new(input);
    let kept = Kept::draw(&mut draw);
    let bundle = kept.bundle();
    // Half of them on the path that a robot would take.
    let detected = draw.below(2) == 0;
    let paths = Path::available().count();
    let path = if detected { Path::detect() } else { Path::available().nth(draw.below(paths)).unwrap() };
    let capacity = 1 + draw.below(5);
    let mut memory = vec![f32::NAN; Adapter::memory_len_on(path, bundle, capacity).unwrap()];
    let mut adapter = match Adapter::new_on(path, bundle, capacity, &mut memory) {
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
    let mut expected = Expected::of(bundle);
    for _ in 0..CALLS {
        if draw.is_empty() {
            break;
        }
        match draw.below(19) {
            0..6 => observe(&mut draw, &mut adapter, &mut expected),
            6..9 => adapt(&mut draw, &mut adapter, &start, &mut expected),
            9..12 => predict(&mut draw, &mut adapter, moderate_bundle),
            12 => {
                adapter.rollback();
                expected.rolled_back();
                start.must_be(&adapter);
                assert!(expected.limits.recovery == 0 || adapter.support().rows() == 0);
            }
            13 => {
                adapter.reset();
                expected.reset();
                start.must_be(&adapter);
                assert_eq!(adapter.support().rows(), 0);
            }
            14 => adapter.set_steps(draw.one(&[0, 1, 2, 3, 7, usize::MAX])),
            15 => {
                expected.guard = draw.one(&[
                    Guard::Finite,
                    Guard::Improve,
                    Guard::HeldBack(1),
                    Guard::HeldBack(2),
                    Guard::EachHead(0),
                    Guard::EachHead(1),
                ]);
                adapter.set_guard(expected.guard);
            }
            16 => {
                let limits = Limits {
                    trust_radius: draw.one(&[f32::INFINITY, 1.0, 0.0]),
                    patience: draw.one(&[0, 1, 2]),
                    recovery: draw.below(3),
                };
                expected.set_limits(limits);
                adapter.set_limits(limits);
            }
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

fuzz_mutator!(|input: &mut [u8], len: usize, most: usize, seed: u32| {
    change_mostly_behind(0, input, len, most, seed)
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

fn observe(draw: &mut Draw<'_>, adapter: &mut Adapter<'_>, expected: &mut Expected) {
    let (mut x, mut y) = ([0.0; ROW], [0.0; ROW]);
    let x = &*row(draw, adapter.input_len(), &mut x);
    let y = &*row(draw, adapter.output_len(), &mut y);
    let (rows, inputs) = (adapter.support().rows(), checksum(adapter.support().inputs()));
    // Mostly all heads are labelled.
    let bits = draw.byte();
    let labelled = if bits < 192 { HeadSet::ALL } else { HeadSet::from_bits(u32::from(bits & 15)) };
    match adapter.observe_heads(x, y, labelled) {
        Ok(()) => {
            expected.observed();
            assert!(x.iter().all(|value| value.is_finite()));
            assert!(labelled != HeadSet::ALL || y.iter().all(|value| value.is_finite()));
            assert_eq!(adapter.support().rows(), (rows + 1).min(adapter.support().capacity()));
        }
        Err(error) => {
            match error {
                ObserveError::Length(_) => assert!(x.len() != adapter.input_len() || y.len() != adapter.output_len()),
                ObserveError::NotFinite => assert!(x.iter().chain(y).any(|value| !value.is_finite())),
                ObserveError::NoHead => assert!(labelled != HeadSet::ALL && expected.takes_steps()),
                ObserveError::AllHeads => assert!(labelled != HeadSet::ALL && !expected.takes_steps()),
            }
            assert_eq!((adapter.support().rows(), checksum(adapter.support().inputs())), (rows, inputs));
        }
    }
}

fn adapt(draw: &mut Draw<'_>, adapter: &mut Adapter<'_>, start: &Parameters, expected: &mut Expected) {
    let before = Parameters::of(adapter);
    let (rows, units) = (adapter.support().rows(), adapter.budget().units);
    // However many steps were asked for, the deadline comes.
    let deadline = draw.one(&[4, 0, 1, 2, 12]);
    let mut asked = 0;
    let result = adapter.adapt(|| {
        asked += 1;
        asked > deadline
    });
    match result {
        Ok(report) => {
            assert!(rows >= expected.rows());
            let granted = asked.min(deadline);
            assert!(granted <= units, "{granted} units of work, of at most {units}");
            expected.check(&report, adapter, granted, asked > deadline, &start.values);
            if report.rolled_back {
                start.must_be(adapter);
            } else if !expected.commits_parameters(&report) {
                before.must_be(adapter);
            }
        }
        Err(error) => {
            match error {
                AdaptError::NoSupport { .. } => {
                    assert_eq!(error, AdaptError::NoSupport { expected: expected.rows(), got: rows });
                    assert!(rows < expected.rows());
                }
                AdaptError::NoLabels { expected: labels, got } => {
                    assert!(expected.takes_steps() && got < labels && got <= rows);
                    assert_eq!(expected.guard, Guard::EachHead(labels - 1));
                }
                AdaptError::GuardOfSteps => {
                    assert!(!expected.takes_steps() && matches!(expected.guard, Guard::EachHead(_)));
                }
            }
            assert_eq!(adapter.support().rows(), rows);
            before.must_be(adapter);
        }
    }
    let after = Parameters::of(adapter);
    assert_eq!(adapter.support_loss().is_ok(), adapter.support().rows() > 0);
    after.must_be(adapter);
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
