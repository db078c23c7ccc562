//! What is kept of an inner loop for the way back through it.

use super::InnerLoop;

/// What is kept of an inner loop of S steps for the way back through it, for each task that is under way: time against memory, the same
/// bits. Where nothing goes back through the steps (first order at rates that are not learned, losses alone), nothing is kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kept {
    /// The parameters and all activations of every step. Nothing is computed twice.
    #[default]
    Activations,
    /// The parameters of every step. Activations are computed again.
    Parameters,
    /// The parameters of every √S-th step; those between, and activations, are computed again (Griewank 1992, with one level of
    /// recursion).
    Checkpoints,
}

impl Kept {
    /// The length of the segments into which `steps` inner steps fall: parameters are kept at their starts, activations within one.
    pub fn segment(self, steps: usize) -> usize {
        let least = match self {
            Self::Activations => steps,
            Self::Parameters => 1,
            Self::Checkpoints => steps.isqrt() + usize::from(steps.isqrt().pow(2) < steps),
        };
        least.max(1)
    }
}

/// The segments of an inner loop of which something is kept.
#[derive(Clone, Copy, Debug)]
pub(super) struct Segments {
    steps: usize,
    length: usize,
}

impl Segments {
    pub fn of(inner: &InnerLoop) -> Self {
        Self { steps: inner.steps, length: inner.kept.segment(inner.steps) }
    }

    /// How many there are.
    pub fn count(self) -> usize {
        self.steps.div_ceil(self.length)
    }

    /// The first step of a segment, and how many it has.
    pub fn extent(self, number: usize) -> (usize, usize) {
        (number * self.length, self.length.min(self.steps - number * self.length))
    }
}

/// How many parameter vectors and traces of steps an inner loop keeps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Held {
    pub params: usize,
    pub traces: usize,
}

impl Held {
    /// With a gradient `wanted`, or for losses alone.
    pub fn of(inner: &InnerLoop, wanted: bool) -> Self {
        if wanted && inner.goes_back() {
            let segment = inner.kept.segment(inner.steps);
            let traces = segment.min(inner.steps);
            Self { params: inner.steps.div_ceil(segment) + traces.saturating_sub(1), traces }
        } else {
            Self { params: inner.steps.min(2), traces: inner.steps.min(1) }
        }
    }
}
