//! Parquet data sets written to a folder, opened, and asked.

use std::path::Path;
use std::sync::Arc;

use parquet::basic::Compression;
use parquet::data_type::{ByteArray, ByteArrayType, FloatType, Int64Type};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;
use proptest::prelude::*;
use tempfile::TempDir;

use super::*;
use crate::world::World;

#[derive(Clone)]
enum Values {
    Long(Vec<i64>),
    Real(Vec<f32>),
    Word(Vec<&'static str>),
    List(Vec<Vec<f32>>),
}
use Values::{List, Long, Real, Word};

/// Writes a table as pyarrow would: all columns optional, lists of three levels, two row groups where there are two rows.
fn write(path: &Path, columns: &[(&str, Values)], codec: Compression) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let fields: String = columns
        .iter()
        .map(|(name, values)| match values {
            Long(_) => format!("optional int64 {name};"),
            Real(_) => format!("optional float {name};"),
            Word(_) => format!("optional binary {name} (UTF8);"),
            List(_) => format!("optional group {name} (LIST) {{ repeated group list {{ optional float element; }} }}"),
        })
        .collect();
    let schema = Arc::new(parse_message_type(&format!("message schema {{ {fields} }}")).unwrap());
    let properties = Arc::new(WriterProperties::builder().set_compression(codec).build());
    let mut writer = SerializedFileWriter::new(std::fs::File::create(path).unwrap(), schema, properties).unwrap();
    let rows = match &columns[0].1 {
        Long(values) => values.len(),
        Real(values) => values.len(),
        Word(values) => values.len(),
        List(values) => values.len(),
    };
    for part in [0..rows / 2, rows / 2..rows] {
        let present = vec![1; part.len()];
        let mut group = writer.next_row_group().unwrap();
        for (_, values) in columns {
            let mut column = group.next_column().unwrap().unwrap();
            match values {
                Long(all) => column.typed::<Int64Type>().write_batch(&all[part.clone()], Some(&present), None),
                Real(all) => column.typed::<FloatType>().write_batch(&all[part.clone()], Some(&present), None),
                Word(all) => {
                    let words: Vec<ByteArray> = all[part.clone()].iter().map(|word| ByteArray::from(*word)).collect();
                    column.typed::<ByteArrayType>().write_batch(&words, Some(&present), None)
                }
                List(all) => {
                    let (mut flat, mut definition, mut repetition) = (Vec::new(), Vec::new(), Vec::new());
                    for list in &all[part.clone()] {
                        repetition.extend((0..list.len().max(1)).map(|place| i16::from(place > 0)));
                        definition.extend(if list.is_empty() { vec![1] } else { vec![3; list.len()] });
                        flat.extend(list);
                    }
                    column.typed::<FloatType>().write_batch(&flat, Some(&definition), Some(&repetition))
                }
            }
            .unwrap();
            column.close().unwrap();
        }
        group.close().unwrap();
    }
    writer.close().unwrap();
}

const MANIFEST: &str = r#"
    name = "arm"
    format = "lerobot"
    inputs = ["observation.state.*", "action"]
    outputs = ["torque"]
    task = "episode_index"
    group = "episode.payload"
    loss = "mean_squared"
"#;

const EPISODES: i64 = 6;
const LENGTH: i64 = 5;

/// `action` counts the rows of all episodes, of which episode n is of payload n / 2.
fn rows(episodes: std::ops::Range<i64>) -> Vec<(&'static str, Values)> {
    let numbers = || episodes.start * LENGTH..episodes.end * LENGTH;
    vec![
        ("observation.state", List(numbers().map(|n| vec![n as f32, n as f32 + 0.5]).collect())),
        ("action", Real(numbers().map(|n| n as f32).collect())),
        ("torque", Real(numbers().map(|n| 2.0 * n as f32).collect())),
        ("episode_index", Long(numbers().map(|n| n / LENGTH).collect())),
        ("task_index", Long(numbers().map(|n| n / LENGTH % 2).collect())),
    ]
}

fn info(version: &str, data_path: &str) -> String {
    format!(
        r#"{{"codebase_version": "{version}", "chunks_size": 4, "fps": 10, "data_path": "{data_path}", "features": {{
            "observation.state": {{"dtype": "float32", "shape": [2], "names": {{"motors": ["shoulder", "elbow"]}}}},
            "observation.image": {{"dtype": "video", "shape": [3, 8, 8], "names": ["c", "h", "w"]}},
            "action": {{"dtype": "float32", "shape": [1], "names": null}},
            "torque": {{"dtype": "float32", "shape": [1], "names": null}},
            "episode_index": {{"dtype": "int64", "shape": [1], "names": null}},
            "task_index": {{"dtype": "int64", "shape": [1], "names": null}}}}}}"#
    )
}

fn folder(info: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(folder.path().join("meta")).unwrap();
    std::fs::write(folder.path().join("meta/info.json"), info).unwrap();
    std::fs::write(folder.path().join("dataset.toml"), MANIFEST).unwrap();
    folder
}

