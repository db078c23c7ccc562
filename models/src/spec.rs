//! A network is data: layers in sequence, then one or more heads.

use core::fmt;

use heapless::{String, Vec};
use serde::{Deserialize, Serialize};

/// Most layers in a backbone.
pub const MAX_BACKBONE: usize = 16;
/// Most heads on a backbone.
pub const MAX_HEADS: usize = 4;
/// Most layers in a head.
pub const MAX_HEAD_LAYERS: usize = 3;
/// Most layers in a network, heads included.
pub const MAX_LAYERS: usize = MAX_BACKBONE + MAX_HEADS * MAX_HEAD_LAYERS;
/// Longest name of a head, in bytes.
pub const MAX_NAME: usize = 24;
/// Most units of a dense layer, channels of an image, and values of a vector.
pub const MAX_UNITS: usize = 4096;
/// Most values of an image.
pub const MAX_VALUES: usize = 1 << 16;
/// Most parameters of a network.
pub const MAX_PARAMS: usize = 1 << 26;

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
    /// The image that a row is, if it is one: `len` values, `[height, width, channels]`.
    #[cfg(feature = "layers")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<Shape>,
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
/// Without the feature `layers` everything is a vector.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shape {
    /// Rows of pixels.
    #[cfg(feature = "layers")]
    pub height: usize,
    /// Pixels in a row.
    #[cfg(feature = "layers")]
    pub width: usize,
    /// Values of a pixel.
    pub channels: usize,
}

impl Shape {
    /// A vector of `len` values.
    pub const fn vector(len: usize) -> Self {
        Self {
            #[cfg(feature = "layers")]
            height: 1,
            #[cfg(feature = "layers")]
            width: 1,
            channels: len,
        }
    }

    /// Values in all.
    pub const fn len(self) -> usize {
        #[cfg(feature = "layers")]
        let pixels = self.height * self.width;
        #[cfg(not(feature = "layers"))]
        let pixels = 1;
        pixels * self.channels
    }

