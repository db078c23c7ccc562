//! Driving over soil of unknown strength: a rover predicts what every edge of a map costs, and plans on that.
//!
//! A rover of 100 kg crosses generated maps of 64×64 cells of 2 m. Its sensors show slope, surface, wetness, roughness and
//! steps; what they cannot show is how strong the soil of this site is, what the rover carries and how good its drive is
//! ([`Hidden`], 21 facts). A few driven edges of one map tell; the adapted predictor then plans on a map that the
//! rover has not driven. Judged are the predictions ([`Terrain::metrics`], `log_energy_rmse`) and, what the robot wants, the
//! energy that planned paths take beyond the best ones (`regret`).
//!
//! **This distribution was chosen because adapting pays in it.** Where tasks differ by a common factor only
//! ([`Distribution::ScaleOnly`]), predictions improve and routes hardly do.
//!
//! The map, routes and readings on which a task is judged follow from the task alone; what the support shows follows from
//! the episode.
//!
//! Heights are generated, or come from real elevation models ([`elevation`]) that are made rover terrain by force ([`ElevationConfig`] and
//! `docs/worlds.md` say how). Obstacles come from maps on which path planning is measured ([`obstacles`]).
//!
//! What cannot be driven at all is an edge that an obstacle stands in the way of. Where the true slip is beyond 0.8, the rover is stuck: it digs itself
//! through, and the edge takes the energy at a slip of 0.8, five times the work.
//! Planned and best paths are charged alike, so a plan on true energies has regret 0 and none is less.

pub mod elevation;
pub mod grey_box;
pub mod grid;
mod ground;
pub mod hidden;
pub mod map;
mod noise;
pub mod obstacles;
pub mod physics;
mod quantity;
pub mod route;
pub mod rover;
pub mod sense;
mod survey;
#[cfg(test)]
mod tests;

use std::path::Path;
use std::sync::OnceLock;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use sinew_models::spec::Loss;

pub use self::ground::{ElevationConfig, TerrainError};
pub use self::hidden::{Distribution, Hidden};
pub use self::map::Map;
pub use self::quantity::Quantity;
pub use self::rover::{Drive, Rover};
pub use self::survey::ROUTES;

use self::grid::{EDGES, edges};
use self::ground::Materials;
use self::physics::{Passage, passage};
use self::route::Planner;
use self::sense::{FEATURES, Labels, believed, sense};
use self::survey::Survey;
use super::{Metric, Predictor, Signature, Split, Task, World};
use crate::episode::{Episode, Samples};
use crate::metric;

/// Query edges of an episode: half of them anywhere on the map, half from driven paths.
pub const QUERY: usize = 64;

/// Log energies per metre beyond ± this are planned on as this.
const LARGEST_LOG: f32 = 20.0;

/// The energy of every edge, in J, to plan on where a network predicts the log energies per metre `predictions`, ln(J/m).
pub fn expected_energies(predictions: &[f32]) -> Vec<f64> {
    let energy = |prediction: &f32| f64::from(prediction.clamp(-LARGEST_LOG, LARGEST_LOG)).exp();
    predictions.iter().zip(edges()).map(|(prediction, edge)| energy(prediction) * edge.length).collect()
}

/// `[world]` of `kind = "terrain"`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TerrainConfig {
    /// What is hidden.
    #[serde(default)]
    pub distribution: Distribution,
    /// What is predicted besides energy, a head each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub also: Vec<Quantity>,
    /// Elevation models that maps are made of; heights are generated where it is missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub elevation: Option<ElevationConfig>,
    /// A folder of `.map` files, or a glob, whose blocked cells stand in the way; nothing does where it is missing. Of four maps in a row two
    /// are for training, one is for validation and one for test.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub obstacles: Option<String>,
}

/// The world of soils.
#[derive(Debug)]
pub struct Terrain {
    distribution: Distribution,
    materials: [Materials; 3],
    seed: u64,
    /// Energy first.
    quantities: Vec<Quantity>,
    metrics: Vec<Metric>,
    signature: Signature,
    maps: [Vec<OnceLock<Map>>; 3],
}

