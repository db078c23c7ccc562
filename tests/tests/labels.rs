//! Samples that carry the labels of some heads only, and the guard that lets no head get worse.

mod adapters;

use adapters::{close, observe, on_every_path};
use sinew_models::rule::{Rate, Rule, Scope};
use sinew_models::spec::{Activation, Input, InputForm, Loss, MAX_HEADS};
use sinew_runtime::live::Channel;
use sinew_runtime::{AdaptError, Adapter, Bundle, Guard, HeadSet, ObserveError, Outcome};
use sinew_tests::bundle::{Parts, gradient, several_heads};
use sinew_tests::rules::{dense, every, head, network};
use sinew_tests::sample::Numbers;

/// The columns of each head.
fn columns(parts: &Parts) -> Vec<std::ops::Range<usize>> {
    let mut end = 0;
    let next = |outputs: usize| {
        end += outputs;
        end - outputs..end
    };
    parts.network.heads.iter().map(|head| head.outputs()).map(next).collect()
}

/// The targets with NaN where a row lacks the label of a head.
fn masked(parts: &Parts, y: &[f32], labelled: &[HeadSet]) -> Vec<f32> {
    let (columns, mut y) = (columns(parts), y.to_vec());
    for (row, set) in y.chunks_mut(parts.network.output_len()).zip(labelled) {
        for (head, columns) in columns.iter().enumerate() {
            if !set.has(head) {
                row[columns.clone()].fill(f32::NAN);
            }
        }
    }
    y
}

/// Puts in all rows with the labels that they carry; what the others have is as bad as it can be.
fn observe_some(adapter: &mut Adapter<'_>, parts: &Parts, x: &[f32], y: &[f32], labelled: &[HeadSet]) {
    let y = masked(parts, y, labelled);
    let rows = x.chunks(adapter.input_len()).zip(y.chunks(adapter.output_len()));
    for ((x, y), labelled) in rows.zip(labelled) {
        adapter.observe_heads(x, y, *labelled).unwrap();
    }
}

/// At least one head in each row.
fn some(rows: usize, heads: usize, seed: u64) -> Vec<HeadSet> {
    let mut numbers = Numbers(seed);
    let draw = |_| {
        let bits = numbers.next_bits() as u32 >> 3 & ((1 << heads) - 1);
        HeadSet::from_bits(if bits == 0 { 1 } else { bits })
    };
    (0..rows).map(draw).collect()
}

#[test]
fn heads_learn_from_their_own_labels_alone() {
    for (seed, form) in [(1, InputForm::Plain), (2, InputForm::Both), (3, InputForm::Relative)] {
        for (rate, scope) in
            [(Rate::Constant, Scope::All), (Rate::PerLayerStep, Scope::All), (Rate::PerParameter, Scope::Heads)]
        {
            let parts = Parts::new(several_heads(form), gradient(rate, scope), 0.1, seed);
            let (x, y) = parts.samples(6, seed + 20);
            let labelled = some(6, 4, seed);
            let want = parts.adapted(3, &x, &masked(&parts, &y, &labelled));
            on_every_path(&parts, 6, |path, adapter| {
                adapter.set_guard(Guard::Finite);
                observe_some(adapter, &parts, &x, &y, &labelled);
                assert_eq!(adapter.adapt(|| false).unwrap().outcome, Outcome::Committed);
                close(adapter.parameters(), &want, 1e-4, path.name());
            });
        }
    }
}

#[test]
fn one_head_teaches_the_backbone_and_leaves_the_other_heads_layers() {
    let parts = Parts::new(several_heads(InputForm::Plain), gradient(Rate::Constant, Scope::All), 0.1, 5);
    let (x, y) = parts.samples(6, 6);
    for only in 0..4 {
        on_every_path(&parts, 6, |_, adapter| {
            adapter.set_guard(Guard::Finite);
            observe_some(adapter, &parts, &x, &y, &[HeadSet::NONE.with(only); 6]);
            adapter.adapt(|| false).unwrap();
            let moved = |slot: sinew_models::layout::Slot<'_>| {
                let range = slot.offset()..slot.offset() + slot.len();
                adapter.parameters()[range.clone()] != parts.parameters[range]
            };
            for slot in parts.network.slots() {
                let own = slot.name().starts_with("backbone")
                    || slot.name().starts_with(&format!("heads.{}.", parts.network.heads[only].name));
                let name = slot.name();
                assert_eq!(moved(slot), own, "{only}: {name}");
            }
        });
    }
}

