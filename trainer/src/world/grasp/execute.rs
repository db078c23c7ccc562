//! What comes of a grasp: the jaws come down, close and lift, and the object is held or not.
//!
//! The model is Dex-Net's robust wrench resistance (Mahler et al. 2017, "Dex-Net 2.0", section III): a grasp is good for the share of
//! its executions, under noise of pose, friction and load, in which soft-finger contacts can resist the wrench of gravity and lifting.

use parry3d_f64::math::{Rotation, Vector};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use rand_distr::StandardNormal;

use super::contact::{Closed, Contact, Grip, close};
use super::gripper::{
    FINGER, Grasp, PAD_HALF_WIDTH, PALM_DEPTH, PALM_HALF_LENGTH, PALM_HALF_WIDTH, STROKE, TABLE_CLEARANCE, TIP,
};
use super::hidden::Hidden;
use super::object::Object;

/// Standard acceleration of gravity, in m/s².
pub const GRAVITY: f64 = 9.81;
/// Acceleration of the lift, in m/s².
pub const LIFT: f64 = 2.0;
/// Spread of the acceleration in each direction, in m/s².
const SHAKE: f64 = 1.5;
/// Spread of the gripper's place in each direction, in m.
const PLACE: f64 = 0.002;
/// Spread of its direction about each axis, in rad: 2°.
const DIRECTION: f64 = 2.0 * std::f64::consts::PI / 180.0;
/// Spread of the log of the friction from try to try.
const FRICTION: f64 = 0.10;
/// The least cosine between where an object was and where it turned to between the pads: 30°.
const FLUSH: f64 = 0.866;
/// How often it turns.
const TURNS: usize = 3;
/// Executions that make a probability.
pub const EXECUTIONS: usize = 64;

/// Why a grasp did not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Failure {
    /// A fingertip came to the table.
    Table,
    /// A jaw came down on the object.
    Jaw,
    /// The palm came down on the object.
    Palm,
    /// Nothing was between the pads.
    Missed,
    /// Too little was between the pads.
    Thin,
    /// A load along the closing direction was more than the force of a pad.
    Unloaded,
    /// A contact was pulled and not pressed.
    Pulled,
    /// A contact slipped.
    Slipped,
}

/// What came of one execution.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Outcome {
    /// Why it did not hold; none if it did.
    pub failure: Option<Failure>,
    /// The share of its normal force that the worse contact has left before it slips: 1 is no load, below 0 it slips; −1 where the
    /// jaws did not close on the object.
    pub slip_margin: f64,
    /// Between the pads when closed, in m; 0 where they did not close on the object.
    pub width: f64,
}

impl Outcome {
    fn failed(failure: Failure) -> Self {
        Self { failure: Some(failure), slip_margin: -1.0, width: 0.0 }
    }

    /// Whether the object was lifted.
    pub fn held(&self) -> bool {
        self.failure.is_none()
    }
}

/// What differs from try to try.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Noise {
    /// Of the gripper's place, in m.
    pub place: Vector,
    /// Of its direction, a rotation vector in rad.
    pub direction: Vector,
    /// Factor of the friction.
    pub friction: f64,
    /// Acceleration of the object as it feels it, gravity included, in m/s².
    pub acceleration: Vector,
}

impl Noise {
    /// None: the lift alone.
    pub const NONE: Self = Self {
        place: Vector::ZERO,
        direction: Vector::ZERO,
        friction: 1.0,
        acceleration: Vector::new(0.0, 0.0, -(GRAVITY + LIFT)),
    };

    /// Draws that of one try.
    pub fn draw(rng: &mut ChaCha8Rng) -> Self {
        let mut normal = |spread: f64| spread * rng.sample::<f64, _>(StandardNormal);
        let mut vector = |spread| Vector::new(normal(spread), normal(spread), normal(spread));
        let (place, direction, shake) = (vector(PLACE), vector(DIRECTION), vector(SHAKE));
        let friction = normal(FRICTION).exp();
        Self { place, direction, friction, acceleration: Self::NONE.acceleration + shake }
    }
}

