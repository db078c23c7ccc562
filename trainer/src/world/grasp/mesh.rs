//! Surfaces of objects as triangles, in metres.

use std::collections::BTreeMap;

use parry3d_f64::mass_properties::MassProperties;
use parry3d_f64::math::Vector;
use parry3d_f64::transformation::try_convex_hull;

/// Points nearer than this are one vertex, in m.
const SAME_POINT: f64 = 1e-7;
/// Triangles with less area than this are left out, in m².
const SMALLEST_AREA: f64 = 1e-12;

/// Bodies with less volume than this are flat, in m³: a cube of 0.1 mm.
const SMALLEST_VOLUME: f64 = 1e-12;

/// Why triangles are no surface of an object.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum MeshError {
    /// Nothing of it has an area.
    #[error("expected triangles with an area, found none")]
    Empty,
    /// A coordinate is not a number.
    #[error("vertex {vertex}: expected finite coordinates in metres, found {found:?}")]
    NotFinite {
        /// The vertex.
        vertex: usize,
        /// Its coordinates.
        found: [f64; 3],
    },
    /// A triangle names a vertex that is not there.
    #[error("triangle {triangle}: expected vertices below {vertices}, found {found:?}")]
    NoVertex {
        /// The triangle.
        triangle: usize,
        /// Vertices of the mesh.
        vertices: usize,
        /// Its corners.
        found: [u32; 3],
    },
    /// No convex hull can be put around it.
    #[error("expected a solid body, found points in a plane or on a line")]
    Flat,
}

/// The surface of an object: closed, with the corners of each triangle counter-clockwise from outside. It may be the union of closed
/// parts that overlap.
#[derive(Clone, Debug, PartialEq)]
pub struct Mesh {
    vertices: Vec<Vector>,
    triangles: Vec<[u32; 3]>,
    /// Where the triangles of each part end.
    ends: Vec<usize>,
}

impl Mesh {
    /// A mesh of `vertices` in m and `triangles` of them. Vertices at the same place become one.
    ///
    /// # Errors
    /// If a coordinate is not finite, a triangle names no vertex, or nothing has an area.
    pub fn new(vertices: &[Vector], triangles: &[[u32; 3]]) -> Result<Self, MeshError> {
        Self::of_parts(vertices, triangles, &[triangles.len()])
    }

    /// As [`Mesh::new`], of several closed parts: `ends` says where the triangles of each end. A vertex may be of several.
    ///
    /// # Errors
    /// As [`Mesh::new`].
    pub fn of_parts(vertices: &[Vector], triangles: &[[u32; 3]], ends: &[usize]) -> Result<Self, MeshError> {
        if let Some((vertex, found)) = vertices.iter().enumerate().find(|(_, vertex)| !vertex.is_finite()) {
            return Err(MeshError::NotFinite { vertex, found: found.to_array() });
        }
        let (mut places, mut unique, mut names) = (BTreeMap::new(), Vec::new(), Vec::with_capacity(vertices.len()));
        for vertex in vertices {
            let place = vertex.to_array().map(|value| (value / SAME_POINT).round() as i64);
            names.push(*places.entry(place).or_insert_with(|| {
                unique.push(*vertex);
                unique.len() as u32 - 1
            }));
        }
        let mut kept = Vec::with_capacity(triangles.len());
        let (mut kept_ends, mut next) = (Vec::with_capacity(ends.len()), ends.iter().copied().peekable());
        for (triangle, corners) in triangles.iter().enumerate() {
            while next.next_if(|end| *end <= triangle).is_some() {
                kept_ends.push(kept.len());
            }
            let named = corners.map(|corner| names.get(corner as usize).copied());
            let [Some(a), Some(b), Some(c)] = named else {
                return Err(MeshError::NoVertex { triangle, vertices: vertices.len(), found: *corners });
            };
            let [p, q, r] = [a, b, c].map(|corner| unique[corner as usize]);
            if 0.5 * (q - p).cross(r - p).length() > SMALLEST_AREA {
                kept.push([a, b, c]);
            }
        }
        if kept.is_empty() {
            return Err(MeshError::Empty);
        }
        kept_ends.push(kept.len());
        // Parts of which nothing has an area are none.
        kept_ends.dedup();
        kept_ends.retain(|end| *end > 0);
        Ok(Self { vertices: unique, triangles: kept, ends: kept_ends })
    }

    /// The vertices, in m.
    pub fn vertices(&self) -> &[Vector] {
        &self.vertices
    }

    /// The corners of each triangle, as numbers of vertices.
    pub fn triangles(&self) -> &[[u32; 3]] {
        &self.triangles
    }

