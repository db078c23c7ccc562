//! Several heads: what `train` records of how they pull, what `compare` draws of it, and rows that lack labels.

use std::path::Path;

use super::fixture::{BUNDLE, folder, json, output, run, sinew};

/// Energy and slip of driving, in a moment.
const TERRAIN: &str = r#"
    seed = 2
    [world]
    kind = "terrain"
    also = ["slip"]
    [network]
    hidden = [6]
    activation = "silu"
    [learner]
    kind = "multitask"
    weighting = { kind = "famo" }
    [train]
    iterations = 6
    tasks = 2
    shots = 4
    outer_rate = 1e-2
    validation_every = 2
    validation_tasks = 2
"#;

fn write(path: &Path, text: &str) -> String {
    std::fs::write(path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn how_heads_pull_is_recorded_and_drawn() {
    let folder = folder("pull");
    let famo = write(&folder.join("famo.toml"), TERRAIN);
    let sum = TERRAIN.replace("{ kind = \"famo\" }", "{ kind = \"fixed\", weights = [1.0, 0.5] }");
    let sum = write(&folder.join("sum.toml"), &sum);
    let out = folder.join("out");
    let out_path = out.to_str().unwrap();
    let arguments = ["compare", &famo, &sum, "--out", out_path, "--episodes", "2", "--steps", "0"];
    let words = run(&arguments);
    assert!(words.contains("famo-cosines.{svg,png}") && words.contains("sum-weights.{svg,png}"), "{words}");
    let record = out.join("sum/seed-2/multitask.csv");
    let text = std::fs::read_to_string(&record).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!((lines.len(), lines[0]), (4, "iteration,log_energy,slip,cosine_log_energy_slip"));
    for (line, iteration) in lines[1..].iter().zip([2, 4, 6]) {
        let cosine = line.strip_prefix(&format!("{iteration},1,0.5,")).unwrap_or_else(|| panic!("{line}"));
        let cosine: f64 = cosine.parse().unwrap();
        assert!((-1.0..=1.0).contains(&cosine), "{line}");
    }
    let page = std::fs::read_to_string(out.join("compare.md")).unwrap();
    for name in ["famo", "sum"] {
        for kind in ["cosines", "weights"] {
            assert!(page.contains(&format!("](<{name}-{kind}.svg>)")), "{page}");
            let svg = std::fs::read_to_string(out.join(format!("{name}-{kind}.svg"))).unwrap();
            assert!(svg.contains(&format!(": {name}<")) || svg.contains(&format!(": {name}\n")), "{name} {kind}");
            assert!(out.join(format!("{name}-{kind}.png")).is_file());
        }
    }
    // Runs of which there is no record are compared all the same, and it is said.
    std::fs::remove_file(record).unwrap();
    let ended = output(&arguments);
    assert!(ended.stderr.contains("sum: no pictures of how heads pull"), "{}", ended.stderr);
}

/// Two alphabets of three and two characters, six drawings each: white but for a line where no other drawing has one.
fn alphabets(folder: &Path) {
    for (alphabet, characters) in [("Alpha", 3), ("Beta", 2)] {
        for character in 0..characters {
            let place = folder.join(format!("drawings/{alphabet}/character{character}"));
            std::fs::create_dir_all(&place).unwrap();
            for drawing in 0..6 {
                let is_ink = |at: usize| at / 35 == 6 * character + drawing || at % 35 == 3 * alphabet.len();
                let pixels: Vec<u8> = (0..35 * 35).map(|at| if is_ink(at) { 0 } else { 255 }).collect();
                let file = std::fs::File::create(place.join(format!("{drawing}.png"))).unwrap();
                let mut encoder = png::Encoder::new(file, 35, 35);
                encoder.set_color(png::ColorType::Grayscale);
                encoder.set_depth(png::BitDepth::Eight);
                encoder.write_header().unwrap().write_image_data(&pixels).unwrap();
            }
        }
    }
}

#[test]
fn alphabets_become_heads_whose_rows_lack_labels() {
    let folder = folder("alphabets");
    alphabets(&folder);
    let text = r#"
        [world]
        kind = "alphabets"
        root = "drawings"
        alphabets = ["Alpha", "Beta"]
        [network]
        convolutions = { channels = [4, 4] }
        hidden = []
        activation = "relu"
        normalise = false
        [learner]
        kind = "multitask"
        weighting = { kind = "fixed", weights = [1.0, 1.0] }
        [train]
        iterations = 4
        tasks = 3
        shots = 1
        sampling = "proportional"
        outer_rate = 1e-2
        validation_every = 2
    "#;
    let both = write(&folder.join("both.toml"), text);
    let alone =
        |weights: &str, name: &str| write(&folder.join(format!("{name}.toml")), &text.replace("[1.0, 1.0]", weights));
    let (alpha, beta) = (alone("[1.0, 0.0]", "alpha"), alone("[0.0, 1.0]", "beta"));
    let out = folder.join("out");
    let words = run(&["compare", &both, &alpha, &beta, "--out", out.to_str().unwrap()]);
    assert!(words.contains("alpha_accuracy") && words.contains("Δm %"), "{words}");
    let result = json(&out.join("compare.json"));
    let names: Vec<_> = result["tables"].as_array().unwrap().iter().map(|table| table["metric"].as_str()).collect();
    assert_eq!(names, [Some("alpha_accuracy"), Some("beta_accuracy")]);
    for table in result["tables"].as_array().unwrap() {
        // Of six drawings two are tested on.
        assert_eq!(table["episodes"].as_u64(), Some(2));
        let rows = table["results"].as_array().unwrap();
        assert!(rows.iter().any(|row| row["steps"].as_u64() == Some(1)), "{rows:?}");
        assert!(
            rows.iter().all(|row| row["mean"].as_f64().is_some_and(|mean| (0.0..=1.0).contains(&mean))),
            "{rows:?}"
        );
    }
    let bundle = out.join("both/seed-0").join(BUNDLE);
    let bundle = bundle.to_str().unwrap();
    let words = run(&["evaluate", bundle, "--config", &both]);
    assert!(words.contains("beta_accuracy"), "{words}");
    let refused = |arguments: &[&str], words: &[&str]| {
        let ended = sinew(arguments);
        assert!(ended.code == 1 && words.iter().all(|word| ended.stderr.contains(word)), "{}", ended.stderr);
    };
    let place = folder.join("refused");
    let train = |change: &str, words: &[&str]| {
        refused(&["train", &both, "--out", place.to_str().unwrap(), "--set", change], words);
        assert!(!place.exists(), "nothing is written");
    };
    let bayes = "learner={kind=\"bayes\"}";
    train(bayes, &["learner.kind = \"bayes\"", "have all labels", "`alphabets`"]);
    train("train.shots=4", &["3 drawings of each character", "4 shot(s)"]);
    let terrain = write(&folder.join("terrain.toml"), TERRAIN);
    let sampled = ["train", &terrain, "--out", place.to_str().unwrap(), "--set", "train.sampling=proportional"];
    refused(&sampled, &["train.sampling", "\"balanced\"", "`terrain"]);
}
