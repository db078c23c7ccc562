//! A landscape of two objectives in the plane on which weightings can be watched (Liu et al. 2021, appendix; Navon et al. 2022, appendix).
//!
//! With x = (x_1, x_2):
//!
//! f_1 = ln max(|½ (−x_1 − 7) − tanh(−x_2)|, 5e-6) + 6, f_2 = ln max(|½ (−x_1 + 3) + tanh(−x_2) + 2|, 5e-6) + 6,
//!
//! g_1 = ((−x_1 + 7)² + 0.1 (−x_2 − 8)²) / 10 − 20, g_2 = ((−x_1 − 7)² + 0.1 (−x_2 − 8)²) / 10 − 20,
//!
//! c_1 = max(tanh(½ x_2), 0), c_2 = max(tanh(−½ x_2), 0),
//!
//! L_1 = s (f_1 c_1 + g_1 c_2), L_2 = f_2 c_1 + g_2 c_2. The scale s is 1 in the first paper and 0.1 in the second and in that of FAMO.
//! Above x_2 = 0 are two steep valleys, one for each objective, where the gradients conflict and differ much in length; below is the bowl
//! with the Pareto front.
//!
//! **What is found.** At the papers' rate PCGrad, CAGrad (c = 0.5), MGDA, Nash-MTL and FAMO reach the front from all five starts, at s = 1
//! and at s = 0.1. Thousands of steps until the last of the five stays within 0.02 of it, the least and the most of six runs whose starts
//! differ by 1e-11:
//!
//! | s | PCGrad | CAGrad, c = 0.5 | CAGrad, c = 0.4 | MGDA | Nash-MTL | FAMO | plain sum |
//! |---|---|---|---|---|---|---|---|
//! | 1 | 53–63 | 64–72 | 65–71 | 24 | 39–42 | 21 | never |
//! | 0.1 | 65–71 | 66–74 | 77–90 | 29 | 38–45 | 24 | never |
//!
//! The slow ones creep through the valleys, where the last bit of the arithmetic changes the number by ten thousand. 35 000 and 50 000
//! steps, as in the later papers, are not enough for PCGrad and CAGrad to reach the front from there, and the 100 000 of the first paper
//! are. The plain sum is still in both valleys after those at s = 1, and in the right one at s = 0.1. FAMO needs two settings of
//! its authors' experiment: losses are counted from −21 s and −21, since they fall below 0 here, and γ = 0, since the objectives do not
//! change. With γ = 0.001 it stays in the valleys as the plain sum does.
//!
//! Where a max is met with equality its argument counts, as automatic differentiation has it: (0, 0), a start of the papers, is left
//! because of that.

use super::adam::Adam;
use super::{Seen, Weighting, Weights};
use nalgebra::DMatrix;

/// Where descents begin, in the papers of Nash-MTL and FAMO; the first paper has the first and the third.
pub const STARTS: [[f64; 2]; 5] = [[-8.5, 7.5], [0.0, 0.0], [9.0, 9.0], [-7.5, -0.5], [9.0, -1.0]];

/// The argument of a logarithm counts as no less.
const LEAST: f64 = 5e-6;

/// The two objectives.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Landscape {
    /// s, which L_1 is multiplied by.
    pub scale: f64,
}

/// How a descent goes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Descent {
    /// The rate of Adam; 1e-3 in the papers.
    pub rate: f64,
    /// Steps: 100 000 in the first paper, 35 000 and 50 000 in the others.
    pub iterations: u64,
    /// A point of the trajectory is kept each so many steps.
    pub every: u64,
}

impl Default for Descent {
    fn default() -> Self {
        Self { rate: 1e-3, iterations: 35_000, every: 100 }
    }
}

/// A value and its derivatives by x_1 and x_2.
type Jet = [f64; 3];

/// ln max(|h|, 5e-6) + 6
fn logarithm([value, by_first, by_second]: Jet) -> Jet {
    let slope = if value.abs() >= LEAST { 1.0 / value } else { 0.0 };
    [value.abs().max(LEAST).ln() + 6.0, by_first * slope, by_second * slope]
}

