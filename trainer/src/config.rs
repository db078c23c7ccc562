//! The file that describes a run.

mod learner;

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sinew_models::networks::{self, Convolutions};
use sinew_models::rule::{Rule, RuleError};
use sinew_models::spec::{Activation, Input, InputForm, Loss, NetworkSpec, SpecError};

use crate::engine::Kept;
use crate::labels::{Labels, LabelsError};
use crate::optimiser::Schedule;
use crate::train::Sampling;
use crate::world::Signature;
use crate::world::arm::ArmConfig;
use crate::world::grasp::GraspConfig;
use crate::world::images::ImagesConfig;
use crate::world::images::alphabets::AlphabetsConfig;
use crate::world::root::{forget_folder, locate};
use crate::world::series::SeriesConfig;
use crate::world::terrain::TerrainConfig;
pub use learner::{Descent, LearnerConfig};

/// A run: what is trained, on what, and how.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Everything random follows from it.
    #[serde(default)]
    pub seed: u64,
    /// Where episodes come from.
    pub world: WorldConfig,
    /// What is trained.
    pub network: NetworkConfig,
    /// How it learns.
    pub learner: LearnerConfig,
    /// The training loop.
    pub train: TrainConfig,
    /// What it is compared with; none are trained where this is missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub baselines: Option<BaselineConfig>,
}

/// `[world]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum WorldConfig {
    /// Sine waves (Finn et al. 2017).
    Sinusoid {
        /// Query points of an episode.
        #[serde(default = "ten")]
        query: usize,
    },
    /// Energy of driving over terrain.
    Terrain(TerrainConfig),
    /// Grasps of unknown objects.
    Grasp(GraspConfig),
    /// Motions of an arm among obstacles.
    Arm(ArmConfig),
    /// Recorded data.
    Dataset {
        /// The `dataset.toml`, relative to the configuration.
        file: PathBuf,
    },
    /// Drawings of characters.
    Images(ImagesConfig),
    /// Drawings of several alphabets, a head for each.
    Alphabets(AlphabetsConfig),
    /// Recorded series.
    Series(SeriesConfig),
}

impl WorldConfig {
    /// Makes paths that are relative to `folder` absolute. What names the folder of shared data stays as it is.
    fn locate(&mut self, folder: &Path) {
        let absolute = |path: &Path| absolute(folder, path);
        match self {
            Self::Dataset { file } => *file = absolute(file),
            Self::Images(ImagesConfig { root, .. })
            | Self::Alphabets(AlphabetsConfig { root, .. })
            | Self::Series(SeriesConfig { root, .. }) => {
                locate(root, absolute);
            }
            Self::Terrain(config) => terrain_paths(config).for_each(|path| locate(path, absolute)),
            Self::Grasp(config) => config.paths().for_each(|path| locate(path, absolute)),
            Self::Sinusoid { .. } | Self::Arm(_) => {}
        }
    }

    /// Leaves of paths only the last name. What names the folder of shared data stays as it is.
    fn forget_folders(&mut self) {
        match self {
            Self::Dataset { file } => *file = file.file_name().map_or_else(PathBuf::new, PathBuf::from),
            Self::Images(ImagesConfig { root, .. })
            | Self::Alphabets(AlphabetsConfig { root, .. })
            | Self::Series(SeriesConfig { root, .. }) => {
                forget_folder(root);
            }
            Self::Grasp(config) => config.paths().for_each(forget_folder),
            Self::Terrain(config) => terrain_paths(config).for_each(forget_folder),
            Self::Sinusoid { .. } | Self::Arm(_) => {}
        }
    }
}

/// A path relative to `folder` as one from the root.
fn absolute(folder: &Path, path: &Path) -> PathBuf {
    let joined = folder.join(path);
    joined.canonicalize().or_else(|_| std::path::absolute(&joined)).unwrap_or(joined)
}

/// The paths of a world of terrain.
fn terrain_paths(config: &mut TerrainConfig) -> impl Iterator<Item = &mut String> {
    let models = config.elevation.iter_mut().flat_map(|models| models.train.iter_mut().chain(&mut models.test));
    models.chain(&mut config.obstacles)
}

