//! The meta-gradient against the exact recursion in f64, with respect to parameters and rates, for every kind of rate and scope, of
//! networks that run several tasks at once and of those that do not; and that neither threads nor paths nor what is kept change what
//! they must not.

use sinew_models::rule::{Rate, Rule, Scope};
use sinew_models::spec::{Activation, Head, Input, Layer, Loss, Name, NetworkSpec, Shape, Window};
use sinew_runtime::Path;
use sinew_runtime::network::Network;
use sinew_tests::networks;
use sinew_tests::reference::{self, derivatives, differences, relative_error};
use sinew_tests::sample::{self, ACTIVATIONS, LOSSES, Numbers, single};
use sinew_trainer::aligned::Aligned;
use sinew_trainer::engine::{self, BatchGradient, Cpu, Depth, Engine, InnerLoop, Kept, Parameters, Rows, TaskRows};
use sinew_trainer::learn::maml::{self, Maml};
use sinew_trainer::learn::reptile::{self, Reptile};
use sinew_trainer::learn::{Learner, State, Use};

/// Support and query, `(x, y, rows)` each.
type Side = (Vec<f64>, Vec<f64>, usize);

/// Tasks of two sizes, one after the other.
fn tasks(spec: &NetworkSpec, count: usize, numbers: &mut Numbers) -> Vec<[Side; 2]> {
    let mut side = |rows: usize| {
        let x = numbers.values(rows * spec.input.presented_len(), 1.5);
        let y = sample::some_targets(spec, rows, numbers);
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

fn aligned(values: &[f64]) -> Aligned {
    Aligned::copy_of(&single(values))
}

/// How an inner loop adapts, in f64.
struct Inner<'a> {
    spec: &'a NetworkSpec,
    kind: Rate,
    scope: &'a Scope,
    steps: usize,
    first_order: bool,
}

impl Inner<'_> {
    /// Which of the rates each parameter has at `step`; `None` where it is not adapted.
    fn places(&self, step: usize) -> Vec<Option<usize>> {
        let layers = self.spec.layer_count();
        let mut all = vec![None; self.spec.param_len()];
        for (number, layer) in self.spec.layers().enumerate() {
            if self.scope.includes(number, &layer) {
                for (j, place) in all.iter_mut().enumerate().skip(layer.offset).take(layer.param_len()) {
                    *place = Some(match self.kind {
                        Rate::Constant => 0,
                        Rate::PerLayerStep => step * layers + number,
                        Rate::PerParameter => j,
                    });
                }
            }
        }
        all
    }

    fn rate_len(&self) -> usize {
        match self.kind {
            Rate::Constant => 1,
            Rate::PerLayerStep => self.steps * self.spec.layer_count(),
            Rate::PerParameter => self.spec.param_len(),
        }
    }

    /// θ_0 … θ_S.
    fn trajectory(&self, params: &[f64], rates: &[f64], (x, y, rows): &Side) -> Vec<Vec<f64>> {
        let mut all = vec![params.to_vec()];
        for step in 0..self.steps {
            let theta = &all[step];
            let gradient = reference::gradient(self.spec, theta, x, y, *rows).1;
            let places = self.places(step);
            let stepped = |j: usize| theta[j] - places[j].map_or(0.0, |place| rates[place]) * gradient[j];
            all.push((0..theta.len()).map(stepped).collect());
        }
        all
    }

    fn loss(&self, params: &[f64], rates: &[f64], tasks: &[[Side; 2]]) -> f64 {
        let losses = tasks.iter().map(|[support, (x, y, rows)]| {
            let theta = self.trajectory(params, rates, support).pop().unwrap();
            reference::gradient(self.spec, &theta, x, y, *rows).0
        });
        losses.sum::<f64>() / tasks.len() as f64
    }

    /// Losses, and the mean gradient with respect to parameters and rates: λ_k = λ_{k+1} − H_k (α ∘ λ_{k+1}).
    fn gradient(&self, params: &[f64], rates: &[f64], tasks: &[[Side; 2]]) -> (Vec<f64>, Vec<f64>, Vec<f64>) {
        let (mut losses, mut by_params, mut by_rates) =
            (Vec::new(), vec![0.0; params.len()], vec![0.0; self.rate_len()]);
        for [support, (query_x, query_y, query_rows)] in tasks {
            let trajectory = self.trajectory(params, rates, support);
            let (loss, mut adjoint) =
                reference::gradient(self.spec, &trajectory[self.steps], query_x, query_y, *query_rows);
            losses.push(loss);
            let (x, y, rows) = support;
            for step in (0..self.steps).rev() {
                let places = self.places(step);
                let scaled = |j: usize| places[j].map_or(0.0, |place| rates[place]) * adjoint[j];
                let v: Vec<f64> = (0..params.len()).map(scaled).collect();
                let at = derivatives(self.spec, &trajectory[step], &v, x, y, *rows);
                for (j, place) in places.iter().enumerate() {
                    if let Some(place) = place {
                        by_rates[*place] -= adjoint[j] * at.gradient[j];
                    }
                }
                if !self.first_order {
                    adjoint.iter_mut().zip(&at.product).for_each(|(adjoint, product)| *adjoint -= product);
                }
            }
            by_params.iter_mut().zip(&adjoint).for_each(|(sum, adjoint)| *sum += adjoint);
        }
        let share = 1.0 / tasks.len() as f64;
        by_params.iter_mut().chain(&mut by_rates).for_each(|value| *value *= share);
        (losses, by_params, by_rates)
    }
}

