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
    /// The place of the set of characters out of which a task's classes come, and what draws them after it.
    fn pool(&self, task: &Task) -> Option<(usize, ChaCha8Rng)> {
        let mut rng = ChaCha8Rng::seed_from_u64(task.seed);
        rng.set_stream(task.split.place() as u64 + 1);
        let places: Vec<usize> = (0..self.pools[task.split.place()].len()).collect();
        Some((*places.choose(&mut rng)?, rng))
    }

    /// The classes of a task, in the order of the targets' columns.
    pub fn classes(&self, task: &Task) -> Vec<Class> {
        let training = task.split == Split::Train;
        let way = if training { self.config.train_way.unwrap_or(self.config.way) } else { self.config.way };
        let Some((pool, mut rng)) = self.pool(task) else {
            return Vec::new();
        };
        // No set is smaller than an episode: `split::pools` saw to that.
        let pool = &self.pools[task.split.place()][pool];
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

    /// The drawings of each alphabet, where the characters of an episode are of one.
    fn source_sizes(&self, split: Split) -> Option<Vec<usize>> {
        let drawings = |pool: &Vec<usize>| pool.iter().map(|at| self.collection.characters[*at].drawings).sum();
        self.config.within_alphabet.then(|| self.pools[split.place()].iter().map(drawings).collect())
    }

    fn source(&self, task: &Task) -> usize {
        self.pool(task).map_or(0, |(pool, _)| pool)
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