fn ten() -> usize {
    10
}

/// `[network]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NetworkConfig {
    /// How inputs are presented.
    #[serde(default)]
    pub input: InputForm,
    /// Blocks of convolutions before all else, for inputs that are images or series.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub convolutions: Option<Convolutions>,
    /// Context values beside the inputs of the first dense layer (CAVIA); 0 for none.
    #[serde(default, skip_serializing_if = "is_default")]
    pub context: usize,
    /// Units of the hidden layers; of one tower or expert, where a multi-task architecture has several.
    pub hidden: Vec<usize>,
    /// Units of the hidden layers that each head has of its own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub of_each_head: Vec<usize>,
    /// λ of each head, its weight in the sum of the losses; ones where it is missing. Multi-task training has weightings of its own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub weights: Vec<f32>,
    /// What follows each block and each hidden layer.
    pub activation: Activation,
    /// What follows the last hidden layer that heads share; as `activation` where it is missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub features: Option<Activation>,
    /// The loss, where it is not the one that suits the world, such as `"mean_squared"` for the 0 and 1 of two classes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loss: Option<Loss>,
    /// Whether inputs and targets are scaled by statistics of the training tasks.
    #[serde(default = "yes")]
    pub normalise: bool,
}

fn yes() -> bool {
    true
}

/// `[train]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainConfig {
    /// Outer iterations.
    pub iterations: u64,
    /// Tasks of a meta-batch.
    pub tasks: usize,
    /// Support samples (of each class, for classification): one number, or several among which each batch draws one.
    pub shots: Shots,
    /// A bundle whose parameters and scales training begins with, relative to the configuration, `${SEED}` in it standing for the seed;
    /// its network must be the same but for the weights of its heads.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start: Option<PathBuf>,
    /// Whose labels the support of each task carries, in training and validation.
    #[serde(default, skip_serializing_if = "is_default")]
    pub labels: Labels,
    /// How often each source of tasks comes up, where sources have different numbers of samples: `"balanced"`, `"proportional"` or
    /// `{ temperature = T }`.
    #[serde(default, skip_serializing_if = "is_default")]
    pub sampling: Sampling,
    /// The outer rate β.
    pub outer_rate: f64,
    /// The outer rate of the inner rates, where they are learned; β where it is missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate_outer_rate: Option<f64>,
    /// How β runs over the iterations.
    #[serde(default)]
    pub schedule: Schedule,
    /// AdamW's weight decay.
    #[serde(default)]
    pub weight_decay: f64,
    /// The longest gradient, by Euclidean norm.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clip: Option<f64>,
    /// Iterations from one validation (and checkpoint) to the next.
    #[serde(default = "five_hundred")]
    pub validation_every: u64,
    /// Tasks of a validation; the best state by their mean loss is exported. 0 exports the last state.
    #[serde(default = "two_hundred")]
    pub validation_tasks: usize,
    /// Worker threads of each process; 0 for as many as there are processors, divided among the processes that run on them. Changes
    /// nothing but speed.
    #[serde(default)]
    pub threads: usize,
    /// What is kept of an inner loop for the way back: `activations`, `parameters` or `checkpoints`. Changes nothing but speed and
    /// memory.
    #[serde(default, skip_serializing_if = "is_default")]
    pub kept: Kept,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

fn five_hundred() -> u64 {
    500
}

fn two_hundred() -> usize {
    200
}

/// Support samples: one number or several.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged, expecting = "expected a number of shots or a list of them")]
pub enum Shots {
    /// Always so many.
    One(usize),
    /// One of these, drawn for each batch.
    Any(Vec<usize>),
}

impl Shots {
    /// All that can come up.
    pub fn all(&self) -> &[usize] {
        match self {
            Shots::One(shots) => std::slice::from_ref(shots),
            Shots::Any(list) => list,
        }
    }

