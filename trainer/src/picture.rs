//! Pictures: drawn once, as SVG for pages and as PNG with twice as many pixels each way. Colours that do not depend on seeing all of them.

use std::error::Error;
use std::io::Cursor;
use std::path::{Path, PathBuf};

use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

/// Nothing, or why it cannot be drawn.
pub type Drawn = Result<(), Box<dyn Error>>;

/// Height of letters, in pixels.
pub const FONT: i32 = 14;
/// Lines behind what is drawn.
pub const GRID: RGBColor = RGBColor(225, 225, 225);
/// Letters and axes.
pub const INK: RGBColor = RGBColor(40, 40, 40);
/// Seven colours that can be told apart with any eyes (Okabe and Ito 2008, *Color universal design*), without yellow, which is too light
/// for lines on white: blue, vermilion, green, purple, orange, sky blue, black.
pub const COLOURS: [RGBColor; 7] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(230, 159, 0),
    RGBColor(86, 180, 233),
    RGBColor(0, 0, 0),
];
/// What held, or was right; of [`COLOURS`].
pub const GOOD: RGBColor = COLOURS[0];
/// What did not hold, or was wrong; of [`COLOURS`].
pub const BAD: RGBColor = COLOURS[1];

/// The colour of a share from 0 (dark) to 1 (light) on a scale that all eyes and grey printers keep in order: viridis. What is not a number
/// is grey.
pub fn viridis(share: f64) -> RGBColor {
    if share.is_nan() { RGBColor(150, 150, 150) } else { ViridisRGB.get_color(share.clamp(0.0, 1.0)) }
}

/// The colour of what goes both ways, from −1 ([`BAD`]) through 0 (near white) to 1 ([`GOOD`]). What is not a number is grey.
pub fn diverging(value: f64) -> RGBColor {
    if value.is_nan() {
        return viridis(value);
    }
    let (end, share) = (if value < 0.0 { BAD } else { GOOD }, value.abs().min(1.0));
    let mix = |middle: u8, end: u8| (f64::from(middle) + share * (f64::from(end) - f64::from(middle))).round() as u8;
    let RGBColor(red, green, blue) = MIDDLE;
    RGBColor(mix(red, end.0), mix(green, end.1), mix(blue, end.2))
}

/// The middle of [`diverging`]: not white, so that a cell can be told from paper.
const MIDDLE: RGBColor = RGBColor(245, 245, 245);

/// How a picture is drawn.
#[derive(Clone, Copy, Debug)]
pub struct Scale {
    /// Numbers of pixels are larger by this factor.
    factor: u32,
    /// So much lower text is put to be in the middle: the bitmap's is a little high.
    drop: i32,
}

impl Scale {
    /// As SVG.
    pub const LINES: Self = Self { factor: 1, drop: 0 };
    /// As PNG.
    pub const PIXELS: Self = Self { factor: 2, drop: 2 };

    /// A length in pixels of the picture.
    pub const fn of(self, pixels: u32) -> u32 {
        self.factor * pixels
    }

    /// A place in pixels of the picture.
    pub const fn at(self, pixels: i32) -> i32 {
        self.factor as i32 * pixels
    }

    /// Text about a place that is in pixels of the picture already.
    pub fn word(
        self,
        text: impl Into<String>,
        (x, y): (i32, i32),
        style: TextStyle<'static>,
    ) -> Text<'static, (i32, i32), String> {
        Text::new(text.into(), (x, y + self.at(self.drop)), style)
    }

    /// Letters of the usual height, in the middle of their line.
    pub fn text(self, colour: RGBColor, horizontal: HPos) -> TextStyle<'static> {
        self.text_of(FONT, colour, horizontal)
    }

    /// The same of another height.
    pub fn text_of(self, height: i32, colour: RGBColor, horizontal: HPos) -> TextStyle<'static> {
        let font = ("sans-serif", self.at(height)).into_font();
        TextStyle { font, color: colour.to_backend_color(), pos: Pos::new(horizontal, VPos::Center) }
    }
}

/// What can be drawn.
pub trait Picture {
    /// Width and height, in pixels of SVG.
    fn size(&self) -> [u32; 2];

