//! The runtime against candle, which shares no code with it: outputs, losses, gradients, adaptation; and the oracle for meta-gradients.

mod oracle;

use candle_core::{DType, Tensor};
use candle_nn::{Optimizer, SGD};
use oracle::meta_gradient::{Rows, candle_meta_gradient};
use sinew_models::layout::Place;
use sinew_models::rule::{Rate, Rule, Scope};
use sinew_models::spec::{Activation, Head, Input, Layer, Loss, Name, NetworkSpec, Shape, Window};
use sinew_runtime::kernel::dense::Update;
use sinew_runtime::network::{Batch, Destination, LayerSet, Network};
use sinew_runtime::{Adapter, Bundle, Guard, Outcome, Path};
use sinew_tests::reference::{self, Dual, differences, relative_error};
use sinew_tests::sample::{self, ACTIVATIONS, LOSSES, Numbers, single};
use sinew_trainer::aligned::Aligned;
use sinew_trainer::engine::{self, BatchGradient, Cpu, Engine, InnerLoop, Kept, TaskRows};
use sinew_trainer::export::{self, About, Export};

const TOLERANCE: f64 = 1e-5;

/// A network with parameters and rows, for both sides.
struct Case {
    spec: NetworkSpec,
    params: Vec<f64>,
    rows: usize,
    x: Vec<f64>,
    y: Vec<f64>,
}

impl Case {
    fn new(spec: NetworkSpec, rows: usize, seed: u64) -> Self {
        let mut numbers = Numbers(seed);
        let params = numbers.values(spec.param_len(), 0.5);
        let x = numbers.values(rows * spec.input.presented_len(), 1.5);
        let y = sample::targets(&spec, rows, &mut numbers);
        Self { spec, params, rows, x, y }
    }

    fn tensors(&self) -> (Tensor, Tensor) {
        let tensor =
            |values: &[f64]| oracle::tensor(values, &[self.rows, values.len() / self.rows], DType::F32).unwrap();
        (tensor(&self.x), tensor(&self.y))
    }
}

/// Outputs, loss and gradient of one network agree on every path.
fn check(case: &Case) {
    let Case { spec, rows, .. } = case;
    let variables = oracle::variables(spec, &case.params, DType::F32).unwrap();
    let (x, y) = case.tensors();
    let heads = oracle::outputs(spec, &variables, &x).unwrap();
    let want_outputs = oracle::flat([&Tensor::cat(&heads, 1).unwrap()]).unwrap();
    let (want_loss, want) = oracle::gradient(spec, &variables, &x, &y).unwrap();
    let (params, x, y) = (single(&case.params), single(&case.x), single(&case.y));
    for path in Path::available() {
        let network = Network::new(spec, path).unwrap();
        let mut forward = vec![f32::NAN; network.forward_len(*rows)];
        let mut backward = vec![f32::NAN; network.backward_len(*rows)];
        let mut panel = vec![f32::NAN; network.panel_len()];
        network.forward(&params, &x, *rows, &mut forward, &mut panel);
        let mut outputs = vec![f32::NAN; rows * network.output_len()];
        network.outputs(&forward, *rows, &mut outputs);
        let mut gradient = vec![f32::NAN; params.len()];
        let (layers, update) = (LayerSet::ALL, Update::Store);
        let destination = Destination::Gradient { params: &params, gradient: &mut gradient, layers, update };
        let batch = Batch::whole(&x, &y, *rows);
        let loss = network.gradient(destination, batch, &forward, &mut backward, &mut panel);

        let (name, error) = (path.name(), relative_error(&outputs, &want_outputs));
        assert!(error <= TOLERANCE, "outputs on {name}: {error}");
        let error = (f64::from(loss) - want_loss).abs() / want_loss;
        assert!(error <= TOLERANCE, "loss on {name}: {loss}, not {want_loss}");
        let error = relative_error(&gradient, &want);
        assert!(error <= TOLERANCE, "gradient on {name}: {error}");
    }
}

#[test]
fn every_activation_with_every_loss() {
    for (number, activation) in ACTIVATIONS.into_iter().enumerate() {
        for loss in LOSSES {
            let hidden = [(24, activation), (17, activation)];
            check(&Case::new(sample::network(6, &hidden, &[(3, None, loss)]), 9, number as u64));
        }
    }
}

