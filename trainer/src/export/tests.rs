use sinew_models::bundle::RULE_RATE;
use sinew_models::rule::Rate;

use super::*;
use sinew_models::networks;
use sinew_models::rule::Scope;
use sinew_models::spec::{Activation, Head, InputForm, Layer, Name};

/// Owns what an [`Export`] borrows.
struct Parts {
    network: NetworkSpec,
    rule: Rule,
    parameters: Vec<f32>,
    rate: Vec<f32>,
    input: [Vec<f32>; 3],
    output: [Vec<f32>; 2],
    about: About,
}

impl Parts {
    fn export(&self) -> Export<'_> {
        Export {
            network: &self.network,
            rule: &self.rule,
            parameters: &self.parameters,
            numbers: &self.rate,
            input_mean: &self.input[0],
            input_scale: &self.input[1],
            input_relative_scale: &self.input[2],
            output_mean: &self.output[0],
            output_scale: &self.output[1],
            novelty: Some([0.9, 2.5]),
            about: &self.about,
        }
    }
}

fn parts(rate: Rate) -> Parts {
    let mut network =
        networks::mlp(3, InputForm::Both, &[5, 4], Activation::Silu, "slip", 1, Loss::BinaryCrossEntropy).unwrap();
    let layers = [
        Layer::Dense { outputs: 6, activation: Activation::Relu },
        Layer::Dense { outputs: 2, activation: Activation::Identity },
    ];
    network
        .heads
        .push(Head {
            name: Name::try_from("energy").unwrap(),
            layers: layers.into_iter().collect(),
            loss: Loss::Huber { delta: 0.3 },
            weight: 0.7,
        })
        .unwrap();
    let rule = Rule::Gradient { steps: 3, rate, scope: Scope::Heads, momentum: false, rows: 0 };
    let values = |len: usize, from: f32| -> Vec<f32> { (0..len).map(|index| from + (index as f32).sin()).collect() };
    let column = |name: &str, unit: &str| Column { name: name.into(), unit: unit.into() };
    Parts {
        parameters: values(network.param_len(), -0.1),
        rate: values(rule.rate_len(&network), 0.01),
        input: [values(3, 0.0), values(3, 2.0), values(3, 3.0)],
        output: [values(3, 0.0), values(3, 4.0)],
        about: About {
            inputs: vec![column("force", "N"), column("width", "m"), column("angle", "°")],
            world: "grasp".into(),
            seed: u64::MAX,
            config: Some("[world]\nname = \"grasp\" # \\ ü\n".into()),
            scores: vec![Score { metric: "log_loss".into(), shots: 5, steps: 3, mean: 0.25, ci95: 0.125 }],
            ..About::default()
        },
        network,
        rule,
    }
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| value.to_bits()).collect()
}

#[test]
fn a_device_reads_what_was_written() {
    for rate in [Rate::Constant, Rate::PerLayerStep, Rate::PerParameter] {
        let parts = parts(rate);
        let bytes = to_bytes(&parts.export()).unwrap();
        let bundle = Bundle::parse(&bytes).unwrap();
        assert_eq!((bundle.network(), bundle.rule()), (&parts.network, &parts.rule));
        let mut loaded = vec![f32::NAN; parts.network.param_len()];
        bundle.load_parameters(&mut loaded).unwrap();
        assert_eq!(bits(&loaded), bits(&parts.parameters));
        let same = |view: sinew_runtime::View<'_>, values: &[f32]| {
            let mut loaded = vec![f32::NAN; view.len()];
            view.copy_to(&mut loaded).unwrap();
            assert_eq!(bits(&loaded), bits(values));
        };
        same(bundle.numbers().next().unwrap(), &parts.rate);
        let novelty = bundle.novelty().unwrap();
        assert_eq!([0, 1].map(|index| novelty.get(index)), [Some(0.9), Some(2.5)]);
        same(bundle.input_mean(), &parts.input[0]);
        same(bundle.input_scale(), &parts.input[1]);
        same(bundle.input_relative_scale(), &parts.input[2]);
        same(bundle.output_mean(), &parts.output[0]);
        same(bundle.output_scale(), &parts.output[1]);
        assert_eq!(about(&bytes).unwrap(), parts.about);
    }
}

