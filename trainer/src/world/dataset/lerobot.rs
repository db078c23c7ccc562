//! Folders in the layout of LeRobot's data sets, versions 2.0, 2.1 and 3.0 (<https://github.com/huggingface/lerobot>).
//!
//! `meta/info.json` has the features and the template of the data files' paths. Version 2 has a file for each episode, and
//! `meta/episodes.jsonl` and `meta/tasks.jsonl`; version 3 has many episodes in a file, and `meta/episodes/*/*.parquet` says in
//! which, and `meta/tasks.parquet`. A feature of shape `[1]` is a column; one of shape `[n]` is n columns, `feature.name` by the
//! names of `info.json` where it has n different ones, else `feature.0` and on. Besides, `task` is the words of `task_index`, and
//! `episode.key` a scalar that `meta` has of each episode. Images and videos are not read.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::{Path, PathBuf};

use parquet::record::{Field, Row};
use serde::Deserialize;
use serde_json::Value;

use super::DatasetError;
use super::manifest::Manifest;
use super::parquet_rows::{Cell, Opened, ParquetCells};
use super::table::{Layout, Reading, Table, TaskRows};

/// The longest list that is read: what says more is a mistake, or no table of sensors.
const WIDEST: usize = 1 << 16;

#[derive(Deserialize)]
struct Info {
    codebase_version: String,
    #[serde(default = "thousand")]
    chunks_size: i64,
    data_path: String,
    features: BTreeMap<String, Feature>,
}

fn thousand() -> i64 {
    1000
}

#[derive(Deserialize)]
struct Feature {
    dtype: String,
    shape: Vec<usize>,
    #[serde(default)]
    names: Value,
}

struct Episode {
    file: PathBuf,
    length: i64,
    /// A cell for each of [`Meta::keys`].
    labels: Vec<Cell>,
}

struct Meta {
    info_path: PathBuf,
    info: Info,
    episodes: BTreeMap<i64, Episode>,
    keys: Vec<String>,
    tasks: HashMap<i64, String>,
}

/// Where a column's cells come from.
enum Source {
    /// An element of a feature.
    Feature(String, usize),
    TaskWords,
    /// An index into [`Meta::keys`].
    Episode(usize),
}

fn broken(file: &Path, why: impl Into<String>) -> DatasetError {
    DatasetError::Broken { file: file.into(), why: why.into() }
}

fn text(file: &Path) -> Result<String, DatasetError> {
    std::fs::read_to_string(file).map_err(|why| broken(file, why.to_string()))
}

/// Reads the data set in the folder `root`.
pub(super) fn read(manifest: &Manifest, root: &Path) -> Result<(Table, Vec<TaskRows>), DatasetError> {
    let meta = Meta::read(root)?;
    meta.refuse_images(manifest)?;
    let columns = meta.columns();
    let headers: Vec<String> = columns.iter().map(|column| column.0.clone()).collect();
    let mut reading = Reading::new(manifest);
    let layout = reading.layout(&meta.info_path, &headers)?;
    let mut files: Vec<&Path> = Vec::new();
    let mut seen = HashSet::new();
    files.extend(meta.episodes.values().map(|episode| episode.file.as_path()).filter(|file| seen.insert(*file)));
    for file in files {
        meta.read_file(file, &mut reading, &layout, &columns, &headers)?;
    }
    Ok(reading.finish())
}

impl Meta {
    fn read(root: &Path) -> Result<Self, DatasetError> {
        let info_path = root.join("meta/info.json");
        let info: Info = serde_json::from_str(&text(&info_path)?).map_err(|why| broken(&info_path, why.to_string()))?;
        let mut meta = Self { info_path, info, episodes: BTreeMap::new(), keys: Vec::new(), tasks: HashMap::new() };
        match meta.info.codebase_version.as_str() {
            "v2.0" | "v2.1" => meta.read_lines(root)?,
            "v3.0" => meta.read_tables(root)?,
            other => {
                let why = format!("field `codebase_version`: expected v2.0, v2.1 or v3.0, found `{other}`");
                return Err(broken(&meta.info_path, why));
            }
        }
        if meta.episodes.is_empty() {
            return Err(broken(&root.join("meta"), "expected episodes, found none"));
        }
        Ok(meta)
    }

