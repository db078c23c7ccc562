//! The search: Anytime D* (Likhachev, Ferguson, Gordon, Stentz & Thrun, Artificial Intelligence 172, 2008, figures 11 and 12), from
//! the goal backward.
//!
//! Where no cost has changed it is ARA* (Likhachev, Gordon & Thrun 2003). Backward, so that costs to the goal stay true while the
//! robot moves, and changes near the robot touch little of the tree.

use super::grid::{Cell, DIAGONAL, STRAIGHT, opposite};
use super::node::{LAST_SEARCH, NOWHERE, Node, OUT, UNREACHED};
use super::open::Entry;
use super::units::INFLATION_ONE;
use super::{Planner, UNIT};

/// Rounds are numbered up to here, and from it on by at most 2¹⁶ within one call.
const LAST_ROUND: u32 = OUT / 2;

/// What the search does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// INCONS goes back into OPEN, one entry at a time.
    Gather,
    /// Keys are made anew from the last place to the first; so many are left, and `least` is the smallest g + h so far.
    Order { left: usize, least: u64 },
    /// Cells are expanded.
    Expand,
    /// The path is optimal, or there is none.
    Done,
}

impl Planner<'_> {
    /// Forgets what was searched, in constant time; once in 2²⁸ searches it clears the nodes.
    pub(super) fn forget(&mut self) {
        if self.search >= LAST_SEARCH || self.round >= LAST_ROUND {
            self.nodes.fill(Node::EMPTY);
            (self.search, self.round) = (0, 0);
        }
        self.search += 1;
        self.open.clear();
        self.inflation = self.first;
        self.risen = false;
        self.disturb();
        let goal = self.goal;
        if let Some(node) = self.visit(goal) {
            node.g = 0;
        }
        self.place(goal);
    }

    /// What was proven holds no more, and every cell may be expanded again.
    pub(super) fn disturb(&mut self) {
        self.round += 1;
        self.proven = None;
        self.lower = self.units.least(self.goal, self.start);
        self.phase = Phase::Gather;
        self.open.loosen();
    }

    /// Starts over where the numbers of rounds run out, once in 2³⁰: a cell that counts as closed by mistake would be lost.
    pub(super) fn renumber(&mut self) {
        if self.round >= LAST_ROUND {
            self.forget();
        }
    }

    /// Does one unit of work.
    pub(super) fn work(&mut self, cost: &mut impl FnMut(Cell, Cell) -> f32) {
        for _ in 0..UNIT {
            match self.phase {
                Phase::Gather => {
                    if !self.open.take_back(self.nodes) {
                        self.phase = Phase::Order { left: self.open.len(), least: UNREACHED };
                    }
                }
                Phase::Order { left, least } => match left.checked_sub(1) {
                    Some(left) => self.phase = Phase::Order { left, least: least.min(self.order(left)) },
                    None => {
                        // The first cell of an optimal path, seen from the goal, that was not expanded at its optimal cost lies in
                        // OPEN with that cost (ARA*, 2003, section 3), or else the start has its optimal cost.
                        let start = self.node(self.start);
                        self.open.tighten();
                        self.lower = self.lower.max(least.min(start.g).min(start.v));
                        self.phase =
                            if self.proven.is_some() && start.g <= self.lower { Phase::Done } else { Phase::Expand };
                    }
                },
                Phase::Expand => match self.open.first().filter(|first| self.goes_on(first)) {
                    Some(first) => {
                        self.expand(first.cell, cost);
                        self.expanded += 1;
                    }
                    None => self.finish(),
                },
                Phase::Done => return,
            }
        }
    }

    /// Whether `first` of OPEN can matter to the path of the start.
    fn goes_on(&self, first: &Entry) -> bool {
        let start = self.node(self.start);
        start.v < start.g || start.g >= UNREACHED || first.key < self.units.inflated_key(start.g, 0, self.inflation)
    }

    /// The path is within the inflation of the optimum now; goes on to a smaller one.
    fn finish(&mut self) {
        let start = self.node(self.start);
        self.proven = Some(self.inflation);
        // Whatever rose and matters to the start has been repaired. The rest may wait in OPEN.
        if self.open.len() == 0 {
            self.risen = false;
        }
        if self.inflation <= INFLATION_ONE || start.g >= UNREACHED || start.g <= self.lower {
            self.phase = Phase::Done;
            return;
        }
        self.inflation = self.inflation.saturating_sub(self.step).max(INFLATION_ONE);
        self.round += 1;
        self.phase = Phase::Gather;
        self.open.loosen();
    }

    /// Gives the entry at `place` its key; g + h of its cell, if its cost can still fall.
    fn order(&mut self, place: usize) -> u64 {
        let Some(entry) = self.open.get(place) else { return UNREACHED };
        let node = self.node(entry.cell);
        self.open.order(self.nodes, place, Entry { key: self.key(entry.cell, &node), ..entry });
        if node.g < node.v { node.g + self.units.least(entry.cell, self.start) } else { UNREACHED }
    }

    fn key(&self, cell: Cell, node: &Node) -> u64 {
        let h = self.units.least(cell, self.start);
        if node.v < node.g { self.units.key(node.v, h) } else { self.units.inflated_key(node.g, h, self.inflation) }
    }

    fn expand(&mut self, cell: Cell, cost: &mut impl FnMut(Cell, Cell) -> f32) {
        let before = self.node(cell);
        self.open.remove(self.nodes, before.place);
        let risen = before.v < before.g;
        let closed = OUT | self.round;
        let Some(node) = self.visit(cell) else { return };
        if risen {
            (node.v, node.place) = (UNREACHED, OUT);
            self.place(cell);
            self.unlink(cell, cost);
        } else {
            (node.v, node.place) = (before.g, closed);
            self.relax(cell, before.g, cost);
        }
    }

    /// Tells the neighbours of `cell` that the goal is at `v` from here.
    fn relax(&mut self, cell: Cell, v: u64, cost: &mut impl FnMut(Cell, Cell) -> f32) {
        let mut beside = [None; 4];
        for (direction, beside) in STRAIGHT.zip(&mut beside) {
            *beside = self.grid.neighbour(cell, direction).filter(|next| cost(*next, *next).is_finite());
            if let Some(from) = *beside {
                self.offer(from, opposite(direction), v, cost(from, cell));
            }
        }
        let [right, below, left, above] = beside.map(|beside| beside.is_some());
        for (direction, open) in DIAGONAL.zip([right && below, below && left, left && above, above && right]) {
            if let (true, Some(from)) = (open, self.grid.neighbour(cell, direction)) {
                self.offer(from, opposite(direction), v, cost(from, cell));
            }
        }
    }

    /// Offers `from` a step in `direction` that costs `cost`, to a cell at `v` from the goal.
    #[inline]
    fn offer(&mut self, from: Cell, direction: u32, v: u64, cost: f32) {
        let Some(step) = self.units.step(cost, direction >= 4) else { return };
        let g = v.saturating_add(step);
        if let Some(node) = self.visit(from).filter(|node| g < node.g && g < UNREACHED) {
            node.lead(direction, g);
            self.place(from);
        }
    }

    /// Finds another step for each neighbour whose step led to `cell`.
    fn unlink(&mut self, cell: Cell, cost: &mut impl FnMut(Cell, Cell) -> f32) {
        for direction in 0..8 {
            if let Some(from) = self.grid.neighbour(cell, direction)
                && self.node(from).direction() == opposite(direction)
            {
                let (direction, g) = self.best(from, cost);
                self.lead(from, direction, g);
            }
        }
    }

    /// The best step out of `cell`, and the cost to the goal by it.
    fn best(&self, cell: Cell, cost: &mut impl FnMut(Cell, Cell) -> f32) -> (u32, u64) {
        let mut best = (NOWHERE, UNREACHED);
        let mut beside = [false; 4];
        for (direction, beside) in STRAIGHT.zip(&mut beside) {
            *beside = self.grid.neighbour(cell, direction).is_some_and(|next| cost(next, next).is_finite());
        }
        let [right, below, left, above] = beside;
        let open = [right, below, left, above, right && below, below && left, left && above, above && right];
        for (direction, open) in (0..8).zip(open) {
            if let (true, Some(next)) = (open, self.grid.neighbour(cell, direction))
                && let Some(step) = self.units.step(cost(cell, next), direction >= 4)
            {
                let g = self.node(next).v.saturating_add(step);
                if g < best.1 {
                    best = (direction, g);
                }
            }
        }
        best
    }

    fn lead(&mut self, cell: Cell, direction: u32, g: u64) {
        if let Some(node) = self.visit(cell) {
            node.lead(direction, g);
            self.place(cell);
        }
    }

    /// Computes the step out of `cell` anew, after costs of steps out of it changed.
    pub(super) fn repair(&mut self, cell: Cell, cost: &mut impl FnMut(Cell, Cell) -> f32) {
        if cell == self.goal {
            return;
        }
        let (direction, g) = self.best(cell, cost);
        let before = self.node(cell);
        if g != before.g {
            if self.phase != Phase::Gather || self.proven.is_some() {
                self.disturb();
            }
            self.risen |= g > before.g;
            self.lead(cell, direction, g);
        } else if direction != before.direction() {
            self.lead(cell, direction, g);
        }
    }

    /// Puts `cell` where it belongs: into OPEN if it is inconsistent, into INCONS if it is closed as well, and nowhere otherwise.
    fn place(&mut self, cell: Cell) {
        let node = self.node(cell);
        let waits = node.place < OUT;
        if node.v == node.g {
            if waits {
                let closed = self.phase == Phase::Expand && !self.open.holds(node.place);
                self.open.remove(self.nodes, node.place);
                let round = if closed { self.round } else { 0 };
                if let Some(node) = self.visit(cell) {
                    node.place = OUT | round;
                }
            }
        } else if waits {
            // What lies in INCONS stays there.
            if self.open.holds(node.place) {
                self.open.update(self.nodes, node.place, Entry { key: self.key(cell, &node), cell });
            }
        } else if node.place == OUT | self.round {
            self.open.set_aside(self.nodes, cell);
        } else {
            self.open.push(self.nodes, Entry { key: self.key(cell, &node), cell });
        }
    }

    /// What is known of `cell` now.
    #[inline(always)]
    pub(super) fn node(&self, cell: Cell) -> Node {
        let node = self.grid.index(cell).and_then(|i| self.nodes.get(i)).filter(|node| node.seen(self.search));
        node.copied().unwrap_or(const { Node::EMPTY })
    }

    /// The node of `cell`, cleared if this search has not seen it.
    #[inline(always)]
    fn visit(&mut self, cell: Cell) -> Option<&mut Node> {
        let node = self.grid.index(cell).and_then(|i| self.nodes.get_mut(i))?;
        if !node.seen(self.search) {
            *node = Node::unseen(self.search);
        }
        Some(node)
    }
}
