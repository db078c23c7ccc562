//! What holds of every weighting.

use nalgebra::{DMatrix, DVector};
use proptest::prelude::*;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};

use super::*;

/// Gram matrices of one to six gradients, of lengths that differ by up to four orders: of full rank or not, some of them 0.
pub(super) fn grams() -> impl Strategy<Value = DMatrix<f64>> {
    (1_usize..=6, 1_usize..=6).prop_flat_map(|(tasks, len)| {
        let entries = prop::collection::vec(-1.0_f64..1.0, tasks * len);
        let lengths = prop::collection::vec(prop_oneof![4 => -2.0_f64..2.0, 1 => Just(f64::NEG_INFINITY)], tasks);
        (entries, lengths).prop_map(move |(entries, lengths)| {
            let lengths: Vec<f64> = lengths.iter().map(|length| 10.0_f64.powf(*length)).collect();
            let gradients = DMatrix::from_fn(len, tasks, |i, task| lengths[task] * entries[task * len + i]);
            gradients.tr_mul(&gradients)
        })
    })
}

/// One of each, with settings that let a short run tell them apart.
fn all(tasks: usize) -> Vec<Settings> {
    vec![
        Settings::Fixed(fixed::Settings { weights: vec![1.0; tasks] }),
        Settings::Uncertainty(uncertainty::Settings { rate: 1e-3 }),
        Settings::DynamicAverage(dynamic_average::Settings { temperature: 2.0, window: 2 }),
        Settings::GradNorm(gradnorm::Settings { alpha: 1.5, rate: 0.025 }),
        Settings::PcGrad(pcgrad::Settings {}),
        Settings::CaGrad(cagrad::Settings { c: 0.4 }),
        Settings::Mgda(mgda::Settings::default()),
        Settings::Nash(nash::Settings { every: 2, ..Default::default() }),
        Settings::Famo(famo::Settings { rate: 0.025, decay: 0.01, again: true, least: Vec::new() }),
        Settings::Random(random::Settings {}),
    ]
}

/// Losses that fall, and the Gram matrix of gradients, of an iteration; the last task is absent in every third.
fn batch(tasks: usize, iteration: u64) -> (Vec<f64>, DMatrix<f64>) {
    let mut rng = ChaCha8Rng::seed_from_u64(iteration);
    let mut normal = || -> f64 { StandardNormal.sample(&mut rng) };
    let mut losses: Vec<f64> =
        (0..tasks).map(|task| (0.1 * normal() - 0.05 * (task * iteration as usize) as f64).exp()).collect();
    let mut gradients = DMatrix::from_fn(4, tasks, |_, task| (1.0 + task as f64) * normal());
    if iteration % 3 == 2 {
        losses[tasks - 1] = f64::NAN;
        gradients.column_mut(tasks - 1).fill(0.0);
    }
    (losses, gradients.tr_mul(&gradients))
}

/// One iteration, as a trainer does it.
fn iterate(weighting: &mut dyn Weighting, tasks: usize, iteration: u64) -> Weights {
    let (losses, gram) = batch(tasks, iteration);
    let gram = (weighting.needs() == Needs::Gradients).then_some(&gram);
    let mut weights = Weights::zeros(tasks);
    weighting.weigh(&Seen { iteration, losses: &losses, gram }, &mut weights);
    if weighting.looks_again() {
        let after: Vec<f64> = losses.iter().enumerate().map(|(task, loss)| loss * (0.9 - 0.1 * task as f64)).collect();
        weighting.looked_again(&after);
    }
    weights
}

fn bits(numbers: &[f64]) -> Vec<u64> {
    numbers.iter().map(|number| number.to_bits()).collect()
}

#[test]
fn a_run_that_was_stopped_goes_on_to_the_bit() {
    for settings in all(3) {
        for stopped in [0, 1, 6, 11] {
            let mut whole = settings.open(3, 9);
            for iteration in 0..stopped {
                iterate(&mut *whole, 3, iteration);
            }
            let memory = whole.memory();
            let mut resumed = settings.open(3, 9);
            assert!(resumed.restore(&memory), "{}", settings.name());
            for iteration in stopped..stopped + 12 {
                let (a, b) = (iterate(&mut *whole, 3, iteration), iterate(&mut *resumed, 3, iteration));
                assert_eq!((bits(&a.shared), bits(&a.heads)), (bits(&b.shared), bits(&b.heads)), "{}", settings.name());
            }
            assert_eq!(bits(&whole.memory()), bits(&resumed.memory()));
        }
    }
}

