//! What adaptation and prediction cost, known before the first sample.

use super::learner::Learner;
use super::plan::Plan;
use crate::guard::Guard;
use crate::network::Tail;

/// What an adapter's work costs at most, in multiply-adds of products and convolutions; what else there is grows with them.
///
/// The numbers depend on the bundle, the capacity, the steps and the guard, never on the data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// Of one predicted row.
    pub prediction: u64,
    /// Rows of one unit of work over layers that stay as they are, and of a prediction of many rows.
    pub unit_rows: usize,
    /// Rows of one unit of work over what is adapted.
    pub unit_rows_behind: usize,
    /// Of the largest unit of work: what a deadline may be passed by.
    pub unit: u64,
    /// Units of one adaptation with a full support ring, of which all samples are new.
    pub units: usize,
    /// Of such an adaptation in all.
    pub adaptation: u64,
}

impl Budget {
    pub(super) fn of(plan: &Plan, learner: &Learner, capacity: usize, steps: usize, guard: Guard) -> Self {
        let behind = plan.behind();
        let Plan { network, frozen, unit_rows, unit_rows_behind, .. } = plan;
        let (forward, gradient) = costs(behind);
        let frozen_forward = network.multiply_adds(0..*frozen);
        let held_back = if let Guard::HeldBack(rows) = guard { rows.min(capacity) } else { 0 };
        let judge = match guard {
            Guard::Finite => 0,
            Guard::Improve => capacity,
            Guard::HeldBack(_) => held_back,
            #[cfg(feature = "masks")]
            Guard::EachHead(_) => capacity,
        };
        let learn = capacity - held_back;
        let units_of = |rows: usize, most: usize| rows.div_ceil(most.max(1));
        // Rows that are held back cut the ring in two.
        let judge_units =
            if held_back > 0 { units_in_two(judge, *unit_rows_behind) } else { units_of(judge, *unit_rows_behind) };
        let cost_of = |rows: usize, each: u64| rows as u64 * each;
        let features =
            if *frozen > 0 { (units_in_two(capacity, *unit_rows), cost_of(capacity, frozen_forward)) } else { (0, 0) };
        let (features_unit, judge_unit) =
            (cost_of((*unit_rows).min(capacity), frozen_forward), cost_of(judge.min(*unit_rows_behind), forward));
        let (k, outputs) = (behind.input_len() as u64 + 1, behind.output_len() as u64);
        let (unit, units, adaptation) = match learner {
            Learner::Gradient { .. } => descent(learn, judge, steps, guard, *unit_rows_behind, (forward, gradient), 0),
            #[cfg(feature = "rules")]
            Learner::MetaLstm { hidden } => {
                let hidden = *hidden as u64;
                let seen = if hidden > 0 { hidden } else { 4 };
                let gates = behind.param_len() as u64 * (4 * hidden * (4 + hidden) + 2 * (seen + 2));
                descent(learn, judge, steps, guard, *unit_rows_behind, (forward, gradient), gates)
            }
            #[cfg(feature = "rules")]
            Learner::Ridge => {
                // The smaller of the two systems: its matrix, its factor, its solutions, and the weights that follow.
                let rows = capacity as u64;
                let system = rows.min(k);
                let solve = system * system * rows.max(k) / 2
                    + system * system * system / 6
                    + 2 * system * system * outputs
                    + 2 * rows * k * outputs;
                (solve, 1 + 2 * judge_units, solve + 2 * cost_of(judge, forward))
            }
            #[cfg(feature = "rules")]
            Learner::Recursive { .. } => {
                // Two sweeps of rotations, four multiply-adds a value of the triangle; then a solution.
                let update = 4 * k * (k + 1) / 2 + 4 * k * outputs + k * outputs;
                let update = 2 * update;
                let solve = k * k / 2 * outputs;
                let closing = 2 * cost_of(judge, forward) + solve;
                let units = learn + 1 + 2 * judge_units;
                (update.max(solve + judge_unit), units, cost_of(learn, update) + closing)
            }
            #[cfg(feature = "rules")]
            Learner::Prototype { .. } => {
                let units = learn + 1 + 2 * judge_units;
                let heads = 2 * k * outputs;
                (k.max(heads + judge_unit), units, cost_of(learn, k) + heads + 2 * cost_of(judge, forward))
            }
            #[cfg(feature = "rules")]
            Learner::Siamese => (0, 0, 0),
        };
        let _ = (k, outputs, judge_units);
        #[cfg(feature = "rules")]
        let prediction = if matches!(learner, Learner::Siamese) {
            frozen_forward + capacity as u64 * behind.input_len() as u64
        } else {
            frozen_forward + forward
        };
        #[cfg(not(feature = "rules"))]
        let prediction = frozen_forward + forward;
        Self {
            prediction,
            unit_rows: *unit_rows,
            unit_rows_behind: *unit_rows_behind,
            unit: unit.max(features_unit).max(judge_unit),
            units: units.saturating_add(features.0),
            adaptation: adaptation.saturating_add(features.1),
        }
    }
}

/// Units of at most `most` rows that `rows` make at most if they lie in two runs.
fn units_in_two(rows: usize, most: usize) -> usize {
    // A run of one row, and one that ends with as little in its last unit as can be.
    if rows < 2 { rows } else { 2 + (rows - 2) / most.max(1) }
}

/// Of one row: a forward pass, and one with the gradient.
fn costs(network: Tail<'_>) -> (u64, u64) {
    let forward = network.multiply_adds(network.numbers());
    let first = network.numbers().start;
    // The way back has two products for each of the way there, but none for the gradient at the input.
    (forward, 3 * forward - network.multiply_adds(first..first + 1))
}

fn descent(
    learn: usize,
    judge: usize,
    steps: usize,
    guard: Guard,
    most: usize,
    (forward, gradient): (u64, u64),
    more: u64,
) -> (u64, usize, u64) {
    // Any number of steps can be asked for.
    let (times, sum) = (usize::saturating_mul, usize::saturating_add);
    let units_of = |rows: usize| rows.div_ceil(most.max(1));
    let (judgements, judged) = match guard {
        Guard::Finite => (0, 0),
        Guard::Improve => (1, learn),
        Guard::HeldBack(_) => (steps.saturating_add(1), judge),
        #[cfg(feature = "masks")]
        Guard::EachHead(_) => (1, learn),
    };
    let units = if matches!(guard, Guard::HeldBack(_)) {
        // Either of the two parts of the ring may lie around its end, but not both.
        let learns_around = sum(times(steps, units_in_two(learn, most)), times(judgements, units_of(judged)));
        let judges_around = sum(times(steps, units_of(learn)), times(judgements, units_in_two(judged, most)));
        learns_around.max(judges_around)
    } else {
        sum(times(steps, units_of(learn)), times(judgements, units_of(judged)))
    };
    let each = learn as u64 * gradient + more;
    let judging = (times(judgements, judged) as u64).saturating_mul(forward);
    let all = (steps as u64).saturating_mul(each).saturating_add(judging);
    (learn.min(most) as u64 * gradient + more, units, all)
}