#[test]
fn all_labels_are_those_of_observe() {
    let parts = Parts::new(several_heads(InputForm::Both), gradient(Rate::Constant, Scope::All), 0.1, 7);
    let (x, y) = parts.samples(5, 8);
    on_every_path(&parts, 5, |_, adapter| {
        observe(adapter, (&x, &y));
        adapter.adapt(|| false).unwrap();
        let plain: Vec<u32> = adapter.parameters().iter().map(|value| value.to_bits()).collect();
        adapter.reset();
        observe_some(adapter, &parts, &x, &y, &[HeadSet::ALL; 5]);
        adapter.adapt(|| false).unwrap();
        assert!(adapter.parameters().iter().map(|value| value.to_bits()).eq(plain));
    });
}

#[test]
fn labels_of_some_heads_cross_to_another_thread() {
    let parts = Parts::new(several_heads(InputForm::Both), gradient(Rate::Constant, Scope::All), 0.1, 13);
    let (bytes, (x, y), labelled) = (parts.bytes(), parts.samples(6, 14), some(6, 4, 15));
    let bundle = Bundle::parse(&bytes).unwrap();
    let y = masked(&parts, &y, &labelled);
    on_every_path(&parts, 6, |path, whole| {
        let mut memory = vec![f32::NAN; Adapter::memory_len_on(path, &bundle, 6).unwrap()];
        let adapter = Adapter::new_on(path, &bundle, 6, &mut memory).unwrap();
        let mut memory = vec![f32::NAN; Channel::<4>::memory_len(&adapter)];
        let mut channel = Channel::<4>::new();
        let (mut control, mut beside) = channel.connect(adapter, &mut memory).unwrap();
        for ((x, y), labelled) in x.chunks(whole.input_len()).zip(y.chunks(whole.output_len())).zip(&labelled) {
            assert_eq!(control.observe_heads(x, y, HeadSet::NONE), Err(ObserveError::NoHead));
            assert!(matches!(control.observe_heads(&x[1..], y, *labelled), Err(ObserveError::Length(_))));
            assert!(control.observe_heads(x, y, *labelled).unwrap());
            whole.observe_heads(x, y, *labelled).unwrap();
            let report = whole.adapt(|| false).unwrap();
            assert_eq!(beside.work(|| false).report, Some(report));
            assert_eq!(beside.adapter().parameters(), whole.parameters());
        }
        assert_eq!(control.sent(), 6);
    });
    // A rule that fits all heads to the same rows gets no others, and says so on the side that has them.
    let parts = every(9).into_iter().find(|parts| matches!(parts.rule, Rule::Ridge { .. })).unwrap();
    let (bytes, (x, y)) = (parts.bytes(), parts.samples(1, 10));
    let bundle = Bundle::parse(&bytes).unwrap();
    let mut memory = vec![f32::NAN; Adapter::memory_len(&bundle, 6).unwrap()];
    let adapter = Adapter::new(&bundle, 6, &mut memory).unwrap();
    let mut memory = vec![f32::NAN; Channel::<4>::memory_len(&adapter)];
    let mut channel = Channel::<4>::new();
    let (mut control, _beside) = channel.connect(adapter, &mut memory).unwrap();
    assert_eq!(control.observe_heads(&x, &y, HeadSet::NONE), Err(ObserveError::AllHeads));
    assert!(control.observe_heads(&x, &y, HeadSet::ALL).unwrap());
    assert_eq!(control.sent(), 1);
}

