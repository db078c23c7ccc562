//! Files, read once into one table, with every cell checked. CSV is read here.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use super::DatasetError;
use super::manifest::{LossName, Manifest, fits};

/// The rows of one task, in the order of the files.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct TaskRows {
    pub name: String,
    /// Its group, an index into [`Table::groups`].
    pub group: usize,
    /// Rows of the table.
    pub rows: Vec<usize>,
    /// The class of each of these rows; 0 throughout where there are no classes, or several heads.
    pub classes: Vec<usize>,
}

/// All rows of all files.
#[derive(Debug, Default)]
pub(super) struct Table {
    pub input_names: Vec<String>,
    pub output_names: Vec<String>,
    /// `[rows, input_names.len()]`.
    pub inputs: Vec<f32>,
    /// Columns of each head among the outputs.
    pub head_columns: Vec<usize>,
    /// `[rows, output_names.len()]`: values, 0 or 1, or the number of a class; NaN where a row lacks the labels of a head.
    pub labels: Vec<f32>,
    pub rows: usize,
    /// Of each head the words for its classes; none for values, and for 0 or 1.
    pub words: Vec<Vec<String>>,
    pub groups: Vec<String>,
}

/// Where a cell comes from: a column, or the name of the file.
enum Place {
    Column(usize),
    FileStem,
}

/// The columns of one file that are used.
pub(super) struct Layout {
    stem: String,
    inputs: Vec<usize>,
    outputs: Vec<usize>,
    /// How many of the outputs are of each head, which lie one behind the other.
    head_columns: Vec<usize>,
    task: Vec<Place>,
    group: Vec<Place>,
}

/// Numbers for names, in the order of their first appearance.
#[derive(Default)]
struct Names {
    numbers: HashMap<String, usize>,
    names: Vec<String>,
}

impl Names {
    fn number(&mut self, name: &str) -> usize {
        if let Some(number) = self.numbers.get(name) {
            return *number;
        }
        self.numbers.insert(name.into(), self.names.len());
        self.names.push(name.into());
        self.names.len() - 1
    }
}

/// A table that rows are added to, and its tasks in the order of their first rows.
pub(super) struct Reading<'a> {
    pub manifest: &'a Manifest,
    table: Table,
    tasks: Vec<TaskRows>,
    task_numbers: HashMap<Vec<String>, usize>,
    /// Of each head.
    words: Vec<Names>,
    groups: Names,
}

