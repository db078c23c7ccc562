//! Choosing among candidate grasps by what the model expects of each, and how sure it is.
//!
//! A camera proposes candidates, the model predicts for each a score (a probability of success, or any value where more is better) and
//! a variance, and [`Grasps`] says which to try: the best mean, the best upper confidence bound, or a draw from what the model
//! believes (Thompson sampling). It remembers what was tried, one bit each in memory of the caller.
//!
//! ```
//! use sinew_runtime::Adapter;
//! use sinew_runtime::grasp::{GraspError, Grasps, Policy, Retry};
//!
//! /// Predicts one row of `inputs` for each candidate: a score and its variance.
//! fn predict_grasps(adapter: &mut Adapter<'_>, inputs: &[f32], mean: &mut [f32], variance: &mut [f32]) {
//!     let rows = inputs.chunks_exact(adapter.input_len());
//!     for (x, (mean, variance)) in rows.zip(mean.iter_mut().zip(variance)) {
//!         let mut y = [f32::NAN; 2];
//!         let _ = adapter.predict(x, &mut y); // What it cannot tell stays NaN, and is never chosen.
//!         [*mean, *variance] = y;
//!     }
//! }
//!
//! # fn main() -> Result<(), GraspError> {
//! // predict_grasps(&mut adapter, &inputs, &mut mean, &mut variance);
//! let mean = [0.62, 0.70, 0.55, f32::NAN];
//! let variance = [0.01, 0.01, 0.16, 0.0];
//! let mut tried = [0; Grasps::words(4)];
//! let mut grasps = Grasps::new(4, Retry::Never, &mut tried)?;
//! assert_eq!(grasps.choose(Policy::Mean, &mean, &variance, || 0.0)?, 1);
//! grasps.failed(1)?; // It slipped: observe that, adapt, predict again, and choose among the others.
//! assert_eq!(grasps.choose(Policy::Mean, &mean, &variance, || 0.0)?, 0);
//! assert_eq!(grasps.choose(Policy::UpperBound { kappa: 1.0 }, &mean, &variance, || 0.0)?, 2);
//! # Ok(()) }
//! ```

use core::fmt;

/// How a candidate is scored, from its mean μ and standard deviation σ.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Policy {
    /// μ: what is best by what is known. Never explores.
    Mean,
    /// μ + κσ: the best that may well be (Auer 2002; with a Gaussian posterior, Srinivas et al. 2010, algorithm 1, κ = √β).
    UpperBound {
        /// Standard deviations above the mean, κ; 1 to 3 are usual. Below 0 it is a careful lower bound.
        kappa: f32,
    },
    /// A draw from the normal distribution of μ and σ for each candidate: each is chosen as often as it is believed to be the best
    /// (Thompson 1933).
    Thompson,
}

/// What is done once every candidate was tried.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Retry {
    /// Nothing more: [`GraspError::AllTried`].
    #[default]
    Never,
    /// All are forgotten, and the best is tried once more: for a hand whose failures have other causes than the grasp.
    WhenAllTried,
}

/// A candidate and its score.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ranked {
    /// Which candidate.
    pub index: usize,
    /// What the policy makes of it.
    pub score: f32,
}

impl Ranked {
    /// What a ranking is filled with before it is handed over.
    pub const EMPTY: Self = Self { index: 0, score: f32::NEG_INFINITY };
}

/// A set of candidates, and which of them were tried in vain.
#[derive(Debug)]
pub struct Grasps<'m> {
    candidates: usize,
    retry: Retry,
    /// One bit for each candidate.
    tried: &'m mut [u32],
    left: usize,
}

impl<'m> Grasps<'m> {
    /// Words of memory for so many candidates.
    pub const fn words(candidates: usize) -> usize {
        candidates.div_ceil(u32::BITS as usize)
    }

    /// Starts with `candidates` that were not tried.
    ///
    /// # Errors
    /// If there are no candidates, or `tried` has fewer than [`Grasps::words`].
    pub fn new(candidates: usize, retry: Retry, tried: &'m mut [u32]) -> Result<Self, GraspError> {
        let (expected, got) = (Self::words(candidates), tried.len());
        match tried.get_mut(..expected) {
            Some(tried) if candidates > 0 => {
                let mut grasps = Self { candidates, retry, tried, left: 0 };
                grasps.forget();
                Ok(grasps)
            }
            Some(_) => Err(GraspError::NoCandidates),
            None => Err(GraspError::Memory { expected, got }),
        }
    }

