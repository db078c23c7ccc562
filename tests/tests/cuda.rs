//! The engine on CUDA against the engine on CPU, its kernels run by fibers (`tests/cuda`): every pass over every kind of layer, at shared
//! parameters and at each task's own, with the threads of a block in every order.

mod networks;

use proptest::prelude::*;
use sinew_models::rule::{Rate, Scope};
use sinew_models::spec::{Activation, Input, Layer, Loss, NetworkSpec, Shape, Window};
use sinew_runtime::Path;
use sinew_tests::sample::{self, Numbers, single};
use sinew_tests::shim::{Order, Shim};
use sinew_trainer::cuda::Limits;
use sinew_trainer::engine::cuda::Cuda;
use sinew_trainer::engine::{
    BatchGradient, Cpu, Depth, Engine, EngineError, InnerLoop, Kept, Learned, OuterStep, Parameters, Rows, Side,
    TaskRows,
};
use sinew_trainer::optimiser::{AdamW, Moments};

const ORDERS: [Order; 3] = [Order::Forward, Order::Reverse, Order::Shuffled(7)];
/// Of the largest value of a result; both sides round.
const TOLERANCE: f64 = 2e-5;

/// Tasks of a network, and for each its own parameters and a direction.
struct Case {
    spec: NetworkSpec,
    params: Vec<f32>,
    directions: Vec<f32>,
    tasks: Vec<TaskRows>,
}

impl Case {
    fn new(spec: NetworkSpec, sizes: &[[usize; 2]], seed: u64) -> Self {
        let mut numbers = Numbers(seed);
        let len = spec.param_len();
        let params = single(&numbers.values(len * sizes.len(), 0.5));
        let directions = single(&numbers.values(len * sizes.len(), 1.0));
        let mut rows = |rows: usize| Rows {
            x: single(&numbers.values(rows * spec.input.presented_len(), 1.5)),
            y: single(&sample::targets(&spec, rows, &mut numbers)),
            rows,
        };
        let tasks = sizes.iter().map(|[support, query]| TaskRows { support: rows(*support), query: rows(*query) });
        Self { tasks: tasks.collect(), spec, params, directions }
    }

    fn shared(&self) -> &[f32] {
        &self.params[..self.spec.param_len()]
    }
}

fn limits(multiprocessors: u32) -> Limits {
    Limits { multiprocessors, ..Limits::h100() }
}

fn on_shim(spec: &NetworkSpec, order: Order) -> Cuda<Shim> {
    Cuda::new(Shim::new(limits(3), order), spec).unwrap()
}

/// What an engine makes of a case: every result by its name.
type Results = Vec<(String, Vec<f32>)>;

fn close(what: &str, got: &Results, want: &Results) {
    close_to(TOLERANCE, what, got, want);
}

fn close_to(tolerance: f64, what: &str, got: &Results, want: &Results) {
    assert_eq!(got.len(), want.len());
    for ((name, got), (_, want)) in got.iter().zip(want) {
        assert_eq!(got.len(), want.len(), "{what}: {name}");
        let largest = want.iter().fold(0.0_f64, |most, value| most.max(f64::from(value.abs())));
        let apart = got.iter().zip(want).map(|(got, want)| (f64::from(*got) - f64::from(*want)).abs());
        // Folded so that NaN stays.
        let error = apart.fold(0.0_f64, |most, error| if error <= most { most } else { error });
        assert!(error <= tolerance * largest.max(1e-3), "{what}: {name}: {error:e} of {largest}");
    }
}