/// One row of a file, each cell read with the right complaint.
pub(super) trait Cells {
    /// Whether nothing stands there.
    fn is_empty(&self, column: usize) -> bool;
    fn word(&self, column: usize, expected: &'static str) -> Result<String, DatasetError>;
    fn number(&self, column: usize) -> Result<f32, DatasetError>;
    /// The complaint about a cell that could be read.
    fn wrong(&self, column: usize, expected: &'static str) -> DatasetError;
}

/// Reads `files` as CSV, as `manifest` describes them: the table, and its tasks.
pub(super) fn read(manifest: &Manifest, files: &[PathBuf]) -> Result<(Table, Vec<TaskRows>), DatasetError> {
    let mut reading = Reading::new(manifest);
    for file in files {
        let bytes =
            std::fs::read(file).map_err(|source| DatasetError::Csv { file: file.clone(), source: source.into() })?;
        let broken = |source| broken(file, &bytes, source);
        let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(&bytes[..]);
        let headers: Vec<String> = reader.headers().map_err(broken)?.iter().map(String::from).collect();
        let layout = reading.layout(file, &headers)?;
        let mut record = csv::StringRecord::new();
        let mut rows = 0;
        while reader.read_record(&mut record).map_err(broken)? {
            if rows % manifest.every == 0 {
                reading.row(&layout, &CsvCells { file, bytes: &bytes, headers: &headers, record: &record })?;
            }
            rows += 1;
        }
        if rows == 0 {
            return Err(DatasetError::NoRows { file: file.clone() });
        }
    }
    Ok(reading.finish())
}

impl<'a> Reading<'a> {
    pub fn new(manifest: &'a Manifest) -> Self {
        Self {
            manifest,
            table: Table::default(),
            tasks: Vec::new(),
            task_numbers: HashMap::new(),
            words: manifest.heads.iter().map(|_| Names::default()).collect(),
            groups: Names::default(),
        }
    }

    /// Finds the columns that are used among those of a file, in the order of the first file.
    pub fn layout(&mut self, file: &Path, headers: &[String]) -> Result<Layout, DatasetError> {
        let mut layout = Layout::find(self.manifest, file, headers)?;
        self.table.name_columns(file, headers, &mut layout)?;
        Ok(layout)
    }

    pub fn row(&mut self, layout: &Layout, cells: &impl Cells) -> Result<(), DatasetError> {
        let words = |places: &[Place]| -> Result<Vec<String>, DatasetError> {
            let word = |place: &Place| match place {
                Place::Column(column) => cells.word(*column, "a name"),
                Place::FileStem => Ok(layout.stem.clone()),
            };
            places.iter().map(word).collect()
        };
        let task = words(&layout.task)?;
        let group = words(&layout.group)?.join(" / ");
        for &column in &layout.inputs {
            self.table.inputs.push(cells.number(column)?);
        }
        self.labels(layout, cells)?;
        let group = self.groups.number(&group);
        let tasks = &mut self.tasks;
        let place = *self.task_numbers.entry(task).or_insert_with_key(|words: &Vec<String>| {
            tasks.push(TaskRows { name: words.join(" / "), group, rows: Vec::new(), classes: Vec::new() });
            tasks.len() - 1
        });
        let task = &mut self.tasks[place];
        if task.group != group {
            let [first, second] = [task.group, group].map(|number| self.groups.names[number].clone());
            return Err(DatasetError::TwoGroups { task: task.name.clone(), first, second });
        }
        task.rows.push(self.table.rows);
        self.table.rows += 1;
        Ok(())
    }

    /// The labels of a row. Where there are several heads, a row may lack those of some.
    fn labels(&mut self, layout: &Layout, cells: &impl Cells) -> Result<(), DatasetError> {
        let heads = &self.manifest.heads;
        let (labels, mut first, mut any) = (&mut self.table.labels, 0, false);
        for ((head, columns), words) in heads.iter().zip(&layout.head_columns).zip(&mut self.words) {
            let columns = &layout.outputs[first..first + columns];
            first += columns.len();
            if heads.len() > 1 && columns.iter().all(|column| cells.is_empty(*column)) {
                labels.extend(columns.iter().map(|_| f32::NAN));
                continue;
            }
            any = true;
            for &column in columns {
                labels.push(match head.loss {
                    LossName::MeanSquared | LossName::Huber => cells.number(column)?,
                    LossName::BinaryCrossEntropy => match cells.number(column) {
                        Ok(label @ (0.0 | 1.0)) => label,
                        _ => return Err(cells.wrong(column, "0 or 1")),
                    },
                    LossName::CrossEntropy => words.number(&cells.word(column, "a class")?) as f32,
                });
            }
        }
        if any { Ok(()) } else { Err(cells.wrong(layout.outputs[0], "the label of one head at least")) }
    }

    pub fn finish(mut self) -> (Table, Vec<TaskRows>) {
        let Table { labels, output_names, head_columns, words: named, .. } = &mut self.table;
        let (width, mut first) = (output_names.len(), 0);
        for (words, columns) in self.words.into_iter().zip(&*head_columns) {
            named.push(sort_words(words.names, labels.iter_mut().skip(first).step_by(width.max(1))));
            first += columns;
        }
        let classes = matches!(&self.manifest.heads[..], [head] if head.has_classes());
        for task in &mut self.tasks {
            let class = |row: &usize| if classes { labels[row * width] as usize } else { 0 };
            task.classes = task.rows.iter().map(class).collect();
        }
        self.table.groups = self.groups.names;
        (self.table, self.tasks)
    }
}

fn broken(file: &Path, bytes: &[u8], source: csv::Error) -> DatasetError {
    match *source.kind() {
        csv::ErrorKind::UnequalLengths { ref pos, expected_len: expected, len: found } => {
            DatasetError::Length { file: file.into(), line: line(bytes, pos.as_ref()), expected, found }
        }
        _ => DatasetError::Csv { file: file.into(), source },
    }
}

/// The line that a row begins on, from 1. The reader's own count stops before blank lines and before the second half of `\r\n`.
fn line(bytes: &[u8], position: Option<&csv::Position>) -> u64 {
    let start = position.map_or(0, |position| position.byte() as usize).min(bytes.len());
    let blank = bytes[start..].iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
    1 + bytes[..start + blank].iter().filter(|byte| **byte == b'\n').count() as u64
}

/// Sorts the words for classes, as numbers where all are, and renumbers the labels.
fn sort_words<'l>(words: Vec<String>, labels: impl Iterator<Item = &'l mut f32>) -> Vec<String> {
    let numbers: Option<Vec<f64>> =
        words.iter().map(|word| word.parse().ok().filter(|n: &f64| n.is_finite())).collect();
    let mut order: Vec<usize> = (0..words.len()).collect();
    match numbers {
        Some(numbers) => order.sort_by(|a, b| numbers[*a].total_cmp(&numbers[*b])),
        None => order.sort_by(|a, b| words[*a].cmp(&words[*b])),
    }
    let mut renumbered = vec![0; words.len()];
    order.iter().enumerate().for_each(|(new, &old)| renumbered[old] = new);
    if !words.is_empty() {
        labels.filter(|label| !label.is_nan()).for_each(|label| *label = renumbered[*label as usize] as f32);
    }
    order.iter().map(|&old| words[old].clone()).collect()
}

impl Table {
    /// Takes the names from the first file, and puts the columns of the others into the same order.
    fn name_columns(&mut self, file: &Path, headers: &[String], layout: &mut Layout) -> Result<(), DatasetError> {
        if self.rows == 0 {
            self.head_columns.clone_from(&layout.head_columns);
        }
        for (field, names, columns) in [
            ("inputs", &mut self.input_names, &mut layout.inputs),
            ("outputs", &mut self.output_names, &mut layout.outputs),
        ] {
            let found: Vec<String> = columns.iter().map(|&column| headers[column].clone()).collect();
            if self.rows == 0 {
                *names = found;
                continue;
            }
            let ordered: Vec<usize> =
                names.iter().filter_map(|name| Some(columns[found.iter().position(|other| other == name)?])).collect();
            if ordered.len() != names.len() || found.len() != names.len() {
                let [expected, found] = [names.join(", "), found.join(", ")];
                return Err(DatasetError::OtherColumns { file: file.into(), field, expected, found });
            }
            *columns = ordered;
        }
        Ok(())
    }
}

impl Layout {
    fn find(manifest: &Manifest, file: &Path, headers: &[String]) -> Result<Self, DatasetError> {
        let missing = |column: &str| DatasetError::NoColumn {
            file: file.into(),
            column: column.into(),
            found: if headers.is_empty() { "none".into() } else { format!("`{}`", headers.join("`, `")) },
        };
        let all = |patterns: &[String]| {
            let mut columns = Vec::new();
            for pattern in patterns {
                let exact = headers.iter().any(|name| name == pattern);
                let mut found: Vec<usize> = (0..headers.len())
                    .filter(|&column| if exact { headers[column] == *pattern } else { fits(pattern, &headers[column]) })
                    .collect();
                if found.is_empty() {
                    return Err(missing(pattern));
                }
                found.retain(|column| !columns.contains(column));
                columns.append(&mut found);
            }
            Ok(columns)
        };
        let places = |names: &[String]| -> Result<Vec<Place>, DatasetError> {
            let place = |name: &String| match headers.iter().position(|header| header == name) {
                _ if manifest.file_column.as_ref() == Some(name) => Ok(Place::FileStem),
                Some(column) => Ok(Place::Column(column)),
                None => Err(missing(name)),
            };
            names.iter().map(place).collect()
        };
        let twice = |name: &String| headers.iter().filter(|header| *header == name).count() > 1;
        if let Some(column) = headers.iter().find(|name| twice(name) || manifest.file_column.as_ref() == Some(*name)) {
            return Err(DatasetError::TwoColumns { file: file.into(), column: column.clone() });
        }
        let inputs = all(&manifest.inputs)?;
        let heads = manifest.heads.iter().map(|head| all(&head.outputs)).collect::<Result<Vec<_>, _>>()?;
        let head_columns = heads.iter().map(Vec::len).collect();
        let outputs = heads.concat();
        let shared = outputs.iter().enumerate().find(|(place, column)| outputs[..*place].contains(column));
        if let Some((_, &column)) = shared {
            return Err(DatasetError::OutputOfTwo { file: file.into(), column: headers[column].clone() });
        }
        if let Some(&column) = inputs.iter().find(|column| outputs.contains(column)) {
            return Err(DatasetError::InputIsOutput { file: file.into(), column: headers[column].clone() });
        }
        let (task, group) = (places(manifest.task.names())?, places(manifest.group_names())?);
        let stem = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        Ok(Self { stem, inputs, outputs, head_columns, task, group })
    }

