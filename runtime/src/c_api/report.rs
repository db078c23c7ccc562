//! What an adapter tells of itself, in fields of fixed width: what an adaptation did, what it costs, how new the task is.

use super::code::SinewCode;
use crate::adapter::{Budget, Novelty};
use crate::guard::{Guard, Outcome, Report};

/// What became of an adaptation. Later versions may report new values; all but SINEW_OUTCOME_COMMITTED leave the parameters as they were.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum SinewOutcome {
    /// The adapted parameters predict from now on.
    Committed = 0,
    /// The deadline came before there was anything to judge; parameters are as they were.
    OutOfTime = 1,
    /// A loss or a parameter was not finite; parameters are as they were.
    NotFinite = 2,
    /// The loss did not get better; parameters are as they were.
    Worse = 3,
    /// It went farther than the trust radius; parameters are as they were.
    OutsideTrust = 4,
    /// There was no sample that the rule has not worked in before; nothing was tried.
    NothingNew = 5,
    /// It is being waited for samples after a return to the start; nothing was tried.
    Recovering = 6,
}

/// When an adaptation is committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum SinewGuard {
    /// All parameters and losses are finite.
    Finite = 0,
    /// And it has a lower loss on the support rows than the meta-learned start: of all steps the one with the lowest loss is committed. This
    /// is the default.
    Improve = 1,
    /// As SINEW_GUARD_IMPROVE, on the newest support rows, which are held back from learning.
    HeldBack = 2,
    /// As SINEW_GUARD_IMPROVE, but of each head the newest labels judge and are not learned from, or all where none are held back, and no
    /// head may get worse by the labels that judge it. For rules that take gradient steps.
    EachHead = 3,
}

/// What an adaptation did: 64 bytes.
#[derive(Clone, Copy, Debug, PartialEq)]
#[repr(C)]
pub struct SinewReport {
    /// What became of it.
    pub outcome: SinewOutcome,
    /// Inner steps that led to the parameters that were committed, or that were tried if none were; for the rules that take no steps,
    /// samples that were worked in.
    pub steps: u32,
    /// Loss of the meta-learned start on the rows that judge, summed over heads with their weights; NaN if it was not reached.
    pub loss_before: f32,
    /// Loss of what was committed, or of what was tried last; with SINEW_GUARD_FINITE, that before the last step.
    pub loss_after: f32,
    /// 1 if refusals used up the patience, so that the meta-learned start is back; 0 otherwise.
    pub rolled_back: u32,
    /// For what later versions report; 0.
    pub reserved: [u32; 11],
}

/// What work costs at most, in multiply-adds of products and convolutions: 64 bytes. The numbers depend on the bundle, the capacity, the
/// steps and the guard, never on the data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct SinewBudget {
    /// Of one predicted row.
    pub prediction: u64,
    /// Of one adaptation with a full support ring, of which all samples are new.
    pub adaptation: u64,
    /// Units of work of such an adaptation: before each of them the deadline callback is asked.
    pub units: u64,
    /// Of the largest unit of work: what a deadline may be passed by.
    pub unit: u64,
    /// Rows of one unit of work over layers that stay as they are, and of a prediction of many rows.
    pub unit_rows: u64,
    /// Rows of one unit of work over what is adapted.
    pub unit_rows_behind: u64,
    /// For what later versions tell; 0.
    pub reserved: [u64; 2],
}

/// How new the inputs of a task are: 12 bytes.
#[derive(Clone, Copy, Debug, PartialEq)]
#[repr(C)]
pub struct SinewNovelty {
    /// The mean square of the support inputs as they are presented, 1 on average over training; NaN without support rows.
    pub score: f32,
    /// Its median over training tasks; NaN if the bundle does not know it.
    pub median: f32,
    /// Its 99th percentile over training tasks: a score above it is rarer than one task in a hundred; NaN if the bundle does not know it.
    pub limit: f32,
}

// No wildcard in what follows: what the runtime learns to report must get its number here before the crate builds.

impl From<Outcome> for SinewOutcome {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Committed => Self::Committed,
            Outcome::OutOfTime => Self::OutOfTime,
            Outcome::NotFinite => Self::NotFinite,
            Outcome::Worse => Self::Worse,
            Outcome::OutsideTrust => Self::OutsideTrust,
            Outcome::NothingNew => Self::NothingNew,
            Outcome::Recovering => Self::Recovering,
        }
    }
}

impl From<Report> for SinewReport {
    fn from(Report { outcome, steps, loss_before, loss_after, rolled_back }: Report) -> Self {
        Self {
            outcome: outcome.into(),
            steps: u32::try_from(steps).unwrap_or(u32::MAX),
            loss_before,
            loss_after,
            rolled_back: rolled_back.into(),
            reserved: [0; 11],
        }
    }
}

impl From<Budget> for SinewBudget {
    fn from(budget: Budget) -> Self {
        let Budget { prediction, unit_rows, unit_rows_behind, unit, units, adaptation } = budget;
        Self {
            prediction,
            adaptation,
            units: units as u64,
            unit,
            unit_rows: unit_rows as u64,
            unit_rows_behind: unit_rows_behind as u64,
            reserved: [0; 2],
        }
    }
}

impl From<Option<Novelty>> for SinewNovelty {
    fn from(novelty: Option<Novelty>) -> Self {
        let Some(Novelty { score, median, limit }) = novelty else {
            return Self { score: f32::NAN, median: f32::NAN, limit: f32::NAN };
        };
        Self { score, median: median.unwrap_or(f32::NAN), limit: limit.unwrap_or(f32::NAN) }
    }
}

impl SinewGuard {
    /// The guard with this number, of an adapter with room for `capacity` support rows, that holds back `held_back` of them.
    ///
    /// # Errors
    /// If there is no such number, or no such guard can hold back so many rows and have one to learn from.
    pub fn of(number: i32, held_back: usize, capacity: usize) -> Result<Guard, SinewCode> {
        const FINITE: i32 = SinewGuard::Finite as i32;
        const IMPROVE: i32 = SinewGuard::Improve as i32;
        const HELD_BACK: i32 = SinewGuard::HeldBack as i32;
        const EACH_HEAD: i32 = SinewGuard::EachHead as i32;
        match (number, held_back) {
            (FINITE, 0) => Ok(Guard::Finite),
            (IMPROVE, 0) => Ok(Guard::Improve),
            (HELD_BACK, 1..) if held_back < capacity => Ok(Guard::HeldBack(held_back)),
            (EACH_HEAD, _) if held_back < capacity => Ok(Guard::EachHead(held_back)),
            (FINITE | IMPROVE | HELD_BACK | EACH_HEAD, _) => Err(SinewCode::HeldBack),
            _ => Err(SinewCode::UnknownGuard),
        }
    }
}
