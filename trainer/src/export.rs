//! Writes a bundle: the one file that a robot needs. `docs/bundle.md` specifies it.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};

use safetensors::tensor::{Dtype, SafeTensorError, TensorView};
use serde::{Deserialize, Deserializer, Serialize};
use sinew_models::bundle::{
    ABOUT_KEY, FORMAT, INPUT_MEAN, INPUT_RELATIVE_SCALE, INPUT_SCALE, LOSS_CONSTANTS, METADATA_KEY, Metadata,
    OUTPUT_MEAN, OUTPUT_SCALE, SUPPORT_NOVELTY,
};
use sinew_models::rule::{Rule, RuleError};
use sinew_models::spec::{Loss, NetworkSpec, SpecError};
use sinew_runtime::reader::{Bundle, BundleError};
use thiserror::Error;

use crate::files;

/// What goes into a bundle.
#[derive(Clone, Copy, Debug)]
pub struct Export<'a> {
    /// The network.
    pub network: &'a NetworkSpec,
    /// How it adapts.
    pub rule: &'a Rule,
    /// Weights and biases in the order of [`NetworkSpec::slots`]: `[param_len]`.
    pub parameters: &'a [f32],
    /// The numbers of the rule, such as inner rates: the tensors of [`Rule::tensors`] one after another, row by row.
    pub numbers: &'a [f32],
    /// Mean of the training inputs: `[input.len]`.
    pub input_mean: &'a [f32],
    /// What the plain presentation is divided by, above 0: `[input.len]`.
    pub input_scale: &'a [f32],
    /// What the relative presentation is divided by, above 0: `[input.len]`.
    pub input_relative_scale: &'a [f32],
    /// A regression head's prediction is mean + scale · z; 0 for classification: `[output_len]`.
    pub output_mean: &'a [f32],
    /// Above 0; 1 for classification: `[output_len]`.
    pub output_scale: &'a [f32],
    /// The median and the 99th percentile over training tasks of the mean square of their support inputs' plain presentation, if
    /// they are known.
    pub novelty: Option<[f32; 2]>,
    /// What only people read.
    pub about: &'a About,
}

/// What only people read of a bundle; a device skips it. Whatever is not known is left out.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct About {
    /// The columns of the inputs; none, or `input.len`.
    pub inputs: Vec<Column>,
    /// The columns of the outputs; none, or `output_len`.
    pub outputs: Vec<Column>,
    /// The world that made the tasks.
    pub world: String,
    /// The learner that trained it.
    pub learner: String,
    /// The seed of the run.
    pub seed: u64,
    /// The version of sinew that wrote it.
    pub version: String,
    /// Outer iterations that it was trained for.
    pub iterations: u64,
    /// The configuration of the run, as TOML.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub config: Option<String>,
    /// What it is worth, on tasks that it was not trained on.
    pub scores: Vec<Score>,
}

/// One column of the inputs or outputs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// Its unit; empty where it has none.
    pub unit: String,
}

/// One score, over test tasks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Score {
    /// What was measured, such as `mse` or `regret`.
    pub metric: String,
    /// Support samples of each task.
    pub shots: usize,
    /// Inner steps that were taken.
    pub steps: usize,
    /// Mean over tasks; NaN, which JSON writes as null, where it cannot be told.
    #[serde(deserialize_with = "number_or_null")]
    pub mean: f64,
    /// Half the width of its 95 % confidence interval.
    #[serde(deserialize_with = "number_or_null")]
    pub ci95: f64,
}

fn number_or_null<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or(f64::NAN))
}

