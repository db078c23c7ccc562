//! Networks for the rules, and every rule on one that suits it.

use sinew_models::bundle::RULE_FORGETTING;
use sinew_models::rule::{Rate, Rule, Scope};
use sinew_models::spec::{Activation, Head, Input, InputForm, Layer, Loss, Name, NetworkSpec, Shape, Window};

use crate::bundle::{Parts, several_heads};

const TANH: Activation = Activation::Tanh;
const SILU: Activation = Activation::Silu;
const IDENTITY: Activation = Activation::Identity;

/// A head of weight 1.
pub fn head(name: &str, layers: &[Layer], loss: Loss) -> Head {
    Head { name: Name::try_from(name).unwrap_or_default(), layers: layers.iter().copied().collect(), loss, weight: 1.0 }
}

/// A dense layer.
pub fn dense(outputs: usize, activation: Activation) -> Layer {
    Layer::Dense { outputs, activation }
}

/// A network that can be.
pub fn network(input: Input, backbone: &[Layer], heads: Vec<Head>) -> NetworkSpec {
    let network =
        NetworkSpec { input, backbone: backbone.iter().copied().collect(), heads: heads.into_iter().collect() };
    assert_eq!(network.check(), Ok(()));
    network
}

/// Contexts in the backbone and in a head.
pub fn contexts(form: InputForm) -> NetworkSpec {
    let backbone = [dense(6, TANH), Layer::Context { len: 3 }, dense(7, SILU)];
    let heads = vec![
        head("pull", &[Layer::Context { len: 2 }, dense(2, IDENTITY)], Loss::MeanSquared),
        head("kind", &[dense(3, IDENTITY)], Loss::CrossEntropy),
    ];
    network(Input::vector(3, form), &backbone, heads)
}

/// An image whose traces are so large that few rows make one unit of work.
pub fn camera() -> NetworkSpec {
    let convolution = |outputs| Layer::Convolution { outputs, window: Window::square(3, 1, 1), activation: SILU };
    let backbone = [
        convolution(2),
        convolution(2),
        Layer::LayerNorm { activation: SILU },
        Layer::MaxPool { window: Window::square(4, 4, 0) },
        Layer::Flatten,
    ];
    let heads = vec![head("kind", &[dense(3, IDENTITY)], Loss::CrossEntropy)];
    network(Input::image(Shape { height: 16, width: 16, channels: 1 }), &backbone, heads)
}

/// Five features, and heads of one dense layer each.
pub fn linear_heads(form: InputForm) -> NetworkSpec {
    let heads = vec![
        head("pull", &[dense(2, IDENTITY)], Loss::MeanSquared),
        head("slip", &[dense(1, IDENTITY)], Loss::BinaryCrossEntropy),
        head("kind", &[dense(3, IDENTITY)], Loss::CrossEntropy),
    ];
    network(Input::vector(3, form), &[dense(7, TANH), dense(5, SILU)], heads)
}

/// Six features, and so many classes.
pub fn classes(classes: usize) -> NetworkSpec {
    let heads = vec![head("kind", &[dense(classes, IDENTITY)], Loss::CrossEntropy)];
    network(Input::vector(3, InputForm::Plain), &[dense(8, TANH), dense(6, SILU)], heads)
}

/// Six features that are compared with one another.
pub fn similarity(form: InputForm) -> NetworkSpec {
    let heads = vec![head("alike", &[dense(1, IDENTITY)], Loss::BinaryCrossEntropy)];
    network(Input::vector(3, form), &[dense(8, TANH), dense(6, SILU)], heads)
}

/// Every rule, with every kind of rate, scope and network that it treats in another way.
pub fn every(seed: u64) -> Vec<Parts> {
    let gradient = |rate, scope, momentum| Rule::Gradient { steps: 3, rate, scope, momentum, rows: 0 };
    let several = || several_heads(InputForm::Plain);
    let linear = || linear_heads(InputForm::Plain);
    let (forms, alpha) = ([InputForm::Relative, InputForm::Both], 0.05);
    let mut all = vec![
        (several(), gradient(Rate::Constant, Scope::All, false)),
        (several_heads(forms[0]), gradient(Rate::PerLayerStep, Scope::Heads, true)),
        (several_heads(forms[1]), gradient(Rate::PerParameter, Scope::Layers([1, 3].into_iter().collect()), false)),
        (contexts(InputForm::Plain), gradient(Rate::PerParameter, Scope::Contexts, true)),
        (camera(), gradient(Rate::PerLayerStep, Scope::All, false)),
        (camera(), gradient(Rate::Constant, Scope::Heads, false)),
        (linear(), Rule::Ridge { recursive: false }),
        (linear_heads(forms[1]), Rule::Ridge { recursive: false }),
        (linear(), Rule::Ridge { recursive: true }),
        (linear(), Rule::Bayes),
        (classes(3), Rule::Prototype),
        (similarity(InputForm::Plain), Rule::Siamese { classes: 3 }),
        (several(), Rule::MetaLstm { steps: 3, hidden: 0, scope: Scope::All }),
        (several_heads(forms[1]), Rule::MetaLstm { steps: 2, hidden: 3, scope: Scope::Heads }),
    ];
    let forgets = all.len();
    all.push((linear(), Rule::Bayes));
    let mut parts: Vec<Parts> = all.into_iter().map(|(network, rule)| Parts::new(network, rule, alpha, seed)).collect();
    if let Some(parts) = parts.get_mut(forgets) {
        parts.tensor(RULE_FORGETTING)[0] = 0.95;
    }
    parts
}
