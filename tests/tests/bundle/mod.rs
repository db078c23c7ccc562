//! Bundles to try: what goes into one, from a seed, and what it computes, in f64.

// Each contract uses what it needs.
#![allow(dead_code)]

use sinew_models::rule::{Rate, Rule, Scope};
use sinew_models::spec::{Activation, Head, InputForm, Layer, Loss, Name, NetworkSpec};
use sinew_tests::reference::{self, Dual};
use sinew_tests::sample::{self, Numbers};
use sinew_trainer::export::{self, About, Export};

/// What goes into a bundle.
pub struct Parts {
    pub network: NetworkSpec,
    pub rule: Rule,
    pub parameters: Vec<f32>,
    pub rate: Vec<f32>,
    /// Mean, scale, relative scale.
    pub inputs: [Vec<f32>; 3],
    /// Mean, scale.
    pub outputs: [Vec<f32>; 2],
}

impl Parts {
    /// Weights and scales from a seed; rates are from `alpha / 2` to `1.5 alpha`.
    pub fn new(network: NetworkSpec, rule: Rule, alpha: f64, seed: u64) -> Self {
        let mut numbers = Numbers(seed);
        let parameters = sample::single(&numbers.values(network.param_len(), 0.5));
        let mut about = |len: usize, middle: f64| -> Vec<f32> {
            numbers.values(len, 0.5).iter().map(|value| (middle * (1.0 + value)) as f32).collect()
        };
        let rate = about(rule.rate_len(&network), alpha);
        let inputs = [0.25, 0.75, 0.5].map(|middle| about(network.input.len, middle));
        let mut outputs = [0.5, 2.0].map(|middle| about(network.output_len(), middle));
        for (column, class) in classes(&network).enumerate() {
            if class {
                outputs[0][column] = 0.0;
                outputs[1][column] = 1.0;
            }
        }
        Self { network, rule, parameters, rate, inputs, outputs }
    }

    /// The bundle.
    pub fn bytes(&self) -> Vec<u8> {
        let export = Export {
            network: &self.network,
            rule: &self.rule,
            parameters: &self.parameters,
            numbers: &self.rate,
            input_mean: &self.inputs[0],
            input_scale: &self.inputs[1],
            input_relative_scale: &self.inputs[2],
            output_mean: &self.outputs[0],
            output_scale: &self.outputs[1],
            novelty: None,
            about: &About { version: "0.1.0".into(), ..About::default() },
        };
        export::to_bytes(&export).unwrap()
    }

    /// Input rows and targets that suit its losses, of `rows` samples.
    pub fn samples(&self, rows: usize, seed: u64) -> (Vec<f32>, Vec<f32>) {
        let mut numbers = Numbers(seed);
        let x = numbers.values(rows * self.network.input.len, 1.5);
        (sample::single(&x), sample::single(&sample::targets(&self.network, rows, &mut numbers)))
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

    /// The parameters after `steps` of plain gradient descent on the support rows `(x, y)`, in f64.
    pub fn adapted(&self, steps: usize, x: &[f32], y: &[f32]) -> Vec<f64> {
        let Rule::Gradient { rate, scope, steps: trained, .. } = &self.rule else { panic!("a gradient rule") };
        let rows = x.len() / self.network.input.len;
        let scaled: Vec<f64> = y
            .iter()
            .enumerate()
            .map(|(i, y)| {
                let column = i % self.network.output_len();
                (f64::from(*y) - f64::from(self.outputs[0][column])) / f64::from(self.outputs[1][column])
            })
            .collect();
        let presented = self.presented(x, x);
        let mut parameters: Vec<f64> = self.parameters.iter().map(|p| f64::from(*p)).collect();
        for step in 0..steps {
            let (_, gradient) = reference::gradient(&self.network, &parameters, &presented, &scaled, rows);
            for (index, layer) in self.network.layers().enumerate() {
                if !scope.includes(index, &layer) {
                    continue;
                }
                for p in layer.offset..layer.offset + layer.param_len() {
                    let alpha = match rate {
                        Rate::Constant => self.rate[0],
                        Rate::PerLayerStep => self.rate[step.min(trained - 1) * self.network.layer_count() + index],
                        Rate::PerParameter => self.rate[p],
                    };
                    parameters[p] -= f64::from(alpha) * gradient[p];
                }
            }
        }
        parameters
    }

    /// Predictions with these parameters, in the units of the bundle, in f64.
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

/// Of each output, whether its head has classes for targets.
fn classes(network: &NetworkSpec) -> impl Iterator<Item = bool> + '_ {
    network.heads.iter().flat_map(|head| (0..head.outputs()).map(|_| head.loss.is_classification()))
}

/// Three inputs, a backbone of two layers, and a head of one or two layers for every loss.
pub fn several_heads(form: InputForm) -> NetworkSpec {
    let dense = |(outputs, activation)| Layer::Dense { outputs, activation };
    let head = |name: &str, layers: &[(usize, Activation)], loss, weight| Head {
        name: Name::try_from(name).unwrap(),
        layers: layers.iter().copied().map(dense).collect(),
        loss,
        weight,
    };
    let identity = Activation::Identity;
    NetworkSpec {
        input: sinew_models::spec::Input::vector(3, form),
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
    Rule::Gradient { steps: 3, rate, scope, momentum: false }
}
