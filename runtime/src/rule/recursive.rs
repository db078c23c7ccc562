//! Least squares one sample at a time, with a prior and with forgetting: the square-root information filter, or QR-RLS.
//!
//! Of the posterior precision Λ = RᵀR it keeps the triangle R, and `Z = R (W − W₀)ᵀ`, and rotates each sample in (Sayed, *Adaptive
//! Filters* (2008), section 35.2; Bierman, *Factorization Methods for Discrete Sequential Estimation* (1977), chapter V). That is
//! the recursive form of ridge regression and of the Bayesian last layer alike.
//!
//! **Forgetting.** With γ below 1 the target is `Λ_t = Λ₀ + Σ_i γ^{t−i} φ̃_i φ̃_iᵀ`: samples are forgotten and the prior is not, so that the
//! precision of directions that no sample excites does not fall to nothing (covariance wind-up). Each update multiplies all by γ
//! and then gives the row t mod F̃ of Λ₀ = R₀ᵀR₀ back what it lost since its last turn, by one more rotation. A row of the prior
//! therefore counts between γ^F̃ and 1 of what it should, and 1 just after its turn. With γ = 1 nothing is given back.
//!
//! **A long life.** The diagonal of R stays positive whatever comes. After a million samples, of which some directions are never
//! excited and two features are equal to a thousandth, weights are within 1e-4 of the batch solution in f64 for γ = 0.99, and within
//! 0.01 for γ = 1, where R has grown a thousandfold and f32 begins to round samples away: one whose square is below 2⁻²⁴ of what R
//! has gathered is lost. Choose γ below 1 where there is no end.

use crate::kernel::dense::{self, Size, panel_len};
use crate::kernel::rotate::rotate;
use crate::kernel::solve::{System, back_substitute, forward_substitute};
use crate::kernel::{Path, finite};

use super::ridge::add_turned;

/// Features, targets and weights whose size is above it are refused: their squares, summed over a life, would overflow.
pub const LARGEST: f32 = 1e12;
/// A diagonal of R₀ that forgetting could take below it is refused: its square would come near to vanishing.
pub const SMALLEST: f32 = 1e-12;

/// The precision Λ₀ = R₀ᵀR₀ of the prior.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Precision<'a> {
    /// λI, as in ridge regression.
    Scaled(f32),
    /// R₀, `[F̃, F̃]` row by row, upper triangular; below the diagonal nothing is read. The bias is the last of F̃.
    Factor(&'a [f32]),
}

/// What is believed before the first sample.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Prior<'a> {
    /// W₀: weight `[outputs, features]`, then bias `[outputs]`.
    pub weight: &'a [f32],
    /// How firmly.
    pub precision: Precision<'a>,
}

/// Which regression it is and where it stands; its numbers are in the caller's `state`.
///
/// F̃ = features + 1: a 1 is put behind the features for the bias. A copy of it and of `state` is a checkpoint.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Recursive {
    path: Path,
    features: usize,
    outputs: usize,
    forgetting: f32,
    root: f32,
    /// What of the next row of the prior is still there when its turn comes; γ^F̃ after the first F̃ samples.
    kept: f32,
    least_kept: f32,
    next: usize,
}

impl Recursive {
    /// Values of the state: R and Z, `[F̃, F̃ + outputs]` with padded rows, R in full; and 1 / R_kk, `[F̃]`.
    pub const fn state_len(path: Path, features: usize, outputs: usize) -> usize {
        system(features, outputs).len(path) + features + 1
    }

    /// Values of scratch that any of the functions needs.
    pub const fn scratch_len(path: Path, features: usize, outputs: usize) -> usize {
        let system = system(features, outputs);
        let update = outputs + panel_len(path, features) + system.stride(path) + 2 * system.unknowns;
        let solution = system.solution_len(path);
        let vector = system.vector_len(path);
        let larger = if update > solution { update } else { solution };
        if larger > vector { larger } else { vector }
    }

