//! The named networks.

use heapless::Vec;

use crate::spec::{Activation, Head, Input, InputForm, Layer, Loss, Name, NetworkSpec, SpecError};

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
        backbone.push(Layer::Dense { outputs, activation }).map_err(|_| SpecError::TooMany)?;
    }
    let mut layers = Vec::new();
    layers.push(Layer::Dense { outputs, activation: Activation::Identity }).map_err(|_| SpecError::TooMany)?;
    let name = Name::try_from(head).map_err(|_| SpecError::HeadName(0))?;
    let mut heads = Vec::new();
    heads.push(Head { name, layers, loss, weight: 1.0 }).map_err(|_| SpecError::TooMany)?;
    let network = NetworkSpec { input: Input::vector(inputs, form), backbone, heads };
    network.check()?;
    Ok(network)
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
}
