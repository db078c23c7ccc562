//! What the methods do on the simplex {w: wᵢ ≥ 0, Σ wᵢ = 1}.

use nalgebra::{DMatrix, DVector};

/// exp(xᵢ) / Σ exp(xⱼ).
pub(super) fn softmax(logits: &[f64]) -> Vec<f64> {
    let top = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let powers: Vec<f64> = logits.iter().map(|logit| (logit - top).exp()).collect();
    let sum: f64 = powers.iter().sum();
    powers.into_iter().map(|power| power / sum).collect()
}

/// Most steps of [`minimise`]; what it has then is on the simplex, and as near as rounding or that many steps let it be.
const MOST_STEPS: usize = 20_000;
/// It ends when no shift of weight from one task to another gains more than this, relative to the numbers given.
const TOLERANCE: f64 = 1e-13;

/// Moves `w` to where ½ wᵀAw + bᵀw is least on the simplex, with A positive semidefinite: `[T, T]`, `[T]`, `[T]`; `w` is on the simplex before.
///
/// Frank–Wolfe with pairwise steps (Lacoste-Julien, Jaggi 2015, algorithm 2) and exact line search: weight goes to the task of the least
/// derivative from that of those which have weight where the gain is greatest. Plain Frank–Wolfe zigzags where the least lies on a face; this
/// converges linearly, and with two tasks it is there in one step.
pub(super) fn minimise(a: &DMatrix<f64>, b: &DVector<f64>, w: &mut DVector<f64>) {
    let tasks = w.len();
    let scale = a.diagonal().amax() + b.amax();
    let mut slope = a * &*w + b;
    for _ in 0..MOST_STEPS {
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
        // Anew, so that rounding does not add up; there are few tasks.
        slope.copy_from(b);
        slope.gemv(1.0, a, w, 1.0);
    }
}
