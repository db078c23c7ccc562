//! A Bayesian last layer on learned features: ALPaCA (Harrison et al. 2018, eqs. 3–6), updated one sample at a time.
//!
//! `y_o = w_oᵀφ̃ + ε_o`, ε_o ~ N(0, σ_o²), with the learned prior `w_o ~ N(w₀_o, σ_o² Λ₀⁻¹)`. The posterior is Gaussian with the precision
//! `Λ = Λ₀ + Σ φ̃φ̃ᵀ` (and forgetting, see [`super::recursive`], which keeps it in square-root form), and the prediction for φ is
//! `N(w_oᵀφ̃, σ_o² (1 + φ̃ᵀΛ⁻¹φ̃))`.

use crate::kernel::Path;

use super::recursive::{Precision, Prior, Recursive};

/// The learned prior: what the bundle gives.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Belief<'a> {
    /// W₀: weight `[outputs, features]`, then bias `[outputs]`.
    pub weight: &'a [f32],
    /// R₀, `[F̃, F̃]`, upper triangular with a positive diagonal, `Λ₀ = R₀ᵀR₀`; F̃ is the features and then the bias.
    pub factor: &'a [f32],
    /// The noise's variance σ² of each output, `[outputs]`, not negative.
    pub noise: &'a [f32],
}

/// The posterior over the last layer; its numbers are in the caller's `state`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bayes<'a> {
    belief: Belief<'a>,
    filter: Recursive,
}

impl<'a> Bayes<'a> {
    /// Values of the state.
    pub const fn state_len(path: Path, features: usize, outputs: usize) -> usize {
        Recursive::state_len(path, features, outputs)
    }

    /// Values of scratch that any of the functions needs.
    pub const fn scratch_len(path: Path, features: usize, outputs: usize) -> usize {
        Recursive::scratch_len(path, features, outputs)
    }

    /// Begins with the prior and no sample; `forgetting` is γ, above 0 and at most 1.
    ///
    /// `None` where [`Recursive::new`] gives none, or where a noise is negative or not finite.
    pub fn new(
        path: Path,
        features: usize,
        outputs: usize,
        forgetting: f32,
        belief: Belief<'a>,
        state: &mut [f32],
    ) -> Option<Self> {
        let noise =
            belief.noise.len() == outputs && belief.noise.iter().all(|noise| *noise >= 0.0 && *noise <= f32::MAX);
        let filter = Recursive::new(path, features, outputs, forgetting, &prior(&belief), state)?;
        noise.then_some(Self { belief, filter })
    }

    /// Takes one sample in, `phi` `[features]` and `y` `[outputs]`. False, with nothing changed, as [`Recursive::update`] says.
    pub fn update(&mut self, phi: &[f32], y: &[f32], state: &mut [f32], scratch: &mut [f32]) -> bool {
        self.filter.update(&prior(&self.belief), phi, y, state, scratch)
    }

    /// The posterior mean of the head: weight `[outputs, features]`, then bias `[outputs]`. False if a length is wrong.
    pub fn weights(&self, state: &[f32], weight: &mut [f32], scratch: &mut [f32]) -> bool {
        self.filter.weights(&prior(&self.belief), state, weight, scratch)
    }

    /// A head drawn from the posterior (Thompson sampling), from standard normal numbers of the caller, `[F̃, outputs]`. False if a
    /// length is wrong.
    pub fn sample(&self, state: &[f32], normals: &[f32], weight: &mut [f32], scratch: &mut [f32]) -> bool {
        self.filter.sample(&prior(&self.belief), state, self.belief.noise, normals, weight, scratch)
    }

    /// The variance of the prediction for `phi` `[features]`, σ_o² (1 + φ̃ᵀΛ⁻¹φ̃), into `variance` `[outputs]`: noise included. The mean is
    /// what a dense head with [`Bayes::weights`] gives. False if a length is wrong.
    pub fn variance(&self, state: &[f32], phi: &[f32], variance: &mut [f32], scratch: &mut [f32]) -> bool {
        if variance.len() != self.belief.noise.len() {
            return false;
        }
        let Some(factor) = self.filter.variance_factor(state, phi, scratch) else {
            return false;
        };
        variance.iter_mut().zip(self.belief.noise).for_each(|(to, noise)| *to = noise * (1.0 + factor));
        true
    }

    /// The filter under it.
    pub const fn filter(&self) -> &Recursive {
        &self.filter
    }
}

fn prior<'a>(belief: &Belief<'a>) -> Prior<'a> {
    Prior { weight: belief.weight, precision: Precision::Factor(belief.factor) }
}

#[cfg(test)]
mod tests {
    use nalgebra::{DMatrix, DVector};

    use super::*;

    const FACTOR: [f32; 9] = [2.0, 0.5, -0.3, f32::NAN, 1.5, 0.7, f32::NAN, f32::NAN, 1.0];
    const WEIGHT: [f32; 6] = [0.5, -0.25, 1.0, 2.0, 0.1, -0.2];
    const NOISE: [f32; 2] = [0.04, 9.0];
    const SAMPLES: [([f32; 2], [f32; 2]); 3] =
        [([0.3, -0.8], [1.0, 2.0]), ([0.9, 0.1], [0.2, -3.0]), ([-0.7, 0.6], [0.5, 1.5])];

