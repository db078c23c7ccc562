//! Why processes cannot go on together.

/// Why there is no collective, or it cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum CollectiveError {
    /// A launcher started several processes of a build that knows but one.
    #[error(
        "{variable} says that {processes} processes were started, and this build of sinew is for one: build it with `--features mpi` (docs/scale-out.md), or start it without a launcher"
    )]
    NotBuilt {
        /// What in the environment says so.
        variable: &'static str,
        /// How many processes.
        processes: usize,
    },
    /// The launcher is of another MPI than the one that was linked.
    #[error(
        "{variable} says that {said} processes were started, and MPI sees {size}: start it with the mpirun of the MPI that it was built with"
    )]
    Launcher {
        /// What in the environment says so.
        variable: &'static str,
        /// How many processes it says.
        said: usize,
        /// How many MPI sees.
        size: usize,
    },
    /// A command that does not share its work.
    #[error(
        "{variable} says that {processes} processes were started: only `sinew train` shares its work among several"
    )]
    OnlyOne {
        /// What in the environment says so.
        variable: &'static str,
        /// How many processes.
        processes: usize,
    },
    /// MPI could not be started.
    #[error("MPI could not be started, or was started before")]
    NotStarted,
    /// More than one call can carry.
    #[error("expected at most {most} bytes between processes at once, got {got}")]
    TooLong {
        /// The most.
        most: usize,
        /// How many they are.
        got: usize,
    },
    /// Something went wrong in another process, which says so itself.
    #[error("rank {rank}: {why}")]
    Elsewhere {
        /// Which process.
        rank: usize,
        /// What it says.
        why: String,
    },
    /// A device, or the way between devices, failed.
    #[error(transparent)]
    Device(#[from] crate::cuda::DeviceError),
    /// Processes do not do the same work.
    #[error("{what}: expected the same on every process, rank {rank} has another than rank 0")]
    Apart {
        /// What is not the same.
        what: &'static str,
        /// The first process that differs.
        rank: usize,
    },
}