#[test]
fn equal_exports_have_equal_bytes() {
    let first = to_bytes(&parts(Rate::PerLayerStep).export()).unwrap();
    for _ in 0..20 {
        assert!(to_bytes(&parts(Rate::PerLayerStep).export()).unwrap() == first);
    }
    let len = u64::from_le_bytes(first[..8].try_into().unwrap());
    assert_eq!(len % 8, 0);
    let header = std::str::from_utf8(&first[8..])
        .unwrap_or_else(|error| std::str::from_utf8(&first[8..][..error.valid_up_to()]).unwrap());
    assert!(header.starts_with(r#"{"__metadata__":{"sinew":"{\"format\":1,"#));
}

#[test]
fn the_container_is_one_that_the_crate_reads() {
    let parts = parts(Rate::PerLayerStep);
    let bytes = to_bytes(&parts.export()).unwrap();
    let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    assert_eq!(file.tensor(RULE_RATE).unwrap().shape(), [3, 5]);
    assert_eq!(file.tensor(LOSS_CONSTANTS).unwrap().shape(), [2, 2]);
    for slot in parts.network.slots() {
        assert_eq!(file.tensor(&slot.name()).unwrap().shape(), slot.shape().as_slice());
    }
    assert_eq!(file.len(), parts.network.slots().count() + 8);
}

#[test]
fn refuses_what_no_device_would_read() {
    let refused = |change: fn(&mut Parts)| {
        let mut parts = parts(Rate::PerLayerStep);
        change(&mut parts);
        to_bytes(&parts.export()).unwrap_err().to_string()
    };
    assert!(refused(|parts| parts.parameters.truncate(3)).starts_with("parameters: expected "));
    assert_eq!(refused(|parts| parts.rate.push(0.1)), "rule.rate: expected 15 values, got 16");
    assert_eq!(refused(|parts| parts.input[1].clear()), "input.scale: expected 3 values, got 0");
    assert_eq!(refused(|parts| parts.about.inputs.truncate(2)), "about.inputs: expected 3 values, got 2");
    assert!(refused(|parts| parts.parameters[7] = f32::NAN).contains("backbone.0.weight: value 7"));
    assert!(refused(|parts| parts.output[1][2] = 0.0).contains("output.scale: value 2"));
    assert!(refused(|parts| parts.network.heads[1].weight = f32::INFINITY).starts_with("the network: head 1"));
    assert!(
        refused(|parts| parts.rule =
            Rule::Gradient { steps: 0, rate: Rate::Constant, scope: Scope::All, momentum: false, rows: 0 })
        .starts_with("the rule: expected 1 to")
    );
}

#[test]
fn a_score_that_cannot_be_told_does_not_cost_the_bundle() {
    let mut parts = parts(Rate::Constant);
    parts.about.scores[0].mean = f64::NAN;
    let bytes = to_bytes(&parts.export()).unwrap();
    let score = &about(&bytes).unwrap().scores[0];
    assert!(score.mean.is_nan() && score.ci95 == 0.125);
}

#[test]
fn writes_all_or_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("grasp.safetensors");
    let mut parts = parts(Rate::Constant);
    write(&path, &parts.export()).unwrap();
    let first = std::fs::read(&path).unwrap();
    assert!(first == to_bytes(&parts.export()).unwrap());
    parts.rate[0] = f32::NAN;
    assert!(matches!(write(&path, &parts.export()), Err(ExportError::Refused(_))));
    assert!(std::fs::read(&path).unwrap() == first);
    parts.rate[0] = 0.5;
    write(&path, &parts.export()).unwrap();
    assert!(std::fs::read(&path).unwrap() != first);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    let nowhere = folder.path().join("no/such/folder.safetensors");
    assert!(matches!(write(&nowhere, &parts.export()), Err(ExportError::Io { .. })));
    #[cfg(unix)]
    {
        let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&path).unwrap().permissions());
        let plain = folder.path().join("plain");
        std::fs::write(&plain, "").unwrap();
        let expected = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&plain).unwrap().permissions());
        assert_eq!(mode, expected);
    }
}