/// All single passes.
fn single_passes<E: Engine>(engine: &mut E, case: &Case) -> Results {
    let mut results = Results::new();
    let tasks = engine.take(case.tasks.clone()).unwrap();
    let [each, shared, directions] =
        [&case.params[..], case.shared(), &case.directions].map(|values| engine.upload(values).unwrap());
    let mut into = engine.upload(&[]).unwrap();
    for (params, sharing) in [(Parameters::Shared(&shared), "shared"), (Parameters::Each(&each), "each")] {
        for side in [Side::Support, Side::Query] {
            let what = |pass: &str| format!("{pass}, {sharing}, {side:?}");
            for depth in [Depth::Outputs, Depth::Features] {
                engine.forward(params, &tasks, side, depth, &mut into).unwrap();
                let values = engine.download(&into).unwrap();
                let cotangent = single(&Numbers(5).values(values.len(), 1.0));
                let cotangent = engine.upload(&cotangent).unwrap();
                results.push((what(&format!("{depth:?}")), values));
                engine.backward(params, &tasks, side, depth, &cotangent, &mut into, None).unwrap();
                results.push((what(&format!("behind {depth:?}")), engine.download(&into).unwrap()));
                let mut inputs = engine.upload(&[f32::NAN; 3]).unwrap();
                engine.backward(params, &tasks, side, depth, &cotangent, &mut into, Some(&mut inputs)).unwrap();
                results.push((what(&format!("behind {depth:?} and inputs")), engine.download(&into).unwrap()));
                results.push((what(&format!("inputs behind {depth:?}")), engine.download(&inputs).unwrap()));
            }
            let mut losses = Vec::new();
            engine.gradient(params, &tasks, side, &mut losses, &mut into).unwrap();
            results.push((what("losses"), losses));
            results.push((what("gradient"), engine.download(&into).unwrap()));
            engine.hessian_vector(params, &directions, &tasks, side, &mut into).unwrap();
            results.push((what("product"), engine.download(&into).unwrap()));
        }
    }
    let mut pooled = BatchGradient::default();
    engine.pooled_gradient(&shared, &tasks, &mut pooled).unwrap();
    results.push(("pooled".into(), engine.download(&pooled.params).unwrap()));
    results.push(("pooled losses".into(), engine.download(&pooled.losses).unwrap()));
    results
}

/// One inner loop: losses, and gradients by parameters and rates.
fn inner_loop<E: Engine>(engine: &mut E, case: &Case, inner: &InnerLoop) -> Results {
    let tasks = engine.take(case.tasks.clone()).unwrap();
    let params = engine.upload(case.shared()).unwrap();
    let count = match inner.rate {
        Rate::Constant => 1,
        Rate::PerLayerStep => inner.steps * case.spec.layer_count(),
        Rate::PerParameter => case.spec.param_len(),
    };
    let rates: Vec<f32> = Numbers(3).values(count, 0.05).iter().map(|value| 0.1 + *value as f32).collect();
    let rates = engine.upload(&rates).unwrap();
    let mut gradient = BatchGradient::default();
    engine.meta_gradient(inner, &params, &rates, &tasks, &mut gradient).unwrap();
    assert_eq!(gradient.tasks, case.tasks.len());
    let mut results = vec![
        ("meta-gradient".into(), engine.download(&gradient.params).unwrap()),
        ("losses of it".into(), engine.download(&gradient.losses).unwrap()),
    ];
    assert_eq!(gradient.rates.is_some(), inner.learn_rates);
    if let Some(rates) = &gradient.rates {
        results.push(("by rates".into(), engine.download(rates).unwrap()));
    }
    let mut losses = Vec::new();
    engine.meta_losses(inner, &params, &rates, &tasks, &mut losses).unwrap();
    results.push(("losses alone".into(), losses));
    results
}

#[test]
fn single_passes_of_every_network() {
    for (number, (name, spec)) in networks::all().into_iter().enumerate() {
        let case = Case::new(spec, &[[2, 3], [4, 1], [1, 2]], 40 + number as u64);
        let want = single_passes(&mut Cpu::on(Path::SCALAR, &case.spec, 1).unwrap(), &case);
        for order in ORDERS {
            let mut engine = on_shim(&case.spec, order);
            close(&format!("{name}, {order:?}"), &single_passes(&mut engine, &case), &want);
        }
    }
}

fn inner(engine: &impl Engine, scope: &Scope, rate: Rate, steps: usize) -> InnerLoop {
    let adapted = engine.adapted(scope);
    InnerLoop { steps, rate, adapted, learn_rates: true, first_order: false, kept: Kept::Activations }
}

#[test]
fn inner_loops_of_every_network() {
    for (number, (name, spec)) in networks::all().into_iter().enumerate() {
        let case = Case::new(spec, &[[3, 2], [2, 4]], 90 + number as u64);
        let mut cpu = Cpu::on(Path::SCALAR, &case.spec, 1).unwrap();
        for (place, rate) in [Rate::Constant, Rate::PerLayerStep, Rate::PerParameter].into_iter().enumerate() {
            let exact = inner(&cpu, &Scope::All, rate, 2);
            let first = InnerLoop { first_order: true, ..exact.clone() };
            let plain = InnerLoop { learn_rates: false, first_order: true, ..exact.clone() };
            let heads = InnerLoop { adapted: cpu.adapted(&Scope::Heads), ..exact.clone() };
            for inner in [exact, first, plain, heads] {
                let want = inner_loop(&mut cpu, &case, &inner);
                let order = ORDERS[(number + place) % 3];
                // In one launch, where the network is dense, and layer by layer.
                let device = || Shim::new(limits(3), order);
                for new in [Cuda::new, Cuda::layered] {
                    let got = inner_loop(&mut new(device(), &case.spec).unwrap(), &case, &inner);
                    close(&format!("{name}, {inner:?}, {order:?}"), &got, &want);
                }
            }
        }
    }
}

