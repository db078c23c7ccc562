//! Networks and batches to try, drawn by proptest or from a seed.

use sinew_models::spec::{Activation, Head, Input, InputForm, Layer, Loss, Name, NetworkSpec};

/// All activations.
pub const ACTIVATIONS: [Activation; 5] =
    [Activation::Identity, Activation::Relu, Activation::Tanh, Activation::Silu, Activation::Sigmoid];

/// All losses.
pub const LOSSES: [Loss; 4] =
    [Loss::MeanSquared, Loss::Huber { delta: 0.7 }, Loss::BinaryCrossEntropy, Loss::CrossEntropy];

/// Numbers from a seed (SplitMix64, Steele et al. 2014), for tests that want no dependency.
#[derive(Clone, Debug)]
pub struct Numbers(pub u64);

impl Numbers {
    /// The next number, even in `[-1, 1)`, exactly an f32.
    pub fn next_value(&mut self) -> f64 {
        f64::from((self.next_bits() >> 40) as f32 / (1_u64 << 23) as f32 - 1.0)
    }

    /// 64 random bits.
    pub fn next_bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// `count` numbers in `[-scale, scale)`.
    pub fn values(&mut self, count: usize, scale: f64) -> Vec<f64> {
        (0..count).map(|_| f64::from((scale * self.next_value()) as f32)).collect()
    }
}

/// A head: outputs, its hidden layer if it has one, and its loss.
pub type HeadSample = (usize, Option<(usize, Activation)>, Loss);

/// A network with the given hidden layers and heads.
pub fn network(inputs: usize, hidden: &[(usize, Activation)], heads: &[HeadSample]) -> NetworkSpec {
    let dense = |&(outputs, activation): &(usize, Activation)| Layer::Dense { outputs, activation };
    let head = |(number, (outputs, hidden, loss)): (usize, &HeadSample)| {
        let last = (*outputs, Activation::Identity);
        Head {
            name: Name::try_from(format!("head_{number}").as_str()).unwrap_or_default(),
            layers: hidden.iter().chain([&last]).map(dense).collect(),
            loss: *loss,
            weight: 1.0 + 0.25 * number as f32,
        }
    };
    NetworkSpec {
        input: Input::vector(inputs, InputForm::Plain),
        backbone: hidden.iter().map(dense).collect(),
        heads: heads.iter().enumerate().map(head).collect(),
    }
}

/// Targets that suit the losses of `spec`: values, zeros and ones, or one-hot rows.
pub fn targets(spec: &NetworkSpec, rows: usize, numbers: &mut Numbers) -> Vec<f64> {
    let mut all = Vec::new();
    for _ in 0..rows {
        for head in &spec.heads {
            match head.loss {
                Loss::MeanSquared | Loss::Huber { .. } => all.extend(numbers.values(head.outputs(), 1.5)),
                Loss::BinaryCrossEntropy => all.extend((0..head.outputs()).map(|_| (numbers.next_bits() & 1) as f64)),
                Loss::CrossEntropy => {
                    let class = numbers.next_bits() as usize % head.outputs();
                    all.extend((0..head.outputs()).map(|other| f64::from(u8::from(other == class))));
                }
            }
        }
    }
    all
}

/// As [`targets`], every other time with labels left out.
pub fn some_targets(spec: &NetworkSpec, rows: usize, numbers: &mut Numbers) -> Vec<f64> {
    let mut all = targets(spec, rows, numbers);
    // Apart, so that the numbers that follow are the same.
    let mut others = Numbers(!numbers.0);
    if others.next_bits() & 1 == 1 {
        leave_out(spec, &mut all, &mut others);
    }
    all
}

/// Leaves out a third of the labels of heads, each with all of its targets of a row: they become NaN.
pub fn leave_out(spec: &NetworkSpec, targets: &mut [f64], numbers: &mut Numbers) {
    for row in targets.chunks_mut(spec.output_len()) {
        let mut rest = row;
        for head in &spec.heads {
            let (own, others) = rest.split_at_mut(head.outputs());
            rest = others;
            if numbers.next_bits().is_multiple_of(3) {
                own.fill(f64::NAN);
            }
        }
    }
}

/// The same numbers in f32.
pub fn single(values: &[f64]) -> Vec<f32> {
    values.iter().map(|value| *value as f32).collect()
}
