//! A simulated rover in a task, for demonstrations: it senses, drives and measures, one edge at a time.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use rand_distr::StandardNormal;

use super::hidden::Hidden;
use super::map::Map;
use super::physics::{LARGEST_SLIP, passage, time};
use super::sense::FEATURES;

/// Spread of the measured log energy of a driven edge.
pub(super) const ENERGY_NOISE: f64 = 0.05;

/// What the rover finds on driving along an edge.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Drive {
    /// True energy, in J.
    pub energy: f64,
    /// True slip, from 0; beyond [`LARGEST_SLIP`] the rover digs itself through, at the energy of that slip.
    pub slip: f64,
    /// Measured log energy per metre, in ln(J/m), with its noise of 5 %: the target to adapt to.
    pub measured: f32,
}

impl Drive {
    /// How long an edge of `length` m takes, in s, see [`time`](fn@time).
    pub fn time(&self, length: f64) -> f64 {
        length * time(self.slip)
    }

    /// Whether the rover dug itself through an edge that cannot be driven properly.
    pub fn stuck(&self) -> bool {
        self.slip > LARGEST_SLIP
    }
}

/// A rover on the map of a task. Edges and cells are numbered as in [`super::grid`].
#[derive(Clone, Debug)]
pub struct Rover<'w> {
    pub(super) map: &'w Map,
    pub(super) hidden: Hidden,
    pub(super) features: Vec<f32>,
    pub(super) energies: Vec<f64>,
    pub(super) routes: Vec<[usize; 2]>,
    pub(super) rng: ChaCha8Rng,
}

impl Rover<'_> {
    /// The map: heights and surfaces, for plots.
    pub fn map(&self) -> &Map {
        self.map
    }

    /// The hidden facts, which a learner must not see.
    pub fn hidden(&self) -> &Hidden {
        &self.hidden
    }

    /// Start and goal of the routes that the task is judged on.
    pub fn routes(&self) -> &[[usize; 2]] {
        &self.routes
    }

    /// What the sensors say about every edge: `[EDGES, FEATURES]`, the inputs to predict all costs from.
    pub fn features(&self) -> &[f32] {
        &self.features
    }

    /// What the sensors say about `edge`; zeros where there is no such edge.
    pub fn sense(&self, edge: usize) -> [f32; FEATURES] {
        self.features.as_chunks().0.get(edge).copied().unwrap_or([0.0; FEATURES])
    }

    /// The true energy of every edge, in J, for the best path to compare with.
    pub fn energies(&self) -> &[f64] {
        &self.energies
    }

    /// Drives along `edge`; `None` where there is no such edge, or something stands in its way.
    pub fn drive(&mut self, edge: usize) -> Option<Drive> {
        let edge = super::grid::edges().get(edge).filter(|edge| self.map.is_free(edge))?;
        let passage = passage(&self.hidden, &self.map.ground(edge));
        Some(Drive {
            energy: passage.energy * edge.length,
            slip: passage.slip,
            measured: measured(passage.energy, &mut self.rng),
        })
    }
}

/// The log of an energy per metre, as the rover measures it.
pub(super) fn measured(energy: f64, rng: &mut ChaCha8Rng) -> f32 {
    (energy.ln() + ENERGY_NOISE * rng.sample::<f64, _>(StandardNormal)) as f32
}
