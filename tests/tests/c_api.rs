//! What a program in C can count on: the same bits as from Rust, a code for every misuse that can be seen, and a header that is true.

use std::ffi::{CStr, c_int, c_void};
use std::mem::size_of;
use std::ptr::{null, null_mut};

use serde_json::{Value, json};
use sinew_models::bundle::{RULE_FORGETTING, RULE_NOISE, RULE_PRECISION, RULE_RATE, SUPPORT_NOVELTY};
use sinew_models::rule::{Rate, Rule, Scope};
use sinew_models::spec::InputForm;
use sinew_runtime::c_api::*;
use sinew_runtime::{Adapter, Bundle, Guard, HeadSet, VarianceError};
use sinew_tests::bundle::{Parts, gradient, several_heads};

/// Bundles to try: one output with a rate for each parameter, one network with several heads, one with every activation and loss.
const BUNDLES: [&[u8]; 3] = [
    include_bytes!("../../examples/bundles/terrain.safetensors"),
    include_bytes!("../../examples/firmware/bundles/arm.safetensors"),
    include_bytes!("../../examples/firmware/bundles/all_kinds.safetensors"),
];
const TERRAIN: &[u8] = BUNDLES[0];
const HEADER: &str = include_str!("../../runtime/include/sinew.h");
const CAPACITY: usize = 6;

/// The bundle of the terrain with a Bayesian last layer in place of gradient descent, and with what is known of the novelty of tasks.
fn bayes() -> Vec<u8> {
    let (len, rest) = TERRAIN.split_first_chunk::<8>().unwrap();
    let (header, data) = rest.split_at(u64::from_le_bytes(*len) as usize);
    let mut header: serde_json::Map<String, Value> = serde_json::from_slice(header).unwrap();
    let mut data = data.to_vec();
    let mut metadata: Value = serde_json::from_str(header["__metadata__"]["sinew"].as_str().unwrap()).unwrap();
    metadata["rule"] = json!("bayes");
    header["__metadata__"]["sinew"] = json!(metadata.to_string());
    header.remove(RULE_RATE).unwrap();
    let unknowns = 65;
    let precision = (0..unknowns * unknowns).map(|i| if i % (unknowns + 1) == 0 { 1.0 } else { 0.0 }).collect();
    for (name, shape, values) in [
        (RULE_PRECISION, json!([unknowns, unknowns]), precision),
        (RULE_NOISE, json!([1]), vec![0.04_f32]),
        (RULE_FORGETTING, json!([1]), vec![0.98]),
        (SUPPORT_NOVELTY, json!([2]), vec![0.75, 2.5]),
    ] {
        let begin = data.len();
        data.extend(values.iter().flat_map(|value: &f32| value.to_le_bytes()));
        let entry = json!({"dtype": "F32", "shape": shape, "data_offsets": [begin, data.len()]});
        header.insert(name.to_owned(), entry);
    }
    let header = Value::Object(header).to_string();
    [&(header.len() as u64).to_le_bytes(), header.as_bytes(), &data].concat()
}

/// A block of the caller, with bytes that are no zeros.
struct Block(Vec<u64>);

impl Block {
    fn of(bundle: &[u8], capacity: usize) -> Self {
        let (mut size, mut align) = (0, 0);
        // SAFETY: all pointers are to what they should be.
        let code =
            unsafe { sinew_adapter_size(bundle.as_ptr(), bundle.len(), capacity, &raw mut size, &raw mut align) };
        assert_eq!(code, SinewCode::Ok);
        assert_eq!((size % size_of::<f32>(), align), (0, align_of::<u64>()));
        Self(vec![0xa5a5_a5a5_a5a5_a5a5; size.div_ceil(size_of::<u64>())])
    }

    fn size(&self) -> usize {
        self.0.len() * size_of::<u64>()
    }

    fn init_with(&mut self, size: usize, bundle: &[u8], capacity: usize) -> (SinewCode, *mut SinewAdapter) {
        let mut adapter = std::ptr::dangling_mut();
        let block = self.0.as_mut_ptr().cast();
        // SAFETY: the block has at least `size` bytes, and the bundle outlives every use of the adapter.
        let code =
            unsafe { sinew_adapter_init(block, size, bundle.as_ptr(), bundle.len(), capacity, &raw mut adapter) };
        (code, adapter)
    }

    fn init(&mut self, bundle: &[u8], capacity: usize) -> *mut SinewAdapter {
        let (code, adapter) = self.init_with(self.size(), bundle, capacity);
        assert_eq!(code, SinewCode::Ok);
        adapter
    }
}

fn observe(adapter: *mut SinewAdapter, x: &[f32], y: &[f32]) -> SinewCode {
    // SAFETY: the slices have their lengths; the adapter is one, or is what this test hands in on purpose.
    unsafe { sinew_adapter_observe(adapter, x.as_ptr(), x.len(), y.as_ptr(), y.len()) }
}

fn predict(adapter: *mut SinewAdapter, x: &[f32], y: &mut [f32]) -> SinewCode {
    // SAFETY: as above.
    unsafe { sinew_adapter_predict(adapter, x.as_ptr(), x.len(), y.as_mut_ptr(), y.len()) }
}

