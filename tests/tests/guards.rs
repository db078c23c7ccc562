//! What may be committed, and when: held-back rows, trust, patience and recovery, deadlines, and what it all costs.

mod adapters;

use adapters::{observe, on_every_path};
use sinew_models::rule::{Rate, Rule, Scope};
use sinew_models::spec::{Activation, InputForm};
use sinew_runtime::{AdaptError, Adapter, Guard, Limits, Outcome, Report};
use sinew_tests::bundle::{Parts, gradient, several_heads};
use sinew_tests::reference::relative_error;
use sinew_tests::rules::{dense, every, head, linear_heads, network};

const GUARDS: [Guard; 3] = [Guard::Finite, Guard::Improve, Guard::HeldBack(2)];

fn predict(adapter: &mut Adapter<'_>, x: &[f32]) -> Vec<u32> {
    let mut y = vec![f32::NAN; x.len() / adapter.input_len() * adapter.output_len()];
    adapter.predict(x, &mut y).unwrap();
    bits(&y)
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| value.to_bits()).collect()
}

/// Adapts until time is up at the `units`-th question; how often it was asked.
fn adapt_for(adapter: &mut Adapter<'_>, units: usize) -> (Report, usize) {
    let mut asked = 0;
    let report = adapter.adapt(|| {
        asked += 1;
        asked > units
    });
    (report.unwrap(), asked)
}

/// The rows from `from` to `to`.
fn rows<'a>(parts: &Parts, (x, y): (&'a [f32], &'a [f32]), from: usize, to: usize) -> (&'a [f32], &'a [f32]) {
    let (inputs, outputs) = (parts.network.input.len, parts.rule.output_len(&parts.network));
    (&x[from * inputs..to * inputs], &y[from * outputs..to * outputs])
}

#[test]
fn the_newest_rows_judge_and_do_not_teach() {
    let (mut committed, mut midway, mut refused) = (0, 0, 0);
    for (seed, alpha) in [(1, 0.05), (2, 0.3), (3, 1.0), (4, 2.0)] {
        let parts = Parts::new(several_heads(InputForm::Plain), gradient(Rate::Constant, Scope::All), alpha, seed);
        for (capacity, count) in [(9, 7), (7, 7), (7, 8), (7, 10), (7, 13)] {
            let (x, y) = parts.samples(count, seed + 10);
            let kept = count.min(capacity);
            let (x, y) = rows(&parts, (&x, &y), count - kept, count);
            let (learn, judge) = (rows(&parts, (x, y), 0, kept - 3), rows(&parts, (x, y), kept - 3, kept));
            let tried: Vec<_> = (0..=5).map(|steps| parts.adapted(steps, learn.0, learn.1)).collect();
            let losses: Vec<f64> = tried.iter().map(|tried| parts.loss(tried, judge, &[])).collect();
            let best = (0..=5).min_by(|a, b| losses[*a].total_cmp(&losses[*b])).unwrap();
            let margin = losses.iter().enumerate().filter(|(step, _)| *step != best);
            let margin = margin.map(|(_, loss)| loss - losses[best]).fold(f64::INFINITY, f64::min);
            if margin.is_nan() || margin <= 1e-4 {
                continue;
            }
            committed += usize::from(best == 5);
            midway += usize::from((1..5).contains(&best));
            refused += usize::from(best == 0);
            on_every_path(&parts, capacity, |path, adapter| {
                adapter.set_steps(5);
                adapter.set_guard(Guard::HeldBack(3));
                let (x, y) = parts.samples(count, seed + 10);
                observe(adapter, (&x, &y));
                let report = adapter.adapt(|| false).unwrap();
                let case = format!("{alpha}, {count} rows of {capacity}, {losses:?} on {}: {report:?}", path.name());
                assert!((f64::from(report.loss_before) - losses[0]).abs() <= 1e-4 * losses[0], "{case}");
                if best > 0 {
                    assert_eq!((report.outcome, report.steps), (Outcome::Committed, best), "{case}");
                    assert!(relative_error(adapter.parameters(), &tried[best]) <= 1e-4, "{case}");
                    assert!((f64::from(report.loss_after) - losses[best]).abs() <= 1e-4 * losses[0], "{case}");
                } else {
                    assert_eq!((report.outcome, report.steps), (Outcome::Worse, 5), "{case}");
                    assert_eq!(adapter.parameters(), parts.parameters, "{case}");
                }
            });
        }
    }
    assert!(committed > 0 && midway > 0 && refused > 0, "{committed} {midway} {refused}");
}

