//! `dataset.toml`: which columns of which files are inputs, outputs, tasks and groups.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::DatasetError;
use super::split::Shares;
use crate::world::root;

/// What the files are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Format {
    #[default]
    Csv,
    /// Plain tables.
    Parquet,
    /// A folder in the layout of LeRobot's data sets.
    Lerobot,
}

/// In which order the rows of a task become support, then query.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Order {
    /// As in the file, which is as on the robot: adapt to what came first, be judged on what came later.
    File,
    /// Shuffled anew for every episode. Where rows were recorded in blocks, this leaks the session into the support.
    Random,
}

/// The losses that columns of a table can be trained with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum LossName {
    MeanSquared,
    Huber,
    BinaryCrossEntropy,
    CrossEntropy,
}

/// One column or several.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged, expecting = "expected a column's name or a list of them")]
pub(super) enum Columns {
    One(String),
    Many(Vec<String>),
}

impl Columns {
    pub fn names(&self) -> &[String] {
        match self {
            Self::One(name) => std::slice::from_ref(name),
            Self::Many(names) => names,
        }
    }
}

/// What one head learns: a `[[heads]]`, or `outputs` and `loss` of the description itself.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct HeadColumns {
    pub name: Option<String>,
    pub outputs: Vec<String>,
    pub loss: LossName,
    #[serde(default = "one")]
    pub huber_delta: f32,
}

impl HeadColumns {
    /// Whether its one column holds classes.
    pub const fn has_classes(&self) -> bool {
        matches!(self.loss, LossName::BinaryCrossEntropy | LossName::CrossEntropy)
    }
}

/// The fields of `dataset.toml`; `Dataset` describes them.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Manifest {
    pub name: String,
    #[serde(default)]
    root: String,
    #[serde(default)]
    pub format: Format,
    #[serde(default)]
    files: Vec<String>,
    #[serde(default = "one_row")]
    pub every: usize,
    pub file_column: Option<String>,
    pub inputs: Vec<String>,
    #[serde(default)]
    outputs: Vec<String>,
    pub task: Columns,
    group: Option<Columns>,
    loss: Option<LossName>,
    huber_delta: Option<f32>,
    /// One at least, once it is read.
    #[serde(default)]
    pub heads: Vec<HeadColumns>,
    #[serde(default = "file_order")]
    pub order: Order,
    train_order: Option<Order>,
    pub query: Option<usize>,
    #[serde(default)]
    pub units: BTreeMap<String, String>,
    #[serde(default)]
    pub split: Shares,
}

fn one_row() -> usize {
    1
}

fn one() -> f32 {
    1.0
}

fn file_order() -> Order {
    Order::File
}

impl Manifest {
    /// Reads and checks the description at `path`.
    pub fn read(path: &Path) -> Result<Self, DatasetError> {
        let text = std::fs::read_to_string(path).map_err(|source| DatasetError::Read { path: path.into(), source })?;
        let mut manifest: Self = toml::from_str(&text)
            .map_err(|source| DatasetError::Parse { path: path.into(), source: Box::new(source) })?;
        manifest.name_heads(path)?;
        manifest.check(path)?;
        Ok(manifest)
    }

    /// Makes a head of `outputs` and `loss`, which stand alone or not at all.
    fn name_heads(&mut self, path: &Path) -> Result<(), DatasetError> {
        let wrong =
            |field, expected, found: String| Err(DatasetError::Field { path: path.into(), field, expected, found });
        let Self { outputs, loss, huber_delta, heads, .. } = self;
        if !heads.is_empty() {
            if outputs.is_empty() && loss.is_none() && huber_delta.is_none() {
                return Ok(());
            }
            let expected = "no `outputs`, `loss` or `huber_delta` outside of `[[heads]]`, each of which has its own";
            return wrong("heads", expected, format!("{} beside them", heads.len()));
        }
        let Some(loss) = *loss else {
            return wrong("loss", "the loss of `outputs`, or `[[heads]]`", "nothing".into());
        };
        let (outputs, huber_delta) = (std::mem::take(outputs), huber_delta.unwrap_or_else(one));
        heads.push(HeadColumns { name: None, outputs, loss, huber_delta });
        Ok(())
    }

