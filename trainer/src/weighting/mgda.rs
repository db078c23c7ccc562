//! The multiple-gradient descent algorithm: Désidéri (2012) and Sener, Koltun, *Multi-Task Learning as Multi-Objective Optimization*
//! (2018).
//!
//! The shortest vector in the convex hull of the gradients, min over w on the simplex of ‖Σ wᵢ gᵢ‖² (eq. 3), is 0 where a point is
//! Pareto-stationary and else a direction d in which every loss falls: gᵢ·d ≥ ‖d‖². Algorithm 2 of Sener and Koltun is Frank–Wolfe with
//! the line search of two gradients in closed form (algorithm 1); `simplex.rs` is the same with pairwise steps, so one such step solves
//! two tasks. The weights sum to the number of tasks here.
//!
//! Gradients may be normalised first, as the authors' code does. Their code then weighs the losses themselves by w; here gᵢ / nᵢ is
//! weighed by w, which keeps the promise that every loss falls. A task whose gradient is 0 gets all the weight: the point is stationary
//! for it.

use nalgebra::{DMatrix, DVector};
use serde::{Deserialize, Serialize};

use super::simplex::minimise;
use super::{LEAST_LOSS, Needs, Seen, Weighting, Weights, check_seen};

/// What a configuration says of it, `kind = "mgda"`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// What each gradient is divided by first.
    #[serde(default)]
    pub normalisation: Normalisation,
}

/// What each gradient is divided by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Normalisation {
    /// Nothing.
    #[default]
    None,
    /// Its length.
    L2,
    /// The loss, or [`LEAST_LOSS`] where that is more.
    Loss,
    /// Both.
    LossL2,
}

/// The shortest vector in the hull.
#[derive(Clone, Debug)]
pub struct Mgda {
    tasks: usize,
    settings: Settings,
}

impl Mgda {
    /// With this normalisation.
    #[must_use]
    pub fn new(tasks: usize, settings: Settings) -> Self {
        Self { tasks, settings }
    }

    /// n of each task.
    fn divisors(&self, gram: &DMatrix<f64>, losses: &[f64]) -> DVector<f64> {
        let longest = gram.diagonal().max().max(0.0).sqrt();
        DVector::from_fn(losses.len(), |task, _| {
            // A gradient of no length has no direction either.
            let length = gram[(task, task)].max(0.0).sqrt().max(1e-12 * longest).max(f64::MIN_POSITIVE);
            let loss = losses[task].max(LEAST_LOSS);
            match self.settings.normalisation {
                Normalisation::None => 1.0,
                Normalisation::L2 => length,
                Normalisation::Loss => loss,
                Normalisation::LossL2 => loss * length,
            }
        })
    }
}

/// w of the shortest Σ wᵢ gᵢ on the simplex.
fn shortest(gram: &DMatrix<f64>) -> DVector<f64> {
    let tasks = gram.nrows();
    let mut w = DVector::from_element(tasks, 1.0 / tasks as f64);
    let longest = gram.diagonal().max();
    if longest > 0.0 {
        minimise(&(gram / longest), &DVector::zeros(tasks), &mut w);
    }
    w
}

