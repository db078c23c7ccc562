//! One agent of each kind, out of bundles and of what was trained beside one of them.
//!
//! | name | what it is | what it starts from |
//! |---|---|---|
//! | a bundle's | the adapter of the runtime ([`Adapted`]) | meta-learned |
//! | `unadapted` | the pooled network | pooled |
//! | `intercept` | and a random intercept | pooled |
//! | `finetuned` | the pooled network, fine-tuned by Adam | pooled |
//! | `classical` | the pooled linear model, pulled toward what was seen | pooled |
//! | `ridge_scratch`, `gp_scratch` | ridge regression, a Gaussian process | the scale of training values |
//! | `gp_residual` | a Gaussian process on the pooled network's residual | pooled |
//! | `gp_learned` | one whose mean and kernel were learned over tasks | pooled |
//! | `hierarchical` | a hierarchical Bayesian linear model of the pooled network's residual | pooled |
//!
//! Settings are chosen on validation tasks, for one number of rows, as in `sinew evaluate`.

use sinew_runtime::{Bundle, Network, Path};

use super::agent::{
    Adapted, Agent, AgentError, FineTuned, Hierarchical, Intercept, Linear, Process, Unadapted, memory,
};
use super::spread::Spread;
use crate::baseline::Baselines;
use crate::baseline::choose::{Choice, choose};
use crate::baseline::from_scratch::FromScratch;
use crate::baseline::hierarchical::Hierarchy;
use crate::baseline::process::{Pooled, Prior};
use crate::episode::Episode;
use crate::streams::Purpose;
use crate::train::episodes;
use crate::world::{Split, Task, World};

/// The names of all but bundles, in their order.
pub const RIVALS: [&str; 9] = [
    "unadapted",
    "intercept",
    "finetuned",
    "classical",
    "ridge_scratch",
    "gp_scratch",
    "gp_residual",
    "gp_learned",
    "hierarchical",
];

/// Validation episodes on which is chosen.
const CHOICE_EPISODES: u64 = 120;
/// Training episodes of the hierarchical model.
const TRAINING_EPISODES: u64 = 400;

/// A bundle and what it is called.
#[derive(Clone, Debug)]
pub struct Named {
    /// Its name in tables.
    pub name: String,
    /// The file.
    pub bytes: Vec<u8>,
}

/// What agents are chosen by.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Support rows (of each class) after which settings are best.
    pub shots: usize,
    /// Rows that an agent remembers.
    pub capacity: usize,
    /// What is drawn follows from it.
    pub seed: u64,
}

/// All agents.
#[derive(Debug)]
pub struct Roster<'a> {
    bundles: Vec<(&'a str, Bundle<'a>)>,
    rivals: Option<Rivals<'a>>,
    capacity: usize,
}

#[derive(Debug)]
struct Rivals<'a> {
    baselines: &'a Baselines,
    network: Network,
    line: Network,
    choice: Choice,
    residual: Prior,
    scratch: FromScratch,
    /// `None` where rows have too many inputs for it.
    hierarchy: Option<Hierarchy>,
}

/// The validation episodes on which is chosen for `settings`.
pub fn choice_episodes(world: &dyn World, settings: Settings) -> Vec<(Task, Episode)> {
    let count = world.task_count(Split::Validation).map_or(CHOICE_EPISODES, |tasks| CHOICE_EPISODES.min(tasks as u64));
    episodes(world, Split::Validation, settings.shots, settings.seed, Purpose::Choice, count)
}

impl<'a> Roster<'a> {
    /// Those of `bundles`, and the others where there are `baselines`, for `world`.
    ///
    /// # Errors
    /// If a bundle or a network cannot be used.
    pub fn new(
        bundles: &'a [Named],
        baselines: Option<&'a Baselines>,
        world: &dyn World,
        settings: Settings,
    ) -> Result<Self, AgentError> {
        let parsed = bundles.iter().map(|bundle| Ok((&*bundle.name, Bundle::parse(&bundle.bytes)?)));
        Ok(Self {
            bundles: parsed.collect::<Result<_, AgentError>>()?,
            rivals: baselines.map(|baselines| Rivals::new(baselines, world, settings)).transpose()?,
            capacity: settings.capacity.max(1),
        })
    }

