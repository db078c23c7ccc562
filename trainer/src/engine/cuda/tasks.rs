//! A batch of tasks on a device.

use std::sync::Arc;

use super::store::{Held, Pieces, Store};
use crate::cuda::{Address, Device, DeviceError, Ragged};
use crate::engine::{EngineError, Side, TaskRows};

/// Most tasks of a batch: the kernels have a block for each in a direction of their grids that goes no further.
const MOST: usize = 65_535;

/// One side of all tasks.
#[derive(Clone, Copy, Debug)]
pub(super) struct SideRows {
    pub rows: Ragged,
    /// `[rows, presented]`
    pub x: Address,
    /// `[rows, outputs]`
    pub y: Address,
    /// The first task whose targets are not there: how many there should be, and are.
    missing: Option<(usize, usize)>,
}

/// A batch of tasks on a device.
#[derive(Debug)]
pub struct Tasks<D: Device> {
    /// Everything, in one piece, so that it comes in one copy.
    held: Held<D>,
    sides: [SideRows; 2],
    count: usize,
}

impl<D: Device> Tasks<D> {
    /// How many there are.
    pub(super) const fn count(&self) -> usize {
        self.count
    }

    /// A side, for launches on the device of `store`, whose engine took the tasks.
    pub(super) fn side(&self, store: &Arc<Store<D>>, side: Side) -> Result<&SideRows, EngineError> {
        if !self.held.is_of(store) {
            return Err(DeviceError::Elsewhere { what: "tasks" }.into());
        }
        Ok(match side {
            Side::Support => &self.sides[0],
            Side::Query => &self.sides[1],
        })
    }

    /// A side, for a pass that has a loss.
    pub(super) fn with_targets(&self, store: &Arc<Store<D>>, side: Side) -> Result<&SideRows, EngineError> {
        let found = self.side(store, side)?;
        match found.missing {
            None => Ok(found),
            Some((expected, got)) => Err(EngineError::Length { what: "targets of a task", expected, got }),
        }
    }

    /// Both, for a pass over all rows.
    pub(super) fn both_with_targets(&self, store: &Arc<Store<D>>) -> Result<[SideRows; 2], EngineError> {
        Ok([*self.with_targets(store, Side::Support)?, *self.with_targets(store, Side::Query)?])
    }

    /// Takes tasks over whose rows have so many inputs and outputs, and at most `widest` values at any layer.
    pub(super) fn take(
        store: &Arc<Store<D>>,
        tasks: &[TaskRows],
        lens: [usize; 2],
        widest: usize,
    ) -> Result<Self, EngineError> {
        let count = tasks.len();
        if count > MOST {
            return Err(EngineError::Length { what: "tasks of a batch on a device", expected: MOST, got: count });
        }
        let of = |side: Side| tasks.iter().map(move |task| task.side(side));
        // Before there is memory for it.
        for side in [Side::Support, Side::Query] {
            let (mut rows, mut most) = (0_usize, 0);
            for task in of(side) {
                expect("inputs of a task", &task.x, task.rows.saturating_mul(lens[0]))?;
                if !task.y.is_empty() {
                    expect("targets of a task", &task.y, task.rows.saturating_mul(lens[1]))?;
                }
                rows = rows.saturating_add(task.rows);
                most = most.max(task.rows);
            }
            at_most("rows of a batch on a device", rows)?;
            at_most("values of a layer over the rows of a task on a device", most.saturating_mul(widest))?;
        }
        let mut pieces = Pieces::default();
        let places = [Side::Support, Side::Query].map(|side| {
            let rows: usize = of(side).map(|rows| rows.rows).sum();
            [pieces.next(count + 1), pieces.next(rows * lens[0]), pieces.next(rows * lens[1])]
        });
        let mut words = vec![0_u32; pieces.words()];
        let mut sides = Vec::with_capacity(2);
        for (side, [starts, x, y]) in [Side::Support, Side::Query].into_iter().zip(places) {
            let (mut rows, mut most, mut missing) = (0, 0, None);
            for (number, task) in of(side).enumerate() {
                if task.y.is_empty() && task.rows * lens[1] > 0 {
                    missing = missing.or(Some((task.rows * lens[1], 0)));
                }
                copy(&mut words[x + rows * lens[0]..], &task.x);
                copy(&mut words[y + rows * lens[1]..], &task.y);
                rows += task.rows;
                most = most.max(task.rows);
                words[starts + number + 1] = rows as u32;
            }
            sides.push((Ragged { starts: Address::NONE, tasks: count, most, rows }, [starts, x, y], missing));
        }
        let mut held = store.take(words.len())?;
        held.write(&words)?;
        let at = held.address();
        let place = |side: usize| {
            let (rows, [starts, x, y], missing) = sides[side];
            let rows = Ragged { starts: at.plus(starts), ..rows };
            SideRows { rows, x: at.plus(x), y: at.plus(y), missing }
        };
        let sides = [place(0), place(1)];
        Ok(Self { held, sides, count })
    }
}

/// Kernels count the rows of a batch, and the values of one layer over the rows of one task, in 32 bits, and go on by some hundred beyond.
fn at_most(what: &'static str, got: usize) -> Result<(), EngineError> {
    const MOST: usize = i32::MAX as usize;
    if got <= MOST { Ok(()) } else { Err(EngineError::Length { what, expected: MOST, got }) }
}

fn copy(to: &mut [u32], from: &[f32]) {
    to.iter_mut().zip(from).for_each(|(to, from)| *to = from.to_bits());
}

fn expect(what: &'static str, values: &[f32], expected: usize) -> Result<(), EngineError> {
    let got = values.len();
    if got == expected { Ok(()) } else { Err(EngineError::Length { what, expected, got }) }
}
