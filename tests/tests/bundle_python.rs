//! A bundle is a file that Python reads and writes too, and `docs/bundle.md` tells the truth about it.
//!
//! Needs a Python (`SINEW_PYTHON`, or `python3`) with numpy and safetensors; without them the test says that it is
//! skipped, or fails where `SINEW_REQUIRE_PYTHON=1`.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};
use sinew_models::bundle::{
    FORMAT, INPUT_MEAN, INPUT_RELATIVE_SCALE, INPUT_SCALE, LOSS_CONSTANTS, Metadata, OUTPUT_MEAN, OUTPUT_SCALE,
    RULE_RATE,
};
use sinew_models::networks;
use sinew_models::rule::{Rate, Rule, Scope};
use sinew_models::spec::{Activation, Head, InputForm, Layer, Loss, Name, NetworkSpec};
use sinew_runtime::{Bundle, View};
use sinew_trainer::export::{self, About, Column, Export, Score};

const FOLDER: &str = env!("CARGO_MANIFEST_DIR");

/// The network of the example in `docs/bundle.md`.
fn network() -> NetworkSpec {
    let mut network =
        networks::mlp(3, InputForm::Both, &[8], Activation::Tanh, "slip", 1, Loss::BinaryCrossEntropy).unwrap();
    let layers = [
        Layer::Dense { outputs: 4, activation: Activation::Silu },
        Layer::Dense { outputs: 2, activation: Activation::Identity },
    ];
    let name = Name::try_from("energy").unwrap();
    let loss = Loss::Huber { delta: 0.5 };
    network.heads.push(Head { name, layers: layers.into_iter().collect(), loss, weight: 0.25 }).unwrap();
    let layers = [Layer::Dense { outputs: 3, activation: Activation::Identity }];
    let name = Name::try_from("ground").unwrap();
    let loss = Loss::CrossEntropy;
    network.heads.push(Head { name, layers: layers.into_iter().collect(), loss, weight: 1.0 }).unwrap();
    network
}

/// The rule of the example in `docs/bundle.md`.
fn rule() -> Rule {
    Rule::Gradient { steps: 5, rate: Rate::PerLayerStep, scope: Scope::Heads, momentum: false, rows: 0 }
}

fn about() -> About {
    let column = |name: &str, unit: &str| Column { name: name.into(), unit: unit.into() };
    About {
        inputs: vec![column("speed", "m/s"), column("slope", "°"), column("load", "kg")],
        world: "terrain".into(),
        learner: "maml++".into(),
        seed: 7,
        version: "0.1.0".into(),
        iterations: 20_000,
        config: Some("[train]\nseed = 7 # \"ü\"\n".into()),
        scores: vec![Score { metric: "mse".into(), shots: 5, steps: 5, mean: 0.25, ci95: 0.015_625 }],
        ..About::default()
    }
}

/// Values that f16 and bf16 hold exactly.
fn values(len: usize, shift: usize) -> Vec<f32> {
    (0..len).map(|index| ((index * 37 + shift) % 97) as f32 / 64.0 - 0.75).collect()
}

fn positive(len: usize, shift: usize) -> Vec<f32> {
    values(len, shift).iter().map(|value| value.abs() + 0.25).collect()
}

struct Written {
    bytes: Vec<u8>,
    /// Name, shape and values of each tensor.
    tensors: Vec<(String, Vec<usize>, Vec<f32>)>,
    parameters: Vec<f32>,
}

fn written() -> Written {
    let (network, rule) = (network(), rule());
    let parameters = values(network.param_len(), 0);
    let rate = positive(rule.rate_len(&network), 1);
    let inputs = [values(3, 2), positive(3, 3), positive(3, 4)];
    // The classification heads, of one and of three outputs, are not scaled.
    let outputs = [vec![0.0, 0.5, -1.5, 0.0, 0.0, 0.0], vec![1.0, 0.125, 2.0, 1.0, 1.0, 1.0]];
    let export = Export {
        network: &network,
        rule: &rule,
        parameters: &parameters,
        numbers: &rate,
        input_mean: &inputs[0],
        input_scale: &inputs[1],
        input_relative_scale: &inputs[2],
        output_mean: &outputs[0],
        output_scale: &outputs[1],
        novelty: None,
        about: &about(),
    };
    let mut tensors: Vec<(String, Vec<usize>, Vec<f32>)> = network
        .slots()
        .map(|slot| {
            let values = parameters[slot.offset()..][..slot.len()].to_vec();
            (slot.name().to_string(), slot.shape().to_vec(), values)
        })
        .collect();
    let mut add =
        |name: &str, shape: &[usize], values: &[f32]| tensors.push((name.into(), shape.into(), values.into()));
    add(LOSS_CONSTANTS, &[3, 2], &[1.0, 0.0, 0.25, 0.5, 1.0, 0.0]);
    add(RULE_RATE, &[5, 5], &rate);
    add(INPUT_MEAN, &[3], &inputs[0]);
    add(INPUT_SCALE, &[3], &inputs[1]);
    add(INPUT_RELATIVE_SCALE, &[3], &inputs[2]);
    add(OUTPUT_MEAN, &[6], &outputs[0]);
    add(OUTPUT_SCALE, &[6], &outputs[1]);
    Written { bytes: export::to_bytes(&export).unwrap(), tensors, parameters }
}

