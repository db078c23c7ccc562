//! `multitask.csv`: how the heads of a multi-task run pulled, a row for each line of the log. The columns are `iteration`, the weight of
//! each head by its name, and `cosine_A_B` for each pair of heads; a cell is empty where there is nothing to tell.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::PULLS;
use crate::weighting::pull::{Pull, pairs};

/// What `multitask.csv` holds.
#[derive(Clone, Debug, PartialEq)]
pub struct Pulls {
    /// The heads by name: `[T]`.
    pub heads: Vec<String>,
    /// The iterations done, and the pull in the last of them.
    pub rows: Vec<(u64, Pull)>,
}

/// Why the file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PullsError {
    /// It could not be read, or is no table.
    #[error("{}: {source}", path.display())]
    Csv {
        /// The file.
        path: PathBuf,
        /// Where and why.
        source: csv::Error,
    },
    /// The header is not that of so many heads.
    #[error("{}: expected `iteration`, T heads and T (T - 1) / 2 cosines, found {found:?}", path.display())]
    Header {
        /// The file.
        path: PathBuf,
        /// Its first line.
        found: Vec<String>,
    },
    /// A cell is not what it should be.
    #[error("{}, line {line}, column `{column}`: expected a number, found `{found}`", path.display())]
    Cell {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: u64,
        /// The column.
        column: String,
        /// What is there.
        found: String,
    },
}

/// The first line for these heads.
fn header(heads: &[String]) -> Vec<String> {
    let cosines = pairs(heads.len()).map(|(i, j)| format!("cosine_{}_{}", heads[i], heads[j]));
    ["iteration".to_owned()].into_iter().chain(heads.iter().cloned()).chain(cosines).collect()
}

/// The heads that this first line is of.
fn heads(header: &[String]) -> Option<Vec<String>> {
    let cells = header.len().checked_sub(1)?;
    let heads = (1..=cells).find(|heads| heads * (heads + 1) / 2 == cells)?;
    let heads = header[1..=heads].to_vec();
    (self::header(&heads) == header).then_some(heads)
}

impl Pulls {
    /// Of the run in `folder`; `None` where there is no such file, as of a learner that does not weigh heads.
    ///
    /// # Errors
    /// [`PullsError`] names the line and column that is not as it should be.
    pub fn read(folder: &Path) -> Result<Option<Self>, PullsError> {
        let path = folder.join(PULLS);
        if !path.exists() {
            return Ok(None);
        }
        let wrong = |source| PullsError::Csv { path: path.clone(), source };
        let mut reader = csv::Reader::from_path(&path).map_err(wrong)?;
        let found: Vec<String> = reader.headers().map_err(wrong)?.iter().map(str::to_owned).collect();
        let Some(heads) = heads(&found) else {
            return Err(PullsError::Header { path, found });
        };
        let mut rows = Vec::new();
        for record in reader.records() {
            let record = record.map_err(wrong)?;
            let cell = |column: usize| {
                let (column, found) = (found[column].clone(), record[column].to_owned());
                let line = record.position().map_or(0, csv::Position::line);
                PullsError::Cell { path: path.clone(), line, column, found }
            };
            let iteration = record[0].parse().map_err(|_| cell(0))?;
            let number = |column: usize| match &record[column] {
                "" => Ok(f64::NAN),
                text => text.parse::<f64>().map_err(|_| cell(column)),
            };
            let mut shared = (1..record.len()).map(number).collect::<Result<Vec<f64>, _>>()?;
            let cosines = shared.split_off(heads.len());
            rows.push((iteration, Pull { shared, cosines }));
        }
        Ok(Some(Self { heads, rows }))
    }
}

/// A line of the file.
fn line(cells: impl IntoIterator<Item = String>) -> io::Result<Vec<u8>> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(cells)?;
    writer.into_inner().map_err(|why| io::Error::other(why.to_string()))
}

/// Writes them.
#[derive(Debug)]
pub(super) struct PullLog(File);

impl PullLog {
    /// Opens the file in `folder` to go on after `iteration`, as [`super::log::Log::open`] does: later rows are taken out.
    pub(super) fn open(folder: &Path, iteration: u64, heads: &[String]) -> io::Result<Self> {
        let path = folder.join(PULLS);
        let mut kept = line(header(heads))?;
        if iteration > 0 && path.exists() {
            // The last row may have been cut off; then the run went on from before it.
            let mut reader = csv::ReaderBuilder::new().flexible(true).from_path(&path)?;
            for record in reader.records() {
                let record = record?;
                let at = record.get(0).and_then(|at| at.parse::<u64>().ok());
                if at.is_some_and(|at| at <= iteration) {
                    kept.extend(line(record.iter().map(str::to_owned))?);
                }
            }
        }
        crate::files::replace(&path, &kept)?;
        Ok(Self(OpenOptions::new().append(true).open(path)?))
    }

    pub(super) fn row(&mut self, iteration: u64, pull: &Pull) -> io::Result<()> {
        let numbers = pull.shared.iter().chain(&pull.cosines);
        let cells = numbers.map(|value| if value.is_nan() { String::new() } else { value.to_string() });
        self.0.write_all(&line([iteration.to_string()].into_iter().chain(cells))?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn what_is_written_is_read_and_gone_on_with() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        assert_eq!(Pulls::read(path).unwrap(), None);
        let heads = names(&["slip", "cosine", "iteration"]);
        let pull = |by: f64| Pull { shared: vec![by, 0.1, 1e-9], cosines: vec![-0.25 * by, 1.0, 1.0 / 3.0] };
        let mut log = PullLog::open(path, 0, &heads).unwrap();
        for (iteration, by) in [(10, 1.0), (20, 2.0), (30, 3.0)] {
            log.row(iteration, &pull(by)).unwrap();
        }
        let rows = vec![(10, pull(1.0)), (20, pull(2.0)), (30, pull(3.0))];
        assert_eq!(Pulls::read(path).unwrap(), Some(Pulls { heads: heads.clone(), rows: rows.clone() }));
        let whole = std::fs::read(path.join(PULLS)).unwrap();
        assert!(whole.starts_with(b"iteration,slip,cosine,iteration,cosine_slip_cosine,"));
        // A run that was cut off in a row after its checkpoint of 20.
        std::fs::write(path.join(PULLS), &whole[..whole.len() - 9]).unwrap();
        let mut log = PullLog::open(path, 20, &heads).unwrap();
        log.row(30, &pull(3.0)).unwrap();
        assert_eq!(std::fs::read(path.join(PULLS)).unwrap(), whole);
        // Begun anew, and with nothing to tell.
        let mut log = PullLog::open(path, 0, &names(&["a", "b"])).unwrap();
        log.row(5, &Pull { shared: vec![1.0, 0.0], cosines: vec![f64::NAN] }).unwrap();
        let rows = Pulls::read(path).unwrap().unwrap().rows;
        assert!(rows.len() == 1 && rows[0].1.cosines[0].is_nan() && rows[0].1.shared == [1.0, 0.0]);
    }

    #[test]
    fn what_is_no_such_file_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let refused = |text: &str| {
            std::fs::write(folder.path().join(PULLS), text).unwrap();
            Pulls::read(folder.path()).unwrap_err().to_string()
        };
        assert!(refused("iteration,a,b\n1,1,1\n").contains("T (T - 1) / 2 cosines"));
        let why = refused("iteration,a,b,cosine_a_b\n1,1,1,0\n2,1,x,0\n");
        assert!(why.contains("line 3, column `b`: expected a number, found `x`"), "{why}");
        assert!(refused("iteration,a,b,cosine_a_b\n1,1\n").contains(PULLS));
    }
}