fn predict_with_variance(adapter: *mut SinewAdapter, x: &[f32], y: &mut [f32], variance: &mut [f32]) -> SinewCode {
    let (len, at) = (variance.len(), variance.as_mut_ptr());
    // SAFETY: as above.
    unsafe { sinew_adapter_predict_with_variance(adapter, x.as_ptr(), x.len(), y.as_mut_ptr(), y.len(), at, len) }
}

fn novelty(adapter: *mut SinewAdapter) -> SinewNovelty {
    let mut novelty = SinewNovelty { score: 7.0, median: 7.0, limit: 7.0 };
    // SAFETY: as above.
    assert_eq!(unsafe { sinew_adapter_novelty(adapter, &raw mut novelty) }, SinewCode::Ok);
    novelty
}

fn budget(adapter: *mut SinewAdapter) -> SinewBudget {
    let mut budget = NO_BUDGET;
    // SAFETY: as above.
    assert_eq!(unsafe { sinew_adapter_budget(adapter, &raw mut budget) }, SinewCode::Ok);
    budget
}

const NO_BUDGET: SinewBudget = SinewBudget {
    prediction: 7,
    adaptation: 7,
    units: 7,
    unit: 7,
    unit_rows: 7,
    unit_rows_behind: 7,
    reserved: [7; 2],
};

const NO_REPORT: SinewReport = SinewReport {
    outcome: SinewOutcome::OutOfTime,
    steps: 0,
    loss_before: f32::NAN,
    loss_after: f32::NAN,
    rolled_back: 7,
    reserved: [7; 11],
};

fn adapt(adapter: *mut SinewAdapter, until: SinewUntil, context: *mut c_void) -> (SinewCode, SinewReport) {
    let mut report = NO_REPORT;
    // SAFETY: as above; the context is what the callback takes.
    let code = unsafe { sinew_adapter_adapt(adapter, until, context, &raw mut report) };
    (code, report)
}

/// Samples that suit every loss: of several outputs one is 1; a single one is a log of energies, as of the terrain.
fn samples(inputs: usize, outputs: usize, rows: usize) -> (Vec<f32>, Vec<f32>) {
    let x: Vec<f32> = (0..rows * inputs).map(|i| ((i * 37 % 101) as f32 - 50.0) / 50.0).collect();
    let y = if outputs == 1 {
        x.chunks(inputs).map(|x| 5.0 + 0.3 * x[0]).collect()
    } else {
        (0..rows * outputs).map(|i| if i % outputs == i / outputs % outputs { 1.0 } else { 0.0 }).collect()
    };
    (x, y)
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| value.to_bits()).collect()
}

/// A report with its losses to the bit, so that NaN equals itself.
fn told(report: SinewReport) -> (SinewOutcome, u32, Vec<u32>, u32) {
    (report.outcome, report.steps, bits(&[report.loss_before, report.loss_after]), report.rolled_back)
}

/// Ends an adaptation when the number that it counts down is 0.
unsafe extern "C" fn countdown(context: *mut c_void) -> c_int {
    // SAFETY: the tests give a number.
    let left = unsafe { &mut *context.cast::<u32>() };
    let over = *left == 0;
    *left = left.saturating_sub(1);
    c_int::from(over)
}