impl Default for Terrain {
    fn default() -> Self {
        Self::new(Distribution::SoilStrength, 0)
    }
}

impl Terrain {
    /// A world of 96 maps to train on, 24 to validate and 64 to test, all of which follow from `seed`. A map is made
    /// when it is first needed.
    ///
    /// ```
    /// # use sinew_trainer::world::{World, Split, terrain::Terrain};
    /// # use rand::SeedableRng;
    /// let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(0);
    /// let world = Terrain::default();
    /// let task = world.task(Split::Test, &mut rng);
    /// let episode = world.episode(&task, 16, &mut rng);
    /// assert_eq!((episode.support.rows, episode.query.rows), (16, 64));
    /// let scores = world.score(&task, &episode, &mut |_, y| y.fill(6.0));
    /// assert!(scores[1] >= 0.0);
    /// ```
    pub fn new(distribution: Distribution, seed: u64) -> Self {
        Self::of(distribution, &[], Default::default(), seed)
    }

    /// As [`Terrain::new`], with the elevation models and obstacles of `config`. `${SINEW_DATA}` stands for
    /// [`data_folder`](super::root::data_folder).
    ///
    /// # Errors
    /// If a file cannot be read, or no map can be made of it.
    pub fn open(config: &TerrainConfig, seed: u64) -> Result<Self, TerrainError> {
        Self::open_in(config, seed, &super::root::data_folder())
    }

    /// As [`Terrain::open`], with `data` for `${SINEW_DATA}`.
    ///
    /// # Errors
    /// As [`Terrain::open`].
    pub fn open_in(config: &TerrainConfig, seed: u64, data: &Path) -> Result<Self, TerrainError> {
        if config.also.contains(&Quantity::Energy)
            || (1..config.also.len()).any(|i| config.also[..i].contains(&config.also[i]))
        {
            return Err(TerrainError::Quantities(config.also.clone()));
        }
        let materials = Materials::open(config.elevation.as_ref(), config.obstacles.as_deref(), data)?;
        Ok(Self::of(config.distribution, &config.also, materials, seed))
    }

    fn of(distribution: Distribution, also: &[Quantity], materials: [Materials; 3], seed: u64) -> Self {
        let quantities = [&[Quantity::Energy], also].concat();
        let heads = quantities.iter().map(|quantity| (quantity.column(), Loss::MeanSquared)).collect();
        let signature = Signature::of_heads(sense::columns(), None, heads);
        let mut metrics = vec![Quantity::Energy.metric(), Metric::lower("regret", "1")];
        metrics.extend(also.iter().enumerate().map(|(place, quantity)| quantity.metric().of_head(place + 1)));
        let maps = [Split::Train, Split::Validation, Split::Test]
            .map(|split| (0..Self::map_count(split)).map(|_| OnceLock::new()).collect());
        Self { distribution, materials, seed, quantities, metrics, signature, maps }
    }

    /// How many maps a split has.
    pub fn map_count(split: Split) -> usize {
        match split {
            Split::Train => 96,
            Split::Validation => 24,
            Split::Test => 64,
        }
    }

    /// A map of a split; the number is taken modulo [`Terrain::map_count`].
    pub fn map(&self, split: Split, number: usize) -> &Map {
        let number = number % Self::map_count(split);
        self.maps[split as usize][number].get_or_init(|| {
            // Drawing a map starts no other threads: in a pool, one of them could come back here and wait for itself.
            let mut rng = ChaCha8Rng::seed_from_u64(self.seed);
            rng.set_stream(((split as u64) << 32) + number as u64);
            Map::draw(&self.materials[split as usize], number, Self::map_count(split), &mut rng)
        })
    }

    /// Which facts differ between tasks.
    pub fn distribution(&self) -> Distribution {
        self.distribution
    }

