//! What an adaptation did, in fields of fixed width.

use crate::adapter::Report;
use crate::guard::{Guard, Outcome};

/// What became of an adaptation. Later versions may report new values; all but SINEW_OUTCOME_COMMITTED leave the parameters as they were.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum SinewOutcome {
    /// The adapted parameters predict from now on.
    Committed = 0,
    /// The deadline came before the first step; parameters are as they were.
    OutOfTime = 1,
    /// A loss or a parameter was not finite; parameters are as they were.
    NotFinite = 2,
    /// The support loss got worse; parameters are as they were.
    Worse = 3,
}

/// When an adaptation is committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum SinewGuard {
    /// All parameters and losses are finite.
    Finite = 0,
    /// And the support loss after the last step is at most the one before the first: costs one more forward pass. This is the default.
    Improve = 1,
}

/// What an adaptation did: 64 bytes.
#[derive(Clone, Copy, Debug, PartialEq)]
#[repr(C)]
pub struct SinewReport {
    /// What became of it.
    pub outcome: SinewOutcome,
    /// Inner steps that were taken.
    pub steps: u32,
    /// Support loss of the meta-learned start, summed over heads with their weights; NaN if no step was taken.
    pub loss_before: f32,
    /// Support loss after the last step, with SINEW_GUARD_IMPROVE; before the last step otherwise.
    pub loss_after: f32,
    /// For what later versions report; 0.
    pub reserved: [u32; 12],
}

// No wildcard in what follows: what the runtime learns to report must get its number here before the crate builds.

impl From<Outcome> for SinewOutcome {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Committed => Self::Committed,
            Outcome::OutOfTime => Self::OutOfTime,
            Outcome::NotFinite => Self::NotFinite,
            Outcome::Worse => Self::Worse,
        }
    }
}

impl From<Report> for SinewReport {
    fn from(Report { outcome, steps, loss_before, loss_after }: Report) -> Self {
        Self {
            outcome: outcome.into(),
            steps: u32::try_from(steps).unwrap_or(u32::MAX),
            loss_before,
            loss_after,
            reserved: [0; 12],
        }
    }
}

impl SinewGuard {
    /// The guard with this number, if there is one.
    pub const fn of(number: i32) -> Option<Guard> {
        const FINITE: i32 = SinewGuard::Finite as i32;
        const IMPROVE: i32 = SinewGuard::Improve as i32;
        match number {
            FINITE => Some(Guard::Finite),
            IMPROVE => Some(Guard::Improve),
            _ => None,
        }
    }
}