    /// Begins with the prior and no sample; `forgetting` is γ, above 0 and at most 1.
    ///
    /// `None` if a length is wrong, γ is out of range, a prior weight or factor is not finite or above [`LARGEST`], a diagonal of R₀
    /// times γ^(F̃/2) is below [`SMALLEST`].
    pub fn new(
        path: Path,
        features: usize,
        outputs: usize,
        forgetting: f32,
        prior: &Prior<'_>,
        state: &mut [f32],
    ) -> Option<Self> {
        let unknowns = features + 1;
        let factor_fits = match prior.precision {
            Precision::Scaled(lambda) => lambda > 0.0 && lambda <= LARGEST,
            Precision::Factor(factor) => factor.len() == unknowns * unknowns,
        };
        let lengths = features > 0
            && outputs > 0
            && prior.weight.len() == outputs * unknowns
            && state.len() == Self::state_len(path, features, outputs);
        if !(lengths && factor_fits && within(prior.weight) && forgetting > 0.0 && forgetting <= 1.0) {
            return None;
        }
        let least_kept = (0..unknowns).fold(1.0, |kept, _| kept * forgetting);
        let (root, next) = (libm::sqrtf(forgetting), 0);
        let new = Self { path, features, outputs, forgetting, root, kept: forgetting, least_kept, next };
        let system = new.system();
        let (matrix, inverse) = state.split_at_mut(system.len(path));
        for (k, (row, inverse)) in matrix.chunks_exact_mut(system.stride(path)).zip(inverse).enumerate() {
            prior_row(prior, unknowns, k, 1.0, row);
            let pivot = row[k];
            if !(within(row) && libm::sqrtf(least_kept) * pivot >= SMALLEST) {
                return None;
            }
            *inverse = 1.0 / pivot;
        }
        Some(new)
    }

    /// Takes one sample in: `phi` `[features]`, `y` `[outputs]`, and the prior that it was made with.
    ///
    /// False, with nothing changed, if a length is wrong, or a value is not finite or above [`LARGEST`] (an error `y − W₀φ̃` too). The
    /// work is that of one rotation sweep, and with γ below 1 of a second one over the rows from t mod F̃ on.
    pub fn update(
        &mut self,
        prior: &Prior<'_>,
        phi: &[f32],
        y: &[f32],
        state: &mut [f32],
        scratch: &mut [f32],
    ) -> bool {
        let (path, system) = (self.path, self.system());
        if !(self.fits(state, scratch)
            && phi.len() == self.features
            && y.len() == self.outputs
            && prior.weight.len() == self.outputs * system.unknowns
            && self.precision_fits(prior))
        {
            return false;
        }
        let (error, scratch) = scratch.split_at_mut(self.outputs);
        let (panel, scratch) = scratch.split_at_mut(panel_len(path, self.features));
        let (row, scratch) = scratch.split_at_mut(system.stride(path));
        let factors = &mut scratch[..2 * system.unknowns];
        let size = Size { rows: 1, inputs: self.features, outputs: self.outputs };
        let prior_weight = prior.weight.split_at(self.outputs * self.features);
        dense::forward(path, size, phi, prior_weight, false, error, panel);
        let (left, right) = row.split_at_mut(self.features);
        left.copy_from_slice(phi);
        let (right, padding) = right.split_at_mut(self.outputs + 1);
        right[0] = 1.0;
        right[1..].iter_mut().zip(y).zip(error).for_each(|((to, y), predicted)| *to = y - *predicted);
        padding.fill(0.0);
        if !finite::all_within(path, row, LARGEST) {
            return false;
        }
        let (matrix, inverse) = state.split_at_mut(system.len(path));
        rotate(path, system, matrix, inverse, row, 0, self.root, factors);
        if self.forgetting < 1.0 {
            prior_row(prior, system.unknowns, self.next, libm::sqrtf(1.0 - self.kept), row);
            rotate(path, system, matrix, inverse, row, self.next, 1.0, factors);
            self.kept = self.least_kept.max(self.kept * self.forgetting);
            self.next = if self.next == self.features { 0 } else { self.next + 1 };
        }
        true
    }

    /// The posterior mean: `weight` `[outputs, features]`, then bias `[outputs]`. False if a length is wrong.
    pub fn weights(&self, prior: &Prior<'_>, state: &[f32], weight: &mut [f32], scratch: &mut [f32]) -> bool {
        self.solve(prior, state, weight, scratch, |_, _| 0.0)
    }

