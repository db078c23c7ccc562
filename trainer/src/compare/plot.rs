//! A comparison as a picture: for each number of shots a panel, for each method a point with its 95% interval.

use std::error::Error;
use std::ops::Range;

use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::HPos;

use super::{Kind, Line};
use crate::picture::{self, FONT, GRID, INK, Picture, Scale};
use crate::table::{number, with_interval};

/// One method.
#[derive(Clone, Debug, PartialEq)]
pub struct Point {
    /// What stands to the left.
    pub name: String,
    /// What it is.
    pub kind: Kind,
    /// Its score, and half of its 95% interval.
    pub score: [f64; 2],
}

/// The methods with one number of shots.
#[derive(Clone, Debug, PartialEq)]
pub struct Panel {
    /// What stands above.
    pub title: String,
    /// The methods, from above.
    pub points: Vec<Point>,
    /// Whether more is better.
    pub higher_is_better: bool,
}

impl Point {
    /// Of a line.
    pub fn of(line: &Line<'_>) -> Self {
        Self { name: line.entry.label(), kind: line.entry.kind, score: [line.score.mean, line.score.ci95] }
    }
}

const WIDTH: u32 = 900;
const ROW: u32 = 24;
const HEAD: u32 = 34;
const FOOT: u32 = 38;
const LEGEND: u32 = 30;
/// Beyond so many times the median mean an error is off the picture.
const FAR: f64 = 3.0;

fn colour(kind: Kind) -> RGBColor {
    match kind {
        Kind::Learner => RGBColor(24, 98, 196),
        Kind::Baseline => RGBColor(208, 86, 44),
        Kind::Oracle => INK,
    }
}

impl Panel {
    fn height(&self) -> u32 {
        HEAD + ROW * self.points.len() as u32 + FOOT
    }

    /// What the axis runs over: all intervals, but not what is far worse than the median.
    fn range(&self) -> Option<Range<f64>> {
        let mut means: Vec<f64> =
            self.points.iter().map(|point| point.score[0]).filter(|mean| mean.is_finite()).collect();
        means.sort_by(f64::total_cmp);
        let middle = *means.get(means.len().checked_sub(1)? / 2)?;
        let most = if self.higher_is_better || middle <= 0.0 { f64::INFINITY } else { FAR * middle };
        let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
        for [mean, ci95] in self.points.iter().map(|point| point.score) {
            let half = if ci95.is_finite() { ci95 } else { 0.0 };
            if mean.is_finite() && mean <= most {
                low = low.min(mean - half);
                high = high.max((mean + half).min(most));
            }
        }
        let margin = 0.05 * (high - low);
        // A single value has an axis, too.
        let margin = if margin > 0.0 { margin } else { 0.5 * low.abs().max(1e-6) };
        (low <= high).then_some(low - margin..high + margin)
    }
}

fn draw<B: DrawingBackend>(root: &DrawingArea<B, Shift>, panels: &[Panel], scale: Scale) -> Result<(), Box<dyn Error>>
where
    B::ErrorType: 'static,
{
    let width_of = |text: &str| -> Result<u32, Box<dyn Error>> {
        Ok(root.estimate_text_size(text, &scale.text(INK, HPos::Left))?.0)
    };
    let (mut left, mut right) = (0, 0);
    for point in panels.iter().flat_map(|panel| &panel.points) {
        left = left.max(width_of(&point.name)?);
        right = right.max(width_of(&with_interval(point.score))?);
    }
    let gap = scale.of(14);
    let mut x = gap as i32;
    for (kind, word) in [(Kind::Learner, "learners"), (Kind::Baseline, "baselines"), (Kind::Oracle, "oracle")] {
        if panels.iter().flat_map(|panel| &panel.points).any(|point| point.kind == kind) {
            let y = scale.of(LEGEND / 2 + 4) as i32;
            root.draw(&Circle::new((x + scale.at(4), y), scale.at(4), colour(kind).filled()))?;
            root.draw(&scale.word(word, (x + scale.at(14), y), scale.text(INK, HPos::Left)))?;
            x += scale.at(14 + 24) + width_of(word)? as i32;
        }
    }
    let mut rest = root.margin(scale.of(LEGEND), 0, 0, 0);
    for panel in panels {
        let (area, below) = rest.split_vertically(scale.of(panel.height()));
        draw_panel(root, &area, panel, [left + 2 * gap, right + 2 * gap], scale)?;
        rest = below;
    }
    Ok(())
}

