//! Multi-task architectures, from the configuration to the robot: what was trained is what the bundle holds, an ordinary network that the
//! runtime runs and candle agrees with; and a run that was stopped goes on to the bit.

mod oracle;

use std::path::Path;
use std::sync::atomic::AtomicBool;

use candle_core::DType;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use sinew_models::spec::Layer;
use sinew_runtime::{Adapter, Bundle, Network};
use sinew_tests::sample::Numbers;
use sinew_trainer::aligned::Aligned;
use sinew_trainer::config::{Config, WorldConfig};
use sinew_trainer::cuda::DeviceChoice;
use sinew_trainer::labels;
use sinew_trainer::streams::Purpose;
use sinew_trainer::train::{BUNDLE, CHECKPOINT, LAST, METRICS, Options, Progress, Trained, episodes, train};
use sinew_trainer::world::dataset::Dataset;
use sinew_trainer::world::terrain::Terrain;
use sinew_trainer::world::{Split, World};

const TASKS: u64 = 8;
const SHOTS: usize = 4;

/// Each architecture, and what it has of the network; a weighting of losses and one of gradients come in turn.
const ALL: [[&str; 2]; 6] = [
    [r#"{ kind = "hard" }"#, "hidden = [8]\nof_each_head = [4]"],
    [r#"{ kind = "soft", tie = 0.01 }"#, "hidden = []\nof_each_head = [8, 4]"],
    [r#"{ kind = "cross_stitch" }"#, "hidden = [8, 6]\nof_each_head = [4]"],
    [r#"{ kind = "mmoe", experts = 3 }"#, "hidden = [8, 6]\nof_each_head = [4]"],
    [r#"{ kind = "cgc", shared_experts = 2, own_experts = 1 }"#, "hidden = [8]\nof_each_head = [4]"],
    [r#"{ kind = "cgc", shared_experts = 1, own_experts = 1 }"#, "hidden = [8, 6]"],
];

fn config([architecture, network]: [&str; 2], weighting: &str) -> Config {
    let text = format!(
        "seed = 3\n[world]\nkind = \"terrain\"\ndistribution = \"soil-strength\"\nalso = [\"slip\", \"time\"]\n\
         [network]\n{network}\nactivation = \"silu\"\n\
         [learner]\nkind = \"multitask\"\narchitecture = {architecture}\nweighting = {{ kind = \"{weighting}\" }}\n\
         [train]\niterations = 24\ntasks = 4\nshots = {SHOTS}\nouter_rate = 1e-2\nweight_decay = 0.01\n\
         rate_outer_rate = 1e-1\nvalidation_every = 12\nvalidation_tasks = {TASKS}\nthreads = 2\n"
    );
    Config::parse(Path::new("run.toml"), &text, &[]).unwrap()
}

fn world(config: &Config) -> Terrain {
    let WorldConfig::Terrain(terrain) = &config.world else { panic!("{:?}", config.world) };
    Terrain::open(terrain, 0).unwrap()
}

fn run(config: &Config, folder: &Path, resume: bool, stop_after: Option<u64>) -> Trained {
    run_on(config, &world(config), folder, resume, stop_after)
}

fn run_on(config: &Config, world: &dyn World, folder: &Path, resume: bool, stop_after: Option<u64>) -> Trained {
    let (stop, progress, device) = (AtomicBool::new(false), Progress::Hidden, DeviceChoice::Cpu);
    train(config, world, &Options { folder, resume, stop: &stop, stop_after, progress, device }).unwrap()
}

#[test]
fn what_was_trained_is_what_runs() {
    for (architecture, weighting) in ALL.into_iter().zip(["famo", "pcgrad"].into_iter().cycle()) {
        let name = architecture[0];
        let config = config(architecture, weighting);
        let world = world(&config);
        let folder = tempfile::tempdir().unwrap();
        let trained = run(&config, folder.path(), false, None);
        let (model, network) = (&trained.model, &trained.model.network);
        assert_eq!([model.state.params.len(), model.state.rates.len()], [network.param_len(), 1], "{name}");
        let mixtures = network.layers().any(|layer| matches!(layer.layer, Layer::Mixture { .. }));
        assert_eq!(mixtures, name.contains("experts"), "{name}");

        let bytes = model.to_bytes().unwrap();
        let bundle = Bundle::parse(&bytes).unwrap();
        let mut memory = Aligned::zeros(Adapter::memory_len(&bundle, 32).unwrap());
        let mut adapter = Adapter::new(&bundle, 32, &mut memory).unwrap();
        let params: Vec<f64> = model.state.params.iter().map(|value| f64::from(*value)).collect();
        let variables = oracle::variables(network, &params, DType::F64).unwrap();
        let scaling = &model.scaling;
        let drawn = episodes(&world, Split::Validation, SHOTS, 3, Purpose::Validation, TASKS);
        let mut sum = 0.0;
        for (_, episode) in &drawn {
            let query = &episode.query;
            let mut said = vec![0.0; query.targets.len()];
            adapter.predict(&query.inputs, &mut said).unwrap();
            let presented: Vec<f64> =
                scaling.present(None, &query.inputs).iter().map(|value| f64::from(*value)).collect();
            let x = oracle::tensor(&presented, &[query.rows, presented.len() / query.rows], DType::F64).unwrap();
            let by_candle = oracle::predictions(network, &variables, &x).unwrap();
            let by_candle = oracle::flat([&by_candle]).unwrap();
            for (place, ((said, target), by_candle)) in said.iter().zip(&query.targets).zip(by_candle).enumerate() {
                let head = place % 3;
                let [mean, scale] = [scaling.output_mean[head], scaling.output_scale[head]].map(f64::from);
                let scaled = (f64::from(*said) - mean) / scale;
                assert!((scaled - by_candle).abs() <= 1e-5 * (1.0 + by_candle.abs()), "{name}: {scaled} {by_candle}");
                let apart = (f64::from(*said) - f64::from(*target)) / scale;
                sum += apart * apart / query.rows as f64;
            }
        }
        let (said, by_adapter) = (trained.validation.unwrap(), sum / TASKS as f64);
        assert!((said - by_adapter).abs() <= 1e-4 * (1.0 + by_adapter), "{name}: {said}, by the adapter {by_adapter}");
        let log = std::fs::read_to_string(folder.path().join(METRICS)).unwrap();
        let lines = log.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
        let losses: Vec<f64> = lines.map(|line| line["loss"].as_f64().unwrap()).collect();
        assert!(losses.len() == 2 && losses[1] < 0.9 * losses[0], "{name}: {losses:?}");

        // And it adapts as any other.
        let (_, episode) = &drawn[0];
        for row in 0..episode.support.rows {
            adapter.observe(episode.support.input(row), episode.support.target(row)).unwrap();
        }
        let report = adapter.adapt(|| false).unwrap();
        assert!(report.steps == 1, "{name}: {report:?}");
    }
}

#[test]
fn stopped_runs_go_on_to_the_bit() {
    // Those that are not plain: the others are as the one of `resume.rs`.
    for (architecture, weighting) in [(ALL[1], "pcgrad"), (ALL[2], "pcgrad"), (ALL[5], "famo")] {
        let mut config = config(architecture, weighting);
        config.train.iterations = 6;
        config.train.validation_every = 4;
        let (whole, parts) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        run(&config, whole.path(), false, None);
        assert!(run(&config, parts.path(), false, Some(3)).stopped);
        assert!(!run(&config, parts.path(), true, None).stopped);
        for file in [BUNDLE, CHECKPOINT, LAST] {
            let [want, got] = [&whole, &parts].map(|folder| std::fs::read(folder.path().join(file)).unwrap());
            assert!(want == got, "{}: {file} differs", architecture[0]);
        }
    }
}

/// Trials of somebody's robot: a torque in one row of two, whether it held in the others and now and then in the same row.
fn trials(folder: &Path) -> Dataset {
    let mut text = String::from("object,angle,speed,torque,held\n");
    let mut numbers = Numbers(7);
    for object in 0..30 {
        let load = 1.0 + numbers.next_value();
        for row in 0..30 {
            let [angle, speed] = [numbers.next_value(), numbers.next_value()];
            let torque = if row % 2 == 0 { format!("{}", 5.0 * load * angle + 0.1 * speed) } else { String::new() };
            let held = if row % 2 == 1 || row % 6 == 0 {
                u8::from(speed > 0.3 * (load - 1.0)).to_string()
            } else {
                String::new()
            };
            text += &format!("{object},{angle},{speed},{torque},{held}\n");
        }
    }
    std::fs::write(folder.join("trials.csv"), text).unwrap();
    let description = "name = \"trials\"\nfiles = [\"trials.csv\"]\ninputs = [\"angle\", \"speed\"]\ntask = \"object\"\n\
        [[heads]]\noutputs = [\"torque\"]\nloss = \"mean_squared\"\n\
        [[heads]]\noutputs = [\"held\"]\nloss = \"binary_cross_entropy\"\n";
    std::fs::write(folder.join("dataset.toml"), description).unwrap();
    Dataset::open(folder.join("dataset.toml")).unwrap()
}

#[test]
fn recorded_rows_may_lack_labels() {
    let folder = tempfile::tempdir().unwrap();
    let world = trials(folder.path());
    for learner in
        ["kind = \"multitask\"\nweighting = { kind = \"uncertainty\" }", "kind = \"maml\"\nsteps = 5\ninner_rate = 0.1"]
    {
        let text = format!(
            "seed = 3\n[world]\nkind = \"dataset\"\nfile = \"dataset.toml\"\n[network]\nhidden = [16]\nactivation = \"tanh\"\n\
             [learner]\n{learner}\n[train]\niterations = 150\ntasks = 6\nshots = 12\nouter_rate = 1e-2\nvalidation_every = 75\n\
             validation_tasks = {TASKS}\nthreads = 2\n"
        );
        let config = Config::parse(Path::new("run.toml"), &text, &[]).unwrap();
        let run_folder = tempfile::tempdir().unwrap();
        let trained = run_on(&config, &world, run_folder.path(), false, None);
        assert!(trained.validation.unwrap().is_finite());
        let bytes = trained.model.to_bytes().unwrap();
        let bundle = Bundle::parse(&bytes).unwrap();
        let mut memory = Aligned::zeros(Adapter::memory_len(&bundle, 32).unwrap());
        let mut adapter = Adapter::new(&bundle, 32, &mut memory).unwrap();
        // Over the tests: the error of the torque and how often it is right about holding, before and after adapting.
        let mut scores = [[0.0; 2]; 2];
        let tests: Vec<_> = world.tasks(Split::Test).collect();
        for task in &tests {
            let episode = world.episode(task, 12, &mut ChaCha8Rng::seed_from_u64(1));
            adapter.reset();
            for row in 0..episode.support.rows {
                let (x, y) = (episode.support.input(row), episode.support.target(row));
                adapter.observe_heads(x, y, labels::of_row(bundle.network(), y)).unwrap();
            }
            for scores in &mut scores {
                let score = world.score(task, &episode, &mut |x, y| adapter.predict(x, y).unwrap());
                let accuracy = world.metrics().iter().position(|metric| metric.name == "held_auroc").unwrap();
                scores[0] += score[0] / tests.len() as f64;
                scores[1] += score[accuracy] / tests.len() as f64;
                assert_eq!(adapter.adapt(|| false).unwrap().steps, if learner.contains("maml") { 5 } else { 1 });
            }
        }
        println!("{learner}: {scores:?}");
        assert!(scores[0][1] >= 0.8 && scores[0][0] <= 2.5, "{learner}: {scores:?}");
        assert!(!learner.contains("maml") || scores[1][0] <= 0.6 * scores[0][0], "{learner}: {scores:?}");
    }
}

/// The settings of an architecture that is not the plain one survive the configuration's own TOML, and errors name the field.
#[test]
fn configurations_say_what_does_not_fit() {
    for architecture in ALL {
        let config = config(architecture, "famo");
        assert_eq!(Config::parse(Path::new("again"), &config.to_toml(), &[]).unwrap(), config);
        assert_eq!(config.to_toml().contains("architecture"), !architecture[0].contains("hard"));
    }
    for (architecture, field) in [
        ([r#"{ kind = "soft", tie = 0.1 }"#, "hidden = [8]\nof_each_head = [4]"], "network.hidden"),
        ([r#"{ kind = "mmoe", experts = 3 }"#, "hidden = [8]\nof_each_head = [4, 4]"], "network.of_each_head"),
        ([r#"{ kind = "mmoe", experts = 0 }"#, "hidden = [8]"], "learner.architecture.experts"),
    ] {
        let config = config(architecture, "famo");
        let refused = config.network(world(&config).signature()).unwrap_err().to_string();
        assert!(refused.starts_with(&format!("field `{field}`: expected ")), "{refused}");
    }
    let unknown = config(ALL[0], "famo")
        .to_toml()
        .replace("[learner.weighting]", "[learner.architecture]\nkind = \"hard\"\ntie = 1.0\n[learner.weighting]");
    let refused = Config::parse(Path::new("run.toml"), &unknown, &[]).unwrap_err().to_string();
    assert!(refused.contains("tie"), "{refused}");
}

/// What `docs/multitask.md` and the configurations say of themselves: parameters, and multiply-adds of a prediction.
#[test]
fn configurations_of_terrain_are_as_large_as_they_say() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let page = std::fs::read_to_string(folder.join("docs/multitask.md")).unwrap();
    for (name, learned) in [("sum", 5059), ("soft", 5043), ("cross-stitch", 5061), ("mmoe", 4931), ("cgc", 4906)] {
        let file = format!("trainer/configs/multitask/terrain-{name}.toml");
        let config = Config::read(&folder.join(&file), &[]).unwrap();
        let network = config.network(world(&config).signature()).unwrap();
        let runtime = Network::new(&network, sinew_runtime::Path::SCALAR).unwrap();
        let work = runtime.multiply_adds(0..runtime.layer_count());
        let line = format!("| `terrain-{name}` | {learned} | {} | {work} |", network.param_len());
        assert!(page.contains(&line), "{line}");
        let text = std::fs::read_to_string(folder.join(file)).unwrap();
        assert!(name == "sum" || text.contains(&learned.to_string()), "{name}");
    }
}
