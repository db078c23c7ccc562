//! The surface of an object where it lies: what a line meets, and where points of it are.

use parry3d_f64::math::{Matrix, Vector};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::mesh::Mesh;

/// Triangles that meet at less than this angle are parts of one curved face.
const CREASE: f64 = 40.0;

/// Where a line goes through a surface.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Hit {
    /// Along the line, in m.
    pub distance: f64,
    /// The unit normal outward there, interpolated between the corners of the triangle.
    pub normal: Vector,
}

#[derive(Clone, Copy, Debug)]
struct Triangle {
    centre: Vector,
    radius_squared: f64,
    corner: Vector,
    edges: [Vector; 2],
}

/// Triangles in the frame of the table.
#[derive(Clone, Debug)]
pub struct Surface {
    triangles: Vec<Triangle>,
    normals: Vec<[Vector; 3]>,
    /// Area of this and all triangles before, in m².
    areas: Vec<f64>,
}

impl Surface {
    /// The surface of `mesh`, turned by `rotation` and then moved by `translation`.
    pub fn new(mesh: &Mesh, rotation: Matrix, translation: Vector) -> Self {
        let place = |vertex: Vector| rotation * vertex + translation;
        let (mut triangles, mut areas, mut all) = (Vec::new(), Vec::new(), 0.0);
        for corners in mesh.triangles() {
            let corners = mesh.corners(*corners).map(place);
            let centre = (corners[0] + corners[1] + corners[2]) / 3.0;
            let edges = [corners[1] - corners[0], corners[2] - corners[0]];
            let radius_squared = corners.iter().map(|corner| corner.distance_squared(centre)).fold(0.0, f64::max);
            all += 0.5 * edges[0].cross(edges[1]).length();
            // A little more, so that a line along an edge misses neither side of it.
            triangles.push(Triangle { centre, radius_squared: 1.0001 * radius_squared, corner: corners[0], edges });
            areas.push(all);
        }
        let turned = |normals: [Vector; 3]| normals.map(|normal| rotation * normal);
        let normals = mesh.corner_normals(CREASE.to_radians()).into_iter().map(turned).collect();
        Self { triangles, normals, areas }
    }

    /// How many triangles there are.
    pub fn len(&self) -> usize {
        self.triangles.len()
    }

    /// Whether there are none; a mesh has some.
    pub fn is_empty(&self) -> bool {
        self.triangles.is_empty()
    }

    /// The first and the last place where the line through `point` along the unit vector `direction` meets the surface; none where it
    /// misses. Triangles by Möller and Trumbore (1997).
    pub fn line(&self, point: Vector, direction: Vector) -> Option<[Hit; 2]> {
        const SLACK: f64 = 1e-6;
        // Distance, triangle and place in it, of both ends.
        let (mut first, mut last) = ((f64::INFINITY, 0, 0.0, 0.0), (f64::NEG_INFINITY, 0, 0.0, 0.0));
        for (number, triangle) in self.triangles.iter().enumerate() {
            let to = triangle.centre - point;
            let along = to.dot(direction);
            if to.length_squared() - along * along > triangle.radius_squared {
                continue;
            }
            let [one, two] = triangle.edges;
            let across = direction.cross(two);
            let determinant = one.dot(across);
            if determinant.abs() < 1e-14 {
                continue;
            }
            let from = point - triangle.corner;
            let u = from.dot(across) / determinant;
            let other = from.cross(one);
            let v = direction.dot(other) / determinant;
            if u < -SLACK || v < -SLACK || u + v > 1.0 + SLACK {
                continue;
            }
            let distance = two.dot(other) / determinant;
            if distance < first.0 {
                first = (distance, number, u, v);
            }
            if distance > last.0 {
                last = (distance, number, u, v);
            }
        }
        let hit =
            |(distance, number, u, v): (f64, usize, f64, f64)| Hit { distance, normal: self.normal(number, u, v) };
        first.0.is_finite().then(|| [hit(first), hit(last)])
    }

    fn normal(&self, triangle: usize, u: f64, v: f64) -> Vector {
        let [a, b, c] = self.normals[triangle];
        (a * (1.0 - u - v) + b * u + c * v).normalize_or_zero()
    }

    /// A point of the surface, uniform by area, and the normal outward there.
    pub fn sample(&self, rng: &mut ChaCha8Rng) -> (Vector, Vector) {
        let all = self.areas.last().copied().unwrap_or(0.0);
        let at = all * rng.random::<f64>();
        let number = self.areas.partition_point(|area| *area <= at).min(self.areas.len() - 1);
        let [mut u, mut v]: [f64; 2] = [rng.random(), rng.random()];
        if u + v > 1.0 {
            [u, v] = [1.0 - u, 1.0 - v];
        }
        let Triangle { corner, edges: [one, two], .. } = self.triangles[number];
        (corner + u * one + v * two, self.normal(number, u, v))
    }
}
