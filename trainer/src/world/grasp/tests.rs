use std::f64::consts::PI;

use parry3d_f64::math::{Matrix, Vector};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use super::execute::{Failure, Noise, execute};
use super::families::Family;
use super::gripper::Grasp;
use super::mesh::{Mesh, MeshError};
use super::object::Object;
use super::pose::stable_poses;
use super::primitives::{bow, capsule, cuboid, cylinder, superquadric};
use super::*;
use crate::metric;

fn near(found: f64, expected: f64, tolerance: f64) {
    assert!((found - expected).abs() <= tolerance, "expected {expected}, found {found}");
}

/// Every edge of a closed surface is walked once in each direction.
fn assert_closed(mesh: &Mesh, what: &str) {
    let mut edges = std::collections::BTreeMap::new();
    for [a, b, c] in mesh.triangles() {
        for (from, to) in [(a, b), (b, c), (c, a)] {
            *edges.entry((from, to)).or_insert(0) += 1;
        }
    }
    for ((from, to), count) in &edges {
        assert_eq!(edges.get(&(*to, *from)), Some(count), "{what}: edge {from} to {to}");
    }
    assert!(mesh.volume() > 0.0, "{what}: {}", mesh.volume());
}

#[test]
fn bodies_have_the_volumes_of_their_formulas() {
    near(cuboid(Vector::new(0.1, 0.2, 0.3)).unwrap().volume(), 0.006, 1e-12);
    near(cylinder(0.03, 0.1, 200).unwrap().volume(), PI * 0.0009 * 0.1, 1e-7);
    let ball = 4.0 / 3.0 * PI * 0.03_f64.powi(3);
    near(capsule(0.03, 0.1, 100).unwrap().volume(), PI * 0.0009 * 0.1 + ball, 0.03 * ball);
    let ellipsoid = 4.0 / 3.0 * PI * 0.02 * 0.03 * 0.04;
    near(superquadric(Vector::new(0.02, 0.03, 0.04), [1.0, 1.0], 120).unwrap().volume(), ellipsoid, 0.01 * ellipsoid);
    // Pappus: the area of the bar times the way of its middle, less what eight sides leave of a circle.
    let octagon = 0.5 * 8.0 * (PI / 4.0).sin() / PI;
    let half = PI * 0.03 * PI * 0.005_f64.powi(2) * octagon;
    near(bow(0.03, 0.005, [-PI / 2.0, PI / 2.0], 100).unwrap().volume(), half, 0.01 * half);
}

#[test]
fn every_family_is_closed_and_fits_the_table() {
    for (number, family) in Family::TRAINED.iter().chain(&Family::HELD_OUT).enumerate() {
        let mut rng = ChaCha8Rng::seed_from_u64(number as u64);
        for _ in 0..20 {
            let mesh = family.draw(&mut rng).unwrap();
            assert_closed(&mesh, &format!("{family:?}"));
            let [low, high] = mesh.bounds();
            assert!((high - low).max_element() <= 0.36, "{family:?}: {low} to {high}");
        }
    }
}

#[test]
fn what_is_no_body_says_so() {
    let plane = [Vector::ZERO, Vector::X, Vector::Y];
    let mesh = Mesh::new(&plane, &[[0, 1, 2]]).unwrap();
    assert_eq!(mesh.hull(), Err(MeshError::Flat));
    assert_eq!(Mesh::new(&plane, &[[0, 1, 1]]), Err(MeshError::Empty));
    assert!(matches!(Mesh::new(&plane, &[[0, 1, 3]]), Err(MeshError::NoVertex { triangle: 0, vertices: 3, .. })));
    let infinite = [Vector::ZERO, Vector::X, Vector::Y * f64::NAN];
    assert!(matches!(Mesh::new(&infinite, &[[0, 1, 2]]), Err(MeshError::NotFinite { vertex: 2, .. })));
}