#[test]
fn the_same_bits_as_from_rust() {
    let bayes = bayes();
    for bytes in BUNDLES.into_iter().chain([&*bayes]) {
        let bundle = Bundle::parse(bytes).unwrap();
        let is_bayes = *bundle.rule() == Rule::Bayes;
        let mut memory = vec![f32::NAN; Adapter::memory_len(&bundle, CAPACITY).unwrap()];
        let mut rust = Adapter::new(&bundle, CAPACITY, &mut memory).unwrap();
        let mut block = Block::of(bytes, CAPACITY);
        let c = block.init(bytes, CAPACITY);
        let (inputs, outputs) = (rust.input_len(), rust.output_len());
        // SAFETY: it is an adapter.
        unsafe {
            assert_eq!((sinew_adapter_input_len(c), sinew_adapter_output_len(c)), (inputs, outputs));
            assert_eq!((sinew_adapter_capacity(c), sinew_adapter_support_rows(c)), (CAPACITY, 0));
            assert_eq!(sinew_adapter_steps(c) as usize, rust.steps());
        }
        // More rows than there is room for.
        let (x, y) = samples(inputs, outputs, CAPACITY + 2);
        let (mut from_rust, mut from_c) = (vec![f32::NAN; y.len()], vec![f32::NAN; y.len()]);
        let mut same = |rust: &mut Adapter<'_>, what: &str| {
            rust.predict(&x, &mut from_rust).unwrap();
            from_c.fill(f32::NAN);
            assert_eq!(predict(c, &x, &mut from_c), SinewCode::Ok);
            assert_eq!(bits(&from_rust), bits(&from_c), "{what}");
            from_rust.clone()
        };
        let start = same(&mut rust, "at the start");
        for (x, y) in x.chunks(inputs).zip(y.chunks(outputs)) {
            rust.observe(x, y).unwrap();
            assert_eq!(observe(c, x, y), SinewCode::Ok);
        }
        // SAFETY: it is an adapter.
        assert_eq!(unsafe { sinew_adapter_support_rows(c) }, CAPACITY);

        for (guard, number, held_back, steps) in [
            (Guard::Improve, 1, 0, None),
            (Guard::HeldBack(2), 2, 2, None),
            (Guard::Finite, 0, 0, Some(1)),
            (Guard::Finite, 0, 0, None),
        ] {
            rust.set_guard(guard);
            // SAFETY: it is an adapter.
            assert_eq!(unsafe { sinew_adapter_set_guard(c, number, held_back) }, SinewCode::Ok);
            assert_eq!(budget(c), SinewBudget::from(rust.budget()));
            let (mut left, mut left_in_c) = (steps.unwrap_or(u32::MAX), steps.unwrap_or(u32::MAX));
            let want = rust.adapt(|| {
                let over = left == 0;
                left = left.saturating_sub(1);
                over
            });
            let (code, report) = adapt(c, Some(countdown), (&raw mut left_in_c).cast());
            assert_eq!((code, left_in_c), (SinewCode::Ok, left));
            let want = SinewReport::from(want.unwrap());
            assert_eq!(told(report), told(want));
            assert_eq!((report.rolled_back, report.reserved), (0, [0; 11]));
            let adapted = same(&mut rust, "adapted");
            assert_eq!(report.outcome == SinewOutcome::Committed, bits(&adapted) != bits(&start));
            let mut loss = f32::NAN;
            // SAFETY: it is an adapter, and a number.
            assert_eq!(unsafe { sinew_adapter_support_loss(c, &raw mut loss) }, SinewCode::Ok);
            assert_eq!(loss.to_bits(), rust.support_loss().unwrap().to_bits());
            assert_eq!(bits(&[novelty(c).score]), bits(&[rust.novelty().unwrap().score]));

            let (mut values, mut variance) = (vec![f32::NAN; y.len()], vec![f32::NAN; y.len()]);
            let code = predict_with_variance(c, &x, &mut values, &mut variance);
            let mut want = vec![f32::NAN; y.len()];
            if is_bayes {
                assert_eq!(rust.predict_with_variance(&x, &mut values.clone(), &mut want), Ok(()));
                assert_eq!((code, bits(&values), bits(&variance)), (SinewCode::Ok, bits(&adapted), bits(&want)));
                assert!(variance.iter().all(|variance| *variance > 0.0));
            } else {
                let refused = rust.predict_with_variance(&x, &mut values.clone(), &mut want);
                assert_eq!((code, refused), (SinewCode::PredictNoVariance, Err(VarianceError::NoVariance)));
                assert!(values.iter().chain(&variance).all(|value| value.is_nan()));
            }

            rust.rollback();
            // SAFETY: it is an adapter.
            assert_eq!(unsafe { sinew_adapter_rollback(c) }, SinewCode::Ok);
            same(&mut rust, "rolled back");
        }

        rust.set_steps(2);
        // SAFETY: it is an adapter.
        assert_eq!(unsafe { sinew_adapter_set_steps(c, 2) }, SinewCode::Ok);
        let want = SinewReport::from(rust.adapt(|| false).unwrap());
        let (code, report) = adapt(c, None, null_mut());
        assert_eq!((code, told(report)), (SinewCode::Ok, told(want)));
        assert_eq!(want.steps, if is_bayes { CAPACITY as u32 } else { 2 });
        same(&mut rust, "two steps");

        rust.reset();
        // SAFETY: it is an adapter.
        unsafe {
            assert_eq!(sinew_adapter_reset(c), SinewCode::Ok);
            assert_eq!(sinew_adapter_support_rows(c), 0);
        }
        assert_eq!(bits(&same(&mut rust, "reset")), bits(&start));
    }
}

#[test]
fn a_deadline_that_has_passed_changes_nothing() {
    let mut block = Block::of(TERRAIN, CAPACITY);
    let adapter = block.init(TERRAIN, CAPACITY);
    let (x, y) = samples(10, 1, 2);
    let (code, report) = adapt(adapter, None, null_mut());
    // A refused call leaves what it would have written as it was.
    assert_eq!((code, report.reserved), (SinewCode::AdaptNoSupport, NO_REPORT.reserved));
    assert_eq!(observe(adapter, &x[..10], &y[..1]), SinewCode::Ok);
    let mut left = 0_u32;
    let (code, report) = adapt(adapter, Some(countdown), (&raw mut left).cast());
    assert_eq!((code, report.outcome, report.steps), (SinewCode::Ok, SinewOutcome::OutOfTime, 0));
    assert!(report.loss_before.is_nan() && report.loss_after.is_nan());
}

