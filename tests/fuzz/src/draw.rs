//! Choices, numbers, networks and rules, drawn from the fuzzer's bytes. Where the bytes end, every choice is the first one.

use libfuzzer_sys::arbitrary::Unstructured;
use sinew_models::rule::{Rate, Rule, Scope};
use sinew_models::spec::{Activation, Head, Input, InputForm, Layer, Loss, Name, NetworkSpec, Shape, Window};

/// Bytes of the fuzzer that have not been used yet.
pub struct Draw<'a> {
    all: &'a [u8],
    rest: Unstructured<'a>,
}

/// Numbers past which a product of a few weights need not be finite any more.
pub const MODERATE: f32 = 1e3;

/// Most parameters of a network that is drawn.
const MOST_PARAMETERS: usize = 4096;

const SPECIAL: [f32; 12] = [
    f32::NAN,
    f32::INFINITY,
    f32::NEG_INFINITY,
    f32::MAX,
    f32::MIN,
    f32::MIN_POSITIVE,
    1e-45,
    0.0,
    -0.0,
    1.0,
    1e19,
    -1e-30,
];

impl<'a> Draw<'a> {
    /// From these bytes.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { all: bytes, rest: Unstructured::new(bytes) }
    }

    /// The bytes that were used so far.
    pub fn used(&self) -> &'a [u8] {
        &self.all[..self.all.len() - self.rest.len()]
    }

    /// Whether all bytes are used.
    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// A number from 0 up to but not including `end`, which is above 0.
    pub fn below(&mut self, end: usize) -> usize {
        self.rest.int_in_range(0..=end - 1).unwrap_or(0)
    }

    /// One of these.
    pub fn one<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())]
    }

    /// Any number of 64 bits.
    pub fn bits(&mut self) -> u64 {
        self.rest.arbitrary().unwrap_or(0)
    }

    /// Any byte.
    pub fn byte(&mut self) -> u8 {
        self.rest.arbitrary().unwrap_or(0)
    }

    /// Any f32, mostly one that a sensor could give.
    pub fn value(&mut self) -> f32 {
        match self.byte() {
            byte @ 0..=11 => SPECIAL[usize::from(byte)],
            12..=31 => f32::from_bits(self.bits() as u32),
            byte => (f32::from(byte) - 143.0) / 32.0,
        }
    }

    /// As [`Draw::value`], but finite.
    pub fn finite(&mut self) -> f32 {
        Some(self.value()).filter(|value| value.is_finite()).unwrap_or(-1.0)
    }

    fn activation(&mut self) -> Activation {
        self.one(&[Activation::Identity, Activation::Relu, Activation::Tanh, Activation::Silu, Activation::Sigmoid])
    }

    fn window(&mut self) -> Window {
        let mut pair = |of: &[u8]| [self.one(of), self.one(of)];
        Window { size: pair(&[1, 2, 3]), stride: pair(&[1, 2]), padding: pair(&[0, 0, 1]) }
    }

    /// Any layer that takes an `input`.
    fn layer(&mut self, input: Shape) -> Layer {
        let outputs = self.one(&[1, 2, 3, 4, 5, 2, 3, 17]);
        let activation = self.activation();
        let dense = Layer::Dense { outputs, activation };
        let layer = match self.below(13) {
            0 | 1 => Layer::Convolution { outputs, window: self.window(), activation },
            2 => Layer::Depthwise { window: self.window(), activation },
            3 => Layer::MaxPool { window: self.window() },
            4 => Layer::AveragePool { window: self.window() },
            5 => Layer::GlobalAveragePool,
            6 => Layer::LayerNorm { activation },
            7 => Layer::Residual { layers: 1 + self.below(2), activation },
            8 => Layer::Flatten,
            9 => Layer::Context { len: 1 + self.below(3) },
            10 => {
                let [experts, gates, first, outputs] = [3, 3, 2, 3].map(|below| self.below(below) as u8);
                Layer::Mixture { experts: 1 + experts, gates: 1 + gates, first, outputs, activation }
            }
            _ => dense,
        };
        let fits = |layer: &Layer| layer.output(input).is_some_and(|output| !output.is_empty() && output.len() <= 128);
        if fits(&layer) {
            layer
        } else if input.is_vector() {
            dense
        } else {
            Layer::Flatten
        }
    }

    fn head(&mut self, index: usize, mut features: Shape) -> Head {
        let delta = self.one(&[0.5, 1.0, 1e-30, 1e30]);
        let loss = self.one(&[Loss::MeanSquared, Loss::Huber { delta }, Loss::BinaryCrossEntropy, Loss::CrossEntropy]);
        let mut layers = heapless::Vec::new();
        if self.below(4) == 1 {
            let layer = self.layer(features);
            features = layer.output(features).unwrap_or(features);
            let _ = layers.push(layer);
        }
        if !features.is_vector() {
            let _ = layers.push(Layer::Flatten);
        }
        let drawn = self.activation();
        let plain = loss.is_classification() || self.below(2) == 0;
        let activation = if plain { Activation::Identity } else { drawn };
        let _ = layers.push(Layer::Dense { outputs: self.one(&[1, 2, 3, 4, 5, 2, 3, 17]), activation });
        let name = Name::try_from(["a", "b_0", "c"][index]).unwrap_or_default();
        Head { name, layers, loss, weight: self.one(&[1.0, 0.0, 0.25, 1e20]) }
    }

    fn network(&mut self) -> NetworkSpec {
        let input = if self.below(3) != 1 {
            Input::vector(1 + self.below(4), self.one(&[InputForm::Plain, InputForm::Relative, InputForm::Both]))
        } else {
            Input::image(Shape { height: 1 + self.below(5), width: 1 + self.below(5), channels: 1 + self.below(2) })
        };
        let mut features = input.presented();
        let mut backbone = heapless::Vec::new();
        // Mostly few layers: every tensor is looked for in all of the header.
        for _ in 0..self.one(&[1, 0, 1, 2, 1, 0, 2, 3, 4]) {
            let layer = self.layer(features);
            features = layer.output(features).unwrap_or(features);
            let _ = backbone.push(layer);
        }
        if !features.is_vector() {
            let _ = backbone.push(Layer::Flatten);
            features = Shape::vector(features.len());
        }
        let heads = (0..self.one(&[1, 1, 1, 1, 2, 3])).map(|index| self.head(index, features)).collect();
        let mut network = NetworkSpec { input, backbone, heads };
        if network.check().is_err() || network.param_len() > MOST_PARAMETERS {
            // A residual that does not fit, or too many units.
            network.backbone.clear();
            if network.input.image.is_some() {
                let _ = network.backbone.push(Layer::Flatten);
            }
            let layer = Layer::Dense { outputs: 2, activation: Activation::Identity };
            for head in &mut network.heads {
                head.layers = [layer].into_iter().collect();
            }
        }
        network
    }

    fn rule(&mut self, network: &NetworkSpec) -> Rule {
        let layers = network.layer_count();
        let scope = match self.below(4) {
            0 => Scope::All,
            1 => Scope::Heads,
            2 => Scope::Contexts,
            _ => Scope::Layers((0..1 + self.below(layers)).map(|_| self.below(layers) as u8).collect()),
        };
        let rate = self.one(&[Rate::Constant, Rate::PerLayerStep, Rate::PerParameter]);
        let steps = 1 + self.below(3);
        let rule = match self.below(10) {
            0 => Rule::Ridge { recursive: false },
            1 => Rule::Ridge { recursive: true },
            // Its prior is a matrix, for which a file here has little room.
            2 if network.feature_len() <= 24 => Rule::Bayes,
            3 => Rule::Prototype,
            4 => Rule::Siamese { classes: 1 + self.below(3) },
            5 => Rule::MetaLstm { steps, hidden: self.below(3), scope },
            _ => Rule::Gradient { steps, rate, scope, momentum: self.below(2) == 1, rows: self.below(3) },
        };
        if rule.check(network).is_ok() {
            rule
        } else {
            Rule::Gradient { steps, rate, scope: Scope::All, momentum: false, rows: 0 }
        }
    }

    /// What goes into a bundle, all of it valid.
    pub fn parts(&mut self) -> Parts {
        let network = self.network();
        let rule = self.rule(&network);
        let mut odd = [(0, 0.0); 4];
        let count = self.below(odd.len() + 1);
        for odd in &mut odd[..count] {
            *odd = (self.below(256), self.finite());
        }
        let (halves, rate, seed) = (self.below(4) == 1, self.one(&[0.05, 0.0, 1.0, 1e20]), self.bits());
        Parts { network, rule, halves, rate, numbers: Numbers::new(seed), odd, count }
    }
}

/// What goes into a bundle: the numbers come from a seed, but for a few odd ones.
pub struct Parts {
    /// A network that can be.
    pub network: NetworkSpec,
    /// A rule that fits it.
    pub rule: Rule,
    /// Whether the parameters are BF16.
    pub halves: bool,
    /// Inner rates are about this.
    pub rate: f32,
    /// The others.
    pub numbers: Numbers,
    /// Places among the numbers, in the order in which they are written, and what is written there.
    odd: [(usize, f32); 4],
    count: usize,
}

impl Parts {
    /// The number to be written in `place`, if it is an odd one.
    pub fn odd_at(&self, place: usize) -> Option<f32> {
        self.odd[..self.count].iter().find(|odd| odd.0 == place).map(|odd| odd.1)
    }
}

/// Numbers from a seed (SplitMix64, Steele et al. 2014).
pub struct Numbers(u64);

impl Numbers {
    /// From this seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number, even in `[-1, 1)`.
    pub fn next_value(&mut self) -> f32 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 40) as f32 / (1_u64 << 23) as f32 - 1.0
    }
}
