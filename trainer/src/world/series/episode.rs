//! Episodes of series: which classes in which order, which recordings of them, and how the sensor is worn.

use nalgebra::{Matrix3, Quaternion, UnitQuaternion, Vector3};
use rand::seq::{IndexedRandom, SliceRandom, index};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::StandardNormal;

use super::split::Part;
use super::{Augment, Form, Series};
use crate::episode::{Episode, Samples};
use crate::metric;
use crate::world::{Metric, Predictor, Signature, Split, Task, World};

/// What is hidden in a task.
struct Hidden<'a> {
    /// The classes in the order of the targets' columns.
    parts: Vec<&'a Part>,
    /// How the sensor is worn, if not as recorded.
    frame: Option<Matrix3<f32>>,
}

impl Series {
    /// The place of a task's problem, and what draws the rest of it. A split that was not asked for has none.
    fn problem(&self, task: &Task) -> (Option<usize>, ChaCha8Rng) {
        let mut rng = ChaCha8Rng::seed_from_u64(task.seed);
        rng.set_stream(task.split.place() as u64 + 1);
        let places: Vec<usize> = (0..self.pools[task.split.place()].len()).collect();
        (places.choose(&mut rng).copied(), rng)
    }

    fn hidden(&self, task: &Task) -> Hidden<'_> {
        let (problem, mut rng) = self.problem(task);
        let turned = match self.config.augment {
            Augment::Never => false,
            Augment::Training => task.split == Split::Train,
            Augment::Always => true,
        };
        // Without a problem episodes are empty.
        let parts = problem.map_or_else(Vec::new, |problem| {
            let pool = &self.pools[task.split.place()][problem];
            index::sample(&mut rng, pool.len(), self.config.way).into_iter().map(|at| &pool[at]).collect()
        });
        Hidden { parts, frame: turned.then(|| random_rotation(&mut rng)) }
    }

    /// The classes of a task as `problem/class`, in the order of the targets' columns.
    pub fn classes_of(&self, task: &Task) -> Vec<&str> {
        let name = |part: &Part| self.recordings.classes[part.class].name.as_str();
        self.hidden(task).parts.into_iter().map(name).collect()
    }

    /// A series as a row of inputs, with the sensor worn as `frame` says.
    pub(super) fn row(&self, values: &[f32], frame: Option<&Matrix3<f32>>) -> Vec<f32> {
        let channels = self.scales.len();
        let mut values = values.to_vec();
        if let Some(frame) = frame {
            // Accelerations, rates of turning, forces and torques all turn alike.
            for three in values.chunks_exact_mut(3) {
                let turned = frame * Vector3::from_column_slice(three);
                three.copy_from_slice(turned.as_slice());
            }
        }
        match self.config.form {
            Form::Series => {
                for row in values.chunks_exact_mut(channels) {
                    row.iter_mut().zip(&self.scales).for_each(|(x, [mean, deviation])| *x = (*x - mean) / deviation);
                }
                values
            }
            Form::Statistics => self.statistics.of(&values, channels),
        }
    }
}

/// Even over all rotations: a quaternion of four normal numbers (Marsaglia 1972; Shoemake 1992).
pub(super) fn random_rotation(rng: &mut ChaCha8Rng) -> Matrix3<f32> {
    let four: [f32; 4] = std::array::from_fn(|_| rng.sample(StandardNormal));
    UnitQuaternion::from_quaternion(Quaternion::from(four)).to_rotation_matrix().into_inner()
}

impl World for Series {
    fn name(&self) -> &str {
        "series"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn task_count(&self, _split: Split) -> Option<usize> {
        None
    }

    /// The series of each problem.
    fn source_sizes(&self, split: Split) -> Option<Vec<usize>> {
        let series = |pool: &Vec<Part>| pool.iter().map(|part| part.recordings.len()).sum();
        Some(self.pools[split.place()].iter().map(series).collect())
    }

    fn source(&self, task: &Task) -> usize {
        self.problem(task).0.unwrap_or(0)
    }

    /// The seed draws problem, classes and their order, and how the sensor is worn.
    fn task(&self, split: Split, rng: &mut ChaCha8Rng) -> Task {
        Task { split, seed: rng.random() }
    }

    /// Draws the series: `shots` of each class, and others for the query. A class with too few gives fewer: [`Series::check_shots`] tells
    /// before.
    fn episode(&self, task: &Task, shots: usize, rng: &mut ChaCha8Rng) -> Episode {
        let most = if task.split == Split::Train { self.config.query } else { self.config.evaluation_query };
        let Hidden { parts, frame } = self.hidden(task);
        let (mut support, mut query) = (Vec::new(), Vec::new());
        for (label, part) in parts.iter().enumerate() {
            let mut order = part.recordings.clone();
            order.shuffle(rng);
            let shots = shots.min(order.len().saturating_sub(1));
            for (place, recording) in order.into_iter().take(shots + most).enumerate() {
                let values = &self.recordings.classes[part.class].recordings[recording].values;
                if place < shots { support.push((place, label, values)) } else { query.push((place, label, values)) }
            }
        }
        let samples = |mut rows: Vec<(usize, usize, &Vec<f32>)>| {
            rows.sort_by_key(|(round, label, _)| (*round, *label));
            let mut samples = Samples::default();
            for (_, label, values) in rows {
                let target: Vec<f32> = (0..parts.len()).map(|class| f32::from(u8::from(class == label))).collect();
                samples.push(&self.row(values, frame.as_ref()), &target);
            }
            samples
        };
        Episode { support: samples(support), query: samples(query) }
    }

    fn metrics(&self) -> &[Metric] {
        &metric::OF_UNEVEN_CLASSES
    }

    fn score(&self, _task: &Task, episode: &Episode, predictor: &mut Predictor<'_>) -> Vec<f64> {
        metric::of_uneven_classes(&episode.query, predictor)
    }

    fn oracle(&self, _task: &Task, _episode: &Episode) -> Option<Vec<f64>> {
        None
    }
}
