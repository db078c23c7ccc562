//! The grey box: knows the formulas of [`physics`](super::physics) and the ranges of the hidden facts, and fits the facts to what was
//! driven.
//!
//! A fact at the share u of its range is u = Φ(z) with z ~ N(0, 1), so that u is uniform as the facts are drawn. What it looks for is the
//! maximum a posteriori, the least Σ ((ln E − measured) / noise)² + |z|², by damped Gauss–Newton steps (Marquardt, *An algorithm for
//! least-squares estimation of nonlinear parameters*, SIAM Journal 11(2), 1963) from the middle of all ranges. The variance is
//! Laplace's, (JᵀJ / noise² + I)⁻¹ in z, linearised into the log energies. The noise is what the sensors make of the formulas where all
//! facts are known ([`GreyBox::noise_of`]), times a factor chosen on validation tasks: on one path the sensors err alike, and it is larger than
//! one ([`GreyBox::choose`]).

use std::f64::consts::{PI, SQRT_2};

use nalgebra::{Cholesky, DMatrix, DVector};
use rayon::prelude::*;

use super::grid::CELL;
use super::hidden::{Distribution, Hidden};
use super::physics::{
    GRAVITY, Ground, LARGEST_SLIP, Losses, MASS, SITE_SPREAD, SOIL_SPREAD, SPEED, losses, mobility, passage,
};
use super::sense::{FEATURES, believed};
use super::{Terrain, informed};
use crate::episode::Episode;
use crate::metric;
use crate::streams::Purpose;
use crate::train::episodes;
use crate::world::{Split, Task};

/// Numbers of [`Hidden`], one after the other: the 21 in the order of [`Hidden::from_unit`], then the losses of each surface.
const FACTS: usize = 41;
/// Gauss–Newton steps at most.
const ITERATIONS: usize = 40;
/// The share by which a step must lower the objective to go on.
const ENOUGH: f64 = 1e-9;
/// Validation episodes from which the noise is told.
const NOISE_EPISODES: u64 = 96;
/// Factors of the noise that can be chosen.
pub const FACTORS: [f64; 5] = [0.7, 1.0, 1.5, 2.0, 3.0];

/// One who fits the formulas.
#[derive(Clone, Copy, Debug)]
pub struct GreyBox {
    distribution: Distribution,
    noise: f64,
}

/// The facts after some rows.
#[derive(Clone, Debug)]
pub struct Fitted {
    hidden: Hidden,
    /// Of the facts of [`Hidden`]: `[41, 41]`.
    covariance: DMatrix<f64>,
    noise: f64,
}

/// The share of the standard normal below `z`, and its density there.
fn normal(z: f64) -> [f64; 2] {
    [0.5 * libm::erfc(-z / SQRT_2), (-0.5 * z * z).exp() / (2.0 * PI).sqrt()]
}

fn facts(hidden: &Hidden) -> [f64; FACTS] {
    let Hidden { soil_strength, wetness_effect, by_surface, .. } = hidden;
    let mut facts = [0.0; FACTS];
    let scalars = [hidden.payload, hidden.drive_efficiency, hidden.recovery, hidden.base_power, hidden.tyre_pressure];
    facts[..5].copy_from_slice(&scalars);
    facts[5] = hidden.site_strength;
    facts[6..11].copy_from_slice(soil_strength);
    facts[11..16].copy_from_slice(wetness_effect);
    facts[16..21].copy_from_slice(&[
        hidden.wetness_bias,
        hidden.step_loss,
        hidden.roughness_loss,
        hidden.side_loss,
        hidden.rolling,
    ]);
    if let Some(own) = by_surface {
        for (place, values) in [own.step_loss, own.roughness_loss, own.side_loss, own.rolling].iter().enumerate() {
            facts[21 + 5 * place..][..5].copy_from_slice(values);
        }
    }
    facts
}

