//! What may be committed: an update that cannot be trusted leaves everything as it was.

/// When an update is committed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Guard {
    /// All parameters and losses are finite.
    Finite,
    /// And the support loss after the last step is at most the one before the first: costs one more forward pass.
    #[default]
    Improve,
}

/// What became of an update.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The adapted parameters predict from now on.
    Committed,
    /// The deadline came before the first step; parameters are as they were.
    OutOfTime,
    /// A loss or a parameter was not finite; parameters are as they were.
    NotFinite,
    /// The support loss got worse; parameters are as they were.
    Worse,
}
