//! How a body comes to rest on a table.

use parry3d_f64::math::{Matrix, Vector};

use super::mesh::{Mesh, MeshError};

/// A way in which a body rests.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pose {
    /// Turns the body's own frame into that of the table, z up.
    pub rotation: Matrix,
    /// How likely it is among all.
    pub probability: f64,
}

/// Poses less likely than this are left out, unless all are.
const LEAST: f64 = 0.03;
/// Faces with normals nearer than this (1 − cosine) are one.
const SAME_NORMAL: f64 = 1e-6;

/// The stable poses of a body with this centre of mass, most likely first; probabilities sum to 1.
///
/// The quasi-static model of Goldberg et al. (1999), "Part pose statistics: estimators and experiments": a body dropped in a random
/// orientation lands on a face of its hull with the probability of the solid angle of that face, seen from the centre of mass, and
/// topples over the edge beyond which the centre of mass lies until it stands above the face on which it rests.
///
/// # Errors
/// If all points lie in a plane.
pub fn stable_poses(mesh: &Mesh, centre: Vector) -> Result<Vec<Pose>, MeshError> {
    let hull = mesh.hull()?;
    let faces: Vec<Face> = hull.triangles().iter().map(|corners| Face::new(&hull, *corners, centre)).collect();
    let mut neighbours = std::collections::BTreeMap::new();
    for (face, [a, b, c]) in hull.triangles().iter().enumerate() {
        [[a, b], [b, c], [c, a]].into_iter().for_each(|edge| {
            neighbours.insert(edge, face);
        });
    }
    let rest = |start: usize| {
        let mut face = start;
        // Toppling lowers the centre of mass, so no face comes twice; among faces in one plane rounding might.
        for _ in 0..faces.len() {
            let Some(edge) = faces[face].overhang else { break };
            let [a, b] = [hull.triangles()[face][edge], hull.triangles()[face][(edge + 1) % 3]];
            let Some(&next) = neighbours.get(&[&b, &a]) else { break };
            face = next;
        }
        face
    };
    let mut found: Vec<(Vector, f64)> = Vec::new();
    for (start, face) in faces.iter().enumerate() {
        let normal = faces[rest(start)].normal;
        match found.iter_mut().find(|(other, _)| 1.0 - other.dot(normal) < SAME_NORMAL) {
            Some((_, share)) => *share += face.solid_angle,
            None => found.push((normal, face.solid_angle)),
        }
    }
    let all: f64 = found.iter().map(|(_, share)| share).sum();
    let likely = |(_, share): &(Vector, f64)| *share >= LEAST * all;
    if found.iter().any(likely) {
        found.retain(likely);
    }
    let all: f64 = found.iter().map(|(_, share)| share).sum();
    let mut poses: Vec<Pose> = found
        .into_iter()
        .map(|(normal, share)| Pose { rotation: downward(normal), probability: share / all })
        .collect();
    // The order of equal ones is that of the hull, which is reproducible.
    poses.sort_by(|a, b| b.probability.total_cmp(&a.probability));
    Ok(poses)
}

struct Face {
    normal: Vector,
    /// The first corner of the edge over which the body topples from here; none where it rests.
    overhang: Option<usize>,
    /// In sr.
    solid_angle: f64,
}

impl Face {
    fn new(hull: &Mesh, triangle: [u32; 3], centre: Vector) -> Self {
        let corners = hull.corners(triangle).map(|corner| corner - centre);
        let [a, b, c] = corners;
        let normal = (b - a).cross(c - a).normalize();
        let outside = |edge: usize| {
            let [from, to] = [corners[edge], corners[(edge + 1) % 3]];
            // How far the foot of the centre of mass lies beyond this edge.
            (to - from).cross(normal).normalize().dot(-from)
        };
        let worst = (0..3).max_by(|i, j| outside(*i).total_cmp(&outside(*j)));
        // Van Oosterom and Strackee (1983), equation 8.
        let [x, y, z] = corners.map(Vector::length);
        let below = x * y * z + a.dot(b) * z + b.dot(c) * x + c.dot(a) * y;
        Self {
            normal,
            overhang: worst.filter(|edge| outside(*edge) > 1e-9),
            solid_angle: 2.0 * a.dot(b.cross(c)).atan2(below).abs(),
        }
    }
}

/// The rotation that turns `normal` down, about the axis across both.
fn downward(normal: Vector) -> Matrix {
    Matrix::from_quat(parry3d_f64::math::Rotation::from_rotation_arc(normal, -Vector::Z))
}
