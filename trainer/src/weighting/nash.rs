//! Nash-MTL: Navon, Shamsian, Achituve, Maron, Kawaguchi, Chechik, Fetaya, *Multi-Task Learning as a Bargaining Game* (2022).
//!
//! The tasks bargain for the direction: d maximises Σ ln(gᵢ·d) in a ball, which is d = Σ αᵢ gᵢ with Gα = 1/α, all α above 0, where G is
//! the Gram matrix (claim 3.1). Then every gᵢ·d is 1/αᵢ, above 0, and no scale of a loss matters.
//!
//! **Gα = 1/α, solved.** It says that the gradient of ½ αᵀGα − Σ ln αᵢ is 0. That function is convex and self-concordant, so damped Newton
//! (Nesterov, Nemirovskii 1994) finds its one least point from anywhere, without parameters. The paper minimises another function under
//! the relaxed constraints αᵢ (Gα)ᵢ ≥ 1 by a concave–convex procedure of 20 calls of a cone solver (section 3.2), which comes near the
//! same α. Because no scale matters, gradients are taken at length 1 here: β with Ĝβ = 1/β, and αᵢ = βᵢ / ‖gᵢ‖.
//!
//! **Pareto-stationary points** have no such α (it grows without bound as one comes near). Ĝ + 10⁻⁸ I in place of Ĝ bounds β to 10⁴ √T.
//! A task without any gradient cannot bargain: it is left out, and gets weight 1 of nothing.
//!
//! **Length.** With that α, ‖d‖ = √T however short the gradients are. As in the authors' code, G is divided by its Frobenius norm first,
//! which multiplies α by the root of that norm: ‖d‖ then shrinks with the gradients. Their norm limit and their weights that stay for some
//! iterations are settings.

use nalgebra::{Cholesky, DMatrix, DVector};
use serde::{Deserialize, Serialize};

use super::{Needs, Seen, SettingsError, Weighting, Weights, check_seen, field, positive};

/// What a configuration says of it, `kind = "nash"`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// α is solved for every so many iterations, and stays between; gradients of each task are asked for all the same.
    #[serde(default = "one")]
    pub every: u64,
    /// Most that ‖Σ αᵢ gᵢ‖ may be; 1 in the authors' code. No limit where it is missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub norm: Option<f64>,
}

fn one() -> u64 {
    1
}

impl Default for Settings {
    fn default() -> Self {
        Self { every: 1, norm: None }
    }
}

impl Settings {
    pub(super) fn check(&self) -> Result<(), SettingsError> {
        field("every", "at least 1", self.every, self.every > 0)?;
        self.norm.map_or(Ok(()), |norm| positive("norm", norm))
    }
}

/// What is added to the diagonal of Ĝ.
const RIDGE: f64 = 1e-8;
/// Most steps of Newton's method; near a solution it takes about five.
const MOST_STEPS: usize = 500;
/// A gradient shorter than this share of the longest has no length.
const SHORTEST: f64 = 1e-12;

/// Weights that tasks bargained for.
#[derive(Clone, Debug)]
pub struct Nash {
    settings: Settings,
    /// α of each task, as it was solved for last; 1 before.
    weights: Vec<f64>,
}

impl Nash {
    /// Before the first bargain.
    #[must_use]
    pub fn new(tasks: usize, settings: Settings) -> Self {
        Self { settings, weights: vec![1.0; tasks] }
    }
}

