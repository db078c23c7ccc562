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
fn what_compares_classes_needs_some() {
    use crate::world::World;
    let world = crate::world::sinusoid::Sinusoid::new(10);
    for learner in ["{kind=\"siamese\"}", "{kind=\"prototype\"}"] {
        let config = parse(&[&format!("learner={learner}")]).unwrap();
        let words = config.network(world.signature()).unwrap_err().to_string();
        assert!(words.contains("classes") && words.contains("MeanSquared"), "{words}");
    }
    let convolutions = parse(&["network.convolutions={channels=[8]}"]).unwrap();
    assert!(matches!(convolutions.network(world.signature()), Err(ConfigError::NoImages)));
}

#[test]
fn settings_of_learners_are_checked() {
    for (learner, words) in [
        ("{kind=\"ridge\",ridge=0.0}", "learner.ridge"),
        ("{kind=\"ridge\",forgetting=1.5}", "learner.forgetting"),
        ("{kind=\"bayes\",noise=-1.0}", "learner.noise"),
        ("{kind=\"bayes\",precision=0.0}", "learner.precision"),
        ("{kind=\"prototype\",scale=0.0}", "learner.scale"),
        ("{kind=\"siamese\",alike=1.0}", "learner.alike"),
        ("{kind=\"reptile\",training_steps=0,inner_rate=0.1}", "learner.training_steps"),
        ("{kind=\"siamese\",steps=3}", "steps"),
        ("{kind=\"reptile\",inner_rate=0.1}", "training_steps"),
    ] {
        let said = parse(&[&format!("learner={learner}")]).unwrap_err();
        assert!(said.contains(words), "{learner}: {said}");
    }
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
fn recordings_are_found_from_anywhere_and_their_folder_stays_at_home() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("drawings")).unwrap();
    let path = folder.path().join("run.toml");
    let read = |world: &str| {
        std::fs::write(&path, TEXT.replace("kind = \"sinusoid\"", world)).unwrap();
        Config::read(&path, &[])
    };
    for (world, kind) in [
        ("kind = \"images\"\nroot = 'drawings'", "images"),
        ("kind = \"alphabets\"\nroot = 'drawings'\nalphabets = ['Greek', 'Latin']", "alphabets"),
        ("kind = \"series\"\nroot = 'drawings'\nfiles = ['a.ts']\nway = 2\nsplit = 'series'", "series"),
    ] {
        let config = read(world).unwrap();
        let root = |config: &Config| match &config.world {
            WorldConfig::Images(ImagesConfig { root, .. })
            | WorldConfig::Alphabets(AlphabetsConfig { root, .. })
            | WorldConfig::Series(SeriesConfig { root, .. }) => root.clone(),
            other => panic!("{other:?}"),
        };
        assert_eq!(Path::new(&root(&config)), folder.path().join("drawings").canonicalize().unwrap());
        assert_eq!(Config::parse(Path::new("again"), &config.to_toml(), &[]).unwrap(), config);
        let portable = config.to_portable_toml();
        assert!(portable.contains("root = \"drawings\"") && portable.contains(kind), "{portable}");
        // Shared data are where every machine says they are.
        let shared = read(&world.replace("drawings", "${SINEW_DATA}/some")).unwrap();
        assert_eq!(root(&shared), "${SINEW_DATA}/some");
        assert!(shared.to_portable_toml().contains("${SINEW_DATA}/some"));
    }
    // What is left out is written down, so that a run says what it was split by.
    let config = read("kind = \"images\"\nroot = 'drawings'").unwrap();
    assert!(config.to_toml().contains("Alphabet_of_the_Magi") && config.to_toml().contains("within_alphabet = false"));
    for (world, words) in [
        ("kind = \"images\"", "root"),
        ("kind = \"images\"\nroot = 'drawings'\nways = 3", "ways"),
        ("kind = \"alphabets\"\nroot = 'drawings'", "alphabets"),
        ("kind = \"series\"\nroot = 'drawings'\nfiles = []\nway = 2\nsplit = 'both'", "both"),
    ] {
        let why = read(world).unwrap_err().to_string();
        assert!(why.contains(words) && why.contains("run.toml"), "{why}");
    }
}

