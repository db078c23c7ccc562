use sinew_models::rule::{Rate, Scope};

use super::*;

const TEXT: &str = r#"
    seed = 3
    [world]
    kind = "sinusoid"
    [network]
    hidden = [40, 40]
    activation = "relu"
    normalise = false
    [learner]
    kind = "maml"
    inner_rate = 0.01
    [train]
    iterations = 10
    tasks = 25
    shots = 10
    outer_rate = 1e-3
    [baselines]
    iterations = 5
    outer_rate = 1e-3
"#;

fn parse(changes: &[&str]) -> Result<Config, String> {
    let changes: Vec<String> = changes.iter().map(|change| (*change).into()).collect();
    Config::parse(Path::new("run.toml"), TEXT, &changes).map_err(|why| why.to_string())
}

#[test]
fn survives_its_own_toml() {
    let config = parse(&[]).unwrap();
    assert_eq!(Config::parse(Path::new("again"), &config.to_toml(), &[]).unwrap(), config);
    let pooled = config.pooled().unwrap();
    assert_eq!(pooled.train.iterations, 5);
    assert!(matches!(pooled.learner, LearnerConfig::Pooled(Descent { steps: 1, inner_rate: 0.01, .. })));
    assert_eq!(Config::parse(Path::new("again"), &pooled.to_toml(), &[]).unwrap(), pooled);
}

#[test]
fn changes_reach_every_field() {
    let config = parse(&[
        "train.iterations=77",
        "train.shots=[1, 5]",
        "learner.rate=per_parameter",
        "learner.adapt=\"heads\"",
        "world.query=20",
        "train.clip=1",
    ])
    .unwrap();
    assert_eq!(config.train.iterations, 77);
    assert_eq!(config.train.shots, Shots::Any(vec![1, 5]));
    let LearnerConfig::Maml(learner) = &config.learner else { panic!("{:?}", config.learner) };
    assert_eq!((learner.rate, &learner.adapt), (Rate::PerParameter, &Scope::Heads));
    assert_eq!(config.world, WorldConfig::Sinusoid { query: 20 });
    assert_eq!(config.train.clip, Some(1.0));
}

#[test]
fn what_is_wrong_is_named() {
    for (change, words) in [
        ("train.iterations", "expected KEY=VALUE"),
        ("=3", "expected KEY=VALUE"),
        ("seed.x=3", "expected KEY=VALUE"),
        ("train.iterations=0", "field `train.iterations`: expected at least 1, found 0"),
        ("train.shots=[]", "train.shots"),
        ("train.outer_rate=nan", "train.outer_rate"),
        ("train.weight_decay=-1", "train.weight_decay"),
        ("baselines.weight_decay=nan", "baselines.weight_decay"),
        ("train.rate_outer_rate=0", "train.rate_outer_rate"),
        ("train.colour=3", "colour"),
        ("learner.kind=guess", "guess"),
        ("world.kind=moon", "moon"),
    ] {
        let error = parse(&[change]).unwrap_err();
        assert!(error.contains(words), "{change}: {error}");
    }
    assert!(Config::read(Path::new("nowhere.toml"), &[]).unwrap_err().to_string().contains("nowhere.toml"));
}

#[test]
fn a_data_set_is_found_from_anywhere_and_its_folder_stays_at_home() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run.toml");
    let text = TEXT.replace("\"sinusoid\"", "\"dataset\"\nfile = \"data.toml\"");
    std::fs::write(&path, text).unwrap();
    std::fs::write(folder.path().join("data.toml"), "").unwrap();
    let config = Config::read(&path, &[]).unwrap();
    let WorldConfig::Dataset { file } = &config.world else { panic!("{config:?}") };
    assert_eq!(*file, folder.path().join("data.toml").canonicalize().unwrap());
    // What a run writes down says the same wherever it lies.
    let again = folder.path().join("again.toml");
    std::fs::write(&again, config.to_toml()).unwrap();
    assert_eq!(Config::read(&again, &[]).unwrap(), config);
    let portable = config.to_portable_toml();
    assert!(portable.contains("file = \"data.toml\""), "{portable}");
}

#[test]
fn a_seed_that_toml_cannot_say_is_refused() {
    let mut config = parse(&[]).unwrap();
    config.seed = i64::MAX as u64;
    assert_eq!(Config::parse(Path::new("again"), &config.to_toml(), &[]).unwrap(), config);
    config.seed += 1;
    assert!(config.check().unwrap_err().to_string().contains("seed"));
}
