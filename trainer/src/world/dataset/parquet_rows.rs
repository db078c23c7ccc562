//! Parquet files: the columns that are asked for, decoded one row group after another.

use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parquet::errors::ParquetError;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::reader::RowIter;
use parquet::record::{Field, Row};
use parquet::schema::types::Type;

use super::DatasetError;
use super::manifest::Manifest;
use super::table::{Cells, Reading, Table, TaskRows};

/// What stands in one cell.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) enum Cell {
    /// Null, or a column that was not asked for.
    #[default]
    Empty,
    Whole(i64),
    Real(f64),
    Word(String),
}

impl Cell {
    /// What a scalar field holds. An error says what kind of field it is instead.
    pub fn of(field: &Field) -> Result<Self, String> {
        Ok(match field {
            Field::Null => Self::Empty,
            Field::Bool(value) => Self::Whole(i64::from(*value)),
            Field::Byte(value) => Self::Whole(i64::from(*value)),
            Field::Short(value) => Self::Whole(i64::from(*value)),
            Field::Int(value) => Self::Whole(i64::from(*value)),
            Field::Long(value) => Self::Whole(*value),
            Field::UByte(value) => Self::Whole(i64::from(*value)),
            Field::UShort(value) => Self::Whole(i64::from(*value)),
            Field::UInt(value) => Self::Whole(i64::from(*value)),
            Field::ULong(value) => Self::Whole(i64::try_from(*value).map_err(|_| format!("{value}"))?),
            Field::Float16(value) => Self::Real(f64::from(*value)),
            Field::Float(value) => Self::Real(f64::from(*value)),
            Field::Double(value) => Self::Real(*value),
            Field::Str(value) => Self::Word(value.clone()),
            Field::ListInternal(list) => return Err(format!("a list of {}", list.len())),
            Field::Group(_) => return Err("a group of fields".into()),
            other => return Err(format!("`{other}`")),
        })
    }

    pub fn whole(&self) -> Option<i64> {
        match self {
            Self::Whole(value) => Some(*value),
            _ => None,
        }
    }

    fn said(&self) -> String {
        match self {
            Self::Empty => "null".into(),
            Self::Whole(value) => format!("`{value}`"),
            Self::Real(value) => format!("`{value}`"),
            Self::Word(value) => format!("`{value}`"),
        }
    }
}

/// One row, a cell for each column of `headers`.
pub(super) struct ParquetCells<'a> {
    pub file: &'a Path,
    pub row: usize,
    pub headers: &'a [String],
    pub cells: &'a [Cell],
}

impl ParquetCells<'_> {
    pub fn complaint(file: &Path, row: usize, column: &str, expected: &str, found: String) -> DatasetError {
        DatasetError::ParquetCell { file: file.into(), row, column: column.into(), expected: expected.into(), found }
    }
}

impl Cells for ParquetCells<'_> {
    fn is_empty(&self, column: usize) -> bool {
        self.cells[column] == Cell::Empty
    }

    fn wrong(&self, column: usize, expected: &'static str) -> DatasetError {
        Self::complaint(self.file, self.row, &self.headers[column], expected, self.cells[column].said())
    }

    fn word(&self, column: usize, expected: &'static str) -> Result<String, DatasetError> {
        match &self.cells[column] {
            Cell::Whole(value) => Ok(value.to_string()),
            Cell::Real(value) if value.is_finite() => Ok(value.to_string()),
            Cell::Word(word) if !word.is_empty() => Ok(word.clone()),
            _ => Err(self.wrong(column, expected)),
        }
    }

    fn number(&self, column: usize) -> Result<f32, DatasetError> {
        let number = match self.cells[column] {
            Cell::Whole(value) => Some(value as f32),
            Cell::Real(value) => Some(value as f32),
            _ => None,
        };
        number.filter(|number| number.is_finite()).ok_or_else(|| self.wrong(column, "a finite number"))
    }
}

/// An open file, of which only metadata has been read.
pub(super) struct Opened<'a> {
    path: &'a Path,
    reader: SerializedFileReader<File>,
}

