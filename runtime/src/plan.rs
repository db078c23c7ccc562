//! Paths over a grid of predicted costs: anytime, with a proven bound, repaired as costs change and the robot moves.
//!
//! A step leads to one of eight neighbours, and a diagonal one only between two free cells, so that no corner is cut. Costs are
//! the caller's: a closure `cost(from, to)` in any unit (joules, seconds), or a slice of costs per metre ([`Grid::by_cells`]).
//! The search is Anytime D* (Likhachev, Ferguson, Gordon, Stentz & Thrun, "Anytime search in dynamic graphs", 2008), which is ARA*
//! (Likhachev, Gordon & Thrun 2003) where costs do not change, and A* where the inflation starts at 1.
//!
//! Memory is the caller's, [`Memory::bytes`] of it; nothing here allocates, panics or reads a clock. Costs are whole numbers
//! inside, so that a path is the same on every processor.
//!
//! A model predicts the cost of each cell, and the planner does the rest:
//!
//! ```
//! use sinew_runtime::Adapter;
//! use sinew_runtime::plan::{Cell, Entry, Grid, Memory, Node, PlanError, Planner, Schedule};
//!
//! /// Fills `costs` with what the adapted model expects of each cell: `inputs` has a row for each.
//! fn predict_costs(adapter: &mut Adapter<'_>, inputs: &[f32], costs: &mut [f32]) {
//!     for (x, cost) in inputs.chunks_exact(adapter.input_len()).zip(costs) {
//!         let mut joules_per_metre = [f32::INFINITY];
//!         let _ = adapter.predict(x, &mut joules_per_metre); // What it cannot tell stays blocked.
//!         [*cost] = joules_per_metre;
//!     }
//! }
//!
//! # fn main() -> Result<(), PlanError> {
//! let grid = Grid { width: 5, height: 3, side: 0.5 };
//! let mut costs = [20.0_f32; 15]; // predict_costs(&mut adapter, &inputs, &mut costs);
//! costs[2] = f32::INFINITY; // A pillar in the middle of the first row,
//! costs[7] = 90.0; // and mud below it.
//!
//! let (mut nodes, mut open) = ([Node::EMPTY; 15], [Entry::EMPTY; 15]);
//! let memory = Memory { nodes: &mut nodes, open: &mut open };
//! let mut planner = Planner::new(grid, 20.0, Schedule::default(), memory, Cell::new(0, 0), Cell::new(4, 0))?;
//! let report = planner.improve(grid.by_cells(&costs), || false)?;
//! assert_eq!(report.bound, 1.0);
//!
//! let mut path = [Cell::default(); 15];
//! let len = planner.path(&mut path)?;
//! assert!(path[..len].contains(&Cell::new(2, 2))); // Round the mud.
//!
//! // The robot has gone one cell, and finds that the mud has dried.
//! planner.move_start(path[1])?;
//! costs[7] = 20.0;
//! planner.changed(Cell::new(2, 1), grid.by_cells(&costs))?;
//! let report = planner.improve(grid.by_cells(&costs), || false)?;
//! assert!(report.bound == 1.0 && planner.path(&mut path)? < len);
//! # Ok(()) }
//! ```

mod grid;
mod node;
mod open;
mod search;
mod units;

use core::fmt;

pub use grid::{Cell, Grid};
pub use node::Node;
use node::{OUT, UNREACHED};
pub use open::Entry;
use open::Open;
use search::Phase;
use units::{INFLATION_ONE, Units};

/// Expansions in one unit of work, or entries of OPEN that are put in order.
///
/// An expansion asks for at most 12 costs and changes at most 9 keys, each in O(log cells); one that repairs a cost that rose asks
/// for at most 96.
pub const UNIT: usize = 32;

/// How the inflation ε of the heuristic falls: from `first` by `step` to 1. A path of a round with ε costs at most ε times the optimum.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Schedule {
    /// ε of the first round, from 1 to 255. The larger, the sooner is a first path found.
    pub first: f32,
    /// What ε falls by from round to round, at least 1/256.
    pub step: f32,
}

