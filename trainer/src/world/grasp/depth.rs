//! What a depth camera over the table sees, and the patch of it before the gripper.
//!
//! A pinhole camera looks straight down onto the place of the object. Its noise is that of Dex-Net 2.0 (Mahler et al. 2017, "Dex-Net 2.0",
//! section IV-B): a factor on all depths, and errors that neighbouring pixels share. A patch is what GQ-CNN looks at: 32 × 32 depths about
//! the middle of a grasp, with columns along the closing direction, and the depth of the gripper. There all grasps come from above. Since
//! some here come from the side, a patch is seen along the approach, out of the surface that the camera saw; for grasps from above the
//! two are the same but for perspective.
//!
//! With `sees = "depth"` learners see these patches in place of the numbers of [`super::features`]. GQ-CNN takes the depth of the gripper
//! beside the patch, and that is enough where nothing is hidden. A camera that is wrong by a shift and a turn is wrong by other widths for
//! other grasps, so who is to learn of it from tries must know where and how they were; [`channels`] says of each pixel where on the table
//! that is which it shows (as CoordConv does, Liu et al. 2018), and with it the pose of the grasp.

use std::num::NonZeroU32;

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
/// Pixels of a side of a patch, each as wide as [`PIXEL`].
pub const PATCH_PIXELS: usize = 32;
/// Numbers of a pixel of a patch as learners see it, see [`channels`].
pub const CHANNELS: usize = 4;

/// Shape of the factor's gamma distribution, whose mean is 1: a spread of 3 % of the depth.
const SHAPE: f64 = 1000.0;
/// Spread of a pixel's error, in m.
const ERROR: f64 = 0.005;
/// A Gaussian process of length √2 pixels is white noise under a Gaussian of 1 pixel; so far out it is cut.
const REACH_OF_ERROR: usize = 4;
/// Pixels on each side of an image that show the table.
const BORDER: usize = 8;
/// Where a ray of a patch begins and ends, before and behind the middle of the grasp, in m.
const REACH: [f64; 2] = [-0.100, 0.100];
/// Steps along a ray of a patch.
const STEPS: usize = 80;

/// Depths along the optical axis, in m: `[PIXELS, PIXELS]`, columns along x of the table and rows along y.
#[derive(Clone, Debug, PartialEq)]
pub struct Image {
    depths: Vec<f32>,
}

/// What lies before the gripper.
#[derive(Clone, Debug, PartialEq)]
pub struct Patch {
    /// How far beyond the middle of the grasp, along the approach, the surface begins, in m; negative where it is before it:
    /// `[PATCH_PIXELS, PATCH_PIXELS]`, columns along the closing direction, rows across it. What lies beyond ± 0.1 m counts as that.
    pub depths: Vec<f32>,
    /// The depth of the middle of the grasp from the camera, in m.
    pub gripper_depth: f64,
}

impl Image {
    /// What a camera without noise sees of `object` on the table.
    pub fn exact(object: &Object) -> Self {
        let camera = Vector::new(0.0, 0.0, HEIGHT);
        let mut depths = Vec::with_capacity(PIXELS * PIXELS);
        for row in 0..PIXELS {
            for column in 0..PIXELS {
                let on_the_table = Vector::new(metres(column), metres(row), 0.0);
                let table = on_the_table.distance(camera);
                let ray = (on_the_table - camera) / table;
                let seen = object.surface.line(camera, ray).map_or(table, |[first, _]| first.distance.min(table));
                depths.push((-ray.z * seen) as f32);
            }
        }
        Self { depths }
    }

    /// The same with the noise of the mean of so many looks from one place: what errors of pixels have, falls with their root; the factor is
    /// the camera's, and stays.
    #[must_use]
    pub fn noisy(&self, looks: NonZeroU32, rng: &mut ChaCha8Rng) -> Self {
        // A shape above 0 is a distribution.
        let factor = Gamma::new(SHAPE, 1.0 / SHAPE).map_or(1.0, |gamma| gamma.sample(rng));
        let share = 1.0 / f64::from(looks.get()).sqrt();
        let errors = errors(rng);
        let depths =
            self.depths.iter().zip(errors).map(|(depth, error)| (factor * f64::from(*depth) + share * error) as f32);
        Self { depths: depths.collect() }
    }

