//! Grasping unknown objects: a gripper tries a few grasps and then knows which will hold.
//!
//! An object lies on a table. Of 64 candidate grasps the robot sees geometry ([`features`]); what it cannot see is friction, mass, where
//! the centre of mass is, how hard the gripper presses, and by how much the camera is off ([`Hidden`], 12 facts). A few tries tell. The
//! adapted network then says how likely each of 64 *other* grasps is to hold. Judged are those probabilities (`auroc`, `log_loss`) and,
//! what the robot wants, how often the grasp that it would pick holds (`pick_success`).
//!
//! **Two distributions are controls**: with nothing hidden adapting must gain nothing, and with friction, mass and force hidden alone a
//! bias takes most of the gain.
//!
//! The support is tries with outcomes, 0 or 1. Targets of the query are the share of [`execute::EXECUTIONS`] executions that hold,
//! so what is judged is the expectation over the noise of a try; with `judge = "lift"` those of tests are one simulated lift each.

pub mod candidate;
pub mod contact;
pub mod depth;
pub mod execute;
pub mod families;
pub mod features;
pub mod gripper;
pub mod hidden;
#[cfg(feature = "physics")]
pub mod lift;
pub mod mesh;
pub mod object;
pub mod pose;
pub mod primitives;
pub mod quality;
mod quantity;
pub mod read;
pub mod scene;
pub mod surface;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::sync::OnceLock;

use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use self::execute::{EXECUTIONS, Noise, Outcome, execute, holds_half, success_probability};
use self::families::Family;
pub use self::hidden::{Distribution, Hidden};
use self::mesh::{Mesh, MeshError};
pub use self::quantity::Quantity;
use self::quantity::judge;
use self::read::{ReadError, mesh_files, read_mesh};
pub use self::scene::{CANDIDATES, Scene, Sees, View};
use super::root::{UnknownVariable, data_folder, expand};
use super::{Metric, Predictor, Signature, Split, Task, World};
use crate::episode::Episode;

/// `[world]` of grasping.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GraspConfig {
    /// What is hidden.
    #[serde(default)]
    pub distribution: Distribution,
    /// Files or folders of meshes (`.obj`, `.stl`, in metres) that half of the training objects are of; without any, all are generated.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub train_meshes: Vec<String>,
    /// The same for the objects of tests; without any, they are of generated families that are held out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub test_meshes: Vec<String>,
    /// Names of mesh files, without extension, to leave out, such as those too wide for the gripper.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub without: Vec<String>,
    /// How grasps are seen.
    #[serde(default, skip_serializing_if = "is_default")]
    pub sees: Sees,
    /// Depth images of which the mean is taken, from one place: the errors of pixels fall with the root; 1 where it is missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub looks: Option<NonZeroU32>,
    /// What is predicted besides success, a head each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub also: Vec<Quantity>,
    /// Who judges the grasps of tests.
    #[serde(default, skip_serializing_if = "is_default")]
    pub judge: Judge,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

impl GraspConfig {
    /// The paths that it names.
    pub fn paths(&mut self) -> impl Iterator<Item = &mut String> {
        self.train_meshes.iter_mut().chain(&mut self.test_meshes)
    }
}

/// Who says whether grasps to be judged on would have held.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Judge {
    /// The closed form: the share of executions in which the contacts resist the wrench.
    #[default]
    Wrench,
    /// Of tests, one simulated lift of each grasp; all else is as with the closed form.
    Lift,
}

impl Judge {
    /// Refuses a mesh that it could not judge grasps of.
    fn accept(self, mesh: Mesh) -> Result<Mesh, MeshError> {
        #[cfg(feature = "physics")]
        if self == Self::Lift {
            lift::Body::new(&mesh)?;
        }
        Ok(mesh)
    }
}

