//! Ridge regression on learned features: R2D2 (Bertinetto, Henriques, Torr, Vedaldi 2019), with a learned prior weight where the paper
//! has zero.
//!
//! On a task, W = argmin Σ |y − Wᵀφ̃|² + λ |W − W₀|², which is W = W₀ + Φ̃ (Φ̃ᵀΦ̃ + λI)⁻¹ (Y − Φ̃ᵀW₀) by Woodbury's identity (eqs. 5–6, with
//! a column of Φ̃ for each row of the support, and a 1 for the bias in each). A prediction is a Wᵀφ̃ + b with a scale a and an offset b
//! that are learned where outputs are logits (eq. 7). The gradient goes through the solve.

use nalgebra::{Cholesky, DMatrix};
use serde::{Deserialize, Serialize};
use sinew_models::rule::Rule;
use sinew_models::spec;
use sinew_models::spec::NetworkSpec;

use super::features::{Gradient, Head, Learned, Task};
use super::objective::objective;

/// The head of R2D2. It learns of its rule ln λ, then for each output ln a and b.
#[derive(Debug)]
pub struct Ridge {
    rule: Rule,
    heads: Vec<spec::Head>,
    /// For each output.
    is_logit: Vec<bool>,
    settings: Settings,
}

/// What a configuration says of it, `kind = "ridge"`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// λ to begin with; it is learned.
    #[serde(default = "one")]
    pub ridge: f64,
    /// The scale of logits a to begin with; it is learned.
    #[serde(default = "four")]
    pub logit_scale: f64,
    /// Whether W₀ is learned; otherwise it is 0, as in the paper.
    #[serde(default = "yes")]
    pub learn_prior: bool,
    /// Work samples in one by one on a device, with this factor of forgetting (1 forgets nothing); solve anew where it is missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub forgetting: Option<f64>,
}

fn one() -> f64 {
    1.0
}

fn four() -> f64 {
    4.0
}

fn yes() -> bool {
    true
}

impl Ridge {
    /// For the heads of a network.
    pub fn new(network: &NetworkSpec, settings: Settings) -> Self {
        let rule = Rule::Ridge { recursive: settings.forgetting.is_some() };
        let logits = |head: &spec::Head| vec![head.loss.is_classification(); head.outputs()];
        let is_logit = network.heads.iter().flat_map(logits).collect();
        Self { rule, heads: network.heads.to_vec(), is_logit, settings }
    }

    /// a and b of an output; 1 and 0 where it is no logit.
    fn logit(&self, learned: &Learned, output: usize) -> (f64, f64) {
        if self.is_logit[output] {
            (learned.rates[1 + 2 * output].exp(), learned.rates[2 + 2 * output])
        } else {
            (1.0, 0.0)
        }
    }

    /// W₀, which makes of features what the network's heads make of them: a W₀ᵀφ̃ + b.
    fn prior(&self, learned: &Learned) -> DMatrix<f64> {
        let last = learned.head.nrows() - 1;
        if !self.settings.learn_prior {
            return DMatrix::zeros(last + 1, learned.head.ncols());
        }
        DMatrix::from_fn(last + 1, learned.head.ncols(), |i, output| {
            let (scale, offset) = self.logit(learned, output);
            (learned.head[(i, output)] - if i == last { offset } else { 0.0 }) / scale
        })
    }
}

/// With a 1 below each column.
pub(super) fn with_ones(features: &DMatrix<f64>) -> DMatrix<f64> {
    features.clone().insert_row(features.nrows(), 1.0)
}

impl Head for Ridge {
    fn name(&self) -> &'static str {
        "ridge"
    }

    fn rule(&self) -> &Rule {
        &self.rule
    }

    fn initial_rates(&self, _network: &NetworkSpec) -> Vec<f64> {
        let scale = |logit: bool| if logit { self.settings.logit_scale.ln() } else { 0.0 };
        let logits = self.is_logit.iter().flat_map(|logit| [scale(*logit), 0.0]);
        std::iter::once(self.settings.ridge.ln()).chain(logits).collect()
    }

    fn gradient(&self, task: &Task, learned: &Learned, into: &mut Gradient) -> f64 {
        let (phi, query) = (with_ones(&task.support.features), with_ones(&task.query.features));
        let lambda = learned.rates[0].exp();
        let prior = self.prior(learned);
        let rows = phi.ncols();
        let Some(solver) = Cholesky::new(phi.tr_mul(&phi) + DMatrix::identity(rows, rows) * lambda) else {
            // Numbers ran out; a loss that is not finite leaves this batch out.
            return f64::NAN;
        };
        let error = task.support.targets.transpose() - phi.tr_mul(&prior);
        let dual = solver.solve(&error);
        let weight = &prior + &phi * &dual;

        let regressed = query.tr_mul(&weight);
        let outputs = DMatrix::from_fn(regressed.nrows(), regressed.ncols(), |row, output| {
            let (scale, offset) = self.logit(learned, output);
            scale * regressed[(row, output)] + offset
        });
        let (loss, by_outputs) = objective(&self.heads, &outputs, &task.query.targets.transpose());

        // Back through outputs, W, the solve, the error.
        let mut by_regressed = by_outputs;
        for (output, mut column) in by_regressed.column_iter_mut().enumerate() {
            let (scale, _) = self.logit(learned, output);
            if self.is_logit[output] {
                into.learned.rates[1 + 2 * output] += scale * column.dot(&regressed.column(output));
                into.learned.rates[2 + 2 * output] += column.sum();
            }
            column *= scale;
        }
        let by_weight = &query * &by_regressed;
        let by_error = solver.solve(&phi.tr_mul(&by_weight));
        let by_prior = &by_weight - &phi * &by_error;
        // By the matrix ΦᵀΦ + λI, whose transpose counts as much.
        let by_matrix = -(&by_error * dual.transpose() + &dual * by_error.transpose());
        let by_phi = &by_weight * dual.transpose() - &prior * by_error.transpose() + &phi * by_matrix;
        into.learned.rates[0] -= lambda * by_error.dot(&dual);
        let features = task.support.features.nrows();
        into.support += by_phi.rows(0, features);
        into.query += (&weight * by_regressed.transpose()).rows(0, features);
        if self.settings.learn_prior {
            for (output, column) in by_prior.column_iter().enumerate() {
                let (scale, _) = self.logit(learned, output);
                into.learned.head.column_mut(output).axpy(1.0 / scale, &column, 1.0);
                if self.is_logit[output] {
                    into.learned.rates[1 + 2 * output] -= column.dot(&prior.column(output));
                    into.learned.rates[2 + 2 * output] -= column[features] / scale;
                }
            }
        }
        loss
    }

    fn deploy(&self, learned: &Learned) -> (DMatrix<f64>, Vec<f64>) {
        let mut head = learned.head.clone();
        let mut numbers = vec![learned.rates[0].exp()];
        for output in 0..head.ncols() {
            let (scale, offset) = self.logit(learned, output);
            numbers.extend([scale, offset]);
            if !self.settings.learn_prior {
                let mut column = head.column_mut(output);
                column.fill(0.0);
                column[learned.head.nrows() - 1] = offset;
            }
        }
        numbers.extend(self.settings.forgetting);
        (head, numbers)
    }
}
