//! `[world] kind = "images"`: what an episode is, and which alphabet is for what.

use serde::{Deserialize, Serialize};

use super::ImagesError;

/// The fields of `[world]` where its kind is `images`; the module has a table of them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImagesConfig {
    /// The folder of the drawings, relative to the configuration; `${SINEW_DATA}` stands for the folder of shared data.
    pub root: String,
    /// Classes of an episode.
    #[serde(default = "five")]
    pub way: usize,
    /// Classes of a training episode; as `way` where it is missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub train_way: Option<usize>,
    /// Query drawings of each class in a training episode.
    #[serde(default = "five")]
    pub query: usize,
    /// Query drawings of each class in an episode of validation or test.
    #[serde(default = "fifteen")]
    pub evaluation_query: usize,
    /// Whether all characters of an episode are of one alphabet.
    #[serde(default)]
    pub within_alphabet: bool,
    /// Whether characters turned by right angles are classes of their own, in training.
    #[serde(default = "yes")]
    pub rotations: bool,
    /// Whether each drawing is pulled a little out of shape, in training.
    #[serde(default)]
    pub distortions: bool,
    /// The alphabets to choose on.
    #[serde(default = "validation")]
    pub validation: Vec<String>,
    /// The alphabets to test on.
    #[serde(default = "test")]
    pub test: Vec<String>,
}

/// The alphabets of Omniglot's background set that are for validation where a configuration does not say: of the thirty in the order of
/// their names the 4th and every tenth after it.
pub const VALIDATION: [&str; 3] = ["Armenian", "Grantha", "Mkhedruli_(Georgian)"];

/// Those that are for the test: the first and every sixth after it.
pub const TEST: [&str; 5] = ["Alphabet_of_the_Magi", "Bengali", "Futurama", "Japanese_(hiragana)", "N_Ko"];

fn five() -> usize {
    5
}

fn fifteen() -> usize {
    15
}

fn yes() -> bool {
    true
}

fn validation() -> Vec<String> {
    VALIDATION.map(String::from).to_vec()
}

fn test() -> Vec<String> {
    TEST.map(String::from).to_vec()
}

impl ImagesConfig {
    /// Everything by default but the folder.
    pub fn new(root: impl Into<String>) -> Self {
        Self {
            root: root.into(),
            way: five(),
            train_way: None,
            query: five(),
            evaluation_query: fifteen(),
            within_alphabet: false,
            rotations: true,
            distortions: false,
            validation: validation(),
            test: test(),
        }
    }

    pub(super) fn check(&self) -> Result<(), ImagesError> {
        let train_way = self.train_way.unwrap_or(self.way);
        for (field, expected, found, least) in [
            ("way", "at least 2", self.way, 2),
            ("train_way", "at least 2", train_way, 2),
            ("query", "at least 1", self.query, 1),
            ("evaluation_query", "at least 1", self.evaluation_query, 1),
            ("validation", "at least one alphabet", self.validation.len(), 1),
            ("test", "at least one alphabet", self.test.len(), 1),
        ] {
            if found < least {
                return Err(ImagesError::Field { field, expected, found: found.to_string() });
            }
        }
        Ok(())
    }
}
