//! Against a model in f64 in which losses and gradients of the support are constants, and against the device.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use sinew_models::networks;
use sinew_models::rule::Rate;
use sinew_models::spec::{Activation, InputForm, Loss, NetworkSpec};
use sinew_runtime::network::LayerSet;
use sinew_runtime::{Adapter, Bundle, Guard};

use super::*;
use crate::aligned::Aligned;
use crate::engine::{Cpu, InnerLoop, Kept};
use crate::export::About;
use crate::model::Model;
use crate::optimiser::{AdamW, Moments, clip};
use crate::scaling::Scaling;
use crate::train::initial_parameters;
use crate::world::{Split, World, sinusoid::Sinusoid};

fn values(len: usize, seed: u64, size: f32) -> Vec<f32> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    (0..len).map(|_| rng.random_range(-size..=size)).collect()
}

fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

/// One parameter's way through all steps, from the equations.
fn end(hidden: usize, numbers: &[f64], theta: f64, steps: &[([f32; 2], f32)]) -> f64 {
    let (of_seen, numbers) = numbers.split_at(4 * hidden * SEEN);
    let (of_output, numbers) = numbers.split_at(4 * hidden * hidden);
    let (bias, numbers) = numbers.split_at(4 * hidden);
    let (gate_weight, gate_bias) = numbers.split_at(numbers.len() - 2);
    let dot = |w: &[f64], x: &[f64]| w.iter().zip(x).map(|(w, x)| w * x).sum::<f64>();
    let (mut theta, mut h, mut c, mut gates) = (theta, vec![0.0; hidden], vec![0.0; hidden], [0.0; 2]);
    for (loss, gradient) in steps {
        let seen: Vec<f64> = loss.iter().copied().chain(preprocess(*gradient)).map(f64::from).collect();
        let row = |row: usize| {
            bias[row] + dot(&of_seen[SEEN * row..][..SEEN], &seen) + dot(&of_output[hidden * row..][..hidden], &h)
        };
        let into: Vec<f64> = (0..4 * hidden).map(row).collect();
        for unit in 0..hidden {
            let [i, f, g, o] = [0, 1, 2, 3].map(|gate| into[gate * hidden + unit]);
            c[unit] = sigmoid(f) * c[unit] + sigmoid(i) * g.tanh();
            h[unit] = sigmoid(o) * c[unit].tanh();
        }
        let shown = if hidden > 0 { &h } else { &seen };
        for gate in 0..2 {
            let joined = [&shown[..], &[theta, gates[gate]]].concat();
            gates[gate] = sigmoid(dot(&gate_weight[gate * joined.len()..][..joined.len()], &joined) + gate_bias[gate]);
        }
        theta = gates[0] * theta - gates[1] * f64::from(*gradient);
    }
    theta
}

/// What `of` grows by for each unit of the value at `place`.
fn slope(values: &[f64], place: usize, of: impl Fn(&[f64]) -> f64) -> f64 {
    let step = 1e-5;
    let at = |by: f64| {
        let mut moved = values.to_vec();
        moved[place] += by;
        of(&moved)
    };
    (at(step) - at(-step)) / (2.0 * step)
}

/// Compares some values of a gradient, by the largest of them.
fn close(what: &str, pairs: &[(f32, f64)]) {
    let largest = pairs.iter().fold(0.0_f64, |most, (_, want)| most.max(want.abs()));
    assert!(largest > 0.0, "{what}: a test of zeros shows nothing");
    for (got, want) in pairs {
        let error = (f64::from(*got) - want).abs() / largest;
        assert!(error <= 1e-4, "{what}: {got}, not {want}");
    }
}

