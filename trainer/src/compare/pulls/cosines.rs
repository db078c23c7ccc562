//! Cosines between the gradients of heads as a heat map: pairs over iterations, and below it the mean of each pair.

use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::HPos;

use super::{PullsOfRuns, mean};
use crate::picture::{BAD, Drawn, FONT, GOOD, INK, Picture, Scale, diverging};
use crate::weighting::pull::pairs;

/// Lengths in pixels of SVG.
const MARGIN: i32 = 14;
/// Of the cells over iterations.
const WIDTH: i32 = 560;
const ROW: i32 = 28;
const TITLE: i32 = 44;
const AXIS: i32 = 52;
/// From one tick to the next, at least.
const TICKS: i32 = 70;
/// Of a cell of the matrix of means.
const CELL: [i32; 2] = [96, 34];
/// Between the matrix and the scale of colours, of which the words need so much.
const GAP: i32 = 60;
const SCALE: i32 = 18;
const SCALE_WORDS: i32 = 190;
/// More columns than this are averaged by neighbours: they could not be told apart.
const COLUMNS: usize = 280;
/// Steps of colour in the scale.
const SHADES: i32 = 64;

/// The picture.
pub(super) struct Cosines<'a>(pub &'a PullsOfRuns);

/// A filled rectangle between two places in pixels of the picture.
fn filled(from: (i32, i32), to: (i32, i32), colour: RGBColor) -> Rectangle<(i32, i32)> {
    Rectangle::new([from, to], colour.filled())
}

impl Cosines<'_> {
    fn pairs(&self) -> Vec<(usize, usize)> {
        pairs(self.0.heads.len()).collect()
    }

    fn name(&self, (i, j): (usize, usize)) -> String {
        format!("{}, {}", self.0.heads[i], self.0.heads[j])
    }

    /// What the longest of some words needs; letters are narrower than this.
    fn room(words: impl Iterator<Item = String>) -> i32 {
        MARGIN + 8 * words.map(|word| word.chars().count()).max().unwrap_or(0) as i32
    }

    /// Left of the cells over iterations.
    fn left(&self) -> i32 {
        MARGIN + Self::room(self.pairs().into_iter().map(|pair| self.name(pair)))
    }

    /// Left of the matrix of means.
    fn left_of_matrix(&self) -> i32 {
        MARGIN + Self::room(self.0.heads.iter().cloned())
    }

    fn top_of_matrix(&self) -> i32 {
        TITLE + ROW * self.pairs().len() as i32 + AXIS + TITLE + ROW
    }

    /// Of the matrix of means.
    fn cell(&self) -> [i32; 2] {
        [CELL[0].max(Self::room(self.0.heads.iter().cloned())), CELL[1]]
    }

    /// For each column of the heat map the last iteration that is in it, and the cosine of each pair.
    fn columns(&self) -> Vec<(u64, Vec<f64>)> {
        let PullsOfRuns { iterations, cosines, .. } = self.0;
        let each = iterations.len().div_ceil(COLUMNS).max(1);
        let column = |(at, rows): (&[u64], &[Vec<f64>])| {
            let of_pair = |pair: usize| mean(rows.iter().map(|row| row[pair]));
            (at[at.len() - 1], (0..rows[0].len()).map(of_pair).collect())
        };
        iterations.chunks(each).zip(cosines.chunks(each)).map(column).collect()
    }
}

impl Picture for Cosines<'_> {
    fn size(&self) -> [u32; 2] {
        let heads = self.0.heads.len() as i32;
        let over_iterations = self.left() + WIDTH;
        let matrix = self.left_of_matrix() + heads * self.cell()[0] + GAP + SCALE + SCALE_WORDS;
        let height = self.top_of_matrix() + heads * CELL[1] + MARGIN;
        [(over_iterations.max(matrix) + 2 * MARGIN) as u32, height as u32]
    }

    fn draw<B: DrawingBackend>(&self, root: &DrawingArea<B, Shift>, scale: Scale) -> Drawn
    where
        B::ErrorType: 'static,
    {
        let title = format!("Cosine between gradients of heads by shared parameters: {}", self.0.of_whom());
        let place = (scale.at(MARGIN), scale.at(TITLE / 2));
        root.draw(&scale.word(title, place, scale.text(INK, HPos::Left)))?;
        self.draw_iterations(root, scale)?;
        self.draw_matrix(root, scale)?;
        self.draw_scale(root, scale)
    }
}

