//! Forward kinematics of a Franka Emika Panda: seven revolute joints by modified Denavit–Hartenberg parameters (Craig, *Introduction to
//! Robotics*, 3.4). Parameters and limits are those of the manufacturer's control interface documentation and of `franka_ros`.

use std::f64::consts::{FRAC_PI_2, FRAC_PI_4};

use parry3d_f64::math::{Matrix, Vector};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

/// Joints of the arm.
pub const JOINTS: usize = 7;
/// Frames of [`frames`]: the base, the seven links, the hand.
pub const FRAMES: usize = 9;
/// The number of the hand's frame.
pub const HAND: usize = 8;

/// A configuration: joint angles in rad.
pub type Joints = [f64; JOINTS];

/// Of each joint `a` (m), `d` (m) and `α` (rad): the link before is `a` long and twisted by `α`, and the joint's axis is offset by `d`.
const PARAMETERS: [[f64; 3]; JOINTS] = [
    [0.0, 0.333, 0.0],
    [0.0, 0.0, -FRAC_PI_2],
    [0.0, 0.316, FRAC_PI_2],
    [0.0825, 0.0, FRAC_PI_2],
    [-0.0825, 0.384, -FRAC_PI_2],
    [0.0, 0.0, FRAC_PI_2],
    [0.088, 0.0, FRAC_PI_2],
];
/// From the last joint to the flange, in m.
const FLANGE: f64 = 0.107;
/// From the flange to the point between the fingertips, in m.
pub const TOOL: f64 = 0.1034;

/// The least and the greatest angle of each joint, in rad.
pub const LIMITS: [[f64; 2]; JOINTS] = [
    [-2.8973, 2.8973],
    [-1.7628, 1.7628],
    [-2.8973, 2.8973],
    [-3.0718, -0.0698],
    [-2.8973, 2.8973],
    [-0.0175, 3.7525],
    [-2.8973, 2.8973],
];

/// The configuration in which the robot waits: the hand above the table, fingers down.
pub const READY: Joints = [0.0, -FRAC_PI_4, 0.0, -3.0 * FRAC_PI_4, 0.0, FRAC_PI_2, FRAC_PI_4];

/// A frame in that of the base.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Frame {
    /// Its axes as columns.
    pub rotation: Matrix,
    /// Its origin, in m.
    pub origin: Vector,
}

impl Frame {
    /// The frame of the base.
    pub const BASE: Self = Self { rotation: Matrix::IDENTITY, origin: Vector::ZERO };

    /// Where a point of this frame is, in m.
    pub fn point(&self, point: Vector) -> Vector {
        self.rotation * point + self.origin
    }

    fn then(&self, rotation: Matrix, origin: Vector) -> Self {
        Self { rotation: self.rotation * rotation, origin: self.point(origin) }
    }
}

/// Where the base, each link and the hand are at `joints`. The z axis of a link's frame is the axis of its joint; the hand's frame lies in
/// the flange, turned by −45° about it, with the fingers along z and their stroke along y.
pub fn frames(joints: &Joints) -> [Frame; FRAMES] {
    let mut frames = [Frame::BASE; FRAMES];
    for (number, (angle, [a, d, twist])) in joints.iter().zip(PARAMETERS).enumerate() {
        let [(s, c), (st, ct)] = [angle.sin_cos(), twist.sin_cos()];
        let columns = [Vector::new(c, s * ct, s * st), Vector::new(-s, c * ct, c * st), Vector::new(0.0, -st, ct)];
        let rotation = Matrix::from_cols(columns[0], columns[1], columns[2]);
        frames[number + 1] = frames[number].then(rotation, Vector::new(a, -st * d, ct * d));
    }
    frames[HAND] = frames[JOINTS].then(Matrix::from_rotation_z(-FRAC_PI_4), Vector::new(0.0, 0.0, FLANGE));
    frames
}

/// Euclidean distance of two configurations, in rad.
pub fn distance(from: &Joints, to: &Joints) -> f64 {
    from.iter().zip(to).map(|(from, to)| (to - from) * (to - from)).sum::<f64>().sqrt()
}

/// The configuration at `share` of the straight way between two; at 0 and 1 the ends, to the bit.
pub fn between(from: &Joints, to: &Joints, share: f64) -> Joints {
    std::array::from_fn(|joint| (1.0 - share) * from[joint] + share * to[joint])
}

/// A configuration that is uniform within the limits.
pub fn uniform(rng: &mut ChaCha8Rng) -> Joints {
    LIMITS.map(|[least, greatest]| rng.random_range(least..greatest))
}
