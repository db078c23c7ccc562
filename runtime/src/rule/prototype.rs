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
/// A cross-entropy that multiplies such a logit by a target of 0 gives NaN: look at the classes that were seen.
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

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use super::*;

    fn embedding(i: usize, len: usize) -> Vec<f32> {
        (0..len).map(|j| (((i * 131 + j) * 7919 + 13) % 1009) as f32 / 504.5 - 1.0).collect()
    }

    #[test]
    fn logits_are_distances_from_class_means() {
        for path in Path::available() {
            for len in [1, 5, 16, 64] {
                let (mut means, mut counts) = (std::vec![0.0; 6 * len], [0.0; 6]);
                // Class 3 stays unseen.
                let class = |i: usize| [0, 1, 2, 4, 5][i % 5];
                for i in 0..25 {
                    assert!(observe(path, &embedding(i, len), class(i), &mut means, &mut counts));
                }
                let mut got = [f32::NAN; 6];
                let query = embedding(99, len);
                assert!(logits(path, &query, &means, &counts, 0.5, &mut got));
                assert_eq!((counts[3], got[3]), (0.0, f32::NEG_INFINITY));
                for k in [0, 1, 2, 4, 5] {
                    let of: Vec<_> = (0..25).filter(|i| class(*i) == k).map(|i| embedding(i, len)).collect();
                    let mean = |j: usize| of.iter().map(|z| f64::from(z[j])).sum::<f64>() / of.len() as f64;
                    let want: f64 = (0..len).map(|j| -0.5 * (f64::from(query[j]) - mean(j)).powi(2)).sum();
                    assert!((f64::from(got[k]) - want).abs() <= 1e-5 * len as f64, "{} {len}", path.name());
                }
            }
        }
    }

    #[test]
    fn a_new_class_joins_at_run_time_and_none_means_nothing_is_known() {
        let path = Path::detect();
        let (mut means, mut counts, mut got) = ([0.0; 6], [0.0; 3], [f32::NAN; 3]);
        assert!(logits(path, &[1.0, 2.0], &means, &counts, 1.0, &mut got));
        assert_eq!(got, [0.0; 3]);
        assert!(observe(path, &[1.0, 1.0], 2, &mut means, &mut counts));
        assert!(logits(path, &[1.0, 2.0], &means, &counts, 1.0, &mut got));
        assert_eq!(got, [f32::NEG_INFINITY, f32::NEG_INFINITY, -1.0]);
        assert!(observe(path, &[1.0, 4.0], 0, &mut means, &mut counts));
        assert!(logits(path, &[1.0, 2.0], &means, &counts, 1.0, &mut got));
        assert_eq!(got, [-4.0, f32::NEG_INFINITY, -1.0]);
        clear(&mut means, &mut counts);
        assert!(logits(path, &[1.0, 2.0], &means, &counts, 1.0, &mut got));
        assert_eq!(got, [0.0; 3]);
    }

    #[test]
    fn faults_change_nothing() {
        for path in Path::available() {
            let (mut means, mut counts) = ([0.0; 6], [0.0; 3]);
            for bad in [f32::NAN, f32::INFINITY] {
                assert!(!observe(path, &[0.0, bad], 1, &mut means, &mut counts));
            }
            assert!(!observe(path, &[0.0, 1.0], 3, &mut means, &mut counts));
            assert!(!observe(path, &[0.0], 0, &mut means, &mut counts) && !observe(path, &[], 0, &mut [], &mut counts));
            assert_eq!((means, counts), ([0.0; 6], [0.0; 3]));
            assert!(!logits(path, &[0.0; 2], &means, &counts, 1.0, &mut [0.0; 2]));
        }
    }
}