#[test]
fn there_must_be_rows_besides_those_held_back() {
    for parts in every(1) {
        let (x, y) = parts.samples(4, 2);
        on_every_path(&parts, 6, |_, adapter| {
            adapter.set_guard(Guard::HeldBack(3));
            observe(adapter, rows(&parts, (&x, &y), 0, 3));
            let expected = AdaptError::NoSupport { expected: 4, got: 3 };
            assert_eq!(adapter.adapt(|| false), Err(expected));
            adapter.set_guard(Guard::HeldBack(usize::MAX));
            let expected = AdaptError::NoSupport { expected: usize::MAX, got: 3 };
            assert_eq!(adapter.adapt(|| false), Err(expected));
            adapter.set_guard(Guard::HeldBack(3));
            observe(adapter, rows(&parts, (&x, &y), 3, 4));
            assert!(adapter.adapt(|| false).is_ok());
        });
    }
}

#[test]
fn what_holds_nothing_back_is_judged_by_what_it_learned() {
    let parts = Parts::new(several_heads(InputForm::Plain), gradient(Rate::Constant, Scope::All), 30.0, 1);
    let (x, y) = parts.samples(6, 2);
    on_every_path(&parts, 6, |_, adapter| {
        adapter.set_guard(Guard::HeldBack(0));
        observe(adapter, (&x, &y));
        assert_eq!(adapter.adapt(|| false).unwrap().outcome, Outcome::Worse);
    });
}

#[test]
fn no_steps_are_no_update_and_no_refusal() {
    let parts = Parts::new(several_heads(InputForm::Plain), gradient(Rate::Constant, Scope::All), 0.05, 1);
    let (x, y) = parts.samples(6, 2);
    on_every_path(&parts, 6, |_, adapter| {
        adapter.set_steps(0);
        adapter.set_limits(Limits { patience: 1, ..Limits::default() });
        observe(adapter, (&x, &y));
        for guard in GUARDS {
            adapter.set_guard(guard);
            let report = adapter.adapt(|| false).unwrap();
            assert_eq!((report.outcome, report.steps, report.rolled_back), (Outcome::OutOfTime, 0, false), "{guard:?}");
        }
    });
}

#[test]
fn the_trust_radius_is_the_longest_way_from_the_start() {
    let several = |rate| Parts::new(several_heads(InputForm::Plain), gradient(rate, Scope::All), 0.05, 1);
    let linear = |rule| Parts::new(linear_heads(InputForm::Plain), rule, 0.0, 1);
    let parts = [
        several(Rate::Constant),
        several(Rate::PerParameter),
        linear(Rule::Ridge { recursive: false }),
        linear(Rule::Ridge { recursive: true }),
        linear(Rule::Bayes),
    ];
    for parts in parts {
        let (x, y) = parts.samples(6, 2);
        on_every_path(&parts, 8, |path, adapter| {
            adapter.set_guard(Guard::Finite);
            observe(adapter, (&x, &y));
            let free = adapter.adapt(|| false).unwrap();
            assert_eq!(free.outcome, Outcome::Committed);
            let square = |(a, b): (&f32, &f32)| (f64::from(*a) - f64::from(*b)).powi(2);
            let way = adapter.parameters().iter().zip(&parts.parameters).map(square).sum::<f64>().sqrt() as f32;
            let adapted = bits(adapter.parameters());
            for (radius, outcome) in [
                (1.001 * way, Outcome::Committed),
                (0.999 * way, Outcome::OutsideTrust),
                (0.0, Outcome::OutsideTrust),
                (f32::NAN, Outcome::OutsideTrust),
                (1e30, Outcome::Committed),
            ] {
                adapter.rollback();
                adapter.set_limits(Limits { trust_radius: radius, ..Limits::default() });
                let report = adapter.adapt(|| false).unwrap();
                assert_eq!(report.outcome, outcome, "{:?} {radius} of {way} on {}", parts.rule, path.name());
                let want = if outcome == Outcome::Committed { &adapted } else { &bits(&parts.parameters) };
                assert_eq!(&bits(adapter.parameters()), want);
                assert_eq!(adapter.verify(), Ok(()));
            }
        });
    }
}

