//! Numbers by which predictions are judged, and how sure a handful of them makes us.
//!
//! A score is NaN where it cannot be told (no rows, or no row of one class), and a [`Summary`] leaves NaN out. So that
//! a learner cannot hide behind that, a *prediction* that is NaN counts as the worst there is: a wrong class,
//! the last rank, an infinite error.

mod expected;
mod summary;

use crate::episode::Samples;
use crate::world::{Metric, Predictor};
pub use expected::{expected_auroc, expected_log_loss, expected_pick};
pub(crate) use summary::student_t;
pub use summary::{Ratio, Summary};

/// What [`of_classes`] measures.
pub const OF_CLASSES: [Metric; 2] = [Metric::higher("accuracy", "1"), Metric::lower("log_loss", "nat")];

/// What [`of_uneven_classes`] measures.
pub const OF_UNEVEN_CLASSES: [Metric; 3] = [Metric::higher("balanced_accuracy", "1"), OF_CLASSES[0], OF_CLASSES[1]];

/// Judges a classifier on a query set of one-hot targets: [`accuracy`] and [`class_log_loss`]. NaN without rows.
pub fn of_classes(query: &Samples, predictor: &mut Predictor<'_>) -> Vec<f64> {
    let classes = query.output_len();
    let mut said = vec![0.0; query.targets.len()];
    if query.rows > 0 {
        predictor(&query.inputs, &mut said);
    }
    vec![accuracy(&said, &query.targets, classes), class_log_loss(&said, &query.targets, classes)]
}

/// As [`of_classes`], with [`balanced_accuracy_of_classes`] before: for query sets with more rows of one class than of another.
pub fn of_uneven_classes(query: &Samples, predictor: &mut Predictor<'_>) -> Vec<f64> {
    let mut said = vec![0.0; query.targets.len()];
    let others = of_classes(query, &mut |inputs, outputs| {
        predictor(inputs, outputs);
        said.copy_from_slice(outputs);
    });
    let balanced = balanced_accuracy_of_classes(&said, &query.targets, query.output_len());
    [vec![balanced], others].concat()
}

/// Probabilities are kept this far from 0 and 1 before a logarithm is taken, so one row costs at most 16.1.
pub const SMALLEST_PROBABILITY: f64 = 1e-7;

/// Mean of the recalls of class 0 and class 1, with 0.5 as the threshold; 0.5 is chance. NaN without both classes.
///
/// ```
/// # use sinew_trainer::metric::balanced_accuracy;
/// assert_eq!(balanced_accuracy(&[0.9, 0.8, 0.7, 0.1], &[1.0, 1.0, 0.0, 0.0]), 0.75);
/// ```
pub fn balanced_accuracy(probabilities: &[f32], targets: &[f32]) -> f64 {
    let (mut rows, mut right) = ([0_u32; 2], [0_u32; 2]);
    for (&probability, &target) in probabilities.iter().zip(targets) {
        let class = usize::from(target > 0.5);
        let hit = if class == 1 { probability > 0.5 } else { probability <= 0.5 };
        rows[class] += 1;
        right[class] += u32::from(hit);
    }
    // 0 / 0 is the NaN that is promised.
    (f64::from(right[0]) / f64::from(rows[0]) + f64::from(right[1]) / f64::from(rows[1])) / 2.0
}

/// Mean over the classes that have rows of their recall, the largest probability winning; rows have `classes` values. NaN unless two
/// classes have rows.
///
/// ```
/// # use sinew_trainer::metric::balanced_accuracy_of_classes;
/// let (said, targets) = ([0.9, 0.1, 0.8, 0.2, 0.7, 0.3, 0.6, 0.4], [1.0, 0.0, 1.0, 0.0, 1.0, 0.0, 0.0, 1.0]);
/// assert_eq!(balanced_accuracy_of_classes(&said, &targets, 2), 0.5);
/// ```
pub fn balanced_accuracy_of_classes(probabilities: &[f32], targets: &[f32], classes: usize) -> f64 {
    let (mut rows, mut right) = (vec![0_u32; classes], vec![0_u32; classes]);
    for (row, target) in probabilities.chunks_exact(classes.max(1)).zip(targets.chunks_exact(classes.max(1))) {
        let Some(class) = largest(target) else { continue };
        rows[class] += 1;
        right[class] += u32::from(row.iter().all(|value| !value.is_nan()) && largest(row) == Some(class));
    }
    let recalls = rows.iter().zip(&right).filter(|(rows, _)| **rows > 0);
    if recalls.clone().count() < 2 {
        return f64::NAN;
    }
    mean(recalls.map(|(rows, right)| f64::from(*right) / f64::from(*rows)))
}

