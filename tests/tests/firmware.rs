//! The bundles of `examples/firmware` are what the trainer's export writes, to the byte.
//!
//! With `SINEW_WRITE_BUNDLES=1` it writes them anew; then the bits in the firmware's `golden.rs` have to follow.

mod bundle;

use bundle::exported;
use sinew_models::networks;
use sinew_models::rule::{Rate, Rule, Scope};
use sinew_models::spec::{Activation, InputForm, Loss};
use sinew_tests::bundle::{Parts, gradient, several_heads};

/// A network of 8-32-1 units.
fn arm() -> Parts {
    let network = networks::mlp(8, InputForm::Plain, &[32], Activation::Tanh, "torque", 1, Loss::MeanSquared).unwrap();
    let rule = Rule::Gradient { steps: 5, rate: Rate::PerLayerStep, scope: Scope::All, momentum: false, rows: 0 };
    Parts::new(network, rule, 0.0625, 1)
}

/// Every activation, every loss, and a rate for each parameter.
fn all_kinds() -> Parts {
    Parts::new(several_heads(InputForm::Both), gradient(Rate::PerParameter, Scope::All), 0.0625, 2)
}

#[test]
fn bundles_are_what_is_exported() {
    for (name, parts) in [("arm", arm()), ("all_kinds", all_kinds())] {
        let file = format!("{}/../examples/firmware/bundles/{name}.safetensors", env!("CARGO_MANIFEST_DIR"));
        let bytes = exported(&parts);
        if std::env::var("SINEW_WRITE_BUNDLES").is_ok_and(|value| value == "1") {
            std::fs::write(&file, &bytes).unwrap();
        }
        assert!(std::fs::read(&file).unwrap() == bytes, "{file} is not what is exported: see SINEW_WRITE_BUNDLES");
    }
}