    /// The number of candidates.
    pub fn candidates(&self) -> usize {
        self.candidates
    }

    /// Candidates that were not tried.
    pub fn left(&self) -> usize {
        self.left
    }

    /// Whether `candidate` was tried in vain; true as well for one that does not exist.
    pub fn is_tried(&self, candidate: usize) -> bool {
        candidate >= self.candidates
            || self.tried.get(candidate / 32).is_none_or(|word| word >> (candidate % 32) & 1 == 1)
    }

    /// `candidate` was tried in vain: it is not chosen again, but for [`Retry`].
    ///
    /// # Errors
    /// If there is no such candidate.
    pub fn failed(&mut self, candidate: usize) -> Result<(), GraspError> {
        self.set(candidate, true)
    }

    /// `candidate` may be chosen again, as after the object has moved.
    ///
    /// # Errors
    /// If there is no such candidate.
    pub fn allow(&mut self, candidate: usize) -> Result<(), GraspError> {
        self.set(candidate, false)
    }

    /// Forgets what was tried: a new object.
    pub fn forget(&mut self) {
        self.tried.fill(0);
        self.left = self.candidates;
    }

    /// The candidate with the best score among those not tried; of equal ones the first.
    ///
    /// `mean` and `variance` have a value for each candidate; a variance below 0 counts as 0. `normal` gives standard normal numbers: one for
    /// each candidate in order, tried or not, with [`Policy::Thompson`], and is not called otherwise. A score that is NaN or infinite is
    /// never chosen.
    ///
    /// # Errors
    /// If a length is wrong, if all were tried, or if no score of the rest is finite.
    pub fn choose(
        &mut self,
        policy: Policy,
        mean: &[f32],
        variance: &[f32],
        normal: impl FnMut() -> f32,
    ) -> Result<usize, GraspError> {
        let mut best = [Ranked::EMPTY];
        self.rank(policy, mean, variance, normal, &mut best)?;
        let [best] = best;
        Ok(best.index)
    }

    /// Writes the best candidates to the front of `top`, the best first, and says how many: as many as `top` has room for, or as are left.
    /// Takes O(candidates × room). Otherwise as [`Grasps::choose`].
    ///
    /// # Errors
    /// As [`Grasps::choose`]; and if `top` has no room.
    pub fn rank(
        &mut self,
        policy: Policy,
        mean: &[f32],
        variance: &[f32],
        mut normal: impl FnMut() -> f32,
        top: &mut [Ranked],
    ) -> Result<usize, GraspError> {
        for got in [mean.len(), variance.len()] {
            if got != self.candidates {
                return Err(GraspError::Length { expected: self.candidates, got });
            }
        }
        if top.is_empty() {
            return Err(GraspError::NoRoom);
        }
        if self.left == 0 {
            match self.retry {
                Retry::Never => return Err(GraspError::AllTried),
                Retry::WhenAllTried => self.forget(),
            }
        }
        let mut len = 0;
        for (index, (mean, variance)) in mean.iter().zip(variance).enumerate() {
            let score = score(policy, *mean, *variance, &mut normal);
            if !score.is_finite() || self.is_tried(index) {
                continue;
            }
            len = insert(top, len, Ranked { index, score });
        }
        if len == 0 { Err(GraspError::NoScore) } else { Ok(len) }
    }

    fn set(&mut self, candidate: usize, tried: bool) -> Result<(), GraspError> {
        if candidate >= self.candidates {
            return Err(GraspError::Candidate { candidates: self.candidates, got: candidate });
        }
        let bit = 1 << (candidate % 32);
        if let Some(word) = self.tried.get_mut(candidate / 32)
            && (*word & bit != 0) != tried
        {
            *word ^= bit;
            self.left = if tried { self.left.saturating_sub(1) } else { self.left + 1 };
        }
        Ok(())
    }
}

/// The score of one candidate.
fn score(policy: Policy, mean: f32, variance: f32, normal: &mut impl FnMut() -> f32) -> f32 {
    // Rounding may leave a variance a little below 0; NaN stays.
    let deviation = || libm::sqrtf(if variance < 0.0 { 0.0 } else { variance });
    match policy {
        Policy::Mean => mean,
        Policy::UpperBound { kappa } => mean + kappa * deviation(),
        Policy::Thompson => mean + normal() * deviation(),
    }
}