    /// The same with depths scaled so that the border of the image is the table, as it must be: a robot knows how far its table is, and so
    /// takes out a factor on all depths, whose spread of 3 % is 22 mm at the table and would hide how deep a grasp goes.
    #[must_use]
    pub fn levelled(mut self) -> Self {
        let inside = BORDER..PIXELS - BORDER;
        let border =
            (0..PIXELS * PIXELS).filter(|at| !inside.contains(&(at / PIXELS)) || !inside.contains(&(at % PIXELS)));
        let mut border: Vec<f32> = border.map(|at| self.depths[at]).collect();
        let middle = border.len() / 2;
        // The median, which an object that reaches over the border does not move far.
        let (_, table, _) = border.select_nth_unstable_by(middle, f32::total_cmp);
        let factor = HEIGHT as f32 / *table;
        self.depths.iter_mut().for_each(|depth| *depth *= factor);
        self
    }

    /// Depths along the optical axis, in m: `[PIXELS, PIXELS]`.
    pub fn depths(&self) -> &[f32] {
        &self.depths
    }

    /// Where the image shows a point, as column and row; whole numbers are middles of pixels.
    pub fn place(point: Vector) -> [f64; 2] {
        // What is seen at a place of the image lies on the ray through it.
        let scale = HEIGHT / (HEIGHT - point.z);
        [point.x, point.y].map(|along| along * scale / PIXEL + 0.5 * (PIXELS - 1) as f64)
    }

    /// How far under the surface that the camera saw a point is, along the optical axis, in m.
    fn under(&self, point: Vector) -> f64 {
        let [column, row] = Self::place(point);
        let seen = bilinear([row, column], |row, column| {
            f64::from(self.depths[row.min(PIXELS - 1) * PIXELS + column.min(PIXELS - 1)])
        });
        HEIGHT - point.z - seen
    }

    /// The patch before `grasp`.
    pub fn patch(&self, grasp: &Grasp) -> Patch {
        let [first, last] = REACH;
        let step = (last - first) / STEPS as f64;
        // Above the highest place that was seen there is nothing, so rays that come from above begin one step before it.
        let highest = HEIGHT - f64::from(self.depths.iter().copied().fold(f32::INFINITY, f32::min));
        let down = -grasp.approach.z;
        let mut depths = Vec::with_capacity(PATCH_PIXELS * PATCH_PIXELS);
        for foot in feet(grasp) {
            let above = if down > 0.0 { ((foot.z - highest) / down - first) / step - 1.0 } else { 0.0 };
            let begin = (above.max(0.0) as usize).min(STEPS);
            let under = |at: usize| self.under(foot + (first + at as f64 * step) * grasp.approach);
            let mut before = under(begin);
            let mut met = if before >= 0.0 { first } else { last };
            if before < 0.0 {
                for at in begin..STEPS {
                    let now = under(at + 1);
                    if now >= 0.0 {
                        // Between the two, as if straight.
                        met = first + step * (at as f64 + before / (before - now));
                        break;
                    }
                    before = now;
                }
            }
            depths.push(met as f32);
        }
        Patch { depths, gripper_depth: HEIGHT - grasp.centre.z }
    }
}

/// Where the rays of a patch pass the middle of the grasp, row by row.
fn feet(grasp: &Grasp) -> impl Iterator<Item = Vector> + '_ {
    let side = grasp.side();
    let offset = |place: usize| (place as f64 - 0.5 * (PATCH_PIXELS - 1) as f64) * PIXEL;
    (0..PATCH_PIXELS * PATCH_PIXELS).map(move |place| {
        grasp.centre + offset(place % PATCH_PIXELS) * grasp.axis + offset(place / PATCH_PIXELS) * side
    })
}

/// What learners see of a patch before `grasp` with these [`Patch::depths`]: of each pixel its depth, then x, y and z on the table, from
/// below the centroid of the object, of the place that it shows; in m, `[PATCH_PIXELS, PATCH_PIXELS, CHANNELS]`.
pub fn channels<'a>(grasp: &'a Grasp, depths: &'a [f32]) -> impl Iterator<Item = f32> + 'a {
    feet(grasp).zip(depths).flat_map(|(foot, depth)| {
        let place = foot + f64::from(*depth) * grasp.approach;
        [*depth, place.x as f32, place.y as f32, place.z as f32]
    })
}

/// The place of a pixel on the table, in m.
fn metres(pixel: usize) -> f64 {
    (pixel as f64 - 0.5 * (PIXELS - 1) as f64) * PIXEL
}

