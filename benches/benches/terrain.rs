//! Terrain: edges a second of the simulator, and how long a rover takes from a driven edge to a new plan on a map of 256×256 cells, all on
//! one core.
//!
//! Adapting is the zoo's `terrain-ridge.safetensors` on one new edge and 32 remembered ones. Planning is the runtime's, from corner to corner
//! over what the network predicts with its new head: costs of the eight edges out of a cell are predicted when the search first comes
//! to its block of 8×8 cells, so that what is never looked at costs nothing. `replan_optimal` goes on to the optimum, `replan_20ms` stops at
//! 20 ms after the edge was driven and takes what it has, with a proven bound; both print what they found.

mod timed;

use std::hint::black_box;
use std::path::Path;
use std::time::{Duration, Instant};

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use sinew_benches::Workload;
use sinew_runtime::plan::{Cell, Entry, Grid, Memory, Node, Planner, Report, Schedule};
use sinew_runtime::{Adapter, Bundle};
use sinew_trainer::aligned::Aligned;
use sinew_trainer::world::terrain::grid::{EDGES, SIDE, edge_between, edges};
use sinew_trainer::world::terrain::sense::FEATURES;
use sinew_trainer::world::terrain::{Hidden, Terrain};
use sinew_trainer::world::{Split, Task, World};

/// Cells along one side of the large map.
const LARGE: usize = 256;
/// Cells along one side of a block.
const BLOCK: usize = 8;
/// Values that are predicted for a cell: one for each way out.
const WAYS: usize = 8;
/// What no metre costs less than, in J.
const LOWEST: f32 = 60.0;
/// From a driven edge to a new plan.
const BUDGET: Duration = Duration::from_millis(20);
const BUNDLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../models/zoo/terrain-ridge.safetensors");

const STEPS: [[isize; 2]; WAYS] = [[-1, -1], [-1, 0], [-1, 1], [0, -1], [0, 1], [1, -1], [1, 0], [1, 1]];

fn main() {
    timed::with_criterion([
        simulate(),
        replan("terrain/adapt", Stop::AfterAdapting),
        replan("terrain/replan_optimal", Stop::AtOptimum),
        replan("terrain/replan_20ms", Stop::InTime),
    ]);
}

