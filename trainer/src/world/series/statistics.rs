//! A series as a vector of named numbers, small enough for a small device: what it is like, not when things happen.

use std::fmt;
use std::sync::Arc;

use rustfft::num_complex::Complex;
use rustfft::{Fft, FftPlanner};

/// Bands of frequencies, each an octave; the lowest takes all that is below.
const BANDS: usize = 4;

/// What is told of each channel, in this order. `octave_1` is the share of the power of what varies that lies in the highest octave.
pub const NAMES: [&str; 6 + BANDS] =
    ["mean", "deviation", "lowest", "highest", "change", "frequency", "octave_1", "octave_2", "octave_3", "octave_4"];

/// Computes statistics of series of one length.
pub struct Statistics {
    samples: usize,
    transform: Arc<dyn Fft<f32>>,
}

impl fmt::Debug for Statistics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Statistics").field("samples", &self.samples).finish_non_exhaustive()
    }
}

impl Statistics {
    /// For series of `samples` values a channel.
    pub fn new(samples: usize) -> Self {
        Self { samples, transform: FftPlanner::new().plan_fft_forward(samples.max(1)) }
    }

    /// The statistics of `series`, `[samples, channels]`, as `[channels, NAMES.len()]`: mean, standard deviation, lowest and highest value,
    /// root mean square of the differences from sample to sample (all in the unit of the channel), the strongest frequency in
    /// cycles per sample, and the shares of the power in octaves. A channel that does not vary has zeros for the last five.
    pub fn of(&self, series: &[f32], channels: usize) -> Vec<f32> {
        debug_assert_eq!(series.len(), self.samples * channels);
        let mut all = Vec::with_capacity(channels * NAMES.len());
        let mut line = vec![0.0; self.samples];
        let mut spectrum = vec![Complex::default(); self.samples];
        let mut scratch = vec![Complex::default(); self.transform.get_inplace_scratch_len()];
        for channel in 0..channels {
            let values = series.iter().skip(channel).step_by(channels);
            line.iter_mut().zip(values).for_each(|(line, value)| *line = *value);
            let count = self.samples.max(1) as f32;
            let mean = line.iter().sum::<f32>() / count;
            let variance = line.iter().map(|value| (value - mean) * (value - mean)).sum::<f32>() / count;
            let lowest = line.iter().copied().fold(f32::INFINITY, f32::min);
            let highest = line.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            let differences = line.windows(2).map(|pair| (pair[1] - pair[0]) * (pair[1] - pair[0]));
            let change = (differences.sum::<f32>() / (count - 1.0).max(1.0)).sqrt();
            all.extend([mean, variance.sqrt(), lowest, highest, change]);
            spectrum.iter_mut().zip(&line).for_each(|(into, value)| *into = Complex::new(value - mean, 0.0));
            self.transform.process_with_scratch(&mut spectrum, &mut scratch);
            all.extend(self.shares(&spectrum, highest > lowest));
        }
        all
    }

    /// The strongest frequency, and the share of each octave.
    fn shares(&self, spectrum: &[Complex<f32>], varies: bool) -> [f32; 1 + BANDS] {
        let mut told = [0.0; 1 + BANDS];
        let half = self.samples / 2;
        // Rounding leaves something in the spectrum of a constant.
        if !varies || half == 0 {
            return told;
        }
        let power: Vec<f32> = spectrum[1..=half].iter().map(|value| value.norm_sqr()).collect();
        let strongest = (0..power.len()).fold(0, |best, next| if power[next] > power[best] { next } else { best });
        told[0] = (strongest + 1) as f32 / self.samples as f32;
        let total: f32 = power.iter().sum();
        for (place, power) in power.iter().enumerate() {
            // The highest octave is (half / 2, half].
            let octave = (0..BANDS - 1).find(|octave| (place + 1) << (octave + 1) > half).unwrap_or(BANDS - 1);
            told[1 + octave] += power / total;
        }
        told
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::f32::consts::TAU;

    #[test]
    fn a_wave_is_at_its_frequency() {
        let samples = 64;
        let wave = |cycles: f32, at: usize| 3.0 + 2.0 * (TAU * cycles * at as f32 / samples as f32).sin();
        let series: Vec<f32> = (0..samples).flat_map(|at| [wave(20.0, at), 7.0, wave(3.0, at)]).collect();
        let told = Statistics::new(samples).of(&series, 3);
        let [fast, flat, slow] = [0, 1, 2].map(|channel| &told[channel * NAMES.len()..][..NAMES.len()]);
        assert!((fast[0] - 3.0).abs() <= 1e-5 && (fast[1] - 2.0_f32.sqrt()).abs() <= 1e-5, "{fast:?}");
        assert!((fast[5] - 20.0 / 64.0).abs() <= 1e-6 && fast[6] >= 0.999, "{fast:?}");
        assert_eq!(flat, [7.0, 0.0, 7.0, 7.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]);
        // Octaves of 32: above 16, above 8, above 4, and the rest.
        assert!((slow[5] - 3.0 / 64.0).abs() <= 1e-6 && slow[9] >= 0.999, "{slow:?}");
        // 2 √2 sin(π f) for a sine of amplitude 2, but for the ends.
        assert!((slow[4] - 2.0 * 2.0_f32.sqrt() * (TAU * 1.5 / 64.0).sin()).abs() <= 0.02, "{slow:?}");
        assert!((slow[3] - 5.0).abs() <= 0.01 && (slow[2] - 1.0).abs() <= 0.01);
    }

    #[test]
    fn shares_add_up_however_short() {
        for samples in 2..40 {
            let series: Vec<f32> = (0..samples).map(|at| ((at * at * 7) % 11) as f32).collect();
            let told = Statistics::new(samples).of(&series, 1);
            assert!((told[6..].iter().sum::<f32>() - 1.0).abs() <= 1e-4, "{samples}: {told:?}");
        }
        assert!(Statistics::new(1).of(&[2.0], 1).iter().all(|value| value.is_finite()));
    }
}
