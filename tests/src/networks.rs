//! Small networks to try: together they have every kind of layer, and every way in which layers meet.

use crate::sample;
use sinew_models::spec::{Activation, Head, Input, InputForm, Layer, Loss, Name, NetworkSpec, Shape, Window};

const IDENTITY: Activation = Activation::Identity;
const RELU: Activation = Activation::Relu;
const SILU: Activation = Activation::Silu;

const fn dense(outputs: usize, activation: Activation) -> Layer {
    Layer::Dense { outputs, activation }
}

const fn convolution(outputs: usize, size: u8, activation: Activation) -> Layer {
    Layer::Convolution { outputs, window: Window::square(size, 1, size / 2), activation }
}

const HALVED: Window = Window::square(2, 2, 0);

/// All of them, by what is special about each.
///
/// # Panics
/// Never: there are such networks.
pub fn all() -> Vec<(&'static str, NetworkSpec)> {
    let two = [(3, None, Loss::CrossEntropy), (2, Some((4, RELU)), Loss::MeanSquared)];
    let image = |height, width, channels| Input::image(Shape { height, width, channels });
    let head = || vec![dense(3, IDENTITY)];
    let flat = || vec![Layer::Flatten, dense(3, IDENTITY)];
    vec![
        ("rectified", sample::network(5, &[(9, Activation::Tanh), (6, RELU)], &[(3, None, Loss::MeanSquared)])),
        ("curved, two heads", sample::network(4, &[(7, SILU), (5, Activation::Sigmoid)], &two)),
        ("heads alone", sample::network(4, &[], &two)),
        (
            "around the input",
            built(
                Input::vector(6, InputForm::Plain),
                &[dense(6, RELU), Layer::Residual { layers: 1, activation: RELU }, dense(5, RELU)],
                vec![
                    head(),
                    vec![
                        Layer::LayerNorm { activation: RELU },
                        Layer::Residual { layers: 1, activation: RELU },
                        dense(2, IDENTITY),
                    ],
                ],
            ),
        ),
        (
            "convolutions and pools",
            built(
                image(8, 4, 2),
                &[
                    convolution(3, 3, RELU),
                    Layer::MaxPool { window: HALVED },
                    convolution(4, 3, SILU),
                    Layer::AveragePool { window: HALVED },
                    Layer::Flatten,
                ],
                vec![head()],
            ),
        ),
        (
            "pools first",
            built(image(4, 8, 2), &[Layer::MaxPool { window: HALVED }, Layer::Flatten, dense(5, RELU)], vec![head()]),
        ),
        (
            "norms, a residual and a context",
            built(
                image(4, 4, 3),
                &[
                    convolution(3, 3, RELU),
                    Layer::LayerNorm { activation: RELU },
                    convolution(3, 1, IDENTITY),
                    Layer::Residual { layers: 3, activation: SILU },
                    Layer::GlobalAveragePool,
                    Layer::Context { len: 2 },
                    dense(4, Activation::Tanh),
                ],
                vec![head()],
            ),
        ),
        (
            "experts in the backbone and in the heads",
            built(
                Input::vector(4, InputForm::Plain),
                &[
                    // Two experts of 3 and the logits of two gates.
                    dense(2 * 3 + 2 * 2, IDENTITY),
                    Layer::Mixture { experts: 2, gates: 2, first: 0, outputs: 2, activation: SILU },
                    dense(3 * 2 + 2 * 3, IDENTITY),
                ],
                [0, 1]
                    .into_iter()
                    .zip([RELU, Activation::Tanh])
                    .map(|(first, activation)| {
                        let mixture = Layer::Mixture { experts: 3, gates: 2, first, outputs: 1, activation };
                        vec![mixture, dense(4, RELU), dense(3, IDENTITY)]
                    })
                    .collect(),
            ),
        ),
        (
            "features that are images",
            built(
                image(3, 4, 2),
                &[
                    Layer::Depthwise { window: Window::square(3, 1, 1), activation: RELU },
                    Layer::Residual { layers: 1, activation: IDENTITY },
                    convolution(3, 1, RELU),
                ],
                vec![flat(), vec![Layer::GlobalAveragePool, dense(2, IDENTITY)]],
            ),
        ),
    ]
}

fn built(input: Input, backbone: &[Layer], heads: Vec<Vec<Layer>>) -> NetworkSpec {
    let losses = [Loss::CrossEntropy, Loss::MeanSquared].into_iter().cycle();
    let head = |(number, (layers, loss)): (usize, (Vec<Layer>, Loss))| Head {
        name: Name::try_from(format!("head_{number}").as_str()).unwrap(),
        layers: layers.into_iter().collect(),
        loss,
        weight: 1.0 - 0.25 * number as f32,
    };
    let spec = NetworkSpec {
        input,
        backbone: backbone.iter().copied().collect(),
        heads: heads.into_iter().zip(losses).enumerate().map(head).collect(),
    };
    assert_eq!(spec.check(), Ok(()));
    spec
}