/// Why the world cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum GraspError {
    /// Lifts cannot be simulated.
    #[error(
        "judge = \"lift\": expected a sinew with the feature `physics`, found one without; cargo build --features physics makes one"
    )]
    NoPhysics,
    /// A mesh.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// What is predicted besides success.
    #[error("field `world.also`: expected `slip_margin` and `width`, each at most once, found {0:?}")]
    Quantities(Vec<Quantity>),
    /// Lifts say nothing of what is predicted besides success.
    #[error("field `world.also`: expected nothing where judge = \"lift\", which tells success alone, found {0:?}")]
    NotByLift(Vec<Quantity>),
    /// Who sees features has no depth images.
    #[error("field `world.looks`: expected it with sees = \"depth\" alone, found {0}")]
    Looks(NonZeroU32),
    /// A path.
    #[error(transparent)]
    Variable(#[from] UnknownVariable),
    /// No grasps were found on it.
    #[error("{}: expected a body with {} grasps for a gripper of 85 mm, found fewer in each pose; `without` leaves it out", path.display(), 2 * CANDIDATES)]
    Ungraspable {
        /// The file.
        path: PathBuf,
    },
    /// A mesh is no body.
    #[error("{}: {source}", path.display())]
    Mesh {
        /// The file.
        path: PathBuf,
        /// Why.
        source: MeshError,
    },
}

/// Query grasps of a training episode.
const TRAIN_QUERY: usize = 32;
/// Executions that make a target in training.
const TRAIN_EXECUTIONS: usize = 8;
/// How often the hidden facts are drawn anew before another object is taken.
const REDRAWS: usize = 8;

/// The world of grasps.
#[derive(Debug)]
pub struct GraspWorld {
    distribution: Distribution,
    judge: Judge,
    view: View,
    /// Success first.
    quantities: Vec<Quantity>,
    metrics: Vec<Metric>,
    signature: Signature,
    meshes: [Vec<Mesh>; 2],
    scenes: [Vec<OnceLock<Scene>>; 3],
}

/// One task, in full.
#[derive(Clone, Debug)]
pub struct Situation<'w> {
    /// The object and its grasps.
    pub scene: Cow<'w, Scene>,
    /// What is not seen.
    pub hidden: Hidden,
    /// Of executions that make the targets.
    rng: ChaCha8Rng,
}

impl GraspWorld {
    /// The world of `config`: 4096 scenes to train on, 512 to validate and 2048 to test. A scene is made when it is first needed.
    ///
    /// # Errors
    /// If a mesh cannot be read or grasped, or lifts are to judge and cannot be simulated.
    ///
    /// ```
    /// # use sinew_trainer::world::{World, Split, grasp::{GraspConfig, GraspWorld}};
    /// # use rand::SeedableRng;
    /// let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(0);
    /// let world = GraspWorld::open(&GraspConfig::default())?;
    /// let task = world.task(Split::Test, &mut rng);
    /// let episode = world.episode(&task, 20, &mut rng);
    /// assert_eq!((episode.support.rows, episode.query.rows), (20, 64));
    /// # Ok::<(), sinew_trainer::world::grasp::GraspError>(())
    /// ```
    pub fn open(config: &GraspConfig) -> Result<Self, GraspError> {
        if config.judge == Judge::Lift && cfg!(not(feature = "physics")) {
            return Err(GraspError::NoPhysics);
        }
        let also = &config.also;
        if also.contains(&Quantity::Success) || (1..also.len()).any(|place| also[..place].contains(&also[place])) {
            return Err(GraspError::Quantities(also.clone()));
        }
        if config.judge == Judge::Lift && !also.is_empty() {
            return Err(GraspError::NotByLift(also.clone()));
        }
        if let (Sees::Features, Some(looks)) = (config.sees, config.looks) {
            return Err(GraspError::Looks(looks));
        }
        let read = |paths: &[String]| {
            let mut meshes = Vec::new();
            for path in paths {
                for file in mesh_files(&expand(path, &data_folder())?)? {
                    let stem = file.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
                    if config.without.contains(&stem) {
                        continue;
                    }
                    let wrong = |source| GraspError::Mesh { path: file.clone(), source };
                    let mesh = config.judge.accept(read_mesh(&file)?).map_err(wrong)?;
                    let scene = Scene::draw(&mesh, View::FEATURES, &mut ChaCha8Rng::seed_from_u64(0));
                    match scene {
                        Ok(Some(_)) => meshes.push(mesh),
                        Ok(None) => return Err(GraspError::Ungraspable { path: file }),
                        Err(source) => return Err(GraspError::Mesh { path: file, source }),
                    }
                }
            }
            Ok(meshes)
        };
        let quantities = [&[Quantity::Success], &also[..]].concat();
        let of_head = |(head, quantity): (usize, &Quantity)| {
            quantity.metrics().into_iter().map(move |metric| metric.of_head(head))
        };
        let metrics = quantities.iter().enumerate().flat_map(of_head).collect();
        let view = View { sees: config.sees, looks: config.looks.unwrap_or(NonZeroU32::MIN) };
        let (inputs, image) = (view.sees.columns(), view.sees.image());
        let heads = quantities.iter().map(|quantity| quantity.head()).collect();
        let signature = Signature::of_heads(inputs, image, heads);
        let scenes = [Split::Train, Split::Validation, Split::Test]
            .map(|split| (0..Self::scene_count(split)).map(|_| OnceLock::new()).collect());
        let meshes = [read(&config.train_meshes)?, read(&config.test_meshes)?];
        let GraspConfig { distribution, judge, .. } = *config;
        Ok(Self { distribution, judge, view, quantities, metrics, signature, meshes, scenes })
    }

