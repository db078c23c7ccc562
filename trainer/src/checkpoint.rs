//! What a run needs to go on as if it had never stopped: one `.safetensors` file, written whole or not at all.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};

use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView};
use serde::{Deserialize, Serialize};
use sinew_models::spec::NetworkSpec;

use crate::learn::State;
use crate::optimiser::Moments;
use crate::scaling::Scaling;

const KEY: &str = "sinew.checkpoint";

/// The best state so far.
#[derive(Clone, Debug, PartialEq)]
pub struct Best {
    /// Its validation loss.
    pub loss: f64,
    /// Iterations that it was trained for.
    pub iteration: u64,
    /// The state.
    pub state: State,
}

/// A run between two iterations.
#[derive(Clone, Debug, PartialEq)]
pub struct Checkpoint {
    /// Iterations done.
    pub iteration: u64,
    /// What has been learned.
    pub state: State,
    /// AdamW's moments of the parameters.
    pub params_moments: Moments,
    /// And of the inner rates.
    pub rates_moments: Moments,
    /// Sum of the training losses since the last line of the log.
    pub loss_sum: f64,
    /// How many they are.
    pub loss_count: u64,
    /// Iterations in a row, just now, without a finite gradient.
    pub not_finite: u64,
    /// What the learner remembers besides.
    pub memory: Vec<f64>,
    /// The best state so far, where there has been a validation.
    pub best: Option<Best>,
    /// The scales, which were taken at the start.
    pub scaling: Scaling,
    /// The configuration as TOML: another one must not go on from here.
    pub config: String,
}

/// What is in the file besides tensors. Losses are written as bits: JSON has no infinity.
#[derive(Serialize, Deserialize)]
struct Header {
    iteration: u64,
    params_steps: u64,
    rates_steps: u64,
    loss_sum: u64,
    loss_count: u64,
    not_finite: u64,
    #[serde(default)]
    memory: Vec<u64>,
    best: Option<(u64, u64)>,
    config: String,
    form: sinew_models::spec::InputForm,
}

/// Why there is no checkpoint.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// It could not be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is not a checkpoint of this version.
    #[error("{}: not a checkpoint: {why}", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
}

impl Checkpoint {
    fn tensors(&self) -> Vec<(&'static str, &[f32])> {
        let mut tensors: Vec<(&'static str, &[f32])> = vec![
            ("params", &self.state.params),
            ("params.first", &self.params_moments.first),
            ("params.second", &self.params_moments.second),
            ("rates", &self.state.rates),
            ("rates.first", &self.rates_moments.first),
            ("rates.second", &self.rates_moments.second),
            ("scaling.input_mean", &self.scaling.input_mean),
            ("scaling.input_scale", &self.scaling.input_scale),
            ("scaling.relative_scale", &self.scaling.relative_scale),
            ("scaling.output_mean", &self.scaling.output_mean),
            ("scaling.output_scale", &self.scaling.output_scale),
        ];
        if let Some(novelty) = &self.scaling.novelty {
            tensors.push(("scaling.novelty", novelty));
        }
        if let Some(best) = &self.best {
            tensors.push(("best.params", &best.state.params));
            tensors.push(("best.rates", &best.state.rates));
        }
        tensors
    }

    /// Writes it to `path`.
    ///
    /// # Errors
    /// If the file cannot be written; what was there before stays then.
    pub fn write(&self, path: &Path) -> Result<(), CheckpointError> {
        let file = self.to_bytes().map_err(|why| CheckpointError::Format { path: path.into(), why })?;
        crate::files::replace(path, &file).map_err(|source| CheckpointError::Io { path: path.into(), source })
    }

    /// The bytes of its file.
    pub(crate) fn to_bytes(&self) -> Result<Vec<u8>, String> {
        let header = Header {
            iteration: self.iteration,
            params_steps: self.params_moments.steps,
            rates_steps: self.rates_moments.steps,
            loss_sum: self.loss_sum.to_bits(),
            loss_count: self.loss_count,
            not_finite: self.not_finite,
            memory: self.memory.iter().map(|value| value.to_bits()).collect(),
            best: self.best.as_ref().map(|best| (best.loss.to_bits(), best.iteration)),
            config: self.config.clone(),
            form: self.scaling.form,
        };
        let json = serde_json::to_string(&header).map_err(|why| why.to_string())?;
        let bytes: Vec<(&str, Vec<u8>)> =
            self.tensors().into_iter().map(|(name, values)| (name, to_bytes(values))).collect();
        let views: Result<Vec<_>, _> = bytes
            .iter()
            .map(|(name, bytes)| TensorView::new(Dtype::F32, vec![bytes.len() / 4], bytes).map(|view| (*name, view)))
            .collect();
        let views = views.map_err(|why| why.to_string())?;
        let metadata = HashMap::from([(KEY.to_owned(), json)]);
        safetensors::serialize(views, Some(metadata)).map_err(|why| why.to_string())
    }

    /// Reads the one at `path`.
    ///
    /// # Errors
    /// If the file cannot be read, or is something else.
    pub fn read(path: &Path) -> Result<Self, CheckpointError> {
        let bytes = std::fs::read(path).map_err(|source| CheckpointError::Io { path: path.into(), source })?;
        Self::parse(&bytes).map_err(|why| CheckpointError::Format { path: path.into(), why })
    }

