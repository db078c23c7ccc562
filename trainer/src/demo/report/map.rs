//! The map of a mission, with the ways of the rovers.

use plotters::prelude::*;

use super::plot::{ADAPTED, Drawn, ORACLE, UNADAPTED, drawn};
use crate::demo::campaign::{Driven, Who};
use crate::world::terrain::grid::{CELLS, SIDE};
use crate::world::terrain::map::{Map, Surface};

/// Pixels along a cell.
const PIXELS: i32 = 7;
/// Shades of a surface: few, so that neighbours join.
const SHADES: f64 = 9.0;

/// The colour of a surface.
fn plain(surface: Surface) -> RGBColor {
    match surface {
        Surface::Rock => RGBColor(163, 163, 168),
        Surface::Gravel => RGBColor(199, 187, 176),
        Surface::Grass => RGBColor(166, 196, 132),
        Surface::Loam => RGBColor(166, 130, 100),
        Surface::Sand => RGBColor(238, 217, 160),
    }
}

/// The colour of a surface on level ground, as maps show it.
pub fn colour(surface: Surface) -> RGBColor {
    lit(surface, 0.9)
}

/// Light from the upper left: from about 0.5 (turned away) to 1.15.
fn light(map: &Map, cell: usize) -> f64 {
    let (row, column) = (cell / SIDE, cell % SIDE);
    let height = |row: usize, column: usize| f64::from(map.heights[row.min(SIDE - 1) * SIDE + column.min(SIDE - 1)]);
    let right = height(row, column + 1) - height(row, column.saturating_sub(1));
    let down = height(row + 1, column) - height(row.saturating_sub(1), column);
    // Slopes are 1 in 3 at the most, over two cells of 2 m.
    (0.9 + 0.28 * (right + down)).clamp(0.5, 1.15)
}

/// The colour of a cell, lit by the slope of the ground.
pub fn shaded(map: &Map, cell: usize) -> RGBColor {
    let light = (light(map, cell) * SHADES).round() / SHADES;
    lit(map.surfaces[cell], light)
}

/// The colour of a surface, lit.
fn lit(surface: Surface, light: f64) -> RGBColor {
    let RGBColor(red, green, blue) = plain(surface);
    // Pale, for the ways to stand out.
    let part = |part: u8| (76.5 + 0.7 * f64::from(part) * light).min(255.0) as u8;
    RGBColor(part(red), part(green), part(blue))
}

/// The middle of a cell, in pixels.
fn middle(cell: usize) -> (i32, i32) {
    ((cell % SIDE) as i32 * PIXELS + PIXELS / 2, (cell / SIDE) as i32 * PIXELS + PIXELS / 2)
}

/// The map under `driven`, its start (a ring) and goal (a square), and the ways of the oracle (widest), of the rover that does not
/// adapt and of the one that adapts on the way (narrowest, on top), so that ways that share cells stay visible.
///
/// # Errors
/// If it cannot be drawn.
pub fn map(map: &Map, driven: &Driven) -> Drawn {
    let size = SIDE as u32 * PIXELS as u32;
    drawn((size, size), |root| {
        let mut cell = 0;
        while cell < CELLS {
            let (row, column, fill) = (cell / SIDE, cell % SIDE, shaded(map, cell));
            // Cells of one colour in a row are one rectangle.
            let same = (cell..(row + 1) * SIDE).take_while(|&next| shaded(map, next) == fill).count();
            let left = column as i32 * PIXELS;
            let corners = [(left, row as i32 * PIXELS), (left + same as i32 * PIXELS, (row as i32 + 1) * PIXELS)];
            root.draw(&Rectangle::new(corners, fill.filled()))?;
            cell += same;
        }
        for (who, colour, width) in [
            (Who::Oracle, ORACLE, 8),
            (Who::Unadapted, UNADAPTED, 5),
            (Who::Adapted, WHITE, 4),
            (Who::Adapted, ADAPTED, 2),
        ] {
            let way: Vec<(i32, i32)> = driven.trips[who as usize].cells().into_iter().map(middle).collect();
            root.draw(&PathElement::new(way, colour.stroke_width(width)))?;
        }
        let start = middle(driven.mission.start);
        root.draw(&Circle::new(start, 8, WHITE.filled()))?;
        root.draw(&Circle::new(start, 8, BLACK.stroke_width(2)))?;
        let (x, y) = middle(driven.mission.goal);
        let corners = [(x - 7, y - 7), (x + 7, y + 7)];
        root.draw(&Rectangle::new(corners, WHITE.filled()))?;
        root.draw(&Rectangle::new(corners, BLACK.stroke_width(2)))?;
        Ok(())
    })
}