#[test]
fn a_box_rests_on_its_faces_by_their_solid_angles() {
    let edges = Vector::new(0.04, 0.06, 0.10);
    let mesh = cuboid(edges).unwrap();
    let poses = stable_poses(&mesh, Vector::ZERO).unwrap();
    assert_eq!(poses.len(), 6);
    // The solid angle of a rectangle of sides a, b, seen from its axis at distance d.
    let angle = |a: f64, b: f64, d: f64| 4.0 * (a * b / ((4.0 * d * d + a * a) * (4.0 * d * d + b * b)).sqrt()).asin();
    let largest = angle(0.06, 0.10, 0.02) / (4.0 * PI);
    near(poses[0].probability, largest, 1e-9);
    near(poses[1].probability, largest, 1e-9);
    near(poses.iter().map(|pose| pose.probability).sum(), 1.0, 1e-12);
    for pose in &poses {
        let lowest = mesh.vertices().iter().filter(|v| (pose.rotation * **v).z < -0.019);
        assert!(lowest.count() >= 4, "four corners down");
    }
    // A centre of mass beyond the edge of a face: it topples.
    let poses = stable_poses(&mesh, Vector::new(0.0, 0.0, 0.049)).unwrap();
    let top_down = poses.iter().find(|pose| (pose.rotation * Vector::Z).z < -0.99).unwrap();
    assert!(top_down.probability > 0.3, "{poses:?}");
}

/// A box of 40 × 60 × 100 mm that stands on its smallest face.
fn standing() -> Object {
    let mesh = cuboid(Vector::new(0.04, 0.06, 0.10)).unwrap();
    let mut rng = ChaCha8Rng::seed_from_u64(0);
    Object::at(&mesh, Vector::ZERO, Matrix::IDENTITY, &mut rng)
}

fn grasp(height: f64) -> Grasp {
    Grasp { centre: Vector::new(0.0, 0.0, height), axis: Vector::X, approach: -Vector::Z }
}

fn known() -> Hidden {
    Hidden::draw(Distribution::Nothing, &mut ChaCha8Rng::seed_from_u64(0))
}

#[test]
fn a_lift_holds_until_friction_carries_no_more() {
    let object = standing();
    let hit = object.surface.line(Vector::new(0.0, 0.01, 0.05), Vector::X).unwrap();
    near(hit[0].distance, -0.02, 1e-12);
    near(hit[1].normal.dot(Vector::X), 1.0, 1e-12);
    // Two pads of 45 N hold 2 · 0.45 · 45 N = 40.5 N, so 3.43 kg at 11.81 m/s².
    let outcome = |mass: f64| execute(&object, &Hidden { mass, ..known() }, &grasp(0.05), &Noise::NONE);
    let limit = 2.0 * 0.45 * 45.0 / 11.81;
    assert!(outcome(0.999 * limit).held());
    assert_eq!(outcome(1.001 * limit).failure, Some(Failure::Slipped));
    near(outcome(0.5 * limit).slip_margin, 0.5, 1e-9);
    near(outcome(0.5 * limit).width, 0.04, 1e-12);
    // A lever of 30 mm in the plane of the pads: torsion of m·a·0.03 / 2 a pad, against ⅔ · 10 mm · μ · F.
    let off = Hidden { centre_of_mass: Vector::new(0.0, 1.0, 0.0), ..known() };
    let mass = |mass: f64| execute(&object, &Hidden { mass, ..off }, &grasp(0.05), &Noise::NONE);
    let (straight, torsion) = (11.81_f64 / 2.0 / 0.45, 11.81 * 0.03 / 2.0 / (2.0 / 3.0 * 0.45 * 0.01));
    let limit = 45.0 / straight.hypot(torsion);
    assert!(mass(0.999 * limit).held() && !mass(1.001 * limit).held());
}

