//! Pictures of a grasping task: the scene, what a depth camera sees of it, and which grasps are believed in before and after tries.

mod chances;
mod gripper;
mod patch;
#[cfg(feature = "rerun")]
mod record;
mod render;
mod views;

use std::error::Error;
use std::num::NonZeroU32;
use std::path::PathBuf;

use parry3d_f64::math::Vector;
use plotters::prelude::RGBColor;
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use sinew_runtime::Bundle;

use self::chances::{Chances, ChancesPicture};
use self::patch::PatchPicture;
use self::render::{Block, Camera, SQUARE, Stage};
use self::views::{Mark, SIDE, View, Views};
use super::Order;
use super::draw::Bar;
use crate::deploy::agent::{Adapted, Agent, AgentError, memory};
use crate::picture::{BAD, GOOD, INK, viridis, write_both, write_png};
use crate::world::grasp::depth::Image;
use crate::world::grasp::execute::EXECUTIONS;
use crate::world::grasp::gripper::Grasp;
use crate::world::grasp::{CANDIDATES, GraspWorld, Scene, Situation};
use crate::world::{Split, World};

/// Grasps that are shown as the best.
const BEST: usize = 5;
/// Thickness of signs, in m: of a few, and of many.
const THICK: f64 = 0.003;
const THIN: f64 = 0.0016;
/// The colour of an object under signs.
const GREY: Vector = Vector::new(0.50, 0.51, 0.53);
/// The colour of an object before the gripper.
const BLUE: Vector = Vector::new(0.22, 0.40, 0.60);
/// A grasp comes from above if its approach points down as much as this.
const FROM_ABOVE: f64 = -0.9;

/// A try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Try {
    grasp: usize,
    held: bool,
}

/// Signs of grasps, and what is written at the ends of their stems.
type Signs = (Vec<Block>, Vec<(Vector, String, RGBColor)>);

/// What a bundle believes of the grasps to choose from.
struct Beliefs {
    before: Vec<f32>,
    tries: Vec<Try>,
    /// After each of them.
    then: Vec<Vec<f32>>,
}

/// One task, and what a bundle makes of it.
struct Told<'w> {
    situation: Situation<'w>,
    /// How often each grasp to choose from holds.
    truth: Vec<f32>,
    /// The one that holds most often.
    best: usize,
    /// One look of the depth camera.
    seen: Image,
    beliefs: Option<Beliefs>,
}

impl Beliefs {
    /// Of a bundle that sees the outcomes of so many tries of other grasps.
    fn of(bytes: &[u8], situation: &Situation<'_>, shots: usize, rng: &mut ChaCha8Rng) -> Result<Self, AgentError> {
        let bundle = Bundle::parse(bytes)?;
        let mut memory = memory(&bundle, shots.max(1))?;
        let mut agent = Adapted::new(&bundle, shots.max(1), &mut memory)?;
        let rows = situation.scene.inputs(0..CANDIDATES);
        let said = |agent: &mut Adapted<'_>| -> Result<Vec<f32>, AgentError> {
            let mut said = vec![0.0; CANDIDATES];
            agent.predict(&rows, &mut said, None)?;
            Ok(said)
        };
        let before = said(&mut agent)?;
        let mut order: Vec<usize> = (CANDIDATES..2 * CANDIDATES).collect();
        order.shuffle(rng);
        let (mut tries, mut then) = (Vec::with_capacity(shots), Vec::with_capacity(shots));
        for &grasp in order.iter().cycle().take(shots) {
            let held = situation.try_grasp(grasp, rng).held();
            agent.observe(&situation.scene.input(grasp), &[f32::from(u8::from(held))])?;
            tries.push(Try { grasp, held });
            then.push(said(&mut agent)?);
        }
        Ok(Self { before, tries, then })
    }

    /// After all tries.
    fn after(&self) -> &[f32] {
        self.then.last().unwrap_or(&self.before)
    }
}