/// What is kept changes no bit, and no memory is left over.
#[test]
fn what_is_kept_changes_no_bit() {
    let (_, spec) = networks::all().swap_remove(1);
    let case = Case::new(spec, &[[3, 2], [2, 4], [5, 1]], 17);
    for steps in [0, 1, 5] {
        let results = [Kept::Activations, Kept::Parameters, Kept::Checkpoints].map(|kept| {
            let mut engine = on_shim(&case.spec, Order::Forward);
            let inner = InnerLoop { kept, ..inner(&engine, &Scope::All, Rate::PerLayerStep, steps) };
            inner_loop(&mut engine, &case, &inner)
        });
        assert_eq!(results[0], results[1]);
        assert_eq!(results[0], results[2]);
        let mut cpu = Cpu::on(Path::SCALAR, &case.spec, 1).unwrap();
        let inner = inner(&cpu, &Scope::All, Rate::PerLayerStep, steps);
        close(&format!("{steps} steps"), &results[0], &inner_loop(&mut cpu, &case, &inner));
    }
}

/// A meta-step of a dense network is three launches, and one wait for the device.
#[test]
fn a_meta_step_is_three_launches() {
    let hidden = [(64, Activation::Relu), (64, Activation::Relu)];
    let spec = sample::network(16, &hidden, &[(4, None, Loss::MeanSquared)]);
    let case = Case::new(spec, &[[16, 16]; 5], 2);
    let mut engine = on_shim(&case.spec, Order::Forward);
    let inner = InnerLoop { learn_rates: false, ..inner(&engine, &Scope::All, Rate::Constant, 5) };
    let tasks = engine.take(case.tasks.clone()).unwrap();
    let mut params = engine.upload(case.shared()).unwrap();
    let mut rates = engine.upload(&[0.05]).unwrap();
    let mut zeros = |len: usize| engine.upload(&vec![0.0; len]).unwrap();
    let mut moments =
        [params.len(), rates.len()].map(|len| Moments { first: zeros(len), second: zeros(len), steps: 0 });
    let mut gradient = BatchGradient::default();
    let step = OuterStep { adam: AdamW::default(), clip: Some(1.0), rate: 1e-3, rate_of_rates: 1e-3 };
    for _ in 0..2 {
        let (launches, reads) = (engine.device().launches(), engine.device().reads());
        engine.meta_gradient(&inner, &params, &rates, &tasks, &mut gradient).unwrap();
        let learned = Learned { params: &mut params, rates: &mut rates, moments: moments.each_mut() };
        engine.update(&step, learned, &mut gradient).unwrap();
        assert_eq!(engine.device().launches() - launches, 3);
        assert_eq!(engine.device().reads(), reads);
        // The norm and the losses.
        engine.outcome(&gradient, &mut vec![]).unwrap();
        assert_eq!(engine.device().reads() - reads, 2);
    }
}

