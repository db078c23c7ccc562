//! What a task hides: 21 facts of the rover and of the soil that no sensor shows, or 34 where every surface has its own.
//!
//! The ranges are engineering choices for a rover of 100 kg on wheels with tyres, not measurements of one machine; `docs/worlds.md` says of
//! each where it comes from.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::physics::{SITE_SPREAD, SOIL_SPREAD};
use crate::world::{Split, Task};

/// How many numbers a task hides.
pub const HIDDEN: usize = 21;

/// The most numbers that a task of any distribution hides.
pub const MOST_HIDDEN: usize = 34;

/// Which facts differ between tasks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Distribution {
    /// All 21: soils differ in strength, each by itself and all together. The world in which adapting pays.
    #[default]
    SoilStrength,
    /// 34: payload, drive efficiencies and base power, and for each of the five surfaces by itself its strength, what wetness does to
    /// it, rolling resistance, and what steps, roughness and side slopes cost on it. No site, no tyre pressure and no bias of a sensor
    /// ties surfaces together, so driving on one says next to nothing about another. This list is ours.
    Independent,
    /// Only payload, drive efficiencies and base power; the rest stays at the middle of its range. Nearly a common factor on
    /// every cost, so predictions gain from adapting and routes hardly do.
    ScaleOnly,
}

impl Distribution {
    /// How many numbers a task hides.
    pub fn hidden(self) -> usize {
        match self {
            Self::SoilStrength => HIDDEN,
            Self::Independent => MOST_HIDDEN,
            Self::ScaleOnly => SCALES,
        }
    }
}

/// The first facts: payload, drive efficiency, recovery and base power.
const SCALES: usize = 4;

/// What driving costs beside the strength of the soil, on each surface by itself; ranges as for the facts of the same names. Arrays are in
/// the order of [`super::map::Surface`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SurfaceLosses {
    /// As [`Hidden::rolling`].
    pub rolling: [f64; 5],
    /// As [`Hidden::step_loss`].
    pub step_loss: [f64; 5],
    /// As [`Hidden::roughness_loss`].
    pub roughness_loss: [f64; 5],
    /// As [`Hidden::side_loss`].
    pub side_loss: [f64; 5],
}

/// The hidden facts of one task. Arrays are in the order of [`super::map::Surface`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Hidden {
    /// Payload as a share of the rover's own 100 kg, from 0 to 0.6.
    pub payload: f64,
    /// Efficiency of the drive, from 0.5 to 0.85.
    pub drive_efficiency: f64,
    /// Share of the braking energy that comes back, from 0 to 0.3.
    pub recovery: f64,
    /// Power of everything but the drive, from 30 to 80 W, log-uniform.
    pub base_power: f64,
    /// Tyre pressure over its nominal value, from 0.67 to 1.5, log-uniform.
    pub tyre_pressure: f64,
    /// Strength of the whole site, in standard deviations, from −√3 to √3.
    pub site_strength: f64,
    /// Strength of each surface's soil, in standard deviations, from −√3 to √3.
    pub soil_strength: [f64; 5],
    /// How much each surface loses of its log strength per unit of wetness; wet sand gains.
    pub wetness_effect: [f64; 5],
    /// What the wetness sensor reads too much, from −0.25 to 0.25.
    pub wetness_bias: f64,
    /// Share of the potential energy of a step that is lost, from 0.3 to 1.
    pub step_loss: f64,
    /// Weight of roughness in the rolling resistance, from 0 to 1.
    pub roughness_loss: f64,
    /// Weight of the squared side slope in the rolling resistance, from 0.2 to 1.
    pub side_loss: f64,
    /// Rolling resistance of the tyre on hard ground, from 0.015 to 0.045.
    pub rolling: f64,
    /// What takes the place of the last four where each surface has its own.
    pub by_surface: Option<SurfaceLosses>,
}

const WETNESS_EFFECTS: [[f64; 2]; 5] = [[0.0, 0.2], [0.0, 0.4], [0.0, 1.2], [0.3, 2.5], [-0.8, 0.4]];