#[test]
fn networks_for_images() {
    let window = |size, stride, padding| Window::square(size, stride, padding);
    let convolution = |outputs, window, activation| Layer::Convolution { outputs, window, activation };
    let (relu, silu, identity) = (Activation::Relu, Activation::Silu, Activation::Identity);
    let head = Head {
        name: Name::try_from("class").unwrap(),
        layers: [Layer::Dense { outputs: 5, activation: identity }].into_iter().collect(),
        loss: Loss::CrossEntropy,
        weight: 1.0,
    };
    let deep = [
        convolution(8, window(3, 1, 1), relu),
        Layer::MaxPool { window: window(2, 2, 0) },
        convolution(16, window(3, 1, 1), relu),
        Layer::AveragePool { window: window(2, 2, 0) },
        convolution(7, window(3, 1, 0), silu),
        Layer::Flatten,
    ];
    let normed = [
        // Where a stride leaves pixels over, candle has no gradient.
        convolution(6, window(4, 2, 1), identity),
        Layer::LayerNorm { activation: relu },
        convolution(9, window(1, 1, 0), silu),
        Layer::GlobalAveragePool,
        Layer::LayerNorm { activation: Activation::Tanh },
    ];
    for (number, (channels, layers)) in [(1, &deep[..]), (3, &normed[..])].into_iter().enumerate() {
        let spec = NetworkSpec {
            input: Input::image(Shape { height: 16, width: 20, channels }),
            backbone: layers.iter().copied().collect(),
            heads: [head.clone()].into_iter().collect(),
        };
        assert_eq!(spec.check(), Ok(()));
        check(&Case::new(spec, 7, 3 + number as u64));
    }
}

/// Two heads, each by a gate of its own over three experts.
#[test]
fn mixtures_of_experts() {
    for (number, activation) in ACTIVATIONS.into_iter().enumerate() {
        let mut spec =
            sample::network(5, &[(3 * 7 + 2 * 3, Activation::Identity)], &[(2, None, LOSSES[0]), (3, None, LOSSES[3])]);
        for (first, head) in (0..).zip(&mut spec.heads) {
            let mixture = Layer::Mixture { experts: 3, gates: 2, first, outputs: 1, activation };
            head.layers.insert(0, mixture).unwrap();
        }
        assert_eq!(spec.check(), Ok(()));
        check(&Case::new(spec, 6, 11 + number as u64));
    }
}

/// Four heads, one for each loss, some of them deep.
fn many_heads() -> NetworkSpec {
    let heads = [
        (2, Some((12, Activation::Silu)), LOSSES[0]),
        (1, None, LOSSES[1]),
        (3, Some((5, Activation::Relu)), LOSSES[2]),
        (4, None, LOSSES[3]),
    ];
    sample::network(8, &[(33, Activation::Tanh), (20, Activation::Relu)], &heads)
}

#[test]
fn several_heads_and_sizes() {
    for rows in [1, 5, 16, 40] {
        check(&Case::new(many_heads(), rows, rows as u64));
    }
    check(&Case::new(
        sample::network(16, &[(64, Activation::Relu), (64, Activation::Relu)], &[(4, None, LOSSES[0])]),
        16,
        1,
    ));
    check(&Case::new(sample::network(7, &[], &[(5, None, LOSSES[3])]), 11, 2));
}

/// Five steps of an adapter end where five steps of candle's SGD end, and predict the same.
fn check_adaptation(case: &Case, scope: Scope, rate: f32) {
    const STEPS: usize = 5;
    let Case { spec, .. } = case;
    let (inputs, outputs) = (spec.input.len, spec.output_len());
    let bytes = export::to_bytes(&Export {
        network: spec,
        rule: &Rule::Gradient { steps: STEPS, rate: Rate::Constant, scope: scope.clone(), momentum: false, rows: 0 },
        parameters: &single(&case.params),
        numbers: &[rate],
        input_mean: &vec![0.0; inputs],
        input_scale: &vec![1.0; inputs],
        input_relative_scale: &vec![1.0; inputs],
        output_mean: &vec![0.0; outputs],
        output_scale: &vec![1.0; outputs],
        novelty: None,
        about: &About::default(),
    })
    .unwrap();
    let bundle = Bundle::parse(&bytes).unwrap();

    let variables = oracle::variables(spec, &case.params, DType::F32).unwrap();
    let adapted = spec.slots().zip(&variables);
    let adapted = adapted.filter(|(slot, _)| scope == Scope::All || slot.placed.place != Place::Backbone);
    let mut sgd = SGD::new(adapted.map(|(_, variable)| variable.clone()).collect(), f64::from(rate)).unwrap();
    let (x, y) = case.tensors();
    let mut want_losses = Vec::new();
    for _ in 0..STEPS {
        let loss = oracle::loss(spec, &variables, &x, &y).unwrap();
        want_losses.push(oracle::scalar(&loss).unwrap());
        sgd.backward_step(&loss).unwrap();
    }
    let want = oracle::flat(variables.iter().map(|variable| variable.as_tensor())).unwrap();
    let want_answers = oracle::flat([&oracle::predictions(spec, &variables, &x).unwrap()]).unwrap();
    assert!(relative_error(&single(&case.params), &want) >= 1e-2, "a test that moves nothing shows nothing");

    let (x, y) = (single(&case.x), single(&case.y));
    for path in Path::available() {
        let mut memory = vec![f32::NAN; Adapter::memory_len_on(path, &bundle, case.rows).unwrap()];
        let mut adapter = Adapter::new_on(path, &bundle, case.rows, &mut memory).unwrap();
        adapter.set_guard(Guard::Finite);
        x.chunks_exact(inputs).zip(y.chunks_exact(outputs)).for_each(|(x, y)| adapter.observe(x, y).unwrap());
        let report = adapter.adapt(|| false).unwrap();
        assert_eq!((report.outcome, report.steps), (Outcome::Committed, STEPS));
        for (loss, want) in [(report.loss_before, want_losses[0]), (report.loss_after, want_losses[STEPS - 1])] {
            assert!((f64::from(loss) - want).abs() <= TOLERANCE * want, "{}: {loss}, not {want}", path.name());
        }
        let error = relative_error(adapter.parameters(), &want);
        assert!(error <= TOLERANCE, "parameters on {}: {error}", path.name());
        let mut answers = vec![f32::NAN; y.len()];
        adapter.predict(&x, &mut answers).unwrap();
        let error = relative_error(&answers, &want_answers);
        assert!(error <= TOLERANCE, "predictions on {}: {error}", path.name());
    }
}

