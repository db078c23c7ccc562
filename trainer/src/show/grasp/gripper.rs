//! The gripper as boxes: whole, or as the sign that stands for a grasp.

use parry3d_f64::math::Vector;

use super::render::Block;
use crate::world::grasp::contact::{Closed, close};
use crate::world::grasp::gripper::{
    FINGER, Grasp, PAD_HALF_WIDTH, PALM_DEPTH, PALM_HALF_LENGTH, PALM_HALF_WIDTH, STROKE, TIP,
};
use crate::world::grasp::object::Object;

/// Thickness of a pad, in m; the rest of a finger lies behind it.
const PAD: f64 = 0.005;
/// Half the thickness of the palm, in m.
const PALM: f64 = 0.012;
/// How far behind the middle of a grasp the bar and the end of a sign are, in m.
const SIGN: [f64; 2] = [0.038, 0.072];

const PADS: Vector = Vector::new(0.78, 0.32, 0.03);
const FINGERS: Vector = Vector::new(0.10, 0.11, 0.13);
const PALM_COLOUR: Vector = Vector::new(0.22, 0.24, 0.27);

/// A box in the frame of a grasp: along the closing direction, across, along the approach.
fn block(grasp: &Grasp, [along, ahead]: [f64; 2], half: [f64; 3], colour: Vector) -> Block {
    let centre = grasp.centre + along * grasp.axis + ahead * grasp.approach;
    Block { centre, axes: [grasp.axis, grasp.side(), grasp.approach], half, colour, bright: false }
}

/// The places of the pads along the closing direction when they have closed on `object`, in m; those of open jaws where they do not.
pub fn closed(object: &Object, grasp: &Grasp, force: f64) -> [f64; 2] {
    match close(object, grasp, force) {
        Closed::On(grip) => grip.contacts.map(|contact| (contact.at - grasp.centre).dot(grasp.axis)),
        Closed::Nothing | Closed::TooWide | Closed::TooThin => [-0.5 * STROKE, 0.5 * STROKE],
    }
}

/// Pads, fingers, palm and wrist, with the pads at these places along the closing direction.
pub fn whole(grasp: &Grasp, pads: [f64; 2]) -> Vec<Block> {
    let mut blocks = Vec::new();
    for (sign, pad) in [-1.0, 1.0].into_iter().zip(pads) {
        let behind = pad + sign * PAD;
        blocks.push(block(grasp, [pad + sign * 0.5 * PAD, 0.0], [0.5 * PAD, PAD_HALF_WIDTH, TIP], PADS));
        let (half, length) = (0.5 * (FINGER - PAD), 0.5 * (PALM_DEPTH + TIP));
        let place = [behind + sign * half, TIP - length];
        blocks.push(block(grasp, place, [half, 0.8 * PAD_HALF_WIDTH, length], FINGERS));
    }
    blocks.push(block(grasp, [0.0, -PALM_DEPTH - PALM], [PALM_HALF_LENGTH, PALM_HALF_WIDTH, PALM], PALM_COLOUR));
    let wrist = [0.6 * PALM_HALF_WIDTH, 0.6 * PALM_HALF_WIDTH, 0.015];
    blocks.push(block(grasp, [0.0, -PALM_DEPTH - 2.0 * PALM - 0.015], wrist, FINGERS));
    blocks
}

/// Two fingers, a bar and a stem, as boxes `thin` (m) thick, with the fingers `width` (m) apart.
pub fn sign(grasp: &Grasp, width: f64, thin: f64, colour: Vector) -> Vec<Block> {
    let [bar, end] = SIGN;
    let line = 0.5 * thin;
    let out = 0.5 * width + line;
    let finger = 0.5 * (bar + TIP);
    let block = |place, half| Block { bright: true, ..block(grasp, place, half, colour) };
    vec![
        block([-out, TIP - finger], [line, line, finger]),
        block([out, TIP - finger], [line, line, finger]),
        block([0.0, -bar], [out + line, line, line]),
        block([0.0, -0.5 * (bar + end)], [line, line, 0.5 * (end - bar)]),
    ]
}

/// The same as two lines through points: fingers and bar, and the stem.
#[cfg(feature = "rerun")]
pub fn lines(grasp: &Grasp, width: f64) -> [Vec<Vector>; 2] {
    let [bar, end] = SIGN;
    let at = |[along, ahead]: [f64; 2]| grasp.centre + along * grasp.axis + ahead * grasp.approach;
    let out = 0.5 * width;
    [vec![[-out, TIP], [-out, -bar], [out, -bar], [out, TIP]], vec![[0.0, -bar], [0.0, -end]]]
        .map(|points| points.into_iter().map(at).collect())
}

/// The end of the stem of a sign, in m.
pub fn end(grasp: &Grasp) -> Vector {
    grasp.centre - SIGN[1] * grasp.approach
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::grasp::primitives::cuboid;
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    #[test]
    fn pads_lie_on_the_object() {
        let mesh = cuboid(Vector::new(0.04, 0.1, 0.06)).unwrap();
        let mut rng = ChaCha8Rng::seed_from_u64(0);
        let object = Object::put_down(&mesh, &mut rng).unwrap();
        let own = object.rotation * Vector::X;
        let grasp = Grasp { centre: object.middle, axis: own, approach: object.rotation * Vector::Y };
        let pads = closed(&object, &grasp, 40.0);
        assert!((pads[0] + 0.02).abs() <= 1e-9 && (pads[1] - 0.02).abs() <= 1e-9, "{pads:?}");
        for block in whole(&grasp, pads).iter().take(4) {
            // Nothing of pads and fingers is in the object.
            let inner = block.corners().map(|corner| (corner - grasp.centre).dot(own).abs()).fold(1.0, f64::min);
            assert!(inner >= 0.02 - 1e-9, "{block:?}");
        }
        let far = Grasp { centre: object.middle + 0.5 * Vector::Z, ..grasp };
        assert_eq!(closed(&object, &far, 40.0), [-0.5 * STROKE, 0.5 * STROKE]);
        assert!(
            (end(&grasp).distance(grasp.centre) - SIGN[1]).abs() <= 1e-12 && sign(&grasp, 0.04, 0.003, PADS).len() == 4
        );
    }
}
