//! What can go wrong, each with the numbers that are needed to put it right.

use core::fmt;

use crate::network::NetworkError;
use crate::reader::LengthError;

/// Why an adapter could not be set up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SetupError {
    /// The network of the bundle cannot be, or not in this build.
    Network(NetworkError),
    /// The rule of the bundle is left out of this build, or its numbers cannot be worked with.
    Rule,
    /// Room for so many support rows cannot be made; at least 1 is expected.
    Capacity(usize),
    /// The memory is too short.
    Memory {
        /// Values that are needed.
        expected: usize,
        /// Values that came.
        got: usize,
    },
    /// A tensor of the bundle has another length than its network says.
    Length(LengthError),
}

impl From<NetworkError> for SetupError {
    fn from(error: NetworkError) -> Self {
        Self::Network(error)
    }
}

impl From<LengthError> for SetupError {
    fn from(error: LengthError) -> Self {
        Self::Length(error)
    }
}

impl fmt::Display for SetupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Network(error) => write!(f, "the network: {error}"),
            Self::Rule => f.write_str(
                "the rule: a runtime built without the feature `rules` has gradient descent alone; numbers above 1e12, or a \
                 prior's precision below 1e-12, cannot be worked with",
            ),
            Self::Capacity(got) => {
                write!(f, "expected room for at least 1 support row that fits the address space, got {got}")
            }
            Self::Memory { expected, got } => write!(f, "expected memory of {expected} values, got {got}"),
            Self::Length(error) => write!(f, "a tensor of the bundle: {error}"),
        }
    }
}

impl core::error::Error for SetupError {}

/// Why a sample was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ObserveError {
    /// A row has the wrong length.
    Length(LengthError),
    /// A value is NaN or infinite.
    NotFinite,
    /// No head of the network is labelled.
    #[cfg(feature = "masks")]
    NoHead,
    /// The rule fits all heads to the same rows, and a label is missing.
    #[cfg(feature = "masks")]
    AllHeads,
}

impl From<LengthError> for ObserveError {
    fn from(error: LengthError) -> Self {
        Self::Length(error)
    }
}

impl fmt::Display for ObserveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Length(error) => error.fmt(f),
            Self::NotFinite => f.write_str("expected finite values, got NaN or infinity"),
            #[cfg(feature = "masks")]
            Self::NoHead => f.write_str("expected the label of one head of the network at least, got none"),
            #[cfg(feature = "masks")]
            Self::AllHeads => f.write_str(
                "expected the labels of all heads: the rule of this bundle fits all of them to the same rows; one that takes gradient \
                 steps does not",
            ),
        }
    }
}

impl core::error::Error for ObserveError {}

/// Why there was nothing to adapt to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AdaptError {
    /// There are not enough support rows.
    NoSupport {
        /// Rows that are needed: one, and those that are held back.
        expected: usize,
        /// Rows that there are.
        got: usize,
    },
    /// No head has a label besides those that are held back.
    #[cfg(feature = "masks")]
    NoLabels {
        /// Labels that one head needs at least: one, and those that are held back.
        expected: usize,
        /// Most labels that a head has.
        got: usize,
    },
    /// The rule takes no gradient steps, which [`crate::Guard::EachHead`] is for.
    #[cfg(feature = "masks")]
    GuardOfSteps,
}

impl fmt::Display for AdaptError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSupport { expected, got } => {
                write!(f, "expected at least {expected} support rows, got {got}: observe before adapting")
            }
            #[cfg(feature = "masks")]
            Self::NoLabels { expected, got } => {
                write!(f, "expected a head with at least {expected} labels, got {got}: observe before adapting")
            }
            #[cfg(feature = "masks")]
            Self::GuardOfSteps => f.write_str(
                "the guard of each head is for rules that take gradient steps; the rule of this bundle takes none: choose another guard",
            ),
        }
    }
}

impl core::error::Error for AdaptError {}

/// Why there is no prediction with a variance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VarianceError {
    /// A row has the wrong length.
    Length(LengthError),
    /// The rule of the bundle knows no variance; a Bayesian one does.
    NoVariance,
}

impl From<LengthError> for VarianceError {
    fn from(error: LengthError) -> Self {
        Self::Length(error)
    }
}

impl fmt::Display for VarianceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Length(error) => error.fmt(f),
            Self::NoVariance => f.write_str("the rule of this bundle knows no variance: one that is Bayesian does"),
        }
    }
}

impl core::error::Error for VarianceError {}

/// The parameters that predicted were changed by something other than an adaptation; the meta-learned start is back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Corrupted;

impl fmt::Display for Corrupted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the parameters were changed by something other than an adaptation; the meta-learned start is back")
    }
}

impl core::error::Error for Corrupted {}
