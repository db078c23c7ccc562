//! Where two soft pads touch an object.
//!
//! A pad is a bed of springs (a Winkler foundation; Johnson, *Contact Mechanics*, 1985, section 4.3) that closes on what sticks out
//! farthest: [`SPRINGS`] lines through the pad say how far the surface is from it, and the springs share the force by how deep they are
//! pressed in. A contact is then the middle of that pressure, with the mean normal there; how much torsion it resists follows from how far
//! from that middle the pressure lies. On a flat face all springs press alike, which is the disc of the soft finger model.

use parry3d_f64::math::Vector;

use super::gripper::{Grasp, PATCH, SMALLEST_WIDTH, STROKE};
use super::object::Object;
use super::surface::Hit;

/// Springs of a pad: one in the middle, the others around it.
pub const SPRINGS: usize = 7;
/// How far those are from the middle, in m.
const RING: f64 = 0.007;
/// Stiffness of a pad pressed flat, in N/m: silicone of 1 MPa, 5 mm thick, over the patch.
pub const STIFFNESS: f64 = 6.0e4;
/// How far a pad can be pressed in, in m, before its back touches.
pub const DEPTH: f64 = 0.003;

/// One pad on the object.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Contact {
    /// The middle of the pressure, in m.
    pub at: Vector,
    /// The unit normal of the object there, outward.
    pub normal: Vector,
    /// Torsion resisted for each newton of friction, in m: ⅔ of the patch's radius on a flat face.
    pub torsion_arm: f64,
}

/// What two pads that close find.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Closed {
    /// Nothing.
    Nothing,
    /// More than the open jaws have room for.
    TooWide,
    /// Less than they can hold.
    TooThin,
    /// The object.
    On(Grip),
}

/// Two pads on the object.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Grip {
    /// The contacts of the pad at the back and at the front of the closing direction.
    pub contacts: [Contact; 2],
    /// Between the pads, unpressed, in m.
    pub width: f64,
    /// The middle between them, in m.
    pub middle: Vector,
}

/// Closes the pads of `grasp` on `object`, each with `force` (N).
pub fn close(object: &Object, grasp: &Grasp, force: f64) -> Closed {
    let (axis, side) = (grasp.axis, grasp.side());
    let offsets: [Vector; SPRINGS] = places().map(|[along, across]| along * grasp.approach + across * side);
    let hits = object.surface.lines(grasp.centre, axis, &offsets);
    let mut reach = [f64::INFINITY, f64::NEG_INFINITY];
    for [first, last] in hits.iter().flatten() {
        reach = [reach[0].min(first.distance), reach[1].max(last.distance)];
    }
    let [least, most] = reach;
    if least > most {
        return Closed::Nothing;
    }
    if most > 0.5 * STROKE || least < -0.5 * STROKE {
        return Closed::TooWide;
    }
    if most - least < SMALLEST_WIDTH {
        return Closed::TooThin;
    }
    let contact = |end: usize, outermost: f64| {
        let gaps = hits.map(|hits| hits.map_or(f64::INFINITY, |hits| (hits[end].distance - outermost).abs()));
        let shares = shares(gaps, force);
        let touched = || {
            shares
                .iter()
                .zip(&offsets)
                .zip(&hits)
                .filter_map(|((share, offset), hits)| hits.as_ref().map(|hits| (*share, *offset, hits[end])))
        };
        let sum = |of: &dyn Fn(Vector, Hit) -> Vector| -> Vector {
            touched().fold(Vector::ZERO, |sum, (share, offset, hit)| sum + share * of(offset, hit))
        };
        let middle = sum(&|offset, _| offset);
        let depth = touched().map(|(share, _, hit)| share * hit.distance).sum::<f64>();
        let normal = sum(&|_, hit| hit.normal).normalize_or_zero();
        let arm: f64 = touched().map(|(share, offset, _)| share * (offset - middle).length()).sum();
        Contact { at: grasp.centre + middle + depth * axis, normal, torsion_arm: arm.hypot(own_arm()) }
    };
    let middle = grasp.centre + 0.5 * (least + most) * axis;
    Closed::On(Grip { contacts: [contact(0, least), contact(1, most)], width: most - least, middle })
}

/// Places of the springs, along the approach and across, in m.
fn places() -> [[f64; 2]; SPRINGS] {
    const HALF: f64 = 0.5 * RING;
    const HIGH: f64 = 0.866_025_403_784_438_6 * RING;
    [[0.0, 0.0], [RING, 0.0], [HALF, HIGH], [-HALF, HIGH], [-RING, 0.0], [-HALF, -HIGH], [HALF, -HIGH]]
}

/// The torsion that one spring resists about its own middle, so that all together resist what a disc does.
fn own_arm() -> f64 {
    let (disc, ring) = (2.0 / 3.0 * PATCH, (SPRINGS - 1) as f64 / SPRINGS as f64 * RING);
    (disc * disc - ring * ring).sqrt()
}

/// The share of the force that each spring bears, which are `gaps` (m) behind the one that touches first. They are pressed in until
/// they bear it all, or the back of the pad touches.
fn shares(gaps: [f64; SPRINGS], force: f64) -> [f64; SPRINGS] {
    let mut sorted = gaps;
    sorted.sort_unstable_by(f64::total_cmp);
    let alone = force * SPRINGS as f64 / STIFFNESS;
    let (mut sum, mut depth) = (0.0, DEPTH);
    for (bearing, gap) in sorted.iter().enumerate() {
        if *gap >= depth {
            break;
        }
        sum += gap;
        depth = DEPTH.min((alone + sum) / (bearing + 1) as f64);
    }
    let pressed = gaps.map(|gap| (depth - gap).max(0.0));
    let all: f64 = pressed.iter().sum();
    pressed.map(|one| one / all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn springs_share_a_force_by_how_deep_they_are_pressed() {
        let none = f64::INFINITY;
        let even = shares([0.0; SPRINGS], 42.0);
        assert!(even.iter().all(|share| (share - 1.0 / 7.0).abs() <= 1e-12), "{even:?}");
        // Two springs, the second 1 mm behind: k (2 δ − 1 mm) = 12 N with k = 6e4 / 7 N/m.
        let two = shares([0.0, 1e-3, none, none, none, none, none], 12.0);
        let depth = 0.5 * (12.0 * 7.0 / 6e4 + 1e-3);
        assert!((two[0] - depth / (2.0 * depth - 1e-3)).abs() <= 1e-12, "{two:?}");
        // One spring that is too weak: the back of the pad stops it where another one just does not touch.
        let stopped = shares([0.0, 3e-3, none, none, none, none, none], 60.0);
        assert_eq!(stopped[..2], [1.0, 0.0]);
        assert!((own_arm().hypot(6.0 / 7.0 * RING) - 2.0 / 3.0 * PATCH).abs() <= 1e-15);
    }
}