fn product(a: Jet, b: Jet) -> Jet {
    [a[0] * b[0], a[0] * b[1] + a[1] * b[0], a[0] * b[2] + a[2] * b[0]]
}

impl Landscape {
    /// L_1 and L_2 at a point, and their gradients.
    #[must_use]
    pub fn at(&self, [first, second]: [f64; 2]) -> ([f64; 2], [[f64; 2]; 2]) {
        let (tanh, half) = (second.tanh(), (0.5 * second).tanh());
        let (by_tanh, by_half) = (1.0 - tanh * tanh, 0.5 * (1.0 - half * half));
        let logarithms = [
            logarithm([0.5 * (-first - 7.0) + tanh, -0.5, by_tanh]),
            logarithm([0.5 * (-first + 3.0) - tanh + 2.0, -0.5, -by_tanh]),
        ];
        let square = |centre: f64| {
            let (across, along) = (first - centre, second + 8.0);
            [(across * across + 0.1 * along * along) / 10.0 - 20.0, across / 5.0, along / 50.0]
        };
        let squares = [square(7.0), square(-7.0)];
        let above = if second >= 0.0 { [half, 0.0, by_half] } else { [0.0; 3] };
        let below = if second <= 0.0 { [-half, 0.0, -by_half] } else { [0.0; 3] };
        let (mut values, mut gradients) = ([0.0; 2], [[0.0; 2]; 2]);
        for (objective, scale) in [self.scale, 1.0].into_iter().enumerate() {
            let (upper, lower) = (product(logarithms[objective], above), product(squares[objective], below));
            values[objective] = scale * (upper[0] + lower[0]);
            gradients[objective] = [scale * (upper[1] + lower[1]), scale * (upper[2] + lower[2])];
        }
        (values, gradients)
    }

    /// Adam from a point by a weighting's combination of the two gradients; the points on the way, the first and the last among them.
    pub fn descend(&self, weighting: &mut dyn Weighting, start: [f64; 2], descent: Descent) -> Vec<[f64; 2]> {
        let (mut point, mut adam) = (start, Adam::new(2));
        let mut weights = Weights::default();
        let mut gram = DMatrix::zeros(2, 2);
        let mut trajectory = Vec::new();
        for iteration in 0..descent.iterations {
            if iteration.is_multiple_of(descent.every) {
                trajectory.push(point);
            }
            let (losses, gradients) = self.at(point);
            for (i, a) in gradients.iter().enumerate() {
                for (j, b) in gradients.iter().enumerate() {
                    gram[(i, j)] = a[0] * b[0] + a[1] * b[1];
                }
            }
            weighting.weigh(&Seen { iteration, losses: &losses, gram: Some(&gram) }, &mut weights);
            for place in 0..2 {
                let slope = weights.shared[0] * gradients[0][place] + weights.shared[1] * gradients[1][place];
                point[place] -= adam.step(place, descent.rate, slope);
            }
            if weighting.looks_again() {
                weighting.looked_again(&self.at(point).0);
            }
        }
        trajectory.push(point);
        trajectory
    }
}

/// The points of the plane where no objective can fall without a rise of the other: a curve from (−7, y) to (7, y), with y about −8.
///
/// Below x_2 = 0 the gradients oppose each other where −7 ≤ x_1 ≤ 7 and the derivative by x_2 of w L_1 / s + (1 − w) L_2 is 0, with 14 w
/// = 7 + x_1, which makes that by x_1 vanish. It is the front for every s, which changes w alone. Nothing above x_2 = 0 belongs to it,
/// which a test holds on a grid.
#[derive(Clone, Debug, PartialEq)]
pub struct Front {
    /// Points of it, by x_1.
    points: Vec<[f64; 2]>,
}

/// Distances between neighbouring points of [`Front`], along x_1.
const SPACING: f64 = 0.01;

