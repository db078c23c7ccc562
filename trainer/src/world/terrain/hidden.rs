//! What a task hides: 21 facts of the rover and of the soil that no sensor shows.
//!
//! The ranges are engineering choices for a rover of 100 kg on wheels with tyres, not measurements of one machine.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::world::{Split, Task};

/// How many numbers a task hides.
pub const HIDDEN: usize = 21;

/// Which facts differ between tasks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Distribution {
    /// All 21: soils differ in strength, each by itself and all together. The world in which adapting pays.
    #[default]
    SoilStrength,
    /// Only payload, drive efficiencies and base power; the rest stays at the middle of its range. Nearly a common factor on
    /// every cost, so predictions gain from adapting and routes hardly do.
    ScaleOnly,
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
        }
    }

    /// The middle of every range: the rover that the driven paths of the maps were planned for.
    pub fn nominal() -> Self {
        Self::from_unit(&[0.5; HIDDEN])
    }

    /// The hidden facts of `task`. They follow from its seed and split alone, not from any map.
    pub fn of(task: &Task, distribution: Distribution) -> Self {
        let mut rng = stream(task, Purpose::Hidden);
        let mut unit: [f64; HIDDEN] = std::array::from_fn(|_| rng.random());
        match distribution {
            Distribution::SoilStrength => {}
            Distribution::ScaleOnly => unit[4..].fill(0.5),
        }
        Self::from_unit(&unit)
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
