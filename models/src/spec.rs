//! A network is data: layers in sequence, then one or more heads.

use core::fmt;

use heapless::{String, Vec};
use serde::{Deserialize, Serialize};

/// Most layers in a backbone.
pub const MAX_BACKBONE: usize = 8;
/// Most heads on a backbone.
pub const MAX_HEADS: usize = 4;
/// Most layers in a head.
pub const MAX_HEAD_LAYERS: usize = 3;
/// Most layers in a network, heads included.
pub const MAX_LAYERS: usize = MAX_BACKBONE + MAX_HEADS * MAX_HEAD_LAYERS;
/// Longest name of a head, in bytes.
pub const MAX_NAME: usize = 24;
/// Most units in a layer, and most values in an input.
pub const MAX_UNITS: usize = 4096;

/// The name of a head.
pub type Name = String<MAX_NAME>;

/// A whole network: input, shared layers, heads.
///
/// The output of a network is the outputs of its heads side by side, in their order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NetworkSpec {
    /// What goes in, and how it is presented to the first layer.
    pub input: Input,
    /// Layers that all heads share; none for a linear model.
    pub backbone: Vec<Layer, MAX_BACKBONE>,
    /// What comes out.
    pub heads: Vec<Head, MAX_HEADS>,
}

/// The input of a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Input {
    /// Values in one input row, as the caller gives it.
    pub len: usize,
    /// How the row is presented to the first layer.
    pub form: InputForm,
}

/// How an input row x is presented to the first layer; m is the mean of the support inputs of the task at hand.
///
/// Both parts are divided by scales from training; see [`crate::bundle`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InputForm {
    /// x as it is, about the mean of training.
    #[default]
    Plain,
    /// x − m: relative to the task.
    Relative,
    /// x and then x − m, side by side: twice as many values.
    Both,
}

/// The shape of one row of values: an image, or with height and width 1 a vector.
///
/// Values lie as cameras give them: row by row, pixel by pixel, the channels of a pixel side by side, `[height, width, channels]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shape {
    /// Rows of pixels.
    pub height: usize,
    /// Pixels in a row.
    pub width: usize,
    /// Values of a pixel.
    pub channels: usize,
}

impl Shape {
    /// A vector of `len` values.
    pub const fn vector(len: usize) -> Self {
        Self { height: 1, width: 1, channels: len }
    }

    /// Values in all.
    pub const fn len(self) -> usize {
        self.height * self.width * self.channels
    }

    /// Whether there is no value.
    pub const fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// Whether it is a vector.
    pub const fn is_vector(self) -> bool {
        self.height == 1 && self.width == 1
    }
}

/// What slides over an image; of each pair the first is for height, the second for width.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Window {
    /// Pixels that it covers.
    pub size: [u8; 2],
    /// Pixels from one place to the next.
    pub stride: [u8; 2],
    /// Pixels of zeros around the image, on each side.
    pub padding: [u8; 2],
}

impl Window {
    /// A square of `size` pixels that moves by `stride`, with `padding` around the image.
    pub const fn square(size: u8, stride: u8, padding: u8) -> Self {
        Self { size: [size; 2], stride: [stride; 2], padding: [padding; 2] }
    }

    /// How many places it has in an image, `[height, width]`; `None` if it has none, or covers or moves by nothing.
    pub fn places(self, image: Shape) -> Option<[usize; 2]> {
        let along = |len: usize, axis: usize| {
            let [size, stride, padding] = [self.size[axis], self.stride[axis], self.padding[axis]].map(usize::from);
            let free = (len + 2 * padding).checked_sub(size)?;
            (size > 0 && stride > 0).then(|| free / stride + 1)
        };
        Some([along(image.height, 0)?, along(image.width, 1)?])
    }
}

/// One layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Layer {
    /// `activation(W x + b)` with `W` of shape `[outputs, inputs]`.
    Dense {
        /// Units in the layer.
        outputs: usize,
        /// What follows the sum.
        activation: Activation,
    },
}

/// An activation, value by value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Activation {
    /// z
    #[default]
    Identity,
    /// max(z, 0), with slope 0 at 0
    Relu,
    /// tanh z
    Tanh,
    /// z · sigmoid z (Elfwing et al. 2018)
    Silu,
    /// 1 / (1 + exp(−z))
    Sigmoid,
}

/// One head: a task's own layers and the loss that trains them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Head {
    /// Lower-case letters, digits and `_`; unique in the network.
    pub name: Name,
    /// At least one layer; the last one makes the outputs (logits, for classification).
    pub layers: Vec<Layer, MAX_HEAD_LAYERS>,
    /// What compares outputs with targets. In a bundle only its kind is in the JSON, the number is in a tensor.
    #[serde(with = "kind")]
    pub loss: Loss,
    /// λ, the weight of the head's loss in the sum over heads. In a bundle it is in a tensor.
    #[serde(skip, default = "one")]
    pub weight: f32,
}

