//! What a bundle is worth: every method on the same episodes, judged by what the robot wanted.

mod descent;

use std::cell::RefCell;
use std::collections::BTreeMap;

use rayon::prelude::*;
use serde::Serialize;
use sinew_models::rule::Rule;
use sinew_runtime::adapter::SetupError;
use sinew_runtime::network::NetworkError;
use sinew_runtime::reader::BundleError;
use sinew_runtime::{Adapter, Bundle, Guard, Network, Outcome, Path};

use crate::aligned::Aligned;
use crate::baseline::choose::{Choice, choose, scratch_start};
use crate::baseline::fine_tune::fine_tuned;
use crate::baseline::{Baselines, linear};
use crate::episode::Episode;
use crate::forward::Forward;
use crate::metric::{Ratio, Summary};
use crate::model::Model;
use crate::scaling::support_mean;
use crate::streams::Purpose;
use crate::train::episodes;
use crate::world::{Split, Task, World};
pub use descent::descent;

/// What is evaluated, and how.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Episodes; for a data set all test tasks if not given.
    pub episodes: Option<usize>,
    /// Support samples (of each class).
    pub shots: usize,
    /// Inner steps, a row each.
    pub steps: Vec<usize>,
    /// Everything that is drawn follows from it.
    pub seed: u64,
    /// What the guard asks of an update.
    pub guard: Guard,
}

/// Episodes of a world without end, unless told otherwise.
pub const EPISODES: usize = 600;

/// One method at one number of steps.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Method {
    /// `adapted`, `unadapted`, `finetuned`, `scratch`, `classical`, `oracle` or `sgd`. With baselines `unadapted` is the pooled network, the
    /// honest one not to adapt; without, it is the bundle as it is.
    pub name: &'static str,
    /// Inner or fine-tuning steps.
    pub steps: usize,
}

/// The scores of every method on every episode.
#[derive(Clone, Debug)]
pub struct Evaluation {
    /// The world.
    pub source: String,
    /// What was measured, the main one first.
    pub metrics: Vec<crate::world::Metric>,
    /// Support samples (of each class).
    pub shots: usize,
    /// For each method the scores `[episode][metric]`.
    pub scores: Vec<(Method, Vec<Vec<f64>>)>,
    /// Updates that the guard refused, for each number of inner steps.
    pub refused: BTreeMap<usize, usize>,
    /// To which cluster each episode belongs: episodes of one cluster are not independent.
    pub clusters: Vec<u64>,
    /// What was chosen for the baselines.
    pub choice: Option<Choice>,
    /// The rates of the rows `sgd`, for each number of steps.
    pub descent_rates: BTreeMap<usize, f32>,
}

/// One line of the result.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Row {
    /// The method.
    pub method: &'static str,
    /// Support samples (of each class).
    pub shots: usize,
    /// Inner or fine-tuning steps.
    pub steps: usize,
    /// The rate of plain gradient descent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate: Option<f32>,
    /// Episodes.
    pub episodes: usize,
    /// Mean.
    pub mean: f64,
    /// Half of the mean's 95% interval.
    pub ci95: f64,
    /// Median over episodes.
    pub median: f64,
    /// Mean over that of `unadapted` (see [`Method::name`]) on the same episodes, and half of its 95% interval.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ratio: Option<[f64; 2]>,
    /// Mean difference to `finetuned`, episode by episode, and half of its 95% interval.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub beside_finetuned: Option<[f64; 2]>,
    /// Updates that the guard refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refused: Option<usize>,
}

