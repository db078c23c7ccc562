//! What a task hides: facts of object, gripper and calibration that no camera shows.

use parry3d_f64::math::Vector;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

/// Which facts differ between tasks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Distribution {
    /// All: friction, mass, force, centre of mass, calibration.
    #[default]
    Full,
    /// All, with heavy objects and a well calibrated arm.
    Heavy,
    /// None: a control, in which adapting must gain nothing.
    Nothing,
    /// Friction, mass and force alone: a control, in which one bias takes most of the gain.
    Forces,
}

impl Distribution {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Full, Self::Heavy, Self::Nothing, Self::Forces];

    /// As configurations and the command line name it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Heavy => "heavy",
            Self::Nothing => "nothing",
            Self::Forces => "forces",
        }
    }
}

/// The hidden facts of one task. Ranges are engineering choices for household objects and a gripper with adjustable force.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Hidden {
    /// Coulomb friction between pad and object, from 0.15 to 0.9.
    pub friction: f64,
    /// In kg, log-uniform from 0.05 to 1.5; heavy ones from 0.3.
    pub mass: f64,
    /// Centre of mass in the frame of the object, as shares of its half extents from the centroid, from −0.4 to 0.4.
    pub centre_of_mass: Vector,
    /// Force of a pad, in N, from 20 to 80.
    pub force: f64,
    /// What the camera says too much of a place, in m: to ± 8 mm, ± 3 mm if well calibrated.
    pub offset: Vector,
    /// What it says too much of a direction, as a rotation vector about the object's centroid, in rad: to ± 8°, ± 3° if well calibrated.
    pub turn: Vector,
}

impl Hidden {
    /// Draws the facts of a task.
    pub fn draw(distribution: Distribution, rng: &mut ChaCha8Rng) -> Self {
        // Everything is drawn in every distribution, so that tasks with one seed have in common what they can.
        let mut uniform = |low: f64, high: f64| rng.random_range(low..high);
        let friction = uniform(0.15, 0.9);
        let lightest = if distribution == Distribution::Heavy { 0.3_f64 } else { 0.05 };
        let mass = uniform(lightest.ln(), 1.5_f64.ln()).exp();
        let mut vector = |half: f64| Vector::new(uniform(-half, half), uniform(-half, half), uniform(-half, half));
        let centre_of_mass = vector(0.4);
        let worst = if distribution == Distribution::Heavy { 3.0 } else { 8.0 };
        let (offset, turn) = (vector(worst * 1e-3), vector(worst.to_radians()));
        let force = uniform(20.0, 80.0);
        let drawn = Self { friction, mass, centre_of_mass, force, offset, turn };
        let shown = Self {
            friction: 0.45,
            mass: 0.5,
            centre_of_mass: Vector::ZERO,
            force: 45.0,
            offset: Vector::ZERO,
            turn: Vector::ZERO,
        };
        match distribution {
            Distribution::Full | Distribution::Heavy => drawn,
            Distribution::Nothing => shown,
            Distribution::Forces => Self { friction, mass, force, ..shown },
        }
    }
}