    /// `meta` of version 2.
    fn read_lines(&mut self, root: &Path) -> Result<(), DatasetError> {
        if self.info.chunks_size < 1 {
            return Err(broken(
                &self.info_path,
                format!("field `chunks_size`: expected at least 1, found {}", self.info.chunks_size),
            ));
        }
        let path = root.join("meta/tasks.jsonl");
        for (number, line) in lines(&path)? {
            let index = whole(&path, number, &line, "task_index")?;
            let Some(task) = line["task"].as_str() else {
                return Err(broken(&path, format!("line {number}: expected a string `task`, found {}", line["task"])));
            };
            self.tasks.insert(index, task.into());
        }
        let path = root.join("meta/episodes.jsonl");
        for (number, line) in lines(&path)? {
            let index = whole(&path, number, &line, "episode_index")?;
            let length = whole(&path, number, &line, "length")?;
            let file =
                self.data_file(root, &[("episode_chunk", index / self.info.chunks_size), ("episode_index", index)])?;
            let scalars =
                line.as_object().into_iter().flatten().filter_map(|(key, value)| Some((key.clone(), scalar(value)?)));
            self.add(&path, index, length, file, scalars.collect())?;
        }
        Ok(())
    }

    /// `meta` of version 3.
    fn read_tables(&mut self, root: &Path) -> Result<(), DatasetError> {
        let path = root.join("meta/tasks.parquet");
        let opened = Opened::open(&path)?;
        // The words are the data frame's index, whose column pandas names after it, or `__index_level_0__`.
        let columns = opened.columns();
        let words =
            ["task", "__index_level_0__"].into_iter().find(|name| columns.iter().any(|column| column.0 == *name));
        let mut rows = opened.rows(&["task_index", words.unwrap_or("task")])?;
        let mut number = 0;
        while let Some(row) = rows.next()? {
            let cells = scalars(&row);
            let index = want(&path, number, &cells, "task_index")?;
            let Some(Cell::Word(task)) = words.and_then(|name| cells.get(name)) else {
                return Err(ParquetCells::complaint(&path, number, "task", "a string", "none".into()));
            };
            self.tasks.insert(index, task.clone());
            number += 1;
        }
        let before = glob::Pattern::escape(&root.join("meta/episodes").to_string_lossy());
        let found = glob::glob(&format!("{before}/*/*.parquet")).map_err(|why| broken(root, why.to_string()))?;
        for path in found {
            let path = path.map_err(|why| broken(root, why.to_string()))?;
            let opened = Opened::open(&path)?;
            let columns = opened.columns();
            let names: Vec<&str> = columns
                .iter()
                .filter(|(name, scalar)| *scalar && !name.starts_with("stats/") && !name.starts_with("videos/"))
                .map(|(name, _)| name.as_str())
                .collect();
            let mut rows = opened.rows(&names)?;
            let mut number = 0;
            while let Some(row) = rows.next()? {
                let cells = scalars(&row);
                let [index, length, chunk, part] = {
                    let want = |name| want(&path, number, &cells, name);
                    [want("episode_index")?, want("length")?, want("data/chunk_index")?, want("data/file_index")?]
                };
                let file = self.data_file(root, &[("chunk_index", chunk), ("file_index", part)])?;
                let cells = cells.into_iter().filter(|(name, _)| !name.contains('/')).collect();
                self.add(&path, index, length, file, cells)?;
                number += 1;
            }
        }
        Ok(())
    }

    fn add(
        &mut self,
        path: &Path,
        index: i64,
        length: i64,
        file: PathBuf,
        scalars: BTreeMap<String, Cell>,
    ) -> Result<(), DatasetError> {
        let own = |key: &str| matches!(key, "episode_index" | "dataset_from_index" | "dataset_to_index");
        for key in scalars.keys().filter(|key| !own(key)) {
            if !self.keys.contains(key) {
                self.keys.push(key.clone());
            }
        }
        let labels = self.keys.iter().map(|key| scalars.get(key).cloned().unwrap_or_default()).collect();
        if self.episodes.insert(index, Episode { file, length, labels }).is_some() {
            return Err(broken(path, format!("episode {index} is there twice")));
        }
        Ok(())
    }

