//! Injected faults: samples that no sensor should give, disturbed memory, starved deadlines, in any order and for every rule. Nothing
//! panics, what predicts is whole, and nothing is committed that is worse on the rows that judge.

use proptest::prelude::*;
use sinew_models::rule::Rule;
use sinew_runtime::{Adapter, Bundle, Corrupted, Guard, Limits, ObserveError, Outcome, Path};
use sinew_tests::bundle::Parts;
use sinew_tests::rules::every;
use sinew_tests::sample::{Numbers, single};

const CAPACITY: usize = 6;

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| value.to_bits()).collect()
}

fn predict(adapter: &mut Adapter<'_>, x: &[f32]) -> Vec<f32> {
    let mut y = vec![f32::NAN; x.len() / adapter.input_len() * adapter.output_len()];
    adapter.predict(x, &mut y).unwrap();
    y
}

/// Runs `check` with two adapters of `parts`, on every path.
fn twins(parts: &Parts, mut check: impl for<'m> FnMut(Path, &mut Adapter<'m>, &mut Adapter<'m>)) {
    let bytes = parts.bytes();
    let bundle = Bundle::parse(&bytes).unwrap_or_else(|error| panic!("{error}"));
    for path in Path::available() {
        let len = Adapter::memory_len_on(path, &bundle, CAPACITY).unwrap();
        let (mut first, mut second) = (vec![f32::NAN; len], vec![f32::NAN; len]);
        let mut first = Adapter::new_on(path, &bundle, CAPACITY, &mut first).unwrap();
        let mut second = Adapter::new_on(path, &bundle, CAPACITY, &mut second).unwrap();
        check(path, &mut first, &mut second);
    }
}

/// What comes in place of a good sample.
#[derive(Clone, Copy, Debug)]
enum Fault {
    None,
    Nan,
    Infinite,
    FlippedLabels,
    /// All inputs stand at the end of their range.
    Saturated,
    HugeInput,
    HugeLabel,
    Largest,
}

#[derive(Clone, Copy, Debug)]
enum Event {
    Observe(Fault, u64),
    /// Adapts, until it was asked so often.
    Adapt(Option<usize>),
    /// Flips a bit of a parameter, and looks.
    Disturb(usize, u32),
    Guard(usize),
    Limits(f32, u32, usize),
    Rollback,
    Reset,
}

fn fault() -> impl Strategy<Value = Fault> {
    prop_oneof![
        8 => Just(Fault::None),
        1 => Just(Fault::Nan),
        1 => Just(Fault::Infinite),
        2 => Just(Fault::FlippedLabels),
        2 => Just(Fault::Saturated),
        1 => Just(Fault::HugeInput),
        1 => Just(Fault::HugeLabel),
        1 => Just(Fault::Largest),
    ]
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        12 => (fault(), any::<u64>()).prop_map(|(fault, seed)| Event::Observe(fault, seed)),
        8 => prop::option::of(0_usize..9).prop_map(Event::Adapt),
        1 => (any::<usize>(), 0_u32..32).prop_map(|(index, bit)| Event::Disturb(index, bit)),
        2 => (0_usize..5).prop_map(Event::Guard),
        1 => (prop_oneof![Just(f32::INFINITY), Just(0.3), Just(0.0)], 0_u32..3, 0_usize..4)
            .prop_map(|(radius, patience, recovery)| Event::Limits(radius, patience, recovery)),
        1 => Just(Event::Rollback),
        1 => Just(Event::Reset),
    ]
}

fn spoil(fault: Fault, x: &mut [f32], y: &mut [f32], numbers: &mut Numbers) {
    let mut any = |values: &mut [f32], value: f32| {
        let place = numbers.next_bits() as usize % values.len();
        values[place] = value;
    };
    match fault {
        Fault::None => {}
        Fault::Nan => any(x, f32::NAN),
        Fault::Infinite => any(y, f32::NEG_INFINITY),
        Fault::FlippedLabels => y.iter_mut().for_each(|y| *y = -*y),
        Fault::Saturated => x.fill(4095.0),
        Fault::HugeInput => any(x, -1e30),
        Fault::HugeLabel => any(y, 1e30),
        Fault::Largest => {
            any(x, f32::MAX);
            any(y, f32::MIN);
        }
    }
}

/// What the test knows of an adapter.
struct Known {
    /// The samples in its ring, oldest first.
    ring: Vec<(Vec<f32>, Vec<f32>)>,
    guard: Guard,
    limits: Limits,
    /// Whether all that came was such that sums of it fit an f32.
    moderate: bool,
    /// Whether a value came that is far beyond all others.
    huge: bool,
    /// Whether what predicts must give finite predictions. Parameters that are finite, and no more than that, may overflow for inputs
    /// other than those that judged them: a huge label can bring that about, but not within a trust radius.
    sound: bool,
}

fn flat(rows: &[(Vec<f32>, Vec<f32>)]) -> (Vec<f32>, Vec<f32>) {
    (rows.iter().flat_map(|row| row.0.clone()).collect(), rows.iter().flat_map(|row| row.1.clone()).collect())
}

