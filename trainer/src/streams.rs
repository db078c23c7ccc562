//! Random numbers by purpose: everything that is drawn follows from the seed, the purpose and a number, whoever draws it when.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

/// What numbers are drawn for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// The first parameters.
    Initial = 1,
    /// Episodes from which scales are taken.
    Scaling = 2,
    /// Training episodes; the number is the iteration and the place in the batch.
    Training = 3,
    /// Validation episodes.
    Validation = 4,
    /// Evaluation episodes.
    Evaluation = 5,
    /// Episodes on which a baseline's settings are chosen.
    Choice = 6,
    /// The first parameters of a network that is trained from scratch on a support set.
    Scratch = 7,
    /// Whose labels a support carries.
    Labels = 8,
}

/// Most draws of one purpose that share a major number.
const MINOR_BITS: u32 = 20;

/// The generator for the draw `(major, minor)` of `purpose`.
pub fn rng(seed: u64, purpose: Purpose, major: u64, minor: u64) -> ChaCha8Rng {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream((purpose as u64) << 60 | (major << MINOR_BITS | minor) & ((1 << 60) - 1));
    rng
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::RngExt;

    #[test]
    fn draws_differ_and_repeat() {
        let draw = |purpose, major, minor| rng(7, purpose, major, minor).random::<u64>();
        assert_eq!(draw(Purpose::Training, 3, 4), draw(Purpose::Training, 3, 4));
        let all = [
            draw(Purpose::Training, 3, 4),
            draw(Purpose::Training, 4, 3),
            draw(Purpose::Training, 3, 5),
            draw(Purpose::Validation, 3, 4),
        ];
        for (i, a) in all.iter().enumerate() {
            assert!(all[..i].iter().all(|b| a != b));
        }
    }
}
