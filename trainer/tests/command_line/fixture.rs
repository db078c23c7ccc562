//! A small trained run that the tests share, and what runs the command.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView};
use serde_json::Value;

pub const BUNDLE: &str = "model.safetensors";

/// Trains in well under a second.
pub const CONFIG: &str = r#"
[world]
kind = "sinusoid"
[network]
hidden = [12]
activation = "tanh"
[learner]
kind = "maml"
steps = 3
inner_rate = 0.05
[train]
iterations = 45
tasks = 8
shots = 5
outer_rate = 1e-2
validation_every = 15
validation_tasks = 20
threads = 1
[baselines]
iterations = 40
outer_rate = 1e-2
"#;

/// How a command ended.
#[derive(Debug)]
pub struct Ended {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

/// Runs the command, which may fail but not panic.
pub fn sinew(arguments: &[&str]) -> Ended {
    let output = Command::new(env!("CARGO_BIN_EXE_sinew")).args(arguments).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    let ended = Ended { code: output.status.code().unwrap(), stdout: text(output.stdout), stderr: text(output.stderr) };
    assert!(!ended.stderr.contains("panicked") && ended.code != 101, "{arguments:?}: {}", ended.stderr);
    ended
}

/// Runs the command, which succeeds.
pub fn output(arguments: &[&str]) -> Ended {
    let ended = sinew(arguments);
    assert_eq!(ended.code, 0, "{arguments:?}: {}", ended.stderr);
    ended
}

/// Its words, on both ends.
pub fn run(arguments: &[&str]) -> String {
    let Ended { stdout, stderr, .. } = output(arguments);
    stdout + &stderr
}

/// An empty folder of this name.
pub fn folder(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("command_line").join(name);
    if folder.exists() {
        std::fs::remove_dir_all(&folder).unwrap();
    }
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

/// The folder of a run with baselines, trained once.
pub fn trained() -> &'static Path {
    static RUN: OnceLock<PathBuf> = OnceLock::new();
    RUN.get_or_init(|| {
        let folder = folder("trained");
        let (config, out) = (folder.join("small.toml"), folder.join("run"));
        std::fs::write(&config, CONFIG).unwrap();
        run(&["train", config.to_str().unwrap(), "--out", out.to_str().unwrap()]);
        out
    })
}

pub fn json(path: &Path) -> Value {
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

/// A tensor to be written: name, type, shape, bytes.
pub type Tensor = (String, Dtype, Vec<usize>, Vec<u8>);

/// `[rows, columns]` in f32.
pub fn tensor(name: &str, values: &[f32], columns: usize) -> Tensor {
    let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    (name.to_owned(), Dtype::F32, vec![values.len() / columns, columns], bytes)
}

pub fn write(path: &Path, tensors: &[Tensor]) {
    let views = tensors
        .iter()
        .map(|(name, dtype, shape, bytes)| (name, TensorView::new(*dtype, shape.clone(), bytes).unwrap()));
    std::fs::write(path, safetensors::serialize(views, None).unwrap()).unwrap();
}

/// Shape and values of a tensor.
pub fn rows(path: &Path, name: &str) -> (Vec<usize>, Vec<f32>) {
    let bytes = std::fs::read(path).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    assert_eq!(file.names(), [name]);
    let view = file.tensor(name).unwrap();
    assert_eq!(view.dtype(), Dtype::F32);
    let values = view.data().chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
    (view.shape().to_vec(), values)
}
