//! Which alphabets are learned from, which chosen on, which tested on.

use super::collection::Collection;
use super::{ImagesConfig, ImagesError};
use crate::world::Split;

/// For each split the sets of characters out of which the classes of an episode come: one for each alphabet if episodes are within an
/// alphabet, or one of all. Sets that are too small for an episode are left out.
pub fn pools(config: &ImagesConfig, collection: &Collection) -> Result<[Vec<Vec<usize>>; 3], ImagesError> {
    let splits = splits(config, collection)?;
    let train_way = config.train_way.unwrap_or(config.way);
    let one = |split, way| -> Result<Vec<Vec<usize>>, ImagesError> {
        let alphabets = collection.alphabets.iter().zip(&splits).filter(|(_, of)| **of == split);
        let mut pools: Vec<Vec<usize>> = alphabets.map(|(alphabet, _)| alphabet.characters.clone().collect()).collect();
        let turned = split == Split::Train && config.rotations;
        // Within an alphabet all classes are turned alike, so turning makes more alphabets, not larger ones.
        let (place, times) = match (config.within_alphabet, turned) {
            (true, _) => ("alphabet", 1),
            (false, false) => ("set", 1),
            (false, true) => ("set", 4),
        };
        if !config.within_alphabet {
            pools = vec![pools.concat()];
        }
        let largest = pools.iter().map(|pool| pool.len() * times).max().unwrap_or(0);
        pools.retain(|pool| pool.len() * times >= way);
        if pools.is_empty() { Err(ImagesError::TooFew { split, place, way, largest }) } else { Ok(pools) }
    };
    Ok([one(Split::Train, train_way)?, one(Split::Validation, config.way)?, one(Split::Test, config.way)?])
}

/// The split of each alphabet.
fn splits(config: &ImagesConfig, collection: &Collection) -> Result<Vec<Split>, ImagesError> {
    let mut splits = vec![Split::Train; collection.alphabets.len()];
    let sides = [("validation", &config.validation, Split::Validation), ("test", &config.test, Split::Test)];
    for (field, names, split) in sides {
        for name in names {
            let Some(place) = collection.alphabets.iter().position(|alphabet| alphabet.name == *name) else {
                let known: Vec<&str> = collection.alphabets.iter().map(|alphabet| alphabet.name.as_str()).collect();
                return Err(ImagesError::Unknown { field, alphabet: name.clone(), known: known.join(", ") });
            };
            if splits[place] != Split::Train {
                return Err(ImagesError::TwoSides { alphabet: name.clone() });
            }
            splits[place] = split;
        }
    }
    Ok(splits)
}