/// Enough tasks of one size to fill the lanes of every path, some that are left over, and some of another size.
const TASKS: usize = 21;

fn check(spec: &NetworkSpec, steps: usize, kind: Rate, scope: &Scope, count: usize, seed: u64) {
    let mut numbers = Numbers(seed);
    let params = numbers.values(spec.param_len(), 0.6);
    let tasks = tasks(spec, count, &mut numbers);
    for first_order in [false, true] {
        let exact = Inner { spec, kind, scope, steps, first_order };
        let rates: Vec<f64> =
            numbers.values(exact.rate_len(), 0.05).iter().map(|r| f64::from((0.1 + r) as f32)).collect();
        let (want_losses, want, want_rates) = exact.gradient(&params, &rates, &tasks);
        for path in Path::available() {
            let adapted = Network::new(spec, path).unwrap().adapted(scope);
            for learn_rates in [true, false] {
                let mut seen: Option<BatchGradient<Aligned>> = None;
                for kept in [Kept::Activations, Kept::Parameters, Kept::Checkpoints] {
                    let what = format!("{kind:?} {scope:?} {steps} steps, {kept:?}, on {}", path.name());
                    let inner = InnerLoop { steps, rate: kind, adapted, learn_rates, first_order, kept };
                    let mut engine = Cpu::on(path, spec, 1).unwrap();
                    let mut got = BatchGradient::default();
                    let (params, rates) = (aligned(&params), aligned(&rates));
                    engine.meta_gradient(&inner, &params, &rates, &engine_tasks(&tasks), &mut got).unwrap();
                    let error = relative_error(&got.params, &want);
                    assert!(error <= 2e-5, "{what}: {error}");
                    let error = relative_error(&got.losses, &want_losses);
                    assert!(error <= 1e-5, "losses, {what}: {error}");
                    assert_eq!(got.rates.is_some(), learn_rates);
                    if let Some(rates) = &got.rates {
                        let error = relative_error(rates, &want_rates);
                        // A shared rate's gradient is one sum in which much cancels.
                        assert!(error <= 1e-4, "rates, {what}: {error}");
                    }
                    let mut losses = Vec::new();
                    engine.meta_losses(&inner, &params, &rates, &engine_tasks(&tasks), &mut losses).unwrap();
                    let error = relative_error(&losses, &want_losses);
                    assert!(error <= 1e-5, "losses alone, {what}: {error}");
                    assert_eq!(*seen.get_or_insert(got.clone()), got, "{what}: what is kept changes no bit");
                }
            }
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
            check(&two_headed(), 2, kind, &scope, TASKS, 10 + number as u64);
        }
    }
}

/// Heads that begin with every kind of layer, on features that stand still.
#[test]
fn heads_of_every_network() {
    for (number, (_, spec)) in networks::all().into_iter().enumerate() {
        for rate in [Rate::Constant, Rate::PerLayerStep] {
            check(&spec, 2, rate, &Scope::Heads, 3, 30 + number as u64);
        }
    }
}

