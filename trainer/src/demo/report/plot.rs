//! Drawings of the report, as SVG in a string.

use std::error::Error;
use std::ops::Range;

use plotters::coord::Shift;
use plotters::prelude::*;

use crate::demo::latency::Latencies;

/// SVG, or why there is none.
pub type Drawn = Result<String, Box<dyn Error>>;

/// The colour of the rover that does not adapt.
pub const UNADAPTED: RGBColor = RGBColor(208, 86, 44);
/// The colour of the rover that adapts.
pub const ADAPTED: RGBColor = RGBColor(24, 98, 196);
/// The colour of the oracle.
pub const ORACLE: RGBColor = RGBColor(40, 40, 40);

const GRID: RGBColor = RGBColor(232, 232, 232);
const FONT: (&str, i32) = ("sans-serif", 13);
const SIZE: (u32, u32) = (480, 320);

/// A point of a curve: where, how high, and half of its 95% interval.
pub type Point = [f64; 3];

/// A curve and what it is.
#[derive(Clone, Debug)]
pub struct Curve {
    /// As the legend names it.
    pub name: String,
    /// Its colour.
    pub colour: RGBColor,
    /// Its points, from the left.
    pub points: Vec<Point>,
}

/// What stands beside the axes.
#[derive(Clone, Copy, Debug)]
pub struct Axes<'a> {
    /// Below.
    pub x: &'a str,
    /// To the left.
    pub y: &'a str,
}

/// A number beside an axis.
fn tick(value: f64) -> String {
    // Sums of steps such as 0.1 are a little beside what they mean.
    let rounded = (value * 1e6).round() / 1e6;
    format!("{}", if rounded == 0.0 { 0.0 } else { rounded })
}

/// Draws into a string.
pub(super) fn drawn(
    size: (u32, u32),
    draw: impl FnOnce(&DrawingArea<SVGBackend<'_>, Shift>) -> Result<(), Box<dyn Error>>,
) -> Drawn {
    crate::fonts::register()?;
    let mut svg = String::new();
    {
        let root = SVGBackend::with_string(&mut svg, size).into_drawing_area();
        draw(&root)?;
        root.present()?;
    }
    Ok(svg)
}

/// Curves with their intervals; the y axis runs over `y`.
///
/// # Errors
/// If it cannot be drawn.
pub fn curves(axes: Axes<'_>, y: Range<f64>, curves: &[Curve]) -> Drawn {
    let xs = || curves.iter().flat_map(|curve| &curve.points).map(|point| point[0]);
    let x = xs().fold(f64::INFINITY, f64::min)..xs().fold(f64::NEG_INFINITY, f64::max);
    if !(x.start < x.end && y.start < y.end) {
        return Err("expected curves of at least two points".into());
    }
    drawn(SIZE, |root| {
        let mut chart = ChartBuilder::on(root)
            .margin(12)
            .margin_right(28)
            .x_label_area_size(42)
            .y_label_area_size(56)
            .build_cartesian_2d(x, y.clone())?;
        chart
            .configure_mesh()
            .light_line_style(TRANSPARENT)
            .bold_line_style(GRID)
            .axis_style(ORACLE)
            .label_style(FONT)
            .x_desc(axes.x)
            .y_desc(axes.y)
            .x_labels(7)
            .y_labels(6)
            .x_label_formatter(&|value| tick(*value))
            .y_label_formatter(&|value| tick(*value))
            .draw()?;
        let inside = |value: f64| value.clamp(y.start, y.end);
        for Curve { name, colour, points } in curves {
            let style = colour.stroke_width(2);
            let high = points.iter().map(|[x, y, half]| (*x, inside(y + half)));
            let low = points.iter().rev().map(|[x, y, half]| (*x, inside(y - half)));
            if points.iter().any(|point| point[2] > 0.0) {
                chart.draw_series([Polygon::new(high.chain(low).collect::<Vec<_>>(), colour.mix(0.13))])?;
            }
            let line = points.iter().map(|[x, y, _]| (*x, inside(*y)));
            chart
                .draw_series(LineSeries::new(line, style))?
                .label(name)
                .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], style));
        }
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::UpperRight)
            .background_style(WHITE.mix(0.85))
            .border_style(GRID)
            .label_font(FONT)
            .draw()?;
        Ok(())
    })
}

