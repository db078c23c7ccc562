//! An episode of images: the support of each class, and its query with what it is taken for.

use std::error::Error;
use std::path::PathBuf;

use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::HPos;
use sinew_runtime::Bundle;

use super::Order;
use super::draw::{cells, frame, word};
use crate::deploy::agent::{Adapted, Agent, memory};
use crate::episode::{Episode, Samples};
use crate::picture::{BAD, Drawn, GOOD, INK, Picture, Scale, write_both};
use crate::world::images::Images;
use crate::world::{Split, World};

/// Drawings of each class that are shown, of support and of query.
const MOST: [usize; 2] = [5, 8];
/// Pixels of a pixel.
const PIXEL: i32 = 2;
const BETWEEN: i32 = 10;
const MARGIN: i32 = 16;
const HEAD: i32 = 48;
/// What stands below a drawing.
const FOOT: i32 = 22;
const GAP: i32 = 44;
const NOTE: i32 = 30;

/// An episode and what was said of its query: the class of each drawing, none without a bundle.
#[derive(Clone, Debug, PartialEq)]
struct DrawingsPicture {
    episode: Episode,
    /// Pixels of a side.
    side: usize,
    said: Option<Vec<usize>>,
}

/// The place of the largest value.
fn largest(values: &[f32]) -> usize {
    (0..values.len()).rev().max_by(|one, other| values[*one].total_cmp(&values[*other])).unwrap_or(0)
}

/// The rows of each class.
fn by_class(samples: &Samples) -> Vec<Vec<usize>> {
    let mut classes = vec![Vec::new(); samples.output_len()];
    for row in 0..samples.rows {
        classes[largest(samples.target(row))].push(row);
    }
    classes
}

/// Draws one test task of `world`.
///
/// # Errors
/// If the bundle cannot be adapted, or a file cannot be written.
pub fn draw(world: &Images, order: &Order<'_>) -> Result<Vec<PathBuf>, Box<dyn Error>> {
    let mut rng = order.rng(0);
    let task = world.task(Split::Test, &mut rng);
    let episode = world.episode(&task, order.shots, &mut rng);
    let side = world.signature().image.map_or(0, |shape| shape.width);
    let mut said = None;
    if let Some(bytes) = order.bundle {
        let bundle = Bundle::parse(bytes)?;
        let capacity = episode.support.rows.max(1);
        let mut memory = memory(&bundle, capacity)?;
        let mut agent = Adapted::new(&bundle, capacity, &mut memory)?;
        for row in 0..episode.support.rows {
            agent.observe(episode.support.input(row), episode.support.target(row))?;
        }
        let mut probabilities = vec![0.0; episode.query.targets.len()];
        agent.predict(&episode.query.inputs, &mut probabilities, None)?;
        said = Some(probabilities.chunks_exact(episode.query.output_len()).map(largest).collect());
    }
    write_both(order.folder, "images", &DrawingsPicture { episode, side, said })
}

impl DrawingsPicture {
    fn shown(&self) -> [usize; 2] {
        let most = |samples: &Samples, most: usize| by_class(samples).iter().map(Vec::len).max().unwrap_or(0).min(most);
        [most(&self.episode.support, MOST[0]), most(&self.episode.query, MOST[1])]
    }

    fn pitch(&self) -> i32 {
        self.side as i32 * PIXEL + BETWEEN
    }
}

impl Picture for DrawingsPicture {
    fn size(&self) -> [u32; 2] {
        let [support, query] = self.shown().map(|count| count as i32);
        let classes = self.episode.support.output_len().max(self.episode.query.output_len()) as i32;
        let width = 2 * MARGIN + 24 + (support + query) * self.pitch() + GAP;
        [width.max(520) as u32, (HEAD + classes * (self.pitch() + FOOT) + NOTE) as u32]
    }

    fn draw<B: DrawingBackend>(&self, root: &DrawingArea<B, Shift>, scale: Scale) -> Drawn
    where
        B::ErrorType: 'static,
    {
        let [support, query] = self.shown();
        let left = MARGIN + 24;
        let second = left + support as i32 * self.pitch() + GAP;
        word(root, scale, "Support", [left, 24], INK, HPos::Left)?;
        word(root, scale, "Query", [second, 24], INK, HPos::Left)?;
        let letter =
            |class: usize| char::from_u32(u32::from('A') + class as u32).map_or(class.to_string(), String::from);
        let image = |samples: &Samples, row: usize, corner: [i32; 2]| -> Drawn {
            let ink = |pixel: usize| {
                let grey = (255.0 * (1.0 - samples.input(row)[pixel].clamp(0.0, 1.0))).round() as u8;
                RGBColor(grey, grey, grey)
            };
            cells(root, scale, corner, PIXEL, [self.side; 2], ink)
        };
        let size = [self.side as i32 * PIXEL; 2];
        let mut right = 0;
        for (class, (of_support, of_query)) in
            by_class(&self.episode.support).iter().zip(by_class(&self.episode.query)).enumerate()
        {
            let top = HEAD + class as i32 * (self.pitch() + FOOT);
            word(root, scale, letter(class), [MARGIN, top + size[1] / 2], INK, HPos::Left)?;
            for (place, row) in of_support.iter().take(support).enumerate() {
                let corner = [left + place as i32 * self.pitch(), top];
                image(&self.episode.support, *row, corner)?;
                frame(root, scale, corner, size)?;
            }
            for (place, row) in of_query.iter().take(query).enumerate() {
                let corner = [second + place as i32 * self.pitch(), top];
                image(&self.episode.query, *row, corner)?;
                let Some(said) = self.said.as_ref().map(|said| said[*row]) else {
                    frame(root, scale, corner, size)?;
                    continue;
                };
                let (colour, mark) = if said == class { (GOOD, "✓") } else { (BAD, "✗") };
                let [x, y] = corner.map(|place| scale.at(place));
                let corners = [(x, y), (x + scale.at(size[0]), y + scale.at(size[1]))];
                root.draw(&Rectangle::new(corners, colour.stroke_width(scale.of(2))))?;
                let under = [corner[0] + size[0] / 2, corner[1] + size[1] + 13];
                word(root, scale, format!("{} {mark}", letter(said)), under, colour, HPos::Center)?;
            }
            let right_ones = of_query.iter().filter(|row| self.said.as_ref().is_some_and(|said| said[**row] == class));
            right += right_ones.count();
        }
        if self.said.is_some() {
            let [_, height] = self.size();
            let note = format!(
                "{right} of {} query drawings are right; letters say what each is taken for",
                self.episode.query.rows
            );
            word(root, scale, note, [MARGIN, height as i32 - 18], INK, HPos::Left)?;
        }
        Ok(())
    }
}
