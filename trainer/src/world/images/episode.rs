//! Episodes of drawings: which characters, which drawings of them, and how a classifier is judged.

use rand::RngExt;
use rand::SeedableRng;
use rand::seq::{IndexedRandom, index};
use rand_chacha::ChaCha8Rng;

use super::Images;
use super::distort::Distortion;
use super::shrink::{PIXELS, turned};
use crate::episode::{Episode, Samples};
use crate::metric;
use crate::world::{Metric, Predictor, Signature, Split, Task, World};

/// A class of an episode: a character, as drawn or turned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Class {
    /// The character, by alphabet and then by name.
    pub character: usize,
    /// By how many right angles it is turned, counterclockwise.
    pub quarter_turns: u8,
}

impl Images {
    /// The classes of a task, in the order of the targets' columns.
    pub fn classes(&self, task: &Task) -> Vec<Class> {
        let mut rng = ChaCha8Rng::seed_from_u64(task.seed);
        let training = task.split == Split::Train;
        let (place, way) = match task.split {
            Split::Train => (0, self.config.train_way.unwrap_or(self.config.way)),
            Split::Validation => (1, self.config.way),
            Split::Test => (2, self.config.way),
        };
        rng.set_stream(place as u64 + 1);
        // No set is smaller than an episode: `split::pools` saw to that.
        let Some(pool) = self.pools[place].choose(&mut rng) else {
            return Vec::new();
        };
        let turns = if training && self.config.rotations { 4 } else { 1 };
        if self.config.within_alphabet {
            let quarter_turns = rng.random_range(0..turns) as u8;
            let chosen = index::sample(&mut rng, pool.len(), way);
            return chosen.into_iter().map(|at| Class { character: pool[at], quarter_turns }).collect();
        }
        let chosen = index::sample(&mut rng, pool.len() * turns, way);
        chosen.into_iter().map(|at| Class { character: pool[at / turns], quarter_turns: (at % turns) as u8 }).collect()
    }

    /// The name of the alphabet of a character.
    pub fn alphabet_of(&self, character: usize) -> Option<&str> {
        let alphabets = &self.collection.alphabets;
        Some(&alphabets.iter().find(|alphabet| alphabet.characters.contains(&character))?.name)
    }
}

impl World for Images {
    fn name(&self) -> &str {
        "images"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn task_count(&self, _split: Split) -> Option<usize> {
        None
    }

    /// The seed draws the characters.
    fn task(&self, split: Split, rng: &mut ChaCha8Rng) -> Task {
        Task { split, seed: rng.random() }
    }

    /// Draws the drawings: `shots` of each class, and others for the query. Targets have as many columns as the episode has classes.
    fn episode(&self, task: &Task, shots: usize, rng: &mut ChaCha8Rng) -> Episode {
        let most = if task.split == Split::Train { self.config.query } else { self.config.evaluation_query };
        let classes = self.classes(task);
        let (mut support, mut query) = (Vec::new(), Vec::new());
        for (label, class) in classes.iter().enumerate() {
            let character = &self.collection.characters[class.character];
            let shots = shots.min(character.drawings - 1);
            let taken = character.drawings.min(shots + most);
            for (place, drawing) in index::sample(rng, character.drawings, taken).into_iter().enumerate() {
                let row = (label, class.quarter_turns, character.first + drawing);
                if place < shots { support.push((place, row)) } else { query.push((place - shots, row)) }
            }
        }
        let distorts = self.config.distortions && task.split == Split::Train;
        let mut samples = |mut rows: Vec<(usize, (usize, u8, usize))>| {
            rows.sort_by_key(|(round, (label, ..))| (*round, *label));
            let mut samples = Samples { rows: rows.len(), ..Samples::default() };
            samples.inputs.reserve_exact(rows.len() * PIXELS);
            samples.targets.resize(rows.len() * classes.len(), 0.0);
            for (row, (_, (label, quarter_turns, drawing))) in rows.into_iter().enumerate() {
                let ink = turned(self.collection.drawing(drawing), quarter_turns).map(|ink| f32::from(ink) / 255.0);
                if distorts {
                    Distortion::draw(rng).apply(&ink.collect::<Vec<_>>(), &mut samples.inputs);
                } else {
                    samples.inputs.extend(ink);
                }
                samples.targets[row * classes.len() + label] = 1.0;
            }
            samples
        };
        Episode { support: samples(support), query: samples(query) }
    }

    fn metrics(&self) -> &[Metric] {
        &metric::OF_CLASSES
    }

    fn score(&self, _task: &Task, episode: &Episode, predictor: &mut Predictor<'_>) -> Vec<f64> {
        metric::of_classes(&episode.query, predictor)
    }

    fn oracle(&self, _task: &Task, _episode: &Episode) -> Option<Vec<f64>> {
        None
    }
}
