//! Alphabets of a few drawings, as heads of one network.

use std::collections::HashSet;

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use super::super::shrink::PIXELS;
use super::super::tests::{DRAWINGS, archive};
use super::*;
use crate::episode::Samples;
use crate::world::{Task, World};

/// Omega has five characters and Gamma two.
fn config() -> AlphabetsConfig {
    AlphabetsConfig {
        root: "${SINEW_DATA}".into(),
        alphabets: vec!["Omega".into(), "Gamma".into()],
        query: 1,
        distortions: false,
        validation_share: 0.25,
        test_share: 0.25,
    }
}

fn opened(config: &AlphabetsConfig) -> Result<Alphabets, String> {
    Alphabets::open_in(config, archive().path()).map_err(|why| why.to_string())
}

fn rng() -> ChaCha8Rng {
    ChaCha8Rng::seed_from_u64(3)
}

/// Of each row of some samples the head and class of its label; all else is as it should be.
fn labels(samples: &Samples) -> Vec<(usize, usize)> {
    assert_eq!((samples.inputs.len(), samples.targets.len()), (samples.rows * PIXELS, samples.rows * 7));
    let label = |target: &[f32]| {
        let (omega, gamma) = target.split_at(5);
        let (head, own, other) = if omega[0].is_nan() { (1, gamma, omega) } else { (0, omega, gamma) };
        assert!(other.iter().all(|value| value.is_nan()) && own.iter().all(|value| *value == 0.0 || *value == 1.0));
        assert_eq!(own.iter().sum::<f32>(), 1.0);
        (head, own.iter().position(|value| *value == 1.0).unwrap())
    };
    samples.targets.chunks_exact(7).map(label).collect()
}

/// The rows of inputs, as bits.
fn drawings(samples: &Samples) -> HashSet<Vec<u32>> {
    samples.inputs.chunks_exact(PIXELS).map(|row| row.iter().map(|ink| ink.to_bits()).collect()).collect()
}

#[test]
fn each_alphabet_is_a_head_of_its_own_size() {
    let world = opened(&config()).unwrap();
    let signature = world.signature();
    let heads: Vec<_> = signature.heads.iter().map(|head| (head.name.as_str(), head.outputs, head.loss)).collect();
    assert_eq!(heads, [("omega", 5, Loss::CrossEntropy), ("gamma", 2, Loss::CrossEntropy)]);
    assert_eq!((signature.outputs.len(), signature.outputs[5].name.as_str()), (7, "gamma_0"));
    let metrics: Vec<_> = world.metrics().iter().map(|metric| (metric.name, metric.head)).collect();
    assert_eq!(metrics, [("omega_accuracy", 0), ("gamma_accuracy", 1)]);
    assert!(world.lacks_labels());
    // Two of four drawings are trained on.
    assert_eq!(world.source_sizes(Split::Train), Some(vec![5 * 2, 2 * 2]));
}

#[test]
fn a_row_has_the_label_of_one_head_and_no_drawing_is_on_two_sides() {
    let world = opened(&config()).unwrap();
    let mut trained = HashSet::new();
    for seed in 0..40 {
        let task = Task { split: Split::Train, seed };
        let episode = world.episode(&task, 1, &mut rng());
        let own: Vec<_> = (0..[5, 2][world.source(&task)]).map(|class| (world.source(&task), class)).collect();
        assert_eq!((labels(&episode.support), labels(&episode.query)), (own.clone(), own));
        let [support, query] = [&episode.support, &episode.query].map(drawings);
        assert!(support.is_disjoint(&query));
        trained.extend(support.into_iter().chain(query));
    }
    let all: Vec<_> = (0..5).map(|class| (0, class)).chain((0..2).map(|class| (1, class))).collect();
    let mut judged: Vec<HashSet<Vec<u32>>> = Vec::new();
    for split in [Split::Validation, Split::Test] {
        assert_eq!(world.task_count(split), Some(1));
        let episode = world.episode(&Task { split, seed: 0 }, 2, &mut rng());
        assert_eq!((labels(&episode.query), labels(&episode.support).len()), (all.clone(), 2 * all.len()));
        assert!(drawings(&episode.support).is_subset(&trained));
        judged.push(drawings(&episode.query));
    }
    assert!(judged.iter().all(|query| query.is_disjoint(&trained)) && judged[0].is_disjoint(&judged[1]));
    assert_eq!(trained.len() + judged[0].len() + judged[1].len(), 7 * DRAWINGS, "every drawing is for something");
    assert_eq!(world.task_count(Split::Train), None);
}

