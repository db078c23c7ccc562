//! Missions over terrain: plan on expected energies, drive, observe, adapt, plan anew.
//!
//! A mission is a test task: a site, a load, a drive, a map that no network has seen, and places to go to one after the other, far
//! enough that everybody drives 64 edges ([`LEAST_EDGES`]). All agents meet the same missions with the same readings of the sensors, and
//! plan with the runtime's planner on the mean of a log-normal energy, exp(mean + ½ variance), of what they predict; variances of agents
//! that know none are fitted on validation tasks ([`super::spread`]). Judged are the prediction of the whole map and a plan for each of the
//! task's routes as they are after 0, 8, 16, 32 and 64 driven edges, and the mission itself against the one that knows the true energies.

mod agents;
mod device_plan;
mod missions;
mod trip;

pub use agents::{Grey, Oracle};
pub use device_plan::DevicePlan;
pub use missions::{COLUMNS, JUDGED, LEAST_EDGES, Mission, MissionError, Missions, OWN};
pub use trip::{Mind, NoRoute, Route, Step, Sure, Trip, drive};