fn one() -> f32 {
    1.0
}

/// A loss, mean over rows; z stands for the head's outputs, y for the targets.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Loss {
    /// Mean over rows and outputs of (z − y)².
    MeanSquared,
    /// Mean over rows and outputs of e²/2 where |e| ≤ δ, else δ(|e| − δ/2), with e = z − y (Huber 1964).
    Huber {
        /// δ, in units of the (scaled) output; above 0.
        delta: f32,
    },
    /// Mean over rows and outputs of −y ln σ(z) − (1 − y) ln(1 − σ(z)), for targets in `[0, 1]`.
    BinaryCrossEntropy,
    /// Mean over rows of −Σ y ln softmax(z), for target rows that sum to 1.
    CrossEntropy,
}

/// A head's loss as the bundle's JSON has it: the kind alone.
///
/// Numbers stay out of that JSON because parsing them costs a microcontroller 10 KB of tables.
mod kind {
    use super::Loss;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    #[derive(Serialize, Deserialize)]
    #[serde(rename_all = "snake_case")]
    enum Kind {
        MeanSquared,
        Huber,
        BinaryCrossEntropy,
        CrossEntropy,
    }

    pub fn serialize<S: Serializer>(loss: &Loss, serializer: S) -> Result<S::Ok, S::Error> {
        match loss {
            Loss::MeanSquared => Kind::MeanSquared,
            Loss::Huber { .. } => Kind::Huber,
            Loss::BinaryCrossEntropy => Kind::BinaryCrossEntropy,
            Loss::CrossEntropy => Kind::CrossEntropy,
        }
        .serialize(serializer)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Loss, D::Error> {
        Ok(match Kind::deserialize(deserializer)? {
            Kind::MeanSquared => Loss::MeanSquared,
            Kind::Huber => Loss::Huber { delta: 1.0 },
            Kind::BinaryCrossEntropy => Loss::BinaryCrossEntropy,
            Kind::CrossEntropy => Loss::CrossEntropy,
        })
    }
}

impl Input {
    /// Values that the first layer sees.
    pub const fn presented_len(&self) -> usize {
        match self.form {
            InputForm::Plain | InputForm::Relative => self.len,
            InputForm::Both => 2 * self.len,
        }
    }

    /// Whether the presentation depends on the support inputs.
    pub const fn is_relative(&self) -> bool {
        !matches!(self.form, InputForm::Plain)
    }
}

impl Layer {
    /// Units in the layer.
    pub const fn outputs(&self) -> usize {
        match *self {
            Layer::Dense { outputs, .. } => outputs,
        }
    }

    /// What follows the sum.
    pub const fn activation(&self) -> Activation {
        match *self {
            Layer::Dense { activation, .. } => activation,
        }
    }
}

impl Head {
    /// Values that the head puts out; 0 for a head without layers.
    pub fn outputs(&self) -> usize {
        self.layers.last().map_or(0, Layer::outputs)
    }
}

impl Loss {
    /// Whether targets are classes: outputs are then logits and predictions are probabilities.
    pub const fn is_classification(&self) -> bool {
        matches!(self, Loss::BinaryCrossEntropy | Loss::CrossEntropy)
    }
}

impl NetworkSpec {
    /// Values in one output row: all heads side by side.
    pub fn output_len(&self) -> usize {
        self.heads.iter().map(Head::outputs).sum()
    }

    /// Values that the heads see.
    pub fn feature_len(&self) -> usize {
        self.backbone.last().map_or(self.input.presented_len(), Layer::outputs)
    }

    /// Layers in the network, heads included.
    // One copy for all callers, to save flash.
    #[inline(never)]
    pub fn layer_count(&self) -> usize {
        self.backbone.len() + self.heads.iter().map(|head| head.layers.len()).sum::<usize>()
    }

