//! Bundles to try, as the trainer exports them.

use sinew_tests::bundle::Parts;
use sinew_trainer::export::{self, About, Export};

/// The bundle that the trainer makes of these parts.
pub fn exported(parts: &Parts) -> Vec<u8> {
    let export = Export {
        network: &parts.network,
        rule: &parts.rule,
        parameters: &parts.parameters,
        numbers: &parts.numbers,
        input_mean: &parts.inputs[0],
        input_scale: &parts.inputs[1],
        input_relative_scale: &parts.inputs[2],
        output_mean: &parts.outputs[0],
        output_scale: &parts.outputs[1],
        novelty: parts.novelty,
        about: &About { version: "0.1.0".into(), ..About::default() },
    };
    export::to_bytes(&export).unwrap()
}