impl Known {
    /// The loss on the rows that judge is not above that of the start.
    fn is_no_worse(&self, parts: &Parts, parameters: &[f32]) -> Result<(), TestCaseError> {
        let judges = match self.guard {
            Guard::Finite => return Ok(()),
            // Of each head, all labels: then their sum is no worse either.
            Guard::Improve | Guard::EachHead(_) => self.ring.len(),
            Guard::HeldBack(rows) => rows,
        };
        let (x, y) = flat(&self.ring[self.ring.len() - judges..]);
        // A sum of these is infinite in f32, and so is what is relative to their mean.
        if !self.moderate {
            return Ok(());
        }
        // A layer norm makes of these, where they leave nothing but what f32 rounds, another thing than in f64.
        if parts.network.input.image.is_some() && x.iter().any(|x| x.abs() > 100.0) {
            return Ok(());
        }
        let support = flat(&self.ring).0;
        let now: Vec<f64> = parameters.iter().map(|p| f64::from(*p)).collect();
        let [before, after] = [&parts.start(), &now].map(|at| parts.loss(at, (&x, &y), &support));
        prop_assert!(after <= before + 1e-4 * before.abs() + 1e-5, "{:?}: {before}, then {after}", parts.rule);
        Ok(())
    }

    fn play(&mut self, parts: &Parts, adapter: &mut Adapter<'_>, event: Event) -> Result<(), TestCaseError> {
        let before = bits(adapter.parameters());
        match event {
            Event::Observe(fault, seed) => {
                let (mut x, mut y) = parts.samples(1, seed);
                spoil(fault, &mut x, &mut y, &mut Numbers(seed ^ 1));
                let taken = adapter.observe(&x, &y);
                if matches!(fault, Fault::Nan | Fault::Infinite) {
                    prop_assert_eq!(taken, Err(ObserveError::NotFinite));
                } else {
                    prop_assert_eq!(taken, Ok(()));
                    if self.ring.len() == CAPACITY {
                        self.ring.remove(0);
                    }
                    self.ring.push((x, y));
                    self.moderate &= !matches!(fault, Fault::Largest);
                    self.huge |= matches!(fault, Fault::HugeInput | Fault::HugeLabel | Fault::Largest);
                }
                prop_assert_eq!(bits(adapter.parameters()), before);
            }
            Event::Adapt(stop) => {
                let mut asked = 0;
                let report = adapter.adapt(|| {
                    asked += 1;
                    stop.is_some_and(|stop| asked > stop)
                });
                let Ok(report) = report else {
                    let held_back = if let Guard::HeldBack(rows) = self.guard { rows } else { 0 };
                    prop_assert!(self.ring.len() <= held_back);
                    return Ok(());
                };
                if report.outcome == Outcome::Committed {
                    let judged = self.guard != Guard::Finite;
                    self.sound = judged && !self.huge || self.limits.trust_radius < f32::INFINITY;
                    let similar = matches!(parts.rule, Rule::Siamese { .. });
                    prop_assert!(!judged || similar || report.loss_after <= report.loss_before, "{:?}", report);
                    if !similar {
                        self.is_no_worse(parts, adapter.parameters())?;
                    }
                    let way = |(a, b): (&f32, &f32)| (f64::from(*a) - f64::from(*b)).powi(2);
                    let way = adapter.parameters().iter().zip(&parts.parameters).map(way).sum::<f64>().sqrt();
                    prop_assert!(way <= f64::from(self.limits.trust_radius) * 1.0001);
                } else if report.rolled_back {
                    prop_assert_eq!(adapter.parameters(), &parts.parameters);
                    self.rolled_back();
                } else {
                    prop_assert_eq!(bits(adapter.parameters()), before, "{:?}", report);
                }
            }
            Event::Disturb(index, bit) => {
                adapter.disturb(index % before.len(), 1 << bit);
                prop_assert_eq!(adapter.verify(), Err(Corrupted));
                prop_assert_eq!(adapter.parameters(), &parts.parameters);
                self.rolled_back();
            }
            Event::Guard(rows) => {
                self.guard = match rows {
                    0 => Guard::Finite,
                    1 => Guard::Improve,
                    4 if matches!(parts.rule, Rule::Gradient { .. } | Rule::MetaLstm { .. }) => Guard::EachHead(0),
                    _ => Guard::HeldBack(rows - 1),
                };
                adapter.set_guard(self.guard);
            }
            Event::Limits(trust_radius, patience, recovery) => {
                self.limits = Limits { trust_radius, patience, recovery };
                adapter.set_limits(self.limits);
            }
            Event::Rollback => {
                adapter.rollback();
                prop_assert_eq!(adapter.parameters(), &parts.parameters);
                self.rolled_back();
            }
            Event::Reset => {
                adapter.reset();
                prop_assert_eq!(adapter.parameters(), &parts.parameters);
                self.rolled_back();
                self.ring.clear();
            }
        }
        prop_assert_eq!(adapter.support().rows(), self.ring.len());
        prop_assert_eq!(adapter.verify(), Ok(()));
        prop_assert!(adapter.parameters().iter().all(|p| p.is_finite()));
        if self.ring.is_empty() {
            (self.moderate, self.huge) = (true, false);
        }
        if self.moderate && self.sound {
            let answers = predict(adapter, &single(&Numbers(9).values(2 * adapter.input_len(), 1.5)));
            prop_assert!(answers.iter().all(|y| y.is_finite()), "{:?} after {:?}: {:?}", parts.rule, event, answers);
        }
        // These may be infinite or NaN, but they come to an end.
        if !self.ring.is_empty() {
            let _ = (adapter.support_loss().unwrap(), adapter.novelty().unwrap());
        }
        Ok(())
    }

