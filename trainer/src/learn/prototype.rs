//! Prototypical networks (Snell, Swersky, Zemel 2017): a class is the mean of its embeddings, and softmax over negative squared
//! distances says which is nearest. Training is their algorithm 1; the distance may have a learned scale.

use nalgebra::{DMatrix, DVector};
use serde::{Deserialize, Serialize};
use sinew_models::rule::Rule;
use sinew_models::spec::NetworkSpec;

use super::features::{Gradient, Head, Learned, Task};

/// The head of a prototypical network. It learns one number of its rule, the logarithm of the scale of the distance.
/// A configuration has it as `kind = "prototype"`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Prototype {
    /// The scale of squared distances to begin with; 1 in the paper.
    #[serde(default = "one")]
    pub scale: f64,
    /// Whether it is learned.
    #[serde(default)]
    pub learn_scale: bool,
}

fn one() -> f64 {
    1.0
}

impl Head for Prototype {
    fn name(&self) -> &'static str {
        "prototype"
    }

    fn rule(&self) -> &Rule {
        &Rule::Prototype
    }

    fn initial_rates(&self, _network: &NetworkSpec) -> Vec<f64> {
        vec![self.scale.ln()]
    }

    /// −ln p(y = k | x) = s d(f(x), c_k) + ln Σ exp(−s d(f(x), c_k')), the mean over queries (eqs. 1–2).
    fn gradient(&self, task: &Task, learned: &Learned, into: &mut Gradient) -> f64 {
        let (support, query) = (&task.support, &task.query);
        let (len, classes) = (support.features.nrows(), support.targets.nrows());
        let scale = learned.rates[0].exp();
        let counts: Vec<f64> = support.targets.row_iter().map(|row| row.sum()).collect();
        // c_k, eq. 1; a class without support takes no part.
        let mut centres = &support.features * support.targets.transpose();
        for (mut centre, count) in centres.column_iter_mut().zip(&counts) {
            centre /= count.max(1.0);
        }
        let mut by_centres = DMatrix::zeros(len, classes);
        let rows = query.features.ncols() as f64;
        let (mut loss, mut by_scale) = (0.0, 0.0);
        for (number, (row, target)) in query.features.column_iter().zip(query.targets.column_iter()).enumerate() {
            let distances: Vec<f64> = centres.column_iter().map(|centre| (row - centre).norm_squared()).collect();
            let logit = |class: usize| if counts[class] > 0.0 { -scale * distances[class] } else { f64::NEG_INFINITY };
            let logits = DVector::from_fn(classes, |class, _| logit(class));
            let top = logits.max();
            let normaliser = top + logits.map(|logit| (logit - top).exp()).sum().ln();
            for class in (0..classes).filter(|class| counts[*class] > 0.0) {
                loss += target[class] * (normaliser - logits[class]) / rows;
                let by_logit = ((logits[class] - normaliser).exp() * target.sum() - target[class]) / rows;
                by_scale -= by_logit * scale * distances[class];
                let slope = (row - centres.column(class)) * (2.0 * scale * by_logit);
                into.query.column_mut(number).axpy(-1.0, &slope, 1.0);
                by_centres.column_mut(class).axpy(1.0, &slope, 1.0);
            }
        }
        for (mut centre, count) in by_centres.column_iter_mut().zip(&counts) {
            centre /= count.max(1.0);
        }
        into.support += by_centres * &support.targets;
        if self.learn_scale {
            into.learned.rates[0] += by_scale;
        }
        loss
    }

    fn deploy(&self, learned: &Learned) -> (DMatrix<f64>, Vec<f64>) {
        (learned.head.clone(), vec![learned.rates[0].exp()])
    }
}