#[test]
fn an_adapter_that_adapts_refuses_every_call() {
    struct Seen {
        adapter: *mut SinewAdapter,
        codes: Vec<SinewCode>,
        rows: usize,
    }
    unsafe extern "C" fn call(context: *mut c_void) -> c_int {
        // SAFETY: this test gives one of these.
        let seen = unsafe { &mut *context.cast::<Seen>() };
        let adapter = seen.adapter;
        let (mut loss, mut report) = (0.0, NO_BUDGET);
        seen.codes.push(observe(adapter, &[0.0; 10], &[0.0]));
        seen.codes.push(predict(adapter, &[0.0; 10], &mut [0.0]));
        seen.codes.push(predict_with_variance(adapter, &[0.0; 10], &mut [0.0], &mut [0.0]));
        seen.codes.push(adapt(adapter, None, null_mut()).0);
        // SAFETY: it is an adapter.
        unsafe {
            seen.codes.push(sinew_adapter_rollback(adapter));
            seen.codes.push(sinew_adapter_reset(adapter));
            seen.codes.push(sinew_adapter_set_steps(adapter, 1));
            seen.codes.push(sinew_adapter_set_guard(adapter, 0, 0));
            seen.codes.push(sinew_adapter_set_limits(adapter, 1.0, 0, 0));
            seen.codes.push(sinew_adapter_verify(adapter));
            seen.codes.push(sinew_adapter_support_loss(adapter, &raw mut loss));
            seen.codes.push(sinew_adapter_novelty(adapter, (&raw mut report).cast()));
            seen.codes.push(sinew_adapter_budget(adapter, (&raw mut report).cast()));
            seen.rows += sinew_adapter_support_rows(adapter);
        }
        1
    }
    let mut block = Block::of(TERRAIN, CAPACITY);
    let adapter = block.init(TERRAIN, CAPACITY);
    let (x, y) = samples(10, 1, 1);
    assert_eq!(observe(adapter, &x, &y), SinewCode::Ok);
    let mut seen = Seen { adapter, codes: Vec::new(), rows: 0 };
    let (code, report) = adapt(adapter, Some(call), (&raw mut seen).cast());
    assert_eq!((code, report.outcome), (SinewCode::Ok, SinewOutcome::OutOfTime));
    assert_eq!((seen.codes, seen.rows), (vec![SinewCode::InUse; 13], 0));
    // And is free again afterwards.
    let (code, report) = adapt(adapter, None, null_mut());
    assert_eq!((code, report.outcome), (SinewCode::Ok, SinewOutcome::Committed));
}

#[test]
fn pointers_that_cannot_be_are_refused() {
    let mut block = Block::of(TERRAIN, CAPACITY);
    let adapter = block.init(TERRAIN, CAPACITY);
    let (x, mut y) = ([0.5_f32; 12], [0.5_f32; 4]);
    let (mut loss, mut report, mut size, mut align) = (0.0, NO_REPORT, 0, 0);
    let out = y.as_mut_ptr();
    let aside = |at: *const f32| at.wrapping_byte_add(1);
    let (bundle, len) = (TERRAIN.as_ptr(), TERRAIN.len());
    let mut text = [0; 8];
    let whole = block.size();
    let block = block.0.as_mut_ptr().cast::<c_void>();
    let mut other = null_mut();
    // SAFETY: what is not refused by its address has the length beside it.
    unsafe {
        use SinewCode::{Length, Misaligned, NullPointer};
        for (wrong, code) in [(null(), NullPointer), (aside(x.as_ptr()), Misaligned)] {
            assert_eq!(sinew_adapter_observe(adapter, wrong, 10, x.as_ptr(), 1), code);
            assert_eq!(sinew_adapter_observe(adapter, x.as_ptr(), 10, wrong, 1), code);
            assert_eq!(sinew_adapter_predict(adapter, wrong, 10, out, 1), code);
            assert_eq!(sinew_adapter_predict(adapter, x.as_ptr(), 10, wrong.cast_mut(), 1), code);
            let beside = x.as_ptr().cast_mut();
            assert_eq!(sinew_adapter_predict_with_variance(adapter, wrong, 10, out, 1, beside, 1), code);
            assert_eq!(sinew_adapter_predict_with_variance(adapter, x.as_ptr(), 10, out, 1, wrong.cast_mut(), 1), code);
            assert_eq!(sinew_adapter_predict_with_variance(adapter, x.as_ptr(), 10, wrong.cast_mut(), 1, out, 1), code);
            assert_eq!(sinew_adapter_support_loss(adapter, wrong.cast_mut()), code);
            assert_eq!(sinew_adapter_novelty(adapter, wrong.cast_mut().cast()), code);
            assert_eq!(sinew_adapter_budget(adapter, wrong.cast_mut().cast()), code);
            assert_eq!(sinew_adapter_adapt(adapter, None, null_mut(), wrong.cast_mut().cast()), code);
            assert_eq!(sinew_adapter_size(bundle, len, 1, wrong.cast_mut().cast(), &raw mut align), code);
            assert_eq!(sinew_adapter_size(bundle, len, 1, &raw mut size, wrong.cast_mut().cast()), code);
            let handle = wrong.cast_mut().cast::<SinewAdapter>();
            assert_eq!(sinew_adapter_observe(handle, x.as_ptr(), 10, x.as_ptr(), 1), code);
            assert_eq!(sinew_adapter_predict(handle, x.as_ptr(), 10, out, 1), code);
            assert_eq!(sinew_adapter_adapt(handle, None, null_mut(), &raw mut report), code);
            assert_eq!(sinew_adapter_support_loss(handle, &raw mut loss), code);
            assert_eq!(sinew_adapter_rollback(handle), code);
            assert_eq!(sinew_adapter_reset(handle), code);
            assert_eq!(sinew_adapter_set_steps(handle, 1), code);
            assert_eq!(sinew_adapter_set_guard(handle, 1, 0), code);
            assert_eq!(sinew_adapter_set_limits(handle, 1.0, 0, 0), code);
            assert_eq!(sinew_adapter_verify(handle), code);
            assert_eq!(sinew_adapter_input_len(handle) + sinew_adapter_output_len(handle), 0);
            assert_eq!(sinew_adapter_capacity(handle) + sinew_adapter_support_rows(handle), 0);
            assert_eq!(sinew_adapter_steps(handle), 0);
            assert_eq!(sinew_adapter_init(wrong.cast_mut().cast(), whole, bundle, len, 1, &raw mut other), code);
            assert_eq!(sinew_adapter_init(block, whole, bundle, len, 1, wrong.cast_mut().cast()), code);
        }
        assert_eq!(sinew_adapter_size(null(), len, 1, &raw mut size, &raw mut align), NullPointer);
        assert_eq!(sinew_adapter_init(block, whole, null(), len, 1, &raw mut other), NullPointer);
        assert_eq!(sinew_bundle_check(null(), len, text.as_mut_ptr(), 8), NullPointer);
        assert_eq!(sinew_bundle_check(bundle, len, null_mut(), 8), NullPointer);
        assert_eq!(sinew_bundle_check(bundle, len, text.as_mut_ptr(), 0), Length);
        // No array can be as long as this.
        assert_eq!(sinew_adapter_observe(adapter, x.as_ptr(), usize::MAX, x.as_ptr(), 1), Length);
        assert_eq!(sinew_bundle_check(bundle, usize::MAX / 2 + 1, text.as_mut_ptr(), 8), Length);
    }
    assert_eq!((size, align, loss), (0, 0, 0.0));
    assert_eq!((other, report.reserved), (null_mut(), NO_REPORT.reserved));
}