    /// The names and globs of all columns that are predicted.
    #[cfg(feature = "parquet")]
    pub fn outputs(&self) -> impl Iterator<Item = &String> {
        self.heads.iter().flat_map(|head| &head.outputs)
    }

    fn check(&self, path: &Path) -> Result<(), DatasetError> {
        let wrong =
            |field, expected, found: String| Err(DatasetError::Field { path: path.into(), field, expected, found });
        let Shares { validation, test, .. } = self.split;
        if self.name.is_empty() {
            return wrong("name", "a name", "nothing".into());
        }
        if self.format == Format::Lerobot && !self.files.is_empty() {
            return wrong("files", "none: `meta` of a LeRobot data set lists them", format!("{:?}", self.files));
        }
        if self.format == Format::Lerobot && self.file_column.is_some() {
            return wrong(
                "file_column",
                "none: a LeRobot data set has `episode_index`",
                format!("{:?}", self.file_column),
            );
        }
        if self.format != Format::Csv && cfg!(not(feature = "parquet")) {
            return wrong("format", "`csv`: this build lacks the feature `parquet`", format!("{:?}", self.format));
        }
        if self.every == 0 {
            return wrong("every", "at least 1 row", "0".into());
        }
        let files: &[String] = if self.format == Format::Lerobot { &self.inputs } else { &self.files };
        for (field, columns) in
            [("files", files), ("inputs", &self.inputs), ("task", self.task.names()), ("group", self.group_names())]
        {
            if columns.is_empty() || columns.iter().any(String::is_empty) {
                return wrong(field, "at least one name, none of them empty", format!("{columns:?}"));
            }
        }
        for head in &self.heads {
            let HeadColumns { outputs, huber_delta, .. } = head;
            if outputs.is_empty() || outputs.iter().any(String::is_empty) {
                return wrong("outputs", "at least one name, none of them empty", format!("{outputs:?}"));
            }
            if head.has_classes() && outputs.len() != 1 {
                return wrong("outputs", "the one column that holds the class", format!("{outputs:?}"));
            }
            if !(huber_delta.is_finite() && *huber_delta > 0.0) {
                return wrong("huber_delta", "a number above 0", huber_delta.to_string());
            }
        }
        if self.query == Some(0) {
            return wrong("query", "at least 1 row", "0".into());
        }
        if !(validation >= 0.0 && test >= 0.0 && validation + test <= 1.0) {
            return wrong(
                "split",
                "shares from 0, of 1 together at most",
                format!("validation {validation} and test {test}"),
            );
        }
        Ok(())
    }

    /// The columns that name a group; without `group`, those that name a task.
    pub fn group_names(&self) -> &[String] {
        self.group.as_ref().unwrap_or(&self.task).names()
    }

    /// The order of episodes that are trained on.
    pub fn train_order(&self) -> Order {
        self.train_order.unwrap_or(self.order)
    }

    /// The files, pattern by pattern and by name within one, each once. `path` is the description's own, `data` stands for
    /// `${SINEW_DATA}`.
    pub fn files(&self, path: &Path, data: &Path) -> Result<Vec<PathBuf>, DatasetError> {
        let root = self.root(path, data)?;
        let mut files = Vec::new();
        for pattern in &self.files {
            let wrong = |found: String| DatasetError::Field {
                path: path.into(),
                field: "files",
                expected: "names or patterns that can be read",
                found,
            };
            let before = glob::Pattern::escape(&root.to_string_lossy());
            let found =
                glob::glob(&format!("{before}/{pattern}")).map_err(|why| wrong(format!("`{pattern}`: {why}")))?;
            let mut any = false;
            for file in found {
                let file = file.map_err(|why| wrong(why.to_string()))?;
                any = true;
                if !files.contains(&file) {
                    files.push(file);
                }
            }
            if !any {
                return Err(DatasetError::NoFile { path: path.into(), pattern: pattern.clone(), root });
            }
        }
        Ok(files)
    }