/// Steps of the optimiser: clipped and not, with rates and without, and not at all where the gradient is not finite.
#[test]
fn updates_are_those_of_the_cpu() {
    // The larger one has more values than a block adds up alone.
    for hidden in [3, 260] {
        let spec = sample::network(
            4,
            &[(hidden, Activation::Relu), (hidden, Activation::Relu)],
            &[(2, None, Loss::MeanSquared)],
        );
        let (len, rates) = (spec.param_len(), 3);
        for (clip, spoiled, with_rates) in
            [(None, false, true), (Some(0.5), false, true), (Some(1e9), false, false), (Some(1.0), true, true)]
        {
            let step = OuterStep {
                adam: AdamW { weight_decay: 0.01, ..AdamW::default() },
                clip,
                rate: 0.01,
                rate_of_rates: 0.003,
            };
            fn run<E: Engine>(
                engine: &mut E,
                step: &OuterStep,
                lens: [usize; 2],
                spoiled: bool,
                rates: bool,
            ) -> Results {
                let mut numbers = Numbers(8);
                let mut values = |len: usize| single(&numbers.values(len, 1.0));
                let mut learned = lens.map(|len| engine.upload(&values(len)).unwrap());
                let mut moments = lens.map(|len| Moments {
                    first: engine.upload(&values(len)).unwrap(),
                    second: engine.upload(&values(len).iter().map(|value| value.abs()).collect::<Vec<_>>()).unwrap(),
                    steps: 4,
                });
                let mut by_params = values(lens[0]);
                if spoiled {
                    by_params[lens[0] / 2] = f32::INFINITY;
                }
                let mut gradient = BatchGradient {
                    params: engine.upload(&by_params).unwrap(),
                    rates: rates.then(|| engine.upload(&values(lens[1])).unwrap()),
                    losses: engine.upload(&[1.0, 2.0]).unwrap(),
                    tasks: 2,
                };
                let [params, of_rates] = &mut learned;
                let of = Learned { params, rates: of_rates, moments: moments.each_mut() };
                engine.update(step, of, &mut gradient).unwrap();
                let mut losses = Vec::new();
                let norm = engine.outcome(&gradient, &mut losses).unwrap();
                assert_eq!(losses, [1.0, 2.0]);
                assert_eq!(norm.is_finite(), !spoiled);
                let mut results = vec![("norm".into(), vec![if spoiled { 0.0 } else { norm as f32 }])];
                for values in learned.iter().chain(moments.iter().flat_map(|of| [&of.first, &of.second])) {
                    results.push(("values".into(), engine.download(values).unwrap()));
                }
                results
            }
            let want = run(&mut Cpu::new(&spec, 1).unwrap(), &step, [len, rates], spoiled, with_rates);
            for order in ORDERS {
                let got = run(&mut on_shim(&spec, order), &step, [len, rates], spoiled, with_rates);
                close(&format!("{step:?}, {order:?}"), &got, &want);
            }
        }
    }
}

fn convolutions() -> impl Strategy<Value = (NetworkSpec, Vec<[usize; 2]>, u64)> {
    let window = || ([1_u8..4, 1_u8..4], [1_u8..3, 1_u8..3], [0_u8..3, 0_u8..3]);
    let activation = prop::sample::select(sample::ACTIVATIONS.to_vec());
    let layer = (0..5, 1_usize..37, window(), activation);
    let shape = (4_usize..9, 4_usize..9, 1_usize..6);
    let sizes = prop::collection::vec([0_usize..4, 1_usize..4], 1..4);
    (shape, prop::collection::vec(layer, 1..4), sizes, any::<u64>(), prop::sample::select(sample::LOSSES.to_vec()))
        .prop_filter_map("a network", |((height, width, channels), layers, sizes, seed, loss)| {
            let mut spec = sample::network(1, &[], &[(3, None, loss)]);
            spec.input = Input::image(Shape { height, width, channels });
            let layers = layers.into_iter().map(|(kind, outputs, (size, stride, padding), activation)| {
                let window = Window { size, stride, padding };
                match kind {
                    0 => Layer::Depthwise { window, activation },
                    1 => Layer::MaxPool { window },
                    2 => Layer::AveragePool { window },
                    _ => Layer::Convolution { outputs, window, activation },
                }
            });
            spec.backbone = layers.chain([Layer::LayerNorm { activation: Activation::Tanh }, Layer::Flatten]).collect();
            spec.check().ok().map(|()| (spec, sizes, seed))
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if cfg!(sanitized) { 8 } else { 24 }))]

    #[test]
    fn convolutions_of_any_shape((spec, sizes, seed) in convolutions()) {
        // A layer norm of values that hardly differ makes a difference of any two roundings: two paths of the CPU are 1e-5 apart.
        let case = Case::new(spec, &sizes, seed);
        let mut cpu = Cpu::on(Path::SCALAR, &case.spec, 1).unwrap();
        let order = ORDERS[seed as usize % 3];
        let mut engine = on_shim(&case.spec, order);
        close_to(1e-4, &format!("{:?}, {order:?}", case.spec), &single_passes(&mut engine, &case), &single_passes(&mut cpu, &case));
        let inner = InnerLoop { learn_rates: false, ..inner(&cpu, &Scope::All, Rate::Constant, 1) };
        close_to(1e-4, &format!("{:?}, {order:?}", case.spec), &inner_loop(&mut engine, &case, &inner), &inner_loop(&mut cpu, &case, &inner));
    }
}

