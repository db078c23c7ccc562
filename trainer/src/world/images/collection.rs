//! Drawings of characters, by alphabet: what every reader fills.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::ops::Range;
use std::path::{Path, PathBuf};

use super::ImagesError;
use super::shrink::PIXELS;

/// One character: its drawings are images one after the other in [`Collection::pixels`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Character {
    /// The first of its drawings.
    pub first: usize,
    /// How many there are.
    pub drawings: usize,
}

/// One alphabet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alphabet {
    /// Its name.
    pub name: String,
    /// Its characters, indices into [`Collection::characters`].
    pub characters: Range<usize>,
}

/// All drawings, small: ink is 255 and paper 0.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Collection {
    /// The alphabets by name.
    pub alphabets: Vec<Alphabet>,
    /// The characters of one alphabet after those of another.
    pub characters: Vec<Character>,
    /// `[drawings, SIDE, SIDE]`.
    pub pixels: Vec<u8>,
}

impl Collection {
    /// One drawing.
    pub fn drawing(&self, number: usize) -> &[u8] {
        &self.pixels[number * PIXELS..][..PIXELS]
    }
}

/// An alphabet that is being read: where it is, and of each character, by name, the pixels of its drawings.
type Found = (PathBuf, BTreeMap<String, Vec<u8>>);

/// What readers have found so far. The order in which they find it does not matter.
#[derive(Debug, Default)]
pub struct Collector {
    alphabets: BTreeMap<String, Found>,
}

impl Collector {
    /// Adds drawings of a character; `place` is the file or folder that holds its alphabet.
    ///
    /// # Errors
    /// If the alphabet is in another place, too.
    pub fn add(&mut self, place: &Path, alphabet: &str, character: &str, pixels: &[u8]) -> Result<(), ImagesError> {
        let found = match self.alphabets.entry(alphabet.into()) {
            Entry::Vacant(entry) => entry.insert((place.into(), BTreeMap::new())),
            Entry::Occupied(entry) if entry.get().0 != place => {
                let (first, second) = (entry.get().0.clone(), place.into());
                return Err(ImagesError::TwoPlaces { alphabet: alphabet.into(), first, second });
            }
            Entry::Occupied(entry) => entry.into_mut(),
        };
        found.1.entry(character.into()).or_default().extend_from_slice(pixels);
        Ok(())
    }

    /// All of it in order: alphabets and characters by name.
    ///
    /// # Errors
    /// If a character has fewer than two drawings.
    pub fn collect(self) -> Result<Collection, ImagesError> {
        let mut collection = Collection::default();
        for (name, (place, characters)) in self.alphabets {
            let begin = collection.characters.len();
            for (character, pixels) in characters {
                let (first, drawings) = (collection.pixels.len() / PIXELS, pixels.len() / PIXELS);
                if drawings < 2 {
                    let character = format!("{name}/{character}");
                    return Err(ImagesError::Drawings { place, character, found: drawings });
                }
                collection.pixels.extend(pixels);
                collection.characters.push(Character { first, drawings });
            }
            let characters = begin..collection.characters.len();
            collection.alphabets.push(Alphabet { name, characters });
        }
        Ok(collection)
    }
}
