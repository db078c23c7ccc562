//! Launches of `loss.cu`.

use bytemuck::{Pod, Zeroable};
use sinew_models::spec::Loss;

use super::{Address, Kernel, Launch, Ragged};

const THREADS: u32 = 128;

/// A head, its outputs and its targets.
#[derive(Clone, Copy, Debug)]
pub struct HeadLoss {
    /// Its loss.
    pub loss: Loss,
    /// λ.
    pub weight: f32,
    /// How many outputs it has.
    pub outputs: usize,
    /// Its outputs, `[rows, outputs]`.
    pub z: Address,
    /// Targets of all heads, `[rows, targets]`.
    pub y: Address,
    /// Targets of all heads in a row.
    pub targets: usize,
    /// The first of this head.
    pub column: usize,
}

#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
struct Head {
    z: Address,
    y: Address,
    d: Address,
    losses: Address,
    starts: Address,
    others: Address,
    outputs: u32,
    y_row: u32,
    y_at: u32,
    kind: u32,
    add: u32,
    weight: f32,
    delta: f32,
    reserved: u32,
}

impl HeadLoss {
    fn launch(&self, kernel: Kernel, rows: &Ragged, others: Address, d: Address, losses: Address, add: bool) -> Launch {
        let (kind, delta) = match self.loss {
            Loss::MeanSquared => (0, 0.0),
            Loss::Huber { delta } => (1, delta),
            Loss::BinaryCrossEntropy => (2, 0.0),
            Loss::CrossEntropy => (3, 0.0),
        };
        let [outputs, y_row, y_at] = [self.outputs, self.targets, self.column].map(|value| value as u32);
        let Self { z, y, weight, .. } = *self;
        let starts = rows.starts;
        let add = add.into();
        let arguments =
            Head { z, y, d, losses, starts, others, outputs, y_row, y_at, kind, add, weight, delta, reserved: 0 };
        Launch::new(kernel, [rows.tasks as u32, 1, 1], THREADS, &arguments)
    }

    /// The gradient at the outputs and the loss of each task, each where it is wanted; losses are added or replaced. With `others`, the rows
    /// are a part of a batch, and those are the starts of its other part.
    pub fn gradient(&self, rows: &Ragged, others: Address, dz: Address, losses: Address, add: bool) -> Launch {
        self.launch(Kernel::LossGradient, rows, others, dz, losses, add)
    }

    /// From the derivatives of the outputs, in `d`, to those of the gradient, there.
    pub fn tangent(&self, rows: &Ragged, d: Address) -> Launch {
        self.launch(Kernel::LossTangent, rows, Address::NONE, d, Address::NONE, false)
    }
}
