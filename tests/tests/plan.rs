//! The planner keeps its word: optimal lengths on published maps, and on random grids a valid path within the bound at every moment,
//! whatever changes, against Dijkstra's algorithm.
//!
//! The maps are those of MovingAI (Sturtevant, "Benchmarks for Grid-Based Pathfinding", 2012), folders `dao` and `cities` of
//! `grid_maps` in the folder of shared data: the environment variable `SINEW_DATA`, or else `../shared/data`. Every scenario, with times:
//!
//! ```sh
//! cargo test --release -p sinew-runtime --test plan -- --ignored --nocapture
//! ```

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use pathfinding::prelude::dijkstra;
use proptest::prelude::*;
use sinew_runtime::plan::{Cell, Entry, Grid, Memory, Node, PlanError, Planner, Schedule};

/// The length of `path` by `cost`; panics unless it leads from `start` to `goal` by free steps that cut no corner.
fn walk(path: &[Cell], start: Cell, goal: Cell, cost: impl Fn(Cell, Cell) -> f32) -> f64 {
    assert_eq!((path.first(), path.last()), (Some(&start), Some(&goal)));
    path.windows(2).fold(0.0, |sum, step| {
        let [from, to] = [step[0], step[1]];
        assert!(from != to && from.x.abs_diff(to.x) <= 1 && from.y.abs_diff(to.y) <= 1, "{from:?} to {to:?}");
        for beside in [Cell::new(from.x, to.y), Cell::new(to.x, from.y)] {
            assert!(cost(beside, beside).is_finite(), "{from:?} to {to:?} cuts the corner {beside:?}");
        }
        let step = cost(from, to);
        assert!(step.is_finite(), "{from:?} to {to:?} is blocked");
        sum + f64::from(step)
    })
}

/// The optimum by Dijkstra's algorithm, in millionths.
fn optimum(grid: Grid, start: Cell, goal: Cell, cost: impl Fn(Cell, Cell) -> f32) -> Option<f64> {
    let neighbours = |from: &Cell| {
        let from = *from;
        let range = |at: u16, end: u16| at.saturating_sub(1)..=(at + 1).min(end - 1);
        let cost = &cost;
        let all = range(from.y, grid.height).flat_map(move |y| range(from.x, grid.width).map(move |x| Cell::new(x, y)));
        all.filter(move |to| *to != from)
            .filter(move |to| {
                [Cell::new(from.x, to.y), Cell::new(to.x, from.y)]
                    .into_iter()
                    .all(|beside| cost(beside, beside).is_finite())
            })
            .filter_map(move |to| {
                let step = cost(from, to);
                step.is_finite().then(|| (to, (f64::from(step) * 1e6).round() as u64))
            })
            .collect::<Vec<_>>()
    };
    dijkstra(&start, neighbours, |cell| *cell == goal).map(|(_, cost)| cost as f64 * 1e-6)
}

/// Cells of a grid, each blocked, cheap or dear.
fn cell_cost() -> impl Strategy<Value = f32> {
    prop_oneof![3 => Just(f32::INFINITY), 1 => Just(f32::NAN), 4 => Just(1.0_f32), 8 => 1.0..9.0_f32]
}

/// What happens to a robot.
#[derive(Clone, Debug)]
enum Event {
    Change(Vec<((u16, u16), f32)>),
    Move(u16, u16),
    Follow(usize),
    Aim((u16, u16), (u16, u16)),
    Restart,
    Hasten,
    Search(usize),
    Finish,
}

const SIDE: u16 = 24;

fn place() -> impl Strategy<Value = (u16, u16)> {
    (0..SIDE, 0..SIDE)
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        6 => prop::collection::vec((place(), cell_cost()), 1..12).prop_map(Event::Change),
        1 => place().prop_map(|(x, y)| Event::Move(x, y)),
        4 => (1usize..9).prop_map(Event::Follow),
        1 => (place(), place()).prop_map(|(a, b)| Event::Aim(a, b)),
        1 => Just(Event::Restart),
        1 => Just(Event::Hasten),
        8 => (0usize..12).prop_map(Event::Search),
        5 => Just(Event::Finish),
    ]
}