#[test]
fn what_cannot_be_learned_from_is_refused_and_leaves_nothing() {
    for parts in every(9) {
        let steps = matches!(parts.rule, Rule::Gradient { .. } | Rule::MetaLstm { .. });
        let (x, y) = parts.samples(1, 10);
        let heads = parts.network.heads.len();
        on_every_path(&parts, 3, |_, adapter| {
            let missing = if steps { ObserveError::NoHead } else { ObserveError::AllHeads };
            assert_eq!(adapter.observe_heads(&x, &y, HeadSet::NONE), Err(missing));
            assert_eq!(adapter.observe_heads(&x, &y, HeadSet::from_bits(1 << heads)), Err(missing));
            let mut wrong = x.clone();
            wrong[0] = f32::INFINITY;
            assert_eq!(adapter.observe_heads(&wrong, &y, HeadSet::ALL), Err(ObserveError::NotFinite));
            let mut wrong = y.clone();
            wrong[0] = f32::NAN;
            assert_eq!(adapter.observe_heads(&x, &wrong, HeadSet::ALL), Err(ObserveError::NotFinite));
            assert!(matches!(adapter.observe_heads(&x[1..], &y, HeadSet::ALL), Err(ObserveError::Length(_))));
            assert!(matches!(adapter.observe_heads(&x, &y[1..], HeadSet::ALL), Err(ObserveError::Length(_))));
            assert_eq!(adapter.support().rows(), 0);
            adapter.set_guard(Guard::EachHead(0));
            adapter.observe_heads(&x, &y, HeadSet::ALL).unwrap();
            if steps {
                assert!(adapter.adapt(|| false).is_ok());
                adapter.set_guard(Guard::EachHead(1));
                let expected = AdaptError::NoLabels { expected: 2, got: 1 };
                assert_eq!(adapter.adapt(|| false), Err(expected));
            } else {
                assert_eq!(adapter.adapt(|| false), Err(AdaptError::GuardOfSteps));
            }
        });
    }
    assert_eq!(HeadSet::named(&several_heads(InputForm::Plain), &["slip"]), Some(HeadSet::from_bits(2)));
    assert_eq!(HeadSet::named(&several_heads(InputForm::Plain), &["slip", "grip"]), None);
    assert!(!HeadSet::ALL.has(32) && !HeadSet::NONE.with(32).has(32));
}

/// What the guard of each head should do, in f64, from labels in the order of their age: the loss of each head after each step, by
/// the labels that judge it.
fn judged(parts: &Parts, x: &[f32], y: &[f32], labelled: &[HeadSet], count: usize, steps: usize) -> Vec<Vec<f64>> {
    let (rows, heads) = (labelled.len(), parts.network.heads.len());
    let (mut teach, mut judge) = (labelled.to_vec(), vec![HeadSet::NONE; rows]);
    for head in 0..heads {
        let of_head: Vec<usize> = (0..rows).filter(|row| labelled[*row].has(head)).collect();
        let held = if count == 0 { of_head.len() } else { count.min(of_head.len()) };
        for row in &of_head[of_head.len() - held..] {
            judge[*row] = judge[*row].with(head);
            if count > 0 {
                let without = (0..heads).filter(|other| *other != head && teach[*row].has(*other));
                teach[*row] = without.fold(HeadSet::NONE, HeadSet::with);
            }
        }
    }
    let teach = masked(parts, y, &teach);
    let each = |step| {
        let parameters = parts.adapted(step, x, &teach);
        let of_head = |head: usize| {
            let own: Vec<_> = judge.iter().map(|set| HeadSet::from_bits(u32::from(set.has(head)) << head)).collect();
            let labels = own.iter().filter(|set| **set != HeadSet::NONE).count();
            let loss = parts.loss(&parameters, (x, &masked(parts, y, &own)), x);
            if labels == 0 { 0.0 } else { loss * rows as f64 / labels as f64 }
        };
        (0..heads).map(of_head).collect()
    };
    (0..=steps).map(each).collect()
}

