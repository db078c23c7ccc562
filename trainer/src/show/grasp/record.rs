//! A grasping task as a recording: what the camera sees, what is believed of the grasps to choose from after each try, and what is true of
//! them, beside each other.

use std::error::Error;

use parry3d_f64::math::Vector;
use plotters::prelude::RGBColor;
use re_sdk_types::archetypes::{
    DepthImage, LineStrips3D, Mesh3D, Pinhole, Scalars, TextDocument, Transform3D, ViewCoordinates,
};
use re_sdk_types::components::ViewCoordinates as Axes;
use re_sdk_types::datatypes::ChannelDatatype;

use super::gripper::{closed, lines as sign, whole};
use super::render::Block;
use super::{Told, largest};
use crate::picture::{BAD, GOOD, viridis};
use crate::show::recording::{Colour, Recording, aside, lines, mesh, rgb};
use crate::world::grasp::Scene;
use crate::world::grasp::depth::{HEIGHT, Image, PIXEL, PIXELS};
use crate::world::grasp::execute::EXECUTIONS;
use crate::world::grasp::object::Object;

/// From one part of the scene to the next, in m.
const APART: f64 = 0.5;
/// Half the side and the height of the piece of table under an object, in m.
const TABLE: [f64; 2] = [0.19, 0.002];
/// Radii of the lines of signs, in m: of many, and of one.
const THIN: f32 = 0.0006;
const THICK: f32 = 0.002;
const OBJECT: Colour = [118, 150, 184];
const TABLE_COLOUR: Colour = [205, 205, 205];

fn object(object: &Object) -> Mesh3D {
    let (corners, normals): (Vec<_>, Vec<_>) = object
        .surface
        .triangles()
        .flat_map(|(corners, normals)| corners.into_iter().zip(normals))
        .map(|(corner, normal)| (corner.to_array(), normal.to_array()))
        .unzip();
    let colours = vec![OBJECT; corners.len()];
    mesh(&corners, &normals, &colours)
}

/// The triangles of a box, whose corners are numbered by bits, one for each axis, and the normals outward.
fn faces(block: &Block) -> Vec<([Vector; 3], Vector)> {
    let corners: Vec<Vector> = block.corners().collect();
    let mut faces = Vec::new();
    for axis in 0..3 {
        let [one, other] = [1 << ((axis + 1) % 3), 1 << ((axis + 2) % 3)];
        for (far, out) in [(0, -block.axes[axis]), (1 << axis, block.axes[axis])] {
            for triangle in [[0, one, one | other], [0, one | other, other]] {
                let [a, b, c] = triangle.map(|corner| corners[far | corner]);
                // Seen from outside, corners go round against the clock.
                let turned = (b - a).cross(c - a).dot(out) < 0.0;
                faces.push((if turned { [a, c, b] } else { [a, b, c] }, out));
            }
        }
    }
    faces
}

fn boxes(blocks: &[Block], colour: impl Fn(&Block) -> Colour) -> Mesh3D {
    let (mut corners, mut normals, mut colours) = (Vec::new(), Vec::new(), Vec::new());
    for block in blocks {
        for (triangle, out) in faces(block) {
            corners.extend(triangle.map(|corner| corner.to_array()));
            normals.extend([out.to_array(); 3]);
            colours.extend([colour(block); 3]);
        }
    }
    mesh(&corners, &normals, &colours)
}

fn table() -> Mesh3D {
    let [half, thick] = TABLE;
    let block = Block {
        centre: Vector::new(0.0, 0.0, -thick),
        axes: [Vector::X, Vector::Y, Vector::Z],
        half: [half, half, 0.5 * thick],
        colour: Vector::ONE,
        bright: false,
    };
    boxes(&[block], |_| TABLE_COLOUR)
}

