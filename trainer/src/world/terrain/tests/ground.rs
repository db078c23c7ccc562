//! Real relief, obstacles, and the distribution in which surfaces share nothing.

use std::path::PathBuf;

use sinew_runtime::plan::{Cell, Entry, Grid, Memory, Node, Planner as DevicePlanner, Schedule};

use super::super::elevation::tests::shared;
use super::super::hidden::MOST_HIDDEN;
use super::super::obstacles::{ObstacleMap, window};
use super::*;

fn strings(paths: &[PathBuf]) -> Vec<String> {
    paths.iter().map(|path| path.to_string_lossy().into_owned()).collect()
}

/// Generated ground and Jacksboro to train on, Saint Helens to test on.
fn real() -> Option<TerrainConfig> {
    let [train, test] = ["dem/jacksboro_fault_dem.npz", "dem/SainteHelens.dem"].map(shared);
    let elevation = ElevationConfig { train: strings(&[train?]), test: strings(&[test?]) };
    Some(TerrainConfig { elevation: Some(elevation), ..TerrainConfig::default() })
}

fn slopes(map: &Map) -> f64 {
    let mut grades: Vec<f64> = edges().iter().map(|edge| map.ground(edge)).map(|g| g.grade.hypot(g.side)).collect();
    grades.sort_by(f64::total_cmp);
    grades[EDGES * 98 / 100].atan().to_degrees()
}

#[test]
fn real_relief_becomes_terrain_for_a_rover() {
    let Some(config) = real() else { return };
    let [world, again] = [0, 0].map(|seed| Terrain::open(&config, seed).unwrap());
    let generated = Terrain::default();
    for (split, real) in [(Split::Train, 72..96), (Split::Validation, 18..24), (Split::Test, 0..64)] {
        for number in (0..Terrain::map_count(split)).step_by(3) {
            let map = world.map(split, number);
            assert_eq!(map == generated.map(split, number), !real.contains(&number), "{split:?} {number}");
            assert_eq!(map, again.map(split, number));
            assert!((10.0..=24.0).contains(&slopes(map)), "{}", slopes(map));
            assert!(map.heights.iter().all(|height| height.is_finite()));
        }
    }
    let none = ElevationConfig { train: strings(&[PathBuf::from("missing.dem")]), test: Vec::new() };
    let missing = TerrainConfig { elevation: Some(none), ..config };
    assert!(Terrain::open(&missing, 0).unwrap_err().to_string().contains("missing.dem"));
}

#[test]
fn a_lake_is_no_terrain() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("lake.tif");
    let mut encoder = tiff::encoder::TiffEncoder::new(std::fs::File::create(&path).unwrap()).unwrap();
    encoder.write_image::<tiff::encoder::colortype::Gray16>(100, 50, &[700; 5000]).unwrap();
    let elevation = ElevationConfig { train: Vec::new(), test: strings(&[path]) };
    let config = TerrainConfig { elevation: Some(elevation), ..TerrainConfig::default() };
    let words = Terrain::open(&config, 0).unwrap_err().to_string();
    assert!(words.contains("lake.tif") && words.contains("columns 0 to 100 of 100, of 50 rows"), "{words}");
}

/// Maps of obstacles made here: rooms of one cell's wall, with doors.
fn rooms(folder: &std::path::Path, files: usize) -> String {
    for file in 0..files {
        let letter = |row: usize, column: usize| {
            let wall = (row % 16 == 7 && column % 16 != 8 + file) || (column % 16 == 3 && row % 16 != 2);
            if wall { '@' } else { '.' }
        };
        let rows: Vec<String> = (0..80).map(|row| (0..96).map(|column| letter(row, column)).collect()).collect();
        let text = format!("type octile\nheight 80\nwidth 96\nmap\n{}\n", rows.join("\n"));
        std::fs::write(folder.join(format!("rooms-{file}.map")), text).unwrap();
    }
    folder.to_string_lossy().into_owned()
}

#[test]
fn nobody_drives_through_an_obstacle() {
    let folder = tempfile::tempdir().unwrap();
    let obstacles = Some(rooms(folder.path(), 4));
    let world = Terrain::open(&TerrainConfig { obstacles, ..TerrainConfig::default() }, 0).unwrap();
    let mut rng = ChaCha8Rng::seed_from_u64(0);
    for split in SPLITS {
        let task = world.task(split, &mut rng);
        let mut rover = world.rover(&task, &mut rng);
        let map = rover.map().clone();
        assert!(map.blocked.iter().any(|blocked| *blocked));
        assert!(map.driven.iter().flatten().all(|&edge| map.is_free(&edges()[edge])));
        let closed = (0..EDGES).find(|&edge| !map.is_free(&edges()[edge])).unwrap();
        assert!(rover.drive(closed).is_none() && rover.energies()[closed] == f64::INFINITY);
        for [start, goal] in rover.routes().to_vec() {
            let path = plan_route(rover.energies(), start, goal).unwrap();
            assert!(path.iter().all(|&edge| map.is_free(&edges()[edge])));
        }
        let episode = world.episode(&task, 16, &mut rng);
        assert!(episode.query.targets.iter().chain(&episode.support.targets).all(|log| log.is_finite()));
        let scores = world.score(&task, &episode, &mut |_, y| y.fill(6.0));
        assert!(scores.iter().all(|score| score.is_finite() && *score >= 0.0), "{scores:?}");
    }
    let lone = tempfile::tempdir().unwrap();
    let obstacles = Some(rooms(lone.path(), 3));
    let words = Terrain::open(&TerrainConfig { obstacles, ..TerrainConfig::default() }, 0).unwrap_err().to_string();
    assert!(words.contains("found 3 among the 3 files"), "{words}");
}

