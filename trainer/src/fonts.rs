//! The font of drawings: DejaVu Sans, which comes with the program, so that a picture is the same on every machine.

use plotters::style::{FontStyle, register_font};

/// Makes `sans-serif` known to the drawing library; needed before anything is drawn.
///
/// # Errors
/// If the font cannot be read.
pub fn register() -> Result<(), Box<dyn std::error::Error>> {
    register_font("sans-serif", FontStyle::Normal, dejavu::sans::regular())
        .map_err(|_| "the font cannot be read".into())
}