    /// The corners of a triangle, in m.
    pub fn corners(&self, triangle: [u32; 3]) -> [Vector; 3] {
        triangle.map(|corner| self.vertices[corner as usize])
    }

    /// The same, moved by `by`.
    #[must_use]
    pub fn moved(mut self, by: Vector) -> Self {
        self.vertices.iter_mut().for_each(|vertex| *vertex += by);
        self
    }

    /// Both, as one object. What lies in both counts twice in [`Mesh::centre_of_mass`].
    #[must_use]
    pub fn with(mut self, other: &Self) -> Self {
        let offset = self.vertices.len() as u32;
        let before = self.triangles.len();
        self.ends.extend(other.ends.iter().map(|end| before + end));
        self.vertices.extend_from_slice(&other.vertices);
        self.triangles.extend(other.triangles.iter().map(|corners| corners.map(|corner| corner + offset)));
        self
    }

    /// Its parts, each as a mesh of its own.
    pub fn parts(&self) -> Vec<Self> {
        let (mut parts, mut start) = (Vec::with_capacity(self.ends.len()), 0);
        for &end in &self.ends {
            let mut names = BTreeMap::new();
            let mut part =
                Self { vertices: Vec::new(), triangles: Vec::with_capacity(end - start), ends: vec![end - start] };
            for corners in &self.triangles[start..end] {
                let renamed = corners.map(|corner| {
                    *names.entry(corner).or_insert_with(|| {
                        part.vertices.push(self.vertices[corner as usize]);
                        part.vertices.len() as u32 - 1
                    })
                });
                part.triangles.push(renamed);
            }
            parts.push(part);
            start = end;
        }
        parts
    }

    /// The smallest and the largest coordinates, in m.
    pub fn bounds(&self) -> [Vector; 2] {
        let start = [Vector::INFINITY, Vector::NEG_INFINITY];
        self.vertices.iter().fold(start, |[low, high], vertex| [low.min(*vertex), high.max(*vertex)])
    }

    /// The convex hull.
    ///
    /// # Errors
    /// If all points lie in a plane.
    pub fn hull(&self) -> Result<Self, MeshError> {
        let (vertices, triangles) = try_convex_hull(&self.vertices).map_err(|_| MeshError::Flat)?;
        let hull = Self::new(&vertices, &triangles)?;
        if hull.volume() > SMALLEST_VOLUME { Ok(hull) } else { Err(MeshError::Flat) }
    }

    /// The centre of mass of a body of one density, in m. Of a surface that is not closed it is that of the hull.
    ///
    /// # Errors
    /// If all points lie in a plane.
    pub fn centre_of_mass(&self) -> Result<Vector, MeshError> {
        let centre = |mesh: &Self| {
            let [low, high] = mesh.bounds();
            let properties = MassProperties::from_trimesh(1.0, &mesh.vertices, &mesh.triangles);
            let inside = |centre: Vector| centre.cmpge(low).all() && centre.cmple(high).all();
            Some(properties.local_com).filter(|centre| mesh.volume() > 0.0 && inside(*centre))
        };
        let found = match centre(self) {
            Some(found) => Some(found),
            None => centre(&self.hull()?),
        };
        found.ok_or(MeshError::Flat)
    }

    /// The volume of a closed surface, in m³; negative if it is inside out.
    pub fn volume(&self) -> f64 {
        let of = |corners: &[u32; 3]| {
            let [a, b, c] = self.corners(*corners);
            a.dot(b.cross(c)) / 6.0
        };
        self.triangles.iter().map(of).sum()
    }

    /// A unit normal outward for each corner of each triangle: the mean, by area, over the triangles that meet there at an angle of
    /// less than `crease` (in rad), so that curved surfaces are smooth and edges stay sharp.
    pub fn corner_normals(&self, crease: f64) -> Vec<[Vector; 3]> {
        let area = |corners: &[u32; 3]| {
            let [a, b, c] = self.corners(*corners);
            (b - a).cross(c - a)
        };
        let areas: Vec<Vector> = self.triangles.iter().map(area).collect();
        let mut meeting = vec![Vec::new(); self.vertices.len()];
        for (triangle, corners) in self.triangles.iter().enumerate() {
            corners.iter().for_each(|corner| meeting[*corner as usize].push(triangle));
        }
        let least = crease.cos();
        let normal = |own: usize, corner: u32| {
            let unit = areas[own].normalize();
            let near = meeting[corner as usize].iter().filter(|other| areas[**other].normalize().dot(unit) > least);
            near.fold(Vector::ZERO, |sum, other| sum + areas[*other]).try_normalize().unwrap_or(unit)
        };
        let triangles = self.triangles.iter().enumerate();
        triangles.map(|(own, corners)| corners.map(|corner| normal(own, corner))).collect()
    }
}
