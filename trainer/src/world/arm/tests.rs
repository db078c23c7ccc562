use std::f64::consts::{FRAC_PI_2, FRAC_PI_4};

use parry3d_f64::math::{Matrix, Vector};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use super::body::{CAPSULES, Capsule, capsules, self_pairs};
use super::clearance::{FARTHEST, clearance, is_free};
use super::kinematics::{FRAMES, HAND, JOINTS, LIMITS, READY, TOOL, distance, frames};
use super::obstacle::{Form, Obstacle};
use super::rrt_connect::{Free, Settings, Trees, bisected, edge, length, points, shortcut};
use super::scene::AT_START;
use super::*;

fn near(found: f64, expected: f64, tolerance: f64) {
    assert!((found - expected).abs() <= tolerance, "expected {expected}, found {found}");
}

fn near_point(found: Vector, expected: [f64; 3], tolerance: f64) {
    assert!(found.distance(Vector::from_array(expected)) <= tolerance, "expected {expected:?}, found {found}");
}

fn rng(seed: u64) -> ChaCha8Rng {
    ChaCha8Rng::seed_from_u64(seed)
}

/// Rodrigues' formula.
fn turn(axis: Vector, angle: f64) -> Matrix {
    let cross = Matrix::from_cols(
        Vector::new(0.0, axis.z, -axis.y),
        Vector::new(-axis.z, 0.0, axis.x),
        Vector::new(axis.y, -axis.x, 0.0),
    );
    Matrix::IDENTITY + cross * angle.sin() + cross * cross * (1.0 - angle.cos())
}

/// The flange by a product of exponentials (Lynch and Park, *Modern Robotics*, 4.1): screws through points of the arm stretched upward,
/// from lengths of the drawing and nothing of Denavit and Hartenberg.
fn flange_by_screws(joints: &Joints) -> (Matrix, Vector) {
    let screws = [
        ([0.0, 0.0, 1.0], [0.0, 0.0, 0.333]),
        ([0.0, 1.0, 0.0], [0.0, 0.0, 0.333]),
        ([0.0, 0.0, 1.0], [0.0, 0.0, 0.649]),
        ([0.0, -1.0, 0.0], [0.0825, 0.0, 0.649]),
        ([0.0, 0.0, 1.0], [0.0, 0.0, 1.033]),
        ([0.0, -1.0, 0.0], [0.0, 0.0, 1.033]),
        ([0.0, 0.0, -1.0], [0.088, 0.0, 1.033]),
    ];
    let mut rotation = Matrix::from_cols(Vector::X, -Vector::Y, -Vector::Z);
    let mut origin = Vector::new(0.088, 0.0, 1.033 - 0.107);
    for ((axis, through), angle) in screws.iter().zip(joints).rev() {
        let (by, through) = (turn(Vector::from_array(*axis), *angle), Vector::from_array(*through));
        rotation = by * rotation;
        origin = by * (origin - through) + through;
    }
    (rotation, origin)
}

#[test]
fn the_hand_is_where_it_is_published_to_be() {
    // `O_T_EE` of a robot that waits, as the manufacturer's library prints it: 306.9 mm ahead, 486.9 mm up, looking down.
    let hand = frames(&READY)[HAND];
    near_point(hand.point(Vector::new(0.0, 0.0, TOOL)), [0.3069, 0.0, 0.4869], 1e-4);
    near_point(hand.rotation * Vector::Z, [0.0, 0.0, -1.0], 1e-12);
    near_point(hand.rotation * Vector::X, [1.0, 0.0, 0.0], 1e-12);
    // Stretched upward: 0.333 + 0.316 + 0.384 m, and the flange looks down from there.
    near_point(frames(&[0.0; JOINTS])[HAND].origin, [0.088, 0.0, 0.926], 1e-12);
}

#[test]
fn kinematics_agree_with_a_product_of_exponentials() {
    let mut rng = rng(1);
    for _ in 0..200 {
        let joints = uniform(&mut rng);
        let (rotation, origin) = flange_by_screws(&joints);
        let hand = frames(&joints)[HAND];
        near_point(hand.origin, origin.to_array(), 1e-12);
        let flange = hand.rotation * Matrix::from_rotation_z(FRAC_PI_4);
        for axis in [Vector::X, Vector::Y, Vector::Z] {
            near_point(flange * axis, (rotation * axis).to_array(), 1e-12);
        }
        let frames = frames(&joints);
        assert_eq!(frames.len(), FRAMES);
        assert!(frames.iter().all(|frame| (frame.rotation.determinant() - 1.0).abs() <= 1e-12));
    }
    assert!(LIMITS.iter().zip(READY).all(|([least, greatest], angle)| *least < angle && angle < *greatest));
}