    fn rolled_back(&mut self) {
        self.sound = true;
        if self.limits.recovery > 0 {
            self.ring.clear();
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nothing_worse_is_committed_whatever_comes(
        seed in 0_u64..1000,
        events in prop::collection::vec(event(), 1..40),
    ) {
        for parts in every(seed) {
            let bytes = parts.bytes();
            let bundle = Bundle::parse(&bytes).unwrap();
            for path in Path::available() {
                let mut memory = vec![f32::NAN; Adapter::memory_len_on(path, &bundle, CAPACITY).unwrap()];
                let mut adapter = Adapter::new_on(path, &bundle, CAPACITY, &mut memory).unwrap();
                let (guard, limits) = (Guard::default(), Limits::default());
                let mut known = Known { ring: Vec::new(), guard, limits, moderate: true, huge: false, sound: true };
                for event in &events {
                    known.play(&parts, &mut adapter, *event)?;
                }
            }
        }
    }
}

#[test]
fn every_flipped_bit_is_seen() {
    for parts in every(1) {
        let (x, y) = parts.samples(4, 2);
        twins(&parts, |path, adapter, _| {
            let rows = x.chunks(adapter.input_len()).zip(y.chunks(adapter.output_len()));
            rows.for_each(|(x, y)| adapter.observe(x, y).unwrap());
            for index in 0..parts.parameters.len() {
                for bit in 0..32 {
                    if bit == 0 {
                        adapter.adapt(|| false).unwrap();
                    }
                    adapter.disturb(index, 1 << bit);
                    assert_eq!(adapter.verify(), Err(Corrupted), "{index}, {bit} on {}", path.name());
                    assert_eq!(adapter.verify(), Ok(()));
                }
                assert_eq!(adapter.parameters(), parts.parameters);
            }
            adapter.disturb(parts.parameters.len(), 1);
            assert_eq!(adapter.verify(), Ok(()));
        });
    }
}

/// A bit that flips unseen in parameters that predict does not come back with a later commit.
#[test]
fn a_disturbance_does_not_hide_in_what_is_committed_later() {
    for parts in every(1) {
        let (x, y) = parts.samples(12, 2);
        let (new, _) = parts.samples(2, 3);
        let sample = |row: usize| {
            let (inputs, outputs) = (parts.network.input.len, parts.rule.output_len(&parts.network));
            (&x[row * inputs..][..inputs], &y[row * outputs..][..outputs])
        };
        let count = parts.parameters.len();
        let places = [0, 1, count / 5, count / 3, count / 2, count - 2, count - 1];
        twins(&parts, |path, adapter, twin| {
            for (place, guard) in places.into_iter().flat_map(|p| [(p, Guard::Finite), (p, Guard::Improve)]) {
                for steps in 1..=3 {
                    for adapter in [&mut *adapter, &mut *twin] {
                        adapter.reset();
                        adapter.set_guard(guard);
                        adapter.set_steps(steps);
                        (0..3).for_each(|row| adapter.observe(sample(row).0, sample(row).1).unwrap());
                        adapter.adapt(|| false).unwrap();
                    }
                    adapter.disturb(place, 1 << 22);
                    for row in 3..12 {
                        for adapter in [&mut *adapter, &mut *twin] {
                            adapter.observe(sample(row).0, sample(row).1).unwrap();
                            adapter.adapt(|| false).unwrap();
                        }
                        // Rows that a disturbed network has seen are seen anew by the adaptation after the one that found it out.
                        for _ in 0..2 {
                            if adapter.verify().is_err() {
                                twin.rollback();
                            }
                            let case = format!("{:?} {guard:?}, {place} after {row} on {}", parts.rule, path.name());
                            assert_eq!(bits(adapter.parameters()), bits(twin.parameters()), "{case}");
                            assert_eq!(bits(&predict(adapter, &new)), bits(&predict(twin, &new)), "{case}");
                            for adapter in [&mut *adapter, &mut *twin] {
                                adapter.adapt(|| false).unwrap();
                            }
                        }
                        if adapter.verify().is_err() {
                            twin.rollback();
                        }
                    }
                }
            }
        });
    }
}