#[test]
fn no_head_gets_worse_by_the_labels_that_judge_it() {
    let (mut committed, mut midway, mut refused, mut kept_back) = (0, 0, 0, 0);
    for seed in 0..80 {
        let alpha = [0.02, 0.1, 0.25, 0.6, 1.5][seed as usize % 5];
        let parts = Parts::new(several_heads(InputForm::Both), gradient(Rate::Constant, Scope::All), alpha, seed);
        let count = seed as usize % 3;
        let (x, y) = parts.samples(9, seed + 30);
        let labelled = some(9, 4, seed + 60);
        let losses = judged(&parts, &x, &y, &labelled, count, 5);
        let sum = |step: usize| losses[step].iter().sum::<f64>();
        // How far any head is from being judged otherwise, and the sums from another order.
        let slack = |step: usize| {
            let heads = losses[step].iter().zip(&losses[0]).filter(|(_, start)| **start > 0.0);
            heads.map(|(here, start)| (here - start) / start).fold(f64::NEG_INFINITY, f64::max)
        };
        let allowed = |step: usize| slack(step) <= 0.0;
        let free = (1..=5).min_by(|a, b| sum(*a).total_cmp(&sum(*b))).unwrap();
        let best =
            (0..=5).filter(|step| *step == 0 || allowed(*step)).min_by(|a, b| sum(*a).total_cmp(&sum(*b))).unwrap();
        let near = (1..=5).any(|step| slack(step).abs() <= 1e-4)
            || (0..=5)
                .any(|step| step != best && (step == 0 || allowed(step)) && sum(step) - sum(best) <= 1e-4 * sum(0));
        if near {
            continue;
        }
        committed += usize::from(best == 5);
        midway += usize::from((1..5).contains(&best));
        refused += usize::from(best == 0);
        kept_back += usize::from(sum(free) < sum(best));
        on_every_path(&parts, 9, |path, adapter| {
            adapter.set_steps(5);
            adapter.set_guard(Guard::EachHead(count));
            observe_some(adapter, &parts, &x, &y, &labelled);
            let budget = adapter.budget();
            let mut asked = 0;
            let report = adapter.adapt(|| {
                asked += 1;
                false
            });
            let report = report.unwrap();
            let case = format!("{seed}, {count} of {losses:?} on {}: {report:?}", path.name());
            assert!(asked <= budget.units, "{asked}, {budget:?}");
            assert!((f64::from(report.loss_before) - sum(0)).abs() <= 1e-4 * sum(0), "{case}");
            if best > 0 {
                assert_eq!((report.outcome, report.steps), (Outcome::Committed, best), "{case}");
                assert!((f64::from(report.loss_after) - sum(best)).abs() <= 1e-4 * sum(0), "{case}");
            } else {
                assert_eq!((report.outcome, report.steps), (Outcome::Worse, 5), "{case}");
                assert_eq!(adapter.parameters(), parts.parameters, "{case}");
            }
        });
    }
    assert!(committed > 0 && midway > 0 && refused > 0 && kept_back > 0, "{committed} {midway} {refused} {kept_back}");
}

#[test]
fn a_ring_that_has_gone_round_judges_by_the_newest_labels() {
    let parts = Parts::new(several_heads(InputForm::Plain), gradient(Rate::Constant, Scope::All), 0.1, 3);
    let inputs = parts.network.input.len;
    let (x, y) = parts.samples(12, 4);
    let labelled = some(12, 4, 5);
    let outputs = parts.network.output_len();
    on_every_path(&parts, 7, |_, adapter| {
        adapter.set_guard(Guard::EachHead(1));
        observe_some(adapter, &parts, &x, &y, &labelled);
        let round = adapter.adapt(|| false).unwrap();
        adapter.reset();
        observe_some(adapter, &parts, &x[5 * inputs..], &y[5 * outputs..], &labelled[5..]);
        let straight = adapter.adapt(|| false).unwrap();
        assert_eq!((round.outcome, round.steps), (straight.outcome, straight.steps));
        assert!((round.loss_before - straight.loss_before).abs() <= 1e-5 * straight.loss_before);
    });
}

#[test]
fn a_deadline_leaves_whole_parameters() {
    let layers = [dense(8, Activation::Tanh)];
    let heads = (0..MAX_HEADS).map(|at| head(&format!("h{at}"), &[dense(1, Activation::Identity)], Loss::MeanSquared));
    let network = network(Input::vector(3, InputForm::Plain), &layers, heads.collect());
    let parts = Parts::new(network, gradient(Rate::Constant, Scope::All), 0.05, 11);
    let (x, y) = parts.samples(8, 12);
    let labelled = some(8, 4, 13);
    on_every_path(&parts, 8, |_, adapter| {
        adapter.set_guard(Guard::EachHead(1));
        observe_some(adapter, &parts, &x, &y, &labelled);
        let mut last = 0;
        for units in 0..=adapter.budget().units {
            let mut asked = 0;
            let report = adapter.adapt(|| {
                asked += 1;
                asked > units
            });
            let report = report.unwrap();
            if report.outcome == Outcome::Committed {
                assert!(report.loss_after <= report.loss_before && report.steps >= last, "{report:?}");
                last = report.steps;
            } else {
                assert!(matches!(report.outcome, Outcome::OutOfTime | Outcome::Worse), "{report:?}");
            }
            assert!(adapter.verify().is_ok());
        }
    });
}
