//! Boxes and cylinders that stand upright, and how far a segment is from them.

use parry3d_f64::math::{Pose, Vector};
use parry3d_f64::query::details::{contact_support_map_support_map, distance_support_map_support_map};
use parry3d_f64::shape::{Cuboid, Cylinder, Segment, SupportMap};

use super::body::Capsule;

/// The form of an obstacle about its centre, in m.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Form {
    /// Half of its edges along its own x, y and z.
    Box(Vector),
    /// About the vertical.
    Cylinder {
        /// Its radius.
        radius: f64,
        /// Half of its height.
        half_height: f64,
    },
}

/// Something that the arm must not touch.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Obstacle {
    /// Its form.
    pub form: Form,
    /// Its centre in the frame of the arm's base, in m.
    pub centre: Vector,
    /// How it is turned about the vertical, in rad, as cosine and sine.
    turn: [f64; 2],
}

impl Obstacle {
    /// A box with these half edges (m) about `centre`, turned by `angle` (rad) about the vertical.
    pub fn cuboid(half: Vector, centre: Vector, angle: f64) -> Self {
        let (sine, cosine) = angle.sin_cos();
        Self { form: Form::Box(half), centre, turn: [cosine, sine] }
    }

    /// An upright cylinder (m) about `centre`.
    pub const fn cylinder(radius: f64, half_height: f64, centre: Vector) -> Self {
        Self { form: Form::Cylinder { radius, half_height }, centre, turn: [1.0, 0.0] }
    }

    /// A point in the obstacle's own frame; that of a cylinder has its axis along y, as parry has it.
    fn own(&self, point: Vector) -> Vector {
        let from = point - self.centre;
        match self.form {
            Form::Box(_) => {
                let [c, s] = self.turn;
                Vector::new(c * from.x + s * from.y, c * from.y - s * from.x, from.z)
            }
            Form::Cylinder { .. } => Vector::new(from.x, from.z, -from.y),
        }
    }

    /// How far a point in the own frame is, in m; 0 inside.
    fn outside(&self, own: Vector) -> f64 {
        match self.form {
            Form::Box(half) => (own.abs() - half).max(Vector::ZERO).length(),
            Form::Cylinder { radius, half_height } => {
                let radial = (own.x.hypot(own.z) - radius).max(0.0);
                radial.hypot((own.y.abs() - half_height).max(0.0))
            }
        }
    }

    /// The signed clearance of `capsule`, in m, or any number from `least` on if it is not below that: the distance, or minus the shortest
    /// way out. Cutting at `least` saves the work for what is far.
    pub fn clearance(&self, capsule: &Capsule, least: f64) -> f64 {
        let [a, b] = [self.own(capsule.a), self.own(capsule.b)];
        // No point of the segment is farther from its middle than half of it.
        let middle = self.outside(0.5 * (a + b)) - capsule.radius;
        if middle - 0.5 * a.distance(b) >= least {
            return least;
        }
        let segment = Segment { a, b };
        match self.form {
            Form::Box(half) => signed(&segment, &Cuboid::new(half)),
            Form::Cylinder { radius, half_height } => signed(&segment, &Cylinder::new(half_height, radius)),
        }
        .unwrap_or(0.0)
            - capsule.radius
    }

    /// Whether `capsule` does not touch it.
    pub fn is_free(&self, capsule: &Capsule) -> bool {
        let [a, b] = [self.own(capsule.a), self.own(capsule.b)];
        let middle = self.outside(0.5 * (a + b));
        if middle - 0.5 * a.distance(b) > capsule.radius {
            return true;
        }
        if middle <= capsule.radius {
            return false;
        }
        let segment = Segment { a, b };
        let distance = match self.form {
            Form::Box(half) => distance_support_map_support_map(&Pose::IDENTITY, &segment, &Cuboid::new(half)),
            Form::Cylinder { radius, half_height } => {
                distance_support_map_support_map(&Pose::IDENTITY, &segment, &Cylinder::new(half_height, radius))
            }
        };
        distance > capsule.radius
    }
}

/// The distance of a segment from a body, or minus the shortest way out of it (Gilbert, Johnson and Keerthi 1988; expanding polytope, van
/// den Bergen 2001). None where the polytope degenerates: the segment just touches.
fn signed(segment: &Segment, body: &impl SupportMap) -> Option<f64> {
    contact_support_map_support_map(&Pose::IDENTITY, segment, body, f64::MAX).map(|contact| contact.dist)
}
