//! Recordings for the viewer of <https://rerun.io>: shapes, images and curves, of which some change from one step of a task to the next.

use std::error::Error;
use std::path::Path;

use plotters::prelude::RGBColor;
use re_sdk::sink::MemorySinkStorage;
use re_sdk::{AsComponents, RecordingStream, RecordingStreamBuilder, RecordingStreamResult};
use re_sdk_types::archetypes::{LineStrips3D, Mesh3D, Transform3D};

/// Red, green and blue.
pub type Colour = [u8; 3];

/// The parts of a colour of pictures.
pub fn rgb(RGBColor(red, green, blue): RGBColor) -> Colour {
    [red, green, blue]
}

/// A recording that is being made. It is in memory until it is written, so that no file is there before it is whole.
pub struct Recording {
    stream: RecordingStream,
    written: MemorySinkStorage,
    steps: &'static str,
}

impl Recording {
    /// Begins one, called `name`, whose steps are of this kind. Whatever the environment says of recordings, it is made: it was asked for.
    ///
    /// # Errors
    /// If the viewer's library cannot.
    pub fn begin(name: &str, steps: &'static str) -> RecordingStreamResult<Self> {
        let builder = RecordingStreamBuilder::new("sinew").enabled(true).recording_name(name);
        let (stream, written) = builder.memory()?;
        Ok(Self { stream, written, steps })
    }

    /// What is recorded from here on holds from this step.
    pub fn step(&self, number: usize) {
        self.stream.set_time_sequence(self.steps, number as i64);
    }

    /// Records what holds from the first step to the last.
    ///
    /// # Errors
    /// If the viewer's library cannot.
    pub fn always(&self, name: &str, what: &impl AsComponents) -> RecordingStreamResult<()> {
        self.stream.log_static(name, what)
    }

    /// Records what holds from this step to the next that says otherwise.
    ///
    /// # Errors
    /// If the viewer's library cannot.
    pub fn now(&self, name: &str, what: &impl AsComponents) -> RecordingStreamResult<()> {
        self.stream.log(name, what)
    }

    /// Writes it, whole or not at all.
    ///
    /// # Errors
    /// If that cannot be done.
    pub fn write(self, file: &Path) -> Result<(), Box<dyn Error>> {
        self.stream.flush_blocking()?;
        let bytes = self.written.drain_as_bytes()?;
        crate::files::replace(file, &bytes).map_err(|why| format!("{}: {why}", file.display()).into())
    }
}

#[cfg(test)]
impl Recording {
    /// The names of all that was recorded, each with how often it changed: 0 where it holds always.
    pub fn contents(self) -> std::collections::BTreeMap<String, usize> {
        use re_sdk::log::{Chunk, LogMsg};
        self.stream.flush_blocking().unwrap();
        let mut contents = std::collections::BTreeMap::new();
        for message in self.written.take() {
            if let LogMsg::ArrowMsg(_, message) = message {
                let chunk = Chunk::from_arrow_msg(&message).unwrap();
                let rows = if chunk.is_static() { 0 } else { chunk.num_rows() };
                *contents.entry(chunk.entity_path().to_string()).or_default() += rows;
            }
        }
        contents
    }
}

/// A part of the scene that is moved aside by so many metres along x.
pub fn aside(metres: f64) -> Transform3D {
    Transform3D::from_translation([metres, 0.0, 0.0])
}

/// Triangles with the normals and colours of their corners.
pub fn mesh(corners: &[[f64; 3]], normals: &[[f64; 3]], colours: &[Colour]) -> Mesh3D {
    let triangles = (0..corners.len() as u32 / 3).map(|triangle| [3 * triangle, 3 * triangle + 1, 3 * triangle + 2]);
    Mesh3D::new(corners)
        .with_triangle_indices(triangles)
        .with_vertex_normals(normals)
        .with_vertex_colors(colours.iter().copied())
}

/// Lines through points, each with its colour, all of one radius in m.
pub fn lines(strips: Vec<Vec<[f64; 3]>>, colours: Vec<Colour>, radius: f32) -> LineStrips3D {
    LineStrips3D::new(strips).with_colors(colours).with_radii([radius])
}
