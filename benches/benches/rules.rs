//! How long do the rules take that need no gradient? On features of 40 values with 4 outputs, and on embeddings of 64 values.

mod timed;

use std::hint::black_box;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use sinew_benches::Workload;
use sinew_runtime::Path;
use sinew_runtime::kernel::dense::Size;
use sinew_runtime::rule::bayes::{Bayes, Belief};
use sinew_runtime::rule::recursive::{Precision, Prior, Recursive};
use sinew_runtime::rule::{meta_lstm, prototype, ridge, siamese};

const FEATURES: usize = 40;
const OUTPUTS: usize = 4;
/// Samples that a recursive rule is given in turn.
const SAMPLES: usize = 64;
const EMBEDDING: usize = 64;

fn main() {
    let path = Path::detect();
    timed::with_criterion([
        ridge(path),
        recursive("rules/recursive", path, 1.0),
        recursive("rules/recursive_forgetting", path, 0.99),
        bayes("rules/bayes", path, 1.0),
        bayes("rules/bayes_forgetting", path, 0.99),
        prototypes(path),
        siamese(path),
        learned_gates(path),
    ]);
}

/// Uniform in ±1.
fn values(len: usize, seed: u64) -> Vec<f32> {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    (0..len).map(|_| random.random_range(-1.0..1.0)).collect()
}

/// Ridge regression of 10 rows in closed form. Operations: the products, and the elimination.
fn ridge(path: Path) -> Workload {
    const ROWS: usize = 10;
    let size = Size { rows: ROWS, inputs: FEATURES, outputs: OUTPUTS };
    let (phi, y) = (values(ROWS * FEATURES, 1), values(ROWS * OUTPUTS, 2));
    let prior = values(OUTPUTS * (FEATURES + 1), 3);
    let mut weight = vec![0.0; prior.len()];
    let mut scratch = vec![0.0; ridge::scratch_len(path, size)];
    let products = ROWS * FEATURES * (ROWS + 2 * OUTPUTS);
    let operations = 2 * (products + ROWS * ROWS * ROWS / 6 + ROWS * ROWS * OUTPUTS);
    Workload::new("rules/ridge", operations as u64, move || {
        let rows = (black_box(&phi[..]), &y[..]);
        assert!(ridge::solve(path, size, 1.0, rows, None, &prior, &mut weight, &mut scratch));
        black_box(&weight);
    })
}

/// Operations of one sweep of rotations, 6 for a pair of values.
const fn sweep(outputs: usize) -> usize {
    let unknowns = FEATURES + 1;
    6 * (unknowns * (unknowns + 1) / 2 + unknowns * outputs)
}

/// One sample into the ridge regression, and the weights after it.
fn recursive(id: &'static str, path: Path, forgetting: f32) -> Workload {
    let (phi, y) = (values(SAMPLES * FEATURES, 1), values(OUTPUTS, 2));
    let weight = values(OUTPUTS * (FEATURES + 1), 3);
    let mut state = vec![0.0; Recursive::state_len(path, FEATURES, OUTPUTS)];
    let mut scratch = vec![0.0; Recursive::scratch_len(path, FEATURES, OUTPUTS)];
    let mut adapted = vec![0.0; weight.len()];
    let start = Prior { weight: &weight, precision: Precision::Scaled(1.0) };
    let filter = Recursive::new(path, FEATURES, OUTPUTS, forgetting, &start, &mut state);
    let (mut filter, mut turn) = (filter.expect("the prior is sound"), 0);
    let sweeps = if forgetting < 1.0 { 2 } else { 1 };
    let operations = sweeps * sweep(OUTPUTS) + OUTPUTS * FEATURES * (FEATURES + 1);
    Workload::new(id, operations as u64, move || {
        let prior = Prior { weight: &weight, precision: Precision::Scaled(1.0) };
        turn = (turn + 1) % SAMPLES;
        let phi = black_box(&phi[turn * FEATURES..][..FEATURES]);
        assert!(filter.update(&prior, phi, &y, &mut state, &mut scratch));
        assert!(filter.weights(&prior, &state, &mut adapted, &mut scratch));
        black_box(&adapted);
    })
}