#[test]
fn five_steps_are_five_steps_of_sgd() {
    let relu = [(64, Activation::Relu), (64, Activation::Relu)];
    check_adaptation(&Case::new(sample::network(16, &relu, &[(4, None, Loss::MeanSquared)]), 16, 3), Scope::All, 0.02);
    check_adaptation(&Case::new(many_heads(), 12, 4), Scope::All, 0.05);
    check_adaptation(&Case::new(many_heads(), 12, 5), Scope::Heads, 0.05);
}

/// L_Q(θ_S) by the f64 model of the tests: its dual numbers make the inner gradients, so candle has no part in it.
fn query_loss(spec: &NetworkSpec, params: &[f64], rates: &[f64], support: Rows<'_>, query: Rows<'_>) -> f64 {
    let rows = |rows: Rows<'_>| rows.x.len() / spec.input.presented_len();
    let mut params = params.to_vec();
    for rates in rates.chunks_exact(params.len()) {
        let gradient = reference::gradient(spec, &params, support.x, support.y, rows(support)).1;
        params.iter_mut().zip(rates).zip(&gradient).for_each(|((param, rate), gradient)| *param -= rate * gradient);
    }
    let duals: Vec<Dual> = params.iter().map(|param| Dual::constant(*param)).collect();
    reference::loss(spec, &duals, query.x, query.y, rows(query)).value
}

#[test]
fn the_meta_gradient_is_exact() {
    let spec = sample::network(3, &[(5, Activation::Tanh)], &[(2, None, Loss::MeanSquared)]);
    for steps in [1, 3] {
        let mut numbers = Numbers(steps);
        let params = numbers.values(spec.param_len(), 0.8);
        let rates: Vec<f64> =
            numbers.values(steps as usize * params.len(), 0.1).iter().map(|rate| rate + 0.3).collect();
        let (x, y) = (numbers.values(12, 1.5), numbers.values(8, 1.5));
        let (query_x, query_y) = (numbers.values(18, 1.5), numbers.values(12, 1.5));
        let (support, query) = (Rows { x: &x, y: &y }, Rows { x: &query_x, y: &query_y });
        let meta = candle_meta_gradient(&spec, &params, &rates, support, query, DType::F64).unwrap();

        let loss = query_loss(&spec, &params, &rates, support, query);
        assert!((meta.loss - loss).abs() <= 1e-12);
        let numeric = differences(&params, 1e-5, |params| query_loss(&spec, params, &rates, support, query));
        assert!(distance(&meta.parameters, &numeric) <= 1e-8);
        let numeric = differences(&rates, 1e-5, |rates| query_loss(&spec, &params, rates, support, query));
        assert!(distance(&meta.rates, &numeric) <= 1e-8);

        // In f32 it is as good as f32 allows, so it can stand beside an engine.
        let rough = candle_meta_gradient(&spec, &params, &rates, support, query, DType::F32).unwrap();
        assert!(relative_error(&single(&rough.parameters), &meta.parameters) <= TOLERANCE);
        assert!(relative_error(&single(&rough.rates), &meta.rates) <= TOLERANCE);

        // What first-order MAML would say is far off, so a lost second-order term would show.
        let mut adapted = params.clone();
        for rates in rates.chunks_exact(params.len()) {
            let gradient = reference::gradient(&spec, &adapted, &x, &y, 4).1;
            adapted
                .iter_mut()
                .zip(rates)
                .zip(&gradient)
                .for_each(|((param, rate), gradient)| *param -= rate * gradient);
        }
        let first_order = reference::gradient(&spec, &adapted, &query_x, &query_y, 6).1;
        assert!(distance(&meta.parameters, &first_order) >= 1e-2);
    }
}

