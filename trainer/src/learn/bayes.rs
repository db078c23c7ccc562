//! A Bayesian last layer on learned features: ALPaCA (Harrison, Sharma, Pavone 2018), trained by the posterior predictive likelihood.
//!
//! Prior W_o ~ N(W₀_o, σ_o² Λ₀⁻¹) for each output, Λ₀ = R₀ᵀR₀. After the support (eqs. 3–4; a column of Φ̃ for each row, with a 1 for the
//! bias), Λ = Λ₀ + Φ̃Φ̃ᵀ and W = W₀ + Λ⁻¹Φ̃ (Y − Φ̃ᵀW₀), and a query is N(Wᵀφ̃, σ_o² (1 + φ̃ᵀΛ⁻¹φ̃)) (eq. 5). The loss is the mean over queries
//! and outputs of its negative logarithm (eq. 6).

use std::f64::consts::TAU;

use nalgebra::{Cholesky, DMatrix};
use serde::{Deserialize, Serialize};
use sinew_models::rule::Rule;
use sinew_models::spec::NetworkSpec;

use super::features::{Gradient, Head, Learned, Task};
use super::ridge::with_ones;

/// The head of ALPaCA. It learns of its rule R₀, `[features + 1, features + 1]` by rows with logarithms on the diagonal, then ln σ² of each
/// output.
/// A configuration has it as `kind = "bayes"`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bayes {
    /// The prior's precision Λ₀ to begin with, on the diagonal.
    #[serde(default = "one")]
    pub precision: f64,
    /// The noise's variance σ² to begin with, in squares of the scaled outputs.
    #[serde(default = "tenth")]
    pub noise: f64,
    /// What one more sample leaves of the weight of those before it on a device; training takes 1.
    #[serde(default = "one")]
    pub forgetting: f64,
}

fn one() -> f64 {
    1.0
}

fn tenth() -> f64 {
    0.1
}

/// R₀, upper triangular with a positive diagonal.
fn factor(rates: &[f64], unknowns: usize) -> DMatrix<f64> {
    DMatrix::from_fn(unknowns, unknowns, |row, column| {
        let value = rates[row * unknowns + column];
        match row.cmp(&column) {
            std::cmp::Ordering::Less => value,
            std::cmp::Ordering::Equal => value.exp(),
            std::cmp::Ordering::Greater => 0.0,
        }
    })
}

impl Head for Bayes {
    fn name(&self) -> &'static str {
        "bayes"
    }

    fn rule(&self) -> &Rule {
        &Rule::Bayes
    }

    fn initial_rates(&self, network: &NetworkSpec) -> Vec<f64> {
        let (unknowns, outputs) = (network.feature_len() + 1, network.output_len());
        let diagonal = self.precision.ln() / 2.0;
        let factor = (0..unknowns * unknowns).map(|place| if place % (unknowns + 1) == 0 { diagonal } else { 0.0 });
        factor.chain((0..outputs).map(|_| self.noise.ln())).collect()
    }

    fn gradient(&self, task: &Task, learned: &Learned, into: &mut Gradient) -> f64 {
        let (phi, query) = (with_ones(&task.support.features), with_ones(&task.query.features));
        let (unknowns, outputs) = learned.head.shape();
        let prior = &learned.head;
        let root = factor(&learned.rates, unknowns);
        let Some(solver) = Cholesky::new(root.tr_mul(&root) + &phi * phi.transpose()) else {
            // Numbers ran out; a loss that is not finite leaves this batch out.
            return f64::NAN;
        };
        let error = task.support.targets.transpose() - phi.tr_mul(prior);
        let moved = solver.solve(&(&phi * &error));
        let weight = prior + &moved;
        // Λ⁻¹φ̃ of each query, and 1 + φ̃ᵀΛ⁻¹φ̃.
        let spread = solver.solve(&query);
        let factors: Vec<f64> =
            query.column_iter().zip(spread.column_iter()).map(|(row, spread)| 1.0 + row.dot(&spread)).collect();

        let mean = query.tr_mul(&weight);
        let share = 1.0 / (factors.len() * outputs) as f64;
        let mut loss = 0.0;
        let mut by_mean = DMatrix::zeros(mean.nrows(), outputs);
        let mut by_factors = vec![0.0; factors.len()];
        for output in 0..outputs {
            let log_noise = learned.rates[unknowns * unknowns + output];
            let noise = log_noise.exp();
            for (row, factor) in factors.iter().enumerate() {
                let apart = mean[(row, output)] - task.query.targets[(output, row)];
                let square = apart * apart / (noise * factor);
                loss += share * 0.5 * (TAU.ln() + log_noise + factor.ln() + square);
                by_mean[(row, output)] = share * apart / (noise * factor);
                by_factors[row] += share * 0.5 * (1.0 - square) / factor;
                into.learned.rates[unknowns * unknowns + output] += share * 0.5 * (1.0 - square);
            }
        }

        // Back through mean and spread, the solve, the error.
        let by_weight = &query * &by_mean;
        let mut by_query = &weight * by_mean.transpose();
        let mut by_precision = DMatrix::zeros(unknowns, unknowns);
        for ((mut to, spread), by_factor) in by_query.column_iter_mut().zip(spread.column_iter()).zip(&by_factors) {
            to.axpy(2.0 * by_factor, &spread, 1.0);
            by_precision.ger(-by_factor, &spread, &spread, 1.0);
        }
        let by_product = solver.solve(&by_weight);
        by_precision -= &by_product * moved.transpose();
        let by_error = phi.tr_mul(&by_product);
        let symmetric = &by_precision + by_precision.transpose();
        let by_phi = &by_product * error.transpose() - prior * by_error.transpose() + &symmetric * &phi;
        let by_root = &root * symmetric;
        for row in 0..unknowns {
            into.learned.rates[row * unknowns + row] += by_root[(row, row)] * root[(row, row)];
            for column in row + 1..unknowns {
                into.learned.rates[row * unknowns + column] += by_root[(row, column)];
            }
        }
        into.learned.head += &by_weight - &phi * &by_error;
        into.support += by_phi.rows(0, unknowns - 1);
        into.query += by_query.rows(0, unknowns - 1);
        loss
    }

    fn deploy(&self, learned: &Learned) -> (DMatrix<f64>, Vec<f64>) {
        let unknowns = learned.head.nrows();
        let (of_factor, of_noise) = learned.rates.split_at(unknowns * unknowns);
        let root = factor(of_factor, unknowns);
        // By rows, as the tensor has it.
        let mut numbers = root.transpose().as_slice().to_vec();
        numbers.extend(of_noise.iter().map(|noise| noise.exp()).chain([self.forgetting]));
        (learned.head.clone(), numbers)
    }
}