/// β > 0 with (Ĝ + ridge) β = 1/β; the diagonal of Ĝ is 1.
fn bargain(gram: &DMatrix<f64>) -> DVector<f64> {
    let tasks = gram.nrows();
    // And more where rounding, such as to single precision, has left Ĝ an eigenvalue below 0.
    let ridge = RIDGE + (-2.0 * gram.symmetric_eigenvalues().min()).max(0.0);
    let gram = gram + DMatrix::identity(tasks, tasks) * ridge;
    // The best of those with all even, which with two tasks is the best of all: β² (1 + cosine) = 1.
    let mut beta = DVector::from_element(tasks, (tasks as f64 / gram.sum()).sqrt());
    let mut last = f64::INFINITY;
    for _ in 0..MOST_STEPS {
        let inverse = beta.map(|beta| 1.0 / beta);
        let gradient = &gram * &beta - &inverse;
        let hessian = &gram + DMatrix::from_diagonal(&inverse.component_mul(&inverse));
        let Some(solver) = Cholesky::new(hessian) else {
            // Numbers ran out: what there is has all β above 0.
            break;
        };
        let step = solver.solve(&gradient);
        let decrement = gradient.dot(&step).max(0.0).sqrt();
        // Both stay inside: a step of decrement below 1 cannot leave the domain.
        let damping = if decrement < 0.25 { 1.0 } else { 1.0 / (1.0 + decrement) };
        beta -= step * damping;
        // Convergence is quadratic, until rounding keeps the decrement where it is: near a stationary point that is at about 1e-8.
        if decrement <= 1e-11 || (decrement < 1e-3 && decrement >= 0.5 * last) {
            break;
        }
        last = decrement;
    }
    beta
}

/// α of each task, for the Gram matrix divided by its Frobenius norm.
fn solve(gram: &DMatrix<f64>) -> DVector<f64> {
    let lengths = gram.diagonal().map(|square| square.max(0.0).sqrt());
    let longest = lengths.max();
    let able: Vec<usize> = (0..lengths.len()).filter(|task| lengths[*task] > SHORTEST * longest).collect();
    let mut alpha = DVector::from_element(lengths.len(), 1.0);
    if able.is_empty() {
        return alpha;
    }
    let unit = |i: usize, j: usize| gram[(able[i], able[j])] / lengths[able[i]] / lengths[able[j]];
    let beta = bargain(&DMatrix::from_fn(able.len(), able.len(), |i, j| if i == j { 1.0 } else { unit(i, j) }));
    // ‖G‖^½ by way of lengths in ratio, so that no square overflows.
    let root = longest * (gram / (longest * longest)).norm().sqrt();
    for (place, task) in able.into_iter().enumerate() {
        alpha[task] = beta[place] * (root / lengths[task]);
    }
    alpha
}

