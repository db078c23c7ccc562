//! Parts of pictures: cells of a colour, scales of colours, lines that stand out. Places are pixels of the picture, before it is scaled.

use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::HPos;

use crate::picture::{Drawn, INK, Scale, viridis};

/// Colours of a scale: few, so that neighbours join.
const LEVELS: f64 = 96.0;

/// The colour of a share from 0 to 1, as pictures of many cells use it.
pub fn level(share: f64) -> RGBColor {
    viridis((share * LEVELS).round() / LEVELS)
}

/// Draws `count` cells of `size` pixels, row by row from the upper left `corner`.
pub fn cells<B: DrawingBackend>(
    root: &DrawingArea<B, Shift>,
    scale: Scale,
    [left, top]: [i32; 2],
    size: i32,
    [columns, rows]: [usize; 2],
    colour: impl Fn(usize) -> RGBColor,
) -> Drawn
where
    B::ErrorType: 'static,
{
    for row in 0..rows {
        let mut column = 0;
        while column < columns {
            let fill = colour(row * columns + column);
            // Cells of one colour in a row are one rectangle.
            let same = (column..columns).take_while(|&next| colour(row * columns + next) == fill).count();
            let (x, y) = (left + column as i32 * size, top + row as i32 * size);
            // A bitmap's rectangle includes its last pixel, which the next one paints over.
            let corners = [(scale.at(x), scale.at(y)), (scale.at(x + same as i32 * size), scale.at(y + size))];
            root.draw(&Rectangle::new(corners, fill.filled()))?;
            column += same;
        }
    }
    Ok(())
}

/// What a scale of colours means.
#[derive(Clone, Debug, PartialEq)]
pub struct Bar {
    /// What stands above, with a unit.
    pub title: String,
    /// What stands beside it, by shares from 0 to 1.
    pub ticks: Vec<(f64, String)>,
}

impl Bar {
    /// Of values from `low` to `high`, even, with `count` intervals between ticks of `digits` decimals.
    pub fn even(title: &str, [low, high]: [f64; 2], count: usize, digits: usize) -> Self {
        let tick = |place: usize| {
            let share = place as f64 / count as f64;
            (share, format!("{:.digits$}", low + share * (high - low)))
        };
        Self { title: title.into(), ticks: (0..=count).map(tick).collect() }
    }

    /// Of values from `low` to `high`, with ticks at two to six round values; `low` is light where `turned`.
    pub fn round(title: &str, [low, high]: [f64; 2], turned: bool) -> Self {
        let rough = (high - low) / 4.0;
        let power = 10_f64.powf(rough.log10().floor());
        let step = power * [1.0, 2.0, 5.0].into_iter().find(|digit| digit * power >= 0.7 * rough).unwrap_or(10.0);
        let digits = (-step.log10().floor()).max(0.0) as usize;
        let share = |value: f64| {
            let share = (value - low) / (high - low);
            if turned { 1.0 - share } else { share }
        };
        let ticks = ((low / step).ceil() as i64..=(high / step).floor() as i64).map(|number| {
            let value = number as f64 * step;
            (share(value), format!("{value:.digits$}"))
        });
        Self { title: title.into(), ticks: ticks.collect() }
    }

    /// Draws it with its lower end at the lower end of a `height`, with the title above its upper end.
    pub fn draw<B: DrawingBackend>(
        &self,
        root: &DrawingArea<B, Shift>,
        scale: Scale,
        [left, top]: [i32; 2],
        [width, height]: [i32; 2],
    ) -> Drawn
    where
        B::ErrorType: 'static,
    {
        let parts = height.min(LEVELS as i32);
        for part in 0..parts {
            let from = top + height * part / parts;
            let to = top + height * (part + 1) / parts;
            let share = 1.0 - (f64::from(part) + 0.5) / f64::from(parts);
            let corners = [(scale.at(left), scale.at(from)), (scale.at(left + width), scale.at(to))];
            root.draw(&Rectangle::new(corners, level(share).filled()))?;
        }
        frame(root, scale, [left, top], [width, height])?;
        for (share, text) in &self.ticks {
            let y = top + ((1.0 - share) * f64::from(height)).round() as i32;
            let mark = [(scale.at(left + width), scale.at(y)), (scale.at(left + width + 4), scale.at(y))];
            root.draw(&PathElement::new(mark, INK.stroke_width(scale.of(1))))?;
            let place = (scale.at(left + width + 8), scale.at(y));
            root.draw(&scale.word(text.clone(), place, scale.text(INK, HPos::Left)))?;
        }
        for (line, text) in self.title.split('\n').rev().enumerate() {
            let place = (scale.at(left), scale.at(top - 16 - 17 * line as i32));
            root.draw(&scale.word(text, place, scale.text(INK, HPos::Left)))?;
        }
        Ok(())
    }
}

/// A thin line around a rectangle.
pub fn frame<B: DrawingBackend>(
    root: &DrawingArea<B, Shift>,
    scale: Scale,
    [left, top]: [i32; 2],
    [width, height]: [i32; 2],
) -> Drawn
where
    B::ErrorType: 'static,
{
    let corners = [(scale.at(left), scale.at(top)), (scale.at(left + width), scale.at(top + height))];
    root.draw(&Rectangle::new(corners, INK.stroke_width(scale.of(1))))?;
    Ok(())
}

/// Text in the middle of its line.
pub fn word<B: DrawingBackend>(
    root: &DrawingArea<B, Shift>,
    scale: Scale,
    text: impl Into<String>,
    [x, y]: [i32; 2],
    colour: RGBColor,
    horizontal: HPos,
) -> Drawn
where
    B::ErrorType: 'static,
{
    root.draw(&scale.word(text, (scale.at(x), scale.at(y)), scale.text(colour, horizontal)))?;
    Ok(())
}

/// A line through `points`, `width` pixels wide, with white along both sides where `cased`.
pub fn line<B: DrawingBackend>(
    root: &DrawingArea<B, Shift>,
    scale: Scale,
    points: &[[f64; 2]],
    colour: RGBColor,
    width: u32,
    cased: bool,
) -> Drawn
where
    B::ErrorType: 'static,
{
    let pixels = |along: f64| (along * f64::from(scale.of(1))).round() as i32;
    let points: Vec<(i32, i32)> = points.iter().map(|[x, y]| (pixels(*x), pixels(*y))).collect();
    if cased {
        root.draw(&PathElement::new(points.clone(), WHITE.stroke_width(scale.of(width + 2))))?;
    }
    root.draw(&PathElement::new(points, colour.stroke_width(scale.of(width))))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scales_have_round_ticks() {
        let texts = |bar: &Bar| bar.ticks.iter().map(|(_, text)| text.clone()).collect::<Vec<_>>();
        let bar = Bar::round("depth [m]", [0.666, 0.758], true);
        assert_eq!(texts(&bar), ["0.68", "0.70", "0.72", "0.74"]);
        assert!((bar.ticks[1].0 - (1.0 - 0.034 / 0.092)).abs() <= 1e-9);
        assert_eq!(texts(&Bar::round("", [-13.0, 85.0], false)), ["0", "20", "40", "60", "80"]);
        assert_eq!(texts(&Bar::even("", [0.0, 1.0], 2, 1)), ["0.0", "0.5", "1.0"]);
        assert!(Bar::even("", [0.0, 1.0], 2, 1).ticks.iter().map(|(share, _)| *share).eq([0.0, 0.5, 1.0]));
    }
}
