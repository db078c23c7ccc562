//! The single passes of the CPU engine against the f64 model: forward, backward, gradient and Hessian-vector product, on both sides of
//! tasks of different sizes, at shared parameters and at each task's own, on every path, and with the same bits for any number of threads.

use sinew_models::spec::NetworkSpec;
use sinew_runtime::Path;
use sinew_tests::networks;
use sinew_tests::reference::{self, Dual, differences, relative_error};
use sinew_tests::sample::{self, Numbers, single};
use sinew_trainer::aligned::Aligned;
use sinew_trainer::engine::{Cpu, Depth, Engine, EngineError, Parameters, Rows, Side, TaskRows};

const SIDES: [Side; 2] = [Side::Support, Side::Query];
const DEPTHS: [Depth; 2] = [Depth::Outputs, Depth::Features];
/// Support and query rows of each task.
const SIZES: [[usize; 2]; 3] = [[2, 3], [4, 1], [1, 2]];

/// Rows of one side of a task, in f64.
struct Exact {
    x: Vec<f64>,
    y: Vec<f64>,
    rows: usize,
}

/// Tasks, and for each its own parameters and direction.
struct Case {
    spec: NetworkSpec,
    params: Vec<Vec<f64>>,
    directions: Vec<Vec<f64>>,
    tasks: Vec<[Exact; 2]>,
}

impl Case {
    fn new(spec: NetworkSpec, seed: u64) -> Self {
        let mut numbers = Numbers(seed);
        let len = spec.param_len();
        let params = SIZES.map(|_| numbers.values(len, 0.6)).to_vec();
        let directions = SIZES.map(|_| numbers.values(len, 1.0)).to_vec();
        let exact = |rows: usize, numbers: &mut Numbers| Exact {
            x: numbers.values(rows * spec.input.presented_len(), 1.5),
            y: sample::some_targets(&spec, rows, numbers),
            rows,
        };
        let tasks = SIZES.map(|sizes| sizes.map(|rows| exact(rows, &mut numbers))).into();
        Self { spec, params, directions, tasks }
    }

    fn batch(&self) -> Vec<TaskRows> {
        let rows = |exact: &Exact| Rows { x: single(&exact.x), y: single(&exact.y), rows: exact.rows };
        self.tasks.iter().map(|[support, query]| TaskRows { support: rows(support), query: rows(query) }).collect()
    }

    /// Each task's parameters, its number and its rows on one side.
    fn tasks(&self, shared: bool, side: Side) -> impl Iterator<Item = (usize, &[f64], &Exact)> {
        self.tasks.iter().enumerate().map(move |(number, [support, query])| {
            let params = &self.params[if shared { 0 } else { number }][..];
            (number, params, if side == Side::Support { support } else { query })
        })
    }

    /// What the network makes of rows.
    fn values(&self, depth: Depth, params: &[f64], x: &[f64]) -> Vec<f64> {
        let duals: Vec<Dual> = params.iter().map(|param| Dual::constant(*param)).collect();
        let row = |x: &[f64]| match depth {
            Depth::Outputs => reference::outputs(&self.spec, &duals, x).iter().map(|z| z.value).collect(),
            Depth::Features => reference::features(&self.spec, params, x),
        };
        x.chunks_exact(self.spec.input.presented_len()).flat_map(row).collect()
    }
}

/// What one kind of pass must come to.
struct Expected {
    values: Vec<f64>,
    cotangent: Vec<f64>,
    to_params: Vec<f64>,
    to_inputs: Vec<f64>,
}

fn expected(case: &Case, shared: bool, side: Side, depth: Depth) -> Expected {
    const STEP: f64 = 1e-5;
    let mut numbers = Numbers(77);
    let mut all = Expected { values: vec![], cotangent: vec![], to_params: vec![], to_inputs: vec![] };
    let mut sum = vec![0.0; case.spec.param_len()];
    for (_, params, Exact { x, .. }) in case.tasks(shared, side) {
        let values = case.values(depth, params, x);
        let cotangent = numbers.values(values.len(), 1.0);
        let dot = |values: Vec<f64>| values.iter().zip(&cotangent).map(|(value, weight)| value * weight).sum();
        let to_params = differences(params, STEP, |params| dot(case.values(depth, params, x)));
        all.to_inputs.extend(differences(x, STEP, |x| dot(case.values(depth, params, x))));
        all.values.extend(values);
        sum.iter_mut().zip(&to_params).for_each(|(sum, gradient)| *sum += gradient);
        all.to_params.extend(to_params);
        all.cotangent.extend(cotangent);
    }
    if shared {
        all.to_params = sum;
    }
    all
}

/// Losses, gradients and Hessian-vector products of all tasks.
fn expected_of_losses(case: &Case, shared: bool, side: Side) -> (Vec<f64>, Vec<f64>, Vec<f64>) {
    const STEP: f64 = 1e-5;
    let (mut losses, mut gradients, mut products) = (vec![], vec![], vec![]);
    for (number, params, Exact { x, y, rows }) in case.tasks(shared, side) {
        let at = |params: &[f64]| reference::gradient(&case.spec, params, x, y, *rows);
        let (loss, gradient) = at(params);
        let shifted = |t: f64| -> Vec<f64> {
            params.iter().zip(&case.directions[number]).map(|(param, v)| param + t * v).collect()
        };
        let (above, below) = (at(&shifted(STEP)).1, at(&shifted(-STEP)).1);
        losses.push(loss);
        gradients.extend(gradient);
        products.extend(above.iter().zip(&below).map(|(above, below)| (above - below) / (2.0 * STEP)));
    }
    (losses, gradients, products)
}

