//! Recorded data: tasks from CSV or Parquet files that a `dataset.toml` describes.
//!
//! A task is the set of rows that agree in the columns of `task`: one object held in one way. Its first rows are what the robot
//! sees, its later ones what it is judged on. Tasks are split by `group`, so that no object is on two sides.
//!
//! | field of `dataset.toml` | what it says | default |
//! |---|---|---|
//! | `name` | what the data set is called | |
//! | `root` | folder of the files, relative to the description; `${SINEW_DATA}` stands for [`data_folder`] | beside the description |
//! | `format` | `csv`; with the feature `parquet` also `parquet` (plain tables) and `lerobot` (its folders, v2.0, v2.1 and v3.0) | `csv` |
//! | `files` | files, names or globs, CSV with a header; none for `lerobot`, whose `meta` lists them | |
//! | `every` | one row of so many is read, counted within each file, or each episode of `lerobot` | 1 |
//! | `file_column` | name of an extra column, for `task` and `group`, that holds each file's stem | none |
//! | `inputs`, `outputs` | columns, names or globs; for classes one output column | |
//! | `task` | a column or several that name a task | |
//! | `group` | a column or several that name what must not be split apart | as `task` |
//! | `loss` | `mean_squared`, `huber`, `binary_cross_entropy` (0 or 1), `cross_entropy` (any labels) | |
//! | `huber_delta` | where the Huber loss turns linear | 1 |
//! | `[[heads]]` | in place of `outputs` and `loss`: several jobs of one network, each with `name` (as its column), `outputs`, `loss`, `huber_delta`; an empty cell is a label that the row lacks | |
//! | `order` | `file`: the first K rows (of each class) are the support; `random`: any K | `file` |
//! | `train_order` | the same for training episodes | as `order` |
//! | `query` | most query rows of a training episode, drawn from the rest; other splits are judged on all | all |
//! | `[units]` | a unit for a column, name or glob; the name goes first, then the longest glob | `1` |
//! | `[split]` | `validation` and `test`, shares of the groups, and `seed` | 0.2, 0.2, 0 |

mod episode;
mod error;
#[cfg(feature = "parquet")]
mod lerobot;
mod manifest;
mod null_test;
#[cfg(feature = "parquet")]
mod parquet_rows;
mod signature;
mod split;
mod table;
mod target;
#[cfg(test)]
mod tests;
#[cfg(all(test, feature = "parquet"))]
mod tests_parquet;

use std::path::Path;
use std::sync::Arc;

use sinew_models::spec::Loss;

pub use super::root::data_folder;
use super::{Column, Metric, Signature, Split, Task};
pub use error::DatasetError;
#[cfg(feature = "parquet")]
use manifest::Format;
use manifest::Manifest;
pub use manifest::Order;
use table::{Table, TaskRows};
use target::Target;

/// Tasks from recorded data. Cheap to clone: the rows are shared.
#[derive(Clone, Debug)]
pub struct Dataset {
    name: String,
    signature: Signature,
    metrics: Vec<Metric>,
    /// Of each head.
    targets: Vec<Target>,
    order: Order,
    train_order: Order,
    query: Option<usize>,
    validation: f64,
    table: Arc<Table>,
    /// `[rows, Σ Target::labels]`.
    labels: Arc<[f32]>,
    tasks: Vec<TaskRows>,
    /// The split of each group.
    splits: Vec<Split>,
    /// Indices into `tasks`, for train, validation and test.
    members: [Vec<usize>; 3],
}

fn place(split: Split) -> usize {
    match split {
        Split::Train => 0,
        Split::Validation => 1,
        Split::Test => 2,
    }
}