/// Puts `new` into its place among the first `len` of `top`, behind its equals; the last falls off where there is no room.
fn insert(top: &mut [Ranked], len: usize, mut new: Ranked) -> usize {
    let mut pushed = false;
    for old in top.iter_mut().take(len) {
        // Once one is pushed, so are all behind it.
        if pushed || new.score > old.score {
            core::mem::swap(old, &mut new);
            pushed = true;
        }
    }
    match top.get_mut(len) {
        Some(free) => {
            *free = new;
            len + 1
        }
        None => len,
    }
}

/// Why there is no choice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GraspError {
    /// There are no candidates.
    NoCandidates,
    /// The memory is too short.
    Memory {
        /// Words that are needed.
        expected: usize,
        /// Words that came.
        got: usize,
    },
    /// There is no such candidate.
    Candidate {
        /// How many there are.
        candidates: usize,
        /// The one that was meant, from 0.
        got: usize,
    },
    /// Means or variances are not one for each candidate.
    Length {
        /// The number of candidates.
        expected: usize,
        /// Values that came.
        got: usize,
    },
    /// The ranking has no room for even one.
    NoRoom,
    /// All were tried in vain.
    AllTried,
    /// No score of those left is finite.
    NoScore,
}

impl fmt::Display for GraspError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoCandidates => f.write_str("expected at least one candidate, got none"),
            Self::Memory { expected, got } => write!(f, "expected memory of {expected} words, got {got}"),
            Self::Candidate { candidates, got } => {
                write!(f, "expected one of {candidates} candidates, got number {got}")
            }
            Self::Length { expected, got } => {
                write!(f, "expected a value for each of {expected} candidates, got {got}")
            }
            Self::NoRoom => f.write_str("expected room for at least one ranked candidate, got none"),
            Self::AllTried => f.write_str("all candidates were tried"),
            Self::NoScore => f.write_str("no candidate that is left has a finite score"),
        }
    }
}

impl core::error::Error for GraspError {}

#[cfg(test)]
mod tests {
    use std::vec;
    use std::vec::Vec;

    use proptest::prelude::*;

    use super::*;

