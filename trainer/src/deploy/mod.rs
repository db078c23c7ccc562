//! Bundles at work: in a control loop that predicts, acts, observes and adapts, beside everybody else who could do the job.
//!
//! [`agent`] says what one who learns on the way is, and knows nothing of any world; [`roster`] makes one of each kind out of bundles and
//! what was trained beside them; [`terrain`] drives missions with them.

pub mod agent;
pub mod grasp;
pub mod report;
pub mod roster;
pub mod spread;
pub mod terrain;
