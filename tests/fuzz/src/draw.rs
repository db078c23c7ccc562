//! Choices, numbers, networks and rules, drawn from the fuzzer's bytes. Where the bytes end, every choice is the first one.

use libfuzzer_sys::arbitrary::Unstructured;
use sinew_models::rule::{Rate, Rule, Scope};
use sinew_models::spec::{Activation, Head, Input, InputForm, Layer, Loss, Name, NetworkSpec};

/// Bytes of the fuzzer that have not been used yet.
pub struct Draw<'a>(Unstructured<'a>);

/// Numbers past which a product of a few weights need not be finite any more.
pub const MODERATE: f32 = 1e3;

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
        Self(Unstructured::new(bytes))
    }

    /// Whether all bytes are used.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// A number from 0 up to but not including `end`, which is above 0.
    pub fn below(&mut self, end: usize) -> usize {
        self.0.int_in_range(0..=end - 1).unwrap_or(0)
    }

    /// One of these.
    pub fn one<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())]
    }

    /// Any number of 64 bits.
    pub fn bits(&mut self) -> u64 {
        self.0.arbitrary().unwrap_or(0)
    }

    /// Any byte.
    pub fn byte(&mut self) -> u8 {
        self.0.arbitrary().unwrap_or(0)
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

    fn layer(&mut self, last_of: Option<Loss>) -> Layer {
        let outputs = self.one(&[1, 2, 3, 4, 5, 2, 3, 17]);
        let all = [Activation::Identity, Activation::Relu, Activation::Tanh, Activation::Silu, Activation::Sigmoid];
        let activation = self.one(&all);
        match last_of {
            Some(loss) if loss.is_classification() => Layer::Dense { outputs, activation: Activation::Identity },
            _ => Layer::Dense { outputs, activation },
        }
    }

    fn head(&mut self, index: usize) -> Head {
        let delta = self.one(&[0.5, 1.0, 1e-30, 1e30]);
        let loss = self.one(&[Loss::MeanSquared, Loss::Huber { delta }, Loss::BinaryCrossEntropy, Loss::CrossEntropy]);
        let mut layers = heapless::Vec::new();
        if self.below(2) == 1 {
            let _ = layers.push(self.layer(None));
        }
        let _ = layers.push(self.layer(Some(loss)));
        let name = Name::try_from(["a", "b_0", "c"][index]).unwrap_or_default();
        Head { name, layers, loss, weight: self.one(&[1.0, 0.0, 0.25, 1e20]) }
    }

    fn network(&mut self) -> NetworkSpec {
        let form = self.one(&[InputForm::Plain, InputForm::Relative, InputForm::Both]);
        let input = Input { len: 1 + self.below(4), form };
        let backbone = (0..self.below(3)).map(|_| self.layer(None)).collect();
        let heads = (0..1 + self.below(3)).map(|index| self.head(index)).collect();
        NetworkSpec { input, backbone, heads }
    }

    fn rule(&mut self, network: &NetworkSpec) -> Rule {
        let layers = network.layer_count();
        let scope = match self.below(3) {
            0 => Scope::All,
            1 => Scope::Heads,
            _ => Scope::Layers((0..1 + self.below(layers)).map(|_| self.below(layers) as u8).collect()),
        };
        let rate = self.one(&[Rate::Constant, Rate::PerLayerStep, Rate::PerParameter]);
        Rule::Gradient { steps: 1 + self.below(3), rate, scope }
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
