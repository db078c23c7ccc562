//! Prototypes: a class is the mean of its embeddings, and the nearest one wins (Snell et al. 2017, eqs. 1–2).
//!
//! Means are running means, so that a sample costs the same whenever it comes and need not be kept. Class by class they are in the
//! caller's memory, and a class that was never seen takes no part; it begins with its first sample.

use crate::kernel::Path;
use crate::kernel::distance::{approach, squared};
use crate::kernel::finite::all_finite;

/// Forgets all classes; `means` is `[classes, embedding_len]`, `counts` `[classes]`.
pub fn clear(means: &mut [f32], counts: &mut [f32]) {
    means.fill(0.0);
    counts.fill(0.0);
}

/// Takes one embedding of `class` into its mean.
///
/// `means` is `[classes, embedding.len()]` and `counts`, `[classes]`, how many each has seen; both are 0 at first. From 2²⁴ samples of a
/// class on, the count stands still and the mean forgets what is older than so many. False, with nothing changed, if the class is
/// beyond the capacity, a length is wrong, or a value is not finite.
pub fn observe(path: Path, embedding: &[f32], class: usize, means: &mut [f32], counts: &mut [f32]) -> bool {
    let len = embedding.len();
    if len == 0 || counts.len().checked_mul(len) != Some(means.len()) || !all_finite(path, embedding) {
        return false;
    }
    let (Some(mean), Some(count)) = (means.chunks_exact_mut(len).nth(class), counts.get_mut(class)) else {
        return false;
    };
    *count += 1.0;
    approach(path, embedding, 1.0 / *count, mean);
    true
}

/// The logit of each class, `−scale |z − c|²`, `[classes]`; −∞ for classes that were never seen, which softmax turns into exactly 0.
///
/// Where no class was seen, all logits are 0: nothing is known, and softmax says so. False, with `logits` unchanged, if a length is
/// wrong.
pub fn logits(path: Path, embedding: &[f32], means: &[f32], counts: &[f32], scale: f32, logits: &mut [f32]) -> bool {
    let len = embedding.len();
    if len == 0 || counts.len().checked_mul(len) != Some(means.len()) || logits.len() != counts.len() {
        return false;
    }
    squared(path, embedding, means, logits);
    let any = counts.iter().any(|count| *count > 0.0);
    for (logit, count) in logits.iter_mut().zip(counts) {
        let unseen = if any { f32::NEG_INFINITY } else { 0.0 };
        *logit = if *count > 0.0 { -scale * *logit } else { unseen };
    }
    true
}
/// What a class unseen is given for a bias: softmax makes exactly 0 of it beside any class that was seen.
const UNSEEN: f32 = -1e30;

/// The linear classifier that `−scale |z − mean|²` amounts to once `−scale |z|²`, which all classes share, is left out (Snell et al.
/// 2017, eq. 8): writes the weight, `[mean.len()]`, and returns the bias.
pub fn as_head(mean: &[f32], seen: bool, scale: f32, weight: &mut [f32]) -> f32 {
    if !seen {
        weight.fill(0.0);
        return UNSEEN;
    }
    weight.iter_mut().zip(mean).for_each(|(weight, mean)| *weight = 2.0 * scale * mean);
    -scale * mean.iter().fold(0.0, |sum, mean| sum + mean * mean)
}
