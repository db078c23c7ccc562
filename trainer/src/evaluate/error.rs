//! Why nothing could be evaluated.

use sinew_models::spec::InputForm;
use sinew_runtime::adapter::SetupError;
use sinew_runtime::network::NetworkError;
use sinew_runtime::reader::BundleError;

/// Why nothing could be evaluated.
#[derive(Debug, thiserror::Error)]
pub enum EvaluateError {
    /// The bundle is for another world.
    #[error(
        "the bundle takes {bundle_inputs} inputs and gives {bundle_outputs} outputs, the world `{world}` has {inputs} and {outputs}"
    )]
    Shape {
        /// The world.
        world: String,
        /// Its inputs.
        inputs: usize,
        /// Its outputs.
        outputs: usize,
        /// The bundle's inputs.
        bundle_inputs: usize,
        /// The bundle's outputs.
        bundle_outputs: usize,
    },
    /// A device cannot take what lacks labels.
    #[error(
        "support rows of the world `{world}` lack labels of some heads, so that a device cannot take them: expected --steps 0 and a network with plain inputs, found --steps {steps} and {form:?} inputs"
    )]
    MissingLabels {
        /// The world.
        world: String,
        /// The most steps asked for.
        steps: usize,
        /// How the bundle's inputs are presented.
        form: InputForm,
    },
    /// There is nothing to evaluate on.
    #[error("the world `{world}` has no {split} episode with {shots} shots")]
    NoEpisodes {
        /// The world.
        world: String,
        /// The part of the world.
        split: &'static str,
        /// The shots.
        shots: usize,
    },
    /// The bundle.
    #[error(transparent)]
    Bundle(#[from] BundleError),
    /// The adapter.
    #[error(transparent)]
    Setup(#[from] SetupError),
    /// A network.
    #[error(transparent)]
    Network(#[from] NetworkError),
    /// A slice.
    #[error(transparent)]
    Length(#[from] sinew_runtime::LengthError),
    /// A sample.
    #[error("a support sample was refused: {0}")]
    Observe(#[from] sinew_runtime::ObserveError),
}
