//! A grasp in a simulator of rigid bodies: the jaws come down, close, lift and shake, and the object is held or not.
//!
//! It judges what [`execute`](super::execute) says in closed form, from the same facts and the same noise, by other means: bodies that
//! move under contacts with Coulomb friction (rapier). Nothing here knows of wrenches.
//!
//! **The pad.** Contacts of rigid bodies are points, and a flat rigid pad on a curved object would resist no torsion, or on a flat one
//! that of its corners. A soft pad touches in a patch. So each pad is a bed of springs (a Winkler foundation; Johnson 1985, section 4.3):
//! [`PINS`] balls, spread evenly over a disc with the radius of the patch, that give way as silicone of that area does. With equal load
//! such a bed resists torsion as ⅔ of the radius does, which is the disc of the closed form; with unequal load, at an edge or on a
//! curved face, what it resists follows from where it touches.
//!
//! **The frame.** All happens in the frame of the gripper, which does not turn: the arm's acceleration appears as weight, and the table
//! sinks away. So the jaws are bodies that slide along one axis and nothing else, without joints that could give way.
//!
//! **What is left out.** The arm is stiff; the object is rigid; it does not topple on the table while the jaws close, which takes a
//! tenth of a second, as its motion is damped until then; fingers above the pads are bent outward, as those of a Robotiq 2F-85 are, and do
//! not touch when closed.

mod body;
mod descent;
mod jaws;

use parry3d_f64::mass_properties::MassProperties;
use parry3d_f64::math::{Matrix, Pose, Rotation, Vector};
use rapier3d_f64::dynamics::{
    FrictionModel, IntegrationParameters, RigidBodyBuilder, RigidBodyHandle, SpringCoefficients,
};
use rapier3d_f64::geometry::{
    ColliderBuilder, ColliderHandle, Group, InteractionGroups, InteractionTestMode, SharedShape,
};
use rapier3d_f64::pipeline::PhysicsWorld;

pub use self::body::Body;
use self::jaws::Jaws;
use super::execute::{GRAVITY, LIFT, Noise, executed};
use super::gripper::{Grasp, SMALLEST_WIDTH};
use super::hidden::Hidden;
use super::object::Object;

/// Springs of a pad.
pub const PINS: usize = 12;
/// Friction between object and table: of plastic or cardboard on wood.
const TABLE_FRICTION: f64 = 0.3;
/// One step, in s, and the parts of it in which contacts are solved.
const STEP: f64 = 1e-3;
const SUBSTEPS: usize = 8;
/// The longest that jaws close, in s.
const CLOSING: f64 = 1.0;
/// The load comes on within this time, in s.
const ONSET: f64 = 0.05;
/// From the table to 0.2 m above it at [`LIFT`], in s, and the time after it under load.
const RISE: f64 = 0.45;
const AFTER: f64 = 0.2;
/// What is held in place slides and turns less than this in the lift, in m and rad (20°): the pads are soft, and give way before they slip.
pub const MOST_SLID: f64 = 0.010;
/// See [`MOST_SLID`].
pub const MOST_TURNED: f64 = 0.35;
/// After so many steps without contact an object is lost.
const LOST: usize = 50;
/// Damping of the object before it is lifted, in 1/s.
const AT_REST: f64 = 50.0;

/// What became of a lift.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fate {
    /// It is between the pads, off the table, and where it was grasped.
    Held,
    /// It hangs between the pads, but slid or turned there by more than [`MOST_SLID`] or [`MOST_TURNED`].
    Slipped,
    /// The gripper came to the table on its way down.
    Table,
    /// A jaw came down on the object.
    Jaw,
    /// The palm came down on the object.
    Palm,
    /// The jaws closed on nothing, or on too little.
    Empty,
    /// It was left behind, or lost on the way.
    Dropped,
}

/// What came of a lift.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Lifted {
    /// How it ended.
    pub fate: Fate,
    /// Between the pads when they had closed, in m; 0 where they did not.
    pub width: f64,
    /// By how much the object turned while the jaws closed, in rad.
    pub turned_closing: f64,
    /// By how much the object turned between the pads in the lift, in rad.
    pub turned: f64,
    /// By how much the place of the object that was between the pads moved in the lift, in m.
    pub slid: f64,
}

impl Lifted {
    fn failed(fate: Fate) -> Self {
        Self { fate, width: 0.0, turned_closing: 0.0, turned: 0.0, slid: 0.0 }
    }

    /// Whether the object was lifted and stayed where it was grasped.
    pub fn held(&self) -> bool {
        self.fate == Fate::Held
    }
}

/// One try of `grasp`, simulated. The same inputs give the same bits.
pub fn lift(body: &Body, object: &Object, hidden: &Hidden, grasp: &Grasp, noise: &Noise) -> Lifted {
    let grasp = executed(object, hidden, grasp, noise);
    let into = frame(&grasp);
    let (pose, table) = (into * body.pose(object), into);
    if let Some(fate) = descent::obstacle(body, &pose, &table) {
        return Lifted::failed(fate);
    }
    let mut simulation = Simulation::new(body, object, hidden, noise, pose, table);
    let width = simulation.close();
    let closed = simulation.object();
    let angle = |from: Rotation, to: Rotation| (from.inverse() * to).angle_between(Rotation::IDENTITY);
    let turned_closing = angle(pose.rotation, closed.rotation);
    if width < SMALLEST_WIDTH {
        return Lifted { width, turned_closing, ..Lifted::failed(Fate::Empty) };
    }
    simulation.lift(noise);
    let lifted = simulation.object();
    let slid = lifted.transform_point(closed.inverse_transform_point(Vector::ZERO)).length();
    let turned = angle(closed.rotation, lifted.rotation);
    let fate = match simulation.holds() {
        false => Fate::Dropped,
        true if slid > MOST_SLID || turned > MOST_TURNED => Fate::Slipped,
        true => Fate::Held,
    };
    Lifted { fate, width, turned_closing, turned, slid }
}