    /// The names of the agents, bundles first.
    pub fn names(&self) -> Vec<&'a str> {
        let bundles = self.bundles.iter().map(|(name, _)| *name);
        let count = self.rivals.as_ref().map_or(0, |rivals| RIVALS.len() - usize::from(rivals.hierarchy.is_none()));
        bundles.chain(RIVALS[..count].iter().copied()).collect()
    }

    /// Shows a fresh agent, by its place among the names, to `work`; `None` where there is none at this place.
    ///
    /// # Errors
    /// If the agent cannot be made.
    pub fn with<T>(&self, place: usize, work: impl FnOnce(&mut dyn Agent) -> T) -> Result<Option<T>, AgentError> {
        if let Some((_, bundle)) = self.bundles.get(place) {
            let mut memory = memory(bundle, self.capacity)?;
            let mut agent = Adapted::new(bundle, self.capacity, &mut memory)?;
            return Ok(Some(work(&mut agent)));
        }
        let Some(rivals) = &self.rivals else { return Ok(None) };
        Ok(rivals.agent(place - self.bundles.len(), self.capacity).map(|mut agent| work(&mut *agent)))
    }

    /// For each agent how far it is off, where it does not say: fitted on validation tasks of `world` after as many rows as settings are
    /// chosen for. `None` for agents that know their variance, or are never off.
    ///
    /// # Errors
    /// If an agent cannot be made, or does not fit the world.
    pub fn spreads(&self, world: &dyn World, settings: Settings) -> Result<Vec<Option<Spread>>, AgentError> {
        let drawn = choice_episodes(world, settings);
        let spread = |place: usize| {
            let mut predict = |episode: &Episode, mean: &mut [f32]| {
                self.with(place, |agent| after(agent, episode, mean))?.unwrap_or(Ok(true))
            };
            fit_spread(&mut predict, &drawn)
        };
        (0..self.names().len()).map(spread).collect()
    }
}

/// Teaches `agent` the support of `episode` and asks it for the means of the query; whether it knows variances.
pub fn after(agent: &mut dyn Agent, episode: &Episode, mean: &mut [f32]) -> Result<bool, AgentError> {
    for row in 0..episode.support.rows {
        agent.observe(episode.support.input(row), episode.support.target(row))?;
    }
    let mut variance = vec![0.0; mean.len()];
    agent.predict(&episode.query.inputs, mean, Some(&mut variance))
}

/// Predicts the means of the query of an episode after its support; whether the one who does knows variances.
pub type Predict<'a> = dyn FnMut(&Episode, &mut [f32]) -> Result<bool, AgentError> + 'a;

/// The spread of one who predicts the query of an episode after its support, on the episodes `drawn`; `None` for one who knows variances.
///
/// # Errors
/// What `predict` answers.
pub fn fit_spread(predict: &mut Predict<'_>, drawn: &[(Task, Episode)]) -> Result<Option<Spread>, AgentError> {
    let (mut inputs, mut errors) = (Vec::new(), Vec::new());
    let mut lengths = [0; 2];
    for (_, episode) in drawn.iter().filter(|(_, episode)| episode.query.rows > 0) {
        let mut mean = vec![0.0; episode.query.targets.len()];
        if predict(episode, &mut mean)? {
            return Ok(None);
        }
        lengths = [episode.query.input_len(), episode.query.output_len()];
        inputs.extend(&episode.query.inputs);
        errors.extend(mean.iter().zip(&episode.query.targets).map(|(mean, target)| mean - target));
    }
    let [input_len, output_len] = lengths;
    Ok(if inputs.is_empty() { None } else { Spread::fit(&inputs, input_len, &errors, output_len) })
}

impl<'a> Rivals<'a> {
    fn new(baselines: &'a Baselines, world: &dyn World, settings: Settings) -> Result<Self, AgentError> {
        let Settings { shots, seed, .. } = settings;
        let choice = choose(baselines, world, shots, seed)?;
        let [network, line] =
            [&baselines.pooled, &baselines.linear].map(|model| Network::new(&model.network, Path::detect()));
        let network = network?;
        let spec = &baselines.pooled.network;
        let residual = choice.residual.prior(spec.input.presented_len(), spec.output_len());
        let pooled = Pooled { network: &network, model: &baselines.pooled };
        let scratch = FromScratch::choose(pooled, world, &choice_episodes(world, settings));
        let count =
            world.task_count(Split::Train).map_or(TRAINING_EPISODES, |tasks| TRAINING_EPISODES.min(tasks as u64));
        let tasks = episodes(world, Split::Train, shots, seed, Purpose::Choice, count);
        let hierarchy = Hierarchy::fit(pooled, &tasks.into_iter().map(|task| task.1).collect::<Vec<_>>());
        Ok(Self { baselines, line: line?, choice, residual, scratch, hierarchy, network })
    }

