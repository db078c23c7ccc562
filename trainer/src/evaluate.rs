//! What a bundle is worth: every method on the same episodes, judged by what the robot wanted.

mod beside;
mod descent;
mod error;
mod rows;

use std::cell::RefCell;
use std::collections::BTreeMap;

use rayon::prelude::*;
use sinew_models::rule::Rule;
use sinew_models::spec::InputForm;
use sinew_runtime::{Adapter, Bundle, Guard, Outcome};

use crate::aligned::Aligned;
use crate::baseline::Baselines;
use crate::baseline::choose::Choice;
use crate::episode::Episode;
use crate::streams::Purpose;
use crate::train::episodes;
use crate::world::{Split, Task, World};
use beside::Beside;
pub use descent::descent;
pub use error::EvaluateError;
pub use rows::Row;

/// What is evaluated, and how.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Episodes; for a data set all tasks of the split if not given.
    pub episodes: Option<usize>,
    /// Support samples (of each class).
    pub shots: usize,
    /// Inner steps, a row each; for a rule that takes none, whether it adapts (1) or not (0).
    pub steps: Vec<usize>,
    /// Everything that is drawn follows from it.
    pub seed: u64,
    /// What the guard asks of an update.
    pub guard: Guard,
    /// The part of the world whose tasks are drawn.
    pub split: Split,
}

/// Episodes of a world without end, unless told otherwise.
pub const EPISODES: usize = 600;

/// The names of the baselines.
pub const BASELINES: [&str; 7] =
    ["unadapted", "intercept", "finetuned", "scratch", "classical", "gp_residual", "gp_learned"];

/// One method at one number of steps.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Method {
    /// `adapted`, `unadapted`, `intercept`, `finetuned`, `scratch`, `classical`, `gp_residual`, `gp_learned`, `oracle` or `sgd`. With
    /// baselines `unadapted` is the pooled network, the honest one not to adapt; without, it is the bundle as it is.
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

/// Inner steps that differ for `rule`, in the order given: a rule that takes none adapts (1) or does not (0).
pub fn different_steps(rule: &Rule, steps: &[usize]) -> Vec<usize> {
    let takes_steps = matches!(rule, Rule::Gradient { .. } | Rule::MetaLstm { .. });
    let mut different = Vec::new();
    for &steps in steps {
        let steps = if takes_steps { steps } else { steps.min(1) };
        if !different.contains(&steps) {
            different.push(steps);
        }
    }
    different
}

/// The inner steps of which there are rows unless told otherwise: none, and as trained, where a device can adapt to the world's rows.
pub fn usual_steps(rule: &Rule, world: &dyn World) -> Vec<usize> {
    if world.lacks_labels() { vec![0] } else { vec![0, rule.steps()] }
}

/// The test, validation or training episodes that `settings` ask for, but those without rows.
///
/// # Errors
/// If there are none.
pub fn drawn(world: &dyn World, settings: &Settings) -> Result<Vec<(Task, Episode)>, EvaluateError> {
    let Settings { shots, split, .. } = *settings;
    let count = settings.episodes.or_else(|| world.task_count(split)).unwrap_or(EPISODES) as u64;
    let mut drawn = episodes(world, split, shots, settings.seed, Purpose::Evaluation, count);
    drawn.retain(|(_, episode)| episode.query.rows > 0 && (episode.support.rows > 0 || shots == 0));
    if drawn.is_empty() {
        let split = match split {
            Split::Train => "training",
            Split::Validation => "validation",
            Split::Test => "test",
        };
        return Err(EvaluateError::NoEpisodes { world: world.name().into(), split, shots });
    }
    Ok(drawn)
}

/// Runs every method on the episodes of `world`; baselines where there are some. `tick` is called after each episode.
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
    let drawn = drawn(world, settings)?;
    let settings = &Settings { steps: different_steps(bundle.rule(), &settings.steps), ..settings.clone() };
    let beside = match baselines {
        Some(baselines) => Some(Beside::new(baselines, world, settings)?),
        None => None,
    };
    let results: Result<Vec<Scored>, EvaluateError> = drawn
        .par_iter()
        .enumerate()
        .map(|(number, (task, episode))| {
            let mut scored = adapted(&bundle, world, task, episode, settings)?;
            if beside.is_none() {
                // What adaptation starts from is all there is to compare with.
                let before = adapted(&bundle, world, task, episode, &Settings { steps: vec![0], ..settings.clone() })?;
                let score = before.rows.into_iter().map(|(_, score)| (Method { name: "unadapted", steps: 0 }, score));
                scored.rows.extend(score);
            }
            if let Some(beside) = &beside {
                scored.rows.extend(beside.score(world, task, episode, number as u64));
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
        choice: beside.map(|beside| beside.choice),
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
    if episode.support.targets.iter().any(|label| label.is_nan()) {
        // Where nothing adapts, and inputs are not relative to the support, it changes nothing.
        let (steps, form) = (settings.steps.iter().copied().max().unwrap_or(0), bundle.network().input.form);
        if steps > 0 || form != InputForm::Plain {
            return Err(EvaluateError::MissingLabels { world: world.name().into(), steps, form });
        }
    } else {
        for row in 0..episode.support.rows {
            adapter.observe(episode.support.input(row), episode.support.target(row))?;
        }
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
