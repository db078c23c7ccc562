//! Whether numbers are numbers.

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
}
