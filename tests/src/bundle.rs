//! Bundles to try, without the trainer: what goes into one, from a seed, the bytes of the file, and what it computes, in f64.

use serde_json::{Map, Value, json};
use sinew_models::bundle::{
    FORMAT, INPUT_MEAN, INPUT_RELATIVE_SCALE, INPUT_SCALE, LOSS_CONSTANTS, METADATA_KEY, Metadata, OUTPUT_MEAN,
    OUTPUT_SCALE, RULE_DISTANCE, RULE_FORGETTING, RULE_GATES, RULE_LOGIT, RULE_MOMENTUM, RULE_NOISE, RULE_PRECISION,
    RULE_RATE, RULE_RIDGE, SUPPORT_NOVELTY,
};
use sinew_models::rule::{Rate, Rule, RuleTensor, Scope};
use sinew_models::spec::{Activation, Head, Input, InputForm, Layer, Loss, Name, NetworkSpec};

use crate::reference::{self, Dual};
use crate::sample::{self, Numbers};

/// What goes into a bundle.
#[derive(Clone, Debug)]
pub struct Parts {
    /// The network.
    pub network: NetworkSpec,
    /// How it adapts.
    pub rule: Rule,
    /// Weights and biases, in the order of [`NetworkSpec::slots`].
    pub parameters: Vec<f32>,
    /// The numbers of the rule, in the order of [`Rule::tensors`].
    pub numbers: Vec<f32>,
    /// Mean, scale, relative scale.
    pub inputs: [Vec<f32>; 3],
    /// Mean, scale.
    pub outputs: [Vec<f32>; 2],
    /// Median and limit of novelty.
    pub novelty: Option<[f32; 2]>,
}

/// The values of one tensor of a rule, from a seed; rates are from `alpha / 2` to `1.5 alpha`.
fn rule_values(tensor: &RuleTensor, alpha: f64, numbers: &mut Numbers) -> Vec<f64> {
    let len = tensor.len();
    let mut about =
        |middle: f64| -> Vec<f64> { numbers.values(len, 0.5).iter().map(|value| middle * (1.0 + value)).collect() };
    let [_, gate_bias] = RULE_GATES;
    match tensor.name {
        RULE_RATE => about(alpha),
        RULE_MOMENTUM => vec![0.75],
        RULE_RIDGE | RULE_DISTANCE => about(0.5),
        // Of each output a factor and an addend.
        RULE_LOGIT => about(1.0).iter().enumerate().map(|(i, v)| if i % 2 == 0 { 2.0 * v } else { v - 1.0 }).collect(),
        RULE_FORGETTING => vec![1.0],
        // Upper triangular; what is below the diagonal is not read.
        RULE_PRECISION => {
            let columns = tensor.shape[1];
            let values = about(1.0);
            let place = |i: usize| (i / columns, i % columns);
            let value = |(i, v): (usize, &f64)| match place(i) {
                (row, column) if row == column => *v,
                (row, column) if row < column => 0.5 * (v - 1.0),
                _ => 1e6,
            };
            values.iter().enumerate().map(value).collect()
        }
        RULE_NOISE => about(0.04),
        // Near to gradient descent with a rate of 0.1: the gate for θ almost open, the one for its gradient almost shut.
        name if name == gate_bias => vec![6.0, -2.25],
        _ => numbers.values(len, 0.5),
    }
}

impl Parts {
    /// Weights, numbers and scales from a seed; rates are from `alpha / 2` to `1.5 alpha`.
    pub fn new(network: NetworkSpec, rule: Rule, alpha: f64, seed: u64) -> Self {
        let mut numbers = Numbers(seed);
        let parameters = sample::single(&numbers.values(network.param_len(), 0.5));
        let of_rule: Vec<f64> =
            rule.tensors(&network).iter().flat_map(|tensor| rule_values(tensor, alpha, &mut numbers)).collect();
        let mut about = |len: usize, middle: f64| -> Vec<f32> {
            numbers.values(len, 0.5).iter().map(|value| (middle * (1.0 + value)) as f32).collect()
        };
        let inputs = [0.25, 0.75, 0.5].map(|middle| about(network.input.len, middle));
        let mut outputs = [0.5, 2.0].map(|middle| about(rule.output_len(&network), middle));
        let similar = matches!(rule, Rule::Siamese { .. });
        let mut classes: Vec<bool> = classes(&network).collect();
        classes.resize(rule.output_len(&network), false);
        for (column, class) in classes.into_iter().enumerate() {
            if class || similar {
                outputs[0][column] = 0.0;
                outputs[1][column] = 1.0;
            }
        }
        Self { network, rule, parameters, numbers: sample::single(&of_rule), inputs, outputs, novelty: None }
    }

    /// The numbers of one tensor of the rule, by its name.
    pub fn tensor(&mut self, name: &str) -> &mut [f32] {
        let mut begin = 0;
        for tensor in self.rule.tensors(&self.network) {
            if tensor.name == name {
                return &mut self.numbers[begin..][..tensor.len()];
            }
            begin += tensor.len();
        }
        panic!("the rule has no tensor {name}")
    }

