//! How rows of several tasks lie side by side.

use sinew_runtime::Path;
use sinew_runtime::kernel::lanes::{self, Numbers};

use super::plan::LaneNetwork;
use crate::engine::{Side, TaskRows};

impl LaneNetwork {
    /// Lays out inputs and behind them targets of one side of some tasks, those of the last in all lanes that are left; 0 in rows that
    /// are left.
    pub fn lay_out(&self, tasks: &[TaskRows], indices: &[usize], side: Side, to: &mut [f32]) {
        let rows = tasks[indices[0]].side(side).rows;
        to.fill(0.0);
        let (x, y) = to.split_at_mut(self.input_len * self.wide(rows));
        for lane in 0..self.lanes() {
            let from = tasks[indices[lane.min(indices.len() - 1)]].side(side);
            scatter(self.path, &from.x, rows, lane, x);
            scatter(self.path, &from.y, rows, lane, y);
        }
    }
}

/// Calls `each` with the place of every number of one task in a layout for several, row by row.
#[inline(always)]
fn places(path: Path, rows: usize, units: usize, lane: usize, mut each: impl FnMut(usize, usize)) {
    let (width, mut number) = (lanes::width(path), 0);
    for row in 0..rows {
        let mut at = lanes::place(path, units, row, 0, lane);
        for _ in 0..units {
            each(number, at);
            number += 1;
            at += width;
        }
    }
}

/// Takes the rows of one task out.
pub(super) fn gather(path: Path, from: &[f32], rows: usize, lane: usize, to: &mut [f32]) {
    places(path, rows, to.len() / rows.max(1), lane, |number, at| to[number] = from[at]);
}

/// And puts them in.
pub(super) fn scatter(path: Path, from: &[f32], rows: usize, lane: usize, to: &mut [f32]) {
    places(path, rows, from.len() / rows.max(1), lane, |number, at| to[at] = from[number]);
}

/// Puts 0 where there is no row of a task: in lanes past the first `tasks`, and in what is left of the last group of rows.
pub(super) fn silence(path: Path, rows: usize, tasks: usize, values: &mut [f32]) {
    let (lanes, width, side_by_side) = (lanes::lanes(path), lanes::width(path), lanes::rows(path));
    if tasks < lanes {
        values.chunks_exact_mut(lanes).for_each(|lanes| lanes[tasks..].fill(0.0));
    }
    let groups = rows.div_ceil(side_by_side);
    let rows_of_last = rows - (groups - 1) * side_by_side;
    if rows_of_last < side_by_side {
        let last = values.len() / groups * (groups - 1);
        values[last..].chunks_exact_mut(width).for_each(|number| number[rows_of_last * lanes..].fill(0.0));
    }
}

/// Numbers into every lane.
pub(super) fn spread(from: Numbers<'_>, to: &mut [f32], lanes: usize) {
    match from {
        Numbers::Shared(from) => to.chunks_exact_mut(lanes).zip(from).for_each(|(to, from)| to.fill(*from)),
        Numbers::Each(from) => to.copy_from_slice(from),
    }
}
