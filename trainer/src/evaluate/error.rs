//! Why nothing could be evaluated.

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
    /// Labels that cannot be.
    #[error("--labels: {0}")]
    Labels(#[from] crate::labels::LabelsError),
    /// Baselines beside a support without all labels.
    #[error("--labels: expected all labels, as the baselines are there, which need them; leave out --baselines")]
    BaselinesOfLabels,
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
