//! Recorded series of several channels: to tell N motions, or N kinds of failure, apart from K recordings of each.
//!
//! The files are closed problems: a few classes, each recorded some times (`.ts` of the UEA archive, see [`ts`]; UCI's Robot
//! Execution Failures, see [`robot_failures`]). A task is N classes of one problem in random order, so a network cannot know which
//! output is which class: it has to adapt.
//!
//! Two protocols, and what each of them tells:
//!
//! - `split = "class"`: the classes that are tested on were never seen. This is few-shot learning as the field means it, and takes a
//!   problem, or several, with enough classes: N for each side. UCI's problems lend themselves to it (train on `lp1`, choose on
//!   `lp4`, test on `lp2`).
//! - `split = "series"`: all classes are seen in training, other recordings of them are tested on. BasicMotions has four classes,
//!   too few for more. What is left to adapt to is the order of the outputs (and with `augment = "always"` how the
//!   sensor is worn), so the score says how well *known* motions are told apart in new recordings, not how well new motions are
//!   learned. Recordings of one person may be on two sides: the files do not say whose they are.
//!
//! Series are few, and episodes are drawn from the same few again and again: the interval of an evaluation is over episodes, not
//! over people or robots.
//!
//! | field of `[world]` | what it says | default |
//! |---|---|---|
//! | `root` | folder of the files, relative to the configuration; `${SINEW_DATA}` stands for [`data_folder`] | |
//! | `files` | the files, all with the same channels and lengths | |
//! | `way` | classes of an episode | |
//! | `query`, `evaluation_query` | most query series of each class, in training and elsewhere | 5, 15 |
//! | `split` | `class` or `series` | |
//! | `validation`, `test` | by class: `problem/class`, or `problem` for all of one | none |
//! | `test_files` | by series: the files to test on | none |
//! | `validation_share` | by series: of each class (outside `test_files`) the share to choose on | 0.25 |
//! | `test_share` | by series without `test_files`: of each class the share to test on, the last in the files | 0.25 |
//! | `form` | `series`: an image of height 1, standardised by channel on the training part; `statistics`: see [`statistics`] | `series` |
//! | `augment` | `never`, `training` or `always`: channels in threes are turned by a random rotation, one for each task | `never` |
//!
//! Rows go round the classes, as in [`images`](super::images).

mod config;
mod episode;
mod error;
mod recordings;
pub mod robot_failures;
mod split;
pub mod statistics;
#[cfg(test)]
mod tests;
pub mod ts;

use std::path::{Path, PathBuf};

use sinew_models::spec::{Loss, Shape};

use super::root::{self, data_folder};
use super::{Column, Signature, Split};
pub use config::{Augment, Form, SeriesConfig, SplitBy};
pub use error::SeriesError;
pub use recordings::Contents;
use recordings::Recordings;
use split::{Pool, SPLITS};
use statistics::Statistics;

/// The shortest series of which anything can be told.
const SHORTEST: usize = 4;

/// The world of series.
#[derive(Debug)]
pub struct Series {
    config: SeriesConfig,
    signature: Signature,
    recordings: Recordings,
    /// For train, validation and test.
    pools: [Vec<Pool>; 3],
    /// Mean and standard deviation of each channel over the training part.
    scales: Vec<[f32; 2]>,
    statistics: Statistics,
}

impl Series {
    /// Reads all files. `${SINEW_DATA}` stands for [`data_folder`].
    ///
    /// # Errors
    /// Names the file and line, or the field, that is not as it should be.
    pub fn open(config: &SeriesConfig) -> Result<Self, SeriesError> {
        Self::open_in(config, &data_folder())
    }