#[test]
fn no_step_one_step_and_many() {
    let spec = sample::network(1, &[(6, Activation::Tanh), (6, Activation::Silu)], &[(1, None, Loss::MeanSquared)]);
    for steps in [0, 1, 4, 7] {
        check(&spec, steps, Rate::Constant, &Scope::All, TASKS, 5);
    }
    check(&spec, 2, Rate::Constant, &Scope::All, 1, 6);
}

#[test]
fn every_activation_with_every_loss() {
    for (number, activation) in ACTIVATIONS.into_iter().enumerate() {
        for loss in LOSSES {
            let spec = sample::network(3, &[(7, activation), (5, activation)], &[(3, None, loss)]);
            check(&spec, 1, Rate::Constant, &Scope::All, TASKS, 40 + number as u64);
        }
    }
}

#[test]
fn sizes_at_the_edges_of_tiles() {
    for (inputs, hidden, outputs) in [(1, 40, 1), (13, 17, 6), (9, 1, 2)] {
        let hidden = [(hidden, Activation::Relu), (hidden, Activation::Tanh)];
        let spec = sample::network(inputs, &hidden, &[(outputs, None, Loss::MeanSquared)]);
        check(&spec, 2, Rate::Constant, &Scope::All, TASKS, 71);
    }
    // No hidden layer, and heads that see the inputs themselves.
    let heads = [(2, Some((4, Activation::Relu)), Loss::MeanSquared), (3, None, Loss::BinaryCrossEntropy)];
    check(&sample::network(3, &[], &heads), 2, Rate::PerLayerStep, &Scope::All, TASKS, 72);
}

/// Every kind of layer that is not dense.
#[test]
fn images_and_contexts() {
    let head = |outputs, loss| Head {
        name: Name::try_from("class").unwrap(),
        layers: [Layer::Dense { outputs, activation: Activation::Identity }].into_iter().collect(),
        loss,
        weight: 1.0,
    };
    let convolution = |outputs, activation| Layer::Convolution { outputs, window: Window::square(3, 1, 1), activation };
    let images = NetworkSpec {
        input: Input::image(Shape { height: 5, width: 6, channels: 2 }),
        backbone: [
            convolution(3, Activation::Relu),
            Layer::MaxPool { window: Window::square(2, 2, 0) },
            convolution(3, Activation::Silu),
            Layer::Residual { layers: 1, activation: Activation::Identity },
            Layer::LayerNorm { activation: Activation::Tanh },
            Layer::Depthwise { window: Window::square(3, 1, 1), activation: Activation::Identity },
            Layer::AveragePool { window: Window::square(2, 1, 0) },
            Layer::Flatten,
        ]
        .into_iter()
        .collect(),
        heads: [head(3, Loss::CrossEntropy)].into_iter().collect(),
    };
    assert_eq!(images.check(), Ok(()));
    check(&images, 2, Rate::PerLayerStep, &Scope::All, 3, 80);
    check(&images, 1, Rate::Constant, &Scope::All, 2, 81);

    let mut context = sample::network(2, &[(4, Activation::Tanh)], &[(1, None, Loss::MeanSquared)]);
    context.backbone.insert(0, Layer::Context { len: 3 }).unwrap();
    assert_eq!(context.check(), Ok(()));
    check(&context, 2, Rate::Constant, &Scope::Contexts, 3, 82);

    // What is not adapted passes the support once: a front that ends in a pool, a dense layer, a norm, and within a residual.
    for (steps, rate) in [(1, Rate::Constant), (3, Rate::PerLayerStep), (2, Rate::PerParameter)] {
        check(&images, steps, rate, &Scope::Heads, 3, 83);
        let dense = Layer::Dense { outputs: 4, activation: Activation::Silu };
        let mut deep = images.clone();
        deep.backbone.extend([
            dense,
            Layer::LayerNorm { activation: Activation::Relu },
            dense,
            Layer::Residual { layers: 1, activation: Activation::Tanh },
        ]);
        assert_eq!(deep.check(), Ok(()));
        check(&deep, steps, rate, &Scope::Heads, 2, 84);
        for first in 4..=8 {
            check(&deep, steps, rate, &Scope::Layers((first..=8).collect()), 2, 85);
        }
    }
    context.backbone.insert(0, Layer::Dense { outputs: 5, activation: Activation::Relu }).unwrap();
    assert_eq!(context.check(), Ok(()));
    check(&context, 3, Rate::Constant, &Scope::Contexts, 3, 86);
}

