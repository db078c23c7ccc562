//! A seven-joint arm among obstacles: from configurations that were checked exactly it learns which others are free.
//!
//! A task is a scene ([`scene`]): a table, boxes and cylinders. A row is a configuration: the joint angles, and where eight points of the
//! arm then are ([`body::control_points`]). The target is the arm's signed clearance ([`mod@clearance`]) in *this* scene, of which the inputs
//! show nothing: all that is known of it are the configurations that were checked. Learned collision checkers work so: Fastron (Das and
//! Yip 2020, *IEEE Transactions on Robotics* 36(1)), DiffCo (Zhi et al. 2022, *IEEE Transactions on Robotics* 38(5)).
//!
//! The support is uniform within the joint limits, so K rows cost K checks. The query is balanced between collision and free, half of it
//! within [`NEAR`] of touching: there it is decided whether a path holds. Judged are the error of the clearance (`rmse`, m), how well collisions are
//! told from free configurations (`auroc`), and how often the sign is right, collision and free counting alike (`balanced_accuracy`).
//!
//! **One distribution is a control**: with `fixed` all tasks are one scene, and adapting must gain nothing.

pub mod body;
pub mod clearance;
pub mod kinematics;
pub mod obstacle;
pub mod rrt_connect;
pub mod scene;
#[cfg(test)]
mod tests;

use std::sync::OnceLock;

use parry3d_f64::math::Vector;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use sinew_models::spec::Loss;

use self::body::{CONTROL, CONTROL_POINTS, control_points};
use self::clearance::clearance;
use self::kinematics::{JOINTS, Joints, uniform};
pub use self::scene::{Family, Scene};
use super::{Column, Metric, Predictor, Signature, Split, Task, World};
use crate::episode::Episode;
use crate::metric;

/// Numbers of a row: joint angles, and three coordinates of each control point.
pub const FEATURES: usize = JOINTS + 3 * CONTROL_POINTS;
/// What is near touching, in m.
pub const NEAR: f64 = 0.05;
/// Configurations of a scene that are checked when it is first needed: the first half are for supports, the others for queries.
const CHECKED: usize = 1024;
/// Query rows of an episode; half as many in training.
const QUERY: usize = 128;

/// `[world]` of the arm.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ArmConfig {
    /// What differs between tasks.
    #[serde(default)]
    pub distribution: Distribution,
}

/// What differs between tasks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Distribution {
    /// The scene; the kinds of scenes in tests are none of those in training.
    #[default]
    Full,
    /// Nothing, all tasks are one scene: a control, in which adapting must gain nothing.
    Fixed,
}

/// The world of the arm.
#[derive(Debug)]
pub struct ArmWorld {
    distribution: Distribution,
    signature: Signature,
    scenes: [Vec<OnceLock<Surveyed>>; 3],
}

/// A scene, and configurations that were checked in it.
#[derive(Clone, Debug)]
pub struct Surveyed {
    /// The scene.
    pub scene: Scene,
    /// Configurations that are uniform within the limits, with their clearances in m.
    pub checked: Vec<(Joints, f64)>,
}

impl Surveyed {
    fn draw(family: Family, rng: &mut ChaCha8Rng) -> Self {
        let scene = family.draw(rng);
        let one = |_| {
            let joints = uniform(rng);
            (joints, clearance(&scene, &joints))
        };
        let checked = (0..CHECKED).map(one).collect();
        Self { scene, checked }
    }
}

/// What a row says of a configuration: [`FEATURES`] numbers, in rad and m.
pub fn features(joints: &Joints) -> [f32; FEATURES] {
    let mut row = [0.0; FEATURES];
    let points = control_points(joints);
    let values = joints.iter().copied().chain(points.iter().flat_map(Vector::to_array));
    row.iter_mut().zip(values).for_each(|(number, value)| *number = value as f32);
    row
}

fn columns() -> Vec<Column> {
    let joints = (1..=JOINTS).map(|joint| Column { name: format!("joint_{joint}"), unit: "rad".into() });
    let of = |(name, ..): (&str, usize, [f64; 3])| {
        ["x", "y", "z"].map(|axis| Column { name: format!("{name}_{axis}"), unit: "m".into() })
    };
    joints.chain(CONTROL.into_iter().flat_map(of)).collect()
}