    /// Whether a column is read at all.
    #[cfg(feature = "parquet")]
    pub fn uses(&self, column: usize) -> bool {
        let named = |places: &[Place]| places.iter().any(|place| matches!(place, Place::Column(one) if *one == column));
        self.inputs.contains(&column) || self.outputs.contains(&column) || named(&self.task) || named(&self.group)
    }
}

/// One row of a CSV file.
struct CsvCells<'a> {
    file: &'a Path,
    bytes: &'a [u8],
    headers: &'a [String],
    record: &'a csv::StringRecord,
}

impl Cells for CsvCells<'_> {
    fn is_empty(&self, column: usize) -> bool {
        self.record[column].is_empty()
    }

    fn wrong(&self, column: usize, expected: &'static str) -> DatasetError {
        let cell = &self.record[column];
        DatasetError::Cell {
            file: self.file.into(),
            line: line(self.bytes, self.record.position()),
            column: self.headers[column].clone(),
            expected,
            found: if cell.is_empty() { "an empty cell".into() } else { format!("`{cell}`") },
        }
    }

    fn word(&self, column: usize, expected: &'static str) -> Result<String, DatasetError> {
        let cell = &self.record[column];
        if cell.is_empty() { Err(self.wrong(column, expected)) } else { Ok(cell.into()) }
    }

    fn number(&self, column: usize) -> Result<f32, DatasetError> {
        let number = self.record[column].parse().ok().filter(|number: &f32| number.is_finite());
        number.ok_or_else(|| self.wrong(column, "a finite number"))
    }
}