/// Pairs `(true, predicted)` of energies in J/m on logarithmic axes, with the line on which they would be equal.
///
/// # Errors
/// If it cannot be drawn.
pub fn scatter(range: Range<f64>, colour: RGBColor, pairs: &[[f64; 2]]) -> Drawn {
    drawn((400, 400), |root| {
        let mut chart = ChartBuilder::on(root)
            .margin(12)
            .margin_right(28)
            .x_label_area_size(42)
            .y_label_area_size(56)
            .build_cartesian_2d(range.clone().log_scale(), range.clone().log_scale())?;
        chart
            .configure_mesh()
            .light_line_style(TRANSPARENT)
            .bold_line_style(GRID)
            .axis_style(ORACLE)
            .label_style(FONT)
            .x_desc("true energy [J/m]")
            .y_desc("predicted energy [J/m]")
            .x_labels(6)
            .y_labels(6)
            .x_label_formatter(&|value| tick(*value))
            .y_label_formatter(&|value| tick(*value))
            .draw()?;
        let inside = |value: f64| value.clamp(range.start, range.end);
        let dots = pairs.iter().map(|[x, y]| Circle::new((inside(*x), inside(*y)), 2, colour.mix(0.3).filled()));
        chart.draw_series(dots)?;
        let equal = [(range.start, range.start), (range.end, range.end)];
        chart.draw_series(LineSeries::new(equal, ORACLE.stroke_width(1)))?;
        Ok(())
    })
}

/// How often something took how long, up to `end` µs; the last bar also holds what took longer.
///
/// # Errors
/// If it cannot be drawn.
pub fn histogram(axes: Axes<'_>, end: f64, latencies: &Latencies) -> Drawn {
    const BINS: usize = 40;
    let counts = latencies.histogram(end, BINS);
    let most = f64::from(counts.iter().copied().max().unwrap_or(0).max(1));
    drawn(SIZE, |root| {
        let mut chart = ChartBuilder::on(root)
            .margin(12)
            .margin_right(28)
            .x_label_area_size(42)
            .y_label_area_size(56)
            .build_cartesian_2d(0.0..end, 0.0..most * 1.08)?;
        chart
            .configure_mesh()
            .light_line_style(TRANSPARENT)
            .bold_line_style(GRID)
            .axis_style(ORACLE)
            .label_style(FONT)
            .disable_x_mesh()
            .x_desc(axes.x)
            .y_desc(axes.y)
            .x_labels(7)
            .y_labels(6)
            .x_label_formatter(&|value| tick(*value))
            .y_label_formatter(&|value| tick(*value))
            .draw()?;
        let width = end / BINS as f64;
        let bars = counts.iter().enumerate().filter(|(_, count)| **count > 0).map(|(bin, count)| {
            let left = bin as f64 * width;
            let corners = [(left + 0.08 * width, 0.0), (left + 0.92 * width, f64::from(*count))];
            Rectangle::new(corners, ADAPTED.mix(0.8).filled())
        });
        chart.draw_series(bars)?;
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::super::html::check;
    use super::*;
    use std::time::Duration;

    #[test]
    fn ticks_are_short() {
        assert_eq!([0.1 + 0.2, 1000.0, -1e-12].map(tick), ["0.3", "1000", "0"]);
    }

    #[test]
    fn drawings_are_well_formed() {
        let axes = Axes { x: "driven <edges>", y: "regret & more" };
        let curve = Curve {
            name: "a < b".into(),
            colour: ADAPTED,
            points: vec![[0.0, 1.0, 0.1], [1.0, 0.5, 0.2], [2.0, f64::NAN, 0.0]],
        };
        let latencies = Latencies::of((0..100).map(Duration::from_micros));
        let drawings = [
            curves(axes, 0.0..1.5, std::slice::from_ref(&curve)).unwrap(),
            scatter(10.0..1e4, UNADAPTED, &[[100.0, 120.0], [1.0, 1e9]]).unwrap(),
            histogram(axes, 60.0, &latencies).unwrap(),
            histogram(axes, 60.0, &Latencies::default()).unwrap(),
        ];
        for svg in drawings {
            assert!(svg.starts_with("<svg"));
            check::balanced(&svg);
        }
        assert!(curves(axes, 0.0..1.0, &[]).is_err() && curves(axes, f64::NAN..1.0, &[curve]).is_err());
    }
}
