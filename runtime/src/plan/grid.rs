//! The grid: cells, the eight steps out of a cell, and costs by cell.

/// A cell: column `x` from the left, row `y` from the top.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Cell {
    /// Column.
    pub x: u16,
    /// Row.
    pub y: u16,
}

impl Cell {
    /// The cell in column `x` and row `y`.
    pub const fn new(x: u16, y: u16) -> Self {
        Self { x, y }
    }

    /// Diagonal and straight steps of a shortest way to `other` where nothing is in the way: the octile distance.
    pub(super) fn steps_to(self, other: Self) -> (u64, u64) {
        let (dx, dy) = (u64::from(self.x.abs_diff(other.x)), u64::from(self.y.abs_diff(other.y)));
        (dx.min(dy), dx.max(dy) - dx.min(dy))
    }
}

/// A grid of `width × height` square cells, row by row.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Grid {
    /// Columns.
    pub width: u16,
    /// Rows.
    pub height: u16,
    /// The side of a cell, metres.
    pub side: f32,
}

impl Grid {
    /// The number of cells.
    pub const fn cells(&self) -> usize {
        self.width as usize * self.height as usize
    }

    /// The place of `cell` in a slice `[height, width]`; `None` outside of the grid.
    pub const fn index(&self, cell: Cell) -> Option<usize> {
        if cell.x < self.width && cell.y < self.height {
            Some(cell.y as usize * self.width as usize + cell.x as usize)
        } else {
            None
        }
    }

    /// The length of the step between two neighbours, metres: `side`, or √2 of it on the diagonal; 0 from a cell to itself.
    pub fn length(&self, from: Cell, to: Cell) -> f32 {
        match (from.x == to.x, from.y == to.y) {
            (true, true) => 0.0,
            (false, false) => self.side * core::f32::consts::SQRT_2,
            _ => self.side,
        }
    }

    /// Costs of steps from costs of cells, `[height, width]` per metre: the length of the step times the mean of both cells.
    ///
    /// A cell with an infinite cost, NaN, or none at all because `costs` is too short, is blocked.
    pub fn by_cells<'a>(&self, costs: &'a [f32]) -> impl Fn(Cell, Cell) -> f32 + Copy + use<'a> {
        let grid = *self;
        move |from, to| {
            let of = |cell| grid.index(cell).and_then(|i| costs.get(i)).map_or(f32::INFINITY, |cost| *cost);
            // An infinite cost times a length of 0 is NaN, which is blocked as well. Halved before they are added, two huge ones stay finite.
            grid.length(from, to) * (0.5 * of(from) + 0.5 * of(to))
        }
    }

    /// The neighbour of `cell` in `direction`; `None` outside of the grid.
    #[inline(always)]
    pub(super) fn neighbour(&self, cell: Cell, direction: u32) -> Option<Cell> {
        let (dx, dy) = match direction {
            0 => (1, 0),
            1 => (0, 1),
            2 => (-1, 0),
            3 => (0, -1),
            4 => (1, 1),
            5 => (-1, 1),
            6 => (-1, -1),
            7 => (1, -1),
            _ => return None,
        };
        let next = Cell::new(cell.x.wrapping_add_signed(dx), cell.y.wrapping_add_signed(dy));
        // Stepping below 0 wraps to 65,535, which is past every width.
        (next.x < self.width && next.y < self.height).then_some(next)
    }
}

/// The straight directions: right, down, left, up.
pub(super) const STRAIGHT: core::ops::Range<u32> = 0..4;

/// The diagonal directions; `4 + k` lies between the straight ones `k` and `(k + 1) % 4`.
pub(super) const DIAGONAL: core::ops::Range<u32> = 4..8;

/// The way back from a step in `direction`.
pub(super) fn opposite(direction: u32) -> u32 {
    (direction & 4) | ((direction + 2) & 3)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_and_its_opposite_come_back() {
        let grid = Grid { width: 3, height: 3, side: 1.0 };
        let middle = Cell::new(1, 1);
        for direction in 0..8 {
            let there = grid.neighbour(middle, direction).unwrap();
            assert_eq!(grid.neighbour(there, opposite(direction)), Some(middle));
        }
        assert_eq!(grid.neighbour(middle, 8), None);
        assert_eq!(grid.neighbour(Cell::new(0, 0), 6), None);
        assert_eq!(grid.neighbour(Cell::new(2, 2), 4), None);
    }

    #[test]
    fn the_widest_grid_does_not_wrap() {
        let grid = Grid { width: u16::MAX, height: 1, side: 1.0 };
        assert_eq!(grid.neighbour(Cell::new(0, 0), 2), None);
        assert_eq!(grid.neighbour(Cell::new(u16::MAX - 1, 0), 0), None);
    }

    #[test]
    fn a_step_costs_its_length_times_the_mean() {
        let grid = Grid { width: 2, height: 2, side: 0.5 };
        let costs = [1.0, 3.0, f32::INFINITY, f32::NAN];
        let cost = grid.by_cells(&costs);
        assert_eq!(cost(Cell::new(0, 0), Cell::new(1, 0)), 1.0);
        assert_eq!(cost(Cell::new(0, 0), Cell::new(0, 0)), 0.0);
        assert_eq!(cost(Cell::new(0, 0), Cell::new(0, 1)), f32::INFINITY);
        assert!(!cost(Cell::new(0, 1), Cell::new(0, 1)).is_finite());
        assert!(!cost(Cell::new(0, 0), Cell::new(1, 1)).is_finite());
        assert!(!cost(Cell::new(1, 0), Cell::new(2, 0)).is_finite());
    }
}
