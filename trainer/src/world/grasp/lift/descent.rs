//! The way down, as far as it can be told before anything moves: what the open gripper runs into.

use parry3d_f64::math::{Pose, Vector};
use parry3d_f64::query::intersection_test;
use parry3d_f64::shape::Cuboid;

use super::Fate;
use super::body::Body;
use crate::world::grasp::gripper::{
    FINGER, PAD_HALF_WIDTH, PALM_DEPTH, PALM_HALF_LENGTH, PALM_HALF_WIDTH, STROKE, TABLE_CLEARANCE, TIP,
};

/// The way down, in m: longer than any object is high.
const WAY: f64 = 0.5;

/// What the open gripper runs into on its straight way, where `body` and `table` are poses in the frame of the gripper: x along the
/// closing direction, z back to where it came from.
///
/// Fingers and palm sweep boxes, and a box that meets a convex part ends the try, as a guarded motion does.
pub(super) fn obstacle(body: &Body, pose: &Pose, table: &Pose) -> Option<Fate> {
    let half_length = 0.5 * (TIP + PALM_DEPTH);
    let finger = |sign: f64| {
        let middle = Vector::new(sign * 0.5 * (STROKE + FINGER), 0.0, 0.5 * (PALM_DEPTH - TIP));
        (middle, Vector::new(0.5 * FINGER, PAD_HALF_WIDTH, half_length), Fate::Jaw)
    };
    let palm = (
        Vector::new(0.0, 0.0, PALM_DEPTH + 0.5 * WAY),
        Vector::new(PALM_HALF_LENGTH, PALM_HALF_WIDTH, 0.5 * WAY),
        Fate::Palm,
    );
    let boxes = [finger(-1.0), finger(1.0), palm];
    let up = table.rotation * Vector::Z;
    for (middle, half, _) in &boxes {
        let lowest = (*middle - table.translation).dot(up) - up.abs().dot(*half);
        if lowest < TABLE_CLEARANCE {
            return Some(Fate::Table);
        }
    }
    boxes.into_iter().find_map(|(middle, half, fate)| {
        let (at, shape) = (Pose::from_translation(middle), Cuboid::new(half));
        // Convex shapes can always be tested against a box.
        let touches = |part| intersection_test(&at, &shape, pose, part).is_ok_and(|found| found.intersecting);
        body.parts().iter().any(|part| touches(&**part)).then_some(fate)
    })
}
