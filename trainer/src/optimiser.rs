//! AdamW with what is needed to stop and go on to the bit: its moments can be written down and read back.
//!
//! candle-nn's AdamW, which this one is tested against, keeps its moments to itself.

use std::ops::DerefMut;

/// The settings of AdamW (Loshchilov and Hutter 2019).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdamW {
    /// Decay of the mean of gradients, β₁.
    pub beta1: f64,
    /// Decay of the mean of squares, β₂.
    pub beta2: f64,
    /// Added to the root of the mean of squares.
    pub epsilon: f64,
    /// λ: each step also shrinks the parameters by rate · λ of themselves.
    pub weight_decay: f64,
}

impl Default for AdamW {
    fn default() -> Self {
        Self { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weight_decay: 0.0 }
    }
}

/// What AdamW remembers of one vector of parameters: in host memory, or as an engine has it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Moments<V = Vec<f32>> {
    /// Mean of gradients.
    pub first: V,
    /// Mean of squared gradients.
    pub second: V,
    /// Steps taken.
    pub steps: u64,
}

impl Moments {
    /// Nothing to remember yet, for `len` parameters.
    pub fn zeros(len: usize) -> Self {
        Self { first: vec![0.0; len], second: vec![0.0; len], steps: 0 }
    }
}

/// What one step of AdamW multiplies by.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Factors {
    /// The rate.
    pub rate: f32,
    /// What is kept of the parameters.
    pub keep: f32,
    /// β₁
    pub beta1: f32,
    /// 1 − β₁
    pub rest1: f32,
    /// β₂
    pub beta2: f32,
    /// 1 − β₂
    pub rest2: f32,
    /// What the mean of gradients is multiplied by, because it began at 0.
    pub scale_first: f32,
    /// What the mean of squares is multiplied by.
    pub scale_second: f32,
    /// Added to the root of the mean of squares.
    pub epsilon: f32,
}

impl AdamW {
    /// The factors of the step after so many, at rate `rate`.
    pub fn factors(&self, rate: f64, steps: u64) -> Factors {
        let number = steps.saturating_add(1).min(i32::MAX as u64) as i32;
        Factors {
            rate: rate as f32,
            keep: (1.0 - rate * self.weight_decay) as f32,
            beta1: self.beta1 as f32,
            rest1: (1.0 - self.beta1) as f32,
            beta2: self.beta2 as f32,
            rest2: (1.0 - self.beta2) as f32,
            scale_first: (1.0 / (1.0 - self.beta1.powi(number))) as f32,
            scale_second: (1.0 / (1.0 - self.beta2.powi(number))) as f32,
            epsilon: self.epsilon as f32,
        }
    }

    /// One step of `params` against `gradient`, at rate `rate`; counts it.
    pub fn step<V>(&self, rate: f64, moments: &mut Moments<V>, params: &mut [f32], gradient: &[f32])
    where
        V: DerefMut<Target = [f32]>,
    {
        self.factors(rate, moments.steps).step(moments, params, gradient);
        moments.steps += 1;
    }
}

impl Factors {
    /// The step itself; does not count it.
    pub fn step<V>(&self, moments: &mut Moments<V>, params: &mut [f32], gradient: &[f32])
    where
        V: DerefMut<Target = [f32]>,
    {
        let remembered = moments.first.iter_mut().zip(moments.second.iter_mut());
        for ((param, gradient), (first, second)) in params.iter_mut().zip(gradient).zip(remembered) {
            *first = self.beta1 * *first + self.rest1 * gradient;
            *second = self.beta2 * *second + self.rest2 * gradient * gradient;
            let step = *first * self.scale_first / ((*second * self.scale_second).sqrt() + self.epsilon);
            *param = *param * self.keep - self.rate * step;
        }
    }
}

/// Scales gradients so that their joint Euclidean norm is at most `most`; returns the norm before.
pub fn clip(gradients: [&mut [f32]; 2], most: Option<f64>) -> f64 {
    let squares = gradients.iter().flat_map(|part| part.iter()).map(|g| f64::from(*g) * f64::from(*g));
    let norm = squares.sum::<f64>().sqrt();
    if let Some(most) = most.filter(|most| norm > *most) {
        let factor = (most / norm) as f32;
        gradients.into_iter().flatten().for_each(|g| *g *= factor);
    }
    norm
}

/// How the outer rate runs over the iterations.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Schedule {
    /// It stays.
    Constant,
    /// Half a cosine, down to 0 at the end (Loshchilov and Hutter 2017).
    #[default]
    Cosine,
}

impl Schedule {
    /// The share of the outer rate at `iteration` of `iterations`.
    pub fn share(self, iteration: u64, iterations: u64) -> f64 {
        match self {
            Schedule::Constant => 1.0,
            Schedule::Cosine => {
                let progress = iteration as f64 / iterations.max(1) as f64;
                0.5 * (1.0 + (std::f64::consts::PI * progress.min(1.0)).cos())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_step_is_the_rate_and_decay_is_decoupled() {
        let adam = AdamW { weight_decay: 0.1, ..AdamW::default() };
        let mut params = [1.0, -2.0];
        adam.step(0.01, &mut Moments::zeros(2), &mut params, &[3.0, -0.5]);
        assert!((params[0] - (1.0 * 0.999 - 0.01)).abs() <= 1e-6 && (params[1] - (-2.0 * 0.999 + 0.01)).abs() <= 1e-6);
    }

    #[test]
    fn finds_the_bottom_of_a_bowl() {
        let (mut params, mut moments) = ([5.0_f32, -3.0], Moments::zeros(2));
        for _ in 0..4000 {
            let gradient = [2.0 * (params[0] - 1.0), 20.0 * (params[1] - 2.0)];
            AdamW::default().step(0.01, &mut moments, &mut params, &gradient);
        }
        assert!((params[0] - 1.0).abs() <= 1e-3 && (params[1] - 2.0).abs() <= 1e-3, "{params:?}");
    }

    #[test]
    fn clipping_keeps_the_direction() {
        let (mut a, mut b) = ([3.0], [4.0]);
        assert_eq!(clip([&mut a, &mut b], Some(1.0)), 5.0);
        assert!((a[0] - 0.6).abs() <= 1e-6 && (b[0] - 0.8).abs() <= 1e-6);
        assert!((clip([&mut a, &mut b], Some(2.0)) - 1.0).abs() <= 1e-6);
        assert!((a[0] - 0.6).abs() <= 1e-6);
    }

    #[test]
    fn the_cosine_runs_from_one_to_nothing() {
        assert_eq!(Schedule::Cosine.share(0, 100), 1.0);
        assert!((Schedule::Cosine.share(50, 100) - 0.5).abs() <= 1e-12);
        assert!(Schedule::Cosine.share(100, 100).abs() <= 1e-12);
        assert_eq!(Schedule::Constant.share(77, 100), 1.0);
    }
}