#[test]
fn a_gripper_touches_neither_table_nor_object_before_it_closes() {
    let (object, hidden) = (standing(), known());
    let failure = |grasp: &Grasp| execute(&object, &hidden, grasp, &Noise::NONE).failure;
    assert_eq!(failure(&grasp(0.05)), None);
    assert_eq!(failure(&grasp(0.0125)), Some(Failure::Table));
    // 75 mm below the top the palm, 70 mm behind the pads, comes down on it.
    assert_eq!(failure(&grasp(0.025)), Some(Failure::Palm));
    let shifted = |x: f64| Grasp { centre: Vector::new(x, 0.0, 0.05), ..grasp(0.05) };
    assert_eq!(failure(&shifted(0.024)), Some(Failure::Jaw));
    assert_eq!(failure(&shifted(0.022)), None);
    let beside = Grasp { centre: Vector::new(0.0, 0.04, 0.05), ..grasp(0.05) };
    assert_eq!(failure(&beside), Some(Failure::Missed));
    let weak = Hidden { force: 1.0, mass: 1.0, ..known() };
    let steep = Grasp { axis: Vector::new(1.0, 0.0, 0.5).normalize(), ..grasp(0.05) };
    assert_eq!(execute(&object, &weak, &steep, &Noise::NONE).failure, Some(Failure::Unloaded));
}

#[test]
fn pads_close_on_what_sticks_out_and_turn_what_they_slip_on() {
    let hidden = known();
    // 20° aslant of its faces a box would slip (tan 20° = 0.36, μ = 0.3), but it turns until they lie on the pads.
    let object = standing();
    let slippery = Hidden { friction: 0.3, ..hidden };
    let tilted = |degrees: f64| {
        let (sine, cosine) = degrees.to_radians().sin_cos();
        let aslant = Grasp { axis: Vector::new(cosine, sine, 0.0), ..grasp(0.05) };
        execute(&object, &slippery, &aslant, &Noise::NONE)
    };
    let straight = tilted(0.0);
    near(tilted(20.0).slip_margin, straight.slip_margin, 1e-9);
    near(tilted(20.0).width, 0.04, 1e-12);
    // Farther than 30° it does not turn.
    assert_eq!(tilted(32.0).failure, Some(Failure::Slipped));
    // Pads whose middles are 6 mm off the axis of a cylinder close on its widest place all the same.
    let mesh = cylinder(0.02, 0.1, 200).unwrap();
    let object = Object::at(&mesh, Vector::ZERO, Matrix::IDENTITY, &mut ChaCha8Rng::seed_from_u64(0));
    let beside = Grasp { centre: Vector::new(0.0, 0.006, 0.05), ..grasp(0.05) };
    let outcome = execute(&object, &hidden, &beside, &Noise::NONE);
    assert!(outcome.held() && (outcome.width - 0.04).abs() <= 1e-4, "{outcome:?}");
}

#[test]
fn scenes_and_episodes_follow_from_their_seeds() {
    let (one, two) =
        (GraspWorld::open(&GraspConfig::default()).unwrap(), GraspWorld::open(&GraspConfig::default()).unwrap());
    for split in [Split::Train, Split::Validation, Split::Test] {
        let task = Task { split, seed: 7 };
        let episode = |world: &GraspWorld| world.episode(&task, 10, &mut ChaCha8Rng::seed_from_u64(1));
        assert_eq!(episode(&one), episode(&two));
        let episode = episode(&one);
        assert_eq!((episode.support.rows, episode.support.input_len()), (10, features::FEATURES));
        assert_eq!(episode.query.rows, if split == Split::Train { TRAIN_QUERY } else { CANDIDATES });
        assert!(episode.support.targets.iter().all(|target| *target == 0.0 || *target == 1.0));
        assert!(episode.support.inputs.iter().chain(&episode.query.inputs).all(|value| value.is_finite()));
        let situation = one.situation(&task);
        let best = situation.probabilities(&(0..CANDIDATES).collect::<Vec<_>>(), 64);
        assert!(best.iter().any(|p| *p >= 0.3), "{best:?}");
    }
    assert_eq!(features::columns().len(), features::FEATURES);
}

