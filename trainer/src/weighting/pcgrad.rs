//! Gradient surgery, PCGrad: Yu, Kumar, Gupta, Levine, Hausman, Finn, *Gradient Surgery for Multi-Task Learning* (2020), algorithm 1.
//!
//! Each gradient is projected onto the normal plane of each other one that it conflicts with, in random order: g ← g − (g·gⱼ / ‖gⱼ‖²) gⱼ
//! where g·gⱼ < 0. The step is along the sum of what they become. Here each g is kept as its coefficients a of all gradients, with which
//! g·gⱼ = (Ga)ⱼ. With two tasks the step conflicts with neither; with more, the paper promises no such thing.

use rand::seq::SliceRandom;
use serde::{Deserialize, Serialize};

use super::{Needs, Seen, Weighting, Weights, check_seen, generator};

/// What a configuration says of it, `kind = "pcgrad"`, which has no settings of its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {}

/// Projection of conflicting gradients.
#[derive(Clone, Debug)]
pub struct PcGrad {
    tasks: usize,
    seed: u64,
}

impl PcGrad {
    /// Whose orders follow from the seed and the iteration.
    #[must_use]
    pub fn new(tasks: usize, seed: u64) -> Self {
        Self { tasks, seed }
    }
}

impl Weighting for PcGrad {
    fn name(&self) -> &'static str {
        "pcgrad"
    }

    fn needs(&self) -> Needs {
        Needs::Gradients
    }

    fn weigh(&mut self, seen: &Seen<'_>, into: &mut Weights) {
        check_seen(seen, self.tasks);
        let present = seen.present();
        let mut gram = seen.gram_of(&present);
        if gram.diagonal().iter().any(|square| *square > 0.0) {
            // No length of all of them matters, and none overflows so.
            gram /= gram.diagonal().max();
        }
        let mut generator = generator(self.seed, seen.iteration);
        let mut sum = vec![0.0; present.len()];
        let mut others: Vec<usize> = Vec::with_capacity(present.len());
        for task in 0..present.len() {
            others.clear();
            others.extend((0..present.len()).filter(|other| *other != task));
            others.shuffle(&mut generator);
            let mut projected = vec![0.0; present.len()];
            projected[task] = 1.0;
            for &other in &others {
                let product: f64 = projected.iter().zip(gram.column(other).iter()).map(|(a, g)| a * g).sum();
                if product < 0.0 && gram[(other, other)] > 0.0 {
                    projected[other] -= product / gram[(other, other)];
                }
            }
            sum.iter_mut().zip(projected).for_each(|(sum, coefficient)| *sum += coefficient);
        }
        into.put_gradients(self.tasks, present.into_iter().zip(sum));
    }

    fn memory(&self) -> Vec<f64> {
        Vec::new()
    }

    fn restore(&mut self, memory: &[f64]) -> bool {
        memory.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::weighting::matrix;
    use nalgebra::{DMatrix, DVector};

    /// The direction for gradients in columns.
    fn direction(gradients: &DMatrix<f64>, iteration: u64) -> DVector<f64> {
        let (gram, losses) = (gradients.tr_mul(gradients), vec![1.0; gradients.ncols()]);
        let mut weights = Weights::default();
        PcGrad::new(losses.len(), 3).weigh(&Seen { iteration, losses: &losses, gram: Some(&gram) }, &mut weights);
        assert!(weights.heads.iter().all(|weight| *weight == 1.0));
        gradients * DVector::from_vec(weights.shared)
    }

    #[test]
    fn two_tasks() {
        // Definition 1 and theorem 1: each onto the normal plane of the other.
        let gradients = matrix([[1.0, -1.0], [0.0, 1.0]]);
        let expected = DVector::from_vec(vec![0.5, 1.5]);
        assert!((direction(&gradients, 0) - expected).norm() <= 1e-12);
        // No conflict, no projection.
        let gradients = matrix([[1.0, 1.0], [0.0, 1.0]]);
        assert!((direction(&gradients, 0) - gradients.column_sum()).norm() <= 1e-12);
    }

    #[test]
    fn three_tasks_in_every_order() {
        let gradients = matrix([[1.0, -0.5, -0.5], [0.0, 1.0, -1.0], [0.2, 0.1, 0.3]]);
        // Algorithm 1 on the vectors themselves, in each of the 2³ orders.
        let surgery = |order: usize| {
            let mut sum = DVector::zeros(3);
            for task in 0..3 {
                let mut others: Vec<usize> = (0..3).filter(|other| *other != task).collect();
                if order >> task & 1 == 1 {
                    others.reverse();
                }
                let mut gradient = gradients.column(task).clone_owned();
                for other in others {
                    let other = gradients.column(other);
                    let product = gradient.dot(&other);
                    if product < 0.0 {
                        gradient -= other * (product / other.norm_squared());
                    }
                }
                sum += gradient;
            }
            sum
        };
        let orders: Vec<DVector<f64>> = (0..8).map(surgery).collect();
        let mut met = [false; 8];
        for iteration in 0..200 {
            let direction = direction(&gradients, iteration);
            let same: Vec<usize> = (0..8).filter(|order| (&orders[*order] - &direction).norm() <= 1e-12).collect();
            assert!(!same.is_empty(), "{direction}");
            same.into_iter().for_each(|order| met[order] = true);
        }
        assert_eq!(met, [true; 8]);
    }
}
