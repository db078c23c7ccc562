//! A trained network with all that belongs to it: what a bundle holds, on the workstation.

use std::path::{Path, PathBuf};

use sinew_models::rule::Rule;
use sinew_models::spec::NetworkSpec;
use sinew_runtime::reader::{Bundle, BundleError, View};

use crate::aligned::Aligned;
use crate::export::{self, About, Export, ExportError};
use crate::learn::State;
use crate::scaling::Scaling;

/// A trained network.
#[derive(Clone, Debug)]
pub struct Model {
    /// The network.
    pub network: NetworkSpec,
    /// How it adapts.
    pub rule: Rule,
    /// Parameters and inner rates.
    pub state: State,
    /// From the world's units to the network's.
    pub scaling: Scaling,
    /// What people read.
    pub about: About,
}

/// Why a bundle could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The file could not be read.
    #[error("{}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It is not a bundle.
    #[error("{}: not a bundle that this version can read: {source}", path.display())]
    Bundle {
        /// The file.
        path: PathBuf,
        /// Why.
        source: BundleError,
    },
}

impl Model {
    /// Opens the bundle at `path`; its bytes, too, for an adapter.
    ///
    /// # Errors
    /// If it cannot be read, or is not a bundle.
    pub fn open(path: &Path) -> Result<(Self, Vec<u8>), OpenError> {
        let bytes = std::fs::read(path).map_err(|source| OpenError::Read { path: path.into(), source })?;
        let model = Self::of(&bytes).map_err(|source| OpenError::Bundle { path: path.into(), source })?;
        Ok((model, bytes))
    }

    /// The bundle in `bytes`.
    ///
    /// # Errors
    /// If it is not one. What only people read may be missing.
    pub fn of(bytes: &[u8]) -> Result<Self, BundleError> {
        let bundle = Bundle::parse(bytes)?;
        let values = |view: View<'_>| -> Vec<f32> { (0..view.len()).filter_map(|index| view.get(index)).collect() };
        let mut params = Aligned::zeros(bundle.network().param_len());
        // The length is the network's own, so this cannot fail.
        let loaded = bundle.load_parameters(&mut params);
        debug_assert!(loaded.is_ok());
        Ok(Self {
            network: bundle.network().clone(),
            rule: bundle.rule().clone(),
            state: State { params: params.to_vec(), rates: bundle.numbers().flat_map(values).collect() },
            scaling: Scaling {
                form: bundle.network().input.form,
                input_mean: values(bundle.input_mean()),
                input_scale: values(bundle.input_scale()),
                relative_scale: values(bundle.input_relative_scale()),
                output_mean: values(bundle.output_mean()),
                output_scale: values(bundle.output_scale()),
                novelty: bundle.novelty().and_then(|view| Some([view.get(0)?, view.get(1)?])),
            },
            about: export::about(bytes).unwrap_or_default(),
        })
    }

    fn export(&self) -> Export<'_> {
        Export {
            network: &self.network,
            rule: &self.rule,
            parameters: &self.state.params,
            numbers: &self.state.rates,
            input_mean: &self.scaling.input_mean,
            input_scale: &self.scaling.input_scale,
            input_relative_scale: &self.scaling.relative_scale,
            output_mean: &self.scaling.output_mean,
            output_scale: &self.scaling.output_scale,
            novelty: self.scaling.novelty,
            about: &self.about,
        }
    }

    /// The model as a bundle.
    ///
    /// # Errors
    /// If it cannot be one, for example because a parameter is not finite.
    pub fn to_bytes(&self) -> Result<Vec<u8>, ExportError> {
        export::to_bytes(&self.export())
    }

    /// Writes the bundle to `path`, whole or not at all.
    ///
    /// # Errors
    /// As [`Model::to_bytes`], or if the file cannot be written.
    pub fn write(&self, path: &Path) -> Result<(), ExportError> {
        export::write(path, &self.export())
    }
}