#[test]
fn the_configurations_that_come_along_can_be_read() {
    let mut runs = 0;
    for path in glob::glob(concat!(env!("CARGO_MANIFEST_DIR"), "/configs/**/*.toml")).unwrap() {
        let path = path.unwrap();
        if path.file_stem().is_some_and(|stem| !stem.to_string_lossy().ends_with("-dataset")) {
            let config = Config::read(&path, &[]).unwrap_or_else(|why| panic!("{why}"));
            assert_eq!(Config::parse(&path, &config.to_toml(), &[]).unwrap(), config);
            runs += 1;
        }
    }
    assert!(runs >= 6, "{runs}");
}

#[test]
fn a_seed_that_toml_cannot_say_is_refused() {
    let mut config = parse(&[]).unwrap();
    config.seed = i64::MAX as u64;
    assert_eq!(Config::parse(Path::new("again"), &config.to_toml(), &[]).unwrap(), config);
    config.seed += 1;
    assert!(config.check().unwrap_err().to_string().contains("seed"));
}

#[test]
fn elevation_models_and_obstacles_are_found_from_anywhere() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run.toml");
    let read = |world: &str| {
        std::fs::write(&path, TEXT.replace("kind = \"sinusoid\"", world)).unwrap();
        Config::read(&path, &[])
    };
    // A run of an earlier version says no more than this, and is to go on.
    let plain = read("kind = \"terrain\"\ndistribution = \"independent\"").unwrap();
    assert!(!["elevation", "obstacles"].iter().any(|field| plain.to_toml().contains(field)));
    let world = "kind = \"terrain\"\nobstacles = 'maps/*.map'\nelevation = { train = ['a.dem'], test = ['${SINEW_DATA}/b.npz'] }";
    let config = read(world).unwrap();
    let WorldConfig::Terrain(terrain) = &config.world else { panic!("{config:?}") };
    let elevation = terrain.elevation.as_ref().unwrap();
    assert!(Path::new(&elevation.train[0]).is_absolute() && elevation.test == ["${SINEW_DATA}/b.npz"]);
    assert!(terrain.obstacles.as_deref().is_some_and(|maps| Path::new(maps).is_absolute()));
    assert_eq!(Config::parse(Path::new("again"), &config.to_toml(), &[]).unwrap(), config);
    let portable = config.to_portable_toml();
    assert!(portable.contains("train = [\"a.dem\"]") && portable.contains("obstacles = \"*.map\""), "{portable}");
    assert!(read(&world.replace("train", "learn")).unwrap_err().to_string().contains("learn"));
}

#[test]
fn tasks_are_sampled_by_size_where_that_is_asked_for() {
    use crate::train::Sampling;
    let plain = parse(&[]).unwrap();
    assert!(plain.train.sampling == Sampling::Balanced && !plain.to_toml().contains("sampling"));
    let all = [
        ("\"balanced\"", Sampling::Balanced),
        ("proportional", Sampling::Proportional),
        ("{ temperature = 2.5 }", Sampling::Temperature(2.5)),
    ];
    for (text, want) in all {
        let config = parse(&[&format!("train.sampling={text}")]).unwrap();
        assert_eq!(config.train.sampling, want);
        assert_eq!(Config::parse(Path::new("again"), &config.to_toml(), &[]).unwrap(), config);
    }
    for (text, words) in
        [("{ temperature = 0 }", "above 0, found 0"), ("{ temperature = nan }", "found NaN"), ("even", "even")]
    {
        let why = parse(&[&format!("train.sampling={text}")]).unwrap_err();
        assert!(why.contains(words), "{why}");
    }
}
