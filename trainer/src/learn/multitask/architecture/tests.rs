//! What every architecture promises, and what each of them is known by.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use sinew_models::spec::{Activation, Input, InputForm, Layer, Loss};

use super::*;
use crate::aligned::Aligned;
use crate::engine::{Cpu, Depth, Engine, Parameters, Rows, Side, TaskRows};
use crate::streams::Purpose;
use crate::train::initial_parameters;

pub const HEADS: [HeadPlan<'static>; 3] = [
    HeadPlan { name: "a", outputs: 1, loss: Loss::MeanSquared },
    HeadPlan { name: "b", outputs: 2, loss: Loss::MeanSquared },
    HeadPlan { name: "c", outputs: 1, loss: Loss::Huber { delta: 0.3 } },
];
const INPUTS: usize = 3;

pub fn plan<'a>(hidden: &'a [usize], of_each_head: &'a [usize]) -> Plan<'a> {
    Plan {
        input: Input::vector(INPUTS, InputForm::Plain),
        convolutions: None,
        context: 0,
        hidden,
        of_each_head,
        activation: Activation::Silu,
        features: Activation::Tanh,
    }
}

/// Each architecture on a small network of its own.
pub fn all() -> Vec<(&'static str, Settings, Plan<'static>)> {
    let cgc = |shared_experts, own_experts| Settings::Cgc(cgc::Settings { shared_experts, own_experts });
    vec![
        ("hard", Settings::default(), plan(&[5, 4], &[3])),
        ("soft", Settings::Soft(soft::Settings { tie: 0.7 }), plan(&[], &[5, 4])),
        ("cross-stitch", Settings::CrossStitch(cross_stitch::Settings { own: 0.9 }), plan(&[5, 4], &[3])),
        ("cross-stitch, one layer", Settings::CrossStitch(cross_stitch::Settings { own: 0.6 }), plan(&[4], &[])),
        ("mmoe", Settings::Mmoe(mmoe::Settings { experts: 4 }), plan(&[5, 4], &[3])),
        ("cgc", cgc(2, 1), plan(&[4], &[3])),
        ("ple", cgc(1, 2), plan(&[4, 5, 3], &[])),
    ]
}

fn opened(settings: Settings, plan: &Plan<'_>, heads: &[HeadPlan<'_>]) -> (NetworkSpec, Box<dyn Architecture>) {
    settings.check(plan).unwrap();
    let network = settings.network(plan, heads).unwrap();
    let architecture = settings.open(&network);
    (network, architecture)
}

/// φ at the beginning.
fn beginning(network: &NetworkSpec, architecture: &dyn Architecture) -> Learned {
    let mut params = initial_parameters(network, 5, Purpose::Initial, 0);
    architecture.initialise(&mut params);
    Learned { params, mixing: architecture.mixing() }
}

/// `[rows, outputs]` of the network at θ.
fn outputs(network: &NetworkSpec, params: &[f32], x: &[f32]) -> Vec<f32> {
    let mut engine = Cpu::new(network, 1).unwrap();
    let rows = Rows { x: x.to_vec(), y: Vec::new(), rows: x.len() / INPUTS };
    let tasks = engine.take(vec![TaskRows { support: rows, query: Rows::default() }]).unwrap();
    let mut into = Aligned::default();
    let params = Aligned::copy_of(params);
    engine.forward(Parameters::Shared(&params), &tasks, Side::Support, Depth::Outputs, &mut into).unwrap();
    into.to_vec()
}

pub fn drawn(count: usize, seed: u64) -> Vec<f32> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    (0..count).map(|_| rng.random_range(-1.0..1.0)).collect()
}

pub fn dot(a: &[f32], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
}

