//! The scalar path gives the same bits on every target: here, and in `examples/firmware` on a microcontroller.
//!
//! With `SINEW_WRITE_GOLDEN=1` it writes the firmware's bundles anew and prints the bits for `golden.rs`.

#[path = "../../examples/firmware/src/golden.rs"]
mod golden;
#[path = "../../examples/firmware/src/scenario.rs"]
mod scenario;

use sinew_models::networks;
use sinew_models::rule::{Rate, Rule, Scope};
use sinew_models::spec::{Activation, Head, InputForm, Layer, Loss, Name, NetworkSpec};
use sinew_tests::sample::{Numbers, single};
use sinew_trainer::export::{self, About, Export};

const BUNDLES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/firmware/bundles");

/// The bytes of a bundle with weights and scales from a seed.
fn bundle(network: &NetworkSpec, rate: Rate, alpha: f64, seed: u64) -> Vec<u8> {
    let rule = Rule::Gradient { steps: 5, rate, scope: Scope::All };
    let mut numbers = Numbers(seed);
    let mut positive = |len: usize, scale: f64| -> Vec<f32> {
        numbers.values(len, scale).iter().map(|value| (scale + 0.5 * value) as f32).collect()
    };
    let inputs =
        [positive(network.input.len, 0.25), positive(network.input.len, 0.5), positive(network.input.len, 0.5)];
    let outputs: [Vec<f32>; 2] = [(); 2].map(|()| positive(network.output_len(), 0.5));
    let scaled = |column: usize| {
        let heads = network.heads.iter().flat_map(|head| (0..head.outputs()).map(|_| head.loss.is_classification()));
        !heads.collect::<Vec<_>>()[column]
    };
    let only_regression = |values: &[f32], otherwise: f32| -> Vec<f32> {
        values.iter().enumerate().map(|(column, value)| if scaled(column) { *value } else { otherwise }).collect()
    };
    let rate = positive(rule.rate_len(network), alpha);
    export::to_bytes(&Export {
        network,
        rule: &rule,
        parameters: &single(&numbers.values(network.param_len(), 0.5)),
        rate: &rate,
        input_mean: &inputs[0],
        input_scale: &inputs[1],
        input_relative_scale: &inputs[2],
        output_mean: &only_regression(&outputs[0], 0.0),
        output_scale: &only_regression(&outputs[1], 1.0),
        about: &About { world: "golden".into(), seed, version: "0.1.0".into(), ..About::default() },
    })
    .unwrap()
}

fn arm() -> Vec<u8> {
    let network = networks::mlp(8, InputForm::Plain, &[32], Activation::Tanh, "torque", 1, Loss::MeanSquared).unwrap();
    bundle(&network, Rate::PerLayerStep, 0.0625, 1)
}

/// Every activation and every loss, both presentations, and a rate for each parameter.
fn all_kinds() -> Vec<u8> {
    let dense = |(outputs, activation)| Layer::Dense { outputs, activation };
    let head = |name: &str, layers: &[(usize, Activation)], loss, weight| Head {
        name: Name::try_from(name).unwrap(),
        layers: layers.iter().copied().map(dense).collect(),
        loss,
        weight,
    };
    let mut network =
        networks::mlp(3, InputForm::Both, &[7], Activation::Tanh, "slip", 1, Loss::BinaryCrossEntropy).unwrap();
    network.backbone.extend([(6, Activation::Silu), (9, Activation::Relu), (5, Activation::Sigmoid)].map(dense));
    let (relu, identity) = (Activation::Relu, Activation::Identity);
    network.heads.extend([
        head("energy", &[(4, Activation::Silu), (2, identity)], Loss::Huber { delta: 0.5 }, 0.5),
        head("ground", &[(3, identity)], Loss::CrossEntropy, 0.75),
        head("speed", &[(4, relu), (1, Activation::Tanh)], Loss::MeanSquared, 1.25),
    ]);
    bundle(&network, Rate::PerParameter, 0.0625, 2)
}

fn check(name: &str, generated: &[u8], committed: &[u8], expected: &scenario::Bits) {
    let mut memory = vec![f32::NAN; scenario::MEMORY];
    if std::env::var("SINEW_WRITE_GOLDEN").is_ok_and(|value| value == "1") {
        std::fs::write(format!("{BUNDLES}/{name}.safetensors"), generated).unwrap();
        let bits = scenario::play(generated, &mut memory, |_| {}).unwrap();
        panic!("{name} is written; its bits are {bits:#010x?}");
    }
    assert!(generated == committed, "{name}.safetensors is not what is generated: see SINEW_WRITE_GOLDEN");
    let mut parts = Vec::new();
    let bits = scenario::play(committed, &mut memory, |part| parts.push(part)).unwrap();
    assert_eq!(bits, *expected, "{name}: {bits:#010x?}");
    assert!(bits.losses.map(f32::from_bits).is_sorted_by(|before, after| after < before), "{name} did not learn");
    assert_ne!(bits.prediction, bits.start);
    assert!(parts.ends_with(&["adapt", "", "predict", "", "reset"]));
}

#[test]
fn an_arm_gives_these_bits() {
    check("arm", &arm(), scenario::ARM, &golden::ARM);
}

#[test]
fn every_activation_and_loss_gives_these_bits() {
    check("all_kinds", &all_kinds(), scenario::ALL_KINDS, &golden::ALL_KINDS);
}