fn loaded(view: View<'_>) -> Vec<f32> {
    let mut values = vec![f32::NAN; view.len()];
    view.copy_to(&mut values).unwrap();
    values
}

/// A bundle holds what [`written`] wrote.
fn agrees(bytes: &[u8], written: &Written) {
    let bundle = Bundle::parse(bytes).unwrap();
    assert_eq!((bundle.network(), bundle.rule()), (&network(), &rule()));
    let mut parameters = vec![f32::NAN; network().param_len()];
    bundle.load_parameters(&mut parameters).unwrap();
    assert_eq!(parameters, written.parameters);
    let expected = |name: &str| &written.tensors.iter().find(|tensor| tensor.0 == name).unwrap().2;
    assert_eq!(&bundle.numbers().flat_map(loaded).collect::<Vec<_>>(), expected(RULE_RATE));
    assert_eq!(&loaded(bundle.input_mean()), expected(INPUT_MEAN));
    assert_eq!(&loaded(bundle.input_scale()), expected(INPUT_SCALE));
    assert_eq!(&loaded(bundle.input_relative_scale()), expected(INPUT_RELATIVE_SCALE));
    assert_eq!(&loaded(bundle.output_mean()), expected(OUTPUT_MEAN));
    assert_eq!(&loaded(bundle.output_scale()), expected(OUTPUT_SCALE));
}

/// Predictions as `docs/bundle.md` defines them, in f64, one row at a time.
fn predict(bundle: &Bundle<'_>, x: &[f32], m: &[f32]) -> Vec<f64> {
    let network = bundle.network();
    let mut parameters = vec![0.0; network.param_len()];
    bundle.load_parameters(&mut parameters).unwrap();
    let (mean, scale, relative) = (bundle.input_mean(), bundle.input_scale(), bundle.input_relative_scale());
    let scaled = |i: usize, x: f32, from: f32, scale: View<'_>| f64::from(x - from) / f64::from(scale.get(i).unwrap());
    let plain = x.iter().enumerate().map(|(i, &x)| scaled(i, x, mean.get(i).unwrap(), scale));
    let presented: Vec<f64> = plain.chain((0..x.len()).map(|i| scaled(i, x[i], m[i], relative))).collect();

    let (mut outputs, mut features) = (Vec::new(), presented.clone());
    let mut z = presented;
    for layer in network.layers() {
        if layer.index == 0 && layer.place != sinew_models::layout::Place::Backbone {
            z = features.clone();
        }
        let parameters = &parameters[layer.offset..][..layer.param_len()];
        let (weight, bias) = parameters.split_at(layer.weight_len());
        let dense = weight.chunks(layer.inputs()).zip(bias).map(|(row, &bias)| {
            let sum = row.iter().zip(&z).fold(f64::from(bias), |sum, (&w, z)| sum + f64::from(w) * z);
            match layer.activation() {
                Activation::Identity => sum,
                Activation::Relu => sum.max(0.0),
                Activation::Tanh => sum.tanh(),
                Activation::Silu => sum / (1.0 + (-sum).exp()),
                Activation::Sigmoid => 1.0 / (1.0 + (-sum).exp()),
            }
        });
        z = dense.collect();
        let sinew_models::layout::Place::Head(index) = layer.place else {
            features = z.clone();
            continue;
        };
        let head = &network.heads[index];
        if layer.index + 1 < head.layers.len() {
            continue;
        }
        let sum: f64 = z.iter().map(|z| z.exp()).sum();
        for &z in &z {
            let (mean, scale) = (bundle.output_mean(), bundle.output_scale());
            let output = outputs.len();
            outputs.push(match head.loss {
                Loss::BinaryCrossEntropy => 1.0 / (1.0 + (-z).exp()),
                Loss::CrossEntropy => z.exp() / sum,
                _ => f64::from(mean.get(output).unwrap()) + f64::from(scale.get(output).unwrap()) * z,
            });
        }
    }
    outputs
}