    /// As [`Series::open`], with `data` for `${SINEW_DATA}`.
    ///
    /// # Errors
    /// As [`Series::open`].
    pub fn open_in(config: &SeriesConfig, data: &Path) -> Result<Self, SeriesError> {
        config.check()?;
        let root = root::expand(&config.root, data)?;
        let files: Vec<PathBuf> = config.files.iter().map(|file| root.join(file)).collect();
        let recordings = Recordings::read(&files)?;
        let (samples, channels) = (recordings.samples, recordings.channels.len());
        let wrong = |field, expected, found| Err(SeriesError::Field { field, expected, found });
        if samples < SHORTEST {
            return wrong("files", "series of 4 samples or more", samples.to_string());
        }
        if config.augment != Augment::Never && !channels.is_multiple_of(3) {
            return wrong("augment", "`never`, unless channels come in threes", format!("{channels} channels"));
        }
        let pools = split::pools(config, &recordings)?;
        let column = |name: String, unit: &str| Column { name, unit: unit.into() };
        let names = &recordings.channels;
        let (inputs, image) = match config.form {
            Form::Series => {
                let columns = (0..samples).flat_map(|at| names.iter().map(move |name| format!("{name}_{at}")));
                let shape = Shape { height: 1, width: samples, channels };
                (columns.map(|name| column(name, "1")).collect(), Some(shape))
            }
            Form::Statistics => {
                let columns = names.iter().flat_map(|name| statistics::NAMES.map(|told| format!("{name}_{told}")));
                (columns.map(|name| column(name, "1")).collect(), None)
            }
        };
        let outputs = (0..config.way).map(|class| column(format!("class_{class}"), "1")).collect();
        let signature = Signature::of_one_head(inputs, image, outputs, Loss::CrossEntropy);
        let scales = scales(&recordings, &pools[0]);
        let statistics = Statistics::new(samples);
        Ok(Self { config: config.clone(), signature, recordings, pools, scales, statistics })
    }

    /// Mean and standard deviation of each channel over the training part, by which a device must scale series, too.
    pub fn scales(&self) -> &[[f32; 2]] {
        &self.scales
    }

    /// The classes as `problem/class`, in the order of the files.
    pub fn classes(&self) -> impl Iterator<Item = &str> {
        self.recordings.classes.iter().map(|class| class.name.as_str())
    }

    /// Asks whether every class of these splits can give `shots` series and keep one to be judged on.
    ///
    /// # Errors
    /// [`SeriesError::Shots`] names the first that cannot.
    pub fn check_shots(&self, shots: usize, splits: &[Split]) -> Result<(), SeriesError> {
        for (pools, split) in self.pools.iter().zip(SPLITS).filter(|(_, split)| splits.contains(split)) {
            if let Some(part) = pools.iter().flatten().find(|part| part.recordings.len() <= shots) {
                let class = self.recordings.classes[part.class].name.clone();
                return Err(SeriesError::Shots { class, split, shots, found: part.recordings.len() });
            }
        }
        Ok(())
    }
}

/// Mean and standard deviation of each channel over all samples of the series in `pools`; a channel that does not vary keeps its scale.
fn scales(recordings: &Recordings, pools: &[Pool]) -> Vec<[f32; 2]> {
    let channels = recordings.channels.len();
    let (mut count, mut sums) = (0.0, vec![[0.0_f64; 2]; channels]);
    for part in pools.iter().flatten() {
        for recording in &part.recordings {
            let values = &recordings.classes[part.class].recordings[*recording].values;
            count += recordings.samples as f64;
            for row in values.chunks_exact(channels) {
                for (sum, value) in sums.iter_mut().zip(row) {
                    sum[0] += f64::from(*value);
                    sum[1] += f64::from(*value) * f64::from(*value);
                }
            }
        }
    }
    let scale = |[sum, squares]: [f64; 2]| {
        let mean = sum / count;
        let deviation = (squares / count - mean * mean).max(0.0).sqrt();
        [mean as f32, if deviation > 1e-9 * (1.0 + mean.abs()) { deviation as f32 } else { 1.0 }]
    };
    sums.into_iter().map(scale).collect()
}
