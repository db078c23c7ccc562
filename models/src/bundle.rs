//! What a bundle says about itself, and the names of its tensors.
//!
//! A bundle is one `.safetensors` file. Structure is JSON, under the key `sinew` of its `__metadata__`
//! ([`Metadata`]); every number is a tensor. What only people read (columns, units, provenance, scores) is JSON under
//! `sinew.about`, which a device skips. `docs/bundle.md` specifies it all.

use serde::{Deserialize, Serialize};

use crate::rule::Rule;
use crate::spec::NetworkSpec;

/// The version of the format that this crate reads and writes.
pub const FORMAT: u32 = 1;
/// Most bytes of the JSON under [`METADATA_KEY`], unescaped.
pub const MAX_METADATA: usize = 4096;
/// The key of [`Metadata`].
pub const METADATA_KEY: &str = "sinew";
/// The key of what only people read.
pub const ABOUT_KEY: &str = "sinew.about";

/// `[input.len]`: mean of the training inputs; m where there is no support yet.
pub const INPUT_MEAN: &str = "input.mean";
/// `[input.len]`: the plain presentation is (x − mean) / scale.
pub const INPUT_SCALE: &str = "input.scale";
/// `[input.len]`: the relative presentation is (x − m) / relative_scale.
pub const INPUT_RELATIVE_SCALE: &str = "input.relative_scale";
/// `[output_len]`: a regression head's prediction is mean + scale · z; 0 for classification.
pub const OUTPUT_MEAN: &str = "output.mean";
/// `[output_len]`: see [`OUTPUT_MEAN`]; 1 for classification.
pub const OUTPUT_SCALE: &str = "output.scale";
/// `[heads, 2]`: of each head its λ and its Huber δ (0 where the loss has none).
pub const LOSS_CONSTANTS: &str = "loss.constants";
/// The inner rates of [`Rule::Gradient`]; its shape depends on [`crate::rule::Rate`].
pub const RULE_RATE: &str = "rule.rate";
/// `[1]`: μ of [`Rule::Gradient`] with momentum, from 0 to below 1.
pub const RULE_MOMENTUM: &str = "rule.momentum";
/// `[1]`: λ of [`Rule::Ridge`], above 0.
pub const RULE_RIDGE: &str = "rule.ridge";
/// `[outputs, 2]`: of each output of [`Rule::Ridge`] the factor a and the addend b that make its output a z + b of the regression's z;
/// 1 and 0 for regression.
pub const RULE_LOGIT: &str = "rule.logit";
/// `[1]`: γ of [`Rule::Bayes`] and of the recursive [`Rule::Ridge`], above 0 and at most 1: what one more sample leaves of the weight of
/// those before it.
pub const RULE_FORGETTING: &str = "rule.forgetting";
/// `[features + 1, features + 1]`: the upper triangular factor R of the prior's precision RᵀR of [`Rule::Bayes`], the bias last; its
/// diagonal is above 0, what is below the diagonal is not read.
pub const RULE_PRECISION: &str = "rule.precision";
/// `[outputs]`: the variance of the noise of [`Rule::Bayes`], in squares of the scaled outputs, above 0.
pub const RULE_NOISE: &str = "rule.noise";
/// `[1]`: what [`Rule::Prototype`] multiplies squared distances with, above 0.
pub const RULE_DISTANCE: &str = "rule.distance";
/// `[4 hidden, 4]`, `[4 hidden, hidden]`, `[4 hidden]`: the LSTM of [`Rule::MetaLstm`], gates in PyTorch's order (input, forget, cell,
/// output); absent where there are no hidden units.
pub const RULE_LSTM: [&str; 3] = ["rule.lstm.weight_ih", "rule.lstm.weight_hh", "rule.lstm.bias"];
/// `[2, seen + 2]`, `[2]`: the gates of [`Rule::MetaLstm`], forget then input, over what they see (the hidden units, or four values of
/// loss and gradient), θ and the gate before.
pub const RULE_GATES: [&str; 2] = ["rule.gates.weight", "rule.gates.bias"];
/// `[2]`, optional: the median and the 99th percentile, over training tasks, of the mean square of the plain presentation of their
/// support inputs.
pub const SUPPORT_NOVELTY: &str = "support.novelty";

/// What a device must know of a bundle besides its tensors.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Metadata {
    /// [`FORMAT`].
    pub format: u32,
    /// The network.
    pub network: NetworkSpec,
    /// How it adapts.
    pub rule: Rule,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::networks;
    use crate::rule::{Rate, Scope};
    use crate::spec::*;

    #[test]
    fn the_largest_metadata_fits() {
        let window = Window { size: [255; 2], stride: [255; 2], padding: [255; 2] };
        let layer = Layer::Convolution { outputs: MAX_UNITS, window, activation: Activation::Identity };
        let head = Head {
            name: Name::try_from("a_name_of_24_characters_").unwrap(),
            layers: core::iter::repeat_n(layer, MAX_HEAD_LAYERS).collect(),
            loss: Loss::BinaryCrossEntropy,
            weight: 1.0,
        };
        let network = NetworkSpec {
            input: Input {
                len: MAX_VALUES,
                form: InputForm::Relative,
                image: Some(Shape { height: 4096, width: 4096, channels: 4096 }),
            },
            backbone: core::iter::repeat_n(layer, MAX_BACKBONE).collect(),
            heads: core::iter::repeat_n(head, MAX_HEADS).collect(),
        };
        let scope = Scope::Layers((0..MAX_LAYERS as u8).collect());
        let rule = Rule::Gradient { steps: 1000, rate: Rate::PerLayerStep, scope, momentum: true, rows: 0 };
        let text = serde_json::to_string(&Metadata { format: FORMAT, network, rule }).unwrap();
        assert!(text.len() <= MAX_METADATA, "{} bytes", text.len());
    }

    #[test]
    fn unknown_fields_are_left_to_later_versions() {
        let network = networks::mlp(1, InputForm::Plain, &[4], Activation::Relu, "y", 1, Loss::MeanSquared).unwrap();
        let rule = Rule::Gradient { steps: 1, rate: Rate::Constant, scope: Scope::All, momentum: false, rows: 0 };
        let metadata = Metadata { format: FORMAT, network, rule };
        let mut text = serde_json::to_string(&metadata).unwrap();
        text.insert_str(1, r#""later":{"a":[1,2,"x"]},"#);
        assert_eq!(serde_json_core::from_str::<Metadata>(&text).unwrap().0, metadata);
    }
}
