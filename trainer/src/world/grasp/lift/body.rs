//! An object as convex parts that rapier can collide, and what its mass resists.

use parry3d_f64::math::{Matrix, Pose, Vector};
use parry3d_f64::shape::SharedShape;
use parry3d_f64::transformation::vhacd::VHACDParameters;

use crate::world::grasp::hidden::Hidden;
use crate::world::grasp::mesh::{Mesh, MeshError};
use crate::world::grasp::object::Object;

/// A part whose hull has this much more volume than itself is taken apart.
const CONVEX: f64 = 1.01;
/// Voxels along the longest side of a part that is taken apart.
const VOXELS: u32 = 64;
/// The most hulls that it becomes.
const HULLS: u32 = 32;

/// The body of an object in its own frame. It is made once and lifted many times.
#[derive(Clone)]
pub struct Body {
    parts: Vec<SharedShape>,
    centre: Vector,
    /// About the centre, for 1 kg, in m².
    inertia: Matrix,
}

impl Body {
    /// The body of a mesh. Parts that are convex stay as they are; others, such as a cup, become hulls of voxels by approximate convex
    /// decomposition (Mamou and Ghorbel 2009).
    ///
    /// # Errors
    /// If it is no body.
    pub fn new(mesh: &Mesh) -> Result<Self, MeshError> {
        let mut parts = Vec::new();
        for part in mesh.parts() {
            let hull = part.hull()?;
            if hull.volume() <= CONVEX * part.volume() {
                parts.push(SharedShape::convex_hull(part.vertices()).ok_or(MeshError::Flat)?);
                continue;
            }
            let parameters = VHACDParameters { resolution: VOXELS, max_convex_hulls: HULLS, ..Default::default() };
            let whole = SharedShape::convex_decomposition_with_params(part.vertices(), part.triangles(), &parameters);
            let compound = whole.as_compound().ok_or(MeshError::Flat)?;
            parts.extend(compound.shapes().iter().map(|(_, shape)| shape.clone()));
        }
        let centre = mesh.centre_of_mass()?;
        Ok(Self { inertia: inertia(&parts, centre), parts, centre })
    }

    /// Its convex parts, in its own frame.
    pub fn parts(&self) -> &[SharedShape] {
        &self.parts
    }

    /// Puts its own frame where `object` lies on the table.
    pub fn pose(&self, object: &Object) -> Pose {
        Pose::from_parts(
            object.centroid - object.rotation * self.centre,
            parry3d_f64::math::Rotation::from_mat3(&object.rotation).normalize(),
        )
    }

    /// The centre of mass in its own frame, in m.
    pub fn centre_of_mass(&self, object: &Object, hidden: &Hidden) -> Vector {
        self.centre + hidden.centre_of_mass * object.half
    }

    /// Of a body of this mass in kg about its centre of mass, in kg m²: that of one density, wherever the centre of mass lies.
    pub fn inertia(&self, mass: f64) -> Matrix {
        mass * self.inertia
    }
}

/// Parts may overlap; what lies in two counts twice, as it does for the centre.
fn inertia(parts: &[SharedShape], centre: Vector) -> Matrix {
    let (mut all, mut mass) = (Matrix::ZERO, 0.0);
    for part in parts {
        let own = part.mass_properties(1.0);
        let to = own.local_com - centre;
        let outer = Matrix::from_cols(to * to.x, to * to.y, to * to.z);
        let steiner = (Matrix::from_diagonal(Vector::splat(to.length_squared())) - outer) * own.mass();
        all += own.reconstruct_inertia_matrix() + steiner;
        mass += own.mass();
    }
    all * (1.0 / mass)
}
