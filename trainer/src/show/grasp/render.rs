//! A small ray caster: an object on a table and boxes beside it, in the light of one lamp.
//!
//! Lambert's law with a little light from the sky, and shadows. Where a pixel differs from those beside it, it is the mean over rays, each
//! of which looks at another place of the lamp, so that edges are smooth and shadows soft. Colours are red, green and blue from 0 to 1,
//! linear in light.

use parry3d_f64::math::Vector;
use rayon::prelude::*;

use crate::world::grasp::object::Object;
use crate::world::grasp::surface::Hit;

/// Rays along each side of a pixel.
const RAYS: usize = 3;
/// Half the angle of view, in rad: 14°.
const HALF_VIEW: f64 = 14.0 * std::f64::consts::PI / 180.0;
/// The side of a picture by the extent of what is in it.
const AROUND: f64 = 1.12;
/// Between lines of the table, in m.
pub const SQUARE: f64 = 0.05;
/// Half the width of a line of the table, in m.
const HALF_LINE: f64 = 0.0005;
/// The table fades into the background between these distances from the object, in m.
const FADE: [f64; 2] = [0.15, 0.42];
/// What is nearer than this does not throw a shadow on itself, in m: faces stand in for curved surfaces.
const OWN_SHADOW: f64 = 0.003;
/// Half the width of the lamp, by its distance.
const LAMP: f64 = 0.06;

const TABLE: Vector = Vector::new(0.80, 0.80, 0.80);
const TABLE_LINE: Vector = Vector::new(0.55, 0.56, 0.58);
const BACKGROUND: Vector = Vector::ONE;

/// A box that is turned as it likes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Block {
    /// Its middle, in m.
    pub centre: Vector,
    /// Its own axes, unit vectors.
    pub axes: [Vector; 3],
    /// Half its edges along them, in m.
    pub half: [f64; 3],
    /// Its colour.
    pub colour: Vector,
    /// Whether it is a sign that means something: it has its colour in any light, and throws no shadow.
    pub bright: bool,
}

impl Block {
    /// The place along the ray and the normal where the unit vector `direction` from `from` comes into it.
    fn hit(&self, from: Vector, direction: Vector) -> Option<(f64, Vector)> {
        let to = self.centre - from;
        let (mut enter, mut leave, mut normal) = (f64::NEG_INFINITY, f64::INFINITY, Vector::ZERO);
        for (axis, half) in self.axes.iter().zip(self.half) {
            let (away, speed) = (to.dot(*axis), direction.dot(*axis));
            if speed.abs() < 1e-12 {
                if away.abs() > half {
                    return None;
                }
                continue;
            }
            let [near, far] = [(away - half * speed.signum()) / speed, (away + half * speed.signum()) / speed];
            if near > enter {
                (enter, normal) = (near, -speed.signum() * *axis);
            }
            leave = leave.min(far);
        }
        (enter <= leave && enter > 0.0).then_some((enter, normal))
    }

    /// Its corners, in m.
    pub fn corners(&self) -> impl Iterator<Item = Vector> + '_ {
        let sign = |bit: u32| if bit == 0 { -1.0 } else { 1.0 };
        (0..8_u32).map(move |corner| {
            (0..3).fold(self.centre, |at, axis| at + sign(corner >> axis & 1) * self.half[axis] * self.axes[axis])
        })
    }
}

/// Parts of colours that differ by no more than this are the same, of 255.
const SAME: u8 = 4;
/// Boxes that are looked at together.
const GROUP: usize = 4;

/// A ball around something.
#[derive(Clone, Copy, Debug)]
struct Ball {
    centre: Vector,
    radius: f64,
}

impl Ball {
    fn around(blocks: &[Block]) -> Self {
        let centre = blocks.iter().fold(Vector::ZERO, |sum, block| sum + block.centre) / blocks.len() as f64;
        let corners = blocks.iter().flat_map(Block::corners);
        Self { centre, radius: corners.map(|corner| corner.distance(centre)).fold(0.0, f64::max) }
    }

