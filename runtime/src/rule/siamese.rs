//! Siamese comparison: how alike a query and a stored support row are, by a learned weighted distance (Koch et al. 2015, section 3.1).

use crate::kernel::Path;
use crate::kernel::activation::sigmoid;
use crate::kernel::distance::weighted;

/// `σ(b + Σ_j α_j |z_j − s_j|)` for the embedding z of the query and each row s of the support.
///
/// `support` is `[scores.len(), query.len()]`, `weight` α `[query.len()]`, `bias` b. A score is between 0 and 1, 1 for alike. False, with
/// `scores` unchanged, if a length is wrong.
pub fn scores(path: Path, query: &[f32], support: &[f32], weight: &[f32], bias: f32, scores: &mut [f32]) -> bool {
    let len = query.len();
    if len == 0 || weight.len() != len || scores.len().checked_mul(len) != Some(support.len()) {
        return false;
    }
    weighted(path, query, support, weight, scores);
    scores.iter_mut().for_each(|score| *score = sigmoid(bias + *score));
    true
}

/// The highest score among the rows of each class, `[classes]`; 0 for classes without a row.
///
/// `classes` gives the class of each row; rows of a class beyond `best` are left out. A score that is not a number stays one.
pub fn best_of_classes(scores: &[f32], classes: impl IntoIterator<Item = usize>, best: &mut [f32]) {
    best.fill(0.0);
    for (score, class) in scores.iter().zip(classes) {
        if let Some(best) = best.get_mut(class) {
            // Written so that NaN, once there, is never taken for a low score.
            let lower = *score <= *best || best.is_nan();
            if !lower {
                *best = *score;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use super::*;

    #[test]
    fn scores_follow_the_definition_on_every_path() {
        let values = |len: usize, seed: usize| -> Vec<f32> {
            (0..len).map(|i| (((i + seed * 97) * 7919 + 13) % 1009) as f32 / 504.5 - 1.0).collect()
        };
        for path in Path::available() {
            for len in [1, 7, 16, 64] {
                for rows in [0, 1, 9, 25] {
                    let (query, weight) = (values(len, 1), values(len, 2));
                    let support = values(rows * len, 3);
                    let mut got = std::vec![f32::NAN; rows];
                    assert!(scores(path, &query, &support, &weight, -0.3, &mut got));
                    for (got, row) in got.iter().zip(support.chunks_exact(len)) {
                        let term = |j: usize| f64::from(weight[j]) * (f64::from(query[j]) - f64::from(row[j])).abs();
                        let sum = -f64::from(0.3_f32) + (0..len).map(term).sum::<f64>();
                        let want = 1.0 / (1.0 + (-sum).exp());
                        assert!((f64::from(*got) - want).abs() <= 2e-6, "{} {len}", path.name());
                    }
                    let mut one_more = std::vec![0.0; rows + 1];
                    assert!(!scores(path, &query, &support, &weight, 0.0, &mut one_more));
                }
            }
        }
    }

    #[test]
    fn the_best_row_speaks_for_its_class() {
        let mut best = [f32::NAN; 4];
        best_of_classes(&[0.2, 0.9, 0.4, 0.3, 0.8], [0, 2, 0, 2, 7], &mut best);
        assert_eq!(best, [0.4, 0.0, 0.9, 0.0]);
        for scores in [[f32::NAN, 0.5], [0.5, f32::NAN]] {
            best_of_classes(&scores, [1, 1], &mut best);
            assert!(best[1].is_nan() && best[0] == 0.0);
        }
    }
}
