//! Several alphabets, a head for each: to tell the characters of known alphabets apart, in drawings that were never seen.
//!
//! Multi-task Omniglot, or MTL with alphabets as tasks (Yang and Hospedales 2017; Liang, Meyerson and Miikkulainen 2018; Meyerson and
//! Miikkulainen 2018): the classes of a task are all characters of its alphabet, and half of each character's drawings are trained on. A
//! drawing has a label for the head of its alphabet alone; its targets for the others are NaN, so `kind = "multitask"` alone trains here.
//!
//! | field of `[world]` | what it says | default |
//! |---|---|---|
//! | `root` | the folder, as in [`images`](super) | |
//! | `alphabets` | by name, one to [`MAX_HEADS`] of them, in the order of the heads | |
//! | `query` | query drawings of each character in a training episode, beside the `shots` of its support; both are trained on | 1 |
//! | `distortions` | whether each drawing is pulled a little out of shape (module [`distort`](super::distort)), in training | `false` |
//! | `validation_share` | share of each character's drawings to choose on | 0.2 |
//! | `test_share` | share of each character's drawings to test on, the last ones | 0.3 |
//!
//! **Episodes.** A training episode is of one alphabet, each as often as any other unless `train.sampling` says otherwise. An episode of
//! validation or test has of every character of all alphabets the one drawing with the episode's number as its query, and for the support
//! `shots` of those that are trained on. No two of them have a drawing in their queries in common.

mod config;
mod episode;
#[cfg(test)]
mod tests;

use std::ops::Range;
use std::path::Path;

use sinew_models::spec::{Loss, MAX_HEADS, Shape};

use super::collection::Collection;
use super::shrink::SIDE;
use super::{ImagesError, pixels, read};
use crate::world::root::data_folder;
use crate::world::{Column, HeadSignature, Metric, Signature, Split, head_name};
pub use config::AlphabetsConfig;

/// The world of several alphabets.
#[derive(Debug)]
pub struct Alphabets {
    config: AlphabetsConfig,
    signature: Signature,
    metrics: Vec<Metric>,
    collection: Collection,
    /// Of each head the characters, indices into those of the collection.
    heads: Vec<Range<usize>>,
    /// Numbers of the drawings of every character, for train, validation and test.
    drawings: [Range<usize>; 3],
}

impl Alphabets {
    /// Reads all drawings of a folder. `${SINEW_DATA}` stands for [`data_folder`].
    ///
    /// # Errors
    /// Names the file or field that is not as it should be.
    pub fn open(config: &AlphabetsConfig) -> Result<Self, ImagesError> {
        Self::open_in(config, &data_folder())
    }

    /// As [`Alphabets::open`], with `data` for `${SINEW_DATA}`.
    ///
    /// # Errors
    /// As [`Alphabets::open`].
    pub fn open_in(config: &AlphabetsConfig, data: &Path) -> Result<Self, ImagesError> {
        config.check()?;
        let collection = read(&config.root, data)?;
        let heads = config.heads(&collection)?;
        // Every character has drawings of these numbers.
        let characters = heads.iter().flat_map(|head| &collection.characters[head.clone()]);
        let drawings = characters.map(|character| character.drawings).min().unwrap_or(0);
        let drawings = config.split(drawings)?;
        let names: Vec<String> = config.alphabets.iter().map(|name| head_name(name)).collect();
        if let Some(twice) = (1..names.len()).find(|at| names[..*at].contains(&names[*at])) {
            let (expected, found) = ("alphabets of different names, as heads have them", names[twice].clone());
            return Err(ImagesError::Field { field: "alphabets", expected, found });
        }
        let column = |name: String| Column { name, unit: "1".into() };
        let outputs = names.iter().zip(&heads);
        let outputs = outputs.flat_map(|(name, head)| (0..head.len()).map(move |class| format!("{name}_{class}")));
        let of_head = |(name, head): (&String, &Range<usize>)| HeadSignature {
            name: name.clone(),
            outputs: head.len(),
            loss: Loss::CrossEntropy,
        };
        let signature = Signature {
            inputs: pixels().map(column).collect(),
            image: Some(Shape { height: SIDE, width: SIDE, channels: 1 }),
            outputs: outputs.map(column).collect(),
            heads: names.iter().zip(&heads).map(of_head).collect(),
        };
        // A metric's name is for as long as the process; there are as few as heads.
        let metric = |(head, name): (usize, &String)| {
            Metric::higher(String::leak(format!("{name}_accuracy")), "1").of_head(head)
        };
        let metrics = names.iter().enumerate().map(metric).collect();
        Ok(Self { config: config.clone(), signature, metrics, collection, heads, drawings })
    }

    /// Asks whether the drawings that are trained on give `shots` of each character, and the query beside them.
    ///
    /// # Errors
    /// [`ImagesError::TooFewToTrain`] if they do not.
    pub fn check_shots(&self, shots: usize) -> Result<(), ImagesError> {
        let (found, query) = (self.drawings[Split::Train.place()].len(), self.config.query);
        if found >= shots + query { Ok(()) } else { Err(ImagesError::TooFewToTrain { shots, query, found }) }
    }
}