    /// Draws it on white, `scale` times as large.
    ///
    /// # Errors
    /// If the backend cannot.
    fn draw<B: DrawingBackend>(&self, root: &DrawingArea<B, Shift>, scale: Scale) -> Drawn
    where
        B::ErrorType: 'static;
}

/// The picture as SVG.
///
/// # Errors
/// If it cannot be drawn.
pub fn svg(picture: &impl Picture) -> Result<String, Box<dyn Error>> {
    crate::fonts::register()?;
    let [width, height] = picture.size();
    let mut svg = String::new();
    {
        let root = SVGBackend::with_string(&mut svg, (width, height)).into_drawing_area();
        root.fill(&WHITE)?;
        picture.draw(&root, Scale::LINES)?;
        root.present()?;
    }
    Ok(svg)
}

/// The picture as PNG, with twice as many pixels each way.
///
/// # Errors
/// If it cannot be drawn.
pub fn png(picture: &impl Picture) -> Result<Vec<u8>, Box<dyn Error>> {
    crate::fonts::register()?;
    let [width, height] = picture.size().map(|pixels| Scale::PIXELS.of(pixels));
    let mut pixels = vec![0; width as usize * height as usize * 3];
    {
        let root = BitMapBackend::with_buffer(&mut pixels, (width, height)).into_drawing_area();
        root.fill(&WHITE)?;
        picture.draw(&root, Scale::PIXELS)?;
        root.present()?;
    }
    let mut file = Cursor::new(Vec::new());
    {
        let mut encoder = ::png::Encoder::new(&mut file, width, height);
        encoder.set_color(::png::ColorType::Rgb);
        encoder.set_depth(::png::BitDepth::Eight);
        encoder.write_header()?.write_image_data(&pixels)?;
    }
    Ok(file.into_inner())
}

/// Writes `name.png` and `name.svg` into `folder`; what was written.
///
/// # Errors
/// If it cannot be drawn, or a file cannot be written.
pub fn write_both(folder: &Path, name: &str, picture: &impl Picture) -> Result<Vec<PathBuf>, Box<dyn Error>> {
    let drawing = svg(picture)?;
    let mut written = write_png(folder, name, picture)?;
    written.push(write(folder.join(format!("{name}.svg")), drawing.as_bytes())?);
    Ok(written)
}

/// Writes `name.png` into `folder`: for what has shades that lines cannot draw; what was written.
///
/// # Errors
/// As [`write_both`].
pub fn write_png(folder: &Path, name: &str, picture: &impl Picture) -> Result<Vec<PathBuf>, Box<dyn Error>> {
    Ok(vec![write(folder.join(format!("{name}.png")), &png(picture)?)?])
}

fn write(path: PathBuf, bytes: &[u8]) -> Result<PathBuf, String> {
    crate::files::replace(&path, bytes).map_err(|why| format!("{}: {why}", path.display()))?;
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_rise_from_dark_to_light() {
        let light = |share| {
            let RGBColor(red, green, blue) = viridis(share);
            0.2126 * f64::from(red) + 0.7152 * f64::from(green) + 0.0722 * f64::from(blue)
        };
        let lights: Vec<f64> = (0..=10).map(|tenth| light(f64::from(tenth) / 10.0)).collect();
        assert!(lights.is_sorted_by(|dark, light| dark < light), "{lights:?}");
        assert_eq!((viridis(-1.0), viridis(2.0)), (viridis(0.0), viridis(1.0)));
        assert_eq!(viridis(f64::NAN), RGBColor(150, 150, 150));
    }

    #[test]
    fn two_ways_part_from_a_light_middle() {
        assert_eq!([-2.0, -1.0, 0.0, 1.0, 2.0].map(diverging), [BAD, BAD, MIDDLE, GOOD, GOOD]);
        assert_eq!(diverging(f64::NAN), viridis(f64::NAN));
        let steps: Vec<u8> = (0..=10).map(|tenth| diverging(f64::from(tenth) / 10.0).0).collect();
        assert!(steps.is_sorted_by(|light, dark| light > dark), "{steps:?}");
    }
}
