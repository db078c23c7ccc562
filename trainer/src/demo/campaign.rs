//! Many missions, each driven by four rovers: what adapting on the way is worth.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;
use sinew_runtime::adapter::SetupError;
use sinew_runtime::{Adapter, Bundle, BundleError, Outcome, Report};

use super::latency::Latencies;
use super::mission::{Belief, Mission, MissionError};
use crate::aligned::Aligned;
use crate::deploy::terrain::Trip;
use crate::metric::{Ratio, Summary, rmse};
use crate::world::World;
use crate::world::terrain::grid::{EDGES, edges};
use crate::world::terrain::{Terrain, expected_energies};

/// Driven edges that a rover remembers and adapts to.
pub const REMEMBERED: usize = 32;
/// Numbers of driven edges after which beliefs are judged; every mission is longer.
pub const JUDGED: [usize; 10] = [0, 1, 2, 4, 6, 8, 12, 16, 20, 24];

/// Edges that the prepared rover has driven on another map of the site before: as many as the network was trained with.
pub const PREPARED: usize = 16;

/// The rovers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    /// Plans once, on what the pooled network predicts.
    Unadapted,
    /// Adapts on the way; at the start it knows nothing of the task.
    Adapted,
    /// The same, after [`PREPARED`] edges on another map.
    Prepared,
    /// Plans once, on the true energies.
    Oracle,
}

impl Who {
    /// All of them, in the order of every array of trips.
    pub const ALL: [Self; 4] = [Self::Unadapted, Self::Adapted, Self::Prepared, Self::Oracle];

    /// As tables name it.
    pub fn name(self) -> &'static str {
        ["un-adapted", "adapted on the way", "adapted before, too", "oracle"][self as usize]
    }
}

/// How good a belief about the whole map is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Judged {
    /// Root mean square error of the predicted log energy over all edges, in ln(J/m).
    pub rmse: f64,
    /// Energy that the planned route from start to goal takes beyond the best, as a share of the best.
    pub regret: f64,
}

/// One adaptation on the way.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Adaptation {
    /// How long it took.
    pub took: Duration,
    /// What became of it.
    pub outcome: Outcome,
    /// Inner steps within the budget.
    pub steps: usize,
}

/// One mission and what came of it.
#[derive(Clone, Debug)]
pub struct Driven {
    /// The mission.
    pub mission: Mission,
    /// The trips, in the order of [`Who::ALL`].
    pub trips: [Trip; 4],
    /// The belief of the rover that does not adapt.
    pub unadapted: Judged,
    /// The beliefs of the one that adapts on the way, after each of [`JUDGED`] edges.
    pub judged: Vec<Judged>,
    /// The adaptations on the way, of both rovers.
    pub adaptations: Vec<Adaptation>,
    /// True log energies per metre of all edges, in ln(J/m).
    pub truth: Vec<f32>,
    /// Those that are predicted: un-adapted, and adapted at the end of the way.
    pub predictions: [Vec<f32>; 2],
}

/// Why a campaign failed.
#[derive(Debug, thiserror::Error)]
pub enum CampaignError {
    /// A bundle.
    #[error(transparent)]
    Bundle(#[from] BundleError),
    /// An adapter.
    #[error(transparent)]
    Setup(#[from] SetupError),
    /// Threads.
    #[error("threads to drive on: {0}")]
    Threads(#[from] rayon::ThreadPoolBuildError),
    /// A mission.
    #[error(transparent)]
    Mission(#[from] MissionError),
}

/// What is driven.
#[derive(Clone, Copy, Debug)]
pub struct Plan<'a> {
    /// The bundle of the network that does not adapt.
    pub pooled: &'a [u8],
    /// The bundle that adapts.
    pub bundle: &'a [u8],
    /// Missions.
    pub missions: u64,
    /// Missions follow from it.
    pub seed: u64,
    /// Time for one adaptation.
    pub budget: Option<Duration>,
}

impl Plan<'_> {
    /// Drives all missions, several at a time; fewer if told to stop. `tick` is called after each.
    ///
    /// # Errors
    /// If a bundle is not for terrain, or there are no threads.
    pub fn drive(
        &self,
        world: &Terrain,
        stop: &AtomicBool,
        tick: &(dyn Fn() + Sync),
    ) -> Result<Vec<Driven>, CampaignError> {
        let (pooled, bundle) = (Bundle::parse(self.pooled)?, Bundle::parse(self.bundle)?);
        let one = |number: u64| {
            if stop.load(Ordering::Relaxed) {
                return None;
            }
            let driven = drive(world, &Mission::draw(world, self.seed, number), [&pooled, &bundle], self.budget);
            tick();
            Some(driven)
        };
        // One processor is left to everything else, for an adaptation is timed and should not wait.
        let threads = std::thread::available_parallelism().map_or(1, |threads| threads.get() - 1).max(1);
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build()?;
        pool.install(|| (0..self.missions).into_par_iter().filter_map(one).collect())
    }
}

fn drive(
    world: &Terrain,
    mission: &Mission,
    [pooled, bundle]: [&Bundle<'_>; 2],
    budget: Option<Duration>,
) -> Result<Driven, CampaignError> {
    let rover = mission.rover(world);
    let energies = rover.energies();
    let truth: Vec<f32> =
        energies.iter().zip(edges()).map(|(energy, edge)| (energy / edge.length).ln() as f32).collect();
    let oracle = mission.follow(world, energies)?;
    let best = oracle.energy();
    let judge = |predictions: &[f32]| {
        let plan = mission.plan(&expected_energies(predictions), mission.start)?;
        let energy: f64 = plan.iter().map(|&edge| energies[edge]).sum();
        Ok::<_, MissionError>(Judged { rmse: rmse(predictions, &truth), regret: energy / best - 1.0 })
    };

    let mut memory = Aligned::zeros(Adapter::memory_len(pooled, REMEMBERED)?);
    let mut adapter = Adapter::new(pooled, REMEMBERED, &mut memory)?;
    let mut before = vec![0.0; EDGES];
    adapter.predict(rover.features(), &mut before).map_err(MissionError::from)?;
    let plain = mission.follow(world, &expected_energies(&before))?;

    let mut memory = Aligned::zeros(Adapter::memory_len(bundle, REMEMBERED)?);
    let mut adapter = Adapter::new(bundle, REMEMBERED, &mut memory)?;
    let (mut judged, mut adaptations, mut after) = (Vec::new(), Vec::new(), Vec::new());
    let note = |adaptations: &mut Vec<Adaptation>, belief: &Belief<'_>| {
        let adaptation =
            |(report, took): (Report, _)| Adaptation { took, outcome: report.outcome, steps: report.steps };
        adaptations.extend(belief.adaptation.map(adaptation));
    };
    let watch = |belief: &Belief<'_>| {
        if JUDGED.contains(&belief.driven) {
            judged.push(judge(belief.predictions));
        }
        note(&mut adaptations, belief);
        after.clear();
        after.extend_from_slice(belief.predictions);
    };
    let adapted = mission.adapt_on_the_way(world, &mut adapter, budget, watch)?;

    adapter.reset();
    let before_it = world.episode(&mission.task, PREPARED, &mut ChaCha8Rng::seed_from_u64(mission.noise)).support;
    for row in 0..before_it.rows {
        adapter.observe(before_it.input(row), before_it.target(row)).map_err(MissionError::from)?;
    }
    adapter.adapt(|| false).map_err(MissionError::from)?;
    let prepared = mission.adapt_on_the_way(world, &mut adapter, budget, |belief| note(&mut adaptations, belief))?;
    Ok(Driven {
        mission: *mission,
        trips: [plain, adapted, prepared, oracle],
        unadapted: judge(&before)?,
        judged: judged.into_iter().collect::<Result<_, _>>()?,
        adaptations,
        truth,
        predictions: [before, after],
    })
}

impl Driven {
    /// True energy of a rover beyond that of the oracle, as a share of the latter.
    pub fn regret(&self, who: Who) -> f64 {
        self.trips[who as usize].energy() / self.trips[Who::Oracle as usize].energy() - 1.0
    }

