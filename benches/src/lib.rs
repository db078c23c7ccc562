//! What the benches share: [`Workload`]s, what they cost in operations, and how they are timed side by side.
//!
//! One file of `benches/` asks one question with criterion; `report` times all of them in one run and prints one table:
//!
//! ```sh
//! cargo bench -p sinew-benches --bench adapt
//! cargo bench -p sinew-benches --bench report -- --markdown speed.md   # beside this package's Cargo.toml
//! ```
//!
//! [`cuda`] is what `cuda-check` does on a machine with a GPU: it holds the engine there against the one on the CPU, and times it.

pub mod count;
pub mod cuda;
pub mod grasp;
pub mod lanes;
pub mod measure;
pub mod meta_step;
pub mod peak;
pub mod problem;
pub mod table;
pub mod weighting;
pub mod workload;

pub use workload::Workload;