#[test]
fn looks_are_for_who_sees_depth() {
    let config = |sees, looks| GraspConfig { sees, looks: NonZeroU32::new(looks), ..GraspConfig::default() };
    let refused = GraspWorld::open(&config(Sees::Features, 4)).unwrap_err();
    assert!(matches!(refused, GraspError::Looks(looks) if looks.get() == 4), "{refused}");
    let task = Task { split: Split::Validation, seed: 3 };
    let [once, often] = [1, 400].map(|looks| {
        let world = GraspWorld::open(&config(Sees::Depth, looks)).unwrap();
        let scene = world.situation(&task).scene.into_owned();
        scene.inputs(0..CANDIDATES).into_owned()
    });
    assert_ne!(once, often);
    // A calm image is of smooth bodies: neighbours differ less.
    let rough = |seen: &[f32]| {
        seen.chunks_exact(4).zip(seen.chunks_exact(4).skip(1)).map(|(a, b)| (a[0] - b[0]).abs()).sum::<f32>()
    };
    assert!(rough(&often) < 0.8 * rough(&once), "{} {}", rough(&often), rough(&once));
}

#[test]
fn who_sees_depth_tries_the_same_grasps_of_the_same_object() {
    let [features, depth] = [Sees::Features, Sees::Depth]
        .map(|sees| GraspWorld::open(&GraspConfig { sees, ..GraspConfig::default() }).unwrap());
    let image = depth.signature().image.unwrap();
    assert_eq!((image.height * image.width, depth.signature().inputs.len()), (1024, 4096));
    let task = Task { split: Split::Validation, seed: 3 };
    let [one, two] = [&features, &depth].map(|world| world.situation(&task).scene.into_owned());
    assert_eq!(one.grasps, two.grasps);
    let mut turned = two.clone();
    turned.turn(0.5, &mut ChaCha8Rng::seed_from_u64(0));
    for scene in [two, turned] {
        for grasp in 0..CANDIDATES {
            let patch = scene.input(grasp);
            assert!(patch.len() == 4096 && patch.iter().step_by(4).all(|depth| depth.abs() <= 0.1));
        }
        assert_ne!(scene.input(0), scene.input(1));
    }
    assert_eq!(one.input(0).len(), features::FEATURES);
    let episode = depth.episode(&task, 5, &mut ChaCha8Rng::seed_from_u64(1));
    assert_eq!((episode.support.rows, episode.support.input_len(), episode.query.rows), (5, 4096, CANDIDATES));
}

#[test]
fn the_second_label_agrees_with_the_first_more_often_than_not() {
    let world =
        GraspWorld::open(&GraspConfig { distribution: Distribution::Nothing, ..GraspConfig::default() }).unwrap();
    let mut areas = Vec::new();
    for seed in 0..6 {
        let situation = world.situation(&Task { split: Split::Validation, seed });
        let grasps: Vec<usize> = (0..12).collect();
        let qualities = situation.qualities(&grasps);
        assert!(qualities.iter().all(|quality| (0.0..1.0).contains(quality)), "{qualities:?}");
        let probabilities: Vec<f32> = situation.probabilities(&grasps, 16).iter().map(|p| *p as f32).collect();
        let said: Vec<f32> = qualities.iter().map(|quality| *quality as f32).collect();
        if probabilities.iter().any(|p| *p < 0.5) {
            areas.push(metric::expected_auroc(&said, &probabilities));
        }
    }
    let mean = areas.iter().sum::<f64>() / areas.len() as f64;
    assert!(areas.len() >= 3 && mean > 0.55, "{areas:?}");
}