impl<'w> Told<'w> {
    fn of(situation: Situation<'w>, order: &Order<'_>, rng: &mut ChaCha8Rng) -> Result<Self, AgentError> {
        let numbers: Vec<usize> = (0..CANDIDATES).collect();
        let truth: Vec<f32> =
            situation.probabilities(&numbers, EXECUTIONS).into_iter().map(|chance| chance as f32).collect();
        let best = largest(&truth, 1).first().copied().unwrap_or(0);
        let seen =
            Image::exact(&situation.scene.object).noisy(NonZeroU32::MIN, &mut ChaCha8Rng::from_rng(rng)).levelled();
        let beliefs = order.bundle.map(|bytes| Beliefs::of(bytes, &situation, order.shots, rng)).transpose()?;
        Ok(Self { situation, truth, best, seen, beliefs })
    }
}

/// The numbers of the largest values, the largest first.
fn largest(values: &[f32], count: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|one, other| values[*other].total_cmp(&values[*one]));
    order.truncate(count);
    order
}

/// A colour as light.
fn light(RGBColor(red, green, blue): RGBColor) -> Vector {
    let part = |part: u8| (f64::from(part) / 255.0).powf(2.2);
    Vector::new(part(red), part(green), part(blue))
}

/// From where the jaws of `grasp` are seen from the side and a little from above.
fn beside(grasp: &Grasp) -> Vector {
    let from = |sign: f64| {
        let from = sign * grasp.side() + 0.55 * grasp.axis - 0.45 * grasp.approach;
        Vector::new(from.x, from.y, 0.0)
    };
    let [one, other] = [from(1.0), from(-1.0)];
    let level = if one.length() >= other.length() { one } else { other };
    level.normalize_or(Vector::X) + 0.62 * Vector::Z
}

fn sign(scene: &Scene, grasp: usize, thin: f64, colour: RGBColor) -> Vec<Block> {
    gripper::sign(&scene.grasps[grasp], scene.width(grasp), thin, light(colour))
}

/// Draws one test task of `world`.
///
/// # Errors
/// If the bundle cannot be adapted, or a file cannot be written.
pub fn draw(world: &GraspWorld, order: &Order<'_>) -> Result<Vec<PathBuf>, Box<dyn Error>> {
    let mut rng = order.rng(0);
    let task = world.task(Split::Test, &mut rng);
    let told = Told::of(world.situation(&task), order, &mut rng)?;
    let Told { situation, truth, best, seen, beliefs } = &told;
    let mut written = write_png(order.folder, "grasp-scene", &scene(situation, *best, truth))?;
    written.extend(write_both(order.folder, "grasp-depth", &depth(situation, truth, seen))?);
    written.extend(write_png(order.folder, "grasp-candidates", &candidates(situation, *best, truth))?);
    if let Some(beliefs) = beliefs {
        written.extend(write_png(order.folder, "grasp-choice", &choice(situation, *best, truth, beliefs))?);
        let tries = order.tries("try", "tries");
        let panels = vec![
            Chances { title: "Before any try".into(), said: beliefs.before.clone() },
            Chances { title: format!("After {tries} of other grasps"), said: beliefs.after().to_vec() },
        ];
        written.extend(write_both(order.folder, "grasp-chances", &ChancesPicture { panels, truth: truth.clone() })?);
    }
    #[cfg(feature = "rerun")]
    if let Some(file) = order.recording {
        record::record(&told)?.write(file)?;
        written.push(file.into());
    }
    Ok(written)
}

/// The object with the gripper at the best grasp.
fn scene(situation: &Situation<'_>, best: usize, truth: &[f32]) -> Views {
    let Situation { scene, hidden, .. } = situation;
    let grasp = &scene.grasps[best];
    let pads = gripper::closed(&scene.object, grasp, hidden.force);
    let stage = Stage { object: &scene.object, colour: BLUE, blocks: gripper::whole(grasp, pads) };
    let camera = Camera::around(&stage.points(), beside(grasp));
    let notes = vec![
        format!("It holds in {:.0} % of {EXECUTIONS} executions.", 100.0 * truth[best]),
        format!(
            "Hidden: friction {:.2}, mass {:.2} kg, {:.0} N a pad, and where it is.",
            hidden.friction, hidden.mass, hidden.force
        ),
        format!("Lines of the table are {:.0} mm apart.", 1000.0 * SQUARE),
    ];
    let image = stage.render(&camera, 2 * SIDE as usize);
    let title = "The best of the grasps to choose from".into();
    Views { views: vec![View { title, image, marks: Vec::new() }], notes, bar: None }
}