    /// Whether there is no value.
    pub const fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// Whether it is a vector.
    pub const fn is_vector(self) -> bool {
        #[cfg(feature = "layers")]
        let one = self.height == 1 && self.width == 1;
        #[cfg(not(feature = "layers"))]
        let one = true;
        one
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
    #[cfg(feature = "layers")]
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
///
/// Dense layers, contexts and outputs are vectors; an image becomes one by `Flatten` or `GlobalAveragePool`. Without the feature `layers`
/// there are dense ones alone.
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
    /// `activation(W * x + b)`, a convolution (as networks have it: a cross-correlation) with `W` of shape
    /// `[outputs, channels, height, width]`.
    #[cfg(feature = "layers")]
    Convolution {
        /// Channels that it puts out.
        outputs: usize,
        /// Its kernel.
        window: Window,
        /// What follows the sum.
        activation: Activation,
    },
    /// A convolution of each channel alone, with `W` of shape `[channels, 1, height, width]` (Howard et al. 2017).
    #[cfg(feature = "layers")]
    Depthwise {
        /// Its kernel.
        window: Window,
        /// What follows the sum.
        activation: Activation,
    },
    /// The largest value in the window, of each channel; padding counts for nothing, and is at most half of the window.
    #[cfg(feature = "layers")]
    MaxPool {
        /// What slides over the image.
        window: Window,
    },
    /// The mean of the window, of each channel; padding counts as zeros, and is at most half of the window.
    #[cfg(feature = "layers")]
    AveragePool {
        /// What slides over the image.
        window: Window,
    },
    /// The mean of each channel over the whole image: a vector.
    #[cfg(feature = "layers")]
    GlobalAveragePool,
    /// `activation(w (x − mean) / √(variance + 1e-5) + b)`, mean and variance over all values of the row, `w` and `b` of each
    /// channel (Ba et al. 2016; for images a group normalisation with one group, Wu and He 2018).
    #[cfg(feature = "layers")]
    LayerNorm {
        /// What follows.
        activation: Activation,
    },
    /// `activation(x + s)`, where s is what the layer `layers` before this one took in (He et al. 2016).
    #[cfg(feature = "layers")]
    Residual {
        /// Layers that s goes around: at least 1, none outside of this backbone or head.
        layers: usize,
        /// What follows the sum.
        activation: Activation,
    },
    /// An image as a vector, channel by channel, `[channels, height, width]`, which is PyTorch's order.
    #[cfg(feature = "layers")]
    Flatten,
    /// x and then `len` values that are parameters, the same for every row: what CAVIA adapts (Zintgraf et al. 2019).
    #[cfg(feature = "layers")]
    Context {
        /// Values that are added.
        len: usize,
    },
    /// A mixture of experts (Jacobs et al. 1991) for each of some gates (Ma et al. 2018): of the gate g it is
    /// `Σ_e softmax(l_g)_e · activation(h_e)`. What comes in are the values h of `experts` experts, all as many, and then the logits l of
    /// `gates` gates, each of them one for every expert; what goes out are the mixtures of `outputs` gates from the gate `first` on.
    #[cfg(feature = "layers")]
    Mixture {
        /// Experts.
        experts: u8,
        /// Gates whose logits come in.
        gates: u8,
        /// The first gate that is used.
        first: u8,
        /// Gates that are used.
        outputs: u8,
        /// What follows the values of each expert, before they are mixed.
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
    /// At least one layer; the last one is dense and makes the outputs (logits, for classification).
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
    /// A row that is a vector.
    pub const fn vector(len: usize, form: InputForm) -> Self {
        Self {
            len,
            form,
            #[cfg(feature = "layers")]
            image: None,
        }
    }

    /// A row that is an image, presented as it is.
    #[cfg(feature = "layers")]
    pub const fn image(shape: Shape) -> Self {
        Self { len: shape.len(), form: InputForm::Plain, image: Some(shape) }
    }

    /// Values that the first layer sees.
    // One copy, of its own, on a microcontroller, to save flash.
    #[cfg_attr(target_os = "none", inline(never))]
    pub const fn presented_len(&self) -> usize {
        match self.form {
            InputForm::Plain | InputForm::Relative => self.len,
            InputForm::Both => 2 * self.len,
        }
    }

    /// What the first layer sees.
    pub const fn presented(&self) -> Shape {
        #[cfg(feature = "layers")]
        if let Some(shape) = self.image {
            return shape;
        }
        Shape::vector(self.presented_len())
    }

    /// Whether the presentation depends on the support inputs.
    pub const fn is_relative(&self) -> bool {
        !matches!(self.form, InputForm::Plain)
    }
}

impl Layer {
    /// What follows the sum.
    pub const fn activation(&self) -> Activation {
        match *self {
            Layer::Dense { activation, .. } => activation,
            #[cfg(feature = "layers")]
            Layer::Convolution { activation, .. }
            | Layer::Depthwise { activation, .. }
            | Layer::LayerNorm { activation }
            | Layer::Residual { activation, .. } => activation,
            #[cfg(feature = "layers")]
            Layer::MaxPool { .. }
            | Layer::AveragePool { .. }
            | Layer::GlobalAveragePool
            | Layer::Flatten
            | Layer::Context { .. }
            // Its own is not behind the sum.
            | Layer::Mixture { .. } => Activation::Identity,
        }
    }

    /// What it makes of an `input`; `None` if it takes no such input.
    pub fn output(&self, input: Shape) -> Option<Shape> {
        #[cfg(feature = "layers")]
        let slid = |window: Window, channels| {
            let [height, width] = window.places(input)?;
            Some(Shape { height, width, channels })
        };
        match *self {
            Layer::Dense { outputs, .. } => input.is_vector().then_some(Shape::vector(outputs)),
            #[cfg(feature = "layers")]
            Layer::Context { len } => input.is_vector().then_some(Shape::vector(input.channels + len)),
            #[cfg(feature = "layers")]
            Layer::Convolution { outputs, window, .. } => slid(window, outputs),
            #[cfg(feature = "layers")]
            Layer::Depthwise { window, .. } => slid(window, input.channels),
            #[cfg(feature = "layers")]
            // A window within the padding would see nothing to pool; the limit is PyTorch's.
            Layer::MaxPool { window } | Layer::AveragePool { window } => {
                let mut axes = window.size.iter().zip(window.padding);
                if axes.all(|(size, padding)| padding <= size / 2) { slid(window, input.channels) } else { None }
            }
            #[cfg(feature = "layers")]
            Layer::GlobalAveragePool => Some(Shape::vector(input.channels)),
            #[cfg(feature = "layers")]
            Layer::Flatten => Some(Shape::vector(input.len())),
            #[cfg(feature = "layers")]
            Layer::LayerNorm { .. } | Layer::Residual { .. } => Some(input),
            #[cfg(feature = "layers")]
            Layer::Mixture { outputs, .. } => {
                let units = self.units_of_expert(input)?;
                Some(Shape::vector(usize::from(outputs) * units))
            }
        }
    }

    /// Values of one expert of a mixture that takes an `input`; `None` if it takes no such input, or is no mixture.
    #[cfg(feature = "layers")]
    pub fn units_of_expert(&self, input: Shape) -> Option<usize> {
        let Layer::Mixture { experts, gates, first, outputs, .. } = *self else { return None };
        let [experts, gates, first, outputs] = [experts, gates, first, outputs].map(usize::from);
        let values = input.channels.checked_sub(gates * experts).filter(|values| *values > 0)?;
        let uses_gates = outputs > 0 && first + outputs <= gates;
        let fits = input.is_vector() && experts > 0 && uses_gates && values % experts == 0;
        fits.then(|| values / experts)
    }
}

impl Head {
    /// Values that the head puts out; 0 for a head that does not end in a dense layer.
    pub fn outputs(&self) -> usize {
        match self.layers.last() {
            Some(Layer::Dense { outputs, .. }) => *outputs,
            #[cfg(feature = "layers")]
            Some(_) => 0,
            None => 0,
        }
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
    // One copy for all callers, to save flash.
    #[inline(never)]
    pub fn output_len(&self) -> usize {
        self.heads.iter().map(Head::outputs).sum()
    }

    /// What the heads see; the shape of a vector of 0 values if the backbone cannot be.
    pub fn features(&self) -> Shape {
        let shape = self.backbone.iter().try_fold(self.input.presented(), |shape, layer| layer.output(shape));
        shape.unwrap_or(Shape::vector(0))
    }

    /// Values that the heads see.
    pub fn feature_len(&self) -> usize {
        self.features().len()
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
        #[cfg(feature = "layers")]
        let image = self.input.image;
        #[cfg(not(feature = "layers"))]
        let image = None::<Shape>;
        match image {
            None => within(self.input.len, MAX_UNITS)?,
            Some(shape) => {
                check_shape(shape)?;
                if shape.len() != self.input.len || self.input.form == InputForm::Both {
                    return Err(SpecError::Image(shape));
                }
            }
        }
        let mut params = 0;
        let features = check_layers(&self.backbone, self.input.presented(), 0, &mut params)?;
        if self.heads.is_empty() {
            return Err(SpecError::NoHead);
        }
        let mut first = self.backbone.len();
        for (index, head) in self.heads.iter().enumerate() {
            let letter = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
            if head.name.is_empty() || !head.name.bytes().all(letter) {
                return Err(SpecError::HeadName(index));
            }
            if self.heads.get(..index).unwrap_or_default().iter().any(|other| other.name == head.name) {
                return Err(SpecError::HeadTwice(index));
            }
            check_layers(&head.layers, features, first, &mut params)?;
            first += head.layers.len();
            let Some(Layer::Dense { activation, .. }) = head.layers.last() else {
                return Err(SpecError::HeadEnd(index));
            };
            if head.loss.is_classification() && *activation != Activation::Identity {
                return Err(SpecError::NotLogits(index));
            }
            if let Loss::Huber { delta } = head.loss
                && !(delta > 0.0 && delta <= f32::MAX)
            {
                return Err(SpecError::HuberDelta(index));
            }
            if !(0.0..=f32::MAX).contains(&head.weight) {
                return Err(SpecError::HeadWeight(index));
            }
        }
        Ok(())
    }
}

fn within(got: usize, most: usize) -> Result<(), SpecError> {
    if (1..=most).contains(&got) { Ok(()) } else { Err(SpecError::Units { got, most }) }
}

fn check_shape(shape: Shape) -> Result<(), SpecError> {
    if shape.is_vector() {
        // What was flattened may be as long as an image.
        return within(shape.channels, MAX_VALUES);
    }
    #[cfg(feature = "layers")]
    {
        let Shape { height, width, channels } = shape;
        within(channels, MAX_UNITS)?;
        let values = height.checked_mul(width).and_then(|pixels| pixels.checked_mul(channels)).unwrap_or(usize::MAX);
        within(values, MAX_VALUES)?;
    }
    Ok(())
}

/// Follows an input through layers, of which the first has the number `first`; adds up the parameters.
fn check_layers(layers: &[Layer], input: Shape, first: usize, params: &mut usize) -> Result<Shape, SpecError> {
    let mut shape = input;
    for (index, layer) in layers.iter().enumerate() {
        let refused = SpecError::Layer { layer: first + index, input: shape };
        match *layer {
            Layer::Dense { outputs: units, .. } => within(units, MAX_UNITS)?,
            #[cfg(feature = "layers")]
            Layer::Convolution { outputs: units, .. } | Layer::Context { len: units } => within(units, MAX_UNITS)?,
            #[cfg(feature = "layers")]
            Layer::Residual { layers: around, .. } => {
                let goes_around = (1..=index).contains(&around).then(|| index - around).ok_or(refused)?;
                let start = layers.iter().take(goes_around).try_fold(input, |shape, layer| layer.output(shape));
                if start != Some(shape) {
                    return Err(refused);
                }
            }
            #[cfg(feature = "layers")]
            _ => {}
        }
        let output = layer.output(shape).ok_or(refused)?;
        check_shape(output)?;
        // Within these limits one layer's product fits 32 bits.
        *params += layer.weight_len(shape) + layer.bias_len(shape);
        if *params > MAX_PARAMS {
            return Err(SpecError::Parameters);
        }
        shape = output;
    }
    Ok(shape)
}

/// `height x width x channels`, and of a vector its length.
impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        #[cfg(feature = "layers")]
        if !self.is_vector() {
            write!(f, "{} x {} x ", self.height, self.width)?;
        }
        self.channels.fmt(f)
    }
}

/// Why a network cannot be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpecError {
    /// An input or layer has this many values or channels.
    Units {
        /// How many.
        got: usize,
        /// How many at most; at least 1.
        most: usize,
    },
    /// The image of the input has not as many values as the input, or is to be presented in both forms.
    Image(Shape),
    /// This layer, counted through backbone and heads, cannot take what comes to it: a dense layer or a context takes vectors, a window
    /// must fit into the image, a residual goes around layers of its own backbone or head that keep the shape, a mixture takes the values of
    /// its experts and the logits of its gates, and uses gates that there are.
    Layer {
        /// Which layer.
        layer: usize,
        /// What comes to it.
        input: Shape,
    },
    /// There are more than [`MAX_PARAMS`] parameters.
    Parameters,
    /// There are more layers or heads than the limits of this module.
    TooMany,
    /// There is no head.
    NoHead,
    /// This head's name is empty, too long, or has other than lower-case letters, digits and `_`.
    HeadName(usize),
    /// This head has the name of an earlier one.
    HeadTwice(usize),
    /// This head's last layer is not a dense one.
    HeadEnd(usize),
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
            SpecError::Units { got, most } => write!(f, "expected 1 to {most} values in an input or layer, got {got}"),
            SpecError::Image(shape) => {
                write!(f, "expected the input to have the {shape} values of its image, and to be presented in one form")
            }
            SpecError::Layer { layer, input } => write!(
                f,
                "layer {layer} cannot take an input of {input}: dense layers and contexts take vectors \
                 (flatten first), windows must fit, a residual goes around at least one layer and keeps the shape"
            ),
            SpecError::Parameters => write!(f, "expected at most {MAX_PARAMS} parameters"),
            SpecError::TooMany => write!(
                f,
                "expected at most {MAX_BACKBONE} backbone layers, {MAX_HEADS} heads and {MAX_HEAD_LAYERS} layers in each"
            ),
            SpecError::NoHead => f.write_str("expected at least one head, got none"),
            SpecError::HeadName(head) => {
                write!(f, "head {head}: expected a name of 1 to {MAX_NAME} lower-case letters, digits and underscores")
            }
            SpecError::HeadTwice(head) => write!(f, "head {head}: an earlier head has the same name"),
            SpecError::HeadEnd(head) => write!(f, "head {head}: expected a dense layer at its end"),
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
        assert_eq!(broken(|n| n.input.len = 0), SpecError::Units { got: 0, most: MAX_UNITS });
        assert_eq!(
            broken(|n| n.backbone[0] = Layer::Dense { outputs: 5000, activation: Activation::Relu }),
            SpecError::Units { got: 5000, most: MAX_UNITS }
        );
        assert_eq!(broken(|n| n.heads.clear()), SpecError::NoHead);
        assert_eq!(broken(|n| n.heads[0].name = Name::try_from("Slip").unwrap()), SpecError::HeadName(0));
        assert_eq!(broken(|n| n.heads.push(n.heads[0].clone()).unwrap()), SpecError::HeadTwice(1));
        assert_eq!(broken(|n| n.heads[0].layers.clear()), SpecError::HeadEnd(0));
        assert_eq!(
            broken(|n| n.heads[0].layers[0] = Layer::Dense { outputs: 2, activation: Activation::Relu }),
            SpecError::NotLogits(0)
        );
        assert_eq!(broken(|n| n.heads[0].loss = Loss::Huber { delta: f32::NAN }), SpecError::HuberDelta(0));
        assert_eq!(broken(|n| n.heads[0].weight = -1.0), SpecError::HeadWeight(0));
    }
}