/// Where the gripper truly goes when it is sent to `grasp`.
pub fn executed(object: &Object, hidden: &Hidden, grasp: &Grasp, noise: &Noise) -> Grasp {
    let turn = Rotation::from_scaled_axis(hidden.turn);
    let tilt = Rotation::from_scaled_axis(noise.direction);
    Grasp {
        centre: object.centroid + turn * (grasp.centre - object.centroid) + hidden.offset + noise.place,
        axis: tilt * (turn * grasp.axis),
        approach: tilt * (turn * grasp.approach),
    }
}

/// One try of `grasp`.
pub fn execute(object: &Object, hidden: &Hidden, grasp: &Grasp, noise: &Noise) -> Outcome {
    carry_out(object, hidden, grasp, noise).0
}

/// One try of `grasp`, and the grip by which it lifts, if it comes to that.
pub(super) fn carry_out(object: &Object, hidden: &Hidden, grasp: &Grasp, noise: &Noise) -> (Outcome, Option<Grip>) {
    let grasp = executed(object, hidden, grasp, noise);
    let failed = |failure| (Outcome::failed(failure), None);
    if grasp.lowest() < TABLE_CLEARANCE || grasp.lowest_of_palm() < TABLE_CLEARANCE {
        return failed(Failure::Table);
    }
    let closed = close(object, &grasp, hidden.force);
    match closed {
        Closed::Nothing => return failed(Failure::Missed),
        Closed::TooWide => return failed(Failure::Jaw),
        Closed::TooThin | Closed::On(_) => {}
    }
    if let Some(failure) = collision(object, &grasp) {
        return failed(failure);
    }
    let Closed::On(grip) = closed else {
        return failed(Failure::Thin);
    };
    let friction = hidden.friction * noise.friction;
    let load = Load { force: hidden.mass * noise.acceleration, at: object.centre_of_mass(hidden) };
    settle(object, grasp, grip, friction, hidden.force, &load)
}

/// Closes on the object, which turns between pads that slip on it until its faces lie on them, as far as it can turn, and lifts.
fn settle(
    object: &Object,
    mut grasp: Grasp,
    mut grip: Grip,
    friction: f64,
    force: f64,
    load: &Load,
) -> (Outcome, Option<Grip>) {
    let first = grasp.axis;
    let mut outcome = resist(grasp.axis, &grip, friction, force, load);
    for _ in 0..TURNS {
        let slips = matches!(outcome.failure, Some(Failure::Slipped | Failure::Pulled));
        let flush = (grip.contacts[1].normal - grip.contacts[0].normal).normalize_or_zero();
        if !slips || flush.dot(first) < FLUSH {
            break;
        }
        // The object turns about the middle of what is gripped; as it is seen from the object, the gripper does.
        let approach = Rotation::from_rotation_arc(grasp.axis, flush) * grasp.approach;
        grasp = Grasp { centre: grip.middle, axis: flush, approach };
        match close(object, &grasp, force) {
            Closed::On(closed) => grip = closed,
            Closed::TooThin => return (Outcome::failed(Failure::Thin), None),
            Closed::Nothing | Closed::TooWide => return (Outcome::failed(Failure::Missed), None),
        }
        outcome = resist(grasp.axis, &grip, friction, force, load);
    }
    (outcome, Some(grip))
}

