//! One or several looks at an object and grasps of it, beside each other.

use plotters::coord::Shift;
use plotters::element::BitMapElement;
use plotters::prelude::*;
use plotters::style::text_anchor::HPos;

use crate::picture::{Drawn, INK, Picture, Scale};
use crate::show::draw::{Bar, word};

/// Pixels of a side of a look; twice as many in a PNG.
pub const SIDE: u32 = 450;
const HEAD: i32 = 42;
const BETWEEN: i32 = 10;
const MARGIN: i32 = 14;
const LINE: i32 = 19;
/// What a scale of colours takes to the right.
const BAR: i32 = 116;

/// A word in a look.
#[derive(Clone, Debug, PartialEq)]
pub struct Mark {
    /// Where, as shares of width and height.
    pub place: [f64; 2],
    /// What.
    pub text: String,
    /// Its colour, on a white disc.
    pub colour: RGBColor,
}

/// One look.
#[derive(Clone, Debug)]
pub struct View {
    /// What stands above.
    pub title: String,
    /// Red, green and blue of twice [`SIDE`] pixels each way.
    pub image: Vec<u8>,
    /// What is written over it.
    pub marks: Vec<Mark>,
}

/// All of them.
#[derive(Clone, Debug)]
pub struct Views {
    /// From the left.
    pub views: Vec<View>,
    /// Lines below.
    pub notes: Vec<String>,
    /// What colours mean.
    pub bar: Option<Bar>,
}

impl Picture for Views {
    fn size(&self) -> [u32; 2] {
        let count = self.views.len() as i32;
        let width = 2 * MARGIN + count * SIDE as i32 + (count - 1) * BETWEEN + self.bar.as_ref().map_or(0, |_| BAR);
        let height = HEAD + SIDE as i32 + LINE * self.notes.len() as i32 + 2 * MARGIN;
        [width as u32, height as u32]
    }

    /// As PNG only: the backend of SVG would draw a rectangle for each pixel.
    fn draw<B: DrawingBackend>(&self, root: &DrawingArea<B, Shift>, scale: Scale) -> Drawn
    where
        B::ErrorType: 'static,
    {
        let pixels = scale.of(SIDE);
        if 3 * (pixels as usize).pow(2) != self.views.iter().map(|view| view.image.len()).max().unwrap_or(0) {
            return Err("expected a PNG: shaded views cannot be drawn as SVG".into());
        }
        for (place, view) in self.views.iter().enumerate() {
            let left = MARGIN + place as i32 * (SIDE as i32 + BETWEEN);
            word(root, scale, view.title.clone(), [left + 2, HEAD / 2 + 2], INK, HPos::Left)?;
            let corner = (scale.at(left), scale.at(HEAD));
            if let Some(image) = BitMapElement::with_owned_buffer(corner, (pixels, pixels), view.image.clone()) {
                root.draw(&image)?;
            }
            for Mark { place: [x, y], text, colour } in &view.marks {
                let [x, y] =
                    [left, HEAD].map(f64::from).into_iter().zip([x, y]).fold([0, 0], |[_, last], (from, share)| {
                        [last, (from + share * f64::from(SIDE)).round() as i32]
                    });
                let middle = (scale.at(x), scale.at(y));
                root.draw(&Circle::new(middle, scale.at(10), WHITE.mix(0.85).filled()))?;
                root.draw(&Circle::new(middle, scale.at(10), colour.stroke_width(scale.of(1))))?;
                root.draw(&scale.word(text.clone(), middle, scale.text(*colour, HPos::Center)))?;
            }
        }
        if let Some(bar) = &self.bar {
            let left = MARGIN + self.views.len() as i32 * (SIDE as i32 + BETWEEN) + 6;
            let height = 2 * SIDE as i32 / 3;
            bar.draw(root, scale, [left, HEAD + 70], [18, height])?;
        }
        for (line, note) in self.notes.iter().enumerate() {
            let y = HEAD + SIDE as i32 + MARGIN + LINE * line as i32;
            word(root, scale, note.clone(), [MARGIN + 2, y + 2], INK, HPos::Left)?;
        }
        Ok(())
    }
}