    /// What is hidden.
    pub const fn distribution(&self) -> Distribution {
        self.distribution
    }

    /// How many scenes a split has.
    pub const fn scene_count(split: Split) -> usize {
        match split {
            Split::Train => 4096,
            Split::Validation => 512,
            Split::Test => 2048,
        }
    }

    /// A scene of a split; the number is taken modulo [`GraspWorld::scene_count`].
    pub fn scene(&self, split: Split, number: usize) -> &Scene {
        let number = number % Self::scene_count(split);
        self.scenes[split as usize][number].get_or_init(|| {
            let mut rng = ChaCha8Rng::seed_from_u64(0x6772_6173_7073);
            rng.set_stream(((split as u64) << 32) + number as u64);
            // Bodies are drawn until one can be grasped; nearly all can.
            loop {
                if let Ok(Some(scene)) = self
                    .body(split, &mut rng)
                    .and_then(|body| Scene::draw(&self.judge.accept(body)?, self.view, &mut rng))
                {
                    return scene;
                }
            }
        })
    }

    fn body(&self, split: Split, rng: &mut ChaCha8Rng) -> Result<Mesh, MeshError> {
        let [train, test] = &self.meshes;
        let (meshes, share) = match split {
            Split::Train | Split::Validation => (train, 0.5),
            Split::Test => (test, 1.0),
        };
        if !meshes.is_empty() && rng.random_bool(share) {
            return Ok(meshes[rng.random_range(0..meshes.len())].clone());
        }
        let families = Family::of(split);
        families[rng.random_range(0..families.len())].draw(rng)
    }

    /// What follows from a task: its scene and what it hides. Tasks of which no grasp holds half of the time are drawn anew.
    pub fn situation(&self, task: &Task) -> Situation<'_> {
        let mut rng = ChaCha8Rng::seed_from_u64(task.seed);
        rng.set_stream(1 + task.split as u64);
        loop {
            let scene = self.scene(task.split, rng.random_range(0..Self::scene_count(task.split)));
            for _ in 0..REDRAWS {
                let hidden = Hidden::draw(self.distribution, &mut rng);
                let mut probe = ChaCha8Rng::seed_from_u64(rng.random());
                let good = |grasp| holds_half(&scene.object, &hidden, grasp, &mut probe);
                if scene.grasps[..CANDIDATES].iter().any(good) {
                    let rng = ChaCha8Rng::seed_from_u64(rng.random());
                    return Situation { scene: Cow::Borrowed(scene), hidden, rng };
                }
            }
        }
    }
}