#[test]
fn a_block_goes_there_and_back_as_in_f64() {
    for path in Path::available() {
        for (hidden, count, steps) in [(0, 5, 3), (1, 1, 1), (3, 37, 4), (20, BLOCK, 3), (20, 7, 2)] {
            let sizes = Sizes::new(hidden);
            let case = format!("{hidden} units, {count} parameters, {steps} steps on {}", path.name());
            let numbers = values(sizes.numbers(), 1, 0.6);
            let weights = Weights::new(hidden, &numbers).unwrap();
            let (theta, v) = (values(count, 2, 1.0), values(count, 3, 1.0));
            // From gradients that are seen by their logarithm to those that are seen as they are.
            let gradients: Vec<Vec<f32>> =
                (0..steps).map(|step| values(count, 4 + step as u64, [2.0, 1e-4, 0.3, 5.0][step])).collect();
            let losses: Vec<[f32; 2]> = [2.0, 1e-5, 0.4, 0.0][..steps].iter().map(|loss| preprocess(*loss)).collect();
            let gates = Gates { path, weights: &weights };
            let mut trace = Trace::new(path, sizes, steps);
            let (mut here, mut memory) = (theta.clone(), vec![0.0; memory_len(sizes, count)]);
            for (loss, gradient) in losses.iter().zip(&gradients) {
                gates.forward(&mut trace, *loss, gradient, &mut here, &mut memory);
            }
            let of = |numbers: &[f64], theta: f64, place: usize| {
                let steps: Vec<_> =
                    losses.iter().zip(&gradients).map(|(loss, gradient)| (*loss, gradient[place])).collect();
                end(hidden, numbers, theta, &steps)
            };
            let exact: Vec<f64> = numbers.iter().map(|number| f64::from(*number)).collect();
            for (place, (got, theta)) in here.iter().zip(&theta).enumerate() {
                let want = of(&exact, f64::from(*theta), place);
                assert!((f64::from(*got) - want).abs() <= 2e-6 * (1.0 + want.abs()), "{case}: {got}, not {want}");
            }
            let (mut adjoint, mut gradient) = (v.clone(), vec![0.0; sizes.gradient()]);
            gates.back(&mut trace, &losses, |step| &gradients[step], &theta, &mut adjoint, &mut gradient);
            let by_theta = adjoint.iter().enumerate().map(|(place, got)| {
                let at = |theta: &[f64]| f64::from(v[place]) * of(&exact, theta[0], place);
                (*got, slope(&[f64::from(theta[place])], 0, at))
            });
            close(&case, &by_theta.collect::<Vec<_>>());
            let gradient = sizes.to_numbers(&gradient);
            let all = |numbers: &[f64]| {
                let each = (0..count).map(|place| f64::from(v[place]) * of(numbers, f64::from(theta[place]), place));
                each.sum::<f64>()
            };
            // Every one of few, some of many; all of the gates'.
            let gates_from = numbers.len() - 2 * (sizes.width + 2) - 2;
            let places = (0..numbers.len()).filter(|place| hidden < 5 || place % 31 == 0 || *place >= gates_from);
            let by_numbers: Vec<_> = places.map(|place| (gradient[place], slope(&exact, place, all))).collect();
            close(&case, &by_numbers);
            // A second block adds to it.
            let (mut again, mut sum) = (v.clone(), vec![0.0; sizes.gradient()]);
            for _ in 0..2 {
                again.copy_from_slice(&v);
                gates.back(&mut trace, &losses, |step| &gradients[step], &theta, &mut again, &mut sum);
            }
            let twice =
                sizes.to_numbers(&sum).into_iter().zip(&gradient).map(|(sum, once)| (sum, 2.0 * f64::from(*once)));
            close(&case, &twice.collect::<Vec<_>>());
        }
    }
}

fn network(hidden: &[usize]) -> NetworkSpec {
    networks::mlp(1, InputForm::Plain, hidden, Activation::Tanh, "y", 1, Loss::MeanSquared).unwrap()
}

/// Tasks of sine waves, with as many support samples as the number says.
fn tasks(spec: &NetworkSpec, count: u64, shots: usize, seed: u64) -> Vec<TaskRows> {
    let (world, scaling) = (Sinusoid::new(10), Scaling::none(spec));
    let one = |number: u64| {
        let mut rng = rng(seed, Purpose::Training, 0, number);
        let task = world.task(Split::Train, &mut rng);
        scaling.task_rows(&world.episode(&task, shots, &mut rng))
    };
    (0..count).map(one).collect()
}

/// Numbers with which gates do more than at first.
fn lively(learner: &MetaLstm) -> Vec<f32> {
    let mut numbers = learner.first_numbers();
    let moved = values(numbers.len(), 9, 0.4);
    numbers.iter_mut().zip(moved).for_each(|(number, moved)| *number += moved);
    numbers
}

fn learner_of(engine: &Cpu, steps: usize, hidden: usize, adapt: Scope, threads: usize) -> MetaLstm {
    MetaLstm::new(engine, &Settings { steps, hidden, adapt }, 5, threads)
}