    /// The folder of the files.
    pub fn root(&self, path: &Path, data: &Path) -> Result<PathBuf, DatasetError> {
        let expanded = root::expand(&self.root, data).map_err(|why| DatasetError::Field {
            path: path.into(),
            field: "root",
            expected: "no variable but ${SINEW_DATA}",
            found: why.root,
        })?;
        if root::is_shared(&self.root) {
            return Ok(expanded);
        }
        let beside = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        Ok(beside.join(expanded))
    }
}

/// Whether `name` is `pattern`, or fits it: column names may hold brackets, so the letter comes before the glob.
pub(super) fn fits(pattern: &str, name: &str) -> bool {
    pattern == name || glob::Pattern::new(pattern).is_ok_and(|pattern| pattern.matches(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHOLE: &str = r#"
        name = "small"
        files = ["a.csv"]
        inputs = ["x"]
        outputs = ["y"]
        task = "object"
        loss = "mean_squared"
    "#;

    fn checked(text: &str) -> Result<Manifest, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("dataset.toml");
        std::fs::write(&path, text).unwrap();
        Manifest::read(&path).map_err(|why| why.to_string())
    }

    #[test]
    fn what_is_left_out_has_a_default() {
        let manifest = checked(WHOLE).unwrap();
        assert_eq!((manifest.order, manifest.train_order(), manifest.query), (Order::File, Order::File, None));
        assert_eq!(manifest.group_names(), ["object"]);
        assert_eq!(checked(&format!("{WHOLE}\norder = \"random\"")).unwrap().train_order(), Order::Random);
    }

    #[test]
    fn mistakes_are_named() {
        for (line, words) in [
            ("tsak = 1", "tsak"),
            ("huber_delta = 0.0", "huber_delta"),
            ("query = 0", "query"),
            ("order = \"backwards\"", "backwards"),
            ("group = []", "group"),
            ("group = 3", "a column's name or a list of them"),
            ("[split]\nvalidation = 0.6\ntest = 0.6", "validation 0.6 and test 0.6"),
            ("[split]\nvalidation = nan", "NaN"),
        ] {
            let error = checked(&format!("{WHOLE}\n{line}")).unwrap_err();
            assert!(error.contains(words) && error.contains("dataset.toml"), "{line}: {error}");
        }
        let two = WHOLE.replace("mean_squared", "cross_entropy").replace("[\"y\"]", "[\"y\", \"z\"]");
        assert!(checked(&two).unwrap_err().contains("the one column"));
        assert!(checked(&WHOLE.replace("loss =", "# loss =")).unwrap_err().contains("expected the loss of `outputs`"));
        let head = "[[heads]]\noutputs = [\"z\"]\nloss = \"huber\"";
        assert!(checked(&format!("{WHOLE}\n{head}")).unwrap_err().contains("found 1 beside them"));
        assert!(Manifest::read(Path::new("nowhere/dataset.toml")).unwrap_err().to_string().contains("nowhere"));
    }

    #[test]
    fn roots_are_found() {
        let root = |root: &str| {
            let manifest = checked(&format!("root = '{root}'\n{WHOLE}")).unwrap();
            manifest.root(Path::new("sets/dataset.toml"), Path::new("data")).map_err(|why| why.to_string())
        };
        assert_eq!(root("csv").unwrap(), Path::new("sets/csv"));
        assert_eq!(root("/csv").unwrap(), Path::new("/csv"));
        assert_eq!(root("${SINEW_DATA}/csv").unwrap(), Path::new("data/csv"));
        assert!(root("${HOME}").unwrap_err().contains("${HOME}"));
    }

    #[test]
    fn brackets_in_names_are_letters_first() {
        assert!(fits("force [N]", "force [N]") && fits("ff_*", "ff_1") && !fits("ff_*", "mf_1") && !fits("a[", "a"));
    }
}