#[test]
fn wrong_lengths_are_refused() {
    let (_, spec) = networks::all().swap_remove(1);
    let mut engine = on_shim(&spec, Order::Forward);
    let inner = inner(&engine, &Scope::All, Rate::PerLayerStep, 2);
    let params = engine.upload(&vec![0.0; spec.param_len()]).unwrap();
    let three = engine.upload(&[0.0; 3]).unwrap();
    let none = engine.take(vec![]).unwrap();
    let mut into = BatchGradient::default();
    let error = engine.meta_gradient(&inner, &params, &three, &none, &mut into).unwrap_err();
    assert_eq!(error.to_string(), format!("inner rates: expected {} values, got 3", 2 * spec.layer_count()));
    let rows = |values: usize| Rows { x: vec![0.0; values], y: vec![], rows: 2 };
    let error = engine.take(vec![TaskRows { support: rows(5), query: Rows::default() }]).unwrap_err();
    assert_eq!(error.to_string(), "inputs of a task: expected 8 values, got 5");
    // Tasks may come without targets, for passes that have no loss; those that have one refuse them.
    let tasks = engine.take(vec![TaskRows { support: rows(8), query: Rows::default() }]).unwrap();
    let mut out = engine.upload(&[]).unwrap();
    engine.forward(Parameters::Shared(&params), &tasks, Side::Support, Depth::Outputs, &mut out).unwrap();
    let error = engine.gradient(Parameters::Shared(&params), &tasks, Side::Support, &mut vec![], &mut out).unwrap_err();
    assert_eq!(error.to_string(), "targets of a task: expected 10 values, got 0");
}

#[test]
fn no_task_gives_nothing() {
    let (_, spec) = networks::all().swap_remove(1);
    let mut engine = on_shim(&spec, Order::Forward);
    let case = Case { tasks: vec![], ..Case::new(spec, &[[1, 1]], 1) };
    let inner = inner(&engine, &Scope::All, Rate::PerLayerStep, 2);
    for (name, values) in inner_loop(&mut engine, &case, &inner) {
        assert!(values.iter().all(|value| *value == 0.0), "{name}: {values:?}");
    }
}

/// A device with too little memory says how much more is needed, and the engine goes on with smaller batches.
#[test]
fn too_little_memory_is_an_error_with_the_number() {
    let (_, spec) = networks::all().swap_remove(0);
    let device = Shim::new(Limits { memory: 200_000, ..limits(3) }, Order::Forward);
    let mut engine = Cuda::new(device, &spec).unwrap();
    let small = Case::new(spec.clone(), &[[2, 2]], 1);
    let large = Case::new(spec, &[[200, 200]; 4], 1);
    let inner = inner(&engine, &Scope::All, Rate::Constant, 5);
    let tasks = engine.take(large.tasks.clone()).unwrap();
    let params = engine.upload(large.shared()).unwrap();
    let rates = engine.upload(&[0.1]).unwrap();
    let error = engine.meta_gradient(&inner, &params, &rates, &tasks, &mut BatchGradient::default()).unwrap_err();
    assert!(matches!(error, EngineError::Device(_)), "{error}");
    assert!(error.to_string().contains("bytes more are needed"), "{error}");
    drop(tasks);
    let want = inner_loop(&mut Cpu::on(Path::SCALAR, &small.spec, 1).unwrap(), &small, &inner);
    close("after it", &inner_loop(&mut engine, &small, &inner), &want);
}

/// The second step and those after it find all of their memory.
#[test]
fn memory_comes_back() {
    let (_, spec) = networks::all().swap_remove(4);
    let case = Case::new(spec, &[[2, 3], [4, 1]], 3);
    let mut engine = on_shim(&case.spec, Order::Forward);
    let inner = inner(&engine, &Scope::All, Rate::Constant, 2);
    // What is given back before the device is waited for comes back after it: two steps have it all.
    (0..2).for_each(|_| drop(inner_loop(&mut engine, &case, &inner)));
    let (allocations, used) = (engine.device().allocations(), engine.device().used());
    (0..3).for_each(|_| drop(inner_loop(&mut engine, &case, &inner)));
    assert_eq!((engine.device().allocations(), engine.device().used()), (allocations, used));
}

