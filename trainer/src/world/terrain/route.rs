//! Routes: A* over the costs of all edges, and what a plan loses against the best path.
//!
//! Costs are counted in whole microjoules, so sums and ties are the same on every machine and no plan beats the best
//! path by a rounding. A constant factor on all costs changes no route. So a predictor of log energy plans on
//! `exp(prediction) · length`: the expected energy of a log-normal prediction is that times `exp(variance / 2)`, and a
//! variance that is the same for all edges cancels.

use pathfinding::prelude::astar;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::grid::{CELL, CELLS, EDGES, SIDE, distance, edges, edges_from};

/// Cells between start and goal of a route, at least, as the crow flies.
const FAR: f64 = 36.0;
/// Cells along the border where no route starts or ends.
const MARGIN: usize = 2;
/// The largest cost of an edge, in J: 4096 of them in microjoules fit a `u64`.
const LARGEST_COST: f64 = 1e9;

/// What an edge costs that cannot be driven: more than any path.
const CLOSED: u64 = u64::MAX;

/// A cost in whole microjoules; what is not a number costs most, nothing is free, and what is infinite cannot be driven.
fn microjoules(joules: f64) -> u64 {
    if joules == f64::INFINITY {
        return CLOSED;
    }
    let joules = if joules.is_nan() { LARGEST_COST } else { joules.min(LARGEST_COST) };
    ((joules * 1e6).round() as u64).max(1)
}

/// The cheapest path from cell `start` to cell `goal`, as numbers of edges, where `costs` holds a cost for each of the [`EDGES`]
/// (in J or any other unit); an infinite one closes an edge. `None` where `costs` has another length, a cell is not on the map, or there is no
/// way.
///
/// ```
/// # use sinew_trainer::world::terrain::{grid, route::plan_route};
/// let costs: Vec<f64> = grid::edges().iter().map(|edge| edge.length).collect();
/// let path = plan_route(&costs, 0, 3 * grid::SIDE + 5).unwrap();
/// assert_eq!(path.len(), 5);
/// assert_eq!(grid::edges()[path[4]].to, 3 * grid::SIDE + 5);
/// ```
pub fn plan_route(costs: &[f64], start: usize, goal: usize) -> Option<Vec<usize>> {
    Planner::new(costs)?.plan(start, goal)
}

/// Plans many routes over the same costs.
#[derive(Clone, Debug)]
pub struct Planner {
    costs: Vec<u64>,
    /// The smallest cost of a metre, in microjoules.
    per_metre: f64,
}

impl Planner {
    /// A planner over a cost for each of the [`EDGES`]; `None` where there are more or fewer.
    pub fn new(costs: &[f64]) -> Option<Self> {
        if costs.len() != EDGES {
            return None;
        }
        let costs: Vec<u64> = costs.iter().map(|&cost| microjoules(cost)).collect();
        let per_metre =
            costs.iter().zip(edges()).map(|(&cost, edge)| cost as f64 / edge.length).fold(f64::MAX, f64::min);
        Some(Self { costs, per_metre })
    }

    /// The cheapest path from cell `start` to cell `goal`, as numbers of edges; `None` where a cell is not on the map or there is no way.
    pub fn plan(&self, start: usize, goal: usize) -> Option<Vec<usize>> {
        if start >= CELLS || goal >= CELLS {
            return None;
        }
        // The shortest way at the price of the cheapest metre never says too much; one is taken off for rounding.
        let ahead = |&cell: &usize| ((self.per_metre * distance(cell, goal)) as u64).saturating_sub(1);
        let open = |edge: &usize| self.costs[*edge] != CLOSED;
        let steps = |&cell: &usize| edges_from(cell).filter(open).map(|edge| (edges()[edge].to, self.costs[edge]));
        let (cells, _) = astar(&start, steps, ahead, |&cell| cell == goal)?;
        cells.windows(2).map(|pair| edges_from(pair[0]).find(|&edge| edges()[edge].to == pair[1])).collect()
    }

    /// What `path` costs, in microjoules.
    fn cost(&self, path: &[usize]) -> u64 {
        path.iter().fold(0, |sum: u64, &edge| sum.saturating_add(self.costs[edge]))
    }

