//! What the rover's sensors say about an edge: ten numbers, all of them noisy.
//!
//! The surface comes from a camera that takes 15 % of the cells for another surface; a vote over 3×3 cells turns its
//! labels into shares. Wetness is read with noise of 0.05 and with the task's hidden bias, grade and side slope with
//! 0.3°, roughness with 20 % and the height of steps with 25 %. The variation of the soil is never seen.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use rand_distr::StandardNormal;

use super::grid::{CELLS, SIDE};
use super::map::Map;
use super::physics::Ground;
use crate::world::Column;

/// Numbers that the sensors say about an edge.
pub const FEATURES: usize = 10;

const CONFUSION: f32 = 0.15;
const ANGLE_NOISE: f64 = 0.3;
const WETNESS_NOISE: f64 = 0.05;
const ROUGHNESS_NOISE: f64 = 0.2;
const STEP_NOISE: f64 = 0.25;

/// The input columns. All are plain numbers of the order of one:
/// `6 tanθ`, `6 tanφ − 0.8`, `3 (wetness − ½)`, `1.5 ln(roughness / 0.016 m)`, `√(step / 0.02 m) − 0.8` and 1.5 times the shares.
pub(super) fn columns() -> Vec<Column> {
    ["grade", "side_slope", "wetness", "roughness", "step", "rock", "gravel", "grass", "loam", "sand"]
        .map(|name| Column { name: name.into(), unit: "1".into() })
        .into()
}

/// What the camera takes the surface of each cell for.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Labels(Vec<u8>);

impl Labels {
    /// One look at the whole map.
    pub fn look(map: &Map, rng: &mut ChaCha8Rng) -> Self {
        Self(
            map.surfaces
                .iter()
                .map(|&surface| {
                    let other = if rng.random::<f32>() < CONFUSION { rng.random_range(1..5_u8) } else { 0 };
                    (surface as u8 + other) % 5
                })
                .collect(),
        )
    }

    /// The shares of the surfaces around `cell`: votes of its 3×3 cells with weights 1, 2, 1 both ways, sharpened by a power
    /// of 1.5. Beyond the border counts the cell at the border.
    pub fn shares(&self, cell: usize) -> [f64; 5] {
        let mut votes = [0.0; 5];
        let near = |at: usize, step: usize| (at + step).saturating_sub(1).min(SIDE - 1);
        for (down, height) in [1.0, 2.0, 1.0].into_iter().enumerate() {
            for (right, width) in [1.0, 2.0, 1.0].into_iter().enumerate() {
                let label = self.0[near(cell / SIDE, down) * SIDE + near(cell % SIDE, right)];
                votes[usize::from(label)] += height * width / 16.0;
            }
        }
        let sharp = votes.map(|vote: f64| vote * vote.sqrt());
        let total: f64 = sharp.iter().sum();
        sharp.map(|share| share / total)
    }

    /// The shares of every cell.
    pub fn all_shares(&self) -> Vec<[f64; 5]> {
        (0..CELLS).map(|cell| self.shares(cell)).collect()
    }
}

/// One reading of the sensors over `ground`, with the shares that the camera sees there.
pub(super) fn sense(ground: &Ground, shares: [f64; 5], bias: f64, rng: &mut ChaCha8Rng) -> [f32; FEATURES] {
    let mut noise = |deviation: f64| deviation * rng.sample::<f64, _>(StandardNormal);
    let turn = noise(ANGLE_NOISE.to_radians());
    features(&Ground {
        // tan(θ + turn), as the tangent of a sum.
        grade: (ground.grade + turn) / (1.0 - ground.grade * turn),
        side: (ground.side + noise(ANGLE_NOISE.to_radians())).abs(),
        surface: shares,
        wetness: ground.wetness + bias + noise(WETNESS_NOISE),
        roughness: ground.roughness * noise(ROUGHNESS_NOISE).exp(),
        step: ground.step * noise(STEP_NOISE).exp(),
        variation: 1.0,
    })
}

/// The ten numbers of a sensed ground.
pub(super) fn features(sensed: &Ground) -> [f32; FEATURES] {
    let [rock, gravel, grass, loam, sand] = sensed.surface.map(|share| share * 1.5);
    [
        sensed.grade * 6.0,
        sensed.side * 6.0 - 0.8,
        (sensed.wetness - 0.5) * 3.0,
        (sensed.roughness / 0.016).ln() * 1.5,
        (sensed.step / 0.02).sqrt() - 0.8,
        rock,
        gravel,
        grass,
        loam,
        sand,
    ]
    .map(|value| value as f32)
}

/// The ground that would be sensed as `features` without noise, by a wetness sensor with this bias.
pub(super) fn believed(features: &[f32], bias: f64) -> Ground {
    let feature = |i: usize| f64::from(features.get(i).copied().unwrap_or(0.0));
    Ground {
        grade: feature(0) / 6.0,
        side: (feature(1) + 0.8) / 6.0,
        surface: std::array::from_fn(|class| feature(5 + class) / 1.5),
        wetness: feature(2) / 3.0 + 0.5 - bias,
        roughness: (feature(3) / 1.5).exp() * 0.016,
        step: (feature(4) + 0.8).powi(2) * 0.02,
        variation: 1.0,
    }
}

#[cfg(test)]
mod tests {
    use super::super::ground::Materials;
    use super::*;
    use rand::SeedableRng;

    #[test]
    fn features_can_be_turned_back() {
        let ground = Ground {
            grade: -0.2,
            side: 0.1,
            surface: [0.1, 0.2, 0.3, 0.4, 0.0],
            wetness: 0.7,
            roughness: 0.02,
            step: 0.004,
            variation: 1.0,
        };
        let back = believed(&features(&Ground { wetness: 0.5, ..ground }), -0.2);
        for (a, b) in [
            (back.grade, ground.grade),
            (back.side, ground.side),
            (back.wetness, ground.wetness),
            (back.roughness, ground.roughness),
            (back.step, ground.step),
        ] {
            assert!((a - b).abs() <= 1e-6, "{a} {b}");
        }
        assert!(back.surface.iter().zip(ground.surface).all(|(a, b)| (a - b).abs() <= 1e-6));
    }

    #[test]
    fn the_camera_errs_as_often_as_it_should() {
        let mut rng = ChaCha8Rng::seed_from_u64(0);
        let map = Map::draw(&Materials::default(), 0, 1, &mut rng);
        let labels = Labels::look(&map, &mut rng);
        let wrong = labels.0.iter().zip(&map.surfaces).filter(|(label, surface)| **label != **surface as u8).count();
        assert!((wrong as f64 / CELLS as f64 - f64::from(CONFUSION)).abs() <= 0.03);
        for cell in [0, SIDE - 1, 100, CELLS - 1] {
            assert!((labels.shares(cell).iter().sum::<f64>() - 1.0).abs() <= 1e-12);
        }
    }
}
