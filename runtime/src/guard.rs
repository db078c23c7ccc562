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

/// Whether all values are finite.
pub fn all_finite(values: &[f32]) -> bool {
    // By bits, for a sum of floats would be one long chain.
    let largest = values.iter().fold(0_u32, |largest, value| largest.max(value.to_bits() & 0x7fff_ffff));
    largest < 0x7f80_0000
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finite_means_finite() {
        assert!(all_finite(&[]) && all_finite(&[0.0, -0.0, f32::MAX, f32::MIN, f32::MIN_POSITIVE, 1e-40]));
        for bad in [f32::NAN, -f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            assert!(!all_finite(&[1.0, bad, 2.0]));
        }
    }
}