/// Area under the receiver operating characteristic: how often a row of class 1 gets the larger score of a pair, a tie
/// counting half. By ranks (Mann and Whitney 1947), in `n log n`. NaN without both classes.
pub fn auroc(scores: &[f32], targets: &[f32]) -> f64 {
    let mut rows: Vec<(f32, bool)> =
        scores.iter().zip(targets).map(|(&score, &target)| (ranked(score, target), target > 0.5)).collect();
    rows.sort_by(|a, b| a.0.total_cmp(&b.0));
    let positives = rows.iter().filter(|row| row.1).count() as f64;
    let negatives = rows.len() as f64 - positives;
    let (mut rank_sum, mut before) = (0.0, 0);
    for tied in rows.chunk_by(|a, b| a.0 == b.0) {
        let rank = before as f64 + (tied.len() + 1) as f64 / 2.0;
        rank_sum += rank * tied.iter().filter(|row| row.1).count() as f64;
        before += tied.len();
    }
    (rank_sum - positives * (positives + 1.0) / 2.0) / (positives * negatives)
}

/// The score by which a row is ranked: a NaN goes to the wrong end.
fn ranked(score: f32, target: f32) -> f32 {
    match (score.is_nan(), target > 0.5) {
        (false, _) => score,
        (true, true) => f32::NEG_INFINITY,
        (true, false) => f32::INFINITY,
    }
}

/// Mean of `−ln p(target)` over rows of one probability each, in nats. NaN without rows.
pub fn log_loss(probabilities: &[f32], targets: &[f32]) -> f64 {
    mean(probabilities.iter().zip(targets).map(|(&probability, &target)| {
        let probability = f64::from(probability);
        surprise(if target > 0.5 { probability } else { 1.0 - probability })
    }))
}

/// Share of rows whose largest probability stands at the target's one; rows have `classes` values. NaN without rows.
pub fn accuracy(probabilities: &[f32], targets: &[f32], classes: usize) -> f64 {
    let rows = probabilities.chunks_exact(classes.max(1)).zip(targets.chunks_exact(classes.max(1)));
    mean(rows.map(|(row, target)| {
        let whole = row.iter().all(|value| !value.is_nan());
        if whole && largest(row) == largest(target) { 1.0 } else { 0.0 }
    }))
}

/// Mean of `−ln p(target)` over rows of `classes` probabilities each, in nats. NaN without rows.
pub fn class_log_loss(probabilities: &[f32], targets: &[f32], classes: usize) -> f64 {
    let rows = probabilities.chunks_exact(classes.max(1)).zip(targets.chunks_exact(classes.max(1)));
    mean(rows.map(|(row, target)| {
        let probability = largest(target).map_or(f64::NAN, |class| f64::from(row[class]));
        surprise(probability)
    }))
}

/// Mean squared error over all values. NaN without values.
pub fn mse(predictions: &[f32], targets: &[f32]) -> f64 {
    mean(errors(predictions, targets).map(|error| error * error))
}

/// Root of the mean squared error over all values. NaN without values.
pub fn rmse(predictions: &[f32], targets: &[f32]) -> f64 {
    mse(predictions, targets).sqrt()
}

/// Mean absolute error over all values. NaN without values.
pub fn mae(predictions: &[f32], targets: &[f32]) -> f64 {
    mean(errors(predictions, targets))
}

fn errors(predictions: &[f32], targets: &[f32]) -> impl Iterator<Item = f64> {
    predictions.iter().zip(targets).map(|(&prediction, &target)| {
        let error = (f64::from(prediction) - f64::from(target)).abs();
        if error.is_nan() { f64::INFINITY } else { error }
    })
}

fn surprise(probability: f64) -> f64 {
    let probability = if probability.is_nan() { 0.0 } else { probability };
    -probability.clamp(SMALLEST_PROBABILITY, 1.0 - SMALLEST_PROBABILITY).ln()
}

