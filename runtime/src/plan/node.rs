//! What the search knows of a cell.

/// What the search knows of a cell. The caller gives memory for one for each cell of the grid.
#[derive(Clone, Copy, Debug)]
pub struct Node {
    /// Cost to the goal by what the neighbours said when they were last expanded: the least c + v over the steps out of the cell.
    pub(super) g: u64,
    /// Cost to the goal when the cell was last expanded.
    pub(super) v: u64,
    /// Where its entry lies in OPEN or INCONS; or [`OUT`] and the number of the round in which it was closed.
    pub(super) place: u32,
    /// The number of the search that wrote this, and in the low bits the direction of the step toward the goal.
    pub(super) mark: u32,
}

/// No way is known. Costs from here up count as none: about 2·10⁹ of the cheapest steps.
pub(super) const UNREACHED: u64 = 1 << 51;

/// Set in [`Node::place`] of a cell that does not wait.
pub(super) const OUT: u32 = 1 << 31;

/// Bits of [`Node::mark`] for the direction.
const DIRECTION_BITS: u32 = 4;

/// No step toward the goal is known.
pub(super) const NOWHERE: u32 = 8;

/// Searches that can be told apart.
pub(super) const LAST_SEARCH: u32 = (1 << (32 - DIRECTION_BITS)) - 1;

impl Node {
    /// What memory is filled with before it is handed over.
    pub const EMPTY: Self = Self { g: UNREACHED, v: UNREACHED, place: OUT, mark: NOWHERE };

    /// A cell that `search` has not seen.
    pub(super) const fn unseen(search: u32) -> Self {
        Self { mark: search << DIRECTION_BITS | NOWHERE, ..Self::EMPTY }
    }

    /// Whether `search` has seen it.
    pub(super) const fn seen(&self, search: u32) -> bool {
        self.mark >> DIRECTION_BITS == search
    }

    /// The direction of the step toward the goal, or [`NOWHERE`].
    pub(super) const fn direction(&self) -> u32 {
        self.mark & ((1 << DIRECTION_BITS) - 1)
    }

    /// Takes the step toward the goal in `direction`, at a cost of `g` from here.
    pub(super) const fn lead(&mut self, direction: u32, g: u64) {
        self.mark = (self.mark >> DIRECTION_BITS << DIRECTION_BITS) | direction;
        self.g = g;
    }
}

impl Default for Node {
    fn default() -> Self {
        Self::EMPTY
    }
}
