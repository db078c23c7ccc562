//! An arm that moves among obstacles: it plans by what it believes to be free, checks the path exactly, learns what was wrong with it, and
//! plans again.
//!
//! Everybody returns paths of which every point was checked by the exact checker, so what differs is how many checks and how much time that
//! takes. All checks count, those of the support included.

mod campaign;
mod checker;
mod perceptron;
mod queries;
mod steer;
#[cfg(test)]
mod tests;

pub use campaign::{AFTER, Motions, OWN};
pub use checker::Checker;
pub use perceptron::Perceptron;
pub use queries::{Query, queries};
pub use steer::{Answer, Belief, exactly, lazily, steered};
