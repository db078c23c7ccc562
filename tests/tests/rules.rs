//! Every rule, through an adapter and on every path, against a model of it in f64; those in closed form have a file of their own.

mod adapters;

use adapters::{close, observe, on_every_path, predict};
use sinew_models::rule::{Rate, Rule, Scope};
use sinew_models::spec::{Activation, InputForm, Layer, Loss};
use sinew_runtime::{Bundle, Guard, Outcome, Path};
use sinew_tests::bundle::{Parts, several_heads};
use sinew_tests::reference::{self, relative_error};
use sinew_tests::rules::{camera, classes, contexts, linear_heads, similarity};
use sinew_tests::sample::{self, Numbers};

const TANH: Activation = Activation::Tanh;

/// Adapts on `rows` samples and compares parameters and predictions with descent in f64.
fn check_descent(parts: &Parts, capacity: usize, rows: usize, steps: usize) {
    let (x, y) = parts.samples(rows, 2);
    let newest = rows.min(capacity);
    let (inputs, outputs) = (parts.network.input.len, parts.network.output_len());
    let (new_x, new_y) = (&x[(rows - newest) * inputs..], &y[(rows - newest) * outputs..]);
    let want = parts.adapted(steps, new_x, new_y);
    let answers = parts.predictions(&want, new_x, new_x);
    assert!(relative_error(&parts.parameters, &want) >= 1e-3, "a test that moves nothing shows nothing");
    on_every_path(parts, capacity, |path, adapter| {
        let case = format!("{:?} on {}", parts.rule, path.name());
        adapter.set_guard(Guard::Finite);
        adapter.set_steps(steps);
        observe(adapter, (&x, &y));
        let report = adapter.adapt(|| false).unwrap();
        assert_eq!((report.outcome, report.steps), (Outcome::Committed, steps), "{case}");
        close(adapter.parameters(), &want, 5e-6, &case);
        close(&predict(adapter, new_x), &answers, 1e-5, &case);
        // One after the other, as they came, is as good as all at once.
        adapter.reset();
        for row in 0..rows {
            observe(adapter, (&x[row * inputs..][..inputs], &y[row * outputs..][..outputs]));
            if row % 3 == 0 {
                adapter.adapt(|| false).unwrap();
            }
        }
        adapter.adapt(|| false).unwrap();
        close(adapter.parameters(), &want, 5e-6, &case);
    });
}

#[test]
fn momentum_is_polyaks() {
    for rate in [Rate::Constant, Rate::PerLayerStep, Rate::PerParameter] {
        for scope in [Scope::All, Scope::Heads, Scope::Layers([1, 3].into_iter().collect())] {
            let rule = Rule::Gradient { steps: 3, rate, scope, momentum: true, rows: 4 };
            let parts = Parts::new(several_heads(InputForm::Both), rule, 0.1, 1);
            check_descent(&parts, 6, 6, 3);
            // Past the last row of the rates, and with a ring that has gone round.
            check_descent(&parts, 5, 8, 5);
        }
    }
}

#[test]
fn contexts_alone_adapt() {
    for (rate, form) in [(Rate::Constant, InputForm::Plain), (Rate::PerLayerStep, InputForm::Relative)] {
        for momentum in [false, true] {
            let rule = Rule::Gradient { steps: 3, rate, scope: Scope::Contexts, momentum, rows: 0 };
            let parts = Parts::new(contexts(form), rule, 0.4, 3);
            check_descent(&parts, 8, 6, 3);
            let (x, y) = parts.samples(6, 2);
            on_every_path(&parts, 8, |path, adapter| {
                observe(adapter, (&x, &y));
                assert_eq!(adapter.adapt(|| false).unwrap().outcome, Outcome::Committed);
                for layer in parts.network.layers() {
                    let range = layer.offset..layer.offset + layer.param_len();
                    let stays = adapter.parameters()[range.clone()] == parts.parameters[range];
                    let context = matches!(layer.layer, Layer::Context { .. });
                    assert_eq!(stays, !context, "{layer:?} on {}", path.name());
                }
            });
        }
    }
}

