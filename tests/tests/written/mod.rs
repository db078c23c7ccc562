//! Bundles with every rule, written from the definitions in `sinew-models` alone, so that contracts which need no trainer have some.

// Each contract uses what it needs.
#![allow(dead_code)]

use sinew_models::bundle::{
    FORMAT, INPUT_MEAN, INPUT_RELATIVE_SCALE, INPUT_SCALE, LOSS_CONSTANTS, Metadata, OUTPUT_MEAN, OUTPUT_SCALE,
};
use sinew_models::networks;
use sinew_models::rule::{Domain, Rate, Rule, Scope};
use sinew_models::spec::{Activation, InputForm, Loss, NetworkSpec};
use sinew_tests::sample::Numbers;

pub const INPUTS: usize = 3;

/// A rule, and a network on which it works.
pub struct Case {
    pub name: &'static str,
    pub rule: Rule,
    pub network: NetworkSpec,
}

/// Every rule on a network of its kind, for these inputs.
pub fn cases(form: InputForm) -> Vec<Case> {
    let network =
        |outputs, loss| networks::mlp(INPUTS, form, &[17, 9], Activation::Tanh, "head", outputs, loss).unwrap();
    let gradient = |scope, momentum| Rule::Gradient { steps: 3, rate: Rate::Constant, scope, momentum, rows: 0 };
    let regression = || network(2, Loss::MeanSquared);
    let case = |name, rule, network| Case { name, rule, network };
    vec![
        case("gradient", gradient(Scope::All, false), regression()),
        case("gradient on the head, momentum", gradient(Scope::Heads, true), regression()),
        case("classes", gradient(Scope::All, false), network(3, Loss::CrossEntropy)),
        case("ridge", Rule::Ridge { recursive: false }, regression()),
        case("recursive ridge", Rule::Ridge { recursive: true }, regression()),
        case("bayes", Rule::Bayes, regression()),
        case("prototype", Rule::Prototype, network(3, Loss::CrossEntropy)),
        case("siamese", Rule::Siamese { classes: 3 }, network(1, Loss::BinaryCrossEntropy)),
        case("meta-lstm", Rule::MetaLstm { steps: 2, hidden: 4, scope: Scope::All }, regression()),
    ]
}

impl Case {
    /// Values of a target row.
    pub fn output_len(&self) -> usize {
        self.rule.output_len(&self.network)
    }

    /// Whether targets are classes.
    fn is_classification(&self) -> bool {
        self.network.heads[0].loss.is_classification()
    }

    /// The bundle, with numbers from a seed.
    pub fn bytes(&self, seed: u64) -> Vec<u8> {
        let mut numbers = Numbers(seed);
        let mut about = |len: usize, middle: f64, scale: f64| -> Vec<f32> {
            numbers.values(len, scale).iter().map(|value| (middle + value) as f32).collect()
        };
        let outputs = self.output_len();
        let mut tensors = Vec::new();
        let parameters = about(self.network.param_len(), 0.0, 0.5);
        for slot in self.network.slots() {
            tensors.push((
                slot.name().to_string(),
                slot.shape().to_vec(),
                parameters[slot.offset()..][..slot.len()].to_vec(),
            ));
        }
        for tensor in self.rule.tensors(&self.network) {
            let mut values = match tensor.domain {
                Domain::Finite => about(tensor.len(), 0.0, 0.05),
                Domain::Factor => about(tensor.len(), 0.0, 0.1),
                _ => about(tensor.len(), 0.5, 0.1),
            };
            if tensor.domain == Domain::Factor {
                let unknowns = tensor.shape[0];
                values.iter_mut().step_by(unknowns + 1).for_each(|diagonal| *diagonal += 1.0);
            }
            if tensor.domain == Domain::UpToOne {
                values.fill(0.98);
            }
            tensors.push((tensor.name.to_string(), tensor.shape.to_vec(), values));
        }
        let [mean, scale] = if self.is_classification() {
            [vec![0.0; outputs], vec![1.0; outputs]]
        } else {
            [about(outputs, 0.5, 0.3), about(outputs, 1.5, 0.3)]
        };
        tensors.extend([
            (LOSS_CONSTANTS.to_string(), vec![1, 2], vec![1.0, 0.0]),
            (INPUT_MEAN.to_string(), vec![INPUTS], about(INPUTS, 0.2, 0.3)),
            (INPUT_SCALE.to_string(), vec![INPUTS], about(INPUTS, 1.0, 0.3)),
            (INPUT_RELATIVE_SCALE.to_string(), vec![INPUTS], about(INPUTS, 0.8, 0.3)),
            (OUTPUT_MEAN.to_string(), vec![outputs], mean),
            (OUTPUT_SCALE.to_string(), vec![outputs], scale),
        ]);
        let metadata = Metadata { format: FORMAT, network: self.network.clone(), rule: self.rule.clone() };
        let metadata = serde_json::to_string(&serde_json::to_string(&metadata).unwrap()).unwrap();
        let mut entries = vec![format!(r#""__metadata__":{{"sinew":{metadata}}}"#)];
        let mut data: Vec<u8> = Vec::new();
        for (name, shape, values) in tensors {
            let begin = data.len();
            data.extend(values.iter().flat_map(|value| value.to_le_bytes()));
            let end = data.len();
            entries.push(format!(r#"{name:?}:{{"dtype":"F32","shape":{shape:?},"data_offsets":[{begin},{end}]}}"#));
        }
        let header = format!("{{{}}}", entries.join(","));
        [&(header.len() as u64).to_le_bytes(), header.as_bytes(), &data].concat()
    }

    /// Input rows and targets of `rows` samples.
    pub fn samples(&self, rows: usize, seed: u64) -> (Vec<f32>, Vec<f32>) {
        let mut numbers = Numbers(seed);
        let x = numbers.values(rows * INPUTS, 1.5).iter().map(|x| *x as f32).collect();
        let outputs = self.output_len();
        let mut y: Vec<f32> = numbers.values(rows * outputs, 1.0).iter().map(|y| *y as f32).collect();
        if self.is_classification() {
            for (row, y) in y.chunks_mut(outputs).enumerate() {
                y.fill(0.0);
                y[row % outputs] = 1.0;
            }
        }
        (x, y)
    }
}
