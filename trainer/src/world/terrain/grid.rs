//! The grid of every map: 64×64 cells of 2 m, each with an edge to each of its eight neighbours.
//!
//! Cell `row · 64 + column` has its centre at `(2 column, 2 row)` metres. Edges are directed and numbered by the cell that
//! they leave, so the edges of a cell are a range. The numbering is the same on all maps.

use std::ops::Range;
use std::sync::LazyLock;

/// Cells along one side of a map.
pub const SIDE: usize = 64;
/// Cells of a map.
pub const CELLS: usize = SIDE * SIDE;
/// Width of a cell, in m.
pub const CELL: f64 = 2.0;
/// Directed edges of a map.
pub const EDGES: usize = 8 * (SIDE - 1) * SIDE - 4 * (SIDE - 1);

const DIRECTIONS: [[isize; 2]; 8] = [[-1, -1], [-1, 0], [-1, 1], [0, -1], [0, 1], [1, -1], [1, 0], [1, 1]];

/// One step of a rover: out of one cell, into a neighbour. It has the surface of the cell that it enters.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Edge {
    /// The cell that it leaves.
    pub from: usize,
    /// The cell that it enters.
    pub to: usize,
    /// Its length on the map, 2 m or 2√2 m.
    pub length: f64,
    /// The unit vector along it: `[x, y]`, that is to the right and down the rows.
    pub heading: [f64; 2],
}

struct Grid {
    edges: Vec<Edge>,
    first: Vec<usize>,
}

static GRID: LazyLock<Grid> = LazyLock::new(|| {
    let (mut edges, mut first) = (Vec::with_capacity(EDGES), vec![0]);
    for from in 0..CELLS {
        for [down, right] in DIRECTIONS {
            let inside = |at: usize, by: isize| at.checked_add_signed(by).filter(|&to| to < SIDE);
            if let (Some(row), Some(column)) = (inside(from / SIDE, down), inside(from % SIDE, right)) {
                let norm = (down as f64).hypot(right as f64);
                let heading = [right as f64 / norm, down as f64 / norm];
                edges.push(Edge { from, to: row * SIDE + column, length: CELL * norm, heading });
            }
        }
        first.push(edges.len());
    }
    Grid { edges, first }
});

/// All edges of a map, in order of their numbers: [`EDGES`] of them.
pub fn edges() -> &'static [Edge] {
    &GRID.edges
}

/// The numbers of the edges that leave `cell`; none where there is no such cell.
pub fn edges_from(cell: usize) -> Range<usize> {
    match GRID.first.get(cell..cell + 2) {
        Some(&[start, end]) => start..end,
        _ => 0..0,
    }
}

/// The number of the edge from cell `from` to its neighbour `to`; `None` where there is no such edge.
pub fn edge_between(from: usize, to: usize) -> Option<usize> {
    edges_from(from).find(|&edge| GRID.edges[edge].to == to)
}

/// Where the centre of `cell` is: `[x, y]` in metres.
pub fn position(cell: usize) -> [f64; 2] {
    [(cell % SIDE) as f64 * CELL, (cell / SIDE) as f64 * CELL]
}

/// The length of the shortest way from `a` to `b` along edges, in m.
pub fn distance(a: usize, b: usize) -> f64 {
    let (rows, columns) = ((a / SIDE).abs_diff(b / SIDE), (a % SIDE).abs_diff(b % SIDE));
    let diagonal = rows.min(columns);
    CELL * ((rows.max(columns) - diagonal) as f64 + diagonal as f64 * std::f64::consts::SQRT_2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cell_has_its_neighbours() {
        assert_eq!(edges().len(), EDGES);
        for cell in 0..CELLS {
            for edge in &edges()[edges_from(cell)] {
                let ([x, y], [a, b]) = (position(edge.from), position(edge.to));
                assert_eq!(edge.from, cell);
                assert!(((a - x).hypot(b - y) - edge.length).abs() <= 1e-12);
                assert!((distance(edge.from, edge.to) - edge.length).abs() <= 1e-12);
                assert!((x + edge.heading[0] * edge.length - a).abs() <= 1e-12);
                assert!((y + edge.heading[1] * edge.length - b).abs() <= 1e-12);
            }
        }
        assert_eq!((edges_from(0).len(), edges_from(1).len(), edges_from(SIDE + 1).len()), (3, 5, 8));
        assert!(edges_from(CELLS).is_empty());
    }
}
