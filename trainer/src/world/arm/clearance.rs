//! The exact checker: how far the arm is from the scene and from itself, or how deep in it.

use parry3d_f64::math::Pose;
use parry3d_f64::query::details::distance_segment_segment;
use parry3d_f64::shape::Segment;

use super::body::{CAPSULES, Capsule, FIXED, capsules, self_pairs};
use super::kinematics::Joints;
use super::scene::Scene;

/// Clearances are cut at plus and minus this, in m: what is farther matters to no plan.
pub const FARTHEST: f64 = 0.2;

/// The signed clearance of the arm at `joints` in `scene`, in m: the smallest distance of a capsule of the arm from an obstacle or from
/// another part of the arm, or minus the greatest depth, cut at ± [`FARTHEST`]. Base and first link stand on the table, which is not
/// counted.
pub fn clearance(scene: &Scene, joints: &Joints) -> f64 {
    let capsules = capsules(joints);
    let own = self_pairs().map(|(near, far)| apart(&capsules[near], &capsules[far]));
    let mut least = own.fold(FARTHEST, f64::min);
    for (obstacle, capsule) in pairs(scene, &capsules) {
        least = least.min(obstacle.clearance(capsule, least));
    }
    least.max(-FARTHEST)
}

/// Whether the arm touches nothing at `joints`: the sign of [`clearance`], for less work.
pub fn is_free(scene: &Scene, joints: &Joints) -> bool {
    let capsules = capsules(joints);
    pairs(scene, &capsules).all(|(obstacle, capsule)| obstacle.is_free(capsule))
        && self_pairs().all(|(near, far)| apart(&capsules[near], &capsules[far]) > 0.0)
}

/// What can meet: each obstacle with each capsule, those of the hand first, for they meet most; the table with what moves.
fn pairs<'a>(
    scene: &'a Scene,
    capsules: &'a [Capsule; CAPSULES],
) -> impl Iterator<Item = (&'a super::obstacle::Obstacle, &'a Capsule)> {
    let table = capsules[FIXED..].iter().rev().map(|capsule| (&scene.table, capsule));
    let others =
        scene.obstacles.iter().flat_map(|obstacle| capsules.iter().rev().map(move |capsule| (obstacle, capsule)));
    table.chain(others)
}

/// The signed clearance of two capsules, in m; where their segments cross, minus the sum of the radii.
fn apart(one: &Capsule, other: &Capsule) -> f64 {
    let segment = |capsule: &Capsule| Segment { a: capsule.a, b: capsule.b };
    distance_segment_segment(&Pose::IDENTITY, &segment(one), &segment(other)) - one.radius - other.radius
}
