//! Which groups are learned from, which chosen on, which tested on.

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use serde::Deserialize;

use super::DatasetError;
use crate::world::Split;

/// `[split]`: shares of the groups, and the seed of the shuffle before them.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Shares {
    pub validation: f64,
    pub test: f64,
    pub seed: u64,
}

impl Default for Shares {
    fn default() -> Self {
        Self { validation: 0.2, test: 0.2, seed: 0 }
    }
}

/// How many of `groups` a share is: rounded, and one at least where it is not 0.
fn portion(share: f64, groups: usize) -> usize {
    let rounded = (share * groups as f64).round() as usize;
    if share > 0.0 { rounded.max(1) } else { 0 }
}

fn shuffled(groups: usize, seed: u64) -> Vec<usize> {
    let mut order: Vec<usize> = (0..groups).collect();
    order.shuffle(&mut ChaCha8Rng::seed_from_u64(seed));
    order
}

/// The split of each group, by the shares.
pub(super) fn by_share(groups: usize, shares: &Shares) -> Result<Vec<Split>, DatasetError> {
    let Shares { validation, test, seed } = *shares;
    let tested = portion(test, groups).min(groups);
    let validated = portion(validation, groups).min(groups - tested);
    // Shares that add up to 1 ask for no training split; rounding alone must not take it away.
    if tested + validated == groups && validation + test < 1.0 {
        return Err(DatasetError::TooFewGroups { groups, validation, test });
    }
    let mut splits = vec![Split::Train; groups];
    for (place, group) in shuffled(groups, seed).into_iter().enumerate() {
        if place < tested {
            splits[group] = Split::Test;
        } else if place < tested + validated {
            splits[group] = Split::Validation;
        }
    }
    Ok(splits)
}

/// The split of each group in one fold: the fold itself is the test; the validation groups are taken from the folds after it,
/// so that over all folds they differ too. One group at least is left to train on.
pub(super) fn by_fold(
    groups: usize,
    fold: usize,
    folds: usize,
    validation: f64,
    seed: u64,
) -> Result<Vec<Split>, DatasetError> {
    if folds < 2 || fold >= folds || folds > groups {
        return Err(DatasetError::Fold { fold, folds, groups });
    }
    let order = shuffled(groups, seed);
    let mut splits = vec![Split::Train; groups];
    let mut rest: Vec<usize> = (0..groups).collect();
    rest.retain(|place| place % folds != fold);
    rest.sort_by_key(|place| ((place + folds - fold) % folds, *place));
    order.iter().skip(fold).step_by(folds).for_each(|&group| splits[group] = Split::Test);
    let validated = portion(validation, groups).min(rest.len() - 1);
    rest[..validated].iter().for_each(|&place| splits[order[place]] = Split::Validation);
    Ok(splits)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn count(splits: &[Split], split: Split) -> usize {
        splits.iter().filter(|other| **other == split).count()
    }

    proptest! {
        #[test]
        fn every_group_is_tested_in_one_fold(groups in 2_usize..60, folds in 2_usize..10, validation in 0.0..1.0_f64, seed: u64) {
            prop_assume!(folds <= groups);
            let mut tested = vec![0; groups];
            for fold in 0..folds {
                let splits = by_fold(groups, fold, folds, validation, seed).unwrap();
                prop_assert!(count(&splits, Split::Train) >= 1);
                let size = count(&splits, Split::Test);
                prop_assert!(size == groups / folds || size == groups.div_ceil(folds));
                splits.iter().zip(&mut tested).for_each(|(split, times)| *times += usize::from(*split == Split::Test));
            }
            prop_assert!(tested.iter().all(|times| *times == 1));
        }
    }

    #[test]
    fn shares_are_kept() {
        let splits = by_share(41, &Shares { validation: 0.1, test: 0.2, seed: 3 }).unwrap();
        assert_eq!((count(&splits, Split::Validation), count(&splits, Split::Test)), (4, 8));
        assert_ne!(splits, by_share(41, &Shares { validation: 0.1, test: 0.2, seed: 4 }).unwrap());
        let all = by_share(3, &Shares { validation: 0.0, test: 1.0, seed: 0 }).unwrap();
        assert_eq!(count(&all, Split::Test), 3);
        assert!(by_share(2, &Shares::default()).is_err());
    }

    #[test]
    fn folds_that_do_not_exist_are_refused() {
        for (groups, fold, folds) in [(5, 0, 1), (5, 5, 5), (5, 0, 6), (0, 0, 0)] {
            assert!(by_fold(groups, fold, folds, 0.2, 0).is_err());
        }
    }

    #[test]
    fn validation_groups_differ_between_folds() {
        let chosen = |fold| -> Vec<bool> {
            by_fold(40, fold, 5, 0.2, 0).unwrap().iter().map(|split| *split == Split::Validation).collect()
        };
        assert!(chosen(0).iter().zip(chosen(1)).all(|(a, b)| !(*a && b)));
    }
}