#[test]
fn heads_learn_from_their_own_labels_in_c_too() {
    let parts = Parts::new(several_heads(InputForm::Plain), gradient(Rate::Constant, Scope::All), 0.1, 4);
    let bundle = parts.bytes();
    let parsed = Bundle::parse(&bundle).unwrap();
    let mut memory = vec![f32::NAN; Adapter::memory_len(&parsed, CAPACITY).unwrap()];
    let mut rust = Adapter::new(&parsed, CAPACITY, &mut memory).unwrap();
    let mut block = Block::of(&bundle, CAPACITY);
    let c = block.init(&bundle, CAPACITY);
    let (x, y) = parts.samples(CAPACITY, 5);
    let observe_heads = |x: &[f32], y: &[f32], labelled| {
        // SAFETY: it is an adapter, and the slices have their lengths.
        unsafe { sinew_adapter_observe_heads(c, x.as_ptr(), x.len(), y.as_ptr(), y.len(), labelled) }
    };
    let rows = x.chunks(rust.input_len()).zip(y.chunks(rust.output_len()));
    for ((x, y), labelled) in rows.zip([1, 2, 5, 15, 8, 1, 3, 6].into_iter().cycle()) {
        rust.observe_heads(x, y, HeadSet::from_bits(labelled)).unwrap();
        assert_eq!(observe_heads(x, y, labelled), SinewCode::Ok);
        assert_eq!(observe_heads(x, y, 16), SinewCode::ObserveNoHead);
        assert_eq!(observe_heads(&x[1..], y, 1), SinewCode::Length);
    }
    rust.set_guard(Guard::EachHead(1));
    // SAFETY: it is an adapter.
    assert_eq!(unsafe { sinew_adapter_set_guard(c, 3, 1) }, SinewCode::Ok);
    let (code, report) = adapt(c, None, null_mut());
    assert_eq!((code, told(report)), (SinewCode::Ok, told(rust.adapt(|| false).unwrap().into())));
    let (mut of_c, mut of_rust) = (vec![f32::NAN; y.len()], vec![f32::NAN; y.len()]);
    rust.predict(&x, &mut of_rust).unwrap();
    assert_eq!(predict(c, &x, &mut of_c), SinewCode::Ok);
    assert_eq!(bits(&of_c), bits(&of_rust));
    // SAFETY: it is an adapter.
    assert_eq!(unsafe { sinew_adapter_set_guard(c, 3, CAPACITY - 1) }, SinewCode::Ok);
    assert_eq!(adapt(c, None, null_mut()).0, SinewCode::AdaptNoLabels);

    let bayes = bayes();
    let mut block = Block::of(&bayes, CAPACITY);
    let c = block.init(&bayes, CAPACITY);
    // SAFETY: as above.
    let code = unsafe { sinew_adapter_observe_heads(c, x.as_ptr(), 10, y.as_ptr(), 1, 0) };
    assert_eq!(code, SinewCode::ObserveAllHeads);
    assert_eq!(observe(c, &x[..10], &y[..1]), SinewCode::Ok);
    // SAFETY: it is an adapter.
    assert_eq!(unsafe { sinew_adapter_set_guard(c, 3, 0) }, SinewCode::Ok);
    assert_eq!(adapt(c, None, null_mut()).0, SinewCode::AdaptGuardOfSteps);
}

