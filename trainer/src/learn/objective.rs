//! The loss of a network's outputs in f64, for what is computed outside of an engine.

use nalgebra::DMatrix;
use sinew_models::spec::{Head, Loss};

/// The loss of the outputs `z` of `heads` against targets `y`, `[rows, outputs]` both, as an engine has it, and its gradient by `z`.
pub(super) fn objective(heads: &[Head], z: &DMatrix<f64>, y: &DMatrix<f64>) -> (f64, DMatrix<f64>) {
    let mut gradient = DMatrix::zeros(z.nrows(), z.ncols());
    let mut sum = 0.0;
    let mut first = 0;
    for head in heads {
        let columns = first..first + head.outputs();
        first = columns.end;
        let terms = if head.loss == Loss::CrossEntropy { z.nrows() } else { z.nrows() * head.outputs() };
        let share = f64::from(head.weight) / terms as f64;
        for row in 0..z.nrows() {
            let top = columns.clone().map(|column| z[(row, column)]).fold(f64::NEG_INFINITY, f64::max);
            let normaliser = top + columns.clone().map(|column| (z[(row, column)] - top).exp()).sum::<f64>().ln();
            let targets: f64 = columns.clone().map(|column| y[(row, column)]).sum();
            for column in columns.clone() {
                let (z, y) = (z[(row, column)], y[(row, column)]);
                let (loss, slope) = match head.loss {
                    Loss::MeanSquared => ((z - y) * (z - y), 2.0 * (z - y)),
                    Loss::Huber { delta } => {
                        let (delta, e) = (f64::from(delta), z - y);
                        let loss = if e.abs() <= delta { e * e / 2.0 } else { delta * (e.abs() - delta / 2.0) };
                        (loss, e.clamp(-delta, delta))
                    }
                    Loss::BinaryCrossEntropy => {
                        (z.max(0.0) + (-z.abs()).exp().ln_1p() - y * z, 1.0 / (1.0 + (-z).exp()) - y)
                    }
                    Loss::CrossEntropy => (y * (normaliser - z), (z - normaliser).exp() * targets - y),
                };
                sum += share * loss;
                gradient[(row, column)] = share * slope;
            }
        }
    }
    (sum, gradient)
}