/// From the frame of the table into that of the gripper: x along the closing direction, z against the approach.
fn frame(grasp: &Grasp) -> Pose {
    let out = Matrix::from_cols(grasp.axis, grasp.side(), -grasp.approach);
    Pose::from_parts(grasp.centre, Rotation::from_mat3(&out).normalize()).inverse()
}

const TABLE: Group = Group::GROUP_1;
const OBJECT: Group = Group::GROUP_2;
const GRIPPER: Group = Group::GROUP_3;

fn groups(own: Group, others: Group) -> InteractionGroups {
    InteractionGroups::new(own, others, InteractionTestMode::And)
}

struct Simulation {
    world: PhysicsWorld,
    object: RigidBodyHandle,
    table: RigidBodyHandle,
    table_top: ColliderHandle,
    jaws: Jaws,
    up: Vector,
    into: Rotation,
}

impl Simulation {
    fn new(body: &Body, object: &Object, hidden: &Hidden, noise: &Noise, pose: Pose, table: Pose) -> Self {
        let mut world = PhysicsWorld::new();
        let up = table.rotation * Vector::Z;
        world.gravity = -GRAVITY * up;
        let frequency = jaws::natural_frequency(hidden.mass);
        world.integration_parameters = IntegrationParameters {
            dt: STEP,
            num_solver_iterations: SUBSTEPS,
            // Objects are of decimetres.
            length_unit: 0.1,
            contact_softness: SpringCoefficients::new(frequency, jaws::DAMPING_RATIO),
            contact_recycling: false,
            contact_clustering: false,
            friction_model: FrictionModel::Coulomb,
            ..Default::default()
        };
        let centre = body.centre_of_mass(object, hidden);
        let mass = MassProperties::with_inertia_matrix(centre, hidden.mass, body.inertia(hidden.mass));
        let moving = RigidBodyBuilder::dynamic().pose(pose).additional_mass_properties(mass).can_sleep(false);
        let handle = world.insert_body(moving.linear_damping(AT_REST).angular_damping(AT_REST));
        for part in body.parts() {
            // The other surface says what the friction is.
            let part = ColliderBuilder::new(part.clone()).density(0.0).friction(0.0);
            world.insert_collider(part.collision_groups(groups(OBJECT, TABLE | GRIPPER)), Some(handle));
        }
        let below = Pose::from_translation(Vector::new(0.0, 0.0, -0.5));
        let top = ColliderBuilder::new(SharedShape::cuboid(2.0, 2.0, 0.5))
            .position(below)
            .friction(TABLE_FRICTION)
            .friction_combine_rule(rapier3d_f64::dynamics::CoefficientCombineRule::Max)
            .collision_groups(groups(TABLE, OBJECT));
        let slab = world.insert_body(RigidBodyBuilder::kinematic_position_based().pose(table));
        let table_top = world.insert_collider(top, Some(slab));
        let friction = hidden.friction * noise.friction;
        let reach = body.parts().iter().fold(0.0_f64, |reach, part| {
            let around = part.compute_aabb(&pose);
            reach.max(around.maxs.x).max(-around.mins.x)
        });
        let jaws = Jaws::new(&mut world, hidden.force, friction, reach);
        Self { world, object: handle, table: slab, table_top, jaws, up, into: table.rotation }
    }

    fn object(&self) -> Pose {
        *self.world.bodies[self.object].position()
    }

    /// Closes the jaws until they rest, and says how wide they are then.
    fn close(&mut self) -> f64 {
        let mut resting = 0;
        for _ in 0..(CLOSING / STEP) as usize {
            self.step();
            let moving = self.jaws.speed(&self.world) + self.world.bodies[self.object].linvel().length();
            resting = if moving < 2e-3 && self.jaws.touch(&self.world, self.object) { resting + 1 } else { 0 };
            if resting == 20 || self.jaws.width(&self.world) < SMALLEST_WIDTH {
                break;
            }
        }
        let object = &mut self.world.bodies[self.object];
        object.set_linear_damping(0.0);
        object.set_angular_damping(0.0);
        self.jaws.width(&self.world)
    }

    /// Lifts at [`LIFT`] while the object feels the acceleration of `noise`.
    fn lift(&mut self, noise: &Noise) {
        let (before, under) = (self.world.gravity, self.into * noise.acceleration);
        let place = *self.world.bodies[self.table].position();
        let mut lost = 0;
        for step in 1..=((RISE + AFTER) / STEP) as usize {
            let time = step as f64 * STEP;
            self.world.gravity = before.lerp(under, (time / ONSET).min(1.0));
            let sunk = place.translation - 0.5 * LIFT * time * time * self.up;
            let table = &mut self.world.bodies[self.table];
            table.set_next_kinematic_position(Pose::from_parts(sunk, place.rotation));
            self.step();
            lost = if self.jaws.touch(&self.world, self.object) { 0 } else { lost + 1 };
            if lost == LOST {
                break;
            }
        }
    }

    fn step(&mut self) {
        self.jaws.press(&mut self.world);
        self.world.step();
    }

    fn holds(&self) -> bool {
        let on_table = self.world.contact_pairs_with(self.table_top).any(|pair| pair.has_any_active_contact());
        !on_table && self.jaws.touch(&self.world, self.object)
    }
}

#[cfg(test)]
mod tests;