#[test]
fn refusals_use_up_patience_and_new_samples_bring_recovery() {
    for parts in every(1) {
        if matches!(parts.rule, Rule::Siamese { .. }) {
            continue;
        }
        let (x, y) = parts.samples(12, 2);
        on_every_path(&parts, 8, |path, adapter| {
            let case = format!("{:?} on {}", parts.rule, path.name());
            adapter.set_guard(Guard::Finite);
            observe(adapter, rows(&parts, (&x, &y), 0, 4));
            assert_eq!(adapter.adapt(|| false).unwrap().outcome, Outcome::Committed, "{case}");
            let good = bits(adapter.parameters());
            adapter.set_limits(Limits { trust_radius: 0.0, patience: 2, recovery: 3 });
            observe(adapter, rows(&parts, (&x, &y), 4, 5));
            let report = adapter.adapt(|| false).unwrap();
            assert_eq!((report.outcome, report.rolled_back), (Outcome::OutsideTrust, false), "{case}");
            assert_eq!(bits(adapter.parameters()), good, "{case}");
            observe(adapter, rows(&parts, (&x, &y), 5, 6));
            let report = adapter.adapt(|| false).unwrap();
            assert_eq!((report.outcome, report.rolled_back), (Outcome::OutsideTrust, true), "{case}");
            assert_eq!((adapter.parameters(), adapter.support().rows()), (&parts.parameters[..], 0), "{case}");
            assert_eq!(adapter.verify(), Ok(()));
            // The rows of the transient are gone, and three new ones are waited for.
            adapter.set_limits(Limits { patience: 2, recovery: 3, ..Limits::default() });
            assert_eq!(adapter.adapt(|| false), Err(AdaptError::NoSupport { expected: 1, got: 0 }), "{case}");
            for row in 6..8 {
                observe(adapter, rows(&parts, (&x, &y), row, row + 1));
                let report = adapter.adapt(|| false).unwrap();
                assert_eq!((report.outcome, report.steps), (Outcome::Recovering, 0), "{case}");
            }
            observe(adapter, rows(&parts, (&x, &y), 8, 9));
            assert_eq!(adapter.adapt(|| false).unwrap().outcome, Outcome::Committed, "{case}");
            // As one that never saw the transient.
            let recovered = bits(adapter.parameters());
            adapter.set_limits(Limits::default());
            adapter.reset();
            observe(adapter, rows(&parts, (&x, &y), 6, 9));
            adapter.adapt(|| false).unwrap();
            assert_eq!(bits(adapter.parameters()), recovered, "{case}");
        });
    }
}

/// With room for so many rows the camera takes several units of work for them.
const CAPACITY: usize = 11;