fn learner_and_state(engine: &mut Cpu, steps: usize, hidden: usize, scope: Scope) -> (MetaLstm, State<Aligned>) {
    let learner = learner_of(engine, steps, hidden, scope, 1);
    let params = initial_parameters(engine.network(), 3, Purpose::Initial, 0);
    let rates = lively(&learner);
    let state = State { params: engine.upload(&params).unwrap(), rates: engine.upload(&rates).unwrap() };
    (learner, state)
}

const SCOPES: [Scope; 2] = [Scope::All, Scope::Heads];

#[test]
fn the_learner_takes_the_steps_of_a_device() {
    let spec = network(&[12, 9]);
    for (hidden, scope) in [(0, SCOPES[0].clone()), (20, SCOPES[0].clone()), (4, SCOPES[1].clone())] {
        let mut engine = Cpu::new(&spec, 1).unwrap();
        let (learner, state) = learner_and_state(&mut engine, 4, hidden, scope);
        let drawn = tasks(&spec, 3, 7, 1);
        let taken = engine.take(drawn.clone()).unwrap();
        let weights = learner.weights(&state.rates).unwrap();
        let descent = learner.descend(&mut engine, &state, &weights, &taken, false).unwrap();
        let model = Model {
            network: spec.clone(),
            rule: learner.rule.clone(),
            state: State { params: state.params.to_vec(), rates: state.rates.to_vec() },
            scaling: Scaling::none(&spec),
            about: About::default(),
        };
        let bytes = model.to_bytes().unwrap();
        let bundle = Bundle::parse(&bytes).unwrap();
        for (task, got) in drawn.iter().zip(descent.end.chunks_exact(spec.param_len())) {
            let mut memory = Aligned::zeros(Adapter::memory_len(&bundle, 8).unwrap());
            let mut adapter = Adapter::new(&bundle, 8, &mut memory).unwrap();
            adapter.set_guard(Guard::Finite);
            for row in 0..task.support.rows {
                adapter.observe(&task.support.x[row..=row], &task.support.y[row..=row]).unwrap();
            }
            assert_eq!(adapter.adapt(|| false).unwrap().steps, 4);
            let moved = got.iter().zip(&*state.params).any(|(got, start)| (got - start).abs() > 1e-2);
            assert!(moved, "a test that moves nothing shows nothing");
            for (got, want) in got.iter().zip(adapter.parameters()) {
                assert!((got - want).abs() <= 2e-6 * (1.0 + want.abs()), "{hidden} units: {got}, not {want}");
            }
        }
    }
}

#[test]
fn the_gradient_over_tasks_is_that_of_f64_with_constant_support_gradients() {
    let spec = network(&[6]);
    for (hidden, scope) in [(0, SCOPES[0].clone()), (3, SCOPES[0].clone()), (2, SCOPES[1].clone())] {
        let case = format!("{hidden} units, {scope:?}");
        let mut engine = Cpu::new(&spec, 2).unwrap();
        let (mut learner, state) = learner_and_state(&mut engine, 3, hidden, scope);
        let batch = Learner::<Cpu>::prepare(&learner, &mut engine, tasks(&spec, 4, 5, 2), Use::Training).unwrap();
        let mut into = BatchGradient::default();
        learner.gradient(&mut engine, &state, &batch, 0, &mut into).unwrap();
        let weights = learner.weights(&state.rates).unwrap();
        let descent = learner.descend(&mut engine, &state, &weights, &batch.parts[0], true).unwrap();
        let (mut losses, mut v) = (Vec::new(), Aligned::default());
        let at_end = Parameters::Each(&Aligned::copy_of(&descent.end));
        engine.gradient(at_end, &batch.parts[0], Side::Query, &mut losses, &mut v).unwrap();
        assert_eq!((&into.losses[..], into.tasks), (&losses[..], 4));
        let mut alone = Vec::new();
        learner.losses(&mut engine, &state, &batch, &mut alone).unwrap();
        assert_eq!(alone, losses);
        // Where each adapted parameter is among all.
        let (params, adapted) = (spec.param_len(), &learner.adapted);
        let places: Vec<usize> = adapted.ranges.iter().cloned().flatten().collect();
        let exact = |values: &[f32]| values.iter().map(|value| f64::from(*value)).collect::<Vec<_>>();
        // The query loss to first order around where the steps end.
        let loss = |numbers: &[f64], start: &[f64]| {
            let mut sum = 0.0;
            for task in 0..4 {
                let v = &v[task * params..][..params];
                for place in 0..params {
                    let end = match places.iter().position(|adapted| *adapted == place) {
                        None => start[place],
                        Some(at) => {
                            let of = |(losses, gradients): &(Vec<[f32; 2]>, Vec<f32>)| {
                                (losses[task], gradients[task * adapted.len + at])
                            };
                            let steps: Vec<_> = descent.steps.iter().map(of).collect();
                            end(hidden, numbers, start[place], &steps)
                        }
                    };
                    sum += f64::from(v[place]) * end / 4.0;
                }
            }
            sum
        };
        let (numbers, start) = (exact(&state.rates), exact(&state.params));
        let got = into.params.iter().enumerate();
        close(&case, &got.map(|(at, got)| (*got, slope(&start, at, |x| loss(&numbers, x)))).collect::<Vec<_>>());
        let got = into.rates.as_ref().unwrap().iter().enumerate();
        close(&case, &got.map(|(at, got)| (*got, slope(&numbers, at, |x| loss(x, &start)))).collect::<Vec<_>>());
    }
}