    /// The hidden facts of `task`.
    pub fn hidden(&self, task: &Task) -> Hidden {
        Hidden::of(task, self.distribution)
    }

    /// Start and goal of the first route of `task`.
    pub fn route(&self, task: &Task) -> [usize; 2] {
        Survey::of(task, self).routes[0]
    }

    /// Start and goal of each route of `task`.
    pub fn routes(&self, task: &Task) -> [[usize; 2]; ROUTES] {
        Survey::of(task, self).routes
    }

    /// A rover on the map on which `task` plans. `rng` is for the noise of its measurements.
    pub fn rover(&self, task: &Task, rng: &mut ChaCha8Rng) -> Rover<'_> {
        let (hidden, survey) = (self.hidden(task), Survey::of(task, self));
        let map = self.map(task.split, survey.map);
        Rover {
            map,
            hidden,
            features: survey.features(map, &hidden),
            energies: map.energies(&hidden),
            routes: survey.routes.to_vec(),
            rng: ChaCha8Rng::seed_from_u64(rng.random()),
        }
    }

    /// What `predictor` says of the energies of so many rows of features, or of their variances.
    fn energy_of(&self, predictor: &mut Predictor<'_>, features: &[f32], rows: usize) -> Vec<f32> {
        let mut said = vec![0.0; rows * self.quantities.len()];
        predictor(features, &mut said);
        said.into_iter().step_by(self.quantities.len()).collect()
    }

    /// The root of the mean squared error on the query, of each quantity.
    fn errors(&self, episode: &Episode, predictor: &mut Predictor<'_>) -> Vec<f64> {
        let mut predictions = vec![0.0; episode.query.targets.len()];
        predictor(&episode.query.inputs, &mut predictions);
        let quantities = self.quantities.len();
        let column = |values: &[f32], place: usize| -> Vec<f32> {
            values.iter().copied().skip(place).step_by(quantities).collect()
        };
        let of = |place| metric::rmse(&column(&predictions, place), &column(&episode.query.targets, place));
        (0..quantities).map(of).collect()
    }

    /// As [`World::metrics`] has them.
    fn scores(&self, errors: Vec<f64>, regret: f64) -> Vec<f64> {
        let mut scores = errors;
        scores.insert(1, regret);
        scores
    }

    /// Mean regret over the routes of `task`; infinite where a prediction is not a number. With the variance of the log energies a plan is
    /// made on the mean of a log-normal energy, otherwise on its median.
    fn regret(&self, task: &Task, predictor: &mut Predictor<'_>, variance: Option<&mut Predictor<'_>>) -> f64 {
        let (hidden, survey) = (self.hidden(task), Survey::of(task, self));
        let map = self.map(task.split, survey.map);
        let features = survey.features(map, &hidden);
        let mut predictions = self.energy_of(predictor, &features, EDGES);
        if let Some(variance) = variance {
            let variances = self.energy_of(variance, &features, EDGES);
            predictions.iter_mut().zip(&variances).for_each(|(prediction, variance)| *prediction += 0.5 * variance);
        }
        if predictions.iter().any(|prediction| prediction.is_nan()) {
            return f64::INFINITY;
        }
        let mut expected = expected_energies(&predictions);
        map.block(&mut expected);
        let regrets = || {
            let (truth, plan) = (Planner::new(&map.energies(&hidden))?, Planner::new(&expected)?);
            survey.routes.iter().map(|&[start, goal]| truth.regret(&plan, start, goal)).sum::<Option<f64>>()
        };
        regrets().map_or(f64::NAN, |sum| sum / ROUTES as f64)
    }
}

/// The log energy per metre, in ln(J/m), that one expects who knows the `hidden` facts and reads the sensors: the formulas, fed with what
/// `input` says less the known bias.
pub fn informed(hidden: &Hidden, input: &[f32]) -> f32 {
    Quantity::Energy.truth(&informed_passage(hidden, input))
}

