//! What a depth camera over the table sees, and the patch of it before the gripper.
//!
//! A pinhole camera looks straight down. Its image has the noise of Dex-Net 2.0 (Mahler et al. 2017, section IV-B): a factor on all depths,
//! and errors that neighbouring pixels share. Patches are what GQ-CNN looks at, aligned with the grasp; since grasps here also come from
//! the side, a patch is seen along the approach, out of the surface that the camera saw.

use parry3d_f64::math::Vector;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution as _, Gamma, StandardNormal};

use super::gripper::Grasp;
use super::object::Object;

/// Height of the camera over the table, in m.
pub const HEIGHT: f64 = 0.7;
/// Pixels of a side of the image.
pub const PIXELS: usize = 128;
/// Extent of a pixel on the table, in m.
pub const PIXEL: f64 = 0.003;
/// Pixels of a side of a patch.
pub const PATCH: usize = 32;
/// Values of a patch.
pub const PATCH_LEN: usize = PATCH * PATCH;

/// Shape of the factor's gamma distribution, whose mean is 1: a spread of 3 % of the depth.
const SHAPE: f64 = 1000.0;
/// Spread of a pixel's error, in m.
const ERROR: f64 = 0.002;
/// Pixels over which errors are alike.
const ALIKE: usize = 2;
/// Where a ray of a patch begins and ends, before and behind the middle of the grasp, in m.
const REACH: [f64; 2] = [-0.100, 0.050];
/// Steps along a ray of a patch.
const STEPS: usize = 50;
/// Units of a patch's values, in m.
const UNIT: f64 = 0.001;

/// Heights over the table, in m, of what the camera sees: `[PIXELS, PIXELS]`, the rows along y, by where it believes it to be.
#[derive(Clone, Debug, PartialEq)]
pub struct Image {
    heights: Vec<f32>,
}

impl Image {
    /// What the camera sees of `object`, with noise.
    pub fn render(object: &Object, rng: &mut ChaCha8Rng) -> Self {
        Self::of(object, |depth, errors| depth * errors, rng)
    }

    fn of(object: &Object, _noise: impl Fn(f64, f64) -> f64, rng: &mut ChaCha8Rng) -> Self {
        // A shape above 0 is a distribution.
        let factor = Gamma::new(SHAPE, 1.0 / SHAPE).map_or(1.0, |gamma| gamma.sample(rng));
        let coarse = PIXELS / ALIKE + 2;
        let errors: Vec<f64> = (0..coarse * coarse).map(|_| ERROR * rng.sample::<f64, _>(StandardNormal)).collect();
        let error = |row: usize, column: usize| {
            let at = [row, column].map(|place| place as f64 / ALIKE as f64);
            bilinear(at, |row, column| errors[row * coarse + column])
        };
        let camera = Vector::new(0.0, 0.0, HEIGHT);
        let mut heights = Vec::with_capacity(PIXELS * PIXELS);
        for row in 0..PIXELS {
            for column in 0..PIXELS {
                let on_the_table = Vector::new(metres(column), metres(row), 0.0);
                let ray = (on_the_table - camera).normalize();
                let table = on_the_table.distance(camera);
                let depth = object.surface.line(camera, ray).map_or(table, |[first, _]| first.distance.min(table));
                // Depth along the optical axis.
                let seen = -ray.z * depth * factor + error(row, column);
                heights.push((HEIGHT - seen) as f32);
            }
        }
        Self { heights }
    }

    /// The height over the table at a place, between pixels, in m. The height is that of the ray there: a camera sees the tops of things
    /// farther out than they are, which the robot corrects for.
    fn height(&self, x: f64, y: f64) -> f64 {
        let at = [y, x].map(|place| place / PIXEL + 0.5 * (PIXELS - 1) as f64);
        bilinear(at, |row, column| f64::from(self.heights[row.min(PIXELS - 1) * PIXELS + column.min(PIXELS - 1)]))
    }

    /// Heights over the table, in m: `[PIXELS, PIXELS]`.
    pub fn heights(&self) -> &[f32] {
        &self.heights
    }

    /// The patch before `grasp`, `[PATCH, PATCH]` with columns along the closing direction: how far beyond the middle of the grasp,
    /// along the approach, the surface begins, in mm; negative before it.
    pub fn patch(&self, grasp: &Grasp) -> Vec<i8> {
        let side = grasp.side();
        let mut patch = Vec::with_capacity(PATCH_LEN);
        let offset = |place: usize| (place as f64 - 0.5 * (PATCH - 1) as f64) * PIXEL;
        let [first, last] = REACH;
        let step = (last - first) / STEPS as f64;
        for row in 0..PATCH {
            for column in 0..PATCH {
                let foot = grasp.centre + offset(column) * grasp.axis + offset(row) * side;
                let under = |along: f64| {
                    let point = foot + along * grasp.approach;
                    // What is seen at a place of the image lies on the ray through it.
                    let scale = HEIGHT / (HEIGHT - point.z).max(0.1);
                    self.height(point.x * scale, point.y * scale) - point.z
                };
                let (mut before, mut along) = (under(first), first);
                let mut met = if before >= 0.0 { first } else { last };
                if before < 0.0 {
                    for _ in 0..STEPS {
                        let now = under(along + step);
                        if now >= 0.0 {
                            // Between the two, as if straight.
                            met = along + step * before / (before - now);
                            break;
                        }
                        (before, along) = (now, along + step);
                    }
                }
                patch.push((met / UNIT).round().clamp(-128.0, 127.0) as i8);
            }
        }
        patch
    }
}

/// The place of a pixel on the table, in m.
fn metres(pixel: usize) -> f64 {
    (pixel as f64 - 0.5 * (PIXELS - 1) as f64) * PIXEL
}

/// Between four values.
fn bilinear([row, column]: [f64; 2], value: impl Fn(usize, usize) -> f64) -> f64 {
    let (row, column) = (row.max(0.0), column.max(0.0));
    let (top, left) = (row as usize, column as usize);
    let (down, right) = (row - top as f64, column - left as f64);
    let line = |row: usize| (1.0 - right) * value(row, left) + right * value(row, left + 1);
    (1.0 - down) * line(top) + down * line(top + 1)
}