#[test]
fn meshes_are_read_and_grasped() {
    let folder = super::super::root::data_folder().join("meshes");
    if !folder.exists() {
        println!("skipped: {} is not there", folder.display());
        return;
    }
    let files: Vec<_> = ["ycb", "robosuite"].iter().flat_map(|name| mesh_files(&folder.join(name)).unwrap()).collect();
    assert_eq!(files.len(), 18);
    let mut refused = Vec::new();
    for file in &files {
        let mesh = read_mesh(file).unwrap();
        let [low, high] = mesh.bounds();
        assert!((high - low).max_element() > 0.03, "{}", file.display());
        if Scene::draw(&mesh, View::FEATURES, &mut ChaCha8Rng::seed_from_u64(0)).unwrap().is_none() {
            refused.push(file.file_stem().unwrap().to_string_lossy().into_owned());
        }
    }
    assert_eq!(
        refused,
        ["MasterChefCan", "Scissors"],
        "a can of 102 mm is too wide, and scissors lie lower than a pad reaches"
    );
    let config =
        GraspConfig { test_meshes: vec![folder.join("ycb").to_string_lossy().into_owned()], ..Default::default() };
    let why = GraspWorld::open(&config).unwrap_err().to_string();
    assert!(why.contains("MasterChefCan.obj") && why.contains("without"), "{why}");
    GraspWorld::open(&GraspConfig { without: refused, ..config }).unwrap();
}

#[test]
fn files_that_hold_no_body_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("box.obj");
    let why = |text: &str| {
        std::fs::write(&path, text).unwrap();
        read_mesh(&path).unwrap_err().to_string()
    };
    assert!(why("v 0 0 0\nv 1 0 0\nf 1 2 3\n").contains("box.obj"));
    assert!(why("").contains("box.obj"));
    assert!(why("v 0 0 0\nv 90 0 0\nv 0 90 0\nf 1 2 3\n").contains("90.000 m; lengths are metres"));
    let empty = tempfile::tempdir().unwrap();
    assert!(mesh_files(empty.path()).unwrap_err().to_string().contains(".obj or .stl"));
    assert!(mesh_files(&empty.path().join("none")).unwrap_err().to_string().contains("none"));
}

#[test]
fn heads_see_the_same_tries_and_what_they_measure() {
    let one = GraspWorld::open(&GraspConfig::default()).unwrap();
    let also = vec![Quantity::Width, Quantity::SlipMargin];
    let three = GraspWorld::open(&GraspConfig { also: also.clone(), ..GraspConfig::default() }).unwrap();
    let names: Vec<_> = three.metrics().iter().map(|metric| (metric.name, metric.head)).collect();
    assert_eq!(names[2..], [("pick_success", 0), ("width_rmse", 1), ("slip_margin_rmse", 2)]);
    let rng = || ChaCha8Rng::seed_from_u64(11);
    let task = one.task(Split::Test, &mut rng());
    let (a, b) = (one.episode(&task, 20, &mut rng()), three.episode(&task, 20, &mut rng()));
    assert_eq!(a.support.inputs, b.support.inputs);
    let head = |targets: &[f32], head: usize| targets.iter().copied().skip(head).step_by(3).collect::<Vec<_>>();
    assert_eq!((a.support.targets, a.query.targets), (head(&b.support.targets, 0), head(&b.query.targets, 0)));
    for row in 0..b.support.rows {
        let &[held, width, margin] = b.support.target(row) else { panic!("three targets") };
        assert!(held == 0.0 || (margin >= 0.0 && width > 0.0 && width <= 0.085), "{held} {width} {margin}");
        assert!((-1.0..=1.0).contains(&margin));
    }
    let oracle = three.oracle(&task, &b).unwrap();
    assert!(oracle[3].abs() <= 1e-6 && oracle[4].abs() <= 1e-6, "{oracle:?}");
    for wrong in [vec![Quantity::Success], vec![Quantity::Width; 2]] {
        let refused = GraspWorld::open(&GraspConfig { also: wrong, ..GraspConfig::default() }).unwrap_err();
        assert!(refused.to_string().contains("world.also"), "{refused}");
    }
}
