//! What a robot can count on: that an adapter descends the gradient, never gets worse, and goes back to the bit.

use sinew_models::layout::Place;
use sinew_models::networks;
use sinew_models::rule::{Rate, Rule, Scope};
use sinew_models::spec::{Activation, InputForm, Loss};
use sinew_runtime::{
    AdaptError, Adapter, Bundle, Guard, LengthError, Network, ObserveError, Outcome, Path, SetupError,
};
use sinew_tests::bundle::{Parts, gradient, several_heads};
use sinew_tests::reference::relative_error;

const FORMS: [InputForm; 3] = [InputForm::Plain, InputForm::Relative, InputForm::Both];
const RATES: [Rate; 3] = [Rate::Constant, Rate::PerLayerStep, Rate::PerParameter];

fn scopes() -> [Scope; 3] {
    // Of nine layers: one of the backbone, and one in each of two heads.
    [Scope::All, Scope::Heads, Scope::Layers([0, 2, 4].into_iter().collect())]
}

/// Runs `check` with an adapter of `parts` that holds the rows `(x, y)`, on every path.
fn on_every_path(parts: &Parts, capacity: usize, x: &[f32], y: &[f32], mut check: impl FnMut(Path, &mut Adapter<'_>)) {
    let bytes = parts.bytes();
    let bundle = Bundle::parse(&bytes).unwrap();
    for path in Path::available() {
        let mut memory = vec![f32::NAN; Adapter::memory_len_on(path, &bundle, capacity).unwrap()];
        let mut adapter = Adapter::new_on(path, &bundle, capacity, &mut memory).unwrap();
        observe(&mut adapter, x, y);
        check(path, &mut adapter);
    }
}

fn observe(adapter: &mut Adapter<'_>, x: &[f32], y: &[f32]) {
    for (x, y) in x.chunks(adapter.input_len()).zip(y.chunks(adapter.output_len())) {
        adapter.observe(x, y).unwrap();
    }
}

fn predict(adapter: &mut Adapter<'_>, x: &[f32]) -> Vec<f32> {
    let mut y = vec![f32::NAN; x.len() / adapter.input_len() * adapter.output_len()];
    adapter.predict(x, &mut y).unwrap();
    y
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| value.to_bits()).collect()
}

/// A network of several heads with one rate, all of it adapted.
fn plain() -> Parts {
    Parts::new(several_heads(InputForm::Both), gradient(Rate::Constant, Scope::All), 0.05, 1)
}

#[test]
fn adapting_is_gradient_descent() {
    for (rate, form) in RATES.into_iter().flat_map(|rate| FORMS.map(|form| (rate, form))) {
        for scope in scopes() {
            let parts = Parts::new(several_heads(form), gradient(rate, scope.clone()), 0.1, 1);
            let ((x, y), (new, _)) = (parts.samples(6, 2), parts.samples(5, 3));
            // The bundle's 3 steps, and two more, past the last row of a rate for each step.
            for steps in [3, 5] {
                let want = parts.adapted(steps, &x, &y);
                let answers = parts.predictions(&want, &new, &x);
                on_every_path(&parts, 8, &x, &y, |path, adapter| {
                    let case = format!("{rate:?}, {form:?}, {scope:?}, {steps} steps, {}", path.name());
                    adapter.set_steps(steps);
                    let report = adapter.adapt(|| false).unwrap();
                    assert_eq!((report.outcome, report.steps), (Outcome::Committed, steps), "{case}");
                    let error = relative_error(adapter.parameters(), &want);
                    assert!(error <= 2e-6, "parameters, {case}: {error}");
                    let error = relative_error(&predict(adapter, &new), &answers);
                    assert!(error <= 5e-6, "predictions, {case}: {error}");
                    let loss = adapter.support_loss().unwrap();
                    assert!(loss < report.loss_before, "{case}");
                    assert!((loss - report.loss_after).abs() <= 1e-6 * loss, "{case}");
                });
            }
        }
    }
}

#[test]
fn predictions_follow_the_bundle_before_any_sample() {
    for form in FORMS {
        let parts = Parts::new(several_heads(form), gradient(Rate::Constant, Scope::All), 0.1, 4);
        let (x, _) = parts.samples(5, 5);
        let start: Vec<f64> = parts.parameters.iter().map(|p| f64::from(*p)).collect();
        let want = parts.predictions(&start, &x, &[]);
        on_every_path(&parts, 8, &[], &[], |path, adapter| {
            let error = relative_error(&predict(adapter, &x), &want);
            assert!(error <= 2e-6, "{form:?} on {}: {error}", path.name());
        });
    }
}

