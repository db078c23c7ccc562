//! Conflict-averse gradient descent, CAGrad: Liu, Liu, Jin, Stone, Liu, *Conflict-Averse Gradient Descent for Multi-task Learning* (2021).
//!
//! Of all directions in a ball about the mean gradient g₀, the one that serves the worst served task best (section 3.1): max over d of
//! minᵢ gᵢ·d with ‖d − g₀‖ ≤ c ‖g₀‖. Its dual is min over w on the simplex of F(w) = g_w·g₀ + √φ ‖g_w‖, with g_w = Σ wᵢ gᵢ and
//! √φ = c ‖g₀‖, and d = g₀ + √φ g_w / ‖g_w‖ (algorithm 1). The step here is along T d, so that c = 0 is the plain sum; the authors' code
//! for training divides by 1 + c² besides.
//!
//! **The dual, solved.** ‖g_w‖ is the least over t > 0 of ½ (‖g_w‖² / t + t), which makes of the dual a problem that is jointly convex in
//! w and t. For each t it is a quadratic one on the simplex (`simplex.rs`); its best t is where ‖g_w(t)‖ = t, as the derivative by t has
//! the sign of t − ‖g_w(t)‖. False position finds it, in the Illinois variant (Dowell, Jarratt 1971). The authors hand F to a general
//! solver.
//!
//! **Where g_w vanishes** d is not unique, and coefficients of g_w / ‖g_w‖ grow without bound. So t is held above 10⁻⁴ of the longest
//! gradient, which keeps gradients in single precision meaningful; then d = g₀ + √φ g_w / t lies inside the ball.

use nalgebra::{DMatrix, DVector};
use serde::{Deserialize, Serialize};

use super::simplex::minimise;
use super::{Needs, Seen, SettingsError, Weighting, Weights, check_seen, field};

/// What a configuration says of it, `kind = "cagrad"`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// c, at least 0 and below 1, where the method still finds stationary points of the mean loss (theorem 3.2). The paper has 0.4 and 0.5.
    #[serde(default = "radius")]
    pub c: f64,
}

fn radius() -> f64 {
    0.4
}

impl Settings {
    pub(super) fn check(&self) -> Result<(), SettingsError> {
        field("c", "a number of at least 0, below 1", self.c, (0.0..1.0).contains(&self.c))
    }
}

/// The least t, where the longest gradient is 1.
const LEAST: f64 = 1e-4;
/// How near t is to ‖g_w‖ in the end, relative to it, where rounding lets it be.
const TOLERANCE: f64 = 1e-12;
/// Most evaluations of the quadratic problem; about eight are enough.
const MOST_TRIALS: usize = 60;

/// Conflict-averse gradients.
#[derive(Clone, Debug)]
pub struct CaGrad {
    tasks: usize,
    settings: Settings,
}

impl CaGrad {
    /// With this radius.
    #[must_use]
    pub fn new(tasks: usize, settings: Settings) -> Self {
        Self { tasks, settings }
    }
}

/// w of the dual, and √φ / t; no such where the mean gradient or c is 0, as the ball is then a point.
fn dual(gram: &DMatrix<f64>, c: f64) -> Option<(DVector<f64>, f64)> {
    let tasks = gram.nrows();
    let longest = gram.diagonal().max();
    if longest <= 0.0 {
        return None;
    }
    let gram = gram / longest;
    let mut w = DVector::from_element(tasks, 1.0 / tasks as f64);
    let by_mean = &gram * &w;
    let radius = c * w.dot(&by_mean).max(0.0).sqrt();
    if radius <= c * LEAST * LEAST || radius == 0.0 {
        return None;
    }
    // By how much ‖g_w‖ is above t, for the w of the quadratic problem of this t.
    let excess = |t: f64, w: &mut DVector<f64>| {
        minimise(&gram, &(&by_mean * (t / radius)), w);
        w.dot(&(&gram * &*w)).max(0.0).sqrt() - t
    };
    let (mut low, mut above) = (LEAST, excess(LEAST, &mut w));
    if above <= 0.0 {
        return Some((w, radius / LEAST));
    }
    let (mut high, mut below) = (1.0, excess(1.0, &mut w).min(0.0));
    let mut last = 0.0;
    for _ in 0..MOST_TRIALS {
        // Where the line through both ends is 0; an end that stays twice counts half, so that it moves too.
        let t = (low * below - high * above) / (below - above);
        let middle = excess(t, &mut w);
        if middle.abs() <= TOLERANCE * t || high - low <= TOLERANCE * high {
            break;
        }
        let stays = middle * last > 0.0;
        last = middle;
        if middle > 0.0 {
            (low, above) = (t, middle);
            below *= if stays { 0.5 } else { 1.0 };
        } else {
            (high, below) = (t, middle);
            above *= if stays { 0.5 } else { 1.0 };
        }
    }
    // ‖g_w‖ itself rather than t, so that d is on the ball however near the two came.
    let norm = w.dot(&(&gram * &w)).max(0.0).sqrt();
    Some((w, radius / norm.max(LEAST)))
}