/// The energies of all edges of a map; an edge is an element.
fn simulate() -> Workload {
    let world = Terrain::default();
    let task = Task { split: Split::Test, seed: 1 };
    let map = world.map(Split::Test, 0).clone();
    let hidden: Hidden = world.hidden(&task);
    Workload::new("terrain/edges", EDGES as u64, move || {
        black_box(black_box(&map).energies(black_box(&hidden)));
    })
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stop {
    AfterAdapting,
    AtOptimum,
    InTime,
}

/// What the sensors say of the large map: `[block][cell of the block][way][FEATURES]`, of maps of the world side by side. A way over the
/// border of one of them has what its opposite has.
fn sensed(world: &Terrain) -> Vec<f32> {
    let maps: Vec<_> = (0..(LARGE / SIDE).pow(2))
        .map(|seed| {
            let task = Task { split: Split::Test, seed: seed as u64 };
            world.rover(&task, &mut ChaCha8Rng::seed_from_u64(0)).features().to_vec()
        })
        .collect();
    let blocks = LARGE / BLOCK;
    let mut all = Vec::with_capacity(LARGE * LARGE * WAYS * FEATURES);
    for block in 0..blocks * blocks {
        for place in 0..BLOCK * BLOCK {
            let row = block / blocks * BLOCK + place / BLOCK;
            let column = block % blocks * BLOCK + place % BLOCK;
            let from = row % SIDE * SIDE + column % SIDE;
            let features = &maps[row / SIDE * (LARGE / SIDE) + column / SIDE];
            for [down, right] in STEPS {
                let beside = |at: usize, by: isize| at.checked_add_signed(by).filter(|&to| to < SIDE);
                let to =
                    |[down, right]: [isize; 2]| Some(beside(from / SIDE, down)? * SIDE + beside(from % SIDE, right)?);
                let ways = [[down, right], [-down, right], [down, -right], [-down, -right]];
                let to = ways.into_iter().find_map(to).expect("one of four is on the map");
                let edge = edge_between(from, to).expect("they are neighbours");
                all.extend_from_slice(&features[edge * FEATURES..][..FEATURES]);
            }
        }
    }
    all
}

/// Costs of the large map, a block at a time when it is first asked for.
struct Costs<'a, 'm> {
    adapter: &'a mut Adapter<'m>,
    features: &'a [f32],
    /// As `features`, in J per metre.
    costs: &'a mut [f32],
    /// Whether each block has its costs.
    known: &'a mut [bool],
}

impl Costs<'_, '_> {
    fn step(&mut self, from: Cell, to: Cell, length: f32) -> f32 {
        if from == to {
            return 0.0;
        }
        let (row, column) = (usize::from(from.y), usize::from(from.x));
        let block = row / BLOCK * (LARGE / BLOCK) + column / BLOCK;
        const ROWS: usize = BLOCK * BLOCK * WAYS;
        if !self.known[block] {
            self.known[block] = true;
            let costs = &mut self.costs[block * ROWS..][..ROWS];
            let features = &self.features[block * ROWS * FEATURES..][..ROWS * FEATURES];
            self.adapter.predict(features, costs).expect("whole rows");
            costs.iter_mut().for_each(|cost| *cost = cost.clamp(1.0, 11.0).exp());
        }
        let down = usize::from(to.y) + 1 - row;
        let right = usize::from(to.x) + 1 - column;
        let way = 3 * down + right;
        let way = way - usize::from(way > 4);
        length * self.costs[block * ROWS + (row % BLOCK * BLOCK + column % BLOCK) * WAYS + way]
    }
}

/// From a driven edge to a plan.
fn replan(id: &'static str, stop: Stop) -> Workload {
    let world = Terrain::default();
    let bytes: &'static [u8] = std::fs::read(Path::new(BUNDLE)).expect("the zoo's bundle").leak();
    let bundle = Bundle::parse(bytes).expect("the zoo's bundle");
    let len = Adapter::memory_len(&bundle, 32).expect("an adapter");
    let memory: &'static mut Aligned = Box::leak(Box::new(Aligned::zeros(len)));
    let mut adapter = Adapter::new(&bundle, 32, memory).expect("an adapter");
    let task = Task { split: Split::Test, seed: 1 };
    let driven = world.episode(&task, 64, &mut ChaCha8Rng::seed_from_u64(0)).support;
    let features = sensed(&world);
    let mut costs = vec![0.0; LARGE * LARGE * WAYS];
    let mut known = vec![false; (LARGE / BLOCK).pow(2)];
    let grid = Grid { width: LARGE as u16, height: LARGE as u16, side: 2.0 };
    let (mut nodes, mut open) = (vec![Node::EMPTY; grid.cells()], vec![Entry::EMPTY; grid.cells()]);
    let mut path = vec![Cell::default(); grid.cells()];
    let mut number = 0;
    let mut told = stop == Stop::AfterAdapting;
    debug_assert_eq!(edges().len(), EDGES);
    Workload::new(id, 1, move || {
        let begun = Instant::now();
        let row = number % driven.rows;
        number += 1;
        adapter.observe(driven.input(row), driven.target(row)).expect("a row of the world");
        black_box(adapter.adapt(|| false).expect("there is a row"));
        if stop == Stop::AfterAdapting {
            return;
        }
        known.fill(false);
        let memory = Memory { nodes: &mut nodes, open: &mut open };
        let schedule = if stop == Stop::InTime { Schedule::default() } else { Schedule::OPTIMAL };
        let (start, goal) = (Cell::new(8, 8), Cell::new(LARGE as u16 - 9, LARGE as u16 - 9));
        let mut planner = Planner::new(grid, LOWEST, schedule, memory, start, goal).expect("a grid");
        let mut costs = Costs { adapter: &mut adapter, features: &features, costs: &mut costs, known: &mut known };
        let until = || stop == Stop::InTime && begun.elapsed() >= BUDGET;
        let report: Report = planner
            .improve(|from, to| costs.step(from, to, grid.length(from, to)), until)
            .expect("nothing is in the way");
        let cells = planner.path(&mut path);
        if !told {
            told = true;
            let looked = known.iter().filter(|known| **known).count() as f32 / known.len() as f32;
            println!("{id}: {report:?}, {cells:?} cells, {:.0} % of the map predicted", 100.0 * looked);
        }
        black_box(&path);
    })
}