/// The log energy per metre over `ground`, and its derivative by each fact; by the bias as if the ground's wetness were that of the sensor
/// less the bias.
fn log_energy(hidden: &Hidden, ground: &Ground) -> (f64, [f64; FACTS]) {
    let weight = MASS * (1.0 + hidden.payload) * GRAVITY;
    let cos_grade = 1.0 / (1.0 + ground.grade.powi(2)).sqrt();
    let upright = cos_grade / (1.0 + ground.side.powi(2)).sqrt();
    let mobility = mobility(hidden, ground);
    let Losses { rolling, step, roughness, side } = losses(hidden, ground);
    let tyre = hidden.tyre_pressure.powf(-0.4);
    // The force by the weight.
    let rough = 0.02 * ground.roughness / 0.03;
    let resisted = rolling * tyre + 1.2 / mobility + roughness * rough + side * ground.side.powi(2);
    let force = upright * resisted + step * ground.step / CELL + ground.grade * cos_grade;
    let (push, brake) = (weight * force.max(0.0), weight * (-force).max(0.0));
    let pull = push / (weight * upright) / 0.75;
    let grip = -(1.0 - pull.min(0.985)).ln() / (0.3 * mobility);
    let slip = grip + (pull - 0.985).max(0.0) * 100.0;
    let progress = 1.0 - slip.min(LARGEST_SLIP);
    let base = hidden.base_power / SPEED;
    let spent = base + push / hidden.drive_efficiency;
    let saturated = hidden.recovery * brake >= 0.5 * base;
    let energy = spent / progress - if saturated { 0.5 * base } else { hidden.recovery * brake };

    let by_slip = if slip < LARGEST_SLIP { spent / progress.powi(2) } else { 0.0 };
    let by_push = 1.0 / (progress * hidden.drive_efficiency);
    let by_brake = if saturated { 0.0 } else { -hidden.recovery };
    let slip_by_pull = if pull < 0.985 { 1.0 / ((1.0 - pull) * 0.3 * mobility) } else { 100.0 };
    let by_force =
        if force > 0.0 { weight * by_push + by_slip * slip_by_pull / (0.75 * upright) } else { -weight * by_brake };
    let by_log_mobility = -by_force * upright * 1.2 / mobility - by_slip * grip;
    let by_weight = by_push * force.max(0.0) + by_brake * (-force).max(0.0);

    let mut slopes = [0.0; FACTS];
    slopes[0] = by_weight * MASS * GRAVITY - by_log_mobility / (1.0 + hidden.payload);
    slopes[1] = -push / (progress * hidden.drive_efficiency.powi(2));
    slopes[2] = if saturated { 0.0 } else { -brake };
    slopes[3] = (1.0 / progress - if saturated { 0.5 } else { 0.0 }) / SPEED;
    slopes[4] = -0.4 * by_force * upright * rolling * tyre / hidden.tyre_pressure
        - 0.5 * by_log_mobility / hidden.tyre_pressure;
    let by_losses = [ground.step / CELL, upright * rough, upright * ground.side.powi(2), upright * tyre];
    for (class, &share) in ground.surface.iter().enumerate() {
        slopes[5] += by_log_mobility * share * SITE_SPREAD[class];
        slopes[6 + class] = by_log_mobility * share * SOIL_SPREAD[class];
        slopes[11 + class] = -by_log_mobility * share * (ground.wetness - 0.5);
        slopes[16] += by_log_mobility * share * hidden.wetness_effect[class];
        for (loss, by_loss) in by_losses.iter().enumerate() {
            if hidden.by_surface.is_some() {
                slopes[21 + 5 * loss + class] = by_force * by_loss * share;
            }
        }
    }
    if hidden.by_surface.is_none() {
        by_losses.iter().enumerate().for_each(|(loss, by_loss)| slopes[17 + loss] = by_force * by_loss);
    }
    (energy.ln(), slopes.map(|slope| slope / energy))
}