#[test]
fn training_pulls_out_of_shape_what_tests_leave_as_it_is() {
    let (plain, pulled) =
        (opened(&config()).unwrap(), opened(&AlphabetsConfig { distortions: true, ..config() }).unwrap());
    let of = |world: &Alphabets, split| world.episode(&Task { split, seed: 0 }, 1, &mut rng());
    assert_eq!(of(&plain, Split::Test).query.inputs, of(&pulled, Split::Test).query.inputs);
    let [before, after] = [&plain, &pulled].map(|world| of(world, Split::Train));
    assert_eq!(labels(&before.support), labels(&after.support));
    assert!(before.support.inputs != after.support.inputs);
}

#[test]
fn heads_are_judged_on_their_own_rows() {
    let world = opened(&config()).unwrap();
    let task = Task { split: Split::Test, seed: 0 };
    let episode = world.episode(&task, 1, &mut rng());
    // Class 0 for all of Omega, and for Gamma by the row: the first of its two is wrong.
    let mut predict = |x: &[f32], y: &mut [f32]| {
        assert_eq!(x.len(), 7 * PIXELS);
        for (row, y) in y.chunks_exact_mut(7).enumerate() {
            y.copy_from_slice(&[0.6, 0.1, 0.1, 0.1, 0.1, 0.2, 0.8]);
            if row == 6 {
                y[5..].copy_from_slice(&[0.3, 0.7]);
            }
        }
    };
    assert_eq!(world.score(&task, &episode, &mut predict), [0.2, 0.5]);
    // A training episode tells of one head.
    let task = Task { split: Split::Train, seed: 1 };
    let episode = world.episode(&task, 1, &mut rng());
    let scores = world.score(&task, &episode, &mut |_, y| y.fill(0.5));
    assert!(scores[0].is_nan() && scores[1] == 0.5, "{scores:?}");
}

#[test]
fn what_cannot_be_is_refused() {
    let refused = |config: AlphabetsConfig| opened(&config).unwrap_err();
    let names =
        |names: &[&str]| AlphabetsConfig { alphabets: names.iter().map(|name| (*name).into()).collect(), ..config() };
    assert!(refused(names(&[])).contains("`world.alphabets`: expected one to four alphabets, found 0"));
    assert!(refused(names(&["Alpha"; 5])).contains("found 5"));
    assert!(refused(names(&["Alpha", "Psi"])).contains("there is no alphabet `Psi`; there are Alpha, Beta"));
    assert!(
        refused(names(&["Alpha", "Alpha"]))
            .contains("expected alphabets of different names, as heads have them, found alpha")
    );
    assert!(refused(AlphabetsConfig { query: 0, ..config() }).contains("`world.query`: expected at least 1"));
    assert!(refused(AlphabetsConfig { test_share: 1.0, ..config() }).contains("`world.test_share`"));
    let why = refused(AlphabetsConfig { test_share: 0.8, ..config() });
    assert!(why.contains("found 1 to choose on and 3 to test on, of 4"), "{why}");
    let world = opened(&config()).unwrap();
    assert!(world.check_shots(1).is_ok());
    let why = world.check_shots(2).unwrap_err().to_string();
    assert!(why.contains("2 drawings of each character") && why.contains("2 shot(s) and 1 for the query"), "{why}");
}
