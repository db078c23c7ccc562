//! Networks and tasks that are drawn from a seed.

use sinew_models::rule::{Rate, Scope};
use sinew_models::spec::{Activation, Input, Layer, NetworkSpec, Shape, Window};
use sinew_trainer::engine::{InnerLoop, Kept};

use super::{Case, trials};
use crate::sample::{self, ACTIVATIONS, HeadSample, LOSSES, Numbers};

/// What an inner loop of several steps may be off: each step takes the roundings of those before it further.
pub const TOLERANCE: f64 = 1e-4;

impl Numbers {
    /// A whole number from `first` on, less than `end`.
    fn within(&mut self, first: usize, end: usize) -> usize {
        first + (self.next_bits() >> 33) as usize % (end - first)
    }

    fn one_of<T: Clone>(&mut self, values: &[T]) -> T {
        values[self.within(0, values.len())].clone()
    }
}

/// Layers over images of any shape, norms behind them, and a few tasks; none where they do not fit together.
pub fn convolutional(seed: u64) -> Option<Case> {
    let mut numbers = Numbers(seed);
    let mut spec = sample::network(1, &[], &[(3, None, numbers.one_of(&LOSSES))]);
    let [height, width] = [(); 2].map(|()| numbers.within(4, 9));
    spec.input = Input::image(Shape { height, width, channels: numbers.within(1, 6) });
    let mut layers = Vec::new();
    for _ in 0..numbers.within(1, 4) {
        let mut pair = |first, end| [(); 2].map(|()| numbers.within(first, end) as u8);
        let window = Window { size: pair(1, 4), stride: pair(1, 3), padding: pair(0, 3) };
        let activation = numbers.one_of(&ACTIVATIONS);
        layers.push(match numbers.within(0, 5) {
            0 => Layer::Depthwise { window, activation },
            1 => Layer::MaxPool { window },
            2 => Layer::AveragePool { window },
            _ => Layer::Convolution { outputs: numbers.within(1, 37), window, activation },
        });
    }
    spec.backbone =
        layers.into_iter().chain([Layer::LayerNorm { activation: Activation::Tanh }, Layer::Flatten]).collect();
    let sizes: Vec<_> = (0..numbers.within(1, 4)).map(|_| [numbers.within(0, 4), numbers.within(1, 4)]).collect();
    spec.check().ok().map(|()| Case::new(spec, &sizes, seed))
}

/// A dense network with a few heads, tasks of all sizes, and an inner loop.
pub fn dense(numbers: &mut Numbers) -> (Case, InnerLoop) {
    let hidden = |numbers: &mut Numbers| (numbers.within(1, 20), numbers.one_of(&ACTIVATIONS));
    let layers: Vec<_> = (0..numbers.within(0, 3)).map(|_| hidden(numbers)).collect();
    let heads: Vec<HeadSample> = (0..numbers.within(1, 4))
        .map(|_| {
            let before = (numbers.within(0, 2) == 1).then(|| hidden(numbers));
            (numbers.within(1, 7), before, numbers.one_of(&LOSSES))
        })
        .collect();
    let spec: NetworkSpec = sample::network(numbers.within(1, 10), &layers, &heads);
    // Often all layers.
    let scope = if numbers.within(0, 2) == 0 {
        Scope::All
    } else {
        Scope::Layers((0..spec.layer_count() as u8).filter(|_| numbers.within(0, 2) == 1).collect())
    };
    let rate = numbers.one_of(&[Rate::Constant, Rate::PerLayerStep, Rate::PerParameter]);
    let inner = InnerLoop {
        kept: numbers.one_of(&[Kept::Activations, Kept::Parameters, Kept::Checkpoints]),
        first_order: numbers.within(0, 2) == 1,
        learn_rates: numbers.within(0, 2) == 1,
        ..trials::inner(&spec, &scope, rate, numbers.within(0, 5))
    };
    let sizes: Vec<_> = (0..numbers.within(1, 5)).map(|_| [numbers.within(0, 11), numbers.within(1, 40)]).collect();
    (Case::new(spec, &sizes, numbers.next_bits()), inner)
}
