//! Drawings pulled a little out of shape, so that a network cannot know them by heart (Koch et al. 2015, section 3.2).

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::shrink::{PIXELS, SIDE};

/// Most degrees of the turn.
const TURN: f64 = 10.0;
/// Most of the shear along each axis.
const SHEAR: f64 = 0.3;
/// Least and most of the scale along each axis.
const SCALE: [f64; 2] = [0.8, 1.2];
/// Most of the way along each axis, in sides of the image: the paper's 2 pixels of 105.
const WAY: f64 = 2.0 / 105.0;

/// An affine map about the middle of the image; where it takes ink is where the ink goes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Distortion {
    /// Rows of the matrix that takes (across, down) to (across, down).
    matrix: [[f64; 2]; 2],
    /// Sides of the image to the right and down.
    way: [f64; 2],
}

impl Distortion {
    /// Turn, shears, scales and ways, each of them with probability 1/2 there and else without effect, and even over its range.
    pub fn draw(rng: &mut ChaCha8Rng) -> Self {
        let mut part = |least: f64, most: f64, none: f64| {
            let value = rng.random_range(least..=most);
            if rng.random() { value } else { none }
        };
        let (sin, cos) = part(-TURN, TURN, 0.0).to_radians().sin_cos();
        let [shear_across, shear_down] = [0; 2].map(|_| part(-SHEAR, SHEAR, 0.0));
        let [across, down] = [0; 2].map(|_| part(SCALE[0], SCALE[1], 1.0));
        let way = [0; 2].map(|_| part(-WAY, WAY, 0.0));
        let sheared = [[across, shear_across * down], [shear_down * across, down]];
        let turn = [[cos, -sin], [sin, cos]];
        let matrix = turn.map(|row| [0, 1].map(|column| row[0] * sheared[0][column] + row[1] * sheared[1][column]));
        Self { matrix, way }
    }

    /// What `image [SIDE, SIDE]` becomes, appended to `distorted`: between pixels the ink is linear along both axes, and around the image
    /// there is paper.
    pub fn apply(self, image: &[f32], distorted: &mut Vec<f32>) {
        debug_assert_eq!(image.len(), PIXELS);
        let [[a, b], [c, d]] = self.matrix;
        // Not 0: scales are 0.8 at least and shears 0.3 at most.
        let determinant = a * d - b * c;
        let middle = (SIDE - 1) as f64 / 2.0;
        let ink = |row: i64, column: i64| {
            let inside = |place: i64| (0..SIDE as i64).contains(&place);
            if inside(row) && inside(column) { f64::from(image[row as usize * SIDE + column as usize]) } else { 0.0 }
        };
        distorted.extend((0..PIXELS).map(|pixel| {
            let across = (pixel % SIDE) as f64 - middle - self.way[0] * SIDE as f64;
            let down = (pixel / SIDE) as f64 - middle - self.way[1] * SIDE as f64;
            let column = (d * across - b * down) / determinant + middle;
            let row = (a * down - c * across) / determinant + middle;
            let (left, top) = (column.floor(), row.floor());
            let (right_share, low_share) = (column - left, row - top);
            let (left, top) = (left as i64, top as i64);
            let along = |row: i64| ink(row, left) * (1.0 - right_share) + ink(row, left + 1) * right_share;
            (along(top) * (1.0 - low_share) + along(top + 1) * low_share) as f32
        }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;

    /// A drawing with a bar and a dot, away from the edges.
    fn drawing() -> Vec<f32> {
        let ink = |row: usize, column: usize| row == 13 && (9..19).contains(&column) || row == 9 && column == 16;
        (0..PIXELS).map(|at| f32::from(u8::from(ink(at / SIDE, at % SIDE)))).collect()
    }

    fn applied(matrix: [[f64; 2]; 2], way: [f64; 2]) -> Vec<f32> {
        let mut distorted = Vec::new();
        Distortion { matrix, way }.apply(&drawing(), &mut distorted);
        distorted
    }

    #[test]
    fn nothing_leaves_it_and_whole_pixels_move_it() {
        assert_eq!(applied([[1.0, 0.0], [0.0, 1.0]], [0.0; 2]), drawing());
        let moved = applied([[1.0, 0.0], [0.0, 1.0]], [3.0 / SIDE as f64, -2.0 / SIDE as f64]);
        for (at, ink) in moved.iter().enumerate() {
            let (row, column) = (at / SIDE, at % SIDE);
            let from = if row + 2 < SIDE && column >= 3 { drawing()[(row + 2) * SIDE + column - 3] } else { 0.0 };
            assert!((ink - from).abs() <= 1e-6, "{row} {column}: {ink} {from}");
        }
    }

    #[test]
    fn a_quarter_turn_is_that_of_the_classes() {
        let whole: Vec<u8> = drawing().iter().map(|ink| *ink as u8).collect();
        let expected: Vec<f32> = super::super::shrink::turned(&whole, 1).map(f32::from).collect();
        for (got, want) in applied([[0.0, 1.0], [-1.0, 0.0]], [0.0; 2]).iter().zip(expected) {
            assert!((got - want).abs() <= 1e-6);
        }
    }

    #[test]
    fn ink_is_kept_by_area_and_its_middle_goes_where_the_map_says() {
        let mut rng = ChaCha8Rng::seed_from_u64(7);
        let middle = |image: &[f32]| {
            let ink: f64 = image.iter().map(|ink| f64::from(*ink)).sum();
            let mean = |of: fn(usize) -> usize| {
                let sum: f64 = image.iter().enumerate().map(|(at, ink)| f64::from(*ink) * of(at) as f64).sum();
                sum / ink - (SIDE - 1) as f64 / 2.0
            };
            (ink, [mean(|at| at % SIDE), mean(|at| at / SIDE)])
        };
        let (ink, [across, down]) = middle(&drawing());
        let mut scales = Vec::new();
        for _ in 0..200 {
            let distortion = Distortion::draw(&mut rng);
            let [[a, b], [c, d]] = distortion.matrix;
            let mut distorted = Vec::new();
            distortion.apply(&drawing(), &mut distorted);
            let (after, at) = middle(&distorted);
            let area = a * d - b * c;
            scales.push(area);
            assert!((after / ink / area - 1.0).abs() <= 0.25, "{after} {ink} {area}");
            let want = [a * across + b * down, c * across + d * down];
            for axis in 0..2 {
                let want = want[axis] + distortion.way[axis] * SIDE as f64;
                assert!((at[axis] - want).abs() <= 0.6, "{at:?} {want}");
            }
        }
        assert!(scales.iter().any(|area| *area < 0.85) && scales.iter().any(|area| *area > 1.15));
    }
}
