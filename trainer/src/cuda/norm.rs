//! Launches of `norm.cu`.

use bytemuck::{Pod, Zeroable};

use super::{Address, Kernel, Launch, PerTask, Ragged, blocks};

const THREADS: usize = 128;
/// Words of what is known of a row, and of its sums on the way back.
const OF_ROW: usize = 4;

/// A layer normalisation.
#[derive(Clone, Copy, Debug)]
pub struct Norm {
    /// Values of a row.
    pub len: usize,
    /// Channels, each with a weight and a bias.
    pub channels: usize,
}

/// Inputs, and their derivatives where they have one; gradients at the sum, and their derivatives where there is a direction; parameters, and
/// the direction, if there is one.
#[derive(Clone, Copy, Debug)]
pub struct Known {
    /// Inputs.
    pub x: Address,
    /// Their derivatives.
    pub rx: Address,
    /// Gradients at the sum.
    pub dz: Address,
    /// Their derivatives.
    pub rdz: Address,
    /// Parameters.
    pub w: PerTask,
    /// The direction in them.
    pub v: PerTask,
}

#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
struct OfRows {
    x: Address,
    rx: Address,
    to: Address,
    len: u64,
}

#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
struct Outputs {
    x: Address,
    rx: Address,
    of_rows: Address,
    p: Address,
    q: Address,
    w: Address,
    z: Address,
    starts: Address,
    p_stride: u64,
    q_stride: u64,
    w_stride: u64,
    len: u32,
    channels: u32,
}

#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
struct Back {
    x: Address,
    rx: Address,
    dz: Address,
    rdz: Address,
    of_rows: Address,
    sums: Address,
    w: Address,
    v: Address,
    dx: Address,
    starts: Address,
    w_stride: u64,
    v_stride: u64,
    len: u32,
    channels: u32,
    add: u32,
    reserved: u32,
}

#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
struct OfWeights {
    x: Address,
    rx: Address,
    dz: Address,
    rdz: Address,
    of_rows: Address,
    to: Address,
    starts: Address,
    stride: u64,
    len: u32,
    channels: u32,
    add: u32,
    reserved: u32,
}

impl Norm {
    /// Words of scratch for so many rows.
    pub const fn scratch(rows: usize) -> usize {
        2 * OF_ROW * rows
    }

    fn statistics(&self, rows: &Ragged, x: Address, rx: Address, scratch: Address) -> Launch {
        let arguments = OfRows { x, rx, to: scratch, len: self.len as u64 };
        Launch::new(Kernel::NormStatistics, [rows.rows as u32, 1, 1], THREADS as u32, &arguments)
    }

    fn values(&self, rows: &Ragged) -> [u32; 3] {
        [blocks(rows.most * self.len, THREADS), rows.tasks as u32, 1]
    }

    /// The sum z, or with a direction its derivative.
    pub fn forward(
        &self,
        rows: &Ragged,
        known: &Known,
        along: bool,
        z: Address,
        scratch: Address,
        launches: &mut Vec<Launch>,
    ) {
        let Known { x, rx, w, v, .. } = *known;
        let p = if along { v } else { w };
        launches.push(self.statistics(rows, x, rx, scratch));
        let arguments = Outputs {
            x,
            rx,
            of_rows: scratch,
            p: p.at,
            q: p.at.plus(self.channels),
            w: w.at,
            z,
            starts: rows.starts,
            p_stride: p.stride as u64,
            q_stride: p.stride as u64,
            w_stride: w.stride as u64,
            len: self.len as u32,
            channels: self.channels as u32,
        };
        launches.push(Launch::new(Kernel::NormForward, self.values(rows), THREADS as u32, &arguments));
    }

    /// `dx (+)=` the gradient at the input, or with derivatives of the gradient at the sum its derivative.
    pub fn inputs(
        &self,
        rows: &Ragged,
        known: &Known,
        dx: Address,
        add: bool,
        scratch: Address,
        launches: &mut Vec<Launch>,
    ) {
        let Known { x, rx, dz, rdz, w, v } = *known;
        launches.push(self.statistics(rows, x, rx, scratch));
        let arguments = Back {
            x,
            rx,
            dz,
            rdz,
            of_rows: scratch,
            sums: scratch.plus(OF_ROW * rows.rows),
            w: w.at,
            v: v.at,
            dx,
            starts: rows.starts,
            w_stride: w.stride as u64,
            v_stride: v.stride as u64,
            len: self.len as u32,
            channels: self.channels as u32,
            add: add.into(),
            reserved: 0,
        };
        let of_rows = [rows.most as u32, rows.tasks as u32, 1];
        launches.push(Launch::new(Kernel::NormSums, of_rows, THREADS as u32, &arguments));
        launches.push(Launch::new(Kernel::NormInputs, self.values(rows), THREADS as u32, &arguments));
    }

    /// `to (+)=` the gradient at weights and biases, or with derivatives of the gradient at the sum its derivative.
    pub fn weights(
        &self,
        rows: &Ragged,
        known: &Known,
        to: PerTask,
        add: bool,
        scratch: Address,
        launches: &mut Vec<Launch>,
    ) {
        let Known { x, rx, dz, rdz, .. } = *known;
        launches.push(self.statistics(rows, x, rx, scratch));
        let arguments = OfWeights {
            x,
            rx,
            dz,
            rdz,
            of_rows: scratch,
            to: to.at,
            starts: rows.starts,
            stride: to.stride as u64,
            len: self.len as u32,
            channels: self.channels as u32,
            add: add.into(),
            reserved: 0,
        };
        let grid = [self.channels as u32, rows.tasks as u32, 1];
        launches.push(Launch::new(Kernel::NormWeights, grid, THREADS as u32, &arguments));
    }
}
