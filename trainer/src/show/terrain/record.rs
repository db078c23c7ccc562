//! A terrain task as a recording: the ground with paths and the rover, what a metre truly costs, and what it is believed to cost after each
//! driven edge, beside each other.

use std::error::Error;

use plotters::prelude::RGBColor;
use re_sdk_types::archetypes::{LineStrips3D, Mesh3D, Points3D, Scalars, TextDocument, ViewCoordinates};
use re_sdk_types::components::ViewCoordinates as Axes;

use super::costs::{level_of, range};
use super::ways::BLOCKED;
use super::{Told, per_metre, plan};
use crate::demo::report::map::shaded;
use crate::picture::COLOURS;
use crate::show::recording::{Recording, aside, lines, rgb};
use crate::world::terrain::Map;
use crate::world::terrain::grid::{CELLS, SIDE, edges, position};

/// From one map to the next, in m.
const APART: f64 = 140.0;
/// How far over the ground paths are drawn, in m, and the radius of their lines.
const OVER: f64 = 0.4;
const RADIUS: f32 = 0.35;
/// The radius of the rover, in m.
const ROVER: f32 = 1.2;

/// Where the middle of a cell is, so many metres over the ground. Rows of a map go down its page, so that y is turned.
fn place(map: &Map, cell: usize, over: f64) -> [f64; 3] {
    let [x, y] = position(cell);
    [x, -y, f64::from(map.heights[cell]) + over]
}

/// The ground in these colours, two triangles between four cells.
fn ground(map: &Map, colour: impl Fn(usize) -> RGBColor) -> Mesh3D {
    let corners = (0..CELLS).filter(|cell| cell % SIDE + 1 < SIDE && cell / SIDE + 1 < SIDE);
    let triangles = corners.flat_map(|cell| {
        let [right, down] = [cell + 1, cell + SIDE];
        [[cell, down, right], [right, down, down + 1]].map(|triangle| triangle.map(|cell| cell as u32))
    });
    Mesh3D::new((0..CELLS).map(|cell| place(map, cell, 0.0)))
        .with_triangle_indices(triangles)
        .with_vertex_colors((0..CELLS).map(|cell| rgb(if map.blocked[cell] { BLOCKED } else { colour(cell) })))
}

fn path(map: &Map, path: &[usize], colour: RGBColor, over: f64) -> LineStrips3D {
    let first = path.first().map(|&edge| edges()[edge].from);
    let cells = first.into_iter().chain(path.iter().map(|&edge| edges()[edge].to));
    lines(vec![cells.map(|cell| place(map, cell, over)).collect()], vec![rgb(colour)], RADIUS)
}

/// The root of the mean square of what is wrong in ln of the energy of an edge.
fn error(believed: &[f64], truth: &[f64]) -> f64 {
    let both = || believed.iter().zip(truth).filter(|(one, other)| one.is_finite() && other.is_finite());
    let sum: f64 = both().map(|(one, other)| (one / other).ln().powi(2)).sum();
    (sum / both().count() as f64).sqrt()
}

/// Records `told`.
///
/// # Errors
/// If that cannot be done.
pub fn record(told: &Told<'_>) -> Result<Recording, Box<dyn Error>> {
    let (map, truth, route) = (told.rover.map(), told.rover.energies(), told.route());
    let [blue, vermilion, _, purple, .., black] = COLOURS;
    let recording = Recording::begin("terrain", "driven edge")?;
    recording.always("/", &ViewCoordinates::new(Axes::RIGHT_HAND_Z_UP))?;
    recording.always(
        "about",
        &TextDocument::from_markdown(
            "The *ground* with the best path (black), the path planned after each driven edge (blue; before driving vermilion), and the rover; what a \
             metre costs on the way into each cell, as is *true* and as is *believed*, dark where little, yellow where much, on one logarithmic scale.",
        ),
    )?;
    let costs = per_metre(truth);
    let range = range(&costs);
    recording.always("ground", &ground(map, |cell| shaded(map, cell)))?;
    recording.always("true", &aside(APART))?;
    recording.always("true", &ground(map, |cell| level_of(costs[cell], range)))?;
    let best = plan(truth, route)?;
    let least = told.energy(&best);
    recording.always("ground/best", &path(map, &best, black, OVER))?;
    let ends = route.map(|cell| place(map, cell, OVER));
    let ends = Points3D::new(ends).with_radii([ROVER]).with_labels(["start", "goal"]);
    recording.always("ground/ends", &ends)?;
    let Some(driven) = &told.driven else { return Ok(recording) };
    recording.always("believed", &aside(2.0 * APART))?;
    recording
        .always("ground/planned_before_driving", &path(map, &plan(&driven.before, route)?, vermilion, 2.0 * OVER))?;
    for (step, believed) in std::iter::once(&driven.before).chain(&driven.then).enumerate() {
        recording.step(step);
        let costs = per_metre(believed);
        recording.now("believed", &ground(map, |cell| level_of(costs[cell], range)))?;
        let planned = plan(believed, route)?;
        recording.now("ground/planned", &path(map, &planned, blue, 3.0 * OVER))?;
        recording.now("curves/regret", &Scalars::single(told.energy(&planned) / least - 1.0))?;
        recording.now("curves/error_of_ln_energy", &Scalars::single(error(believed, truth)))?;
        if let Some(edge) = step.checked_sub(1).map(|before| driven.edges[before]) {
            let rover = Points3D::new([place(map, edges()[edge].to, OVER)]).with_colors([rgb(purple)]);
            recording.now("ground/rover", &rover.with_radii([ROVER]))?;
            recording.now("ground/driven", &path(map, &driven.edges[step - 1..step], purple, OVER))?;
        }
    }
    Ok(recording)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::show::terrain::Driven;
    use crate::show::{Order, Shown};
    use crate::world::{Split, World, open};

    #[test]
    fn a_task_is_recorded_edge_by_edge() {
        let zoo = concat!(env!("CARGO_MANIFEST_DIR"), "/../models/zoo/terrain-ridge.safetensors");
        let bundle = std::fs::read(zoo).unwrap();
        let Shown::Terrain(world) = Shown::open(&open::config_by_name("terrain").unwrap(), 2).unwrap() else {
            panic!()
        };
        let folder = std::path::Path::new("");
        let order = Order { bundle: Some(&bundle), shots: 2, seed: 0, folder, recording: None };
        let mut rng = order.rng(0);
        let task = world.task(Split::Test, &mut rng);
        let rover = world.rover(&task, &mut rng);
        let driven = Some(Driven::drive(&bundle, &rover, order.shots).unwrap());
        let told = Told { rover, driven };
        let contents = record(&told).unwrap().contents();
        for (name, changes) in [
            ("/about", 0),
            ("/ground", 0),
            ("/ground/best", 0),
            ("/true", 0),
            ("/believed", 3),
            ("/ground/planned", 3),
            ("/ground/rover", 2),
            ("/curves/regret", 3),
            ("/curves/error_of_ln_energy", 3),
        ] {
            assert_eq!(contents.get(name), Some(&changes), "{name} of {contents:?}");
        }
    }

    #[test]
    fn an_error_is_of_logarithms_and_leaves_out_what_is_blocked() {
        assert!((error(&[2.0, f64::INFINITY, 1.0], &[1.0, 1.0, 1.0]) - 2.0_f64.ln() / 2.0_f64.sqrt()).abs() <= 1e-12);
    }
}