impl Weighting for Nash {
    fn name(&self) -> &'static str {
        "nash"
    }

    fn needs(&self) -> Needs {
        Needs::Gradients
    }

    fn weigh(&mut self, seen: &Seen<'_>, into: &mut Weights) {
        let tasks = self.weights.len();
        check_seen(seen, tasks);
        let present = seen.present();
        if present.is_empty() {
            return into.clear(tasks);
        }
        let gram = seen.gram_of(&present);
        if seen.iteration.is_multiple_of(self.settings.every) {
            for (task, weight) in present.iter().zip(solve(&gram).iter()) {
                self.weights[*task] = *weight;
            }
        }
        let alpha = DVector::from_fn(present.len(), |place, _| self.weights[present[place]]);
        let limit = |most: f64| {
            let norm = alpha.dot(&(&gram * &alpha)).max(0.0).sqrt();
            if norm > most { most / norm } else { 1.0 }
        };
        let factor = self.settings.norm.map_or(1.0, limit);
        into.put_gradients(tasks, present.into_iter().zip(alpha.iter().map(|alpha| alpha * factor)));
    }

    fn memory(&self) -> Vec<f64> {
        self.weights.clone()
    }

    fn restore(&mut self, memory: &[f64]) -> bool {
        let right = memory.len() == self.weights.len();
        if right {
            self.weights.copy_from_slice(memory);
        }
        right
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::weighting::matrix;
    use proptest::prelude::*;

    #[test]
    fn two_tasks_in_closed_form() {
        // By symmetry of unit gradients with cosine k: β² (1 + k) = 1.
        for (gram, cosine) in [(matrix([[4.0, -3.0], [-3.0, 9.0]]), -0.5), (matrix([[1.0, 0.8], [0.8, 1.0]]), 0.8)] {
            let alpha = solve(&gram) / gram.norm().sqrt();
            for task in 0..2 {
                let expected = 1.0 / (1.0_f64 + cosine).sqrt() / gram[(task, task)].sqrt();
                assert!((alpha[task] - expected).abs() <= 1e-6, "{} for {expected}", alpha[task]);
            }
        }
    }

    #[test]
    fn the_limit_of_the_norm_holds_and_weights_stay_between() {
        let (first, second) = (matrix([[4.0, -3.0], [-3.0, 9.0]]), matrix([[1.0, 0.8], [0.8, 2.0]]));
        let mut weighting = Nash::new(2, Settings { every: 2, norm: Some(0.5) });
        let mut weights = Weights::default();
        weighting.weigh(&Seen { iteration: 0, losses: &[1.0; 2], gram: Some(&first) }, &mut weights);
        let solved = weighting.memory();
        weighting.weigh(&Seen { iteration: 1, losses: &[1.0; 2], gram: Some(&second) }, &mut weights);
        assert_eq!(weighting.memory(), solved);
        let shared = DVector::from_column_slice(&weights.shared);
        assert!((shared.dot(&(&second * &shared)).sqrt() - 0.5).abs() <= 1e-12);
        weighting.weigh(&Seen { iteration: 2, losses: &[1.0; 2], gram: Some(&second) }, &mut weights);
        assert!(weighting.memory() != solved);
    }

    proptest! {
        /// Gradients that do depend on each other, and some that are 0: d conflicts with none, and no α is 0 or endless.
        #[test]
        fn never_in_conflict(
            entries in prop::collection::vec(-1.0..1.0_f64, 24),
            tasks in 1..=6_usize,
            rank in 1..=4_usize,
            absent in 0..12_usize,
        ) {
            let gradient = |i: usize, j: usize| if j == absent { 0.0 } else { entries[4 * j + i] };
            let gradients = DMatrix::from_fn(rank, tasks, gradient);
            let gram = gradients.tr_mul(&gradients);
            let alpha = solve(&gram);
            prop_assert!(alpha.iter().all(|alpha| alpha.is_finite() && *alpha > 0.0));
            let scale = gram.norm().sqrt();
            for (product, square) in (&gram * &alpha).iter().zip(gram.diagonal().iter()) {
                // Within what the ridge takes: √(T · 10⁻⁸) of a unit gradient.
                prop_assert!(*product >= -1e-4 * (tasks as f64 * square).sqrt() * scale, "{}", product);
            }
        }

        /// The equation of claim 3.1 for gradients that do not depend on each other, however long they are.
        #[test]
        fn bargained(
            entries in prop::collection::vec(-1.0..1.0_f64, 36),
            tasks in 1..=5_usize,
            scales in prop::collection::vec(-6.0..6.0_f64, 5),
        ) {
            let entry = |i: usize, j: usize| entries[6 * j + i] + if i == j { 2.0 } else { 0.0 };
            let gradients = DMatrix::from_fn(6, tasks, |i, j| entry(i, j) * scales[j].exp());
            let gram = gradients.tr_mul(&gradients);
            let alpha = solve(&gram);
            let products = (&gram / gram.norm() * &alpha).component_mul(&alpha);
            for task in 0..tasks {
                prop_assert!(alpha[task] > 0.0);
                // β² of this task; what the ridge takes is exactly known.
                let square = alpha[task] * alpha[task] * gram[(task, task)] / gram.norm();
                let missing = 1.0 - RIDGE * square - products[task];
                prop_assert!(missing.abs() <= 1e-12 + 1e-13 * square, "{} with β² = {square}", products[task]);
            }
        }
    }
}
