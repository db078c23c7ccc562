//! What the methods do on the simplex {w: wᵢ ≥ 0, Σ wᵢ = 1}.

use nalgebra::{Cholesky, DMatrix, DVector};

/// exp(xᵢ) / Σ exp(xⱼ).
pub(super) fn softmax(logits: &[f64]) -> Vec<f64> {
    let top = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let powers: Vec<f64> = logits.iter().map(|logit| (logit - top).exp()).collect();
    let sum: f64 = powers.iter().sum();
    powers.into_iter().map(|power| power / sum).collect()
}

/// Most rounds of [`minimise`]; some ten are usual. What it has then is on the simplex, and as near as that many rounds let it be.
const MOST_ROUNDS: usize = 1000;
/// It ends when no two tasks between which weight could shift differ in their derivatives by more than this, relative to the numbers given.
const TOLERANCE: f64 = 1e-13;
/// What is added to the second derivatives on a face, relative to the largest: gradients may depend on each other.
const RIDGE: f64 = 1e-14;

/// Moves `w` to where ½ wᵀAw + bᵀw is least on the simplex, with A positive semidefinite: `[T, T]`, `[T]`, `[T]`; `w` is on the simplex
/// before.
///
/// A round is a step of Frank–Wolfe with exact line search, the pairwise one (Lacoste-Julien, Jaggi 2015, algorithm 2): weight goes to the
/// task of the least derivative from that of those which have weight where the gain is greatest. With two tasks that is all. With more it
/// would zigzag for many thousand steps where gradients differ much in length and nearly oppose each other. So then comes a step to the
/// least point of the face on which
/// `w` lies, or as far as a weight becomes 0, as in the algorithm of Wolfe (1976).
pub(super) fn minimise(a: &DMatrix<f64>, b: &DVector<f64>, w: &mut DVector<f64>) {
    let tasks = w.len();
    let scale = a.diagonal().amax() + b.amax();
    let mut slope = b.clone();
    for _ in 0..MOST_ROUNDS {
        // Anew in each round, so that rounding does not add up; there are few tasks.
        slope.copy_from(b);
        slope.gemv(1.0, a, w, 1.0);
        let to = slope.imin();
        let curvature = |from: usize| (a[(to, to)] + a[(from, from)] - 2.0 * a[(to, from)]).max(0.0);
        let (mut from, mut most) = (to, 0.0);
        for task in (0..tasks).filter(|task| w[*task] > 0.0) {
            let difference = slope[task] - slope[to];
            if difference > TOLERANCE * scale {
                // What the best shift gains, within what there is to shift.
                let shift = (difference / curvature(task)).min(w[task]);
                let gain = shift * difference - 0.5 * shift * shift * curvature(task);
                if gain > most {
                    (from, most) = (task, gain);
                }
            }
        }
        if from == to {
            return;
        }
        let shift = (slope[from] - slope[to]) / curvature(from);
        if shift >= w[from] {
            w[to] += w[from];
            w[from] = 0.0;
        } else {
            w[to] += shift;
            w[from] -= shift;
        }
        if tasks > 2 {
            descend_on_face(a, b, w);
        }
    }
}

/// One step to the least point of the face of those that have weight, or to its border. In p with Σ p = 0 that is Newton's step; the last
/// of them gives what the others take.
fn descend_on_face(a: &DMatrix<f64>, b: &DVector<f64>, w: &mut DVector<f64>) {
    let face: Vec<usize> = (0..w.len()).filter(|task| w[*task] > 0.0).collect();
    let [others @ .., last] = &face[..] else { return };
    if others.is_empty() {
        return;
    }
    let slope = a * &*w + b;
    let gradient = DVector::from_fn(others.len(), |i, _| slope[others[i]] - slope[*last]);
    let hessian = DMatrix::from_fn(others.len(), others.len(), |i, j| {
        a[(others[i], others[j])] - a[(others[i], *last)] - a[(*last, others[j])] + a[(*last, *last)]
    });
    let ridge = RIDGE * hessian.diagonal().amax();
    let ridged = &hessian + DMatrix::from_diagonal_element(others.len(), others.len(), ridge);
    // Where rounding has made it indefinite, the pairwise steps go on alone.
    let Some(solver) = Cholesky::new(ridged) else { return };
    let newton = -solver.solve(&gradient);
    let mut step = DVector::zeros(w.len());
    for (task, part) in others.iter().zip(newton.iter()) {
        step[*task] = *part;
    }
    step[*last] = -newton.sum();
    let (fall, bend) = (-gradient.dot(&newton), newton.dot(&(&hessian * &newton)));
    // As far as the line goes down, and no weight below 0.
    let mut length = if bend > 0.0 { fall / bend } else { f64::INFINITY };
    let mut first = None;
    for task in &face {
        let until = if step[*task] < 0.0 { -w[*task] / step[*task] } else { f64::INFINITY };
        if until <= length {
            (length, first) = (until, Some(*task));
        }
    }
    if fall > 0.0 && length.is_finite() {
        for task in &face {
            w[*task] = (w[*task] + length * step[*task]).max(0.0);
        }
        if let Some(task) = first {
            w[task] = 0.0;
        }
        // What rounding left of Σ w = 1.
        let sum = w.sum();
        *w /= sum;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gradients of which two nearly oppose each other and one is much shorter, where pairwise steps alone take some hundred thousand.
    #[test]
    fn nearly_opposed_gradients_of_different_length() {
        let gram = super::super::matrix([
            [5.731949222608898e-4, 6.822830996050456e-3, -3.2991679484981544e-2],
            [6.822830996050456e-3, 0.7878759143862897, -3.7907288378336],
            [-3.2991679484981544e-2, -3.7907288378336, 18.23848969667141],
        ]);
        let mut w = DVector::from_element(3, 1.0 / 3.0);
        minimise(&gram, &DVector::zeros(3), &mut w);
        let slope = &gram * &w;
        assert!((w.sum() - 1.0).abs() <= 1e-15 && slope.max() - slope.min() <= 1e-12 * gram.max(), "{w} {slope}");
    }
}
