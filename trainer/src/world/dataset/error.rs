//! What can be wrong with a data set, said so that it can be mended.

use std::path::PathBuf;

/// Why a data set cannot be opened, or cannot be used as asked.
#[derive(Debug, thiserror::Error)]
pub enum DatasetError {
    /// The description could not be read.
    #[error("{}: {source}", path.display())]
    Read {
        /// The description.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// The description is no TOML, or has a field that is missing, unknown or of another type.
    #[error("{}: {source}", path.display())]
    Parse {
        /// The description.
        path: PathBuf,
        /// Where and why.
        source: Box<toml::de::Error>,
    },
    /// A field of the description has a value that makes no sense.
    #[error("{}: field `{field}`: expected {expected}, found {found}", path.display())]
    Field {
        /// The description.
        path: PathBuf,
        /// The field.
        field: &'static str,
        /// What would have made sense.
        expected: &'static str,
        /// What stands there.
        found: String,
    },
    /// No file fits a pattern of `files`.
    #[error("{}: field `files`: no file fits `{pattern}` in {}", path.display(), root.display())]
    NoFile {
        /// The description.
        path: PathBuf,
        /// The pattern.
        pattern: String,
        /// The folder that was searched.
        root: PathBuf,
    },
    /// A file could not be read as CSV: not there, or not UTF-8.
    #[error("{}: {source}", file.display())]
    Csv {
        /// The file.
        file: PathBuf,
        /// Where and why.
        source: csv::Error,
    },
    /// A row is longer or shorter than the header.
    #[error("{}, line {line}: expected {expected} cells, as in the header, found {found}", file.display())]
    Length {
        /// The file.
        file: PathBuf,
        /// Its line, from 1, the header being the first.
        line: u64,
        /// Columns of the header.
        expected: u64,
        /// Cells of the row.
        found: u64,
    },
    /// A file lacks a column.
    #[error("{}: expected a column `{column}`, found the columns {found}", file.display())]
    NoColumn {
        /// The file.
        file: PathBuf,
        /// The name or pattern that fits none.
        column: String,
        /// The columns that there are.
        found: String,
    },
    /// Two columns of one file have the same name.
    #[error("{}: two columns are called `{column}`", file.display())]
    TwoColumns {
        /// The file.
        file: PathBuf,
        /// Their name.
        column: String,
    },
    /// A pattern of `inputs` or `outputs` fits other columns here than in the first file.
    #[error("{}: field `{field}` names the columns [{found}] here and [{expected}] in the first file", file.display())]
    OtherColumns {
        /// The file.
        file: PathBuf,
        /// `inputs` or `outputs`.
        field: &'static str,
        /// The columns of the first file.
        expected: String,
        /// The columns of this one.
        found: String,
    },
    /// A column is input and output at once, which would give the answer away.
    #[error("{}: column `{column}` is both in `inputs` and in `outputs`", file.display())]
    InputIsOutput {
        /// The file.
        file: PathBuf,
        /// The column.
        column: String,
    },
    /// A column is of two heads.
    #[error("{}: column `{column}` is in `outputs` of two heads", file.display())]
    OutputOfTwo {
        /// The file.
        file: PathBuf,
        /// The column.
        column: String,
    },
    /// A cell holds what it should not.
    #[error("{}, line {line}, column `{column}`: expected {expected}, found {found}", file.display())]
    Cell {
        /// The file.
        file: PathBuf,
        /// Its line, from 1, the header being the first.
        line: u64,
        /// The column's name.
        column: String,
        /// What belongs there.
        expected: &'static str,
        /// What stands there.
        found: String,
    },
    /// A Parquet file, or a file of a LeRobot data set's `meta`, is not there, is broken, or says what makes no sense.
    #[error("{}: {why}", file.display())]
    Broken {
        /// The file.
        file: PathBuf,
        /// Where and why.
        why: String,
    },
    /// A cell of a Parquet file holds what it should not.
    #[error("{}, row {row}, column `{column}`: expected {expected}, found {found}", file.display())]
    ParquetCell {
        /// The file.
        file: PathBuf,
        /// Its row, from 0.
        row: usize,
        /// The column's name.
        column: String,
        /// What belongs there.
        expected: String,
        /// What stands there.
        found: String,
    },
    /// A file has a header at most.
    #[error("{}: expected rows below the header, found none", file.display())]
    NoRows {
        /// The file.
        file: PathBuf,
    },
    /// Rows of one task belong to two groups, so no split could keep the groups apart.
    #[error("task `{task}` belongs to group `{first}` and to group `{second}`: `group` must follow from `task`")]
    TwoGroups {
        /// The task.
        task: String,
        /// The group of its first row.
        first: String,
        /// The group of a later row.
        second: String,
    },
    /// There are too few groups for the shares of the split to leave one to train on.
    #[error("{groups} group(s) with validation {validation} and test {test} leave none to train on")]
    TooFewGroups {
        /// Groups that there are.
        groups: usize,
        /// The share of the validation split.
        validation: f64,
        /// The share of the test split.
        test: f64,
    },
    /// A fold that does not exist.
    #[error("fold {fold} of {folds} over {groups} group(s): expected 2 ≤ folds ≤ groups and fold < folds")]
    Fold {
        /// The fold asked for, from 0.
        fold: usize,
        /// How many folds.
        folds: usize,
        /// Groups that there are.
        groups: usize,
    },
    /// Tasks with too few rows for the shots asked for.
    #[error(
        "{short} of {tasks} task(s) cannot give {shots} shot(s) and keep a row to be judged on; the first is `{task}` with {rows} row(s) in its smallest class"
    )]
    Shots {
        /// Shots asked for.
        shots: usize,
        /// Tasks that are too small.
        short: usize,
        /// All tasks.
        tasks: usize,
        /// The first task that is too small.
        task: String,
        /// Rows in its smallest class.
        rows: usize,
    },
    /// The null test compares halves of one class, and there is no class that could be halved.
    #[error("the null test halves classes, and `{name}` has none of four rows or more")]
    NoClasses {
        /// The data set.
        name: String,
    },
}