impl Schedule {
    /// Straight to the optimum: A*, with no path before the end.
    pub const OPTIMAL: Self = Self { first: 1.0, step: 1.0 };

    /// ε in units of 1/256. The casts saturate, and NaN becomes the least.
    fn units(&self) -> (u64, u64) {
        let one = INFLATION_ONE as f32;
        (((self.first * one) as u64).clamp(INFLATION_ONE, 255 * INFLATION_ONE), ((self.step * one) as u64).max(1))
    }
}

impl Default for Schedule {
    /// 2.5, 1.5, 1: few rounds, since each puts OPEN in order again.
    fn default() -> Self {
        Self { first: 2.5, step: 1.0 }
    }
}

/// Memory of a planner, one of each for each cell: [`Grid::cells`].
#[derive(Debug)]
pub struct Memory<'m> {
    /// What is known of the cells.
    pub nodes: &'m mut [Node],
    /// The cells that wait.
    pub open: &'m mut [Entry],
}

impl Memory<'_> {
    /// Bytes of memory for a grid of `cells`: 40 for each.
    pub const fn bytes(cells: usize) -> usize {
        cells * (size_of::<Node>() + size_of::<Entry>())
    }
}

/// A search for a path from `start` to `goal`, in memory of the caller.
///
/// What it finds is a path from the moment that [`Planner::improve`] reports a cost, and gets better with each call.
#[derive(Debug)]
pub struct Planner<'m> {
    grid: Grid,
    units: Units,
    first: u64,
    step: u64,
    /// ε of this round, in 1/256.
    inflation: u64,
    /// ε of the last round that came to its end, if costs and start have not changed since.
    proven: Option<u64>,
    /// No path costs less.
    lower: u64,
    start: Cell,
    goal: Cell,
    /// Tells nodes of this search from those of earlier ones.
    search: u32,
    /// Tells cells closed in this round from those of earlier ones.
    round: u32,
    phase: Phase,
    /// Whether a cost rose in this search, so that costs of cells may be outdated until a round ends.
    risen: bool,
    expanded: u64,
    nodes: &'m mut [Node],
    open: Open<'m>,
}

/// How far a search is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Report {
    /// What the path costs at most, in the unit of the costs; the optimum where `bound` is 1. `None` if there is no path yet.
    pub cost: Option<f32>,
    /// The path costs at most this many times the optimum: the smaller of the inflation of the last whole round and cost / least
    /// g + h of what is still open (ARA*, 2003, section 3). 1 is optimal; infinite without a path.
    pub bound: f32,
    /// Cells expanded since the search was set up.
    pub expanded: u64,
}

impl<'m> Planner<'m> {
    /// Sets up a search on `grid` where no metre costs less than `lowest`; steps that claim to cost less cost that much.
    ///
    /// The higher `lowest` is, the less is searched; the least cost of a cell is best, and more than that makes paths suboptimal.
    /// Costs are rounded to 2⁻²⁰ of the cheapest step, so `lowest` should not be millions of times below usual costs either.
    ///
    /// # Errors
    /// If the grid has no cells or 2³¹, if `lowest` × side is not a positive number between about 10⁻³² and 10³⁸, if memory is too
    /// short, or start or goal lie outside.
    pub fn new(
        grid: Grid,
        lowest: f32,
        schedule: Schedule,
        memory: Memory<'m>,
        start: Cell,
        goal: Cell,
    ) -> Result<Self, PlanError> {
        let cells = grid.cells();
        if cells == 0 || cells >= OUT as usize {
            return Err(PlanError::Cells(cells));
        }
        if !(lowest > 0.0 && grid.side > 0.0) {
            return Err(PlanError::Lowest);
        }
        let units = Units::new(lowest * grid.side, grid.width.max(grid.height)).ok_or(PlanError::Lowest)?;
        let got = memory.nodes.len().min(memory.open.len());
        let (Some(nodes), Some(open)) = (memory.nodes.get_mut(..cells), memory.open.get_mut(..cells)) else {
            return Err(PlanError::Memory { expected: cells, got });
        };
        nodes.fill(Node::EMPTY);
        let (first, step) = schedule.units();
        let mut planner = Self {
            grid,
            units,
            first,
            step,
            inflation: first,
            proven: None,
            lower: 0,
            start,
            goal,
            search: 0,
            round: 0,
            phase: Phase::Gather,
            risen: false,
            expanded: 0,
            nodes,
            open: Open::new(grid, open),
        };
        planner.aim(start, goal)?;
        Ok(planner)
    }