/// Why nothing could be evaluated.
#[derive(Debug, thiserror::Error)]
pub enum EvaluateError {
    /// The bundle is for another world.
    #[error(
        "the bundle takes {bundle_inputs} inputs and gives {bundle_outputs} outputs, the world `{world}` has {inputs} and {outputs}"
    )]
    Shape {
        /// The world.
        world: String,
        /// Its inputs.
        inputs: usize,
        /// Its outputs.
        outputs: usize,
        /// The bundle's inputs.
        bundle_inputs: usize,
        /// The bundle's outputs.
        bundle_outputs: usize,
    },
    /// There is nothing to evaluate on.
    #[error("the world `{world}` has no test episode with {shots} shots")]
    NoEpisodes {
        /// The world.
        world: String,
        /// The shots.
        shots: usize,
    },
    /// The bundle.
    #[error(transparent)]
    Bundle(#[from] BundleError),
    /// The adapter.
    #[error(transparent)]
    Setup(#[from] SetupError),
    /// A network.
    #[error(transparent)]
    Network(#[from] NetworkError),
    /// A slice.
    #[error(transparent)]
    Length(#[from] sinew_runtime::LengthError),
    /// A sample.
    #[error("a support sample was refused: {0}")]
    Observe(#[from] sinew_runtime::ObserveError),
}

/// Runs every method on the test episodes of `world`; baselines where there are some. `tick` is called after each episode.
///
/// # Errors
/// If the bundle does not fit the world, or there is nothing to evaluate on.
pub fn evaluate(
    bytes: &[u8],
    baselines: Option<&Baselines>,
    world: &dyn World,
    settings: &Settings,
    tick: &(dyn Fn() + Sync),
) -> Result<Evaluation, EvaluateError> {
    let bundle = Bundle::parse(bytes)?;
    let signature = world.signature();
    let shape = (signature.inputs.len(), signature.outputs.len());
    let got = (bundle.network().input.len, bundle.rule().output_len(bundle.network()));
    if shape != got {
        return Err(EvaluateError::Shape {
            world: world.name().into(),
            inputs: shape.0,
            outputs: shape.1,
            bundle_inputs: got.0,
            bundle_outputs: got.1,
        });
    }
    let count = settings.episodes.or_else(|| world.task_count(Split::Test)).unwrap_or(EPISODES) as u64;
    let mut drawn = episodes(world, Split::Test, settings.shots, settings.seed, Purpose::Evaluation, count);
    drawn.retain(|(_, episode)| episode.query.rows > 0 && (episode.support.rows > 0 || settings.shots == 0));
    if drawn.is_empty() {
        return Err(EvaluateError::NoEpisodes { world: world.name().into(), shots: settings.shots });
    }
    let compared = match baselines {
        Some(baselines) => Some(Compared::new(baselines, world, settings)?),
        None => None,
    };
    let results: Result<Vec<Scored>, EvaluateError> = drawn
        .par_iter()
        .enumerate()
        .map(|(number, (task, episode))| {
            let mut scored = adapted(&bundle, world, task, episode, settings)?;
            if compared.is_none() {
                // What adaptation starts from is all there is to compare with.
                let before = adapted(&bundle, world, task, episode, &Settings { steps: vec![0], ..settings.clone() })?;
                let score = before.rows.into_iter().map(|(_, score)| (Method { name: "unadapted", steps: 0 }, score));
                scored.rows.extend(score);
            }
            if let Some(compared) = &compared {
                scored.rows.extend(compared.score(world, task, episode, number as u64));
            }
            if let Some(oracle) = world.oracle(task, episode) {
                scored.rows.push((Method { name: "oracle", steps: 0 }, oracle));
            }
            tick();
            Ok(scored)
        })
        .collect();
    let results = results?;
    let mut refused = BTreeMap::new();
    let mut scores: Vec<(Method, Vec<Vec<f64>>)> = Vec::new();
    for scored in results {
        for steps in scored.refused {
            *refused.entry(steps).or_default() += 1;
        }
        for (place, (method, row)) in scored.rows.into_iter().enumerate() {
            // Every episode has the same methods in the same order.
            if scores.len() <= place {
                scores.push((method, Vec::new()));
            }
            scores[place].1.push(row);
        }
    }
    Ok(Evaluation {
        source: world.name().into(),
        metrics: world.metrics().to_vec(),
        shots: settings.shots,
        scores,
        refused,
        clusters: drawn.iter().map(|(task, _)| world.cluster(task)).collect(),
        choice: compared.map(|compared| compared.choice),
        descent_rates: BTreeMap::new(),
    })
}

/// One episode's scores, and at which numbers of steps the guard refused.
struct Scored {
    rows: Vec<(Method, Vec<f64>)>,
    refused: Vec<usize>,
}

/// The bundle itself, by the very adapter that a robot runs.
fn adapted(
    bundle: &Bundle<'_>,
    world: &dyn World,
    task: &Task,
    episode: &Episode,
    settings: &Settings,
) -> Result<Scored, EvaluateError> {
    let capacity = episode.support.rows.max(64);
    let mut memory = Aligned::zeros(Adapter::memory_len(bundle, capacity)?);
    let mut adapter = Adapter::new(bundle, capacity, &mut memory)?;
    adapter.set_guard(settings.guard);
    for row in 0..episode.support.rows {
        adapter.observe(episode.support.input(row), episode.support.target(row))?;
    }
    let mut scored = Scored { rows: Vec::new(), refused: Vec::new() };
    for &steps in &settings.steps {
        adapter.rollback();
        if steps > 0 && episode.support.rows > 0 {
            adapter.set_steps(steps);
            // There is support, so there is a report.
            if adapter.adapt(|| false).is_ok_and(|report| report.outcome != Outcome::Committed) {
                scored.refused.push(steps);
            }
        }
        let score = if *bundle.rule() == Rule::Bayes {
            // Two closures, one adapter, one after the other.
            let adapter = RefCell::new(&mut adapter);
            let ask = |x: &[f32], y: &mut [f32], wanted: usize| {
                let mut other = vec![0.0; y.len()];
                let [mean, variance] = if wanted == 0 { [y, &mut other] } else { [&mut other[..], y] };
                let done = adapter.borrow_mut().predict_with_variance(x, mean, variance);
                debug_assert!(done.is_ok(), "the world asks for whole rows");
            };
            world.score_with_variance(task, episode, &mut |x, y| ask(x, y, 0), &mut |x, y| ask(x, y, 1))
        } else {
            let mut predict = |x: &[f32], y: &mut [f32]| {
                let done = adapter.predict(x, y);
                debug_assert!(done.is_ok(), "the world asks for whole rows");
            };
            world.score(task, episode, &mut predict)
        };
        scored.rows.push((Method { name: "adapted", steps }, score));
    }
    Ok(scored)
}

/// The baselines, ready to be compared.
struct Compared<'a> {
    baselines: &'a Baselines,
    network: Network,
    linear: Network,
    choice: Choice,
    seed: u64,
}

impl<'a> Compared<'a> {
    fn new(baselines: &'a Baselines, world: &dyn World, settings: &Settings) -> Result<Self, NetworkError> {
        let choice = choose(baselines, world, settings.shots, settings.seed)?;
        let network = Network::new(&baselines.pooled.network, Path::detect())?;
        let linear = Network::new(&baselines.linear.network, Path::detect())?;
        Ok(Self { baselines, network, linear, choice, seed: settings.seed })
    }

    fn score(&self, world: &dyn World, task: &Task, episode: &Episode, number: u64) -> Vec<(Method, Vec<f64>)> {
        let Baselines { pooled, linear: line } = self.baselines;
        let mean = support_mean(&episode.support);
        let run = |network: &Network, model: &Model, params: &[f32]| {
            let mut forward = Forward::new(network, &model.scaling);
            let mut predict = |x: &[f32], y: &mut [f32]| forward.predict(params, mean.as_deref(), x, y);
            world.score(task, episode, &mut predict)
        };
        let support = pooled.scaling.task_rows(episode).support;
        let Choice { fine_tuned: tuned, scratch, strength, .. } = self.choice;
        let start = &pooled.state.params;
        let after = |start: &[f32], setting| fine_tuned(&self.network, start, &support, setting);
        let linear = linear::adapt(line, &line.scaling.task_rows(episode).support, strength);
        vec![
            (Method { name: "unadapted", steps: 0 }, run(&self.network, pooled, start)),
            (Method { name: "finetuned", steps: tuned.steps }, run(&self.network, pooled, &after(start, tuned))),
            (
                Method { name: "scratch", steps: scratch.steps },
                run(&self.network, pooled, &after(&scratch_start(pooled, self.seed, number), scratch)),
            ),
            (Method { name: "classical", steps: 0 }, run(&self.linear, line, &linear)),
        ]
    }
}

impl Evaluation {
    /// The scores of one metric, by cluster: what is independent, and can be summarised.
    fn independent(&self, scores: &[Vec<f64>], metric: usize) -> Vec<f64> {
        let mut clusters: BTreeMap<u64, Vec<f64>> = BTreeMap::new();
        for (row, cluster) in scores.iter().zip(&self.clusters) {
            clusters.entry(*cluster).or_default().push(row[metric]);
        }
        let mean = |values: &Vec<f64>| {
            let told: Vec<f64> = values.iter().copied().filter(|value| !value.is_nan()).collect();
            told.iter().sum::<f64>() / told.len() as f64
        };
        clusters.values().map(mean).collect()
    }

    fn of(&self, name: &str, metric: usize) -> Option<Vec<f64>> {
        let (_, scores) = self.scores.iter().find(|(method, _)| method.name == name)?;
        Some(self.independent(scores, metric))
    }

    /// Whether it was compared with baselines.
    pub fn has_baselines(&self) -> bool {
        self.scores.iter().any(|(method, _)| method.name == "finetuned")
    }

    /// The lines for one metric, by its place in [`Evaluation::metrics`].
    pub fn rows(&self, metric: usize) -> Vec<Row> {
        let unadapted = self.of("unadapted", metric);
        let finetuned = self.of("finetuned", metric);
        let row = |(method, scores): &(Method, Vec<Vec<f64>>)| {
            let values = self.independent(scores, metric);
            let summary = Summary::of(&values);
            let each: Vec<f64> = scores.iter().map(|row| row[metric]).collect();
            let ratio = unadapted.as_ref().map(|other| {
                let ratio = Ratio::of_means(&values, other);
                [ratio.ratio, ratio.ci95]
            });
            let beside = finetuned.as_ref().map(|other| {
                let difference = Summary::of_difference(&values, other);
                [difference.mean, difference.ci95]
            });
            let ours = method.name == "adapted" && method.steps > 0;
            Row {
                method: method.name,
                shots: self.shots,
                steps: method.steps,
                rate: self.descent_rates.get(&method.steps).copied().filter(|_| method.name == descent::NAME),
                episodes: each.iter().filter(|score| !score.is_nan()).count(),
                mean: summary.mean,
                ci95: summary.ci95,
                median: Summary::of(&each).median,
                ratio: ratio.filter(|_| method.name != "unadapted"),
                beside_finetuned: beside.filter(|_| method.name != "finetuned"),
                refused: ours.then(|| self.refused.get(&method.steps).copied().unwrap_or(0)),
            }
        };
        self.scores.iter().map(row).collect()
    }

    /// Joins the episodes of another evaluation with the same methods, such as another fold. Fine-tuning steps may differ.
    pub fn join(&mut self, other: Self) {
        for ((_, scores), (_, more)) in self.scores.iter_mut().zip(other.scores) {
            scores.extend(more);
        }
        self.clusters.extend(other.clusters);
        for (steps, count) in other.refused {
            *self.refused.entry(steps).or_default() += count;
        }
    }
}
