//! The scalar path gives the same bits on every target: here, and in `examples/firmware` on a microcontroller.
//!
//! With `SINEW_WRITE_GOLDEN=1` it writes the firmware's bundles anew and prints the bits for `golden.rs`.

#[path = "../../examples/firmware/src/golden.rs"]
mod golden;
#[path = "../../examples/firmware/src/scenario.rs"]
mod scenario;

mod bundle;

use bundle::{Parts, gradient, several_heads};
use sinew_models::networks;
use sinew_models::rule::{Rate, Rule, Scope};
use sinew_models::spec::{Activation, InputForm, Loss};

const BUNDLES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/firmware/bundles");

fn arm() -> Parts {
    let network = networks::mlp(8, InputForm::Plain, &[32], Activation::Tanh, "torque", 1, Loss::MeanSquared).unwrap();
    let rule = Rule::Gradient { steps: 5, rate: Rate::PerLayerStep, scope: Scope::All };
    Parts::new(network, rule, 0.0625, 1)
}

fn all_kinds() -> Parts {
    Parts::new(several_heads(InputForm::Both), gradient(Rate::PerParameter, Scope::All), 0.0625, 2)
}

fn check(name: &str, parts: &Parts, committed: &[u8], expected: &scenario::Bits) {
    let generated = parts.bytes();
    let mut memory = vec![f32::NAN; scenario::MEMORY];
    if std::env::var("SINEW_WRITE_GOLDEN").is_ok_and(|value| value == "1") {
        std::fs::write(format!("{BUNDLES}/{name}.safetensors"), &generated).unwrap();
        let bits = scenario::play(&generated, &mut memory, |_| {}).unwrap();
        panic!("{name} is written; its bits are {bits:#010x?}");
    }
    assert!(generated == committed, "{name}.safetensors is not what is generated: see SINEW_WRITE_GOLDEN");
    let mut order = Vec::new();
    let bits = scenario::play(committed, &mut memory, |part| order.push(part)).unwrap();
    assert_eq!(bits, *expected, "{name}: {bits:#010x?}");
    assert!(bits.losses.map(f32::from_bits).is_sorted_by(|before, after| after < before), "{name} did not learn");
    assert_ne!(bits.prediction, bits.start);
    assert!(order.ends_with(&["adapt", "", "predict", "", "reset"]));
}

#[test]
fn an_arm_gives_these_bits() {
    check("arm", &arm(), scenario::ARM, &golden::ARM);
}

#[test]
fn every_activation_and_loss_gives_these_bits() {
    check("all_kinds", &all_kinds(), scenario::ALL_KINDS, &golden::ALL_KINDS);
}