    /// Whether the line through `from` along the unit vector `direction` misses it.
    fn misses(&self, from: Vector, direction: Vector) -> bool {
        let to = self.centre - from;
        let along = to.dot(direction);
        to.length_squared() - along * along > self.radius * self.radius
    }
}

/// Where the picture is taken from.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Camera {
    eye: Vector,
    right: Vector,
    up: Vector,
    forward: Vector,
    lamp: Vector,
    /// The left and the upper border of the picture and its side, on the plane at distance 1.
    window: [f64; 3],
}

impl Camera {
    /// A camera that looks from the direction `from` at `points`, which just fill its picture.
    pub fn around(points: &[Vector], from: Vector) -> Self {
        let start = [Vector::INFINITY, Vector::NEG_INFINITY];
        let [low, high] = points.iter().fold(start, |[low, high], point| [low.min(*point), high.max(*point)]);
        let from = from.normalize();
        let forward = -from;
        let right = forward.cross(Vector::Z).normalize();
        let up = right.cross(forward);
        let middle = 0.5 * (low + high);
        let radius = points.iter().map(|point| point.distance(middle)).fold(0.0, f64::max);
        let eye = middle + radius / HALF_VIEW.sin() * from;
        // From the upper left behind the camera.
        let lamp = (0.75 * up - 0.55 * right + 0.5 * from).normalize();
        let mut camera = Self { eye, right, up, forward, lamp, window: [0.0; 3] };
        let mut ends = [[f64::INFINITY, f64::NEG_INFINITY]; 2];
        for place in points.iter().map(|point| camera.on_the_plane(*point)) {
            for ([low, high], along) in ends.iter_mut().zip(place) {
                (*low, *high) = (low.min(along), high.max(along));
            }
        }
        let [[left, right], [below, above]] = ends;
        let side = AROUND * (right - left).max(above - below);
        camera.window = [0.5 * (left + right - side), 0.5 * (below + above + side), side];
        camera
    }

    /// Where a point is on the plane at distance 1: to the right and up.
    fn on_the_plane(&self, point: Vector) -> [f64; 2] {
        let to = point - self.eye;
        [self.right, self.up].map(|axis| to.dot(axis) / to.dot(self.forward))
    }

    /// Where a point is in the picture, as shares of its width and height from the upper left.
    pub fn place(&self, point: Vector) -> [f64; 2] {
        let ([right, up], [left, top, side]) = (self.on_the_plane(point), self.window);
        [(right - left) / side, (top - up) / side]
    }

    /// The direction of the ray through a place of the picture.
    fn ray(&self, [x, y]: [f64; 2]) -> Vector {
        let [left, top, side] = self.window;
        (self.forward + (left + x * side) * self.right + (top - y * side) * self.up).normalize()
    }
}

/// Light as a colour of a screen.
fn bytes(light: Vector) -> [u8; 3] {
    light.to_array().map(|part| (255.0 * part.clamp(0.0, 1.0).powf(1.0 / 2.2)).round() as u8)
}

/// What is looked at.
#[derive(Clone, Debug)]
pub struct Stage<'a> {
    /// The object, on the table.
    pub object: &'a Object,
    /// Its colour.
    pub colour: Vector,
    /// What is beside it.
    pub blocks: Vec<Block>,
}

/// What is on a stage, in balls, so that most rays need not be followed.
struct Balls<'a> {
    object: Ball,
    groups: Vec<(Ball, &'a [Block])>,
}

impl Balls<'_> {
    /// The boxes near a ray.
    fn blocks(&self, from: Vector, ray: Vector) -> impl Iterator<Item = &Block> {
        self.groups.iter().filter(move |(ball, _)| !ball.misses(from, ray)).flat_map(|(_, blocks)| *blocks)
    }
}

