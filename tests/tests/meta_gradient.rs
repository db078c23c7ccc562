//! The meta-gradient against finite differences in f64, with respect to parameters and rates, for every kind of rate and scope;
//! and that neither threads nor paths change what they must not.

use sinew_models::rule::{Rate, Scope};
use sinew_models::spec::{Activation, Loss, NetworkSpec};
use sinew_runtime::Path;
use sinew_runtime::network::Network;
use sinew_tests::reference::{self, Dual, differences, relative_error};
use sinew_tests::sample::{self, Numbers, single};
use sinew_trainer::aligned::Aligned;
use sinew_trainer::engine::{BatchGradient, Cpu, Engine, InnerLoop, Kept, Rows, TaskRows};

/// Support and query, `(x, y, rows)` each.
type Side = (Vec<f64>, Vec<f64>, usize);

fn tasks(spec: &NetworkSpec, count: usize, numbers: &mut Numbers) -> Vec<[Side; 2]> {
    let mut side = |rows: usize| {
        let x = numbers.values(rows * spec.input.presented_len(), 1.5);
        let y = sample::targets(spec, rows, numbers);
        (x, y, rows)
    };
    (0..count).map(|task| [side(3 + task % 2), side(4)]).collect()
}

fn rows((x, y, rows): &Side) -> Rows {
    Rows { x: single(x), y: single(y), rows: *rows }
}

fn engine_tasks(tasks: &[[Side; 2]]) -> Vec<TaskRows> {
    tasks.iter().map(|[support, query]| TaskRows { support: rows(support), query: rows(query) }).collect()
}

/// The rate of every parameter at `step`, 0 where it is not adapted.
fn spread(spec: &NetworkSpec, kind: Rate, scope: &Scope, rates: &[f64], step: usize) -> Vec<f64> {
    let layers = spec.layer_count();
    let mut all = vec![0.0; spec.param_len()];
    for (number, layer) in spec.layers().enumerate().filter(|(number, layer)| scope.includes(*number, layer)) {
        for j in layer.offset..layer.offset + layer.param_len() {
            all[j] = match kind {
                Rate::Constant => rates[0],
                Rate::PerLayerStep => rates[step * layers + number],
                Rate::PerParameter => rates[j],
            };
        }
    }
    all
}

fn meta_loss(
    spec: &NetworkSpec,
    tasks: &[[Side; 2]],
    steps: usize,
    params: &[f64],
    rate: impl Fn(usize) -> Vec<f64>,
) -> f64 {
    let losses = tasks.iter().map(|[(x, y, rows), (query_x, query_y, query_rows)]| {
        let mut theta = params.to_vec();
        for step in 0..steps {
            let gradient = reference::gradient(spec, &theta, x, y, *rows).1;
            theta.iter_mut().zip(gradient).zip(rate(step)).for_each(|((p, g), rate)| *p -= rate * g);
        }
        let theta: Vec<Dual> = theta.into_iter().map(Dual::constant).collect();
        reference::loss(spec, &theta, query_x, query_y, *query_rows).value
    });
    losses.sum::<f64>() / tasks.len() as f64
}

fn check(spec: &NetworkSpec, steps: usize, kind: Rate, scope: &Scope, seed: u64) {
    let mut numbers = Numbers(seed);
    let params = numbers.values(spec.param_len(), 0.6);
    let tasks = tasks(spec, 3, &mut numbers);
    let rate_len = match kind {
        Rate::Constant => 1,
        Rate::PerLayerStep => steps * spec.layer_count(),
        Rate::PerParameter => params.len(),
    };
    let rates: Vec<f64> = numbers.values(rate_len, 0.05).iter().map(|r| f64::from((0.1 + r) as f32)).collect();
    let with = |params: &[f64], rates: &[f64]| {
        meta_loss(spec, &tasks, steps, params, |step| spread(spec, kind, scope, rates, step))
    };
    let want = differences(&params, 1e-5, |params| with(params, &rates));
    let want_rates = differences(&rates, 1e-5, |rates| with(&params, rates));
    for path in Path::available() {
        let network = Network::new(spec, path).unwrap();
        for learn_rates in [true, false] {
            let adapted = network.adapted(scope);
            let kept = Kept::Activations;
            let inner = InnerLoop { steps, rate: kind, adapted, learn_rates, first_order: false, kept };
            let mut engine = Cpu::on(path, spec, 1).unwrap();
            let mut got = BatchGradient::default();
            let (params, rates) = (Aligned::copy_of(&single(&params)), Aligned::copy_of(&single(&rates)));
            engine.meta_gradient(&inner, &params, &rates, &engine_tasks(&tasks), &mut got).unwrap();
            let error = relative_error(&got.params, &want);
            assert!(error <= 1e-4, "{kind:?} {scope:?} {steps} steps on {}: {error}", path.name());
            assert_eq!(got.rates.is_some(), learn_rates);
            if let Some(rates) = &got.rates {
                let error = relative_error(rates, &want_rates);
                assert!(error <= 1e-4, "rates: {kind:?} {scope:?} {steps} steps on {}: {error}", path.name());
            }
            let mut losses = Vec::new();
            engine.meta_losses(&inner, &params, &rates, &engine_tasks(&tasks), &mut losses).unwrap();
            assert_eq!(losses, got.losses);
        }
    }
}

