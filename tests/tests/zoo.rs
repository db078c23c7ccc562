//! The bundles of `models/zoo`: each opens, is on the card, and does on episodes that it never saw about what the card says.

use std::path::{Path, PathBuf};

use sinew_runtime::{Adapter, Guard};
use sinew_trainer::config::{Config, WorldConfig};
use sinew_trainer::evaluate::{Settings, evaluate};
use sinew_trainer::labels::Labels;
use sinew_trainer::model::Model;
use sinew_trainer::world::dataset::{Dataset, data_folder};
use sinew_trainer::world::images::{Images, ImagesConfig};
use sinew_trainer::world::{Split, World, open};

/// Bytes of a bundle at most: the zoo travels with the source.
const LARGEST: usize = 512 << 10;

fn zoo() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/zoo")
}

/// The mean of the main metric after adapting to `shots` samples.
fn score(name: &str, world: &dyn World, shots: usize, episodes: usize) -> f64 {
    let (model, bytes) = Model::open(&zoo().join(name)).unwrap();
    let steps = vec![model.rule.steps()];
    let (seed, guard, split) = (77, Guard::Improve, Split::Test);
    let settings = Settings { episodes: Some(episodes), shots, steps, seed, guard, split, labels: Labels::All };
    let rows = evaluate(&bytes, None, world, &settings, &|| ()).unwrap().rows(0);
    rows.iter().find(|row| row.method == "adapted").unwrap().mean
}

/// Where the data of a test are; says so where they are not.
fn data(name: &str) -> Option<PathBuf> {
    // Tests run in their package.
    let root = if data_folder().is_relative() { Path::new("..").join(data_folder()) } else { data_folder() };
    let folder = root.join(name);
    if !folder.is_dir() {
        println!("skipped: {} is not there (SINEW_DATA names the folder of data)", folder.display());
        return None;
    }
    Some(root)
}

#[test]
fn every_bundle_is_whole_and_on_the_card() {
    let card = std::fs::read_to_string(zoo().join("README.md")).unwrap();
    let mut found = 0;
    for entry in std::fs::read_dir(zoo()).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "safetensors") {
            continue;
        }
        found += 1;
        let name = path.file_name().unwrap().to_str().unwrap();
        assert!(card.contains(name), "{name} has no card");
        let (model, bytes) = Model::open(&path).unwrap();
        assert!(bytes.len() <= LARGEST, "{name}: {} bytes", bytes.len());
        let bundle = sinew_runtime::Bundle::parse(&bytes).unwrap();
        assert!(Adapter::memory_len(&bundle, 16).is_ok(), "{name}");
        // How it was trained is in it, and no path of the machine that did.
        let config = Config::parse(Path::new(name), model.about.config.as_deref().unwrap(), &[]).unwrap();
        if let WorldConfig::Dataset { file } = &config.world {
            assert_eq!(file.file_name().unwrap(), file.as_os_str());
        }
    }
    assert!(found >= 3, "{found} bundles");
}

#[test]
fn sine_waves() {
    let world = open::by_name("sinusoid").unwrap();
    let error = score("sinusoid-bayes.safetensors", &*world, 5, 100);
    assert!(error <= 0.01, "{error}");
}

#[test]
fn terrain() {
    let world = open::by_name("terrain").unwrap();
    let error = score("terrain-ridge.safetensors", &*world, 16, 60);
    assert!(error <= 0.45, "{error}");
}

#[test]
fn grasps() {
    let world = open::by_name("grasp").unwrap();
    let area = score("grasp-meta-sgd.safetensors", &*world, 20, 40);
    assert!(area >= 0.78, "{area}");
}

#[test]
fn real_grasps() {
    let Some(root) = data("bts3") else { return };
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../trainer/configs/bts3-classes-dataset.toml");
    let data = Dataset::open_in(file, root).unwrap();
    let score = score("bts3-maml-plus-plus.safetensors", &data, 5, data.task_count(Split::Test).unwrap());
    assert!(score >= 0.85, "{score}");
}

#[test]
fn characters() {
    let Some(root) = data("omniglot") else { return };
    let (model, _) = Model::open(&zoo().join("omniglot-prototype.safetensors")).unwrap();
    let config = Config::parse(Path::new("zoo"), model.about.config.as_deref().unwrap(), &[]).unwrap();
    let WorldConfig::Images(config) = config.world else { panic!("{:?}", config.world) };
    let images = Images::open_in(&ImagesConfig { root: "${SINEW_DATA}/omniglot".into(), ..config }, &root).unwrap();
    let score = score("omniglot-prototype.safetensors", &images, 1, 60);
    assert!(score >= 0.95, "{score}");
}
