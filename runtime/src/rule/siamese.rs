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
