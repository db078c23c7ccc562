//! Launches of `arrange.cu`: values put elsewhere.

use bytemuck::{Pod, Zeroable};

use super::{Address, Kernel, Launch, PerTask, Ragged, blocks};

const THREADS: usize = 256;

/// Values in rows: where the first one lies among them, and how long a row is.
#[derive(Clone, Copy, Debug)]
pub struct Columns {
    /// The rows; without them, zeros.
    pub at: Address,
    /// Values of a row.
    pub row: usize,
    /// The first of those that are meant.
    pub first: usize,
}

impl Columns {
    /// Whole rows of so many values.
    pub const fn whole(at: Address, row: usize) -> Self {
        Self { at, row, first: 0 }
    }
}

#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
struct Place {
    from: Address,
    to: Address,
    rows: u64,
    len: u32,
    from_row: u32,
    to_row: u32,
    from_at: u32,
    to_at: u32,
    add: u32,
}

/// `to (+)= from`, `len` values of each of so many rows.
pub fn place(from: Columns, to: Columns, rows: usize, len: usize, add: bool) -> Launch {
    let [len_of, from_row, to_row, from_at, to_at] =
        [len, from.row, to.row, from.first, to.first].map(|value| value as u32);
    let (from, to, rows_of) = (from.at, to.at, rows as u64);
    let arguments = Place { from, to, rows: rows_of, len: len_of, from_row, to_row, from_at, to_at, add: add.into() };
    Launch::new(Kernel::Place, [blocks(rows * len, THREADS), 1, 1], THREADS as u32, &arguments)
}

/// `to (+)= from`, as they lie.
pub fn put(from: Address, to: Address, rows: usize, len: usize, add: bool) -> Launch {
    place(Columns::whole(from, len), Columns::whole(to, len), rows, len, add)
}

#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
struct Transpose {
    from: Address,
    to: Address,
    matrices: u64,
    lines: u32,
    len: u32,
    add: u32,
    reserved: u32,
}

/// `to (+)= from` with lines and columns exchanged in each of so many matrices `[lines, len]`.
pub fn transpose(from: Address, to: Address, matrices: usize, [lines, len]: [usize; 2], add: bool) -> Launch {
    let [lines_of, len_of] = [lines, len].map(|value| value as u32);
    let arguments =
        Transpose { from, to, matrices: matrices as u64, lines: lines_of, len: len_of, add: add.into(), reserved: 0 };
    Launch::new(Kernel::Transpose, [blocks(matrices * lines * len, THREADS), 1, 1], THREADS as u32, &arguments)
}

#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
struct Context {
    context: Address,
    stride: u64,
    z: Address,
    starts: Address,
    inputs: u32,
    len: u32,
}

/// Puts its task's context behind the inputs of every row of `z`.
pub fn context(rows: &Ragged, context: PerTask, inputs: usize, len: usize, z: Address) -> Launch {
    let (stride, starts) = (context.stride as u64, rows.starts);
    let [inputs, len_of] = [inputs, len].map(|value| value as u32);
    let arguments = Context { context: context.at, stride, z, starts, inputs, len: len_of };
    Launch::new(Kernel::Context, [blocks(rows.most * len, THREADS), rows.tasks as u32, 1], THREADS as u32, &arguments)
}

#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
struct ContextGradient {
    dz: Address,
    to: Address,
    stride: u64,
    starts: Address,
    inputs: u32,
    len: u32,
    add: u32,
    reserved: u32,
}

/// `to (+)=` the sum over the rows of each task of what lies behind the inputs.
pub fn context_gradient(rows: &Ragged, dz: Address, inputs: usize, len: usize, to: PerTask, add: bool) -> Launch {
    let (stride, starts) = (to.stride as u64, rows.starts);
    let [inputs, len] = [inputs, len].map(|value| value as u32);
    let arguments = ContextGradient { dz, to: to.at, stride, starts, inputs, len, add: add.into(), reserved: 0 };
    Launch::new(Kernel::ContextGradient, [len, rows.tasks as u32, 1], THREADS as u32, &arguments)
}
