//! How long a run was trained, over all the times that it was gone on with. It stands in a file of its own, since nothing else of a run
//! depends on the machine's pace.

use std::io;
use std::path::Path;
use std::time::Instant;

use serde::{Deserialize, Serialize};

use super::TIMING;

/// What `timing.json` holds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Timing {
    /// Seconds by the clock on the wall, of iterations and validations, up to the last checkpoint. What came after a checkpoint and was
    /// lost does not count.
    pub seconds: f64,
    /// Iterations done by then.
    pub iterations: u64,
}

impl Timing {
    /// Of the run in `folder`; `None` where nothing can be read, as of a run of an earlier version.
    pub fn read(folder: &Path) -> Option<Self> {
        let text = std::fs::read_to_string(folder.join(TIMING)).ok()?;
        serde_json::from_str(&text).ok()
    }

    /// Writes it to `folder`, whole or not at all.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn write(&self, folder: &Path) -> io::Result<()> {
        crate::files::replace(&folder.join(TIMING), (serde_json::to_string(self)? + "\n").as_bytes())
    }
}

/// Runs while a run is trained.
#[derive(Debug)]
pub(super) struct Clock {
    /// Seconds before this time; `None` where they are not known.
    before: Option<f64>,
    begun: Instant,
}

impl Clock {
    /// Begins to run for a run that goes on after `iteration` in `folder`.
    pub fn start(folder: &Path, iteration: u64) -> Self {
        let known = Timing::read(folder).filter(|timing| timing.iterations == iteration).map(|timing| timing.seconds);
        Self { before: if iteration == 0 { Some(0.0) } else { known }, begun: Instant::now() }
    }

    /// What the file says after `iterations`, where it can say anything.
    pub fn timing(&self, iterations: u64) -> Option<Timing> {
        Some(Timing { seconds: self.before? + self.begun.elapsed().as_secs_f64(), iterations })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_adds_up_over_resumes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        assert!(Clock::start(path, 7).timing(8).is_none(), "of a run that nobody has timed");
        let first = Clock::start(path, 0).timing(5).unwrap();
        assert!(first.seconds >= 0.0 && first.iterations == 5);
        Timing { seconds: 40.0, ..first }.write(path).unwrap();
        assert!(Clock::start(path, 5).timing(6).unwrap().seconds >= 40.0);
        assert!(Clock::start(path, 0).timing(6).unwrap().seconds < 40.0, "begun anew");
        std::fs::write(path.join(TIMING), "{").unwrap();
        assert_eq!(Timing::read(path), None);
    }
}
