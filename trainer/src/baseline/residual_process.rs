//! A Gaussian process on the residual of the pooled network: what fine-tuning does, without a gradient.
//!
//! One smooth kernel, as far in every direction. What is predicted depends on the ratio of noise and amplitude alone, so the grid has two
//! sides: the length, by the median distance of two support rows, and that ratio. Both are chosen on validation tasks. The amplitude,
//! which makes the variance, then follows from those tasks' supports by the marginal likelihood: amplitude² is the mean of
//! rᵀ (K + noise² I)⁻¹ r for each value, with K and the noise at an amplitude of 1.

use super::gaussian_process::Kernel;
use super::process::{Pooled, Prior};
use crate::episode::Episode;
use crate::scaling::{Scaling, support_mean};

/// Lengths that can be chosen, by the median distance.
pub const LENGTHS: [f64; 6] = [0.25, 0.5, 1.0, 2.0, 4.0, 8.0];
/// Noise that can be chosen: its standard deviation by the amplitude.
pub const NOISES: [f64; 10] = [0.03, 0.1, 0.2, 0.4, 0.7, 1.0, 1.5, 2.5, 5.0, 20.0];

/// What is chosen.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct Setting {
    /// The length, in the units of presented inputs.
    pub length: f64,
    /// The noise's standard deviation by the amplitude.
    pub noise: f64,
    /// The amplitude, in scaled units.
    pub amplitude: f64,
}

impl Setting {
    /// All that can be chosen where the median distance of two support rows is `distance`.
    pub fn all(distance: f64) -> Vec<Self> {
        let with = |share: &f64| NOISES.map(|noise| Self { length: share * distance, noise, amplitude: 1.0 });
        LENGTHS.iter().flat_map(with).collect()
    }

    /// The process, for `inputs` presented inputs and `outputs` outputs.
    pub fn prior(&self, inputs: usize, outputs: usize) -> Prior {
        let Self { length, noise, amplitude } = *self;
        Prior::of_residual(outputs, Kernel::isotropic(inputs, length, amplitude, noise * amplitude))
    }

    /// The same with the amplitude that makes the supports of `episodes` likeliest; where none can be told it stays.
    pub fn with_amplitude<'e>(self, pooled: Pooled<'_>, episodes: impl Iterator<Item = &'e Episode>) -> Self {
        let spec = &pooled.model.network;
        let prior = Self { amplitude: 1.0, ..self }.prior(spec.input.presented_len(), spec.output_len());
        let (mut sum, mut values) = (0.0, 0);
        for episode in episodes {
            let seen = pooled.look(support_mean(&episode.support).as_deref(), &episode.support.inputs);
            let residual = pooled.scaled(&episode.support.targets) - seen.said;
            if let Some(evidence) = prior.kernel.evidence(&seen.x, &residual) {
                sum += evidence.weights.dot(&residual);
                values += residual.len();
            }
        }
        let amplitude = (sum / values as f64).sqrt();
        if amplitude.is_finite() && amplitude > 0.0 { Self { amplitude, ..self } } else { self }
    }
}

/// The median distance of two presented support rows of one episode; 1 where there are no two rows that differ.
pub fn median_distance<'e>(scaling: &Scaling, episodes: impl Iterator<Item = &'e Episode>) -> f64 {
    let mut distances = Vec::new();
    for episode in episodes {
        let support = scaling.task_rows(episode).support;
        if support.rows == 0 {
            continue;
        }
        let rows: Vec<&[f32]> = support.x.chunks_exact(support.x.len() / support.rows).collect();
        for (number, a) in rows.iter().enumerate() {
            for b in &rows[..number] {
                let square: f64 = a.iter().zip(*b).map(|(a, b)| f64::from(a - b).powi(2)).sum();
                distances.push(square.sqrt());
            }
        }
    }
    distances.retain(|distance| *distance > 0.0);
    distances.sort_by(f64::total_cmp);
    distances.get(distances.len() / 2).copied().unwrap_or(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use sinew_models::networks;
    use sinew_models::spec::{Activation, InputForm, Loss};

    #[test]
    fn distances_are_within_episodes() {
        let network = networks::mlp(1, InputForm::Plain, &[], Activation::Identity, "y", 1, Loss::MeanSquared).unwrap();
        let scaling = Scaling::none(&network);
        let mut far = [Episode::default(), Episode::default(), Episode::default()];
        for (episode, from) in far.iter_mut().zip([0.0, 100.0]) {
            for x in [0.0, 1.0, 3.0, 3.0] {
                episode.support.push(&[from + x], &[0.0]);
            }
        }
        // Of each: 1, 3, 3, 2, 2, and 0, which does not count.
        assert_eq!(median_distance(&scaling, far.iter()), 2.0);
        assert_eq!(median_distance(&scaling, [].iter()), 1.0);
        assert_eq!(Setting::all(2.0).len(), LENGTHS.len() * NOISES.len());
    }
}
