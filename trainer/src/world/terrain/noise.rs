//! Smooth random fields: heights whose spectrum falls as a power of the frequency, and blurred white noise.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use rand_distr::StandardNormal;
use rustfft::{FftPlanner, num_complex::Complex};

use super::grid::{CELLS, SIDE};

/// The period of [`spectral`] noise: twice a map, so that opposite borders of a map are not alike.
const PERIOD: usize = 2 * SIDE;

/// What a blur finds beyond the border.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Border {
    /// The opposite border.
    Wrap,
    /// The field, mirrored at the border.
    Mirror,
}

/// White noise of variance one, a value for each cell.
pub fn white(rng: &mut ChaCha8Rng) -> Vec<f64> {
    (0..CELLS).map(|_| rng.sample(StandardNormal)).collect()
}

/// A fractal field whose amplitudes fall as `k^−beta · exp(−(cut · k)²)`, with `k` in periods per cell;
/// mean 0, variance 1.
pub fn spectral(rng: &mut ChaCha8Rng, beta: f64, cut: f64) -> Vec<f64> {
    let frequency = |i: usize| i.min(PERIOD - i) as f64 / PERIOD as f64;
    let mut spectrum: Vec<Complex<f64>> = (0..PERIOD * PERIOD)
        .map(|i| {
            let k = frequency(i / PERIOD).hypot(frequency(i % PERIOD));
            let amplitude = if i == 0 { 0.0 } else { k.powf(-beta) * (-(cut * k).powi(2)).exp() };
            Complex::new(rng.sample::<f64, _>(StandardNormal), rng.sample(StandardNormal)) * amplitude
        })
        .collect();
    // The real part of the transform of white complex noise is a field with exactly this power spectrum.
    let fft = FftPlanner::new().plan_fft_inverse(PERIOD);
    fft.process(&mut spectrum);
    let mut columns: Vec<_> = (0..PERIOD * PERIOD).map(|i| spectrum[i % PERIOD * PERIOD + i / PERIOD]).collect();
    fft.process(&mut columns[..SIDE * PERIOD]);
    standardised((0..CELLS).map(|i| columns[i % SIDE * PERIOD + i / SIDE].re).collect())
}

/// `field`, blurred by a Gaussian of standard deviation `sigma` cells, cut off at four of them.
pub fn blurred(field: &[f64], sigma: f64, border: Border) -> Vec<f64> {
    let reach = (4.0 * sigma + 0.5) as isize;
    let weight = |offset: isize| (-0.5 * (offset as f64 / sigma).powi(2)).exp();
    let total: f64 = (-reach..=reach).map(weight).sum();
    let kernel: Vec<f64> = (-reach..=reach).map(|offset| weight(offset) / total).collect();
    // Blurs down the columns, a whole row at a time, and transposes, so that two passes blur both ways.
    let pass = |field: &[f64]| {
        let mut blurred = vec![0.0; CELLS];
        for row in 0..SIDE {
            let mut sums = [0.0; SIDE];
            for (weight, at) in kernel.iter().zip(row as isize - reach..) {
                let values = &field[inside(at, border) * SIDE..][..SIDE];
                sums.iter_mut().zip(values).for_each(|(sum, value)| *sum += weight * value);
            }
            sums.iter().enumerate().for_each(|(column, &sum)| blurred[column * SIDE + row] = sum);
        }
        blurred
    };
    pass(&pass(field))
}

fn inside(at: isize, border: Border) -> usize {
    let side = SIDE as isize;
    match border {
        Border::Wrap => at.rem_euclid(side) as usize,
        Border::Mirror => {
            let at = at.rem_euclid(2 * side);
            at.min(2 * side - 1 - at) as usize
        }
    }
}

/// `field` with mean 0 and variance 1.
pub fn standardised(field: Vec<f64>) -> Vec<f64> {
    let mean = field.iter().sum::<f64>() / field.len() as f64;
    let variance = field.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / field.len() as f64;
    field.into_iter().map(|value| (value - mean) / (variance.sqrt() + 1e-9)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;
    use std::f64::consts::PI;

    /// The standard deviation that white noise of variance one keeps after a blur of `sigma` cells: 1 / (2 √π σ).
    fn blurred_deviation(sigma: f64) -> f64 {
        1.0 / (2.0 * PI.sqrt() * sigma)
    }

    #[test]
    fn a_blur_keeps_the_mean_and_shrinks_the_noise() {
        let mut rng = ChaCha8Rng::seed_from_u64(3);
        for border in [Border::Wrap, Border::Mirror] {
            assert!(blurred(&vec![2.5; CELLS], 3.0, border).iter().all(|value| (value - 2.5).abs() <= 1e-12));
            let field = blurred(&white(&mut rng), 1.5, border);
            let deviation = (field.iter().map(|value| value * value).sum::<f64>() / CELLS as f64).sqrt();
            assert!((deviation / blurred_deviation(1.5) - 1.0).abs() <= 0.15, "{deviation}");
        }
    }

    #[test]
    fn spectral_noise_is_smooth_and_alike_both_ways() {
        let mut rng = ChaCha8Rng::seed_from_u64(4);
        let (mut along, mut down) = (0.0, 0.0);
        for _ in 0..20 {
            let field = spectral(&mut rng, 1.8, 2.5);
            assert!(field.iter().sum::<f64>().abs() <= 1e-6);
            for i in 0..CELLS - SIDE {
                along += if i % SIDE == SIDE - 1 { 0.0 } else { (field[i + 1] - field[i]).powi(2) };
                down += (field[i + SIDE] - field[i]).powi(2);
            }
        }
        let steps = 20.0 * CELLS as f64;
        assert!((along / steps).sqrt() <= 0.2 && (along / down - 1.0).abs() <= 0.3, "{along} {down}");
    }
}