    /// A sample of the posterior: `W_o = mean_o + σ_o R⁻¹ n_o`, with `noise` σ² `[outputs]` and standard normal numbers n `[F̃, outputs]`
    /// from the caller. False if a length is wrong.
    pub fn sample(
        &self,
        prior: &Prior<'_>,
        state: &[f32],
        noise: &[f32],
        normals: &[f32],
        weight: &mut [f32],
        scratch: &mut [f32],
    ) -> bool {
        if noise.len() != self.outputs || normals.len() != (self.features + 1) * self.outputs {
            return false;
        }
        self.solve(prior, state, weight, scratch, |k, o| libm::sqrtf(noise[o]) * normals[k * self.outputs + o])
    }

    /// `φ̃ᵀ Λ⁻¹ φ̃ = |R⁻ᵀφ̃|²`: the variance of the prediction for `phi` `[features]`, in units of the noise's. `None` if a length is wrong.
    pub fn variance_factor(&self, state: &[f32], phi: &[f32], scratch: &mut [f32]) -> Option<f32> {
        let (path, system) = (self.path, self.system());
        if !self.fits(state, scratch) || phi.len() != self.features {
            return None;
        }
        let (matrix, inverse) = state.split_at(system.len(path));
        let x = &mut scratch[..system.vector_len(path)];
        let (left, right) = x.split_at_mut(self.features);
        left.copy_from_slice(phi);
        right.fill(0.0);
        right[0] = 1.0;
        forward_substitute(path, system, matrix, inverse, x);
        Some(x[..system.unknowns].iter().fold(0.0, |sum, x| sum + x * x))
    }

    /// Features, without the 1.
    pub const fn features(&self) -> usize {
        self.features
    }

    /// Outputs.
    pub const fn outputs(&self) -> usize {
        self.outputs
    }

    /// γ.
    pub const fn forgetting(&self) -> f32 {
        self.forgetting
    }

    const fn system(&self) -> System {
        system(self.features, self.outputs)
    }

    fn fits(&self, state: &[f32], scratch: &[f32]) -> bool {
        state.len() == Self::state_len(self.path, self.features, self.outputs)
            && scratch.len() >= Self::scratch_len(self.path, self.features, self.outputs)
    }

    fn precision_fits(&self, prior: &Prior<'_>) -> bool {
        match prior.precision {
            Precision::Scaled(_) => true,
            Precision::Factor(factor) => factor.len() == (self.features + 1) * (self.features + 1),
        }
    }

    /// `W = W₀ + (R⁻¹ (Z + addend))ᵀ`, with `addend(k, o)`.
    #[inline]
    fn solve(
        &self,
        prior: &Prior<'_>,
        state: &[f32],
        weight: &mut [f32],
        scratch: &mut [f32],
        addend: impl Fn(usize, usize) -> f32,
    ) -> bool {
        let (path, system) = (self.path, self.system());
        let len = self.outputs * system.unknowns;
        if !self.fits(state, scratch) || prior.weight.len() != len || weight.len() != len {
            return false;
        }
        let (matrix, inverse) = state.split_at(system.len(path));
        let solution = &mut scratch[..system.solution_len(path)];
        solution.fill(0.0);
        for (k, row) in solution.chunks_exact_mut(system.solution_stride(path)).enumerate() {
            row.iter_mut().take(self.outputs).enumerate().for_each(|(o, to)| *to = addend(k, o));
        }
        back_substitute(path, system, matrix, inverse, solution);
        add_turned(self.outputs, solution, system.solution_stride(path), prior.weight, weight);
        true
    }
}

const fn system(features: usize, outputs: usize) -> System {
    System { unknowns: features + 1, sides: outputs }
}

/// Row `k` of `scale [R₀ | 0]`: in deviations from W₀ the prior's right sides are 0.
fn prior_row(prior: &Prior<'_>, unknowns: usize, k: usize, scale: f32, row: &mut [f32]) {
    row.fill(0.0);
    match prior.precision {
        Precision::Scaled(lambda) => row[k] = scale * libm::sqrtf(lambda),
        Precision::Factor(factor) => {
            let from = &factor[k * unknowns..][..unknowns];
            row.iter_mut().zip(from).skip(k).for_each(|(to, from)| *to = scale * from);
        }
    }
}

fn within(values: &[f32]) -> bool {
    values.iter().all(|value| value.abs() <= LARGEST)
}

#[cfg(test)]
mod tests;