    /// Refuses what no runtime could run; every other function of this crate takes a checked network.
    ///
    /// # Errors
    /// The first of [`SpecError`] that applies.
    pub fn check(&self) -> Result<(), SpecError> {
        let units = |units: usize| match units {
            1..=MAX_UNITS => Ok(()),
            _ => Err(SpecError::Units(units)),
        };
        units(self.input.len)?;
        for layer in &self.backbone {
            units(layer.outputs())?;
        }
        if self.heads.is_empty() {
            return Err(SpecError::NoHead);
        }
        for (index, head) in self.heads.iter().enumerate() {
            let letter = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
            if head.name.is_empty() || !head.name.bytes().all(letter) {
                return Err(SpecError::HeadName(index));
            }
            if self.heads[..index].iter().any(|other| other.name == head.name) {
                return Err(SpecError::HeadTwice(index));
            }
            let last = head.layers.last().ok_or(SpecError::HeadWithoutLayers(index))?;
            for layer in &head.layers {
                units(layer.outputs())?;
            }
            if head.loss.is_classification() && last.activation() != Activation::Identity {
                return Err(SpecError::NotLogits(index));
            }
            if let Loss::Huber { delta } = head.loss
                && !(delta > 0.0 && delta.is_finite())
            {
                return Err(SpecError::HuberDelta(index));
            }
            if !(head.weight >= 0.0 && head.weight.is_finite()) {
                return Err(SpecError::HeadWeight(index));
            }
        }
        Ok(())
    }
}

/// Why a network cannot be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpecError {
    /// An input or layer has this many values; 1 to [`MAX_UNITS`] are expected.
    Units(usize),
    /// There are more layers or heads than the limits of this module.
    TooMany,
    /// There is no head.
    NoHead,
    /// This head's name is empty, too long, or has other than lower-case letters, digits and `_`.
    HeadName(usize),
    /// This head has the name of an earlier one.
    HeadTwice(usize),
    /// This head has no layer.
    HeadWithoutLayers(usize),
    /// This head has a classification loss, which wants logits, but its last layer has an activation.
    NotLogits(usize),
    /// This head's Huber δ is not a positive number.
    HuberDelta(usize),
    /// This head's λ is not a number from 0 up.
    HeadWeight(usize),
}

impl fmt::Display for SpecError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            SpecError::Units(got) => write!(f, "expected 1 to {MAX_UNITS} values in every input and layer, got {got}"),
            SpecError::TooMany => write!(
                f,
                "expected at most {MAX_BACKBONE} backbone layers, {MAX_HEADS} heads and {MAX_HEAD_LAYERS} layers in each"
            ),
            SpecError::NoHead => f.write_str("expected at least one head, got none"),
            SpecError::HeadName(head) => {
                write!(f, "head {head}: expected a name of 1 to {MAX_NAME} lower-case letters, digits and underscores")
            }
            SpecError::HeadTwice(head) => write!(f, "head {head}: an earlier head has the same name"),
            SpecError::HeadWithoutLayers(head) => write!(f, "head {head}: expected at least one layer, got none"),
            SpecError::NotLogits(head) => write!(
                f,
                "head {head}: a cross-entropy loss takes logits, so the last layer's activation must be identity"
            ),
            SpecError::HuberDelta(head) => write!(f, "head {head}: expected a positive Huber delta"),
            SpecError::HeadWeight(head) => write!(f, "head {head}: expected a finite loss weight from 0 up"),
        }
    }
}

impl core::error::Error for SpecError {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::networks;

    fn network() -> NetworkSpec {
        networks::mlp(3, InputForm::Both, &[5], Activation::Tanh, "slip", 2, Loss::BinaryCrossEntropy).unwrap()
    }

    #[test]
    fn survives_json_on_both_sides_but_for_its_numbers() {
        let network = network();
        let text = serde_json::to_string(&network).unwrap();
        assert_eq!(serde_json::from_str::<NetworkSpec>(&text).unwrap(), network);
        assert_eq!(serde_json_core::from_str::<NetworkSpec>(&text).unwrap().0, network);
        assert!(!text.contains('.'), "a number with a point would pull a parser of 10 KB: {text}");
    }

    #[test]
    fn refuses_what_cannot_run() {
        assert_eq!(network().check(), Ok(()));
        let broken = |change: fn(&mut NetworkSpec)| {
            let mut network = network();
            change(&mut network);
            network.check().unwrap_err()
        };
        assert_eq!(broken(|n| n.input.len = 0), SpecError::Units(0));
        assert_eq!(
            broken(|n| n.backbone[0] = Layer::Dense { outputs: 5000, activation: Activation::Relu }),
            SpecError::Units(5000)
        );
        assert_eq!(broken(|n| n.heads.clear()), SpecError::NoHead);
        assert_eq!(broken(|n| n.heads[0].name = Name::try_from("Slip").unwrap()), SpecError::HeadName(0));
        assert_eq!(broken(|n| n.heads.push(n.heads[0].clone()).unwrap()), SpecError::HeadTwice(1));
        assert_eq!(broken(|n| n.heads[0].layers.clear()), SpecError::HeadWithoutLayers(0));
        assert_eq!(
            broken(|n| n.heads[0].layers[0] = Layer::Dense { outputs: 2, activation: Activation::Relu }),
            SpecError::NotLogits(0)
        );
        assert_eq!(broken(|n| n.heads[0].loss = Loss::Huber { delta: f32::NAN }), SpecError::HuberDelta(0));
        assert_eq!(broken(|n| n.heads[0].weight = -1.0), SpecError::HeadWeight(0));
    }
}