/// The depth image, and the patch before the best grasp from above; before the best where none is from above.
fn depth(situation: &Situation<'_>, truth: &[f32], seen: &Image) -> PatchPicture {
    let Situation { scene, hidden, .. } = situation;
    let order = largest(truth, CANDIDATES);
    let above = order.iter().find(|grasp| scene.grasps[**grasp].approach.z < FROM_ABOVE);
    let grasp = scene.grasps[above.or(order.first()).copied().unwrap_or(0)];
    PatchPicture::new(seen.clone(), grasp, gripper::closed(&scene.object, &grasp, hidden.force))
}

fn holds() -> Bar {
    Bar::even("true\nprobability\nto hold [1]", [0.0, 1.0], 5, 1)
}

/// All grasps to choose from, by what is true of them.
fn candidates(situation: &Situation<'_>, best: usize, truth: &[f32]) -> Views {
    let scene = &situation.scene;
    let blocks = (0..CANDIDATES).flat_map(|grasp| sign(scene, grasp, THIN, viridis(truth[grasp].into()))).collect();
    let stage = Stage { object: &scene.object, colour: GREY, blocks };
    let camera = Camera::around(&stage.points(), beside(&scene.grasps[best]));
    let image = stage.render(&camera, 2 * SIDE as usize);
    let title = format!("The {CANDIDATES} grasps to choose from");
    Views { views: vec![View { title, image, marks: Vec::new() }], notes: Vec::new(), bar: Some(holds()) }
}

/// The grasps that are believed best before the tries, the tries, and those believed best afterwards.
fn choice(situation: &Situation<'_>, best: usize, truth: &[f32], beliefs: &Beliefs) -> Views {
    let scene = &situation.scene;
    let chosen = [&beliefs.before[..], beliefs.after()].map(|said| largest(said, BEST));
    let believed = |chosen: &[usize]| -> Signs {
        let blocks =
            chosen.iter().flat_map(|grasp| sign(scene, *grasp, THICK, viridis(truth[*grasp].into()))).collect();
        let end = |(place, grasp): (usize, &usize)| (gripper::end(&scene.grasps[*grasp]), (place + 1).to_string(), INK);
        (blocks, chosen.iter().enumerate().map(end).collect())
    };
    let held = |held: bool| if held { GOOD } else { BAD };
    let tried = (
        beliefs.tries.iter().flat_map(|one| sign(scene, one.grasp, THICK, held(one.held))).collect(),
        beliefs
            .tries
            .iter()
            .map(|one| {
                let text = if one.held { "✓" } else { "✗" };
                (gripper::end(&scene.grasps[one.grasp]), text.to_owned(), held(one.held))
            })
            .collect(),
    );
    let parts = [believed(&chosen[0]), tried, believed(&chosen[1])];
    let mut all = Stage { object: &scene.object, colour: GREY, blocks: Vec::new() };
    all.blocks.extend(parts.iter().flat_map(|(blocks, _)| blocks));
    let camera = Camera::around(&all.points(), beside(&scene.grasps[best]));
    let mean = |chosen: &[usize]| 100.0 * chosen.iter().map(|grasp| truth[*grasp]).sum::<f32>() / chosen.len() as f32;
    let worked = beliefs.tries.iter().filter(|one| one.held).count();
    let titles = [
        format!("Before: the {BEST} believed best"),
        format!("Tries of other grasps: {worked} of {} held", beliefs.tries.len()),
        format!("After: the {BEST} believed best"),
    ];
    let view = |(title, (blocks, marks)): (String, Signs)| {
        let image = Stage { blocks, ..all.clone() }.render(&camera, 2 * SIDE as usize);
        let mark = |(at, text, colour)| Mark { place: camera.place(at), text, colour };
        View { title, image, marks: marks.into_iter().map(mark).collect() }
    };
    let notes = vec![format!(
        "Before, the first choice holds in {:.0} % and the {BEST} in {:.0} % of executions on average; afterwards in {:.0} % and {:.0} %; the best of all in {:.0} %. ✓ held, ✗ did not.",
        100.0 * truth[chosen[0][0]],
        mean(&chosen[0]),
        100.0 * truth[chosen[1][0]],
        mean(&chosen[1]),
        100.0 * truth[best],
    )];
    Views { views: titles.into_iter().zip(parts).map(view).collect(), notes, bar: Some(holds()) }
}