/// Signs of these grasps in these colours.
fn signs(scene: &Scene, grasps: &[(usize, RGBColor)], radius: f32) -> LineStrips3D {
    let strips = grasps.iter().flat_map(|(grasp, _)| sign(&scene.grasps[*grasp], scene.width(*grasp)));
    let strips = strips.map(|strip| strip.into_iter().map(|point| point.to_array()).collect()).collect();
    let colours = grasps.iter().flat_map(|(_, colour)| [rgb(*colour); 2]).collect();
    lines(strips, colours, radius)
}

fn by_chance(chances: &[f32]) -> Vec<(usize, RGBColor)> {
    chances.iter().map(|chance| viridis((*chance).into())).enumerate().collect()
}

/// The image as its camera takes it: the rows of the world's image go along y, those of a camera that looks down go against it.
fn upright(image: &Image) -> DepthImage {
    let depths: Vec<f32> = image.depths().chunks(PIXELS).rev().flatten().copied().collect();
    let side = PIXELS as u32;
    let range = depths.iter().map(|depth| f64::from(*depth));
    let range = range.fold([f64::INFINITY, 0.0], |[near, far], depth| [near.min(depth), far.max(depth)]);
    DepthImage::from_data_type_and_bytes(bytemuck::cast_slice::<f32, u8>(&depths), [side, side], ChannelDatatype::F32)
        .with_meter(1.0)
        .with_depth_range(range)
}

/// The mean over grasps of the cross-entropy of what is believed to what is true, in nat.
fn log_loss(said: &[f32], truth: &[f32]) -> f64 {
    let one = |(said, truth): (&f32, &f32)| {
        let (said, truth) = (f64::from(*said).clamp(1e-6, 1.0 - 1e-6), f64::from(*truth));
        -truth * said.ln() - (1.0 - truth) * (1.0 - said).ln()
    };
    said.iter().zip(truth).map(one).sum::<f64>() / said.len() as f64
}