#[test]
fn layers_out_of_scope_stay_to_the_bit() {
    for rate in RATES {
        for scope in scopes() {
            let parts = Parts::new(several_heads(InputForm::Both), gradient(rate, scope.clone()), 0.1, 1);
            let (x, y) = parts.samples(6, 2);
            on_every_path(&parts, 8, &x, &y, |path, adapter| {
                assert_eq!(adapter.adapt(|| false).unwrap().outcome, Outcome::Committed);
                for (index, layer) in parts.network.layers().enumerate() {
                    let range = layer.offset..layer.offset + layer.param_len();
                    let stays = adapter.parameters()[range.clone()] == parts.parameters[range];
                    assert_eq!(stays, !scope.includes(index, &layer), "layer {index} on {}", path.name());
                    assert!(scope != Scope::Heads || stays == (layer.place == Place::Backbone));
                }
            });
        }
    }
}

#[test]
fn samples_that_are_not_finite_are_refused() {
    let parts = plain();
    let (x, y) = parts.samples(4, 2);
    on_every_path(&parts, 8, &x, &y, |_, adapter| {
        let before = (bits(adapter.support().inputs()), bits(adapter.support().targets()));
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let (mut worse_x, mut worse_y) = ([0.0; 3], [0.0; 7]);
            worse_x[2] = bad;
            assert_eq!(adapter.observe(&worse_x, &[0.0; 7]), Err(ObserveError::NotFinite));
            worse_y[6] = bad;
            assert_eq!(adapter.observe(&[0.0; 3], &worse_y), Err(ObserveError::NotFinite));
        }
        assert_eq!((bits(adapter.support().inputs()), bits(adapter.support().targets())), before);
    });
}

#[test]
fn an_update_that_diverges_changes_no_prediction() {
    let seeds = 0..4;
    for (rate, seed) in RATES.into_iter().flat_map(|rate| seeds.clone().map(move |seed| (rate, seed))) {
        for alpha in [30.0, 1e30] {
            let parts = Parts::new(several_heads(InputForm::Plain), gradient(rate, Scope::All), alpha, seed);
            let ((x, y), (new, _)) = (parts.samples(6, seed), parts.samples(3, seed + 1));
            on_every_path(&parts, 8, &x, &y, |path, adapter| {
                let before = (bits(adapter.parameters()), bits(&predict(adapter, &new)));
                let report = adapter.adapt(|| false).unwrap();
                let case = format!("{rate:?}, {alpha}, {}: {report:?}", path.name());
                match report.outcome {
                    Outcome::Worse => assert!(report.loss_after > report.loss_before, "{case}"),
                    outcome => assert_eq!(outcome, Outcome::NotFinite, "{case}"),
                }
                assert!(alpha < 1e30 || report.outcome == Outcome::NotFinite, "{case}");
                assert!(before == (bits(adapter.parameters()), bits(&predict(adapter, &new))), "{case}");
            });
        }
    }
}

#[test]
fn the_guard_is_the_callers_choice() {
    let parts = Parts::new(several_heads(InputForm::Plain), gradient(Rate::Constant, Scope::All), 30.0, 1);
    let (x, y) = parts.samples(6, 2);
    on_every_path(&parts, 8, &x, &y, |_, adapter| {
        assert_eq!(adapter.adapt(|| false).unwrap().outcome, Outcome::Worse);
        adapter.set_guard(Guard::Finite);
        let report = adapter.adapt(|| false).unwrap();
        assert_eq!(report.outcome, Outcome::Committed);
        assert!(adapter.support_loss().unwrap() > report.loss_before);
    });
}