impl Weighting for Mgda {
    fn name(&self) -> &'static str {
        "mgda"
    }

    fn needs(&self) -> Needs {
        Needs::Gradients
    }

    fn weigh(&mut self, seen: &Seen<'_>, into: &mut Weights) {
        check_seen(seen, self.tasks);
        let present = seen.present();
        if present.is_empty() {
            return into.clear(self.tasks);
        }
        let mut gram = seen.gram_of(&present);
        let losses: Vec<f64> = present.iter().map(|task| seen.losses[*task]).collect();
        let divisors = self.divisors(&gram, &losses);
        // Only their ratios matter; none overflows so.
        let shares = divisors.map(|divisor| (divisors.min() / divisor).max(f64::MIN_POSITIVE));
        for (i, j) in (0..losses.len()).flat_map(|i| (0..losses.len()).map(move |j| (i, j))) {
            gram[(i, j)] *= shares[i] * shares[j];
        }
        let w = shortest(&gram).component_mul(&shares);
        let w = &w / w.max();
        let factor = losses.len() as f64 / w.sum();
        into.put_gradients(self.tasks, present.into_iter().zip(w.iter().map(|w| w * factor)));
    }

    fn memory(&self) -> Vec<f64> {
        Vec::new()
    }

    fn restore(&mut self, memory: &[f64]) -> bool {
        memory.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::weighting::matrix;
    use proptest::prelude::*;

    #[test]
    fn two_tasks_in_closed_form() {
        // Obtuse, acute with the foot between, and one shorter than the other's shadow on it (figure 1 of the paper).
        let cases = [
            (matrix([[1.0, -0.5], [-0.5, 2.0]]), 2.5 / 4.0),
            (matrix([[1.0, 0.5], [0.5, 2.0]]), 0.75),
            (matrix([[1.0, 1.5], [1.5, 4.0]]), 1.0),
        ];
        for (gram, first) in cases {
            let mut weights = Weights::default();
            let seen = Seen { iteration: 0, losses: &[1.0; 2], gram: Some(&gram) };
            Mgda::new(2, Settings::default()).weigh(&seen, &mut weights);
            assert!((weights.shared[0] - 2.0 * first).abs() <= 1e-12, "{:?}", weights.shared);
            assert!((weights.shared[1] - 2.0 * (1.0 - first)).abs() <= 1e-12, "{:?}", weights.shared);
            // (g₂ − g₁)·g₂ / ‖g₁ − g₂‖², clipped (algorithm 1).
            let formula = (gram[(1, 1)] - gram[(0, 1)]) / (gram[(0, 0)] + gram[(1, 1)] - 2.0 * gram[(0, 1)]);
            assert!((formula.clamp(0.0, 1.0) - first).abs() <= 1e-12);
        }
    }

    #[test]
    fn normalised_gradients_of_two_tasks_share_evenly() {
        let gram = matrix([[1.0, 0.0], [0.0, 9.0]]);
        let weigh = |normalisation, losses: [f64; 2]| {
            let mut weights = Weights::default();
            let seen = Seen { iteration: 0, losses: &losses, gram: Some(&gram) };
            Mgda::new(2, Settings { normalisation }).weigh(&seen, &mut weights);
            weights.shared[0] / weights.shared[1]
        };
        // c₁ ‖g₁‖ = c₂ ‖g₂‖; then c₁ L₁, where w is as n² / G.
        assert!((weigh(Normalisation::L2, [1.0, 1.0]) - 3.0).abs() <= 1e-9);
        assert!((weigh(Normalisation::None, [1.0, 1.0]) - 9.0).abs() <= 1e-9);
        assert!((weigh(Normalisation::Loss, [2.0, 1.0]) - 9.0 * 2.0).abs() <= 1e-9);
        assert!((weigh(Normalisation::LossL2, [2.0, 1.0]) - 3.0 * 2.0).abs() <= 1e-9);
    }

    proptest! {
        /// The Karush–Kuhn–Tucker conditions: no gradient has less of d than d itself, and those with weight have as much.
        #[test]
        fn optimal(entries in prop::collection::vec(-1.0..1.0_f64, 32), tasks in 1..=8_usize, rank in 1..=4_usize) {
            let gradients = DMatrix::from_fn(rank, tasks, |i, j| entries[4 * j + i]);
            let gram = gradients.tr_mul(&gradients);
            let w = shortest(&gram);
            prop_assert!((w.sum() - 1.0).abs() <= 1e-12 && w.min() >= 0.0);
            let products = &gram * &w;
            let square = w.dot(&products);
            for task in 0..tasks {
                prop_assert!(products[task] >= square - 1e-9);
                prop_assert!(w[task] <= 1e-9 || products[task] <= square + 1e-9 / w[task]);
            }
        }
    }
}