#[test]
fn capsules_follow_their_links() {
    let ready = capsules(&READY);
    assert_eq!(ready.len(), CAPSULES);
    // The lower part of the hand, 0.1 m below the flange, across y.
    let [a, b] = [ready[11].a, ready[11].b];
    near_point(0.5 * (a + b), [0.3069, 0.0, 0.5903 - 0.1], 1e-4);
    near((b - a).y.abs(), 0.1, 1e-9);
    near(ready[11].radius, 0.02, 0.0);
    // Folded as far as it goes, the hand comes to the base; stretched, it does not.
    assert!(self_pairs().all(|(near, far)| near < far));
    let empty = Scene { obstacles: Vec::new(), ..Family::Pillars.draw(&mut rng(0)) };
    assert!(is_free(&empty, &READY));
    assert!(!is_free(&empty, &[0.0, -1.7, 0.0, -3.0, 0.0, 0.6, 0.0]));
}

/// The clearance of a point from an obstacle, from its definition.
fn signed_distance(obstacle: &Obstacle, angle: f64, point: Vector) -> f64 {
    let from = Matrix::from_rotation_z(-angle) * (point - obstacle.centre);
    let beyond = match obstacle.form {
        Form::Box(half) => from.abs() - half,
        Form::Cylinder { radius, half_height } => {
            Vector::new(from.x.hypot(from.y) - radius, -f64::INFINITY, from.z.abs() - half_height)
        }
    };
    beyond.max(Vector::ZERO).length() + beyond.max_element().min(0.0)
}

fn far_above(radius: f64) -> Capsule {
    Capsule { a: Vector::new(-1.0, 0.1, 0.6), b: Vector::new(1.0, 0.1, 0.6), radius }
}

#[test]
fn clearances_by_hand() {
    // A bar 0.2 m above a box, and one 0.05 m in its top: out by 0.05 m, and by the radius.
    let block = Obstacle::cuboid(Vector::new(0.3, 0.2, 0.2), Vector::new(0.0, 0.0, 0.2), FRAC_PI_2);
    near(block.clearance(&far_above(0.05), 1.0), 0.15, 1e-9);
    let low = Capsule { a: Vector::new(-1.0, 0.0, 0.35), b: Vector::new(1.0, 0.0, 0.35), radius: 0.04 };
    near(block.clearance(&low, 1.0), -0.05 - 0.04, 1e-9);
    // The turn swaps its edges: 0.3 m along y.
    let beside = Capsule { a: Vector::new(0.25, -1.0, 0.1), b: Vector::new(0.25, 1.0, 0.1), radius: 0.01 };
    near(block.clearance(&beside, 1.0), 0.04, 1e-9);
    // A post beside a bar: the shortest way is between their axes.
    let post = Obstacle::cylinder(0.05, 0.5, Vector::new(0.4, 0.0, 0.5));
    near(post.clearance(&far_above(0.02), 1.0), 0.1 - 0.05 - 0.02, 1e-6);
    assert!(post.is_free(&far_above(0.02)) && !post.is_free(&far_above(0.06)));
    // Of what is farther than asked for, it is only said that it is.
    near(block.clearance(&far_above(0.05), 0.05), 0.05, 0.1 + 1e-12);
    // An arm that waits above an empty table: a finger's capsule is the lowest, 0.49 m up, so other parts of the arm come first.
    let empty = Scene { obstacles: Vec::new(), ..Family::Clutter.draw(&mut rng(0)) };
    near(clearance(&empty, &READY), FARTHEST, 0.0);
    let scene = Scene {
        obstacles: vec![Obstacle::cuboid(Vector::new(0.1, 0.1, 0.2), Vector::new(0.3069, 0.0, 0.2), 0.0)],
        ..empty
    };
    near(clearance(&scene, &READY), 0.5903 - 0.1 - 0.02 - 0.4, 1e-4);
}

