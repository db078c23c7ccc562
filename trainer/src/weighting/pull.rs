//! How tasks pull at the parameters that they share: the weights of a step, and the angles between the tasks' gradients.
//!
//! Two tasks conflict where the cosine of their gradients is below 0 (Yu et al. 2020, definition 1): a step along one of them then makes
//! the other worse, to first order.

use nalgebra::DMatrix;

/// What one step made of T tasks.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Pull {
    /// cᵢ: the shared parameters stepped along Σ cᵢ gᵢ; NaN where a task is absent from the batch. `[T]`
    pub shared: Vec<f64>,
    /// The cosine of gᵢ and gⱼ for each of [`pairs`]; NaN where a task is absent from the batch, or its gradient is 0. `[T (T − 1) / 2]`
    pub cosines: Vec<f64>,
}

/// All pairs of tasks (i, j) with i < j, by i and then by j.
pub fn pairs(tasks: usize) -> impl Iterator<Item = (usize, usize)> {
    (0..tasks).flat_map(move |i| (i + 1..tasks).map(move |j| (i, j)))
}

impl Pull {
    /// Of the weights of a step, and gᵢ·gⱼ over the shared parameters: `[T, T]`.
    #[must_use]
    pub fn of(shared: &[f64], gram: &DMatrix<f64>) -> Self {
        let cosine = |(i, j)| {
            // Root by root: a product of squares leaves the range of numbers sooner. Rounding may not leave that of a cosine.
            let lengths = gram[(i, i)].sqrt() * gram[(j, j)].sqrt();
            let cosine: f64 = gram[(i, j)] / lengths;
            if lengths > 0.0 { cosine.clamp(-1.0, 1.0) } else { f64::NAN }
        };
        Self { shared: shared.to_vec(), cosines: pairs(gram.nrows()).map(cosine).collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::weighting::matrix;

    #[test]
    fn cosines_of_known_angles() {
        // Gradients (2, 0), (−3, 3√3), (0, 0.5) and one that is missing: 120°, 90° and 30°.
        let root = 27.0_f64.sqrt();
        let (a, b, c) = ([2.0, 0.0], [-3.0, root], [0.0, 0.5]);
        let dot = |x: [f64; 2], y: [f64; 2]| x[0] * y[0] + x[1] * y[1];
        let gram = matrix([
            [dot(a, a), dot(a, b), dot(a, c), 0.0],
            [dot(b, a), dot(b, b), dot(b, c), 0.0],
            [dot(c, a), dot(c, b), dot(c, c), 0.0],
            [0.0; 4],
        ]);
        let pull = Pull::of(&[1.0, 0.5, 2.0, 0.0], &gram);
        assert_eq!(pairs(4).collect::<Vec<_>>(), [(0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3)]);
        for (pair, want) in [(0, -0.5), (1, 0.0), (3, 0.75_f64.sqrt())] {
            assert!((pull.cosines[pair] - want).abs() <= 1e-12, "{:?}", pull.cosines);
        }
        assert!([2, 4, 5].iter().all(|pair| pull.cosines[*pair].is_nan()));
        assert_eq!(pull.shared, [1.0, 0.5, 2.0, 0.0]);
        assert!(Pull::of(&[1.0], &matrix([[4.0]])).cosines.is_empty());
    }
}