impl Default for Front {
    fn default() -> Self {
        let number = (14.0 / SPACING).round() as usize;
        Self { points: (0..=number).map(|place| Self::point(-7.0 + 14.0 * place as f64 / number as f64)).collect() }
    }
}

impl Front {
    /// The point of the front at an x_1 between −7 and 7. Its x_2 is found by halving: below it the derivative by x_2 is negative, above
    /// positive.
    fn point(first: f64) -> [f64; 2] {
        let landscape = Landscape { scale: 1.0 };
        let weight = (7.0 + first) / 14.0;
        let slope = |second: f64| {
            let (_, gradients) = landscape.at([first, second]);
            weight * gradients[0][1] + (1.0 - weight) * gradients[1][1]
        };
        let (mut low, mut high) = (-12.0, -8.0);
        for _ in 0..60 {
            let middle = 0.5 * (low + high);
            if slope(middle) < 0.0 {
                low = middle;
            } else {
                high = middle;
            }
        }
        [first, 0.5 * (low + high)]
    }

    /// Points of the front, by x_1, from −7 to 7.
    #[must_use]
    pub fn points(&self) -> &[[f64; 2]] {
        &self.points
    }

    /// How far a point is from the front in the plane: from the nearest of its points, which are 0.01 apart.
    #[must_use]
    pub fn distance(&self, [first, second]: [f64; 2]) -> f64 {
        let to = |point: &[f64; 2]| (point[0] - first).hypot(point[1] - second);
        self.points.iter().map(to).fold(f64::INFINITY, f64::min)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Settings, cagrad, famo, fixed, mgda, nash, pcgrad};
    use super::*;

    /// Values by hand, and gradients against differences.
    #[test]
    fn gradients_are_those_of_the_values() {
        let landscape = Landscape { scale: 0.1 };
        let (values, _) = landscape.at([7.0, -8.0]);
        let below = 4.0_f64.tanh();
        assert!((values[0] + 2.0 * below).abs() <= 1e-12 && (values[1] + 0.4 * below).abs() <= 1e-12);
        let (values, gradients) = landscape.at([0.0, 0.0]);
        assert_eq!(values, [0.0, 0.0]);
        let expected = 0.5 * (3.5_f64.ln() + 6.0) - 0.5 * ((49.0 + 6.4) / 10.0 - 20.0);
        assert!((gradients[0][1] - 0.1 * expected).abs() <= 1e-12 && gradients[0][0] == 0.0);
        for point in [[-8.5, 7.5], [9.0, 9.0], [0.3, 0.7], [-7.5, -0.5], [9.0, -1.0], [2.0, -8.3]] {
            let (_, gradients) = landscape.at(point);
            for place in 0..2 {
                let (mut up, mut down) = (point, point);
                up[place] += 1e-6;
                down[place] -= 1e-6;
                let (up, down) = (landscape.at(up).0, landscape.at(down).0);
                for objective in 0..2 {
                    let difference = (up[objective] - down[objective]) / 2e-6;
                    assert!((gradients[objective][place] - difference).abs() <= 1e-6 * (1.0 + difference.abs()));
                }
            }
        }
    }

    /// On a grid over the whole picture nothing dominates a point of the front, and the front dominates all that is not near it. Along the
    /// front the first objective falls and the second rises, so that of those that a point could dominate, or be dominated by, one is
    /// enough.
    #[test]
    fn the_front_is_what_nothing_dominates() {
        let (landscape, front) = (Landscape { scale: 1.0 }, Front::default());
        let values = |place: i32| landscape.at(Front::point(-7.0 + f64::from(place) * 1e-4)).0;
        let of_front: Vec<[f64; 2]> = (0..=140_000).map(values).collect();
        assert!(of_front.windows(2).all(|pair| pair[0][0] > pair[1][0] && pair[0][1] < pair[1][1]));
        for i in 0..=110 {
            for j in 0..=110 {
                let point = [-11.0 + 0.2 * f64::from(i), -11.0 + 0.2 * f64::from(j)];
                let [first, second] = landscape.at(point).0;
                // Those of the front up to here have more of the first objective.
                let place = of_front.partition_point(|of| of[0] > first);
                let dominates = place > 0 && of_front[place - 1][1] > second + 1e-9;
                assert!(!dominates, "{point:?}");
                let dominated = of_front.get(place).is_some_and(|of| of[1] < second);
                assert!(dominated || front.distance(point) <= 0.2, "{point:?}");
            }
        }
    }