impl Situation<'_> {
    /// One try of the grasp with this number.
    pub fn try_grasp(&self, grasp: usize, rng: &mut ChaCha8Rng) -> Outcome {
        execute(&self.scene.object, &self.hidden, &self.scene.grasps[grasp], &Noise::draw(rng))
    }

    /// The share of `executions` in which each of these grasps holds.
    pub fn probabilities(&self, grasps: &[usize], executions: usize) -> Vec<f64> {
        self.expectations(grasps, executions, &[Quantity::Success])
    }

    /// What [`Self::probabilities`] says of `grasp` when so many others are asked for before it, of which only the noise is drawn here.
    pub fn probability_after(&self, others: usize, grasp: usize, executions: usize) -> f64 {
        let mut rng = self.rng.clone();
        for _ in 0..others * executions {
            Noise::draw(&mut rng);
        }
        success_probability(&self.scene.object, &self.hidden, &self.scene.grasps[grasp], executions, &mut rng)
    }

    /// The means over `executions` of what is asked of each of these grasps, one grasp after the other.
    fn expectations(&self, grasps: &[usize], executions: usize, quantities: &[Quantity]) -> Vec<f64> {
        let mut rng = self.rng.clone();
        let Scene { object, grasps: all, .. } = &*self.scene;
        let mut means = Vec::with_capacity(grasps.len() * quantities.len());
        for grasp in grasps {
            let mut sums = vec![0.0; quantities.len()];
            for _ in 0..executions {
                let outcome = execute(object, &self.hidden, &all[*grasp], &Noise::draw(&mut rng));
                sums.iter_mut().zip(quantities).for_each(|(sum, quantity)| *sum += quantity.of(&outcome));
            }
            means.extend(sums.into_iter().map(|sum| sum / executions as f64));
        }
        means
    }

    /// The quality of Ferrari and Canny of the grip that each of these grasps lifts by, without noise, see
    /// [`quality::ferrari_canny`]; 0 where it does not come to that.
    pub fn qualities(&self, grasps: &[usize]) -> Vec<f64> {
        let Scene { object, grasps: all, .. } = &*self.scene;
        let centre = object.centre_of_mass(&self.hidden);
        let radius = object.points.iter().map(|point| point.distance(centre)).fold(0.0, f64::max);
        let one = |grasp: &usize| {
            let (_, grip) = execute::carry_out(object, &self.hidden, &all[*grasp], &Noise::NONE);
            grip.map_or(0.0, |grip| quality::ferrari_canny(&grip, self.hidden.friction, centre, radius))
        };
        grasps.iter().map(one).collect()
    }

    /// Whether each of these grasps holds in one simulated lift: 1 or 0.
    #[cfg(feature = "physics")]
    pub fn lifts(&self, grasps: &[usize]) -> Vec<f64> {
        use self::lift::{Body, lift};
        let mut rng = self.rng.clone();
        let Scene { mesh, object, grasps: all, .. } = &*self.scene;
        // The judge accepted the mesh when the scene was drawn, so it is a body.
        let Ok(body) = Body::new(mesh) else { return vec![0.0; grasps.len()] };
        let mut one = |grasp: &usize| lift(&body, object, &self.hidden, &all[*grasp], &Noise::draw(&mut rng)).held();
        grasps.iter().map(|grasp| f64::from(u8::from(one(grasp)))).collect()
    }
}

impl World for GraspWorld {
    fn name(&self) -> &str {
        "grasp"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn task_count(&self, _split: Split) -> Option<usize> {
        None
    }

    fn task(&self, split: Split, rng: &mut ChaCha8Rng) -> Task {
        Task { split, seed: rng.random() }
    }

    /// The support is `shots` tries of grasps drawn from one half of the candidates, each once until all were tried; the query is the
    /// other half, in training a part of it.
    fn episode(&self, task: &Task, shots: usize, rng: &mut ChaCha8Rng) -> Episode {
        let situation = self.situation(task);
        let mut episode = Episode::default();
        let mut order: Vec<usize> = (CANDIDATES..2 * CANDIDATES).collect();
        order.shuffle(rng);
        for &grasp in order.iter().cycle().take(shots) {
            let outcome = situation.try_grasp(grasp, rng);
            let targets: Vec<f32> = self.quantities.iter().map(|quantity| quantity.of(&outcome) as f32).collect();
            episode.support.push(&situation.scene.input(grasp), &targets);
        }
        let mut query: Vec<usize> = (0..CANDIDATES).collect();
        let mut executions = EXECUTIONS;
        if task.split == Split::Train {
            query.shuffle(rng);
            query.truncate(TRAIN_QUERY);
            executions = TRAIN_EXECUTIONS;
        }
        let expectations = match (self.judge, task.split) {
            #[cfg(feature = "physics")]
            (Judge::Lift, Split::Test) => situation.lifts(&query),
            _ => situation.expectations(&query, executions, &self.quantities),
        };
        for (grasp, expectations) in query.iter().zip(expectations.chunks_exact(self.quantities.len())) {
            let targets: Vec<f32> = expectations.iter().map(|value| *value as f32).collect();
            episode.query.push(&situation.scene.input(*grasp), &targets);
        }
        episode
    }

    fn metrics(&self) -> &[Metric] {
        &self.metrics
    }

    fn score(&self, _task: &Task, episode: &Episode, predictor: &mut Predictor<'_>) -> Vec<f64> {
        judge(&episode.query, &self.quantities, predictor)
    }

    /// Who knows the probabilities.
    fn oracle(&self, task: &Task, episode: &Episode) -> Option<Vec<f64>> {
        Some(self.score(task, episode, &mut |_, said| said.copy_from_slice(&episode.query.targets)))
    }
}
