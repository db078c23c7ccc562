//! docs/your-data.md: its commands do what it says.

use std::path::Path;
use std::process::Command;

use crate::fixture::folder;

#[allow(dead_code)]
#[path = "../../../examples/examples/your_data.rs"]
mod example;

/// The commands of the page, on its data, with less training.
#[test]
fn the_page_can_be_followed() {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let page = std::fs::read_to_string(repository.join("docs/your-data.md")).unwrap();
    let root = folder("your-data");
    let data = root.join("examples/your-data");
    example::write_trials(&data.join("trials")).unwrap();
    for name in ["dataset.toml", "dataset-lerobot.toml", "train.toml"] {
        let text = std::fs::read_to_string(repository.join("examples/your-data").join(name)).unwrap();
        assert!(name == "train.toml" || page.contains(&text), "the page shows {name} as it is");
        std::fs::write(data.join(name), text).unwrap();
    }
    let commands: Vec<&str> = page.lines().filter_map(|line| line.strip_prefix("sinew ")).collect();
    assert_eq!(commands.len(), 2, "{commands:?}");
    for command in commands {
        let mut arguments: Vec<&str> = command.split_whitespace().collect();
        if arguments[0] == "train" {
            arguments.extend([
                "--set",
                "train.iterations=300",
                "--set",
                "train.threads=1",
                "--set",
                "baselines.iterations=300",
            ]);
        }
        let output = Command::new(env!("CARGO_BIN_EXE_sinew")).args(&arguments).current_dir(&root).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    }
    let [before, after] =
        example::adapt(&root.join("runs/elbow/model.safetensors"), &data.join("trials/object07.csv")).unwrap();
    assert!(after < 0.5 * before, "{before} -> {after}");
}
