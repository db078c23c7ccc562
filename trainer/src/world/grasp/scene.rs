//! An object on a table with grasps to choose from, and what is seen of them.

use std::borrow::Cow;
use std::num::NonZeroU32;
use std::ops::Range;

use parry3d_f64::math::Matrix;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use sinew_models::spec::Shape;

use super::candidate::candidates;
use super::depth::{CHANNELS, Image, PATCH_PIXELS, channels};
use super::features::{self, features};
use super::gripper::Grasp;
use super::mesh::{Mesh, MeshError};
use super::object::Object;
use crate::world::Column;

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
    /// How they are seen.
    view: View,
    /// What is seen of each, one after the other; of patches the depths alone, since the rest follows from the grasps.
    seen: Vec<f32>,
}

/// How a robot sees grasps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Sees {
    /// As numbers, from the object's shape and pose, see [`mod@features`].
    #[default]
    Features,
    /// As patches of a noisy depth image, see [`depth`](super::depth).
    Depth,
}

/// What is seen, and how carefully.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct View {
    /// What.
    pub sees: Sees,
    /// Depth images of which the mean is taken.
    pub looks: NonZeroU32,
}

impl View {
    /// Of what needs no camera.
    pub const FEATURES: Self = Self { sees: Sees::Features, looks: NonZeroU32::MIN };
}

impl Sees {
    /// The name and unit of each number.
    pub fn columns(self) -> Vec<Column> {
        match self {
            Self::Features => features::columns(),
            Self::Depth => {
                let pixel = |place: usize| (place / PATCH_PIXELS, place % PATCH_PIXELS);
                let column =
                    |((row, column), what)| Column { name: format!("{what}_{row}_{column}"), unit: "m".into() };
                let pixels = (0..PATCH_PIXELS * PATCH_PIXELS).map(pixel);
                pixels.flat_map(|pixel| ["depth", "x", "y", "z"].map(|what| column((pixel, what)))).collect()
            }
        }
    }

    /// The image that a row is, if it is one.
    pub fn image(self) -> Option<Shape> {
        match self {
            Self::Features => None,
            Self::Depth => Some(Shape { height: PATCH_PIXELS, width: PATCH_PIXELS, channels: CHANNELS }),
        }
    }

    /// How many numbers of a grasp a scene keeps.
    const fn kept(self) -> usize {
        match self {
            Self::Features => features::FEATURES,
            Self::Depth => PATCH_PIXELS * PATCH_PIXELS,
        }
    }
}

impl View {
    /// Looks at `object`, and gives what is seen of each grasp.
    fn look(self, object: &Object, grasps: &[Grasp], rng: &mut ChaCha8Rng) -> Vec<f32> {
        match self.sees {
            Sees::Features => grasps.iter().flat_map(|grasp| features(object, grasp)).collect(),
            Sees::Depth => {
                let image = Image::exact(object).noisy(self.looks, rng).levelled();
                grasps.iter().flat_map(|grasp| image.patch(grasp).depths).collect()
            }
        }
    }
}

impl Scene {
    /// Puts a body down until there are enough grasps; none if it lies too wide or too flat each time.
    ///
    /// # Errors
    /// If it is no body.
    pub fn draw(mesh: &Mesh, view: View, rng: &mut ChaCha8Rng) -> Result<Option<Self>, MeshError> {
        for _ in 0..PUT_DOWNS {
            let object = Object::put_down(mesh, rng)?;
            if let Some(grasps) = candidates(&object, 2 * CANDIDATES, rng) {
                let seen = view.look(&object, &grasps, rng);
                return Ok(Some(Self { mesh: mesh.clone(), object, grasps, view, seen }));
            }
        }
        Ok(None)
    }

    /// What is seen of a grasp.
    pub fn input(&self, grasp: usize) -> Cow<'_, [f32]> {
        self.inputs(grasp..grasp + 1)
    }

    /// What is seen of these grasps, one after the other.
    pub fn inputs(&self, grasps: Range<usize>) -> Cow<'_, [f32]> {
        let kept = self.view.sees.kept();
        let seen = &self.seen[kept * grasps.start..kept * grasps.end];
        match self.view.sees {
            Sees::Features => Cow::Borrowed(seen),
            Sees::Depth => {
                let patches = self.grasps[grasps].iter().zip(seen.chunks_exact(kept));
                patches.flat_map(|(grasp, depths)| channels(grasp, depths)).collect()
            }
        }
    }

    /// Between the places where the line of a grasp meets the object, in m; 0 where it misses.
    pub fn width(&self, grasp: usize) -> f64 {
        let Grasp { centre, axis, .. } = self.grasps[grasp];
        self.object.surface.line(centre, axis).map_or(0.0, |[first, last]| last.distance - first.distance)
    }

    /// Turns object and grasps by `angle` about the vertical through the centroid, in rad, and looks again.
    pub fn turn(&mut self, angle: f64, rng: &mut ChaCha8Rng) {
        let turn = Matrix::from_rotation_z(angle);
        self.object.turn(turn);
        for grasp in &mut self.grasps {
            let Grasp { centre, axis, approach } = *grasp;
            *grasp = Grasp { centre: turn * centre, axis: turn * axis, approach: turn * approach };
            // Both pads are alike: of two opposite directions one stands for both.
            if grasp.axis.y < 0.0 {
                grasp.axis = -grasp.axis;
            }
        }
        self.seen = self.view.look(&self.object, &self.grasps, rng);
    }
}
