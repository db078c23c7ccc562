//! The launcher of `dense.cu`: the whole inner loop of a task of a dense network, and the exact way back through it, in one block.
//!
//! # Why so
//!
//! A Hessian-vector product of 16-64-64-4 over 16 rows is 0.45 million multiply-adds: too little for a launch of its own, too much for
//! a warp. A block of 128 threads has the task in its shared memory from the first step to the last. Its memory leaves room for two
//! blocks on an H100, its 168 registers a thread for three; one computes while another waits at a barrier or copies.
//!
//! **The tile.** A thread has two tiles of 4×4 outputs of a product, in the same column and half of all rows of tiles apart, and takes 4
//! of their depth at once: 128 multiply-adds for 12 loads of 16 bytes, whichever way a factor lies. What each warp does besides (whose
//! turn it is, addresses, sums over lanes, what all threads know of a layer) costs as much as the products of this size themselves, so
//! that few warps with much to do each are better than many. A warp's load of 16 bytes a lane takes 4 wavefronts of shared memory in
//! general, but 2 where each lane has the address of a neighbour (lane xor 1, or lane xor 2) and each half of the warp finds its 8
//! addresses in different banks (NVIDIA says nothing of it; CUTLASS lays out its lanes by the same rule). So bit 0 of a lane is one of
//! its column of tiles and bit 1 one of its row: the first factor is the same across the one, the second across the other. Then 128
//! multiply-adds of a warp take 32 cycles of a multiprocessor with 128 lanes, and its 12 loads 24 cycles of shared memory, side by side.
//!
//! **The depth.** 16 rows by 64 units are 32 pairs of tiles, a quarter of the threads: 4 neighbouring lanes share a pair, each with every
//! fourth part of the depth, and sum by 16 + 8 shuffles, after which each has two rows of a tile to finish. Half of the lanes take their
//! tiles in the other order, so that each gives what it has second. Where tiles are fewer still, up to 32 lanes share a pair. The order
//! is fixed, so bits depend on the task, and on how many rows of a long query go together, alone.
//!
//! **The panel.** Four rows of an array are a panel: 4×16 values, row after row, then the next 16 columns. The rows of a tile are 64
//! bytes apart whatever the array, so that one address serves four loads: the inner loop has 146 instructions for 128 multiply-adds on
//! sm_90. A panel ends in 64 bytes that nobody uses: what two panels have at the same columns is then in
//! different halves of the 128 bytes of all banks. Half a warp loads, along the depth, 4 parts side by side of two panels; along the
//! tile, 4 tiles side by side of two parts, which are two panels: places 0 to 3 and 4 to 7 of the 8, no conflict. That fixes bits 2 and
//! 3 of a lane: two of its part in `x Wᵀ`, where both factors lie along the depth; one of its part and one of its column in `dz W`.
//!
//! **Arena and archive.** Words of a block: θ, and λ with a gradient, P each, padded; x; and of each unit of each row its output, the
//! gradient at its sum, and what a tangent changes in both. −α∘λ is a vector of its own only where each parameter has a rate; else it
//! is λ with a factor between the two halves of a sum. What the bend of tanh and sigmoid needs of the gradient at the output is a
//! multiple of that at the sum; SiLU keeps its sum and the gradient at its output besides. For 16-64-64-4 over 16 rows these are 6,036
//! words of parameters twice, and 10,304 of traces: 91,248 bytes with the table, two blocks of an H100's 228 KB. What is kept of steps
//! (`Kept`) is read once and in order, so it lies in global memory, unless there is room beside the arena without a block less.
//!
//! **The yardstick.** What a whole task takes of the issue slots of its multiprocessor: the machine code of the kernel is interpreted for
//! one task, 16-64-64-4 with tanh, 16 rows on either side, five steps, all traces kept, one rate, and each instruction counted that a
//! warp issues. The task has 115,712 multiply-adds for each of 32 lanes in its products. That is 38 % of all slots on sm_90 and 39 %
//! on sm_87, where tiles of 4×4 and 256 threads had 28.2 % and 29.1 %. By wavefronts of shared memory alone it would be 53 %. Slots are
//! an upper bound: nobody has counted here what a warp waits, with two warps for each scheduler of an H100, and one on an Orin.
//!
//! **Barriers.** A layer's way back is `dz W`, a barrier, and then its `dzᵀ x`, which changes W or λ in place, beside the next layer's
//! `dz W`: one barrier for each layer.

mod geometry;
mod plan;
#[cfg(test)]
mod tests;

use bytemuck::{NoUninit, Zeroable};
use sinew_models::rule::Rate;

use super::{Address, Kernel, Launch};
use crate::engine::InnerLoop;

pub use geometry::{Archive, Geometry};
pub use plan::Plan;

/// Threads of a block.
pub const THREADS: u32 = 128;
/// Registers of a thread, as `__launch_bounds__` in `dense.cu` has them.
pub const REGISTERS: u32 = 168;

/// What one launch is to do.
#[derive(Clone, Debug)]
pub struct Work<'a> {
    /// The inner loop.
    pub inner: &'a InnerLoop,
    /// Whether the gradient is wanted, besides the losses.
    pub gradient: bool,
    /// Tasks.
    pub tasks: usize,
    /// The most rows that the support of a task has, and the most that a query has.
    pub rows: [usize; 2],
}