    /// The template of `info.json` with `values` in it.
    fn data_file(&self, root: &Path, values: &[(&str, i64)]) -> Result<PathBuf, DatasetError> {
        let template = &self.info.data_path;
        let wrong = || {
            let names: Vec<&str> = values.iter().map(|value| value.0).collect();
            broken(&self.info_path, format!("field `data_path`: expected a template of {names:?}, found `{template}`"))
        };
        let mut path = String::new();
        let mut rest = template.as_str();
        while let Some((before, after)) = rest.split_once('{') {
            let (field, after) = after.split_once('}').ok_or_else(wrong)?;
            let (name, form) = field.split_once(':').unwrap_or((field, "0d"));
            let value = values.iter().find(|value| value.0 == name).ok_or_else(wrong)?.1;
            let width: usize = form.strip_suffix('d').and_then(|width| width.parse().ok()).ok_or_else(wrong)?;
            if width > 32 {
                return Err(wrong());
            }
            path += &format!("{before}{value:0width$}");
            rest = after;
        }
        Ok(root.join(path + rest))
    }

    /// Says so where a description asks for an image, or for what has more than one dimension.
    fn refuse_images(&self, manifest: &Manifest) -> Result<(), DatasetError> {
        let asked =
            manifest.inputs.iter().chain(manifest.outputs()).chain(manifest.task.names()).chain(manifest.group_names());
        for name in asked {
            if let Some(feature) = self.info.features.get(name).filter(|feature| !feature.is_read()) {
                let why =
                    format!("feature `{name}` of type `{}` and shape {:?} is not read", feature.dtype, feature.shape);
                return Err(broken(&self.info_path, why));
            }
        }
        Ok(())
    }

    fn columns(&self) -> Vec<(String, Source)> {
        let mut columns = Vec::new();
        for (key, feature) in self.info.features.iter().filter(|feature| feature.1.is_read()) {
            let names = feature.element_names(key).into_iter().enumerate();
            columns.extend(names.map(|(element, name)| (name, Source::Feature(key.clone(), element))));
        }
        columns.push(("task".into(), Source::TaskWords));
        let keys = self.keys.iter().enumerate();
        columns.extend(keys.map(|(number, key)| (format!("episode.{key}"), Source::Episode(number))));
        columns
    }

    fn read_file(
        &self,
        file: &Path,
        reading: &mut Reading<'_>,
        layout: &Layout,
        columns: &[(String, Source)],
        headers: &[String],
    ) -> Result<(), DatasetError> {
        let used: Vec<(usize, &Source)> = columns
            .iter()
            .enumerate()
            .map(|(place, column)| (place, &column.1))
            .filter(|(place, _)| layout.uses(*place))
            .collect();
        let mut names = vec!["episode_index"];
        names.extend(used.iter().filter_map(|(_, source)| match source {
            Source::Feature(key, _) => Some(key.as_str()),
            Source::TaskWords => Some("task_index"),
            Source::Episode(_) => None,
        }));
        let opened = Opened::open(file)?;
        let mut rows = opened.rows(&names)?;
        let mut counts: HashMap<i64, i64> = HashMap::new();
        let mut cells = vec![Cell::Empty; columns.len()];
        let mut row = 0;
        while let Some(fields) = rows.next()? {
            let complain =
                |name: &str, expected: &str, found| ParquetCells::complaint(file, row, name, expected, found);
            let fields: HashMap<&str, &Field> =
                fields.get_column_iter().map(|(name, field)| (name.as_str(), field)).collect();
            let number = |name: &str| {
                let cell = Cell::of(fields[name]).ok().and_then(|cell| cell.whole());
                cell.ok_or_else(|| complain(name, "a whole number", format!("`{}`", fields[name])))
            };
            let index = number("episode_index")?;
            let Some(episode) = self.episodes.get(&index).filter(|episode| episode.file == file) else {
                return Err(complain("episode_index", "an episode that `meta` has in this file", format!("`{index}`")));
            };
            let count = counts.entry(index).or_insert(0);
            let wanted = (*count as usize).is_multiple_of(reading.manifest.every);
            *count += 1;
            if wanted {
                for (place, source) in &used {
                    cells[*place] = match source {
                        Source::Feature(key, element) => {
                            let length = self.info.features[key].shape[0];
                            element_of(fields[key.as_str()], *element, length)
                                .map_err(|(expected, found)| complain(key, &expected, found))?
                        }
                        Source::TaskWords => {
                            let task = number("task_index")?;
                            let words = self.tasks.get(&task);
                            Cell::Word(
                                words
                                    .ok_or_else(|| complain("task_index", "a task of `meta`", format!("`{task}`")))?
                                    .clone(),
                            )
                        }
                        Source::Episode(key) => episode.labels.get(*key).cloned().unwrap_or_default(),
                    };
                }
                reading.row(layout, &ParquetCells { file, row, headers, cells: &cells })?;
            }
            row += 1;
        }
        for (index, episode) in self.episodes.iter().filter(|episode| episode.1.file == file) {
            let found = counts.get(index).copied().unwrap_or(0);
            if found != episode.length {
                let why = format!("episode {index}: expected {} row(s), as in `meta`, found {found}", episode.length);
                return Err(broken(file, why));
            }
        }
        Ok(())
    }
}

