//! Worlds: where episodes come from.
//!
//! A world draws tasks, makes episodes of them and judges predictions by what the robot wanted.
//! Everything that happens in a task follows from its [`Task::seed`], so a task is two words to store.

pub mod arm;
pub mod dataset;
pub mod grasp;
pub mod images;
pub mod open;
pub mod root;
pub mod series;
pub mod sinusoid;
pub mod terrain;

use rand_chacha::ChaCha8Rng;
use sinew_models::spec::{Loss, Shape};

use crate::episode::Episode;

/// Which part of a world a task belongs to. No map, object or recording is shared between the parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Split {
    /// Tasks to learn from.
    Train,
    /// Tasks on which everything that is chosen is chosen: checkpoints, rates, strengths.
    Validation,
    /// Tasks that only the last evaluation sees.
    Test,
}

impl Split {
    /// Its place among train, validation and test.
    pub(crate) const fn place(self) -> usize {
        match self {
            Self::Train => 0,
            Self::Validation => 1,
            Self::Test => 2,
        }
    }
}

/// One task: one object, one terrain, one payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Task {
    /// The part of the world that it belongs to.
    pub split: Split,
    /// Everything hidden in the task follows from this number; for a data set it is the index of the task.
    pub seed: u64,
}

/// One column of the inputs or outputs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// What it is called.
    pub name: String,
    /// Its unit as people write it, `1` for a plain number.
    pub unit: String,
}

/// What goes into and comes out of a network for this world.
#[derive(Clone, Debug, PartialEq)]
pub struct Signature {
    /// The input columns, in order.
    pub inputs: Vec<Column>,
    /// The image that a row of inputs is, if it is one; a series is an image of height 1.
    pub image: Option<Shape>,
    /// The output columns, in order.
    pub outputs: Vec<Column>,
    /// What the outputs are of: a head for each job, the main one first. They share the outputs among them, in order.
    pub heads: Vec<HeadSignature>,
}

/// One job of a network: some outputs, and the loss that suits them.
#[derive(Clone, Debug, PartialEq)]
pub struct HeadSignature {
    /// What it is called, as a head's name may be: lower-case letters, digits and `_`.
    pub name: String,
    /// How many outputs it has.
    pub outputs: usize,
    /// The loss that suits them.
    pub loss: Loss,
}

impl Signature {
    /// What one head does alone.
    pub fn of_one_head(inputs: Vec<Column>, image: Option<Shape>, outputs: Vec<Column>, loss: Loss) -> Self {
        let name = match outputs.as_slice() {
            [one] => head_name(&one.name),
            _ => "output".into(),
        };
        let heads = vec![HeadSignature { name, outputs: outputs.len(), loss }];
        Self { inputs, image, outputs, heads }
    }

    /// What several heads do, one output each: its column and its loss.
    pub fn of_heads(inputs: Vec<Column>, image: Option<Shape>, heads: Vec<(Column, Loss)>) -> Self {
        let signatures =
            heads.iter().map(|(column, loss)| HeadSignature { name: head_name(&column.name), outputs: 1, loss: *loss });
        let signatures = signatures.collect();
        Self { inputs, image, outputs: heads.into_iter().map(|(column, _)| column).collect(), heads: signatures }
    }

    /// The loss of the main head.
    pub fn loss(&self) -> Loss {
        self.heads.first().map_or(Loss::MeanSquared, |head| head.loss)
    }
}

/// A column's name as a head's: lower case, what is not a letter or digit as `_`.
pub(crate) fn head_name(column: &str) -> String {
    let letters = column.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '_' });
    let name: String = letters.take(sinew_models::spec::MAX_NAME).collect();
    if name.is_empty() { "output".into() } else { name }
}

/// One number by which predictions are judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Metric {
    /// Its name, as the tables print it.
    pub name: &'static str,
    /// Its unit, `1` for a plain number.
    pub unit: &'static str,
    /// Whether more is better.
    pub higher_is_better: bool,
    /// The number of the head whose predictions it judges.
    pub head: usize,
}

impl Metric {
    /// A number of which more is better, for the main head.
    pub const fn higher(name: &'static str, unit: &'static str) -> Self {
        Self { name, unit, higher_is_better: true, head: 0 }
    }

    /// A number of which less is better, for the main head.
    pub const fn lower(name: &'static str, unit: &'static str) -> Self {
        Self { name, unit, higher_is_better: false, head: 0 }
    }

    /// The same, for another head.
    pub const fn of_head(self, head: usize) -> Self {
        Self { head, ..self }
    }
}

/// Predicts targets for rows of inputs: `(inputs [rows, input], outputs [rows, output])`, both in the world's units;
/// probabilities for classes.
pub type Predictor<'a> = dyn FnMut(&[f32], &mut [f32]) + 'a;

/// A simulator or a data set that makes tasks.
pub trait World: Send + Sync {
    /// The name under which the command line knows it.
    fn name(&self) -> &str;

    /// Inputs, outputs and loss.
    fn signature(&self) -> &Signature;

    /// Whether rows may lack the labels of some heads, which then are NaN among the targets.
    fn lacks_labels(&self) -> bool {
        false
    }

    /// How many tasks a split has, where the number is finite (a data set); `None` where tasks are drawn without end.
    fn task_count(&self, split: Split) -> Option<usize>;

    /// What cannot be told apart from chance: tasks of one cluster (of one object) are not independent of each other.
    fn cluster(&self, task: &Task) -> u64 {
        task.seed
    }

    /// How many samples each source of a split's tasks has, where tasks come from sources that are drawn from evenly and may differ in
    /// size: the tasks of a data set, alphabets, recorded problems. `None` where there are no such sources.
    fn source_sizes(&self, _split: Split) -> Option<Vec<usize>> {
        None
    }

    /// From which of those sources a task comes.
    fn source(&self, _task: &Task) -> usize {
        0
    }

    /// Draws one task.
    fn task(&self, split: Split, rng: &mut ChaCha8Rng) -> Task;

    /// Makes one episode with `shots` support samples (of each class, for classification).
    fn episode(&self, task: &Task, shots: usize, rng: &mut ChaCha8Rng) -> Episode;

    /// What [`World::score`] measures; the first is the main one.
    fn metrics(&self) -> &[Metric];

    /// Judges `predictor` on `episode`, one value for each metric. NaN stands for "cannot be told on this episode".
    fn score(&self, task: &Task, episode: &Episode, predictor: &mut Predictor<'_>) -> Vec<f64>;

    /// As [`World::score`], for one who also says the variance of each prediction, in squares of the world's units: a world in which that
    /// matters to what the robot does makes use of it.
    fn score_with_variance(
        &self,
        task: &Task,
        episode: &Episode,
        predictor: &mut Predictor<'_>,
        _variance: &mut Predictor<'_>,
    ) -> Vec<f64> {
        self.score(task, episode, predictor)
    }

    /// What somebody who knows everything hidden in the task would score, where the world can tell.
    fn oracle(&self, task: &Task, episode: &Episode) -> Option<Vec<f64>>;
}
