//! Why an engine cannot do what it is asked.

/// Why there is no engine, or it cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The network cannot be.
    #[error("the network: {0}")]
    Network(#[from] sinew_runtime::network::NetworkError),
    /// The learner trains another kind of rule.
    #[error("this learner trains a gradient rule without momentum, got {0:?}")]
    Rule(sinew_models::rule::Rule),
    /// The threads could not be started.
    #[error("{threads} threads could not be started: {source}")]
    Threads {
        /// How many were asked for.
        threads: usize,
        /// Why.
        source: rayon::ThreadPoolBuildError,
    },
    /// The device.
    #[error(transparent)]
    Device(#[from] crate::cuda::DeviceError),
    /// Something has another length than network and tasks ask for.
    #[error("{what}: expected {expected} values, got {got}")]
    Length {
        /// What has it.
        what: &'static str,
        /// The right length.
        expected: usize,
        /// Its length.
        got: usize,
    },
}
