//! Losses of one head: the mean over rows, its gradient at the outputs, and that gradient's derivative along a direction.
//!
//! `z` and `y` are `[rows, outputs]`; rows of `y` are `y_row` values apart, so that a head finds its targets among all.
//!
//! With the feature `masks` a target that is NaN is missing: it adds nothing to the sum and has no gradient, whatever `z` is; with the
//! cross-entropy that is the whole row. What the sum is divided by stays, so that every label weighs as much as any other.

use sinew_models::spec::Loss;

use super::activation::sigmoid;
use super::exponential::{exp, ln_1p};
use crate::part::part;

/// Whether a target is missing.
const fn missing(y: f32) -> bool {
    cfg!(feature = "masks") && y.is_nan()
}

/// z − y, or 0 where there is no y.
fn difference(z: f32, y: f32) -> f32 {
    if missing(y) { 0.0 } else { z - y }
}

/// A head's targets among the targets of all heads.
#[derive(Clone, Copy, Debug)]
pub struct Targets<'a> {
    /// Targets of all heads, from this head's first one on.
    pub y: &'a [f32],
    /// Values from one row to the next.
    pub row: usize,
}

impl Targets<'_> {
    /// Whether one of the targets of the first `rows` rows is not missing.
    #[cfg(feature = "masks")]
    pub(crate) fn any(&self, rows: usize, outputs: usize) -> bool {
        self.rows(outputs).take(rows).flatten().any(|y| !missing(*y))
    }

    fn rows(&self, outputs: usize) -> impl Iterator<Item = &[f32]> {
        self.y.chunks(self.row.max(1)).map(move |row| part(row, 0, outputs))
    }
}

/// `λ · loss(z, y)`, and `dz`, its gradient.
pub fn value_and_gradient(
    loss: Loss,
    weight: f32,
    z: &[f32],
    targets: Targets<'_>,
    outputs: usize,
    dz: &mut [f32],
) -> f32 {
    let share = weight / values(loss, z.len(), outputs);
    let mut gradients = dz.chunks_exact_mut(outputs.max(1));
    let sum = sum_over_rows(z, targets, outputs, &mut |z, y| {
        let dz = gradients.next().unwrap_or_default();
        let value = row_value_and_gradient(loss, z, y, dz);
        dz.iter_mut().for_each(|dz| *dz *= share);
        value
    });
    sum * share
}

/// `dz`, the gradient of `λ · loss(z, y)`, alone.
pub fn gradient(loss: Loss, weight: f32, z: &[f32], targets: Targets<'_>, outputs: usize, dz: &mut [f32]) {
    if loss != Loss::MeanSquared {
        value_and_gradient(loss, weight, z, targets, outputs, dz);
        return;
    }
    // Without the sum, which goes one value after the other.
    let (share, len) = (weight / values(loss, z.len(), outputs), outputs.max(1));
    for ((z, y), dz) in z.chunks_exact(len).zip(targets.rows(outputs)).zip(dz.chunks_exact_mut(len)) {
        for ((z, y), dz) in z.iter().zip(y).zip(dz) {
            let e = difference(*z, *y);
            *dz = (e + e) * share;
        }
    }
}

/// `λ · loss(z, y)` alone.
pub fn value(loss: Loss, weight: f32, z: &[f32], targets: Targets<'_>, outputs: usize) -> f32 {
    let share = weight / values(loss, z.len(), outputs);
    sum_over_rows(z, targets, outputs, &mut |z, y| row_value(loss, z, y)) * share
}

/// `Σ each(z, y)` over rows.
// One copy on a microcontroller, to save flash.
#[cfg_attr(not(target_os = "none"), inline(always))]
fn sum_over_rows(z: &[f32], targets: Targets<'_>, outputs: usize, each: &mut dyn FnMut(&[f32], &[f32]) -> f32) -> f32 {
    let mut sum = 0.0;
    for (z, y) in z.chunks_exact(outputs.max(1)).zip(targets.rows(outputs)) {
        sum += each(z, y);
    }
    sum
}

/// `rdz = (∂dz/∂z) rz`, in place of `rz`.
pub fn gradient_tangent(loss: Loss, weight: f32, z: &[f32], targets: Targets<'_>, outputs: usize, rz: &mut [f32]) {
    let share = weight / values(loss, z.len(), outputs);
    let len = outputs.max(1);
    for ((z, y), rz) in z.chunks_exact(len).zip(targets.rows(outputs)).zip(rz.chunks_exact_mut(len)) {
        row_tangent(loss, z, y, rz);
        rz.iter_mut().for_each(|rz| *rz *= share);
    }
}

/// What the sum is divided by: values for losses by value, rows for the cross-entropy.
fn values(loss: Loss, len: usize, outputs: usize) -> f32 {
    let count = if matches!(loss, Loss::CrossEntropy) { len / outputs.max(1) } else { len };
    count.max(1) as f32
}

