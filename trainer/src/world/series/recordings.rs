//! Series of equal shape by problem and class: what every reader fills.

use std::path::{Path, PathBuf};

use super::{SeriesError, robot_failures, ts};

/// One series as a file has it.
#[derive(Clone, Debug, PartialEq)]
pub struct Recording {
    /// Which of the files it is from.
    pub file: usize,
    /// Its values: `[samples, channels]`.
    pub values: Vec<f32>,
}

/// What one file holds.
#[derive(Clone, Debug, PartialEq)]
pub struct Contents {
    /// What the problem is called.
    pub problem: String,
    /// The channels, in order.
    pub channels: Vec<String>,
    /// Values of a channel in each series.
    pub samples: usize,
    /// The series in the order of the file, with their classes: `[samples, channels]` each.
    pub series: Vec<(String, Vec<f32>)>,
}

/// One class of one problem.
#[derive(Clone, Debug, PartialEq)]
pub struct ClassOf {
    /// The problem, an index into [`Recordings::problems`].
    pub problem: usize,
    /// Its name, `problem/class`.
    pub name: String,
    /// Its series in the order of the files.
    pub recordings: Vec<Recording>,
}

/// All series of all files.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Recordings {
    /// The channels, in order.
    pub channels: Vec<String>,
    /// Values of a channel in each series.
    pub samples: usize,
    /// The problems in the order of the files.
    pub problems: Vec<String>,
    /// The classes in the order of their first series.
    pub classes: Vec<ClassOf>,
}

impl Recordings {
    /// Reads `files`, all of which must have the same channels and lengths.
    pub fn read(files: &[PathBuf]) -> Result<Self, SeriesError> {
        let mut all = Self::default();
        for (number, file) in files.iter().enumerate() {
            let contents = contents(file)?;
            if number == 0 {
                (all.channels, all.samples) = (contents.channels.clone(), contents.samples);
            } else if (&all.channels, all.samples) != (&contents.channels, contents.samples) {
                let shape = |samples, channels: &[String]| format!("{samples} × ({})", channels.join(", "));
                let expected = shape(all.samples, &all.channels);
                let found = shape(contents.samples, &contents.channels);
                return Err(SeriesError::OtherShape { file: file.clone(), expected, found });
            }
            all.add(number, contents);
        }
        Ok(all)
    }

    fn add(&mut self, file: usize, contents: Contents) {
        let problem = self.problems.iter().position(|name| *name == contents.problem).unwrap_or_else(|| {
            self.problems.push(contents.problem.clone());
            self.problems.len() - 1
        });
        for (label, values) in contents.series {
            let name = format!("{}/{label}", contents.problem);
            let place = self.classes.iter().position(|class| class.name == name).unwrap_or_else(|| {
                self.classes.push(ClassOf { problem, name, recordings: Vec::new() });
                self.classes.len() - 1
            });
            self.classes[place].recordings.push(Recording { file, values });
        }
    }
}

fn contents(file: &Path) -> Result<Contents, SeriesError> {
    let read = || std::fs::read_to_string(file).map_err(|source| SeriesError::Io { file: file.into(), source });
    let contents = match file.extension().and_then(|extension| extension.to_str()) {
        Some("ts") => ts::parse(file, &read()?)?,
        Some("data") => robot_failures::parse(file, &read()?)?,
        _ => return Err(SeriesError::Kind { file: file.into() }),
    };
    if contents.series.is_empty() { Err(SeriesError::NoSeries { file: file.into() }) } else { Ok(contents) }
}