impl Hidden {
    /// The facts at the place `unit` of the unit cube, one coordinate a fact, in the order of the fields.
    pub fn from_unit(unit: &[f64; HIDDEN]) -> Self {
        let uniform = |i: usize, low: f64, high: f64| low + (high - low) * unit[i];
        let log_uniform = |i: usize, low: f64, high: f64| (low.ln() + (high.ln() - low.ln()) * unit[i]).exp();
        let root = 3.0_f64.sqrt();
        Self {
            payload: uniform(0, 0.0, 0.6),
            drive_efficiency: uniform(1, 0.5, 0.85),
            recovery: uniform(2, 0.0, 0.3),
            base_power: log_uniform(3, 30.0, 80.0),
            tyre_pressure: log_uniform(4, 0.67, 1.5),
            site_strength: uniform(5, -root, root),
            soil_strength: std::array::from_fn(|class| uniform(6 + class, -root, root)),
            wetness_effect: std::array::from_fn(|class| {
                let [low, high] = WETNESS_EFFECTS[class];
                uniform(11 + class, low, high)
            }),
            wetness_bias: uniform(16, -0.25, 0.25),
            step_loss: uniform(17, 0.3, 1.0),
            roughness_loss: uniform(18, 0.0, 1.0),
            side_loss: uniform(19, 0.2, 1.0),
            rolling: uniform(20, 0.015, 0.045),
            by_surface: None,
        }
    }

    /// The facts at the place `unit` of the unit cube of `distribution`, [`Distribution::hidden`] coordinates; where there are fewer, the
    /// rest is at the middle of its range.
    pub fn at(distribution: Distribution, unit: &[f64]) -> Self {
        let coordinate = |i: usize| unit.get(i).copied().unwrap_or(0.5);
        match distribution {
            Distribution::SoilStrength => Self::from_unit(&std::array::from_fn(coordinate)),
            Distribution::ScaleOnly => {
                Self::from_unit(&std::array::from_fn(|i| if i < SCALES { coordinate(i) } else { 0.5 }))
            }
            Distribution::Independent => {
                let shared = |i: usize| if i < SCALES { coordinate(i) } else { 0.5 };
                let own = |group: usize, class: usize| coordinate(SCALES + 5 * group + class);
                let spread = |group: usize, low: f64, high: f64| {
                    std::array::from_fn(|class| low + (high - low) * own(group, class))
                };
                let root = 3.0_f64.sqrt();
                Self {
                    // As far as site and soil together.
                    soil_strength: std::array::from_fn(|class| {
                        let both = SITE_SPREAD[class].hypot(SOIL_SPREAD[class]) / SOIL_SPREAD[class];
                        both * root * (2.0 * own(0, class) - 1.0)
                    }),
                    wetness_effect: std::array::from_fn(|class| {
                        let [low, high] = WETNESS_EFFECTS[class];
                        low + (high - low) * own(1, class)
                    }),
                    by_surface: Some(SurfaceLosses {
                        rolling: spread(2, 0.015, 0.045),
                        step_loss: spread(3, 0.3, 1.0),
                        roughness_loss: spread(4, 0.0, 1.0),
                        side_loss: spread(5, 0.2, 1.0),
                    }),
                    ..Self::from_unit(&std::array::from_fn(shared))
                }
            }
        }
    }

    /// The middle of every range: the rover that the driven paths of the maps were planned for.
    pub fn nominal() -> Self {
        Self::from_unit(&[0.5; HIDDEN])
    }

    /// The hidden facts of `task`. They follow from its seed and split alone, not from any map.
    pub fn of(task: &Task, distribution: Distribution) -> Self {
        let mut rng = stream(task, Purpose::Hidden);
        let unit: Vec<f64> = (0..distribution.hidden()).map(|_| rng.random()).collect();
        Self::at(distribution, &unit)
    }
}

/// What a stream of random numbers of a task is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// The hidden facts.
    Hidden,
    /// Where the task plans: its map, its routes, and what the sensors say about them.
    Survey,
}

/// A stream of random numbers of `task`: every split and purpose has its own, so equal seeds in two splits are unrelated.
pub(super) fn stream(task: &Task, purpose: Purpose) -> ChaCha8Rng {
    let split = match task.split {
        Split::Train => 1,
        Split::Validation => 2,
        Split::Test => 3,
    };
    let mut rng = ChaCha8Rng::seed_from_u64(task.seed);
    rng.set_stream(match purpose {
        Purpose::Hidden => split,
        Purpose::Survey => 4 + split,
    });
    rng
}
