//! Terrain: edges a second of the simulator, and how long a rover takes from a driven edge to a new plan on a map of 256×256 cells, all on
//! one core.
//!
//! Adapting is the zoo's `terrain-ridge.safetensors` on one new edge and 32 remembered ones. Planning is the runtime's, from corner to corner
//! over what the network predicts for each of the half million edges. `replan_all` predicts and plans everything anew with the new head, to the
//! optimum. `replan_near` is what a rover does in 20 ms at each edge: it predicts anew what lies within [`NEAR`] cells of it, tells the
//! planner, which repairs its plan to the optimum of these costs; farther off they are as old as when it came that way or planned
//! everything anew, which it does in each run of some 300 edges once. The share of that is in the time.

mod timed;

use std::hint::black_box;
use std::path::Path;

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use sinew_benches::Workload;
use sinew_runtime::plan::{Cell, Entry, Grid, Memory, Node, Planner, Schedule};
use sinew_runtime::{Adapter, Bundle};
use sinew_trainer::aligned::Aligned;
use sinew_trainer::world::terrain::grid::{EDGES, SIDE, edge_between};
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
/// How many cells off a rover predicts anew at each edge, in each direction.
const NEAR: usize = 16;
const BUNDLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../models/zoo/terrain-ridge.safetensors");

const STEPS: [[isize; 2]; WAYS] = [[-1, -1], [-1, 0], [-1, 1], [0, -1], [0, 1], [1, -1], [1, 0], [1, 1]];

fn main() {
    timed::with_criterion([
        simulate(),
        replan("terrain/adapt", What::Adapt),
        replan("terrain/replan_near", What::Near),
        replan("terrain/replan_all", What::All),
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

/// What follows a driven edge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    Adapt,
    Near,
    All,
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

/// Rows of a block.
const ROWS: usize = BLOCK * BLOCK * WAYS;

/// What the network says of the edges of one block, as costs in J per metre.
fn predict(adapter: &mut Adapter<'_>, features: &[f32], costs: &mut [f32], block: usize) {
    let costs = &mut costs[block * ROWS..][..ROWS];
    adapter.predict(&features[block * ROWS * FEATURES..][..ROWS * FEATURES], costs).expect("whole rows");
    costs.iter_mut().for_each(|cost| *cost = cost.clamp(1.0, 11.0).exp());
}

/// The cost of a step, in J, out of costs per metre.
fn step(grid: Grid, costs: &[f32], from: Cell, to: Cell) -> f32 {
    if from == to {
        return 0.0;
    }
    let (row, column) = (usize::from(from.y), usize::from(from.x));
    let block = row / BLOCK * (LARGE / BLOCK) + column / BLOCK;
    let way = 3 * (usize::from(to.y) + 1 - row) + usize::from(to.x) + 1 - column;
    let way = way - usize::from(way > 4);
    grid.length(from, to) * costs[block * ROWS + (row % BLOCK * BLOCK + column % BLOCK) * WAYS + way]
}

/// From a driven edge to a plan.
fn replan(id: &'static str, what: What) -> Workload {
    const BLOCKS: usize = LARGE / BLOCK;
    let world = Terrain::default();
    let bytes: &'static [u8] = std::fs::read(Path::new(BUNDLE)).expect("the zoo's bundle").leak();
    let bundle = Bundle::parse(bytes).expect("the zoo's bundle");
    let len = Adapter::memory_len(&bundle, 32).expect("an adapter");
    let memory: &'static mut Aligned = Box::leak(Box::new(Aligned::zeros(len)));
    let mut adapter = Adapter::new(&bundle, 32, memory).expect("an adapter");
    let task = Task { split: Split::Test, seed: 1 };
    let driven = world.episode(&task, 64, &mut ChaCha8Rng::seed_from_u64(0)).support;
    let grid = Grid { width: LARGE as u16, height: LARGE as u16, side: 2.0 };
    let (start, goal) = (Cell::new(8, 8), Cell::new(LARGE as u16 - 9, LARGE as u16 - 9));
    let nodes: &'static mut [Node] = vec![Node::EMPTY; grid.cells()].leak();
    let open: &'static mut [Entry] = vec![Entry::EMPTY; grid.cells()].leak();
    let mut planner =
        Planner::new(grid, LOWEST, Schedule::OPTIMAL, Memory { nodes, open }, start, goal).expect("a grid");
    let features = if what == What::Adapt { Vec::new() } else { sensed(&world) };
    let mut costs = vec![0.0; LARGE * LARGE * WAYS];
    let mut path = vec![Cell::default(); grid.cells()];
    let (mut number, mut at) = (0, goal);
    Workload::new(id, 1, move || {
        let row = number % driven.rows;
        number += 1;
        adapter.observe(driven.input(row), driven.target(row)).expect("a row of the world");
        black_box(adapter.adapt(|| false).expect("there is a row"));
        if what == What::Adapt {
            return;
        }
        if what == What::All || at == goal {
            at = start;
            (0..BLOCKS * BLOCKS).for_each(|block| predict(&mut adapter, &features, &mut costs, block));
            planner.aim(at, goal).expect("both are on the map");
        } else {
            let near = |at: u16| {
                let at = usize::from(at);
                at.saturating_sub(NEAR) / BLOCK..((at + NEAR) / BLOCK + 1).min(BLOCKS)
            };
            let blocks = || near(at.y).flat_map(|row| near(at.x).map(move |column| [row, column]));
            blocks().for_each(|[row, column]| predict(&mut adapter, &features, &mut costs, row * BLOCKS + column));
            for [row, column] in blocks() {
                for place in 0..BLOCK * BLOCK {
                    let cell = [column * BLOCK + place % BLOCK, row * BLOCK + place / BLOCK].map(|at| at as u16);
                    let cost = |from, to| step(grid, &costs, from, to);
                    planner.changed(Cell::new(cell[0], cell[1]), cost).expect("on the map");
                }
            }
            planner.move_start(at).expect("on the map");
        }
        let report = planner.improve(|from, to| step(grid, &costs, from, to), || false).expect("nothing is in the way");
        assert!(report.bound == 1.0, "{report:?}");
        let cells = planner.path(&mut path).expect("there is one");
        if what == What::Near {
            at = path[1.min(cells - 1)];
        }
        black_box(&path);
    })
}