/// The CPU engine's meta-gradient is candle's, for parameters and for rates of every kind.
#[test]
fn the_engine_agrees_with_candle() {
    const STEPS: usize = 4;
    let spec = sample::network(3, &[(9, Activation::Tanh)], &[(2, None, Loss::MeanSquared)]);
    let (len, layers) = (spec.param_len(), spec.layer_count());
    let mut numbers = Numbers(11);
    let params = numbers.values(len, 0.8);
    let tasks: Vec<[Vec<f64>; 4]> = (0..3).map(|_| [15, 10, 21, 14].map(|count| numbers.values(count, 1.5))).collect();
    let engine_rows = |x: &[f64], y: &[f64]| engine::Rows { x: single(x), y: single(y), rows: x.len() / 3 };
    let batch: Vec<TaskRows> = tasks
        .iter()
        .map(|[x, y, query_x, query_y]| TaskRows { support: engine_rows(x, y), query: engine_rows(query_x, query_y) })
        .collect();

    for kind in [Rate::Constant, Rate::PerLayerStep, Rate::PerParameter] {
        // Which of the shared rates parameter `j` has at step `step`.
        let layer_of = |j: usize| spec.layers().filter(|layer| layer.offset <= j).count() - 1;
        let (shared, place): (usize, Box<dyn Fn(usize, usize) -> usize>) = match kind {
            Rate::Constant => (1, Box::new(|_, _| 0)),
            Rate::PerLayerStep => (STEPS * layers, Box::new(move |step, j| step * layers + layer_of(j))),
            Rate::PerParameter => (len, Box::new(|_, j| j)),
        };
        let rates: Vec<f64> = numbers.values(shared, 0.1).iter().map(|rate| rate + 0.2).collect();
        let spread: Vec<f64> = (0..STEPS * len).map(|index| rates[place(index / len, index % len)]).collect();
        let (mut loss, mut want, mut want_rates) = (0.0, vec![0.0; len], vec![0.0; shared]);
        let share = 1.0 / tasks.len() as f64;
        for [x, y, query_x, query_y] in &tasks {
            let (support, query) = (Rows { x, y }, Rows { x: query_x, y: query_y });
            let meta = candle_meta_gradient(&spec, &params, &spread, support, query, DType::F64).unwrap();
            loss += share * meta.loss;
            want.iter_mut().zip(&meta.parameters).for_each(|(sum, value)| *sum += share * value);
            for (index, value) in meta.rates.iter().enumerate() {
                want_rates[place(index / len, index % len)] += share * value;
            }
        }
        for path in Path::available() {
            for threads in [1, 2] {
                let mut engine = Cpu::on(path, &spec, threads).unwrap();
                let inner = InnerLoop {
                    steps: STEPS,
                    rate: kind,
                    adapted: engine.adapted(&Scope::All),
                    learn_rates: true,
                    first_order: false,
                    kept: Kept::Activations,
                };
                let mut got = BatchGradient::default();
                let (params, rates) = (Aligned::copy_of(&single(&params)), Aligned::copy_of(&single(&rates)));
                engine.meta_gradient(&inner, &params, &rates, &batch, &mut got).unwrap();
                let name = path.name();
                let got_loss = got.losses.iter().map(|loss| f64::from(*loss)).sum::<f64>() / got.losses.len() as f64;
                assert!((got_loss - loss).abs() <= TOLERANCE * loss, "{kind:?} on {name}: {got_loss} and {loss}");
                let error = relative_error(&got.params, &want);
                assert!(error <= TOLERANCE, "parameters, {kind:?} on {name}: {error}");
                let error = relative_error(got.rates.as_ref().unwrap(), &want_rates);
                // A shared rate's gradient is one sum in which much cancels.
                assert!(error <= 10.0 * TOLERANCE, "rates, {kind:?} on {name}: {error}");
            }
        }
    }
}

/// The largest difference; NaN if one is.
fn distance(a: &[f64], b: &[f64]) -> f64 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(
        0.0,
        |worst: f64, error| {
            if error <= worst || worst.is_nan() { worst } else { error }
        },
    )
}