/// The first place of the largest value.
fn largest(row: &[f32]) -> Option<usize> {
    (0..row.len()).reduce(|best, next| if row[next] > row[best] { next } else { best })
}

fn mean(values: impl Iterator<Item = f64>) -> f64 {
    let (sum, count) = values.fold((0.0, 0_usize), |(sum, count), value| (sum + value, count + 1));
    sum / count as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NAN: f32 = f32::NAN;

    fn close(a: f64, b: f64) -> bool {
        (a - b).abs() <= 1e-9 * (1.0 + b.abs())
    }

    /// Every pair, counted: the slow twin of the ranks.
    fn auroc_by_pairs(scores: &[f32], targets: &[f32]) -> f64 {
        let (mut won, mut pairs) = (0.0, 0.0);
        for (i, _) in targets.iter().enumerate().filter(|row| *row.1 > 0.5) {
            for (j, _) in targets.iter().enumerate().filter(|row| *row.1 <= 0.5) {
                pairs += 1.0;
                won += if scores[i] > scores[j] {
                    1.0
                } else if scores[i] == scores[j] {
                    0.5
                } else {
                    0.0
                };
            }
        }
        won / pairs
    }

    proptest! {
        #[test]
        fn ranks_agree_with_pairs(rows in prop::collection::vec((0_u8..6, any::<bool>()), 1..40)) {
            let scores: Vec<f32> = rows.iter().map(|row| f32::from(row.0) / 5.0).collect();
            let targets: Vec<f32> = rows.iter().map(|row| f32::from(u8::from(row.1))).collect();
            let (fast, slow) = (auroc(&scores, &targets), auroc_by_pairs(&scores, &targets));
            prop_assert!(fast.is_nan() == slow.is_nan());
            prop_assert!(slow.is_nan() || close(fast, slow));
        }
    }

    #[test]
    fn one_class_alone_cannot_be_judged() {
        assert!(balanced_accuracy(&[0.2, 0.9], &[1.0, 1.0]).is_nan());
        assert!(auroc(&[0.2, 0.9], &[0.0, 0.0]).is_nan());
        assert!(log_loss(&[], &[]).is_nan() && accuracy(&[], &[], 3).is_nan() && rmse(&[], &[]).is_nan());
    }

    #[test]
    fn a_nan_prediction_is_the_worst_there_is() {
        assert_eq!(balanced_accuracy(&[NAN, NAN], &[0.0, 1.0]), 0.0);
        assert_eq!(auroc(&[NAN, NAN], &[0.0, 1.0]), 0.0);
        assert!(close(log_loss(&[NAN], &[1.0]), -SMALLEST_PROBABILITY.ln()));
        assert!(close(log_loss(&[NAN], &[0.0]), -SMALLEST_PROBABILITY.ln()));
        assert_eq!(accuracy(&[NAN, 1.0], &[0.0, 1.0], 2), 0.0);
        assert_eq!((rmse(&[NAN], &[1.0]), mae(&[NAN], &[1.0])), (f64::INFINITY, f64::INFINITY));
    }

    #[test]
    fn probabilities_are_clamped() {
        assert!(close(
            log_loss(&[0.0, 1.0], &[1.0, 1.0]),
            -(SMALLEST_PROBABILITY.ln() + (1.0 - SMALLEST_PROBABILITY).ln()) / 2.0
        ));
        assert!(close(log_loss(&[0.25, 0.5], &[0.0, 1.0]), -(0.75_f64.ln() + 0.5_f64.ln()) / 2.0));
        assert!(close(class_log_loss(&[0.5, 0.25, 0.25], &[0.0, 0.0, 1.0], 3), 4.0_f64.ln()));
        assert!(accuracy(&[0.5, 0.25, 0.25, 0.1, 0.2, 0.7], &[1.0, 0.0, 0.0, 0.0, 1.0, 0.0], 3) == 0.5);
    }

    #[test]
    fn errors_by_hand() {
        assert!(close(rmse(&[1.0, 2.0], &[1.0, 5.0]), 4.5_f64.sqrt()));
        assert!(close(mae(&[1.0, 2.0], &[1.0, 5.0]), 1.5));
    }
}