    fn posterior() -> (DMatrix<f64>, DMatrix<f64>) {
        let factor = DMatrix::from_fn(3, 3, |k, i| if i < k { 0.0 } else { f64::from(FACTOR[3 * k + i]) });
        let place = |i: usize, o: usize| if i < 2 { 2 * o + i } else { 4 + o };
        let start = DMatrix::from_fn(3, 2, |i, o| f64::from(WEIGHT[place(i, o)]));
        // Harrison et al. 2018, eq. 3, as it stands there.
        let mut precision = factor.transpose() * &factor;
        let mut q = &precision * start;
        for (phi, y) in SAMPLES {
            let x = DVector::from_vec(std::vec![f64::from(phi[0]), f64::from(phi[1]), 1.0]);
            precision.ger(1.0, &x, &x, 1.0);
            q.ger(1.0, &x, &DVector::from_vec(std::vec![f64::from(y[0]), f64::from(y[1])]), 1.0);
        }
        let mean = precision.clone().cholesky().unwrap().solve(&q);
        (precision, mean)
    }

    #[test]
    fn mean_variance_and_samples_are_those_of_the_posterior() {
        let (precision, mean) = posterior();
        let inverse = precision.try_inverse().unwrap();
        for path in Path::available() {
            let belief = Belief { weight: &WEIGHT, factor: &FACTOR, noise: &NOISE };
            let mut state = std::vec![f32::NAN; Bayes::state_len(path, 2, 2)];
            let mut scratch = std::vec![f32::NAN; Bayes::scratch_len(path, 2, 2)];
            let mut bayes = Bayes::new(path, 2, 2, 1.0, belief, &mut state).unwrap();
            for (phi, y) in SAMPLES {
                assert!(bayes.update(&phi, &y, &mut state, &mut scratch));
            }
            let mut weight = [0.0; 6];
            assert!(bayes.weights(&state, &mut weight, &mut scratch));
            let want = [(0, 0), (1, 0), (0, 1), (1, 1), (2, 0), (2, 1)];
            for (got, place) in weight.iter().zip(want) {
                assert!((f64::from(*got) - mean[place]).abs() <= 1e-5, "{} {place:?}", path.name());
            }
            let x = DVector::from_vec(std::vec![0.25, -2.0, 1.0]);
            let mut variance = [0.0; 2];
            assert!(bayes.variance(&state, &[0.25, -2.0], &mut variance, &mut scratch));
            for (got, noise) in variance.iter().zip(NOISE) {
                let want = f64::from(noise) * (1.0 + x.dot(&(&inverse * &x)));
                assert!((f64::from(*got) / want - 1.0).abs() <= 1e-5, "{}: {got} for {want}", path.name());
            }
            // A sample is linear in the normal numbers, so unit vectors of them show its covariance: Σ_k d_k d_kᵀ = σ² Λ⁻¹.
            for o in 0..2 {
                let mut covariance = DMatrix::zeros(3, 3);
                for k in 0..3 {
                    let (mut normals, mut sampled) = ([0.0; 6], [0.0; 6]);
                    normals[2 * k + o] = 1.0;
                    assert!(bayes.sample(&state, &normals, &mut sampled, &mut scratch));
                    let apart = |place: usize| f64::from(sampled[place]) - f64::from(weight[place]);
                    let own = DVector::from_vec(std::vec![apart(2 * o), apart(2 * o + 1), apart(4 + o)]);
                    covariance.ger(1.0, &own, &own, 1.0);
                    let other = 1 - o;
                    assert!(apart(2 * other) == 0.0 && apart(2 * other + 1) == 0.0 && apart(4 + other) == 0.0);
                }
                let error = (covariance - &inverse * f64::from(NOISE[o])).amax();
                assert!(error <= 1e-5 * f64::from(NOISE[o]), "{} {o}: {error}", path.name());
            }
        }
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let path = Path::detect();
        let mut state = std::vec![0.0; Bayes::state_len(path, 2, 2)];
        let mut new = |noise: &[f32]| {
            let belief = Belief { weight: &WEIGHT, factor: &FACTOR, noise };
            Bayes::new(path, 2, 2, 1.0, belief, &mut state).is_some()
        };
        assert!(new(&NOISE) && !new(&[1.0]) && !new(&[-1.0, 1.0]) && !new(&[1.0, f32::NAN]));
        let belief = Belief { weight: &WEIGHT, factor: &FACTOR, noise: &NOISE };
        let bayes = Bayes::new(path, 2, 2, 1.0, belief, &mut state).unwrap();
        let mut scratch = std::vec![0.0; Bayes::scratch_len(path, 2, 2)];
        assert!(!bayes.variance(&state, &[0.0; 2], &mut [0.0; 1], &mut scratch));
        assert!(!bayes.variance(&state, &[0.0; 3], &mut [0.0; 2], &mut scratch));
        assert!(!bayes.sample(&state, &[0.0; 5], &mut [0.0; 6], &mut scratch));
    }
}
