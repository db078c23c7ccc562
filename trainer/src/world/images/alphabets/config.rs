//! `[world] kind = "alphabets"`: which alphabets, and which drawings are for what.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::MAX_HEADS;
use crate::world::images::ImagesError;
use crate::world::images::collection::Collection;

/// The fields of `[world]` where its kind is `alphabets`; the module has a table of them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AlphabetsConfig {
    /// The folder of the drawings, relative to the configuration; `${SINEW_DATA}` stands for the folder of shared data.
    pub root: String,
    /// The alphabets by name, in the order of the heads.
    pub alphabets: Vec<String>,
    /// Query drawings of each character in a training episode.
    #[serde(default = "one")]
    pub query: usize,
    /// Whether each drawing is pulled a little out of shape, in training.
    #[serde(default)]
    pub distortions: bool,
    /// The share of each character's drawings to choose on.
    #[serde(default = "a_fifth")]
    pub validation_share: f64,
    /// The share to test on.
    #[serde(default = "three_tenths")]
    pub test_share: f64,
}

fn one() -> usize {
    1
}

fn a_fifth() -> f64 {
    0.2
}

fn three_tenths() -> f64 {
    0.3
}

impl AlphabetsConfig {
    pub(super) fn check(&self) -> Result<(), ImagesError> {
        let field = |field, expected, found: String, right: bool| {
            if right { Ok(()) } else { Err(ImagesError::Field { field, expected, found }) }
        };
        let count = self.alphabets.len();
        // The number of `MAX_HEADS`, in words.
        field("alphabets", "one to four alphabets", count.to_string(), (1..=MAX_HEADS).contains(&count))?;
        field("query", "at least 1", self.query.to_string(), self.query > 0)?;
        for (name, share) in [("validation_share", self.validation_share), ("test_share", self.test_share)] {
            field(name, "a share above 0 and below 1", share.to_string(), share > 0.0 && share < 1.0)?;
        }
        Ok(())
    }

    /// The characters of each head.
    pub(super) fn heads(&self, collection: &Collection) -> Result<Vec<Range<usize>>, ImagesError> {
        let of_name = |name: &String| {
            let Some(alphabet) = collection.alphabets.iter().find(|alphabet| alphabet.name == *name) else {
                let known: Vec<&str> = collection.alphabets.iter().map(|alphabet| alphabet.name.as_str()).collect();
                return Err(ImagesError::Unknown {
                    field: "alphabets",
                    alphabet: name.clone(),
                    known: known.join(", "),
                });
            };
            let count = alphabet.characters.len();
            if count < 2 {
                let expected = "alphabets of two characters or more";
                return Err(ImagesError::Field { field: "alphabets", expected, found: format!("{count} of {name}") });
            }
            Ok(alphabet.characters.clone())
        };
        self.alphabets.iter().map(of_name).collect()
    }

    /// Numbers of the drawings for train, validation and test, where every character has so many: the last are tested on, those before them
    /// chosen on; one at least each.
    pub(super) fn split(&self, drawings: usize) -> Result<[Range<usize>; 3], ImagesError> {
        let portion = |share: f64| ((share * drawings as f64).round() as usize).max(1);
        let (validation, test) = (portion(self.validation_share), portion(self.test_share));
        let Some(train) = drawings.checked_sub(validation + test).filter(|train| *train > 0) else {
            let expected = "shares that leave drawings to learn from";
            let found = format!("{validation} to choose on and {test} to test on, of {drawings}");
            return Err(ImagesError::Field { field: "validation_share", expected, found });
        };
        Ok([0..train, train..train + validation, train + validation..drawings])
    }
}
