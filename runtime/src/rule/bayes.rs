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
