//! The file of a learned process: TOML, which gives every number back to the bit.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::process::Prior;
use crate::model::Model;

/// What is in the file.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    /// Which parameters of the pooled network it was learned for.
    pooled: String,
    /// The process.
    process: Prior,
}

/// Why a learned process could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ProcessError {
    /// The file could not be read.
    #[error("{}: {source}; a run of an earlier version has none: `sinew train` with --resume learns it", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is not a process.
    #[error("{}: {source}", path.display())]
    Parse {
        /// The file.
        path: PathBuf,
        /// Where and why.
        source: Box<toml::de::Error>,
    },
    /// It does not fit the pooled network.
    #[error("{}: expected {expected} in `{field}`, found {found}", path.display())]
    Field {
        /// The file.
        path: PathBuf,
        /// The field.
        field: &'static str,
        /// What would fit.
        expected: String,
        /// What is there.
        found: String,
    },
}

fn name_of(pooled: &Model) -> String {
    let mut hash = DefaultHasher::new();
    pooled.state.params.iter().for_each(|value| value.to_bits().hash(&mut hash));
    format!("{:016x}", hash.finish())
}

/// Writes `process`, which was learned for `pooled`, whole or not at all.
pub(super) fn write(path: &Path, process: &Prior, pooled: &Model) -> io::Result<()> {
    let stored = Stored { pooled: name_of(pooled), process: process.clone() };
    let text = toml::to_string(&stored).map_err(io::Error::other)?;
    crate::files::replace(path, text.as_bytes())
}

/// Reads the process that was learned for `pooled`.
pub(super) fn read(path: &Path, pooled: &Model) -> Result<Prior, ProcessError> {
    let text = std::fs::read_to_string(path).map_err(|source| ProcessError::Read { path: path.into(), source })?;
    let Stored { pooled: name, process } =
        toml::from_str(&text).map_err(|source| ProcessError::Parse { path: path.into(), source: Box::new(source) })?;
    let check = |field, right: bool, expected: String, found: String| {
        if right { Ok(()) } else { Err(ProcessError::Field { path: path.into(), field, expected, found }) }
    };
    let expected = name_of(pooled);
    check("pooled", name == expected, format!("{expected}, the network beside it"), name.clone())?;
    let (inputs, outputs) = (pooled.network.input.presented_len(), pooled.network.output_len());
    let kernel = &process.kernel;
    for (field, expected, values) in [
        ("offsets", outputs, &process.offsets),
        ("lengths", inputs, &kernel.lengths),
        ("linear", inputs, &kernel.linear),
    ] {
        check(field, values.len() == expected, format!("{expected} values"), values.len().to_string())?;
        let wrong = values.iter().find(|value| !value.is_finite());
        check(field, wrong.is_none(), "finite numbers".into(), wrong.map_or_else(String::new, f64::to_string))?;
    }
    let wrong = kernel.lengths.iter().find(|length| **length <= 0.0);
    check("lengths", wrong.is_none(), "numbers above 0".into(), wrong.map_or_else(String::new, f64::to_string))?;
    let scalars = [
        ("amplitude", kernel.amplitude),
        ("constant", kernel.constant),
        ("noise", kernel.noise),
        ("factor", process.factor),
    ];
    for (field, value) in scalars {
        check(field, value.is_finite(), "a finite number".into(), value.to_string())?;
    }
    check("noise", kernel.noise > 0.0, "a number above 0".into(), kernel.noise.to_string())?;
    Ok(process)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::baseline::gaussian_process::Kernel;
    use crate::export::About;
    use crate::learn::State;
    use crate::scaling::Scaling;
    use sinew_models::networks;
    use sinew_models::rule::{Rate, Rule, Scope};
    use sinew_models::spec::{Activation, InputForm, Loss};

    fn pooled(value: f32) -> Model {
        let network = networks::mlp(2, InputForm::Plain, &[], Activation::Identity, "y", 1, Loss::MeanSquared).unwrap();
        Model {
            rule: Rule::Gradient { steps: 1, rate: Rate::Constant, scope: Scope::All, momentum: false, rows: 0 },
            state: State { params: vec![value; network.param_len()], rates: vec![0.0] },
            scaling: Scaling::none(&network),
            about: About::default(),
            network,
        }
    }

    #[test]
    fn what_is_written_is_read_to_the_bit() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("process.toml");
        let kernel = Kernel {
            amplitude: 1.0 / 3.0,
            constant: 1e-9_f64.sqrt(),
            noise: 0.1 + 0.2,
            lengths: vec![2.0_f64.sqrt(), 1e17],
            linear: vec![1e-300, 7.0],
        };
        let process = Prior { factor: 0.7, offsets: vec![-0.0], kernel };
        write(&path, &process, &pooled(1.0)).unwrap();
        let again = read(&path, &pooled(1.0)).unwrap();
        assert_eq!(again, process);

        let words = |text: &str| {
            std::fs::write(&path, text).unwrap();
            read(&path, &pooled(1.0)).unwrap_err().to_string()
        };
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(read(&path, &pooled(2.0)).unwrap_err().to_string().contains("`pooled`"));
        assert!(
            words(&text.replace("offsets = [-0.0]", "offsets = [0.0, 1.0]"))
                .contains("expected 1 values in `offsets`, found 2")
        );
        assert!(words(&text.replace("factor = 0.7", "factor = nan")).contains("`factor`"));
        assert!(words(&text.replace("noise = ", "noise = -")).contains("`noise`"));
        assert!(words("no").contains("process.toml"));
        std::fs::remove_file(&path).unwrap();
        assert!(read(&path, &pooled(1.0)).unwrap_err().to_string().contains("--resume"));
    }
}
