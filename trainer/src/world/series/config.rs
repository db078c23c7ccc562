//! `[world] kind = "series"`: what an episode is, and which series are for what.

use serde::{Deserialize, Serialize};

use super::SeriesError;

/// What is kept apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SplitBy {
    /// Classes: what is tested on was never seen.
    Class,
    /// Series: the classes are known, the recordings are not.
    Series,
}

/// How a series becomes a row of inputs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Form {
    /// As it is, for convolutions: an image of height 1.
    #[default]
    Series,
    /// Numbers that tell what it is like, for dense layers.
    Statistics,
}

/// Whether the frame of the sensors is turned, by one random rotation for each task.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Augment {
    /// As recorded.
    #[default]
    Never,
    /// In training.
    Training,
    /// Everywhere, so that it is another fact that adaptation must find.
    Always,
}

/// The fields of `[world]` where its kind is `series`; the module has a table of them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SeriesConfig {
    /// The folder of the files, relative to the configuration; `${SINEW_DATA}` stands for the folder of shared data.
    pub root: String,
    /// The files, `.ts` or `.data`.
    pub files: Vec<String>,
    /// Classes of an episode.
    pub way: usize,
    /// Most query series of each class in a training episode.
    #[serde(default = "five")]
    pub query: usize,
    /// The same in validation and test.
    #[serde(default = "fifteen")]
    pub evaluation_query: usize,
    /// What is kept apart.
    pub split: SplitBy,
    /// By class: the classes to choose on, as `problem/class`, or `problem` for all of one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub validation: Vec<String>,
    /// By class: the classes to test on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub test: Vec<String>,
    /// By series: the files to test on; where there are none, a share of each class.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub test_files: Vec<String>,
    /// By series: of each class the share to choose on.
    #[serde(default = "quarter")]
    pub validation_share: f64,
    /// By series without `test_files`: of each class the share to test on.
    #[serde(default = "quarter")]
    pub test_share: f64,
    /// How a series becomes a row of inputs.
    #[serde(default)]
    pub form: Form,
    /// Whether the frame of the sensors is turned.
    #[serde(default)]
    pub augment: Augment,
}

fn five() -> usize {
    5
}

fn fifteen() -> usize {
    15
}

fn quarter() -> f64 {
    0.25
}

impl SeriesConfig {
    pub(super) fn check(&self) -> Result<(), SeriesError> {
        let wrong = |field, expected, found: String| Err(SeriesError::Field { field, expected, found });
        for (field, found, least) in
            [("way", self.way, 2), ("query", self.query, 1), ("evaluation_query", self.evaluation_query, 1)]
        {
            if found < least {
                let expected = if least == 2 { "at least 2" } else { "at least 1" };
                return wrong(field, expected, found.to_string());
            }
        }
        if self.files.is_empty() {
            return wrong("files", "at least one file", "none".into());
        }
        if let Some(twice) = (1..self.files.len()).find(|at| self.files[..*at].contains(&self.files[*at])) {
            return wrong("files", "each file once", format!("`{}` twice", self.files[twice]));
        }
        if let Some(other) = self.test_files.iter().find(|file| !self.files.contains(file)) {
            return wrong("test_files", "names out of `files`", format!("`{other}`"));
        }
        for (field, share) in [("validation_share", self.validation_share), ("test_share", self.test_share)] {
            if !(0.0..1.0).contains(&share) {
                return wrong(field, "a number from 0 and below 1", share.to_string());
            }
        }
        // A field that changes nothing would be believed to.
        match self.split {
            SplitBy::Class if self.test.is_empty() => wrong("test", "at least one class", "none".into()),
            SplitBy::Class if !self.test_files.is_empty() => {
                wrong("test_files", "nothing where the split is by class", format!("{:?}", self.test_files))
            }
            SplitBy::Series if !self.validation.is_empty() || !self.test.is_empty() => {
                let found = format!("{:?} and {:?}", self.validation, self.test);
                wrong("validation and test", "no classes where the split is by series", found)
            }
            _ => Ok(()),
        }
    }
}
