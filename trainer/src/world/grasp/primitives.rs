//! Meshes of simple bodies, each about the origin.

use std::f64::consts::{FRAC_PI_2, PI, TAU};

use parry3d_f64::math::Vector;

use super::mesh::{Mesh, MeshError};

/// A box with these edges, in m.
///
/// # Errors
/// If it has no volume.
pub fn cuboid(edges: Vector) -> Result<Mesh, MeshError> {
    let corner = |i: u32| 0.5 * edges * Vector::new(sign(i & 1), sign(i & 2), sign(i & 4));
    let vertices: Vec<Vector> = (0..8).map(corner).collect();
    let quads: [[u32; 4]; 6] = [[0, 4, 6, 2], [1, 3, 7, 5], [0, 1, 5, 4], [2, 6, 7, 3], [0, 2, 3, 1], [4, 5, 7, 6]];
    let triangles: Vec<[u32; 3]> = quads.iter().flat_map(|&[a, b, c, d]| [[a, b, c], [a, c, d]]).collect();
    Mesh::new(&vertices, &triangles)
}

fn sign(bit: u32) -> f64 {
    if bit == 0 { -1.0 } else { 1.0 }
}

/// The body that turns about z, with `sections` sides: `profile` gives (radius, height) from below to above, in m; where the radius of
/// an end is not zero, the end is closed.
///
/// # Errors
/// If it has no surface.
pub fn turned(profile: &[[f64; 2]], sections: u32) -> Result<Mesh, MeshError> {
    let mut vertices = Vec::new();
    for [radius, height] in profile {
        vertices.extend((0..sections).map(|i| {
            let (sine, cosine) = (TAU * f64::from(i) / f64::from(sections)).sin_cos();
            Vector::new(radius * cosine, radius * sine, *height)
        }));
    }
    let mut triangles = Vec::new();
    for ring in 0..profile.len().saturating_sub(1) as u32 {
        for i in 0..sections {
            let next = (i + 1) % sections;
            let [a, b] = [i, next].map(|i| ring * sections + i);
            triangles.extend([[a, b, b + sections], [a, b + sections, a + sections]]);
        }
    }
    let ends = profile.first().into_iter().chain(profile.last()).zip([0, profile.len().saturating_sub(1) as u32]);
    for (place, ([_, height], ring)) in ends.enumerate() {
        let centre = vertices.len() as u32;
        vertices.push(Vector::new(0.0, 0.0, *height));
        triangles.extend((0..sections).map(|i| {
            let [a, b] = [i, (i + 1) % sections].map(|i| ring * sections + i);
            if place == 0 { [centre, b, a] } else { [centre, a, b] }
        }));
    }
    Mesh::new(&vertices, &triangles)
}

/// A cylinder along z.
///
/// # Errors
/// If it has no volume.
pub fn cylinder(radius: f64, height: f64, sections: u32) -> Result<Mesh, MeshError> {
    turned(&[[radius, -0.5 * height], [radius, 0.5 * height]], sections)
}

/// A cylinder of this length along z with half a ball at each end.
///
/// # Errors
/// If it has no volume.
pub fn capsule(radius: f64, length: f64, sections: u32) -> Result<Mesh, MeshError> {
    const RINGS: u32 = 5;
    let ball = |ring: u32, end: f64| {
        let angle = FRAC_PI_2 * f64::from(ring) / f64::from(RINGS);
        [radius * angle.sin(), end * (0.5 * length + radius * angle.cos())]
    };
    let below = (0..=RINGS).map(|ring| ball(ring, -1.0));
    let profile: Vec<[f64; 2]> = below.chain((0..=RINGS).rev().map(|ring| ball(ring, 1.0))).collect();
    turned(&profile, sections)
}

/// A superquadric (Barr 1981) with these half extents in m, and exponents north–south and east–west: below 1 towards a box, 1 an
/// ellipsoid, above towards an octahedron.
///
/// # Errors
/// If it has no volume.
pub fn superquadric(half: Vector, exponents: [f64; 2], sections: u32) -> Result<Mesh, MeshError> {
    let power = |value: f64, exponent: f64| value.signum() * value.abs().powf(exponent);
    let rings = sections / 2;
    let (mut vertices, mut triangles) = (Vec::new(), Vec::new());
    for ring in 1..rings {
        let (height, radius) = (PI * f64::from(ring) / f64::from(rings) - FRAC_PI_2).sin_cos();
        let (height, radius) = (power(height, exponents[0]), power(radius, exponents[0]));
        for i in 0..sections {
            let (sine, cosine) = (TAU * f64::from(i) / f64::from(sections) - PI).sin_cos();
            let [x, y] = [cosine, sine].map(|value| radius * power(value, exponents[1]));
            vertices.push(half * Vector::new(x, y, height));
        }
    }
    for ring in 0..rings.saturating_sub(2) {
        for i in 0..sections {
            let [a, b] = [i, (i + 1) % sections].map(|i| ring * sections + i);
            triangles.extend([[a, b, b + sections], [a, b + sections, a + sections]]);
        }
    }
    let (below, last) = (vertices.len() as u32, rings.saturating_sub(2) * sections);
    vertices.extend([Vector::new(0.0, 0.0, -half.z), Vector::new(0.0, 0.0, half.z)]);
    for i in 0..sections {
        let next = (i + 1) % sections;
        triangles.extend([[below, next, i], [below + 1, last + i, last + next]]);
    }
    Mesh::new(&vertices, &triangles)
}

/// A ring about z, of a round bar: a handle where it is half of one, between the angles `from` and `to` (rad). The ends are closed.
///
/// # Errors
/// If it has no volume.
pub fn bow(radius: f64, bar: f64, [from, to]: [f64; 2], sections: u32) -> Result<Mesh, MeshError> {
    const SIDES: u32 = 8;
    let (mut vertices, mut triangles) = (Vec::new(), Vec::new());
    for i in 0..=sections {
        let (sine, cosine) = (from + (to - from) * f64::from(i) / f64::from(sections)).sin_cos();
        vertices.extend((0..SIDES).map(|side| {
            let (up, out) = (TAU * f64::from(side) / f64::from(SIDES)).sin_cos();
            let reach = radius + bar * out;
            Vector::new(reach * cosine, reach * sine, bar * up)
        }));
    }
    for i in 0..sections {
        for side in 0..SIDES {
            let [a, b] = [side, (side + 1) % SIDES].map(|side| i * SIDES + side);
            triangles.extend([[a, a + SIDES, b + SIDES], [a, b + SIDES, b]]);
        }
    }
    let last = sections * SIDES;
    triangles.extend((1..SIDES - 1).flat_map(|side| [[0, side, side + 1], [last, last + side + 1, last + side]]));
    Mesh::new(&vertices, &triangles)
}