fn assert_close(what: &str, got: &[f32], want: &[f64], tolerance: f64) {
    let error = relative_error(got, want);
    assert!(error <= tolerance, "{what}: {error}");
}

/// Checks one sharing and side on every path.
fn check(name: &str, case: &Case, shared: bool, side: Side) {
    let passes = DEPTHS.map(|depth| (depth, expected(case, shared, side, depth)));
    let (want_losses, want_gradients, want_products) = expected_of_losses(case, shared, side);
    let flat = |vectors: &[Vec<f64>]| Aligned::copy_of(&single(&vectors.concat()));
    let params = if shared { flat(&case.params[..1]) } else { flat(&case.params) };
    let params = if shared { Parameters::Shared(&params) } else { Parameters::Each(&params) };
    let directions = flat(&case.directions);
    for path in Path::available() {
        let mut bits: Vec<Vec<Aligned>> = Vec::new();
        for threads in [1, 2] {
            let mut engine = Cpu::on(path, &case.spec, threads).unwrap();
            let tasks = engine.take(case.batch()).unwrap();
            let (mut seen, what) = (Vec::new(), format!("{name}, shared {shared}, {side:?}, {}", path.name()));
            let (mut into, mut inputs) = (Aligned::copy_of(&[f32::NAN; 3]), Aligned::default());
            for (depth, want) in &passes {
                engine.forward(params, &tasks, side, *depth, &mut into).unwrap();
                assert_close(&format!("{depth:?} of {what}"), &into, &want.values, 5e-6);
                seen.push(into.clone());

                let cotangent = Aligned::copy_of(&single(&want.cotangent));
                engine.backward(params, &tasks, side, *depth, &cotangent, &mut into, None).unwrap();
                assert_close(&format!("behind {depth:?} of {what}"), &into, &want.to_params, 1e-5);
                let alone = into.clone();
                into.fill(f32::NAN);
                inputs.fill(f32::NAN);
                engine.backward(params, &tasks, side, *depth, &cotangent, &mut into, Some(&mut inputs)).unwrap();
                assert_eq!(into, alone, "{what}");
                assert_close(&format!("inputs behind {depth:?} of {what}"), &inputs, &want.to_inputs, 1e-5);
                seen.extend([into.clone(), inputs.clone()]);
            }
            let mut losses = vec![f32::NAN];
            engine.gradient(params, &tasks, side, &mut losses, &mut into).unwrap();
            assert_close(&format!("losses of {what}"), &losses, &want_losses, 1e-5);
            assert_close(&format!("gradients of {what}"), &into, &want_gradients, 1e-5);
            seen.extend([into.clone(), Aligned::copy_of(&losses)]);
            engine.hessian_vector(params, &directions, &tasks, side, &mut into).unwrap();
            assert_close(&format!("products of {what}"), &into, &want_products, 1e-4);
            seen.push(into.clone());
            bits.push(seen);
        }
        assert_eq!(bits[0], bits[1], "threads change bits of {name} on {}", path.name());
    }
}

#[test]
fn every_pass_is_exact() {
    for (number, (name, spec)) in networks::all().into_iter().enumerate() {
        let case = Case::new(spec, number as u64 + 1);
        for shared in [true, false] {
            for side in SIDES {
                check(name, &case, shared, side);
            }
        }
    }
}

#[test]
fn what_has_another_length_is_refused() {
    let (_, spec) = networks::all().swap_remove(0);
    let case = Case::new(spec, 1);
    let (len, tasks) = (case.spec.param_len(), SIZES.len());
    let mut engine = Cpu::new(&case.spec, 1).unwrap();
    let batch = engine.take(case.batch()).unwrap();
    let (mut into, mut losses) = (Aligned::default(), Vec::new());
    let (one, all, short) = (Aligned::zeros(len), Aligned::zeros(tasks * len), Aligned::zeros(len - 1));
    let support: usize = SIZES.iter().map(|[support, _]| support).sum();
    let cotangent = Aligned::zeros(support * case.spec.output_len());
    let (side, depth) = (Side::Support, Depth::Outputs);
    let refused = |result: Result<(), EngineError>, wanted: usize, had: usize| {
        let Err(EngineError::Length { expected, got, .. }) = result else { panic!("{result:?}") };
        assert_eq!((expected, got), (wanted, had));
    };
    for (params, wanted, had) in [
        (Parameters::Shared(&short), len, len - 1),
        (Parameters::Shared(&all), len, tasks * len),
        (Parameters::Each(&one), tasks * len, len),
    ] {
        refused(engine.forward(params, &batch, side, depth, &mut into), wanted, had);
        refused(engine.backward(params, &batch, side, depth, &cotangent, &mut into, None), wanted, had);
        refused(engine.gradient(params, &batch, side, &mut losses, &mut into), wanted, had);
        refused(engine.hessian_vector(params, &all, &batch, side, &mut into), wanted, had);
    }
    let (shared, right) = (Parameters::Shared(&one), cotangent.len());
    refused(engine.backward(shared, &batch, side, depth, &short, &mut into, None), right, len - 1);
    refused(engine.hessian_vector(shared, &one, &batch, side, &mut into), tasks * len, len);
    engine.backward(shared, &batch, side, depth, &cotangent, &mut into, None).unwrap();
    assert_eq!(into, Aligned::zeros(len), "a gradient of 0 behind the network is one of 0 before it");
}
