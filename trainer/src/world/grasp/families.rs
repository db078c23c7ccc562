//! Generated objects: families of bodies, each with sizes that a gripper of 85 mm can take somewhere.

use parry3d_f64::math::Vector;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::mesh::{Mesh, MeshError};
use super::primitives::{bow, capsule, cuboid, cylinder, superquadric, turned};
use crate::world::Split;

/// A family of bodies. Lengths are in m and uniform in their ranges.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Family {
    /// A box.
    Box,
    /// A cylinder.
    Cylinder,
    /// A cylinder with round ends.
    Capsule,
    /// A superquadric, from nearly a box to nearly an octahedron.
    Superquadric,
    /// A round handle with a head across it.
    Hammer,
    /// Two bars, one across the end of the other.
    Tee,
    /// A cone without its tip.
    Frustum,
    /// A cup with a handle.
    Mug,
    /// A round bar with a disc at each end.
    Dumbbell,
    /// Two bars that meet at a right angle.
    Angle,
    /// A cylinder with a neck.
    Bottle,
}

impl Family {
    /// Those to train and to validate on.
    pub const TRAINED: [Self; 8] = [
        Self::Box,
        Self::Cylinder,
        Self::Capsule,
        Self::Superquadric,
        Self::Hammer,
        Self::Tee,
        Self::Frustum,
        Self::Mug,
    ];
    /// Those held out for tests.
    pub const HELD_OUT: [Self; 3] = [Self::Dumbbell, Self::Angle, Self::Bottle];

    /// The families of a split.
    pub const fn of(split: Split) -> &'static [Self] {
        match split {
            Split::Train | Split::Validation => &Self::TRAINED,
            Split::Test => &Self::HELD_OUT,
        }
    }

    /// Draws a body.
    ///
    /// # Errors
    /// Never, for the ranges here are of bodies with a volume; it is the error of the meshes that it is built of.
    pub fn draw(self, rng: &mut ChaCha8Rng) -> Result<Mesh, MeshError> {
        let mut between = |low: f64, high: f64| rng.random_range(low..high);
        let up = |height: f64| Vector::new(0.0, 0.0, height);
        match self {
            Self::Box => cuboid(Vector::new(between(0.018, 0.075), between(0.02, 0.16), between(0.03, 0.24))),
            Self::Cylinder => cylinder(between(0.01, 0.038), between(0.04, 0.24), 28),
            Self::Capsule => capsule(between(0.012, 0.036), between(0.03, 0.18), 20),
            Self::Superquadric => {
                let half = Vector::new(between(0.012, 0.037), between(0.015, 0.06), between(0.02, 0.11));
                superquadric(half, [between(0.3, 1.3), between(0.3, 1.3)], 18)
            }
            Self::Hammer => {
                let [length, radius] = [between(0.12, 0.28), between(0.009, 0.018)];
                let [head, thickness] = [between(0.05, 0.11), between(0.012, 0.026)];
                let round = between(0.0, 1.0) < 0.5;
                let head = if round {
                    lying(&cylinder(thickness, head, 28)?)?
                } else {
                    cuboid(Vector::new(head, 2.0 * thickness, 2.0 * thickness))?
                };
                Ok(cylinder(radius, length, 20)?.with(&head.moved(up(0.5 * length))))
            }
            Self::Tee => {
                let [side, length, across] = [between(0.018, 0.045), between(0.08, 0.2), between(0.06, 0.15)];
                let bar = cuboid(Vector::new(side, side * between(0.6, 1.2), length))?;
                let top = cuboid(Vector::new(across, side * between(0.6, 1.2), between(0.018, 0.045)))?;
                Ok(bar.with(&top.moved(up(0.5 * length))))
            }
            Self::Frustum => {
                let [radius, height] = [between(0.02, 0.038), between(0.05, 0.2)];
                turned(&[[radius, -0.5 * height], [radius * between(0.4, 0.95), 0.5 * height]], 26)
            }
            Self::Mug => {
                let [radius, height, wall] = [between(0.028, 0.045), between(0.06, 0.12), between(0.003, 0.006)];
                let [floor, inside] = [0.006 - 0.5 * height, radius - wall];
                let top = 0.5 * height;
                // From the middle of the floor inside, down the wall outside in reverse: outward all the way round.
                let cup = turned(&[[radius, -top], [radius, top], [inside, top], [inside, floor], [0.0, floor]], 28)?;
                let [reach, bar] = [height * between(0.2, 0.32), between(0.003, 0.006)];
                let handle =
                    standing(&bow(reach, bar, [-std::f64::consts::FRAC_PI_2, std::f64::consts::FRAC_PI_2], 10)?)?;
                Ok(cup.with(&handle.moved(Vector::new(radius - wall, 0.0, 0.0))))
            }
            Self::Dumbbell => {
                let [length, bar] = [between(0.1, 0.2), between(0.009, 0.016)];
                let [radius, width] = [between(0.02, 0.036), between(0.02, 0.05)];
                let discs = [cylinder(radius, width, 28)?, cylinder(radius * between(0.8, 1.0), width, 28)?];
                let [top, bottom] = discs;
                let bar = cylinder(bar, length, 20)?;
                Ok(bar.with(&top.moved(up(0.5 * length))).with(&bottom.moved(up(-0.5 * length))))
            }
            Self::Angle => {
                let [side, length, foot] = [between(0.018, 0.045), between(0.08, 0.18), between(0.06, 0.14)];
                let foot_at = Vector::new(0.5 * (foot - side), 0.0, 0.5 * (length - side));
                let foot = cuboid(Vector::new(foot, side, side))?;
                Ok(cuboid(Vector::new(side, side, length))?.with(&foot.moved(foot_at)))
            }
            Self::Bottle => {
                let radius = between(0.025, 0.038);
                let [neck, height, above] = [radius * between(0.35, 0.7), between(0.08, 0.15), between(0.04, 0.08)];
                let neck = cylinder(neck, above, 28)?.moved(up(0.5 * (height + above)));
                Ok(cylinder(radius, height, 28)?.with(&neck))
            }
        }
    }
}

/// What stood along z now lies along x.
fn lying(mesh: &Mesh) -> Result<Mesh, MeshError> {
    turned_axes(mesh, |v| Vector::new(v.z, v.y, -v.x))
}

/// What lay in the plane of x and y now stands in that of x and z.
fn standing(mesh: &Mesh) -> Result<Mesh, MeshError> {
    turned_axes(mesh, |v| Vector::new(v.x, -v.z, v.y))
}

fn turned_axes(mesh: &Mesh, turn: impl Fn(Vector) -> Vector) -> Result<Mesh, MeshError> {
    let vertices: Vec<Vector> = mesh.vertices().iter().map(|vertex| turn(*vertex)).collect();
    Mesh::new(&vertices, mesh.triangles())
}