    /// How much more than the best path `plan` costs, as a share of the best path, by the costs of `self`. At least 0.
    /// `None` where a cell is not on the map or there is no way.
    pub fn regret(&self, plan: &Self, start: usize, goal: usize) -> Option<f64> {
        Some(self.excess(&self.plan(start, goal)?, &plan.plan(start, goal)?))
    }

    /// How much more `path` costs than the path `best`, as a share of the latter, by the costs of `self`. At least 0.
    pub fn excess(&self, best: &[usize], path: &[usize]) -> f64 {
        let [best, planned] = [best, path].map(|path| self.cost(path));
        if planned > best { (planned - best) as f64 / best as f64 } else { 0.0 }
    }
}

/// Two random cells that are not `blocked` and at least 72 m apart. Where half of the cells are free there always are two: no shape of this
/// area is less wide.
pub(super) fn far_pair(blocked: &[bool], rng: &mut ChaCha8Rng) -> [usize; 2] {
    loop {
        let mut cell = || {
            let (row, column) = (rng.random_range(MARGIN..SIDE - MARGIN), rng.random_range(MARGIN..SIDE - MARGIN));
            row * SIDE + column
        };
        let [start, goal] = [cell(), cell()];
        let [a, b] = [start, goal].map(super::grid::position);
        if (a[0] - b[0]).hypot(a[1] - b[1]) >= FAR * CELL && !blocked[start] && !blocked[goal] {
            return [start, goal];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pathfinding::prelude::dijkstra;
    use rand::SeedableRng;

    /// Without looking ahead: the slow twin.
    fn cheapest(planner: &Planner, start: usize, goal: usize) -> u64 {
        let steps = |&cell: &usize| edges_from(cell).map(|edge| (edges()[edge].to, planner.costs[edge]));
        dijkstra(&start, steps, |&cell| cell == goal).unwrap().1
    }

    #[test]
    fn looking_ahead_finds_the_cheapest_path() {
        let mut rng = ChaCha8Rng::seed_from_u64(0);
        for spread in [0.0, 0.1, 1.0, 3.0] {
            let costs: Vec<f64> =
                edges().iter().map(|edge| edge.length * (spread * rng.random::<f64>()).exp()).collect();
            let planner = Planner::new(&costs).unwrap();
            for _ in 0..5 {
                let [start, goal] = far_pair(&[false; CELLS], &mut rng);
                let path = planner.plan(start, goal).unwrap();
                assert_eq!((edges()[path[0]].from, edges()[path[path.len() - 1]].to), (start, goal));
                assert!(path.windows(2).all(|pair| edges()[pair[0]].to == edges()[pair[1]].from));
                assert_eq!(planner.cost(&path), cheapest(&planner, start, goal));
                assert_eq!(planner.regret(&planner, start, goal), Some(0.0));
            }
        }
    }

    #[test]
    fn costs_that_are_no_numbers_are_driven_last() {
        assert_eq!((microjoules(f64::NAN), microjoules(f64::MAX)), (1_000_000_000_000_000, 1_000_000_000_000_000));
        assert_eq!((microjoules(-5.0), microjoules(2.0)), (1, 2_000_000));
        assert!(microjoules(f64::MAX).checked_mul(CELLS as u64).is_some());
        let mut costs: Vec<f64> = edges().iter().map(|edge| edge.length).collect();
        let straight = plan_route(&costs, 0, 4).unwrap();
        costs[straight[1]] = f64::NAN;
        let around = plan_route(&costs, 0, 4).unwrap();
        assert!(straight.len() == 4 && !around.contains(&straight[1]));
    }

    #[test]
    fn closed_edges_are_never_driven() {
        let mut costs: Vec<f64> = edges().iter().map(|edge| edge.length).collect();
        let goal = 3 * SIDE + 3;
        // All but one of the edges to the goal.
        let ways: Vec<usize> = (0..EDGES).filter(|&edge| edges()[edge].to == goal).collect();
        ways[1..].iter().for_each(|&edge| costs[edge] = f64::INFINITY);
        let path = plan_route(&costs, CELLS - 1, goal).unwrap();
        assert_eq!(path.last(), Some(&ways[0]));
        costs[ways[0]] = f64::INFINITY;
        assert!(plan_route(&costs, CELLS - 1, goal).is_none());
    }
}
