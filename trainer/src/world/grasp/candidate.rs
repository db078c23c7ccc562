//! Grasps to choose from: antipodal pairs of contacts, from above and from the side.

use parry3d_f64::math::{Rotation, Vector};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use rand_distr::StandardNormal;

use super::execute::collision;
use super::gripper::Grasp;
use super::object::Object;

/// Spread of the closing direction about the normal of the first contact, in rad about each axis.
const TILT: f64 = 14.0 * std::f64::consts::PI / 180.0;
/// Widths that are tried, in m: a few millimetres less than the stroke.
const WIDTHS: [f64; 2] = [0.008, 0.078];
/// The steepest closing direction: the largest part of it that points up.
const STEEPEST: f64 = 0.7;
/// The least cosine between the closing direction and the normals of both contacts.
const ANTIPODAL: f64 = 0.82;
/// The least height of gripper over table, in m.
const CLEARANCE: f64 = 0.002;
/// Approaches turn about the closing direction by this much from straight down, in rad.
const FROM_ABOVE: [f64; 2] = [0.0, 0.52];
/// The same for those from the side.
const FROM_THE_SIDE: [f64; 2] = [1.0, 1.5];
/// The share of candidates that is meant to come from the side; many of them would touch the table, so fewer do.
const SIDE: f64 = 0.25;
/// The share of closing directions that are made level: on a low object a jaw that closes aslant comes to the table.
const LEVEL: f64 = 0.7;
/// Points tried for each candidate wanted.
const TRIES: usize = 200;

/// `count` grasps of `object` that touch nothing before they close, as far as the camera tells; none if so many cannot be found.
///
/// A point of the surface is drawn by area and a closing direction about its inward normal; the outermost places where that line meets
/// the object are the contacts (as Mahler et al. 2017 sample antipodal pairs).
pub fn candidates(object: &Object, count: usize, rng: &mut ChaCha8Rng) -> Option<Vec<Grasp>> {
    let mut found = Vec::with_capacity(count);
    for _ in 0..count * TRIES {
        if found.len() == count {
            break;
        }
        found.extend(candidate(object, rng));
    }
    (found.len() == count).then_some(found)
}

fn candidate(object: &Object, rng: &mut ChaCha8Rng) -> Option<Grasp> {
    let (point, normal) = object.surface.sample(rng);
    let mut spread = || TILT * rng.sample::<f64, _>(StandardNormal);
    let tilt = Rotation::from_scaled_axis(Vector::new(spread(), spread(), spread()));
    let mut axis = tilt * -normal;
    if axis.z.abs() > STEEPEST {
        return None;
    }
    if rng.random_bool(LEVEL) {
        axis = Vector::new(axis.x, axis.y, 0.0).normalize();
    }
    let [first, last] = object.surface.line(point, axis)?;
    let width = last.distance - first.distance;
    let cosine = (-first.normal.dot(axis)).min(last.normal.dot(axis));
    if !(WIDTHS[0]..=WIDTHS[1]).contains(&width) || cosine < ANTIPODAL {
        return None;
    }
    let centre = point + 0.5 * (first.distance + last.distance) * axis;
    // Both pads are alike, so one of two opposite directions stands for both.
    if axis.y < 0.0 {
        axis = -axis;
    }
    let down = (-Vector::Z + axis.z * axis).normalize();
    let side = rng.random_bool(SIDE);
    let [least, most] = if side { FROM_THE_SIDE } else { FROM_ABOVE };
    let turn = rng.random_range(least..most) * if rng.random_bool(0.5) { 1.0 } else { -1.0 };
    let approach = Rotation::from_axis_angle(axis, turn) * down;
    let grasp = Grasp { centre, axis, approach };
    let free = grasp.lowest() >= CLEARANCE && grasp.lowest_of_palm() >= CLEARANCE;
    (free && collision(object, &grasp).is_none()).then_some(grasp)
}
