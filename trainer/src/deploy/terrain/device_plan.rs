//! Routes by the planner of the runtime, as a rover plans on the way.

use sinew_runtime::plan::{Cell, Entry, Grid, Memory, Node, Planner, Schedule};

use crate::world::terrain::grid::{CELL, CELLS, SIDE, edge_between, edges};

/// The grid of every map.
const GRID: Grid = Grid { width: SIDE as u16, height: SIDE as u16, side: CELL as f32 };
/// What no metre costs less than, in J, so that a planner's units do not run out; nor is more asked for one than [`LARGEST`].
const LEAST: f64 = 1.0;
/// A rover that believes a metre costs more than this, in J, plans as if it cost this.
const LARGEST: f64 = 1e5;

/// The planner and its memory.
#[derive(Debug)]
pub struct DevicePlan {
    nodes: Vec<Node>,
    open: Vec<Entry>,
    path: Vec<Cell>,
}

impl Default for DevicePlan {
    fn default() -> Self {
        Self { nodes: vec![Node::EMPTY; CELLS], open: vec![Entry::EMPTY; CELLS], path: vec![Cell::default(); CELLS] }
    }
}

fn cell(number: usize) -> Cell {
    Cell::new((number % SIDE) as u16, (number / SIDE) as u16)
}

fn number(cell: Cell) -> usize {
    usize::from(cell.y) * SIDE + usize::from(cell.x)
}

impl DevicePlan {
    /// The cheapest path from cell `start` to cell `goal` where edges cost `energies`, in J, as numbers of edges; an infinite energy closes
    /// an edge, and what is not a number costs most. `None` where there is no way.
    pub fn route(&mut self, energies: &[f64], start: usize, goal: usize) -> Option<Vec<usize>> {
        let each = || energies.iter().zip(edges()).filter(|(energy, _)| energy.is_finite());
        let least = each().map(|(energy, edge)| energy / edge.length).fold(LARGEST, f64::min).max(LEAST);
        // A cell is closed where no edge leads into it or out of it.
        let mut free = vec![false; CELLS];
        for (_, edge) in energies.iter().zip(edges()).filter(|(energy, _)| **energy != f64::INFINITY) {
            (free[edge.from], free[edge.to]) = (true, true);
        }
        let cost = |from: Cell, to: Cell| {
            let (from, to) = (number(from), number(to));
            if from == to {
                return if free[from] { 0.0 } else { f32::INFINITY };
            }
            let Some(edge) = edge_between(from, to) else { return f32::INFINITY };
            let most = LARGEST * edges()[edge].length;
            match energies[edge] {
                f64::INFINITY => f32::INFINITY,
                energy if energy.is_nan() => most as f32,
                energy => energy.min(most) as f32,
            }
        };
        let memory = Memory { nodes: &mut self.nodes, open: &mut self.open };
        let mut planner = Planner::new(GRID, least as f32, Schedule::OPTIMAL, memory, cell(start), cell(goal)).ok()?;
        planner.improve(cost, || false).ok()?;
        let len = planner.path(&mut self.path).ok()?;
        let pairs = self.path[..len].windows(2);
        pairs.map(|pair| edge_between(number(pair[0]), number(pair[1]))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::terrain::Terrain;
    use crate::world::terrain::route::plan_route;
    use crate::world::{Split, World};
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    #[test]
    fn it_finds_what_the_planner_of_the_world_finds() {
        let world = Terrain::default();
        let mut rng = ChaCha8Rng::seed_from_u64(0);
        let mut plan = DevicePlan::default();
        for _ in 0..2 {
            let task = world.task(Split::Test, &mut rng);
            let rover = world.rover(&task, &mut rng);
            let energies = rover.energies();
            let cost = |path: &[usize]| path.iter().map(|&edge| energies[edge]).sum::<f64>();
            for &[start, goal] in rover.routes() {
                let (ours, exact) =
                    (plan.route(energies, start, goal).unwrap(), plan_route(energies, start, goal).unwrap());
                assert_eq!((edges()[ours[0]].from, edges()[ours[ours.len() - 1]].to), (start, goal));
                assert!((cost(&ours) / cost(&exact) - 1.0).abs() <= 1e-5);
            }
        }
    }

    #[test]
    fn closed_edges_are_not_driven() {
        let mut plan = DevicePlan::default();
        let mut energies: Vec<f64> = edges().iter().map(|edge| 100.0 * edge.length).collect();
        let straight = plan.route(&energies, 0, 3).unwrap();
        assert_eq!(straight.len(), 3);
        energies[straight[1]] = f64::INFINITY;
        energies[straight[0]] = f64::NAN;
        let around = plan.route(&energies, 0, 3).unwrap();
        assert!(!around.contains(&straight[1]) && !around.contains(&straight[0]));
        assert!(plan.route(&vec![f64::INFINITY; energies.len()], 0, 3).is_none());
        assert!(plan.route(&vec![f64::NAN; energies.len()], 0, 3).is_some());
    }
}