#[test]
fn a_window_keeps_what_can_be_reached() {
    let text = "type octile\nheight 3\nwidth 4\nmap\n.@..\n@.@.\n..T.\n";
    let map = ObstacleMap::parse(std::path::Path::new("a.map"), text).unwrap();
    // The first cell and those on the left are beside no other: corners are not cut.
    let kept: Vec<usize> =
        window(&map, [0, 1], 3).iter().enumerate().filter(|cell| !cell.1).map(|cell| cell.0).collect();
    assert_eq!(kept, [1, 2, 5, 8]);
    let words = |text: &str| ObstacleMap::parse(std::path::Path::new("a.map"), text).unwrap_err().to_string();
    assert_eq!(words("type octile\nheight x\n"), "a.map, line 2: expected height and a number above 0, found `x`");
    assert!(words("type octile\nheight 2\nwidth 2\nmap\n..\n").contains("line 6: expected a row of the map"));
    assert!(words("type octile\nheight 1\nwidth 2\nmap\n.?\n").contains("line 5: expected one of .GS@OTW, found `?`"));
    assert!(words("type octile\nheight 1\nwidth 2\nmap\n...\n").contains("2 letters, found `3 letters`"));
}

/// The lengths of optimal paths that come with the maps, by the planner of the runtime.
#[test]
fn paths_are_as_long_as_the_benchmark_says() {
    for name in ["dao/arena2", "cities/Berlin_0_256"] {
        let Some(path) = shared(&format!("grid_maps/{name}.map")) else { return };
        let map = ObstacleMap::read(&path).unwrap();
        let scenarios = std::fs::read_to_string(path.with_extension("map.scen")).unwrap();
        let grid = Grid { width: map.width as u16, height: map.height as u16, side: 1.0 };
        let costs: Vec<f32> = map.blocked.iter().map(|&blocked| if blocked { f32::INFINITY } else { 1.0 }).collect();
        let (mut nodes, mut open) = (vec![Node::EMPTY; grid.cells()], vec![Entry::EMPTY; grid.cells()]);
        let mut checked = 0;
        for line in scenarios.lines().skip(1).step_by(29) {
            let field: Vec<&str> = line.split_whitespace().collect();
            let [x, y, to_x, to_y] = [4, 5, 6, 7].map(|place| field[place].parse().unwrap());
            let memory = Memory { nodes: &mut nodes, open: &mut open };
            let (start, goal) = (Cell::new(x, y), Cell::new(to_x, to_y));
            let mut planner = DevicePlanner::new(grid, 1.0, Schedule::OPTIMAL, memory, start, goal).unwrap();
            let report = planner.improve(grid.by_cells(&costs), || false).unwrap();
            let length: f64 = field[8].parse().unwrap();
            let found = f64::from(report.cost.unwrap());
            assert!((found - length).abs() <= 0.01, "{name}: {line}: {found}");
            checked += 1;
        }
        assert!(checked >= 10);
    }
}

#[test]
fn surfaces_share_nothing_where_they_are_independent() {
    let distribution = Distribution::Independent;
    assert_eq!(distribution.hidden(), 34);
    let middle = Hidden::at(distribution, &[0.5; MOST_HIDDEN]);
    let sides = [0.1, -0.3, 0.25];
    for class in 0..5 {
        let mut ground = Ground {
            grade: 0.1,
            side: 0.1,
            surface: [0.0; 5],
            wetness: 0.7,
            roughness: 0.02,
            step: 0.01,
            variation: 1.0,
        };
        ground.surface[class] = 1.0;
        // At the middle of all ranges it is the nominal rover.
        let [own, nominal] = [middle, Hidden::nominal()].map(|hidden| passage(&hidden, &ground).energy);
        assert!((own / nominal - 1.0).abs() <= 1e-12);
        for number in 0..MOST_HIDDEN {
            let mut unit = [0.5; MOST_HIDDEN];
            unit[number] += sides[number % 3];
            // Braking, for what comes back then.
            ground.grade = if number == 2 { -0.3 } else { 0.1 };
            let at_middle = passage(&middle, &ground).energy;
            let changed = passage(&Hidden::at(distribution, &unit), &ground).energy;
            let ours = number < 4 || (number - 4) % 5 == class;
            assert_eq!(changed != at_middle, ours, "fact {number} on surface {class}");
        }
    }
    let [a, b] = [0, 1].map(|seed| Hidden::of(&Task { split: Split::Test, seed }, distribution));
    assert!(a != b && a.wetness_bias == 0.0 && a.tyre_pressure == middle.tyre_pressure && a.site_strength == 0.0);
}
