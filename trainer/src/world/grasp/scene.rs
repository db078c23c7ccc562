//! An object on a table with grasps to choose from, and what is seen of them.

use parry3d_f64::math::Matrix;
use rand_chacha::ChaCha8Rng;

use super::candidate::candidates;
use super::features::{FEATURES, features};
use super::gripper::Grasp;
use super::mesh::{Mesh, MeshError};
use super::object::Object;

/// Grasps that a robot chooses from; as many others are for what it tried before.
pub const CANDIDATES: usize = 64;
/// Ways of putting an object down before it is given up.
const PUT_DOWNS: usize = 8;

/// An object where it lies, and twice [`CANDIDATES`] grasps of it: first those to choose from, then those that may have been tried.
#[derive(Clone, Debug)]
pub struct Scene {
    /// The body of the object, in its own frame.
    pub mesh: Mesh,
    /// The object.
    pub object: Object,
    /// The grasps.
    pub grasps: Vec<Grasp>,
    /// What is seen of each.
    pub features: Vec<[f32; FEATURES]>,
}

impl Scene {
    /// Puts a body down until there are enough grasps; none if it lies too wide or too flat each time.
    ///
    /// # Errors
    /// If it is no body.
    pub fn draw(mesh: &Mesh, rng: &mut ChaCha8Rng) -> Result<Option<Self>, MeshError> {
        for _ in 0..PUT_DOWNS {
            let object = Object::put_down(mesh, rng)?;
            if let Some(grasps) = candidates(&object, 2 * CANDIDATES, rng) {
                let features = grasps.iter().map(|grasp| features(&object, grasp)).collect();
                return Ok(Some(Self { mesh: mesh.clone(), object, grasps, features }));
            }
        }
        Ok(None)
    }

    /// Turns object and grasps by `angle` about the vertical through the centroid, in rad, and looks again.
    pub fn turn(&mut self, angle: f64) {
        let turn = Matrix::from_rotation_z(angle);
        self.object.turn(turn);
        for (grasp, seen) in self.grasps.iter_mut().zip(&mut self.features) {
            let Grasp { centre, axis, approach } = *grasp;
            *grasp = Grasp { centre: turn * centre, axis: turn * axis, approach: turn * approach };
            // Both pads are alike: of two opposite directions one stands for both.
            if grasp.axis.y < 0.0 {
                grasp.axis = -grasp.axis;
            }
            *seen = features(&self.object, grasp);
        }
    }
}