/// Records `told`.
///
/// # Errors
/// If that cannot be done.
pub fn record(told: &Told<'_>) -> Result<Recording, Box<dyn Error>> {
    let Told { situation, truth, best, seen, beliefs } = told;
    let (scene, hidden) = (&situation.scene, &situation.hidden);
    let recording = Recording::begin("grasp", "try")?;
    recording.always("/", &ViewCoordinates::new(Axes::RIGHT_HAND_Z_UP))?;
    for (part, place) in [("seen", -APART), ("believed", 0.0), ("true", APART)] {
        recording.always(part, &aside(place))?;
        recording.always(&format!("{part}/table"), &table())?;
        recording.always(&format!("{part}/object"), &object(&scene.object))?;
    }
    let about = format!(
        "Grasps are coloured by how often they hold, from 0 (dark) to 1 (yellow): as *believed* after each try, and as is *true* in {EXECUTIONS} \
         executions; the best holds in {:.0} %. Tries are blue where they held, vermilion where not.\n\nHidden: friction {:.2}, mass {:.2} kg, \
         {:.0} N a pad, and where the object is.",
        100.0 * truth[*best],
        hidden.friction,
        hidden.mass,
        hidden.force
    );
    recording.always("about", &TextDocument::from_markdown(about))?;
    let down = [[1.0, 0.0, 0.0], [0.0, -1.0, 0.0], [0.0, 0.0, -1.0]];
    recording.always("seen/camera", &Transform3D::from_translation_mat3x3([0.0, 0.0, HEIGHT], down))?;
    let (focal, side) = ((HEIGHT / PIXEL) as f32, PIXELS as f32);
    recording.always("seen/camera", &Pinhole::from_focal_length_and_resolution([focal, focal], [side, side]))?;
    recording.always("seen/camera", &upright(seen))?;
    recording.always("true/grasps", &signs(scene, &by_chance(truth), THIN))?;
    let gripper = |grasp: usize| {
        let grasp = &scene.grasps[grasp];
        boxes(&whole(grasp, closed(&scene.object, grasp, hidden.force)), |block| {
            block.colour.to_array().map(|part| (255.0 * part.powf(1.0 / 2.2)) as u8)
        })
    };
    recording.always("true/gripper", &gripper(*best))?;
    let Some(beliefs) = beliefs else { return Ok(recording) };
    for (step, said) in std::iter::once(&beliefs.before).chain(&beliefs.then).enumerate() {
        recording.step(step);
        recording.now("believed/grasps", &signs(scene, &by_chance(said), THIN))?;
        let chosen = largest(said, 1).first().copied().unwrap_or(0);
        recording.now("believed/gripper", &gripper(chosen))?;
        recording.now("curves/the_first_choice_holds", &Scalars::single(f64::from(truth[chosen])))?;
        recording.now("curves/log_loss", &Scalars::single(log_loss(said, truth)))?;
        if let Some(tried) = step.checked_sub(1).map(|before| beliefs.tries[before]) {
            let colour = if tried.held { GOOD } else { BAD };
            recording.now("believed/try", &signs(scene, &[(tried.grasp, colour)], THICK))?;
        }
    }
    Ok(recording)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::show::{Order, Shown};
    use crate::world::{Split, World, open};

    #[test]
    fn boxes_are_closed_and_face_outward() {
        let turn = parry3d_f64::math::Matrix::from_rotation_z(0.3) * parry3d_f64::math::Matrix::from_rotation_x(0.7);
        let axes = [turn * Vector::X, turn * Vector::Y, turn * Vector::Z];
        let (centre, half) = (Vector::new(0.1, -0.2, 0.3), [0.01, 0.02, 0.04]);
        let block = Block { centre, axes, half, colour: Vector::ONE, bright: false };
        let faces = faces(&block);
        // By the theorem of Gauss their signed cones fill it.
        let volume: f64 = faces.iter().map(|([a, b, c], _)| a.dot(b.cross(*c)) / 6.0).sum();
        assert!(faces.len() == 12 && (volume - 8.0 * half.iter().product::<f64>()).abs() <= 1e-15, "{volume}");
        for ([a, b, c], out) in faces {
            let normal = (b - a).cross(c - a).normalize();
            assert!(normal.distance(out) <= 1e-9 && (a - centre).dot(out) > 0.0, "{normal} {out}");
        }
    }

    #[test]
    fn believing_the_truth_loses_its_entropy() {
        let entropy = -0.2_f64 * 0.2_f64.ln() - 0.8 * 0.8_f64.ln();
        assert!((log_loss(&[0.2, 0.8], &[0.2, 0.8]) - entropy).abs() <= 1e-6);
        assert!(log_loss(&[0.3, 0.8], &[0.2, 0.8]) > entropy && log_loss(&[1.0], &[0.0]).is_finite());
    }

    #[test]
    fn a_task_is_recorded_try_by_try() {
        let zoo = concat!(env!("CARGO_MANIFEST_DIR"), "/../models/zoo/grasp-meta-sgd.safetensors");
        let bundle = std::fs::read(zoo).unwrap();
        let Shown::Grasp(world) = Shown::open(&open::config_by_name("grasp").unwrap(), 3).unwrap() else { panic!() };
        let folder = std::path::Path::new("");
        let order = Order { bundle: Some(&bundle), shots: 3, seed: 0, folder, recording: None };
        let mut rng = order.rng(0);
        let task = world.task(Split::Test, &mut rng);
        let told = Told::of(world.situation(&task), &order, &mut rng).unwrap();
        let contents = record(&told).unwrap().contents();
        for (name, changes) in [
            ("/about", 0),
            ("/seen/camera", 0),
            ("/true/grasps", 0),
            ("/true/gripper", 0),
            ("/believed/object", 0),
            ("/believed/grasps", 4),
            ("/believed/gripper", 4),
            ("/believed/try", 3),
            ("/curves/the_first_choice_holds", 4),
            ("/curves/log_loss", 4),
        ] {
            assert_eq!(contents.get(name), Some(&changes), "{name} of {contents:?}");
        }
    }
}
