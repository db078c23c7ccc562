//! The landscape of two objectives on which weightings of multi-task learning are watched: where each of them goes from the starts of the papers.

use std::error::Error;
use std::path::{Path, PathBuf};

use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::HPos;
use rayon::prelude::*;

use crate::picture::{COLOURS, Drawn, INK, Picture, Scale, viridis, write_png};
use crate::weighting::landscape::{Descent, Front, Landscape, STARTS};
use crate::weighting::{Settings, cagrad, famo, fixed, mgda, nash, pcgrad};

/// The scale of the first objective in the first paper.
const LANDSCAPE: Landscape = Landscape { scale: 1.0 };
/// As the first paper, which lets the slowest arrive.
const DESCENT: Descent = Descent { rate: 1e-3, iterations: 100_000, every: 200 };
/// What is drawn of the plane, along both axes.
const FROM: f64 = -11.0;
const TO: f64 = 11.0;
/// Cells along each axis, coloured by the mean of the objectives.
const CELLS: usize = 110;
const COLUMNS: usize = 3;
const PANEL: [u32; 2] = [330, 320];
const FOOT: u32 = 30;

/// Where one weighting goes from each start.
struct Panel {
    title: &'static str,
    ways: Vec<Vec<[f64; 2]>>,
}

struct LandscapePicture {
    panels: Vec<Panel>,
    front: Front,
}

fn panels() -> Vec<Panel> {
    let weightings = [
        ("Plain sum", Settings::Fixed(fixed::Settings { weights: vec![1.0, 1.0] })),
        ("PCGrad", Settings::PcGrad(pcgrad::Settings {})),
        ("CAGrad, c = 0.5", Settings::CaGrad(cagrad::Settings { c: 0.5 })),
        ("MGDA", Settings::Mgda(mgda::Settings::default())),
        ("Nash-MTL", Settings::Nash(nash::Settings::default())),
        ("FAMO", Settings::Famo(famo::Settings { rate: 0.025, decay: 0.0, again: true, least: vec![-21.0, -21.0] })),
    ];
    let way = |settings: &Settings, start| LANDSCAPE.descend(&mut *settings.open(2, 1), start, DESCENT);
    weightings
        .into_par_iter()
        .map(|(title, settings)| Panel { title, ways: STARTS.map(|start| way(&settings, start)).into() })
        .collect()
}

/// Draws `landscape.png` into `folder`, which is there; what was written.
///
/// # Errors
/// If the file cannot be written.
pub fn draw(folder: &Path) -> Result<Vec<PathBuf>, Box<dyn Error>> {
    write_png(folder, "landscape", &LandscapePicture { panels: panels(), front: Front::default() })
}

impl Picture for LandscapePicture {
    fn size(&self) -> [u32; 2] {
        let [width, height] = PANEL;
        [width * COLUMNS as u32, height * self.panels.len().div_ceil(COLUMNS) as u32 + FOOT]
    }

    fn draw<B: DrawingBackend>(&self, root: &DrawingArea<B, Shift>, scale: Scale) -> Drawn
    where
        B::ErrorType: 'static,
    {
        let cell = (TO - FROM) / CELLS as f64;
        let place = |number: usize| FROM + cell * number as f64;
        let mean = |x: f64, y: f64| {
            let [first, second] = LANDSCAPE.at([x, y]).0;
            0.5 * (first + second)
        };
        // From the bottom of the bowl to the ridges.
        let colour = |value: f64| viridis((value + 20.0) / 28.0);
        let height = self.size()[1] - FOOT;
        let (above, below) = root.split_vertically(scale.of(height));
        let rows = self.panels.len().div_ceil(COLUMNS);
        for (area, panel) in above.split_evenly((rows, COLUMNS)).iter().zip(&self.panels) {
            let mut chart = ChartBuilder::on(area)
                .margin(scale.of(6))
                .margin_top(scale.of(28))
                .margin_right(scale.of(14))
                .x_label_area_size(scale.of(24))
                .y_label_area_size(scale.of(32))
                .build_cartesian_2d(FROM..TO, FROM..TO)?;
            chart
                .configure_mesh()
                .disable_mesh()
                .axis_style(INK.stroke_width(scale.of(1)))
                .label_style(("sans-serif", scale.at(12)))
                .x_labels(5)
                .y_labels(5)
                .x_label_formatter(&|value| format!("{value:.0}"))
                .y_label_formatter(&|value| format!("{value:.0}"))
                .draw()?;
            let cells = (0..CELLS).flat_map(|i| (0..CELLS).map(move |j| (place(i), place(j))));
            chart.draw_series(cells.map(|(x, y)| {
                let value = mean(x + 0.5 * cell, y + 0.5 * cell);
                Rectangle::new([(x, y), (x + cell, y + cell)], colour(value).filled())
            }))?;
            let line = |points: &[[f64; 2]]| points.iter().map(|[x, y]| (*x, *y)).collect::<Vec<_>>();
            chart.draw_series(LineSeries::new(line(self.front.points()), WHITE.stroke_width(scale.of(4))))?;
            for way in &panel.ways {
                chart.draw_series(LineSeries::new(line(way), BLACK.stroke_width(scale.of(2))))?;
                if let [first, .., last] = &way[..] {
                    let dot = |at: &[f64; 2], radius: i32, colour: RGBColor| {
                        Circle::new((at[0], at[1]), scale.at(radius), colour.filled())
                    };
                    chart.draw_series([dot(first, 4, BLACK), dot(last, 6, WHITE), dot(last, 4, COLOURS[1])])?;
                }
            }
            let (left, top) = area.get_base_pixel();
            let title = (left + scale.at(40), top + scale.at(14));
            root.draw(&scale.word(panel.title, title, scale.text(INK, HPos::Left)))?;
        }
        let (left, top) = below.get_base_pixel();
        let words = "Black dots: starts. Orange: ends, after 100 000 steps of Adam. White line: the Pareto front. Colours: the mean of both \
                     objectives, dark is less.";
        let place = (left + scale.at(12), top + scale.at(FOOT as i32 / 2 - 2));
        root.draw(&scale.word(words, place, scale.text_of(12, INK, HPos::Left)))?;
        Ok(())
    }
}