#[cfg_attr(not(target_os = "none"), inline(always))]
fn row_value(loss: Loss, z: &[f32], y: &[f32]) -> f32 {
    let pairs = z.iter().zip(y);
    match loss {
        Loss::MeanSquared => pairs
            .map(|(z, y)| {
                let e = difference(*z, *y);
                e * e
            })
            .sum(),
        Loss::Huber { delta } => pairs
            .map(|(z, y)| {
                let e = difference(*z, *y).abs();
                if e <= delta { 0.5 * e * e } else { delta * (e - 0.5 * delta) }
            })
            .sum(),
        // −y ln σ(z) − (1 − y) ln(1 − σ(z)) = max(z, 0) − y z + ln(1 + exp(−|z|))
        Loss::BinaryCrossEntropy => {
            let of = |z: f32, y: f32| (if 0.0 > z { 0.0 } else { z }) - y * z + ln_1p(exp(-z.abs()));
            pairs.map(|(z, y)| if missing(*y) { 0.0 } else { of(*z, *y) }).sum()
        }
        Loss::CrossEntropy if y.iter().any(|y| missing(*y)) => 0.0,
        Loss::CrossEntropy => {
            let (top, log_sum) = log_sum_exp(z);
            pairs.map(|(z, y)| y * (log_sum - (z - top))).sum()
        }
    }
}

#[cfg_attr(not(target_os = "none"), inline(always))]
fn row_value_and_gradient(loss: Loss, z: &[f32], y: &[f32], dz: &mut [f32]) -> f32 {
    match loss {
        Loss::MeanSquared => {
            let mut sum = 0.0;
            for ((z, y), dz) in z.iter().zip(y).zip(dz) {
                let e = difference(*z, *y);
                *dz = e + e;
                sum += e * e;
            }
            return sum;
        }
        Loss::Huber { delta } => {
            for ((z, y), dz) in z.iter().zip(y).zip(dz) {
                let e = difference(*z, *y);
                *dz = if e.abs() <= delta {
                    e
                } else if e > 0.0 {
                    delta
                } else {
                    // NaN comes here, and must stay NaN.
                    -delta + 0.0 * e
                };
            }
        }
        Loss::BinaryCrossEntropy => {
            for ((z, y), dz) in z.iter().zip(y).zip(dz) {
                *dz = if missing(*y) { 0.0 } else { sigmoid(*z) - y };
            }
        }
        Loss::CrossEntropy if y.iter().any(|y| missing(*y)) => dz.fill(0.0),
        Loss::CrossEntropy => {
            let mass: f32 = y.iter().sum();
            softmax(z, dz);
            for (dz, y) in dz.iter_mut().zip(y) {
                *dz = mass * *dz - y;
            }
        }
    }
    row_value(loss, z, y)
}

fn row_tangent(loss: Loss, z: &[f32], y: &[f32], rz: &mut [f32]) {
    match loss {
        Loss::MeanSquared => {
            for (y, rz) in y.iter().zip(rz) {
                *rz = if missing(*y) { 0.0 } else { 2.0 * *rz };
            }
        }
        Loss::Huber { delta } => {
            for ((z, y), rz) in z.iter().zip(y).zip(rz) {
                if missing(*y) || (z - y).abs() > delta {
                    *rz = 0.0;
                }
            }
        }
        Loss::BinaryCrossEntropy => {
            for ((z, y), rz) in z.iter().zip(y).zip(rz) {
                let p = sigmoid(*z);
                *rz = if missing(*y) { 0.0 } else { *rz * (p * (1.0 - p)) };
            }
        }
        Loss::CrossEntropy if y.iter().any(|y| missing(*y)) => rz.fill(0.0),
        Loss::CrossEntropy => {
            let mass: f32 = y.iter().sum();
            let (top, log_sum) = log_sum_exp(z);
            let p = |z: f32| exp(z - top - log_sum);
            let mean: f32 = z.iter().zip(rz.iter()).map(|(z, rz)| p(*z) * rz).sum();
            for (z, rz) in z.iter().zip(rz) {
                *rz = mass * p(*z) * (*rz - mean);
            }
        }
    }
}

/// The largest value, and `ln Σ exp(z − largest)`.
fn log_sum_exp(z: &[f32]) -> (f32, f32) {
    let top = z.iter().fold(f32::NEG_INFINITY, |top, z| if *z > top { *z } else { top });
    // The sum has a 1 in it, for the largest.
    (top, ln_1p(z.iter().map(|z| exp(z - top)).sum::<f32>() - 1.0))
}

/// `p = softmax(z)`.
pub fn softmax(z: &[f32], p: &mut [f32]) {
    let (top, log_sum) = log_sum_exp(z);
    for (z, p) in z.iter().zip(p) {
        *p = exp(z - top - log_sum);
    }
}

/// What a head's outputs `z` mean: probabilities for classes, `z` itself otherwise. In place.
pub fn predict(loss: Loss, z: &mut [f32]) {
    match loss {
        Loss::MeanSquared | Loss::Huber { .. } => {}
        Loss::BinaryCrossEntropy => z.iter_mut().for_each(|z| *z = sigmoid(*z)),
        Loss::CrossEntropy => {
            let (top, log_sum) = log_sum_exp(z);
            z.iter_mut().for_each(|z| *z = exp(*z - top - log_sum));
        }
    }
}