#[test]
fn clearances_agree_with_sampled_points() {
    let mut rng = rng(2);
    let mut seen = [0; 2];
    for number in 0..1500 {
        let mut any = |half: f64| {
            Vector::new(rng.random_range(-half..half), rng.random_range(-half..half), rng.random_range(-half..half))
        };
        let (centre, size, a, along) = (any(0.2), any(0.3).abs() + 0.02, any(0.4), any(0.2));
        let (angle, radius) = (any(3.0).x, any(0.05).x.abs());
        let capsule = Capsule { a, b: a + along, radius };
        let (obstacle, angle) = if number % 2 == 0 {
            (Obstacle::cuboid(size, centre, angle), angle)
        } else {
            (Obstacle::cylinder(size.x, size.y, centre), 0.0)
        };
        const STEPS: usize = 400;
        let at = |step: usize| signed_distance(&obstacle, angle, a + along * (step as f64 / STEPS as f64));
        let sampled = (0..=STEPS).map(at).fold(f64::INFINITY, f64::min);
        let found = obstacle.clearance(&capsule, f64::INFINITY);
        // Between two samples a clearance falls by at most half of what lies between them.
        let between = 0.5 * along.length() / STEPS as f64 + 1e-6;
        if sampled > between {
            near(found, sampled - radius, between);
            seen[0] += 1;
        } else if sampled < -between {
            // The segment is in it: no point of it is deeper than the way out of the whole.
            assert!(found <= sampled - radius + between, "{found} {sampled} {radius}");
            seen[1] += 1;
        }
        if found.abs() > 1e-6 {
            assert_eq!(obstacle.is_free(&capsule), found > 0.0, "{found}");
        }
    }
    assert!(seen.iter().all(|count| *count > 100), "{seen:?}");
}

#[test]
fn checks_agree_and_scenes_leave_room_and_stand_in_the_way() {
    for split in [Split::Train, Split::Test] {
        for family in Family::of(split) {
            let mut rng = rng(3);
            let (mut free, mut close, mut blocked) = (0, 0, 0);
            for _ in 0..20 {
                let scene = family.draw(&mut rng);
                assert!((3..=8).contains(&scene.obstacles.len()), "{family:?}: {}", scene.obstacles.len());
                assert!(clearance(&scene, &READY) >= AT_START);
                let empty = Scene { obstacles: Vec::new(), ..scene.clone() };
                for _ in 0..100 {
                    let joints = uniform(&mut rng);
                    let found = clearance(&scene, &joints);
                    assert!(found.abs() <= FARTHEST);
                    if found.abs() > 1e-6 {
                        assert_eq!(is_free(&scene, &joints), found > 0.0, "{family:?}: {found}");
                    }
                    free += usize::from(found > 0.0);
                    close += usize::from(found.abs() < NEAR);
                    blocked += usize::from(found <= 0.0 && is_free(&empty, &joints));
                }
            }
            println!("{family:?}: free {free}, near {close}, blocked by obstacles {blocked} of 2000");
            // Some of both, enough of what matters, and it is the obstacles that make the scene.
            assert!(
                (300..=1700).contains(&free) && close >= 200 && blocked >= 100,
                "{family:?}: {free} {close} {blocked}"
            );
        }
    }
}

#[test]
fn scenes_and_episodes_follow_from_their_seeds() {
    let [one, two] = [(); 2].map(|()| ArmWorld::new(&ArmConfig::default()));
    for split in [Split::Train, Split::Validation, Split::Test] {
        let task = Task { split, seed: 7 };
        let episode = |world: &ArmWorld| world.episode(&task, 40, &mut rng(1));
        let drawn = episode(&one);
        assert_eq!(drawn, episode(&two));
        assert_eq!((drawn.support.rows, drawn.support.input_len()), (40, FEATURES));
        assert!(
            drawn.query.targets.iter().any(|target| *target > 0.0)
                && drawn.query.targets.iter().any(|target| *target < 0.0)
        );
        let rows = |samples: &crate::episode::Samples| -> Vec<Vec<f32>> {
            (0..samples.rows).map(|row| samples.input(row).to_vec()).collect()
        };
        let support = rows(&drawn.support);
        assert!(rows(&drawn.query).iter().all(|row| !support.contains(row)), "the query is of other configurations");
        assert!(Family::of(split).contains(&one.scene(&task).scene.family));
        assert_eq!(one.oracle(&task, &drawn).unwrap(), [0.0, 1.0, 1.0]);
    }
    assert_eq!(one.signature().inputs.len(), FEATURES);
    let fixed = ArmWorld::new(&ArmConfig { distribution: Distribution::Fixed });
    let scene = |split, seed| fixed.scene(&Task { split, seed }).scene.clone();
    assert_eq!(scene(Split::Train, 1), scene(Split::Test, 2));
}