    /// The one whose file has these bytes; otherwise what is wrong with them.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, String> {
        let (_, metadata) = SafeTensors::read_metadata(bytes).map_err(|why| why.to_string())?;
        let json = metadata.metadata().as_ref().and_then(|map| map.get(KEY)).ok_or("it has no checkpoint header")?;
        let header: Header = serde_json::from_str(json).map_err(|why| why.to_string())?;
        let file = SafeTensors::deserialize(bytes).map_err(|why| why.to_string())?;
        let tensor = |name: &str| -> Result<Vec<f32>, String> {
            let view = file.tensor(name).map_err(|why| format!("tensor `{name}`: {why}"))?;
            if view.dtype() != Dtype::F32 {
                return Err(format!("tensor `{name}`: expected F32, found {:?}", view.dtype()));
            }
            Ok(view.data().chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect())
        };
        let moments = |name: &str, steps| -> Result<Moments, String> {
            Ok(Moments { first: tensor(&format!("{name}.first"))?, second: tensor(&format!("{name}.second"))?, steps })
        };
        let best = match header.best {
            None => None,
            Some((loss, iteration)) => {
                let state = State { params: tensor("best.params")?, rates: tensor("best.rates")? };
                Some(Best { loss: f64::from_bits(loss), iteration, state })
            }
        };
        let checkpoint = Self {
            iteration: header.iteration,
            state: State { params: tensor("params")?, rates: tensor("rates")? },
            params_moments: moments("params", header.params_steps)?,
            rates_moments: moments("rates", header.rates_steps)?,
            loss_sum: f64::from_bits(header.loss_sum),
            loss_count: header.loss_count,
            not_finite: header.not_finite,
            memory: header.memory.into_iter().map(f64::from_bits).collect(),
            best,
            scaling: Scaling {
                form: header.form,
                input_mean: tensor("scaling.input_mean")?,
                input_scale: tensor("scaling.input_scale")?,
                relative_scale: tensor("scaling.relative_scale")?,
                output_mean: tensor("scaling.output_mean")?,
                output_scale: tensor("scaling.output_scale")?,
                novelty: match file.tensor("scaling.novelty") {
                    Ok(_) => Some(
                        tensor("scaling.novelty")?
                            .try_into()
                            .map_err(|_| "tensor `scaling.novelty`: expected 2 values")?,
                    ),
                    Err(_) => None,
                },
            },
            config: header.config,
        };
        let (params, rates) = (checkpoint.state.params.len(), checkpoint.state.rates.len());
        let mut lengths = vec![
            (checkpoint.params_moments.first.len(), params),
            (checkpoint.params_moments.second.len(), params),
            (checkpoint.rates_moments.first.len(), rates),
            (checkpoint.rates_moments.second.len(), rates),
        ];
        if let Some(best) = &checkpoint.best {
            lengths.extend([(best.state.params.len(), params), (best.state.rates.len(), rates)]);
        }
        match lengths.into_iter().find(|(got, expected)| got != expected) {
            Some((got, expected)) => {
                Err(format!("a moment or the best state has {got} values, its parameters {expected}"))
            }
            None => Ok(checkpoint),
        }
    }

    /// Asks whether this is a run of `network`, with so many inner rates, in a world of so many outputs (a network that compares classes has
    /// one). A configuration may be the same and the data another.
    ///
    /// # Errors
    /// Says what has another length.
    pub fn check(
        &self,
        path: &Path,
        network: &NetworkSpec,
        rates: usize,
        outputs: usize,
    ) -> Result<(), CheckpointError> {
        let inputs = network.input.len;
        let Scaling { input_mean, input_scale, relative_scale, output_mean, output_scale, .. } = &self.scaling;
        let lengths = [
            ("parameters", self.state.params.len(), network.param_len()),
            ("inner rates", self.state.rates.len(), rates),
            ("input means", input_mean.len(), inputs),
            ("input scales", input_scale.len(), inputs),
            ("relative scales", relative_scale.len(), inputs),
            ("output means", output_mean.len(), outputs),
            ("output scales", output_scale.len(), outputs),
        ];
        match lengths.into_iter().find(|(_, got, expected)| got != expected) {
            Some((what, got, expected)) => Err(CheckpointError::Format {
                path: path.into(),
                why: format!("it has {got} {what}, the network of this configuration and this world {expected}"),
            }),
            None => Ok(()),
        }
    }
}

fn to_bytes(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Checkpoint {
        Checkpoint {
            iteration: 7,
            state: State { params: vec![1.0, f32::MIN_POSITIVE, -0.0], rates: vec![0.1] },
            params_moments: Moments { first: vec![0.5; 3], second: vec![0.25; 3], steps: 7 },
            rates_moments: Moments { first: vec![0.5], second: vec![0.25], steps: 6 },
            loss_sum: 0.25,
            loss_count: 3,
            not_finite: 2,
            memory: vec![0.5, f64::NEG_INFINITY],
            best: Some(Best {
                loss: f64::INFINITY,
                iteration: 5,
                state: State { params: vec![2.0; 3], rates: vec![3.0] },
            }),
            scaling: Scaling {
                form: sinew_models::spec::InputForm::Both,
                input_mean: vec![1.0],
                input_scale: vec![2.0],
                relative_scale: vec![3.0],
                output_mean: vec![],
                output_scale: vec![],
                novelty: Some([0.5, 4.0]),
            },
            config: "seed = 1\n".into(),
        }
    }

    #[test]
    fn survives_its_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("checkpoint.safetensors");
        for checkpoint in [sample(), Checkpoint { best: None, ..sample() }] {
            checkpoint.write(&path).unwrap();
            assert_eq!(Checkpoint::read(&path).unwrap(), checkpoint);
        }
    }

    #[test]
    fn what_is_not_one_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("checkpoint.safetensors");
        std::fs::write(&path, b"no").unwrap();
        assert!(Checkpoint::read(&path).unwrap_err().to_string().contains("not a checkpoint"));
        let mut short = sample();
        short.params_moments.first.pop();
        short.write(&path).unwrap();
        assert!(Checkpoint::read(&path).unwrap_err().to_string().contains("2 values"));
    }
}
