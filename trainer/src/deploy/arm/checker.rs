//! The exact checker, counted.

use crate::world::arm::Scene;
use crate::world::arm::clearance::{clearance, is_free};
use crate::world::arm::kinematics::Joints;

/// Checks configurations in one scene and counts how many. Whether it says that one is free or how free it is, it counts as one check.
#[derive(Clone, Copy, Debug)]
pub struct Checker<'s> {
    scene: &'s Scene,
    count: u64,
}

impl<'s> Checker<'s> {
    /// A checker that has checked nothing yet.
    pub const fn new(scene: &'s Scene) -> Self {
        Self { scene, count: 0 }
    }

    /// Whether the arm touches nothing at `joints`.
    pub fn is_free(&mut self, joints: &Joints) -> bool {
        self.count += 1;
        is_free(self.scene, joints)
    }

    /// The signed clearance of the arm at `joints`, in m.
    pub fn clearance(&mut self, joints: &Joints) -> f64 {
        self.count += 1;
        clearance(self.scene, joints)
    }

    /// Configurations checked so far.
    pub const fn count(&self) -> u64 {
        self.count
    }
}