impl Stage<'_> {
    /// Where the line along a ray first and last meets the object.
    fn line(&self, balls: &Balls<'_>, from: Vector, ray: Vector) -> Option<[Hit; 2]> {
        if balls.object.misses(from, ray) { None } else { self.object.surface.line(from, ray) }
    }

    /// All points that a picture should have.
    pub fn points(&self) -> Vec<Vector> {
        self.object.points.iter().copied().chain(self.blocks.iter().flat_map(Block::corners)).collect()
    }

    /// What a camera sees: red, green and blue of `pixels` × `pixels`, row by row from the upper left.
    pub fn render(&self, camera: &Camera, pixels: usize) -> Vec<u8> {
        let object = Ball { centre: self.object.middle, radius: self.object.half.length() };
        let groups = self.blocks.chunks(GROUP).map(|blocks| (Ball::around(blocks), blocks)).collect();
        let balls = Balls { object, groups };
        let ray = |column: usize, row: usize, ray: usize| {
            let [x, y] = [ray % RAYS, ray / RAYS].map(|place| (place as f64 + 0.5) / RAYS as f64);
            let at = [column as f64 + x, row as f64 + y].map(|pixel| pixel / pixels as f64);
            // Rays that lie beside each other look at places of the lamp that do not, and so do pixels.
            let other = (2 * ray + column % RAYS + RAYS * (row % RAYS)) % (RAYS * RAYS);
            let on_the_lamp =
                [other % RAYS, other / RAYS].map(|place| 2.0 * LAMP * ((place as f64 + 0.5) / RAYS as f64 - 0.5));
            self.seen(&balls, camera, camera.ray(at), on_the_lamp)
        };
        let middle = RAYS * RAYS / 2;
        let first: Vec<[u8; 3]> = (0..pixels * pixels)
            .into_par_iter()
            .with_min_len(pixels)
            .map(|at| bytes(ray(at % pixels, at / pixels, middle)))
            .collect();
        // All rays only where a pixel differs from one beside it: most are on one face, in light or shadow.
        let differs = |at: usize| {
            let (column, row) = (at % pixels, at / pixels);
            let beside = |place: usize| place.saturating_sub(1)..(place + 2).min(pixels);
            beside(row).any(|row| {
                let line = &first[row * pixels..][..pixels];
                line[beside(column)].iter().any(|other| other.iter().zip(first[at]).any(|(a, b)| a.abs_diff(b) > SAME))
            })
        };
        let mean = |at: usize| {
            let all = (0..RAYS * RAYS).map(|number| ray(at % pixels, at / pixels, number));
            bytes(all.fold(Vector::ZERO, |sum, light| sum + light) / (RAYS * RAYS) as f64)
        };
        let last = |at: usize| if differs(at) { mean(at) } else { first[at] };
        let last: Vec<[u8; 3]> = (0..pixels * pixels).into_par_iter().with_min_len(pixels).map(last).collect();
        last.into_flattened()
    }

    /// The light that comes along a ray.
    fn seen(&self, balls: &Balls<'_>, camera: &Camera, ray: Vector, [along, above]: [f64; 2]) -> Vector {
        let lamp = camera.lamp;
        let place = (lamp + along * camera.right + above * camera.up).normalize();
        let object = self.line(balls, camera.eye, ray).map(|[first, _]| (first.distance, first.normal));
        let object = object.map(|(distance, normal)| (distance, normal, self.colour, false));
        let block = |block: &Block| {
            block.hit(camera.eye, ray).map(|(distance, normal)| (distance, normal, block.colour, block.bright))
        };
        let nearest = object
            .into_iter()
            .chain(balls.blocks(camera.eye, ray).filter_map(block))
            .min_by(|(one, ..), (other, ..)| one.total_cmp(other));
        // Seen from below there is no table.
        let down = (ray.z < -1e-9).then(|| -camera.eye.z / ray.z).filter(|distance| *distance > 0.0);
        match (nearest, down) {
            (Some((distance, _, colour, true)), down) if down.is_none_or(|down| distance < down + 1e-9) => colour,
            (Some((distance, normal, colour, _)), down) if down.is_none_or(|down| distance < down + 1e-9) => {
                // Where the normal that is drawn looks away, the surface is seen edge on.
                let normal =
                    if normal.dot(ray) > 0.0 { (normal - normal.dot(ray) * ray).normalize_or_zero() } else { normal };
                self.lit(balls, camera.eye + distance * ray, normal, colour, [lamp, place])
            }
            (_, Some(down)) => {
                let point = camera.eye + down * ray;
                let share = ((point.length() - FADE[0]) / (FADE[1] - FADE[0])).clamp(0.0, 1.0);
                let share = share * share * (3.0 - 2.0 * share);
                let off = |along: f64| (along - SQUARE * (along / SQUARE).round()).abs();
                let colour = if off(point.x).min(off(point.y)) < HALF_LINE { TABLE_LINE } else { TABLE };
                self.lit(balls, point, Vector::Z, colour, [lamp, place]).lerp(BACKGROUND, share)
            }
            _ => BACKGROUND,
        }
    }

    /// The light that a surface of this colour throws back, of a lamp in one direction of which it sees a place in another.
    fn lit(
        &self,
        balls: &Balls<'_>,
        point: Vector,
        normal: Vector,
        colour: Vector,
        [lamp, place]: [Vector; 2],
    ) -> Vector {
        let facing = normal.dot(lamp);
        let from = point + 5e-4 * normal;
        let shadow = facing > 0.0
            && (self.line(balls, from, place).is_some_and(|[_, last]| last.distance > OWN_SHADOW)
                || balls.blocks(from, place).any(|block| !block.bright && block.hit(from, place).is_some()));
        let direct = if shadow { 0.0 } else { facing.max(0.0) };
        let sky = 0.30 + 0.12 * normal.z;
        colour * (sky + 0.78 * direct)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::grasp::families::Family;
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    #[test]
    fn rays_meet_boxes_from_outside() {
        let block = Block {
            centre: Vector::new(1.0, 0.0, 0.0),
            axes: [Vector::X, Vector::Y, Vector::Z],
            half: [0.1, 0.2, 0.3],
            colour: Vector::ONE,
            bright: false,
        };
        let (distance, normal) = block.hit(Vector::ZERO, Vector::X).unwrap();
        assert!((distance - 0.9).abs() <= 1e-12 && normal == Vector::NEG_X);
        assert!(block.hit(Vector::ZERO, Vector::NEG_X).is_none() && block.hit(Vector::ZERO, Vector::Y).is_none());
        let above = Vector::new(1.05, 0.1, 1.0);
        let (distance, normal) = block.hit(above, Vector::NEG_Z).unwrap();
        assert!((distance - 0.7).abs() <= 1e-12 && normal == Vector::Z);
        assert_eq!(block.corners().count(), 8);
    }

    #[test]
    fn an_object_is_seen_where_the_camera_says_and_throws_a_shadow() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let object = Object::put_down(&Family::TRAINED[0].draw(&mut rng).unwrap(), &mut rng).unwrap();
        let stage = Stage { object: &object, colour: Vector::new(0.8, 0.1, 0.1), blocks: Vec::new() };
        let camera = Camera::around(&stage.points(), Vector::new(0.6, -0.9, 0.7));
        const PIXELS: usize = 90;
        let image = stage.render(&camera, PIXELS);
        let pixel = |[x, y]: [f64; 2]| {
            let [column, row] = [x, y].map(|share| ((share * PIXELS as f64) as usize).min(PIXELS - 1));
            &image[3 * (row * PIXELS + column)..][..3]
        };
        // Red only where the object is.
        let [red, green, _] = pixel(camera.place(object.middle)) else { panic!("three colours") };
        assert!(*red > 2 * *green, "{red} {green}");
        for point in stage.points() {
            assert!(camera.place(point).iter().all(|share| (0.0..1.0).contains(share)));
        }
        let corner = &image[..3];
        assert!(corner.iter().all(|part| *part > 150), "{corner:?}");
        // A table without an object has no place as dark as its shadow.
        let grey =
            |pixel: &[u8]| pixel.iter().max().zip(pixel.iter().min()).is_some_and(|(most, least)| most - least < 12);
        let darkest = image.chunks_exact(3).filter(|pixel| grey(pixel)).map(|pixel| pixel[0]).min().unwrap();
        assert!(darkest < 160, "{darkest}");
        assert_eq!(image, stage.render(&camera, PIXELS));
    }
}