    /// Standard normal numbers by Box and Muller, from a linear congruential generator (Knuth's MMIX).
    fn normals(seed: u64) -> impl FnMut() -> f32 {
        let mut state = seed;
        let mut uniform = move || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            ((state >> 11) as f64 + 0.5) / (1u64 << 53) as f64
        };
        move || ((-2.0 * uniform().ln()).sqrt() * (std::f64::consts::TAU * uniform()).cos()) as f32
    }

    #[test]
    fn thompson_chooses_two_as_often_as_each_is_best() {
        // P(a > b) = Φ((μa − μb) / √(σa² + σb²)); Φ(0.5) = 0.691462.
        let (mean, variance) = ([0.3, 0.0], [0.27, 0.09]);
        let mut tried = [0];
        let mut grasps = Grasps::new(2, Retry::Never, &mut tried).unwrap();
        let (mut normal, draws) = (normals(1), 40_000);
        let first =
            (0..draws).filter(|_| grasps.choose(Policy::Thompson, &mean, &variance, &mut normal) == Ok(0)).count();
        let (share, p) = (first as f64 / f64::from(draws), 0.691_462);
        // Four standard deviations of a binomial share.
        assert!((share - p).abs() <= 4.0 * (p * (1.0 - p) / f64::from(draws)).sqrt(), "{share}");
    }

    #[test]
    fn thompson_chooses_equals_equally() {
        const N: usize = 8;
        let mut tried = [0];
        let mut grasps = Grasps::new(N, Retry::Never, &mut tried).unwrap();
        let (mut normal, mut counts, draws) = (normals(2), [0_u32; N], 16_000);
        for _ in 0..draws {
            counts[grasps.choose(Policy::Thompson, &[0.4; N], &[0.04; N], &mut normal).unwrap()] += 1;
        }
        let expected = f64::from(draws) / N as f64;
        let chi_square: f64 = counts.iter().map(|n| (f64::from(*n) - expected).powi(2) / expected).sum();
        // The 99.9% quantile for 7 degrees of freedom.
        assert!(chi_square <= 24.32, "{chi_square} {counts:?}");
    }

    #[test]
    fn says_what_is_wrong() {
        assert_eq!(Grasps::new(0, Retry::Never, &mut []).err(), Some(GraspError::NoCandidates));
        let memory = GraspError::Memory { expected: 2, got: 1 };
        assert_eq!(Grasps::new(33, Retry::Never, &mut [0]).err(), Some(memory));
        let mut tried = [u32::MAX];
        let mut grasps = Grasps::new(2, Retry::Never, &mut tried).unwrap();
        let mut choose =
            |mean: &[f32], variance: &[f32]| grasps.choose(Policy::UpperBound { kappa: 1.0 }, mean, variance, || 0.0);
        assert_eq!(choose(&[1.0], &[1.0, 1.0]), Err(GraspError::Length { expected: 2, got: 1 }));
        assert_eq!(choose(&[1.0, 1.0], &[1.0; 3]), Err(GraspError::Length { expected: 2, got: 3 }));
        assert_eq!(choose(&[f32::NAN, 1.0], &[1.0, f32::INFINITY]), Err(GraspError::NoScore));
        assert_eq!(choose(&[f32::INFINITY, -5.0], &[1.0, -1e-9]), Ok(1));
        assert_eq!(grasps.failed(2), Err(GraspError::Candidate { candidates: 2, got: 2 }));
        assert_eq!(grasps.rank(Policy::Mean, &[0.0; 2], &[0.0; 2], || 0.0, &mut []), Err(GraspError::NoRoom));
    }

    proptest! {
        #[test]
        fn ranks_as_a_stable_sort_of_what_is_left(
            scores in prop::collection::vec(prop_oneof![(0u8..6).prop_map(f32::from), Just(f32::NAN), Just(f32::INFINITY)], 1..70),
            failed in prop::collection::vec(0usize..70, 0..60),
            room in 1usize..12,
            kappa in -2.0..2.0_f32,
        ) {
            let n = scores.len();
            let variance: Vec<_> = (0..n).map(|i| (i % 3) as f32).collect();
            let mut tried = vec![0; Grasps::words(n)];
            let mut grasps = Grasps::new(n, Retry::Never, &mut tried).unwrap();
            for i in &failed {
                prop_assert_eq!(grasps.failed(*i).is_ok(), *i < n);
            }
            let score = |i: usize| scores[i] + kappa * variance[i].sqrt();
            let mut expected: Vec<_> = (0..n).filter(|i| !failed.contains(i)).collect();
            prop_assert_eq!(grasps.left(), expected.len());
            let all_tried = expected.is_empty();
            expected.retain(|i| score(*i).is_finite());
            expected.sort_by(|a, b| score(*b).total_cmp(&score(*a)));
            expected.truncate(room);
            let mut top = vec![Ranked::EMPTY; room];
            match grasps.rank(Policy::UpperBound { kappa }, &scores, &variance, || 0.0, &mut top) {
                Err(GraspError::AllTried) => prop_assert!(all_tried),
                Err(error) => prop_assert!(expected.is_empty() && error == GraspError::NoScore),
                Ok(len) => {
                    let got: Vec<_> = top[..len].iter().map(|ranked| ranked.index).collect();
                    prop_assert_eq!(got, expected);
                }
            }
        }

        #[test]
        fn every_candidate_is_tried_once_before_any_is_tried_again(n in 1usize..70, seed in any::<u64>()) {
            let mut tried = vec![0; Grasps::words(n)];
            let mut grasps = Grasps::new(n, Retry::WhenAllTried, &mut tried).unwrap();
            let mut normal = normals(seed);
            for _ in 0..2 {
                let mut seen = vec![false; n];
                for _ in 0..n {
                    let chosen = grasps.choose(Policy::Thompson, &vec![0.5; n], &vec![0.1; n], &mut normal).unwrap();
                    prop_assert!(!core::mem::replace(&mut seen[chosen], true));
                    grasps.failed(chosen).unwrap();
                }
                prop_assert_eq!(grasps.left(), 0);
            }
            grasps.allow(0).unwrap();
            prop_assert_eq!(grasps.choose(Policy::Mean, &vec![0.5; n], &vec![0.1; n], || 0.0), Ok(0));
        }
    }
}
