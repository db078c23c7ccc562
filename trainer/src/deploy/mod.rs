//! Bundles at work: in a control loop that predicts, acts, observes and adapts, beside everybody else who could do the job.
//!
//! [`agent`] says what one who learns on the way is, and knows nothing of any world; [`roster`] makes one of each kind out of bundles and
//! what was trained beside them; [`terrain`] drives missions with them, [`grasp`] tries grasps, [`arm`] moves among obstacles. Each of the three is a [`Campaign`].

pub mod agent;
pub mod arm;
pub mod grasp;
pub mod plot;
pub mod report;
pub mod roster;
pub mod spread;
pub mod terrain;

use std::error::Error;
use std::sync::atomic::AtomicBool;

use report::Panel;

/// For each agent `[trial][column]`, columns in the order of all panels.
pub type Scores = Vec<Vec<Vec<f64>>>;

/// Why a campaign failed.
pub type CampaignError = Box<dyn Error + Send + Sync>;

/// Many trials of one world, each by every agent.
pub trait Campaign {
    /// The names of all agents, in the order of the scores.
    fn names(&self) -> Vec<&str>;

    /// What the numbers of a trial are, and how tables show them.
    fn panels(&self) -> Vec<Panel>;

    /// What a trial is called, such as `missions`, and how many there are.
    fn trials(&self) -> (&'static str, u64);

    /// What else makes the numbers readable.
    fn notes(&self) -> String;

    /// Runs all trials, several at a time; nothing if told to stop. `tick` is called after each.
    ///
    /// # Errors
    /// If an agent is not for this world, or fails.
    fn run(&self, stop: &AtomicBool, tick: &(dyn Fn() + Sync)) -> Result<Option<Scores>, CampaignError>;
}