impl Work<'_> {
    /// Whether a gradient goes back through steps.
    fn back(&self) -> bool {
        let inner = self.inner;
        self.gradient && inner.steps > 0 && (!inner.first_order || inner.learn_rates)
    }

    /// Whether it does so by the Hessian.
    fn second_order(&self) -> bool {
        self.back() && !self.inner.first_order
    }

    /// Whether −α∘λ is a vector of its own.
    fn has_direction(&self) -> bool {
        self.second_order() && self.inner.rate == Rate::PerParameter
    }

    /// The length of segments, and how many there are.
    fn segments(&self) -> (usize, usize) {
        let length = self.inner.kept.segment(self.inner.steps);
        (length, self.inner.steps.div_ceil(length))
    }
}

/// One side of all tasks.
#[derive(Clone, Copy, Debug, Default)]
pub struct SideAddresses {
    /// Inputs as the first layer sees them, `[rows, inputs]`, tasks one after another.
    pub x: Address,
    /// Targets, `[rows, outputs]`.
    pub y: Address,
    /// Where the rows of each task begin, and where the last ends: `[tasks + 1]`, u32.
    pub starts: Address,
}

/// Where everything is.
#[derive(Clone, Copy, Debug, Default)]
pub struct Addresses {
    /// [`Plan::table`].
    pub table: Address,
    /// Parameters that all tasks start from, flat.
    pub params: Address,
    /// Inner rates.
    pub rates: Address,
    /// What the inner loop sees.
    pub support: SideAddresses,
    /// What the adapted parameters are judged on.
    pub query: SideAddresses,
    /// Query losses, `[tasks]`.
    pub losses: Address,
    /// Gradients, `[tasks, params + rates]`; the latter only if rates are learned. Not used where no gradient is wanted.
    pub parts: Address,
    /// [`Geometry::scratch`] words for each block; an address that is a multiple of 16.
    pub scratch: Address,
}

/// As `Dense` in `dense.cu`.
#[derive(Clone, Copy, NoUninit, Zeroable)]
#[repr(C)]
struct Dense {
    table: Address,
    params: Address,
    rates: Address,
    support_x: Address,
    support_y: Address,
    query_x: Address,
    query_y: Address,
    support_starts: Address,
    query_starts: Address,
    losses: Address,
    parts: Address,
    scratch: Address,
    tasks: u32,
    layers: u32,
    heads: u32,
    inputs: u32,
    outputs: u32,
    param_count: u32,
    rate_count: u32,
    rate: u32,
    steps: u32,
    segment: u32,
    adapted: u32,
    live: u32,
    moving: u32,
    first_head: u32,
    flags: u32,
    query_rows: u32,
    padded: u32,
    input_width: u32,
    width: u32,
    narrow: u32,
    lambda: u32,
    direction: u32,
    traces: u32,
    archive_traces: u32,
    archive_trace: u32,
    archive: u32,
    scratch_words: u32,
    maps: u32,
    arena: u32,
    sums: u32,
}

// The kernel reads `layers`, and so the bits of its sets, and counts rows in 32 bits.
const _: () = assert!(sinew_models::spec::MAX_LAYERS <= 32);

/// The flags of the argument.
mod flags {
    pub const GRADIENT: u32 = 1;
    pub const BACK: u32 = 2;
    pub const SECOND: u32 = 4;
    pub const LEARN: u32 = 8;
    pub const ARCHIVE_SHARED: u32 = 16;
}

/// The launch that does `work`, to which `geometry` belongs.
pub fn launch(plan: &Plan, work: &Work<'_>, geometry: &Geometry, at: &Addresses) -> Launch {
    let inner = work.inner;
    let sets = plan.sets(inner.adapted);
    let flag = |which: u32, set: bool| if set { which } else { 0 };
    let learns = work.gradient && inner.learn_rates;
    let arguments = Dense {
        table: at.table,
        params: at.params,
        rates: at.rates,
        support_x: at.support.x,
        support_y: at.support.y,
        query_x: at.query.x,
        query_y: at.query.y,
        support_starts: at.support.starts,
        query_starts: at.query.starts,
        losses: at.losses,
        parts: at.parts,
        scratch: at.scratch,
        tasks: work.tasks as u32,
        layers: plan.layers.len() as u32,
        heads: plan.heads.len() as u32,
        inputs: plan.inputs,
        outputs: plan.outputs,
        param_count: plan.params,
        rate_count: if learns { plan.rates(inner) } else { 0 },
        rate: match inner.rate {
            Rate::Constant => 0,
            Rate::PerLayerStep => 1,
            Rate::PerParameter => 2,
        },
        steps: inner.steps as u32,
        segment: work.segments().0 as u32,
        adapted: sets.adapted,
        live: sets.live,
        moving: sets.moving,
        first_head: sets.first_head,
        flags: flag(flags::GRADIENT, work.gradient)
            | flag(flags::BACK, work.back())
            | flag(flags::SECOND, work.second_order())
            | flag(flags::LEARN, learns)
            | flag(flags::ARCHIVE_SHARED, geometry.archive == Archive::Shared),
        query_rows: geometry.query_rows,
        padded: plan.padded,
        input_width: plan.input_width,
        width: plan.width,
        narrow: plan.narrow,
        lambda: geometry.at.lambda,
        direction: geometry.at.direction,
        traces: geometry.at.traces,
        archive_traces: geometry.at.archive_traces,
        archive_trace: geometry.at.archive_trace,
        archive: geometry.at.archive,
        scratch_words: geometry.scratch,
        maps: plan.table_words(),
        arena: plan.head_words(),
        sums: plan.table_words() + plan.map_words(),
    };
    let kernel = if geometry.archive == Archive::AllGlobal { Kernel::DenseGlobal } else { Kernel::DenseShared };
    let launch = Launch::new(kernel, [geometry.blocks, 1, 1], THREADS, &arguments);
    Launch { shared: geometry.shared, ..launch }
}
