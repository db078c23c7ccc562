//! Episodes of several alphabets: which drawings, which labels they lack, and how each head is judged on its own rows.

use rand::RngExt;
use rand::seq::index;
use rand_chacha::ChaCha8Rng;

use super::Alphabets;
use crate::episode::{Episode, Samples};
use crate::metric;
use crate::world::images::distort::Distortion;
use crate::world::images::shrink::PIXELS;
use crate::world::{Metric, Predictor, Signature, Split, Task, World};

/// A drawing of an episode.
#[derive(Clone, Copy, Debug)]
struct Row {
    /// Rows go round the characters.
    round: usize,
    head: usize,
    /// The place of the character in its alphabet.
    class: usize,
    /// The number of the drawing among those of the character.
    drawing: usize,
}

impl Alphabets {
    /// The head of a training task.
    fn head_of(&self, task: &Task) -> usize {
        (task.seed % self.heads.len() as u64) as usize
    }

    /// The drawings of `rows` as samples; targets are 0 and 1 for the row's own head, NaN for the others.
    fn samples(&self, mut rows: Vec<Row>, mut distorts: Option<&mut ChaCha8Rng>) -> Samples {
        rows.sort_by_key(|row| (row.round, row.head, row.class));
        let width = self.signature.outputs.len();
        let mut samples = Samples { rows: rows.len(), ..Samples::default() };
        samples.inputs.reserve_exact(rows.len() * PIXELS);
        samples.targets.resize(rows.len() * width, f32::NAN);
        for (row, targets) in rows.iter().zip(samples.targets.chunks_exact_mut(width)) {
            let character = &self.collection.characters[self.heads[row.head].start + row.class];
            let ink = self.collection.drawing(character.first + row.drawing).iter().map(|ink| f32::from(*ink) / 255.0);
            match &mut distorts {
                Some(rng) => Distortion::draw(rng).apply(&ink.collect::<Vec<_>>(), &mut samples.inputs),
                None => samples.inputs.extend(ink),
            }
            let first: usize = self.heads[..row.head].iter().map(ExactSizeIterator::len).sum();
            let own = &mut targets[first..first + self.heads[row.head].len()];
            own.fill(0.0);
            own[row.class] = 1.0;
        }
        samples
    }
}

impl World for Alphabets {
    fn name(&self) -> &str {
        "alphabets"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn lacks_labels(&self) -> bool {
        self.heads.len() > 1
    }

    /// The drawings of each character in validation and test; training tasks are drawn without end.
    fn task_count(&self, split: Split) -> Option<usize> {
        (split != Split::Train).then(|| self.drawings[split.place()].len())
    }

    /// The drawings of each alphabet.
    fn source_sizes(&self, split: Split) -> Option<Vec<usize>> {
        let each = self.drawings[split.place()].len();
        (split == Split::Train).then(|| self.heads.iter().map(|characters| characters.len() * each).collect())
    }

    fn source(&self, task: &Task) -> usize {
        self.head_of(task)
    }

    /// Of a training task the seed says the alphabet, of others the number of the drawing.
    fn task(&self, split: Split, rng: &mut ChaCha8Rng) -> Task {
        let seed = match self.task_count(split) {
            Some(tasks) => rng.random_range(0..tasks as u64),
            None => rng.random(),
        };
        Task { split, seed }
    }

    fn episode(&self, task: &Task, shots: usize, rng: &mut ChaCha8Rng) -> Episode {
        let known = &self.drawings[Split::Train.place()];
        let training = task.split == Split::Train;
        let heads = if training { self.head_of(task)..self.head_of(task) + 1 } else { 0..self.heads.len() };
        let (mut support, mut query) = (Vec::new(), Vec::new());
        for head in heads {
            for class in 0..self.heads[head].len() {
                // With too few, the support is smaller: [`Alphabets::check_shots`] tells before.
                let queries = if training { self.config.query.min(known.len() - 1) } else { 0 };
                let taken = (shots + queries).min(known.len());
                for (round, at) in index::sample(rng, known.len(), taken).into_iter().enumerate() {
                    let row = Row { round, head, class, drawing: known.start + at };
                    if round < taken - queries { support.push(row) } else { query.push(row) }
                }
                if !training {
                    let drawing = self.drawings[task.split.place()].start + task.seed as usize;
                    query.push(Row { round: 0, head, class, drawing });
                }
            }
        }
        let distorts = training && self.config.distortions;
        let support = self.samples(support, distorts.then_some(&mut *rng));
        Episode { support, query: self.samples(query, distorts.then_some(rng)) }
    }

    fn metrics(&self) -> &[Metric] {
        &self.metrics
    }

    /// The accuracy of each head on the rows that have its label; NaN without any.
    fn score(&self, _task: &Task, episode: &Episode, predictor: &mut Predictor<'_>) -> Vec<f64> {
        let Samples { inputs, targets, rows } = &episode.query;
        let mut said = vec![0.0; targets.len()];
        if *rows > 0 {
            predictor(inputs, &mut said);
        }
        let width = self.signature.outputs.len();
        let mut first = 0;
        let of_head = |head: &std::ops::Range<usize>| {
            let columns = first..first + head.len();
            first = columns.end;
            let of_rows = targets.chunks_exact(width).zip(said.chunks_exact(width));
            let own = of_rows.filter(|(target, _)| !target[columns.start].is_nan());
            let (targets, said): (Vec<&[f32]>, Vec<&[f32]>) =
                own.map(|(target, said)| (&target[columns.clone()], &said[columns.clone()])).unzip();
            metric::accuracy(&said.concat(), &targets.concat(), columns.len())
        };
        self.heads.iter().map(of_head).collect()
    }

    fn oracle(&self, _task: &Task, _episode: &Episode) -> Option<Vec<f64>> {
        None
    }
}