/// A task that falls apart takes no other with it.
#[test]
fn a_task_that_is_not_finite_spoils_no_other_loss() {
    let (_, spec) = networks::all().swap_remove(4);
    let mut case = Case::new(spec, &[[2, 3]; 4], 3);
    let mut engine = on_shim(&case.spec, Order::Forward);
    let inner = inner(&engine, &Scope::All, Rate::Constant, 2);
    let sound = inner_loop(&mut engine, &case, &inner);
    case.tasks[2].support.x[0] = f32::NAN;
    let spoiled = inner_loop(&mut engine, &case, &inner);
    for (task, (sound, spoiled)) in sound[1].1.iter().zip(&spoiled[1].1).enumerate() {
        assert!(if task == 2 { spoiled.is_nan() } else { sound == spoiled }, "task {task}: {sound} {spoiled}");
    }
    assert!(spoiled[0].1.iter().any(|value| value.is_nan()), "a mean with a task that is not finite says so");
}

/// What another engine holds, on the same device or not, is not to be used here: its addresses are of another memory.
#[test]
fn what_is_of_another_engine_is_refused() {
    let (_, spec) = networks::all().swap_remove(1);
    let case = Case::new(spec, &[[2, 3], [4, 1]], 3);
    let [mut here, mut there] = [on_shim(&case.spec, Order::Forward), on_shim(&case.spec, Order::Forward)];
    let tasks = [here.take(case.tasks.clone()).unwrap(), there.take(case.tasks.clone()).unwrap()];
    let [params, each] = [case.shared(), &case.params].map(|values| {
        let [here, there] = [here.upload(values).unwrap(), there.upload(values).unwrap()];
        (here, there)
    });
    let inner = inner(&here, &Scope::All, Rate::Constant, 1);
    let rates = (here.upload(&[0.1]).unwrap(), there.upload(&[0.1]).unwrap());
    let elsewhere = |what: &str, result: Result<(), EngineError>| {
        let why = result.unwrap_err().to_string();
        let end = "expected of this engine, got of another; download them there and upload them here";
        assert_eq!(why, format!("{what}: {end}"));
    };
    let (side, depth) = (Side::Support, Depth::Outputs);
    let mut into = here.upload(&[]).unwrap();
    let shared = Parameters::Shared(&params.0);
    elsewhere("tasks", here.forward(shared, &tasks[1], side, depth, &mut into));
    elsewhere("parameters", here.forward(Parameters::Shared(&params.1), &tasks[0], side, depth, &mut into));
    let of_each = Parameters::Each(&each.1);
    elsewhere("parameters of all tasks", here.gradient(of_each, &tasks[0], side, &mut vec![], &mut into));
    elsewhere("tasks", here.gradient(shared, &tasks[1], side, &mut vec![], &mut into));
    let directions = here.hessian_vector(shared, &each.1, &tasks[0], side, &mut into);
    elsewhere("directions of all tasks", directions);
    elsewhere("tasks", here.hessian_vector(shared, &each.0, &tasks[1], side, &mut into));
    let cotangent = vec![1.0; 6 * case.spec.output_len()];
    let cotangents = [here.upload(&cotangent).unwrap(), there.upload(&cotangent).unwrap()];
    let behind = here.backward(shared, &tasks[0], side, depth, &cotangents[1], &mut into, None);
    elsewhere("the gradient behind the network", behind);
    elsewhere("tasks", here.backward(shared, &tasks[1], side, depth, &cotangents[0], &mut into, None));
    elsewhere("values", here.download(&params.1).map(drop));
    let mut gradient = BatchGradient::default();
    elsewhere("parameters", here.meta_gradient(&inner, &params.1, &rates.0, &tasks[0], &mut gradient));
    elsewhere("inner rates", here.meta_gradient(&inner, &params.0, &rates.1, &tasks[0], &mut gradient));
    elsewhere("tasks", here.meta_gradient(&inner, &params.0, &rates.0, &tasks[1], &mut gradient));
    elsewhere("tasks", here.meta_losses(&inner, &params.0, &rates.0, &tasks[1], &mut vec![]));
    elsewhere("parameters", here.pooled_gradient(&params.1, &tasks[0], &mut gradient));
    elsewhere("tasks", here.pooled_gradient(&params.0, &tasks[1], &mut gradient));
    // What is written to only is taken anew.
    there.meta_gradient(&inner, &params.1, &rates.1, &tasks[1], &mut gradient).unwrap();
    elsewhere("values", here.outcome(&gradient, &mut vec![]).map(drop));
    let want = there.download(&gradient.params).unwrap();
    let step = OuterStep { adam: AdamW::default(), clip: None, rate: 1e-3, rate_of_rates: 1e-3 };
    let (mut params, mut rates) = (params.0, rates.0);
    let mut moments = [params.len(), 1].map(|len| Moments {
        first: here.upload(&vec![0.0; len]).unwrap(),
        second: here.upload(&vec![0.0; len]).unwrap(),
        steps: 0,
    });
    let learned = Learned { params: &mut params, rates: &mut rates, moments: moments.each_mut() };
    elsewhere("a gradient", here.update(&step, learned, &mut gradient));
    here.meta_gradient(&inner, &params, &rates, &tasks[0], &mut gradient).unwrap();
    assert_eq!(here.download(&gradient.params).unwrap(), want);
    moments[1].second = there.upload(&[0.0]).unwrap();
    let learned = Learned { params: &mut params, rates: &mut rates, moments: moments.each_mut() };
    elsewhere("moments", here.update(&step, learned, &mut gradient));
}

