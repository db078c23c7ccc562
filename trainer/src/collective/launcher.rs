//! Which processes there are: what a launcher left in the environment, and joining the others.

use std::error::Error;

use super::{Alone, Collective, CollectiveError};
use crate::aligned::Aligned;

/// Variables that hold the number of processes: Open MPI, MVAPICH, whatever speaks PMI (MPICH, Intel MPI, Slurm), and Slurm's steps.
/// `SLURM_NTASKS` is none of them: a batch script has it, and is one process. The first one that is there decides.
const SIZES: [&str; 4] = ["OMPI_COMM_WORLD_SIZE", "MV2_COMM_WORLD_SIZE", "PMI_SIZE", "SLURM_STEP_NUM_TASKS"];
/// Where no size is known: a rank above 0 is one of several.
const RANK: &str = "PMIX_RANK";

/// Several processes, as their launcher says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Launched {
    /// What in the environment says so.
    pub variable: &'static str,
    /// How many there are (at least).
    pub processes: usize,
}

impl Launched {
    /// What `variable` says of the environment; `None` for one process.
    fn from(variable: impl Fn(&str) -> Option<String>) -> Option<Self> {
        let number = |name: &str| variable(name).and_then(|text| text.trim().parse::<usize>().ok());
        let size = SIZES.into_iter().find_map(|name| Some((name, number(name)?)));
        let rank = || Some((RANK, number(RANK)?.saturating_add(1)));
        let (variable, processes) = size.or_else(rank)?;
        (processes > 1).then_some(Self { variable, processes })
    }

    /// Several processes, if a launcher started several.
    pub fn here() -> Option<Self> {
        Self::from(|name| std::env::var(name).ok())
    }
}

/// Refuses to be one of several processes: for what does not share its work.
///
/// # Errors
/// If a launcher started several.
pub fn expect_one() -> Result<(), CollectiveError> {
    match Launched::here() {
        Some(Launched { variable, processes }) => Err(CollectiveError::OnlyOne { variable, processes }),
        None => Ok(()),
    }
}

/// The processes of a run.
#[derive(Debug)]
pub enum Processes {
    /// This one.
    Alone(Alone),
    /// Those that mpirun started.
    #[cfg(feature = "mpi")]
    Mpi(super::Mpi),
}

impl Processes {
    /// Joins the others, if a launcher started several.
    ///
    /// # Errors
    /// If this build has no MPI, or another one than the launcher.
    pub fn join() -> Result<Self, CollectiveError> {
        match Launched::here() {
            None => Ok(Self::Alone(Alone)),
            #[cfg(feature = "mpi")]
            Some(launched) => Ok(Self::Mpi(super::Mpi::join(launched)?)),
            #[cfg(not(feature = "mpi"))]
            Some(Launched { variable, processes }) => Err(CollectiveError::NotBuilt { variable, processes }),
        }
    }

    /// What they do together.
    pub fn collective(&mut self) -> &mut dyn Collective<Aligned> {
        match self {
            Self::Alone(alone) => alone,
            #[cfg(feature = "mpi")]
            Self::Mpi(mpi) => mpi,
        }
    }

    /// Leaves the others, once all of them do. One process of several that has an error of its own says it and ends them all, since they
    /// may be waiting for it; so this does not return then.
    ///
    /// # Errors
    /// As `answer`, if this is the only process or the error is another's.
    pub fn leave(self, answer: Result<(), Box<dyn Error>>) -> Result<(), Box<dyn Error>> {
        #[cfg(feature = "mpi")]
        if let Self::Mpi(mpi) = self {
            match &answer {
                Err(why) if !is_elsewhere(&**why) => {
                    // In one piece, or what the launcher says of the end may stand in its midst.
                    let words = format!("error: rank {}: {why}\n", Collective::<Aligned>::rank(&mpi));
                    // Where even that cannot be said, the end itself says that there was an error.
                    let _ = std::io::Write::write_all(&mut std::io::stderr(), words.as_bytes());
                    mpi.abort();
                }
                // Who has the error ends this process while it waits for the others to leave, too.
                _ => mpi.leave(),
            }
        }
        answer
    }
}

/// Whether an error is another process', which says it.
#[cfg(feature = "mpi")]
fn is_elsewhere(why: &(dyn Error + 'static)) -> bool {
    let chain = std::iter::successors(Some(why), |why| (*why).source());
    chain.filter_map(|why| why.downcast_ref()).any(|why| matches!(why, CollectiveError::Elsewhere { .. }))
}

#[cfg(test)]
mod tests {
    use super::Launched;

    fn launched(variables: &[(&str, &str)]) -> Option<(&'static str, usize)> {
        let found = Launched::from(|name| {
            variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
        });
        found.map(|launched| (launched.variable, launched.processes))
    }

    #[test]
    fn a_launcher_is_told_by_what_it_leaves() {
        assert_eq!(launched(&[]), None);
        assert_eq!(launched(&[("OMPI_COMM_WORLD_SIZE", "2")]), Some(("OMPI_COMM_WORLD_SIZE", 2)));
        assert_eq!(launched(&[("PMI_SIZE", "3"), ("PMI_RANK", "0")]), Some(("PMI_SIZE", 3)));
        assert_eq!(launched(&[("SLURM_STEP_NUM_TASKS", "4")]), Some(("SLURM_STEP_NUM_TASKS", 4)));
        assert_eq!(launched(&[("PMIX_RANK", "1")]), Some(("PMIX_RANK", 2)));
        // One process: of mpirun, the first of a launcher that tells no size, in a batch script, in a step that runs mpirun.
        assert_eq!(launched(&[("OMPI_COMM_WORLD_SIZE", "1")]), None);
        assert_eq!(launched(&[("PMIX_RANK", "0")]), None);
        assert_eq!(launched(&[("SLURM_NTASKS", "4"), ("SLURM_JOB_ID", "7")]), None);
        assert_eq!(launched(&[("OMPI_COMM_WORLD_SIZE", "1"), ("SLURM_STEP_NUM_TASKS", "4")]), None);
        assert_eq!(launched(&[("OMPI_COMM_WORLD_SIZE", "many")]), None);
    }
}
