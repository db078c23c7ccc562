//! The named networks.

use heapless::Vec;

use crate::spec::{Activation, Head, Input, InputForm, Layer, Loss, Name, NetworkSpec, SpecError};
#[cfg(feature = "layers")]
use crate::spec::{MAX_BACKBONE, Window};

/// A multilayer perceptron: dense layers of `hidden` units with `activation`, and one head of one dense layer.
///
/// # Errors
/// If a limit of [`crate::spec`] is passed or a length is 0.
pub fn mlp(
    inputs: usize,
    form: InputForm,
    hidden: &[usize],
    activation: Activation,
    head: &str,
    outputs: usize,
    loss: Loss,
) -> Result<NetworkSpec, SpecError> {
    let mut backbone = Vec::new();
    for &outputs in hidden {
        push(&mut backbone, Layer::Dense { outputs, activation })?;
    }
    with_heads(Input::vector(inputs, form), backbone, &[HeadPlan { name: head, outputs, loss }], &[], activation)
}

fn push<const N: usize>(layers: &mut Vec<Layer, N>, layer: Layer) -> Result<(), SpecError> {
    layers.push(layer).map_err(|_| SpecError::TooMany)
}

/// A head to be made: dense layers of `hidden` units and one of its outputs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct HeadPlan<'a> {
    /// Its name, see [`Head::name`].
    pub name: &'a str,
    /// Values that it puts out.
    pub outputs: usize,
    /// What trains it.
    pub loss: Loss,
}

/// A backbone and its heads, each of dense layers of its own.
fn with_heads(
    input: Input,
    backbone: Vec<Layer, { crate::spec::MAX_BACKBONE }>,
    plans: &[HeadPlan<'_>],
    hidden: &[usize],
    activation: Activation,
) -> Result<NetworkSpec, SpecError> {
    let mut heads = Vec::new();
    for (number, HeadPlan { name, outputs, loss }) in plans.iter().enumerate() {
        let mut layers = Vec::new();
        for &outputs in hidden {
            push(&mut layers, Layer::Dense { outputs, activation })?;
        }
        push(&mut layers, Layer::Dense { outputs: *outputs, activation: Activation::Identity })?;
        let name = Name::try_from(*name).map_err(|_| SpecError::HeadName(number))?;
        heads.push(Head { name, layers, loss: *loss, weight: 1.0 }).map_err(|_| SpecError::TooMany)?;
    }
    let network = NetworkSpec { input, backbone, heads };
    network.check()?;
    Ok(network)
}

/// Blocks of convolutions, as few-shot learning has them (Vinyals et al. 2016, section 4.1: four blocks of 64 channels): a convolution
/// that keeps the size, a normalisation, an activation, and the largest of each window. The normalisation is over the values of one
/// row, not of a batch, so that a robot's prediction for one row does not depend on others.
///
/// For images of height 1, which are series, windows are as long but 1 high.
#[cfg(feature = "layers")]
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Convolutions {
    /// Channels of each block.
    pub channels: Vec<usize, MAX_BACKBONE>,
    /// Pixels along a side of the kernel; odd.
    #[serde(default = "three")]
    pub kernel: u8,
    /// Pixels along a side of the window of which the largest is kept, and from one to the next; 1 keeps all.
    #[serde(default = "two")]
    pub pool: u8,
    /// Whether there is a normalisation.
    #[serde(default = "yes")]
    pub normalised: bool,
}

#[cfg(feature = "layers")]
fn three() -> u8 {
    3
}

#[cfg(feature = "layers")]
fn two() -> u8 {
    2
}

#[cfg(feature = "layers")]
fn yes() -> bool {
    true
}

/// A network of convolutions, then context values and dense layers, and heads.
#[cfg(feature = "layers")]
#[derive(Clone, Copy, Debug)]
pub struct Plan<'a> {
    /// What goes in; an image where there are convolutions.
    pub input: Input,
    /// Blocks of convolutions.
    pub convolutions: Option<&'a Convolutions>,
    /// Context values beside the inputs of the first dense layer; 0 for none.
    pub context: usize,
    /// Units of the dense layers that heads share.
    pub hidden: &'a [usize],
    /// Units of the dense layers before the last of each head.
    pub of_each_head: &'a [usize],
    /// What follows each block and each dense layer.
    pub activation: Activation,
    /// What follows the last dense layer that heads share.
    pub features: Activation,
}