/// The recursion that all else here is held against is the derivative of the loss after the inner loop.
#[test]
fn the_recursion_agrees_with_finite_differences() {
    let spec = two_headed();
    for (kind, seed) in [(Rate::PerLayerStep, 1), (Rate::PerParameter, 2)] {
        let mut numbers = Numbers(seed);
        let params = numbers.values(spec.param_len(), 0.6);
        let tasks = tasks(&spec, 3, &mut numbers);
        let inner = Inner { spec: &spec, kind, scope: &Scope::All, steps: 3, first_order: false };
        let rates: Vec<f64> = numbers.values(inner.rate_len(), 0.05).iter().map(|r| 0.1 + r).collect();
        let (_, by_params, by_rates) = inner.gradient(&params, &rates, &tasks);
        let numeric = differences(&params, 1e-5, |params| inner.loss(params, &rates, &tasks));
        let numeric_rates = differences(&rates, 1e-5, |rates| inner.loss(&params, rates, &tasks));
        for (exact, numeric) in by_params.iter().zip(&numeric).chain(by_rates.iter().zip(&numeric_rates)) {
            assert!((exact - numeric).abs() <= 1e-8, "{exact} {numeric}");
        }
    }
}

#[test]
fn first_order_leaves_the_hessian_out() {
    let spec = two_headed();
    let mut numbers = Numbers(3);
    let params = aligned(&numbers.values(spec.param_len(), 0.6));
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

/// MAML++: the gradient of Σ w_k L_Q(θ_k) with the weights of its annealing, and first order before second.
#[test]
fn multi_step_losses_and_the_order_are_annealed() {
    let spec = two_headed();
    let (steps, kind) = (3, Rate::PerLayerStep);
    let mut numbers = Numbers(4);
    let params = numbers.values(spec.param_len(), 0.6);
    let tasks = tasks(&spec, 2, &mut numbers);
    let of = |steps, first_order| Inner { spec: &spec, kind, scope: &Scope::All, steps, first_order };
    let rates: Vec<f64> = (0..of(steps, false).rate_len()).map(|i| f64::from(0.05 + 0.01 * i as f32)).collect();
    let text = "steps = 3\ninner_rate = 0.1\nrate = \"per_layer_step\"\nlearn_rate = true\n\
                first_order_iterations = 20\nmulti_step_iterations = 100";
    let settings: maml::Settings = toml::from_str(text).unwrap();
    let rule = Rule::Gradient { steps, rate: kind, scope: Scope::All, momentum: false, rows: 0 };
    let mut engine = Cpu::new(&spec, 1).unwrap();
    let mut learner = Maml::new(&engine, rule, &settings, Kept::default()).unwrap();
    let state = State { params: aligned(&params), rates: aligned(&rates) };
    let batch = learner.prepare(&mut engine, engine_tasks(&tasks), Use::Training).unwrap();
    for (iteration, first_order, weights) in [
        (0, true, [1.0 / 3.0, 1.0 / 3.0, 1.0 / 3.0]),
        (50, false, [1.0 / 6.0, 1.0 / 6.0, 2.0 / 3.0]),
        (100, false, [0.0, 0.0, 1.0]),
    ] {
        let (mut want, mut want_rates) = (vec![0.0; params.len()], vec![0.0; rates.len()]);
        for (number, weight) in weights.iter().enumerate() {
            let inner = of(number + 1, first_order);
            let (_, by_params, by_rates) = inner.gradient(&params, &rates[..inner.rate_len()], &tasks);
            want.iter_mut().zip(by_params).for_each(|(sum, value)| *sum += weight * value);
            want_rates.iter_mut().zip(by_rates).for_each(|(sum, value)| *sum += weight * value);
        }
        let mut got = BatchGradient::default();
        learner.gradient(&mut engine, &state, &batch, iteration, &mut got).unwrap();
        let errors = [relative_error(&got.params, &want), relative_error(got.rates.as_ref().unwrap(), &want_rates)];
        assert!(errors[0] <= 2e-5 && errors[1] <= 1e-4, "{iteration}: {errors:?}");
    }
}

/// Rates for 8 rows, on tasks with fewer: the same as smaller rates for any number of rows, and so is the gradient by them.
#[test]
fn steps_that_grow_with_the_rows_are_steps_of_other_rates() {
    let spec = two_headed();
    let mut numbers = Numbers(6);
    let params = numbers.values(spec.param_len(), 0.6);
    // Every other one has as many rows.
    let tasks: Vec<[Side; 2]> = tasks(&spec, 4, &mut numbers).into_iter().step_by(2).collect();
    let rows = tasks[0][0].2;
    let scale = rows as f64 / 8.0;
    let inner = Inner { spec: &spec, kind: Rate::PerParameter, scope: &Scope::All, steps: 2, first_order: false };
    let rates: Vec<f64> = (0..inner.rate_len()).map(|i| f64::from(0.05 + 0.001 * i as f32)).collect();
    let scaled: Vec<f64> = rates.iter().map(|rate| scale * rate).collect();
    let (losses, want, by_rates) = inner.gradient(&params, &scaled, &tasks);
    let want_rates: Vec<f64> = by_rates.iter().map(|value| scale * value).collect();

    let text = "steps = 2\ninner_rate = 0.1\nrate = \"per_parameter\"\nlearn_rate = true\nrows = 8";
    let settings: maml::Settings = toml::from_str(text).unwrap();
    let rule = Rule::Gradient { steps: 2, rate: Rate::PerParameter, scope: Scope::All, momentum: false, rows: 8 };
    let mut engine = Cpu::new(&spec, 1).unwrap();
    let mut learner = Maml::new(&engine, rule, &settings, Kept::default()).unwrap();
    let state = State { params: aligned(&params), rates: aligned(&rates) };
    let batch = learner.prepare(&mut engine, engine_tasks(&tasks), Use::Training).unwrap();
    let mut got = BatchGradient::default();
    learner.gradient(&mut engine, &state, &batch, 0, &mut got).unwrap();
    let errors = [relative_error(&got.params, &want), relative_error(got.rates.as_ref().unwrap(), &want_rates)];
    assert!(errors[0] <= 2e-5 && errors[1] <= 1e-4, "{errors:?}");
    let mut told = Vec::new();
    learner.losses(&mut engine, &state, &batch, &mut told).unwrap();
    let error = relative_error(&told, &losses);
    assert!(error <= 1e-5, "{error}");

    let mut uneven = engine_tasks(&tasks);
    uneven[1].support = uneven[1].query.clone();
    assert_ne!(uneven[1].support.rows, rows);
    let why = learner.prepare(&mut engine, uneven, Use::Training).unwrap_err().to_string();
    assert!(why.contains("the support rows of a task"), "{why}");
}

/// One of Reptile's iterations by hand: (θ − W)/α after steps on parts of the rows, none of which a task sees twice here.
#[test]
fn reptile_hands_on_how_far_its_steps_led() {
    let spec = two_headed();
    let mut numbers = Numbers(5);
    let params = numbers.values(spec.param_len(), 0.6);
    let tasks = tasks(&spec, 3, &mut numbers);
    let settings: reptile::Settings = toml::from_str("training_steps = 4\ninner_rate = 0.1").unwrap();
    let rule = Rule::Gradient { steps: 4, rate: Rate::Constant, scope: Scope::All, momentum: false, rows: 0 };
    let mut engine = Cpu::new(&spec, 1).unwrap();
    let mut learner = Reptile::new(rule, settings);
    let state = State { params: aligned(&params), rates: aligned(&[0.1]) };
    let batch = learner.prepare(&mut engine, engine_tasks(&tasks), Use::Training).unwrap();
    let mut got = BatchGradient::default();
    learner.gradient(&mut engine, &state, &batch, 0, &mut got).unwrap();
    let inner = Inner { spec: &spec, kind: Rate::Constant, scope: &Scope::All, steps: 4, first_order: false };
    let rate = f64::from(0.1_f32);
    let mut want = vec![0.0; params.len()];
    for [support, query] in &tasks {
        let all = ([&support.0[..], &query.0].concat(), [&support.1[..], &query.1].concat(), support.2 + query.2);
        let end = inner.trajectory(&params, &[rate], &all).pop().unwrap();
        let moved = params.iter().zip(end).map(|(start, end)| (start - end) / rate / 3.0);
        want.iter_mut().zip(moved).for_each(|(sum, value)| *sum += value);
    }
    let error = relative_error(&got.params, &want);
    assert!(error <= 2e-5, "{error}");
    assert_eq!((got.tasks, got.rates.is_some()), (3, false));
}

#[test]
fn threads_change_no_bit() {
    let spec = two_headed();
    let mut numbers = Numbers(4);
    let params = aligned(&numbers.values(spec.param_len(), 0.6));
    let tasks = engine_tasks(&tasks(&spec, 43, &mut numbers));
    let adapted = Network::new(&spec, Path::detect()).unwrap().adapted(&Scope::All);
    let (rate, kept) = (Rate::PerLayerStep, Kept::Activations);
    let inner = InnerLoop { steps: 3, rate, adapted, learn_rates: true, first_order: false, kept };
    let rates = Aligned::copy_of(&vec![0.07; 3 * spec.layer_count()]);
    let run = |threads: usize| {
        let mut engine = Cpu::new(&spec, threads).unwrap();
        let mut gradient = BatchGradient::default();
        engine.meta_gradient(&inner, &params, &rates, &tasks, &mut gradient).unwrap();
        // A second and smaller batch, and another kind of pass, must not see what the first one left.
        engine.meta_gradient(&inner, &params, &rates, &tasks[..5].to_vec(), &mut BatchGradient::default()).unwrap();
        let mut pooled = BatchGradient::default();
        engine.pooled_gradient(&params, &tasks, &mut pooled).unwrap();
        let mut again = BatchGradient::default();
        engine.meta_gradient(&inner, &params, &rates, &tasks, &mut again).unwrap();
        assert_eq!(gradient, again);
        (gradient, pooled)
    };
    let one = run(1);
    for threads in [2, 3, 7] {
        assert_eq!(run(threads), one);
    }
}

/// A task that falls apart takes no other with it.
#[test]
fn a_task_that_is_not_finite_spoils_no_other_loss() {
    let spec = two_headed();
    let mut numbers = Numbers(5);
    let params = aligned(&numbers.values(spec.param_len(), 0.6));
    let mut tasks = engine_tasks(&tasks(&spec, 17, &mut numbers));
    let adapted = Network::new(&spec, Path::detect()).unwrap().adapted(&Scope::All);
    let (rate, kept) = (Rate::Constant, Kept::Activations);
    let inner = InnerLoop { steps: 2, rate, adapted, learn_rates: false, first_order: false, kept };
    let rates = Aligned::copy_of(&[0.1]);
    let (mut sound, mut spoiled) = (BatchGradient::default(), BatchGradient::default());
    let mut engine = Cpu::new(&spec, 1).unwrap();
    engine.meta_gradient(&inner, &params, &rates, &tasks, &mut sound).unwrap();
    tasks[4].support.x[0] = f32::NAN;
    engine.meta_gradient(&inner, &params, &rates, &tasks, &mut spoiled).unwrap();
    for (task, (sound, spoiled)) in sound.losses.iter().zip(spoiled.losses.iter()).enumerate() {
        assert!(if task == 4 { spoiled.is_nan() } else { sound == spoiled }, "task {task}: {sound} {spoiled}");
    }
    assert!(spoiled.params.iter().any(|value| value.is_nan()), "a mean with a task that is not finite says so");
}

/// Tasks without support rows are judged as they start; those without query rows have no loss. Neither disturbs the others.
#[test]
fn tasks_without_rows() {
    let spec = two_headed();
    let mut numbers = Numbers(6);
    let params = aligned(&numbers.values(spec.param_len(), 0.6));
    let mut tasks = engine_tasks(&tasks(&spec, 9, &mut numbers));
    let mut engine = Cpu::new(&spec, 1).unwrap();
    let (adapted, kept, rate) = (engine.adapted(&Scope::All), Kept::Activations, Rate::Constant);
    let inner = InnerLoop { steps: 2, rate, adapted, learn_rates: false, first_order: false, kept };
    let rates = Aligned::copy_of(&[0.1]);
    let run = |engine: &mut Cpu, tasks: &Vec<TaskRows>| {
        let mut into = BatchGradient::default();
        engine.meta_gradient(&inner, &params, &rates, tasks, &mut into).unwrap();
        into
    };
    let whole = run(&mut engine, &tasks);
    let query = tasks[0].query.clone();
    // What another pass left where its gradient would be is not its gradient.
    let without = TaskRows { support: tasks[0].support.clone(), query: Rows::default() };
    assert!(run(&mut engine, &vec![without]).params.iter().all(|value| *value == 0.0));
    tasks.push(TaskRows { support: tasks[0].support.clone(), query: Rows::default() });
    tasks.push(TaskRows { support: Rows::default(), query: query.clone() });
    tasks.extend((0..8).map(|_| TaskRows::default()));
    let more = run(&mut engine, &tasks);
    assert_eq!(more.losses[..9], whole.losses[..]);
    assert_eq!(more.losses[9], 0.0);
    assert!(more.losses[11..].iter().all(|loss| *loss == 0.0));
    let still = InnerLoop { steps: 0, ..inner.clone() };
    let mut losses = Vec::new();
    engine
        .meta_losses(&still, &params, &rates, &vec![TaskRows { support: Rows::default(), query }], &mut losses)
        .unwrap();
    assert!((more.losses[10] - losses[0]).abs() <= 1e-6 * losses[0].abs());
    assert!(more.params.iter().all(|value| value.is_finite()));
}

#[test]
fn wrong_lengths_are_refused() {
    let spec = two_headed();
    let mut engine = Cpu::new(&spec, 1).unwrap();
    let (adapted, kept) = (engine.adapted(&Scope::All), Kept::Activations);
    let rate = Rate::PerLayerStep;
    let inner = InnerLoop { steps: 2, rate, adapted, learn_rates: false, first_order: false, kept };
    let params = Aligned::zeros(spec.param_len());
    let mut into = BatchGradient::default();
    let error = engine.meta_gradient(&inner, &params, &Aligned::zeros(3), &Vec::new(), &mut into).unwrap_err();
    assert_eq!(error.to_string(), format!("inner rates: expected {} values, got 3", 2 * spec.layer_count()));
    let task = TaskRows { support: Rows { x: vec![0.0; 5], y: vec![], rows: 2 }, query: Rows::default() };
    let error = engine.take(vec![task]).unwrap_err();
    assert_eq!(error.to_string(), "inputs of a task: expected 4 values, got 5");

    // Tasks may come without targets, for passes that have no loss; those that have one refuse them.
    let task = TaskRows { support: Rows { x: vec![0.0; 4], y: vec![], rows: 2 }, query: Rows::default() };
    let tasks = engine.take(vec![task]).unwrap();
    let (rates, expected) = (Aligned::zeros(2 * spec.layer_count()), "targets of a task: expected 8 values, got 0");
    let error = engine.meta_gradient(&inner, &params, &rates, &tasks, &mut into).unwrap_err();
    assert_eq!(error.to_string(), expected);
    let error = engine.meta_losses(&inner, &params, &rates, &tasks, &mut Vec::new()).unwrap_err();
    assert_eq!(error.to_string(), expected);
    assert_eq!(engine.pooled_gradient(&params, &tasks, &mut into).unwrap_err().to_string(), expected);
    let (at, mut to) = (Parameters::Shared(&params), Aligned::default());
    let error = engine.gradient(at, &tasks, engine::Side::Support, &mut Vec::new(), &mut to).unwrap_err();
    assert_eq!(error.to_string(), expected);
    let error = engine.hessian_vector(at, &params, &tasks, engine::Side::Support, &mut to).unwrap_err();
    assert_eq!(error.to_string(), expected);
    engine.forward(at, &tasks, engine::Side::Support, Depth::Outputs, &mut to).unwrap();
    assert_eq!(to.len(), 8);
}
