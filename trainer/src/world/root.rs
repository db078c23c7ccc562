//! Folders of recorded data, as configurations and descriptions name them.

use std::path::{Path, PathBuf};

/// The variable that a root may name.
pub const DATA_VARIABLE: &str = "${SINEW_DATA}";

/// The folder of shared data: the environment variable `SINEW_DATA`, or else `../shared/data`.
pub fn data_folder() -> PathBuf {
    match std::env::var_os("SINEW_DATA") {
        Some(folder) if !folder.is_empty() => folder.into(),
        _ => "../shared/data".into(),
    }
}

/// A root that names a variable which there is not.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected no variable but ${{SINEW_DATA}}, found {root}")]
pub struct UnknownVariable {
    /// The root.
    pub root: String,
}

/// Whether a root names the folder of shared data, so that it means the same on every machine.
pub fn is_shared(root: &str) -> bool {
    root.contains(DATA_VARIABLE)
}

/// The folder that `root` names, with `data` for `${SINEW_DATA}`.
///
/// # Errors
/// If it names another variable.
pub fn expand(root: &str, data: &Path) -> Result<PathBuf, UnknownVariable> {
    let expanded = root.replace(DATA_VARIABLE, &data.to_string_lossy());
    if expanded.contains("${") {
        return Err(UnknownVariable { root: root.into() });
    }
    Ok(expanded.into())
}

/// Makes a path of a configuration absolute, relative to `folder`, unless it names the folder of shared data.
pub(crate) fn locate(path: &mut String, absolute: impl Fn(&Path) -> PathBuf) {
    if !is_shared(path) {
        *path = absolute(Path::new(path)).to_string_lossy().into_owned();
    }
}

/// Leaves of a path of a configuration only its last name, unless it names the folder of shared data.
pub(crate) fn forget_folder(path: &mut String) {
    if !is_shared(path) {
        *path = Path::new(path).file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_variable_is_the_only_one() {
        let expanded = |root| expand(root, Path::new("data")).map_err(|why| why.to_string());
        assert_eq!(expanded("${SINEW_DATA}/omniglot").unwrap(), Path::new("data/omniglot"));
        assert_eq!(expanded("omniglot").unwrap(), Path::new("omniglot"));
        assert!(expanded("${HOME}/omniglot").unwrap_err().contains("found ${HOME}/omniglot"));
        assert!(is_shared("${SINEW_DATA}") && !is_shared("/data"));
    }
}