#[test]
fn lengths_and_values_that_do_not_fit_are_refused() {
    let mut block = Block::of(TERRAIN, CAPACITY);
    let adapter = block.init(TERRAIN, CAPACITY);
    let x = [0.5_f32; 20];
    assert_eq!(observe(adapter, &x[..9], &[0.5]), SinewCode::Length);
    assert_eq!(observe(adapter, &x[..11], &[0.5]), SinewCode::Length);
    assert_eq!(observe(adapter, &x[..10], &[]), SinewCode::Length);
    assert_eq!(observe(adapter, &x[..10], &[0.5; 2]), SinewCode::Length);
    for wrong in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        assert_eq!(observe(adapter, &x[..10], &[wrong]), SinewCode::ObserveNotFinite);
        assert_eq!(observe(adapter, &[wrong; 10], &[0.5]), SinewCode::ObserveNotFinite);
    }
    assert_eq!(predict(adapter, &x[..11], &mut [0.0]), SinewCode::Length);
    assert_eq!(predict(adapter, &x[..10], &mut [0.0; 2]), SinewCode::Length);
    assert_eq!(predict(adapter, &x, &mut [0.0]), SinewCode::Length);
    assert_eq!(predict(adapter, &x, &mut [0.0; 2]), SinewCode::Ok);
    assert_eq!(predict(adapter, &[], &mut []), SinewCode::Ok);
    let mut loss = 0.5;
    // SAFETY: it is an adapter.
    unsafe {
        assert_eq!(sinew_adapter_support_rows(adapter), 0);
        assert_eq!(sinew_adapter_support_loss(adapter, &raw mut loss), SinewCode::AdaptNoSupport);
        let steps = sinew_adapter_steps(adapter);
        for wrong in [0, 1001, u32::MAX] {
            assert_eq!(sinew_adapter_set_steps(adapter, wrong), SinewCode::RuleSteps);
        }
        assert_eq!(sinew_adapter_steps(adapter), steps);
        for wrong in [-1, 4, i32::MIN, i32::MAX] {
            assert_eq!(sinew_adapter_set_guard(adapter, wrong, 0), SinewCode::UnknownGuard);
        }
        for (guard, wrong) in [(0, 1), (1, 1), (2, 0), (2, CAPACITY), (2, usize::MAX), (3, CAPACITY)] {
            assert_eq!(sinew_adapter_set_guard(adapter, guard, wrong), SinewCode::HeldBack);
        }
        for wrong in [f32::NAN, -0.5, f32::NEG_INFINITY] {
            assert_eq!(sinew_adapter_set_limits(adapter, wrong, 0, 0), SinewCode::TrustRadius);
        }
    }
    assert_eq!(loss, 0.5);
}

#[test]
fn arrays_that_overlap_are_refused() {
    let mut block = Block::of(TERRAIN, CAPACITY);
    let size = block.size();
    let adapter = block.init(TERRAIN, CAPACITY);
    let mut x = [0.5_f32; 20];
    let x = x.as_mut_ptr();
    let inside = adapter.cast::<u8>().wrapping_add(size - 64).cast::<f32>();
    // SAFETY: all of it is memory of this test; what overlaps is refused before it is used.
    unsafe {
        use SinewCode::{Ok, Overlap};
        assert_eq!(sinew_adapter_observe(adapter, inside, 10, x, 1), Overlap);
        assert_eq!(sinew_adapter_observe(adapter, x, 10, inside, 1), Overlap);
        assert_eq!(sinew_adapter_predict(adapter, inside, 10, x, 1), Overlap);
        assert_eq!(sinew_adapter_predict(adapter, x, 10, inside, 1), Overlap);
        assert_eq!(sinew_adapter_predict(adapter, x, 10, x.add(9), 1), Overlap);
        assert_eq!(sinew_adapter_predict(adapter, x.add(1), 10, x, 2), SinewCode::Overlap);
        assert_eq!(sinew_adapter_predict(adapter, x, 10, x.add(10), 1), Ok);
        assert_eq!(sinew_adapter_predict(adapter, x.add(1), 10, x, 1), Ok);
        let two = |y, variance| sinew_adapter_predict_with_variance(adapter, x.add(4), 10, y, 1, variance, 1);
        assert_eq!((two(x, x), two(x.add(4), x), two(x, x.add(4))), (Overlap, Overlap, Overlap));
        assert_eq!((two(inside, x), two(x, inside)), (Overlap, Overlap));
        assert_eq!(two(x, x.add(1)), SinewCode::PredictNoVariance);
        assert_eq!(sinew_adapter_support_loss(adapter, inside), Overlap);
        assert_eq!(sinew_adapter_novelty(adapter, inside.cast()), Overlap);
        assert_eq!(sinew_adapter_budget(adapter, inside.cast()), Overlap);
        assert_eq!(sinew_adapter_adapt(adapter, None, null_mut(), inside.cast()), Overlap);
        let bundle = adapter.cast::<u8>().wrapping_add(size - 1);
        let mut other = adapter;
        assert_eq!(sinew_adapter_init(adapter.cast(), size, bundle, 100, 1, &raw mut other), Overlap);
        assert_eq!(other, null_mut());
    }
}

