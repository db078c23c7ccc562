//! A mission: a rover crosses a map that no network has seen, by one of three ways of knowing what it costs.
//!
//! The rover that adapts drives edge by edge: drive, observe, adapt within a time budget, predict the map anew, plan anew from
//! where it is. The other two plan once: what they believe never changes.

use std::time::{Duration, Instant};

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use sinew_runtime::{AdaptError, Adapter, LengthError, ObserveError, Report};

use crate::deploy::terrain::{Mind, NoRoute, Step, Sure, Trip, drive};
use crate::streams::{Purpose, rng};
use crate::world::terrain::grid::EDGES;
use crate::world::terrain::route::plan_route;
use crate::world::terrain::{Rover, Terrain, expected_energies};
use crate::world::{Split, Task, World};

/// Evaluations draw episodes with major number 0.
const MAJOR: u64 = 1;

/// Where to drive, and with which noise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mission {
    /// The task: what is hidden, and the map.
    pub task: Task,
    /// The cell where the rover starts.
    pub start: usize,
    /// The cell where it wants to be.
    pub goal: usize,
    /// Seed of the noise of its measurements; the same for every rover.
    pub noise: u64,
}

/// What the rover that adapts knows after some edges.
#[derive(Clone, Copy, Debug)]
pub struct Belief<'a> {
    /// Edges driven so far.
    pub driven: usize,
    /// What the last adaptation did, and how long it took; `None` before the first.
    pub adaptation: Option<(Report, Duration)>,
    /// The log energy per metre that it predicts for every edge, in ln(J/m).
    pub predictions: &'a [f32],
}