    /// The bundle, as `docs/bundle.md` specifies it.
    pub fn bytes(&self) -> Vec<u8> {
        let metadata = Metadata { format: FORMAT, network: self.network.clone(), rule: self.rule.clone() };
        let metadata = serde_json::to_string(&metadata).unwrap();
        let constants = self.network.heads.iter().flat_map(|head| {
            let delta = if let Loss::Huber { delta } = head.loss { delta } else { 0.0 };
            [head.weight, delta]
        });
        let constants: Vec<f32> = constants.collect();
        let (inputs, outputs) = (self.network.input.len, self.rule.output_len(&self.network));
        let mut file = File { header: Map::new(), data: Vec::new() };
        file.header.insert("__metadata__".into(), json!({ METADATA_KEY: metadata }));
        for slot in self.network.slots() {
            file.tensor(&slot.name(), &slot.shape(), &self.parameters[slot.offset()..][..slot.len()]);
        }
        let mut begin = 0;
        for tensor in self.rule.tensors(&self.network) {
            file.tensor(tensor.name, &tensor.shape, &self.numbers[begin..][..tensor.len()]);
            begin += tensor.len();
        }
        assert_eq!(begin, self.numbers.len());
        file.tensor(LOSS_CONSTANTS, &[self.network.heads.len(), 2], &constants);
        for (name, values) in [INPUT_MEAN, INPUT_SCALE, INPUT_RELATIVE_SCALE].into_iter().zip(&self.inputs) {
            file.tensor(name, &[inputs], values);
        }
        for (name, values) in [OUTPUT_MEAN, OUTPUT_SCALE].into_iter().zip(&self.outputs) {
            file.tensor(name, &[outputs], values);
        }
        if let Some(novelty) = &self.novelty {
            file.tensor(SUPPORT_NOVELTY, &[2], novelty);
        }
        file.bytes()
    }

    /// Input rows and targets that suit its losses, of `rows` samples; for similarities, classes in turn.
    pub fn samples(&self, rows: usize, seed: u64) -> (Vec<f32>, Vec<f32>) {
        let mut numbers = Numbers(seed);
        let x = sample::single(&numbers.values(rows * self.network.input.len, 1.5));
        let y = match self.rule {
            Rule::Siamese { classes } => {
                let one = |row: usize| (0..classes).map(move |class| f64::from(u8::from(class == row % classes)));
                (0..rows).flat_map(one).collect()
            }
            _ => sample::targets(&self.network, rows, &mut numbers),
        };
        (x, sample::single(&y))
    }

    /// Input rows as the first layer sees them, where `support` are the rows of the task.
    pub fn presented(&self, x: &[f32], support: &[f32]) -> Vec<f64> {
        let len = self.network.input.len;
        let mean = |column: usize| -> f64 {
            let rows = support.chunks(len).map(|row| f64::from(row[column]));
            rows.sum::<f64>() / (support.len() / len) as f64
        };
        let [training_mean, scale, relative_scale] = &self.inputs;
        let plain = |i: usize, x: &f32| (f64::from(*x) - f64::from(training_mean[i])) / f64::from(scale[i]);
        let relative = |i: usize, x: &f32| {
            let m = if support.is_empty() { f64::from(training_mean[i]) } else { mean(i) };
            (f64::from(*x) - m) / f64::from(relative_scale[i])
        };
        let mut all = Vec::new();
        for row in x.chunks(len) {
            if self.network.input.form != InputForm::Relative {
                all.extend(row.iter().enumerate().map(|(i, x)| plain(i, x)));
            }
            if self.network.input.form != InputForm::Plain {
                all.extend(row.iter().enumerate().map(|(i, x)| relative(i, x)));
            }
        }
        all
    }

    /// Targets as the network sees them.
    pub fn scaled(&self, y: &[f32]) -> Vec<f64> {
        let [mean, scale] = &self.outputs;
        let columns = mean.len();
        y.iter()
            .enumerate()
            .map(|(i, y)| (f64::from(*y) - f64::from(mean[i % columns])) / f64::from(scale[i % columns]))
            .collect()
    }

    /// The weights and biases of the bundle.
    pub fn start(&self) -> Vec<f64> {
        self.parameters.iter().map(|p| f64::from(*p)).collect()
    }

    /// The parameters after `steps` of gradient descent on the support rows `(x, y)`, with momentum if the rule has it.
    pub fn adapted(&self, steps: usize, x: &[f32], y: &[f32]) -> Vec<f64> {
        let Rule::Gradient { rate, scope, steps: trained, momentum, rows: reference } = &self.rule else {
            panic!("a gradient rule")
        };
        let rows = x.len() / self.network.input.len;
        let scale = if *reference == 0 { 1.0 } else { rows as f64 / *reference as f64 };
        let (presented, scaled) = (self.presented(x, x), self.scaled(y));
        let factor = if *momentum { f64::from(self.numbers[self.numbers.len() - 1]) } else { 0.0 };
        let mut parameters = self.start();
        let mut velocity = vec![0.0; parameters.len()];
        for step in 0..steps {
            let (_, gradient) = reference::gradient(&self.network, &parameters, &presented, &scaled, rows);
            for (index, layer) in self.network.layers().enumerate() {
                if !scope.includes(index, &layer) {
                    continue;
                }
                for p in layer.offset..layer.offset + layer.param_len() {
                    let alpha = match rate {
                        Rate::Constant => self.numbers[0],
                        Rate::PerLayerStep => self.numbers[step.min(trained - 1) * self.network.layer_count() + index],
                        Rate::PerParameter => self.numbers[p],
                    };
                    velocity[p] = factor * velocity[p] + gradient[p];
                    parameters[p] -= scale * f64::from(alpha) * velocity[p];
                }
            }
        }
        parameters
    }

