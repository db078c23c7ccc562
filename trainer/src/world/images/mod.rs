//! Drawings of characters: to tell N characters apart that were never seen, from K drawings of each.
//!
//! Omniglot (Lake, Salakhutdinov, Tenenbaum, *Human-level concept learning through probabilistic program induction*, 2015), as
//! few-shot learning uses it (Vinyals et al. 2016): images of 28 × 28 pixels by exact means over areas, ink 1 and paper 0, and in
//! training characters turned by right angles as classes of their own. The splits are by alphabet, as Lake's are, which is harder
//! than a split by character: no script that is tested on was seen before.
//!
//! | field of `[world]` | what it says | default |
//! |---|---|---|
//! | `root` | the folder, relative to the configuration; `${SINEW_DATA}` stands for [`data_folder`] | |
//! | `way` | classes of an episode | 5 |
//! | `train_way` | classes of a training episode, for learners that only compare | as `way` |
//! | `query` | query drawings of each class, in training | 5 |
//! | `evaluation_query` | the same in validation and test | 15 |
//! | `within_alphabet` | whether all characters of an episode are of one alphabet, each alphabet as often as any other | `false` |
//! | `rotations` | whether turned characters are classes, in training; within an alphabet all are turned alike | `true` |
//! | `distortions` | whether each drawing is pulled a little out of shape (module [`distort`]), in training | `false` |
//! | `validation` | alphabets to choose on | [`VALIDATION`]: Armenian, Grantha, Mkhedruli_(Georgian) |
//! | `test` | alphabets to test on | [`TEST`]: Alphabet_of_the_Magi, Bengali, Futurama, Japanese_(hiragana), N_Ko |
//!
//! The folder holds either `.npz` archives beside an `alphabets.csv` (module [`archive`]), or a folder for each alphabet, or folders
//! `images_*` of those (module [`folders`]). The same drawings give the same episodes, whichever way they came.
//!
//! Rows go round the classes: one drawing of each, then the next of each, so that every first part of the support is balanced.
//! A class with fewer drawings than support and query ask for gives fewer to the query, but one at least.

pub mod alphabets;
pub mod archive;
mod collection;
mod config;
pub mod distort;
mod episode;
mod error;
pub mod folders;
mod npy;
mod shrink;
mod split;
#[cfg(test)]
mod tests;

use std::path::Path;

use sinew_models::spec::{Loss, Shape};

use super::root::{self, data_folder};
use super::{Column, Signature};
use collection::{Collection, Collector};
pub use config::{ImagesConfig, TEST, VALIDATION};
pub use error::ImagesError;
use shrink::SIDE;

/// The world of drawings.
#[derive(Debug)]
pub struct Images {
    config: ImagesConfig,
    signature: Signature,
    collection: Collection,
    /// For train, validation and test the sets of characters out of which an episode's classes come.
    pools: [Vec<Vec<usize>>; 3],
}

/// All drawings of the folder `root`, with `data` for `${SINEW_DATA}`.
fn read(root: &str, data: &Path) -> Result<Collection, ImagesError> {
    let root = root::expand(root, data)?;
    let mut collector = Collector::default();
    if root.join(archive::TABLE).is_file() {
        archive::read(&root, &mut collector)?;
    } else {
        folders::read(&root, &mut collector)?;
    }
    collector.collect()
}

/// The names of the pixels of a row of inputs.
fn pixels() -> impl Iterator<Item = String> {
    (0..SIDE).flat_map(|row| (0..SIDE).map(move |across| format!("pixel_{row}_{across}")))
}

impl Images {
    /// Reads all drawings of a folder. `${SINEW_DATA}` stands for [`data_folder`].
    ///
    /// # Errors
    /// Names the file or field that is not as it should be.
    pub fn open(config: &ImagesConfig) -> Result<Self, ImagesError> {
        Self::open_in(config, &data_folder())
    }

    /// As [`Images::open`], with `data` for `${SINEW_DATA}`.
    ///
    /// # Errors
    /// As [`Images::open`].
    pub fn open_in(config: &ImagesConfig, data: &Path) -> Result<Self, ImagesError> {
        config.check()?;
        let collection = read(&config.root, data)?;
        let pools = split::pools(config, &collection)?;
        let column = |name: String| Column { name, unit: "1".into() };
        let image = Some(Shape { height: SIDE, width: SIDE, channels: 1 });
        let outputs = (0..config.way).map(|class| column(format!("class_{class}"))).collect();
        let signature = Signature::of_one_head(pixels().map(column).collect(), image, outputs, Loss::CrossEntropy);
        Ok(Self { config: config.clone(), signature, collection, pools })
    }

    /// Asks whether every character can give `shots` drawings and keep one to be judged on.
    ///
    /// # Errors
    /// [`ImagesError::Shots`] names the first that cannot.
    pub fn check_shots(&self, shots: usize) -> Result<(), ImagesError> {
        for (alphabet, number) in
            self.collection.alphabets.iter().flat_map(|of| of.characters.clone().map(move |at| (of, at)))
        {
            let found = self.collection.characters[number].drawings;
            if found <= shots {
                let character = number - alphabet.characters.start + 1;
                return Err(ImagesError::Shots { alphabet: alphabet.name.clone(), character, shots, found });
            }
        }
        Ok(())
    }

    /// The alphabets by name.
    pub fn alphabets(&self) -> impl Iterator<Item = &str> {
        self.collection.alphabets.iter().map(|alphabet| alphabet.name.as_str())
    }

    /// How many characters there are.
    pub fn character_count(&self) -> usize {
        self.collection.characters.len()
    }

    /// How many drawings there are.
    pub fn drawing_count(&self) -> usize {
        self.collection.characters.iter().map(|character| character.drawings).sum()
    }
}
