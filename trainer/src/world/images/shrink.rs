//! Images made smaller by the exact mean over the area that each new pixel covers.

/// Pixels in a row, and rows, of an image after [`shrink`].
pub const SIDE: usize = 28;

/// Values of an image after [`shrink`].
pub const PIXELS: usize = SIDE * SIDE;

/// The image `[height, width]` as `[SIDE, SIDE]`, appended to `small`. Every new pixel is the mean over its area, parts of pixels
/// counted as parts, rounded once: in whole numbers, because a length is counted in units that divide both old and new pixels.
pub fn shrink(image: &[u8], height: usize, width: usize, small: &mut Vec<u8>) {
    debug_assert_eq!(image.len(), height * width);
    let columns: Vec<_> = (0..SIDE).map(|new| covered(new, width)).collect();
    let area = (height * width) as u64;
    // Sums over the height first, so that a row of the old image is read in order.
    let mut sums = vec![0_u64; width];
    for row in 0..SIDE {
        sums.fill(0);
        let (first, lengths) = covered(row, height);
        for (old, length) in image[first * width..].chunks_exact(width).zip(lengths) {
            sums.iter_mut().zip(old).for_each(|(sum, value)| *sum += length * u64::from(*value));
        }
        small.extend(columns.iter().map(|(first, lengths)| {
            let sum: u64 = sums[*first..].iter().zip(lengths).map(|(sum, length)| sum * length).sum();
            ((2 * sum + area) / (2 * area)) as u8
        }));
    }
}

/// Which of `old` pixels the new one covers: the first, and of each how much, in units of which an old pixel has [`SIDE`] and a new
/// one `old`.
fn covered(new: usize, old: usize) -> (usize, Vec<u64>) {
    let (start, end) = (new * old, (new + 1) * old);
    let first = start / SIDE;
    let length = |pixel: usize| (end.min((pixel + 1) * SIDE) - start.max(pixel * SIDE)) as u64;
    (first, (first..end.div_ceil(SIDE)).map(length).collect())
}

/// A small image turned by so many right angles, counterclockwise.
pub fn turned(image: &[u8], quarter_turns: u8) -> impl Iterator<Item = u8> {
    let last = SIDE - 1;
    (0..PIXELS).map(move |pixel| {
        let (row, column) = (pixel / SIDE, pixel % SIDE);
        let (row, column) = match quarter_turns % 4 {
            0 => (row, column),
            1 => (column, last - row),
            2 => (last - row, last - column),
            _ => (last - column, row),
        };
        image[row * SIDE + column]
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Every pixel by its definition, in real numbers: the slow twin.
    fn by_area(image: &[u8], height: usize, width: usize) -> Vec<f64> {
        let part = |new: usize, pixel: usize, old: usize| {
            let scale = old as f64 / SIDE as f64;
            let (start, end) = (new as f64 * scale, (new + 1) as f64 * scale);
            (end.min((pixel + 1) as f64) - start.max(pixel as f64)).max(0.0) / scale
        };
        let pixel = |row: usize, column: usize| {
            let old = (0..height * width).map(|at| {
                let (y, x) = (at / width, at % width);
                part(row, y, height) * part(column, x, width) * f64::from(image[at])
            });
            old.sum()
        };
        (0..PIXELS).map(|at| pixel(at / SIDE, at % SIDE)).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn the_mean_is_over_the_area(height in SIDE..60, width in SIDE..60, seed: u64) {
            let random = |at: usize| (seed.wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(at as u32 * 7) >> 24) as u8;
            let image: Vec<u8> = (0..height * width).map(random).collect();
            let mut small = Vec::new();
            shrink(&image, height, width, &mut small);
            prop_assert_eq!(small.len(), PIXELS);
            for (got, want) in small.iter().zip(by_area(&image, height, width)) {
                prop_assert!((f64::from(*got) - want).abs() <= 0.5 + 1e-6, "{} {}", got, want);
            }
        }
    }

    #[test]
    fn an_even_image_stays_and_a_whole_factor_is_a_mean() {
        let mut small = Vec::new();
        shrink(&[255; 105 * 105], 105, 105, &mut small);
        assert_eq!(small, [255; PIXELS]);
        let image: Vec<u8> = (0..56 * 56).map(|at| if at % 2 == 0 { 10 } else { 20 }).collect();
        small.clear();
        shrink(&image, 56, 56, &mut small);
        assert_eq!(small, [15; PIXELS]);
    }

    #[test]
    fn a_quarter_turn_brings_the_right_edge_to_the_top() {
        let image: Vec<u8> = (0..PIXELS).map(|pixel| if pixel % SIDE == SIDE - 1 { 200 } else { 0 }).collect();
        let once: Vec<u8> = turned(&image, 1).collect();
        assert!(once[..SIDE].iter().all(|value| *value == 200) && once[SIDE..].iter().all(|value| *value == 0));
        let odd: Vec<u8> = (0..PIXELS).map(|pixel| (pixel % 251) as u8).collect();
        let mut whole = odd.clone();
        for turns in 0..4 {
            assert_eq!(whole, turned(&odd, turns).collect::<Vec<_>>());
            whole = turned(&whole, 1).collect();
        }
        assert_eq!(whole, odd);
    }
}