/// A memory of another length is refused, and nothing changes; one that has something to remember does.
#[test]
fn a_memory_of_another_length_is_refused() {
    for settings in all(3) {
        let mut weighting = settings.open(3, 9);
        for iteration in 0..5 {
            iterate(&mut *weighting, 3, iteration);
        }
        let memory = weighting.memory();
        let mut longer = memory.clone();
        longer.push(0.5);
        assert!(!weighting.restore(&longer), "{}", settings.name());
        assert!(memory.is_empty() || !weighting.restore(&memory[1..]), "{}", settings.name());
        assert_eq!(bits(&weighting.memory()), bits(&memory));
        let fresh = settings.open(3, 9).memory();
        assert!(memory.is_empty() || bits(&fresh) != bits(&memory), "{}", settings.name());
    }
}

/// No two methods are one under two names.
#[test]
fn no_two_weightings_give_the_same_weights() {
    let runs: Vec<(&str, Vec<Vec<f64>>)> = all(3)
        .iter()
        .map(|settings| {
            let mut weighting = settings.open(3, 9);
            (settings.name(), (0..9).map(|iteration| iterate(&mut *weighting, 3, iteration).shared).collect())
        })
        .collect();
    // Up to a factor too: what steps along the same direction is the same to Adam.
    let direction = |weights: &Vec<f64>| {
        let sum: f64 = weights.iter().map(|weight| weight.abs()).sum();
        weights.iter().map(|weight| weight / sum).collect::<Vec<f64>>()
    };
    for (number, (name, run)) in runs.iter().enumerate() {
        for (other, others) in &runs[..number] {
            let differ = |(a, b): (&Vec<f64>, &Vec<f64>)| {
                direction(a).iter().zip(direction(b)).any(|(a, b)| (a - b).abs() > 1e-4)
            };
            assert!(run.iter().zip(others).any(differ), "{name} and {other}");
        }
    }
}

/// The seed matters to those that draw, and to no other.
#[test]
fn what_is_drawn_follows_from_the_seed() {
    for settings in all(3) {
        let run = |seed| -> Vec<Weights> {
            let mut weighting = settings.open(3, seed);
            (0..9).map(|iteration| iterate(&mut *weighting, 3, iteration)).collect()
        };
        assert_eq!(run(1), run(1));
        let draws = matches!(settings.name(), "random" | "pcgrad");
        assert_eq!(run(1) != run(2), draws, "{}", settings.name());
    }
}

/// An absent task weighs nothing, and the others as if it did not exist.
#[test]
fn absent_tasks_weigh_nothing() {
    for settings in all(3) {
        let mut weighting = settings.open(3, 9);
        for iteration in 0..12 {
            let weights = iterate(&mut *weighting, 3, iteration);
            assert_eq!(weights.shared[2] == 0.0 && weights.heads[2] == 0.0, iteration % 3 == 2, "{}", settings.name());
        }
    }
    let (losses, gram) = batch(3, 0);
    let fewer = gram.view((0, 0), (2, 2)).into_owned();
    for settings in
        [cagrad_settings(), Settings::Mgda(mgda::Settings::default()), Settings::Nash(nash::Settings::default())]
    {
        let (mut of_three, mut of_two) = (Weights::default(), Weights::default());
        let seen = Seen { iteration: 0, losses: &[losses[0], losses[1], f64::NAN], gram: Some(&gram) };
        settings.open(3, 9).weigh(&seen, &mut of_three);
        settings.open(2, 9).weigh(&Seen { iteration: 0, losses: &losses[..2], gram: Some(&fewer) }, &mut of_two);
        assert_eq!(of_three.shared[..2], of_two.shared[..], "{}", settings.name());
    }
}

fn cagrad_settings() -> Settings {
    Settings::CaGrad(cagrad::Settings { c: 0.4 })
}