/// Errors of all pixels, in m: a Gaussian process.
fn errors(rng: &mut ChaCha8Rng) -> Vec<f64> {
    let kernel: Vec<f64> =
        (0..=2 * REACH_OF_ERROR).map(|place| (-0.5 * (place as f64 - REACH_OF_ERROR as f64).powi(2)).exp()).collect();
    let norm: f64 = kernel.iter().map(|weight| weight * weight).sum();
    // More on each side than there are pixels, so that those at the border have as many neighbours.
    let wide = PIXELS + 2 * REACH_OF_ERROR;
    let white: Vec<f64> = (0..wide * wide).map(|_| rng.sample(StandardNormal)).collect();
    let along = |at: &dyn Fn(usize) -> f64| kernel.iter().enumerate().map(|(i, weight)| weight * at(i)).sum::<f64>();
    let lines: Vec<f64> =
        (0..wide * PIXELS).map(|at| along(&|i| white[at / PIXELS * wide + at % PIXELS + i])).collect();
    (0..PIXELS * PIXELS).map(|at| ERROR / norm * along(&|i| lines[(at / PIXELS + i) * PIXELS + at % PIXELS])).collect()
}

/// Between four values.
fn bilinear([row, column]: [f64; 2], value: impl Fn(usize, usize) -> f64) -> f64 {
    let (row, column) = (row.max(0.0), column.max(0.0));
    let (top, left) = (row as usize, column as usize);
    let (down, right) = (row - top as f64, column - left as f64);
    let line = |row: usize| (1.0 - right) * value(row, left) + right * value(row, left + 1);
    (1.0 - down) * line(top) + down * line(top + 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::grasp::primitives::cuboid;
    use parry3d_f64::math::Matrix;
    use rand::SeedableRng;

    const EDGES: Vector = Vector::new(0.060, 0.090, 0.050);

    fn on_the_table(turn: f64) -> Object {
        let mesh = cuboid(EDGES).unwrap();
        Object::at(&mesh, Vector::ZERO, Matrix::from_rotation_z(turn), &mut ChaCha8Rng::seed_from_u64(0))
    }

    #[test]
    fn a_box_on_a_plane_is_as_deep_as_it_should_be() {
        let image = Image::exact(&on_the_table(0.0));
        // The top of the box is seen as if it were larger.
        let half = 0.5 * HEIGHT / (HEIGHT - EDGES.z) * EDGES;
        for row in 0..PIXELS {
            for column in 0..PIXELS {
                let [x, y] = [column, row].map(metres);
                let top = x.abs() < half.x && y.abs() < half.y;
                let error = f64::from(image.depths()[row * PIXELS + column]) - if top { 0.65 } else { 0.7 };
                assert!(error.abs() <= 1e-6, "{row} {column}: {error}");
            }
        }
        let [column, row] = Image::place(Vector::new(0.03, -0.045, 0.05));
        assert!((column - (half.x / PIXEL + 63.5)).abs() <= 1e-9 && (row - (63.5 - half.y / PIXEL)).abs() <= 1e-9);
    }

    #[test]
    fn a_patch_turns_with_the_grasp() {
        for turn in [0.0, 0.5, 1.3] {
            let image = Image::exact(&on_the_table(turn));
            let axis = Matrix::from_rotation_z(turn) * Vector::X;
            let grasp = Grasp { centre: Vector::new(0.0, 0.0, 0.03), axis, approach: -Vector::Z };
            let Patch { depths, gripper_depth } = image.patch(&grasp);
            assert!((gripper_depth - 0.67).abs() <= 1e-12);
            for (place, depth) in depths.iter().enumerate() {
                let [x, y] = [place % PATCH_PIXELS, place / PATCH_PIXELS].map(|at| (at as f64 - 15.5) * PIXEL);
                // Two pixels about the edge are between both.
                let inside = x.abs() < 0.5 * EDGES.x - 2.0 * PIXEL && y.abs() < 0.5 * EDGES.y - 2.0 * PIXEL;
                let outside = x.abs() > 0.5 * EDGES.x + 2.0 * PIXEL || y.abs() > 0.5 * EDGES.y + 2.0 * PIXEL;
                let expected = if inside { -0.02 } else { 0.03 };
                let error = (f64::from(*depth) - expected).abs();
                assert!(error <= 1e-4 || !(inside || outside), "{turn}: {x} {y}: {depth}");
            }
        }
        // From the side it is the wall that begins before the middle, by half the box.
        let image = Image::exact(&on_the_table(0.0));
        let grasp = Grasp { centre: Vector::new(0.0, 0.0, 0.03), axis: Vector::X, approach: Vector::Y };
        let middle = f64::from(image.patch(&grasp).depths[16 * PATCH_PIXELS + 16]);
        assert!((middle + 0.5 * EDGES.y).abs() <= 2.0 * PIXEL, "{middle}");
    }

    #[test]
    fn pixels_say_where_on_the_table_they_are() {
        let turn = Matrix::from_rotation_z(0.5);
        let image = Image::exact(&on_the_table(0.5));
        let grasp =
            Grasp { centre: turn * Vector::new(0.01, 0.02, 0.03), axis: turn * Vector::X, approach: -Vector::Z };
        let depths = image.patch(&grasp).depths;
        let seen: Vec<f32> = channels(&grasp, &depths).collect();
        assert_eq!(seen.len(), PATCH_PIXELS * PATCH_PIXELS * CHANNELS);
        for (place, (pixel, depth)) in seen.chunks_exact(CHANNELS).zip(&depths).enumerate() {
            assert!(pixel[0].to_bits() == depth.to_bits());
            // Columns go along the closing direction; rows along its product with the approach, which before the turn is y.
            let [along, across] = [place % PATCH_PIXELS, place / PATCH_PIXELS].map(|at| (at as f64 - 15.5) * PIXEL);
            let there = turn * Vector::new(0.01 + along, 0.02 + across, 0.0);
            assert!((f64::from(pixel[1]) - there.x).abs() <= 1e-6 && (f64::from(pixel[2]) - there.y).abs() <= 1e-6);
            assert!((f64::from(pixel[3]) - (0.03 - f64::from(*depth))).abs() <= 1e-6);
        }
    }

    #[test]
    fn noise_is_that_of_the_paper() {
        let plane = Image { depths: vec![0.7; PIXELS * PIXELS] };
        let mut rng = ChaCha8Rng::seed_from_u64(0);
        let (mut factors, mut squares, mut products) = (Vec::new(), 0.0, [0.0; 2]);
        for _ in 0..40 {
            let seen = plane.noisy(NonZeroU32::MIN, &mut rng);
            let mean = seen.depths().iter().map(|depth| f64::from(*depth)).sum::<f64>() / (PIXELS * PIXELS) as f64;
            factors.push(mean / 0.7);
            let error = |row: usize, column: usize| f64::from(seen.depths()[row * PIXELS + column]) - mean;
            for row in 0..PIXELS {
                for column in 0..PIXELS - 8 {
                    squares += error(row, column).powi(2);
                    products[0] += error(row, column) * error(row, column + 1);
                    products[1] += error(row, column) * error(row, column + 8);
                }
            }
        }
        let spread = (squares / (40 * PIXELS * (PIXELS - 8)) as f64).sqrt();
        assert!((spread / ERROR - 1.0).abs() <= 0.02, "{spread}");
        // exp(−d² / 2ℓ²) with ℓ = √2 pixels.
        assert!((products[0] / squares - (-0.25_f64).exp()).abs() <= 0.02, "{}", products[0] / squares);
        assert!((products[1] / squares).abs() <= 0.03, "{}", products[1] / squares);
        let mean = factors.iter().sum::<f64>() / 40.0;
        let spread = (factors.iter().map(|factor| (factor - mean).powi(2)).sum::<f64>() / 39.0).sqrt();
        assert!((mean - 1.0).abs() <= 0.02 && (0.02..=0.045).contains(&spread), "{mean} {spread}");
        let again = |looks: u32, seed| plane.noisy(looks.try_into().unwrap(), &mut ChaCha8Rng::seed_from_u64(seed));
        assert!(again(1, 1) == again(1, 1) && again(1, 1) != again(1, 2));
        // Of sixteen looks a quarter is left, about the same factor.
        let [one, sixteen] = [1, 16].map(|looks| again(looks, 1));
        let mean =
            |image: &Image| image.depths.iter().map(|depth| f64::from(*depth)).sum::<f64>() / (PIXELS * PIXELS) as f64;
        let factor = mean(&sixteen) + (mean(&sixteen) - mean(&one)) / 3.0;
        // What knows its table loses the factor and keeps the errors.
        assert!((mean(&sixteen) - 0.7).abs() > 1e-3 && (mean(&sixteen.clone().levelled()) - 0.7).abs() <= 2e-4);
        for (one, sixteen) in one.depths.iter().zip(&sixteen.depths) {
            let errors = [one, sixteen].map(|depth| f64::from(*depth) - factor);
            assert!((errors[0] - 4.0 * errors[1]).abs() <= 1e-6, "{errors:?}");
        }
    }
}