/// One sample into a Bayesian last layer with one output, the weights after it, and the variance of one prediction.
fn bayes(id: &'static str, path: Path, forgetting: f32) -> Workload {
    const UNKNOWNS: usize = FEATURES + 1;
    let phi = values(SAMPLES * FEATURES, 1);
    let weight: &'static [f32] = values(UNKNOWNS, 3).leak();
    let mut factor = values(UNKNOWNS * UNKNOWNS, 4);
    factor.iter_mut().step_by(UNKNOWNS + 1).for_each(|diagonal| *diagonal = 2.0);
    let belief = Belief { weight, factor: factor.leak(), noise: &[0.1] };
    let mut state = vec![0.0; Bayes::state_len(path, FEATURES, 1)];
    let mut scratch = vec![0.0; Bayes::scratch_len(path, FEATURES, 1)];
    let (mut adapted, mut variance) = (vec![0.0; UNKNOWNS], [0.0]);
    let filter = Bayes::new(path, FEATURES, 1, forgetting, belief, &mut state);
    let (mut filter, mut turn) = (filter.expect("the prior is sound"), 0);
    let sweeps = if forgetting < 1.0 { 2 } else { 1 };
    let operations = sweeps * sweep(1) + 2 * FEATURES * (FEATURES + 1);
    Workload::new(id, operations as u64, move || {
        turn = (turn + 1) % SAMPLES;
        let sample = black_box(&phi[turn * FEATURES..][..FEATURES]);
        assert!(filter.update(sample, &[0.3], &mut state, &mut scratch));
        assert!(filter.weights(&state, &mut adapted, &mut scratch));
        assert!(filter.variance(&state, black_box(&phi[..FEATURES]), &mut variance, &mut scratch));
        black_box((&adapted, &variance));
    })
}

/// The means of 5 classes from 5 embeddings each, and the logits of one more.
fn prototypes(path: Path) -> Workload {
    const CLASSES: usize = 5;
    const SHOTS: usize = 5;
    let embeddings = values(CLASSES * SHOTS * EMBEDDING, 5);
    let (mut means, mut counts) = (vec![0.0; CLASSES * EMBEDDING], [0.0; CLASSES]);
    let mut logits = [0.0; CLASSES];
    let operations = 3 * EMBEDDING * CLASSES * (SHOTS + 1);
    Workload::new("rules/prototype", operations as u64, move || {
        prototype::clear(&mut means, &mut counts);
        for (i, embedding) in black_box(&embeddings).chunks_exact(EMBEDDING).enumerate() {
            assert!(prototype::observe(path, embedding, i % CLASSES, &mut means, &mut counts));
        }
        let query = black_box(&embeddings[..EMBEDDING]);
        assert!(prototype::logits(path, query, &means, &counts, 1.0, &mut logits));
        black_box(&logits);
    })
}

/// One query against 25 support rows.
fn siamese(path: Path) -> Workload {
    const ROWS: usize = 25;
    let (query, support) = (values(EMBEDDING, 1), values(ROWS * EMBEDDING, 2));
    let (weight, mut scores) = (values(EMBEDDING, 3), [0.0; ROWS]);
    Workload::new("rules/siamese", (4 * ROWS * EMBEDDING) as u64, move || {
        assert!(siamese::scores(path, black_box(&query), &support, &weight, 0.1, &mut scores));
        black_box(&scores);
    })
}

/// One step of all 5,764 parameters of a 16-64-64-4, with 20 units. Operations: those of the matrix products.
fn learned_gates(path: Path) -> Workload {
    const UNITS: usize = 20;
    const PARAMS: usize = 5_764;
    let weight_ih = values(4 * UNITS * meta_lstm::SEEN, 1);
    let weight_hh = values(4 * UNITS * UNITS, 2);
    let bias = values(4 * UNITS, 3);
    let gate_weight = values(2 * (UNITS + 2), 4);
    let gate_bias = values(2, 5);
    let (gradient, mut theta) = (values(PARAMS, 6), values(PARAMS, 7));
    let mut memory = vec![0.0; meta_lstm::Memory::len(UNITS, PARAMS)];
    let mut scratch = vec![0.0; meta_lstm::scratch_len(path, UNITS)];
    let operations = 2 * PARAMS * (4 * UNITS * (meta_lstm::SEEN + UNITS) + 2 * (UNITS + 2));
    Workload::new("rules/meta_lstm", operations as u64, move || {
        let gates = meta_lstm::Gates {
            hidden: UNITS,
            weight_ih: &weight_ih,
            weight_hh: &weight_hh,
            bias: &bias,
            gate_weight: &gate_weight,
            gate_bias: &gate_bias,
        };
        let mut memory = meta_lstm::Memory::new(UNITS, PARAMS, &mut memory).expect("the length fits");
        assert!(gates.step(path, 0.3, black_box(&gradient), &mut theta, &mut memory, &mut scratch));
        black_box(&theta);
    })
}