#[test]
fn pulling_back_is_the_transposed_jacobian_of_folding() {
    for (name, settings, plan) in all() {
        let (network, architecture) = opened(settings, &plan, &HEADS);
        let at = beginning(&network, &*architecture);
        assert_eq!(at.params.len(), network.param_len(), "{name}");
        let by_params = drawn(network.param_len(), 1);
        let by = architecture.pull_back(&at, by_params.clone());
        assert_eq!([by.params.len(), by.mixing.len()], [at.params.len(), at.mixing.len()], "{name}");
        for seed in 2..5 {
            let direction = Learned { params: drawn(at.params.len(), seed), mixing: drawn(at.mixing.len(), seed + 10) };
            let shifted = |step: f32| {
                let add = |at: &[f32], by: &[f32]| at.iter().zip(by).map(|(at, by)| at + step * by).collect();
                let params = add(&at.params, &direction.params);
                architecture.fold(&Learned { params, mixing: add(&at.mixing, &direction.mixing) })
            };
            // θ is of second degree in φ, so that a central difference is exact.
            let (above, below) = (shifted(0.5), shifted(-0.5));
            let moved: Vec<f32> = above.iter().zip(&below).map(|(above, below)| above - below).collect();
            let (want, got) =
                (dot(&moved, &by_params), dot(&by.params, &direction.params) + dot(&by.mixing, &direction.mixing));
            assert!((want - got).abs() <= 1e-4 * (1.0 + want.abs()), "{name}: {got} for {want}");
        }
    }
}

#[test]
fn what_is_plain_folds_into_itself() {
    for (name, settings, plan) in all() {
        let (network, architecture) = opened(settings, &plan, &HEADS);
        let at = beginning(&network, &*architecture);
        let folded = architecture.fold(&at);
        if architecture.is_plain() {
            assert!(folded == at.params && at.mixing.is_empty(), "{name}");
            assert_eq!(architecture.penalty(&at.params, &mut vec![0.0; at.params.len()]), 0.0, "{name}");
        }
        // Each weight decays toward 0 in φ, and what is not learned stays at 0 there.
        let changed = folded.iter().zip(&at.params).filter(|(folded, own)| folded != own && **own == 0.0).count();
        assert_eq!(changed > 0, name.starts_with("cross") || name == "cgc" || name == "ple", "{name}");
    }
}

#[test]
fn what_is_shared_lies_in_order_within_the_parameters() {
    for (name, settings, plan) in all() {
        let (network, architecture) = opened(settings, &plan, &HEADS);
        let mut end = 0;
        for range in architecture.shared() {
            assert!(end <= range.start && range.start <= range.end, "{name} {range:?}");
            end = range.end;
        }
        // The last layer of the last head is nobody else's.
        let last = network.layers().last().unwrap();
        assert!(end > 0 && end <= last.offset, "{name}");
    }
}

#[test]
fn first_weights_are_as_wide_as_what_is_learned_of_a_sum() {
    let settings = Settings::CrossStitch(cross_stitch::Settings { own: 0.9 });
    let (network, architecture) = opened(settings, &plan(&[50, 40], &[]), &HEADS);
    let Learned { params, .. } = beginning(&network, &*architecture);
    let second = network.layers().nth(1).unwrap();
    let rows = params[second.offset..][..second.weight_len()].chunks_exact(150);
    let own: Vec<f32> = rows.clone().enumerate().flat_map(|(row, all)| &all[row / 40 * 50..][..50]).copied().collect();
    let largest = own.iter().fold(0.0_f32, |largest, weight| largest.max(weight.abs()));
    let bound = 1.0 / 50_f32.sqrt();
    assert!(largest <= bound && largest >= 0.98 * bound, "{largest} for {bound}");
    assert_eq!(rows.flatten().filter(|weight| **weight != 0.0).count(), own.len());
}

