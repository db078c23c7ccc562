//! Two jaws that slide along x and press with a force.

use std::f64::consts::TAU;

use parry3d_f64::math::Vector;
use rapier3d_f64::dynamics::{CoefficientCombineRule, RigidBodyBuilder, RigidBodyHandle};
use rapier3d_f64::geometry::{ColliderBuilder, SharedShape};
use rapier3d_f64::pipeline::PhysicsWorld;

use super::{GRIPPER, OBJECT, PINS, groups};
use crate::world::grasp::contact::{DEPTH, STIFFNESS};
use crate::world::grasp::gripper::{FINGER, PAD_HALF_WIDTH, PATCH, STROKE, TIP};

/// Mass of a jaw, in kg: little against any object, so that a spring's stiffness is nearly the same wherever it touches.
const JAW: f64 = 0.02;
/// Damping of a pad, as a share of the critical one.
pub(super) const DAMPING_RATIO: f64 = 1.0;
/// Radius of a ball, in m: more than it can be pressed in, or its middle would come into the object, which then leaves by any side.
const BALL: f64 = 0.008;
/// Jaws close with this speed, in m/s.
const SPEED: f64 = 0.1;
/// What keeps both jaws at the same distance from the middle, in N/m: their linkage.
const LINKAGE: f64 = 2.0e4;
/// Jaws begin this far from the object, in m.
const GAP: f64 = 0.001;

/// The natural frequency of a ball's contact with an object of this mass in kg, in Hz, by which rapier has its stiffness.
pub(super) fn natural_frequency(mass: f64) -> f64 {
    (STIFFNESS / PINS as f64 * (1.0 / JAW + 1.0 / mass)).sqrt() / TAU
}

pub(super) struct Jaws {
    /// Jaws at −x and at +x; their origins are in the middle of their pads.
    bodies: [RigidBodyHandle; 2],
    force: f64,
}

impl Jaws {
    /// Open jaws that press with `force` (N) each; they begin where nothing that reaches `reach` (m) to either side is touched.
    pub(super) fn new(world: &mut PhysicsWorld, force: f64, friction: f64, reach: f64) -> Self {
        let start = (reach + GAP).min(0.5 * STROKE);
        let bodies = [-1.0, 1.0].map(|side| {
            let jaw = RigidBodyBuilder::dynamic()
                .translation(Vector::new(side * start, 0.0, 0.0))
                .enabled_translations(true, false, false)
                .lock_rotations()
                .additional_mass(JAW)
                .gravity_scale(0.0)
                .linear_damping(force / SPEED / JAW)
                .can_sleep(false);
            let jaw = world.insert_body(jaw);
            let mut insert = |shape, at: Vector| {
                let collider = ColliderBuilder::new(shape).density(0.0).translation(at).friction(friction);
                let collider = collider.friction_combine_rule(CoefficientCombineRule::Max);
                world.insert_collider(collider.collision_groups(groups(GRIPPER, OBJECT)), Some(jaw));
            };
            for [y, z] in places() {
                insert(SharedShape::ball(BALL), Vector::new(side * BALL, y, z));
            }
            let thickness = 0.5 * (FINGER - DEPTH);
            let back = SharedShape::cuboid(thickness, PAD_HALF_WIDTH, TIP);
            insert(back, Vector::new(side * (DEPTH + thickness), 0.0, 0.0));
            jaw
        });
        Self { bodies, force }
    }

    fn places_along(&self, world: &PhysicsWorld) -> [f64; 2] {
        self.bodies.map(|jaw| world.bodies[jaw].translation().x)
    }

    /// Between the pads, in m.
    pub(super) fn width(&self, world: &PhysicsWorld) -> f64 {
        let [one, two] = self.places_along(world);
        two - one
    }

    /// The faster one, in m/s.
    pub(super) fn speed(&self, world: &PhysicsWorld) -> f64 {
        self.bodies.map(|jaw| world.bodies[jaw].linvel().length()).into_iter().fold(0.0, f64::max)
    }

    /// Sets the forces of the next step.
    pub(super) fn press(&self, world: &mut PhysicsWorld) {
        let [one, two] = self.places_along(world);
        let back = -LINKAGE * (one + two);
        for (jaw, closing) in self.bodies.into_iter().zip([1.0, -1.0]) {
            let jaw = &mut world.bodies[jaw];
            jaw.reset_forces(true);
            jaw.add_force(Vector::new(closing * self.force + back, 0.0, 0.0), true);
        }
    }

    /// Whether both touch this body.
    pub(super) fn touch(&self, world: &PhysicsWorld, body: RigidBodyHandle) -> bool {
        self.bodies.iter().all(|jaw| {
            world.bodies[*jaw].colliders().iter().any(|collider| {
                let mut pairs = world.contact_pairs_with(*collider);
                pairs.any(|pair| {
                    let other = if pair.collider1 == *collider { pair.collider2 } else { pair.collider1 };
                    world.colliders[other].parent() == Some(body) && pair.total_impulse_magnitude() > 0.0
                })
            })
        })
    }
}

/// Places of the balls, spread evenly over the disc of the patch along a spiral (Vogel 1979).
fn places() -> [[f64; 2]; PINS] {
    let golden = std::f64::consts::PI * (3.0 - 5.0_f64.sqrt());
    std::array::from_fn(|i| {
        let radius = PATCH * ((i as f64 + 0.5) / PINS as f64).sqrt();
        let (sine, cosine) = (golden * i as f64).sin_cos();
        [radius * cosine, radius * sine]
    })
}