#[test]
fn a_block_without_an_adapter_is_refused() {
    let refused = |block: &mut Block| {
        let handle = block.0.as_mut_ptr().cast();
        assert_eq!(observe(handle, &[0.0; 10], &[0.0]), SinewCode::NotInitialised);
        assert_eq!(predict(handle, &[0.0; 10], &mut [0.0]), SinewCode::NotInitialised);
        assert_eq!(adapt(handle, None, null_mut()).0, SinewCode::NotInitialised);
        // SAFETY: it is memory, if no adapter.
        unsafe {
            assert_eq!(sinew_adapter_rollback(handle), SinewCode::NotInitialised);
            assert_eq!(sinew_adapter_input_len(handle), 0);
        }
    };
    let mut block = Block::of(TERRAIN, CAPACITY);
    refused(&mut block);
    block.0.fill(0);
    refused(&mut block);

    // A set-up that fails leaves no adapter behind, whatever was there before.
    let size = block.size();
    for (room, bundle, capacity, code) in [
        (size - 8, TERRAIN, CAPACITY, SinewCode::BlockTooSmall),
        (0, TERRAIN, CAPACITY, SinewCode::BlockTooSmall),
        (size, TERRAIN, CAPACITY + 1, SinewCode::BlockTooSmall),
        (size, TERRAIN, 0, SinewCode::SetupCapacity),
        (size, TERRAIN, usize::MAX, SinewCode::SetupCapacity),
        (size, TERRAIN, usize::MAX / 32, SinewCode::SetupCapacity),
        (size, &TERRAIN[..100], CAPACITY, SinewCode::BundleHeader),
        (size, &[], CAPACITY, SinewCode::BundleHeader),
    ] {
        if room > 0 {
            block.init(TERRAIN, CAPACITY);
        }
        assert_eq!(block.init_with(room, bundle, capacity), (code, null_mut()));
        if room > 0 {
            refused(&mut block);
        }
    }

    // Nor does an adapter survive a move, since it knows where it was.
    block.init(TERRAIN, CAPACITY);
    let mut moved = Block(block.0.clone());
    refused(&mut moved);
    let adapter = block.0.as_mut_ptr().cast();
    assert_eq!(predict(adapter, &[0.0; 10], &mut [0.0]), SinewCode::Ok);
}

#[test]
fn refusals_bring_the_start_back_and_wait_for_new_samples() {
    let mut block = Block::of(TERRAIN, CAPACITY);
    let adapter = block.init(TERRAIN, CAPACITY);
    let (x, y) = samples(10, 1, CAPACITY);
    let observe_rows = |from: usize, to: usize| {
        for row in from..to {
            assert_eq!(observe(adapter, &x[row * 10..(row + 1) * 10], &y[row..=row]), SinewCode::Ok);
        }
    };
    let adapt = || adapt(adapter, None, null_mut());
    observe_rows(0, CAPACITY);
    let (code, report) = adapt();
    assert_eq!((code, report.outcome), (SinewCode::Ok, SinewOutcome::Committed));
    let (patience, recovery) = (2, 3);
    // SAFETY: it is an adapter.
    assert_eq!(unsafe { sinew_adapter_set_limits(adapter, 1e-6, patience, recovery) }, SinewCode::Ok);
    for (rolled_back, rows) in [(0, CAPACITY), (1, 0)] {
        let (code, report) = adapt();
        assert_eq!(
            (code, report.outcome, report.rolled_back),
            (SinewCode::Ok, SinewOutcome::OutsideTrust, rolled_back)
        );
        // SAFETY: it is an adapter.
        assert_eq!(unsafe { sinew_adapter_support_rows(adapter) }, rows);
    }
    assert_eq!(adapt().0, SinewCode::AdaptNoSupport);
    observe_rows(0, recovery - 1);
    let (code, report) = adapt();
    assert_eq!((code, report.outcome, report.steps), (SinewCode::Ok, SinewOutcome::Recovering, 0));
    // SAFETY: it is an adapter.
    assert_eq!(unsafe { sinew_adapter_set_limits(adapter, f32::INFINITY, 0, 0) }, SinewCode::Ok);
    observe_rows(recovery - 1, recovery);
    let (code, report) = adapt();
    assert_eq!((code, report.outcome), (SinewCode::Ok, SinewOutcome::Committed));
}

#[test]
fn a_rule_that_works_samples_in_once_has_nothing_new_to_work_in() {
    let bytes = bayes();
    let mut block = Block::of(&bytes, CAPACITY);
    let adapter = block.init(&bytes, CAPACITY);
    let known = novelty(adapter);
    assert!(known.score.is_nan() && known.median.is_nan() && known.limit.is_nan());
    let (x, y) = samples(10, 1, 1);
    assert_eq!(observe(adapter, &x, &y), SinewCode::Ok);
    let known = novelty(adapter);
    assert!(known.score > 0.0);
    assert_eq!((known.median, known.limit), (0.75, 2.5));
    for (outcome, steps) in [(SinewOutcome::Committed, 1), (SinewOutcome::NothingNew, 0)] {
        let (code, report) = adapt(adapter, None, null_mut());
        assert_eq!((code, report.outcome, report.steps), (SinewCode::Ok, outcome, steps));
    }
    // Two values for one row, and a row without one.
    let mut values = [0.0; 2];
    assert_eq!(predict_with_variance(adapter, &x, &mut [0.0], &mut values), SinewCode::Length);
    assert_eq!(predict_with_variance(adapter, &x, &mut values, &mut [0.0]), SinewCode::Length);
    // The bundle of the terrain knows nothing of it.
    let mut block = Block::of(TERRAIN, CAPACITY);
    let adapter = block.init(TERRAIN, CAPACITY);
    assert_eq!(observe(adapter, &x, &y), SinewCode::Ok);
    let known = novelty(adapter);
    assert!(known.score > 0.0 && known.median.is_nan() && known.limit.is_nan());
}