fn informed_passage(hidden: &Hidden, input: &[f32]) -> Passage {
    passage(hidden, &believed(input, hidden.wetness_bias))
}

impl World for Terrain {
    fn name(&self) -> &str {
        "terrain"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn task_count(&self, _split: Split) -> Option<usize> {
        None
    }

    fn task(&self, split: Split, rng: &mut ChaCha8Rng) -> Task {
        Task { split, seed: rng.random() }
    }

    /// The support is `shots` edges in a row of one driven path, with measured energies; beyond the end of the path the rover
    /// drives on along another. The query is on the task's own map, which is never that of the support, without noise
    /// on the energies.
    fn episode(&self, task: &Task, shots: usize, rng: &mut ChaCha8Rng) -> Episode {
        let hidden = self.hidden(task);
        let count = Self::map_count(task.split);
        let survey = Survey::of(task, self);
        let row = |map: &Map, labels: &Labels, edge: usize, rng: &mut ChaCha8Rng| {
            let edge = &edges()[edge];
            let ground = map.ground(edge);
            let sensed = sense(&ground, labels.shares(edge.to), hidden.wetness_bias, rng);
            (sensed, passage(&hidden, &ground))
        };

        let mut support = Samples::default();
        let map = self.map(task.split, survey.map + rng.random_range(1..count));
        let labels = Labels::look(map, rng);
        let path = rng.random_range(0..map.driven.len());
        let start = rng.random_range(0..=map.driven[path].len().saturating_sub(shots));
        let driven = map.driven.iter().cycle().skip(path).flatten().skip(start);
        for &edge in driven.take(shots) {
            let (sensed, passage) = row(map, &labels, edge, rng);
            let measured: Vec<f32> = self.quantities.iter().map(|quantity| quantity.measured(&passage, rng)).collect();
            support.push(&sensed, &measured);
        }

        let mut query = Samples::default();
        let map = self.map(task.split, survey.map);
        let labels = survey.labels(map);
        for i in 0..QUERY {
            let edge = if i < QUERY / 2 {
                map.free_edge(rng)
            } else {
                let path = &map.driven[rng.random_range(0..map.driven.len())];
                path[rng.random_range(0..path.len())]
            };
            let (sensed, passage) = row(map, &labels, edge, rng);
            let truth: Vec<f32> = self.quantities.iter().map(|quantity| quantity.truth(&passage)).collect();
            query.push(&sensed, &truth);
        }
        Episode { support, query }
    }

    fn metrics(&self) -> &[Metric] {
        &self.metrics
    }

    /// Asks `predictor` twice: for the query, and for all edges of the task's map at once.
    fn score(&self, task: &Task, episode: &Episode, predictor: &mut Predictor<'_>) -> Vec<f64> {
        self.scores(self.errors(episode, predictor), self.regret(task, predictor, None))
    }

    /// Plans on expected energies.
    fn score_with_variance(
        &self,
        task: &Task,
        episode: &Episode,
        predictor: &mut Predictor<'_>,
        variance: &mut Predictor<'_>,
    ) -> Vec<f64> {
        self.scores(self.errors(episode, predictor), self.regret(task, predictor, Some(variance)))
    }

    /// Hidden facts known, sensors noisy: the physics, fed with what the sensors say less the known bias. The floor in
    /// practice; a full Bayesian estimate from the same readings might do a little better.
    fn oracle(&self, task: &Task, episode: &Episode) -> Option<Vec<f64>> {
        let hidden = self.hidden(task);
        let mut know = |inputs: &[f32], outputs: &mut [f32]| {
            let rows = outputs.chunks_exact_mut(self.quantities.len());
            for (outputs, input) in rows.zip(inputs.chunks_exact(FEATURES)) {
                let passage = informed_passage(&hidden, input);
                outputs.iter_mut().zip(&self.quantities).for_each(|(to, quantity)| *to = quantity.truth(&passage));
            }
        };
        Some(self.score(task, episode, &mut know))
    }
}