#[test]
fn many_units_of_work_are_one_step() {
    for (scope, momentum) in [
        (Scope::All, false),
        (Scope::All, true),
        (Scope::Heads, false),
        (Scope::Layers([1, 5].into_iter().collect()), false),
        (Scope::Layers([2].into_iter().collect()), true),
    ] {
        let rule = Rule::Gradient { steps: 2, rate: Rate::PerLayerStep, scope: scope.clone(), momentum, rows: 7 };
        let parts = Parts::new(camera(), rule, 0.2, 1);
        check_descent(&parts, 7, 7, 2);
        // A fast path has room for more rows in a unit: enough of them that it divides them too, against the scalar path.
        let (rows, mut scalar) = (60, Vec::new());
        let (x, y) = parts.samples(rows, 5);
        on_every_path(&parts, rows, |path, adapter| {
            let budget = adapter.budget();
            assert!(budget.unit_rows < if path == Path::SCALAR { 7 } else { rows }, "{budget:?}");
            assert!(scope != Scope::All || budget.unit_rows_behind < rows, "{budget:?}");
            observe(adapter, (&x, &y));
            adapter.adapt(|| false).unwrap();
            if path == Path::SCALAR {
                scalar = adapter.parameters().iter().map(|p| f64::from(*p)).collect();
            }
            let error = relative_error(adapter.parameters(), &scalar);
            assert!(error <= 1e-5, "{scope:?} on {}: {error}", path.name());
        });
    }
    let rule = Rule::Gradient { steps: 2, rate: Rate::PerParameter, scope: Scope::All, momentum: false, rows: 5 };
    check_descent(&Parts::new(camera(), rule, 0.2, 2), 6, 8, 2);
}

fn distance(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum()
}

#[test]
fn prototypes_are_running_means_and_classes_may_come_late() {
    let parts = Parts::new(classes(4), Rule::Prototype, 0.0, 1);
    let (x, _) = parts.samples(24, 2);
    let (new, _) = parts.samples(5, 3);
    // The classes 2 and 3 come late, and class 1 never.
    let class = |row: usize| if row < 8 { 0 } else { [0, 2, 3][row % 3] };
    let y: Vec<f32> = (0..24).flat_map(|row| (0..4).map(move |c| f32::from(u8::from(c == class(row))))).collect();
    let (known, queries) = (parts.features(&x, &[]), parts.features(&new, &[]));
    let scale = f64::from(parts.numbers[0]);
    on_every_path(&parts, 6, |path, adapter| {
        adapter.set_guard(Guard::Finite);
        for row in 0..24 {
            observe(adapter, (&x[row * 3..][..3], &y[row * 4..][..4]));
            if row % 4 != 3 {
                continue;
            }
            let report = adapter.adapt(|| false).unwrap();
            assert_eq!((report.outcome, report.steps), (Outcome::Committed, 4));
            let mut want = Vec::new();
            for query in &queries {
                let likelihood = |kind: usize| {
                    let of: Vec<_> = known[..=row].iter().enumerate().filter(|(row, _)| class(*row) == kind).collect();
                    let mean: Vec<f64> =
                        (0..6).map(|i| of.iter().map(|(_, z)| z[i]).sum::<f64>() / of.len() as f64).collect();
                    if of.is_empty() { 0.0 } else { (-scale * distance(query, &mean)).exp() }
                };
                let mass: f64 = (0..4).map(likelihood).sum();
                want.extend((0..4).map(|kind| likelihood(kind) / mass));
            }
            let got = predict(adapter, &new);
            close(&got, &want, 1e-5, &format!("{row} on {}", path.name()));
            // A class without a sample is impossible, to the bit.
            assert!(got.chunks(4).all(|y| y[1] == 0.0 && (row >= 8 || y[0] == 1.0)));
            assert_eq!(adapter.adapt(|| false).unwrap().outcome, Outcome::NothingNew);
        }
    });
}