impl GreyBox {
    /// For soils of `distribution`, whose log energies differ from the formulas by `noise`, in ln(J/m), where all facts are known.
    pub fn new(distribution: Distribution, noise: f64) -> Self {
        Self { distribution, noise }
    }

    /// For `world`, with the noise of its sensors and the factor that predicts validation tasks best after `rows` rows.
    pub fn choose(world: &Terrain, rows: usize, seed: u64) -> Self {
        let drawn = episodes(world, Split::Validation, rows, seed, Purpose::Choice, NOISE_EPISODES);
        let noise = Self::noise_of(world, &drawn);
        let square = |factor: &f64| {
            let grey_box = Self::new(world.distribution, factor * noise);
            let of = |(_, episode): &(Task, Episode)| {
                let fitted = grey_box.fit(&episode.support.inputs, &episode.support.targets);
                let mut said = vec![0.0; episode.query.rows];
                fitted.predict(&episode.query.inputs, &mut said, None);
                metric::mse(&said, &episode.query.targets)
            };
            // Summed in the order of the episodes, so that threads change no bit.
            drawn.par_iter().map(of).collect::<Vec<f64>>().iter().sum::<f64>()
        };
        let squares = FACTORS.each_ref().map(square);
        let best = (0..FACTORS.len()).min_by(|a, b| squares[*a].total_cmp(&squares[*b])).unwrap_or(0);
        Self::new(world.distribution, FACTORS[best] * noise)
    }

    /// By how much the measured log energies of driven edges differ from the formulas fed with what the sensors say, where all facts are
    /// known: the root of the mean square over the supports of `drawn`; NaN without any.
    pub fn noise_of(world: &Terrain, drawn: &[(Task, Episode)]) -> f64 {
        let (mut squares, mut all) = (0.0, 0.0);
        for (task, Episode { support, .. }) in drawn {
            let hidden = world.hidden(task);
            for (input, target) in support.inputs.chunks_exact(FEATURES).zip(&support.targets) {
                squares += f64::from(informed(&hidden, input) - target).powi(2);
                all += 1.0;
            }
        }
        (squares / all).sqrt()
    }

    fn hidden(&self, z: &DVector<f64>) -> Hidden {
        let unit: Vec<f64> = z.iter().map(|z| normal(*z)[0]).collect();
        Hidden::at(self.distribution, &unit)
    }

    /// The facts at `z`, and their derivatives by it: `[41, z]`. Each fact runs along its range in proportion to u or its logarithm does, so
    /// a difference in u is as good as the derivative.
    fn facts(&self, z: &DVector<f64>) -> (Hidden, DMatrix<f64>) {
        const STEP: f64 = 1e-6;
        let unit: Vec<f64> = z.iter().map(|z| normal(*z)[0]).collect();
        let mut slopes = DMatrix::zeros(FACTS, z.len());
        for (column, at) in z.iter().enumerate() {
            let moved = |by: f64| {
                let mut unit = unit.clone();
                unit[column] += by;
                facts(&Hidden::at(self.distribution, &unit))
            };
            let (more, less) = (moved(STEP), moved(-STEP));
            for fact in 0..FACTS {
                slopes[(fact, column)] = (more[fact] - less[fact]) / (2.0 * STEP) * normal(*at)[1];
            }
        }
        (self.hidden(z), slopes)
    }

    fn objective(&self, z: &DVector<f64>, inputs: &[f32], targets: &[f32]) -> f64 {
        let hidden = self.hidden(z);
        let rows = inputs.chunks_exact(FEATURES).zip(targets);
        let square = |(input, target): (&[f32], &f32)| {
            let ground = believed(input, hidden.wetness_bias);
            ((passage(&hidden, &ground).energy.ln() - f64::from(*target)) / self.noise).powi(2)
        };
        rows.map(square).sum::<f64>() + z.norm_squared()
    }

