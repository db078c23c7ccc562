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
/// Of the disc behind a mark, in pixels.
const RADIUS: i32 = 9;
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

/// Places of marks in pixels, each moved up until it lies beside those before it.
fn apart(marks: &[Mark]) -> Vec<[f64; 2]> {
    let least = f64::from(2 * RADIUS);
    let mut places: Vec<[f64; 2]> = Vec::with_capacity(marks.len());
    for mark in marks {
        let mut at = mark.place.map(|share| share * f64::from(SIDE));
        let beside = |[x, y]: [f64; 2]| places.iter().all(|other| (x - other[0]).hypot(y - other[1]) >= least);
        while !beside(at) && at[1] > least {
            at[1] -= 2.0;
        }
        places.push(at);
    }
    places
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
            let pixels = |[x, y]: [f64; 2]| [left + x.round() as i32, HEAD + y.round() as i32].map(|at| scale.at(at));
            for (Mark { place, text, colour }, at) in view.marks.iter().zip(apart(&view.marks)) {
                let ([x, y], foot) = (pixels(at), pixels(place.map(|share| share * f64::from(SIDE))));
                let stroke = colour.stroke_width(scale.of(1));
                root.draw(&PathElement::new([(x, y), foot.into()], stroke))?;
                root.draw(&Circle::new((x, y), scale.at(RADIUS), WHITE.mix(0.9).filled()))?;
                root.draw(&Circle::new((x, y), scale.at(RADIUS), stroke))?;
                root.draw(&scale.word(text.clone(), (x, y), scale.text(*colour, HPos::Center)))?;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_do_not_hide_each_other() {
        let mark = |place| Mark { place, text: "✓".into(), colour: INK };
        let marks = [mark([0.5, 0.5]), mark([0.5, 0.51]), mark([0.51, 0.5]), mark([0.9, 0.9])];
        let places = apart(&marks);
        for (number, one) in places.iter().enumerate() {
            for other in &places[..number] {
                assert!((one[0] - other[0]).hypot(one[1] - other[1]) >= f64::from(2 * RADIUS), "{places:?}");
            }
        }
        assert_eq!((places[0], places[3]), ([225.0, 225.0], [405.0, 405.0]));
    }

    #[test]
    fn views_are_as_large_as_they_say() {
        let view =
            |grey| View { title: "one".into(), image: vec![grey; 12 * (SIDE * SIDE) as usize], marks: Vec::new() };
        let views = Views { views: vec![view(10), view(200)], notes: vec!["note".into()], bar: None };
        let file = crate::picture::png(&views).unwrap();
        let mut reader = ::png::Decoder::new(std::io::Cursor::new(file)).read_info().unwrap();
        let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
        let info = reader.next_frame(&mut pixels).unwrap();
        assert_eq!([info.width, info.height], views.size().map(|side| 2 * side));
        let pixel = |x: u32, y: u32| pixels[3 * (y * info.width + x) as usize];
        assert_eq!(
            (pixel(4 * MARGIN as u32, info.height / 2), pixel(info.width - 4 * MARGIN as u32, info.height / 2)),
            (10, 200)
        );
        assert!(crate::picture::svg(&views).unwrap_err().to_string().contains("PNG"));
    }
}