impl Feature {
    fn is_read(&self) -> bool {
        let width = self.shape.first().copied().unwrap_or(0);
        !matches!(self.dtype.as_str(), "image" | "video") && self.shape.len() == 1 && (1..=WIDEST).contains(&width)
    }

    /// The names of the columns that the feature becomes.
    fn element_names(&self, key: &str) -> Vec<String> {
        if self.shape[0] == 1 {
            return vec![key.into()];
        }
        // Either a list, or an object that holds one, such as {"motors": [..]}.
        let list = match &self.names {
            Value::Object(object) if object.len() == 1 => object.values().next().and_then(Value::as_array),
            names => names.as_array(),
        };
        let names: Vec<&str> = list.into_iter().flatten().filter_map(Value::as_str).collect();
        let different = names.iter().collect::<HashSet<_>>().len() == self.shape[0] && names.len() == self.shape[0];
        (0..self.shape[0])
            .map(|element| if different { format!("{key}.{}", names[element]) } else { format!("{key}.{element}") })
            .collect()
    }
}

/// An element of a feature of `length`, which is a list, or a scalar where that is 1; else what was expected and found.
fn element_of(field: &Field, element: usize, length: usize) -> Result<Cell, (String, String)> {
    let scalar = |field| Cell::of(field).map_err(|found| ("a number or a word".to_owned(), found));
    match field {
        Field::ListInternal(list) if list.len() == length => scalar(&list.elements()[element]),
        field if length == 1 && !matches!(field, Field::ListInternal(_)) => scalar(field),
        Field::ListInternal(list) => {
            Err((format!("a list of {length}, as in `info.json`"), format!("a list of {}", list.len())))
        }
        other => Err((format!("a list of {length}, as in `info.json`"), format!("`{other}`"))),
    }
}

/// The lines of a JSONL file with their numbers, from 1, blank ones left out.
fn lines(path: &Path) -> Result<Vec<(usize, Value)>, DatasetError> {
    let text = text(path)?;
    let lines = text.lines().enumerate().filter(|line| !line.1.trim().is_empty());
    lines
        .map(|(number, line)| {
            let value = serde_json::from_str(line);
            Ok((number + 1, value.map_err(|why| broken(path, format!("line {}: {why}", number + 1)))?))
        })
        .collect()
}

fn whole(path: &Path, number: usize, line: &Value, field: &str) -> Result<i64, DatasetError> {
    let found = &line[field];
    let value = found.as_i64().filter(|value| *value >= 0);
    value.ok_or_else(|| broken(path, format!("line {number}: expected a whole number `{field}`, found {found}")))
}

fn scalar(value: &Value) -> Option<Cell> {
    match value {
        Value::Bool(value) => Some(Cell::Whole(i64::from(*value))),
        Value::String(value) => Some(Cell::Word(value.clone())),
        Value::Number(value) => value.as_i64().map(Cell::Whole).or_else(|| value.as_f64().map(Cell::Real)),
        _ => None,
    }
}

fn scalars(row: &Row) -> BTreeMap<String, Cell> {
    row.get_column_iter().filter_map(|(name, field)| Some((name.clone(), Cell::of(field).ok()?))).collect()
}

fn want(path: &Path, row: usize, cells: &BTreeMap<String, Cell>, name: &str) -> Result<i64, DatasetError> {
    let value = cells.get(name).and_then(Cell::whole).filter(|value| *value >= 0);
    value.ok_or_else(|| {
        let found = cells.get(name).map_or("none".into(), |cell| format!("{cell:?}"));
        ParquetCells::complaint(path, row, name, "a whole number from 0", found)
    })
}
