//! How good a grip is in the worst direction: the quality of Ferrari and Canny, "Planning optimal grasps" (ICRA 1992).
//!
//! Contacts that press with one newton between them can exert the wrenches of a convex hull; the quality is the radius of the largest ball
//! about the origin in it, that is the least wrench that breaks the grip. It knows neither mass nor the direction of gravity: a second
//! label beside the wrench resistance of [`execute`](mod@super::execute), which does.

use parry3d_f64::math::Vector;

use super::contact::{Contact, Grip};

/// Edges of the pyramid in place of a friction cone.
const EDGES: usize = 8;
/// Wrenches of one contact: the edges, and torsion both ways.
const WRENCHES: usize = EDGES + 2;
/// Numbers of a wrench: a force, and a torque over a length.
const NUMBERS: usize = 6;
/// Points this little beyond a plane are on it.
const SLACK: f64 = 1e-9;
/// Pivots smaller than this are 0.
const SMALLEST_PIVOT: f64 = 1e-10;

type Wrench = [f64; NUMBERS];

/// The least wrench, in N, that breaks a grip whose contacts press with 1 N in all, under `friction`; 0 for one that some wrench breaks at
/// once. Torques are about `centre` (m) and divided by `radius` (m), by convention the farthest the object reaches from its centre of
/// mass.
pub fn ferrari_canny(grip: &Grip, friction: f64, centre: Vector, radius: f64) -> f64 {
    let wrenches: Vec<Wrench> =
        grip.contacts.iter().flat_map(|contact| wrenches(contact, friction, centre, radius)).collect();
    radius_of_ball(&wrenches)
}

/// What a contact that presses with 1 N can exert: friction along each edge of the pyramid, or torsion in its place.
fn wrenches(contact: &Contact, friction: f64, centre: Vector, radius: f64) -> [Wrench; WRENCHES] {
    let inward = -contact.normal;
    let (one, two) = inward.any_orthonormal_pair();
    let arm = contact.at - centre;
    std::array::from_fn(|number| {
        let (force, torsion) = if number < EDGES {
            let (sine, cosine) = (std::f64::consts::TAU * number as f64 / EDGES as f64).sin_cos();
            (inward + friction * (cosine * one + sine * two), 0.0)
        } else {
            let sign = if number == EDGES { 1.0 } else { -1.0 };
            (inward, sign * friction * contact.torsion_arm)
        };
        let torque = (arm.cross(force) + torsion * inward) / radius;
        [force.x, force.y, force.z, torque.x, torque.y, torque.z]
    })
}

/// The radius of the largest ball about the origin in the convex hull of `points`; 0 if the origin is not inside.
///
/// Every facet lies in the plane a · w = 1 of six of the points, so all planes of six are looked at: those that have all points below
/// them are facets, 1 / |a| from the origin, and one that has all points above it parts the origin from the hull.
fn radius_of_ball(points: &[Wrench]) -> f64 {
    let mut search = Search { points, largest: 0.0, outside: false };
    search.choose(0, &mut Vec::with_capacity(NUMBERS));
    if search.outside || search.largest == 0.0 { 0.0 } else { 1.0 / search.largest }
}

struct Search<'a> {
    points: &'a [Wrench],
    /// The largest |a| of a facet.
    largest: f64,
    outside: bool,
}

/// An equation a · row = value, scaled so that the number at `pivot` is 1 and earlier pivots are eliminated.
#[derive(Clone, Copy)]
struct Equation {
    row: Wrench,
    value: f64,
    pivot: usize,
}

impl Search<'_> {
    /// Adds points from `next` on to those chosen, whose equations are eliminated as far as they go.
    fn choose(&mut self, next: usize, chosen: &mut Vec<Equation>) {
        if chosen.len() == NUMBERS {
            self.judge(&solve(chosen));
            return;
        }
        let needed = NUMBERS - chosen.len();
        for number in next..=self.points.len().saturating_sub(needed) {
            if self.outside {
                return;
            }
            if let Some(equation) = self.points.get(number).and_then(|point| eliminated(point, chosen)) {
                chosen.push(equation);
                self.choose(number + 1, chosen);
                chosen.pop();
            }
        }
    }

    fn judge(&mut self, plane: &Wrench) {
        let (mut below, mut above) = (true, true);
        for point in self.points {
            let height = dot(plane, point) - 1.0;
            below &= height <= SLACK;
            above &= height >= -SLACK;
            if !below && !above {
                return;
            }
        }
        self.outside |= above;
        if below {
            self.largest = self.largest.max(dot(plane, plane).sqrt());
        }
    }
}

fn dot(one: &Wrench, two: &Wrench) -> f64 {
    one.iter().zip(two).map(|(one, two)| one * two).sum()
}