    /// The loss of these parameters on the rows `(x, y)` of a task whose support inputs are `support`.
    pub fn loss(&self, parameters: &[f64], (x, y): (&[f32], &[f32]), support: &[f32]) -> f64 {
        let duals: Vec<Dual> = parameters.iter().map(|p| Dual::constant(*p)).collect();
        let rows = x.len() / self.network.input.len;
        reference::loss(&self.network, &duals, &self.presented(x, support), &self.scaled(y), rows).value
    }

    /// What the heads see of each row.
    pub fn features(&self, x: &[f32], support: &[f32]) -> Vec<Vec<f64>> {
        let presented = self.presented(x, support);
        let rows = presented.chunks(self.network.input.presented_len());
        rows.map(|row| reference::features(&self.network, &self.start(), row)).collect()
    }

    /// Predictions with these parameters, in the units of the bundle.
    pub fn predictions(&self, parameters: &[f64], x: &[f32], support: &[f32]) -> Vec<f64> {
        let duals: Vec<Dual> = parameters.iter().map(|p| Dual::constant(*p)).collect();
        let mut all = Vec::new();
        for row in self.presented(x, support).chunks(self.network.input.presented_len()) {
            let z: Vec<f64> = reference::outputs(&self.network, &duals, row).iter().map(|z| z.value).collect();
            let mut column = 0;
            for head in &self.network.heads {
                let z = &z[column..][..head.outputs()];
                let mass: f64 = z.iter().map(|z| z.exp()).sum();
                all.extend(z.iter().enumerate().map(|(i, z)| match head.loss {
                    Loss::BinaryCrossEntropy => 1.0 / (1.0 + (-z).exp()),
                    Loss::CrossEntropy => z.exp() / mass,
                    Loss::MeanSquared | Loss::Huber { .. } => {
                        f64::from(self.outputs[0][column + i]) + f64::from(self.outputs[1][column + i]) * z
                    }
                }));
                column += head.outputs();
            }
        }
        all
    }
}

/// A safetensors file in the making.
struct File {
    header: Map<String, Value>,
    data: Vec<u8>,
}

impl File {
    fn tensor(&mut self, name: &str, shape: &[usize], values: &[f32]) {
        assert_eq!(shape.iter().product::<usize>(), values.len(), "{name}");
        let begin = self.data.len();
        self.data.extend(values.iter().flat_map(|value| value.to_le_bytes()));
        let entry = json!({ "dtype": "F32", "shape": shape, "data_offsets": [begin, self.data.len()] });
        self.header.insert(name.into(), entry);
    }

    fn bytes(self) -> Vec<u8> {
        let mut header = serde_json::to_string(&self.header).unwrap();
        // Data begin at a multiple of 8 bytes.
        let padded = header.len().next_multiple_of(8);
        header.extend(std::iter::repeat_n(' ', padded - header.len()));
        [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), &self.data].concat()
    }
}

/// Of each output, whether its head has classes for targets.
fn classes(network: &NetworkSpec) -> impl Iterator<Item = bool> + '_ {
    network.heads.iter().flat_map(|head| (0..head.outputs()).map(|_| head.loss.is_classification()))
}

/// Three inputs, a backbone of two layers, and a head of one or two layers for every loss.
pub fn several_heads(form: InputForm) -> NetworkSpec {
    let dense = |(outputs, activation)| Layer::Dense { outputs, activation };
    let head = |name: &str, layers: &[(usize, Activation)], loss, weight| Head {
        name: Name::try_from(name).unwrap_or_default(),
        layers: layers.iter().copied().map(dense).collect(),
        loss,
        weight,
    };
    let identity = Activation::Identity;
    NetworkSpec {
        input: Input::vector(3, form),
        backbone: [(7, Activation::Tanh), (9, Activation::Silu)].into_iter().map(dense).collect(),
        heads: [
            head("speed", &[(4, Activation::Relu), (1, Activation::Tanh)], Loss::MeanSquared, 1.25),
            head("slip", &[(1, identity)], Loss::BinaryCrossEntropy, 1.0),
            head("energy", &[(4, Activation::Sigmoid), (2, identity)], Loss::Huber { delta: 0.5 }, 0.5),
            head("ground", &[(3, identity)], Loss::CrossEntropy, 0.75),
        ]
        .into_iter()
        .collect(),
    }
}

/// Gradient descent in 3 steps.
pub fn gradient(rate: Rate, scope: Scope) -> Rule {
    Rule::Gradient { steps: 3, rate, scope, momentum: false, rows: 0 }
}