/// Runs `events` and holds the planner against Dijkstra's algorithm after each.
fn live(costs: &mut [f32], slope: f32, schedule: Schedule, events: &[Event]) {
    let grid = Grid { width: SIDE, height: SIDE, side: 0.25 };
    let mut nodes = vec![Node::EMPTY; grid.cells()];
    let mut open = vec![Entry::EMPTY; grid.cells()];
    let memory = Memory { nodes: &mut nodes, open: &mut open };
    let (mut start, mut goal) = (Cell::new(0, 0), Cell::new(SIDE - 1, SIDE - 1));
    let mut planner = Planner::new(grid, 1.0, schedule, memory, start, goal).unwrap();
    let mut path = vec![Cell::default(); grid.cells()];
    for event in events {
        // Steps to the right and down are dearer than back, where there is a slope, and some only lead one way.
        let cost = |costs: &[f32], from: Cell, to: Cell| {
            let up = f32::from(to.x) + f32::from(to.y) - f32::from(from.x) - f32::from(from.y);
            let wall = slope > 0.0 && from.x % 5 == 2 && to.x == from.x + 1 && from.y == to.y;
            let by_cells = grid.by_cells(costs)(from, to);
            if wall { f32::INFINITY } else { by_cells * (1.0 + slope * up.max(0.0)) }
        };
        let mut units = usize::MAX;
        match event {
            Event::Change(changes) => {
                for ((x, y), new) in changes {
                    let cell = Cell::new(*x, *y);
                    costs[grid.index(cell).unwrap()] = *new;
                }
                // As a map is updated: first all costs, then the planner is told.
                for ((x, y), _) in changes {
                    planner.changed(Cell::new(*x, *y), |from, to| cost(costs, from, to)).unwrap();
                }
                units = 0;
            }
            Event::Move(x, y) => {
                start = Cell::new(*x, *y);
                planner.move_start(start).unwrap();
                units = 0;
            }
            Event::Follow(steps) => {
                if let Ok(len) = planner.path(&mut path) {
                    start = path[(*steps).min(len - 1)];
                    planner.move_start(start).unwrap();
                    assert!(planner.path(&mut path).is_ok());
                }
                units = 0;
            }
            Event::Aim(a, b) => {
                (start, goal) = (Cell::new(a.0, a.1), Cell::new(b.0, b.1));
                planner.aim(start, goal).unwrap();
            }
            Event::Restart => planner.restart(),
            Event::Hasten => planner.hasten(),
            Event::Search(n) => units = *n,
            Event::Finish => {}
        }
        if matches!(event, Event::Aim(..) | Event::Restart | Event::Hasten) {
            units = 0;
        }
        let finish = units == usize::MAX;
        let cost = |from, to| cost(costs, from, to);
        let result = planner.improve(cost, || {
            let stop = units == 0;
            units = units.saturating_sub(1);
            stop
        });
        let best = optimum(grid, start, goal, cost);
        match result {
            Err(PlanError::Blocked(cell)) => {
                assert!(!cost(cell, cell).is_finite() && (cell == start || cell == goal));
            }
            Err(PlanError::NoPath) => {
                assert_eq!(best, None);
                assert_eq!(planner.path(&mut path), Err(PlanError::NotYet));
            }
            Err(error) => panic!("{error}"),
            Ok(report) if report.cost.is_none() => {
                assert!(!finish && report.bound == f32::INFINITY);
                assert_eq!(planner.path(&mut path), Err(PlanError::NotYet));
            }
            Ok(report) => {
                let len = planner.path(&mut path).unwrap();
                let length = walk(&path[..len], start, goal, cost);
                let (best, most) = (best.unwrap(), f64::from(report.cost.unwrap()));
                assert!(length <= most * (1.0 + 1e-5) + 1e-6, "walked {length}, told {most}");
                assert!(length <= f64::from(report.bound) * best * (1.0 + 1e-5) + 1e-5, "{length} {report:?} {best}");
                assert!(most <= f64::from(report.bound) * best * (1.0 + 1e-5) + 1e-5, "{report:?} {best}");
                assert!(report.bound >= 1.0 && (!finish || report.bound == 1.0), "{report:?}");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    #[test]
    fn a_path_is_within_its_bound_whatever_happens(
        mut costs in prop::collection::vec(cell_cost(), usize::from(SIDE) * usize::from(SIDE)),
        slope in prop_oneof![Just(0.0_f32), 0.1..2.0_f32],
        first in prop_oneof![Just(1.0_f32), 1.0..6.0_f32],
        step in 0.05..2.0_f32,
        events in prop::collection::vec(event(), 1..40),
    ) {
        costs[0] = 1.0;
        *costs.last_mut().unwrap() = 1.0;
        live(&mut costs, slope, Schedule { first, step }, &events);
    }

    #[test]
    fn uniform_costs_tie_everywhere_and_repair_holds(
        walls in prop::collection::vec(prop::bool::weighted(0.25), usize::from(SIDE) * usize::from(SIDE)),
        events in prop::collection::vec(event(), 1..40),
    ) {
        let mut costs: Vec<_> = walls.iter().map(|wall| if *wall { f32::INFINITY } else { 1.0 }).collect();
        costs[0] = 1.0;
        *costs.last_mut().unwrap() = 1.0;
        let events: Vec<_> = events
            .into_iter()
            .map(|event| match event {
                Event::Change(changes) => {
                    Event::Change(changes.into_iter().map(|(at, c)| (at, if c > 3.0 { f32::INFINITY } else { 1.0 })).collect())
                }
                event => event,
            })
            .collect();
        live(&mut costs, 0.0, Schedule::OPTIMAL, &events);
    }

    #[test]
    fn no_number_is_too_odd(
        costs in prop::collection::vec(prop_oneof![any::<f32>(), Just(f32::MAX), Just(-1.0), Just(1e-30)], 36),
        lowest in any::<f32>(), side in any::<f32>(), first in any::<f32>(), step in any::<f32>(),
    ) {
        let grid = Grid { width: 6, height: 6, side };
        let (mut nodes, mut open) = ([Node::EMPTY; 36], [Entry::EMPTY; 36]);
        let memory = Memory { nodes: &mut nodes, open: &mut open };
        let ends = (Cell::new(0, 0), Cell::new(5, 5));
        if let Ok(mut planner) = Planner::new(grid, lowest, Schedule { first, step }, memory, ends.0, ends.1)
            && let Ok(report) = planner.improve(grid.by_cells(&costs), || false)
        {
            let mut path = [Cell::default(); 36];
            let len = planner.path(&mut path).unwrap();
            walk(&path[..len], ends.0, ends.1, grid.by_cells(&costs));
            prop_assert_eq!(report.bound, 1.0);
        }
    }
}

#[test]
fn says_what_is_wrong() {
    let grid = Grid { width: 3, height: 2, side: 1.0 };
    let plan = |grid: Grid, lowest, nodes, entries, goal| {
        let (mut nodes, mut open) = (vec![Node::EMPTY; nodes], vec![Entry::EMPTY; entries]);
        let memory = Memory { nodes: &mut nodes, open: &mut open };
        Planner::new(grid, lowest, Schedule::OPTIMAL, memory, Cell::new(0, 0), goal).map(|_| ()).unwrap_err()
    };
    let corner = Cell::new(2, 1);
    assert_eq!(plan(Grid { width: 0, ..grid }, 1.0, 6, 6, corner), PlanError::Cells(0));
    let huge = Grid { width: u16::MAX, height: u16::MAX, side: 1.0 };
    assert_eq!(plan(huge, 1.0, 6, 6, corner), PlanError::Cells(huge.cells()));
    assert_eq!(plan(grid, 0.0, 6, 6, corner), PlanError::Lowest);
    assert_eq!(plan(grid, f32::NAN, 6, 6, corner), PlanError::Lowest);
    assert_eq!(plan(grid, 1.0, 5, 6, corner), PlanError::Memory { expected: 6, got: 5 });
    assert_eq!(plan(grid, 1.0, 6, 4, corner), PlanError::Memory { expected: 6, got: 4 });
    assert_eq!(plan(grid, 1.0, 6, 6, Cell::new(3, 1)), PlanError::Outside(Cell::new(3, 1)));

    let (mut nodes, mut open) = ([Node::EMPTY; 6], [Entry::EMPTY; 6]);
    let memory = Memory { nodes: &mut nodes, open: &mut open };
    let mut planner = Planner::new(grid, 1.0, Schedule::OPTIMAL, memory, Cell::new(0, 0), corner).unwrap();
    let mut path = [Cell::default(); 6];
    let blocked = |cell: Cell| {
        let mut costs = [1.0; 6];
        costs[grid.index(cell).unwrap()] = f32::INFINITY;
        costs
    };
    assert_eq!(planner.path(&mut path), Err(PlanError::NotYet));
    assert_eq!(planner.improve(grid.by_cells(&blocked(corner)), || false), Err(PlanError::Blocked(corner)));
    let start = Cell::new(0, 0);
    assert_eq!(planner.improve(grid.by_cells(&blocked(start)), || false), Err(PlanError::Blocked(start)));
    let wall = [1.0, f32::INFINITY, 1.0, 1.0, f32::INFINITY, 1.0];
    assert_eq!(planner.improve(grid.by_cells(&wall), || false), Err(PlanError::NoPath));
    planner.restart();
    planner.improve(grid.by_cells(&[1.0; 6]), || false).unwrap();
    assert_eq!(planner.path(&mut path[..2]), Err(PlanError::Path { got: 2 }));
    assert_eq!(planner.path(&mut path), Ok(3));
    planner.move_start(corner).unwrap();
    assert_eq!(planner.improve(grid.by_cells(&[1.0; 6]), || true).unwrap().cost, Some(0.0));
    assert_eq!(planner.path(&mut path), Ok(1));
}

/// A map's cells, 1 where free, and its scenarios.
struct Map {
    grid: Grid,
    costs: Vec<f32>,
    scenarios: Vec<(Cell, Cell, f64)>,
}

impl Map {
    fn read(path: &Path) -> Self {
        let text = std::fs::read_to_string(path).unwrap();
        let mut lines = text.lines();
        let header: BTreeMap<_, _> =
            lines.by_ref().take_while(|line| *line != "map").filter_map(|l| l.split_once(' ')).collect();
        let (width, height) = (header["width"].parse().unwrap(), header["height"].parse().unwrap());
        let grid = Grid { width, height, side: 1.0 };
        let cells = lines.flat_map(str::bytes);
        let costs: Vec<_> = cells.map(|c| if b".G".contains(&c) { 1.0 } else { f32::INFINITY }).collect();
        assert_eq!(costs.len(), grid.cells(), "{}", path.display());
        let scenarios = std::fs::read_to_string(path.with_extension("map.scen")).unwrap();
        let scenarios = scenarios.lines().skip(1).filter(|line| !line.is_empty()).map(|line| {
            let words: Vec<_> = line.split_whitespace().collect();
            let number = |i: usize| words[i].parse().unwrap();
            (Cell::new(number(4), number(5)), Cell::new(number(6), number(7)), words[8].parse().unwrap())
        });
        let scenarios = scenarios.collect();
        Self { grid, costs, scenarios }
    }

    /// All maps, or none where the folder is missing.
    fn all() -> Vec<PathBuf> {
        let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data");
        let data = std::env::var_os("SINEW_DATA").map_or(beside, PathBuf::from).join("grid_maps");
        let folders = ["dao", "cities"].map(|folder| std::fs::read_dir(data.join(folder)));
        let files = folders.into_iter().flatten().flatten().map(|entry| entry.unwrap().path());
        let mut maps: Vec<_> = files.filter(|path| path.extension().is_some_and(|e| e == "map")).collect();
        maps.sort();
        if maps.is_empty() {
            println!("skipped: no maps in {}", data.display());
        }
        maps
    }
}

/// Solves one of `stride` scenarios, and tells how long it took.
fn check(stride: usize) {
    let (mut times, mut worst, mut expanded) = (Vec::<Duration>::new(), 0.0_f64, 0);
    let (mut count, mut pathless) = (0, 0);
    for path in Map::all() {
        let Map { grid, costs, scenarios } = Map::read(&path);
        let mut nodes = vec![Node::EMPTY; grid.cells()];
        let mut open = vec![Entry::EMPTY; grid.cells()];
        let memory = Memory { nodes: &mut nodes, open: &mut open };
        let ends = (Cell::new(0, 0), Cell::new(0, 0));
        let mut planner = Planner::new(grid, 1.0, Schedule::OPTIMAL, memory, ends.0, ends.1).unwrap();
        let mut way = vec![Cell::default(); grid.cells()];
        for (start, goal, length) in scenarios {
            count += 1;
            if count % stride != 0 {
                continue;
            }
            let begin = Instant::now();
            planner.aim(start, goal).unwrap();
            let report = planner.improve(grid.by_cells(&costs), || false);
            // A length of 0 between two cells says that there is no path.
            if length == 0.0 && start != goal {
                assert_eq!(report, Err(PlanError::NoPath), "{} from {start:?} to {goal:?}", path.display());
                pathless += 1;
                continue;
            }
            let report =
                report.unwrap_or_else(|error| panic!("{} from {start:?} to {goal:?}: {error}", path.display()));
            let len = planner.path(&mut way).unwrap();
            times.push(begin.elapsed());
            let walked = walk(&way[..len], start, goal, grid.by_cells(&costs));
            let error = (walked - length).abs().max((f64::from(report.cost.unwrap()) - length).abs());
            assert!(error <= 0.01, "{} from {start:?} to {goal:?}: {walked}, expected {length}", path.display());
            assert_eq!(report.bound, 1.0);
            worst = worst.max(error);
        }
        expanded += planner.report().expanded;
    }
    times.sort_unstable();
    let total: Duration = times.iter().sum();
    if let (Some(median), Some(most)) = (times.get(times.len() / 2), times.last()) {
        let rate = expanded as f64 / total.as_secs_f64() * 1e-6;
        let p99 = times[times.len() * 99 / 100];
        println!("{pathless} scenarios without a path, rightly");
        println!(
            "{} scenarios, worst error {worst:.4}, median {median:.1?}, p99 {p99:.1?}, max {most:.1?}",
            times.len()
        );
        println!("{expanded} expansions in {total:.1?}, {rate:.2} million a second, {} bytes a cell", Memory::bytes(1));
    }
}

#[test]
fn one_of_64_published_scenarios_is_optimal() {
    check(64);
}

#[test]
#[ignore = "takes minutes"]
fn every_published_scenario_is_optimal() {
    check(1);
}