/// A gradient method without a Gram matrix is a mistake of the trainer, which is told.
#[test]
#[should_panic(expected = "told their Gram matrix")]
fn gradients_that_are_missing_are_missed() {
    cagrad_settings()
        .open(2, 0)
        .weigh(&Seen { iteration: 7, losses: &[1.0, 1.0], gram: None }, &mut Weights::default());
}

/// Numbers at the ends of what f64 holds, no task at all, and one alone.
#[test]
fn extremes_have_finite_weights() {
    let tiny = f64::MIN_POSITIVE;
    for settings in all(2) {
        for gram in [[1e308, -1e308, 1e308], [tiny, -tiny, tiny], [1e308, 0.0, tiny], [f64::INFINITY, 0.0, 1.0]] {
            let gram = DMatrix::from_row_slice(2, 2, &[gram[0], gram[1], gram[1], gram[2]]);
            for losses in
                [[1.0, 1.0], [-1e300, 1e300], [0.0, tiny], [f64::NAN, 1.0], [f64::NAN; 2], [f64::INFINITY, 2.0]]
            {
                let mut weighting = settings.open(2, 9);
                let mut weights = Weights::default();
                for iteration in 0..6 {
                    weighting.weigh(&Seen { iteration, losses: &losses, gram: Some(&gram) }, &mut weights);
                    weighting.looked_again(&losses.map(|loss| 0.5 * loss));
                    let all = weights.shared.iter().chain(&weights.heads);
                    assert!(all.clone().all(|weight| weight.is_finite()), "{}: {weights:?}", settings.name());
                    assert_eq!(all.count(), 4);
                }
            }
        }
    }
}

proptest! {
    /// Whatever the gradients and the losses, weights are finite, and two tasks under PCGrad step against neither; with a Gram matrix that was rounded to
    /// single precision too, which leaves it eigenvalues below 0.
    #[test]
    fn weights_are_finite(gram in grams(), single in any::<bool>(), losses in prop::collection::vec(prop_oneof![
        4 => -1.0_f64..10.0, 1 => Just(0.0), 1 => Just(f64::NAN),
    ], 6)) {
        let losses = &losses[..gram.nrows()];
        let gram = if single { gram.map(|entry| f64::from(entry as f32)) } else { gram };
        let scale = gram.diagonal().max();
        for settings in all(losses.len()) {
            let mut weighting = settings.open(losses.len(), 3);
            let mut weights = Weights::default();
            for iteration in 0..4 {
                weighting.weigh(&Seen { iteration, losses, gram: Some(&gram) }, &mut weights);
                weighting.looked_again(losses);
                let mut all = weights.shared.iter().chain(&weights.heads);
                prop_assert!(all.all(|weight| weight.is_finite()), "{}: {:?}", settings.name(), weights);
            }
            if settings.name() == "pcgrad" && losses.len() == 2 {
                for task in (0..2).filter(|task| losses[*task].is_finite()) {
                    let product: f64 = (0..2).map(|other| gram[(task, other)] * weights.shared[other]).sum();
                    prop_assert!(product >= -1e-6 * scale, "{}", product);
                }
            }
        }
    }
}