#[test]
fn until_is_asked_as_often_as_the_budget_says() {
    for parts in every(1) {
        let count = 2 * CAPACITY;
        let (x, y) = parts.samples(count, 2);
        // Other data, far out: the amount of work is not theirs to say.
        let far: Vec<f32> = x.iter().map(|x| 1e3 * x).collect();
        on_every_path(&parts, CAPACITY, |path, adapter| {
            for guard in GUARDS {
                adapter.set_guard(guard);
                let budget = adapter.budget();
                let mut most = 0;
                for rows_in in CAPACITY..count {
                    let mut asked = [0; 2];
                    for (asked, x) in asked.iter_mut().zip([&x, &far]) {
                        adapter.reset();
                        observe(adapter, rows(&parts, (x, &y), 0, rows_in));
                        (_, *asked) = adapt_for(adapter, usize::MAX);
                    }
                    assert_eq!(asked[0], asked[1], "{:?} {guard:?}", parts.rule);
                    most = most.max(asked[0]);
                }
                // Features and guard meet the end of the ring in different places, so that both cannot cost most at once.
                let both = matches!(guard, Guard::HeldBack(_)) && parts.network.input.image.is_some();
                let case = format!("{:?} {guard:?} on {}: {most} of {budget:?}", parts.rule, path.name());
                assert!(most <= budget.units && (most == budget.units || both && most + 2 >= budget.units), "{case}");
                adapter.reset();
                // A ring that is not full costs no more.
                for row in 0..CAPACITY {
                    observe(adapter, rows(&parts, (&x, &y), row, row + 1));
                    if adapter.support().rows() > 2 {
                        assert!(adapt_for(adapter, usize::MAX).1 <= budget.units, "{case}");
                    }
                }
            }
        });
    }
}

#[test]
fn a_unit_costs_what_its_rows_cost() {
    let identity = Activation::Identity;
    let spec = || {
        let heads = vec![
            head("a", &[dense(4, identity)], sinew_models::spec::Loss::MeanSquared),
            head("b", &[dense(2, identity)], sinew_models::spec::Loss::MeanSquared),
        ];
        network(sinew_models::spec::Input::vector(3, InputForm::Both), &[dense(10, Activation::Relu)], heads)
    };
    let (first, heads) = (6 * 10, 10 * 4 + 10 * 2);
    // Forward and back: the gradient at the input is not needed.
    let (all, anil) = (first + heads + first + 2 * heads, heads + heads);
    for (scope, row, frozen) in [(Scope::All, all, 0), (Scope::Heads, anil, first)] {
        let parts = Parts::new(spec(), gradient(Rate::Constant, scope), 0.05, 1);
        on_every_path(&parts, 12, |_, adapter| {
            let budget = adapter.budget();
            assert_eq!((budget.unit_rows, budget.unit_rows_behind), (12, 12));
            assert_eq!(budget.prediction, first + heads);
            assert!(budget.unit >= 12 * row.max(frozen), "{budget:?}");
            assert!(budget.unit <= 12 * (row + heads).max(frozen), "{budget:?}");
            // Three steps, and a pass that judges.
            assert!(budget.adaptation >= 12 * (3 * row + heads + frozen), "{budget:?}");
            assert!(budget.adaptation <= budget.units as u64 * budget.unit);
        });
    }
    for parts in every(1) {
        on_every_path(&parts, CAPACITY, |_, adapter| {
            for guard in GUARDS {
                adapter.set_guard(guard);
                let budget = adapter.budget();
                assert!(
                    budget.adaptation <= budget.units as u64 * budget.unit,
                    "{:?} {guard:?}: {budget:?}",
                    parts.rule
                );
                assert!(budget.prediction > 0 && budget.unit > 0 || matches!(parts.rule, Rule::Siamese { .. }));
            }
        });
    }
}