/// With an α that is the identity, towers do not know of each other: they are those of soft sharing.
#[test]
fn stitches_that_mix_nothing_are_towers_alone() {
    let stitched = Settings::CrossStitch(cross_stitch::Settings { own: 1.0 });
    let (network, architecture) = opened(stitched, &plan(&[5, 4], &[]), &HEADS);
    let learned = beginning(&network, &*architecture);
    let towers = Plan { features: Activation::Silu, ..plan(&[], &[5, 4]) };
    let mut alone = Settings::Soft(soft::Settings { tie: 0.0 }).network(&towers, &HEADS).unwrap();
    // The last layer of a tower is what heads see.
    for head in &mut alone.heads {
        head.layers[1] = Layer::Dense { outputs: 4, activation: Activation::Tanh };
    }
    let mut params = vec![f32::NAN; alone.param_len()];
    let wide: Vec<_> = network.layers().collect();
    for (tower, head) in (0..3).map(|tower| (tower, layers_of(&alone, tower).collect::<Vec<_>>())) {
        let from = [wide[0], wide[1], layers_of(&network, tower).next().unwrap()];
        for (place, (from, to)) in from.iter().zip(head).enumerate() {
            let first = if place == 2 { 0 } else { tower * to.outputs() };
            let skip = if place == 0 { 0 } else { tower * to.inputs() };
            for row in 0..to.outputs() {
                let weight = from.offset + (first + row) * from.inputs() + skip;
                params[to.offset + row * to.inputs()..][..to.inputs()]
                    .copy_from_slice(&learned.params[weight..][..to.inputs()]);
                params[to.offset + to.weight_len() + row] =
                    learned.params[from.offset + from.weight_len() + first + row];
            }
        }
    }
    let x = drawn(7 * INPUTS, 8);
    let got = outputs(&network, &architecture.fold(&learned), &x);
    for (got, want) in got.iter().zip(outputs(&alone, &params, &x)) {
        assert!((got - want).abs() <= 1e-6, "{got} for {want}");
    }
    // And with any other they do.
    let mixed = Learned { mixing: vec![1.0 / 3.0; learned.mixing.len()], ..learned };
    let other = outputs(&network, &architecture.fold(&mixed), &x);
    assert!(other.iter().zip(&got).any(|(other, got)| (other - got).abs() > 1e-2));
}

#[test]
fn a_tie_pulls_towers_to_their_mean() {
    let (network, architecture) = opened(Settings::Soft(soft::Settings { tie: 0.7 }), &plan(&[], &[5, 4]), &HEADS);
    let Learned { params, .. } = beginning(&network, &*architecture);
    let penalty = |params: &[f32]| architecture.penalty(params, &mut vec![0.0; params.len()]);
    let mut gradient = vec![0.5; params.len()];
    assert!(architecture.penalty(&params, &mut gradient) > 0.1);
    for (place, by) in gradient.iter().enumerate() {
        let shifted = |step: f32| {
            let mut params = params.clone();
            params[place] += step;
            penalty(&params)
        };
        let want = shifted(0.5) - shifted(-0.5);
        assert!((f64::from(*by) - 0.5 - want).abs() <= 1e-5, "parameter {place}: {by} for {want}");
    }
    // Towers that are the same are not held against each other, whatever their last layers are.
    let mut same = params.clone();
    let [first, second, third] = [1, 2, 3].map(|tower| architecture.shared()[tower].clone());
    same.copy_within(first.clone(), second.start);
    same.copy_within(first, third.start);
    assert!(penalty(&same) <= 1e-12);
    let none = Settings::Soft(soft::Settings { tie: 0.0 }).open(&network);
    gradient.fill(0.0);
    assert!(none.penalty(&params, &mut gradient) == 0.0 && gradient.iter().all(|by| *by == 0.0));
}

#[test]
fn one_expert_is_hard_sharing() {
    let (mixed, _) = opened(Settings::Mmoe(mmoe::Settings { experts: 1 }), &plan(&[5, 4], &[3]), &HEADS);
    let (hard, _) = opened(Settings::default(), &plan(&[5, 4], &[3]), &HEADS);
    let params = initial_parameters(&mixed, 5, Purpose::Initial, 0);
    // All but what makes the logits.
    let experts = mixed.layers().nth(1).unwrap();
    let logits = [experts.offset + 4 * 5..experts.offset + 7 * 5, experts.offset + 7 * 5 + 4..experts.offset + 7 * 6];
    let of_hard = |place: &usize| !logits.iter().any(|logits| logits.contains(place));
    let without: Vec<f32> = (0..params.len()).filter(of_hard).map(|place| params[place]).collect();
    assert_eq!(without.len(), hard.param_len());
    let x = drawn(6 * INPUTS, 9);
    for (got, want) in outputs(&mixed, &params, &x).iter().zip(outputs(&hard, &without, &x)) {
        assert!((got - want).abs() <= 1e-6, "{got} for {want}");
    }
}

