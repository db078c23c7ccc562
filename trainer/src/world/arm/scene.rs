//! Scenes: an arm on a table among boxes and cylinders, drawn by families of which some are held out for tests.

use std::f64::consts::{FRAC_PI_2, PI};

use parry3d_f64::math::Vector;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::clearance::clearance;
use super::kinematics::READY;
use super::obstacle::Obstacle;
use crate::world::Split;

/// What is free about the arm where it waits, at least, in m.
pub const AT_START: f64 = 0.05;

/// A kind of scene. Lengths are in m and uniform in their ranges, about the middle of the arm's base.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Family {
    /// Things that stand on the table.
    Clutter,
    /// High posts.
    Pillars,
    /// Boards one above the other, between two sides.
    Shelf,
    /// A wall with an opening.
    Window,
    /// A board above the table on posts, and something on it.
    Bench,
}

/// What stands about the arm.
#[derive(Clone, Debug, PartialEq)]
pub struct Scene {
    /// Its kind.
    pub family: Family,
    /// The table on which the arm stands: a slab, its upper side at height 0.
    pub table: Obstacle,
    /// From 3 to 8 boxes and cylinders.
    pub obstacles: Vec<Obstacle>,
}

impl Family {
    /// Those to train and to validate on.
    pub const TRAINED: [Self; 3] = [Self::Clutter, Self::Pillars, Self::Shelf];
    /// Those held out for tests.
    pub const HELD_OUT: [Self; 2] = [Self::Window, Self::Bench];

    /// The families of a split.
    pub const fn of(split: Split) -> &'static [Self] {
        match split {
            Split::Train | Split::Validation => &Self::TRAINED,
            Split::Test => &Self::HELD_OUT,
        }
    }

    /// Draws a scene in which the arm is free by [`AT_START`] where it waits.
    pub fn draw(self, rng: &mut ChaCha8Rng) -> Scene {
        let table = Obstacle::cuboid(Vector::new(1.2, 1.2, 0.1), Vector::new(0.0, 0.0, -0.1), 0.0);
        loop {
            let scene = Scene { family: self, table, obstacles: self.obstacles(rng) };
            if clearance(&scene, &READY) >= AT_START {
                return scene;
            }
        }
    }

    fn obstacles(self, rng: &mut ChaCha8Rng) -> Vec<Obstacle> {
        match self {
            Self::Clutter => {
                let count = rng.random_range(4..=8);
                (0..count).map(|_| standing(rng, 0.3..0.75, 0.04..0.12, 0.05..0.28)).collect()
            }
            Self::Pillars => {
                let count = rng.random_range(3..=6);
                (0..count).map(|_| standing(rng, 0.3..0.65, 0.025..0.06, 0.3..0.5)).collect()
            }
            Self::Shelf => shelf(rng),
            Self::Window => window(rng),
            Self::Bench => bench(rng),
        }
    }
}

type Range = std::ops::Range<f64>;

/// A box or a cylinder on the table, as far off and as wide and high (halves) as the ranges say, to the front or the sides.
fn standing(rng: &mut ChaCha8Rng, far: Range, half: Range, half_height: Range) -> Obstacle {
    let (distance, angle) = (rng.random_range(far), rng.random_range(-0.75 * PI..0.75 * PI));
    let (height, turn) = (rng.random_range(half_height), rng.random_range(0.0..PI));
    let [x, y] = [rng.random_range(half.clone()), rng.random_range(half)];
    let centre = Vector::new(distance * angle.cos(), distance * angle.sin(), height);
    if rng.random_bool(0.5) {
        Obstacle::cuboid(Vector::new(x, y, height), centre, turn)
    } else {
        Obstacle::cylinder(x, height, centre)
    }
}

/// Places things in a frame that looks away from the arm: x outward from `distance` on, y to the left, z up.
#[derive(Clone, Copy, Debug)]
struct Facing {
    angle: f64,
    distance: f64,
}