fn draw_panel<B: DrawingBackend>(
    root: &DrawingArea<B, Shift>,
    area: &DrawingArea<B, Shift>,
    panel: &Panel,
    [left, right]: [u32; 2],
    scale: Scale,
) -> Result<(), Box<dyn Error>>
where
    B::ErrorType: 'static,
{
    let range = panel.range().unwrap_or(0.0..1.0);
    let rows = panel.points.len() as f64;
    let mut chart = ChartBuilder::on(area)
        .margin_top(scale.of(HEAD))
        .margin_left(left)
        .margin_right(right)
        .x_label_area_size(scale.of(FOOT))
        .build_cartesian_2d(range.clone(), 0.0..rows)?;
    chart
        .configure_mesh()
        .disable_y_mesh()
        .disable_y_axis()
        .light_line_style(TRANSPARENT)
        .bold_line_style(GRID.stroke_width(scale.of(1)))
        .axis_style(INK.stroke_width(scale.of(1)))
        .label_style(("sans-serif", scale.at(FONT)))
        .x_labels(6)
        .x_label_formatter(&|value| tick(*value))
        .draw()?;
    let plot = chart.plotting_area();
    let pixel = |x: f64, row: usize| plot.map_coordinate(&(x.clamp(range.start, range.end), rows - row as f64 - 0.5));
    let (from, to) = (pixel(range.start, 0).0, pixel(range.end, 0).0);
    let (_, top) = pixel(range.start, 0);
    let title = scale.word(panel.title.clone(), (from, top - scale.at(HEAD as i32 - 8)), scale.text(INK, HPos::Left));
    root.draw(&title)?;
    for (row, point) in panel.points.iter().enumerate() {
        let [mean, ci95] = point.score;
        let ink = colour(point.kind);
        let (_, y) = pixel(range.start, row);
        root.draw(&scale.word(point.name.clone(), (from - scale.at(14), y), scale.text(ink, HPos::Right)))?;
        root.draw(&scale.word(with_interval(point.score), (to + scale.at(14), y), scale.text(ink, HPos::Left)))?;
        if mean.is_nan() {
            continue;
        }
        if mean > range.end {
            // Off the picture: an arrow.
            let corners = [(to - scale.at(8), y - scale.at(5)), (to, y), (to - scale.at(8), y + scale.at(5))];
            root.draw(&Polygon::new(corners, ink.filled()))?;
            continue;
        }
        let half = if ci95.is_nan() { 0.0 } else { ci95 };
        let ends = [pixel(mean - half, row).0, pixel(mean + half, row).0];
        root.draw(&PathElement::new([(ends[0], y), (ends[1], y)], ink.stroke_width(scale.of(2))))?;
        for (end, value) in ends.into_iter().zip([mean - half, mean + half]) {
            if range.contains(&value) {
                let cap = [(end, y - scale.at(4)), (end, y + scale.at(4))];
                root.draw(&PathElement::new(cap, ink.stroke_width(scale.of(2))))?;
            }
        }
        root.draw(&Circle::new((pixel(mean, row).0, y), scale.at(4), ink.filled()))?;
    }
    Ok(())
}

/// A number beside an axis, without the digits that sums of steps leave.
fn tick(value: f64) -> String {
    let text = number(value);
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').into() } else { text }
}

/// All panels, one below the other.
struct Panels<'a>(&'a [Panel]);

impl Picture for Panels<'_> {
    fn size(&self) -> [u32; 2] {
        [WIDTH, LEGEND + self.0.iter().map(Panel::height).sum::<u32>()]
    }

    fn draw<B: DrawingBackend>(&self, root: &DrawingArea<B, Shift>, scale: Scale) -> Result<(), Box<dyn Error>>
    where
        B::ErrorType: 'static,
    {
        draw(root, self.0, scale)
    }
}

/// The picture as SVG.
///
/// # Errors
/// If it cannot be drawn.
pub fn svg(panels: &[Panel]) -> Result<String, Box<dyn Error>> {
    picture::svg(&Panels(panels))
}

/// The picture as PNG, with twice as many pixels each way.
///
/// # Errors
/// If it cannot be drawn.
pub fn png(panels: &[Panel]) -> Result<Vec<u8>, Box<dyn Error>> {
    picture::png(&Panels(panels))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn panel(higher_is_better: bool, scores: &[[f64; 2]]) -> Panel {
        let kinds = [Kind::Learner, Kind::Baseline, Kind::Oracle];
        let point = |(place, score): (usize, &[f64; 2])| Point {
            name: format!("method & {place}"),
            kind: kinds[place % 3],
            score: *score,
        };
        let points = scores.iter().enumerate().map(point).collect();
        Panel { title: "5 shots <mse>".into(), points, higher_is_better }
    }

    #[test]
    fn axes_hold_what_can_be_seen() {
        let range = panel(false, &[[1.0, 0.1], [2.0, 0.5], [100.0, 1.0], [1.5, f64::NAN]]).range().unwrap();
        assert!(range.start < 0.9 && range.end > 2.5 && range.end < 5.0, "{range:?}");
        let range = panel(true, &[[0.1, 0.01], [0.2, 0.01], [0.9, 0.02]]).range().unwrap();
        assert!(range.end > 0.92, "{range:?}");
        assert!(panel(false, &[[0.0, 0.0]]).range().is_some());
        assert_eq!(panel(false, &[[f64::NAN, f64::NAN], [f64::INFINITY, f64::INFINITY]]).range(), None);
    }

    #[test]
    fn pictures_are_pictures() {
        let panels = [
            panel(false, &[[1.0, 0.1], [2.0, 0.5], [100.0, 1.0], [f64::NAN, f64::NAN], [f64::INFINITY, f64::INFINITY]]),
            panel(true, &[[0.5, f64::NAN]]),
            panel(true, &[]),
        ];
        let svg = svg(&panels).unwrap();
        assert!(svg.starts_with("<svg") && svg.contains("method &amp; 0") && svg.contains("5 shots &lt;mse&gt;"));
        let file = png(&panels).unwrap();
        let mut reader = ::png::Decoder::new(std::io::Cursor::new(file)).read_info().unwrap();
        let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
        let info = reader.next_frame(&mut pixels).unwrap();
        assert_eq!([info.width, info.height], Panels(&panels).size().map(|pixels| 2 * pixels));
        // Something of every colour is there.
        for kind in [Kind::Learner, Kind::Baseline, Kind::Oracle] {
            let RGBColor(r, g, b) = colour(kind);
            assert!(pixels.chunks_exact(3).any(|pixel| pixel == [r, g, b]), "{kind:?}");
        }
    }
}