    fn agent(&self, place: usize, capacity: usize) -> Option<Box<dyn Agent + '_>> {
        let Self { baselines, network, line, choice, residual, scratch, hierarchy } = self;
        let Baselines { pooled, linear, process } = baselines;
        let line = Pooled { network: line, model: linear };
        let pooled = Pooled { network, model: pooled };
        let by = |prior| Box::new(Process::agent(prior, pooled, capacity));
        Some(match RIVALS.get(place).copied()? {
            "unadapted" => Box::new(Unadapted::agent(pooled, capacity)),
            "intercept" => Box::new(Intercept::agent(pooled, choice.intercept, capacity)),
            "finetuned" => Box::new(FineTuned::agent(pooled, choice.fine_tuned, capacity)),
            "classical" => Box::new(Linear::agent(line, choice.strength, capacity)),
            "ridge_scratch" => by(&scratch.ridge),
            "gp_scratch" => by(&scratch.process),
            "gp_residual" => by(residual),
            "gp_learned" => by(process),
            _ => Box::new(Hierarchical::agent(hierarchy.as_ref()?, pooled, capacity)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::baseline::gaussian_process::Kernel;
    use crate::export::About;
    use crate::learn::State;
    use crate::model::Model;
    use crate::scaling::Scaling;
    use crate::train::initial_parameters;
    use crate::world::sinusoid::Sinusoid;
    use sinew_models::networks;
    use sinew_models::rule::{Rate, Rule, Scope};
    use sinew_models::spec::{Activation, InputForm, Loss};

    fn model(hidden: &[usize]) -> Model {
        let network = networks::mlp(1, InputForm::Plain, hidden, Activation::Silu, "y", 1, Loss::MeanSquared).unwrap();
        Model {
            rule: Rule::Gradient { steps: 1, rate: Rate::Constant, scope: Scope::All, momentum: false, rows: 0 },
            state: State { params: initial_parameters(&network, 0, Purpose::Initial, 0), rates: vec![0.01] },
            scaling: Scaling { output_scale: vec![3.0], ..Scaling::none(&network) },
            about: About::default(),
            network,
        }
    }

    /// On a world that has nothing to do with driving.
    #[test]
    fn every_agent_learns_in_any_world() {
        let world = Sinusoid::new(10);
        let process = Prior::of_residual(1, Kernel::isotropic(1, 1.0, 1.0, 0.1));
        let baselines = Baselines { pooled: model(&[4]), linear: model(&[]), process };
        let bundles = [Named { name: "ours".into(), bytes: model(&[4]).to_bytes().unwrap() }];
        let settings = Settings { shots: 5, capacity: 16, seed: 0 };
        let roster = Roster::new(&bundles, Some(&baselines), &world, settings).unwrap();
        let names = roster.names();
        assert_eq!((names[0], &names[1..]), ("ours", &RIVALS[..]));
        assert!(roster.with(names.len(), |_| ()).unwrap().is_none());
        let spreads = roster.spreads(&world, settings).unwrap();
        let drawn = choice_episodes(&world, settings);
        for (place, name) in names.iter().enumerate() {
            let process = name.contains("gp") || name.contains("scratch") || *name == "hierarchical";
            assert_eq!(spreads[place].is_none(), process, "{name}");
            let (mut before, mut adapted) = (0.0, 0.0);
            for (_, episode) in &drawn[..40] {
                let mut said = vec![0.0; episode.query.rows];
                let mut predict = |rows: usize| {
                    let mut few = episode.clone();
                    few.support.inputs.truncate(rows);
                    few.support.targets.truncate(rows);
                    few.support.rows = rows;
                    roster.with(place, |agent| after(agent, &few, &mut said)).unwrap().unwrap().unwrap();
                    crate::metric::mse(&said, &episode.query.targets)
                };
                before += predict(0);
                adapted += predict(5);
            }
            assert!(adapted.is_finite() && (adapted < before || *name == "unadapted"), "{name}: {adapted} {before}");
        }
    }
}