#[cfg(feature = "layers")]
impl Plan<'_> {
    /// The network, with these heads.
    ///
    /// # Errors
    /// If a limit of [`crate::spec`] is passed, a length is 0, or a window does not fit.
    pub fn network(&self, heads: &[HeadPlan<'_>]) -> Result<NetworkSpec, SpecError> {
        let Self { input, context, hidden, of_each_head, activation, .. } = *self;
        let mut backbone = Vec::new();
        if let Some(convolutions) = self.convolutions {
            let flat = input.image.is_some_and(|image| image.height == 1);
            convolutions.push(&mut backbone, flat, activation)?;
        }
        if context > 0 {
            push(&mut backbone, Layer::Context { len: context })?;
        }
        for (number, &outputs) in hidden.iter().enumerate() {
            let last = number + 1 == hidden.len();
            push(&mut backbone, Layer::Dense { outputs, activation: if last { self.features } else { activation } })?;
        }
        with_heads(input, backbone, heads, of_each_head, activation)
    }
}

#[cfg(feature = "layers")]
impl Convolutions {
    fn push(&self, layers: &mut Vec<Layer, MAX_BACKBONE>, flat: bool, activation: Activation) -> Result<(), SpecError> {
        let window = |size: u8, stride: u8, padding: u8| {
            let mut window = Window::square(size, stride, padding);
            if flat {
                (window.size[0], window.stride[0], window.padding[0]) = (1, 1, 0);
            }
            window
        };
        let kernel = window(self.kernel, 1, self.kernel / 2);
        for &outputs in &self.channels {
            let after = if self.normalised { Activation::Identity } else { activation };
            push(layers, Layer::Convolution { outputs, window: kernel, activation: after })?;
            if self.normalised {
                push(layers, Layer::LayerNorm { activation })?;
            }
            if self.pool > 1 {
                push(layers, Layer::MaxPool { window: window(self.pool, self.pool, 0) })?;
            }
        }
        push(layers, Layer::Flatten)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_too_many_layers() {
        let many = [4; crate::spec::MAX_BACKBONE + 1];
        let refused = mlp(1, InputForm::Plain, &many, Activation::Relu, "y", 1, Loss::MeanSquared);
        assert_eq!(refused, Err(SpecError::TooMany));
    }

    #[cfg(feature = "layers")]
    #[test]
    fn four_blocks_of_64_channels_leave_64_features_of_omniglot() {
        let head = |outputs| HeadPlan { name: "output", outputs, loss: Loss::CrossEntropy };
        let channels = Vec::from_slice(&[64; 4]).unwrap();
        let convolutions = Convolutions { channels, kernel: 3, pool: 2, normalised: true };
        let image = crate::spec::Shape { height: 28, width: 28, channels: 1 };
        let plan = Plan {
            input: Input::image(image),
            convolutions: Some(&convolutions),
            context: 0,
            hidden: &[],
            of_each_head: &[],
            activation: Activation::Relu,
            features: Activation::Relu,
        };
        let network = plan.network(&[head(5)]).unwrap();
        // The paper's 111,936 without its head: 64 (9 + 1) + 3 · 64 (64 · 9 + 1), and two of each channel for the normalisation.
        assert_eq!((network.feature_len(), network.param_len()), (64, 640 + 3 * 36_928 + 4 * 128 + 5 * 65));
        let two =
            Plan { of_each_head: &[8], ..plan }.network(&[head(5), HeadPlan { name: "other", ..head(2) }]).unwrap();
        assert_eq!((two.output_len(), two.heads[1].layers.len()), (7, 2));
        let series = crate::spec::Shape { height: 1, width: 100, channels: 6 };
        let plan = Plan { input: Input::image(series), context: 3, hidden: &[20], ..plan };
        assert_eq!(plan.network(&[head(4)]).unwrap().feature_len(), 20);
    }
}
