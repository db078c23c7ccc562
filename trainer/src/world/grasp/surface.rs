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

/// Triangles that are looked at together.
const GROUP: usize = 8;

/// A ball around something, with a little more than its radius, so that a line along an edge misses neither side of it.
#[derive(Clone, Copy, Debug)]
struct Ball {
    centre: Vector,
    radius: f64,
}

impl Ball {
    fn around(points: &[Vector]) -> Self {
        let centre = points.iter().fold(Vector::ZERO, |sum, point| sum + *point) / points.len() as f64;
        let radius_squared = points.iter().map(|point| point.distance_squared(centre)).fold(0.0, f64::max);
        Self { centre, radius: 1.0001 * radius_squared.sqrt() }
    }

    /// Whether all that is within `around` (m) of the line through `point` along the unit vector `direction` misses it.
    fn misses(&self, point: Vector, direction: Vector, around: f64) -> bool {
        let to = self.centre - point;
        let along = to.dot(direction);
        let reach = self.radius + around;
        to.length_squared() - along * along > reach * reach
    }
}

#[derive(Clone, Copy, Debug)]
struct Triangle {
    ball: Ball,
    corner: Vector,
    edges: [Vector; 2],
}

/// Triangles in the frame of the table.
#[derive(Clone, Debug)]
pub struct Surface {
    /// Near ones beside each other.
    triangles: Vec<Triangle>,
    /// A ball around each [`GROUP`] of them.
    groups: Vec<Ball>,
    normals: Vec<[Vector; 3]>,
    /// Area of this and all triangles before, in m².
    areas: Vec<f64>,
}

impl Surface {
    /// The surface of `mesh`, turned by `rotation` and then moved by `translation`.
    pub fn new(mesh: &Mesh, rotation: Matrix, translation: Vector) -> Self {
        let place = |vertex: Vector| rotation * vertex + translation;
        let normals = mesh.corner_normals(CREASE.to_radians());
        let mut sorted: Vec<_> = mesh.triangles().iter().map(|corners| mesh.corners(*corners)).zip(normals).collect();
        let [low, high] = mesh.bounds();
        sorted.sort_by_cached_key(|([a, b, c], _)| along_a_curve(((*a + *b + *c) / 3.0 - low) / (high - low)));
        let (mut triangles, mut areas, mut all) = (Vec::new(), Vec::new(), 0.0);
        let mut groups = Vec::new();
        for group in sorted.chunks(GROUP) {
            let corners: Vec<Vector> = group.iter().flat_map(|(corners, _)| corners.map(place)).collect();
            groups.push(Ball::around(&corners));
            for corners in corners.as_chunks::<3>().0 {
                let edges = [corners[1] - corners[0], corners[2] - corners[0]];
                all += 0.5 * edges[0].cross(edges[1]).length();
                triangles.push(Triangle { ball: Ball::around(corners), corner: corners[0], edges });
                areas.push(all);
            }
        }
        let turned = |normals: [Vector; 3]| normals.map(|normal| rotation * normal);
        let normals = sorted.into_iter().map(|(_, normals)| turned(normals)).collect();
        Self { triangles, groups, normals, areas }
    }

    /// Turns it about the origin.
    pub(super) fn turn(&mut self, turn: Matrix) {
        self.groups.iter_mut().for_each(|group| group.centre = turn * group.centre);
        for triangle in &mut self.triangles {
            triangle.ball.centre = turn * triangle.ball.centre;
            triangle.corner = turn * triangle.corner;
            triangle.edges = triangle.edges.map(|edge| turn * edge);
        }
        self.normals.iter_mut().for_each(|normals| *normals = normals.map(|normal| turn * normal));
    }