proptest! {
    /// MGDA and Nash promise of any number of tasks that no loss rises: d·g_i ≥ 0, up to what rounding and Nash's ridge leave of it.
    #[test]
    fn steps_that_promise_it_conflict_with_none(gram in grams()) {
        let tasks = gram.nrows();
        let losses = vec![1.0; tasks];
        let mgda = |normalisation| Settings::Mgda(mgda::Settings { normalisation });
        let settings = [
            mgda(mgda::Normalisation::None),
            mgda(mgda::Normalisation::L2),
            Settings::Nash(nash::Settings::default()),
        ];
        for settings in settings {
            let mut weights = Weights::default();
            settings.open(tasks, 0).weigh(&Seen { iteration: 0, losses: &losses, gram: Some(&gram) }, &mut weights);
            let weights = DVector::from_vec(weights.shared);
            let products = &gram * &weights;
            // What is left of it: of Nash the ridge, in units of what is summed; of MGDA the gap at which the search ends.
            let longest = (0..tasks).map(|task| weights[task] * gram[(task, task)].sqrt()).fold(0.0, f64::max);
            let (by_ridge, by_gap) = if settings.name() == "nash" { (1e-6, 0.0) } else { (0.0, 1e-11) };
            for task in 0..tasks {
                let least = -by_ridge * longest * gram[(task, task)].sqrt() - by_gap * gram.diagonal().max();
                prop_assert!(products[task] >= least, "{}: {} below {}", settings.name(), products[task], least);
            }
        }
    }

    /// CAGrad promises that the worst-off task gains no less than by the mean gradient, in a ball about it.
    #[test]
    fn the_worst_off_gain_by_cagrad(gram in grams(), c in 0.0..0.95_f64) {
        let tasks = gram.nrows();
        let mut weights = Weights::default();
        let losses = vec![1.0; tasks];
        let seen = Seen { iteration: 0, losses: &losses, gram: Some(&gram) };
        Settings::CaGrad(cagrad::Settings { c }).open(tasks, 0).weigh(&seen, &mut weights);
        let step = DVector::from_vec(weights.shared);
        let sum = DVector::from_element(tasks, 1.0);
        let length = |vector: &DVector<f64>| vector.dot(&(&gram * vector)).max(0.0).sqrt();
        let scale = gram.diagonal().max();
        prop_assert!(length(&(&step - &sum)) <= (c + 1e-6) * length(&sum) + 1e-9 * scale.sqrt());
        prop_assert!((&gram * &step).min() >= (&gram * &sum).min() - 1e-6 * scale);
    }
}

fn parse(text: &str) -> Result<Settings, toml::de::Error> {
    toml::from_str(text)
}

/// A kind alone is enough, but for fixed weights; what is written is read back the same.
#[test]
fn kinds_have_names_and_defaults() {
    let kinds = ["uncertainty", "dynamic_average", "gradnorm", "pcgrad", "cagrad", "mgda", "nash", "famo", "random"];
    for kind in kinds {
        let settings = parse(&format!("kind = \"{kind}\"")).unwrap();
        assert_eq!((settings.name(), settings.open(3, 1).name()), (kind, kind));
        assert_eq!(settings.check(3), Ok(()));
        assert_eq!(parse(&toml::to_string(&settings).unwrap()).unwrap(), settings);
    }
    assert!(parse("kind = \"fixed\"").unwrap_err().to_string().contains("weights"));
    assert_eq!(parse("kind = \"fixed\"\nweights = [1.0, 2.0]").unwrap().name(), "fixed");
}

#[test]
fn what_is_not_known_is_refused_by_name() {
    assert!(parse("kind = \"best\"").is_err());
    for settings in all(2) {
        let error = parse(&format!("{}speed = 1.0", toml::to_string(&settings).unwrap())).unwrap_err();
        assert!(error.to_string().contains("speed"), "{}: {error}", settings.name());
    }
}

#[test]
fn what_means_nothing_is_refused_by_name() {
    let refused = [
        (
            "kind = \"fixed\"\nweights = [1.0]",
            "learner.weighting.weights: expected a weight for each of 2 tasks, found [1.0]",
        ),
        ("kind = \"fixed\"\nweights = [1.0, -1.0]", "weighting.weights"),
        ("kind = \"fixed\"\nweights = [0.0, 0.0]", "weighting.weights"),
        ("kind = \"uncertainty\"\nrate = 0.0", "weighting.rate: expected a number above 0, found 0.0"),
        ("kind = \"dynamic_average\"\nwindow = 0", "weighting.window"),
        ("kind = \"dynamic_average\"\ntemperature = 0.0", "weighting.temperature"),
        ("kind = \"gradnorm\"\nalpha = -1.0", "weighting.alpha"),
        ("kind = \"cagrad\"\nc = nan", "weighting.c"),
        ("kind = \"nash\"\nevery = 0", "weighting.every"),
        ("kind = \"nash\"\nnorm = 0.0", "weighting.norm"),
        ("kind = \"famo\"\nleast = [0.0, 0.0, 0.0]", "weighting.least"),
        ("kind = \"famo\"\ndecay = -0.1", "weighting.decay"),
    ];
    for (text, part) in refused {
        let error = parse(text).unwrap().check(2).unwrap_err().to_string();
        assert!(error.contains(part), "{error}");
    }
}