#[test]
fn any_number_of_threads_and_of_parts_gives_the_same_bits() {
    let spec = network(&[40, 30]);
    // More than one chunk, and a block that is not full.
    assert!(spec.param_len() > CHUNK && !spec.param_len().is_multiple_of(BLOCK));
    let mut seen: Option<BatchGradient<Aligned>> = None;
    for (threads, at_once) in [(1, 5), (2, 5), (3, 5), (1, 2), (3, 1)] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let got = pool.install(|| {
            let mut engine = Cpu::new(&spec, threads).unwrap();
            let (mut learner, state) = learner_and_state(&mut engine, 2, 5, Scope::All);
            assert!(learner.at_once > 5);
            (learner.parallel, learner.at_once) = (threads > 1, at_once);
            let batch = Learner::<Cpu>::prepare(&learner, &mut engine, tasks(&spec, 5, 4, 3), Use::Training).unwrap();
            let mut into = BatchGradient::default();
            learner.gradient(&mut engine, &state, &batch, 0, &mut into).unwrap();
            let mut losses = Vec::new();
            learner.losses(&mut engine, &state, &batch, &mut losses).unwrap();
            assert_eq!((batch.parts.len(), &losses[..]), (5_usize.div_ceil(at_once), &into.losses[..]));
            into
        });
        assert!(got.params.iter().chain(&got.rates.as_ref().unwrap()[..]).all(|value| value.is_finite()));
        let first = seen.get_or_insert_with(|| got.clone());
        assert_eq!(*first, got, "{threads} threads, {at_once} tasks at once");
    }
}

#[test]
fn a_batch_without_tasks_has_a_gradient_of_zeros_and_wrong_numbers_are_refused() {
    let spec = network(&[4]);
    let mut engine = Cpu::new(&spec, 1).unwrap();
    let (mut learner, state) = learner_and_state(&mut engine, 2, 3, Scope::All);
    let batch = Learner::<Cpu>::prepare(&learner, &mut engine, Vec::new(), Use::Training).unwrap();
    let mut into = BatchGradient::default();
    learner.gradient(&mut engine, &state, &batch, 0, &mut into).unwrap();
    assert_eq!((into.params.len(), into.losses.len(), into.tasks), (spec.param_len(), 0, 0));
    assert_eq!(into.rates.as_ref().map(|rates| rates.len()), Some(learner.sizes.numbers()));
    assert!(into.params.iter().chain(&into.rates.unwrap()[..]).all(|value| *value == 0.0));
    let short = State { rates: Aligned::copy_of(&state.rates[1..]), ..state };
    let refused = learner.gradient(&mut engine, &short, &batch, 0, &mut BatchGradient::default()).unwrap_err();
    let expected =
        format!("the gates' numbers: expected {0} values, got {1}", short.rates.len() + 1, short.rates.len());
    assert_eq!(refused.to_string(), expected);
}