/// Whether a finger or the palm comes down on the object, by the points of its surface.
pub(super) fn collision(object: &Object, grasp: &Grasp) -> Option<Failure> {
    let side = grasp.side();
    // Most objects are within the stroke and below the palm, which their box tells at once.
    let [nearest, farthest] = object.extent(grasp.centre, grasp.axis);
    let behind = -object.extent(grasp.centre, grasp.approach)[0];
    let (fingers, palm) = (farthest.max(-nearest) > 0.5 * STROKE, behind > PALM_DEPTH);
    if !fingers && !palm {
        return None;
    }
    for point in &object.points {
        let from = *point - grasp.centre;
        let (along, across, ahead) = (from.dot(grasp.axis).abs(), from.dot(side).abs(), from.dot(grasp.approach));
        if fingers && along > 0.5 * STROKE && across < PAD_HALF_WIDTH && ahead < TIP && ahead > -PALM_DEPTH {
            // The fingers are thin: what lies farther out than a finger is thick is past it.
            if along < 0.5 * STROKE + FINGER {
                return Some(Failure::Jaw);
            }
        }
        if palm && ahead < -PALM_DEPTH && along < PALM_HALF_LENGTH && across < PALM_HALF_WIDTH {
            return Some(Failure::Palm);
        }
    }
    None
}

/// A force on the object and where it acts.
struct Load {
    /// In N.
    force: Vector,
    /// In m.
    at: Vector,
}

/// Whether two soft-finger contacts hold the load. Each takes half of the force across the closing direction, and the couple about
/// the middle, to which pads that press beside each other add theirs; a contact holds while
/// (|tangential force| / μ)² + (torsion / γ)² ≤ (normal force)² with γ = μ · torsion arm, the ellipsoidal limit surface of a disc (Howe and
/// Cutkosky 1996).
fn resist(axis: Vector, grip: &Grip, friction: f64, force: f64, load: &Load) -> Outcome {
    let Grip { contacts, width, .. } = *grip;
    let between = contacts[1].at - contacts[0].at;
    let apart = between.dot(axis);
    let middle = 0.5 * (contacts[0].at + contacts[1].at);
    let torque = (load.at - middle).cross(load.force);
    let along = load.force.dot(axis);
    let half = -0.5 * (load.force - along * axis);
    let couple = axis.cross(torque) / apart;
    if along.abs() >= force {
        return Outcome { failure: Some(Failure::Unloaded), slip_margin: -1.0, width };
    }
    let mut outcome = Outcome { failure: None, slip_margin: f64::INFINITY, width };
    for (sign, Contact { normal: outward, torsion_arm, .. }) in [-1.0, 1.0].into_iter().zip(contacts) {
        let pressed = force - (-sign * along).max(0.0);
        // Forces that hold each other's couple act along the line between the contacts.
        let contact = half + sign * couple - sign * pressed / apart * between;
        let normal = -contact.dot(outward);
        if normal <= 0.0 {
            return Outcome { failure: Some(Failure::Pulled), slip_margin: -1.0, width };
        }
        let tangential = (contact + normal * outward).length() / friction;
        let torsion = 0.5 * torque.dot(axis) / (friction * torsion_arm);
        outcome.slip_margin = outcome.slip_margin.min(1.0 - tangential.hypot(torsion) / normal);
    }
    if outcome.slip_margin < 0.0 {
        outcome.failure = Some(Failure::Slipped);
    }
    outcome.slip_margin = outcome.slip_margin.max(-1.0);
    outcome
}

/// The share of `executions` in which `grasp` holds.
pub fn success_probability(
    object: &Object,
    hidden: &Hidden,
    grasp: &Grasp,
    executions: usize,
    rng: &mut ChaCha8Rng,
) -> f64 {
    let held = (0..executions).filter(|_| execute(object, hidden, grasp, &Noise::draw(rng)).held()).count();
    held as f64 / executions as f64
}

/// Whether `grasp` holds in at least half of [`EXECUTIONS`]; it is not tried further than that takes to tell.
pub(super) fn holds_half(object: &Object, hidden: &Hidden, grasp: &Grasp, rng: &mut ChaCha8Rng) -> bool {
    let (mut held, mut failed) = (0, 0);
    while held < EXECUTIONS / 2 && failed <= EXECUTIONS / 2 {
        let count = if execute(object, hidden, grasp, &Noise::draw(rng)).held() { &mut held } else { &mut failed };
        *count += 1;
    }
    held == EXECUTIONS / 2
}
