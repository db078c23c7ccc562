//! The weights of heads over iterations, a line for each: the mean over runs, and a band from the lowest to the highest.

use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::HPos;

use super::{PullsOfRuns, mean};
use crate::picture::{COLOURS, Drawn, FONT, GRID, INK, Picture, Scale};

const PANEL: [u32; 2] = [640, 360];
const MARGIN: i32 = 14;
const ROW: i32 = 22;

/// The picture.
pub(super) struct Weights<'a>(pub &'a PullsOfRuns);

impl Weights<'_> {
    /// Of one head the mean, lowest and highest weight over runs, each with its number among the rows; without those in which it was absent.
    fn of_head(&self, head: usize) -> Vec<(usize, [f64; 3])> {
        let at = |row: usize| {
            let runs = || self.0.weights.iter().map(|run| run[row][head]);
            (row, [mean(runs()), runs().fold(f64::INFINITY, f64::min), runs().fold(f64::NEG_INFINITY, f64::max)])
        };
        (0..self.0.iterations.len()).map(at).filter(|(_, [mean, ..])| mean.is_finite()).collect()
    }
}

impl Picture for Weights<'_> {
    fn size(&self) -> [u32; 2] {
        let longest = self.0.heads.iter().map(|head| head.chars().count()).max().unwrap_or(0) as u32;
        [PANEL[0] + 2 * MARGIN as u32 + 44 + 9 * longest, PANEL[1]]
    }

    fn draw<B: DrawingBackend>(&self, root: &DrawingArea<B, Shift>, scale: Scale) -> Drawn
    where
        B::ErrorType: 'static,
    {
        let lines: Vec<Vec<(usize, [f64; 3])>> = (0..self.0.heads.len()).map(|head| self.of_head(head)).collect();
        let ends = lines.iter().flatten().flat_map(|(_, [_, low, high])| [*low, *high]).filter(|end| end.is_finite());
        // From 0 on, which is where a head has no say.
        let (low, high) = ends.fold((0.0_f64, 0.0_f64), |(low, high), end| (low.min(end), high.max(end)));
        let margin = (0.06 * (high - low)).max(1e-6);
        let low = if low < 0.0 { low - margin } else { 0.0 };
        let at = |number: usize| self.0.iterations[number] as f64;
        let (first, last) = (at(0), at(self.0.iterations.len() - 1));
        // A single row has an axis, too.
        let aside = if last > first { 0.0 } else { 0.5 };
        let (area, _) = root.split_horizontally(scale.of(PANEL[0]));
        let mut chart = ChartBuilder::on(&area)
            .margin_left(scale.of(10))
            .margin_right(scale.of(16))
            .margin_top(scale.of(40))
            .x_label_area_size(scale.of(44))
            .y_label_area_size(scale.of(56))
            .build_cartesian_2d(first - aside..last + aside, low..high + margin)?;
        chart
            .configure_mesh()
            .disable_x_mesh()
            .light_line_style(TRANSPARENT)
            .bold_line_style(GRID.stroke_width(scale.of(1)))
            .axis_style(INK.stroke_width(scale.of(1)))
            .label_style(("sans-serif", scale.at(FONT - 1)))
            .x_labels(7)
            .x_label_formatter(&|value| format!("{value:.0}"))
            .x_desc("iteration")
            .y_labels(6)
            .y_label_formatter(&|value| {
                let text = format!("{value:.3}");
                if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').into() } else { text }
            })
            .draw()?;
        let plot = chart.plotting_area();
        let title = format!("Weight λ of each head in the shared step [1]: {}", self.0.of_whom());
        root.draw(&scale.word(title, (scale.at(MARGIN), scale.at(20)), scale.text(INK, HPos::Left)))?;
        let pixel = |number: usize, value: f64| plot.map_coordinate(&(at(number), value));
        let drawn = || lines.iter().enumerate().filter(|(_, line)| !line.is_empty());
        for (head, line) in drawn().filter(|_| self.0.weights.len() > 1) {
            let below = line.iter().map(|(number, [_, low, _])| pixel(*number, *low));
            let above = line.iter().rev().map(|(number, [_, _, high])| pixel(*number, *high));
            let band: Vec<(i32, i32)> = below.chain(above).collect();
            root.draw(&Polygon::new(band, COLOURS[head % COLOURS.len()].mix(0.15)))?;
        }
        for (head, line) in drawn() {
            let colour = COLOURS[head % COLOURS.len()];
            let points: Vec<(i32, i32)> = line.iter().map(|(number, [mean, ..])| pixel(*number, *mean)).collect();
            root.draw(&PathElement::new(points.clone(), colour.stroke_width(scale.of(2))))?;
            // Where a head's line lies under another's, its points are seen all the same.
            if points.len() <= 40 {
                for point in points {
                    root.draw(&Circle::new(point, scale.at(5 - head.min(2) as i32), colour.filled()))?;
                }
            }
        }
        for (head, name) in self.0.heads.iter().enumerate() {
            let colour = COLOURS[head % COLOURS.len()];
            let y = scale.at(40 + ROW * head as i32 + ROW / 2);
            let x = scale.at(PANEL[0] as i32 + MARGIN);
            root.draw(&PathElement::new([(x, y), (x + scale.at(30), y)], colour.stroke_width(scale.of(2))))?;
            let place = (x + scale.at(40), y);
            root.draw(&scale.word(name.clone(), place, scale.text(INK, HPos::Left)))?;
        }
        Ok(())
    }
}
