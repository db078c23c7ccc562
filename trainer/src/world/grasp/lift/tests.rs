use parry3d_f64::math::{Matrix, Vector};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use super::*;
use crate::world::grasp::execute::execute;
use crate::world::grasp::families::Family;
use crate::world::grasp::hidden::Distribution;
use crate::world::grasp::primitives::cuboid;
use crate::world::grasp::scene::{Scene, View};

/// A box of 40 × 60 × 100 mm that stands on its smallest face, and what is not seen of it: 45 N, 0.45, 0.5 kg.
fn standing() -> (Body, Object, Hidden) {
    let mesh = cuboid(Vector::new(0.04, 0.06, 0.10)).unwrap();
    let mut rng = ChaCha8Rng::seed_from_u64(0);
    let object = Object::at(&mesh, Vector::ZERO, Matrix::IDENTITY, &mut rng);
    (Body::new(&mesh).unwrap(), object, Hidden::draw(Distribution::Nothing, &mut rng))
}

fn grasp(centre: Vector) -> Grasp {
    Grasp { centre, axis: Vector::X, approach: -Vector::Z }
}

#[test]
fn a_lift_holds_what_friction_carries() {
    let (body, object, hidden) = standing();
    let fate = |hidden: &Hidden| lift(&body, &object, hidden, &grasp(0.05 * Vector::Z), &Noise::NONE).fate;
    let limit = 2.0 * 0.45 * 45.0 / (GRAVITY + LIFT);
    for (share, expected) in [(0.2, Fate::Held), (0.9, Fate::Held), (1.15, Fate::Dropped), (2.0, Fate::Dropped)] {
        assert_eq!(fate(&Hidden { mass: share * limit, ..hidden }), expected, "{share} of the limit");
    }
    // A lever of 30 mm in the plane of the pads: torsion of m·a·0.03 / 2 a pad, against ⅔ · 10 mm · μ · F.
    let off = Hidden { centre_of_mass: Vector::new(0.0, 1.0, 0.0), ..hidden };
    let (straight, torsion) = (11.81_f64 / 2.0 / 0.45, 11.81 * 0.03 / 2.0 / (2.0 / 3.0 * 0.45 * 0.01));
    let limit = 45.0 / straight.hypot(torsion);
    assert_eq!(fate(&Hidden { mass: 0.7 * limit, ..off }), Fate::Held);
    assert_eq!(fate(&Hidden { mass: 2.0 * limit, ..off }), Fate::Slipped);
}

#[test]
fn what_is_in_the_way_ends_the_descent() {
    let (body, object, hidden) = standing();
    let fate = |grasp: &Grasp| lift(&body, &object, &hidden, grasp, &Noise::NONE).fate;
    assert_eq!(fate(&grasp(Vector::new(0.0, 0.0, 0.0125))), Fate::Table);
    assert_eq!(fate(&grasp(Vector::new(0.0, 0.0, 0.025))), Fate::Palm);
    assert_eq!(fate(&grasp(Vector::new(0.024, 0.0, 0.05))), Fate::Jaw);
    assert_eq!(fate(&grasp(Vector::new(0.0, 0.05, 0.05))), Fate::Empty);
    // Closing aslant, the lower finger comes to the table, though no pad would touch there.
    let aslant = Grasp {
        centre: Vector::new(0.0, 0.0, 0.03),
        axis: Vector::new(0.9, 0.0, -0.44).normalize(),
        ..grasp(Vector::ZERO)
    };
    let approach = (-Vector::Z - aslant.axis * -aslant.axis.z).normalize();
    assert_eq!(fate(&Grasp { approach, ..aslant }), Fate::Table);
}

#[test]
fn clear_cases_agree_with_the_closed_form() {
    let (mut clear, mut agree) = (0, 0);
    for (seed, family) in Family::TRAINED.iter().chain(&Family::HELD_OUT).enumerate() {
        let mut rng = ChaCha8Rng::seed_from_u64(seed as u64);
        let Some(scene) = Scene::draw(&family.draw(&mut rng).unwrap(), View::FEATURES, &mut rng).unwrap() else {
            continue;
        };
        let body = Body::new(&scene.mesh).unwrap();
        let hidden = Hidden { mass: 0.1, ..Hidden::draw(Distribution::Nothing, &mut rng) };
        for grasp in &scene.grasps[..4] {
            let said = execute(&scene.object, &hidden, grasp, &Noise::NONE);
            if said.slip_margin > 0.5 {
                clear += 1;
                agree += usize::from(lift(&body, &scene.object, &hidden, grasp, &Noise::NONE).held());
            }
        }
    }
    assert!(clear >= 15, "{clear}");
    assert!(agree as f64 >= 0.9 * clear as f64, "{agree} of {clear}");
}

#[test]
fn the_same_lift_gives_the_same_bits() {
    let (body, object, hidden) = standing();
    let noise = Noise::draw(&mut ChaCha8Rng::seed_from_u64(3));
    let once = || lift(&body, &object, &hidden, &grasp(0.05 * Vector::Z), &noise);
    let (one, two) = (once(), once());
    assert_eq!(one, two);
    assert!(one.width > 0.03 && one.slid > 0.0, "{one:?}");
}