impl Dataset {
    /// Reads the description at `path`, and all of its files at once. `${SINEW_DATA}` stands for [`data_folder`].
    ///
    /// # Errors
    /// Names the file, line and column of what is missing or not as described.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, DatasetError> {
        Self::open_in(path, data_folder())
    }

    /// As [`Dataset::open`], with `data` for `${SINEW_DATA}`.
    pub fn open_in(path: impl AsRef<Path>, data: impl AsRef<Path>) -> Result<Self, DatasetError> {
        let path = path.as_ref();
        let manifest = Manifest::read(path)?;
        let data = data.as_ref();
        let (mut table, tasks) = match manifest.format {
            #[cfg(feature = "parquet")]
            Format::Parquet => parquet_rows::read(&manifest, &manifest.files(path, data)?)?,
            #[cfg(feature = "parquet")]
            Format::Lerobot => lerobot::read(&manifest, &manifest.root(path, data)?)?,
            // Without the feature the description has been refused by now.
            _ => table::read(&manifest, &manifest.files(path, data)?)?,
        };
        let (signature, targets) = signature::of(&manifest, &table, path)?;
        let splits = split::by_share(table.groups.len(), &manifest.split)?;
        let mut dataset = Self {
            metrics: signature::metrics(&signature, &targets),
            signature,
            targets,
            order: manifest.order,
            train_order: manifest.train_order(),
            query: manifest.query,
            validation: manifest.split.validation,
            name: manifest.name,
            labels: std::mem::take(&mut table.labels).into(),
            table: Arc::new(table),
            tasks,
            splits,
            members: Default::default(),
        };
        dataset.enlist();
        Ok(dataset)
    }

    /// Sorts the tasks into the splits of their groups.
    fn enlist(&mut self) {
        self.members = Default::default();
        for (number, task) in self.tasks.iter().enumerate() {
            self.members[place(self.splits[task.group])].push(number);
        }
    }

    /// The same data, split for one fold of a cross-validation over groups: fold `fold` of `folds` is the test, and of the others
    /// as many groups as the description's `validation` share says are for validation. Equal seeds give equal folds, for the
    /// null test too.
    ///
    /// # Errors
    /// [`DatasetError::Fold`] unless `2 ≤ folds ≤ groups` and `fold < folds`.
    pub fn with_fold(&self, fold: usize, folds: usize, seed: u64) -> Result<Self, DatasetError> {
        let splits = split::by_fold(self.table.groups.len(), fold, folds, self.validation, seed)?;
        let mut dataset = Self { splits, ..self.clone() };
        dataset.enlist();
        Ok(dataset)
    }

    /// The null test of this data set: a task for each class of each task, its earlier half to be told from its later half. Groups, split
    /// and protocol stay as they are. Halves have half the rows, so see [`Dataset::without_short_tasks`].
    ///
    /// # Errors
    /// [`DatasetError::NoClasses`] for a regression or several heads, or where no class has four rows.
    pub fn null_test(&self) -> Result<Self, DatasetError> {
        let classes = if self.has_classes() { self.class_count() } else { 0 };
        let label = |class: usize| match self.targets[..] {
            [Target::OneHot(_)] => self.signature.outputs[class].name.clone(),
            _ => format!("{}={class}", self.signature.outputs[0].name),
        };
        let tasks: Vec<_> = self.tasks.iter().flat_map(|task| null_test::halves(task, classes, label)).collect();
        let mut labels = vec![f32::NAN; self.table.rows];
        for task in &tasks {
            task.rows.iter().zip(&task.classes).for_each(|(row, half)| labels[*row] = *half as f32);
        }
        let (signature, targets) = (
            Signature::of_one_head(
                self.signature.inputs.clone(),
                None,
                vec![Column { name: "later_half".into(), unit: "1".into() }],
                Loss::BinaryCrossEntropy,
            ),
            vec![Target::ZeroOrOne],
        );
        let mut dataset = Self {
            name: format!("{}-null", self.name),
            metrics: signature::metrics(&signature, &targets),
            signature,
            targets,
            labels: labels.into(),
            tasks,
            ..self.clone()
        };
        if dataset.tasks.is_empty() {
            return Err(DatasetError::NoClasses { name: self.name.clone() });
        }
        dataset.enlist();
        Ok(dataset)
    }

    /// Asks whether every task can give `shots` support rows (of each class), and keep one (of each class) to be judged on. A task with
    /// classes must have two of them.
    ///
    /// # Errors
    /// [`DatasetError::Shots`] names the first task that cannot.
    pub fn check_shots(&self, shots: usize) -> Result<(), DatasetError> {
        let mut short = self.tasks.iter().filter(|task| self.smallest_class(task) <= shots);
        let Some(task) = short.next() else {
            return Ok(());
        };
        Err(DatasetError::Shots {
            shots,
            short: 1 + short.count(),
            tasks: self.tasks.len(),
            task: task.name.clone(),
            rows: self.smallest_class(task),
        })
    }

    /// The same data without the tasks that [`Dataset::check_shots`] would complain about. Tasks are counted anew; groups and their
    /// split stay.
    pub fn without_short_tasks(&self, shots: usize) -> Self {
        let mut dataset = self.clone();
        dataset.tasks.retain(|task| self.smallest_class(task) > shots);
        dataset.enlist();
        dataset
    }

    /// Whether targets are classes, of which the support has `shots` rows each. Where there are several heads it has `shots` rows.
    pub fn has_classes(&self) -> bool {
        matches!(self.targets[..], [target] if target.classes().is_some())
    }

    /// The tasks of a split, in the order of their first rows.
    pub fn tasks(&self, split: Split) -> impl Iterator<Item = Task> + use<> {
        (0..self.members[place(split)].len() as u64).map(move |seed| Task { split, seed })
    }

    /// A task's name: its columns' values, joined by ` / `.
    pub fn task_name(&self, task: &Task) -> Option<&str> {
        self.rows_of(task).map(|rows| rows.name.as_str())
    }

    /// The name of the group that a task belongs to. Tasks of one group are not independent: an interval over groups is the honest one.
    pub fn group_name(&self, task: &Task) -> Option<&str> {
        self.rows_of(task).map(|rows| self.table.groups[rows.group].as_str())
    }

    /// How many groups the files have.
    pub fn group_count(&self) -> usize {
        self.table.groups.len()
    }

    /// How many rows the tasks have together.
    pub fn row_count(&self) -> usize {
        self.tasks.iter().map(|task| task.rows.len()).sum()
    }

    fn rows_of(&self, task: &Task) -> Option<&TaskRows> {
        let number = self.members[place(task.split)].get(usize::try_from(task.seed).ok()?)?;
        Some(&self.tasks[*number])
    }

    fn class_count(&self) -> usize {
        match self.targets[..] {
            [target] => target.classes().unwrap_or(1),
            _ => 1,
        }
    }

    fn class_sizes(&self, task: &TaskRows) -> Vec<usize> {
        let mut sizes = vec![0; self.class_count()];
        task.classes.iter().for_each(|&class| sizes[class] += 1);
        sizes
    }

    /// Rows in the smallest class that the task has; 0 where it has only one of several.
    fn smallest_class(&self, task: &TaskRows) -> usize {
        let mut sizes = self.class_sizes(task);
        sizes.retain(|size| *size > 0);
        let alone = self.has_classes() && sizes.len() < 2;
        if alone { 0 } else { sizes.into_iter().min().unwrap_or(0) }
    }
}
