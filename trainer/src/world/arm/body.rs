//! The arm as a body: capsules in the frames of its links, and points of it that say where it is.
//!
//! The capsules are those by which the manufacturer's own controller looks for self-collisions (`franka_ros`, `franka_arm.xacro` and
//! `franka_hand.xacro`, without a safety distance). They cover links and hand up to a centimetre or so; sizes are in m.

use std::f64::consts::FRAC_1_SQRT_2;

use parry3d_f64::math::Vector;

use super::kinematics::{FRAMES, Frame, HAND, Joints, frames};

/// Capsules of the body.
pub const CAPSULES: usize = 12;
/// Capsules of base and first link, which stand where they stand and may touch the table.
pub const FIXED: usize = 2;

/// All points within `radius` of the segment from `a` to `b`, in m.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Capsule {
    /// One end of the segment.
    pub a: Vector,
    /// The other end.
    pub b: Vector,
    /// The radius.
    pub radius: f64,
}

/// The number of a link's frame, and a capsule in it: middle, half of the segment, radius.
type Part = (usize, [f64; 3], [f64; 3], f64);

const DIAGONAL: f64 = 0.06 * FRAC_1_SQRT_2;
const ACROSS: f64 = 0.005 * FRAC_1_SQRT_2;

const PARTS: [Part; CAPSULES] = [
    (0, [-0.075, 0.0, 0.06], [0.015, 0.0, 0.0], 0.06),
    (1, [0.0, 0.0, -0.1915], [0.0, 0.0, 0.1415], 0.06),
    (2, [0.0, 0.0, 0.0], [0.0, 0.0, 0.06], 0.06),
    (3, [0.0, 0.0, -0.145], [0.0, 0.0, 0.075], 0.06),
    (4, [0.0, 0.0, 0.0], [0.0, 0.0, 0.06], 0.06),
    (5, [0.0, 0.0, -0.26], [0.0, 0.0, 0.05], 0.06),
    (5, [0.0, 0.08, -0.13], [0.0, 0.0, 0.07], 0.025),
    (6, [0.0, 0.0, -0.03], [0.0, 0.0, 0.04], 0.05),
    (7, [0.0, 0.0, 0.01], [0.0, 0.0, 0.07], 0.04),
    (7, [DIAGONAL, DIAGONAL, 0.082], [ACROSS, ACROSS, 0.0], 0.03),
    (HAND, [0.0, 0.0, 0.04], [0.0, 0.05, 0.0], 0.04),
    (HAND, [0.0, 0.0, 0.1], [0.0, 0.05, 0.0], 0.02),
];

/// Pairs of capsules that joints within their limits can bring together: base, first and second link with all from the fifth on. What is
/// nearer along the arm cannot meet.
pub fn self_pairs() -> impl Iterator<Item = (usize, usize)> {
    let of = |links: std::ops::RangeInclusive<usize>| {
        (0..CAPSULES).filter(move |capsule| links.contains(&PARTS[*capsule].0))
    };
    of(0..=2).flat_map(move |near| of(5..=HAND).map(move |far| (near, far)))
}

/// The capsules at `joints`, in the frame of the base.
pub fn capsules(joints: &Joints) -> [Capsule; CAPSULES] {
    let frames = frames(joints);
    PARTS.map(|(link, middle, half, radius)| {
        let [middle, half] = [middle, half].map(Vector::from_array);
        Capsule { a: frames[link].point(middle - half), b: frames[link].point(middle + half), radius }
    })
}

/// Control points of [`control_points`].
pub const CONTROL_POINTS: usize = 8;

/// Names of the control points, and where they are: the number of a frame, and a point of it.
pub const CONTROL: [(&str, usize, [f64; 3]); CONTROL_POINTS] = [
    ("upper_arm", 3, [0.0, 0.0, -0.145]),
    ("elbow", 4, [0.0, 0.0, 0.0]),
    ("forearm", 5, [0.0, 0.0, -0.26]),
    ("forearm_end", 5, [0.0, 0.08, -0.13]),
    ("wrist", 6, [0.0, 0.0, 0.0]),
    ("flange", HAND, [0.0, 0.0, 0.0]),
    ("left_finger", HAND, [0.0, 0.05, 0.1]),
    ("right_finger", HAND, [0.0, -0.05, 0.1]),
];

/// Points of the arm whose places say more about collisions than joint angles do (the forward kinematics kernel of DiffCo: Zhi et al. 2022,
/// *IEEE Transactions on Robotics* 38(5)).
pub fn control_points(joints: &Joints) -> [Vector; CONTROL_POINTS] {
    let frames: [Frame; FRAMES] = frames(joints);
    CONTROL.map(|(_, link, point)| frames[link].point(Vector::from_array(point)))
}