/// Why a mission could not be driven.
#[derive(Clone, Copy, Debug, thiserror::Error)]
pub enum MissionError {
    /// The bundle's rows have another length than the rover's sensors.
    #[error("the bundle is not for terrain: {0}")]
    Length(#[from] LengthError),
    /// A measurement was refused.
    #[error("a measured edge was refused: {0}")]
    Observe(#[from] ObserveError),
    /// There was nothing to adapt to.
    #[error(transparent)]
    Adapt(#[from] AdaptError),
    /// No route.
    #[error(transparent)]
    NoRoute(#[from] NoRoute),
}

/// The rover that adapts, at the wheel.
struct Adapting<'a, 'm, W> {
    adapter: &'a mut Adapter<'m>,
    budget: Option<Duration>,
    watch: W,
    predictions: Vec<f32>,
    adaptation: Option<(Report, Duration)>,
}

impl<W: FnMut(&Belief<'_>)> Mind for Adapting<'_, '_, W> {
    type Error = MissionError;

    fn believe(&mut self, rover: &Rover<'_>, driven: usize, energies: &mut [f64]) -> Result<bool, MissionError> {
        self.adapter.predict(rover.features(), &mut self.predictions)?;
        let Self { adaptation, predictions, .. } = self;
        (self.watch)(&Belief { driven, adaptation: *adaptation, predictions });
        energies.copy_from_slice(&expected_energies(predictions));
        Ok(true)
    }

    fn learn(&mut self, rover: &Rover<'_>, step: &Step) -> Result<(), MissionError> {
        self.adapter.observe(&rover.sense(step.edge), &[step.drive.measured])?;
        let begun = Instant::now();
        let report = self.adapter.adapt(|| self.budget.is_some_and(|budget| begun.elapsed() >= budget))?;
        self.adaptation = Some((report, begun.elapsed()));
        Ok(())
    }
}

impl Mission {
    /// The mission with this number: a test task of `world`, with the first of its routes.
    pub fn draw(world: &Terrain, seed: u64, number: u64) -> Self {
        let mut rng = rng(seed, Purpose::Evaluation, MAJOR, number);
        let task = world.task(Split::Test, &mut rng);
        let noise = rng.random();
        let [start, goal] = world.route(&task);
        Self { task, start, goal, noise }
    }

    /// The rover at the start.
    pub fn rover<'w>(&self, world: &'w Terrain) -> Rover<'w> {
        world.rover(&self.task, &mut ChaCha8Rng::seed_from_u64(self.noise))
    }

    /// The cheapest path from `cell` to the goal where edges cost `energies`, in J.
    ///
    /// # Errors
    /// If there is none.
    pub fn plan(&self, energies: &[f64], cell: usize) -> Result<Vec<usize>, MissionError> {
        plan_route(energies, cell, self.goal).ok_or(NoRoute { start: cell, goal: self.goal }.into())
    }

    /// Plans once on `energies`, in J for each edge, and drives that: the rover that does not adapt, and the one that knows all.
    ///
    /// # Errors
    /// If there is no way.
    pub fn follow(&self, world: &Terrain, energies: &[f64]) -> Result<Trip, MissionError> {
        Ok(drive(&mut self.rover(world), &[self.start, self.goal], &mut Sure(energies), &mut plan_route)?)
    }

    /// Drives with `adapter`, which begins as it is: each edge is observed and adapted to, within `budget` if there is one, and then
    /// all edges are predicted and the way planned anew. `watch` sees what is believed at the start and after every edge.
    ///
    /// Nothing depends on the clock where there is no budget.
    ///
    /// # Errors
    /// If the bundle is not for terrain, or there is no way.
    pub fn adapt_on_the_way(
        &self,
        world: &Terrain,
        adapter: &mut Adapter<'_>,
        budget: Option<Duration>,
        watch: impl FnMut(&Belief<'_>),
    ) -> Result<Trip, MissionError> {
        let mut mind = Adapting { adapter, budget, watch, predictions: vec![0.0; EDGES], adaptation: None };
        drive(&mut self.rover(world), &[self.start, self.goal], &mut mind, &mut plan_route)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aligned::Aligned;
    use crate::config::Config;
    use crate::learn::State;
    use crate::model::Model;
    use crate::scaling::Scaling;
    use crate::train::initial_parameters;
    use crate::world::terrain::grid::edges;
    use sinew_runtime::Bundle;

    /// A network that was never trained: it learns on the way what an edge costs, roughly.
    fn untrained(world: &Terrain) -> Vec<u8> {
        let text = super::super::CONFIG;
        let changes = ["network.hidden=[8]".to_owned(), "learner.rate=\"constant\"".to_owned()];
        let config = Config::parse(std::path::Path::new("demo"), text, &changes).unwrap();
        let network = config.network(world.signature()).unwrap();
        let rule = config.rule(&network, world.signature()).unwrap();
        let params = initial_parameters(&network, 0, Purpose::Initial, 0);
        let scaling = Scaling { output_mean: vec![5.0], ..Scaling::none(&network) };
        let about = crate::export::About::default();
        let model = Model { rule, state: State { params, rates: vec![0.05] }, scaling, about, network };
        model.to_bytes().unwrap()
    }

    #[test]
    fn nobody_beats_the_one_who_knows_and_the_same_seed_drives_the_same_way() {
        let world = Terrain::default();
        let bytes = untrained(&world);
        let bundle = Bundle::parse(&bytes).unwrap();
        for number in 0..2 {
            let mission = Mission::draw(&world, 3, number);
            assert_eq!(mission, Mission::draw(&world, 3, number));
            let best = mission.follow(&world, mission.rover(&world).energies()).unwrap();
            let lengths: Vec<f64> = edges().iter().map(|edge| edge.length).collect();
            let shortest = mission.follow(&world, &lengths).unwrap();
            let adapting = || {
                let mut memory = Aligned::zeros(Adapter::memory_len(&bundle, 16).unwrap());
                let mut adapter = Adapter::new(&bundle, 16, &mut memory).unwrap();
                let mut seen = 0;
                let trip = mission.adapt_on_the_way(&world, &mut adapter, None, |_| seen += 1).unwrap();
                assert_eq!(seen, trip.steps.len() + 1);
                trip
            };
            let adapted = adapting();
            assert_eq!(adapted, adapting());
            for trip in [&best, &shortest, &adapted] {
                let cells = trip.cells();
                assert!(trip.arrived && cells.first() == Some(&mission.start) && cells.last() == Some(&mission.goal));
                // The planner counts in microjoules.
                assert!(best.energy() <= trip.energy() + 1e-6 * trip.steps.len() as f64);
            }
        }
    }
}
