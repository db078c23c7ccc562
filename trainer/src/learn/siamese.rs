//! Siamese twins (Koch, Zemel, Salakhutdinov 2015): two rows go through the same network, and a weighted L1 distance of their features
//! says whether they are of one class: p = σ(Σ α_j |h₁_j − h₂_j| + b), section 3.1.
//!
//! The paper draws pairs, half of them of one class, and takes the regularised cross-entropy. Here an episode gives all pairs of a support
//! and a query row, and pairs of one class weigh as much together as all others, where the settings say nothing else: the same
//! expectation, from far fewer passes of the network. The regularisation is the optimiser's weight decay.

use nalgebra::DMatrix;
use serde::{Deserialize, Serialize};
use sinew_models::rule::Rule;
use sinew_models::spec::NetworkSpec;

use super::features::{Gradient, Head, Learned, Task};

/// The head of a Siamese network: α and b are those of the network's head, of one output.
#[derive(Debug)]
pub struct Siamese {
    rule: Rule,
    settings: Settings,
}

/// What a configuration says of it, `kind = "siamese"`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// The part that pairs of one class have in the loss: half in the paper. Less of it asks more of pairs of two classes that look alike.
    pub alike: f64,
}

impl Default for Settings {
    fn default() -> Self {
        Self { alike: 0.5 }
    }
}

impl Siamese {
    /// For so many classes at most on a device.
    pub const fn new(classes: usize, settings: Settings) -> Self {
        Self { rule: Rule::Siamese { classes }, settings }
    }
}

/// σ(z)
fn sigmoid(z: f64) -> f64 {
    1.0 / (1.0 + (-z).exp())
}

/// ln(1 + exp z), which does not overflow.
fn softplus(z: f64) -> f64 {
    z.max(0.0) + (-z.abs()).exp().ln_1p()
}

fn column(matrix: &DMatrix<f64>, number: usize) -> &[f64] {
    &matrix.as_slice()[number * matrix.nrows()..][..matrix.nrows()]
}

fn column_mut(matrix: &mut DMatrix<f64>, number: usize) -> &mut [f64] {
    let len = matrix.nrows();
    &mut matrix.as_mut_slice()[number * len..][..len]
}

/// Σ α_j |h₁_j − h₂_j| + b of every pair, `[support rows, query rows]`.
fn logits(task: &Task, learned: &Learned) -> DMatrix<f64> {
    let (support, query) = (&task.support.features, &task.query.features);
    let (alpha, bias) = learned.head.as_slice().split_at(support.nrows());
    DMatrix::from_fn(support.ncols(), query.ncols(), |i, j| {
        let apart = column(support, i).iter().zip(column(query, j)).zip(alpha);
        bias[0] + apart.map(|((a, b), alpha)| alpha * (a - b).abs()).sum::<f64>()
    })
}

impl Head for Siamese {
    fn name(&self) -> &'static str {
        "siamese"
    }

    fn rule(&self) -> &Rule {
        &self.rule
    }

    fn initial_rates(&self, _network: &NetworkSpec) -> Vec<f64> {
        Vec::new()
    }

    fn gradient(&self, task: &Task, learned: &Learned, into: &mut Gradient) -> f64 {
        let (support, query) = (&task.support, &task.query);
        let same = support.targets.tr_mul(&query.targets);
        let alike = same.sum();
        let apart = same.len() as f64 - alike;
        // What there is none of leaves all of the loss to the other kind.
        let part = match (alike > 0.0, apart > 0.0) {
            (true, true) => self.settings.alike,
            (alike, _) => f64::from(u8::from(alike)),
        };
        let (alike, apart) = (part / alike.max(1.0), (1.0 - part) / apart.max(1.0));
        let logits = logits(task, learned);
        let len = support.features.nrows();
        let (alpha, _) = learned.head.as_slice().split_at(len);
        let (by_alpha, by_bias) = into.learned.head.as_mut_slice().split_at_mut(len);
        let mut loss = 0.0;
        for j in 0..query.features.ncols() {
            for i in 0..support.features.ncols() {
                let (logit, label) = (logits[(i, j)], same[(i, j)]);
                let weight = label * alike + (1.0 - label) * apart;
                loss += weight * (softplus(logit) - label * logit);
                let by_logit = weight * (sigmoid(logit) - label);
                by_bias[0] += by_logit;
                let rows = column(&support.features, i).iter().zip(column(&query.features, j));
                let by_rows = column_mut(&mut into.support, i).iter_mut().zip(column_mut(&mut into.query, j));
                let learned = alpha.iter().zip(&mut *by_alpha);
                for (((a, b), (by_a, by_b)), (alpha, by_alpha)) in rows.zip(by_rows).zip(learned) {
                    let apart = a - b;
                    *by_alpha += by_logit * apart.abs();
                    // The slope of |·| at 0 is taken for 0.
                    let sign = if apart == 0.0 { 0.0 } else { apart.signum() };
                    *by_a += by_logit * alpha * sign;
                    *by_b -= by_logit * alpha * sign;
                }
            }
        }
        loss
    }

    /// The share of queries for whose class no support row is the most alike (the paper's one-shot trials, section 4.3).
    fn loss(&self, task: &Task, learned: &Learned) -> f64 {
        let logits = logits(task, learned);
        let class = |targets: &DMatrix<f64>, row: usize| targets.column(row).imax();
        let wrong = (0..logits.ncols()).filter(|&j| {
            let best = logits.column(j).imax();
            class(&task.support.targets, best) != class(&task.query.targets, j)
                || logits.column(j).iter().any(|z| z.is_nan())
        });
        wrong.count() as f64 / logits.ncols() as f64
    }

    fn deploy(&self, learned: &Learned) -> (DMatrix<f64>, Vec<f64>) {
        (learned.head.clone(), Vec::new())
    }
}