/// What a job must not see changes nothing of it, to the bit, however large it is.
#[test]
fn experts_of_other_jobs_have_no_share_at_all() {
    for hidden in [&[4][..], &[4, 5]] {
        let settings = Settings::Cgc(cgc::Settings { shared_experts: 1, own_experts: 2 });
        let (network, architecture) = opened(settings, &plan(hidden, &[3]), &HEADS);
        let learned = beginning(&network, &*architecture);
        let x = drawn(5 * INPUTS, 10);
        let before = outputs(&network, &architecture.fold(&learned), &x);
        // The own experts of the second job, in the last level.
        let level = network.layers().filter(|layer| layer.place == Place::Backbone).last().unwrap();
        let width = hidden[hidden.len() - 1];
        let mut changed = learned.clone();
        for row in 2 * width..4 * width {
            changed.params[level.offset + level.weight_len() + row] += 3.0;
        }
        let after = outputs(&network, &architecture.fold(&changed), &x);
        for (before, after) in before.chunks_exact(4).zip(after.chunks_exact(4)) {
            assert!(before[0] == after[0] && before[3] == after[3], "{before:?} {after:?}");
            assert!(before[1] != after[1] && before[2] != after[2], "{before:?} {after:?}");
        }
        // Shared ones change all.
        let mut changed = learned.clone();
        changed.params[level.offset + level.weight_len() + 6 * width] += 3.0;
        let after = outputs(&network, &architecture.fold(&changed), &x);
        assert!(before.iter().zip(&after).all(|(before, after)| before != after));
        // And what is shut stays so, whatever becomes of φ there.
        let shut = architecture.fold(&learned).iter().filter(|value| **value == cgc::SHUT).count();
        assert_eq!(shut, 3 * 4 * hidden.len());
        let wild = Learned { params: drawn(learned.params.len(), 11), mixing: Vec::new() };
        assert_eq!(architecture.fold(&wild).iter().filter(|value| **value == cgc::SHUT).count(), shut);
    }
}

#[test]
fn what_does_not_fit_is_refused_by_name() {
    let soft = |tie| Settings::Soft(soft::Settings { tie });
    let stitch = |own| Settings::CrossStitch(cross_stitch::Settings { own });
    let cgc = |shared_experts, own_experts| Settings::Cgc(cgc::Settings { shared_experts, own_experts });
    let mmoe = |experts| Settings::Mmoe(mmoe::Settings { experts });
    for (settings, hidden, of_each_head, field) in [
        (soft(-1.0), &[][..], &[4][..], "learner.architecture.tie"),
        (soft(f64::NAN), &[], &[4], "learner.architecture.tie"),
        (soft(1.0), &[4], &[4], "network.hidden"),
        (soft(1.0), &[], &[], "network.of_each_head"),
        (soft(1.0), &[], &[4, 4, 4], "network.of_each_head"),
        (stitch(1.5), &[4], &[], "learner.architecture.own"),
        (stitch(0.9), &[], &[4], "network.hidden"),
        (mmoe(0), &[4], &[], "learner.architecture.experts"),
        (mmoe(2), &[], &[], "network.hidden"),
        (mmoe(2), &[4], &[4, 4], "network.of_each_head"),
        (cgc(0, 1), &[4], &[], "learner.architecture.shared_experts"),
        (cgc(1, 0), &[4], &[], "learner.architecture.own_experts"),
        (cgc(1, 33), &[4], &[], "learner.architecture.own_experts"),
        (cgc(1, 1), &[4; 8], &[], "network.hidden"),
    ] {
        let refused = settings.check(&plan(hidden, of_each_head)).unwrap_err();
        assert_eq!(refused.field, field, "{refused}");
        assert!(refused.to_string().contains("expected"), "{refused}");
    }
}