#[test]
fn it_begins_as_gradient_descent_at_a_small_rate() {
    let spec = network(&[4]);
    let engine = Cpu::new(&spec, 1).unwrap();
    for hidden in [0, 20] {
        let learner = learner_of(&engine, 1, hidden, Scope::All, 1);
        let numbers = learner.first_numbers();
        assert_eq!(numbers.len(), learner.rule.tensors(&spec).iter().map(|tensor| tensor.len()).sum::<usize>());
        let weights = Weights::new(hidden, &numbers).unwrap();
        let mut trace = Trace::new(learner.path, learner.sizes, 1);
        for (gradient, theta) in [(1.0, 0.5), (-2.0, -1.0), (0.01, 0.0)] {
            let (mut to, mut memory) = ([theta], vec![0.0; memory_len(learner.sizes, 1)]);
            let gates = Gates { path: learner.path, weights: &weights };
            gates.forward(&mut trace, preprocess(1.0), &[gradient], &mut to, &mut memory);
            assert!((memory[0] - 0.993).abs() <= 1e-3 && (memory[1] - 0.011).abs() <= 1e-3, "{memory:?}");
            assert!((to[0] - (theta - 0.011 * gradient)).abs() <= 1e-2, "{to:?}");
        }
        // Another seed, other numbers; the same, the same.
        let settings = Settings { steps: 1, hidden, adapt: Scope::All };
        let first = |seed| MetaLstm::new(&engine, &settings, seed, 1).first_numbers();
        assert!(first(5) == numbers && first(6) != numbers);
    }
}

/// The mean loss after gradient descent from `params` at the best of many single rates.
fn best_single_rate(engine: &mut Cpu, steps: usize, params: &Aligned, tasks: &Vec<TaskRows>) -> (f32, f64) {
    let mut best = (0.0, f64::INFINITY);
    for place in 0..40 {
        let rate = 1e-4 * 1.3_f32.powi(place);
        let inner = InnerLoop {
            steps,
            rate: Rate::Constant,
            adapted: LayerSet::ALL,
            learn_rates: false,
            first_order: true,
            kept: Kept::default(),
        };
        let mut losses = Vec::new();
        engine.meta_losses(&inner, params, &Aligned::copy_of(&[rate]), tasks, &mut losses).unwrap();
        let mean = mean(&losses);
        if mean < best.1 {
            best = (rate, mean);
        }
    }
    best
}

fn mean(losses: &[f32]) -> f64 {
    losses.iter().map(|loss| f64::from(*loss)).sum::<f64>() / losses.len() as f64
}

#[test]
fn a_short_training_beats_the_best_single_rate_from_where_it_starts() {
    let spec = network(&[16]);
    let (steps, hidden) = (5, 4);
    let mut engine = Cpu::new(&spec, 1).unwrap();
    let mut learner = learner_of(&engine, steps, hidden, Scope::All, 1);
    let params = initial_parameters(&spec, 0, Purpose::Initial, 0);
    let rates = learner.first_numbers();
    let mut moments = [Moments::zeros(params.len()), Moments::zeros(rates.len())];
    let mut state = State { params: Aligned::copy_of(&params), rates: Aligned::copy_of(&rates) };
    let test = Learner::<Cpu>::prepare(&learner, &mut engine, tasks(&spec, 100, 10, 77), Use::Training).unwrap();
    let mut losses = Vec::new();
    learner.losses(&mut engine, &state, &test, &mut losses).unwrap();
    let before = mean(&losses);
    for iteration in 0..300 {
        let drawn = tasks(&spec, 8, 10, 100 + iteration);
        let batch = Learner::<Cpu>::prepare(&learner, &mut engine, drawn, Use::Training).unwrap();
        let mut into = BatchGradient::default();
        learner.gradient(&mut engine, &state, &batch, iteration, &mut into).unwrap();
        let by_rates = into.rates.as_deref_mut().unwrap();
        clip([&mut into.params, by_rates], Some(1.0));
        let [of_params, of_rates] = &mut moments;
        AdamW::default().step(1e-2, of_params, &mut state.params, &into.params);
        AdamW::default().step(1e-2, of_rates, &mut state.rates, by_rates);
    }
    learner.losses(&mut engine, &state, &test, &mut losses).unwrap();
    let after = mean(&losses);
    let (rate, descent) = best_single_rate(&mut engine, steps, &state.params, &test.parts[0]);
    println!("{before} before, {after} after; gradient descent at {rate}: {descent}");
    assert!(after <= 0.9 * descent && after <= 0.8 * before, "{before}, {after}; descent at {rate}: {descent}");
}
