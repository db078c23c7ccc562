//! An object where it lies on the table.

use parry3d_f64::math::{Matrix, Vector};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::hidden::Hidden;
use super::mesh::{Mesh, MeshError};
use super::pose::stable_poses;
use super::surface::Surface;

/// Points of the surface that are looked at for collisions: on faces, and along edges, which come into a box before faces do.
const FACE_POINTS: usize = 384;
const EDGE_POINTS: usize = 256;

/// An object at rest, in the frame of the table: z up, its centroid above the origin.
#[derive(Clone, Debug)]
pub struct Object {
    /// Its surface.
    pub surface: Surface,
    /// Points of it: some uniform by area, some along the edges by their lengths.
    pub points: Vec<Vector>,
    /// Its centre of mass, were its density the same everywhere, in m.
    pub centroid: Vector,
    /// Turns its own frame into that of the table.
    pub rotation: Matrix,
    /// Half its extents along the axes of its own frame, in m.
    pub half: Vector,
    /// The middle of its box, in m.
    pub middle: Vector,
    /// Its highest point, in m.
    pub top: f64,
}

impl Object {
    /// Puts a body down: in one of its stable poses, by their probabilities, and turned about z by chance.
    ///
    /// # Errors
    /// If it is no body.
    pub fn put_down(mesh: &Mesh, rng: &mut ChaCha8Rng) -> Result<Self, MeshError> {
        let centre = mesh.centre_of_mass()?;
        let poses = stable_poses(mesh, centre)?;
        let mut left: f64 = rng.random();
        let chosen = poses.iter().find(|pose| {
            left -= pose.probability;
            left < 0.0
        });
        let yaw = Matrix::from_rotation_z(rng.random_range(-std::f64::consts::PI..std::f64::consts::PI));
        let rotation = chosen.or(poses.last()).map_or(yaw, |pose| yaw * pose.rotation);
        Ok(Self::at(mesh, centre, rotation, rng))
    }

    /// A body with this centre, turned by `rotation`, on the table.
    pub(super) fn at(mesh: &Mesh, centre: Vector, rotation: Matrix, rng: &mut ChaCha8Rng) -> Self {
        let heights = mesh.vertices().iter().map(|vertex| (rotation * (*vertex - centre)).z);
        let (low, high) = heights.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), z| (low.min(z), high.max(z)));
        let centroid = Vector::new(0.0, 0.0, -low);
        let surface = Surface::new(mesh, rotation, centroid - rotation * centre);
        let [least, most] = mesh.bounds();
        let mut points: Vec<Vector> = (0..FACE_POINTS).map(|_| surface.sample(rng).0).collect();
        points.extend(surface.along_edges(EDGE_POINTS));
        Self {
            surface,
            points,
            centroid,
            rotation,
            half: 0.5 * (most - least),
            middle: centroid + rotation * (0.5 * (most + least) - centre),
            top: high - low,
        }
    }

    /// Turns it about the vertical through its centroid.
    pub(super) fn turn(&mut self, turn: Matrix) {
        self.surface.turn(turn);
        self.points.iter_mut().for_each(|point| *point = turn * *point);
        self.rotation = turn * self.rotation;
        self.middle = turn * self.middle;
    }

    /// The true centre of mass, in m.
    pub fn centre_of_mass(&self, hidden: &Hidden) -> Vector {
        self.centroid + self.rotation * (hidden.centre_of_mass * self.half)
    }

    /// The nearest and the farthest point of its box along `direction` from `point`, in m.
    pub fn extent(&self, point: Vector, direction: Vector) -> [f64; 2] {
        let own = self.rotation.transpose() * direction;
        let reach = own.abs().dot(self.half);
        let middle = (self.middle - point).dot(direction);
        [middle - reach, middle + reach]
    }
}