/// Kernels count in 32 bits what a task has at a layer; more is refused before there is memory for it.
#[test]
fn more_than_kernels_can_count_is_refused() {
    let spec = sample::network(1, &[(4096, Activation::Relu)], &[(1, None, Loss::MeanSquared)]);
    let mut engine = on_shim(&spec, Order::Forward);
    let mut take = |rows: usize, values: usize| {
        let support = Rows { x: vec![0.0; values], y: vec![], rows };
        engine.take(vec![TaskRows { support, query: Rows::default() }]).map(drop)
    };
    let rows = i32::MAX as usize / 4096;
    take(rows, rows).unwrap();
    let why = take(rows + 1, rows + 1).unwrap_err().to_string();
    let what = "values of a layer over the rows of a task on a device";
    assert_eq!(why, format!("{what}: expected 2147483647 values, got 2147483648"));
    let why = take(usize::MAX, 3).unwrap_err().to_string();
    assert!(why.starts_with("inputs of a task: expected ") && why.ends_with(", got 3"), "{why}");
}

/// Images through both kinds of pool, each with a way around it, so that its gradient is added to another.
fn pooled_around() -> NetworkSpec {
    let window = Window { size: [3, 3], stride: [1, 1], padding: [1, 1] };
    let convolution = Layer::Convolution { outputs: 5, window, activation: Activation::Tanh };
    let around = Layer::Residual { layers: 1, activation: Activation::Identity };
    let mut spec = sample::network(1, &[], &[(3, None, Loss::MeanSquared)]);
    spec.input = Input::image(Shape { height: 5, width: 4, channels: 2 });
    let pools = [Layer::MaxPool { window }, around, Layer::AveragePool { window }, around];
    spec.backbone = [convolution].into_iter().chain(pools).chain([Layer::Flatten]).collect();
    spec.check().unwrap();
    spec
}

#[test]
fn gradients_of_pools_are_added_to_those_around_them() {
    let case = Case::new(pooled_around(), &[[2, 3], [3, 1]], 12);
    let want = single_passes(&mut Cpu::on(Path::SCALAR, &case.spec, 1).unwrap(), &case);
    for order in ORDERS {
        close(&format!("{order:?}"), &single_passes(&mut on_shim(&case.spec, order), &case), &want);
    }
}

/// Where the CPU has NaN there is NaN, and nowhere else.
#[test]
fn what_is_not_a_number_goes_through_pools() {
    let mut case = Case::new(pooled_around(), &[[2, 1]], 12);
    case.tasks[0].support.x[17] = f32::NAN;
    fn outputs<E: Engine>(engine: &mut E, case: &Case) -> Vec<bool> {
        let tasks = engine.take(case.tasks.clone()).unwrap();
        let params = engine.upload(case.shared()).unwrap();
        let mut into = engine.upload(&[]).unwrap();
        engine.forward(Parameters::Shared(&params), &tasks, Side::Support, Depth::Features, &mut into).unwrap();
        engine.download(&into).unwrap().iter().map(|value| value.is_nan()).collect()
    }
    let want = outputs(&mut Cpu::on(Path::SCALAR, &case.spec, 1).unwrap(), &case);
    assert!(want.contains(&true) && want.contains(&false));
    assert_eq!(outputs(&mut on_shim(&case.spec, Order::Forward), &case), want);
}