    /// What counts as on the front. Adam at the papers' rate moves by up to 0.001 in a step, and swings about by some of them.
    const ON_THE_FRONT: f64 = 0.02;

    /// Where a descent of so many thousand steps ends, and how far from the front.
    fn end(settings: &Settings, scale: f64, start: [f64; 2], thousands: u64) -> ([f64; 2], f64) {
        assert_eq!(settings.check(2), Ok(()));
        let descent = Descent { iterations: 1000 * thousands, every: 1000, ..Descent::default() };
        let trajectory = Landscape { scale }.descend(&mut *settings.open(2, 1), start, descent);
        assert_eq!((trajectory.len() as u64, trajectory[0]), (thousands + 1, start));
        let end = trajectory[trajectory.len() - 1];
        (end, Front::default().distance(end))
    }

    /// From all starts, at the scale of the first paper and at that of the others.
    fn reaches_the_front(thousands: u64, settings: impl Fn(f64) -> Settings) {
        for scale in [1.0, 0.1] {
            for start in STARTS {
                let settings = settings(scale);
                let (end, distance) = end(&settings, scale, start, thousands);
                assert!(distance <= ON_THE_FRONT, "{} at {scale} from {start:?} is at {end:?}", settings.name());
            }
        }
    }

    /// How far from the front each start leads, at a scale.
    fn distances(settings: &Settings, scale: f64, thousands: u64) -> [f64; 5] {
        STARTS.map(|start| end(settings, scale, start, thousands).1)
    }

    /// It stays in either valley, and reaches the front from below them.
    #[test]
    fn the_plain_sum_stays_in_the_valleys() {
        let sum = Settings::Fixed(fixed::Settings { weights: vec![1.0, 1.0] });
        let away = distances(&sum, 1.0, 100).map(|distance| distance > 5.0);
        assert_eq!(away, [true, false, true, false, false]);
        // At the smaller scale it leaves the valley of the first objective, whose gradient is then the weaker one, and not the other.
        let away = distances(&sum, 0.1, 100).map(|distance| distance > 5.0);
        assert_eq!(away, [false, false, true, false, false]);
    }

    #[test]
    fn pcgrad_reaches_the_front() {
        reaches_the_front(100, |_| Settings::PcGrad(pcgrad::Settings {}));
    }

    /// With the c of the paper's experiment; the front is reached at the point where the mean is least.
    #[test]
    fn cagrad_reaches_the_front() {
        let settings = Settings::CaGrad(cagrad::Settings { c: 0.5 });
        reaches_the_front(100, |_| settings.clone());
        let (end, _) = end(&settings, 1.0, STARTS[0], 100);
        assert!(end[0].abs() <= 0.01 && (end[1] + 8.3552).abs() <= 0.01, "{end:?}");
    }

    #[test]
    fn mgda_reaches_the_front() {
        reaches_the_front(50, |_| Settings::Mgda(mgda::Settings::default()));
    }

    #[test]
    fn nash_reaches_the_front() {
        reaches_the_front(70, |_| Settings::Nash(nash::Settings::default()));
    }

    fn famo_with(decay: f64, scale: f64) -> Settings {
        Settings::Famo(famo::Settings { rate: 0.025, decay, again: true, least: vec![-21.0 * scale, -21.0] })
    }

    #[test]
    fn famo_reaches_the_front() {
        reaches_the_front(50, |scale| famo_with(0.0, scale));
    }

    #[test]
    fn famo_that_forgets_stays_in_the_valleys() {
        let away = distances(&famo_with(1e-3, 1.0), 1.0, 100).map(|distance| distance > 5.0);
        assert_eq!(away, [true, false, true, false, false]);
    }
}