#[test]
fn the_deadline_may_come_at_any_time() {
    for rate in RATES {
        let parts = Parts::new(several_heads(InputForm::Both), gradient(rate, Scope::All), 0.05, 1);
        let (x, y) = parts.samples(6, 2);
        on_every_path(&parts, 8, &x, &y, |path, adapter| {
            let start = bits(adapter.parameters());
            let report = adapter.adapt(|| true).unwrap();
            assert_eq!((report.outcome, report.steps), (Outcome::OutOfTime, 0));
            assert_eq!(bits(adapter.parameters()), start);
            for (guard, units) in [(Guard::Improve, 2..=4), (Guard::Finite, 1..=3)] {
                adapter.set_guard(guard);
                for units in units {
                    adapter.set_steps(3);
                    let mut asked = 0;
                    let stopped = adapter.adapt(|| {
                        asked += 1;
                        asked > units
                    });
                    let (stopped, parameters) = (stopped.unwrap(), bits(adapter.parameters()));
                    // The loss after a step is known only with the pass that follows it, so that a judge is one step behind.
                    let steps = if guard == Guard::Finite { units } else { units - 1 };
                    adapter.rollback();
                    adapter.set_steps(steps);
                    let whole = adapter.adapt(|| false).unwrap();
                    assert_eq!((stopped, stopped.steps), (whole, steps), "{guard:?} on {}", path.name());
                    assert_eq!(parameters, bits(adapter.parameters()), "{steps} steps on {}", path.name());
                    assert_ne!(parameters, start);
                    adapter.rollback();
                }
            }
            // The start alone was judged.
            adapter.set_guard(Guard::Improve);
            adapter.set_steps(3);
            let mut asked = 0;
            let report = adapter.adapt(|| {
                asked += 1;
                asked > 1
            });
            assert_eq!((report.unwrap().outcome, bits(adapter.parameters())), (Outcome::OutOfTime, start));
        });
    }
}

#[test]
fn every_adaptation_starts_from_the_meta_learned_start() {
    let parts = plain();
    let (x, y) = parts.samples(6, 2);
    on_every_path(&parts, 8, &x, &y, |_, adapter| {
        let first = (adapter.adapt(|| false).unwrap(), bits(adapter.parameters()));
        let second = (adapter.adapt(|| false).unwrap(), bits(adapter.parameters()));
        assert_eq!(first, second);
    });
}

#[test]
fn the_newest_samples_count() {
    let parts = plain();
    let (x, y) = parts.samples(5, 2);
    on_every_path(&parts, 3, &x, &y, |_, adapter| {
        assert_eq!((adapter.support().rows(), adapter.support().capacity()), (3, 3));
        adapter.adapt(|| false).unwrap();
        let parameters = bits(adapter.parameters());
        // The fourth and fifth lie in the places of the first and second.
        adapter.reset();
        for row in [3, 4, 2] {
            observe(adapter, &x[row * 3..][..3], &y[row * 7..][..7]);
        }
        adapter.adapt(|| false).unwrap();
        assert_eq!(bits(adapter.parameters()), parameters);
    });
}

#[test]
fn it_goes_back_to_the_start_to_the_bit() {
    let parts = plain();
    let ((x, y), (new, _)) = (parts.samples(6, 2), parts.samples(4, 3));
    on_every_path(&parts, 8, &[], &[], |_, adapter| {
        let start = bits(&predict(adapter, &new));
        assert_eq!(adapter.parameters(), parts.parameters);
        observe(adapter, &x, &y);
        // The support inputs move m, so that predictions change even before adapting.
        let relative = bits(&predict(adapter, &new));
        assert_ne!(relative, start);
        adapter.adapt(|| false).unwrap();
        assert_ne!(bits(&predict(adapter, &new)), relative);
        adapter.rollback();
        assert_eq!(adapter.parameters(), parts.parameters);
        assert_eq!((adapter.support().rows(), bits(&predict(adapter, &new))), (6, relative));
        adapter.adapt(|| false).unwrap();
        adapter.reset();
        assert_eq!(adapter.parameters(), parts.parameters);
        assert_eq!((adapter.support().rows(), bits(&predict(adapter, &new))), (0, start));
        let nothing = AdaptError::NoSupport { expected: 1, got: 0 };
        assert_eq!(adapter.adapt(|| false), Err(nothing));
        assert_eq!(adapter.support_loss(), Err(nothing));
    });
}