    /// The grid.
    pub fn grid(&self) -> Grid {
        self.grid
    }

    /// Where the path starts.
    pub fn start(&self) -> Cell {
        self.start
    }

    /// Where the path ends.
    pub fn goal(&self) -> Cell {
        self.goal
    }

    /// Searches from `start` to `goal` from now on, from scratch. Takes constant time.
    ///
    /// # Errors
    /// If one of them lies outside of the grid; then nothing has changed.
    pub fn aim(&mut self, start: Cell, goal: Cell) -> Result<(), PlanError> {
        for cell in [start, goal] {
            self.inside(cell)?;
        }
        (self.start, self.goal) = (start, goal);
        self.restart();
        Ok(())
    }

    /// Forgets what was searched, for when most costs have changed, as after an adaptation. Takes constant time.
    pub fn restart(&mut self) {
        self.forget();
    }

    /// The robot is at `start` now; what was searched stays true, and the inflation stays where it came to. A path from a cell of
    /// the path is there at once.
    ///
    /// # Errors
    /// If it lies outside of the grid; then nothing has changed.
    pub fn move_start(&mut self, start: Cell) -> Result<(), PlanError> {
        self.inside(start)?;
        self.renumber();
        if start != self.start {
            self.start = start;
            self.disturb();
        }
        Ok(())
    }

    /// The cost or freedom of `cell` has changed, and `cost` has the new one. Asks for at most 108 costs.
    ///
    /// Every step that starts in `cell` or beside it may have changed. To be called for each cell that changed; beyond about a tenth
    /// of the cells [`Planner::restart`] costs less. Costs that change without a call leave paths that may be neither optimal nor free.
    /// The inflation stays where it came to: [`Planner::hasten`] raises it.
    ///
    /// # Errors
    /// If it lies outside of the grid; then nothing has changed.
    pub fn changed(&mut self, cell: Cell, mut cost: impl FnMut(Cell, Cell) -> f32) -> Result<(), PlanError> {
        self.inside(cell)?;
        self.renumber();
        self.repair(cell, &mut cost);
        for direction in 0..8 {
            if let Some(next) = self.grid.neighbour(cell, direction) {
                self.repair(next, &mut cost);
            }
        }
        Ok(())
    }

    /// Goes back to the first inflation of the schedule and keeps what was searched, for when a repair would take too long.
    pub fn hasten(&mut self) {
        self.renumber();
        self.inflation = self.first;
        self.disturb();
    }

    /// Searches until `until` returns true or the path is optimal. `until` is asked before each unit of work, see [`UNIT`].
    ///
    /// `cost(from, to)` is the cost of the step between two neighbours, at least `lowest` times its length; it must be the same at each
    /// call unless [`Planner::changed`] is told. Infinite or NaN: the step is blocked. `cost(cell, cell)` is asked as well: it is
    /// infinite or NaN where a cell is blocked, and 0 where it is free.
    ///
    /// # Errors
    /// If start or goal is blocked, or if there is no path: that is proven.
    pub fn improve(
        &mut self,
        mut cost: impl FnMut(Cell, Cell) -> f32,
        mut until: impl FnMut() -> bool,
    ) -> Result<Report, PlanError> {
        for cell in [self.start, self.goal] {
            if !cost(cell, cell).is_finite() {
                return Err(PlanError::Blocked(cell));
            }
        }
        self.renumber();
        while self.phase != Phase::Done && !until() {
            self.work(&mut cost);
        }
        let report = self.report();
        match report.cost {
            None if self.phase == Phase::Done => Err(PlanError::NoPath),
            _ => Ok(report),
        }
    }

