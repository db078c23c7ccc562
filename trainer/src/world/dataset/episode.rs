//! Episodes from rows: which become support, which query, and how predictions on them are judged.

use rand::RngExt;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use super::table::TaskRows;
use super::target::Target;
use super::{Dataset, Order, place};
use crate::episode::{Episode, Samples};
use crate::world::{Metric, Predictor, Signature, Split, Task, World};

impl Dataset {
    /// Appends one row of a task.
    fn push(&self, samples: &mut Samples, task: &TaskRows, position: usize) {
        let row = |length: usize| task.rows[position] * length..(task.rows[position] + 1) * length;
        let labels_of_row: usize = self.targets.iter().map(|target| target.labels()).sum();
        let mut labels = &self.labels[row(labels_of_row)];
        let mut outputs = Vec::with_capacity(self.signature.outputs.len());
        for target in &self.targets {
            let (own, others) = labels.split_at(target.labels());
            target.push(own, &mut outputs);
            labels = others;
        }
        samples.push(&self.table.inputs[row(self.signature.inputs.len())], &outputs);
    }
}

impl World for Dataset {
    fn name(&self) -> &str {
        &self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn lacks_labels(&self) -> bool {
        self.labels.iter().any(|label| label.is_nan())
    }

    fn task_count(&self, split: Split) -> Option<usize> {
        Some(self.members[place(split)].len())
    }

    /// The group.
    fn cluster(&self, task: &Task) -> u64 {
        self.rows_of(task).map_or(u64::MAX, |rows| rows.group as u64)
    }

    /// The rows of each task.
    fn source_sizes(&self, split: Split) -> Option<Vec<usize>> {
        Some(self.members[place(split)].iter().map(|task| self.tasks[*task].rows.len()).collect())
    }

    fn source(&self, task: &Task) -> usize {
        task.seed as usize
    }

    /// Draws evenly from the tasks of the split. From an empty split comes a task whose episodes are empty.
    fn task(&self, split: Split, rng: &mut ChaCha8Rng) -> Task {
        let count = self.members[place(split)].len() as u64;
        Task { split, seed: if count == 0 { 0 } else { rng.random_range(0..count) } }
    }

    /// The support is the first `shots` rows of each class in the order that the description says, the query the rest. Every class
    /// keeps one row for the query, so a task that is too small gives fewer shots: [`Dataset::check_shots`] tells before.
    fn episode(&self, task: &Task, shots: usize, rng: &mut ChaCha8Rng) -> Episode {
        let mut episode = Episode::default();
        let Some(rows) = self.rows_of(task) else {
            return episode;
        };
        let training = task.split == Split::Train;
        let mut positions: Vec<usize> = (0..rows.rows.len()).collect();
        let order = if training { self.train_order } else { self.order };
        if order == Order::Random {
            positions.shuffle(rng);
        }
        let mut wanted: Vec<usize> =
            self.class_sizes(rows).into_iter().map(|size| shots.min(size.saturating_sub(1))).collect();
        positions.retain(|&position| {
            let left = &mut wanted[rows.classes[position]];
            let support = *left > 0;
            if support {
                *left -= 1;
                self.push(&mut episode.support, rows, position);
            }
            !support
        });
        if let Some(most) = self.query.filter(|most| training && *most < positions.len()) {
            positions.shuffle(rng);
            positions.truncate(most);
        }
        positions.iter().for_each(|&position| self.push(&mut episode.query, rows, position));
        episode
    }

    fn metrics(&self) -> &[Metric] {
        &self.metrics
    }

    fn score(&self, _task: &Task, episode: &Episode, predictor: &mut Predictor<'_>) -> Vec<f64> {
        let Samples { inputs, targets, rows } = &episode.query;
        let mut said = vec![0.0; targets.len()];
        if *rows > 0 {
            predictor(inputs, &mut said);
        }
        let width = self.signature.outputs.len();
        let mut first = 0;
        let of_head = |target: &Target| {
            let columns = first..first + target.outputs();
            first = columns.end;
            let of_rows = targets.chunks_exact(width).zip(said.chunks_exact(width));
            let own = of_rows.map(|(target, said)| (&target[columns.clone()], &said[columns.clone()]));
            let (targets, said): (Vec<_>, Vec<_>) = own.filter(|(target, _)| !target[0].is_nan()).unzip();
            target.score(&said.concat(), &targets.concat())
        };
        self.targets.iter().flat_map(of_head).collect()
    }

    fn oracle(&self, _task: &Task, _episode: &Episode) -> Option<Vec<f64>> {
        None
    }
}
