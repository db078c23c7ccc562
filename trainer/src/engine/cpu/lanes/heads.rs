//! Losses of several tasks at once, and their gradients at the outputs.
//!
//! Most losses look at one output at a time: their gradients are taken as outputs lie. The cross-entropy looks at all outputs of a row,
//! so the outputs of each task are taken out for it.

use sinew_models::spec::Loss;
use sinew_runtime::kernel::lanes;
use sinew_runtime::kernel::loss::{self, Targets};

use super::layout::{gather, scatter, silence};
use super::plan::{Head, Planned};
use super::{Batch, Lanes};

impl<'a> Lanes<'a> {
    /// Adds the losses of one head to `losses`.
    pub(super) fn losses(
        &self,
        planned: &Planned,
        head: &Head,
        batch: Batch<'_>,
        a: &[f32],
        outputs: &mut [f32],
        losses: &mut [f32],
    ) {
        let z = &mut outputs[..planned.outputs * batch.rows];
        for (lane, total) in losses.iter_mut().enumerate() {
            gather(self.lanes.path, a, batch.rows, lane, z);
            *total += loss::value(head.loss, head.weight, z, self.targets(batch, head, lane), planned.outputs);
        }
    }

    /// The gradient of the losses of one head at its outputs `a`, into `da`.
    pub(super) fn gradient(
        &self,
        planned: &Planned,
        head: &Head,
        batch: Batch<'_>,
        a: &[f32],
        da: &mut [f32],
        outputs: &mut [f32],
    ) {
        if head.loss == Loss::CrossEntropy {
            let (z, dz) = self.one_task(planned, batch, outputs);
            da.fill(0.0);
            for lane in 0..self.indices.len() {
                gather(self.lanes.path, a, batch.rows, lane, z);
                let targets = self.targets(batch, head, lane);
                loss::gradient(head.loss, head.weight, z, targets, planned.outputs, dz);
                scatter(self.lanes.path, dz, batch.rows, lane, da);
            }
        } else {
            let (weight, targets, outputs) = self.as_they_lie(planned, head, batch);
            loss::gradient(head.loss, weight, a, targets, outputs, da);
            silence(self.lanes.path, batch.rows, self.indices.len(), da);
        }
    }

    /// The derivative of that gradient, into `rd`, along the derivative `ra` of the outputs.
    pub(super) fn gradient_tangent(
        &self,
        planned: &Planned,
        head: &Head,
        batch: Batch<'_>,
        (a, ra): (&[f32], &[f32]),
        rd: &mut [f32],
        outputs: &mut [f32],
    ) {
        if head.loss == Loss::CrossEntropy {
            let (z, rz) = self.one_task(planned, batch, outputs);
            rd.fill(0.0);
            for lane in 0..self.indices.len() {
                gather(self.lanes.path, a, batch.rows, lane, z);
                gather(self.lanes.path, ra, batch.rows, lane, rz);
                let targets = self.targets(batch, head, lane);
                loss::gradient_tangent(head.loss, head.weight, z, targets, planned.outputs, rz);
                scatter(self.lanes.path, rz, batch.rows, lane, rd);
            }
        } else {
            let (weight, targets, outputs) = self.as_they_lie(planned, head, batch);
            rd.copy_from_slice(ra);
            loss::gradient_tangent(head.loss, weight, a, targets, outputs, rd);
            silence(self.lanes.path, batch.rows, self.indices.len(), rd);
        }
    }

    /// Room for the outputs of one task, twice.
    fn one_task<'o>(
        &self,
        planned: &Planned,
        batch: Batch<'_>,
        outputs: &'o mut [f32],
    ) -> (&'o mut [f32], &'o mut [f32]) {
        let len = planned.outputs * batch.rows;
        outputs[..2 * len].split_at_mut(len)
    }

    /// A loss of one output at a time, of a group of rows of all tasks as if it were one row: its weight, targets and outputs.
    fn as_they_lie<'t>(&self, planned: &Planned, head: &Head, batch: Batch<'t>) -> (f32, Targets<'t>, usize) {
        let width = lanes::width(self.lanes.path);
        // The loss divides by all outputs there are, and each task has its own rows alone.
        let weight = head.weight * self.lanes.wide(batch.rows) as f32 / batch.rows as f32;
        let targets = Targets { y: &batch.y[head.column * width..], row: self.lanes.output_len * width };
        (weight, targets, planned.outputs * width)
    }

    fn targets(&self, batch: Batch<'_>, head: &Head, lane: usize) -> Targets<'a> {
        let rows = self.tasks[self.indices[lane]].side(batch.side);
        Targets { y: &rows.y[head.column..], row: self.lanes.output_len }
    }
}