    /// Fits the facts to rows `inputs [rows, 10]` of sensors with measured log energies `targets [rows]`, in ln(J/m).
    pub fn fit(&self, inputs: &[f32], targets: &[f32]) -> Fitted {
        let len = self.distribution.hidden();
        let mut z = DVector::zeros(len);
        let mut objective = self.objective(&z, inputs, targets);
        let mut damping = 1e-2;
        let linear = |z: &DVector<f64>| {
            let (hidden, by_z) = self.facts(z);
            let mut curvature = DMatrix::identity(len, len);
            let mut slope = z.clone();
            for (input, target) in inputs.chunks_exact(FEATURES).zip(targets) {
                let (said, slopes) = log_energy(&hidden, &believed(input, hidden.wetness_bias));
                let row = by_z.tr_mul(&DVector::from_row_slice(&slopes)) / self.noise;
                slope += &row * ((said - f64::from(*target)) / self.noise);
                curvature.ger(1.0, &row, &row, 1.0);
            }
            (hidden, by_z, curvature, slope)
        };
        let mut state = linear(&z);
        for _ in 0..ITERATIONS {
            let (.., curvature, slope) = &state;
            let damped = curvature + DMatrix::from_diagonal(&(curvature.diagonal() * damping));
            // The identity in it keeps it positive definite, unless numbers ran out: then what there is stays.
            let Some(factored) = Cholesky::new(damped) else { break };
            let next = &z - factored.solve(slope);
            let lower = self.objective(&next, inputs, targets);
            if lower < objective {
                let done = objective - lower <= ENOUGH * objective;
                (z, objective, damping) = (next, lower, (damping / 10.0).max(1e-12));
                state = linear(&z);
                if done {
                    break;
                }
            } else {
                damping *= 10.0;
                if damping > 1e12 {
                    break;
                }
            }
        }
        let (hidden, by_z, curvature, _) = state;
        let spread =
            Cholesky::new(curvature).map_or_else(|| DMatrix::identity(len, len), |factored| factored.inverse());
        Fitted { hidden, covariance: &by_z * spread * by_z.transpose(), noise: self.noise }
    }
}

impl Fitted {
    /// The facts.
    pub fn hidden(&self) -> &Hidden {
        &self.hidden
    }

