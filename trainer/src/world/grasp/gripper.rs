//! The gripper: two pads on parallel jaws, of the size of a Robotiq 2F-85. Lengths in m.
//!
//! The stroke is the maker's; pads, palm and depth are round figures for a gripper of that size with silicone pads, not its drawing.

use parry3d_f64::math::Vector;

/// Between the open pads.
pub const STROKE: f64 = 0.085;
/// How far a pad reaches beyond the middle of the contact, along the approach.
pub const TIP: f64 = 0.012;
/// Half the width of a pad, across the approach and the closing direction.
pub const PAD_HALF_WIDTH: f64 = 0.011;
/// Thickness of a finger.
pub const FINGER: f64 = 0.015;
/// Radius of the patch in which a pad touches, for the torque that it can hold.
pub const PATCH: f64 = 0.010;
/// How far the palm lies behind the middle of the contact.
pub const PALM_DEPTH: f64 = 0.070;
/// Half the extent of the palm along the closing direction.
pub const PALM_HALF_LENGTH: f64 = 0.060;
/// Half the extent of the palm across.
pub const PALM_HALF_WIDTH: f64 = 0.030;
/// Pads nearer to each other than this hold nothing.
pub const SMALLEST_WIDTH: f64 = 0.003;
/// The least height of a fingertip over the table.
pub const TABLE_CLEARANCE: f64 = 0.001;

/// A grasp, in the frame of the table, z up.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Grasp {
    /// The middle between the pads, in m.
    pub centre: Vector,
    /// The unit vector along which the pads close.
    pub axis: Vector,
    /// The unit vector along which the gripper comes.
    pub approach: Vector,
}

impl Grasp {
    /// Across the other two.
    pub fn side(&self) -> Vector {
        self.axis.cross(self.approach)
    }

    /// The lowest point of the fingertips, in m above the table, with the jaws open: where they close aslant, one of them is lower than
    /// where it will touch.
    pub fn lowest(&self) -> f64 {
        let tip = self.centre.z + TIP * self.approach.z;
        tip - PAD_HALF_WIDTH * self.side().z.abs() - (0.5 * STROKE + FINGER) * self.axis.z.abs()
    }

    /// The lowest point of the palm, in m above the table.
    pub fn lowest_of_palm(&self) -> f64 {
        let middle = self.centre.z - PALM_DEPTH * self.approach.z;
        middle - PALM_HALF_LENGTH * self.axis.z.abs() - PALM_HALF_WIDTH * self.side().z.abs()
    }
}