/// Two chunks of four episodes at most, a file each.
fn version_2() -> TempDir {
    let folder = folder(&info("v2.1", "data/chunk-{episode_chunk:03d}/episode_{episode_index:06d}.parquet"));
    let meta = folder.path().join("meta");
    let lines = |line: &dyn Fn(i64) -> String, count| (0..count).map(|n| line(n) + "\n").collect::<String>();
    let episode =
        |n| format!(r#"{{"episode_index": {n}, "tasks": ["lift"], "length": {LENGTH}, "payload": "cup{}"}}"#, n / 2);
    std::fs::write(meta.join("episodes.jsonl"), lines(&episode, EPISODES)).unwrap();
    let task = |n| format!(r#"{{"task_index": {n}, "task": "{}"}}"#, ["lift", "put down"][n as usize]);
    std::fs::write(meta.join("tasks.jsonl"), lines(&task, 2)).unwrap();
    for n in 0..EPISODES {
        let path = folder.path().join(format!("data/chunk-{:03}/episode_{n:06}.parquet", n / 4));
        write(&path, &rows(n..n + 1), Compression::SNAPPY);
    }
    folder
}

/// Two files, of four episodes and of two.
fn version_3(words: &str) -> TempDir {
    let folder = folder(&info("v3.0", "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"));
    let columns = [
        ("episode_index", Long((0..EPISODES).collect())),
        ("length", Long(vec![LENGTH; EPISODES as usize])),
        ("data/chunk_index", Long(vec![0; EPISODES as usize])),
        ("data/file_index", Long((0..EPISODES).map(|n| n / 4).collect())),
        ("payload", Word(vec!["cup0", "cup0", "cup1", "cup1", "cup2", "cup2"])),
        ("stats/action/mean", List(vec![vec![0.0]; EPISODES as usize])),
    ];
    write(&folder.path().join("meta/episodes/chunk-000/file-000.parquet"), &columns, Compression::SNAPPY);
    let tasks = [("task_index", Long(vec![0, 1])), (words, Word(vec!["lift", "put down"]))];
    write(&folder.path().join("meta/tasks.parquet"), &tasks, Compression::SNAPPY);
    write(&folder.path().join("data/chunk-000/file-000.parquet"), &rows(0..4), Compression::SNAPPY);
    write(&folder.path().join("data/chunk-000/file-001.parquet"), &rows(4..6), Compression::ZSTD(Default::default()));
    folder
}

fn open(folder: &TempDir) -> Result<Dataset, String> {
    Dataset::open(folder.path().join("dataset.toml")).map_err(|why| why.to_string())
}

/// Opens with one part of the description replaced.
fn open_with(folder: &TempDir, from: &str, to: &str) -> Result<Dataset, String> {
    assert!(MANIFEST.contains(from), "{from}");
    std::fs::write(folder.path().join("dataset.toml"), MANIFEST.replace(from, to)).unwrap();
    open(folder)
}

#[test]
fn both_versions_give_the_same_tasks() {
    for folder in [version_2(), version_3("task"), version_3("__index_level_0__")] {
        let arm = open(&folder).unwrap();
        let names: Vec<_> = arm.signature().inputs.iter().map(|column| column.name.as_str()).collect();
        assert_eq!(names, ["observation.state.shoulder", "observation.state.elbow", "action"]);
        assert_eq!((arm.group_count(), arm.row_count(), arm.tasks.len()), (3, 30, 6));
        assert_eq!((arm.table.groups[1].as_str(), arm.tasks[3].name.as_str()), ("cup1", "3"));
        assert_eq!(arm.table.inputs[3 * 17..3 * 18], [17.0, 17.5, 17.0]);
        assert_eq!(arm.labels[29], 58.0);
        assert_eq!(arm.tasks[5].rows, [25, 26, 27, 28, 29]);
    }
}

#[test]
fn tasks_have_words_and_rows_may_be_left_out() {
    for folder in [version_2(), version_3("task")] {
        let arm =
            open_with(&folder, "task = \"episode_index\"", "every = 2\ntask = [\"task\", \"episode_index\"]").unwrap();
        assert_eq!((arm.tasks[1].name.as_str(), arm.row_count()), ("put down / 1", 18));
        assert_eq!(arm.table.inputs[..9], [0.0, 0.5, 0.0, 2.0, 2.5, 2.0, 4.0, 4.5, 4.0]);
    }
}

#[test]
fn plain_tables() {
    let folder = tempfile::tempdir().unwrap();
    let manifest = MANIFEST
        .replace("lerobot\"", "parquet\"\nfiles = [\"*.parquet\"]\nfile_column = \"day\"")
        .replace("\"observation.state.*\", ", "")
        .replace("episode.payload", "day");
    std::fs::write(folder.path().join("dataset.toml"), manifest).unwrap();
    for (day, episodes) in [0..2, 2..4, 4..6].into_iter().enumerate() {
        write(&folder.path().join(format!("day{day}.parquet")), &rows(episodes), Compression::UNCOMPRESSED);
    }
    let arm = open(&folder).unwrap();
    assert_eq!((arm.group_count(), arm.row_count(), arm.tasks.len()), (3, 30, 6));
    assert_eq!((arm.table.groups[2].as_str(), arm.table.inputs[7]), ("day2", 7.0));
}

#[test]
fn what_is_wrong_with_cells_is_named() {
    let second = |folder: &TempDir| folder.path().join("data/chunk-000/file-001.parquet");
    let state = |row: usize, list: Vec<f32>| {
        let mut columns = rows(4..6);
        if let List(lists) = &mut columns[0].1 {
            lists[row] = list;
        }
        columns
    };
    let long = |column: usize, row: usize, value| {
        let mut columns = rows(4..6);
        if let Long(values) = &mut columns[column].1 {
            values[row] = value;
        }
        columns
    };
    for (columns, words) in [
        (
            state(7, vec![1.0, f32::NAN]),
            "file-001.parquet, row 7, column `observation.state.elbow`: expected a finite number, found `NaN`",
        ),
        (
            state(3, vec![1.0]),
            "row 3, column `observation.state`: expected a list of 2, as in `info.json`, found a list of 1",
        ),
        (state(3, vec![]), "found a list of 0"),
        (long(3, 9, 2), "row 9, column `episode_index`: expected an episode that `meta` has in this file, found `2`"),
        (long(3, 9, 4), "file-001.parquet: episode 4: expected 5 row(s), as in `meta`, found 6"),
        (
            rows(4..6)[1..].to_vec(),
            "file-001.parquet: expected a column `observation.state`, found the columns `action`",
        ),
    ] {
        let folder = version_3("task");
        write(&second(&folder), &columns, Compression::SNAPPY);
        let error = open(&folder).unwrap_err();
        assert!(error.contains(words), "{error}");
    }
    let folder = version_3("task");
    write(&second(&folder), &long(4, 6, 9), Compression::SNAPPY);
    let error = open_with(&folder, "task = \"episode_index\"", "task = [\"task\", \"episode_index\"]").unwrap_err();
    assert!(error.contains("row 6, column `task_index`: expected a task of `meta`, found `9`"), "{error}");
}

#[test]
fn what_is_wrong_with_the_folder_is_named() {
    for (file, text, words) in [
        ("meta/info.json", None, "info.json"),
        ("meta/info.json", Some("{"), "info.json: EOF"),
        ("meta/info.json", Some(&*info("v9.0", "")), "expected v2.0, v2.1 or v3.0, found `v9.0`"),
        ("meta/info.json", Some(&*info("v2.1", "data/{episode}")), "field `data_path`: expected a template of"),
        ("meta/info.json", Some(&*info("v2.1", "data/{episode_index:99d}")), "field `data_path`"),
        ("meta/episodes.jsonl", None, "episodes.jsonl"),
        ("meta/episodes.jsonl", Some("\n"), "expected episodes, found none"),
        ("meta/episodes.jsonl", Some("{\"episode_index\": 0}"), "line 1: expected a whole number `length`, found null"),
        ("meta/tasks.jsonl", Some("\n[]"), "tasks.jsonl: line 2"),
        ("data/chunk-001/episode_000005.parquet", None, "episode_000005.parquet"),
        ("data/chunk-001/episode_000005.parquet", Some("no Parquet"), "episode_000005.parquet"),
    ] {
        let folder = version_2();
        let path = folder.path().join(file);
        match text {
            Some(text) => std::fs::write(path, text).unwrap(),
            None => std::fs::remove_file(path).unwrap(),
        }
        let error = open(&folder).unwrap_err();
        assert!(error.contains(words), "{file} {text:?}: {error}");
    }
    for (from, to, words) in [
        (
            "\"action\"",
            "\"observation.image\"",
            "feature `observation.image` of type `video` and shape [3, 8, 8] is not read",
        ),
        ("\"action\"", "\"velocity\"", "expected a column `velocity`, found"),
        ("episode.payload", "episode.colour", "expected a column `episode.colour`"),
        ("    inputs", "files = [\"a\"]\n    inputs", "field `files`"),
        ("    inputs", "every = 0\n    inputs", "field `every`"),
        ("    inputs", "file_column = \"a\"\n    inputs", "field `file_column`"),
    ] {
        let error = open_with(&version_2(), from, to).unwrap_err();
        assert!(error.contains(words), "{to}: {error}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever the bytes are, reading gives rows or an error.
    #[test]
    fn broken_files_never_panic(keep in 0.0..1.0_f64, changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..8)) {
        let folder = version_2();
        let path = folder.path().join("data/chunk-000/episode_000002.parquet");
        let mut bytes = std::fs::read(&path).unwrap();
        for (place, value) in &changes {
            let place = place.index(bytes.len());
            bytes[place] = *value;
        }
        if changes.is_empty() {
            bytes.truncate((keep * bytes.len() as f64) as usize);
        }
        std::fs::write(&path, bytes).unwrap();
        let opened = open(&folder);
        prop_assert!(!changes.is_empty() || opened.is_err());
    }
}
