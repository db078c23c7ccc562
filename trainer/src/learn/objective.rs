//! The loss of a network's outputs in f64, for what is computed outside of an engine.

use nalgebra::DMatrix;
use sinew_models::spec::{Head, Loss};

/// The loss of the outputs `z` of `heads` against targets `y`, `[rows, outputs]` both, as an engine has it, and its gradient by `z`.
pub(super) fn objective(heads: &[Head], z: &DMatrix<f64>, y: &DMatrix<f64>) -> (f64, DMatrix<f64>) {
    let mut gradient = DMatrix::zeros(z.nrows(), z.ncols());
    let mut sum = 0.0;
    let mut first = 0;
    for head in heads {
        let outputs = head.outputs();
        let share = f64::from(head.weight) / terms(head.loss, z.nrows(), outputs);
        let [mut of_z, mut of_y, mut slopes] = [(); 3].map(|()| vec![0.0; outputs]);
        for row in 0..z.nrows() {
            for place in 0..outputs {
                (of_z[place], of_y[place]) = (z[(row, first + place)], y[(row, first + place)]);
            }
            sum += share * of_row(head.loss, &of_z, &of_y, &mut slopes);
            slopes.iter().enumerate().for_each(|(place, slope)| gradient[(row, first + place)] = share * slope);
        }
        first += outputs;
    }
    (sum, gradient)
}

/// By what the sum over so many rows is divided, so that it is the mean that an engine has.
pub(super) fn terms(loss: Loss, rows: usize, outputs: usize) -> f64 {
    (if loss == Loss::CrossEntropy { rows } else { rows * outputs }) as f64
}

/// The loss of one row of a head, summed over its outputs, and its gradient by `z`.
pub(super) fn of_row(loss: Loss, z: &[f64], y: &[f64], slopes: &mut [f64]) -> f64 {
    let pairs = z.iter().zip(y).zip(slopes);
    if loss == Loss::CrossEntropy {
        let top = z.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let normaliser = top + z.iter().map(|z| (z - top).exp()).sum::<f64>().ln();
        let mass: f64 = y.iter().sum();
        return pairs.fold(0.0, |sum, ((z, y), slope)| {
            *slope = (z - normaliser).exp() * mass - y;
            sum + y * (normaliser - z)
        });
    }
    pairs.fold(0.0, |sum, ((z, y), slope)| {
        let value;
        (value, *slope) = match loss {
            Loss::Huber { delta } => {
                let (delta, e) = (f64::from(delta), z - y);
                let value = if e.abs() <= delta { e * e / 2.0 } else { delta * (e.abs() - delta / 2.0) };
                (value, e.clamp(-delta, delta))
            }
            Loss::BinaryCrossEntropy => (z.max(0.0) + (-z.abs()).exp().ln_1p() - y * z, 1.0 / (1.0 + (-z).exp()) - y),
            Loss::MeanSquared | Loss::CrossEntropy => ((z - y) * (z - y), 2.0 * (z - y)),
        };
        sum + value
    })
}
