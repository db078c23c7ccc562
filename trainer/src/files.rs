//! Files that are written whole or not at all.

use std::io::{self, Write};
use std::path::Path;

/// Writes `bytes` to `path`, whole or not at all: beside it first, then renamed.
///
/// # Errors
/// If that cannot be done; what was there before stays then.
pub fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if !parent.is_dir() {
        let why = format!("there is no folder {}", parent.display());
        return Err(io::Error::new(io::ErrorKind::NotFound, why));
    }
    let mut builder = tempfile::Builder::new();
    builder.prefix(".sinew-");
    // As any file that is created, less what the umask takes; a temporary file would be its owner's alone.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    let mut file = builder.tempfile_in(parent)?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    // The new name is in the directory, which has to reach the disk too.
    #[cfg(unix)]
    std::fs::File::open(parent)?.sync_all()?;
    Ok(())
}