#[test]
fn a_deadline_leaves_what_was_or_something_judged() {
    for parts in every(1) {
        let similar = matches!(parts.rule, Rule::Siamese { .. });
        let (x, y) = parts.samples(9, 2);
        let (new, _) = parts.samples(3, 3);
        on_every_path(&parts, 7, |path, adapter| {
            for guard in GUARDS {
                let case = format!("{:?} {guard:?} on {}", parts.rule, path.name());
                adapter.set_guard(guard);
                let begin = |adapter: &mut Adapter<'_>| {
                    adapter.reset();
                    observe(adapter, rows(&parts, (&x, &y), 0, 5));
                    adapter.adapt(|| false).unwrap();
                    observe(adapter, rows(&parts, (&x, &y), 5, 9));
                    predict(adapter, &new)
                };
                let before = begin(adapter);
                let (whole, units) = adapt_for(adapter, usize::MAX);
                let after = predict(adapter, &new);
                for stop in 0..units {
                    assert_eq!(begin(adapter), before);
                    let (report, asked) = adapt_for(adapter, stop);
                    assert_eq!(asked, stop + 1, "{case}: it was asked again");
                    if report.outcome == Outcome::Committed {
                        let held_back = if let Guard::HeldBack(rows) = guard { rows } else { 7 };
                        let judge = rows(&parts, (&x, &y), 9 - held_back, 9);
                        let support = rows(&parts, (&x, &y), 2, 9).0;
                        let now: Vec<f64> = adapter.parameters().iter().map(|p| f64::from(*p)).collect();
                        let losses = [&parts.start(), &now].map(|at| parts.loss(at, judge, support));
                        assert!(guard == Guard::Finite || losses[1] <= losses[0] * (1.0 + 1e-5), "{case}: {losses:?}");
                    } else if similar {
                        assert_eq!(report.outcome, Outcome::OutOfTime, "{case}");
                    } else {
                        assert!(matches!(report.outcome, Outcome::OutOfTime | Outcome::Worse), "{case}: {report:?}");
                        assert_eq!(predict(adapter, &new), before, "{case} after {stop}");
                    }
                    assert_eq!(adapter.verify(), Ok(()), "{case}");
                    // What was begun goes on, and ends as if it had not been interrupted.
                    if report.outcome == Outcome::OutOfTime {
                        let (report, asked) = adapt_for(adapter, usize::MAX);
                        assert_eq!((report.outcome, report.steps), (whole.outcome, whole.steps), "{case} after {stop}");
                        assert_eq!(predict(adapter, &new), after, "{case} after {stop}");
                        assert!(asked <= units);
                    }
                }
                // A deadline after each unit: it comes to an end all the same, if it keeps what it did.
                if matches!(parts.rule, Rule::Ridge { recursive: true } | Rule::Bayes | Rule::Prototype) {
                    begin(adapter);
                    let mut report = adapt_for(adapter, 1).0;
                    let judging = match guard {
                        Guard::Finite => 1,
                        _ => 3,
                    };
                    for _ in 0..8 {
                        if report.outcome == Outcome::OutOfTime {
                            report = adapt_for(adapter, judging + 1).0;
                        }
                    }
                    assert_eq!((report.outcome, report.steps), (whole.outcome, whole.steps), "{case}");
                    assert_eq!(predict(adapter, &new), after, "{case}");
                }
            }
        });
    }
}

#[test]
fn new_inputs_are_told_from_known_ones() {
    let mut parts = Parts::new(several_heads(InputForm::Both), gradient(Rate::Constant, Scope::All), 0.05, 1);
    let (x, y) = parts.samples(9, 2);
    for novelty in [None, Some([1.0, 2.5])] {
        parts.novelty = novelty;
        on_every_path(&parts, 6, |_, adapter| {
            assert_eq!(adapter.novelty(), None);
            observe(adapter, (&x, &y));
            // The last six rows, in their plain presentation.
            let z = x[9..]
                .iter()
                .enumerate()
                .map(|(i, x)| (f64::from(*x) - f64::from(parts.inputs[0][i % 3])) / f64::from(parts.inputs[1][i % 3]));
            let want = z.map(|z| z * z).sum::<f64>() / 18.0;
            let got = adapter.novelty().unwrap();
            assert!((f64::from(got.score) - want).abs() <= 1e-5 * want, "{got:?}, not {want}");
            assert_eq!((got.median, got.limit), (novelty.map(|n| n[0]), novelty.map(|n| n[1])));
            let far: Vec<f32> = x.iter().map(|x| x + 100.0).collect();
            observe(adapter, (&far, &y));
            assert!(adapter.novelty().unwrap().score > 1e3);
            adapter.reset();
            assert_eq!(adapter.novelty(), None);
        });
    }
}