    /// The corners of each triangle, in m, and the unit normals outward there.
    pub fn triangles(&self) -> impl Iterator<Item = ([Vector; 3], [Vector; 3])> + '_ {
        let corners = |one: &Triangle| [one.corner, one.corner + one.edges[0], one.corner + one.edges[1]];
        self.triangles.iter().map(corners).zip(self.normals.iter().copied())
    }

    /// The first and the last place where the line through `point` along the unit vector `direction` meets the surface; none where it
    /// misses.
    pub fn line(&self, point: Vector, direction: Vector) -> Option<[Hit; 2]> {
        self.lines(point, direction, &[Vector::ZERO])[0]
    }

    /// The same for parallel lines, through `point` and each of these offsets from it. Triangles by Möller and Trumbore (1997), of
    /// whose solution all is linear in where the line begins.
    pub fn lines<const N: usize>(
        &self,
        point: Vector,
        direction: Vector,
        offsets: &[Vector; N],
    ) -> [Option<[Hit; 2]>; N] {
        const SLACK: f64 = 1e-6;
        // Distance, triangle and place in it, of both ends.
        let mut ends = [[(f64::INFINITY, 0, 0.0, 0.0), (f64::NEG_INFINITY, 0, 0.0, 0.0)]; N];
        let around = offsets.iter().map(|offset| offset.length()).fold(0.0, f64::max);
        let groups = self.groups.iter().zip(self.triangles.chunks(GROUP)).enumerate();
        let near = groups.filter(|(_, (ball, _))| !ball.misses(point, direction, around));
        let triangles = near.flat_map(|(group, (_, triangles))| (GROUP * group..).zip(triangles));
        for (number, triangle) in triangles {
            if triangle.ball.misses(point, direction, around) {
                continue;
            }
            let [one, two] = triangle.edges;
            let across = direction.cross(two);
            let determinant = one.dot(across);
            if determinant.abs() < 1e-14 {
                continue;
            }
            let inverse = 1.0 / determinant;
            let (of_u, of_v) = (inverse * across, inverse * one.cross(direction));
            let of_distance = inverse * one.cross(two);
            let from = point - triangle.corner;
            let [u, v, distance] = [of_u, of_v, of_distance].map(|linear| linear.dot(from));
            for ([first, last], offset) in ends.iter_mut().zip(offsets) {
                let (u, v) = (u + of_u.dot(*offset), v + of_v.dot(*offset));
                if u < -SLACK || v < -SLACK || u + v > 1.0 + SLACK {
                    continue;
                }
                let distance = distance + of_distance.dot(*offset);
                if distance < first.0 {
                    *first = (distance, number, u, v);
                }
                if distance > last.0 {
                    *last = (distance, number, u, v);
                }
            }
        }
        let hit =
            |(distance, number, u, v): (f64, usize, f64, f64)| Hit { distance, normal: self.normal(number, u, v) };
        ends.map(|ends| ends[0].0.is_finite().then(|| ends.map(hit)))
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

    /// `count` points along the edges of triangles, evenly by length. Long edges of few triangles are those at which flat faces meet.
    pub fn along_edges(&self, count: usize) -> impl Iterator<Item = Vector> + '_ {
        let edges = || {
            self.triangles.iter().flat_map(|triangle| {
                let [one, two] = triangle.edges;
                [(triangle.corner, one), (triangle.corner, two), (triangle.corner + one, two - one)]
            })
        };
        let step = edges().map(|(_, edge)| edge.length()).sum::<f64>() / count as f64;
        let mut walked = 0.0;
        edges().flat_map(move |(from, edge)| {
            let (length, before) = (edge.length(), walked);
            walked += length;
            let next = (before / step).ceil() as usize..(walked / step).ceil() as usize;
            next.map(move |number| from + edge * ((number as f64 * step - before) / length).min(1.0))
        })
    }
}

/// The place of a point of the unit cube on a curve that keeps near what is near (Morton 1966).
fn along_a_curve(point: Vector) -> u32 {
    // A flat side leaves 0 / 0, which becomes 0.
    let axes = point.to_array().map(|value| (value * 1023.0) as u32);
    let bit = |place: u32| {
        axes.iter().enumerate().map(|(axis, value)| (value >> place & 1) << axis).sum::<u32>() << (3 * place)
    };
    (0..10).map(bit).sum()
}