    /// How far the search is. Follows the path only if costs rose and no round has come to its end since.
    pub fn report(&self) -> Report {
        let g = self.node(self.start).g;
        let expanded = self.expanded;
        if g >= UNREACHED || (self.risen && self.proven.is_none() && self.follow(|_, _| true).is_err()) {
            return Report { cost: None, bound: f32::INFINITY, expanded };
        }
        let optimal = g <= self.lower || (self.phase == Phase::Done && self.proven == Some(INFLATION_ONE));
        let bound = if optimal {
            1.0
        } else {
            let proven = self.proven.map_or(f32::INFINITY, |inflation| inflation as f32 / INFLATION_ONE as f32);
            // `lower` is 0 only where start and goal are one cell, and g with it.
            proven.min(g as f32 / self.lower as f32).max(1.0)
        };
        Report { cost: Some(self.units.cost(g)), bound, expanded }
    }

    /// Writes the best path that is known, start and goal included, to the front of `path`, and says how many cells it has.
    ///
    /// # Errors
    /// If there is no path yet, or `path` is too short; [`Grid::cells`] is always enough.
    pub fn path(&self, path: &mut [Cell]) -> Result<usize, PlanError> {
        let got = path.len();
        let len = self.follow(|i, cell| match path.get_mut(i) {
            Some(to) => {
                *to = cell;
                true
            }
            None => false,
        })?;
        if len > got { Err(PlanError::Path { got }) } else { Ok(len) }
    }

    /// Hands each cell from start to goal to `see` while it returns true, and counts them.
    ///
    /// Each cell costs v + c of the next, and at least g + c of it unless that one's cost has risen: so costs fall along the path by a
    /// step at least, and it has no circle (Likhachev et al. 2008, theorem 3).
    fn follow(&self, mut see: impl FnMut(usize, Cell) -> bool) -> Result<usize, PlanError> {
        let mut cell = self.start;
        for i in 0..self.grid.cells() {
            let node = self.node(cell);
            if node.g >= UNREACHED || (node.v < node.g && cell != self.start) {
                return Err(PlanError::NotYet);
            }
            if !see(i, cell) || cell == self.goal {
                return Ok(i + 1);
            }
            cell = self.grid.neighbour(cell, node.direction()).ok_or(PlanError::NotYet)?;
        }
        Err(PlanError::NotYet)
    }

    fn inside(&self, cell: Cell) -> Result<(), PlanError> {
        self.grid.index(cell).map(|_| ()).ok_or(PlanError::Outside(cell))
    }
}

/// Why there is no path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlanError {
    /// The grid has so many cells; from 1 to 2³¹ − 1 are expected.
    Cells(usize),
    /// The lowest cost of a step is not a positive number in range.
    Lowest,
    /// Nodes or entries are too few.
    Memory {
        /// Nodes and entries that are needed, each.
        expected: usize,
        /// How many came.
        got: usize,
    },
    /// The cell lies outside of the grid.
    Outside(Cell),
    /// Start or goal lies in a blocked cell.
    Blocked(Cell),
    /// There is no path from start to goal.
    NoPath,
    /// No path has been found so far: the search must go on.
    NotYet,
    /// The path has more than `got` cells.
    Path {
        /// Cells that there was room for.
        got: usize,
    },
}

impl fmt::Display for PlanError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cells(got) => write!(f, "expected a grid of 1 to 2147483647 cells, got {got}"),
            Self::Lowest => f.write_str("expected a lowest cost per metre and a side that are positive and finite"),
            Self::Memory { expected, got } => write!(f, "expected memory for {expected} cells, got {got}"),
            Self::Outside(cell) => write!(f, "expected a cell of the grid, got column {} of row {}", cell.x, cell.y),
            Self::Blocked(cell) => write!(f, "column {} of row {} is blocked", cell.x, cell.y),
            Self::NoPath => f.write_str("there is no path from start to goal"),
            Self::NotYet => f.write_str("no path has been found yet: improve first"),
            Self::Path { got } => write!(f, "expected room for the whole path, got {got} cells"),
        }
    }
}

impl core::error::Error for PlanError {}