#[test]
fn memory_is_what_the_formula_says() {
    let (gradient_rules, forms) = (RATES.map(|rate| [false, true].map(|momentum| (rate, momentum))), FORMS);
    for ((rate, momentum), form) in gradient_rules.into_iter().flatten().flat_map(|rule| forms.map(|form| (rule, form)))
    {
        for scope in scopes() {
            let rule = Rule::Gradient { steps: 3, rate, scope, momentum, rows: 0 };
            let parts = Parts::new(several_heads(form), rule, 0.05, 1);
            let bytes = parts.bytes();
            let bundle = Bundle::parse(&bytes).unwrap();
            for capacity in [1, 2, 16, 33, 500] {
                let network = Network::new(&parts.network, Path::SCALAR).unwrap();
                let behind = network.behind(network.frozen(network.adapted(parts.rule.scope())));
                let (p, r, c) = (parts.parameters.len(), parts.numbers.len(), capacity);
                let (i, o) = (parts.network.input.len, parts.network.output_len());
                let (n, k) = (network.input_len(), behind.input_len());
                let mut memory = vec![0.0; Adapter::memory_len_on(Path::SCALAR, &bundle, c).unwrap()];
                let budget = Adapter::new_on(Path::SCALAR, &bundle, c, &mut memory).unwrap().budget();
                let (u, u2) = (budget.unit_rows, budget.unit_rows_behind);
                assert!((1..=c).contains(&u) && (u..=c).contains(&u2));
                assert_eq!(network.panel_len(), 0);
                let forward = network.forward_len(u).max(behind.forward_len(u2));
                let parameters = 4 * p + if momentum { p } else { 0 };
                let traces = forward + behind.backward_len(u2) + u * n;
                // The tests are built with the feature `masks`.
                let labels = 2 * c * o;
                let want = parameters + traces + c * k + r + 4 * i + 2 * o + c * (i + o) + labels;
                assert_eq!(memory.len(), want);
            }
        }
    }
}

#[test]
fn memory_that_is_too_short_is_refused_with_the_numbers() {
    let bytes = plain().bytes();
    let bundle = Bundle::parse(&bytes).unwrap();
    for path in Path::available() {
        let expected = Adapter::memory_len_on(path, &bundle, 4).unwrap();
        let mut memory = vec![0.0; expected];
        assert!(Adapter::new_on(path, &bundle, 4, &mut memory).is_ok());
        if path == Path::SCALAR {
            let refused = Adapter::new_on(path, &bundle, 4, &mut memory[1..]).unwrap_err();
            assert_eq!(refused, SetupError::Memory { expected, got: expected - 1 });
        }
        for got in [0, 1, expected / 2, expected - 64] {
            let refused = Adapter::new_on(path, &bundle, 4, &mut memory[..got]).unwrap_err();
            assert_eq!(refused, SetupError::Memory { expected, got }, "on {}", path.name());
        }
        // Wherever the memory begins, the length is enough.
        let mut memory = vec![0.0; expected + 16];
        for from in 0..16 {
            assert!(Adapter::new_on(path, &bundle, 4, &mut memory[from..][..expected]).is_ok());
        }
        assert_eq!(Adapter::memory_len_on(path, &bundle, 0), Err(SetupError::Capacity(0)));
        assert_eq!(Adapter::memory_len_on(path, &bundle, usize::MAX), Err(SetupError::Capacity(usize::MAX)));
    }
}

#[test]
fn many_rows_are_predicted_as_one_by_one() {
    let wide = networks::mlp(16, InputForm::Plain, &[64, 64], Activation::Relu, "energy", 4, Loss::MeanSquared);
    let wide = Parts::new(wide.unwrap(), gradient(Rate::Constant, Scope::All), 0.01, 1);
    for parts in [plain(), wide] {
        let ((x, y), (new, _)) = (parts.samples(6, 2), parts.samples(21, 3));
        on_every_path(&parts, 8, &x, &y, |path, adapter| {
            adapter.adapt(|| false).unwrap();
            // More rows than the support ring holds.
            let together = predict(adapter, &new);
            let single: Vec<f32> = new.chunks(adapter.input_len()).flat_map(|x| predict(adapter, x)).collect();
            let close: Vec<f64> = single.iter().map(|y| f64::from(*y)).collect();
            let error = relative_error(&together, &close);
            assert!(error <= 1e-6, "{error} on {}", path.name());
            assert!(path != Path::SCALAR || bits(&together) == bits(&single));
        });
    }
}

#[test]
fn wrong_lengths_are_errors() {
    let parts = plain();
    on_every_path(&parts, 4, &[], &[], |_, adapter| {
        let (x, y) = ([0.0; 9], &mut [0.0; 21]);
        let error = |expected, got| LengthError { expected, got };
        assert_eq!(adapter.observe(&x[..2], &y[..7]), Err(ObserveError::Length(error(3, 2))));
        assert_eq!(adapter.observe(&x[..3], &y[..8]), Err(ObserveError::Length(error(7, 8))));
        assert_eq!(adapter.predict(&x[..4], &mut y[..7]), Err(error(3, 4)));
        assert_eq!(adapter.predict(&x[..6], &mut y[..7]), Err(error(14, 7)));
        assert_eq!(adapter.predict(&[], &mut []), Ok(()));
        assert_eq!(adapter.support().rows(), 0);
    });
}