    /// Predicts log energies `mean [rows]` of rows `inputs [rows, 10]`, in ln(J/m), and their variances.
    pub fn predict(&self, inputs: &[f32], mean: &mut [f32], variance: Option<&mut [f32]>) {
        let Self { hidden, covariance, noise } = self;
        let grounds = || inputs.chunks_exact(FEATURES).map(|input| believed(input, hidden.wetness_bias));
        match variance {
            None => mean
                .iter_mut()
                .zip(grounds())
                .for_each(|(mean, ground)| *mean = passage(hidden, &ground).energy.ln() as f32),
            Some(variance) => {
                for ((mean, variance), ground) in mean.iter_mut().zip(variance).zip(grounds()) {
                    let (said, slopes) = log_energy(hidden, &ground);
                    let slopes = nalgebra::SVector::<f64, FACTS>::from(slopes);
                    *mean = said as f32;
                    *variance = (slopes.dot(&(covariance * slopes)) + noise * noise) as f32;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::sense::features;
    use super::*;
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    const ALL: [Distribution; 3] = [Distribution::SoilStrength, Distribution::Independent, Distribution::ScaleOnly];

    fn ground(rng: &mut ChaCha8Rng) -> Ground {
        let mut surface = [0.0; 5];
        let [one, other] = [0, 1].map(|_| rng.random_range(0..5));
        surface[one] += 0.75;
        surface[other] += 0.25;
        Ground {
            grade: rng.random_range(-0.3..0.3),
            side: rng.random_range(0.0..0.3),
            surface,
            wetness: rng.random(),
            roughness: rng.random_range(0.005..0.05),
            step: rng.random_range(0.0..0.05),
            variation: 1.0,
        }
    }

    fn draw(distribution: Distribution, rng: &mut ChaCha8Rng) -> Hidden {
        let unit: Vec<f64> = (0..distribution.hidden()).map(|_| rng.random_range(0.05..0.95)).collect();
        Hidden::at(distribution, &unit)
    }

    #[test]
    fn slopes_are_differences() {
        let mut rng = ChaCha8Rng::seed_from_u64(0);
        for distribution in ALL {
            let greybox = GreyBox::new(distribution, 0.1);
            for _ in 0..60 {
                let ground = ground(&mut rng);
                let z = DVector::from_fn(distribution.hidden(), |_, _| rng.random_range(-1.5..1.5));
                // The sensor's wetness, of which the bias is taken.
                let at = |hidden: &Hidden| Ground { wetness: ground.wetness - hidden.wetness_bias, ..ground };
                let (hidden, by_z) = greybox.facts(&z);
                let (said, slopes) = log_energy(&hidden, &at(&hidden));
                assert!((said - passage(&hidden, &at(&hidden)).energy.ln()).abs() <= 1e-12);
                let slope = by_z.tr_mul(&DVector::from_row_slice(&slopes));
                for place in 0..z.len() {
                    let moved = |by: f64| {
                        let mut z = z.clone();
                        z[place] += by;
                        let hidden = greybox.hidden(&z);
                        passage(&hidden, &at(&hidden)).energy.ln()
                    };
                    let difference = (moved(1e-5) - moved(-1e-5)) / 2e-5;
                    assert!((difference - slope[place]).abs() <= 1e-5 * (1.0 + slope[place].abs()), "{place}");
                }
            }
        }
    }

    /// Without noise, what it predicts elsewhere is what is: which facts made it, not all of them can be told.
    #[test]
    fn without_noise_it_finds_what_the_facts_do() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        for distribution in ALL {
            let hidden = draw(distribution, &mut rng);
            let mut rows = |count: usize| {
                let (mut inputs, mut targets) = (Vec::new(), Vec::new());
                for _ in 0..count {
                    let ground = ground(&mut rng);
                    targets.push(passage(&hidden, &ground).energy.ln() as f32);
                    inputs.extend(features(&Ground { wetness: ground.wetness + hidden.wetness_bias, ..ground }));
                }
                (inputs, targets)
            };
            let ((inputs, targets), (elsewhere, truth)) = (rows(200), rows(200));
            let errors = |noise: f64, inputs: &[f32], targets: &[f32]| {
                let fitted = GreyBox::new(distribution, noise).fit(inputs, targets);
                let (mut mean, mut variance) = (vec![0.0; truth.len()], vec![0.0; truth.len()]);
                fitted.predict(&elsewhere, &mut mean, Some(&mut variance));
                let mut alone = vec![0.0; truth.len()];
                fitted.predict(&elsewhere, &mut alone, None);
                assert!(mean.iter().zip(&alone).all(|(a, b)| (a - b).abs() <= 1e-5));
                let variance = variance.iter().sum::<f32>() / truth.len() as f32 - (noise * noise) as f32;
                (crate::metric::rmse(&mean, &truth), variance)
            };
            let (fitted, sure) = errors(1e-3, &inputs, &targets);
            let (before, unsure) = errors(1e-3, &[], &[]);
            assert!(fitted <= 0.01 && before >= 0.1, "{distribution:?}: {fitted} {before}");
            assert!(sure <= 0.05 * unsure && sure >= 0.0, "{distribution:?}: {sure} {unsure}");
        }
    }

    #[test]
    fn the_noise_is_what_sensors_make_and_more() {
        let world = Terrain::default();
        let drawn = episodes(&world, Split::Validation, 16, 0, Purpose::Choice, 20);
        let noise = GreyBox::noise_of(&world, &drawn);
        assert!((0.15..=0.4).contains(&noise), "{noise}");
        let chosen = GreyBox::choose(&world, 16, 0);
        assert!(chosen.noise >= noise && chosen.noise <= 1.0, "{} {noise}", chosen.noise);
    }
}