#[test]
fn a_parameter_that_was_disturbed_is_seen_and_mended() {
    let mut block = Block::of(TERRAIN, CAPACITY);
    let c = block.init(TERRAIN, CAPACITY);
    let bundle = Bundle::parse(TERRAIN).unwrap();
    let mut memory = vec![0.0; Adapter::memory_len(&bundle, CAPACITY).unwrap()];
    let mut rust = Adapter::new(&bundle, CAPACITY, &mut memory).unwrap();
    let (x, y) = samples(10, 1, 3);
    let mut start = [0.0; 3];
    assert_eq!(predict(c, &x, &mut start), SinewCode::Ok);
    for (x, y) in x.chunks(10).zip(&y) {
        rust.observe(x, &[*y]).unwrap();
        assert_eq!(observe(c, x, &[*y]), SinewCode::Ok);
    }
    rust.adapt(|| false).unwrap();
    assert_eq!(adapt(c, None, null_mut()).1.outcome, SinewOutcome::Committed);
    // SAFETY: it is an adapter.
    assert_eq!(unsafe { sinew_adapter_verify(c) }, SinewCode::Ok);

    // The parameters of both are the same, so that they can be found in the block.
    let wanted: Vec<u8> = rust.parameters().iter().flat_map(|value| value.to_ne_bytes()).collect();
    let whole: Vec<u8> = block.0.iter().flat_map(|word| word.to_ne_bytes()).collect();
    let places: Vec<usize> = (0..whole.len() - wanted.len())
        .step_by(size_of::<f32>())
        .filter(|&place| whole[place..].starts_with(&wanted))
        .collect();
    assert!(!places.is_empty());
    for place in places {
        // SAFETY: within the block, which this test owns.
        unsafe { *block.0.as_mut_ptr().cast::<u8>().add(place + wanted.len() / 2) ^= 1 };
    }
    // SAFETY: it is an adapter.
    unsafe {
        assert_eq!(sinew_adapter_verify(c), SinewCode::VerifyCorrupted);
        assert_eq!(sinew_adapter_verify(c), SinewCode::Ok);
    }
    let mut mended = [0.0; 3];
    assert_eq!(predict(c, &x, &mut mended), SinewCode::Ok);
    assert_eq!(bits(&mended), bits(&start));
}

#[test]
fn a_bundle_that_is_refused_says_why() {
    let check = |bundle: &[u8], len: usize| {
        let mut text = vec![b'?'; len + 4];
        // SAFETY: the text has more than `len` bytes.
        let code = unsafe { sinew_bundle_check(bundle.as_ptr(), bundle.len(), text.as_mut_ptr().cast(), len) };
        assert_eq!(&text[len..], b"????");
        (code, CStr::from_bytes_until_nul(&text[..len]).unwrap().to_str().unwrap().to_owned())
    };
    for bundle in BUNDLES {
        assert_eq!(check(bundle, 200), (SinewCode::Ok, String::new()));
    }
    let broken = &TERRAIN[..TERRAIN.len() - 40];
    let error = Bundle::parse(broken).unwrap_err();
    let whole = error.to_string();
    assert_eq!(check(broken, 200), (SinewCode::from(error), whole.clone()));
    // Cut short where there is no room: to the byte, for ASCII.
    for len in [1, 2, 10, whole.len(), whole.len() + 1] {
        assert_eq!(check(broken, len), (SinewCode::from(error), whole[..len - 1].to_owned()));
    }
}

fn text(code: i32) -> &'static str {
    // SAFETY: a text of C that is never freed.
    unsafe { CStr::from_ptr(sinew_error_text(code)) }.to_str().unwrap()
}

#[test]
fn every_code_of_the_header_has_a_text() {
    let codes: Vec<i32> = HEADER
        .lines()
        .filter_map(|line| line.trim().strip_prefix("SINEW_CODE_")?.split_once(" = "))
        .map(|(_, number)| number.trim_end_matches(',').parse().unwrap())
        .collect();
    assert!(codes.len() >= 56 && codes.is_sorted() && codes[0] == SinewCode::Ok as i32);
    let mut texts: Vec<&str> = codes.iter().map(|code| text(*code)).collect();
    assert!(texts.iter().all(|text| !text.is_empty() && *text != "unknown code"));
    texts.sort_unstable();
    texts.dedup();
    assert_eq!(texts.len(), codes.len(), "two codes have one text");
    for unknown in [-1, 99, 999, i32::MIN, i32::MAX] {
        assert!(!codes.contains(&unknown));
        assert_eq!(text(unknown), "unknown code");
    }
}

#[test]
fn the_header_has_the_version_of_the_library() {
    let line = format!("#define SINEW_ABI_VERSION {}\n", sinew_abi_version());
    assert!(HEADER.contains(&line));
    assert_eq!((size_of::<SinewReport>(), align_of::<SinewReport>()), (64, 4));
    assert_eq!((size_of::<SinewBudget>(), align_of::<SinewBudget>()), (64, 8));
    assert_eq!((size_of::<SinewNovelty>(), align_of::<SinewNovelty>()), (12, 4));
    assert_eq!((size_of::<SinewCode>(), size_of::<SinewOutcome>(), size_of::<SinewGuard>()), (4, 4, 4));
}