    /// What adapting on the way saves: the regret of the rover that does not adapt, less that of the one that does.
    pub fn saved(&self) -> f64 {
        self.regret(Who::Unadapted) - self.regret(Who::Adapted)
    }
}

/// One line of the result: a rover over all missions.
#[derive(Clone, Debug)]
pub struct Line {
    /// The rover.
    pub who: Who,
    /// Its regret: true energy beyond that of the oracle, as a share of the latter.
    pub regret: Summary,
    /// Its regret less that of the un-adapted rover, mission by mission.
    pub difference: Summary,
    /// Its mean regret over that of the un-adapted rover.
    pub ratio: Ratio,
    /// Edges through which it had to dig itself, in a mission.
    pub stuck: f64,
    /// Edges in a mission.
    pub edges: f64,
    /// Changes of plan in a mission.
    pub replans: f64,
}

/// The line of each rover.
pub fn lines(driven: &[Driven]) -> Vec<Line> {
    let regrets = |who: Who| -> Vec<f64> { driven.iter().map(|driven| driven.regret(who)).collect() };
    let unadapted = regrets(Who::Unadapted);
    let line = |who: Who| {
        let mean = |count: fn(&Trip) -> usize| {
            let counts = driven.iter().map(|driven| count(&driven.trips[who as usize]) as f64);
            Summary::of(&counts.collect::<Vec<_>>()).mean
        };
        let regrets = regrets(who);
        Line {
            who,
            regret: Summary::of(&regrets),
            difference: Summary::of_difference(&regrets, &unadapted),
            ratio: Ratio::of_means(&regrets, &unadapted),
            stuck: mean(Trip::stuck),
            edges: mean(|trip| trip.steps.len()),
            replans: mean(|trip| trip.replans),
        }
    };
    Who::ALL.map(line).into()
}

/// How long all adaptations took.
pub fn latencies(driven: &[Driven]) -> Latencies {
    Latencies::of(driven.iter().flat_map(|driven| &driven.adaptations).map(|adaptation| adaptation.took))
}

/// The missions worth a picture: that of the median saving, and that of the largest.
pub fn pictured(driven: &[Driven]) -> [Option<&Driven>; 2] {
    let mut order: Vec<&Driven> = driven.iter().collect();
    order.sort_by(|a, b| a.saved().total_cmp(&b.saved()));
    [order.get(order.len() / 2).copied(), order.last().copied()]
}

/// The root mean square error of `predictions`, and what is left of it once their mean error is taken out.
pub fn errors(predictions: &[f32], truth: &[f32]) -> [f64; 2] {
    let error = rmse(predictions, truth);
    let differences = predictions.iter().zip(truth).map(|(a, b)| f64::from(a - b));
    let mean = differences.sum::<f64>() / truth.len().max(1) as f64;
    [error, (error * error - mean * mean).max(0.0).sqrt()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_common_factor_is_no_spread() {
        let [error, spread] = errors(&[1.5, 2.5, 3.5], &[1.0, 2.0, 3.0]);
        assert!((error - 0.5).abs() <= 1e-9 && spread.abs() <= 1e-6, "{error} {spread}");
        let [error, spread] = errors(&[1.0, 3.0], &[2.0, 2.0]);
        assert!((error - 1.0).abs() <= 1e-9 && (spread - 1.0).abs() <= 1e-9, "{error} {spread}");
    }
}