fn two_headed() -> NetworkSpec {
    let heads = [(2, Some((3, Activation::Silu)), Loss::MeanSquared), (2, None, Loss::CrossEntropy)];
    sample::network(2, &[(5, Activation::Tanh), (4, Activation::Sigmoid)], &heads)
}

#[test]
fn every_rate_and_scope() {
    let layers = Scope::Layers([1, 2].into_iter().collect());
    for (number, kind) in [Rate::Constant, Rate::PerLayerStep, Rate::PerParameter].into_iter().enumerate() {
        for scope in [Scope::All, Scope::Heads, layers.clone()] {
            check(&two_headed(), 2, kind, &scope, 10 + number as u64);
        }
    }
}

#[test]
fn no_step_one_step_and_many() {
    let spec = sample::network(1, &[(6, Activation::Tanh), (6, Activation::Silu)], &[(1, None, Loss::MeanSquared)]);
    for steps in [0, 1, 4] {
        check(&spec, steps, Rate::Constant, &Scope::All, 5);
    }
}

#[test]
fn rectifiers_and_classes() {
    let hidden = [(7, Activation::Relu), (5, Activation::Relu)];
    check(&sample::network(3, &hidden, &[(1, None, Loss::BinaryCrossEntropy)]), 2, Rate::Constant, &Scope::All, 8);
    check(&sample::network(3, &hidden, &[(3, None, Loss::CrossEntropy)]), 2, Rate::PerParameter, &Scope::All, 9);
}

#[test]
fn first_order_leaves_the_hessian_out() {
    let spec = two_headed();
    let mut numbers = Numbers(3);
    let params = Aligned::copy_of(&single(&numbers.values(spec.param_len(), 0.6)));
    let tasks = engine_tasks(&tasks(&spec, 2, &mut numbers));
    let mut engine = Cpu::new(&spec, 1).unwrap();
    let (adapted, kept) = (engine.adapted(&Scope::All), Kept::Activations);
    let first_order =
        InnerLoop { steps: 2, rate: Rate::Constant, adapted, learn_rates: false, first_order: true, kept };
    let second_order = InnerLoop { first_order: false, ..first_order.clone() };
    let (mut first, mut exact) = (BatchGradient::default(), BatchGradient::default());
    let mut run = |rate: f32, inner: &InnerLoop, into: &mut BatchGradient<Aligned>| {
        engine.meta_gradient(inner, &params, &Aligned::copy_of(&[rate]), &tasks, into).unwrap();
    };
    run(0.1, &first_order, &mut first);
    run(0.1, &second_order, &mut exact);
    assert_eq!(first.losses, exact.losses);
    assert_ne!(first.params, exact.params);
    // With a rate of 0 both are the gradient of the query loss.
    run(0.0, &first_order, &mut first);
    run(0.0, &second_order, &mut exact);
    assert_eq!(first.params, exact.params);
}

#[test]
fn threads_change_no_bit() {
    let spec = two_headed();
    let mut numbers = Numbers(4);
    let params = Aligned::copy_of(&single(&numbers.values(spec.param_len(), 0.6)));
    let tasks = engine_tasks(&tasks(&spec, 13, &mut numbers));
    let adapted = Network::new(&spec, Path::detect()).unwrap().adapted(&Scope::All);
    let (rate, kept) = (Rate::PerLayerStep, Kept::Activations);
    let inner = InnerLoop { steps: 3, rate, adapted, learn_rates: true, first_order: false, kept };
    let rates = Aligned::copy_of(&vec![0.07; 3 * spec.layer_count()]);
    let run = |threads: usize| {
        let mut engine = Cpu::new(&spec, threads).unwrap();
        let mut gradient = BatchGradient::default();
        engine.meta_gradient(&inner, &params, &rates, &tasks, &mut gradient).unwrap();
        // A second, larger and a smaller batch must not see what the first one left.
        engine.meta_gradient(&inner, &params, &rates, &tasks[..5].to_vec(), &mut BatchGradient::default()).unwrap();
        let mut again = BatchGradient::default();
        engine.meta_gradient(&inner, &params, &rates, &tasks, &mut again).unwrap();
        assert_eq!(gradient, again);
        let mut pooled = BatchGradient::default();
        engine.pooled_gradient(&params, &tasks, &mut pooled).unwrap();
        (gradient, pooled)
    };
    let one = run(1);
    for threads in [2, 3, 7] {
        assert_eq!(run(threads), one);
    }
}