/// Why a bundle was not written, or what is said about it not read.
#[derive(Debug, Error)]
pub enum ExportError {
    /// A part has another length than the network and the rule ask for.
    #[error("{what}: expected {expected} values, got {got}")]
    Length {
        /// Which part.
        what: &'static str,
        /// Values that it should have.
        expected: usize,
        /// Values that it has.
        got: usize,
    },
    /// The network cannot be.
    #[error("the network: {0}")]
    Network(#[from] SpecError),
    /// The rule does not fit the network.
    #[error("the rule: {0}")]
    Rule(#[from] RuleError),
    /// A device would refuse the bundle: a value is not finite, a scale not above 0, or the structure is too large.
    #[error("a device would refuse the bundle: {0}")]
    Refused(#[from] BundleError),
    /// The container.
    #[error("safetensors: {0}")]
    Container(#[from] SafeTensorError),
    /// The JSON of the metadata.
    #[error("metadata: {0}")]
    Json(#[from] serde_json::Error),
    /// The file has no `sinew.about`.
    #[error("no {ABOUT_KEY} in the file's __metadata__")]
    NoAbout,
    /// The file could not be written; what was there before still is.
    #[error("{path}: {source}", path = path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// Writes a bundle to `path`, all or nothing: into a file beside it, which then takes its name.
///
/// # Errors
/// As [`to_bytes`], or if the file cannot be written.
pub fn write(path: &Path, export: &Export<'_>) -> Result<(), ExportError> {
    let bytes = to_bytes(export)?;
    files::replace(path, &bytes).map_err(|source| ExportError::Io { path: path.into(), source })
}

/// The bytes of a bundle, the same ones for the same export.
///
/// # Errors
/// If a length is wrong, a value is not finite, a scale is not above 0, or the network or the rule is refused.
pub fn to_bytes(export: &Export<'_>) -> Result<Vec<u8>, ExportError> {
    let &Export { network, rule, about, .. } = export;
    network.check()?;
    rule.check(network)?;
    let (inputs, outputs) = (network.input.len, rule.output_len(network));
    let rule_tensors = rule.tensors(network);
    let what = if let [tensor] = &rule_tensors[..] { tensor.name } else { "the rule's numbers" };
    length(what, rule_tensors.iter().map(|tensor| tensor.len()).sum(), export.numbers.len())?;
    let mut numbers = export.numbers;
    let constants: Vec<f32> = network
        .heads
        .iter()
        .flat_map(|head| {
            let delta = if let Loss::Huber { delta } = head.loss { delta } else { 0.0 };
            [head.weight, delta]
        })
        .collect();
    let mut parts = Vec::new();
    for tensor in &rule_tensors {
        let (here, behind) = numbers.split_at(tensor.len());
        parts.push((tensor.name, tensor.shape.to_vec(), here));
        numbers = behind;
    }
    if let Some(novelty) = &export.novelty {
        parts.push((SUPPORT_NOVELTY, vec![2], novelty));
    }
    parts.extend([
        (LOSS_CONSTANTS, vec![network.heads.len(), 2], &constants[..]),
        (INPUT_MEAN, vec![inputs], export.input_mean),
        (INPUT_SCALE, vec![inputs], export.input_scale),
        (INPUT_RELATIVE_SCALE, vec![inputs], export.input_relative_scale),
        (OUTPUT_MEAN, vec![outputs], export.output_mean),
        (OUTPUT_SCALE, vec![outputs], export.output_scale),
    ]);
    length("parameters", network.param_len(), export.parameters.len())?;
    for (name, shape, values) in &parts {
        length(name, shape.iter().product(), values.len())?;
    }
    for (what, expected, columns) in
        [("about.inputs", inputs, &about.inputs), ("about.outputs", outputs, &about.outputs)]
    {
        if !columns.is_empty() {
            length(what, expected, columns.len())?;
        }
    }

    let slots = network.slots().map(|slot| {
        let values = &export.parameters[slot.offset()..][..slot.len()];
        (slot.name().to_string(), slot.shape().to_vec(), little_endian(values))
    });
    let parts = parts.into_iter().map(|(name, shape, values)| (name.to_owned(), shape, little_endian(values)));
    let tensors: Vec<(String, Vec<usize>, Vec<u8>)> = slots.chain(parts).collect();
    let views = tensors
        .iter()
        .map(|(name, shape, bytes)| Ok((name, TensorView::new(Dtype::F32, shape.clone(), bytes)?)))
        .collect::<Result<Vec<_>, SafeTensorError>>()?;
    let metadata = Metadata { format: FORMAT, network: network.clone(), rule: rule.clone() };
    let metadata = [(METADATA_KEY, serde_json::to_string(&metadata)?), (ABOUT_KEY, serde_json::to_string(about)?)];
    let bytes = with_metadata(&safetensors::serialize(views, None)?, &metadata)?;
    Bundle::parse(&bytes)?;
    Ok(bytes)
}

fn length(what: &'static str, expected: usize, got: usize) -> Result<(), ExportError> {
    if expected == got { Ok(()) } else { Err(ExportError::Length { what, expected, got }) }
}

fn little_endian(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

/// Puts `metadata` into a file that has none.
///
/// The crate would take it as a `HashMap` and write it in an order that differs from one call to the next.
fn with_metadata(file: &[u8], metadata: &[(&str, String)]) -> Result<Vec<u8>, ExportError> {
    let (len, _) = safetensors::SafeTensors::read_metadata(file)?;
    let (header, data) = file[8..].split_at(len);
    let mut members = String::new();
    for (key, value) in metadata {
        let comma = if members.is_empty() { "" } else { "," };
        members += &format!("{comma}{}:{}", serde_json::to_string(key)?, serde_json::to_string(value)?);
    }
    let mut new = format!("{{\"__metadata__\":{{{members}}},").into_bytes();
    // All of the old header but its opening brace and its padding.
    new.extend(header[1..].trim_ascii_end());
    new.resize(new.len().next_multiple_of(8), b' ');
    Ok([&(new.len() as u64).to_le_bytes(), new.as_slice(), data].concat())
}

/// What a bundle says about itself to people.
///
/// # Errors
/// If the bytes are no `.safetensors` file, or have no `sinew.about` that can be read.
pub fn about(bytes: &[u8]) -> Result<About, ExportError> {
    let (_, header) = safetensors::SafeTensors::read_metadata(bytes)?;
    let text = header.metadata().as_ref().and_then(|metadata: &HashMap<String, String>| metadata.get(ABOUT_KEY));
    Ok(serde_json::from_str(text.ok_or(ExportError::NoAbout)?)?)
}

#[cfg(test)]
mod tests;
