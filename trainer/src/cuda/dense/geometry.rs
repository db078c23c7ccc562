//! How much memory a block needs, where it lies, and how many blocks there are.

use super::plan::Plan;
use super::{REGISTERS, THREADS, Work};
use crate::cuda::Limits;
use crate::cuda::occupancy::{Demand, Multiprocessor};

/// The least panels of a query that go together where they are more than the support's traces have room for: 32 rows.
const QUERY_PANELS: u32 = 8;

/// Where arena and archive lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Archive {
    /// Both in shared memory.
    Shared,
    /// The archive alone in global memory.
    Global,
    /// Both in global memory.
    AllGlobal,
}

/// How one launch looks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Geometry {
    /// Where arena and archive lie.
    pub archive: Archive,
    /// Bytes of dynamic shared memory of a block.
    pub shared: u32,
    /// Words of global scratch of a block.
    pub scratch: u32,
    /// Blocks.
    pub blocks: u32,
    /// Blocks that a multiprocessor has at once, if there are as many: the occupancy by shared memory, threads and registers.
    pub resident: u32,
    /// Rows of a query that go together.
    pub query_rows: u32,
    pub(super) at: Places,
}

/// Where things lie, in words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Places {
    /// In the arena.
    pub lambda: u32,
    pub direction: u32,
    pub traces: u32,
    /// In the archive, and how many words one has.
    pub archive_traces: u32,
    pub archive_trace: u32,
    /// In shared memory or scratch.
    pub archive: u32,
}

/// Words of arena and archive.
struct Words {
    arena: u32,
    archive: u32,
    query_rows: u32,
    at: Places,
}

impl Geometry {
    /// For `work` on such a card; `None` where a block would need more memory than 32 bits count.
    pub fn new(plan: &Plan, work: &Work<'_>, limits: &Limits) -> Option<Self> {
        let Words { arena, archive, query_rows, mut at } = Words::of(plan, work)?;
        let head = plan.head_words();
        // In u64: what does not fit shared memory may not fit u32 either.
        let bytes = |words: u32| 4 * (u64::from(head) + u64::from(words));
        let resident = |bytes: u64| u32::try_from(bytes).ok().map_or(0, |bytes| resident(limits, bytes));
        let [both, alone, none] = [bytes(arena).saturating_add(4 * u64::from(archive)), bytes(arena), bytes(0)];
        // More blocks than tasks give a multiprocessor are of no use.
        let wanted = (work.tasks as u32).div_ceil(limits.multiprocessors.max(1)).max(1);
        let [with, without] = [both, alone].map(|bytes| resident(bytes).min(wanted));
        let (place, shared) = if with > 0 && with >= without {
            (Archive::Shared, both)
        } else if without > 0 {
            (Archive::Global, alone)
        } else {
            (Archive::AllGlobal, none)
        };
        let (scratch, archive_at) = match place {
            Archive::Shared => (0, head.checked_add(arena)?),
            Archive::Global => (archive, 0),
            Archive::AllGlobal => (arena.checked_add(archive)?, arena),
        };
        at.archive = archive_at;
        let shared = u32::try_from(shared).ok()?;
        let resident = resident(shared.into()).max(1);
        let blocks = (work.tasks as u32).min(resident * limits.multiprocessors).max(1);
        // Blocks begin at a cache line.
        let scratch = scratch.checked_next_multiple_of(32)?;
        Some(Self { archive: place, shared, scratch, blocks, resident, query_rows, at })
    }
}

/// Blocks that a multiprocessor has at once.
fn resident(limits: &Limits, shared: u32) -> u32 {
    if shared > limits.shared_of_block {
        return 0;
    }
    Multiprocessor::on(limits).resident(Demand { threads: THREADS, registers: REGISTERS, shared })
}

impl Words {
    fn of(plan: &Plan, work: &Work<'_>) -> Option<Self> {
        let Plan { padded: params, input_width, width, narrow, .. } = *plan;
        let steps = work.inner.steps > 0;
        let when = |is: bool, words: u32| if is { words } else { 0 };
        // Words of four rows: x, outputs, gradients at sums, and what a tangent changes in both.
        let tangents = when(work.second_order(), 2 * narrow);
        let support_panel = input_width + 2 * width + tangents;
        let query_panel = input_width + width + when(work.gradient, width);
        let panels = |side: usize| u32::try_from(work.rows[side]).ok().map(|rows| rows.div_ceil(4));
        let support_panels = when(steps, panels(0)?);
        let support = support_panels.checked_mul(support_panel)?;
        let query_panels = panels(1)?.min((support / query_panel).max(QUERY_PANELS)).max(1);
        let traces = support.max(query_panels.checked_mul(query_panel)?);
        let mut arena = params;
        let mut place = |is: bool, words: u32| {
            let at = arena;
            arena = arena.checked_add(when(is, words))?;
            Some(at)
        };
        let lambda = place(work.gradient, params)?;
        let direction = place(work.has_direction(), params)?;
        let traces = place(true, traces)?;
        let (length, segments) = work.segments();
        let within = length.min(work.inner.steps);
        let (vectors, kept) = if work.back() { (segments + within - 2, within) } else { (0, 0) };
        let archive_traces = u32::try_from(vectors).ok()?.checked_mul(params)?;
        let archive_trace = (2 * width).checked_mul(support_panels)?;
        let archive = u32::try_from(kept).ok()?.checked_mul(archive_trace)?.checked_add(archive_traces)?;
        let at = Places { lambda, direction, traces, archive_traces, archive_trace, archive: 0 };
        Some(Self { arena, archive, query_rows: 4 * query_panels, at })
    }
}
