//! What a small device sees of a grasp: numbers that need no network to compute.

use parry3d_f64::math::{Rotation, Vector};

use super::gripper::{Grasp, PAD_HALF_WIDTH, PALM_DEPTH, PALM_HALF_LENGTH, PALM_HALF_WIDTH, STROKE, TIP};
use super::object::Object;
use crate::world::Column;

/// Numbers of a grasp.
pub const FEATURES: usize = 44;

/// What the camera may be wrong by, in m and rad: where the contacts are looked at again.
const SHIFT: f64 = 0.006;
const TURN: f64 = 6.0 * std::f64::consts::PI / 180.0;
/// The angle of a contact that is none, in rad.
const NO_CONTACT: f64 = 1.5;
/// How far off the axis of the object's middle the centre of mass may be, as a share of the half extent.
const CENTRE_OF_MASS: f64 = 0.4;
/// Distances are cut here, in m.
const FARTHEST: f64 = 0.2;

const DIRECTIONS: [Vector; 6] = [Vector::X, Vector::NEG_X, Vector::Y, Vector::NEG_Y, Vector::Z, Vector::NEG_Z];

/// The name and unit of each.
pub fn columns() -> Vec<Column> {
    let mut columns = Vec::with_capacity(FEATURES);
    let mut add = |unit: &str, names: &[&str]| {
        columns.extend(names.iter().map(|name| Column { name: (*name).into(), unit: unit.into() }));
    };
    add("m", &["width"]);
    add("rad", &["contact_angle_worse", "contact_angle_better"]);
    add("m", &["centre_x", "centre_y", "centre_z"]);
    add("1", &["centre_share_x", "centre_share_y", "centre_share_z"]);
    add("m", &["centre_distance", "centre_height", "tip_height"]);
    add("1", &["axis_x", "axis_y", "axis_z", "approach_x", "approach_y", "approach_z"]);
    add("1", &["axis_own_x", "axis_own_y", "axis_own_z"]);
    add("m", &["lever", "lever_size", "lever_from_x", "lever_from_y", "lever_from_z"]);
    add("rad", &["angle_right", "angle_left", "angle_back", "angle_front", "angle_up", "angle_down"]);
    add("rad", &["angle_turn_x", "angle_return_x", "angle_turn_y", "angle_return_y", "angle_turn_z", "angle_return_z"]);
    add("m", &["half_x", "half_y", "half_z", "top", "finger_clearance", "palm_clearance"]);
    columns
}

/// What is seen of `grasp`, in the order of [`columns`].
///
/// `centre` is from the object's centroid in its own frame, in m, and as a share of its half extents. `lever` is the torque about the
/// closing direction for each newton of weight, were the object's density even; `lever_from` what a shift of the centre of mass along
/// each of its axes would add. `angle_…` is the worse contact angle if the object lay 6 mm, or were turned 6° about its centroid,
/// beside where it is seen.
pub fn features(object: &Object, grasp: &Grasp) -> [f32; FEATURES] {
    let Grasp { centre, axis, approach } = *grasp;
    let from = centre - object.centroid;
    let own = object.rotation.transpose() * from;
    let [width, worse, better] = contacts(object, centre, axis);
    let mut seen = Vec::with_capacity(FEATURES);
    seen.extend([width, worse, better]);
    seen.extend(own.to_array());
    seen.extend((own / (object.half + 0.005)).to_array());
    seen.extend([from.length(), centre.z, centre.z + TIP * approach.z]);
    seen.extend(axis.to_array());
    seen.extend(approach.to_array());
    seen.extend((object.rotation.transpose() * axis).abs().to_array());
    let lever = |arm: Vector| arm.cross(Vector::Z).dot(axis);
    let even = lever(-from);
    seen.extend([even, even.abs()]);
    let [x, y, z] = [object.rotation.x_axis, object.rotation.y_axis, object.rotation.z_axis];
    let half = object.half.to_array();
    seen.extend([x, y, z].iter().zip(half).map(|(own, half)| CENTRE_OF_MASS * half * lever(*own)));
    seen.extend(DIRECTIONS.map(|direction| contacts(object, centre + SHIFT * direction, axis)[1]));
    seen.extend(DIRECTIONS.map(|direction| {
        let turn = Rotation::from_scaled_axis(TURN * direction);
        contacts(object, object.centroid + turn * from, turn * axis)[1]
    }));
    seen.extend(half);
    seen.push(object.top);
    seen.extend(clearances(object, grasp));
    let mut row = [0.0; FEATURES];
    row.iter_mut().zip(seen).for_each(|(to, value)| *to = value as f32);
    row
}

/// Between the pads, in m, and the worse and the better angle between closing direction and normal, in rad.
fn contacts(object: &Object, centre: Vector, axis: Vector) -> [f64; 3] {
    let Some([first, last]) = object.surface.line(centre, axis) else {
        return [0.0, NO_CONTACT, NO_CONTACT];
    };
    let [a, b] = [-first.normal.dot(axis), last.normal.dot(axis)].map(|cosine| cosine.clamp(-1.0, 1.0).acos());
    [last.distance - first.distance, a.max(b).min(NO_CONTACT), a.min(b).min(NO_CONTACT)]
}

/// What is free outside beside the fingers and before the palm, in m.
fn clearances(object: &Object, grasp: &Grasp) -> [f64; 2] {
    let side = grasp.side();
    let (mut widest, mut highest) = (0.0_f64, -FARTHEST);
    for point in &object.points {
        let from = *point - grasp.centre;
        let (along, across, ahead) = (from.dot(grasp.axis).abs(), from.dot(side).abs(), from.dot(grasp.approach));
        if across < PAD_HALF_WIDTH && ahead < TIP && ahead > -PALM_DEPTH {
            widest = widest.max(along);
        }
        if along < PALM_HALF_LENGTH && across < PALM_HALF_WIDTH {
            highest = highest.max(-ahead);
        }
    }
    [0.5 * STROKE - widest, (PALM_DEPTH - highest).min(FARTHEST)]
}