/// Whether the script ran; it may be skipped where there is no Python that has what it needs.
fn ran(bundle: &Path, out: &Path) -> bool {
    let required = std::env::var("SINEW_REQUIRE_PYTHON").is_ok_and(|value| value == "1");
    let python = std::env::var("SINEW_PYTHON").unwrap_or_else(|_| "python3".into());
    let script = Path::new(FOLDER).join("python/bundle_roundtrip.py");
    let why = match Command::new(&python).args([&script, bundle, out]).output() {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => format!("there is no {python}"),
        Err(error) => panic!("{python}: {error}"),
        Ok(output) if output.status.success() => return true,
        Ok(output) if output.status.code() == Some(77) => String::from_utf8_lossy(&output.stdout).trim().into(),
        Ok(output) => panic!("{}", String::from_utf8_lossy(&output.stderr)),
    };
    assert!(!required, "SINEW_REQUIRE_PYTHON=1, but {why}");
    eprintln!("skipped: {why}");
    false
}

#[test]
fn python_reads_and_writes_bundles() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bundle.safetensors");
    let written = written();
    let support = [[0.5, -0.25, 1.0], [1.5, 0.25, 0.5], [0.25, 0.5, -1.0]];
    let inputs = [[0.1, 0.2, 0.3], [-1.0, 0.7, 2.0]];
    let tensors: serde_json::Map<String, Value> = written
        .tensors
        .iter()
        .map(|(name, shape, values)| {
            let bits: Vec<u32> = values.iter().map(|value| value.to_bits()).collect();
            (name.clone(), json!({ "shape": shape, "bits": bits }))
        })
        .collect();
    let sinew = Metadata { format: FORMAT, network: network(), rule: rule() };
    let expected =
        json!({ "tensors": tensors, "sinew": sinew, "about": about(), "inputs": inputs, "support": support });
    fs::write(&path, &written.bytes).unwrap();
    fs::write(folder.path().join("bundle.safetensors.json"), expected.to_string()).unwrap();
    if !ran(&path, folder.path()) {
        return;
    }

    for name in ["saved", "reordered", "f16", "bf16"] {
        match fs::read(folder.path().join(name).with_extension("safetensors")) {
            Ok(bytes) => agrees(&bytes, &written),
            Err(_) if name == "bf16" => eprintln!("bf16 is skipped: there is no ml_dtypes"),
            Err(error) => panic!("{name}: {error}"),
        }
    }

    let predictions: Value =
        serde_json::from_slice(&fs::read(folder.path().join("predictions.json")).unwrap()).unwrap();
    let bundle = Bundle::parse(&written.bytes).unwrap();
    let mean: Vec<f32> = (0..3).map(|i| support.iter().map(|row| row[i]).sum::<f32>() / 3.0).collect();
    let training = loaded(bundle.input_mean());
    for (name, m) in [("without_support", &training), ("with_support", &mean), ("f16", &mean)] {
        for (x, row) in inputs.iter().zip(predictions[name].as_array().unwrap()) {
            let expected = predict(&bundle, x, m);
            assert_eq!(row.as_array().unwrap().len(), expected.len());
            for (expected, got) in expected.iter().zip(row.as_array().unwrap()) {
                let error = (expected - got.as_f64().unwrap()).abs();
                assert!(error <= 1e-5 * (1.0 + expected.abs()), "{name}: {expected} {got}");
            }
        }
    }
}

#[test]
fn the_example_in_the_docs_is_real() {
    let page = fs::read_to_string(Path::new(FOLDER).join("../docs/bundle.md")).unwrap();
    let block = |index: usize| page.split("```json\n").nth(index).unwrap().split("```").next().unwrap();
    let example: Value = serde_json::from_str(block(1)).unwrap();
    let sinew = Metadata { format: FORMAT, network: network(), rule: rule() };
    assert_eq!(example, serde_json::to_value(sinew).unwrap());
    let example: Value = serde_json::from_str(block(2)).unwrap();
    assert_eq!(example, serde_json::to_value(about()).unwrap());
    for (name, shape, _) in written().tensors {
        let row = format!("| `{name}` | `{shape:?}` |");
        assert!(page.contains(&row), "expected {row} in the table of the example");
    }
}
