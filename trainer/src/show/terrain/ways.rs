//! The map, shaded by the light of a low sun, with paths over it.

use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::HPos;

use crate::demo::report::map::{colour, shaded};
use crate::picture::{Drawn, INK, Picture, Scale};
use crate::show::draw::{cells, frame, line, word};
use crate::world::terrain::Map;
use crate::world::terrain::grid::{SIDE, edges};
use crate::world::terrain::map::Surface;

/// Pixels of a cell.
const CELL: i32 = 9;
const SIZE: i32 = CELL * SIDE as i32;
const MARGIN: i32 = 16;
const SIDEBAR: i32 = 270;
const FOOT: i32 = 34;
const LINE: i32 = 22;
/// The colour of what stands in the way.
pub const BLOCKED: RGBColor = RGBColor(60, 60, 66);

/// A path and how it is drawn.
#[derive(Clone, Debug, PartialEq)]
pub struct Way {
    /// What it is.
    pub name: String,
    /// What it takes, in words.
    pub energy: String,
    /// Its edges.
    pub path: Vec<usize>,
    /// Its colour.
    pub colour: RGBColor,
    /// Pixels of its width: wide ones lie under narrow ones, so that all can be seen where they go together.
    pub width: u32,
}

/// The picture.
#[derive(Clone, Debug)]
pub struct WaysPicture<'a> {
    /// The map.
    pub map: &'a Map,
    /// Start and goal.
    pub route: [usize; 2],
    /// Paths, the widest first.
    pub ways: Vec<Way>,
    /// Edges that were driven.
    pub driven: Vec<usize>,
    /// Their colour.
    pub driven_colour: RGBColor,
}

/// The middle of a cell, in pixels.
fn middle(cell: usize) -> [f64; 2] {
    [cell % SIDE, cell / SIDE].map(|place| f64::from(MARGIN) + (place as f64 + 0.5) * f64::from(CELL))
}

/// The cells of a path of edges.
fn cells_of(path: &[usize]) -> Vec<[f64; 2]> {
    let first = path.first().map(|&edge| edges()[edge].from);
    first.into_iter().chain(path.iter().map(|&edge| edges()[edge].to)).map(middle).collect()
}

impl Picture for WaysPicture<'_> {
    fn size(&self) -> [u32; 2] {
        [(2 * MARGIN + SIZE + SIDEBAR) as u32, (MARGIN + SIZE + FOOT) as u32]
    }

    fn draw<B: DrawingBackend>(&self, root: &DrawingArea<B, Shift>, scale: Scale) -> Drawn
    where
        B::ErrorType: 'static,
    {
        let fill = |cell: usize| if self.map.blocked[cell] { BLOCKED } else { shaded(self.map, cell) };
        cells(root, scale, [MARGIN; 2], CELL, [SIDE; 2], fill)?;
        frame(root, scale, [MARGIN; 2], [SIZE; 2])?;
        // Drives that do not begin where the one before ends are lines of their own.
        let mut rest = &self.driven[..];
        while !rest.is_empty() {
            let joined = rest.windows(2).take_while(|pair| edges()[pair[0]].to == edges()[pair[1]].from).count();
            let (one, others) = rest.split_at(joined + 1);
            line(root, scale, &cells_of(one), self.driven_colour, 5, true)?;
            rest = others;
        }
        for Way { path, colour, width, .. } in &self.ways {
            line(root, scale, &cells_of(path), *colour, *width, true)?;
        }
        let [start, goal] = self.route.map(|cell| middle(cell).map(|place| place as i32));
        let dot = |[x, y]: [i32; 2], fill: RGBColor, radius: i32| {
            Circle::new((scale.at(x), scale.at(y)), scale.at(radius), fill.filled())
        };
        for (at, letter) in [(start, "S"), (goal, "G")] {
            root.draw(&dot(at, INK, 11))?;
            root.draw(&dot(at, WHITE, 9))?;
            word(root, scale, letter, at, INK, HPos::Center)?;
        }

        let left = 2 * MARGIN + SIZE;
        let mut y = MARGIN + 8;
        word(root, scale, "Paths from S to G, true energy", [left, y], INK, HPos::Left)?;
        for Way { name, energy, colour, width, .. } in &self.ways {
            y += LINE + 6;
            let [from, to] = [f64::from(left), f64::from(left + 26)];
            line(root, scale, &[[from, y.into()], [to, y.into()]], *colour, *width, false)?;
            word(root, scale, name.clone(), [left + 36, y], INK, HPos::Left)?;
            y += LINE - 2;
            word(root, scale, energy.clone(), [left + 36, y], INK, HPos::Left)?;
        }
        if !self.driven.is_empty() {
            y += LINE + 6;
            let ends = [[f64::from(left), y.into()], [f64::from(left + 26), y.into()]];
            line(root, scale, &ends, self.driven_colour, 5, false)?;
            word(root, scale, format!("driven before: {} edges", self.driven.len()), [left + 36, y], INK, HPos::Left)?;
        }
        y += 2 * LINE;
        word(root, scale, "Ground", [left, y], INK, HPos::Left)?;
        let blocked = self.map.blocked.contains(&true).then_some(("in the way", BLOCKED));
        let surfaces = Surface::ALL.map(|surface| (name(surface), colour(surface)));
        for (text, fill) in surfaces.into_iter().chain(blocked) {
            y += LINE + 2;
            cells(root, scale, [left, y - 8], 16, [1, 1], |_| fill)?;
            frame(root, scale, [left, y - 8], [16, 16])?;
            word(root, scale, text, [left + 36, y], INK, HPos::Left)?;
        }
        let heights = self
            .map
            .heights
            .iter()
            .fold([f32::INFINITY, f32::NEG_INFINITY], |[low, high], height| [low.min(*height), high.max(*height)]);
        let note = format!(
            "128 m × 128 m, {:.1} m between the lowest and the highest cell; light from the upper left",
            heights[1] - heights[0]
        );
        word(root, scale, note, [MARGIN, MARGIN + SIZE + 16], INK, HPos::Left)?;
        Ok(())
    }
}

fn name(surface: Surface) -> &'static str {
    match surface {
        Surface::Rock => "rock",
        Surface::Gravel => "gravel",
        Surface::Grass => "grass",
        Surface::Loam => "loam",
        Surface::Sand => "sand",
    }
}