    /// The one by which everything is chosen: the last.
    pub fn main(&self) -> usize {
        self.all().last().copied().unwrap_or(0)
    }
}

/// `[baselines]`: how the pooled network is trained.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BaselineConfig {
    /// Iterations of the pooled network.
    pub iterations: u64,
    /// Its rate.
    pub outer_rate: f64,
    /// AdamW's weight decay.
    #[serde(default)]
    pub weight_decay: f64,
}

/// Why a configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// How the losses of several heads are weighed.
    #[error(transparent)]
    Weighting(#[from] crate::weighting::SettingsError),
    /// How they share a network.
    #[error(transparent)]
    Architecture(#[from] crate::learn::multitask::architecture::Unfit),
    /// It could not be read.
    #[error("{}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It is not TOML, or not a configuration.
    #[error("{}: {source}", path.display())]
    Parse {
        /// The file.
        path: PathBuf,
        /// Where and why.
        source: Box<toml::de::Error>,
    },
    /// `--set` has no `=`, or an empty key.
    #[error("--set {0}: expected KEY=VALUE, such as train.iterations=100")]
    Set(String),
    /// A field has a value that makes no sense.
    #[error("field `{field}`: expected {expected}, found {found}")]
    Field {
        /// The field.
        field: &'static str,
        /// What would make sense.
        expected: &'static str,
        /// What is there.
        found: String,
    },
    /// Convolutions for a world whose inputs are plain values.
    #[error("[network]: convolutions take images or series, and this world's inputs are neither")]
    NoImages,
    /// A learner that compares classes, for a world that has none.
    #[error(
        "[learner]: it compares classes, an output for each; expected a world with the loss cross_entropy, found {outputs} outputs with {loss:?}"
    )]
    NoClasses {
        /// Outputs of the world.
        outputs: usize,
        /// Its loss.
        loss: Loss,
    },
    /// The network cannot be.
    #[error("[network]: {0}")]
    Network(#[from] SpecError),
    /// The rule does not fit the network.
    #[error("[learner]: {0}")]
    Rule(#[from] RuleError),
    /// The support cannot carry such labels.
    #[error("train.labels: {0}")]
    Labels(#[from] LabelsError),
}

impl Config {
    /// Reads the configuration at `path`, after `KEY=VALUE` changes such as `train.iterations=100`. The path of recorded data becomes
    /// absolute, so that what is written beside a run can be read from anywhere.
    ///
    /// # Errors
    /// Names the file, line and field.
    pub fn read(path: &Path, changes: &[String]) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path).map_err(|source| ConfigError::Read { path: path.into(), source })?;
        let mut config = Self::parse(path, &text, changes)?;
        if let Some(folder) = path.parent() {
            config.world.locate(folder);
            if let Some(start) = &mut config.train.start {
                *start = absolute(folder, start);
            }
        }
        Ok(config)
    }

    /// As [`Config::read`], from text; `path` is only named in errors.
    ///
    /// # Errors
    /// As [`Config::read`].
    pub fn parse(path: &Path, text: &str, changes: &[String]) -> Result<Self, ConfigError> {
        let wrong = |source| ConfigError::Parse { path: path.into(), source: Box::new(source) };
        let config: Self = if changes.is_empty() {
            toml::from_str(text).map_err(wrong)?
        } else {
            let mut table: toml::Table = toml::from_str(text).map_err(wrong)?;
            for change in changes {
                set(&mut table, change)?;
            }
            table.try_into().map_err(wrong)?
        };
        config.check()?;
        Ok(config)
    }

    /// The configuration as TOML.
    pub fn to_toml(&self) -> String {
        // Every field is a table, a number, a string or a list of those, which TOML can say.
        toml::to_string(self).unwrap_or_default()
    }

    /// As [`Config::to_toml`], for a file that leaves this machine: of the path of recorded data only the last name.
    pub fn to_portable_toml(&self) -> String {
        let mut config = self.clone();
        config.world.forget_folders();
        if let Some(start) = &mut config.train.start {
            *start = start.file_name().map_or_else(PathBuf::new, PathBuf::from);
        }
        config.to_toml()
    }

    fn check(&self) -> Result<(), ConfigError> {
        let Self { train, learner, .. } = self;
        let field = |field, expected, found: String, right: bool| {
            if right { Ok(()) } else { Err(ConfigError::Field { field, expected, found }) }
        };
        let positive = |value: f64| value > 0.0 && value.is_finite();
        if let WorldConfig::Sinusoid { query } = self.world {
            field("world.query", "at least 1", query.to_string(), query > 0)?;
        }
        // TOML has no larger number, so a run with one could not be written down.
        field("seed", "at most 2^63 - 1", self.seed.to_string(), i64::try_from(self.seed).is_ok())?;
        field("train.iterations", "at least 1", train.iterations.to_string(), train.iterations > 0)?;
        field("train.tasks", "at least 1", train.tasks.to_string(), train.tasks > 0)?;
        let shots = train.shots.all();
        field("train.shots", "numbers above 0", format!("{shots:?}"), !shots.is_empty() && !shots.contains(&0))?;
        field("train.outer_rate", "a number above 0", train.outer_rate.to_string(), positive(train.outer_rate))?;
        let every = train.validation_every;
        field("train.validation_every", "at least 1", every.to_string(), every > 0)?;
        learner.check()?;
        let decay = train.weight_decay;
        field("train.weight_decay", "a number from 0", decay.to_string(), decay >= 0.0 && decay.is_finite())?;
        if let Sampling::Temperature(temperature) = train.sampling {
            let right = positive(temperature);
            field("train.sampling.temperature", "a number above 0", temperature.to_string(), right)?;
        }
        if let Some(rate) = train.rate_outer_rate {
            field("train.rate_outer_rate", "a number above 0", rate.to_string(), positive(rate))?;
        }
        if let Some(clip) = train.clip {
            field("train.clip", "a number above 0", clip.to_string(), positive(clip))?;
        }
        if let (Some(start), LearnerConfig::MultiTask(settings)) = (&train.start, learner) {
            let expected = "none with this architecture, for a bundle does not say what was folded into its parameters";
            field("train.start", expected, start.display().to_string(), !settings.architecture.folds())?;
        }
        if let Some(baselines) = &self.baselines {
            let rate = baselines.outer_rate;
            field("baselines.outer_rate", "a number above 0", rate.to_string(), positive(rate))?;
            field("baselines.iterations", "at least 1", baselines.iterations.to_string(), baselines.iterations > 0)?;
            let decay = baselines.weight_decay;
            field("baselines.weight_decay", "a number from 0", decay.to_string(), decay >= 0.0 && decay.is_finite())?;
        }
        Ok(())
    }

    /// The network, for a world with this signature.
    ///
    /// # Errors
    /// If it cannot be.
    pub fn network(&self, signature: &Signature) -> Result<NetworkSpec, ConfigError> {
        let NetworkConfig { input, convolutions, context, hidden, of_each_head, activation, features, loss, .. } =
            &self.network;
        let (input, activation) = (*input, *activation);
        if self.learner.compares_classes() && signature.loss() != Loss::CrossEntropy {
            return Err(ConfigError::NoClasses { outputs: signature.outputs.len(), loss: signature.loss() });
        }
        let heads: Vec<_> = signature
            .heads
            .iter()
            .map(|head| networks::HeadPlan {
                name: &head.name,
                outputs: self.learner.outputs(head.outputs),
                loss: self.learner.loss(loss.unwrap_or(head.loss)),
            })
            .collect();
        let len = signature.inputs.len();
        let input = match (convolutions, signature.image) {
            (Some(_), None) => return Err(ConfigError::NoImages),
            (Some(_), Some(image)) => Input { image: Some(image), ..Input::vector(len, input) },
            (None, _) => Input::vector(len, input),
        };
        let plan = networks::Plan {
            input,
            convolutions: convolutions.as_ref(),
            context: *context,
            hidden,
            activation,
            features: features.unwrap_or(activation),
            of_each_head,
        };
        let weights = &self.network.weights;
        let wrong = || ConfigError::Field {
            field: "network.weights",
            expected: "a number from 0 for each head, not all of them 0; with multi-task training none, but learner.weighting",
            found: format!("{weights:?} for {} heads", heads.len()),
        };
        if let LearnerConfig::MultiTask(settings) = &self.learner {
            if !weights.is_empty() {
                return Err(wrong());
            }
            settings.architecture.check(&plan)?;
            return Ok(settings.architecture.network(&plan, &heads)?);
        }
        let mut network = plan.network(&heads)?;
        if !weights.is_empty() {
            let right = weights.len() == heads.len()
                && weights.iter().all(|weight| *weight >= 0.0 && weight.is_finite())
                && weights.iter().any(|weight| *weight > 0.0);
            if !right {
                return Err(wrong());
            }
            network.heads.iter_mut().zip(weights).for_each(|(head, weight)| head.weight = *weight);
        }
        Ok(network)
    }

    /// The head that the losses leave alone, where all others weigh nothing; `None` where several are trained.
    pub fn only_head(&self) -> Option<usize> {
        let of_learner = self.learner.fixed_weights().unwrap_or_default();
        let of_network = || self.network.weights.iter().map(|weight| f64::from(*weight)).collect();
        let weights: Vec<f64> = if of_learner.is_empty() { of_network() } else { of_learner.to_vec() };
        let mut trained = weights.iter().enumerate().filter(|(_, weight)| **weight != 0.0);
        trained.next().filter(|_| trained.next().is_none()).map(|(head, _)| head).filter(|_| weights.len() > 1)
    }

    /// How a device adapts `network`, for a world with this signature.
    ///
    /// # Errors
    /// If it does not fit the network.
    pub fn rule(&self, network: &NetworkSpec, signature: &Signature) -> Result<Rule, ConfigError> {
        let rule = self.learner.rule(signature.outputs.len());
        rule.check(network)?;
        self.train.labels.check(signature, &rule)?;
        Ok(rule)
    }

    /// The run that trains the pooled network of the baselines: the same network on the same episodes, without an inner loop.
    pub fn pooled(&self) -> Option<Self> {
        let baselines = self.baselines.as_ref()?;
        let mut config = self.clone();
        config.baselines = None;
        config.learner = LearnerConfig::Pooled(self.learner.descent());
        config.train.iterations = baselines.iterations;
        config.train.outer_rate = baselines.outer_rate;
        config.train.weight_decay = baselines.weight_decay;
        config.train.rate_outer_rate = None;
        config.train.labels = Labels::All;
        Some(config)
    }

    /// Worker threads.
    pub fn threads(&self) -> usize {
        self.threads_beside(1)
    }

    /// Worker threads of one process where so many run on the same processors.
    pub fn threads_beside(&self, processes: usize) -> usize {
        match self.train.threads {
            0 => (std::thread::available_parallelism().map_or(1, usize::from) / processes.max(1)).max(1),
            threads => threads,
        }
    }
}

/// Sets `a.b.c=value`; a value that is not TOML is a string.
fn set(table: &mut toml::Table, change: &str) -> Result<(), ConfigError> {
    let wrong = || ConfigError::Set(change.into());
    let (key, text) = change.split_once('=').ok_or_else(wrong)?;
    let value = toml::from_str::<toml::Table>(&format!("value = {text}"))
        .ok()
        .and_then(|mut table| table.remove("value"))
        .unwrap_or_else(|| toml::Value::String(text.into()));
    let mut parts: Vec<&str> = key.split('.').map(str::trim).collect();
    let last = parts.pop().filter(|last| !last.is_empty()).ok_or_else(wrong)?;
    let mut here = table;
    for part in parts {
        let entry = here.entry(part).or_insert_with(|| toml::Value::Table(toml::Table::new()));
        here = entry.as_table_mut().ok_or_else(wrong)?;
    }
    here.insert(last.into(), value);
    Ok(())
}

#[cfg(test)]
mod tests;