#[test]
fn the_most_similar_support_row_speaks_for_its_class() {
    for form in [InputForm::Plain, InputForm::Both] {
        let parts = Parts::new(similarity(form), Rule::Siamese { classes: 5 }, 0.0, 1);
        let (x, _) = parts.samples(11, 2);
        let (new, _) = parts.samples(7, 3);
        // Class 4 has no row.
        let class = |row: usize| [0, 1, 2, 3, 1][row % 5];
        let y: Vec<f32> = (0..11).flat_map(|row| (0..5).map(move |c| f32::from(u8::from(c == class(row))))).collect();
        let last = parts.network.layers().last().unwrap();
        let alpha = &parts.parameters[last.offset..][..6];
        let bias = f64::from(parts.parameters[last.offset + 6]);
        on_every_path(&parts, 4, |path, adapter| {
            assert_eq!(predict(adapter, &new), [0.0; 35], "nothing is known");
            for row in 0..11 {
                observe(adapter, (&x[row * 3..][..3], &y[row * 5..][..5]));
                let report = adapter.adapt(|| false).unwrap();
                let rows = (row + 1).min(4);
                assert_eq!((report.outcome, report.steps), (Outcome::Committed, rows));
                let kept = row + 1 - rows..row + 1;
                let support = &x[kept.start * 3..kept.end * 3];
                let (known, queries) = (parts.features(support, support), parts.features(&new, support));
                let mut want = Vec::new();
                for query in &queries {
                    let score = |stored: &[f64]| {
                        let terms = alpha.iter().zip(query.iter().zip(stored));
                        let sum: f64 = terms.map(|(alpha, (a, b))| f64::from(*alpha) * (a - b).abs()).sum();
                        1.0 / (1.0 + (-bias - sum).exp())
                    };
                    let best = |kind: usize| {
                        let of = known.iter().zip(kept.clone()).filter(|(_, row)| class(*row) == kind);
                        of.map(|(stored, _)| score(stored)).fold(0.0, f64::max)
                    };
                    want.extend((0..5).map(best));
                }
                close(&predict(adapter, &new), &want, 5e-6, &format!("{form:?} {row} on {}", path.name()));
            }
            adapter.rollback();
            assert_eq!(predict(adapter, &new), [0.0; 35], "nothing is known");
            adapter.adapt(|| false).unwrap();
            assert_ne!(predict(adapter, &new), [0.0; 35]);
        });
    }
}

/// One parameter and what the gates remember of it (Ravi and Larochelle 2017, eqs. 2–3).
#[derive(Clone)]
struct Coordinate {
    h: Vec<f64>,
    c: Vec<f64>,
    gates: [f64; 2],
}

fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

impl Coordinate {
    /// The next θ; `numbers` are the tensors of the rule.
    fn step(&mut self, numbers: &[f64], loss: f64, gradient: f64, theta: f64) -> f64 {
        let units = self.h.len();
        let (weight_ih, rest) = numbers.split_at(16 * units);
        let (weight_hh, rest) = rest.split_at(4 * units * units);
        let (bias, rest) = rest.split_at(4 * units);
        let (gate_weight, gate_bias) = rest.split_at(rest.len() - 2);
        let seen = |x: f64| {
            if x.abs() >= (-10.0_f64).exp() { [x.abs().ln() / 10.0, x.signum()] } else { [-1.0, 10.0_f64.exp() * x] }
        };
        let x = [seen(loss), seen(gradient)].concat();
        let dot = |w: &[f64], x: &[f64]| w.iter().zip(x).map(|(w, x)| w * x).sum::<f64>();
        let sums: Vec<f64> = (0..4 * units)
            .map(|row| {
                bias[row] + dot(&weight_ih[4 * row..][..4], &x) + dot(&weight_hh[units * row..][..units], &self.h)
            })
            .collect();
        for unit in 0..units {
            let [i, f, g, o] = [0, 1, 2, 3].map(|gate| sums[gate * units + unit]);
            self.c[unit] = sigmoid(f) * self.c[unit] + sigmoid(i) * g.tanh();
            self.h[unit] = sigmoid(o) * self.c[unit].tanh();
        }
        let shown = if units > 0 { self.h.clone() } else { x };
        for gate in 0..2 {
            let joined = [&shown[..], &[theta, self.gates[gate]]].concat();
            self.gates[gate] = sigmoid(dot(&gate_weight[gate * joined.len()..], &joined) + gate_bias[gate]);
        }
        self.gates[0] * theta - self.gates[1] * gradient
    }
}

