//! Whether numbers are numbers, and still the same ones.

use super::{Path, vectors};

/// Whether all values are finite.
pub fn all_finite(path: Path, values: &[f32]) -> bool {
    // Contract of the generic kernel: none beyond the features, which let the compiler use whole vectors.
    vectors!(path, finite(values), finite_fast(values: &[f32] = values) -> bool)
}

#[inline(always)]
fn finite(values: &[f32]) -> bool {
    // By bits, for a sum of floats would be one long chain: only an exponent of all ones carries into the sign.
    let carried =
        values.iter().fold(0_u32, |all, value| all | (value.to_bits() & 0x7fff_ffff).wrapping_add(0x0080_0000));
    carried >> 31 == 0
}

/// Whether all values are finite and none is larger than `limit` in size.
pub fn all_within(path: Path, values: &[f32], limit: f32) -> bool {
    // Contract of the generic kernel: none beyond the features, which let the compiler use whole vectors.
    vectors!(path, within(values, limit), within_fast(values: &[f32] = values, limit: f32 = limit) -> bool)
}

#[inline(always)]
fn within(values: &[f32], limit: f32) -> bool {
    // All of them, whatever comes first: the work does not depend on the values.
    values.iter().fold(true, |all, value| all & (value.abs() <= limit))
}

#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
#[inline(always)]
#[expect(clippy::extra_unused_type_parameters, reason = "the macro names a vector; the compiler finds its own")]
unsafe fn within_fast<V>(values: &[f32], limit: f32) -> bool {
    within(values, limit)
}

#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
#[inline(always)]
#[expect(clippy::extra_unused_type_parameters, reason = "the macro names a vector; the compiler finds its own")]
unsafe fn finite_fast<V>(values: &[f32]) -> bool {
    finite(values)
}

/// A checksum of the bits of `values`: any one flipped bit changes it, and so does any change within 32 neighbouring bits.
///
/// The same number on every path and target.
pub fn checksum(path: Path, values: &[f32]) -> u32 {
    checksum_from(path, 0, values)
}

/// What the values from `place` on, of which `values` are the first, give to the checksum of the whole: those of parts that follow
/// one another add up, modulo 2³², to that of the whole.
// One copy, of its own, on a microcontroller, to save flash.
#[cfg_attr(target_os = "none", inline(never))]
pub fn checksum_from(path: Path, place: usize, values: &[f32]) -> u32 {
    let place = place as u32;
    // Contract of the generic kernel: none beyond the features.
    vectors!(path, sum_of_bits(place, values), sum_of_bits_fast(place: u32 = place, values: &[f32] = values) -> u32)
}

/// Each value times an odd number of its place: the sum is blind to no change of one value, and to hardly any of several.
#[inline(always)]
fn sum_of_bits(first: u32, values: &[f32]) -> u32 {
    let mut sum = 0_u32;
    for (place, value) in values.iter().enumerate() {
        let place = first.wrapping_add(place as u32);
        sum = sum.wrapping_add(value.to_bits().wrapping_mul(place.wrapping_mul(0x9e37_79b8) | 1));
    }
    sum
}

#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
#[inline(always)]
#[expect(clippy::extra_unused_type_parameters, reason = "the macro names a vector; the compiler finds its own")]
unsafe fn sum_of_bits_fast<V>(first: u32, values: &[f32]) -> u32 {
    sum_of_bits(first, values)
}

/// Σ(a − b)², infinite where the sum is too large for an f32.
pub fn square_distance(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).fold(0.0, |sum, (a, b)| sum + (a - b) * (a - b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finite_means_finite() {
        for path in Path::available() {
            assert!(all_finite(path, &[]));
            assert!(all_finite(path, &[0.0, -0.0, f32::MAX, f32::MIN, f32::MIN_POSITIVE, 1e-40]));
            for bad in [f32::NAN, -f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
                for place in 0..70 {
                    let mut values = [-3.0; 70];
                    values[place] = bad;
                    assert!(!all_finite(path, &values));
                    assert!(!all_within(path, &values, f32::MAX));
                    values[place] = 3.5;
                    assert!(!all_within(path, &values, 3.0) && all_within(path, &values, 3.5));
                }
            }
        }
    }

    #[test]
    fn a_flipped_bit_changes_the_checksum() {
        let values: [f32; 70] = core::array::from_fn(|i| 0.37 * i as f32 - 3.0);
        let sum = checksum(Path::SCALAR, &values);
        for path in Path::available() {
            assert_eq!(checksum(path, &values), sum);
            for cut in 0..=70 {
                let (front, behind) = values.split_at(cut);
                assert_eq!(checksum(path, front).wrapping_add(checksum_from(path, cut, behind)), sum);
            }
            for (place, bit) in (0..70).flat_map(|place| (0..32).map(move |bit| (place, bit))) {
                let mut flipped = values;
                flipped[place] = f32::from_bits(values[place].to_bits() ^ 1 << bit);
                assert_ne!(checksum(path, &flipped), sum);
            }
        }
        let mut swapped = values;
        swapped.swap(3, 4);
        assert_ne!(checksum(Path::SCALAR, &swapped), sum);
    }

    #[test]
    fn distances_are_euclidean() {
        assert_eq!(square_distance(&[3.0, 0.0], &[0.0, 4.0]), 25.0);
        assert_eq!(square_distance(&[2e30], &[-1e30]), f32::INFINITY);
        assert!(square_distance(&[f32::NAN], &[0.0]).is_nan());
    }
}