impl ArmWorld {
    /// The world of `config`: 1024 scenes to train on, 256 to validate and 512 to test. A scene is made when it is first needed.
    ///
    /// ```
    /// # use sinew_trainer::world::{World, Split, arm::{ArmConfig, ArmWorld}};
    /// # use rand::SeedableRng;
    /// let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(0);
    /// let world = ArmWorld::new(&ArmConfig::default());
    /// let task = world.task(Split::Test, &mut rng);
    /// let episode = world.episode(&task, 64, &mut rng);
    /// assert_eq!((episode.support.rows, episode.query.rows), (64, 128));
    /// ```
    pub fn new(config: &ArmConfig) -> Self {
        let outputs = vec![Column { name: "clearance".into(), unit: "m".into() }];
        let signature = Signature::of_one_head(columns(), None, outputs, Loss::MeanSquared);
        let scenes = [Split::Train, Split::Validation, Split::Test]
            .map(|split| (0..Self::scene_count(split)).map(|_| OnceLock::new()).collect());
        Self { distribution: config.distribution, signature, scenes }
    }

    /// How many scenes a split has.
    pub const fn scene_count(split: Split) -> usize {
        match split {
            Split::Train => 1024,
            Split::Validation => 256,
            Split::Test => 512,
        }
    }

    fn number(task: &Task) -> usize {
        (task.seed % Self::scene_count(task.split) as u64) as usize
    }

    /// The scene of a task; of the control it is the first to train on.
    pub fn scene(&self, task: &Task) -> &Surveyed {
        let (split, number) = match self.distribution {
            Distribution::Full => (task.split, Self::number(task)),
            Distribution::Fixed => (Split::Train, 0),
        };
        self.scenes[split as usize][number].get_or_init(|| {
            let mut rng = ChaCha8Rng::seed_from_u64(0x0061_726d);
            rng.set_stream(((split as u64) << 32) + number as u64);
            let families = Family::of(split);
            Surveyed::draw(families[rng.random_range(0..families.len())], &mut rng)
        })
    }
}

impl World for ArmWorld {
    fn name(&self) -> &str {
        "arm"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn task_count(&self, _split: Split) -> Option<usize> {
        None
    }

    fn cluster(&self, task: &Task) -> u64 {
        Self::number(task) as u64
    }

    fn task(&self, split: Split, rng: &mut ChaCha8Rng) -> Task {
        Task { split, seed: rng.random() }
    }

    /// The support is `shots` configurations that are uniform within the limits, each once until all were taken. The query is of others: half
    /// in collision and half free, half of each near touching, as far as the scene has so many.
    fn episode(&self, task: &Task, shots: usize, rng: &mut ChaCha8Rng) -> Episode {
        let (first, others) = self.scene(task).checked.split_at(CHECKED / 2);
        let mut episode = Episode::default();
        let mut order: Vec<&(Joints, f64)> = first.iter().collect();
        order.shuffle(rng);
        for (joints, clearance) in order.into_iter().cycle().take(shots) {
            episode.support.push(&features(joints), &[*clearance as f32]);
        }
        let quarter = if task.split == Split::Train { QUERY / 8 } else { QUERY / 4 };
        let mut order: Vec<&(Joints, f64)> = others.iter().collect();
        order.shuffle(rng);
        for free in [false, true] {
            let of_class = |row: &&&(Joints, f64)| (row.1 > 0.0) == free;
            let near = order.iter().filter(of_class).filter(|row| row.1.abs() < NEAR).take(quarter);
            let far = order.iter().filter(of_class).filter(|row| row.1.abs() >= NEAR).take(quarter);
            for (joints, clearance) in near.chain(far) {
                episode.query.push(&features(joints), &[*clearance as f32]);
            }
        }
        episode
    }

    fn metrics(&self) -> &[Metric] {
        const { &[Metric::lower("rmse", "m"), Metric::higher("auroc", "1"), Metric::higher("balanced_accuracy", "1")] }
    }

    fn score(&self, _task: &Task, episode: &Episode, predictor: &mut Predictor<'_>) -> Vec<f64> {
        let query = &episode.query;
        let mut said = vec![0.0; query.rows];
        predictor(&query.inputs, &mut said);
        let free: Vec<f32> = query.targets.iter().map(|target| f32::from(u8::from(*target > 0.0))).collect();
        // Balanced accuracy asks whether a number is above a half.
        let signs: Vec<f32> = said.iter().map(|said| said + 0.5).collect();
        vec![metric::rmse(&said, &query.targets), metric::auroc(&said, &free), metric::balanced_accuracy(&signs, &free)]
    }

    /// Who knows the scene is never wrong: an exact check has no noise.
    fn oracle(&self, task: &Task, episode: &Episode) -> Option<Vec<f64>> {
        Some(self.score(task, episode, &mut |_, said| said.copy_from_slice(&episode.query.targets)))
    }
}