#[test]
fn points_are_looked_at_by_halves() {
    assert!(bisected(0).is_empty());
    assert_eq!(bisected(1), [1]);
    assert_eq!(bisected(8), [8, 4, 2, 6, 1, 3, 5, 7]);
    let to = [0.3, 0.0, 0.0, -1.0, 0.0, 0.4, 0.0];
    let from = [0.0, 0.0, 0.0, -1.0, 0.0, 0.0, 0.0];
    let edge = edge(&from, &to, 0.1);
    assert_eq!((edge.len(), edge[0]), (5, to));
    let points = points(&[from, to], 0.1);
    assert!(points.iter().all(|point| edge.contains(point)) && points.len() == 5);
    near(length(&[from, to, from]), 1.0, 1e-12);
}

/// A wall between the sides, in the plane of the first two joints, with a gap.
fn passes(joints: &Joints) -> bool {
    !(joints[0].abs() < 0.3 && joints[1] < 1.0)
}

#[test]
fn trees_find_the_way_around_a_wall() {
    let [mut start, mut goal] = [READY; 2];
    (start[0], goal[0]) = (-1.5, 1.5);
    let settings = Settings::default();
    let run = |seed: u64| {
        let (mut asked, mut looked) = (0, 0);
        let mut free = |joints: &[Joints]| -> Result<bool, std::convert::Infallible> {
            asked += 1;
            Ok(joints.iter().all(|joints| {
                looked += 1;
                passes(joints)
            }))
        };
        let free: &mut Free<'_, _> = &mut free;
        let path = Trees::new(&start, &goal, settings, seed).grow(free).unwrap().expect("there is a way");
        let shorter = shortcut(&path, 60, settings.resolution, seed, free).unwrap();
        (path, shorter, asked, looked)
    };
    for seed in 0..10 {
        let (path, shorter, asked, looked) = run(seed);
        assert_eq!(run(seed), (path.clone(), shorter.clone(), asked, looked), "what is drawn follows from the seed");
        assert!(looked > asked && asked > 0);
        for path in [&path, &shorter] {
            assert_eq!((path.first(), path.last()), (Some(&start), Some(&goal)));
        }
        assert!(points(&path, settings.resolution).iter().all(passes) && shorter.iter().all(passes));
        assert!(shorter.windows(2).all(|pair| distance(&pair[0], &pair[1]) <= settings.resolution + 1e-9));
        assert!(path.windows(2).all(|pair| distance(&pair[0], &pair[1]) <= settings.step + 1e-9));
        assert!(length(&shorter) <= length(&path));
    }
    let nothing: &mut Free<'_, ()> = &mut |_| Ok(false);
    assert_eq!(Trees::new(&start, &goal, Settings { samples: 20, ..settings }, 0).grow(nothing), Ok(None));
    let fails: &mut Free<'_, &str> = &mut |_| Err("no");
    assert_eq!(Trees::new(&start, &goal, settings, 0).grow(fails), Err("no"));
}

#[test]
fn trees_that_were_cut_grow_on() {
    let [mut start, mut goal] = [READY; 2];
    (start[0], goal[0]) = (-1.5, 1.5);
    let settings = Settings::default();
    let mut trees = Trees::new(&start, &goal, settings, 3);
    let anything: &mut Free<'_, ()> = &mut |_| Ok(true);
    let straight = trees.grow(anything).unwrap().unwrap();
    near(length(&straight), distance(&start, &goal), 1e-9);
    let whole = |from: &Joints, to: &Joints| edge(from, to, settings.resolution).iter().all(passes);
    trees.cut(&mut |from, to| whole(from, to));
    let honest: &mut Free<'_, ()> = &mut |joints| Ok(joints.iter().all(passes));
    let path = trees.grow(honest).unwrap().unwrap();
    assert_eq!((path.first(), path.last()), (Some(&start), Some(&goal)));
    assert!(points(&path, settings.resolution).iter().all(passes));
}
