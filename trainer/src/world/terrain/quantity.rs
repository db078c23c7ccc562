//! What a network of terrain predicts: energy, and what else driving along an edge takes, a head each.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use rand_distr::StandardNormal;
use serde::{Deserialize, Serialize};

use super::physics::{LARGEST_SLIP, Passage, time};
use super::rover;
use crate::world::{Column, Metric};

/// What is predicted of an edge.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Quantity {
    /// The log of the energy per metre, in ln(J/m).
    Energy,
    /// The slip, from 0 to [`LARGEST_SLIP`].
    Slip,
    /// The log of the time per metre, in ln(s/m).
    Time,
}

impl Quantity {
    pub(super) fn column(self) -> Column {
        let (name, unit) = match self {
            Self::Energy => ("log_energy", "ln(J/m)"),
            Self::Slip => ("slip", "1"),
            Self::Time => ("log_time", "ln(s/m)"),
        };
        Column { name: name.into(), unit: unit.into() }
    }

    pub(super) fn metric(self) -> Metric {
        match self {
            Self::Energy => Metric::lower("log_energy_rmse", "ln(J/m)"),
            Self::Slip => Metric::lower("slip_rmse", "1"),
            Self::Time => Metric::lower("log_time_rmse", "ln(s/m)"),
        }
    }

    /// What it truly is.
    pub(super) fn truth(self, passage: &Passage) -> f32 {
        let value = match self {
            Self::Energy => passage.energy.ln(),
            Self::Slip => passage.slip.min(LARGEST_SLIP),
            Self::Time => time(passage.slip).ln(),
        };
        value as f32
    }

    /// What a rover measures of it: energies by its current, slip by odometry of wheels and of cameras, time by its clock.
    pub(super) fn measured(self, passage: &Passage, rng: &mut ChaCha8Rng) -> f32 {
        match self {
            Self::Energy => rover::measured(passage.energy, rng),
            Self::Slip => self.truth(passage) + (SLIP_NOISE * rng.sample::<f64, _>(StandardNormal)) as f32,
            Self::Time => self.truth(passage) + (TIME_NOISE * rng.sample::<f64, _>(StandardNormal)) as f32,
        }
    }
}

/// Spread of a measured slip: visual odometry is good to a few percent (Maimone, Cheng and Matthies 2007).
const SLIP_NOISE: f64 = 0.02;
/// Spread of the log of a measured time.
const TIME_NOISE: f64 = 0.02;