/// The equation of `point` without what `chosen` determines; none if they determine it all.
fn eliminated(point: &Wrench, chosen: &[Equation]) -> Option<Equation> {
    let (mut row, mut value) = (*point, 1.0);
    for known in chosen {
        let factor = row[known.pivot];
        row.iter_mut().zip(&known.row).for_each(|(to, from)| *to -= factor * from);
        value -= factor * known.value;
    }
    let (pivot, largest) = row.iter().map(|number| number.abs()).enumerate().max_by(|a, b| a.1.total_cmp(&b.1))?;
    if largest < SMALLEST_PIVOT {
        return None;
    }
    let scale = 1.0 / row[pivot];
    Some(Equation { row: row.map(|number| scale * number), value: scale * value, pivot })
}

/// The plane that six equations determine, last ones first.
fn solve(equations: &[Equation]) -> Wrench {
    let mut plane = [0.0; NUMBERS];
    for Equation { row, value, pivot } in equations.iter().rev() {
        // What is not solved yet is still 0, and so is the pivot's own.
        plane[*pivot] = value - dot(row, &plane);
    }
    plane
}

#[cfg(test)]
mod tests {
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;
    use rand_distr::StandardNormal;

    use super::*;

    fn grip(normals: [Vector; 2], shift: Vector) -> Grip {
        let contact = |at: Vector, normal: Vector| Contact { at, normal: normal.normalize(), torsion_arm: 0.0067 };
        let contacts = [contact(-0.02 * Vector::X, normals[0]), contact(0.02 * Vector::X + shift, normals[1])];
        Grip { contacts, width: 0.04, middle: Vector::ZERO }
    }

    #[test]
    fn a_cross_polytope_and_a_simplex_have_the_balls_of_their_formulas() {
        let axes = |scale: f64| -> Vec<Wrench> {
            (0..NUMBERS)
                .flat_map(|axis| {
                    [-scale, scale].map(|value| std::array::from_fn(|i| if i == axis { value } else { 0.0 }))
                })
                .collect()
        };
        // Facets of the cross-polytope are 1 / √6 from the origin.
        assert!((radius_of_ball(&axes(2.0)) - 2.0 / 6.0_f64.sqrt()).abs() <= 1e-12);
        let away: Vec<Wrench> =
            axes(1.0).iter().map(|point| std::array::from_fn(|i| point[i] + if i == 0 { 3.0 } else { 0.0 })).collect();
        assert_eq!(radius_of_ball(&away), 0.0);
        assert_eq!(radius_of_ball(&axes(1.0)[..4]), 0.0);
    }

    /// The quality is the least of what the hull reaches in any direction: no direction has less, and near the worst one it is reached.
    #[test]
    fn no_direction_is_worse_and_one_is_as_bad() {
        let mut rng = ChaCha8Rng::seed_from_u64(2);
        let grip = grip([-Vector::X + 0.2 * Vector::Y, Vector::X + 0.1 * Vector::Z], 0.004 * Vector::Y);
        let (friction, centre, radius) = (0.5, 0.01 * Vector::Z, 0.05);
        let quality = ferrari_canny(&grip, friction, centre, radius);
        let all: Vec<Wrench> = grip.contacts.iter().flat_map(|c| wrenches(c, friction, centre, radius)).collect();
        let reach = |direction: &Wrench| {
            let length = dot(direction, direction).sqrt();
            all.iter().map(|wrench| dot(direction, wrench) / length).fold(f64::NEG_INFINITY, f64::max)
        };
        let mut worst = f64::INFINITY;
        for _ in 0..20 {
            let mut direction: Wrench = std::array::from_fn(|_| rng.sample(StandardNormal));
            let mut least = reach(&direction);
            for step in 0..4000 {
                let size = 0.5 * 0.998_f64.powi(step);
                let near: Wrench = std::array::from_fn(|i| direction[i] + size * rng.sample::<f64, _>(StandardNormal));
                let found = reach(&near);
                if found < least {
                    let length = dot(&near, &near).sqrt();
                    (direction, least) = (near.map(|value| value / length), found);
                }
            }
            worst = worst.min(least);
        }
        assert!(quality > 0.0 && quality <= worst + 1e-9 && worst <= 1.02 * quality, "{quality} against {worst}");
    }

    #[test]
    fn friction_makes_a_grip_better_and_faces_aslant_break_it() {
        let straight = grip([-Vector::X, Vector::X], Vector::ZERO);
        let of = |grip: &Grip, friction| ferrari_canny(grip, friction, Vector::ZERO, 0.05);
        assert!(of(&straight, 0.3) > 0.0 && of(&straight, 0.6) > of(&straight, 0.3));
        // Faces 40° aslant, both the same way: tan 40° is more than the friction.
        let wedge = grip([-Vector::X + 0.84 * Vector::Z, Vector::X + 0.84 * Vector::Z], Vector::ZERO);
        assert_eq!(of(&wedge, 0.5), 0.0);
        assert!(of(&wedge, 1.2) > 0.0);
    }
}
