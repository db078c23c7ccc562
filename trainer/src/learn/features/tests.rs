//! Every head's gradient against finite differences in f64.

use nalgebra::DMatrix;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use sinew_models::networks;
use sinew_models::spec::{Activation, InputForm, Loss, NetworkSpec};

use super::{Gradient, Head, Learned, Seen, Task};
use crate::learn::bayes::Bayes;
use crate::learn::prototype::Prototype;
use crate::learn::ridge::{Ridge, Settings};
use crate::learn::siamese::{Settings as Pairs, Siamese};

const FEATURES: usize = 4;

fn network(outputs: usize, loss: Loss) -> NetworkSpec {
    networks::mlp(3, InputForm::Plain, &[FEATURES], Activation::Tanh, "y", outputs, loss).unwrap()
}

fn random(height: usize, width: usize, rng: &mut ChaCha8Rng) -> DMatrix<f64> {
    DMatrix::from_fn(height, width, |_, _| rng.random_range(-1.0..1.0))
}

/// Values for a regression, classes in turn otherwise.
fn seen(rows: usize, outputs: usize, loss: Loss, rng: &mut ChaCha8Rng) -> Seen {
    let targets = match loss {
        Loss::MeanSquared | Loss::Huber { .. } => random(outputs, rows, rng),
        Loss::BinaryCrossEntropy => DMatrix::from_fn(outputs, rows, |_, row| (row % 2) as f64),
        Loss::CrossEntropy => {
            DMatrix::from_fn(outputs, rows, |output, row| f64::from(u8::from(row % outputs == output)))
        }
    };
    Seen { features: random(FEATURES, rows, rng), targets }
}

/// Compares every entry of the gradient, of a task of `classes` outputs, with central differences of the loss.
fn check(head: &dyn Head, network: &NetworkSpec, classes: usize, loss: Loss, [support, query]: [usize; 2]) {
    let mut rng = ChaCha8Rng::seed_from_u64(7);
    let mut task =
        Task { support: seen(support, classes, loss, &mut rng), query: seen(query, classes, loss, &mut rng) };
    let rates = head.initial_rates(network);
    let mut learned = Learned {
        head: random(FEATURES + 1, network.output_len(), &mut rng),
        rates: rates.iter().map(|rate| rate + rng.random_range(-0.3..0.3)).collect(),
    };
    let mut gradient = Gradient::zeros(&task, &learned);
    let at = head.gradient(&task, &learned, &mut gradient);
    assert!(at.is_finite());
    let step = 1e-6;
    let name = head.name();
    let mut compare = |what: &str, got: &[f64], place: &dyn Fn(&mut Task, &mut Learned, usize, f64)| {
        for (number, got) in got.iter().enumerate() {
            let mut along = |by: f64| {
                place(&mut task, &mut learned, number, by);
                let loss = head.gradient(&task, &learned, &mut Gradient::zeros(&task, &learned));
                place(&mut task, &mut learned, number, -by);
                loss
            };
            let want = (along(step) - along(-step)) / (2.0 * step);
            assert!((got - want).abs() <= 1e-7 * (1.0 + want.abs()), "{name}: {what} {number}: {got} for {want}");
        }
    };
    compare("support", gradient.support.as_slice(), &|task, _, i, by| task.support.features.as_mut_slice()[i] += by);
    compare("query", gradient.query.as_slice(), &|task, _, i, by| task.query.features.as_mut_slice()[i] += by);
    compare("head", gradient.learned.head.as_slice(), &|_, learned, i, by| learned.head.as_mut_slice()[i] += by);
    compare("rates", &gradient.learned.rates, &|_, learned, i, by| learned.rates[i] += by);
}

#[test]
fn prototypes() {
    let loss = Loss::CrossEntropy;
    let head = Prototype { scale: 0.7, learn_scale: true };
    check(&head, &network(3, loss), 3, loss, [6, 5]);
    // More classes in an episode than a device has; and a class without support.
    check(&head, &network(3, loss), 5, loss, [10, 7]);
    check(&head, &network(3, loss), 4, loss, [3, 3]);
}

#[test]
fn siamese() {
    let network = network(1, Loss::BinaryCrossEntropy);
    for rows in [[6, 5], [3, 9]] {
        check(&Siamese::new(3, Pairs::default()), &network, 3, Loss::CrossEntropy, rows);
        check(&Siamese::new(3, Pairs { alike: 0.2 }), &network, 3, Loss::CrossEntropy, rows);
    }
    // Pairs of one class alone.
    check(&Siamese::new(1, Pairs::default()), &network, 1, Loss::CrossEntropy, [2, 2]);
}

#[test]
fn ridge() {
    for (loss, outputs) in [
        (Loss::MeanSquared, 2),
        (Loss::Huber { delta: 0.4 }, 1),
        (Loss::BinaryCrossEntropy, 1),
        (Loss::CrossEntropy, 3),
    ] {
        let network = network(outputs, loss);
        let settings = Settings { ridge: 0.8, logit_scale: 3.0, learn_prior: true, forgetting: None };
        // Fewer rows than unknowns, and more.
        for rows in [[3, 6], [9, 4]] {
            check(&Ridge::new(&network, settings), &network, outputs, loss, rows);
        }
    }
}

#[test]
fn ridge_without_a_prior_leaves_the_head_alone() {
    let loss = Loss::CrossEntropy;
    let network = network(3, loss);
    let settings = Settings { ridge: 0.8, logit_scale: 3.0, learn_prior: false, forgetting: None };
    check(&Ridge::new(&network, settings), &network, 3, loss, [6, 6]);
}

#[test]
fn bayes() {
    let loss = Loss::MeanSquared;
    for outputs in [1, 2] {
        let network = network(outputs, loss);
        for rows in [[3, 6], [9, 4]] {
            // Off the diagonal the factor is moved from 0 by the check.
            check(&Bayes { precision: 2.0, noise: 0.3, forgetting: 1.0 }, &network, outputs, loss, rows);
        }
    }
}