impl Facing {
    fn draw(rng: &mut ChaCha8Rng, far: Range) -> Self {
        Self { angle: rng.random_range(-FRAC_PI_2..FRAC_PI_2), distance: rng.random_range(far) }
    }

    fn point(self, at: [f64; 3]) -> Vector {
        let ([out, left, up], (s, c)) = (at, self.angle.sin_cos());
        let out = self.distance + out;
        Vector::new(c * out - s * left, s * out + c * left, up)
    }

    fn cuboid(self, half: [f64; 3], at: [f64; 3]) -> Obstacle {
        Obstacle::cuboid(Vector::from_array(half), self.point(at), self.angle)
    }
}

/// Half the thickness of boards.
const BOARD: f64 = 0.01;

/// Two or three boards between two sides, and at times a back: 4 to 6 boxes.
fn shelf(rng: &mut ChaCha8Rng) -> Vec<Obstacle> {
    let facing = Facing::draw(rng, 0.4..0.55);
    let (half_width, half_depth) = (rng.random_range(0.2..0.45), rng.random_range(0.1..0.18));
    let (boards, first, gap) = (rng.random_range(2..=3_u8), rng.random_range(0.15..0.4), rng.random_range(0.22..0.4));
    let top = first + f64::from(boards - 1) * gap;
    let side = |left: f64| facing.cuboid([half_depth, BOARD, top / 2.0], [half_depth, left, top / 2.0]);
    let board = |number| {
        let height = first + f64::from(number) * gap;
        facing.cuboid([half_depth, half_width, BOARD], [half_depth, 0.0, height])
    };
    let mut all = vec![side(half_width), side(-half_width)];
    all.extend((0..boards).map(board));
    if rng.random_bool(0.5) {
        all.push(facing.cuboid([BOARD, half_width, top / 2.0], [2.0 * half_depth, 0.0, top / 2.0]));
    }
    all
}

/// A wall of four boxes about an opening.
fn window(rng: &mut ChaCha8Rng) -> Vec<Obstacle> {
    let facing = Facing::draw(rng, 0.3..0.5);
    let (half_width, half_height) = (rng.random_range(0.12..0.25), rng.random_range(0.12..0.22));
    let middle = rng.random_range(half_height + 0.1..0.6);
    let (left, frame) = (rng.random_range(-0.15..0.15), rng.random_range(0.08..0.2));
    let [below, above] = [middle - half_height, middle + half_height];
    let height = above + 2.0 * frame;
    let side = |at: f64| facing.cuboid([BOARD, frame, height / 2.0], [0.0, at, height / 2.0]);
    let bar =
        |from: f64, to: f64| facing.cuboid([BOARD, half_width, (to - from) / 2.0], [0.0, left, (from + to) / 2.0]);
    vec![side(left + half_width + frame), side(left - half_width - frame), bar(0.0, below), bar(above, height)]
}

/// A board on two or four posts, with up to three things on it.
fn bench(rng: &mut ChaCha8Rng) -> Vec<Obstacle> {
    let facing = Facing::draw(rng, 0.3..0.45);
    let (half_width, half_depth) = (rng.random_range(0.2..0.45), rng.random_range(0.12..0.22));
    let (height, post) = (rng.random_range(0.3..0.55), rng.random_range(0.015..0.03));
    let mut all = vec![facing.cuboid([half_depth, half_width, BOARD], [half_depth, 0.0, height])];
    let rows: &[f64] = if rng.random_bool(0.5) { &[0.0, 2.0] } else { &[1.0] };
    for out in rows {
        for left in [-half_width, half_width] {
            all.push(Obstacle::cylinder(post, height / 2.0, facing.point([out * half_depth, left, height / 2.0])));
        }
    }
    for _ in 0..rng.random_range(0..=3) {
        let [half, up] = [rng.random_range(0.03..0.08), rng.random_range(0.04..0.12)];
        let at = [half_depth, rng.random_range(-half_width..half_width), height + up];
        all.push(facing.cuboid([half, half, up], at));
    }
    all
}