impl Cosines<'_> {
    fn draw_iterations<B: DrawingBackend>(&self, root: &DrawingArea<B, Shift>, scale: Scale) -> Drawn
    where
        B::ErrorType: 'static,
    {
        let (pairs, columns, left) = (self.pairs(), self.columns(), self.left());
        let edge = |column: usize| scale.at(left) + scale.at(WIDTH) * column as i32 / columns.len() as i32;
        for (row, pair) in pairs.iter().enumerate() {
            let [top, bottom] = [row, row + 1].map(|row| scale.at(TITLE + ROW * row as i32));
            let name = (scale.at(left - 8), (top + bottom) / 2);
            root.draw(&scale.word(self.name(*pair), name, scale.text(INK, HPos::Right)))?;
            for (number, (_, cosines)) in columns.iter().enumerate() {
                // Up to the next cell; the last line of pixels is paper.
                let to = (edge(number + 1), bottom - scale.at(2));
                root.draw(&filled((edge(number), top), to, diverging(cosines[row])))?;
            }
        }
        let floor = scale.at(TITLE + ROW * pairs.len() as i32);
        let most = (WIDTH / TICKS) as usize;
        let step = columns.len().div_ceil(most).max(1);
        // The last always has a tick.
        for (number, (iteration, _)) in columns.iter().enumerate().rev().step_by(step) {
            let x = (edge(number) + edge(number + 1)) / 2;
            root.draw(&PathElement::new([(x, floor), (x, floor + scale.at(4))], INK.stroke_width(scale.of(1))))?;
            let text = scale.text_of(FONT - 1, INK, HPos::Center);
            root.draw(&scale.word(iteration.to_string(), (x, floor + scale.at(14)), text))?;
        }
        let below = (scale.at(left + WIDTH / 2), floor + scale.at(34));
        root.draw(&scale.word("iteration", below, scale.text_of(FONT - 1, INK, HPos::Center)))?;
        Ok(())
    }

    fn draw_matrix<B: DrawingBackend>(&self, root: &DrawingArea<B, Shift>, scale: Scale) -> Drawn
    where
        B::ErrorType: 'static,
    {
        let (left, top, [width, height]) = (self.left_of_matrix(), self.top_of_matrix(), self.cell());
        let place = (scale.at(MARGIN), scale.at(top - ROW - TITLE / 2));
        root.draw(&scale.word("Mean over these iterations", place, scale.text(INK, HPos::Left)))?;
        for (number, head) in self.0.heads.iter().enumerate() {
            let number = number as i32;
            let above = (scale.at(left + width * number + width / 2), scale.at(top - ROW / 2));
            root.draw(&scale.word(head.clone(), above, scale.text(INK, HPos::Center)))?;
            let beside = (scale.at(left - 8), scale.at(top + height * number + height / 2));
            root.draw(&scale.word(head.clone(), beside, scale.text(INK, HPos::Right)))?;
        }
        let one = (0..self.0.heads.len()).map(|head| ((head, head), 1.0));
        let pairs = self.pairs().into_iter().zip(self.0.mean_cosines());
        let both = pairs.flat_map(|((i, j), cosine)| [((i, j), cosine), ((j, i), cosine)]);
        for ((row, column), cosine) in one.chain(both) {
            let [x, y] = [left + width * column as i32, top + height * row as i32];
            let to = (scale.at(x + width - 2), scale.at(y + height - 2));
            root.draw(&filled((scale.at(x), scale.at(y)), to, diverging(cosine)))?;
            let ink = if cosine.abs() > 0.6 { WHITE } else { INK };
            // Not "-0.00".
            let rounded = (100.0 * cosine).round() / 100.0 + 0.0;
            let text = if cosine.is_nan() { "?".into() } else { format!("{rounded:.2}") };
            let middle = (scale.at(x + width / 2), scale.at(y + height / 2));
            root.draw(&scale.word(text, middle, scale.text(ink, HPos::Center)))?;
        }
        Ok(())
    }

    fn draw_scale<B: DrawingBackend>(&self, root: &DrawingArea<B, Shift>, scale: Scale) -> Drawn
    where
        B::ErrorType: 'static,
    {
        let heads = self.0.heads.len() as i32;
        let left = self.left_of_matrix() + heads * self.cell()[0] + GAP;
        // Two heads leave little room for five words.
        let (bottom, height) = (self.top_of_matrix() + heads * CELL[1], (heads * CELL[1]).max(4 * FONT + TITLE));
        let top = bottom - height;
        let edge = |shade: i32| scale.at(top) + scale.at(height) * shade / SHADES;
        for shade in 0..SHADES {
            let value = 1.0 - 2.0 * (f64::from(shade) + 0.5) / f64::from(SHADES);
            let (from, to) = ((scale.at(left), edge(shade)), (scale.at(left + SCALE), edge(shade + 1)));
            root.draw(&filled(from, to, diverging(value)))?;
        }
        let words =
            [(0, "1: agree", GOOD), (SHADES / 2, "0: have nothing in common", INK), (SHADES, "−1: conflict", BAD)];
        for (shade, word, colour) in words {
            let y = edge(shade).clamp(scale.at(top + FONT / 2), scale.at(bottom - FONT / 2));
            root.draw(&scale.word(word, (scale.at(left + SCALE + 8), y), scale.text(colour, HPos::Left)))?;
        }
        let is_told = |cosines: &Vec<f64>| cosines.iter().all(|cosine| !cosine.is_nan());
        if !self.0.cosines.iter().all(is_told) {
            let y = scale.at(top - FONT - 4);
            let (from, to) = ((scale.at(left), y - scale.at(7)), (scale.at(left + SCALE), y + scale.at(7)));
            root.draw(&filled(from, to, diverging(f64::NAN)))?;
            let place = (scale.at(left + SCALE + 8), y);
            root.draw(&scale.word("a head without gradient", place, scale.text(INK, HPos::Left)))?;
        }
        Ok(())
    }
}