#[test]
fn learned_gates_follow_their_equations() {
    for (hidden, scope, spec) in [
        (0, Scope::All, several_heads(InputForm::Both)),
        (5, Scope::All, sample::network(3, &[(6, TANH)], &[(2, None, Loss::MeanSquared)])),
        (3, Scope::Heads, several_heads(InputForm::Plain)),
        (2, Scope::Contexts, contexts(InputForm::Plain)),
    ] {
        let parts = Parts::new(spec, Rule::MetaLstm { steps: 3, hidden, scope: scope.clone() }, 0.0, 1);
        let numbers: Vec<f64> = parts.numbers.iter().map(|v| f64::from(*v)).collect();
        let (x, y) = parts.samples(6, 2);
        let (presented, scaled) = (parts.presented(&x, &x), parts.scaled(&y));
        let mut theta = parts.start();
        let mut gates = vec![Coordinate { h: vec![0.0; hidden], c: vec![0.0; hidden], gates: [0.0; 2] }; theta.len()];
        for _ in 0..3 {
            let (loss, gradient) = reference::gradient(&parts.network, &theta, &presented, &scaled, 6);
            for (_, layer) in parts.network.layers().enumerate().filter(|(index, layer)| scope.includes(*index, layer))
            {
                for p in layer.offset..layer.offset + layer.param_len() {
                    theta[p] = gates[p].step(&numbers, loss, gradient[p], theta[p]);
                }
            }
        }
        assert!(relative_error(&parts.parameters, &theta) >= 1e-2);
        on_every_path(&parts, 8, |path, adapter| {
            let case = format!("{hidden} {scope:?} on {}", path.name());
            adapter.set_guard(Guard::Finite);
            observe(adapter, (&x, &y));
            for _ in 0..2 {
                // The gates remember nothing from one adaptation to the next.
                let report = adapter.adapt(|| false).unwrap();
                assert_eq!((report.outcome, report.steps), (Outcome::Committed, 3), "{case}");
                close(adapter.parameters(), &theta, 1e-4, &case);
            }
        });
    }
}

#[test]
fn the_numbers_of_a_seed_are_the_numbers_of_a_bundle() {
    let rules = [
        Rule::Gradient { steps: 2, rate: Rate::PerLayerStep, scope: Scope::All, momentum: true, rows: 0 },
        Rule::Ridge { recursive: true },
        Rule::Bayes,
        Rule::MetaLstm { steps: 1, hidden: 2, scope: Scope::All },
    ];
    for rule in rules {
        let mut parts = Parts::new(linear_heads(InputForm::Plain), rule, 0.1, Numbers(7).next_bits());
        parts.novelty = Some([1.0, 2.5]);
        let bytes = parts.bytes();
        let bundle = Bundle::parse(&bytes).unwrap();
        assert_eq!((bundle.network(), bundle.rule()), (&parts.network, &parts.rule));
        let numbers: Vec<f32> =
            bundle.numbers().flat_map(|view| (0..view.len()).filter_map(move |i| view.get(i))).collect();
        assert_eq!(numbers, parts.numbers);
        let novelty = bundle.novelty().unwrap();
        assert_eq!((novelty.get(0), novelty.get(1), novelty.get(2)), (Some(1.0), Some(2.5), None));
    }
}
