//! The engine on CUDA against the engine on CPU, its kernels run by fibers (`tests/cuda`): every pass over every kind of layer, at shared
//! parameters and at each task's own, with the threads of a block in every order.

use proptest::prelude::*;
use sinew_models::rule::{Rate, Scope};
use sinew_models::spec::{Activation, Input, Layer, Loss, NetworkSpec, Shape, Window};
use sinew_runtime::Path;
use sinew_tests::comparison::{self, Case, Results, TOLERANCE, Trial, Work, inner};
use sinew_tests::shim::{Order, Shim};
use sinew_tests::{networks, sample};
use sinew_trainer::cuda::Limits;
use sinew_trainer::engine::cuda::Cuda;
use sinew_trainer::engine::{
    BatchGradient, Cpu, Depth, Engine, EngineError, InnerLoop, Kept, Learned, OuterStep, Parameters, Rows, Side,
    TaskRows,
};
use sinew_trainer::optimiser::{AdamW, Moments};

const ORDERS: [Order; 3] = [Order::Forward, Order::Reverse, Order::Shuffled(7)];

fn limits(multiprocessors: u32) -> Limits {
    Limits { multiprocessors, ..Limits::h100() }
}

fn on_shim(spec: &NetworkSpec, order: Order) -> Cuda<Shim> {
    Cuda::new(Shim::new(limits(3), order), spec).unwrap()
}

/// One inner loop of networks that are small.
fn trial(case: &Case, inner: &InnerLoop) -> Trial {
    let (case, work) = (case.clone(), Work::Inner { inner: inner.clone(), rate: 0.1 });
    Trial { name: format!("{inner:?}"), case, work, tolerance: TOLERANCE }
}

fn inner_loop(engine: &mut impl Engine, case: &Case, inner: &InnerLoop) -> Results {
    trial(case, inner).run(engine).unwrap()
}

fn close(trial: &Trial, how: &str, got: &Results) {
    let worst = trial.worst(got, &trial.wanted().unwrap());
    assert!(worst.error <= trial.tolerance, "{}, {how}: {}: {:e}\n{trial:?}", trial.name, worst.name, worst.error);
}

fn agrees(trial: &Trial, order: Order) {
    let got = trial.run(&mut on_shim(&trial.case.spec, order)).unwrap();
    close(trial, &format!("{order:?}"), &got);
}

#[test]
fn single_passes_of_every_network() {
    for trial in comparison::passes() {
        ORDERS.into_iter().for_each(|order| agrees(&trial, order));
    }
}

#[test]
fn inner_loops_of_every_network() {
    for (number, trial) in comparison::inner_loops().into_iter().enumerate() {
        let order = ORDERS[(number / 12 + number / 4) % 3];
        // In one launch, where the network is dense, and layer by layer.
        for (way, new) in [("as it is", Cuda::new as fn(_, _) -> _), ("layered", Cuda::layered)] {
            let mut engine: Cuda<Shim> = new(Shim::new(limits(3), order), &trial.case.spec).unwrap();
            close(&trial, &format!("{way}, {order:?}"), &trial.run(&mut engine).unwrap());
        }
    }
}

/// Steps of the optimiser: clipped and not, with rates and without, and not at all where the gradient is not finite.
#[test]
fn updates_are_those_of_the_cpu() {
    for trial in comparison::updates() {
        ORDERS.into_iter().for_each(|order| agrees(&trial, order));
    }
}

/// The networks that `cuda-check` draws on a GPU.
#[test]
fn drawn_networks_agree() {
    for trial in comparison::convolutions(8).into_iter().chain(comparison::dense_networks(24)) {
        agrees(&trial, Order::Forward);
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
            let inner = InnerLoop { kept, ..inner(&case.spec, &Scope::All, Rate::PerLayerStep, steps) };
            inner_loop(&mut engine, &case, &inner)
        });
        assert_eq!(results[0], results[1]);
        assert_eq!(results[0], results[2]);
        let inner = inner(&case.spec, &Scope::All, Rate::PerLayerStep, steps);
        close(&trial(&case, &inner), "kept", &results[0]);
    }
}

/// A meta-step of a dense network is three launches, and one wait for the device.
#[test]
fn a_meta_step_is_three_launches() {
    let hidden = [(64, Activation::Relu), (64, Activation::Relu)];
    let spec = sample::network(16, &hidden, &[(4, None, Loss::MeanSquared)]);
    let case = Case::new(spec, &[[16, 16]; 5], 2);
    let mut engine = on_shim(&case.spec, Order::Forward);
    let inner = InnerLoop { learn_rates: false, ..inner(engine.network(), &Scope::All, Rate::Constant, 5) };
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
        let case = Case::new(spec, &sizes, seed);
        // A layer norm of values that hardly differ makes a difference of any two roundings: two paths of the CPU are 1e-5 apart.
        let order = ORDERS[seed as usize % 3];
        let inner = InnerLoop { learn_rates: false, ..inner(&case.spec, &Scope::All, Rate::Constant, 1) };
        let one_step = Trial { tolerance: 1e-4, ..trial(&case, &inner) };
        agrees(&Trial { work: Work::Passes, ..one_step.clone() }, order);
        agrees(&one_step, order);
    }
}

#[test]
fn wrong_lengths_are_refused() {
    let (_, spec) = networks::all().swap_remove(1);
    let mut engine = on_shim(&spec, Order::Forward);
    let inner = inner(engine.network(), &Scope::All, Rate::PerLayerStep, 2);
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
    let inner = inner(engine.network(), &Scope::All, Rate::PerLayerStep, 2);
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
    let inner = inner(engine.network(), &Scope::All, Rate::Constant, 5);
    let tasks = engine.take(large.tasks.clone()).unwrap();
    let params = engine.upload(large.shared()).unwrap();
    let rates = engine.upload(&[0.1]).unwrap();
    let error = engine.meta_gradient(&inner, &params, &rates, &tasks, &mut BatchGradient::default()).unwrap_err();
    assert!(matches!(error, EngineError::Device(_)), "{error}");
    assert!(error.to_string().contains("bytes more are needed"), "{error}");
    drop(tasks);
    close(&trial(&small, &inner), "after it", &inner_loop(&mut engine, &small, &inner));
}

/// The second step and those after it find all of their memory.
#[test]
fn memory_comes_back() {
    let (_, spec) = networks::all().swap_remove(4);
    let case = Case::new(spec, &[[2, 3], [4, 1]], 3);
    let mut engine = on_shim(&case.spec, Order::Forward);
    let inner = inner(engine.network(), &Scope::All, Rate::Constant, 2);
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
    let inner = inner(engine.network(), &Scope::All, Rate::Constant, 2);
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
    let inner = inner(&case.spec, &Scope::All, Rate::Constant, 1);
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
    let inner = inner(&case.spec, &Scope::All, Rate::Constant, 1);
    let passes = Trial { name: "pools with a way around".into(), work: Work::Passes, ..trial(&case, &inner) };
    ORDERS.into_iter().for_each(|order| agrees(&passes, order));
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