impl Weighting for CaGrad {
    fn name(&self) -> &'static str {
        "cagrad"
    }

    fn needs(&self) -> Needs {
        Needs::Gradients
    }

    fn weigh(&mut self, seen: &Seen<'_>, into: &mut Weights) {
        check_seen(seen, self.tasks);
        let present = seen.present();
        let gram = seen.gram_of(&present);
        let mut coefficients = DVector::from_element(present.len(), 1.0);
        if let Some((w, factor)) = (!present.is_empty()).then(|| dual(&gram, self.settings.c)).flatten() {
            coefficients += w * (factor * present.len() as f64);
        }
        into.put_gradients(self.tasks, present.into_iter().zip(coefficients.iter().copied()));
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

    /// F(w).
    fn objective(gram: &DMatrix<f64>, c: f64, w: &DVector<f64>) -> f64 {
        let mean = DVector::from_element(w.len(), 1.0 / w.len() as f64);
        let norm = |w: &DVector<f64>| w.dot(&(gram * w)).max(0.0).sqrt();
        mean.dot(&(gram * w)) + c * norm(&mean) * norm(w)
    }

    #[test]
    fn the_optimum_of_two_tasks_is_that_of_a_fine_grid() {
        for gradients in
            [matrix([[1.0, -0.8], [0.1, 0.3]]), matrix([[5.0, -0.1], [0.0, 0.2]]), matrix([[1.0, 0.9], [0.0, 0.3]])]
        {
            for c in [0.1, 0.4, 0.9] {
                let gram = gradients.tr_mul(&gradients);
                let (w, factor) = dual(&gram, c).expect("a mean that is not 0");
                let grid = (0..=100_000).map(|i| f64::from(i) / 1e5).map(|a| DVector::from_vec(vec![a, 1.0 - a]));
                let least = grid.map(|w| objective(&gram, c, &w)).fold(f64::INFINITY, f64::min);
                let found = objective(&gram, c, &w);
                assert!(
                    found <= least + 1e-10 && found >= least - 1e-8 * gram.amax(),
                    "{found} where a grid has {least}"
                );
                // ‖d − g₀‖ = c ‖g₀‖.
                let mean = gradients.column_mean();
                let distance = (&gradients * &w * factor).norm();
                assert!((distance - c * mean.norm()).abs() <= 1e-9 * mean.norm(), "{distance}");
            }
        }
    }

    #[test]
    fn without_a_radius_it_is_the_sum() {
        let gram = matrix([[1.0, -0.5], [-0.5, 2.0]]);
        let mut weights = Weights::default();
        CaGrad::new(2, Settings { c: 0.0 })
            .weigh(&Seen { iteration: 0, losses: &[1.0; 2], gram: Some(&gram) }, &mut weights);
        assert_eq!(weights.shared, [1.0, 1.0]);
    }

    proptest! {
        /// Strong duality: what the worst served task gets of d is the least F, and d is in the ball.
        #[test]
        fn no_gap(entries in prop::collection::vec(-1.0..1.0_f64, 20), tasks in 2..=5_usize, c in 0.05..0.95_f64) {
            let gradients = DMatrix::from_fn(4, tasks, |i, j| entries[4 * j + i]);
            let gram = gradients.tr_mul(&gradients);
            if let Some((w, factor)) = dual(&gram, c) {
                let mean = gradients.column_mean();
                let direction = &mean + &gradients * &w * factor;
                let worst = gradients.tr_mul(&direction).min();
                prop_assert!((&direction - &mean).norm() <= c * mean.norm() * (1.0 + 1e-6));
                let dual = objective(&gram, c, &w);
                prop_assert!((worst - dual).abs() <= 2.0 * LEAST * c * gram.diagonal().max(), "{} {}", worst, dual);
            }
        }
    }
}