/// Rows of the columns asked for.
pub(super) struct Rows<'a> {
    path: &'a Path,
    rows: RowIter<'a>,
}

/// The crate panics on some broken files, where it trusts what they say of themselves; here that is an error like others.
fn guarded<T>(path: &Path, read: impl FnOnce() -> Result<T, ParquetError>) -> Result<T, DatasetError> {
    let broken = |why| DatasetError::Broken { file: path.into(), why };
    match catch_unwind(AssertUnwindSafe(read)) {
        Ok(result) => result.map_err(|why| broken(why.to_string())),
        Err(_) => Err(broken("what the file says of itself does not fit together".into())),
    }
}

impl<'a> Opened<'a> {
    pub fn open(path: &'a Path) -> Result<Self, DatasetError> {
        let file = File::open(path).map_err(|why| DatasetError::Broken { file: path.into(), why: why.to_string() })?;
        Ok(Self { path, reader: guarded(path, || SerializedFileReader::new(file))? })
    }

    fn schema(&self) -> &Type {
        self.reader.metadata().file_metadata().schema()
    }

    /// The columns, each with whether it is a scalar.
    pub fn columns(&self) -> Vec<(String, bool)> {
        self.schema().get_fields().iter().map(|field| (field.name().to_owned(), field.is_primitive())).collect()
    }

    /// Rows with the columns `names` alone, in the file's order of columns; others are not decoded.
    ///
    /// # Errors
    /// Where the file lacks one of them.
    pub fn rows(&'a self, names: &[&str]) -> Result<Rows<'a>, DatasetError> {
        let columns = self.columns();
        if let Some(missing) = names.iter().find(|name| columns.iter().all(|(column, _)| column != *name)) {
            let found: Vec<String> = columns.iter().map(|(name, _)| format!("`{name}`")).collect();
            return Err(DatasetError::NoColumn {
                file: self.path.into(),
                column: (*missing).into(),
                found: if found.is_empty() { "none".into() } else { found.join(", ") },
            });
        }
        let rows = guarded(self.path, || {
            let all = self.schema().get_fields().iter();
            let fields: Vec<Arc<Type>> = all.filter(|field| names.contains(&field.name())).cloned().collect();
            let projection = Type::group_type_builder(self.schema().name()).with_fields(fields).build()?;
            self.reader.get_row_iter(Some(projection))
        })?;
        Ok(Rows { path: self.path, rows })
    }
}

impl Rows<'_> {
    pub fn next(&mut self) -> Result<Option<Row>, DatasetError> {
        let rows = &mut self.rows;
        guarded(self.path, || rows.next().transpose())
    }
}

/// Reads plain tables: every scalar column under its own name.
pub(super) fn read(manifest: &Manifest, files: &[PathBuf]) -> Result<(Table, Vec<TaskRows>), DatasetError> {
    let mut reading = Reading::new(manifest);
    for file in files {
        let opened = Opened::open(file)?;
        let headers: Vec<String> =
            opened.columns().into_iter().filter(|column| column.1).map(|column| column.0).collect();
        let layout = reading.layout(file, &headers)?;
        let used: Vec<usize> = (0..headers.len()).filter(|column| layout.uses(*column)).collect();
        let names: Vec<&str> = used.iter().map(|column| headers[*column].as_str()).collect();
        let mut rows = opened.rows(&names)?;
        let mut cells = vec![Cell::Empty; headers.len()];
        let mut row = 0;
        while let Some(fields) = rows.next()? {
            if row % manifest.every == 0 {
                for (&column, (name, field)) in used.iter().zip(fields.get_column_iter()) {
                    cells[column] = Cell::of(field)
                        .map_err(|found| ParquetCells::complaint(file, row, name, "a number or a word", found))?;
                }
                reading.row(&layout, &ParquetCells { file, row, headers: &headers, cells: &cells })?;
            }
            row += 1;
        }
        if row == 0 {
            return Err(DatasetError::NoRows { file: file.clone() });
        }
    }
    Ok(reading.finish())
}
